//! Envoy's own documents: bootstrap, listeners, route configurations. All are JSON, because Envoy reads
//! YAML 1.1, in which `no` is false.

use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, SocketAddr},
};

use serde_json::{Map, Value, json};

use super::{egress, policy::Client, ports::WAITING, relay::socket_name, tls::Terminate};

/// What Envoy starts with, relative to the folder.
pub(super) const BOOTSTRAP: &str = "bootstrap.json";
/// What Envoy may write, relative to the folder: it is a user of its own.
pub(super) const WRITABLE: &str = "live";
/// The admin interface's socket, relative to the folder.
pub(super) const ADMIN_SOCKET: &str = "live/admin.sock";
/// The socket at which Envoy asks for its configuration, relative to the folder.
pub(super) const DISCOVERY_SOCKET: &str = "discovery.sock";
/// The access log, relative to the folder.
pub(super) const ACCESS_LOG: &str = "live/access.log";
/// The access log before.
pub(super) const OLD_ACCESS_LOG: &str = "access.log.1";
/// The name of the filter that checks tokens; its configuration is discovered, because it holds what all
/// routes together need.
pub(super) const JWT_FILTER: &str = "envoy.filters.http.jwt_authn";

/// Envoy's threads that serve connections.
pub(super) const WORKERS: usize = 2;
/// Connections of clients at once over all ports; more are closed.
const MAX_CONNECTIONS: u32 = 8192;
/// How much of a connection waits in memory, as Envoy's guide for edge proxies has it.
const BUFFER_BYTES: u32 = 32 << 10;
/// The most of a request that is kept to send it again, or to another backend as well.
pub(super) const KEPT_BYTES: u32 = 1 << 20;
/// How long a client may take to agree on TLS.
pub(super) const HANDSHAKE: &str = "15s";

const DISCOVERY_CLUSTER: &str = "discovery";

/// How Envoy asks the platform: each question waits until there is an answer that is new.
pub(super) fn source() -> Value {
    json!({
        "resource_api_version": "V3",
        "initial_fetch_timeout": "5s",
        "api_config_source": {
            "api_type": "REST",
            "transport_api_version": "V3",
            "cluster_names": [DISCOVERY_CLUSTER],
            "refresh_delay": "0.002s",
            "request_timeout": "86400s",
        },
    })
}

/// What Envoy starts with. All paths are relative to the folder in which Envoy is started.
pub(super) fn bootstrap() -> Value {
    let many =
        json!({"max_connections": 65_536, "max_pending_requests": 65_536, "max_requests": 65_536});
    let connections = json!({
        "@type": "type.googleapis.com/envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
        "max_active_downstream_connections": MAX_CONNECTIONS,
    });
    json!({
        "node": {"id": "choreo", "cluster": "choreo"},
        "admin": {
            "address": {"pipe": {"path": ADMIN_SOCKET}},
            "ignore_global_conn_limit": true,
        },
        "overload_manager": {"resource_monitors": [{
            "name": "envoy.resource_monitors.global_downstream_max_connections",
            "typed_config": connections,
        }]},
        "dynamic_resources": {"lds_config": source(), "cds_config": source()},
        "static_resources": {"clusters": [{
            "name": DISCOVERY_CLUSTER,
            "type": "STATIC",
            "connect_timeout": "5s",
            "circuit_breakers": {"thresholds": [many]},
            "load_assignment": {
                "cluster_name": DISCOVERY_CLUSTER,
                "endpoints": [{"lb_endpoints": [
                    {"endpoint": {"address": {"pipe": {"path": DISCOVERY_SOCKET}}}},
                ]}],
            },
        }]},
        "layered_runtime": {"layers": [{"name": "static", "static_layer": {
            // Routes are checked before: this only allows what they allow.
            "re2.max_program_size.error_level": 100_000,
            "re2.max_program_size.warn_level": 100_000,
        }}]},
    })
}

/// How long a client that sends datagrams may rest before it is forgotten.
const DATAGRAMS_IDLE: &str = "60s";

/// Where a listener listens.
#[derive(Debug)]
pub(super) enum At {
    /// At ports of the host.
    Host(BTreeSet<SocketAddr>),
    /// Where the relay of the host finds it, which tells who the client is.
    Relay,
    /// At an address in the network of cells, for pods.
    Inside(Ipv4Addr, u16),
}

