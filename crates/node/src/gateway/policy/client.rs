//! `ClientTrafficPolicy`: what is taken of clients, and for how long.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{bytes, read, seconds};
use crate::gateway::objects::{Policy, Resource};

const KNOWN: [&str; 7] = [
    "clientIPDetection",
    "connection",
    "headers",
    "http2",
    "path",
    "timeout",
    "tls",
];

/// What a policy says, in Envoy's words.
#[derive(Debug, Clone, Default, PartialEq)]
pub(in crate::gateway) struct Client {
    /// Fields of Envoy's listener.
    pub(in crate::gateway) listener: Map<String, Value>,
    /// Fields of Envoy's `HttpConnectionManager`; of those that are objects, their fields.
    pub(in crate::gateway) manager: Map<String, Value>,
    /// Fields of Envoy's `CommonTlsContext`.
    pub(in crate::gateway) tls: Map<String, Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    #[serde(rename = "clientIPDetection")]
    client_ip_detection: Detection,
    connection: Connection,
    headers: Headers,
    http2: Http2,
    path: Path,
    timeout: Timeout,
    tls: Tls,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct Detection {
    x_forwarded_for: ForwardedFor,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct ForwardedFor {
    num_trusted_hops: Option<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct Connection {
    buffer_limit: Option<Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct Headers {
    with_underscores_action: Option<String>,
    #[serde(rename = "preserveXRequestID")]
    preserve_request_id: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct Http2 {
    max_concurrent_streams: Option<u32>,
    initial_stream_window_size: Option<Value>,
    initial_connection_window_size: Option<Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct Path {
    escaped_slashes_action: Option<String>,
    disable_merge_slashes: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Timeout {
    http: HttpTimeout,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct HttpTimeout {
    #[serde(rename = "requestReceivedTimeout")]
    request: Option<String>,
    #[serde(rename = "requestHeadersReceivedTimeout")]
    request_headers: Option<String>,
    #[serde(rename = "idleTimeout")]
    idle: Option<String>,
    #[serde(rename = "streamIdleTimeout")]
    stream_idle: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct Tls {
    min_version: Option<String>,
    max_version: Option<String>,
    alpn_protocols: Vec<String>,
}

/// Reads a policy.
pub(super) fn prepare(policy: &Resource<Policy>) -> Result<Client, String> {
    let spec: Spec = read(policy, &KNOWN)?;
    let mut client = Client {
        tls: tls(&spec.tls)?,
        ..Client::default()
    };
    if let Some(limit) = &spec.connection.buffer_limit {
        let field = "per_connection_buffer_limit_bytes".to_owned();
        client.listener.insert(field, json!(bytes(limit)?));
    }
    let mut manager = |field: &str, value: Value| {
        client.manager.insert(field.to_owned(), value);
    };
    if let Some(hops) = spec.client_ip_detection.x_forwarded_for.num_trusted_hops {
        manager("xff_num_trusted_hops", json!(hops));
    }
    if spec.headers.preserve_request_id == Some(true) {
        manager("preserve_external_request_id", json!(true));
    }
    if spec.path.disable_merge_slashes == Some(true) {
        manager("merge_slashes", json!(false));
    }
    if let Some(action) = &spec.path.escaped_slashes_action {
        let action = match action.as_str() {
            "KeepUnchanged" => "KEEP_UNCHANGED",
            "RejectRequest" => "REJECT_REQUEST",
            "UnescapeAndForward" => "UNESCAPE_AND_FORWARD",
            "UnescapeAndRedirect" => "UNESCAPE_AND_REDIRECT",
            other => return Err(format!("path.escapedSlashesAction: there is no {other}")),
        };
        manager("path_with_escaped_slashes_action", json!(action));
    }
    let http = &spec.timeout.http;
    for (field, said) in [
        ("request_timeout", &http.request),
        ("request_headers_timeout", &http.request_headers),
        ("stream_idle_timeout", &http.stream_idle),
    ] {
        if let Some(said) = said {
            manager(field, json!(seconds(said)?));
        }
    }
    let common = common(&spec)?;
    if !common.is_empty() {
        manager("common_http_protocol_options", common.into());
    }
    let http2 = http2(&spec.http2)?;
    if !http2.is_empty() {
        manager("http2_protocol_options", http2.into());
    }
    Ok(client)
}

fn common(spec: &Spec) -> Result<Map<String, Value>, String> {
    let mut common = Map::new();
    if let Some(idle) = &spec.timeout.http.idle {
        common.insert("idle_timeout".to_owned(), json!(seconds(idle)?));
    }
    if let Some(action) = &spec.headers.with_underscores_action {
        let action = match action.as_str() {
            "Allow" => "ALLOW",
            "RejectRequest" => "REJECT_REQUEST",
            "DropHeader" => "DROP_HEADER",
            other => {
                return Err(format!(
                    "headers.withUnderscoresAction: there is no {other}"
                ));
            }
        };
        let field = "headers_with_underscores_action".to_owned();
        common.insert(field, json!(action));
    }
    Ok(common)
}

fn http2(said: &Http2) -> Result<Map<String, Value>, String> {
    let mut options = Map::new();
    if let Some(most) = said.max_concurrent_streams {
        if most == 0 {
            return Err("http2.maxConcurrentStreams is at least 1".to_owned());
        }
        options.insert("max_concurrent_streams".to_owned(), json!(most));
    }
    for (field, window) in [
        (
            "initial_stream_window_size",
            &said.initial_stream_window_size,
        ),
        (
            "initial_connection_window_size",
            &said.initial_connection_window_size,
        ),
    ] {
        if let Some(window) = window {
            let size = bytes(window)?;
            if !(65_535..=(1 << 31) - 1).contains(&size) {
                return Err("windows of http2 are 65535 bytes to 2Gi".to_owned());
            }
            options.insert(field.to_owned(), json!(size));
        }
    }
    Ok(options)
}

fn tls(said: &Tls) -> Result<Map<String, Value>, String> {
    let version = |text: &str| match text {
        "Auto" => Ok("TLS_AUTO"),
        "1.0" => Ok("TLSv1_0"),
        "1.1" => Ok("TLSv1_1"),
        "1.2" => Ok("TLSv1_2"),
        "1.3" => Ok("TLSv1_3"),
        other => Err(format!("there is no version {other} of TLS")),
    };
    let mut params = Map::new();
    for (field, said) in [
        ("tls_minimum_protocol_version", &said.min_version),
        ("tls_maximum_protocol_version", &said.max_version),
    ] {
        if let Some(said) = said {
            params.insert(field.to_owned(), json!(version(said)?));
        }
    }
    if said.min_version > said.max_version && said.max_version.is_some() {
        return Err("tls.minVersion is above tls.maxVersion".to_owned());
    }
    let mut tls = Map::new();
    if !params.is_empty() {
        tls.insert("tls_params".to_owned(), params.into());
    }
    if !said.alpn_protocols.is_empty() {
        tls.insert("alpn_protocols".to_owned(), json!(said.alpn_protocols));
    }
    Ok(tls)
}
