//! The whole network as a function of what was observed.

use std::{collections::BTreeMap, sync::LazyLock, time::Duration};

use k8s_openapi::api::core::v1::{Pod, Service, ServicePort, ServiceSpec};

use super::{
    Labels,
    address::{self, CELL_PREFIX, Ledger, Range},
    egress::{self, Gateway, Served},
    names,
    policy::{self, Direction, Everyone, Host},
    slice,
};
use crate::{
    index::Index,
    machine::{Cell, Exception, NetworkPlan, PROGRAMS, PodRules, ServiceRule},
};

/// Where name servers are in a cluster, and what they are labelled with there: policies that let pods
/// ask for names say so.
const NAME_SERVERS: &str = "kube-system";
static NAME_SERVER: LazyLock<Labels> = LazyLock::new(|| {
    Some(BTreeMap::from([(
        "k8s-app".to_owned(),
        "kube-dns".to_owned(),
    )]))
});

/// How long Kubernetes leads a client to the same pod, where a service does not say.
const DEFAULT_AFFINITY: Duration = Duration::from_hours(3);

/// How policies speak of the platform's own programs, the proxies of gateways: as the pods that these
/// are in a cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proxies {
    /// The namespace they would be in.
    pub namespace: String,
    /// What they would be labelled with.
    pub labels: BTreeMap<String, String>,
}

/// The network that the observed objects ask for, with the Gateways that lead out of it.
pub fn plan(
    index: &Index,
    ledger: &Ledger,
    proxies: &Proxies,
    gateways: &[Gateway],
) -> NetworkPlan {
    let labels = Some(proxies.labels.clone());
    let proxy = Host {
        namespace: &proxies.namespace,
        labels: &labels,
        address: PROGRAMS,
        pod: None,
    };
    let cells: Vec<(&String, Range)> = ledger.cells(index).collect();
    let served = egress::served(gateways, &cells, &proxies.namespace);
    let hosts = || hosts(index, ledger);
    let leading_out = served.iter().map(Served::host);
    let everyone: Everyone<'_> = hosts().chain([proxy]).chain(leading_out).collect();
    let mut pods: BTreeMap<_, _> = hosts()
        .map(|host| (host.address, rules_of(index, &host)))
        .collect();
    pods.insert(PROGRAMS, closed(&proxies.namespace));
    pods.extend(served.iter().map(|one| (one.address(), one.rules())));
    let mut policies = policies(index, &everyone, &cells);
    policies.extend(served.iter().map(Served::clients));
    let cells = cells.iter().map(|(namespace, range)| {
        let own = (namespace.as_str(), everyone.within(namespace));
        ((*namespace).clone(), cell(index, *range, own, &served))
    });
    NetworkPlan {
        cells: cells.collect(),
        services: index
            .services
            .iter()
            .flat_map(|service| rules(index, service))
            .collect(),
        pods,
        policies,
        gateways: served.iter().map(Served::address).collect(),
    }
}

/// What policies of all cells let through.
fn policies(
    index: &Index,
    everyone: &Everyone<'_>,
    cells: &[(&String, Range)],
) -> BTreeMap<String, Vec<Exception>> {
    let policies = cells.iter().flat_map(|(namespace, range)| {
        let server = Host {
            namespace: NAME_SERVERS,
            labels: &NAME_SERVER,
            address: range.gateway(),
            pod: None,
        };
        policy::exceptions(index, everyone, namespace, Some(server))
    });
    policies.collect()
}