/// A listener. Its routes are discovered on their own, so that a change of routes touches no connection.
pub(super) fn listener(name: &str, chains: &[Value], at: &At, client: Option<&Client>) -> Value {
    let mut filters = Vec::new();
    if matches!(at, At::Relay) {
        filters.push(json!({
            "name": "envoy.filters.listener.proxy_protocol",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol",
            },
        }));
    }
    let secured = |chain: &Value| {
        ["transport_socket", "filter_chain_match"]
            .iter()
            .any(|field| chain.get(field).is_some())
    };
    if chains.iter().any(secured) {
        filters.push(json!({
            "name": "envoy.filters.listener.tls_inspector",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector",
            },
        }));
    }
    let mut listener = json!({
        "@type": "type.googleapis.com/envoy.config.listener.v3.Listener",
        "name": name,
        "listener_filters": filters,
        "filter_chains": chains,
        "per_connection_buffer_limit_bytes": BUFFER_BYTES,
    });
    if let At::Host(addresses) = at {
        listener["enable_reuse_port"] = json!(true);
        listener["tcp_backlog_size"] = json!(WAITING);
        listen_at(&mut listener, addresses);
    }
    if let Some(fields) = listener.as_object_mut() {
        fields.extend(client.iter().flat_map(|client| client.listener.clone()));
        match at {
            At::Host(_) => {}
            At::Relay => {
                fields.insert("address".to_owned(), pipe(name));
                fields.insert("ignore_global_conn_limit".to_owned(), json!(true));
            }
            At::Inside(address, port) => fields.extend(egress::listener(*address, *port)),
        }
    }
    listener
}

/// Says at which ports of the host a listener listens; at none, it is there and waits.
pub(super) fn listen_at(listener: &mut Value, addresses: &BTreeSet<SocketAddr>) {
    let socket = |address: &SocketAddr| {
        let address = json!({"address": address.ip().to_string(), "port_value": address.port()});
        json!({"socket_address": address})
    };
    let mut addresses = addresses.iter().map(socket);
    let first = addresses.next();
    listener["bind_to_port"] = json!(first.is_some());
    // Another address than any it may have later: Envoy does not take up the one it did not bind.
    let nowhere = || pipe(listener["name"].as_str().unwrap_or_default());
    listener["address"] = first.unwrap_or_else(nowhere);
    let more: Vec<Value> = addresses.map(|one| json!({"address": one})).collect();
    listener["additional_addresses"] = json!(more);
}

fn pipe(name: &str) -> Value {
    json!({"pipe": {"path": socket_name(name)}})
}

/// The filter for connections that carry requests; their routes have the name `routes`.
///
/// Of what goes `out` nothing is added that tells of the inside.
pub(super) fn requests(routes: &str, out: bool, client: Option<&Client>) -> Value {
    let mut manager = connection_manager(routes, out);
    if let (Some(fields), true) = (manager.as_object_mut(), out) {
        fields.extend(egress::manager());
    }
    if let (Some(fields), Some(client)) = (manager.as_object_mut(), client) {
        for (field, value) in &client.manager {
            merge(fields, field, value);
        }
    }
    json!({
        "name": "envoy.filters.network.http_connection_manager",
        "typed_config": manager,
    })
}

/// Sets a field; of one that is an object, what is said of its own fields.
fn merge(fields: &mut Map<String, Value>, field: &str, value: &Value) {
    match (fields.get_mut(field), value) {
        (Some(Value::Object(known)), Value::Object(said)) => known.extend(said.clone()),
        _ => {
            fields.insert(field.to_owned(), value.clone());
        }
    }
}

fn connection_manager(routes: &str, out: bool) -> Value {
    json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": routes,
        "use_remote_address": true,
        "normalize_path": true,
        "merge_slashes": true,
        "path_with_escaped_slashes_action": "UNESCAPE_AND_REDIRECT",
        "strip_trailing_host_dot": true,
        "stream_idle_timeout": "3600s",
        "request_headers_timeout": "60s",
        "common_http_protocol_options": {"idle_timeout": "3600s"},
        "http2_protocol_options": {
            "max_concurrent_streams": 100,
            "initial_stream_window_size": 1 << 16,
            "initial_connection_window_size": 1 << 20,
        },
        "upgrade_configs": [{"upgrade_type": "websocket"}],
        "access_log": [access_log(&request_log())],
        "http_filters": http_filters(out),
        "rds": {"route_config_name": routes, "config_source": source()},
    })
}

