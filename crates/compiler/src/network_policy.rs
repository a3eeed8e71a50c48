//! Who may call a component: the network policy that every component gets.
//!
//! Ports are those the pods listen on, since that is what a policy is matched against; the port of
//! the Service in front may differ.

use crate::context::protocol;
use choreo_model::application::{EndpointType, Visibility, WorkloadEndpoint};
use choreo_model::labels;
use choreo_model::names::{LABEL_LIMIT, OBJECT_LIMIT, kubernetes_name};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

const POD_NAMESPACE: &str = "k8s:io.kubernetes.pod.namespace";

/// What a policy is made of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Subject<'a> {
    pub(crate) component: &'a str,
    pub(crate) cell: &'a str,
    pub(crate) selector: &'a BTreeMap<&'static str, String>,
    pub(crate) endpoints: &'a BTreeMap<String, WorkloadEndpoint>,
}

/// The policy as Kubernetes has it.
pub(crate) fn kubernetes(subject: Subject<'_>) -> Value {
    let mut ingress = Vec::new();
    for (who, endpoints) in subject.rules() {
        let from = match who {
            Who::Cell => json!({"podSelector": {}}),
            Who::Namespace => json!({"namespaceSelector": {"matchLabels": subject.tenancy()}}),
            Who::Gateways => json!({
                "namespaceSelector": {},
                "podSelector": {"matchExpressions": [exists(labels::SYSTEM_COMPONENT)]},
            }),
        };
        let ports = distinct(&endpoints).into_iter();
        let ports: Vec<Value> = ports
            .map(|(port, protocol)| json!({"port": port, "protocol": protocol}))
            .collect();
        ingress.push(json!({"from": [from], "ports": ports}));
    }
    let mut spec = json!({
        "podSelector": {"matchLabels": subject.selector},
        "policyTypes": ["Ingress"],
    });
    if !ingress.is_empty() {
        spec["ingress"] = Value::Array(ingress);
    }
    subject.object("networking.k8s.io/v1", "NetworkPolicy", &spec)
}

/// The policy as Cilium has it, which also shows the requests of HTTP endpoints.
pub(crate) fn cilium(subject: Subject<'_>) -> Value {
    let mut ingress = Vec::new();
    for (who, endpoints) in subject.rules() {
        let from = match who {
            Who::Cell => json!({}),
            Who::Namespace => json!({
                "matchLabels": subject.tenancy(),
                "matchExpressions": [exists(POD_NAMESPACE)],
            }),
            Who::Gateways => json!({
                "matchExpressions": [exists(labels::SYSTEM_COMPONENT), exists(POD_NAMESPACE)],
            }),
        };
        ingress.push(json!({"fromEndpoints": [from], "toPorts": cilium_ports(&endpoints)}));
    }
    let mut spec = json!({
        "endpointSelector": {"matchLabels": subject.selector},
        "ingress": ingress,
    });
    if subject.endpoints.is_empty() {
        // An empty list alone does not make Cilium deny; this does.
        spec["enableDefaultDeny"] = json!({"ingress": true});
    }
    subject.object("cilium.io/v2", "CiliumNetworkPolicy", &spec)
}

/// Who calls.
#[derive(Debug, Clone, Copy)]
enum Who {
    Cell,
    Namespace,
    Gateways,
}

impl<'a> Subject<'a> {
    /// Callers, and the endpoints they may call; callers of nothing are left out.
    fn rules(&self) -> Vec<(Who, Vec<&'a WorkloadEndpoint>)> {
        let with = |wanted: &[Visibility]| -> Vec<&'a WorkloadEndpoint> {
            self.endpoints
                .values()
                .filter(|endpoint| endpoint.visibility.iter().any(|one| wanted.contains(one)))
                .collect()
        };
        let rules = [
            (Who::Cell, self.endpoints.values().collect()),
            (Who::Namespace, with(&[Visibility::Namespace])),
            (
                Who::Gateways,
                with(&[Visibility::Internal, Visibility::External]),
            ),
        ];
        rules
            .into_iter()
            .filter(|(_, endpoints)| !endpoints.is_empty())
            .collect()
    }

    /// The labels that cells of the same namespace and environment share.
    fn tenancy(&self) -> BTreeMap<&'static str, &str> {
        [labels::NAMESPACE, labels::ENVIRONMENT]
            .into_iter()
            .filter_map(|key| Some((key, self.selector.get(key)?.as_str())))
            .collect()
    }

    fn object(&self, api_version: &str, kind: &str, spec: &Value) -> Value {
        let name = format!("openchoreo-{}", self.component);
        let name = if name.len() > OBJECT_LIMIT {
            kubernetes_name(LABEL_LIMIT, &["openchoreo", self.component])
        } else {
            name
        };
        json!({
            "apiVersion": api_version,
            "kind": kind,
            "metadata": {"name": name, "namespace": self.cell},
            "spec": spec,
        })
    }
}

fn exists(key: &str) -> Value {
    json!({"key": key, "operator": "Exists"})
}

/// The port a pod listens on for `endpoint`, and its protocol.
fn pod_port(endpoint: &WorkloadEndpoint) -> (u16, &'static str) {
    (
        endpoint.target_port.unwrap_or(endpoint.port),
        protocol(endpoint),
    )
}

/// Ports in the order of endpoints, each once.
fn distinct(endpoints: &[&WorkloadEndpoint]) -> Vec<(u16, &'static str)> {
    let mut seen = BTreeSet::new();
    endpoints
        .iter()
        .map(|endpoint| pod_port(endpoint))
        .filter(|port| seen.insert(*port))
        .collect()
}

/// HTTP-like ports with request rules, then plain ones; each sorted as text, as Cilium keeps them.
fn cilium_ports(endpoints: &[&WorkloadEndpoint]) -> Vec<Value> {
    let (plain, http): (Vec<&WorkloadEndpoint>, Vec<&WorkloadEndpoint>) = endpoints
        .iter()
        .partition(|endpoint| matches!(endpoint.type_, EndpointType::Tcp | EndpointType::Udp));
    let sorted = |endpoints: &[&WorkloadEndpoint]| -> Vec<Value> {
        let ports: BTreeSet<(String, &str)> = endpoints
            .iter()
            .map(|endpoint| pod_port(endpoint))
            .map(|(port, protocol)| (port.to_string(), protocol))
            .collect();
        ports
            .into_iter()
            .map(|(port, protocol)| json!({"port": port, "protocol": protocol}))
            .collect()
    };
    let mut rules = Vec::new();
    if !http.is_empty() {
        rules.push(json!({"ports": sorted(&http), "rules": {"http": [{}]}}));
    }
    if !plain.is_empty() {
        rules.push(json!({"ports": sorted(&plain)}));
    }
    rules
}
