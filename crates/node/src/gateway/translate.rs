//! From Gateway API objects to Envoy's configuration and the objects' statuses: a pure function.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::{core::v1::Service, discovery::v1::EndpointSlice};
use serde_json::{Value, json};

use super::{
    GROUP,
    backend::Backends,
    envoy,
    hostname::{intersection, specificity},
    objects::{Class, Gateway, Grant, Listener, ParentRef, Resource, Route},
    route::{self, Ordered},
    status::{CONTROLLER, Problem, Status, condition, parent},
};

/// Everything a translation depends on.
#[derive(Debug, Clone, Default)]
pub struct Input {
    /// Ports the gateway can listen on.
    pub ports: BTreeSet<u16>,
    /// Where clients reach the gateway, for statuses.
    pub address: Option<String>,
    /// Classes; a Gateway of a class of another controller is left alone.
    pub classes: Vec<Resource<Class>>,
    /// Gateways.
    pub gateways: Vec<Resource<Gateway>>,
    /// HTTP routes.
    pub http_routes: Vec<Resource<Route>>,
    /// gRPC routes, as [`super::objects::grpc`] reads them.
    pub grpc_routes: Vec<Resource<Route>>,
    /// Grants for references over namespaces.
    pub grants: Vec<Resource<Grant>>,
    /// Labels of namespaces.
    pub namespaces: BTreeMap<String, BTreeMap<String, String>>,
    /// Services.
    pub services: Vec<Service>,
    /// Their endpoints.
    pub slices: Vec<EndpointSlice>,
}

/// What the objects mean.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Translation {
    /// Envoy listeners.
    pub listeners: Vec<Value>,
    /// Envoy route configurations, by gateway port.
    pub routes: BTreeMap<u16, Value>,
    /// Envoy clusters.
    pub clusters: Vec<Value>,
    /// New statuses of all objects.
    pub statuses: Vec<Status>,
}

/// Translates everything, always: an object with a fault has it in its status and disturbs no other.
pub fn translate(input: &Input) -> Translation {
    let mut points = attachment_points(input);
    let mut backends = Backends::new(&input.services, &input.slices, &input.grants);
    let mut statuses: Vec<Status> = Vec::new();
    let routes = [
        ("HTTPRoute", &input.http_routes),
        ("GRPCRoute", &input.grpc_routes),
    ];
    for (kind, routes) in routes {
        for route in routes {
            statuses.push(attach(input, kind, route, &mut points, &mut backends));
        }
    }
    statuses.extend(class_statuses(input));
    statuses.extend(gateway_statuses(input, &points));
    let routes = route_configurations(input, &points);
    Translation {
        listeners: routes.keys().map(|port| envoy::listener(*port)).collect(),
        routes,
        clusters: backends.into_clusters(),
        statuses,
    }
}

/// A listener that routes may attach to, and those that did.
struct Point<'a> {
    gateway: &'a Resource<Gateway>,
    listener: &'a Listener,
    /// In lower case: Envoy refuses hosts that differ in case alone.
    hostname: String,
    problem: Option<Problem>,
    attached: i32,
    hosts: BTreeMap<String, Vec<Ordered>>,
}

impl Point<'_> {
    fn hostname(&self) -> &str {
        &self.hostname
    }
}

fn attachment_points(input: &Input) -> Vec<Point<'_>> {
    let mut points: Vec<Point<'_>> = Vec::new();
    for gateway in input.gateways.iter().filter(|g| is_ours(input, g)) {
        for listener in &gateway.spec.listeners {
            let mut point = Point {
                gateway,
                listener,
                hostname: listener
                    .hostname
                    .as_deref()
                    .filter(|hostname| !hostname.is_empty())
                    .map_or_else(|| "*".to_owned(), str::to_ascii_lowercase),
                problem: None,
                attached: 0,
                hosts: BTreeMap::new(),
            };
            point.problem = listener_problem(input, &points, &point);
            points.push(point);
        }
    }
    points
}

fn is_ours(input: &Input, gateway: &Resource<Gateway>) -> bool {
    input
        .classes
        .iter()
        .find(|class| class.name == gateway.spec.gateway_class_name)
        .is_none_or(|class| class.spec.controller_name == CONTROLLER)
}

fn listener_problem(input: &Input, before: &[Point<'_>], point: &Point<'_>) -> Option<Problem> {
    let listener = point.listener;
    if listener.protocol != "HTTP" {
        let message = format!(
            "protocol {} is not served here, only HTTP",
            listener.protocol
        );
        return Some(Problem::refused("UnsupportedProtocol", message));
    }
    if !input.ports.contains(&listener.port) {
        let ports: Vec<String> = input.ports.iter().map(u16::to_string).collect();
        let message = format!(
            "the gateway does not listen on port {}, only on {}",
            listener.port,
            ports.join(", ")
        );
        return Some(Problem::refused("PortUnavailable", message));
    }
    let same = |other: &&Point<'_>| {
        std::ptr::eq(other.gateway, point.gateway)
            && other.listener.port == listener.port
            && other.hostname() == point.hostname()
    };
    before.iter().find(same).map(|other| {
        let message = format!(
            "listener {} has the same port and hostname",
            other.listener.name
        );
        Problem::refused("HostnameConflict", message)
    })
}

