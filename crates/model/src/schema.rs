//! Structural schemas, as Kubernetes wants them in a `CustomResourceDefinition`.
//!
//! The Rust types are the source: their JSON schema is generated, then brought into the form that
//! is structural: no references, no alternatives that repeat types, nothing left unsaid.

use schemars::generate::SchemaSettings;
use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value, json};

use crate::object::Spec;

/// One `${...}` expression and nothing else.
pub(crate) const EXPRESSION: &str = r"^\$\{[\s\S]+\}\s*$";
/// The name of a variable.
pub(crate) const VARIABLE: &str = "^[a-zA-Z_][a-zA-Z0-9_]*$";
/// A DNS label.
pub(crate) const CONFIGURATION_KEY: &str = "^[-._a-zA-Z0-9]+$";
pub(crate) const DNS_LABEL: &str = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$";
/// A length of time.
pub(crate) const LEASE: &str = "^([0-9]+[mhd])+$";
/// A length of time as Gateway API has it (GEP-2257).
pub(crate) const SHORT_DURATION: &str = "^([0-9]{1,5}(h|m|s|ms)){1,4}$";
pub(crate) const DURATION: &str = r"^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$";

/// A loop names its variable.
pub(crate) const LOOP: (&str, &str) = (
    "!has(self.forEach) || has(self.var)",
    "var is required when forEach is set",
);
/// Rules that hold before rendering are written under one of their two names.
pub(crate) const ONE_NAME: (&str, &str) = (
    "!(has(self.validations) && size(self.validations) > 0 \
     && has(self.preRenderValidations) && size(self.preRenderValidations) > 0)",
    "validations and preRenderValidations are mutually exclusive",
);

/// The schema of a whole object of a kind that has no namespace.
///
/// It is that of the namespaced twin, but for references: what has no namespace cannot refer to
/// what has one.
pub(crate) fn cluster_object<T: Spec>() -> Value {
    let mut schema = object::<T>();
    cluster_references(&mut schema);
    schema
}

fn cluster_references(schema: &mut Value) {
    let Value::Object(map) = schema else { return };
    if let Some(Value::Object(properties)) = map.get_mut("properties") {
        if let Some(kind) = properties.get_mut("kind") {
            cluster_kind(kind);
        }
        properties.values_mut().for_each(cluster_references);
    }
    for key in ["items", "additionalProperties"] {
        if let Some(inner) = map.get_mut(key) {
            cluster_references(inner);
        }
    }
}

/// Of the kinds that a reference may name, those without a namespace; of the others there is none
/// where twins are meant.
fn cluster_kind(kind: &mut Value) {
    let Some(Value::Array(kinds)) = kind.get_mut("enum") else {
        return;
    };
    let is_cluster = |kind: &Value| {
        kind.as_str()
            .is_some_and(|kind| kind.starts_with("Cluster"))
    };
    if !kinds.iter().any(is_cluster) {
        return;
    }
    kinds.retain(is_cluster);
    let first = kinds.first().cloned();
    if let (Some(default), Some(first)) = (kind.get_mut("default"), first) {
        *default = first;
    }
}

/// The schema of a whole object of a kind.
pub(crate) fn object<T: Spec>() -> Value {
    let spec = of::<T>();
    let needs_spec = spec.get("required").is_some();
    let mut schema = json!({
        "type": "object",
        "properties": {
            "apiVersion": { "type": "string" },
            "kind": { "type": "string" },
            "metadata": { "type": "object" },
            "spec": spec,
        },
    });
    if T::HAS_STATUS {
        schema["properties"]["status"] = of::<T::Status>();
    }
    if needs_spec {
        schema["required"] = json!(["spec"]);
    }
    schema
}

fn of<T: schemars::JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    let mut schema = settings
        .into_generator()
        .into_root_schema_for::<T>()
        .to_value();
    structural(&mut schema);
    schema
}

/// An object of any content.
pub(crate) fn free_form(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true })
}

/// A value of any content.
pub(crate) fn any(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "x-kubernetes-preserve-unknown-fields": true })
}

/// Objects of any content, by name.
pub(crate) fn map_of_free_form(generator: &mut SchemaGenerator) -> Schema {
    let value = free_form(generator);
    json_schema!({ "type": "object", "additionalProperties": value })
}

/// The rule that a field never changes.
pub(crate) fn immutable() -> Value {
    json!([{ "rule": "self == oldSelf", "message": "is immutable" }])
}

/// Rules, each with the message for when it does not hold.
pub(crate) fn rules(rules: &[(&str, &str)]) -> Value {
    rules
        .iter()
        .map(|(rule, message)| json!({ "rule": rule, "message": message }))
        .collect()
}