/// The filter that gives requests a `traceparent` (W3C Trace Context) if they have none. One that came is passed on as it
/// is: nothing is recorded here, so nobody's parent is to be the gateway.
///
/// A tracer would make a span for each request and throw it away, which costs as much as writing the access log. This
/// takes the first digits of two UUIDs, which are random, held in headers meanwhile: they are the parent's identifier and
/// the second half of the trace's, whose last seven bytes have to be random (Level 2). The first half is the time.
fn trace_context() -> Value {
    let parts = ["x-choreo-random-1", "x-choreo-random-2"];
    let add = |name: &str, value: &str, action: &str| {
        let header = json!({"key": name, "value": value});
        json!({"append": {"header": header, "append_action": action}})
    };
    let random = parts
        .iter()
        .map(|part| add(part, "%UNIQUE_ID%", "OVERWRITE_IF_EXISTS_OR_ADD"));
    let random_digits = parts.map(|part| format!("%REQ({part}):8%")).concat();
    // Nothing is recorded: there are no flags.
    let made = format!("00-%START_TIME(%Y%m%d%H%M%S%2f)%{random_digits}-{random_digits}-00");
    let made = add("traceparent", &made, "ADD_IF_ABSENT");
    let gone = parts.iter().map(|part| json!({"remove": part}));
    let mutations: Vec<Value> = random.chain([made]).chain(gone).collect();
    let mut filter = http_filter("header_mutation", "header_mutation.v3.HeaderMutation");
    filter["typed_config"]["mutations"] = json!({"request_mutations": mutations});
    filter
}

fn http_filter(name: &str, kind: &str) -> Value {
    let kind = format!("type.googleapis.com/envoy.extensions.filters.http.{kind}");
    json!({"name": format!("envoy.filters.http.{name}"), "typed_config": {"@type": kind}})
}

/// All filters that any route may want, in the order in which a request meets them, which is Envoy Gateway's: who
/// refuses comes before who counts. A request meets none of them but those that its route says something of; and the
/// first, so that whoever is asked about it and the access log know it by one identifier, unless it goes `out`.
fn http_filters(out: bool) -> Vec<Value> {
    let off = |name: &str, kind: &str| {
        let mut filter = http_filter(name, kind);
        filter["disabled"] = json!(true);
        filter
    };
    let mut basic = off("basic_auth", "basic_auth.v3.BasicAuth");
    // There have to be users; this one has no password.
    let nobody = "nobody:{SHA}AAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    basic["typed_config"]["users"] = json!({"inline_string": nobody});
    let mut buffer = off("buffer", "buffer.v3.Buffer");
    buffer["typed_config"]["max_request_bytes"] = json!(1 << 20);
    let mut limit = off("local_ratelimit", "local_ratelimit.v3.LocalRateLimit");
    limit["typed_config"]["stat_prefix"] = json!("limited");
    limit["typed_config"]["max_dynamic_descriptors"] = json!(10_000);
    let mut router = http_filter("router", "router.v3.Router");
    if out {
        router["typed_config"]["suppress_envoy_headers"] = json!(true);
    }
    let routes = [
        off("cors", "cors.v3.Cors"),
        off("ext_authz", "filter_chain.v3.FilterChainConfig"),
        off("api_key_auth", "api_key_auth.v3.ApiKeyAuth"),
        basic,
        off("oauth2", "oauth2.v3.OAuth2"),
        json!({
            "name": JWT_FILTER,
            "disabled": true,
            "config_discovery": {
                "config_source": source(),
                "type_urls": ["type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication"],
            },
        }),
        off("rbac", "rbac.v3.RBAC"),
        limit,
        buffer,
        router,
    ];
    let first = (!out).then(trace_context);
    first.into_iter().chain(routes).collect()
}

/// The filter for connections that are passed on as they are.
pub(super) fn connections(name: &str, target: &Value) -> Value {
    let mut proxy = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
        "stat_prefix": name,
        "idle_timeout": "3600s",
        "access_log": [access_log(&connection_log())],
    });
    if let (Some(proxy), Some(target)) = (proxy.as_object_mut(), target.as_object()) {
        proxy.extend(target.clone());
    }
    json!({"name": "envoy.filters.network.tcp_proxy", "typed_config": proxy})
}

