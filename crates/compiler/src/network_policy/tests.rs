use super::*;
use serde_json::{Value, json};

fn labels() -> Members {
    [
        (labels::NAMESPACE, "acme"),
        (labels::PROJECT, "shop"),
        (labels::ENVIRONMENT, "test"),
        (labels::COMPONENT, "web"),
    ]
    .into_iter()
    .collect()
}

fn call(project: &str, component: &str, endpoint: &str) -> ConnectionTarget {
    ConnectionTarget {
        namespace: "acme".to_owned(),
        project: project.to_owned(),
        component: component.to_owned(),
        track: None,
        environment: "test".to_owned(),
        endpoint: endpoint.to_owned(),
        visibility: String::new(),
    }
}

fn made(
    workload: &Value,
    calls: &[ConnectionTarget],
    egress: Egress,
    provider: Option<&str>,
) -> Vec<Tree> {
    let workload = serde_json::from_value(workload.clone()).expect("a workload");
    policies(&subject(&labels(), &workload, calls, egress, provider))
}

fn subject<'a>(
    labels: &'a Members,
    workload: &'a WorkloadTemplate,
    calls: &'a [ConnectionTarget],
    egress: Egress,
    provider: Option<&'a str>,
) -> Subject<'a> {
    Subject {
        line: "web",
        cell: "cell",
        labels,
        workload,
        calls,
        lent: &[],
        egress,
        proxies: None,
        provider,
    }
}

fn workload() -> Value {
    json!({
        "container": {"image": "i"},
        "dependencies": {"resources": [{"ref": "db", "envBindings": {"host": "DB"}}]},
    })
}

fn calls() -> [ConnectionTarget; 3] {
    [
        call("shop", "prices", "http"),
        call("depot", "stock", "rpc"),
        call("depot", "stock", "admin"),
    ]
}

fn pods(project: &str, component: &str) -> Value {
    json!({
        "openchoreo.dev/namespace": "acme",
        "openchoreo.dev/project": project,
        "openchoreo.dev/environment": "test",
        "openchoreo.dev/component": component,
    })
}

#[test]
fn only_what_is_asked_for_goes_out() {
    let found = made(&workload(), &calls(), Egress::Closed, None);
    let [ingress, egress] = found.as_slice() else {
        panic!("{found:?}")
    };
    assert_eq!(ingress["metadata"]["name"], "openchoreo-web");
    assert_eq!(ingress["spec"]["policyTypes"], json!(["Ingress"]));
    let depot = json!({
        "openchoreo.dev/namespace": "acme",
        "openchoreo.dev/project": "depot",
        "openchoreo.dev/environment": "test",
    });
    assert_eq!(
        *egress,
        json!({
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {"name": "egress-openchoreo-web", "namespace": "cell"},
            "spec": {
                "podSelector": {"matchLabels": pods("shop", "web")},
                "policyTypes": ["Egress"],
                "egress": [
                    {
                        "to": [{
                            "namespaceSelector": {
                                "matchLabels": {"kubernetes.io/metadata.name": "kube-system"},
                            },
                            "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}},
                        }],
                        "ports": [
                            {"port": 53, "protocol": "UDP"},
                            {"port": 53, "protocol": "TCP"},
                        ],
                    },
                    {"to": [{
                        "namespaceSelector": {"matchLabels": depot},
                        "podSelector": {"matchLabels": pods("depot", "stock")},
                    }]},
                    {"to": [{"podSelector": {"matchLabels": pods("shop", "prices")}}]},
                    {"to": [{"podSelector": {"matchExpressions": [
                        {"key": "openchoreo.dev/component", "operator": "DoesNotExist"},
                    ]}}]},
                ],
            },
        })
    );
}

