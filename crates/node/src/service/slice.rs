//! Endpoint slices: the pods behind a service, and which of them are ready.

use std::sync::Arc;

use k8s_openapi::{
    api::{
        core::v1::{ObjectReference, Pod, Service, ServicePort, ServiceSpec},
        discovery::v1::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice},
    },
    apimachinery::pkg::{apis::meta::v1::ObjectMeta, util::intstr::IntOrString},
};
use serde_json::json;

use super::{address::is_headless, address::pod_address, matches_all};
use crate::{
    index::{Index, Key},
    workload::{owned_by, ready_since},
    write::{Decision, Write},
};

/// The label of a slice that names its service.
pub const SERVICE_NAME: &str = "kubernetes.io/service-name";
const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
const MANAGER: &str = "endpointslice-controller.k8s.io";

/// Keeps the slice of a service.
pub fn decide(index: &Index, key: &Key) -> Decision {
    let mut decision = Decision::default();
    let Some(service) = index.services.get(key) else {
        return decision;
    };
    let Some(spec) = &service.spec else {
        return decision;
    };
    if service.metadata.deletion_timestamp.is_some()
        || spec
            .selector
            .as_ref()
            .is_none_or(std::collections::BTreeMap::is_empty)
    {
        return decision;
    }
    let wanted = slice(index, service, spec);
    match index.endpoint_slices.get(&Key::of(&wanted.metadata)) {
        None => decision.writes.push(Write::create(&wanted)),
        Some(known) if known.endpoints != wanted.endpoints || known.ports != wanted.ports => {
            let patch = json!({"endpoints": wanted.endpoints, "ports": wanted.ports});
            decision.writes.push(Write::merge(&**known, patch));
        }
        Some(_) => {}
    }
    decision
}

fn slice(index: &Index, service: &Service, spec: &ServiceSpec) -> EndpointSlice {
    let meta = &service.metadata;
    let namespace = meta.namespace.as_deref().unwrap_or_default();
    let name = meta.name.clone().unwrap_or_default();
    let pods = backing(index, spec, namespace);
    let mut labels = meta.labels.clone().unwrap_or_default();
    labels.insert(SERVICE_NAME.into(), name.clone());
    labels.insert(MANAGED_BY.into(), MANAGER.into());
    if is_headless(service) {
        labels.insert("service.kubernetes.io/headless".into(), String::new());
    }
    let ports = spec.ports.iter().flatten().map(|port| EndpointPort {
        app_protocol: port.app_protocol.clone(),
        name: Some(port.name.clone().unwrap_or_default()),
        port: pods
            .iter()
            .find_map(|pod| target_port(port, pod))
            .map(i32::from),
        protocol: Some(port.protocol.clone().unwrap_or_else(|| "TCP".into())),
    });
    EndpointSlice {
        metadata: ObjectMeta {
            name: Some(name.clone()),
            namespace: Some(namespace.to_owned()),
            labels: Some(labels),
            owner_references: Some(vec![owned_by(service)]),
            ..ObjectMeta::default()
        },
        address_type: "IPv4".into(),
        ports: Some(ports.collect()),
        endpoints: Some(
            pods.iter()
                .filter_map(|pod| endpoint(pod, spec, &name))
                .collect(),
        ),
    }
}

/// The pods that a service's selector takes and that have an address.
pub fn backing<'a>(index: &'a Index, spec: &ServiceSpec, namespace: &'a str) -> Vec<&'a Arc<Pod>> {
    let Some(selector) = spec
        .selector
        .as_ref()
        .filter(|selector| !selector.is_empty())
    else {
        return Vec::new();
    };
    index
        .pods
        .within(namespace)
        .filter(|pod| matches_all(selector, &pod.metadata.labels))
        .filter(|pod| pod_address(pod).is_some())
        .collect()
}

/// Whether a pod takes traffic.
pub fn is_serving(pod: &Pod, spec: &ServiceSpec) -> bool {
    let ready = ready_since(pod).is_some() && pod.metadata.deletion_timestamp.is_none();
    ready || spec.publish_not_ready_addresses == Some(true)
}

fn endpoint(pod: &Pod, spec: &ServiceSpec, service: &str) -> Option<Endpoint> {
    let leaving = pod.metadata.deletion_timestamp.is_some();
    let pod_spec = pod.spec.as_ref();
    let hostname = pod_spec.filter(|pod| pod.subdomain.as_deref() == Some(service));
    Some(Endpoint {
        addresses: vec![pod_address(pod)?.to_string()],
        conditions: Some(EndpointConditions {
            ready: Some(is_serving(pod, spec)),
            serving: Some(ready_since(pod).is_some()),
            terminating: Some(leaving),
        }),
        hostname: hostname.and_then(|pod| pod.hostname.clone()),
        node_name: pod_spec.and_then(|spec| spec.node_name.clone()),
        target_ref: Some(ObjectReference {
            kind: Some("Pod".into()),
            name: pod.metadata.name.clone(),
            namespace: pod.metadata.namespace.clone(),
            uid: pod.metadata.uid.clone(),
            ..ObjectReference::default()
        }),
        ..Endpoint::default()
    })
}

/// The port of a pod that a port of a service leads to.
pub fn target_port(port: &ServicePort, pod: &Pod) -> Option<u16> {
    match port.target_port.as_ref() {
        None | Some(IntOrString::Int(0)) => u16::try_from(port.port).ok(),
        Some(IntOrString::Int(number)) => u16::try_from(*number).ok(),
        Some(IntOrString::String(name)) => named_port(pod, name, port.protocol.as_deref()),
    }
}

/// The number of a pod's named port.
pub fn named_port(pod: &Pod, name: &str, protocol: Option<&str>) -> Option<u16> {
    let protocol = protocol.unwrap_or("TCP");
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    containers
        .flat_map(|container| container.ports.iter().flatten())
        .find(|port| {
            port.name.as_deref() == Some(name)
                && port.protocol.as_deref().unwrap_or("TCP") == protocol
        })
        .and_then(|port| u16::try_from(port.container_port).ok())
}
