//! The addresses of a component's endpoints, read from what was rendered.

use crate::bench::Draft;
use crate::context;
use crate::finish::text;
use choreo_model::application::{EndpointType, WorkloadEndpoint};
use choreo_model::plane::{GatewayEndpoint, Listener};
use choreo_model::release::{EndpointStatus, EndpointUrl, GatewayUrls};
use choreo_model::{DataPlane, Environment, labels};
use serde_json::Value;
use std::collections::BTreeMap;

/// One entry per endpoint that can be reached, by name.
pub(crate) fn endpoints(
    endpoints: &BTreeMap<String, WorkloadEndpoint>,
    drafts: &[Draft],
    environment: &Environment,
    plane: &DataPlane,
) -> Vec<EndpointStatus> {
    let ingress = context::gateway(environment, plane)
        .ingress
        .unwrap_or_default();
    let service = service(endpoints, drafts);
    endpoints
        .iter()
        .map(|(name, endpoint)| {
            let routes = |external: bool| {
                let gateway = if external {
                    &ingress.external
                } else {
                    &ingress.internal
                };
                gateway_urls(name, endpoint.type_, drafts, external, gateway.as_ref()?)
            };
            EndpointStatus {
                name: name.clone(),
                type_: Some(endpoint.type_),
                service_url: service.and_then(|service| service_url(service, endpoint)),
                internal_urls: routes(false),
                external_urls: routes(true),
            }
        })
        .filter(|status| {
            status.service_url.is_some()
                || status.internal_urls.is_some()
                || status.external_urls.is_some()
        })
        .collect()
}

/// The Service that exposes most of the endpoints; the first of several.
fn service<'d>(
    endpoints: &BTreeMap<String, WorkloadEndpoint>,
    drafts: &'d [Draft],
) -> Option<&'d Value> {
    let mut best = None;
    let mut most = 0;
    for draft in drafts {
        let object = &draft.object;
        if text(object, "/kind") != "Service" || text(object, "/apiVersion") != "v1" {
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

fn exposes(service: &Value, port: u16) -> bool {
    let ports = service.pointer("/spec/ports").and_then(Value::as_array);
    ports
        .into_iter()
        .flatten()
        .any(|exposed| exposed.get("port").and_then(Value::as_u64) == Some(u64::from(port)))
}

fn service_url(service: &Value, endpoint: &WorkloadEndpoint) -> Option<EndpointUrl> {
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
            text(service, "/metadata/name"),
            text(service, "/metadata/namespace")
        ),
        port: Some(endpoint.port),
        path: endpoint.base_path.clone().unwrap_or_default(),
    })
}

fn gateway_urls(
    name: &str,
    type_: EndpointType,
    drafts: &[Draft],
    external: bool,
    gateway: &GatewayEndpoint,
) -> Option<GatewayUrls> {
    // Of several routes to the same side the last one counts.
    drafts
        .iter()
        .rev()
        .map(|draft| &draft.object)
        .filter(|route| {
            let labels = route.pointer("/metadata/labels");
            let label = |key: &str| {
                labels
                    .and_then(|labels| labels.get(key))
                    .and_then(Value::as_str)
            };
            label(labels::ENDPOINT_NAME) == Some(name)
                && (label(labels::ENDPOINT_VISIBILITY) == Some("external")) == external
        })
        .find_map(|route| route_urls(route, type_, gateway))
}

fn route_urls(
    route: &Value,
    type_: EndpointType,
    gateway: &GatewayEndpoint,
) -> Option<GatewayUrls> {
    let kind = text(route, "/kind");
    let compatible = match kind {
        "HTTPRoute" => !matches!(type_, EndpointType::Tcp | EndpointType::Udp),
        "GRPCRoute" => type_ == EndpointType::Grpc,
        "TLSRoute" => type_ != EndpointType::Udp,
        _ => false,
    };
    let host = route.pointer("/spec/hostnames/0").and_then(Value::as_str)?;
    if !compatible {
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
    let urls = if kind == "TLSRoute" {
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
fn route_path(route: &Value) -> &str {
    let annotated = route
        .pointer("/metadata/annotations")
        .and_then(|annotations| annotations.get(labels::ENDPOINT_BASE_PATH))
        .and_then(Value::as_str);
    match annotated {
        Some(path) => path,
        None if text(route, "/kind") == "HTTPRoute" => {
            text(route, "/spec/rules/0/matches/0/path/value")
        }
        None => "",
    }
}
