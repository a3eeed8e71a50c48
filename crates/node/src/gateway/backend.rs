//! Backends: from a reference to the addresses of ready pods, as an Envoy cluster.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::{
    core::v1::{Service, ServicePort},
    discovery::v1::EndpointSlice,
};
use serde_json::{Value, json};

use super::{
    objects::{BackendRef, Grant, Resource},
    status::Problem,
};

/// The upstream half of a translation: knows Services, collects the clusters that routes use.
pub(super) struct Backends<'a> {
    services: BTreeMap<(&'a str, &'a str), &'a Service>,
    slices: BTreeMap<(&'a str, &'a str), Vec<&'a EndpointSlice>>,
    grants: &'a [Resource<Grant>],
    clusters: BTreeMap<String, Value>,
}

/// Who refers to a backend.
#[derive(Debug, Clone, Copy)]
pub(super) struct Referrer<'a> {
    pub(super) kind: &'a str,
    pub(super) namespace: &'a str,
}

impl<'a> Backends<'a> {
    pub(super) fn new(
        services: &'a [Service],
        slices: &'a [EndpointSlice],
        grants: &'a [Resource<Grant>],
    ) -> Self {
        let mut by_service: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for slice in slices {
            let labels = slice.metadata.labels.as_ref();
            let service = labels.and_then(|l| l.get("kubernetes.io/service-name"));
            if let (Some(namespace), Some(service)) = (&slice.metadata.namespace, service) {
                by_service
                    .entry((namespace.as_str(), service.as_str()))
                    .or_default()
                    .push(slice);
            }
        }
        let key = |s: &'a Service| {
            let namespace = s.metadata.namespace.as_deref().unwrap_or_default();
            (namespace, s.metadata.name.as_deref().unwrap_or_default())
        };
        Self {
            services: services.iter().map(|s| (key(s), s)).collect(),
            slices: by_service,
            grants,
            clusters: BTreeMap::new(),
        }
    }

    /// All clusters that were asked for.
    pub(super) fn into_clusters(self) -> Vec<Value> {
        self.clusters.into_values().collect()
    }

    /// The name of the cluster of a backend.
    pub(super) fn cluster(
        &mut self,
        from: Referrer<'_>,
        to: &BackendRef,
    ) -> Result<String, Problem> {
        let group = to.group.as_deref().unwrap_or_default();
        let kind = to.kind.as_deref().unwrap_or("Service");
        if !group.is_empty() || kind != "Service" {
            let message = format!("backend {} is a {kind}; only Services can be", to.name);
            return Err(Problem::refs("InvalidKind", message));
        }
        let namespace = to.namespace.as_deref().unwrap_or(from.namespace);
        if namespace != from.namespace && !self.granted(from, namespace, &to.name) {
            let message = format!(
                "no ReferenceGrant in namespace {namespace} lets a {} of namespace {} use Service {}",
                from.kind, from.namespace, to.name
            );
            return Err(Problem::refs("RefNotPermitted", message));
        }
        let missing = |what: &str| {
            let message = format!("Service {namespace}/{}{what}", to.name);
            Problem::refs("BackendNotFound", message)
        };
        let service = *self
            .services
            .get(&(namespace, to.name.as_str()))
            .ok_or_else(|| missing(" does not exist"))?;
        let port = to
            .port
            .ok_or_else(|| missing(": the reference names no port"))?;
        let described = service
            .spec
            .iter()
            .flat_map(|s| s.ports.iter().flatten())
            .find(|p| p.port == i32::from(port))
            .ok_or_else(|| missing(&format!(" has no port {port}")))?;
        if described.protocol.as_deref().is_some_and(|p| p != "TCP") {
            let message = format!("port {port} of Service {namespace}/{} is not TCP", to.name);
            return Err(Problem::refs("UnsupportedProtocol", message));
        }
        let http2 = from.kind == "GRPCRoute" || is_http2(described);
        let version = if http2 { "h2" } else { "http" };
        let name = format!("{namespace}/{}/{port}/{version}", to.name);
        if !self.clusters.contains_key(&name) {
            let endpoints = self.endpoints(namespace, &to.name, described);
            self.clusters
                .insert(name.clone(), cluster(&name, &endpoints, http2));
        }
        Ok(name)
    }

    fn granted(&self, from: Referrer<'_>, namespace: &str, service: &str) -> bool {
        self.grants
            .iter()
            .filter(|grant| grant.namespace == namespace)
            .any(|grant| {
                let who = grant.spec.from.iter().any(|f| {
                    f.group == super::GROUP && f.kind == from.kind && f.namespace == from.namespace
                });
                let what = grant.spec.to.iter().any(|t| {
                    t.group.is_empty()
                        && t.kind == "Service"
                        && t.name.as_deref().is_none_or(|name| name == service)
                });
                who && what
            })
    }

    fn endpoints(
        &self,
        namespace: &str,
        service: &str,
        port: &ServicePort,
    ) -> BTreeSet<(String, u16)> {
        let slices = self.slices.get(&(namespace, service)).into_iter().flatten();
        let mut found = BTreeSet::new();
        for slice in slices {
            let wanted = port.name.as_deref().unwrap_or_default();
            let number = slice
                .ports
                .iter()
                .flatten()
                .find(|p| p.name.as_deref().unwrap_or_default() == wanted)
                .and_then(|p| u16::try_from(p.port?).ok());
            let Some(number) = number else { continue };
            for endpoint in slice.endpoints.iter().flatten() {
                // Absent means ready, by the API's definition.
                if endpoint.conditions.as_ref().and_then(|c| c.ready) != Some(false) {
                    // Names are not looked up here, and Envoy refuses them in a list of addresses.
                    let addresses = endpoint.addresses.iter();
                    let addresses = addresses.filter(|a| a.parse::<std::net::IpAddr>().is_ok());
                    found.extend(addresses.map(|a| (a.clone(), number)));
                }
            }
        }
        found
    }
}

fn is_http2(port: &ServicePort) -> bool {
    match port.app_protocol.as_deref() {
        Some(protocol) => matches!(protocol, "kubernetes.io/h2c" | "grpc" | "h2c"),
        None => port.name.as_deref().is_some_and(|n| n.starts_with("grpc")),
    }
}

fn cluster(name: &str, endpoints: &BTreeSet<(String, u16)>, http2: bool) -> Value {
    let endpoints: Vec<Value> = endpoints
        .iter()
        .map(|(address, port)| {
            let address = json!({"socket_address": {"address": address, "port_value": port}});
            json!({"endpoint": {"address": address}})
        })
        .collect();
    let protocol = if http2 {
        json!({"http2_protocol_options": {}})
    } else {
        json!({"http_protocol_options": {}})
    };
    let limits = json!({
        "max_connections": 4096,
        "max_pending_requests": 4096,
        "max_requests": 4096,
        "max_retries": 64,
    });
    json!({
        "@type": "type.googleapis.com/envoy.config.cluster.v3.Cluster",
        "name": name,
        "type": "STATIC",
        "connect_timeout": "5s",
        "lb_policy": "LEAST_REQUEST",
        "ignore_health_on_host_removal": true,
        "circuit_breakers": {"thresholds": [limits]},
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": endpoints}]},
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": protocol,
            },
        },
    })
}
