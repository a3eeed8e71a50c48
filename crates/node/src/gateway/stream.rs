//! Routes of connections: `TLSRoute` and `TCPRoute`, and of datagrams: `UDPRoute`.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{
    backend::{Protocol, Wish},
    elsewhere,
    objects::{Resource, Route},
    point::Point,
    policy::{Effect, Scope},
    references::Referrer,
    route::NO_CLUSTER,
    status::{Outcome, Problem},
    world::World,
};

/// Connections of some names, and where they go.
#[derive(Debug, Clone)]
pub(super) struct Stream {
    /// The names that clients ask for; `*`: any.
    pub(super) hosts: Vec<String>,
    /// The names of where it leads: those, or, where nobody asks for a name, those of its backends.
    pub(super) names: Vec<String>,
    /// Envoy's choice of clusters.
    pub(super) target: Value,
    /// Whose it is: the older wins.
    pub(super) seniority: (Option<jiff::Timestamp>, String, String),
}

/// Attaches a route to a listener.
pub(super) fn attach(
    kind: &'static str,
    object: &Resource<Route>,
    hosts: Vec<String>,
    point: &mut Point<'_>,
    world: &mut World<'_>,
) -> Outcome {
    let scope = Scope::new(kind, object, None, point);
    let effect = world.policies.effect(&scope);
    let (target, mut problems) = targets((kind, object), Some(point), &effect, world);
    if effect.refuses() {
        let message = "a policy on it cannot be obeyed: see that policy's status";
        problems.push(Problem::unsupported(message));
    }
    if world.policies.guards(&scope) {
        let message = "the SecurityPolicy on it is of requests, and this route is of connections";
        problems.push(Problem::unsupported(message));
    }
    if !problems.iter().any(|p| p.condition == "Accepted") {
        let (created, namespace, name) = object.seniority();
        let names = if kind == "TLSRoute" {
            hosts.clone()
        } else {
            backend_names(kind, object, world)
        };
        point.streams.push(Stream {
            hosts,
            names,
            target,
            seniority: (created, namespace.to_owned(), name.to_owned()),
        });
    }
    Outcome {
        problems,
        ..Outcome::default()
    }
}

/// Where the connections of a route go, and what is wrong with that.
pub(super) fn targets(
    (kind, object): (&'static str, &Resource<Route>),
    point: Option<&Point<'_>>,
    effect: &Effect,
    world: &mut World<'_>,
) -> (Value, Vec<Problem>) {
    let from = Referrer::of(kind, &object.namespace);
    let mut problems = Vec::new();
    let mut targets: Vec<Value> = Vec::new();
    let mut dynamic = BTreeSet::new();
    if object.spec.rules.len() > 1 {
        let message = "only the first rule of a route of connections is served";
        problems.push(Problem::unsupported(message));
    }
    for reference in object
        .spec
        .rules
        .iter()
        .take(1)
        .flat_map(|r| &r.backend_refs)
    {
        let wish = Wish {
            protocol: if kind == "UDPRoute" {
                Protocol::Udp
            } else {
                Protocol::Tcp
            },
            settings: effect.cluster(),
        };
        let backend = world.backends.named(from, reference);
        dynamic.insert(backend.is_some_and(elsewhere::is_dynamic));
        let cluster = world
            .backend(from, reference, &wish)
            .unwrap_or_else(|problem| {
                problems.push(problem);
                NO_CLUSTER.to_owned()
            });
        let weight = reference.weight.unwrap_or(1);
        if weight > 0 {
            targets.push(json!({"name": cluster, "weight": weight}));
        }
    }
    let mut target = match targets.as_slice() {
        [] => json!({"cluster": NO_CLUSTER}),
        [one] => json!({"cluster": one["name"]}),
        _ => json!({"weighted_clusters": {"clusters": targets}}),
    };
    if dynamic.len() > 1 {
        let message = "a route to a Backend of type DynamicResolver has no other backends";
        problems.push(Problem::unsupported(message));
    } else if let (true, Some(point)) = (dynamic.contains(&true), point) {
        if kind == "TCPRoute" {
            let message =
                "a TCPRoute has no names: DynamicResolver is for TLSRoutes and HTTPRoutes";
            problems.push(Problem::unsupported(message));
        }
        let tunnel = Tunnel {
            port: point.listener.port,
        };
        target["tunneling_config"] = tunnel.config();
    }
    (target, problems)
}

/// The names that the backends of a route have outside.
fn backend_names(kind: &'static str, object: &Resource<Route>, world: &World<'_>) -> Vec<String> {
    let from = Referrer::of(kind, &object.namespace);
    let references = object.spec.rules.iter().flat_map(|rule| &rule.backend_refs);
    let backends = references.filter_map(|reference| world.backends.named(from, reference));
    let endpoints = backends.flat_map(|backend| &backend.endpoints);
    let named = endpoints.filter_map(|endpoint| endpoint.fqdn.as_ref());
    named
        .map(|fqdn| fqdn.hostname.to_ascii_lowercase())
        .collect()
}

/// Connections that are handed on with the name that was asked for: in the words of a proxy (`CONNECT`).
#[derive(Debug, Clone, Copy)]
pub(super) struct Tunnel {
    /// The port at the other end.
    pub(super) port: u16,
}

impl Tunnel {
    /// Envoy's configuration of it.
    pub(super) fn config(self) -> Value {
        json!({"hostname": format!("%REQUESTED_SERVER_NAME%:{}", self.port)})
    }
}
