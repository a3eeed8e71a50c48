//! From Gateway API objects to Envoy's configuration and the objects' statuses: a pure function.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use k8s_openapi::api::{core::v1::Service, discovery::v1::EndpointSlice};
use serde_json::{Value, json};

use super::{
    CookieKey,
    attach::attach,
    client_certificate, envoy, gateway_status, listener_set,
    objects::{Backend, BackendTls, Class, Gateway, Grant, ListenerSet, Policy, Resource, Route},
    place::places,
    point::{ours, points},
    references::{Found, References, Wanted},
    socket::{self, Binds},
    status::Status,
    tls::Secrets,
    upstream_tls::{SYSTEM_AUTHORITIES, system_authorities},
    world::{Outlets, World},
};
use crate::service::egress;

/// Everything a translation depends on.
#[derive(Debug, Clone, Default)]
pub struct Input {
    /// Ports of the platform's own address. A Gateway that listens on none but these shares it with all
    /// others that do.
    pub ports: BTreeSet<u16>,
    /// That address, for statuses.
    pub address: Option<String>,
    /// Classes; a Gateway of a class of another controller is left alone.
    pub classes: Vec<Resource<Class>>,
    /// Gateways.
    pub gateways: Vec<Resource<Gateway>>,
    /// Listeners that are added to them.
    pub listener_sets: Vec<Resource<ListenerSet>>,
    /// HTTP routes.
    pub http_routes: Vec<Resource<Route>>,
    /// gRPC routes, as [`super::objects::grpc`] reads them.
    pub grpc_routes: Vec<Resource<Route>>,
    /// Routes of TLS connections.
    pub tls_routes: Vec<Resource<Route>>,
    /// Routes of TCP connections.
    pub tcp_routes: Vec<Resource<Route>>,
    /// Routes of datagrams.
    pub udp_routes: Vec<Resource<Route>>,
    /// Grants for references over namespaces.
    pub grants: Vec<Resource<Grant>>,
    /// How Services are spoken to over TLS.
    pub backend_tls: Vec<Resource<BackendTls>>,
    /// Who may send requests.
    pub security_policies: Vec<Resource<Policy>>,
    /// How requests are handed on.
    pub traffic_policies: Vec<Resource<Policy>>,
    /// How clients are served.
    pub client_policies: Vec<Resource<Policy>>,
    /// Addresses that are no Service's.
    pub backends: Vec<Resource<Backend>>,
    /// The authorities that this host trusts, in PEM.
    pub authorities: Option<Arc<str>>,
    /// What cookies of those who signed in are signed with.
    pub cookies: Option<CookieKey>,
    /// Labels of namespaces.
    pub namespaces: BTreeMap<String, BTreeMap<String, String>>,
    /// Services.
    pub services: Vec<Service>,
    /// Their endpoints.
    pub slices: Vec<EndpointSlice>,
    /// What the last translation wanted, as far as it exists.
    pub found: Found,
}

impl Input {
    /// The routes by their kinds.
    pub(super) fn routes(&self) -> [(&'static str, &Vec<Resource<Route>>); 5] {
        [
            ("HTTPRoute", &self.http_routes),
            ("GRPCRoute", &self.grpc_routes),
            ("TLSRoute", &self.tls_routes),
            ("TCPRoute", &self.tcp_routes),
            ("UDPRoute", &self.udp_routes),
        ]
    }
}

/// What the objects mean.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Translation {
    /// Envoy listeners.
    pub listeners: Vec<Value>,
    /// Envoy route configurations, by name: a port, or a listener that ends TLS.
    pub routes: BTreeMap<String, Value>,
    /// Envoy clusters.
    pub clusters: Vec<Value>,
    /// Certificates, and what filters must not show, by name.
    pub secrets: BTreeMap<String, Value>,
    /// The configuration of Envoy's filter for tokens.
    pub tokens: Value,
    /// Where the host listens, by the name of the Envoy listener.
    pub binds: Binds,
    /// Where the platform leads connections out.
    pub outlets: Outlets,
    /// The Gateways that lead out of cells.
    pub egress: Vec<egress::Gateway>,
    /// What objects refer to and a translation has to see.
    pub wanted: BTreeSet<Wanted>,
    /// New statuses of all objects.
    pub statuses: Vec<Status>,
}

/// Translates everything, always: an object with a fault has it in its status and disturbs no other.
pub fn translate(input: &Input) -> Translation {
    let references = References::new(&input.grants, &input.found);
    let places = places(input, ours(input));
    let mut secrets = Secrets::new();
    let sets = listener_set::members(input, ours(input), &places);
    let mut points = points(input, (&places, &sets), &references, &mut secrets);
    let shown = client_certificate::shown(input, &references, &mut secrets);
    let mut world = World::new(input, references, &shown);
    let mut statuses: Vec<Status> = Vec::new();
    for (kind, routes) in input.routes() {
        for route in routes {
            statuses.push(attach(kind, route, &mut points, &mut world));
        }
    }
    statuses.extend(gateway_status::classes(input));
    let gateways = gateway_status::Observed {
        places: &places,
        points: &points,
        sets: &sets,
        shown: &shown,
    };
    statuses.extend(gateways.statuses(input));
    statuses.extend(listener_set::statuses(&sets, &points));
    statuses.extend(world.policies.statuses(input));
    statuses.extend(world.backends.statuses());
    let rendered = socket::render(input, &points, &world.policies);
    let tokens = world.policies.tokens();
    secrets.extend(world.policies.secrets());
    let (mut clusters, outlets) = world.backends.into_parts();
    let egress = super::egress::gateways(ours(input), &places, &points);
    if !egress.is_empty() {
        clusters.push(super::egress::refusal_cluster());
    }
    if let Some(authorities) = &input.authorities {
        let secret = system_authorities(authorities);
        secrets.insert(SYSTEM_AUTHORITIES.to_owned(), secret);
    }
    Translation {
        listeners: rendered.listeners,
        routes: rendered.routes,
        clusters,
        secrets,
        tokens: json!({
            "@type": "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig",
            "name": envoy::JWT_FILTER,
            "typed_config": tokens,
        }),
        binds: rendered.binds,
        outlets,
        egress,
        wanted: world.references.into_wanted(),
        statuses,
    }
}
