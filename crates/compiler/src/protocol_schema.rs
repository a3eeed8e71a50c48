//! What `workload.toEndpointResources(name)` returns: the operations an endpoint's schema declares,
//! read from OpenAPI or protobuf.

use choreo_model::application::WorkloadTemplate;
use serde_json::{Map, Value, json};

const METHODS: [&str; 8] = [
    "delete", "get", "head", "options", "patch", "post", "put", "trace",
];

/// The operations of every endpoint that has a schema, by endpoint name.
pub(crate) fn all(workload: &WorkloadTemplate) -> Value {
    let endpoints = workload.endpoints.iter();
    let operations: Map<String, Value> = endpoints
        .filter_map(|(name, endpoint)| {
            let schema = endpoint.schema.as_ref()?;
            let content = schema.content.as_deref()?;
            let operations = match schema.type_.as_deref().unwrap_or_default() {
                "proto" | "protobuf" => Some(protobuf(content)),
                _ => openapi(content),
            };
            Some((name.clone(), Value::Array(operations?)))
        })
        .collect();
    Value::Object(operations)
}

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

/// Every `rpc` of every `service`, with the service's name in full.
fn protobuf(content: &str) -> Vec<Value> {
    let plain = without_comments(content);
    let spaced = plain.replace(['{', '}', '(', ')', ';'], " ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let (mut package, mut service, mut operations) = ("", String::new(), Vec::new());
    for pair in words.windows(2) {
        match pair {
            ["package", name] => package = name,
            ["service", name] => {
                service = match package {
                    "" => (*name).to_owned(),
                    package => format!("{package}.{name}"),
                }
            }
            ["rpc", method] => operations.push(json!({
                "kind": "gRPC",
                "service": service,
                "method": method,
                "path": format!("/{service}/{method}"),
            })),
            _ => {}
        }
    }
    operations
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
        let paths: Vec<_> = found
            .iter()
            .map(|one| one["path"].as_str().expect("a path"))
            .collect();
        assert_eq!(paths, ["/shop.v1.Cart/Add", "/shop.v1.Cart/Get"]);
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
}
