//! `extAuth`: requests that somebody else is asked about.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Means, remote, typed, why};
use crate::gateway::{backend::Protocol, matching::check_token, objects::BackendRef};

/// The name of Envoy's filter list entry. It holds whichever filter a route puts into it, so that routes differ in
/// all that they ask of an authorizer.
pub(super) const FILTER: &str = "envoy.filters.http.ext_authz";
/// How long an answer may take, as in Envoy Gateway.
const TIMEOUT: &str = "10s";

/// The most of a request that an authorizer is shown, in bytes.
const LARGEST_BODY: u32 = 4 << 20;

/// `extAuth`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub(super) struct ExternalAuth {
    http: Option<Http>,
    grpc: Option<Grpc>,
    headers_to_ext_auth: Vec<String>,
    body_to_ext_auth: Option<Body>,
    fail_open: Option<bool>,
    recompute_route: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct Http {
    backend_ref: Option<BackendRef>,
    backend_refs: Vec<BackendRef>,
    path: Option<String>,
    headers_to_backend: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct Grpc {
    backend_ref: Option<BackendRef>,
    backend_refs: Vec<BackendRef>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct Body {
    max_request_bytes: u32,
}

/// What Envoy's filter is told.
pub(super) fn filter(auth: &ExternalAuth, means: &mut Means<'_, '_>) -> Result<Value, String> {
    let mut settings = Map::from_iter([
        ("transport_api_version".to_owned(), json!("V3")),
        (
            "failure_mode_allow".to_owned(),
            json!(auth.fail_open.unwrap_or(false)),
        ),
        (
            "clear_route_cache".to_owned(),
            json!(auth.recompute_route.unwrap_or(false)),
        ),
    ]);
    let refs = |one: &Option<BackendRef>, several: &[BackendRef]| -> Vec<BackendRef> {
        one.iter().chain(several).cloned().collect()
    };
    let (field, service) = match (&auth.http, &auth.grpc) {
        (Some(http), None) => {
            let refs = refs(&http.backend_ref, &http.backend_refs);
            let cluster = remote::backend(&refs, Protocol::Http, means)
                .map_err(|why| format!("extAuth.http: {why}"))?;
            ("http_service", http_service(http, &cluster)?)
        }
        (None, Some(grpc)) => {
            let refs = refs(&grpc.backend_ref, &grpc.backend_refs);
            let cluster = remote::backend(&refs, Protocol::Grpc, means)
                .map_err(|why| format!("extAuth.grpc: {why}"))?;
            ("grpc_service", grpc_service(&refs, &cluster, means))
        }
        _ => return Err("extAuth names either http or grpc".to_owned()),
    };
    settings.insert(field.to_owned(), service);
    if let Some(headers) = patterns("headersToExtAuth", &auth.headers_to_ext_auth)? {
        settings.insert("allowed_headers".to_owned(), headers);
    }
    if let Some(body) = &auth.body_to_ext_auth {
        if !(1..=LARGEST_BODY).contains(&body.max_request_bytes) {
            return Err(format!(
                "extAuth.bodyToExtAuth.maxRequestBytes is from 1 to {LARGEST_BODY}: Envoy keeps so much of each request"
            ));
        }
        let body = json!({"max_request_bytes": body.max_request_bytes});
        settings.insert("with_request_body".to_owned(), body);
    }
    let filter = typed("ext_authz.v3.ExtAuthz", settings.into());
    let chain = json!({"filters": [{"name": FILTER, "typed_config": filter}]});
    Ok(typed(
        "filter_chain.v3.FilterChainConfigPerRoute",
        json!({"filter_chain": chain}),
    ))
}

fn http_service(http: &Http, cluster: &str) -> Result<Value, String> {
    let path = http.path.as_deref().unwrap_or_default();
    let plain = |b: u8| b.is_ascii_graphic() && !b"?#".contains(&b);
    if !(path.is_empty() || path.starts_with('/')) || !path.bytes().all(plain) {
        return Err(format!("extAuth.http.path {path:?} is not a path"));
    }
    // Envoy asks the cluster; of the URI it takes nothing else.
    let mut service = json!({
        "server_uri": {"uri": "http://authorizer", "cluster": cluster, "timeout": TIMEOUT},
        "path_prefix": path,
    });
    if let Some(headers) = patterns("http.headersToBackend", &http.headers_to_backend)? {
        service["authorization_response"] = json!({"allowed_upstream_headers": headers});
    }
    Ok(service)
}

/// The service is named as Envoy Gateway does; without a name it would be called by that of its cluster, which is none.
fn grpc_service(refs: &[BackendRef], cluster: &str, means: &Means<'_, '_>) -> Value {
    let names = refs.iter().map(|one| {
        let namespace = one.namespace.as_deref().unwrap_or(means.from.namespace);
        let port = one.port.map(|port| format!(":{port}")).unwrap_or_default();
        format!("{}.{namespace}{port}", one.name)
    });
    let authority: String = names.collect();
    json!({"envoy_grpc": {"cluster_name": cluster, "authority": authority}, "timeout": TIMEOUT})
}

/// Headers as Envoy matches them, if there are any.
fn patterns(field: &str, headers: &[String]) -> Result<Option<Value>, String> {
    let mut patterns = Vec::new();
    for header in headers {
        check_token("header", header)
            .map_err(why)
            .map_err(|why| format!("extAuth.{field}: {why}"))?;
        patterns.push(json!({"exact": header, "ignore_case": true}));
    }
    Ok((!patterns.is_empty()).then(|| json!({"patterns": patterns})))
}
