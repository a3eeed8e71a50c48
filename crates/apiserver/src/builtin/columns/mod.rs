//! The columns that `kubectl get` shows of built-in kinds. Most compute their
//! cell, which is why they are functions.

mod objects;
mod pod;
mod services;
mod workloads;

use jiff::Timestamp;
use serde_json::Value;

use super::read::{at, list, text};
use crate::table::since;

pub(super) use self::{objects::*, pod::POD, services::*, workloads::*};

/// A column of a built-in kind.
pub(crate) struct Column {
    pub(crate) name: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) priority: i32,
    pub(crate) cell: Cell,
}

/// Computes the cell of an object at a time.
type Cell = fn(&Value, Timestamp) -> Value;

impl Column {
    /// What the column means.
    pub(crate) fn description(&self, kind: &str) -> String {
        match self.name {
            "Name" => format!("Name of the {kind}."),
            "Age" => crate::schema::AGE.to_owned(),
            name => format!("{name} of the {kind}."),
        }
    }
}

const fn column(name: &'static str, cell: Cell) -> Column {
    Column {
        name,
        kind: "string",
        priority: 0,
        cell,
    }
}

const fn number(name: &'static str, cell: Cell) -> Column {
    Column {
        name,
        kind: "integer",
        priority: 0,
        cell,
    }
}

const fn wide(name: &'static str, cell: Cell) -> Column {
    Column {
        name,
        kind: "string",
        priority: 1,
        cell,
    }
}

const NAME: Column = column("Name", |object, _| {
    Value::from(text(object, "metadata.name"))
});
const AGE: Column = column("Age", |object, now| {
    age(object, "metadata.creationTimestamp", now)
});
const CREATED_AT: Column = Column {
    kind: "date",
    ..column("Created At", |object, _| {
        Value::from(text(object, "metadata.creationTimestamp"))
    })
};

fn age(object: &Value, path: &str, now: Timestamp) -> Value {
    Value::from(since(text(object, path), now))
}

/// The text at a path, or `otherwise` when there is none.
fn or(object: &Value, path: &str, otherwise: &str) -> Value {
    let found = text(object, path);
    Value::from(if found.is_empty() { otherwise } else { found })
}

/// The value at a path as text, or `otherwise` when there is none.
fn shown(object: &Value, path: &str, otherwise: &str) -> Value {
    let found = at(object, path);
    match found.as_str() {
        _ if found.is_null() => Value::from(otherwise),
        Some(text) => Value::from(text),
        None => Value::from(found.to_string()),
    }
}

/// How many entries a list or map has.
fn count(object: &Value, path: &str) -> Value {
    let found = at(object, path);
    let entries = found
        .as_object()
        .map(serde_json::Map::len)
        .or_else(|| found.as_array().map(Vec::len));
    Value::from(entries.unwrap_or_default())
}

/// `a=b,c=d`, or `<none>`.
fn labels(value: &Value) -> Value {
    let pairs = value.as_object().into_iter().flatten();
    let pairs: Vec<String> = pairs
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
        .collect();
    Value::from(none(&pairs.join(",")))
}

/// A label selector on one line.
fn selector(value: &Value) -> Value {
    let equal = value
        .get("matchLabels")
        .and_then(Value::as_object)
        .into_iter()
        .flatten();
    let mut parts: Vec<String> = equal
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
        .collect();
    for expression in list(value, "matchExpressions") {
        let key = text(expression, "key");
        let values: Vec<&str> = list(expression, "values")
            .iter()
            .filter_map(Value::as_str)
            .collect();
        let values = values.join(",");
        parts.push(match text(expression, "operator") {
            "In" => format!("{key} in ({values})"),
            "NotIn" => format!("{key} notin ({values})"),
            "DoesNotExist" => format!("!{key}"),
            _ => key.to_owned(),
        });
    }
    Value::from(none(&parts.join(",")))
}

fn none(text: &str) -> &str {
    if text.is_empty() { "<none>" } else { text }
}

/// The members named `key` of the items of a list, joined by commas.
fn joined(object: &Value, path: &str, key: &str) -> String {
    let found: Vec<&str> = list(object, path)
        .iter()
        .map(|item| text(item, key))
        .collect();
    found.join(",")
}
