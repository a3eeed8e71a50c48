//! Gateway API objects as far as the gateways read them. Own types rather than generated ones: there,
//! the same filter is four different types, and one value outside an enumeration fails a whole watch.

use std::collections::BTreeMap;

use kube::api::DynamicObject;
use serde::{Deserialize, de::DeserializeOwned};

/// An object of the Gateway API: who it is, how old, and what it asks for.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Resource<S> {
    /// Its namespace; empty for cluster-wide kinds.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// `metadata.generation`, repeated in statuses.
    pub generation: i64,
    /// `metadata.creationTimestamp`: older routes win.
    pub created: Option<jiff::Timestamp>,
    /// Its specification.
    pub spec: S,
}

impl<S: DeserializeOwned> Resource<S> {
    /// Reads an object; `None` (and a line in the log) if its specification has another shape.
    pub fn read(object: &DynamicObject) -> Option<Self> {
        let meta = &object.metadata;
        let spec = object.data.get("spec").cloned().unwrap_or_default();
        let name = meta.name.clone().unwrap_or_default();
        match serde_json::from_value(spec) {
            Ok(spec) => Some(Self {
                namespace: meta.namespace.clone().unwrap_or_default(),
                name,
                generation: meta.generation.unwrap_or_default(),
                created: meta.creation_timestamp.as_ref().map(|t| t.0),
                spec,
            }),
            Err(error) => {
                tracing::warn!(name, %error, "an object cannot be read by the gateway");
                None
            }
        }
    }
}

/// A `GatewayClass`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Class {
    /// Whose the class is.
    pub controller_name: String,
}

/// A `Gateway`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Gateway {
    /// Its class.
    pub gateway_class_name: String,
    /// Where it listens.
    pub listeners: Vec<Listener>,
}

/// A listener of a Gateway.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Listener {
    /// Its name within the Gateway.
    pub name: String,
    /// Hostname it serves; `None`: all.
    pub hostname: Option<String>,
    /// Its port.
    pub port: u16,
    /// `HTTP` is served.
    pub protocol: String,
    /// Whose routes it takes.
    pub allowed_routes: AllowedRoutes,
}

/// Which routes a listener takes.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct AllowedRoutes {
    /// From which namespaces.
    pub namespaces: RouteNamespaces,
    /// Of which kinds; empty: those of its protocol.
    pub kinds: Vec<RouteKind>,
}

/// Namespaces whose routes a listener takes.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct RouteNamespaces {
    /// `All`, `Selector`, `Same` (when absent).
    pub from: Option<String>,
    /// The labels that `Selector` asks for.
    pub selector: Selector,
}

/// A label selector.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Selector {
    /// Labels that must be equal.
    pub match_labels: BTreeMap<String, String>,
    /// Further conditions.
    pub match_expressions: Vec<Expression>,
}

/// A condition of a label selector.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Expression {
    /// The label.
    pub key: String,
    /// `In`, `NotIn`, `Exists`, `DoesNotExist`.
    pub operator: String,
    /// The values of `In` and `NotIn`.
    pub values: Vec<String>,
}

impl Selector {
    /// Whether labels satisfy it.
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        let equal = self
            .match_labels
            .iter()
            .all(|(k, v)| labels.get(k) == Some(v));
        equal
            && self.match_expressions.iter().all(|e| {
                let value = labels.get(&e.key);
                let within = value.is_some_and(|v| e.values.contains(v));
                match e.operator.as_str() {
                    "In" => within,
                    "NotIn" => !within,
                    "Exists" => value.is_some(),
                    "DoesNotExist" => value.is_none(),
                    _ => false,
                }
            })
    }
}

/// A kind of route.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct RouteKind {
    /// Its group; `None`: the Gateway API's.
    pub group: Option<String>,
    /// Its kind.
    pub kind: String,
}

/// An `HTTPRoute`, or a `GRPCRoute` whose matches were turned into those of HTTP.
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
    /// Which requests; one of them suffices; empty: all.
    pub matches: Vec<Match>,
    /// What happens to them.
    pub filters: Vec<Filter>,
    /// Where they go.
    pub backend_refs: Vec<BackendRef>,
    /// How long they may take.
    pub timeouts: Timeouts,
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

/// How long a request may take.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Timeouts {
    /// Altogether.
    pub request: Option<String>,
    /// Each attempt.
    pub backend_request: Option<String>,
}

/// A `ReferenceGrant`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Grant {
    /// Who may refer.
    pub from: Vec<GrantFrom>,
    /// To what.
    pub to: Vec<GrantTo>,
}

/// Who may refer.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct GrantFrom {
    /// Group of the referring kind.
    pub group: String,
    /// The referring kind.
    pub kind: String,
    /// Its namespace.
    pub namespace: String,
}

/// What may be referred to.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct GrantTo {
    /// Its group.
    pub group: String,
    /// Its kind.
    pub kind: String,
    /// Its name; `None`: all.
    pub name: Option<String>,
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
