//! Attaching routes to listeners: which of them a route names, which take it, and under which names.

use std::collections::BTreeMap;

use serde_json::json;

use super::{
    GROUP, Input,
    hostname::intersection,
    listener_set,
    objects::{Gateway, ListenerSet, ParentRef, Resource, Route},
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
        let Some((gateway, side, mut candidates)) = found else {
            continue;
        };
        let gateway = (gateway.namespace.clone(), gateway.name.clone());
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

/// The Gateway of a reference, which way it leads, and the listeners that the reference names; `None` if the
/// Gateway is not ours to answer for.
fn candidates<'p, 'a, 'i>(
    input: &'i Input,
    route: &Resource<Route>,
    reference: &ParentRef,
    points: &'p mut [Point<'a>],
) -> Option<(&'i Resource<Gateway>, Side, Vec<&'p mut Point<'a>>)> {
    let (set, gateway) = parent_of(input, route, reference)?;
    let side = Side::of(input, gateway)?;
    let set = set.map(std::ptr::from_ref);
    let section = reference.section_name.as_deref();
    let wanted = |point: &&mut Point<'_>| {
        std::ptr::eq(point.gateway, gateway)
            && point.set.map(std::ptr::from_ref) == set
            && section.is_none_or(|name| point.listener.name == name)
            && reference
                .port
                .is_none_or(|port| point.listener.port == port)
    };
    Some((gateway, side, points.iter_mut().filter(wanted).collect()))
}

/// The Gateway of ours that a reference leads to.
pub(super) fn gateway_of<'a>(
    input: &'a Input,
    route: &Resource<Route>,
    reference: &ParentRef,
) -> Option<&'a Resource<Gateway>> {
    let (_, gateway) = parent_of(input, route, reference)?;
    Side::of(input, gateway).map(|_| gateway)
}

/// The Gateway that a reference leads to, by itself or by way of a set.
fn parent_of<'a>(
    input: &'a Input,
    route: &Resource<Route>,
    reference: &ParentRef,
) -> Option<(Option<&'a Resource<ListenerSet>>, &'a Resource<Gateway>)> {
    let group = reference.group.as_deref().unwrap_or(GROUP);
    let kind = reference.kind.as_deref().unwrap_or("Gateway");
    match (group, kind) {
        (GROUP, "Gateway") => {
            let namespace = reference.namespace.as_deref().unwrap_or(&route.namespace);
            let named =
                |g: &&Resource<Gateway>| g.namespace == namespace && g.name == reference.name;
            Some((None, input.gateways.iter().find(named)?))
        }
        (GROUP, "ListenerSet") => {
            let set = listener_set::named(input, &route.namespace, reference)?;
            Some((Some(set), listener_set::gateway_of(input, set)?))
        }
        _ => None,
    }
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
    matches!(kind, "TLSRoute" | "TCPRoute" | "UDPRoute")
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
        let message = "there is no such listener";
        return Err(Problem::refused("NoMatchingParent", message));
    }
    candidates.retain(|point| allows(input, kind, route, point));
    if candidates.is_empty() {
        let message = format!(
            "no listener takes a {kind} of namespace {}",
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
        let message = "the listener cannot serve: see the status of who declares it";
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
        "Same" => route.namespace == point.namespace(),
        "Selector" => namespaces.selector.matches(labels),
        _ => false,
    };
    from && point.kinds().contains(&kind)
}

fn hosts(point: &Point<'_>, kind: &str, hostnames: &[String]) -> Vec<String> {
    if hostnames.is_empty() || matches!(kind, "TCPRoute" | "UDPRoute") {
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
