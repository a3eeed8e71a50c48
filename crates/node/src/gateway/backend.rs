//! Backends: from a reference to an Envoy cluster, over the addresses of ready pods or those that a
//! `Backend` names.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr},
};

use k8s_openapi::api::{
    core::v1::{Service, ServicePort},
    discovery::v1::EndpointSlice,
};
use serde_json::Value;

use super::{
    ENVOY_GROUP, Input,
    client_certificate::Shown,
    cluster::{self, Cluster, Endpoint, Settings, Upstream},
    elsewhere::{self, Way},
    objects::{Backend, BackendRef, Resource},
    references::{References, Referrer, Target},
    route::NO_CLUSTER,
    status::{Problem, Status},
    upstream_tls::{self, Kind, Trusted, UpstreamTls},
    world::Outlets,
};
use crate::machine::{GATEWAYS, PROGRAMS};

/// What a route speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    /// HTTP, of the version that the backend's port tells.
    Http,
    /// HTTP/2 always.
    Grpc,
    /// Anything over TCP.
    Tcp,
    /// Datagrams.
    Udp,
}

impl Protocol {
    /// What carries it, as ports of Services say.
    fn transport(self) -> &'static str {
        match self {
            Self::Http | Self::Grpc | Self::Tcp => "TCP",
            Self::Udp => "UDP",
        }
    }
}

/// How a backend is to be spoken to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wish<'s> {
    pub(super) protocol: Protocol,
    /// What a policy says.
    pub(super) settings: Option<&'s Settings>,
}

impl Wish<'_> {
    /// Without a policy.
    pub(super) fn plain(protocol: Protocol) -> Self {
        Self {
            protocol,
            settings: None,
        }
    }

    fn upstream(&self, http2: bool) -> Upstream {
        match self.protocol {
            Protocol::Grpc => Upstream::Http2,
            Protocol::Http if http2 => Upstream::Http2,
            Protocol::Http => Upstream::Http1,
            Protocol::Tcp => Upstream::Tcp,
            Protocol::Udp => Upstream::Udp,
        }
    }
}

/// The upstream half of a translation: knows Services, collects the clusters that routes use.
pub(super) struct Backends<'a> {
    services: BTreeMap<(&'a str, &'a str), &'a Service>,
    slices: BTreeMap<(&'a str, &'a str), Vec<&'a EndpointSlice>>,
    elsewhere: &'a [Resource<Backend>],
    system: Result<Trusted, String>,
    way: Option<Way>,
    tls: UpstreamTls<'a>,
    clusters: BTreeMap<String, Value>,
    outlets: Outlets,
}

