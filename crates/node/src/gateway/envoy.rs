//! Envoy's own documents: bootstrap, listeners, route configurations. All are JSON, because Envoy reads
//! YAML 1.1, in which `no` is false.

use serde_json::{Value, json};

use super::relay::socket_name;

/// What Envoy may write, relative to the folder: it is a user of its own.
pub(super) const WRITABLE: &str = "live";
/// The admin interface's socket, relative to the folder.
pub(super) const ADMIN_SOCKET: &str = "live/admin.sock";
/// The access log, relative to the folder.
pub(super) const ACCESS_LOG: &str = "live/access.log";
/// The access log before.
pub(super) const OLD_ACCESS_LOG: &str = "access.log.1";

/// Envoy, and the platform's user, whose group the writable folder hands on.
const SOCKET_MODE: u32 = 0o660;

/// The file of a discovery service. Each has a folder of its own: Envoy reads its file again at each
/// rename in that folder, so its counters of attempts count our writes and nothing else.
pub(super) fn discovery_file(service: &str) -> String {
    format!("{service}/{service}.json")
}

/// The name of the route discovery of a port, which is also the route configuration's name.
pub(super) fn route_name(port: u16) -> String {
    format!("rds-{port}")
}

fn source(service: &str) -> Value {
    json!({
        "resource_api_version": "V3",
        "path_config_source": {
            "path": discovery_file(service),
            "watched_directory": {"path": service},
        },
    })
}

/// What Envoy starts with. All paths are relative to the folder in which Envoy is started.
pub(super) fn bootstrap() -> Value {
    json!({
        "node": {"id": "choreo", "cluster": "choreo"},
        "admin": {"address": {"pipe": {"path": ADMIN_SOCKET, "mode": SOCKET_MODE}}},
        "dynamic_resources": {
            "lds_config": source("lds"),
            "cds_config": source("cds"),
        },
        "layered_runtime": {"layers": [{"name": "static", "static_layer": {
            // Routes are checked before: this only allows what they allow.
            "re2.max_program_size.error_level": 100_000,
            "re2.max_program_size.warn_level": 100_000,
        }}]},
    })
}

/// The listener of a gateway port. Its routes are a file of their own, so that a change of routes
/// touches no connection.
pub(super) fn listener(port: u16) -> Value {
    json!({
        "@type": "type.googleapis.com/envoy.config.listener.v3.Listener",
        "name": format!("port-{port}"),
        "address": {"pipe": {"path": socket_name(port), "mode": SOCKET_MODE}},
        "listener_filters": [{
            "name": "envoy.filters.listener.proxy_protocol",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol",
            },
        }],
        "filter_chains": [{"filters": [{
            "name": "envoy.filters.network.http_connection_manager",
            "typed_config": connection_manager(port),
        }]}],
    })
}

fn connection_manager(port: u16) -> Value {
    json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": format!("port-{port}"),
        "use_remote_address": true,
        "normalize_path": true,
        "merge_slashes": true,
        "path_with_escaped_slashes_action": "UNESCAPE_AND_REDIRECT",
        "strip_trailing_host_dot": true,
        "stream_idle_timeout": "3600s",
        "request_headers_timeout": "60s",
        "common_http_protocol_options": {"idle_timeout": "3600s"},
        "http2_protocol_options": {"max_concurrent_streams": 100},
        "upgrade_configs": [{"upgrade_type": "websocket"}],
        "access_log": [access_log()],
        "http_filters": [
            {
                "name": "envoy.filters.http.cors",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.filters.http.cors.v3.Cors",
                },
            },
            {
                "name": "envoy.filters.http.router",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router",
                },
            },
        ],
        "rds": {"route_config_name": route_name(port), "config_source": source(&route_name(port))},
    })
}

fn access_log() -> Value {
    json!({
        "name": "envoy.access_loggers.file",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
            "path": ACCESS_LOG,
            "log_format": {"json_format": {
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
            }},
        },
    })
}

/// The routes of a port.
pub(super) fn route_configuration(port: u16, hosts: &[Value]) -> Value {
    json!({
        "@type": "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
        "name": route_name(port),
        "ignore_port_in_host_matching": true,
        "validate_clusters": false,
        "virtual_hosts": hosts,
    })
}
