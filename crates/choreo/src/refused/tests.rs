use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::*;

fn objects<T: DeserializeOwned>(items: Value) -> Vec<T> {
    serde_json::from_value(items).expect("objects")
}

fn workload(project: &str, component: &str, spec: &Value) -> Value {
    let mut workload = json!({
        "metadata": {"name": component, "namespace": "default"},
        "spec": {
            "owner": {"projectName": project, "componentName": component},
            "container": {"image": "i"},
        },
    });
    for (key, value) in spec.as_object().expect("fields") {
        workload["spec"][key] = value.clone();
    }
    workload
}

fn workloads() -> Vec<Workload> {
    let external = json!([
        {"name": "cards", "host": "*.cards.example", "port": 443, "protocol": "HTTPS"},
        {"name": "plain", "host": "plain.example", "port": 8080, "protocol": "HTTP"},
    ]);
    objects(json!([
        workload(
            "shop",
            "web",
            &json!({"dependencies": {"external": external}})
        ),
        workload(
            "shop",
            "prices",
            &json!({
                "endpoints": {"http": {"type": "HTTP", "port": 80, "targetPort": 8080}},
            })
        ),
        workload(
            "depot",
            "stock",
            &json!({"endpoints": {
                "admin": {"type": "HTTP", "port": 9000},
                "rpc": {"type": "gRPC", "port": 50051, "visibility": ["namespace"]},
            }})
        ),
    ]))
}

/// Cell, name, project, environment, and the component or resource, of a pod.
type Row = (
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    (&'static str, &'static str),
);

const PODS: [Row; 8] = {
    const C: &str = labels::COMPONENT;
    const R: &str = labels::RESOURCE;
    [
        ("dp-shop", "web-1", "shop", "development", (C, "web")),
        ("dp-shop", "web-2", "shop", "development", (C, "web")),
        ("dp-shop", "prices-1", "shop", "development", (C, "prices")),
        ("dp-shop", "db-1", "shop", "development", (R, "db")),
        ("dp-depot", "stock-1", "depot", "development", (C, "stock")),
        ("dp-depot", "store-1", "depot", "development", (R, "store")),
        ("dp-depot-live", "stock-9", "depot", "live", (C, "stock")),
        ("dp-shop-live", "web-9", "shop", "live", (C, "web")),
    ]
};

fn pods() -> Vec<Pod> {
    let pods = PODS.iter();
    let pods = pods.map(|(cell, name, project, environment, (key, what))| {
        let labels = json!({
            labels::PROJECT: project, labels::ENVIRONMENT: environment, *key: what,
        });
        json!({"metadata": {"name": name, "namespace": cell, "uid": name, "labels": labels}})
    });
    objects(pods.collect())
}

fn environments() -> Vec<Environment> {
    objects(json!([
        {"metadata": {"name": "development"}, "spec": {}},
        {"metadata": {"name": "live"}, "spec": {"egress": "approved"}},
    ]))
}

fn event(pod: &str, details: &[(&str, &str)]) -> Event {
    let reason = if details[0].0 == "name" {
        "NameDenied"
    } else {
        "FlowDenied"
    };
    let annotations = details.iter();
    let annotations: BTreeMap<String, &str> = annotations
        .map(|(key, value)| (format!("{PREFIX}{key}"), *value))
        .collect();
    let event = json!({
        "metadata": {"name": "e", "annotations": annotations},
        "involvedObject": {"kind": "Pod", "name": pod, "uid": pod},
        "reason": reason, "count": 3,
        "firstTimestamp": "2026-11-22T08:00:00Z", "lastTimestamp": "2026-11-22T09:00:00Z",
    });
    serde_json::from_value(event).expect("an event")
}

fn found(events: &[Event]) -> ByBinding {
    let (pods, workloads, environments) = (pods(), workloads(), environments());
    let gateways = ways_out(&objects(json!([
        {"metadata": {"name": "out"}, "spec": {"gatewayClassName": "openchoreo-egress"},
         "status": {"addresses": [{"type": "IPAddress", "value": "10.112.0.1"}]}},
        {"metadata": {"name": "in"}, "spec": {"gatewayClassName": "choreo"},
         "status": {"addresses": [{"value": "10.20.0.9"}]}},
        {"metadata": {"name": "soon"}, "spec": {"gatewayClassName": "openchoreo-egress"}},
    ])));
    let world = World {
        pods: &pods,
        gateways: &gateways,
        workloads: &workloads,
        environments: &environments,
    };
    sorted(events, &world)
}

#[track_caller]
fn check(pod: &str, details: &[(&str, &str)], to: &str, advice: &str, declaration: &Value) {
    let found = found(&[event(pod, details)]);
    let all: Vec<&Refused> = found.values().flatten().collect();
    let [refused] = all.as_slice() else {
        panic!("{found:?}")
    };
    assert_eq!(refused.to, to);
    assert_eq!(refused.suggestion.advice, advice);
    let declared = refused.suggestion.declaration.clone();
    assert_eq!(declared.unwrap_or_default(), *declaration);
}

