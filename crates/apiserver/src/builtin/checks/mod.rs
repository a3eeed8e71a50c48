//! Rules of the built-in kinds that a schema cannot express, and that a user
//! meets first.

mod cron;
pub(crate) mod ephemeral;
pub(crate) mod names;
mod objects;
mod pod;
mod projected;
mod services;
mod workloads;

use serde_json::Value;

use super::{
    read::{at, has, list, members, text},
    rows::Row,
};
use crate::schema::Cause;

pub(super) use self::{names::Name, objects::*, pod::pod, services::*, workloads::*};

/// For kinds without rules of their own.
pub(super) fn nothing(_: &Value, _: Option<&Value>) -> Vec<Cause> {
    Vec::new()
}

/// Rules that hold for the metadata of a built-in kind.
pub(super) fn metadata(row: &Row, object: &Value) -> Vec<Cause> {
    meta(row.name, object)
}

/// Rules that hold for the metadata of a custom kind.
pub(super) fn custom(object: &Value) -> Vec<Cause> {
    meta(Name::Subdomain, object)
}

fn meta(rule: Name, object: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    let name = text(object, "metadata.name");
    if !name.is_empty() {
        broken(&mut causes, "metadata.name", name, rule.broken(name));
    } else if text(object, "metadata.generateName").is_empty() {
        causes.push(Cause::required(
            "metadata.name",
            "name or generateName is required",
        ));
    }
    labels(
        &mut causes,
        at(object, "metadata.labels"),
        "metadata.labels",
    );
    annotations(&mut causes, object);
    for (position, finalizer) in list(object, "metadata.finalizers").iter().enumerate() {
        let words = finalizer.as_str().unwrap_or_default();
        let field = format!("metadata.finalizers[{position}]");
        broken(&mut causes, &field, words, names::qualified(words));
        if !words.contains('/') && !STANDARD.contains(&words) && names::qualified(words).is_none() {
            let why = "name is neither a standard finalizer name nor is it fully qualified";
            causes.push(Cause::invalid(&field, finalizer, why));
        }
    }
    owners(&mut causes, object);
    causes
}

/// Finalizers that need no domain.
const STANDARD: [&str; 3] = ["kubernetes", "orphan", "foregroundDeletion"];

fn owners(causes: &mut Vec<Cause>, object: &Value) {
    let owners = list(object, "metadata.ownerReferences");
    let controllers = owners
        .iter()
        .filter(|owner| has(owner, "controller") && owner["controller"] == true);
    let names: Vec<String> = controllers
        .map(|owner| format!("{}/{}", text(owner, "kind"), text(owner, "name")))
        .collect();
    if let [first, second, ..] = names.as_slice() {
        let words = format!(
            "Only one reference can have Controller set to true. \
             Found \"true\" in references for {first} and {second}"
        );
        causes.push(Cause::invalid(
            "metadata.ownerReferences",
            at(object, "metadata.ownerReferences"),
            &words,
        ));
    }
    for owner in owners {
        for key in ["apiVersion", "kind", "name", "uid"] {
            if text(owner, key).is_empty() {
                let field = format!("metadata.ownerReferences.{key}");
                causes.push(Cause::invalid(
                    &field,
                    &Value::from(""),
                    "must not be empty",
                ));
            }
        }
    }
}

fn annotations(causes: &mut Vec<Cause>, object: &Value) {
    const MOST: usize = 256 * 1024;
    let mut size = 0;
    for (key, value) in members(object, "metadata.annotations") {
        size += key.len() + value.as_str().map_or(0, str::len);
        broken(
            causes,
            "metadata.annotations",
            key,
            names::qualified(&key.to_lowercase()),
        );
    }
    if size > MOST {
        causes.push(Cause::too_long("metadata.annotations", MOST as u64));
    }
}

/// Holds labels to the form of label keys and values.
fn labels(causes: &mut Vec<Cause>, labels: &Value, field: &str) {
    for (key, value) in labels.as_object().into_iter().flatten() {
        broken(causes, field, key, names::qualified(key));
        let value = value.as_str().unwrap_or_default();
        broken(causes, field, value, names::label_value(value));
    }
}

/// Adds a cause when there is something to say.
fn broken(causes: &mut Vec<Cause>, field: &str, value: &str, words: Option<String>) {
    if let Some(words) = words {
        causes.push(Cause::invalid(field, &Value::from(value), &words));
    }
}

/// Holds a text to a list of values.
fn one_of(causes: &mut Vec<Cause>, field: &str, value: &str, allowed: &[&str]) {
    if !value.is_empty() && !allowed.contains(&value) {
        causes.push(Cause::unsupported(
            field,
            &Value::from(value),
            allowed.iter().copied(),
        ));
    }
}

/// Holds numbers to zero or more.
fn not_negative(causes: &mut Vec<Cause>, object: &Value, paths: &[&str]) {
    for path in paths {
        if at(object, path).as_i64().is_some_and(|number| number < 0) {
            let words = "must be greater than or equal to 0";
            causes.push(Cause::invalid(path, at(object, path), words));
        }
    }
}

/// A field that stays what it was.
fn immutable(causes: &mut Vec<Cause>, new: &Value, old: Option<&Value>, path: &str) {
    if old.is_some_and(|old| at(old, path) != at(new, path)) {
        causes.push(Cause::invalid(path, at(new, path), "field is immutable"));
    }
}

/// A port number.
fn port(causes: &mut Vec<Cause>, field: &str, value: &Value) {
    if value
        .as_i64()
        .is_some_and(|number| !(1..=65_535).contains(&number))
    {
        causes.push(Cause::invalid(
            field,
            value,
            "must be between 1 and 65535, inclusive",
        ));
    }
}

/// A port number or the name of one.
fn port_or_name(causes: &mut Vec<Cause>, field: &str, value: &Value) {
    match value.as_str() {
        Some(name) => broken(causes, field, name, names::port_name(name)),
        None => port(causes, field, value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn metadata_is_held_to_its_forms() {
        let fields = |object: &Value| -> Vec<String> {
            custom(object)
                .into_iter()
                .map(|cause| cause.field)
                .collect()
        };
        assert!(fields(&json!({"metadata": {"name": "a.b", "labels": {"x.y/z": "v"}}})).is_empty());
        assert_eq!(fields(&json!({"metadata": {}})), ["metadata.name"]);
        assert_eq!(
            fields(&json!({"metadata": {"name": "A"}})),
            ["metadata.name"]
        );
        assert_eq!(
            fields(&json!({"metadata": {"name": "a", "labels": {"-": "x y"}}})),
            ["metadata.labels", "metadata.labels"]
        );
        assert_eq!(
            fields(&json!({"metadata": {"name": "a", "ownerReferences": [
                {"apiVersion": "v1", "kind": "K", "name": "n"}]}})),
            ["metadata.ownerReferences.uid"]
        );
    }
}
