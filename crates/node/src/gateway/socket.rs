//! Envoy's listeners and route configurations: the points of one port together.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
};

use serde_json::{Value, json};

use super::{
    Input, egress,
    envoy::{self, At},
    hostname::{intersection, specificity},
    place::Place,
    point::{Class, Point},
    policy::{Client, Policies},
    route::Ordered,
    stream::Stream,
    tls::{Terminate, Tls},
};

/// What the points of all ports become.
#[derive(Debug, Default)]
pub(super) struct Rendered {
    pub(super) listeners: Vec<Value>,
    pub(super) routes: BTreeMap<String, Value>,
    pub(super) binds: Binds,
}

/// Names of Envoy's listeners, and where the host listens for each.
pub type Binds = BTreeMap<String, BTreeSet<Bind>>;

/// Where the host listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bind {
    /// For what.
    pub transport: Transport,
    /// At which address and port.
    pub address: SocketAddr,
}

/// What carries bytes to a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Transport {
    /// Connections.
    Tcp,
    /// Datagrams.
    Udp,
}

/// Renders all ports. Those of the platform's own address answer 404 even if no Gateway uses them, so that
/// the first route there is one change and no more.
pub(super) fn render(input: &Input, points: &[Point<'_>], policies: &Policies<'_>) -> Rendered {
    let mut sockets: BTreeMap<String, Vec<&Point<'_>>> = BTreeMap::new();
    for point in points.iter().filter(|p| p.serves()) {
        sockets.entry(point.socket()).or_default().push(point);
    }
    for port in &input.ports {
        sockets.entry(port.to_string()).or_default();
    }
    let mut rendered = Rendered::default();
    for (name, points) in sockets {
        let chains = match points.first().map_or(Class::Http, |p| p.class) {
            Class::Http => vec![plain(&name, &points, policies, &mut rendered.routes)],
            Class::Tls => secured(&points, policies, &mut rendered.routes),
            Class::Tcp => connections(&points, envoy::connections),
            Class::Udp => connections(&points, envoy::datagrams),
        };
        if chains.is_empty() {
            continue;
        }
        let client = points.first().and_then(|p| policies.client(p));
        let binds = points.iter().flat_map(|point| {
            let addresses = addresses(input, &point.place);
            let bind = |ip| Bind {
                transport: point.class.transport(),
                address: (ip, point.listener.port).into(),
            };
            addresses.into_iter().map(bind)
        });
        let binds: BTreeSet<Bind> = binds.collect();
        let at = at(&points, &binds);
        let listener = envoy::listener(&name, &chains, &at, client);
        rendered.listeners.push(listener);
        if !matches!(at, At::Inside(..)) {
            rendered.binds.insert(name, binds);
        }
    }
    rendered
}

/// Where the listener of some points listens.
fn at(points: &[&Point<'_>], binds: &BTreeSet<Bind>) -> At {
    let host = || At::Host(binds.iter().map(|bind| bind.address).collect());
    let Some(point) = points.first() else {
        return host();
    };
    match point.place {
        Place::Inside(address) => At::Inside(address, point.listener.port),
        _ if point.class == Class::Udp => At::Relay,
        Place::Shared | Place::Own(_) | Place::Unsupported(_) | Place::Unusable(_) => host(),
    }
}

fn addresses(input: &Input, place: &Place) -> BTreeSet<IpAddr> {
    match place {
        Place::Own(addresses) => addresses.clone(),
        Place::Shared => {
            let address = input.address.iter();
            address.filter_map(|address| address.parse().ok()).collect()
        }
        Place::Inside(_) | Place::Unsupported(_) | Place::Unusable(_) => BTreeSet::new(),
    }
}

/// The one chain of a port of plain HTTP.
fn plain(
    name: &str,
    points: &[&Point<'_>],
    policies: &Policies<'_>,
    routes: &mut BTreeMap<String, Value>,
) -> Value {
    let mut hosts: BTreeMap<&str, Vec<Ordered>> = BTreeMap::new();
    for point in points {
        // A listener's own name is answered with 404 rather than by a listener of a wider name.
        hosts.entry(&point.hostname).or_default();
        for (host, routes) in owned(points, point) {
            hosts
                .entry(host)
                .or_default()
                .extend(routes.iter().cloned());
        }
    }
    let rendered = hosts
        .into_iter()
        .map(|(host, routes)| (host, virtual_host(host, routes)));
    let mut hosts: BTreeMap<&str, Value> = rendered.collect();
    let out = points.iter().find(|point| point.place.is_inside());
    if let Some(point) = out {
        egress::refuse_others(&mut hosts, point.listener.port);
    }
    let hosts: Vec<Value> = hosts.into_values().collect();
    let mut configuration = envoy::route_configuration(name, &hosts);
    if out.is_some() {
        configuration["request_headers_to_remove"] = json!(egress::PRIVATE_HEADERS);
    }
    routes.insert(name.to_owned(), configuration);
    let client = points.first().and_then(|p| policies.client(p));
    json!({"filters": [envoy::requests(name, out.is_some(), client)]})
}

/// The routes of a listener's hosts, but for those that belong to one of the same Gateway with a closer
/// hostname.
fn owned<'p>(
    points: &'p [&Point<'_>],
    point: &'p Point<'_>,
) -> impl Iterator<Item = (&'p str, &'p Vec<Ordered>)> {
    let closer = move |host: &str| {
        points.iter().any(|other| {
            std::ptr::eq(other.gateway, point.gateway)
                && specificity(&other.hostname) > specificity(&point.hostname)
                && intersection(&other.hostname, host).as_deref() == Some(host)
        })
    };
    let hosts = point.hosts.iter();
    hosts
        .map(|(host, routes)| (host.as_str(), routes))
        .filter(move |(host, _)| !closer(host))
}

fn virtual_host(host: &str, mut routes: Vec<Ordered>) -> Value {
    Ordered::sort(&mut routes);
    let routes: Vec<Value> = routes.into_iter().map(|r| r.route).collect();
    json!({
        "name": host, "domains": [host], "routes": routes,
        "request_body_buffer_limit": envoy::KEPT_BYTES,
    })
}

/// The chains of a port of TLS, by the name that the client asks for.
fn secured(
    points: &[&Point<'_>],
    policies: &Policies<'_>,
    routes: &mut BTreeMap<String, Value>,
) -> Vec<Value> {
    let mut chains: BTreeMap<String, Value> = BTreeMap::new();
    for point in points {
        let client = policies.client(point);
        let terminate = match &point.tls {
            Some(Tls::Terminate(terminate)) => Some(terminate),
            _ => None,
        };
        if point.listener.protocol == "HTTPS" {
            let name = point.name();
            routes.insert(name.clone(), own_routes(&name, points, point));
            let filter = envoy::requests(&name, point.place.is_inside(), client);
            let chain = chain(&point.hostname, &filter, terminate, client, true);
            chains.entry(point.hostname.clone()).or_insert(chain);
            continue;
        }
        for stream in by_age(&point.streams) {
            for host in &stream.hosts {
                let filter = envoy::connections(&point.name(), &stream.target);
                chains
                    .entry(host.clone())
                    .or_insert_with(|| chain(host, &filter, terminate, client, false));
            }
        }
    }
    let mut all: Vec<Value> = chains.values().cloned().collect();
    if let Some(point) = points
        .first()
        .filter(|_| egress::refuses_names(points, &chains))
    {
        all.push(egress::refused_names(point));
    }
    all
}

/// The routes of a listener that ends TLS. A request for a name of another listener of its port came over
/// a connection that was made for this one, and is sent back.
fn own_routes(name: &str, points: &[&Point<'_>], point: &Point<'_>) -> Value {
    let mut hosts: BTreeMap<&str, Value> = BTreeMap::new();
    hosts.insert(&point.hostname, virtual_host(&point.hostname, Vec::new()));
    for (host, routes) in owned(points, point) {
        hosts.insert(host, virtual_host(host, routes.clone()));
    }
    for other in points {
        hosts.entry(&other.hostname).or_insert_with(|| {
            let answer = json!({"match": {"prefix": "/"}, "direct_response": {"status": 421}});
            json!({"name": other.hostname, "domains": [other.hostname], "routes": [answer]})
        });
    }
    envoy::route_configuration(name, &hosts.into_values().collect::<Vec<_>>())
}

fn chain(
    host: &str,
    filter: &Value,
    terminate: Option<&Terminate>,
    client: Option<&Client>,
    requests: bool,
) -> Value {
    let mut chain = json!({"name": host, "filters": [filter]});
    if host != "*" {
        chain["filter_chain_match"] = json!({"server_names": [host]});
    }
    if let Some(terminate) = terminate {
        chain["transport_socket"] = envoy::certificates(terminate, client, requests);
        chain["transport_socket_connect_timeout"] = json!(envoy::HANDSHAKE);
    }
    chain
}

/// The chain of a port of TCP or UDP: the oldest route has it.
fn connections(points: &[&Point<'_>], filter: impl Fn(&str, &Value) -> Value) -> Vec<Value> {
    let mut found = points.iter().filter_map(|point| {
        let stream = by_age(&point.streams).into_iter().next()?;
        let filter = filter(&point.name(), &stream.target);
        Some(json!({"filters": [filter]}))
    });
    found.next().into_iter().collect()
}

fn by_age(streams: &[Stream]) -> Vec<&Stream> {
    let mut sorted: Vec<&Stream> = streams.iter().collect();
    sorted.sort_by(|a, b| a.seniority.cmp(&b.seniority));
    sorted
}
