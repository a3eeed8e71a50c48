//! The table form of lists, objects and events: what `kubectl get` prints is
//! decided here, not in the client.

mod duration;
mod path;

use jiff::Timestamp;
use serde_json::{Value, json};

pub(crate) use self::duration::{human, since};
use self::path::Path;
use crate::{
    builtin,
    resource::{Column, Resource},
};

/// What a row carries beside its cells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Include {
    /// Nothing.
    None,
    /// The object's metadata.
    #[default]
    Metadata,
    /// The whole object.
    Object,
}

/// Column definitions of a kind.
pub(crate) fn columns(resource: &Resource) -> Vec<Value> {
    let mut definitions = Vec::with_capacity(resource.columns.len() + 1);
    if !resource.builtin {
        definitions.push(definition(
            "Name",
            "string",
            "name",
            0,
            "Name of the object.",
        ));
    }
    definitions.extend(resource.columns.iter().map(|column| {
        definition(
            &column.name,
            &column.kind,
            &column.format,
            column.priority,
            &column.description,
        )
    }));
    definitions
}

fn definition(name: &str, kind: &str, format: &str, priority: i32, description: &str) -> Value {
    json!({
        "name": name,
        "type": kind,
        "format": format,
        "description": description,
        "priority": priority,
    })
}

/// One row of a table of this version; ages are those at `now`.
pub(crate) fn row(
    resource: &Resource,
    object: &Value,
    version: &str,
    include: Include,
    now: Timestamp,
) -> Value {
    let cells = if resource.builtin {
        builtin::cells(resource, object, now)
    } else {
        let name = object
            .pointer("/metadata/name")
            .cloned()
            .unwrap_or_default();
        let declared = resource
            .columns
            .iter()
            .map(|column| cell(column, object, now));
        std::iter::once(name).chain(declared).collect()
    };
    let mut row = json!({"cells": cells});
    match include {
        Include::None => row["object"] = Value::Null,
        Include::Metadata => {
            row["object"] = json!({
                "kind": "PartialObjectMetadata",
                "apiVersion": format!("meta.k8s.io/{version}"),
                "metadata": object.get("metadata"),
            });
        }
        Include::Object => row["object"] = object.clone(),
    }
    row
}

/// The cell of a declared column.
fn cell(column: &Column, object: &Value, now: Timestamp) -> Value {
    let Some(path) = Path::parse(&column.json_path) else {
        return Value::Null;
    };
    let Some(value) = path.find(object).into_iter().next() else {
        return Value::Null;
    };
    match (column.kind.as_str(), value) {
        (_, Value::Null) => Value::Null,
        ("date", Value::String(time)) => Value::from(since(time, now)),
        ("integer", Value::Number(number)) => {
            number.as_i64().map_or_else(|| value.clone(), Value::from)
        }
        ("number", Value::Number(_)) | ("boolean", Value::Bool(_)) => value.clone(),
        ("string", Value::String(text)) => Value::from(text.as_str()),
        ("string", other) => Value::from(other.to_string()),
        _ => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builtin::from_crd;

    fn widget() -> Resource {
        let columns = json!([
            {"name": "Ready", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Ready\")].status"},
            {"name": "Size", "type": "integer", "jsonPath": ".spec.size", "priority": 1},
            {"name": "Tags", "type": "string", "jsonPath": ".spec.tags"},
            {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}]);
        from_crd(
            &json!({"metadata": {"name": "widgets.example.com"}, "spec": {
            "group": "example.com", "scope": "Namespaced",
            "names": {"kind": "Widget", "plural": "widgets"},
            "versions": [{"name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object"}},
                "additionalPrinterColumns": columns}]}}),
        )
        .unwrap()
        .remove(0)
    }

    #[test]
    fn custom_kinds_show_their_columns() {
        let now: Timestamp = "2026-01-01T00:05:00Z".parse().unwrap();
        let object = json!({"metadata": {"name": "w", "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"size": 3, "tags": ["a"]},
            "status": {"conditions": [{"type": "Ready", "status": "True"}]}});
        let names: Vec<_> = columns(&widget())
            .iter()
            .map(|column| column["name"].clone())
            .collect();
        assert_eq!(names, ["Name", "Ready", "Size", "Tags", "Age"]);
        let whole = row(&widget(), &object, "v1", Include::Object, now);
        assert_eq!(whole["cells"], json!(["w", "True", 3, "[\"a\"]", "5m"]));
        assert_eq!(whole["object"], object);
        let empty = row(
            &widget(),
            &json!({"metadata": {"name": "w"}}),
            "v1",
            Include::Metadata,
            now,
        );
        assert_eq!(empty["cells"], json!(["w", null, null, null, null]));
        assert_eq!(empty["object"]["kind"], "PartialObjectMetadata");
        assert_eq!(
            row(&widget(), &object, "v1", Include::None, now)["object"],
            Value::Null
        );
    }
}