impl<'a> Backends<'a> {
    pub(super) fn new(input: &'a Input, references: &References<'a>, shown: &'a Shown) -> Self {
        let mut slices: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for slice in &input.slices {
            let labels = slice.metadata.labels.as_ref();
            let service = labels.and_then(|l| l.get("kubernetes.io/service-name"));
            if let (Some(namespace), Some(service)) = (&slice.metadata.namespace, service) {
                slices
                    .entry((namespace.as_str(), service.as_str()))
                    .or_default()
                    .push(slice);
            }
        }
        let key = |s: &'a Service| {
            let namespace = s.metadata.namespace.as_deref().unwrap_or_default();
            (namespace, s.metadata.name.as_deref().unwrap_or_default())
        };
        Self {
            services: input.services.iter().map(|s| (key(s), s)).collect(),
            slices,
            elsewhere: &input.backends,
            system: upstream_tls::system(input),
            way: None,
            tls: UpstreamTls::new(input, references, shown),
            clusters: BTreeMap::new(),
            outlets: Outlets::new(),
        }
    }

    /// All clusters that were asked for, and where some of them lead.
    pub(super) fn into_parts(self) -> (Vec<Value>, Outlets) {
        (self.clusters.into_values().collect(), self.outlets)
    }

    /// Statuses of the objects that only backends look at.
    pub(super) fn statuses(&self) -> Vec<Status> {
        let mut statuses = self.tls.statuses();
        statuses.extend(self.elsewhere.iter().map(elsewhere::status));
        statuses
    }

    /// From now on clusters are asked for on behalf of this Gateway.
    pub(super) fn on_behalf_of(&mut self, gateway: (String, String)) {
        self.tls.on_behalf_of(gateway);
    }

    /// From now on clusters are asked for that lead out, or are not.
    pub(super) fn lead(&mut self, way: Option<Way>) {
        self.way = way;
    }

    /// The authorities that this host trusts, if it has some.
    pub(super) fn system_authorities(&self) -> Result<Trusted, String> {
        self.system.clone()
    }

    /// The `Backend` that a reference is to, if it is one.
    pub(super) fn named(&self, from: Referrer<'_>, to: &BackendRef) -> Option<&'a Backend> {
        let namespace = to.namespace.as_deref().unwrap_or(from.namespace);
        let group = to.group.as_deref().unwrap_or_default();
        if (group, to.kind.as_deref()) != (ENVOY_GROUP, Some("Backend")) {
            return None;
        }
        let mut all = self.elsewhere.iter();
        let found = all.find(|b| b.namespace == namespace && b.name == to.name)?;
        Some(&found.spec)
    }

    /// The name of the cluster of a backend.
    pub(super) fn cluster(
        &mut self,
        references: &References<'_>,
        from: Referrer<'_>,
        to: &BackendRef,
        wish: &Wish<'_>,
    ) -> Result<String, Problem> {
        let target = Target {
            group: to.group.as_deref().unwrap_or_default(),
            kind: to.kind.as_deref().unwrap_or("Service"),
            namespace: to.namespace.as_deref().unwrap_or(from.namespace),
            name: &to.name,
        };
        match (target.group, target.kind) {
            ("", "Service") if self.way.is_some() => {
                let message = format!(
                    "backend {} is a Service; a Gateway that leads out has Backends only",
                    to.name
                );
                Err(Problem::refs("InvalidKind", message))
            }
            ("", "Service") => {
                references.check(from, target)?;
                self.of_service(target, to.port, wish)
            }
            (ENVOY_GROUP, "Backend") => {
                references.check(from, target)?;
                if wish.protocol == Protocol::Udp {
                    let message = format!("Backend {} is not reached over UDP", to.name);
                    return Err(Problem::refs("UnsupportedProtocol", message));
                }
                self.of_backend(references, target, wish)
            }
            (_, kind) => {
                let message = format!("backend {} is a {kind}; only Services can be", to.name);
                Err(Problem::refs("InvalidKind", message))
            }
        }
    }

    fn of_service(
        &mut self,
        target: Target<'_>,
        port: Option<u16>,
        wish: &Wish<'_>,
    ) -> Result<String, Problem> {
        let Target {
            namespace, name, ..
        } = target;
        let missing = |what: &str| {
            let message = format!("Service {namespace}/{name}{what}");
            Problem::refs("BackendNotFound", message)
        };
        let service = *self
            .services
            .get(&(namespace, name))
            .ok_or_else(|| missing(" does not exist"))?;
        let port = port.ok_or_else(|| missing(": the reference names no port"))?;
        let described = service
            .spec
            .iter()
            .flat_map(|s| s.ports.iter().flatten())
            .find(|p| p.port == i32::from(port))
            .ok_or_else(|| missing(&format!(" has no port {port}")))?;
        let wanted = wish.protocol.transport();
        if described.protocol.as_deref().unwrap_or("TCP") != wanted {
            let message = format!("port {port} of Service {namespace}/{name} is not {wanted}");
            return Err(Problem::refs("UnsupportedProtocol", message));
        }
        let section = described.name.as_deref();
        let upstream = wish.upstream(is_http2(described));
        let tls = self
            .tls
            .of((Kind::Service, namespace, name), section, upstream);
        let Ok((tls, shown)) = tls.and_then(|tls| self.tls.show(tls)) else {
            // Its policy or the Gateway tells; nothing is sent without the check that somebody asked for.
            return Ok(NO_CLUSTER.to_owned());
        };
        let endpoints = self.endpoints(namespace, name, described);
        let cluster = Cluster {
            name: format!("{namespace}/{name}/{port}{shown}"),
            upstream,
            endpoints,
            tls,
        };
        Ok(self.keep(&cluster, wish))
    }

    fn of_backend(
        &mut self,
        references: &References<'_>,
        target: Target<'_>,
        wish: &Wish<'_>,
    ) -> Result<String, Problem> {
        let found = self
            .elsewhere
            .iter()
            .find(|b| b.namespace == target.namespace && b.name == target.name)
            .ok_or_else(|| {
                let message = format!(
                    "Backend {}/{} does not exist",
                    target.namespace, target.name
                );
                Problem::refs("BackendNotFound", message)
            })?;
        let (endpoints, outlets) = elsewhere::endpoints(found, self.way.as_ref())
            .map_err(|why| Problem::refs("UnsupportedValue", why))?;
        let upstream = wish.upstream(elsewhere::is_http2(&found.spec));
        let Ok(asked) = self.tls.of(
            (Kind::Backend, target.namespace, target.name),
            None,
            upstream,
        ) else {
            // Its policy tells; nothing is sent without the check that somebody asked for.
            return Ok(NO_CLUSTER.to_owned());
        };
        let own = elsewhere::tls(found, references, self.system.clone(), upstream)?;
        let Ok((tls, shown)) = self.tls.show(asked.or(own)) else {
            // The Gateway tells.
            return Ok(NO_CLUSTER.to_owned());
        };
        let cluster = Cluster {
            name: self.name_of(target, &found.spec, &outlets) + &shown,
            upstream,
            endpoints,
            tls,
        };
        self.outlets.extend(outlets);
        Ok(self.keep(&cluster, wish))
    }

    /// The name of a `Backend`'s cluster. One leads elsewhere for who leads out.
    fn name_of(&self, target: Target<'_>, backend: &Backend, outlets: &Outlets) -> String {
        let Target {
            namespace, name, ..
        } = target;
        match &self.way {
            None => format!("{namespace}/{name}/backend"),
            Some(_) if elsewhere::is_dynamic(backend) => {
                let hosts: String = outlets.values().map(ToString::to_string).collect();
                format!("{namespace}/{name}/out/{hosts}")
            }
            Some(_) => format!("{namespace}/{name}/out"),
        }
    }

    /// A cluster of an address that a policy names by itself.
    pub(super) fn of_address(&mut self, cluster: &Cluster, outlets: Outlets) -> String {
        self.outlets.extend(outlets);
        self.keep(cluster, &Wish::plain(Protocol::Http))
    }

    fn keep(&mut self, cluster: &Cluster, wish: &Wish<'_>) -> String {
        let name = cluster.full_name(wish.settings);
        self.clusters
            .entry(name.clone())
            .or_insert_with(|| cluster::render(&name, cluster, wish.settings));
        name
    }

    fn endpoints(&self, namespace: &str, service: &str, port: &ServicePort) -> BTreeSet<Endpoint> {
        let slices = self.slices.get(&(namespace, service)).into_iter().flatten();
        let mut found = BTreeSet::new();
        for slice in slices {
            let wanted = port.name.as_deref().unwrap_or_default();
            let number = slice
                .ports
                .iter()
                .flatten()
                .find(|p| p.name.as_deref().unwrap_or_default() == wanted)
                .and_then(|p| u16::try_from(p.port?).ok());
            let Some(number) = number else { continue };
            for endpoint in slice.endpoints.iter().flatten() {
                // Absent means ready, by the API's definition.
                if endpoint.conditions.as_ref().and_then(|c| c.ready) != Some(false) {
                    let addresses = endpoint.addresses.iter().filter(|a| is_elsewhere(a));
                    found.extend(addresses.map(|a| Endpoint::Address(a.clone(), number)));
                }
            }
        }
        found
    }
}

/// Whether an endpoint is an address, and not one that Envoy listens at itself: what comes in does not go
/// out. Names are not looked up here, and Envoy refuses them in a list of addresses.
fn is_elsewhere(address: &str) -> bool {
    let address = address.parse::<IpAddr>();
    match address.map(|address| address.to_canonical()) {
        Ok(IpAddr::V4(v4)) => v4 != PROGRAMS && !is_gateway(v4),
        Ok(IpAddr::V6(_)) => true,
        Err(_) => false,
    }
}

fn is_gateway(address: Ipv4Addr) -> bool {
    let (first, prefix) = GATEWAYS;
    let hosts = u32::MAX.checked_shr(prefix.into()).unwrap_or_default();
    address.to_bits() & !hosts == first.to_bits()
}

fn is_http2(port: &ServicePort) -> bool {
    match port.app_protocol.as_deref() {
        Some(protocol) => matches!(protocol, "kubernetes.io/h2c" | "grpc" | "h2c"),
        None => port.name.as_deref().is_some_and(|n| n.starts_with("grpc")),
    }
}
