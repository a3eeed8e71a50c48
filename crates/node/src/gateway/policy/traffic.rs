//! `BackendTrafficPolicy`: how much is let through to backends, how long it may take, what is tried again,
//! and which backend gets it.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    balance::{self, LoadBalancer},
    bytes,
    rate_limit::{self, RateLimit},
    read, seconds, typed, why,
};
use crate::gateway::{
    action::{back_off, duration, previous_hosts},
    cluster::Settings,
    objects::{Policy, Resource},
};

const KNOWN: [&str; 7] = [
    "circuitBreaker",
    "loadBalancer",
    "rateLimit",
    "requestBuffer",
    "retry",
    "tcpKeepalive",
    "timeout",
];
/// What Envoy Gateway retries where nothing is said.
const USUAL_TRIGGERS: &str = "connect-failure,refused-stream,unavailable,cancelled";
const TRIGGERS: [&str; 13] = [
    "5xx",
    "gateway-error",
    "reset",
    "reset-before-request",
    "connect-failure",
    "retriable-4xx",
    "refused-stream",
    "retriable-status-codes",
    "cancelled",
    "deadline-exceeded",
    "internal",
    "resource-exhausted",
    "unavailable",
];

/// What a policy says, in Envoy's words.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Traffic {
    /// What filters are told of a route.
    pub(super) filters: Map<String, Value>,
    /// Fields of Envoy's `RouteAction`.
    pub(super) action: Map<String, Value>,
    /// What is said of clusters.
    pub(super) cluster: Option<Settings>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    circuit_breaker: Option<CircuitBreaker>,
    load_balancer: Option<LoadBalancer>,
    rate_limit: Option<RateLimit>,
    request_buffer: Option<RequestBuffer>,
    retry: Option<Retry>,
    tcp_keepalive: Option<Keepalive>,
    timeout: Timeout,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct CircuitBreaker {
    max_connections: Option<u32>,
    max_pending_requests: Option<u32>,
    max_parallel_requests: Option<u32>,
    max_parallel_retries: Option<u32>,
    max_requests_per_connection: Option<u32>,
    per_endpoint: Option<PerEndpoint>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct PerEndpoint {
    max_connections: Option<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RequestBuffer {
    limit: Value,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct Retry {
    num_retries: Option<u32>,
    #[serde(rename = "retryOn")]
    on: RetryOn,
    #[serde(rename = "perRetry")]
    each: PerRetry,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct RetryOn {
    triggers: Vec<String>,
    http_status_codes: Vec<u16>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct PerRetry {
    timeout: Option<String>,
    back_off: Option<BackOff>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct BackOff {
    base_interval: Option<String>,
    max_interval: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct Keepalive {
    probes: Option<u32>,
    idle_time: Option<String>,
    interval: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Timeout {
    tcp: TcpTimeout,
    http: HttpTimeout,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct TcpTimeout {
    connect_timeout: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct HttpTimeout {
    connection_idle_timeout: Option<String>,
    max_connection_duration: Option<String>,
    request_timeout: Option<String>,
    max_stream_duration: Option<String>,
    stream_idle_timeout: Option<String>,
}

/// Reads a policy.
pub(super) fn prepare(policy: &Resource<Policy>) -> Result<Traffic, String> {
    let spec: Spec = read(policy, &KNOWN)?;
    let mut traffic = Traffic::default();
    let mut cluster = Settings {
        name: format!("{}.{}", policy.namespace, policy.name),
        ..Settings::default()
    };
    if let Some(limit) = &spec.rate_limit {
        let name = "envoy.filters.http.local_ratelimit".to_owned();
        traffic.filters.insert(name, rate_limit::filter(limit)?);
    }
    if let Some(buffer) = &spec.request_buffer {
        let fields = json!({"buffer": {"max_request_bytes": bytes(&buffer.limit)?}});
        let name = "envoy.filters.http.buffer".to_owned();
        let filter = typed("buffer.v3.BufferPerRoute", fields);
        traffic.filters.insert(name, filter);
    }
    if let Some(retry) = &spec.retry {
        traffic
            .action
            .insert("retry_policy".to_owned(), retry_policy(retry)?);
    }
    timeouts(&spec.timeout, &mut traffic.action, &mut cluster)?;
    if let Some(breaker) = &spec.circuit_breaker {
        circuit_breaker(breaker, &mut cluster);
    }
    if let Some(balancer) = &spec.load_balancer {
        balance::choose(balancer, &mut traffic.action, &mut cluster)?;
    }
    if let Some(keepalive) = &spec.tcp_keepalive {
        let options = json!({"tcp_keepalive": tcp_keepalive(keepalive)?});
        let name = "upstream_connection_options".to_owned();
        cluster.fields.insert(name, options);
    }
    let nothing = Settings {
        name: cluster.name.clone(),
        ..Settings::default()
    };
    traffic.cluster = (cluster != nothing).then_some(cluster);
    Ok(traffic)
}

fn timeouts(
    timeout: &Timeout,
    action: &mut Map<String, Value>,
    cluster: &mut Settings,
) -> Result<(), String> {
    let http = &timeout.http;
    if let Some(connect) = &timeout.tcp.connect_timeout {
        let connect = duration(connect).map_err(why)?;
        if connect.is_zero() {
            return Err("timeout.tcp.connectTimeout is longer than nothing".to_owned());
        }
        let connect = crate::gateway::action::seconds(connect);
        cluster
            .fields
            .insert("connect_timeout".to_owned(), json!(connect));
    }
    let of_connections = [
        ("idle_timeout", &http.connection_idle_timeout),
        ("max_connection_duration", &http.max_connection_duration),
    ];
    for (field, said) in of_connections {
        if let Some(said) = said {
            cluster
                .common
                .insert(field.to_owned(), json!(seconds(said)?));
        }
    }
    let of_requests = [
        ("timeout", &http.request_timeout),
        ("idle_timeout", &http.stream_idle_timeout),
    ];
    for (field, said) in of_requests {
        if let Some(said) = said {
            action.insert(field.to_owned(), json!(seconds(said)?));
        }
    }
    if let Some(longest) = &http.max_stream_duration {
        let longest = json!({"max_stream_duration": seconds(longest)?});
        action.insert("max_stream_duration".to_owned(), longest);
    }
    Ok(())
}

fn retry_policy(retry: &Retry) -> Result<Value, String> {
    let on = &retry.on;
    if let Some(foreign) = on.triggers.iter().find(|t| !TRIGGERS.contains(&t.as_str())) {
        return Err(format!("retry.retryOn.triggers: {foreign:?} is not one"));
    }
    if let Some(code) = on
        .http_status_codes
        .iter()
        .find(|c| !(100..=599).contains(*c))
    {
        return Err(format!("retry.retryOn.httpStatusCodes: {code} is not one"));
    }
    let mut triggers = on.triggers.join(",");
    let mut codes = on.http_status_codes.clone();
    if triggers.is_empty() {
        USUAL_TRIGGERS.clone_into(&mut triggers);
        if codes.is_empty() {
            codes.push(503);
        }
    }
    if !codes.is_empty() && !on.triggers.iter().any(|t| t == "retriable-status-codes") {
        triggers.push_str(",retriable-status-codes");
    }
    let mut policy = json!({
        "retry_on": triggers,
        "retriable_status_codes": codes,
        "num_retries": retry.num_retries.unwrap_or(2),
        "retry_host_predicate": [previous_hosts()],
        "host_selection_retry_max_attempts": "5",
    });
    if let Some(timeout) = &retry.each.timeout {
        let timeout = duration(timeout).map_err(why)?;
        if !timeout.is_zero() {
            policy["per_try_timeout"] = json!(crate::gateway::action::seconds(timeout));
        }
    }
    if let Some(pauses) = &retry.each.back_off {
        let read = |text: &Option<String>| text.as_deref().map(duration).transpose().map_err(why);
        let first = read(&pauses.base_interval)?.unwrap_or(std::time::Duration::from_millis(100));
        if first.is_zero() {
            return Err("retry.perRetry.backOff.baseInterval is longer than nothing".to_owned());
        }
        let longest = read(&pauses.max_interval)?.unwrap_or(first * 10);
        policy["retry_back_off"] = back_off(first, longest).map_err(why)?;
    }
    Ok(policy)
}

fn circuit_breaker(breaker: &CircuitBreaker, cluster: &mut Settings) {
    let limits = [
        ("max_connections", breaker.max_connections),
        ("max_pending_requests", breaker.max_pending_requests),
        ("max_requests", breaker.max_parallel_requests),
        ("max_retries", breaker.max_parallel_retries),
    ];
    for (field, limit) in limits {
        if let Some(limit) = limit {
            cluster.limits.insert(field.to_owned(), json!(limit));
        }
    }
    if let Some(most) = breaker.max_requests_per_connection {
        let field = "max_requests_per_connection".to_owned();
        cluster.common.insert(field, json!(most));
    }
    let per_endpoint = breaker.per_endpoint.as_ref();
    let most = per_endpoint.and_then(|p| p.max_connections);
    cluster.per_host = most.map(|most| json!({"max_connections": most}));
}

fn tcp_keepalive(keepalive: &Keepalive) -> Result<Value, String> {
    let mut options = json!({});
    if let Some(probes) = keepalive.probes {
        options["keepalive_probes"] = json!(probes);
    }
    for (field, said) in [
        ("keepalive_time", &keepalive.idle_time),
        ("keepalive_interval", &keepalive.interval),
    ] {
        if let Some(said) = said {
            let read = duration(said).map_err(why)?;
            options[field] = json!(u32::try_from(read.as_secs()).unwrap_or(u32::MAX));
        }
    }
    Ok(options)
}
