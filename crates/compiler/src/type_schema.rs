//! JSON Schema of what types ask for, for editors and forms.
//!
//! A type says what it asks for in the dialect of Kubernetes. Here that becomes JSON Schema (draft
//! 2020-12) as editors know it, and closed: no template of a type can use what its schema does not
//! name, so a value with another name is a mistake.

use crate::schema::{Schema, Violation};
use choreo_model::shared::SchemaSection;
use serde_json::{Map, Value, json};

/// The JSON Schema, called `title`, of the values that a section of any type takes: none when the
/// type has no such section.
pub fn section(title: &str, section: Option<&SchemaSection>) -> Result<Value, Violation> {
    let declared = section.and_then(|section| section.open_api_v3_schema.as_ref());
    let mut schema = match declared {
        Some(schema) => {
            Schema::read(schema)?;
            converted(schema)
        }
        None => json!({"type": "object", "additionalProperties": false}),
    };
    if let Some(schema) = schema.as_object_mut() {
        let dialect = "https://json-schema.org/draft/2020-12/schema";
        schema.insert("$schema".to_owned(), Value::from(dialect));
        schema
            .entry("title".to_owned())
            .or_insert_with(|| Value::from(title));
    }
    Ok(schema)
}

/// Keywords that only OpenAPI or Kubernetes knows.
const FOREIGN: [&str; 5] = [
    "nullable",
    "example",
    "discriminator",
    "xml",
    "externalDocs",
];
/// Keywords that bring in fields which `properties` beside them does not name.
const OPENING: [&str; 5] = ["additionalProperties", "allOf", "anyOf", "oneOf", "$ref"];

fn converted(schema: &Value) -> Value {
    let Value::Object(declared) = schema else {
        return schema.clone();
    };
    let mut schema = Map::new();
    for (keyword, value) in declared {
        if !keyword.starts_with("x-") && !FOREIGN.contains(&keyword.as_str()) {
            schema.insert(keyword.clone(), below(keyword, value));
        }
    }
    let says = |keyword: &str| declared.get(keyword) == Some(&Value::Bool(true));
    if says("x-kubernetes-int-or-string") {
        schema.insert("type".to_owned(), json!(["integer", "string"]));
    }
    if says("nullable") {
        admit_null(&mut schema);
    }
    if let Some(example) = declared.get("example") {
        schema
            .entry("examples".to_owned())
            .or_insert_with(|| json!([example]));
    }
    exclusive(&mut schema, "minimum", "exclusiveMinimum");
    exclusive(&mut schema, "maximum", "exclusiveMaximum");
    without_defaulted(&mut schema);
    let is_open = says("x-kubernetes-preserve-unknown-fields")
        || OPENING.iter().any(|keyword| schema.contains_key(*keyword));
    if schema.contains_key("properties") && !is_open {
        schema.insert("additionalProperties".to_owned(), Value::Bool(false));
    }
    Value::Object(schema)
}

/// The schemas below `keyword`; any other value as it is.
fn below(keyword: &str, value: &Value) -> Value {
    match (keyword, value) {
        ("properties" | "patternProperties" | "$defs", Value::Object(fields)) => fields
            .iter()
            .map(|(name, schema)| (name.clone(), converted(schema)))
            .collect::<Map<_, _>>()
            .into(),
        ("items" | "additionalProperties" | "not", _) => converted(value),
        // What is open together is open in each part.
        ("allOf" | "anyOf" | "oneOf", Value::Array(parts)) => {
            parts.iter().map(|part| opened(converted(part))).collect()
        }
        _ => value.clone(),
    }
}

fn opened(mut schema: Value) -> Value {
    if schema["additionalProperties"] == false
        && let Some(schema) = schema.as_object_mut()
    {
        schema.remove("additionalProperties");
    }
    schema
}

fn admit_null(schema: &mut Map<String, Value>) {
    if let Some(Value::String(one)) = schema.get("type") {
        let types = json!([one, "null"]);
        schema.insert("type".to_owned(), types);
    }
    if let Some(Value::Array(values)) = schema.get_mut("enum") {
        values.push(Value::Null);
    }
}

/// A limit that is said to be exclusive becomes an exclusive limit.
fn exclusive(schema: &mut Map<String, Value>, limit: &str, exclusive: &str) {
    if let Some(Value::Bool(is_exclusive)) = schema.get(exclusive) {
        let is_exclusive = *is_exclusive;
        schema.remove(exclusive);
        if is_exclusive && let Some(value) = schema.remove(limit) {
            schema.insert(exclusive.to_owned(), value);
        }
    }
}

