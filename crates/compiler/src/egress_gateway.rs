//! The way out of a component that has external connections: a gateway of its own, and for each connection where
//! it goes and how.
//!
//! These are objects of Gateway API and of Envoy Gateway and nothing of the platform's own, so that any cluster
//! with a class of the name serves them.

use crate::external::{External, Externals, Source, gateway_name};
use choreo_model::external::{ExternalDependency, ExternalProtocol, Layer};
use choreo_model::labels;
use choreo_model::names::{OBJECT_LIMIT, kubernetes_name_with};
use choreo_template::{Members, Tree, tree};
use std::collections::BTreeSet;
use std::net::IpAddr;

/// The class of gateways that lead out.
const CLASS: &str = "openchoreo-egress";
const GATEWAY: &str = "gateway.networking.k8s.io";
const ENVOY: &str = "gateway.envoyproxy.io";
const ENVOY_V1: &str = "gateway.envoyproxy.io/v1alpha1";
/// How Envoy Gateway labels the proxies of a gateway, wherever they run.
const OWNING_NAME: &str = "gateway.envoyproxy.io/owning-gateway-name";
const OWNING_NAMESPACE: &str = "gateway.envoyproxy.io/owning-gateway-namespace";

/// A component with external connections.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WayOut<'a> {
    /// What the line of the component is called.
    pub(crate) line: &'a str,
    pub(crate) cell: &'a str,
    pub(crate) labels: &'a Members,
    pub(crate) externals: &'a Externals<'a>,
}

/// A listener: of one port, and what it sees there.
type Listener = (Layer, u16);

/// The gateway of the component, and what leads through it; nothing when nothing does.
pub(crate) fn objects(way: &WayOut<'_>) -> Vec<Tree> {
    if way.listeners().is_empty() {
        return Vec::new();
    }
    let routed = way.externals.routed();
    let led = routed.flat_map(|external| way.objects_of(external));
    std::iter::once(way.gateway()).chain(led).collect()
}

