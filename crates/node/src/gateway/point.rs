//! Listeners as points that routes attach to: which of them serve, and what keeps the others from it.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{
    GROUP, Input,
    elsewhere::Way,
    objects::{Gateway, Listener, Resource, RouteKind},
    place::Place,
    references::References,
    route::Ordered,
    status::{CONTROLLER, EGRESS_CLASS, EGRESS_CONTROLLER, Problem},
    stream::Stream,
    tls::{self, Secrets, Tls},
};

/// What listeners of one port must have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// Plain HTTP, told apart by the `Host` header.
    Http,
    /// TLS, told apart by the name that the client asks for.
    Tls,
    /// TCP, not told apart.
    Tcp,
}

/// A listener that routes may attach to, and those that did.
#[derive(Debug)]
pub(super) struct Point<'a> {
    pub(super) gateway: &'a Resource<Gateway>,
    pub(super) listener: &'a Listener,
    pub(super) place: Place,
    /// In lower case: Envoy refuses hosts that differ in case alone.
    pub(super) hostname: String,
    pub(super) class: Class,
    /// What keeps it, or a part of it, from serving.
    pub(super) problems: Vec<Problem>,
    pub(super) tls: Option<Tls>,
    pub(super) attached: i32,
    /// HTTP routes by host.
    pub(super) hosts: BTreeMap<String, Vec<Ordered>>,
    /// Routes of connections.
    pub(super) streams: Vec<Stream>,
}

impl Point<'_> {
    /// The name of the socket it listens on, which others may share.
    pub(super) fn socket(&self) -> String {
        self.place.socket(self.listener.port)
    }

    /// Its own name among all listeners of all Gateways.
    pub(super) fn name(&self) -> String {
        let Resource {
            namespace, name, ..
        } = self.gateway;
        format!("{namespace}/{name}/{}", self.listener.name)
    }

    /// The way out that it leads for routes under some hosts, if it leads out.
    pub(super) fn way(&self, hosts: &[String]) -> Option<Way> {
        self.place.is_inside().then(|| Way {
            port: self.listener.port,
            hosts: hosts.to_vec(),
        })
    }

    /// Whether routes may attach.
    pub(super) fn accepts(&self) -> bool {
        let against = |p: &&Problem| matches!(p.condition, "Accepted" | "Conflicted");
        !self.problems.iter().any(|p| against(&p))
    }

    /// Whether requests may come in.
    pub(super) fn serves(&self) -> bool {
        let certified = match &self.tls {
            Some(Tls::Terminate(terminate)) => !terminate.certificates.is_empty(),
            Some(Tls::Passthrough) | None => true,
        };
        self.accepts() && certified && self.place.serves()
    }

    /// The kinds of routes its protocol can carry.
    fn carried(&self) -> &'static [&'static str] {
        match (self.listener.protocol.as_str(), &self.tls) {
            ("HTTP" | "HTTPS", _) => &["HTTPRoute", "GRPCRoute"],
            ("TLS", Some(Tls::Terminate(_))) => &["TLSRoute", "TCPRoute"],
            ("TLS", _) => &["TLSRoute"],
            ("TCP", _) => &["TCPRoute"],
            _ => &[],
        }
    }

    /// The kinds of routes it takes.
    pub(super) fn kinds(&self) -> Vec<&'static str> {
        let asked = &self.listener.allowed_routes.kinds;
        let wanted = |kind: &str| asked.is_empty() || asked.iter().any(|a| is(a, kind));
        let carried = self.carried().iter().copied();
        carried.filter(|kind| wanted(kind)).collect()
    }

    /// The kinds it takes, for its status.
    pub(super) fn supported(&self) -> Vec<Value> {
        let kinds = self.kinds().into_iter();
        kinds
            .map(|kind| json!({"group": GROUP, "kind": kind}))
            .collect()
    }
}

fn is(asked: &RouteKind, kind: &str) -> bool {
    asked.kind == kind && asked.group.as_deref().unwrap_or(GROUP) == GROUP
}

/// Which way a Gateway leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// Into cells, for whoever reaches this host.
    In,
    /// Out of a cell, for its pods.
    Out,
}

impl Side {
    /// Which way a Gateway leads, if it is of a class of ours, or of none that is known.
    pub(super) fn of(input: &Input, gateway: &Resource<Gateway>) -> Option<Self> {
        let name = gateway.spec.class_name.as_str();
        let class = input.classes.iter().find(|class| class.name == name);
        match class.map(|class| class.spec.controller_name.as_str()) {
            Some(CONTROLLER) => Some(Self::In),
            Some(EGRESS_CONTROLLER) => Some(Self::Out),
            Some(_) => None,
            None if name == EGRESS_CLASS => Some(Self::Out),
            None => Some(Self::In),
        }
    }

    /// The controller that serves it, as statuses name it.
    pub(super) fn controller(self) -> &'static str {
        match self {
            Self::In => CONTROLLER,
            Self::Out => EGRESS_CONTROLLER,
        }
    }
}

