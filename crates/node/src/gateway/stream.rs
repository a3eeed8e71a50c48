//! Routes of connections: `TLSRoute` and `TCPRoute`.

use serde_json::{Value, json};

use super::{
    backend::{Protocol, Wish},
    objects::{Resource, Route},
    point::Point,
    policy::Scope,
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
    let (target, mut problems) = targets(kind, object, world);
    let scope = Scope::new(kind, object, None, point);
    if world.policies.guards(&scope) {
        let message = "the SecurityPolicy on it is of requests, and this route is of connections";
        problems.push(Problem::unsupported(message));
    }
    if !problems.iter().any(|p| p.condition == "Accepted") {
        let (created, namespace, name) = object.seniority();
        point.streams.push(Stream {
            hosts,
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
    kind: &'static str,
    object: &Resource<Route>,
    world: &mut World<'_>,
) -> (Value, Vec<Problem>) {
    let from = Referrer::of(kind, &object.namespace);
    let mut problems = Vec::new();
    let mut targets: Vec<Value> = Vec::new();
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
        let wish = Wish::plain(Protocol::Tcp);
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
    let target = match targets.as_slice() {
        [] => json!({"cluster": NO_CLUSTER}),
        [one] => json!({"cluster": one["name"]}),
        _ => json!({"weighted_clusters": {"clusters": targets}}),
    };
    (target, problems)
}
