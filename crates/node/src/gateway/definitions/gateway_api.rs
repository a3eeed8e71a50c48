//! Kinds of the Gateway API.

use serde_json::{Value, json};

use super::schema::{
    Definition, age, choice, column, hostname, list, open, port, required, string,
};
use crate::gateway::GROUP;

pub(super) fn definitions() -> Vec<Value> {
    vec![
        gateway_class(),
        gateway(),
        listener_set(),
        route("HTTPRoute", "httproute", &["v1", "v1beta1"]),
        route("GRPCRoute", "grpcroute", &["v1"]),
        route("TLSRoute", "tlsroute", &["v1", "v1alpha3", "v1alpha2"]),
        route("TCPRoute", "tcproute", &["v1", "v1alpha2"]),
        route("UDPRoute", "udproute", &["v1", "v1alpha2"]),
        backend_tls_policy(),
        reference_grant(),
    ]
}

fn gateway_class() -> Value {
    Definition {
        group: GROUP,
        versions: &["v1", "v1beta1"],
        kind: "GatewayClass",
        singular: "gatewayclass",
        plural: "gatewayclasses".into(),
        short: &["gc"],
        scope: "Cluster",
        columns: json!([
            column("Controller", "string", ".spec.controllerName"),
            column(
                "Accepted",
                "string",
                ".status.conditions[?(@.type==\"Accepted\")].status"
            ),
            age(),
        ]),
        spec: required(
            open(json!({"controllerName": string()})),
            &["controllerName"],
        ),
    }
    .render()
}

/// Listeners as a Gateway and a set have them.
fn listeners() -> Value {
    let namespaces = open(json!({"from": choice(&["All", "Selector", "Same"])}));
    let listener = open(json!({
        "name": string(),
        "hostname": hostname(),
        "port": port(),
        "protocol": string(),
        "allowedRoutes": open(json!({"namespaces": namespaces})),
    }));
    let mut listeners = list(required(listener, &["name", "port", "protocol"]));
    listeners["x-kubernetes-list-type"] = json!("map");
    listeners["x-kubernetes-list-map-keys"] = json!(["name"]);
    listeners["minItems"] = json!(1);
    listeners["maxItems"] = json!(64);
    listeners
}

fn listener_set() -> Value {
    let parent = open(json!({
        "group": string(), "kind": string(), "namespace": string(), "name": string(),
    }));
    let state = |kind: &str| {
        let path = format!(".status.conditions[?(@.type==\"{kind}\")].status");
        column(kind, "string", &path)
    };
    Definition {
        group: GROUP,
        versions: &["v1"],
        kind: "ListenerSet",
        singular: "listenerset",
        plural: "listenersets".into(),
        short: &["lset"],
        scope: "Namespaced",
        columns: json!([state("Accepted"), state("Programmed"), age()]),
        spec: required(
            open(json!({"parentRef": required(parent, &["name"]), "listeners": listeners()})),
            &["parentRef", "listeners"],
        ),
    }
    .render()
}

fn gateway() -> Value {
    let namespaces = open(json!({"from": choice(&["All", "Selector", "Same", "None"])}));
    let allowed = open(json!({"namespaces": namespaces}));
    Definition {
        group: GROUP,
        versions: &["v1", "v1beta1"],
        kind: "Gateway",
        singular: "gateway",
        plural: "gateways".into(),
        short: &["gtw"],
        scope: "Namespaced",
        columns: json!([
            column("Class", "string", ".spec.gatewayClassName"),
            column("Address", "string", ".status.addresses[*].value"),
            column(
                "Programmed",
                "string",
                ".status.conditions[?(@.type==\"Programmed\")].status"
            ),
            age(),
        ]),
        spec: required(
            open(json!({
                "gatewayClassName": string(),
                "listeners": listeners(),
                "allowedListeners": allowed,
            })),
            &["gatewayClassName", "listeners"],
        ),
    }
    .render()
}

fn route(kind: &'static str, singular: &'static str, versions: &'static [&'static str]) -> Value {
    let parent = open(json!({
        "group": string(),
        "kind": string(),
        "namespace": string(),
        "name": string(),
        "sectionName": string(),
        "port": port(),
    }));
    let backend = open(json!({
        "group": string(),
        "kind": string(),
        "namespace": string(),
        "name": string(),
        "port": port(),
        "weight": {"type": "integer", "format": "int32", "minimum": 0, "maximum": 1_000_000},
    }));
    let filter = required(open(json!({"type": string()})), &["type"]);
    let rule = open(json!({
        "name": string(),
        "matches": list(open(json!({}))),
        "filters": list(filter),
        "backendRefs": list(required(backend, &["name"])),
    }));
    Definition {
        group: GROUP,
        versions,
        kind,
        singular,
        plural: format!("{singular}s"),
        short: &[],
        scope: "Namespaced",
        columns: json!([column("Hostnames", "string", ".spec.hostnames"), age()]),
        spec: open(json!({
            "parentRefs": list(required(parent, &["name"])),
            "hostnames": list(hostname()),
            "rules": list(rule),
        })),
    }
    .render()
}

fn reference_grant() -> Value {
    let from = open(json!({"group": string(), "kind": string(), "namespace": string()}));
    let to = open(json!({"group": string(), "kind": string(), "name": string()}));
    Definition {
        group: GROUP,
        versions: &["v1", "v1beta1"],
        kind: "ReferenceGrant",
        singular: "referencegrant",
        plural: "referencegrants".into(),
        short: &["refgrant"],
        scope: "Namespaced",
        columns: json!([age()]),
        spec: required(
            open(json!({
                "from": list(required(from, &["group", "kind", "namespace"])),
                "to": list(required(to, &["group", "kind"])),
            })),
            &["from", "to"],
        ),
    }
    .render()
}

fn backend_tls_policy() -> Value {
    let target = open(json!({
        "group": string(), "kind": string(), "name": string(), "sectionName": string(),
    }));
    let validation = open(json!({
        "caCertificateRefs": list(open(json!({"group": string(), "kind": string(), "name": string()}))),
        "hostname": string(),
        "wellKnownCACertificates": string(),
    }));
    Definition {
        group: GROUP,
        versions: &["v1", "v1alpha3"],
        kind: "BackendTLSPolicy",
        singular: "backendtlspolicy",
        plural: "backendtlspolicies".into(),
        short: &["btlspolicy"],
        scope: "Namespaced",
        columns: json!([age()]),
        spec: required(
            open(json!({
                "targetRefs": list(required(target, &["group", "kind", "name"])),
                "validation": required(validation, &["hostname"]),
            })),
            &["targetRefs", "validation"],
        ),
    }
    .render()
}
