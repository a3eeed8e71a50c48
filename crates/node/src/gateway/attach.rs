//! Attaching routes to listeners: which of them a route names, which take it, and under which names.

use std::collections::BTreeMap;

use serde_json::json;

use super::{
    GROUP, Input,
    hostname::intersection,
    objects::{Gateway, ParentRef, Resource, Route},
    point::{Point, Side},
    policy::Effect,
    route,
    status::{Outcome, Problem, Status, parent},
    stream,
    world::World,
};

/// Attaches a route to the listeners of each of its parents that are ours; its status towards them.
pub(super) fn attach(
    kind: &'static str,
    object: &Resource<Route>,
    points: &mut [Point<'_>],
    world: &mut World<'_>,
) -> Status {
    let mut parents = Vec::new();
    for reference in &object.spec.parent_refs {
        let found = candidates(world.input, object, reference, points);
        let Some((side, mut candidates)) = found else {
            continue;
        };
        let namespace = reference.namespace.as_ref().unwrap_or(&object.namespace);
        let gateway = (namespace.clone(), reference.name.clone());
        world.backends.on_behalf_of(gateway);
        world.backends.lead(None);
        let outcome = serve(kind, object, &mut candidates, world);
        let controller = side.controller();
        parents.push(parent(reference, object.generation, controller, &outcome));
    }
    Status {
        kind,
        namespace: object.namespace.clone(),
        name: object.name.clone(),
        value: json!({"parents": parents}),
    }
}

/// The listeners a reference names, and which way they lead; `None` if its Gateway is not ours to answer for.
pub(super) fn candidates<'p, 'a>(
    input: &Input,
    route: &Resource<Route>,
    reference: &ParentRef,
    points: &'p mut [Point<'a>],
) -> Option<(Side, Vec<&'p mut Point<'a>>)> {
    let side = parent_side(input, route, reference)?;
    let namespace = reference.namespace.as_deref().unwrap_or(&route.namespace);
    let section = reference.section_name.as_deref();
    let wanted = |point: &&mut Point<'_>| {
        point.gateway.namespace == namespace
            && point.gateway.name == reference.name
            && section.is_none_or(|name| point.listener.name == name)
            && reference
                .port
                .is_none_or(|port| point.listener.port == port)
    };
    Some((side, points.iter_mut().filter(wanted).collect()))
}

/// Whether a reference is to a Gateway of ours.
pub(super) fn is_parent(input: &Input, route: &Resource<Route>, reference: &ParentRef) -> bool {
    parent_side(input, route, reference).is_some()
}

/// Which way the Gateway of a reference leads, if it is one of ours.
fn parent_side(input: &Input, route: &Resource<Route>, reference: &ParentRef) -> Option<Side> {
    let group = reference.group.as_deref().unwrap_or(GROUP);
    let kind = reference.kind.as_deref().unwrap_or("Gateway");
    let namespace = reference.namespace.as_deref().unwrap_or(&route.namespace);
    if group != GROUP || kind != "Gateway" {
        return None;
    }
    let mut gateways = input.gateways.iter();
    let named = |g: &&Resource<Gateway>| g.namespace == namespace && g.name == reference.name;
    Side::of(input, gateways.find(named)?)
}

/// Puts a route on the listeners that take it.
fn serve(
    kind: &'static str,
    object: &Resource<Route>,
    candidates: &mut Vec<&mut Point<'_>>,
    world: &mut World<'_>,
) -> Outcome {
    let hosts = match admit(world.input, kind, object, candidates) {
        Ok(hosts) => hosts,
        Err(problem) => {
            let mut outcome = Outcome::default();
            // What it refers to is told even if nothing takes it.
            outcome.problems.push(problem);
            let refs = check(kind, object, world).into_iter();
            outcome
                .problems
                .extend(refs.filter(|p| p.condition == "ResolvedRefs"));
            return outcome;
        }
    };
    let mut whole = Outcome::default();
    for (point, hosts) in candidates.iter_mut().zip(hosts) {
        if hosts.is_empty() {
            continue;
        }
        world.backends.lead(point.way(&hosts));
        let outcome = if is_stream(kind) {
            stream::attach(kind, object, hosts, point, world)
        } else {
            route::attach(kind, object, hosts, point, world)
        };
        let refused = outcome.problems.iter().any(|p| p.condition == "Accepted");
        point.attached += i32::from(!refused);
        for (into, from) in [
            (&mut whole.problems, outcome.problems),
            (&mut whole.dropped, outcome.dropped),
        ] {
            into.extend(from);
        }
    }
    whole
}

fn is_stream(kind: &str) -> bool {
    matches!(kind, "TLSRoute" | "TCPRoute")
}

/// What is wrong with the references of a route, whoever may take it.
fn check(kind: &'static str, object: &Resource<Route>, world: &mut World<'_>) -> Vec<Problem> {
    if is_stream(kind) {
        stream::targets((kind, object), None, &Effect::default(), world).1
    } else {
        route::translate(kind, object, None, world).outcome.problems
    }
}

/// The hostnames under which each listener serves the route, or why none does.
fn admit(
    input: &Input,
    kind: &str,
    route: &Resource<Route>,
    candidates: &mut Vec<&mut Point<'_>>,
) -> Result<Vec<Vec<String>>, Problem> {
    if candidates.is_empty() {
        let message = "the Gateway has no such listener";
        return Err(Problem::refused("NoMatchingParent", message));
    }
    candidates.retain(|point| allows(input, kind, route, point));
    if candidates.is_empty() {
        let message = format!(
            "no listener of the Gateway takes a {kind} of namespace {}",
            route.namespace
        );
        return Err(Problem::refused("NotAllowedByListeners", message));
    }
    candidates.retain(|point| point.accepts());
    let hosts: Vec<Vec<String>> = candidates
        .iter()
        .map(|point| hosts(point, kind, &route.spec.hostnames))
        .collect();
    if candidates.is_empty() {
        let message = "the listener cannot serve: see the Gateway's status";
        Err(Problem::refused("NoMatchingParent", message))
    } else if hosts.iter().all(Vec::is_empty) {
        let message = "no hostname of the route is one of the listener's";
        Err(Problem::refused("NoMatchingListenerHostname", message))
    } else {
        Ok(hosts)
    }
}

fn allows(input: &Input, kind: &str, route: &Resource<Route>, point: &Point<'_>) -> bool {
    let empty = BTreeMap::new();
    let labels = input.namespaces.get(&route.namespace).unwrap_or(&empty);
    let namespaces = &point.listener.allowed_routes.namespaces;
    let from = match namespaces.from.as_deref().unwrap_or("Same") {
        "All" => true,
        "Same" => route.namespace == point.gateway.namespace,
        "Selector" => namespaces.selector.matches(labels),
        _ => false,
    };
    from && point.kinds().contains(&kind)
}

fn hosts(point: &Point<'_>, kind: &str, hostnames: &[String]) -> Vec<String> {
    if hostnames.is_empty() || kind == "TCPRoute" {
        return vec![point.hostname.clone()];
    }
    let mut found: Vec<String> = hostnames
        .iter()
        .filter_map(|hostname| intersection(&point.hostname, hostname))
        .collect();
    found.sort();
    found.dedup();
    found
}