/// The cell of a namespace with its pods, and the Gateways that lead out of cells.
fn cell(index: &Index, range: Range, own: (&str, &[Host<'_>]), served: &[Served<'_>]) -> Cell {
    let mut names = names::of(index, own.0, own.1);
    let mut outside = egress::names(index, own, served);
    // Services come first.
    let known =
        |name: &String| names.addresses.contains_key(name) || names.aliases.contains_key(name);
    outside.retain(|name, _| !known(name));
    names.outside = outside;
    Cell {
        index: range.index,
        gateway: range.gateway(),
        prefix: CELL_PREFIX,
        names,
    }
}

/// The pods that have an address and have not ended.
fn hosts<'a>(index: &'a Index, ledger: &'a Ledger) -> impl Iterator<Item = Host<'a>> {
    let pods = index.pods.iter().filter(|pod| !has_ended(pod));
    pods.filter_map(|pod| {
        Some(Host {
            namespace: pod.metadata.namespace.as_deref().unwrap_or_default(),
            labels: &pod.metadata.labels,
            address: ledger.address(pod.metadata.uid.as_deref()?)?,
            pod: Some(pod),
        })
    })
}

fn rules_of(index: &Index, host: &Host<'_>) -> PodRules {
    PodRules {
        namespace: host.namespace.to_owned(),
        ingress: policy::selecting(index, host, Direction::Ingress),
        egress: policy::selecting(index, host, Direction::Egress),
    }
}

/// What calls, and is not called.
fn closed(namespace: &str) -> PodRules {
    PodRules {
        namespace: namespace.to_owned(),
        ingress: Some(Vec::new()),
        egress: None,
    }
}

fn has_ended(pod: &Pod) -> bool {
    let phase = pod
        .status
        .as_ref()
        .and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

/// The rules of a service's address.
fn rules(index: &Index, service: &Service) -> Vec<ServiceRule> {
    let (Some(address), Some(spec)) = (address::address(service), &service.spec) else {
        return Vec::new();
    };
    let namespace = service.metadata.namespace.as_deref().unwrap_or_default();
    let pods = names::serving(index, spec, namespace);
    let rule = |port: &ServicePort| {
        let protocol = policy::protocol(port.protocol.as_deref())?;
        let backends = pods
            .iter()
            .filter_map(|pod| Some((address::pod_address(pod)?, slice::target_port(port, pod)?)));
        let port = u16::try_from(port.port).ok()?;
        Some(ServiceRule {
            address,
            port,
            protocol,
            backends: backends.collect(),
            affinity: affinity(spec),
        })
    };
    spec.ports.iter().flatten().filter_map(rule).collect()
}

/// How long a service leads a client to the same pod, if it does.
fn affinity(spec: &ServiceSpec) -> Option<Duration> {
    let by_client = spec.session_affinity.as_deref() == Some("ClientIP");
    let config = spec.session_affinity_config.as_ref();
    let seconds = config
        .and_then(|config| config.client_ip.as_ref()?.timeout_seconds)
        .and_then(|seconds| u64::try_from(seconds).ok())
        .map_or(DEFAULT_AFFINITY, Duration::from_secs);
    by_client.then_some(seconds)
}

#[cfg(test)]
mod tests {
    use std::{net::Ipv4Addr, sync::Arc};

    use serde_json::{Value, json};

    use super::*;
    use crate::index::{Index, Kept};

    fn put<K: Kept>(index: &mut Index, object: Value) {
        index.apply(serde_json::from_value::<K>(object).unwrap());
    }

    /// Two cells: `shop` with a web pod and an api pod, `other` with one pod.
    fn world(policies: &[Value]) -> (Index, Ledger) {
        let mut index = Index::default();
        for (name, cell) in [("shop", "1"), ("other", "2")] {
            put::<k8s_openapi::api::core::v1::Namespace>(
                &mut index,
                json!({"metadata": {
                    "name": name, "uid": name, "labels": {"team": name},
                    "annotations": {address::CELL: cell},
                }}),
            );
        }
        for (namespace, name, ip) in [
            ("shop", "web", "10.128.1.2"),
            ("shop", "api", "10.128.1.3"),
            ("other", "x", "10.128.2.2"),
        ] {
            put::<Pod>(
                &mut index,
                json!({
                    "metadata": {"name": name, "namespace": namespace, "uid": name, "labels": {"app": name}},
                    "spec": {"hostname": name, "subdomain": "all", "containers": [
                        {"name": "main", "ports": [{"name": "http", "containerPort": 8080}]}]},
                    "status": {"phase": "Running", "podIP": ip,
                        "conditions": [{"type": "Ready", "status": "True"}]},
                }),
            );
        }
        put::<Service>(
            &mut index,
            json!({
                "metadata": {"name": "api", "namespace": "shop"},
                "spec": {"clusterIP": "10.96.0.9", "selector": {"app": "api"},
                    "ports": [{"port": 80, "targetPort": "http"}]},
            }),
        );
        put::<Service>(
            &mut index,
            json!({
                "metadata": {"name": "all", "namespace": "shop"},
                "spec": {"clusterIP": "None", "selector": {"app": "web"}},
            }),
        );
        for (nth, spec) in policies.iter().enumerate() {
            put::<k8s_openapi::api::networking::v1::NetworkPolicy>(
                &mut index,
                json!({
                    "metadata": {"name": format!("p{nth}"), "namespace": "shop"}, "spec": spec,
                }),
            );
        }
        let mut ledger = Ledger::default();
        let pods: Vec<Arc<Pod>> = index.pods.iter().cloned().collect();
        for pod in &pods {
            ledger.pod(&index, pod);
        }
        (index, ledger)
    }

    /// Who may send what to whom, as the rules of a plan say it.
    fn ways(plan: &NetworkPlan) -> Vec<String> {
        let said = |names: &Option<Vec<String>>| match names {
            None => "own cell".to_owned(),
            Some(names) => names.iter().map(|name| exceptions(plan, name)).collect(),
        };
        let pods = plan
            .pods
            .iter()
            .filter(|(address, _)| **address != PROGRAMS);
        pods.map(|(address, pod)| format!("{address}: {}", said(&pod.ingress)))
            .collect()
    }

    fn exceptions(plan: &NetworkPlan, name: &str) -> String {
        let all = plan.policies[name].iter().map(|exception| {
            let peers = exception.peers.as_ref().map_or_else(
                || "any".to_owned(),
                |peers| format!("{:?}{:?}", peers.pods, peers.blocks),
            );
            let ports = exception.ports.as_ref().map_or_else(
                || "any".to_owned(),
                |ports| format!("{:?}{:?}", ports.ranges, ports.named),
            );
            format!("{peers} on {ports};")
        });
        all.collect()
    }

    #[test]
    fn without_policies_a_cell_is_open_inside_and_closed_outside() {
        let (index, ledger) = world(&[]);
        let plan = plan(&index, &ledger, &Proxies::default(), &[]);
        let expected = [
            "10.128.1.2: own cell",
            "10.128.1.3: own cell",
            "10.128.2.2: own cell",
        ];
        assert_eq!(ways(&plan), expected);
        assert_eq!(
            plan.services[0].backends,
            [(Ipv4Addr::new(10, 128, 1, 3), 8080)]
        );
        let names: Vec<_> = plan.cells["shop"].names.addresses.keys().cloned().collect();
        let expected = [
            "all.shop.svc.cluster.local",
            "api.shop.svc.cluster.local",
            "web.all.shop.svc.cluster.local",
        ];
        assert_eq!(names, expected);
        assert!(plan.cells["other"].names.addresses.is_empty());
    }

    #[test]
    fn a_policy_closes_a_pod_but_for_what_it_names() {
        let (index, ledger) = world(&[json!({
            "podSelector": {"matchLabels": {"app": "api"}},
            "ingress": [{
                "from": [{"namespaceSelector": {"matchLabels": {"team": "other"}}}],
                "ports": [{"port": "http"}],
            }],
        })]);
        let plan = plan(&index, &ledger, &Proxies::default(), &[]);
        let expected = [
            "10.128.1.2: own cell",
            "10.128.1.3: {10.128.2.2}[] on []{(10.128.1.3, Tcp, 8080)};",
            "10.128.2.2: own cell",
        ];
        assert_eq!(ways(&plan), expected);
        let names: Vec<_> = plan.cells["other"]
            .names
            .addresses
            .keys()
            .cloned()
            .collect();
        assert_eq!(names, ["api.shop.svc.cluster.local"]);
    }

    #[test]
    fn a_policy_without_rules_closes_and_an_empty_peer_list_opens() {
        let check = |spec: Value, expected: &str| {
            let (index, ledger) = world(&[spec]);
            let found = ways(&plan(&index, &ledger, &Proxies::default(), &[]));
            assert_eq!(found[..2].join(" "), expected);
        };
        let none = json!({"podSelector": {}, "policyTypes": ["Ingress"]});
        check(none, "10.128.1.2:  10.128.1.3: ");
        let any = json!({"podSelector": {}, "ingress": [{}]});
        check(any, "10.128.1.2: any on any; 10.128.1.3: any on any;");
    }

    #[test]
    fn peers_of_the_same_namespace_are_selected_by_labels() {
        let (index, ledger) = world(&[json!({
            "podSelector": {"matchLabels": {"app": "web"}},
            "ingress": [{"from": [{"podSelector": {"matchLabels": {"app": "api"}}}],
                "ports": [{"port": 8080, "endPort": 8081}, {"protocol": "SCTP"}]}],
        })]);
        let expected = [
            "10.128.1.2: {10.128.1.3}[] on [(Tcp, 8080, 8081), (Sctp, 0, 65535)]{};",
            "10.128.1.3: own cell",
            "10.128.2.2: own cell",
        ];
        let plan = plan(&index, &ledger, &Proxies::default(), &[]);
        assert_eq!(ways(&plan), expected);
    }

    #[test]
    fn what_goes_out_names_peers_name_servers_and_proxies() {
        let servers = json!({
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}},
            "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}},
        });
        let (index, ledger) = world(&[json!({
            "podSelector": {"matchLabels": {"app": "web"}}, "policyTypes": ["Ingress", "Egress"],
            "ingress": [{"from": [{"namespaceSelector": {},
                "podSelector": {"matchLabels": {"proxy": "yes"}}}]}],
            "egress": [
                {"to": [servers], "ports": [{"port": 53, "protocol": "UDP"}]},
                {"to": [{"podSelector": {"matchLabels": {"app": "api"}}}], "ports": [{"port": "http"}]},
            ],
        })]);
        let proxies = Proxies {
            namespace: "gateways".into(),
            labels: [("proxy".to_owned(), "yes".to_owned())].into(),
        };
        let plan = plan(&index, &ledger, &proxies, &[]);
        assert_eq!(ways(&plan)[0], "10.128.1.2: {10.128.0.2}[] on any;");
        assert_eq!(plan.pods[&Ipv4Addr::new(10, 128, 1, 3)].egress, None);
        assert_eq!(
            exceptions(&plan, "shop/p0/egress"),
            "{10.128.1.1}[] on [(Udp, 53, 53)]{};{10.128.1.3}[] on []{(10.128.1.3, Tcp, 8080)};"
        );
        assert_eq!(plan.pods[&PROGRAMS].ingress, Some(Vec::new()));
    }

    #[test]
    fn gateways_that_lead_out_are_for_those_of_their_cell_that_policies_let_out_to_them() {
        let of = |name: &str| {
            json!({"podSelector": {"matchLabels": {"app": name}}, "policyTypes": ["Egress"], "egress": [{
                "to": [{"namespaceSelector": {}, "podSelector": {"matchLabels": {
                    "gateway.envoyproxy.io/owning-gateway-name": format!("egress-{name}"),
                    "gateway.envoyproxy.io/owning-gateway-namespace": "shop"}}}],
                "ports": [{"port": 443}]}]})
        };
        let (index, ledger) = world(&[of("web"), of("api")]);
        let gateway = |namespace: &str, name: &str, last: u8| Gateway {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            address: Ipv4Addr::new(10, 112, 0, last),
            ports: [443].into(),
            hosts: ["api.example.com".to_owned()].into(),
        };
        let gateways = [
            gateway("shop", "egress-web", 1),
            gateway("other", "egress-x", 2),
            gateway("nobody", "egress-y", 3),
        ];
        let plan = plan(&index, &ledger, &Proxies::default(), &gateways);
        assert_eq!(plan.gateways.len(), 2, "a cell without pods has no clients");
        let web = &plan.pods[&gateways[0].address];
        assert_eq!(web.egress, Some(Vec::new()), "it calls nobody");
        let [clients] = web.ingress.as_deref().unwrap() else {
            panic!("one policy");
        };
        let own = "{}[(10.128.1.0, 10.128.1.255)] on [(Tcp, 443, 443)]{};";
        assert_eq!(exceptions(&plan, clients), own);
        let out = "{10.112.0.1}[] on [(Tcp, 443, 443)]{};";
        assert_eq!(exceptions(&plan, "shop/p0/egress"), out);
        let nobody = "{}[] on [(Tcp, 443, 443)]{};";
        assert_eq!(exceptions(&plan, "shop/p1/egress"), nobody);
        let names = |cell: &str, name: &str| {
            let outside = &plan.cells[cell].names.outside;
            outside[name][0]
                .clients
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
        };
        assert_eq!(names("shop", "api.example.com"), ["10.128.1.2"]);
        assert_eq!(
            names("shop", "egress-web.shop.svc.cluster.local"),
            ["10.128.1.2"]
        );
        assert_eq!(names("other", "api.example.com"), ["10.128.2.2"]);
        assert_eq!(plan.cells["shop"].names.outside.len(), 2);
    }
}
