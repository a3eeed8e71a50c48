//! The addresses of a component's endpoints, read from what was rendered.

use crate::bench::Draft;
use crate::context;
use crate::finish::text;
use choreo_model::application::{EndpointType, Visibility, WorkloadEndpoint};
use choreo_model::component_type::WorkloadType;
use choreo_model::plane::{GatewayEndpoint, GatewayPair, Listener};
use choreo_model::release::{EndpointStatus, EndpointUrl, GatewayUrls};
use choreo_model::shared::TargetPlane;
use choreo_model::{DataPlane, Environment, labels};
use choreo_template::Tree;
use std::collections::BTreeMap;

/// One entry per endpoint that has a route or a Service: those with a route first, then the others,
/// each by name.
pub(crate) fn endpoints(
    endpoints: &BTreeMap<String, WorkloadEndpoint>,
    workload_type: WorkloadType,
    drafts: &[Draft],
    (environment, plane): (&Environment, &DataPlane),
) -> Vec<EndpointStatus> {
    let offered;
    let endpoints = if endpoints.is_empty() && !workload_type.runs() {
        offered = routed(drafts);
        &offered
    } else {
        endpoints
    };
    let gateway = context::gateway(environment, plane);
    let none = GatewayPair::default();
    let ingress = gateway.ingress.as_ref().unwrap_or(&none);
    let service = service(endpoints, drafts);
    let mut with_route = Vec::with_capacity(endpoints.len());
    let mut others = Vec::new();
    for (name, endpoint) in endpoints {
        let type_ = endpoint.type_;
        let [internal, external] = [false, true].map(|side| route(name, type_, drafts, side));
        let service_url = service.and_then(|service| service_url(service, endpoint));
        let list = match (internal, external, &service_url) {
            (None, None, None) => continue,
            (None, None, Some(_)) => &mut others,
            _ => &mut with_route,
        };
        let urls = |route: Option<&Tree>, gateway: &Option<GatewayEndpoint>| {
            route_urls(route?, type_, gateway.as_ref()?)
        };
        list.push(EndpointStatus {
            name: name.clone(),
            type_: Some(type_),
            service_url,
            internal_urls: urls(internal, &ingress.internal),
            external_urls: urls(external, &ingress.external),
            visibility: endpoint.visibility.clone(),
        });
    }
    with_route.append(&mut others);
    with_route
}

/// The endpoints of a component that runs nothing and declares none: what its routes say. Nothing listens on a
/// port of theirs.
fn routed(drafts: &[Draft]) -> BTreeMap<String, WorkloadEndpoint> {
    let mut endpoints = BTreeMap::new();
    for route in deployed(drafts) {
        let type_ = match text(route, &["kind"]) {
            "HTTPRoute" => EndpointType::Http,
            "GRPCRoute" => EndpointType::Grpc,
            "TLSRoute" => EndpointType::Tcp,
            _ => continue,
        };
        let name = text(route, &["metadata", "labels", labels::ENDPOINT_NAME]);
        if name.is_empty() || !carries(route, type_) {
            continue;
        }
        let endpoint = endpoints
            .entry(name.to_owned())
            .or_insert_with(|| WorkloadEndpoint {
                type_,
                port: 0,
                target_port: None,
                visibility: Vec::new(),
                display_name: None,
                base_path: None,
                schema: None,
            });
        let side = text(route, &["metadata", "labels", labels::ENDPOINT_VISIBILITY]);
        let side = if side == "external" {
            Visibility::External
        } else {
            Visibility::Internal
        };
        if !endpoint.visibility.contains(&side) {
            endpoint.visibility.push(side);
        }
    }
    endpoints
}

/// The objects of the data plane.
fn deployed(drafts: &[Draft]) -> impl DoubleEndedIterator<Item = &Tree> {
    let deployed = drafts
        .iter()
        .filter(|draft| draft.plane == TargetPlane::DataPlane);
    deployed.map(|draft| &draft.object)
}

/// The Service that exposes most of the endpoints; the first of several.
fn service<'d>(
    endpoints: &BTreeMap<String, WorkloadEndpoint>,
    drafts: &'d [Draft],
) -> Option<&'d Tree> {
    let mut best = None;
    let mut most = 0;
    for object in deployed(drafts) {
        if text(object, &["kind"]) != "Service" || text(object, &["apiVersion"]) != "v1" {
            continue;
        }
        let matching = endpoints
            .values()
            .filter(|endpoint| exposes(object, endpoint.port))
            .count();
        if matching > most {
            (best, most) = (Some(object), matching);
        }
    }
    best
}