/// Where the gateway of a component is called.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Proxies {
    /// What its pods are labelled with.
    pub(crate) labels: [(&'static str, String); 2],
    /// The ports on which they listen.
    pub(crate) ports: Vec<u16>,
}

/// Where the gateway is called, if there is one.
pub(crate) fn proxies(way: &WayOut<'_>) -> Option<Proxies> {
    let ports: Vec<u16> = way
        .listeners()
        .into_iter()
        .map(|(_, port)| port)
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect();
    let labels = [
        (OWNING_NAME, gateway_name(way.line)),
        (OWNING_NAMESPACE, way.cell.to_owned()),
    ];
    (!ports.is_empty()).then_some(Proxies { labels, ports })
}

/// Whether the listener at `index` of a gateway is one of `external`.
pub(crate) fn listens(listeners: &Tree, index: &str, external: &External<'_>) -> bool {
    let name = listener_name(listener(external.declared));
    listeners
        .step(index)
        .is_some_and(|one| one["name"] == *name)
}

/// Whether the rule of a network policy is the one that lets a component call its gateway.
pub(crate) fn is_call(rule: &Tree) -> bool {
    let selected = rule.pointer("/to/0/podSelector/matchLabels");
    let selected = selected.or_else(|| rule.pointer("/toEndpoints/0/matchLabels"));
    selected.is_some_and(|labels| labels.get(OWNING_NAME).is_some())
}

impl WayOut<'_> {
    fn listeners(&self) -> BTreeSet<Listener> {
        let routed = self.externals.routed();
        routed.map(|one| listener(one.declared)).collect()
    }

    fn gateway(&self) -> Tree {
        let listeners = self.listeners().into_iter().map(|listener| {
            let (layer, port) = listener;
            let mut fields = Members::default();
            fields.insert("name", listener_name(listener));
            fields.insert("port", port);
            fields.insert("protocol", layer.as_str());
            if layer == Layer::Tls {
                fields.insert("tls", tree!({"mode": "Passthrough"}));
            }
            fields.insert("allowedRoutes", tree!({"namespaces": {"from": "Same"}}));
            Tree::Object(fields)
        });
        let spec = tree!({"gatewayClassName": CLASS, "listeners": listeners.collect::<Tree>()});
        let name = gateway_name(self.line);
        self.object("gateway.networking.k8s.io/v1", "Gateway", &name, spec)
    }

    /// What one connection is made of: where it leads, what leads there, and how.
    fn objects_of(&self, external: &External<'_>) -> Vec<Tree> {
        let declared = external.declared;
        let name = self.name_of(external);
        let mut objects = vec![self.backend(external, &name), self.route(declared, &name)];
        if declared.originates() {
            objects.push(self.backend_tls(declared, &name));
        }
        let traffic = traffic(declared);
        if !traffic.is_empty() {
            objects.push(self.traffic_policy(declared, &name, traffic));
        }
        objects
    }

    /// No two connections of a cell have one name: the hash tells components, connections and who declares
    /// them apart.
    pub(crate) fn name_of(&self, external: &External<'_>) -> String {
        let (name, from) = match external.source {
            Source::Declared(_) => (external.declared.name.as_str(), "workload"),
            Source::Given(object) => (object.name(), "given"),
        };
        let extra = format!("{}/{from}/{name}", self.line);
        kubernetes_name_with(OBJECT_LIMIT, &["egress", self.line, name], &extra)
    }

    fn backend(&self, external: &External<'_>, name: &str) -> Tree {
        let declared = external.declared;
        let port = declared.port;
        let spec = if declared.is_wildcard() {
            tree!({"type": "DynamicResolver"})
        } else {
            let endpoint = match declared.ip() {
                Some(address) => tree!({"ip": {"address": canonical(address), "port": port}}),
                None => tree!({"fqdn": {"hostname": &declared.host, "port": port}}),
            };
            tree!({"endpoints": [endpoint]})
        };
        let mut backend = self.object(ENVOY_V1, "Backend", name, spec);
        if external.is_given && !declared.is_wildcard() {
            reach_anything(&mut backend);
        }
        backend
    }

    fn route(&self, declared: &ExternalDependency, name: &str) -> Tree {
        let (api_version, kind) = route_kind(declared);
        let backend = tree!({"group": ENVOY, "kind": "Backend", "name": name});
        let parent = tree!({
            "name": gateway_name(self.line),
            "sectionName": listener_name(listener(declared)),
        });
        let mut spec = Members::default();
        spec.insert("parentRefs", tree!([parent]));
        if declared.layer() != Layer::Tcp {
            spec.insert("hostnames", tree!([&declared.host]));
        }
        spec.insert("rules", tree!([{"backendRefs": [backend]}]));
        self.object(api_version, kind, name, spec.into())
    }

    /// How the gateway speaks TLS with the host: certificates are checked against the authorities of the machine.
    fn backend_tls(&self, declared: &ExternalDependency, name: &str) -> Tree {
        let spec = tree!({
            "targetRefs": [{"group": ENVOY, "kind": "Backend", "name": name}],
            "validation": {"hostname": &declared.host, "wellKnownCACertificates": "System"},
        });
        self.object(
            "gateway.networking.k8s.io/v1",
            "BackendTLSPolicy",
            name,
            spec,
        )
    }

    fn traffic_policy(
        &self,
        declared: &ExternalDependency,
        name: &str,
        mut settings: Members,
    ) -> Tree {
        let (_, kind) = route_kind(declared);
        let target = tree!([{"group": GATEWAY, "kind": kind, "name": name}]);
        settings.insert("targetRefs", target);
        self.object(ENVOY_V1, "BackendTrafficPolicy", name, settings.into())
    }

    fn object(&self, api_version: &str, kind: &str, name: &str, spec: Tree) -> Tree {
        tree!({
            "apiVersion": api_version,
            "kind": kind,
            "metadata": {"name": name, "namespace": self.cell, "labels": self.labels.clone()},
            "spec": spec,
        })
    }
}

