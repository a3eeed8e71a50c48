//! Envoy's clusters.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

/// What is spoken to a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Upstream {
    Http1,
    Http2,
    Tcp,
    Udp,
}

impl Upstream {
    fn name(self) -> &'static str {
        match self {
            Self::Http1 => "http",
            Self::Http2 => "h2",
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

/// Where a cluster is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Endpoint {
    /// At an address in the machine's network.
    Address(String, u16),
    /// Outside, behind a socket of the platform, named relative to the gateway's folder.
    Outlet(String),
}

/// A cluster, before a policy says more of it.
#[derive(Debug, Clone)]
pub(super) struct Cluster {
    /// Of what it is.
    pub(super) name: String,
    pub(super) upstream: Upstream,
    pub(super) endpoints: BTreeSet<Endpoint>,
    /// Envoy's TLS context towards it.
    pub(super) tls: Option<Value>,
}

impl Cluster {
    /// Its name: the same backend may be spoken to in several ways.
    pub(super) fn full_name(&self, settings: Option<&Settings>) -> String {
        let mut name = format!("{}/{}", self.name, self.upstream.name());
        if let Some(settings) = settings {
            name.push('/');
            name.push_str(&settings.name);
        }
        name
    }
}

/// What a policy says of the clusters of the routes it is about.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Settings {
    /// The policy.
    pub(super) name: String,
    /// Fields that replace the usual ones.
    pub(super) fields: Map<String, Value>,
    /// Limits that replace the usual ones.
    pub(super) limits: Map<String, Value>,
    /// Limits of each endpoint.
    pub(super) per_host: Option<Value>,
    /// Fields of Envoy's `HttpProtocolOptions.common_http_protocol_options`.
    pub(super) common: Map<String, Value>,
}

/// The Envoy cluster.
pub(super) fn render(name: &str, cluster: &Cluster, settings: Option<&Settings>) -> Value {
    let endpoints: Vec<Value> = cluster.endpoints.iter().map(endpoint).collect();
    let mut limits = Map::from_iter(
        [
            ("max_connections", 4096),
            ("max_pending_requests", 4096),
            ("max_requests", 4096),
            ("max_retries", 64),
        ]
        .map(|(name, limit)| (name.to_owned(), json!(limit))),
    );
    limits.extend(settings.iter().flat_map(|s| s.limits.clone()));
    let mut breakers = json!({"thresholds": [limits]});
    if let Some(limits) = settings.and_then(|s| s.per_host.clone()) {
        breakers["per_host_thresholds"] = json!([limits]);
    }
    let mut envoy = json!({
        "@type": "type.googleapis.com/envoy.config.cluster.v3.Cluster",
        "name": name,
        "type": "STATIC",
        "connect_timeout": "5s",
        "lb_policy": "LEAST_REQUEST",
        "ignore_health_on_host_removal": true,
        "circuit_breakers": breakers,
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": endpoints}]},
    });
    if let Some(protocol) = protocol(cluster.upstream, settings) {
        envoy["typed_extension_protocol_options"] = protocol;
    }
    if let Some(tls) = &cluster.tls {
        envoy["transport_socket"] =
            json!({"name": "envoy.transport_sockets.tls", "typed_config": tls});
    }
    if let (Some(fields), Some(settings)) = (envoy.as_object_mut(), settings) {
        fields.extend(settings.fields.clone());
    }
    envoy
}

fn protocol(upstream: Upstream, settings: Option<&Settings>) -> Option<Value> {
    let explicit = match upstream {
        Upstream::Http1 => json!({"http_protocol_options": {}}),
        Upstream::Http2 => json!({"http2_protocol_options": {}}),
        Upstream::Tcp | Upstream::Udp => return None,
    };
    let mut options = json!({
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": explicit,
    });
    if let Some(common) = settings.map(|s| &s.common).filter(|c| !c.is_empty()) {
        options["common_http_protocol_options"] = json!(common);
    }
    Some(json!({"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options}))
}

fn endpoint(endpoint: &Endpoint) -> Value {
    let address = match endpoint {
        Endpoint::Address(address, port) => {
            json!({"socket_address": {"address": address, "port_value": port}})
        }
        Endpoint::Outlet(path) => json!({"pipe": {"path": path}}),
    };
    json!({"endpoint": {"address": address}})
}