/// Attaches a route to the listeners of each of its parents that are ours; its status towards them.
fn attach(
    input: &Input,
    kind: &'static str,
    route: &Resource<Route>,
    points: &mut [Point<'_>],
    backends: &mut Backends<'_>,
) -> Status {
    let mut parents = Vec::new();
    let mut translated = None;
    for reference in &route.spec.parent_refs {
        let Some(mut candidates) = candidates(input, route, reference, points) else {
            continue;
        };
        let translated = translated.get_or_insert_with(|| route::translate(kind, route, backends));
        let mut problems = translated.problems.clone();
        match admit(input, kind, route, &mut candidates) {
            Ok(hosts) => {
                for (point, hosts) in candidates.iter_mut().zip(hosts) {
                    point.attached += i32::from(!hosts.is_empty());
                    for host in hosts {
                        let routes = point.hosts.entry(host).or_default();
                        routes.extend(translated.routes.iter().cloned());
                    }
                }
            }
            Err(problem) => problems.insert(0, problem),
        }
        parents.push(parent(reference, route.generation, &problems));
    }
    Status {
        kind,
        namespace: route.namespace.clone(),
        name: route.name.clone(),
        value: json!({"parents": parents}),
    }
}

/// The listeners a reference names; `None` if its Gateway is not ours to answer for.
fn candidates<'p, 'a>(
    input: &Input,
    route: &Resource<Route>,
    reference: &ParentRef,
    points: &'p mut [Point<'a>],
) -> Option<Vec<&'p mut Point<'a>>> {
    let group = reference.group.as_deref().unwrap_or(GROUP);
    let kind = reference.kind.as_deref().unwrap_or("Gateway");
    let namespace = reference.namespace.as_deref().unwrap_or(&route.namespace);
    let named = |g: &Resource<Gateway>| g.namespace == namespace && g.name == reference.name;
    let ours = input.gateways.iter().any(|g| named(g) && is_ours(input, g));
    if group != GROUP || kind != "Gateway" || !ours {
        return None;
    }
    let section = reference.section_name.as_deref();
    let wanted = |point: &&mut Point<'_>| {
        named(point.gateway)
            && section.is_none_or(|name| point.listener.name == name)
            && reference
                .port
                .is_none_or(|port| point.listener.port == port)
    };
    Some(points.iter_mut().filter(wanted).collect())
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
    candidates.retain(|point| point.problem.is_none());
    let hosts: Vec<Vec<String>> = candidates
        .iter()
        .map(|point| hosts(point, &route.spec.hostnames))
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
    let allowed = &point.listener.allowed_routes;
    let of_kind = allowed.kinds.is_empty()
        || allowed
            .kinds
            .iter()
            .any(|k| k.kind == kind && k.group.as_deref().unwrap_or(GROUP) == GROUP);
    let empty = BTreeMap::new();
    let labels = input.namespaces.get(&route.namespace).unwrap_or(&empty);
    let from = match allowed.namespaces.from.as_deref().unwrap_or("Same") {
        "All" => true,
        "Same" => route.namespace == point.gateway.namespace,
        "Selector" => allowed.namespaces.selector.matches(labels),
        _ => false,
    };
    of_kind && from
}

fn hosts(point: &Point<'_>, hostnames: &[String]) -> Vec<String> {
    if hostnames.is_empty() {
        return vec![point.hostname().to_owned()];
    }
    let mut found: Vec<String> = hostnames
        .iter()
        .filter_map(|hostname| intersection(point.hostname(), hostname))
        .collect();
    found.sort();
    found.dedup();
    found
}

