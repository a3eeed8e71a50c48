//! The whole network as a function of what was observed.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
    sync::Arc,
};

use k8s_openapi::api::core::v1::{Pod, Service, ServicePort, ServiceSpec};

use super::{
    DOMAIN,
    address::{self, CELL_PREFIX, Ledger, is_headless},
    policy::{self, Host},
    slice,
};
use crate::{
    index::Index,
    machine::{Cell, NetworkPlan, Protocol, ServiceRule},
};

type Names = BTreeMap<String, Vec<Ipv4Addr>>;

/// The network that the observed objects ask for.
pub fn plan(index: &Index, ledger: &Ledger) -> NetworkPlan {
    let hosts: Vec<Host<'_>> = index
        .pods
        .iter()
        .filter(|pod| !has_ended(pod))
        .filter_map(|pod| {
            let address = ledger.address(pod.metadata.uid.as_deref()?)?;
            Some(Host { pod, address })
        })
        .collect();
    let cells = ledger.cells(index).map(|(namespace, range)| {
        let cell = Cell {
            index: range.index,
            gateway: range.gateway(),
            prefix: CELL_PREFIX,
            names: names(index, namespace),
        };
        (namespace.clone(), cell)
    });
    NetworkPlan {
        cells: cells.collect(),
        services: index
            .services
            .iter()
            .flat_map(|service| rules(index, service))
            .collect(),
        allow: policy::allows(index, &hosts),
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
    let pods = serving(index, spec, namespace);
    let rule = |port: &ServicePort| {
        let protocol = match port.protocol.as_deref().unwrap_or("TCP") {
            "TCP" => Protocol::Tcp,
            "UDP" => Protocol::Udp,
            _ => return None,
        };
        let backends = pods
            .iter()
            .filter_map(|pod| Some((address::pod_address(pod)?, slice::target_port(port, pod)?)));
        let port = u16::try_from(port.port).ok()?;
        Some(ServiceRule {
            address,
            port,
            protocol,
            backends: backends.collect(),
        })
    };
    spec.ports.iter().flatten().filter_map(rule).collect()
}

fn serving<'a>(index: &'a Index, spec: &ServiceSpec, namespace: &'a str) -> Vec<&'a Arc<Pod>> {
    let mut pods = slice::backing(index, spec, namespace);
    pods.retain(|pod| slice::is_serving(pod, spec));
    pods
}

/// The names that a cell's name server answers.
fn names(index: &Index, namespace: &str) -> Names {
    let mut names = Names::new();
    for service in index.services.iter() {
        let home = service.metadata.namespace.as_deref().unwrap_or_default();
        if home == namespace || is_known(index, service, namespace) {
            name_service(index, service, home, &mut names);
        }
    }
    names
}

/// Whether a namespace may know a service of another one: a policy of one of its pods lets it in.
fn is_known(index: &Index, service: &Service, namespace: &str) -> bool {
    let home = service.metadata.namespace.as_deref().unwrap_or_default();
    let Some(spec) = &service.spec else {
        return false;
    };
    slice::backing(index, spec, home)
        .iter()
        .any(|pod| policy::knows(index, pod, namespace))
}

fn name_service(index: &Index, service: &Service, home: &str, names: &mut Names) {
    let Some(spec) = &service.spec else { return };
    let name = service.metadata.name.as_deref().unwrap_or_default();
    let full = format!("{name}.{home}.svc.{DOMAIN}").to_lowercase();
    if let Some(address) = address::address(service) {
        names.insert(full, vec![address]);
        return;
    }
    if !is_headless(service) {
        return;
    }
    let mut all = BTreeSet::new();
    for pod in serving(index, spec, home) {
        let Some(address) = address::pod_address(pod) else {
            continue;
        };
        all.insert(address);
        let pod_spec = pod
            .spec
            .as_ref()
            .filter(|pod| pod.subdomain.as_deref() == Some(name));
        if let Some(host) = pod_spec.and_then(|pod| pod.hostname.as_deref()) {
            names
                .entry(format!("{}.{full}", host.to_lowercase()))
                .or_default()
                .push(address);
        }
    }
    names.insert(full, all.into_iter().collect());
}

#[cfg(test)]
mod tests {
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

    fn ways(plan: &NetworkPlan) -> Vec<String> {
        plan.allow
            .iter()
            .map(|allow| {
                let from = allow.from.as_ref().map_or_else(
                    || "any".to_owned(),
                    |from| {
                        from.iter()
                            .map(ToString::to_string)
                            .collect::<Vec<_>>()
                            .join(",")
                    },
                );
                let port = allow
                    .port
                    .map_or_else(|| "*".to_owned(), |port| port.to_string());
                format!("{from} -> {}:{port}", allow.to)
            })
            .collect()
    }

    #[test]
    fn without_policies_a_cell_is_open_inside_and_closed_outside() {
        let (index, ledger) = world(&[]);
        let plan = plan(&index, &ledger);
        let expected = ["10.128.1.2 -> 10.128.1.3:*", "10.128.1.3 -> 10.128.1.2:*"];
        assert_eq!(ways(&plan), expected);
        assert_eq!(
            plan.services[0].backends,
            [(Ipv4Addr::new(10, 128, 1, 3), 8080)]
        );
        let names: Vec<_> = plan.cells["shop"].names.keys().cloned().collect();
        let expected = [
            "all.shop.svc.cluster.local",
            "api.shop.svc.cluster.local",
            "web.all.shop.svc.cluster.local",
        ];
        assert_eq!(names, expected);
        assert!(plan.cells["other"].names.is_empty());
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
        let plan = plan(&index, &ledger);
        let expected = [
            "10.128.2.2 -> 10.128.1.3:8080",
            "10.128.1.3 -> 10.128.1.2:*",
        ];
        assert_eq!(ways(&plan), expected);
        let names: Vec<_> = plan.cells["other"].names.keys().cloned().collect();
        assert_eq!(names, ["api.shop.svc.cluster.local"]);
    }

    #[test]
    fn a_policy_without_rules_closes_and_an_empty_peer_list_opens() {
        let (index, ledger) = world(&[json!({"podSelector": {}, "policyTypes": ["Ingress"]})]);
        assert_eq!(ways(&plan(&index, &ledger)), Vec::<String>::new());
        let (index, ledger) = world(&[json!({"podSelector": {}, "ingress": [{}]})]);
        assert_eq!(
            ways(&plan(&index, &ledger)),
            ["any -> 10.128.1.3:*", "any -> 10.128.1.2:*"]
        );
    }

    #[test]
    fn peers_of_the_same_namespace_are_selected_by_labels() {
        let (index, ledger) = world(&[json!({
            "podSelector": {"matchLabels": {"app": "web"}},
            "ingress": [{"from": [{"podSelector": {"matchLabels": {"app": "api"}}}],
                "ports": [{"port": 8080, "endPort": 8081}]}],
        })]);
        let expected = [
            "10.128.1.2 -> 10.128.1.3:*",
            "10.128.1.3 -> 10.128.1.2:8080",
            "10.128.1.3 -> 10.128.1.2:8081",
        ];
        assert_eq!(ways(&plan(&index, &ledger)), expected);
    }
}
