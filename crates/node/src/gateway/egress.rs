//! What is different for Gateways that lead out of cells: where they listen, what becomes of hosts that no
//! route names, and what the node is told of them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::{
    objects::{Gateway, Resource},
    place::Place,
    point::{Class, Point},
    stream::Tunnel,
};
use crate::service::egress;

/// The socket of the platform that answers for hosts that no route names, relative to the gateway's folder.
pub(super) const REFUSAL_SOCKET: &str = "refusal.sock";
/// The cluster that leads there.
pub(super) const REFUSAL_CLUSTER: &str = "refusal";
/// What it is told, in headers: who asked, and at which port.
pub(super) const CLIENT_HEADER: &str = "x-choreo-client";
pub(super) const PORT_HEADER: &str = "x-choreo-port";

/// The Gateways that lead out, for the node.
pub(super) fn gateways<'a>(
    all: impl Iterator<Item = &'a Resource<Gateway>>,
    places: &[Place],
    points: &[Point<'_>],
) -> Vec<egress::Gateway> {
    let inside = all.zip(places).filter_map(|(gateway, place)| match place {
        Place::Inside(address) => Some((gateway, *address)),
        Place::Shared | Place::Own(_) | Place::Unsupported(_) | Place::Unusable(_) => None,
    });
    let told = |(gateway, address): (&Resource<Gateway>, _)| {
        let own = || {
            points
                .iter()
                .filter(|p| std::ptr::eq(p.gateway, gateway) && p.serves())
        };
        egress::Gateway {
            namespace: gateway.namespace.clone(),
            name: gateway.name.clone(),
            address,
            ports: own().map(|point| point.listener.port).collect(),
            hosts: own().flat_map(hosts).filter(|host| host != "*").collect(),
        }
    };
    inside.map(told).collect()
}

/// The hosts that a listener's routes lead to.
fn hosts(point: &Point<'_>) -> BTreeSet<String> {
    let requests = point.hosts.iter().filter(|(_, routes)| !routes.is_empty());
    let requests = requests.map(|(host, _)| host.clone());
    let streams = point
        .streams
        .iter()
        .flat_map(|stream| stream.names.iter().cloned());
    requests.chain(streams).collect()
}

/// What only an Envoy listener for pods has.
pub(super) fn listener(address: std::net::Ipv4Addr, port: u16) -> Map<String, Value> {
    let socket = json!({"address": address.to_string(), "port_value": port});
    let fields = [
        ("address", json!({"socket_address": socket})),
        // The machine leads to the whole range of such addresses, but it may not be there yet.
        ("freebind", json!(true)),
        // However many come from outside, pods are served.
        ("ignore_global_conn_limit", json!(true)),
    ];
    fields
        .map(|(name, value)| (name.to_owned(), value))
        .into_iter()
        .collect()
}

/// What the connection manager does otherwise for requests that go out: they arrive as they were sent.
pub(super) fn manager() -> Map<String, Value> {
    let fields = [
        ("use_remote_address", json!(true)),
        ("skip_xff_append", json!(true)),
        ("generate_request_id", json!(false)),
        ("normalize_path", json!(false)),
        ("merge_slashes", json!(false)),
        ("path_with_escaped_slashes_action", json!("KEEP_UNCHANGED")),
    ];
    fields
        .map(|(name, value)| (name.to_owned(), value))
        .into_iter()
        .collect()
}

/// Headers that Envoy adds and that are nobody's business outside.
pub(super) const PRIVATE_HEADERS: [&str; 3] = [
    "x-forwarded-proto",
    "x-envoy-internal",
    "x-envoy-external-address",
];

/// Makes a host that answers for all that no route names.
pub(super) fn refuse_others(hosts: &mut BTreeMap<&str, Value>, port: u16) {
    let routed = |host: &Value| host["routes"].as_array().is_some_and(|r| !r.is_empty());
    if hosts.get("*").is_some_and(routed) {
        return;
    }
    let told = |name: &str, value: &str| {
        json!({
            "header": {"key": name, "value": value},
            "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
        })
    };
    let refusal = json!({
        "match": {"prefix": "/"},
        "route": {"cluster": REFUSAL_CLUSTER, "timeout": "10s"},
        "request_headers_to_add": [
            told(CLIENT_HEADER, "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%"),
            told(PORT_HEADER, &port.to_string()),
        ],
    });
    hosts.insert(
        "*",
        json!({"name": "*", "domains": ["*"], "routes": [refusal]}),
    );
}

/// The chain of connections for names that no route has.
pub(super) fn refused_names(point: &Point<'_>) -> Value {
    let tunnel = Tunnel {
        port: point.listener.port,
    };
    let told = |name: &str, value: &str| json!({"header": {"key": name, "value": value}});
    let mut tunneling = tunnel.config();
    tunneling["headers_to_add"] = json!([
        told(
            CLIENT_HEADER,
            "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%"
        ),
        told(PORT_HEADER, &point.listener.port.to_string()),
    ]);
    let target = json!({"cluster": REFUSAL_CLUSTER, "tunneling_config": tunneling});
    json!({"name": "*", "filters": [super::envoy::connections(&point.name(), &target)]})
}

/// Whether connections of other names have to be answered for.
pub(super) fn refuses_names(points: &[&Point<'_>], chains: &BTreeMap<String, Value>) -> bool {
    let inside = points
        .first()
        .is_some_and(|p| p.place.is_inside() && p.class == Class::Tls);
    inside && !chains.contains_key("*")
}

/// The cluster of the refusal.
pub(super) fn refusal_cluster() -> Value {
    json!({
        "@type": "type.googleapis.com/envoy.config.cluster.v3.Cluster",
        "name": REFUSAL_CLUSTER,
        "type": "STATIC",
        "connect_timeout": "5s",
        "circuit_breakers": {"thresholds": [{"max_connections": 64, "max_pending_requests": 64}]},
        "load_assignment": {
            "cluster_name": REFUSAL_CLUSTER,
            "endpoints": [{"lb_endpoints": [
                {"endpoint": {"address": {"pipe": {"path": REFUSAL_SOCKET}}}},
            ]}],
        },
    })
}
