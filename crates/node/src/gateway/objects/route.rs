//! Routes of all kinds.

use kube::api::DynamicObject;
use serde::Deserialize;

use super::Resource;

/// Any kind of route. `GRPCRoute`s have matches of HTTP, see [`grpc`]; `TLSRoute`s, `TCPRoute`s and
/// `UDPRoute`s have rules without matches and filters.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Route {
    /// Gateways it wants to be attached to.
    pub parent_refs: Vec<ParentRef>,
    /// Hostnames it serves; empty: those of the listeners.
    pub hostnames: Vec<String>,
    /// What it does with which requests.
    pub rules: Vec<Rule>,
}

/// A reference to a Gateway.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ParentRef {
    /// `None`: the Gateway API's.
    pub group: Option<String>,
    /// `None`: Gateway.
    pub kind: Option<String>,
    /// `None`: the route's own.
    pub namespace: Option<String>,
    /// Name of the Gateway.
    pub name: String,
    /// Only this listener.
    pub section_name: Option<String>,
    /// Only listeners of this port.
    pub port: Option<u16>,
}

/// One rule of a route.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Rule {
    /// Its name, by which policies may choose it.
    pub name: Option<String>,
    /// Which requests; one of them suffices; empty: all.
    pub matches: Vec<Match>,
    /// What happens to them.
    pub filters: Vec<Filter>,
    /// Where they go.
    pub backend_refs: Vec<BackendRef>,
    /// How long they may take.
    pub timeouts: Timeouts,
    /// What is tried again.
    pub retry: Option<Retry>,
}

/// Conditions that a request must satisfy all.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Match {
    /// Of its path; `None`: prefix `/`.
    pub path: Option<ValueMatch>,
    /// Of its headers.
    pub headers: Vec<ValueMatch>,
    /// Of its query parameters.
    pub query_params: Vec<ValueMatch>,
    /// Its method.
    pub method: Option<String>,
}

/// A value that must be met, of a path, a header or a parameter.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ValueMatch {
    /// `Exact`, `PathPrefix`, `RegularExpression`.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// Name of the header or parameter.
    pub name: String,
    /// The value.
    pub value: String,
}

/// A filter: the member named by its type counts.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Filter {
    /// Which filter it is.
    #[serde(rename = "type")]
    pub kind: String,
    /// `RequestHeaderModifier`.
    pub request_header_modifier: HeaderModifier,
    /// `ResponseHeaderModifier`.
    pub response_header_modifier: HeaderModifier,
    /// `RequestRedirect`.
    pub request_redirect: Redirect,
    /// `URLRewrite`.
    pub url_rewrite: Rewrite,
    /// `RequestMirror`.
    pub request_mirror: Mirror,
    /// `CORS`.
    pub cors: Cors,
}

/// Changes of headers.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct HeaderModifier {
    /// Replaced or added.
    pub set: Vec<Header>,
    /// Added to what there is.
    pub add: Vec<Header>,
    /// Removed.
    pub remove: Vec<String>,
}

/// A header.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Header {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// An answer that sends the client elsewhere.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Redirect {
    /// `http` or `https`; `None`: as asked.
    pub scheme: Option<String>,
    /// `None`: as asked.
    pub hostname: Option<String>,
    /// `None`: by the scheme, else the listener's.
    pub port: Option<u16>,
    /// `None`: as asked.
    pub path: Option<PathModifier>,
    /// 301, 302 (when absent), 303, 307, 308.
    pub status_code: Option<u16>,
}

/// A change of what the backend is asked.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Rewrite {
    /// The `Host` header.
    pub hostname: Option<String>,
    /// The path.
    pub path: Option<PathModifier>,
}

/// A change of a path.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PathModifier {
    /// `ReplaceFullPath` or `ReplacePrefixMatch`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The whole new path.
    pub replace_full_path: String,
    /// What stands for the matched prefix.
    pub replace_prefix_match: String,
}

/// A copy of requests to another backend.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Mirror {
    /// The backend.
    pub backend_ref: BackendRef,
    /// Of a hundred requests so many.
    pub percent: Option<u32>,
    /// Or of `denominator` requests `numerator`.
    pub fraction: Option<Fraction>,
}

/// A part of requests.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Fraction {
    /// So many ...
    pub numerator: u32,
    /// ... of so many (100).
    pub denominator: Option<u32>,
}

/// Cross-origin rules.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Cors {
    /// Origins, with `*`.
    pub allow_origins: Vec<String>,
    /// Methods, or `*`.
    pub allow_methods: Vec<String>,
    /// Request headers, or `*`.
    pub allow_headers: Vec<String>,
    /// Response headers, or `*`.
    pub expose_headers: Vec<String>,
    /// Seconds a preflight answer is kept (5).
    pub max_age: Option<u32>,
    /// Whether credentials may be sent.
    pub allow_credentials: Option<bool>,
}

/// A backend.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BackendRef {
    /// `None`: core.
    pub group: Option<String>,
    /// `None`: Service.
    pub kind: Option<String>,
    /// `None`: the route's own.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
    /// Its port.
    pub port: Option<u16>,
    /// Its share (1).
    pub weight: Option<u32>,
    /// What happens to requests that go to it.
    pub filters: Vec<Filter>,
}

/// Which requests are tried again.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Retry {
    /// Statuses that are not good enough.
    pub codes: Vec<u16>,
    /// How often (1).
    pub attempts: Option<u32>,
    /// The pause before the first.
    pub backoff: Option<String>,
}

/// How long a request may take.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Timeouts {
    /// Altogether.
    pub request: Option<String>,
    /// Each attempt.
    pub backend_request: Option<String>,
}

/// Turns a `GRPCRoute` object into the shape of an `HTTPRoute`: a call of a method is a request for
/// `/service/method`.
pub fn grpc(object: &DynamicObject) -> Option<Resource<Route>> {
    let mut object = object.clone();
    // By pointers: an index would add what is missing as null, which is no list.
    let rules = object.data.pointer_mut("/spec/rules");
    for rule in rules.and_then(|r| r.as_array_mut()).into_iter().flatten() {
        let matches = rule.pointer_mut("/matches");
        for found in matches.and_then(|m| m.as_array_mut()).into_iter().flatten() {
            if let Some(method) = found.as_object_mut().and_then(|m| m.remove("method")) {
                found["path"] = grpc_path(&method);
            }
        }
    }
    Resource::read(&object)
}

fn grpc_path(method: &serde_json::Value) -> serde_json::Value {
    let (service, name) = (method["service"].as_str(), method["method"].as_str());
    let regular = method["type"] == "RegularExpression";
    let (kind, value) = match (service, name, regular) {
        (Some(service), Some(name), false) => ("Exact", format!("/{service}/{name}")),
        (Some(service), None, false) => ("PathPrefix", format!("/{service}")),
        (None, Some(name), false) => (
            "RegularExpression",
            format!("/[^/]+/{}", regex::escape(name)),
        ),
        (service, name, true) => (
            "RegularExpression",
            format!(
                "/{}/{}",
                service.unwrap_or("[^/]+"),
                name.unwrap_or("[^/]+")
            ),
        ),
        (None, None, false) => ("PathPrefix", "/".to_owned()),
    };
    serde_json::json!({"type": kind, "value": value})
}