/// One Envoy route configuration for each port: the hosts of all listeners on it.
fn route_configurations(input: &Input, points: &[Point<'_>]) -> BTreeMap<u16, Value> {
    let mut ports: BTreeMap<u16, BTreeMap<&str, Vec<Ordered>>> = BTreeMap::new();
    // A port that no Gateway uses answers 404 too: Envoy's listeners stay the same for its whole life.
    ports.extend(input.ports.iter().map(|port| (*port, BTreeMap::new())));
    for point in points.iter().filter(|p| p.problem.is_none()) {
        let hosts = ports.entry(point.listener.port).or_default();
        // A listener's own name is answered with 404 rather than by a listener of a wider name.
        hosts.entry(point.hostname()).or_default();
        for (host, routes) in &point.hosts {
            if owns(points, point, host) {
                hosts
                    .entry(host)
                    .or_default()
                    .extend(routes.iter().cloned());
            }
        }
    }
    let render = |(port, hosts): (u16, BTreeMap<&str, Vec<Ordered>>)| {
        let hosts = hosts.into_iter().map(|(host, mut routes)| {
            Ordered::sort(&mut routes);
            let routes: Vec<Value> = routes.into_iter().map(|r| r.route).collect();
            json!({"name": host, "domains": [host], "routes": routes})
        });
        (
            port,
            envoy::route_configuration(port, &hosts.collect::<Vec<_>>()),
        )
    };
    ports.into_iter().map(render).collect()
}

/// Whether a host belongs to a listener and not to one of the same Gateway with a closer hostname.
fn owns(points: &[Point<'_>], point: &Point<'_>, host: &str) -> bool {
    !points.iter().any(|other| {
        std::ptr::eq(other.gateway, point.gateway)
            && other.problem.is_none()
            && other.listener.port == point.listener.port
            && specificity(other.hostname()) > specificity(point.hostname())
            && intersection(other.hostname(), host).as_deref() == Some(host)
    })
}

fn class_statuses(input: &Input) -> impl Iterator<Item = Status> {
    let ours = |class: &&Resource<Class>| class.spec.controller_name == CONTROLLER;
    input.classes.iter().filter(ours).map(|class| Status {
        kind: "GatewayClass",
        namespace: String::new(),
        name: class.name.clone(),
        value: json!({"conditions": [condition("Accepted", class.generation, Ok("Accepted"))]}),
    })
}

fn gateway_statuses<'a>(
    input: &'a Input,
    points: &'a [Point<'_>],
) -> impl Iterator<Item = Status> + 'a {
    let ours = |gateway: &&Resource<Gateway>| is_ours(input, gateway);
    input.gateways.iter().filter(ours).map(|gateway| {
        let own: Vec<&Point<'_>> = points
            .iter()
            .filter(|p| std::ptr::eq(p.gateway, gateway))
            .collect();
        let bad: Vec<String> = own
            .iter()
            .filter_map(|p| {
                Some(format!(
                    "{}: {}",
                    p.listener.name,
                    p.problem.as_ref()?.message
                ))
            })
            .collect();
        let message = bad.join("; ");
        let generation = gateway.generation;
        let accepted = if bad.is_empty() {
            condition("Accepted", generation, Ok("Accepted"))
        } else {
            let mut accepted =
                condition("Accepted", generation, Err(("ListenersNotValid", &message)));
            if bad.len() < own.len() {
                accepted["status"] = json!("True");
            }
            accepted
        };
        let programmed = if own.is_empty() || bad.len() < own.len() {
            condition("Programmed", generation, Ok("Programmed"))
        } else {
            condition("Programmed", generation, Err(("Invalid", &message)))
        };
        let addresses: Vec<Value> = input
            .address
            .iter()
            .map(|address| json!({"type": "IPAddress", "value": address}))
            .collect();
        let listeners: Vec<Value> = own.iter().map(|p| listener_status(p)).collect();
        Status {
            kind: "Gateway",
            namespace: gateway.namespace.clone(),
            name: gateway.name.clone(),
            value: json!({
                "addresses": addresses,
                "conditions": [accepted, programmed],
                "listeners": listeners,
            }),
        }
    })
}

fn listener_status(point: &Point<'_>) -> Value {
    let generation = point.gateway.generation;
    let known = ["HTTPRoute", "GRPCRoute"];
    let asked = &point.listener.allowed_routes.kinds;
    let served: Vec<&str> = known
        .into_iter()
        .filter(|k| asked.is_empty() || asked.iter().any(|a| a.kind == *k))
        .collect();
    let foreign = asked.iter().find(|a| !known.contains(&a.kind.as_str()));
    let refs = match foreign {
        None => condition("ResolvedRefs", generation, Ok("ResolvedRefs")),
        Some(kind) => {
            let message = format!("routes of kind {} are not served here", kind.kind);
            condition(
                "ResolvedRefs",
                generation,
                Err(("InvalidRouteKinds", &message)),
            )
        }
    };
    let state = |kind: &str, good: &'static str| match &point.problem {
        None => condition(kind, generation, Ok(good)),
        Some(problem) => condition(kind, generation, Err((problem.reason, &problem.message))),
    };
    let mut conflicted = condition("Conflicted", generation, Ok("NoConflicts"));
    match &point.problem {
        Some(problem) if problem.reason == "HostnameConflict" => {
            conflicted["reason"] = json!(problem.reason);
            conflicted["message"] = json!(problem.message);
        }
        _ => conflicted["status"] = json!("False"),
    }
    let supported: Vec<Value> = served
        .iter()
        .map(|kind| json!({"group": GROUP, "kind": kind}))
        .collect();
    json!({
        "name": point.listener.name,
        "attachedRoutes": point.attached,
        "supportedKinds": supported,
        "conditions": [
            state("Accepted", "Accepted"),
            state("Programmed", "Programmed"),
            refs,
            conflicted,
        ],
    })
}