#[test]
fn cilium_says_the_same_in_its_words() {
    let found = made(&workload(), &calls(), Egress::Closed, Some("cilium"));
    let [ingress, egress] = found.as_slice() else {
        panic!("{found:?}")
    };
    assert_eq!(ingress["kind"], "CiliumNetworkPolicy");
    assert!(ingress["spec"].get("egress").is_none());
    assert_eq!(egress["metadata"]["name"], "egress-openchoreo-web");
    assert_eq!(
        egress["spec"],
        json!({
            "endpointSelector": {"matchLabels": pods("shop", "web")},
            "egress": [
                {
                    "toEndpoints": [{"matchLabels": {
                        "k8s:io.kubernetes.pod.namespace": "kube-system",
                        "k8s:k8s-app": "kube-dns",
                    }}],
                    "toPorts": [{
                        "ports": [{"port": "53", "protocol": "ANY"}],
                        "rules": {"dns": [{"matchPattern": "*"}]},
                    }],
                },
                {"toEndpoints": [{
                    "matchLabels": pods("depot", "stock"),
                    "matchExpressions": [
                        {"key": "k8s:io.kubernetes.pod.namespace", "operator": "Exists"},
                    ],
                }]},
                {"toEndpoints": [{"matchLabels": pods("shop", "prices")}]},
                {"toEndpoints": [{"matchExpressions": [
                    {"key": "openchoreo.dev/component", "operator": "DoesNotExist"},
                ]}]},
            ],
        })
    );
}

#[test]
fn a_way_out_that_is_open_leads_to_the_internet_and_the_own_cell_besides() {
    for (provider, added) in [(None, 1), (Some("cilium"), 2)] {
        let egress = |egress| {
            let found = made(&workload(), &calls(), egress, provider);
            let rules = Value::from(&found[1])["spec"]["egress"].clone();
            rules.as_array().cloned().expect("a list")
        };
        let (closed, open) = (egress(Egress::Closed), egress(Egress::Open));
        let (same, more) = open.split_at(closed.len());
        assert_eq!((same, more.len()), (closed.as_slice(), added));
    }
    let found = made(&workload(), &calls(), Egress::Open, None);
    let to = &Value::from(&found[1])["spec"]["egress"][4]["to"];
    assert_eq!(to[0], json!({"podSelector": {}}));
    assert_eq!(to[1]["ipBlock"]["cidr"], "0.0.0.0/0");
    let except = to[1]["ipBlock"]["except"].as_array().expect("a list");
    for private in ["10.0.0.0/8", "169.254.0.0/16", "192.168.0.0/16"] {
        assert!(except.iter().any(|one| one == private), "{private}");
    }
    assert_eq!(to[2]["ipBlock"]["cidr"], "::/0");
}

#[test]
fn who_asks_for_nothing_reaches_name_servers_only() {
    let bare = json!({"container": {"image": "i"}});
    let found = made(&bare, &[], Egress::Closed, None);
    assert_eq!(
        found[1]["spec"]["egress"]
            .as_array()
            .map(|rules| rules.len()),
        Some(1)
    );
}

#[test]
fn the_gateway_of_external_connections_may_be_called_on_its_ports() {
    let (labels, workload) = (
        labels(),
        serde_json::from_value(workload()).expect("a workload"),
    );
    let rules = |provider, egress| {
        let subject = Subject {
            proxies: Some(Proxies {
                labels: [
                    ("gateway", "egress-web".to_owned()),
                    ("of", "cell".to_owned()),
                ],
                ports: vec![80, 443],
            }),
            ..subject(&labels, &workload, &[], egress, provider)
        };
        let made = policies(&subject);
        Value::from(&made[1])["spec"]["egress"].clone()
    };
    let selected = json!({"gateway": "egress-web", "of": "cell"});
    for egress in [Egress::Closed, Egress::Approved] {
        let found = rules(None, egress);
        assert_eq!(found.as_array().map(Vec::len), Some(3), "{found}");
        assert_eq!(
            found[2],
            json!({
                "to": [{"namespaceSelector": {}, "podSelector": {"matchLabels": selected}}],
                "ports": [{"port": 80, "protocol": "TCP"}, {"port": 443, "protocol": "TCP"}],
            })
        );
    }
    assert_eq!(
        rules(Some("cilium"), Egress::Closed)[2],
        json!({
            "toEndpoints": [{
                "matchLabels": selected,
                "matchExpressions": [{"key": POD_NAMESPACE, "operator": "Exists"}],
            }],
            "toPorts": [{"ports": [
                {"port": "80", "protocol": "TCP"}, {"port": "443", "protocol": "TCP"},
            ]}],
        })
    );
}