fn exposes(service: &Tree, port: u16) -> bool {
    let ports = service.pointer("/spec/ports").and_then(Tree::as_array);
    let mut ports = ports.into_iter().flat_map(|ports| ports.iter());
    ports.any(|exposed| exposed.get("port").and_then(Tree::as_u64) == Some(u64::from(port)))
}

fn service_url(service: &Tree, endpoint: &WorkloadEndpoint) -> Option<EndpointUrl> {
    exposes(service, endpoint.port).then(|| EndpointUrl {
        scheme: match endpoint.type_ {
            EndpointType::Http | EndpointType::GraphQL => "http",
            EndpointType::Websocket => "ws",
            EndpointType::Grpc => "grpc",
            EndpointType::Tcp => "tcp",
            EndpointType::Udp => "udp",
        }
        .to_owned(),
        host: format!(
            "{}.{}.svc.cluster.local",
            text(service, &["metadata", "name"]),
            text(service, &["metadata", "namespace"])
        ),
        port: Some(endpoint.port),
        path: endpoint.base_path.clone().unwrap_or_default(),
    })
}

/// The route to the endpoint on one side; of several the last.
fn route<'d>(
    name: &str,
    type_: EndpointType,
    drafts: &'d [Draft],
    external: bool,
) -> Option<&'d Tree> {
    let mut routes = deployed(drafts).rev();
    routes.find(|route| {
        let labels = route.pointer("/metadata/labels");
        let label = |key: &str| labels.and_then(|labels| labels.get(key)?.as_str());
        label(labels::ENDPOINT_NAME) == Some(name)
            && (label(labels::ENDPOINT_VISIBILITY) == Some("external")) == external
            && carries(route, type_)
    })
}

/// Whether an object is a route of a kind that reaches endpoints of `type_`.
fn carries(route: &Tree, type_: EndpointType) -> bool {
    text(route, &["apiVersion"]).starts_with("gateway.networking.k8s.io/")
        && match text(route, &["kind"]) {
            "HTTPRoute" => !matches!(type_, EndpointType::Tcp | EndpointType::Udp),
            "GRPCRoute" => type_ == EndpointType::Grpc,
            "TLSRoute" => type_ != EndpointType::Udp,
            _ => false,
        }
}

fn route_urls(route: &Tree, type_: EndpointType, gateway: &GatewayEndpoint) -> Option<GatewayUrls> {
    let host = route.pointer("/spec/hostnames/0").and_then(Tree::as_str)?;
    if host.is_empty() {
        return None;
    }
    let path = route_path(route);
    let url = |listener: &Option<Listener>, secure: bool| {
        listener.as_ref().map(|listener| EndpointUrl {
            scheme: scheme(type_, secure).to_owned(),
            host: host.to_owned(),
            port: Some(listener.port),
            path: path.to_owned(),
        })
    };
    let urls = if text(route, &["kind"]) == "TLSRoute" {
        GatewayUrls {
            tls: url(&gateway.tls, true),
            ..GatewayUrls::default()
        }
    } else {
        GatewayUrls {
            http: url(&gateway.http, false),
            https: url(&gateway.https, true),
            tls: None,
        }
    };
    (urls != GatewayUrls::default()).then_some(urls)
}

const fn scheme(type_: EndpointType, secure: bool) -> &'static str {
    match (type_, secure) {
        (EndpointType::Http | EndpointType::GraphQL, false) => "http",
        (EndpointType::Http | EndpointType::GraphQL, true) => "https",
        (EndpointType::Websocket, false) => "ws",
        (EndpointType::Websocket, true) => "wss",
        (EndpointType::Grpc, false) => "grpc",
        (EndpointType::Grpc, true) => "grpcs",
        (EndpointType::Tcp | EndpointType::Udp, _) => "tls",
    }
}

/// Where on its host a route serves the endpoint.
fn route_path(route: &Tree) -> &str {
    let annotated = route
        .pointer("/metadata/annotations")
        .and_then(|annotations| annotations.get(labels::ENDPOINT_BASE_PATH))
        .and_then(Tree::as_str);
    match annotated.filter(|path| !path.is_empty()) {
        Some(path) => path,
        None if text(route, &["kind"]) == "HTTPRoute" => text(
            route,
            &["spec", "rules", "0", "matches", "0", "path", "value"],
        ),
        None => "",
    }
}
