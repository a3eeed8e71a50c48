//! Manifests as an API takes them: what is left open filled in, `null` taken for nothing, and the
//! form of their kind held to.

use crate::schema::{Schema, Violation, has_type};
use choreo_model::Kind;
use choreo_template::Tree;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// The forms of kinds, each made when it is first needed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Forms(BTreeMap<&'static str, Schema>);

impl Forms {
    /// Completes `manifest` as an API does, and tells what in it has not the form of its kind.
    pub(crate) fn complete(&mut self, manifest: &mut Value) -> Vec<Violation> {
        match kind_of(manifest).map(|kind| self.of(kind)) {
            None => Vec::new(),
            Some(Err(violation)) => vec![violation],
            Some(Ok(schema)) => {
                schema.fill(manifest);
                drop_nulls(schema.root(), manifest);
                schema.validate(manifest)
            }
        }
    }

    /// Gives everything in `manifest` some value of the form it has to have, so that the rest can
    /// be looked at; tells what of its form is wrong even so.
    pub(crate) fn mend(&mut self, manifest: &mut Value) -> Vec<Violation> {
        match kind_of(manifest).map(|kind| self.of(kind)) {
            None => Vec::new(),
            Some(Err(violation)) => vec![violation],
            Some(Ok(schema)) => {
                mend(schema.root(), manifest);
                schema.validate(manifest)
            }
        }
    }

    fn of(&mut self, kind: &Kind) -> Result<&Schema, Violation> {
        Ok(match self.0.entry(kind.kind) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => place.insert(Schema::read(&(kind.schema)())?),
        })
    }
}

/// The kind of the platform that `manifest` is of.
pub(crate) fn kind_of(manifest: &Value) -> Option<&'static Kind> {
    let name = manifest.get("kind")?.as_str()?;
    let is_ours = is_ours(manifest);
    let mut kinds = choreo_model::registry().iter();
    kinds.find(|kind| is_ours && kind.kind == name)
}

/// Whether `manifest` is of the platform's group, or says of none: other groups have kinds of the
/// same names.
pub(crate) fn is_ours(manifest: &Value) -> bool {
    let version = manifest.get("apiVersion").and_then(Value::as_str);
    version.is_none_or(|version| version.split('/').next() == Some(choreo_model::GROUP))
}

/// The object that `value` is, or those it lists, with their places in it.
pub(crate) fn unpacked(mut value: Value) -> Vec<(String, Value)> {
    if value["apiVersion"] == "v1" && value["kind"] == "List" {
        let items = value.get_mut("items").map(Value::take);
        if let Some(Value::Array(items)) = items {
            let place = |(index, item)| (format!("/items/{index}"), item);
            return items.into_iter().enumerate().map(place).collect();
        }
    }
    if value.is_object() {
        vec![(String::new(), value)]
    } else {
        Vec::new()
    }
}

/// A field that is known and `null` is one that is not there. What is free of form keeps them.
fn drop_nulls(schema: &Value, value: &mut Value) {
    match value {
        Value::Object(fields) => {
            let known = |name: &str| {
                let named = schema.get("properties").and_then(|all| all.get(name));
                named.or_else(|| schema.get("additionalProperties"))
            };
            fields.retain(|name, value| !(value.is_null() && known(name).is_some()));
            for (name, value) in fields {
                if let Some(inner) = known(name) {
                    drop_nulls(inner, value);
                }
            }
        }
        Value::Array(items) => {
            if let Some(inner) = schema.get("items") {
                for item in items {
                    drop_nulls(inner, item);
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn mend(schema: &Value, value: &mut Value) {
    if !fits(schema, value) {
        *value = some_value(schema);
    }
    match value {
        Value::Object(fields) => {
            let inner = |name: &str| {
                let named = schema.get("properties").and_then(|all| all.get(name));
                named.or_else(|| schema.get("additionalProperties"))
            };
            let required = schema.get("required").and_then(Value::as_array);
            for name in required.into_iter().flatten().filter_map(Value::as_str) {
                if !fields.contains_key(name) {
                    fields.insert(name.to_owned(), Value::Null);
                }
            }
            for (name, value) in fields {
                if let Some(inner) = inner(name) {
                    mend(inner, value);
                }
            }
        }
        Value::Array(items) => {
            if let Some(inner) = schema.get("items") {
                for item in items {
                    mend(inner, item);
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Whether `value` can be read where `schema` is meant.
fn fits(schema: &Value, value: &Value) -> bool {
    let type_ = schema.get("type").and_then(Value::as_str);
    let allowed = schema.get("enum").and_then(Value::as_array);
    let limit = |keyword: &str| schema.get(keyword).and_then(Value::as_f64);
    let is_within = value.as_f64().is_none_or(|number| {
        limit("minimum").is_none_or(|least| least <= number)
            && limit("maximum").is_none_or(|most| number <= most)
    });
    type_.is_none_or(|wanted| has_type(schema, wanted, &Tree::from(value)))
        && allowed.is_none_or(|allowed| allowed.contains(value))
        && is_within
}

fn some_value(schema: &Value) -> Value {
    let first = |keyword: &str| schema.get(keyword)?.as_array()?.first().cloned();
    if let Some(allowed) = first("enum") {
        return allowed;
    }
    match schema.get("type").and_then(Value::as_str) {
        Some("array") => json!([]),
        Some("string") => json!(""),
        Some("boolean") => json!(false),
        Some("integer" | "number") => schema.get("minimum").cloned().unwrap_or_else(|| json!(0)),
        Some(_) | None => json!({}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_is_completed_as_an_api_does() {
        let mut manifest = json!({
            "apiVersion": "openchoreo.dev/v1alpha1",
            "kind": "ClusterComponentType",
            "metadata": {"name": "web"},
            "spec": {
                "workloadType": "proxy",
                "parameters": null,
                "traits": [{"name": "logs", "instanceName": "logs", "parameters": {"a": null}}],
                "resources": [{"id": "a", "template": {"kind": null}}],
            },
        });
        assert_eq!(Forms::default().complete(&mut manifest), []);
        assert_eq!(
            manifest["spec"],
            json!({
                "workloadType": "proxy",
                "traits": [{
                    "kind": "ClusterTrait", "name": "logs", "instanceName": "logs",
                    "parameters": {"a": null},
                }],
                "resources": [{
                    "id": "a", "targetPlane": "dataplane", "template": {"kind": null},
                }],
            })
        );
    }

    #[test]
    fn other_groups_have_kinds_of_the_same_names() {
        let mut manifest = json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow"});
        let before = manifest.clone();
        assert_eq!(Forms::default().complete(&mut manifest), []);
        assert_eq!(manifest, before);
        manifest["apiVersion"] = json!("openchoreo.dev/v1alpha1");
        assert_ne!(Forms::default().complete(&mut manifest), []);
    }
}