/// The Gateways that are ours, those that are refused as a whole included.
pub(super) fn ours(input: &Input) -> impl Iterator<Item = &Resource<Gateway>> + Clone {
    input
        .gateways
        .iter()
        .filter(|g| Side::of(input, g).is_some())
}

/// Why a Gateway cannot be served at all.
pub(super) fn refusal(gateway: &Resource<Gateway>, place: &Place) -> Option<Problem> {
    if gateway.spec.infrastructure.parameters_ref.is_some() {
        let message = "spec.infrastructure.parametersRef is not served here";
        return Some(Problem::refused("InvalidParameters", message));
    }
    match place {
        Place::Unsupported(message) => Some(Problem::refused("UnsupportedAddress", message)),
        Place::Shared | Place::Own(_) | Place::Inside(_) | Place::Unusable(_) => None,
    }
}

/// All points of our Gateways, in the order of these.
pub(super) fn points<'a>(
    input: &'a Input,
    places: &[Place],
    references: &References<'_>,
    secrets: &mut Secrets,
) -> Vec<Point<'a>> {
    let mut points: Vec<Point<'a>> = Vec::new();
    for (gateway, place) in ours(input).zip(places) {
        if refusal(gateway, place).is_some() {
            continue;
        }
        let own = gateway.spec.listeners.iter();
        points.extend(own.map(|listener| point(gateway, listener, place, references, secrets)));
    }
    mark_conflicts(&mut points);
    points
}

fn point<'a>(
    gateway: &'a Resource<Gateway>,
    listener: &'a Listener,
    place: &Place,
    references: &References<'_>,
    secrets: &mut Secrets,
) -> Point<'a> {
    let mut problems = Vec::new();
    let class = match listener.protocol.as_str() {
        "HTTP" => Class::Http,
        "HTTPS" | "TLS" => Class::Tls,
        other => {
            if other != "TCP" {
                let message =
                    format!("protocol {other} is not served here, only HTTP, HTTPS, TLS and TCP");
                problems.push(Problem::refused("UnsupportedProtocol", message));
            }
            Class::Tcp
        }
    };
    let hostname = listener.hostname.as_deref().filter(|name| !name.is_empty());
    let mut point = Point {
        gateway,
        listener,
        place: place.clone(),
        hostname: hostname.map_or_else(|| "*".to_owned(), str::to_ascii_lowercase),
        class,
        tls: tls::read(gateway, listener, references, secrets, &mut problems),
        problems,
        attached: 0,
        hosts: BTreeMap::new(),
        streams: Vec::new(),
    };
    let asked = &listener.allowed_routes.kinds;
    let carried = point.carried();
    if let Some(foreign) = asked
        .iter()
        .find(|a| !carried.iter().any(|kind| is(a, kind)))
    {
        let message = format!(
            "routes of kind {} are not served on listeners of protocol {}",
            foreign.kind, listener.protocol
        );
        point
            .problems
            .push(Problem::refs("InvalidRouteKinds", message));
    }
    point
}

/// Refuses listeners that cannot be told apart. Of one Gateway all of them are; of two that share a
/// port the older Gateway's goes on, so that nobody can take away what serves.
fn mark_conflicts(points: &mut [Point<'_>]) {
    let mut found = Vec::new();
    for (position, point) in points.iter().enumerate() {
        let rivals = points.iter().enumerate().filter(|(other, rival)| {
            let same = std::ptr::eq(point.gateway, rival.gateway);
            *other != position && (same || *other < position) && rival.accepts()
        });
        let mut conflicts = rivals.filter_map(|(other, rival)| {
            let lost: bool = found.iter().any(|(lost, _)| *lost == other);
            let same = std::ptr::eq(point.gateway, rival.gateway);
            (same || !lost).then(|| conflict(point, rival)).flatten()
        });
        if let (true, Some(problem)) = (point.accepts(), conflicts.next()) {
            found.push((position, problem));
        }
    }
    for (position, problem) in found {
        if let Some(point) = points.get_mut(position) {
            point.problems.push(problem);
        }
    }
}

fn conflict(point: &Point<'_>, rival: &Point<'_>) -> Option<Problem> {
    if point.socket() != rival.socket() {
        return None;
    }
    let same_gateway = std::ptr::eq(point.gateway, rival.gateway);
    let name = if same_gateway {
        rival.listener.name.clone()
    } else {
        rival.name()
    };
    if point.class != rival.class || point.class == Class::Tcp {
        let message = format!(
            "listener {name} has the same port with protocol {}",
            rival.listener.protocol
        );
        return Some(Problem::conflict("ProtocolConflict", message));
    }
    // Several Gateways may serve plain HTTP under one name: their routes are told apart by what they match.
    let shared = !same_gateway && point.class == Class::Http;
    (point.hostname == rival.hostname && !shared).then(|| {
        let message = format!("listener {name} has the same port and hostname");
        Problem::conflict("HostnameConflict", message)
    })
}
