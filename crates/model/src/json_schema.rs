//! JSON Schema of every kind, for editors: what may stand in a manifest, and what it means.
//!
//! The structural schema is the source. It is closed here, so that an editor marks a misspelt
//! field, and freed of what only an API server understands.

use serde_json::{Map, Value, json};

use crate::Kind;
use crate::kind::Scope;

/// The JSON Schema (draft 2020-12) of the manifests of `kind`.
pub fn json_schema(kind: &Kind) -> Value {
    let mut schema = (kind.schema)();
    close(&mut schema);
    let properties = &mut schema["properties"];
    properties["apiVersion"] = json!({
        "const": kind.api_version(),
        "description": "The API group and version.",
    });
    properties["kind"] = json!({
        "const": kind.kind,
        "description": "The kind of object.",
    });
    properties["metadata"] = metadata(kind.scope);
    if let Some(status) = properties.get_mut("status") {
        status["readOnly"] = json!(true);
    }
    let mut required = vec!["apiVersion", "kind", "metadata"];
    if schema["required"] == json!(["spec"]) {
        required.push("spec");
    }
    schema["required"] = json!(required);
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["$id"] = json!(format!(
        "https://{}/schemas/{}/{}.json",
        kind.group, kind.version, kind.singular
    ));
    schema["title"] = json!(kind.kind);
    schema
}

fn metadata(scope: Scope) -> Value {
    let texts = json!({ "type": "object", "additionalProperties": { "type": "string" } });
    let described = |mut schema: Value, description: &str| {
        schema["description"] = json!(description);
        schema
    };
    let text = |description: &str| described(json!({ "type": "string" }), description);
    let mut properties = json!({
        "name": text("The name of the object."),
        "labels": described(texts.clone(), "By which the object is found."),
        "annotations": described(texts, "What else is to be known of the object."),
    });
    properties["name"]["minLength"] = json!(1);
    properties["name"]["maxLength"] = json!(253);
    if scope == Scope::Namespaced {
        properties["namespace"] = text("The namespace of the object.");
    }
    // What an API server adds is no mistake in a manifest that was read back from it.
    json!({ "type": "object", "properties": properties, "required": ["name"] })
}

/// Refuses what the schema does not name, and drops what editors do not know.
fn close(schema: &mut Value) {
    let Value::Object(map) = schema else { return };
    let free = map
        .remove("x-kubernetes-preserve-unknown-fields")
        .is_some_and(|free| free == true);
    if map.get("x-kubernetes-list-type") == Some(&json!("set")) {
        map.insert("uniqueItems".to_owned(), json!(true));
    }
    map.retain(|key, _| !key.starts_with("x-kubernetes-"));
    let named = map.get_mut("properties").and_then(Value::as_object_mut);
    let is_closed = named.is_some_and(close_all) && !free;
    if is_closed && !map.contains_key("additionalProperties") {
        map.insert("additionalProperties".to_owned(), json!(false));
    }
    for key in ["items", "additionalProperties"] {
        if let Some(inner) = map.get_mut(key) {
            close(inner);
        }
    }
}

fn close_all(properties: &mut Map<String, Value>) -> bool {
    properties.values_mut().for_each(close);
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn at(name: &str, pointer: &str) -> Value {
        let schema = json_schema(crate::find(name).expect("a kind"));
        schema.pointer(pointer).cloned().unwrap_or_default()
    }

    #[test]
    fn a_schema_says_whose_it_is() {
        assert_eq!(
            at("component", "/$schema"),
            "https://json-schema.org/draft/2020-12/schema"
        );
        assert_eq!(at("component", "/properties/kind/const"), "Component");
        assert_eq!(
            at("cct", "/$id"),
            "https://openchoreo.dev/schemas/v1alpha1/clustercomponenttype.json"
        );
        assert_eq!(
            at("component", "/required"),
            json!(["apiVersion", "kind", "metadata", "spec"])
        );
        assert_eq!(
            at("pipeline", "/required"),
            json!(["apiVersion", "kind", "metadata"])
        );
    }

    #[test]
    fn a_whole_schema_reads_well() {
        let mut schema = json_schema(crate::find("authzrole").expect("a kind"));
        let metadata = schema["properties"]["metadata"].take();
        assert_eq!(metadata["required"], json!(["name"]));
        assert_eq!(
            schema,
            json!({
                "$schema": "https://json-schema.org/draft/2020-12/schema",
                "$id": "https://openchoreo.dev/schemas/v1alpha1/authzrole.json",
                "title": "AuthzRole",
                "type": "object",
                "required": ["apiVersion", "kind", "metadata", "spec"],
                "additionalProperties": false,
                "properties": {
                    "apiVersion": {
                        "const": "openchoreo.dev/v1alpha1",
                        "description": "The API group and version.",
                    },
                    "kind": { "const": "AuthzRole", "description": "The kind of object." },
                    "metadata": null,
                    "spec": {
                        "type": "object",
                        "description": "What a role allows.",
                        "required": ["actions"],
                        "additionalProperties": false,
                        "properties": {
                            "actions": {
                                "type": "array",
                                "description": "The actions, as in `component:create` or `component:*`.",
                                "minItems": 1,
                                "items": { "type": "string" },
                            },
                            "description": {
                                "type": "string",
                                "description": "What the role is for.",
                            },
                        },
                    },
                },
            })
        );
    }

    #[test]
    fn only_namespaced_objects_have_a_namespace() {
        let namespace = "/properties/metadata/properties/namespace";
        assert!(at("dp", namespace).is_object());
        assert!(at("cdp", namespace).is_null());
    }

    #[test]
    fn what_is_named_is_closed_and_what_is_free_stays_free() {
        let spec = "/properties/spec";
        assert_eq!(
            at("component", &format!("{spec}/additionalProperties")),
            false
        );
        assert_eq!(
            at("component", &format!("{spec}/properties/parameters")),
            json!({ "type": "object", "description": "Values for the parameters of the type." })
        );
        let visibility = format!(
            "{spec}/properties/endpoints/additionalProperties/properties/visibility/uniqueItems"
        );
        assert_eq!(at("workload", &visibility), true);
    }

    #[test]
    fn every_field_of_every_kind_is_described_and_nothing_is_left_of_kubernetes() {
        fn walk(path: &str, schema: &Value) {
            for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
                let path = format!("{path}.{name}");
                assert!(
                    inner["description"].is_string(),
                    "{path} has no description"
                );
                walk(&path, inner);
            }
            for key in ["items", "additionalProperties"] {
                if let Some(inner) = schema.get(key) {
                    walk(&format!("{path}[]"), inner);
                }
            }
            let own = schema.as_object().into_iter().flatten();
            for (key, _) in own {
                assert!(!key.starts_with("x-"), "{path} has {key}");
            }
        }
        for kind in crate::registry() {
            let mut schema = json_schema(kind);
            // Conditions are described where Kubernetes defines them; `spec` and `status` by kind.
            for part in ["spec", "status", "metadata"] {
                let inner = schema["properties"][part].take();
                walk(&format!("{}.{part}", kind.kind), &inner);
            }
        }
    }
}