/// The rule that a value is written down or kept elsewhere, never both.
pub(crate) fn value_or_reference() -> Value {
    rules(&[(
        "!(has(self.value) && has(self.valueFrom))",
        "value and valueFrom are mutually exclusive",
    )])
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the form serde calls")]
pub(crate) fn is_false(value: &bool) -> bool {
    !*value
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the form serde calls")]
pub(crate) fn is_zero(value: &i64) -> bool {
    *value == 0
}

pub(crate) fn yes() -> bool {
    true
}

/// Brings a generated schema into structural form.
fn structural(schema: &mut Value) {
    let Value::Object(map) = schema else {
        *schema = json!({ "x-kubernetes-preserve-unknown-fields": true });
        return;
    };
    for key in ["$schema", "$defs", "title"] {
        map.remove(key);
    }
    without_null(map);
    one_of_constants(map);
    known_format(map);
    stated_default(map);
    if map
        .get("additionalProperties")
        .is_some_and(Value::is_boolean)
    {
        map.remove("additionalProperties");
    }
    if let Some(Value::Object(properties)) = map.get_mut("properties") {
        properties.values_mut().for_each(structural);
    }
    for key in ["items", "additionalProperties"] {
        if let Some(inner) = map.get_mut(key) {
            structural(inner);
        }
    }
}

/// `null` is not a value in Kubernetes: a field that may be null is one that may be absent.
fn without_null(map: &mut Map<String, Value>) {
    if let Some(Value::Array(types)) = map.get("type") {
        let kept = types.iter().find(|one| *one != "null").cloned();
        if let Some(kept) = kept {
            map.insert("type".to_owned(), kept);
        }
    }
    if let Some(Value::Array(values)) = map.get_mut("enum") {
        values.retain(|value| !value.is_null());
    }
    if let Some(Value::Array(options)) = map.remove("anyOf") {
        for option in options {
            if let Value::Object(option) = option
                && option.get("type") != Some(&json!("null"))
            {
                for (key, value) in option {
                    // What is said of the field goes before what is said of its type.
                    map.entry(key).or_insert(value);
                }
            }
        }
        without_null(map);
    }
}

/// An enumeration with a description per value becomes a plain one.
fn one_of_constants(map: &mut Map<String, Value>) {
    let Some(Value::Array(options)) = map.remove("oneOf") else {
        return;
    };
    let values: Vec<Value> = options
        .into_iter()
        .filter_map(|option| option.get("const").cloned())
        .collect();
    map.insert("type".to_owned(), json!("string"));
    map.insert("enum".to_owned(), Value::Array(values));
}

/// Kubernetes knows few formats; the ranges of the others are kept as limits.
fn known_format(map: &mut Map<String, Value>) {
    let known = ["int32", "int64", "double", "date-time"];
    if map
        .get("format")
        .and_then(Value::as_str)
        .is_some_and(|format| !known.contains(&format))
    {
        map.remove("format");
    }
}

/// A default that says nothing is none: an API would write it into every object.
fn stated_default(map: &mut Map<String, Value>) {
    let says_nothing = match map.get("default") {
        Some(Value::Null | Value::Bool(false)) => true,
        Some(Value::Object(fields)) => fields.is_empty(),
        Some(Value::String(text)) => text.is_empty(),
        Some(Value::Array(items)) => items.is_empty(),
        Some(Value::Number(number)) => number.as_f64() == Some(0.0),
        Some(Value::Bool(true)) | None => false,
    };
    // A status has no defaults: it says what was observed.
    if says_nothing || map.get("default").and_then(Value::as_str) == Some("Unknown") {
        map.remove("default");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry;

    /// Calls `visit` with every schema in `schema` and its path.
    fn walk(path: &str, schema: &Value, visit: &mut impl FnMut(&str, &Value)) {
        visit(path, schema);
        for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
            walk(&format!("{path}.{name}"), inner, visit);
        }
        for key in ["items", "additionalProperties"] {
            if let Some(inner) = schema.get(key) {
                walk(&format!("{path}[]"), inner, visit);
            }
        }
    }

    #[test]
    fn every_schema_is_structural() {
        for kind in registry() {
            walk(kind.kind, &(kind.schema)(), &mut |path, schema| {
                let free = schema.get("x-kubernetes-preserve-unknown-fields").is_some();
                assert!(
                    free || schema["type"].is_string(),
                    "{path}: no type in {schema}"
                );
                for key in [
                    "$ref", "$defs", "oneOf", "anyOf", "allOf", "const", "nullable",
                ] {
                    assert!(schema.get(key).is_none(), "{path}: has {key}");
                }
                if let Some(pattern) = schema["pattern"].as_str() {
                    assert!(regex::Regex::new(pattern).is_ok(), "{path}: {pattern}");
                }
            });
        }
    }

    #[test]
    fn fields_carry_their_rules() {
        let schema = (crate::find("workload").unwrap().schema)();
        let port = schema
            .pointer("/properties/spec/properties/endpoints/additionalProperties/properties/port")
            .unwrap();
        assert_eq!(port["minimum"], 1);
        assert_eq!(port["maximum"], 65535);
        let owner = schema.pointer("/properties/spec/properties/owner").unwrap();
        assert_eq!(
            owner["x-kubernetes-validations"][0]["rule"],
            "self == oldSelf"
        );
        assert_eq!(schema["required"], json!(["spec"]));

        let schema = (crate::find("component").unwrap().schema)();
        let kind = schema
            .pointer("/properties/spec/properties/componentType/properties/kind")
            .unwrap();
        assert_eq!(
            kind["enum"],
            json!(["ComponentType", "ClusterComponentType"])
        );
        assert_eq!(kind["default"], "ComponentType");
        let spec = schema.pointer("/properties/spec").unwrap();
        assert_eq!(spec["required"], json!(["owner", "componentType"]));
        assert!(spec["properties"]["traits"].get("default").is_none());
    }
}