fn flow<'a>(peer: &'a str, port: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("direction", "egress"),
        ("peer-address", peer),
        ("protocol", "TCP"),
        ("port", port),
    ]
}

fn to_pod<'a>(namespace: &'a str, pod: &'a str, port: &'a str) -> Vec<(&'a str, &'a str)> {
    let mut details = flow("10.128.0.9", port);
    details.extend([("peer-namespace", namespace), ("peer-pod", pod)]);
    details
}

fn external(name: &str, host: &str, port: u16, protocol: &str) -> Value {
    let connection = json!({"name": name, "host": host, "port": port, "protocol": protocol});
    json!({"spec": {"dependencies": {"external": [connection]}}})
}

#[test]
fn hosts_outside_are_declared_by_the_workload() {
    check(
        "web-1",
        &[("name", "api.rates.example.")],
        "name api.rates.example.",
        "to call api.rates.example, add this to Workload web",
        &external("api-rates-example", "api.rates.example", 443, "HTTPS"),
    );
    check(
        "web-1",
        &flow("203.0.113.9", "5432"),
        "203.0.113.9 on TCP port 5432",
        "to call 203.0.113.9, add this to Workload web",
        &external("203-0-113-9", "203.0.113.9", 5432, "TCP"),
    );
    let host = |host, port| {
        vec![
            ("direction", "egress"),
            ("host", host),
            ("protocol", "TCP"),
            ("port", port),
        ]
    };
    for (port, number, protocol) in [
        ("443", 443, "HTTPS"),
        ("80", 80, "HTTP"),
        ("8080", 8080, "HTTP"),
        ("9443", 9443, "HTTPS"),
    ] {
        check(
            "web-1",
            &host("evil.example", port),
            &format!("evil.example on TCP port {port}"),
            "to call evil.example, add this to Workload web",
            &external("evil-example", "evil.example", number, protocol),
        );
    }
    check(
        "web-1",
        &host("pay.cards.example", "443"),
        "pay.cards.example on TCP port 443",
        "the workload of web declares it already: `choreo status web` tells whether that is deployed",
        &Value::Null,
    );
    check(
        "web-1",
        &host("", "443"),
        "unnamed host on TCP port 443",
        "the request does not say which host it is for: speak TLS with a server name (SNI), or HTTP with a Host",
        &Value::Null,
    );
}

#[test]
fn where_approval_is_needed_it_is_said() {
    check(
        "web-9",
        &[("name", "rates.example")],
        "name rates.example",
        "to call rates.example, add this to Workload web; environment live also wants an \
         ExternalConnection of the platform team for project shop that covers it",
        &external("rates-example", "rates.example", 443, "HTTPS"),
    );
}

#[test]
fn private_networks_are_for_the_platform_team_and_the_machine_for_nobody() {
    let connection =
        json!({"name": "10-20-0-9", "host": "10.20.0.9", "port": 1414, "protocol": "TCP"});
    check(
        "web-1",
        &flow("10.20.0.9", "1414"),
        "10.20.0.9 on TCP port 1414",
        "10.20.0.9 is of a private network: only the platform team can open it, with this",
        &json!({
            "apiVersion": "openchoreo.dev/v1alpha1",
            "kind": "ExternalConnection",
            "metadata": {"name": "10-20-0-9"},
            "spec": {"projects": ["shop"], "environments": ["development"], "connection": connection},
        }),
    );
    check(
        "web-1",
        &flow("169.254.169.254", "80"),
        "169.254.169.254 on TCP port 80",
        "169.254.169.254 is an address of the machine, its link or no host at all, which is never reached",
        &Value::Null,
    );
}

#[test]
fn datagrams_are_for_the_platform_team() {
    for (address, said) in [
        (
            "203.0.113.9",
            "what is declared leaves the cells by TCP only: UDP does where the platform team sets `egress: open`, of \
             Environment development or of the type of the project",
        ),
        (
            "10.20.0.9",
            "only TCP leaves the cells: nothing can be declared for this",
        ),
    ] {
        check(
            "web-1",
            &[
                ("direction", "egress"),
                ("peer-address", address),
                ("protocol", "UDP"),
                ("port", "53"),
            ],
            &format!("{address} on UDP port 53"),
            said,
            &Value::Null,
        );
    }
}

#[test]
fn a_port_that_the_way_out_does_not_have_is_told() {
    check(
        "web-1",
        &flow("10.112.0.1", "8443"),
        "the way out on TCP port 8443",
        "no host is declared with port 8443: of those that the workload of web declares, only the ports that it \
         names are reached",
        &Value::Null,
    );
}