/// The filter for connections that carry the datagrams of one client each, in the words of RFC 9298: the relay of
/// the host asks for a tunnel, and Envoy takes the datagrams out.
pub(super) fn datagrams(name: &str, target: &Value) -> Value {
    const UPGRADE: &str = "CONNECT-UDP";
    let mut action = target.clone();
    action["timeout"] = json!("0s");
    action["upgrade_configs"] = json!([{"upgrade_type": UPGRADE, "connect_config": {}}]);
    let route = json!({"match": {"connect_matcher": {}}, "route": action});
    let mut routes = route_configuration(
        name,
        &[json!({"name": "*", "domains": ["*"], "routes": [route]})],
    );
    if let Some(fields) = routes.as_object_mut() {
        fields.remove("@type");
    }
    json!({
        "name": "envoy.filters.network.http_connection_manager",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": name,
            "use_remote_address": true,
            "stream_idle_timeout": DATAGRAMS_IDLE,
            "http2_protocol_options": {"allow_connect": true, "max_concurrent_streams": 1},
            "upgrade_configs": [{"upgrade_type": UPGRADE}],
            "access_log": [access_log(&connection_log())],
            "http_filters": [{
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"},
            }],
            "route_config": routes,
        },
    })
}

/// How a chain ends TLS. Certificates are discovered on their own, so that a new one touches no
/// connection.
pub(super) fn certificates(
    terminate: &Terminate,
    client: Option<&Client>,
    requests: bool,
) -> Value {
    let certificates = terminate.certificates.iter();
    let certificates: Vec<Value> = certificates
        .map(|name| json!({"name": name, "sds_config": source()}))
        .collect();
    let mut common = json!({"tls_certificate_sds_secret_configs": certificates});
    if requests {
        common["alpn_protocols"] = json!(["h2", "http/1.1"]);
    }
    if let Some(validation) = &terminate.validation {
        common["validation_context"] = validation.clone();
    }
    if let (Some(fields), Some(client)) = (common.as_object_mut(), client) {
        fields.extend(client.tls.clone());
    }
    json!({
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
            "common_tls_context": common,
            "require_client_certificate": terminate.validation.is_some() && terminate.required,
        },
    })
}

fn access_log(format: &Value) -> Value {
    json!({
        "name": "envoy.access_loggers.file",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
            "path": ACCESS_LOG,
            "log_format": {"json_format": format},
        },
    })
}

fn request_log() -> Value {
    json!({
        "time": "%START_TIME%",
        "client": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
        "method": "%REQ(:METHOD)%",
        "host": "%REQ(:AUTHORITY)%",
        "path": "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%",
        "protocol": "%PROTOCOL%",
        "status": "%RESPONSE_CODE%",
        "flags": "%RESPONSE_FLAGS%",
        "details": "%RESPONSE_CODE_DETAILS%",
        "milliseconds": "%DURATION%",
        "received": "%BYTES_RECEIVED%",
        "sent": "%BYTES_SENT%",
        "cluster": "%UPSTREAM_CLUSTER%",
        "backend": "%UPSTREAM_HOST%",
        "request_id": "%REQ(X-REQUEST-ID)%",
        // Of one that came as much as one has.
        "traceparent": "%REQ(TRACEPARENT):55%",
    })
}

fn connection_log() -> Value {
    json!({
        "time": "%START_TIME%",
        "client": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
        "host": "%REQUESTED_SERVER_NAME%",
        "flags": "%RESPONSE_FLAGS%",
        "milliseconds": "%DURATION%",
        "received": "%BYTES_RECEIVED%",
        "sent": "%BYTES_SENT%",
        "cluster": "%UPSTREAM_CLUSTER%",
        "backend": "%UPSTREAM_HOST%",
    })
}

/// The routes of a name.
pub(super) fn route_configuration(name: &str, hosts: &[Value]) -> Value {
    json!({
        "@type": "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
        "name": name,
        "ignore_port_in_host_matching": true,
        "validate_clusters": false,
        "virtual_hosts": hosts,
    })
}