/// Lets a `Backend` lead to private networks: its host is one that the platform team gives.
fn reach_anything(backend: &mut Tree) {
    let labels = ["metadata", "labels"]
        .iter()
        .try_fold(backend, |value, name| value.as_object_mut()?.get_mut(name));
    if let Some(labels) = labels.and_then(Tree::as_object_mut) {
        labels.insert(labels::ADDRESSES, "any");
    }
}

fn listener(declared: &ExternalDependency) -> Listener {
    (declared.layer(), declared.listen_port())
}

fn listener_name((layer, port): Listener) -> String {
    let layer = match layer {
        Layer::Http => "http",
        Layer::Tls => "tls",
        Layer::Tcp => "tcp",
    };
    format!("{layer}-{port}")
}

fn route_kind(declared: &ExternalDependency) -> (&'static str, &'static str) {
    match (declared.layer(), declared.protocol) {
        (Layer::Http, ExternalProtocol::Grpc) => ("gateway.networking.k8s.io/v1", "GRPCRoute"),
        (Layer::Http, _) => ("gateway.networking.k8s.io/v1", "HTTPRoute"),
        (Layer::Tls, _) => ("gateway.networking.k8s.io/v1", "TLSRoute"),
        (Layer::Tcp, _) => ("gateway.networking.k8s.io/v1alpha2", "TCPRoute"),
    }
}

/// An address as everybody writes it.
fn canonical(address: IpAddr) -> String {
    address.to_canonical().to_string()
}

/// What a `BackendTrafficPolicy` says of a connection; nothing when it asks for nothing.
fn traffic(declared: &ExternalDependency) -> Members {
    let mut settings = Members::default();
    if let Some(timeouts) = &declared.timeouts {
        let mut timeout = Members::default();
        if let Some(connect) = &timeouts.connect {
            timeout.insert("tcp", tree!({"connectTimeout": connect}));
        }
        if let Some(request) = &timeouts.request {
            timeout.insert("http", tree!({"requestTimeout": request}));
        }
        if !timeout.is_empty() {
            settings.insert("timeout", timeout);
        }
    }
    if let Some(retries) = &declared.retries {
        let mut retry = Members::default();
        retry.insert("numRetries", u64::from(retries.attempts));
        let mut each = Members::default();
        if let Some(timeout) = &retries.per_try_timeout {
            each.insert("timeout", timeout);
        }
        if let Some(backoff) = &retries.backoff {
            each.insert("backOff", tree!({"baseInterval": backoff}));
        }
        if !each.is_empty() {
            retry.insert("perRetry", each);
        }
        let codes: Tree = if retries.codes.is_empty() {
            tree!([503])
        } else {
            retries.codes.iter().copied().map(Tree::from).collect()
        };
        // Besides these only what reached nobody: a request that may have been obeyed is not sent again.
        let triggers = tree!([
            "connect-failure",
            "refused-stream",
            "retriable-status-codes"
        ]);
        let on = tree!({"httpStatusCodes": codes, "triggers": triggers});
        retry.insert("retryOn", on);
        settings.insert("retry", retry);
    }
    if let Some(breaker) = &declared.circuit_breaker {
        let limits = [
            ("maxConnections", breaker.max_connections),
            ("maxPendingRequests", breaker.max_pending_requests),
            ("maxParallelRequests", breaker.max_parallel_requests),
            ("maxParallelRetries", breaker.max_parallel_retries),
        ];
        let limits: Members = limits
            .into_iter()
            .filter_map(|(name, limit)| Some((name, Tree::from(u64::from(limit?)))))
            .collect();
        if !limits.is_empty() {
            settings.insert("circuitBreaker", limits);
        }
    }
    settings
}
