//! What `workload.toEndpointResources(name)` returns: the operations an endpoint's schema declares,
//! read from OpenAPI or protobuf.

use choreo_model::application::{EndpointType, WorkloadEndpoint, WorkloadTemplate};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

const METHODS: [&str; 9] = [
    "connect", "delete", "get", "head", "options", "patch", "post", "put", "trace",
];

/// The languages that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Language {
    OpenApi,
    Protobuf,
}

impl Language {
    /// What the schema of `endpoint` is written in: what it says itself, or else what endpoints of
    /// its type are described in.
    fn of(endpoint: &WorkloadEndpoint) -> Option<Self> {
        let schema = endpoint.schema.as_ref()?;
        let said = schema.type_.as_deref().unwrap_or_default();
        match said.trim().to_lowercase().as_str() {
            "" => match endpoint.type_ {
                EndpointType::Http => Some(Self::OpenApi),
                EndpointType::Grpc => Some(Self::Protobuf),
                EndpointType::GraphQL
                | EndpointType::Websocket
                | EndpointType::Tcp
                | EndpointType::Udp => None,
            },
            "openapi" | "openapiv3" | "oas" | "oas3" | "swagger" => Some(Self::OpenApi),
            "proto" | "protobuf" | "grpc" => Some(Self::Protobuf),
            _ => None,
        }
    }
}

/// The operations of every endpoint whose schema declares some, by endpoint name.
pub(crate) fn all(workload: &WorkloadTemplate) -> Value {
    let endpoints = workload.endpoints.iter();
    let operations: Map<String, Value> = endpoints
        .filter_map(|(name, endpoint)| Some((name.clone(), operations(endpoint)?)))
        .collect();
    Value::Object(operations)
}

fn operations(endpoint: &WorkloadEndpoint) -> Option<Value> {
    let content = endpoint.schema.as_ref()?.content.as_deref()?;
    let operations = match Language::of(endpoint)? {
        Language::OpenApi => openapi(content)?,
        Language::Protobuf => protobuf(content),
    };
    (!operations.is_empty()).then_some(Value::Array(operations))
}

/// An operation of an OpenAPI description.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Operation {
    /// Its method, in capitals.
    pub(crate) method: String,
    /// Its path, with `{...}` for parameters.
    pub(crate) path: String,
    /// The scopes that it asks for, of the first of the ways that the description says (OpenAPI 3.1, 4.8.30).
    pub(crate) scopes: Vec<String>,
}

/// The operations of an OpenAPI description; nothing when it is none.
pub(crate) fn described(content: &str) -> Option<Vec<Operation>> {
    let document: Value = serde_saphyr::from_str(content).ok()?;
    let listed = openapi(content)?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let operations = listed.iter().map(|one| {
        let (method, path) = (text(&one["method"]), text(&one["path"]));
        let operation = &document["paths"][path.as_str()][method.to_lowercase().as_str()];
        let needs = operation
            .get("security")
            .or_else(|| document.get("security"));
        let first = needs.and_then(|needs| needs.get(0)?.as_object());
        let schemes = first.into_iter().flat_map(Map::values);
        let scopes = schemes.flat_map(|scopes| scopes.as_array().into_iter().flatten());
        Operation {
            scopes: scopes.map(text).filter(|scope| !scope.is_empty()).collect(),
            method,
            path,
        }
    });
    Some(operations.collect())
}

/// The methods of a protobuf description, each with the name of its service in full.
pub(crate) fn remote_procedures(content: &str) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let found = protobuf(content).into_iter();
    found
        .map(|one| (text(&one["service"]), text(&one["method"])))
        .collect()
}

/// The methods of every path, by path.
fn openapi(content: &str) -> Option<Vec<Value>> {
    let document: Value = serde_saphyr::from_str(content).ok()?;
    let paths = document.get("paths")?.as_object()?;
    let mut operations = Vec::new();
    let mut paths: Vec<_> = paths.iter().collect();
    paths.sort_by_key(|(path, _)| *path);
    for (path, item) in paths {
        for method in METHODS {
            if item.get(method).is_some() {
                operations.push(json!({
                    "kind": "HTTP",
                    "method": method.to_uppercase(),
                    "path": path,
                }));
            }
        }
    }
    Some(operations)
}

