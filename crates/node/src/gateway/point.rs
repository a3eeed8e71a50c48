//! Listeners as points that routes attach to: which of them serve, and what keeps the others from it.

use std::{collections::BTreeMap, ops::Range};

use serde_json::{Value, json};

use super::{
    GROUP, Input,
    elsewhere::Way,
    listener_set::Member,
    objects::{Gateway, Listener, ListenerSet, Resource, RouteKind},
    place::Place,
    references::{References, Referrer},
    route::Ordered,
    socket::Transport,
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
    /// UDP, not told apart.
    Udp,
}

impl Class {
    fn of(protocol: &str) -> Option<Self> {
        match protocol {
            "HTTP" => Some(Self::Http),
            "HTTPS" | "TLS" => Some(Self::Tls),
            "TCP" => Some(Self::Tcp),
            "UDP" => Some(Self::Udp),
            _ => None,
        }
    }

    /// What carries it.
    pub(super) fn transport(self) -> Transport {
        match self {
            Self::Http | Self::Tls | Self::Tcp => Transport::Tcp,
            Self::Udp => Transport::Udp,
        }
    }
}

/// A listener that routes may attach to, and those that did.
#[derive(Debug)]
pub(super) struct Point<'a> {
    pub(super) gateway: &'a Resource<Gateway>,
    /// The set that adds it to the Gateway, if one does.
    pub(super) set: Option<&'a Resource<ListenerSet>>,
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
        socket(&self.place, self.listener)
    }

    /// Its own name among all listeners of all Gateways.
    pub(super) fn name(&self) -> String {
        name(self.gateway, self.set, self.listener)
    }

    /// The namespace of who declares it.
    pub(super) fn namespace(&self) -> &str {
        self.set
            .map_or(&self.gateway.namespace, |set| &set.namespace)
    }

    /// The generation of who declares it.
    pub(super) fn generation(&self) -> i64 {
        self.set
            .map_or(self.gateway.generation, |set| set.generation)
    }

    /// The section of the Gateway that it is, for policies; of a set's there is none.
    pub(super) fn section(&self) -> String {
        match self.set {
            None => self.listener.name.clone(),
            Some(_) => self.name(),
        }
    }

    /// Whether one object declares both.
    fn is_beside(&self, other: &Self) -> bool {
        let set = |point: &Self| point.set.map(std::ptr::from_ref);
        std::ptr::eq(self.gateway, other.gateway) && set(self) == set(other)
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

    /// Whether it has all that it needs, wherever it is.
    pub(super) fn is_sound(&self) -> bool {
        let certified = match &self.tls {
            Some(Tls::Terminate(terminate)) => !terminate.certificates.is_empty(),
            Some(Tls::Passthrough) | None => true,
        };
        self.accepts() && certified
    }

    /// Whether requests may come in.
    pub(super) fn serves(&self) -> bool {
        self.is_sound() && self.place.serves()
    }

    /// The kinds of routes its protocol can carry.
    fn carried(&self) -> &'static [&'static str] {
        match (self.listener.protocol.as_str(), &self.tls) {
            ("HTTP" | "HTTPS", _) => &["HTTPRoute", "GRPCRoute"],
            ("TLS", Some(Tls::Terminate(_))) => &["TLSRoute", "TCPRoute"],
            ("TLS", _) => &["TLSRoute"],
            ("TCP", _) => &["TCPRoute"],
            ("UDP", _) => &["UDPRoute"],
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

/// The name of the socket of a listener. A port of UDP is another than that of TCP.
pub(super) fn socket(place: &Place, listener: &Listener) -> String {
    let name = place.socket(listener.port);
    match Class::of(&listener.protocol).map(Class::transport) {
        Some(Transport::Udp) => format!("{name}_udp"),
        Some(Transport::Tcp) | None => name,
    }
}

/// The name of a listener among all.
pub(super) fn name(
    gateway: &Resource<Gateway>,
    set: Option<&Resource<ListenerSet>>,
    listener: &Listener,
) -> String {
    let set = set.map(|set| format!("{}/{}/", set.namespace, set.name));
    format!(
        "{}/{}/{}{}",
        gateway.namespace,
        gateway.name,
        set.unwrap_or_default(),
        listener.name
    )
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

/// All points of our Gateways, in the order of these: of each, its own before those of sets.
pub(super) fn points<'a>(
    input: &'a Input,
    (places, sets): (&[Place], &[Member<'a>]),
    references: &References<'_>,
    secrets: &mut Secrets,
) -> Vec<Point<'a>> {
    let mut points: Vec<Point<'a>> = Vec::new();
    for (gateway, place) in ours(input).zip(places) {
        if refusal(gateway, place).is_some() {
            continue;
        }
        let own = gateway
            .spec
            .listeners
            .iter()
            .map(|listener| (None, listener));
        let sets = sets
            .iter()
            .filter(|member| std::ptr::eq(member.gateway, gateway) && member.is_let());
        let added = sets.flat_map(|member| {
            let listeners = member.set.spec.listeners.iter();
            listeners.map(move |listener| (Some(member.set), listener))
        });
        for declared in own.chain(added) {
            points.push(point(gateway, declared, place, references, secrets));
        }
    }
    mark_conflicts(&mut points);
    points
}

fn point<'a>(
    gateway: &'a Resource<Gateway>,
    (set, listener): (Option<&'a Resource<ListenerSet>>, &'a Listener),
    place: &Place,
    references: &References<'_>,
    secrets: &mut Secrets,
) -> Point<'a> {
    let mut problems = Vec::new();
    let class = Class::of(&listener.protocol);
    if class.is_none() || (class == Some(Class::Udp) && place.is_inside()) {
        let message = format!("protocol {} is not served here", listener.protocol);
        problems.push(Problem::refused("UnsupportedProtocol", message));
    }
    let hostname = listener.hostname.as_deref().filter(|name| !name.is_empty());
    let from = match set {
        None => Referrer::of("Gateway", &gateway.namespace),
        Some(set) => Referrer::of("ListenerSet", &set.namespace),
    };
    let mut point = Point {
        gateway,
        set,
        listener,
        place: place.clone(),
        hostname: hostname.map_or_else(|| "*".to_owned(), str::to_ascii_lowercase),
        class: class.unwrap_or(Class::Tcp),
        tls: tls::read(
            gateway,
            (from, listener),
            references,
            secrets,
            &mut problems,
        ),
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

/// Refuses listeners that cannot be told apart. What comes first goes on, so that nobody can take away what serves;
/// of what one Gateway or set declares and nobody else is in the way of, none does.
fn mark_conflicts(points: &mut [Point<'_>]) {
    let mut lost = BTreeMap::new();
    let mut start = 0;
    for own in points.chunk_by(Point::is_beside) {
        let end = start + own.len();
        for rivals in [0..start, start..end] {
            let found = conflicts(points, start..end, &rivals, &lost);
            lost.extend(found);
        }
        start = end;
    }
    for (position, problem) in lost {
        if let Some(point) = points.get_mut(position) {
            point.problems.push(problem);
        }
    }
}

/// The points of a range that cannot be told apart from one of `rivals`; who is `lost` is in nobody's way.
fn conflicts(
    points: &[Point<'_>],
    own: Range<usize>,
    rivals: &Range<usize>,
    lost: &BTreeMap<usize, Problem>,
) -> BTreeMap<usize, Problem> {
    let good = |range: Range<usize>| {
        let within = points
            .iter()
            .enumerate()
            .skip(range.start)
            .take(range.len());
        within.filter(|(position, point)| !lost.contains_key(position) && point.accepts())
    };
    let conflicting = good(own).filter_map(|(position, point)| {
        let mut others = good(rivals.clone()).filter(|(other, _)| *other != position);
        let problem = others.find_map(|(_, rival)| conflict(point, rival))?;
        Some((position, problem))
    });
    conflicting.collect()
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
    if point.class != rival.class || matches!(point.class, Class::Tcp | Class::Udp) {
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
