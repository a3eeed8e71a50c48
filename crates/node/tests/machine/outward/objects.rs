//! What is declared: Gateways that lead out of two cells, as the platform's compiler writes them, and pods with
//! policies of their own.

use std::{collections::BTreeSet, net::Ipv4Addr};

use choreo_node::{index::Index, service::egress::Gateway};
use k8s_openapi::api::{
    core::v1::{Namespace, Pod},
    networking::v1::NetworkPolicy,
};
use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams},
};
use serde_json::{Value, json};

use crate::matrix::{
    Cells,
    declared::{put, running},
};

const OBJECTS: &str = include_str!("objects.yaml");
/// Pods, their cells, and the Gateway that policies let each out to: none is selected without a word.
const PODS: [(&str, &str, Option<&str>); 5] = [
    ("web", "out-a", Some("egress-web")),
    ("cart", "out-a", Some("egress-cart")),
    ("closed", "out-a", Some("none")),
    ("free", "out-a", None),
    ("spy", "out-b", None),
];

/// Applies what gateways read.
pub(super) async fn apply(client: &Client) {
    let objects: Vec<Value> = serde_saphyr::from_multiple(OBJECTS).unwrap();
    for object in objects {
        let text = |field: &Value| field.as_str().unwrap_or_default().to_owned();
        let (version, kind) = (text(&object["apiVersion"]), text(&object["kind"]));
        let (group, version) = version.split_once('/').unwrap_or(("", &version));
        let gvk = GroupVersionKind::gvk(group, version, &kind);
        let ending = if kind.ends_with("ss") { "es" } else { "s" };
        let plural = format!("{}{ending}", kind.to_lowercase());
        let resource = ApiResource::from_gvk_with_plural(&gvk, &plural);
        let api: Api<DynamicObject> = match object["metadata"]["namespace"].as_str() {
            Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
            None => Api::all_with(client.clone(), &resource),
        };
        let params = PatchParams::apply("test").force();
        let name = text(&object["metadata"]["name"]);
        let applied = api.patch(&name, &params, &Patch::Apply(&object)).await;
        applied.unwrap_or_else(|error| panic!("{kind} {name}: {error}"));
    }
}

/// Pods and their policies.
pub(super) fn index() -> Index {
    let mut index = Index::default();
    for cell in ["out-a", "out-b"] {
        put::<Namespace>(&mut index, json!({"metadata": {"name": cell, "uid": cell}}));
    }
    for (number, (name, cell, gateway)) in PODS.iter().enumerate() {
        let labels = json!({"component": name});
        let mut pod = running(cell, name, &labels, number);
        pod["status"]["podIP"] = Value::Null;
        put::<Pod>(&mut index, pod);
        let Some(gateway) = gateway else { continue };
        let servers = json!({"namespaceSelector": {}, "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}}});
        let labels_of_gateway = json!({
            "gateway.envoyproxy.io/owning-gateway-name": gateway,
            "gateway.envoyproxy.io/owning-gateway-namespace": cell,
        });
        let gateways =
            json!({"namespaceSelector": {}, "podSelector": {"matchLabels": labels_of_gateway}});
        let ports = |ports: &[u16]| -> Vec<Value> {
            ports.iter().map(|port| json!({"port": port})).collect()
        };
        put::<NetworkPolicy>(
            &mut index,
            json!({
                "metadata": {"name": name, "namespace": cell, "uid": name},
                "spec": {
                    "podSelector": {"matchLabels": labels},
                    "policyTypes": ["Egress"],
                    "egress": [
                        {"to": [servers], "ports": [{"port": 53, "protocol": "UDP"}]},
                        {"to": [gateways], "ports": ports(&[80, 443, 5432])},
                    ],
                },
            }),
        );
    }
    index
}

/// Whether a Gateway is served with all its routes.
pub(super) fn is_whole(gateway: &Gateway) -> bool {
    let hosts: &[&str] = match (gateway.namespace.as_str(), gateway.name.as_str()) {
        ("out-a", "egress-web") => &["*.wild.test", "api.test", "db.test", "secure.test"],
        ("out-a", "egress-cart") => &["other.test"],
        _ => &["b.test"],
    };
    let hosts: BTreeSet<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
    gateway.hosts == hosts
}

pub(super) fn address_of(cells: &Cells, namespace: &str, name: &str) -> Ipv4Addr {
    let mut all = cells.gateways.iter();
    let found = all.find(|gateway| gateway.namespace == namespace && gateway.name == name);
    found.unwrap().address
}
