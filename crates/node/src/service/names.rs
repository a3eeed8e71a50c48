//! The names that a cell's name server answers, as Kubernetes gives them to services and pods: those of
//! the cell, and of others what policies let some pod of it call.

use std::{collections::BTreeSet, net::Ipv4Addr, sync::Arc};

use k8s_openapi::api::core::v1::{Pod, Service, ServicePort, ServiceSpec};

use super::{
    DOMAIN,
    address::{self, is_headless},
    policy::{self, Host},
    slice,
};
use crate::{index::Index, machine::CellNames};

/// The names for a namespace, whose pods are `own`.
pub fn of(index: &Index, namespace: &str, own: &[Host<'_>]) -> CellNames {
    let mut names = CellNames::default();
    for service in index.services.iter() {
        let home = service.metadata.namespace.as_deref().unwrap_or_default();
        if home == namespace || is_known(index, service, own) {
            name_service(index, service, home, &mut names);
        }
    }
    names
}

/// The pods that take a service's traffic.
pub fn serving<'a>(index: &'a Index, spec: &ServiceSpec, namespace: &'a str) -> Vec<&'a Arc<Pod>> {
    let mut pods = slice::backing(index, spec, namespace);
    pods.retain(|pod| slice::is_serving(pod, spec));
    pods
}

/// Whether a namespace may know a service of another one: one of its pods may call one behind it.
fn is_known(index: &Index, service: &Service, own: &[Host<'_>]) -> bool {
    let home = service.metadata.namespace.as_deref().unwrap_or_default();
    let Some(spec) = &service.spec else {
        return false;
    };
    slice::backing(index, spec, home).iter().any(|pod| {
        let backend = |address| Host {
            namespace: home,
            labels: &pod.metadata.labels,
            address,
            pod: Some(pod),
        };
        let backend = address::pod_address(pod).map(backend);
        backend.is_some_and(|to| own.iter().any(|from| policy::may_call(index, from, &to)))
    })
}

fn name_service(index: &Index, service: &Service, home: &str, names: &mut CellNames) {
    let Some(spec) = &service.spec else { return };
    let name = service.metadata.name.as_deref().unwrap_or_default();
    let full = format!("{name}.{home}.svc.{DOMAIN}").to_lowercase();
    if spec.type_.as_deref() == Some("ExternalName") {
        if let Some(target) = &spec.external_name {
            let target = target.trim_end_matches('.').to_lowercase();
            names.aliases.insert(full, target);
        }
        return;
    }
    if let Some(address) = address::address(service) {
        for port in spec.ports.iter().flatten() {
            let number = u16::try_from(port.port).ok();
            name_port(
                names,
                &full,
                port,
                number.map(|number| (full.clone(), number)),
            );
        }
        names.addresses.insert(full, vec![address]);
    } else if is_headless(service) {
        let pods = serving(index, spec, home);
        name_pods(spec, name, &full, &pods, names);
    }
}

/// The names of a service that is names of pods only.
fn name_pods(
    spec: &ServiceSpec,
    name: &str,
    full: &str,
    pods: &[&Arc<Pod>],
    names: &mut CellNames,
) {
    let mut all = BTreeSet::new();
    for pod in pods {
        let Some(address) = address::pod_address(pod) else {
            continue;
        };
        all.insert(address);
        let own = format!("{}.{full}", host(pod, name, address));
        for port in spec.ports.iter().flatten() {
            let number = slice::target_port(port, pod);
            name_port(
                names,
                full,
                port,
                number.map(|number| (own.clone(), number)),
            );
        }
        names.addresses.entry(own).or_default().push(address);
    }
    names
        .addresses
        .insert(full.to_owned(), all.into_iter().collect());
}

/// The name of a pod below a service: its host name, or its address in dashes.
fn host(pod: &Pod, service: &str, address: Ipv4Addr) -> String {
    let spec = pod.spec.as_ref();
    let spec = spec.filter(|spec| spec.subdomain.as_deref() == Some(service));
    let named = spec.and_then(|spec| spec.hostname.as_deref());
    named.map_or_else(|| address.to_string().replace('.', "-"), str::to_lowercase)
}

/// A named port is found by its name.
fn name_port(names: &mut CellNames, full: &str, port: &ServicePort, target: Option<(String, u16)>) {
    let (Some(name), Some(target)) = (&port.name, target) else {
        return;
    };
    let protocol = port.protocol.as_deref().unwrap_or("TCP");
    let name = format!("_{name}._{protocol}.{full}").to_lowercase();
    names.ports.entry(name).or_default().push(target);
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::index::Kept;

    fn put<K: Kept>(index: &mut Index, object: Value) {
        index.apply(serde_json::from_value::<K>(object).unwrap());
    }

    fn world(services: &[Value]) -> CellNames {
        let mut index = Index::default();
        for (name, ready) in [("web", "True"), ("late", "False")] {
            let number = if ready == "True" { 2 } else { 3 };
            put::<Pod>(
                &mut index,
                json!({
                    "metadata": {"name": name, "namespace": "shop", "uid": name, "labels": {"app": "a"}},
                    "spec": {"hostname": name, "subdomain": "all", "containers": [
                        {"name": "main", "ports": [{"name": "http", "containerPort": 8080}]}]},
                    "status": {"phase": "Running", "podIP": format!("10.128.1.{number}"),
                        "conditions": [{"type": "Ready", "status": ready}]},
                }),
            );
        }
        for (number, spec) in services.iter().enumerate() {
            let name = ["all", "other", "third"][number];
            put::<Service>(
                &mut index,
                json!({"metadata": {"name": name, "namespace": "shop"}, "spec": spec}),
            );
        }
        of(&index, "shop", &[])
    }

    fn addresses(names: &CellNames) -> Vec<String> {
        let all = names.addresses.iter();
        all.map(|(name, of)| {
            format!(
                "{} {of:?}",
                name.trim_end_matches(".shop.svc.cluster.local")
            )
        })
        .collect()
    }

    #[test]
    fn headless_services_are_names_of_ready_pods() {
        let ports = json!([{"name": "web", "port": 80, "targetPort": "http"}]);
        let headless = |late: bool| {
            json!({"clusterIP": "None", "selector": {"app": "a"}, "ports": ports,
                "publishNotReadyAddresses": late})
        };
        let names = world(&[headless(false), headless(true)]);
        let expected = [
            "10-128-1-2.other [10.128.1.2]",
            "10-128-1-3.other [10.128.1.3]",
            "all [10.128.1.2]",
            "other [10.128.1.2, 10.128.1.3]",
            "web.all [10.128.1.2]",
        ];
        assert_eq!(addresses(&names), expected);
        let port = &names.ports["_web._tcp.all.shop.svc.cluster.local"];
        assert_eq!(port, &[("web.all.shop.svc.cluster.local".to_owned(), 8080)]);
    }

    #[test]
    fn virtual_services_have_ports_and_external_ones_are_aliases() {
        let names = world(&[
            json!({"clusterIP": "10.96.0.9", "ports": [
                {"name": "q", "port": 53, "protocol": "UDP"}, {"port": 54}]}),
            json!({"type": "ExternalName", "externalName": "DB.example.com."}),
            json!({"type": "ClusterIP"}),
        ]);
        assert_eq!(addresses(&names), ["all [10.96.0.9]"]);
        let own = "all.shop.svc.cluster.local".to_owned();
        let port = names.ports.into_iter().collect::<Vec<_>>();
        assert_eq!(port, [(format!("_q._udp.{own}"), vec![(own, 53)])]);
        let alias = names.aliases.into_values().collect::<Vec<_>>();
        assert_eq!(alias, ["db.example.com"]);
    }
}