/// Every `rpc` of every `service`, by the service's name in full and the method's.
fn protobuf(content: &str) -> Vec<Value> {
    let plain = without_comments(content);
    let spaced = plain.replace(['{', '}', '(', ')', ';'], " ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let (mut package, mut service, mut operations) = ("", String::new(), BTreeSet::new());
    for pair in words.windows(2) {
        match pair {
            ["package", name] => package = name,
            ["service", name] => {
                service = match package {
                    "" => (*name).to_owned(),
                    package => format!("{package}.{name}"),
                }
            }
            ["rpc", method] => {
                operations.insert((service.clone(), *method));
            }
            _ => {}
        }
    }
    operations
        .into_iter()
        .map(|(service, method)| json!({"kind": "gRPC", "service": service, "method": method}))
        .collect()
}

fn without_comments(content: &str) -> String {
    let mut plain = String::new();
    let mut rest = content;
    while let Some(start) = rest.find('/') {
        let (before, after) = rest.split_at(start);
        plain.push_str(before);
        let end = if after.starts_with("//") {
            after.find('\n')
        } else if after.starts_with("/*") {
            after.find("*/").map(|end| end + 2)
        } else {
            plain.push('/');
            Some(1)
        };
        rest = &after[end.unwrap_or(after.len())..];
    }
    plain.push_str(rest);
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protobuf_services_are_read() {
        let content = "syntax = \"proto3\"; // service No\npackage shop.v1;\n/* rpc No */\n\
            service Cart { rpc Add(Item) returns (Cart); rpc Get(Id) returns (stream Cart) {} }";
        let found = protobuf(content);
        assert_eq!(
            found,
            [
                json!({"kind": "gRPC", "service": "shop.v1.Cart", "method": "Add"}),
                json!({"kind": "gRPC", "service": "shop.v1.Cart", "method": "Get"}),
            ]
        );
    }

    #[track_caller]
    fn check(endpoint: Value, expected: Option<Language>) {
        let endpoint = serde_json::from_value(endpoint).expect("an endpoint");
        assert_eq!(Language::of(&endpoint), expected);
    }

    #[test]
    fn schemas_say_their_language_or_the_endpoint_does() {
        use Language::{OpenApi, Protobuf};
        let described =
            |type_: &str, schema: Value| json!({"type": type_, "port": 1, "schema": schema});
        check(json!({"type": "HTTP", "port": 1}), None);
        for (type_, language) in [
            ("HTTP", Some(OpenApi)),
            ("gRPC", Some(Protobuf)),
            ("TCP", None),
        ] {
            check(described(type_, json!({"content": "x"})), language);
        }
        for (said, language) in [
            ("OAS3", Some(OpenApi)),
            (" grpc ", Some(Protobuf)),
            ("wsdl", None),
        ] {
            check(
                described("TCP", json!({"type": said, "content": "x"})),
                language,
            );
        }
    }

    #[test]
    fn who_declares_no_operation_has_none() {
        let workload = json!({"container": {"image": "i"}, "endpoints": {
            "bare": {"type": "HTTP", "port": 1, "schema": {"content": "openapi: 3.0.0\npaths: {}"}},
            "broken": {"type": "HTTP", "port": 2, "schema": {"content": "]"}},
        }});
        let workload = serde_json::from_value(workload).expect("a workload");
        assert_eq!(all(&workload), json!({}));
    }

    #[test]
    fn openapi_operations_are_read() {
        let content = "openapi: 3.0.0\npaths:\n  /b:\n    post: {}\n    get: {}\n  /a: {get: {}}\n";
        let found = openapi(content).expect("an OpenAPI document");
        let lines: Vec<_> = found
            .iter()
            .map(|one| format!("{} {}", one["method"], one["path"]))
            .collect();
        assert_eq!(
            lines,
            ["\"GET\" \"/a\"", "\"GET\" \"/b\"", "\"POST\" \"/b\""]
        );
    }

    #[test]
    fn endpoints_have_the_operations_of_their_schema() {
        let endpoint = |schema: Value| json!({"type": "HTTP", "port": 80, "schema": schema});
        let service = "service Cart { rpc Add(Item) returns (Cart); }";
        let workload = serde_json::from_value(json!({
            "container": {"image": "i"},
            "endpoints": {
                "proto": endpoint(json!({"type": "protobuf", "content": service})),
                "open": endpoint(json!({"content": "paths: {/a: {get: {}}}"})),
                "none": {"type": "HTTP", "port": 80},
            },
        }));
        let found = all(&workload.expect("a workload"));
        assert_eq!(found["proto"][0]["method"], "Add");
        assert_eq!(found["open"][0]["path"], "/a");
        assert_eq!(found.get("none"), None);
    }

    #[test]
    fn comments_are_left_out_wherever_they_end() {
        for (content, plain) in [
            ("a / b", "a / b"),
            ("a // b", "a "),
            ("a // b\nc", "a \nc"),
            ("a /* b */ c", "a  c"),
            ("a /*b*/c/*d*/e", "a ce"),
            ("a /* b", "a "),
        ] {
            assert_eq!(without_comments(content), plain, "{content}");
        }
    }
}