fn dependency(mut fields: Value) -> Value {
    let component = fields["component"].as_str().unwrap_or_default();
    fields["envBindings"] = json!({"address": format!("{}_URL", component.to_uppercase())});
    json!({"spec": {"dependencies": {"endpoints": [fields]}}})
}

#[test]
fn components_are_called_by_their_endpoints() {
    check(
        "web-1",
        &to_pod("dp-shop", "prices-1", "8080"),
        "shop/prices on TCP port 8080",
        "to call endpoint http of shop/prices, add this to Workload web",
        &dependency(json!({"component": "prices", "name": "http", "visibility": "project"})),
    );
    let stock = |name: &str| {
        dependency(json!({
            "component": "stock", "name": name, "visibility": "namespace", "project": "depot",
        }))
    };
    check(
        "web-1",
        &to_pod("dp-depot", "stock-1", "50051"),
        "depot/stock on TCP port 50051",
        "to call endpoint rpc of depot/stock, add this to Workload web",
        &stock("rpc"),
    );
    check(
        "web-1",
        &to_pod("dp-depot", "stock-1", "9000"),
        "depot/stock on TCP port 9000",
        "to call endpoint admin of depot/stock, add this to Workload web; and have the endpoint offered to \
         other projects: visibility namespace in Workload stock",
        &stock("admin"),
    );
    check(
        "web-1",
        &to_pod("dp-shop", "prices-1", "22"),
        "shop/prices on TCP port 22",
        "shop/prices has no endpoint on port 22; if it is to be called there, add this to Workload prices, \
         and then a dependency",
        &json!({"spec": {"endpoints": {"port-22": {"type": "TCP", "port": 22}}}}),
    );
    check(
        "web-1",
        &to_pod("dp-depot-live", "stock-9", "50051"),
        "depot/stock on TCP port 50051",
        "depot/stock is in environment live: components call those of their own environment only",
        &Value::Null,
    );
    check(
        "web-1",
        &[("name", "prices.dp-shop.svc.cluster.local.")],
        "name prices.dp-shop.svc.cluster.local.",
        "to call endpoint http of shop/prices, add this to Workload web",
        &dependency(json!({"component": "prices", "name": "http", "visibility": "project"})),
    );
    check(
        "web-1",
        &[("name", "nobody.dp-shop.svc.cluster.local")],
        "name nobody.dp-shop.svc.cluster.local",
        "no component of a cell that runs here is called \"nobody\": is the name right?",
        &Value::Null,
    );
}

#[test]
fn resources_are_used_by_their_project() {
    check(
        "web-1",
        &to_pod("dp-shop", "db-1", "5432"),
        "shop/db on TCP port 5432",
        "to use the managed resource db, add this to Workload web",
        &json!({"spec": {"dependencies": {"resources": [{"ref": "db"}]}}}),
    );
    check(
        "web-1",
        &to_pod("dp-depot", "store-1", "5432"),
        "depot/store on TCP port 5432",
        "resource store belongs to project depot: only components of that use it",
        &Value::Null,
    );
}

#[test]
fn pods_of_one_component_are_told_together_and_what_is_gone_is_not() {
    let name = [("name", "rates.example")];
    let ingress = [("direction", "ingress"), ("peer-address", "10.128.0.9")];
    let found = found(&[
        event("web-1", &name),
        event("web-2", &name),
        event("web-9", &name),
        event("web-0", &name),
        event("prices-1", &ingress),
    ]);
    let counted: Vec<_> = found
        .iter()
        .map(|((project, line, environment), all)| {
            let times: Vec<i64> = all.iter().map(|one| one.times).collect();
            (format!("{project}/{line}/{environment}"), times)
        })
        .collect();
    assert_eq!(
        counted,
        [
            ("shop/web/development".to_owned(), vec![6]),
            ("shop/web/live".to_owned(), vec![3]),
        ]
    );
}

/// What is suggested is taken: the checks of the kind have nothing to say about it.
#[test]
fn what_is_suggested_can_be_applied() {
    for details in [
        vec![("name", "api.rates.example")],
        flow("203.0.113.9", "5432"),
        flow("2001:db8::9", "5432"),
        to_pod("dp-depot", "stock-1", "50051"),
        to_pod("dp-shop", "db-1", "5432"),
        to_pod("dp-shop", "prices-1", "22"),
        flow("10.20.0.9", "1414"),
    ] {
        let found = found(&[event("web-1", &details)]);
        let refused = &found.values().next().expect("a binding")[0];
        let declaration = refused.suggestion.declaration.clone().expect("something");
        let object = if declaration.get("kind").is_some() {
            declaration
        } else {
            workload("shop", "web", &declaration["spec"])
        };
        let kind = object["kind"].as_str().unwrap_or("Workload").to_owned();
        let kind = choreo_model::find(&kind).expect("a kind");
        let violations = (kind.check)(&object, None);
        assert!(violations.is_empty(), "{violations:?}");
    }
}