/// Defaults are filled in before anything is required: what has one may be left out.
fn without_defaulted(schema: &mut Map<String, Value>) {
    let has_default = |name: &Value| {
        let properties = schema.get("properties")?;
        properties.get(name.as_str()?)?.get("default").map(drop)
    };
    let Some(Value::Array(required)) = schema.get("required") else {
        return;
    };
    let kept: Vec<Value> = required
        .iter()
        .filter(|name| has_default(name).is_none())
        .cloned()
        .collect();
    schema.remove("required");
    if !kept.is_empty() {
        schema.insert("required".to_owned(), Value::Array(kept));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(declared: Value, mut expected: Value) {
        let declared = SchemaSection {
            open_api_v3_schema: Some(declared),
        };
        expected["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
        expected["title"] = json!("It");
        assert_eq!(section("It", Some(&declared)), Ok(expected));
    }

    #[test]
    fn what_is_named_is_all_there_is() {
        check(
            json!({
                "type": "object",
                "required": ["image", "replicas"],
                "properties": {
                    "image": {"type": "string", "description": "The image.", "x-ui": "wide"},
                    "replicas": {"type": "integer", "default": 1, "minimum": 0},
                    "labels": {"type": "object", "additionalProperties": {"type": "string"}},
                    "any": {"type": "object", "x-kubernetes-preserve-unknown-fields": true,
                            "properties": {"a": {"type": "string"}}},
                },
            }),
            json!({
                "type": "object",
                "required": ["image"],
                "additionalProperties": false,
                "properties": {
                    "image": {"type": "string", "description": "The image."},
                    "replicas": {"type": "integer", "default": 1, "minimum": 0},
                    "labels": {"type": "object", "additionalProperties": {"type": "string"}},
                    "any": {"type": "object", "properties": {"a": {"type": "string"}}},
                },
            }),
        );
    }

    #[test]
    fn words_of_kubernetes_become_words_of_json_schema() {
        check(
            json!({
                "type": "object",
                "properties": {
                    "port": {"x-kubernetes-int-or-string": true},
                    "size": {"type": "string", "nullable": true, "enum": ["s", "l"], "example": "s"},
                    "share": {"type": "number", "minimum": 0, "exclusiveMinimum": true,
                              "maximum": 1, "exclusiveMaximum": false},
                },
            }),
            json!({
                "type": "object",
                "additionalProperties": false,
                "properties": {
                    "port": {"type": ["integer", "string"]},
                    "size": {"type": ["string", "null"], "enum": ["s", "l", null], "examples": ["s"]},
                    "share": {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
                },
            }),
        );
    }

    #[test]
    fn references_and_alternatives_stay_open_to_each_other() {
        check(
            json!({
                "$defs": {"Size": {"type": "object", "properties": {"cpu": {"type": "string"}}}},
                "type": "object",
                "properties": {
                    "size": {"$ref": "#/$defs/Size"},
                    "either": {"oneOf": [
                        {"type": "object", "properties": {"a": {"type": "string"}}},
                        {"type": "object", "properties": {"b": {"type": "string"}}},
                    ]},
                },
            }),
            json!({
                "$defs": {"Size": {
                    "type": "object",
                    "additionalProperties": false,
                    "properties": {"cpu": {"type": "string"}},
                }},
                "type": "object",
                "additionalProperties": false,
                "properties": {
                    "size": {"$ref": "#/$defs/Size"},
                    "either": {"oneOf": [
                        {"type": "object", "properties": {"a": {"type": "string"}}},
                        {"type": "object", "properties": {"b": {"type": "string"}}},
                    ]},
                },
            }),
        );
    }

    #[test]
    fn a_type_without_a_section_takes_nothing() {
        let schema = section("It", None).expect("a schema");
        assert_eq!(schema["additionalProperties"], false);
    }

    #[test]
    fn the_types_a_platform_starts_with_are_described() {
        let documents = choreo_model::defaults()
            .iter()
            .flat_map(|default| serde_saphyr::from_multiple::<Value>(default.yaml).expect("YAML"));
        let types: Vec<Value> = documents
            .filter(|one| one["kind"] == "ClusterComponentType")
            .collect();
        assert!(types.len() > 3);
        for type_ in types {
            let declared = &type_["spec"]["environmentConfigs"];
            let declared: SchemaSection = serde_json::from_value(declared.clone()).expect("one");
            let configs = section("It", Some(&declared)).expect("a schema");
            let name = &type_["metadata"]["name"];
            assert!(configs["properties"].is_object(), "{name}: {configs}");
            assert_eq!(configs["additionalProperties"], false, "{name}");
        }
    }

    #[test]
    fn a_schema_that_cannot_be_used_is_told() {
        let broken = SchemaSection {
            open_api_v3_schema: Some(json!({"$ref": "#/$defs/Missing"})),
        };
        assert!(section("It", Some(&broken)).is_err());
    }
}
