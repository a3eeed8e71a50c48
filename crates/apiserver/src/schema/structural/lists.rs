//! What is said of how lists and maps merge.

use std::collections::BTreeSet;

use serde_json::Value;

use super::super::{
    Cause,
    compile::{flag, strings, text},
};

/// What is wrong with how the list or map of `schema`, found at `path`, merges.
pub(super) fn check(schema: &Value, path: &str, causes: &mut Vec<Cause>) {
    of_kind(
        schema,
        path,
        ("x-kubernetes-map-type", "object"),
        &["atomic", "granular"],
        causes,
    );
    of_kind(
        schema,
        path,
        ("x-kubernetes-list-type", "array"),
        &["atomic", "map", "set"],
        causes,
    );
    let kind = text(schema, "x-kubernetes-list-type");
    if kind != Some("map")
        && strings(schema, "x-kubernetes-list-map-keys")
            .next()
            .is_some()
    {
        let at = format!("{path}.x-kubernetes-list-type");
        let words = "must be map if x-kubernetes-list-map-keys is non-empty";
        causes.push(match kind {
            None => Cause::required(&at, words),
            Some(kind) => Cause::invalid(&at, &Value::from(kind), words),
        });
    }
    let items = schema.get("items").unwrap_or(&Value::Null);
    let at = format!("{path}.items");
    match kind {
        Some("set") => set(items, &at, causes),
        Some("map") => map(schema, items, path, causes),
        _ => return,
    }
    if flag(items, "nullable") {
        let words = "cannot be nullable when the list is a set or a map";
        causes.push(Cause::forbidden(&format!("{at}.nullable"), words));
    }
}

/// An extension is for one type, and has some values.
fn of_kind(
    schema: &Value,
    path: &str,
    (extension, wanted): (&str, &str),
    known: &[&'static str],
    causes: &mut Vec<Cause>,
) {
    let Some(given) = text(schema, extension) else {
        return;
    };
    if !known.contains(&given) {
        let at = format!("{path}.{extension}");
        causes.push(Cause::unsupported(
            &at,
            &Value::from(given),
            known.iter().copied(),
        ));
    }
    let at = format!("{path}.type");
    let words = format!("must be {wanted} if {extension} is specified");
    match text(schema, "type") {
        Some(found) if found == wanted => {}
        None | Some("") => causes.push(Cause::required(&at, &words)),
        Some(found) => causes.push(Cause::invalid(&at, &Value::from(found), &words)),
    }
}

/// The items of a set are compared as a whole.
fn set(items: &Value, path: &str, causes: &mut Vec<Cause>) {
    let (extension, whole) = match text(items, "type") {
        Some("array") => ("x-kubernetes-list-type", "atomic"),
        Some("object") => ("x-kubernetes-map-type", ""),
        _ => return,
    };
    if text(items, extension).unwrap_or(whole) != "atomic" {
        causes.push(Cause::invalid(
            &format!("{path}.{extension}"),
            items.get(extension).unwrap_or(&Value::Null),
            "must be atomic as item of a list with x-kubernetes-list-type=set",
        ));
    }
}

fn map(schema: &Value, items: &Value, path: &str, causes: &mut Vec<Cause>) {
    let keys_at = format!("{path}.x-kubernetes-list-map-keys");
    let keys: Vec<&str> = strings(schema, "x-kubernetes-list-map-keys").collect();
    if keys.is_empty() {
        let words = "must not be empty if x-kubernetes-list-type is map";
        causes.push(Cause::required(&keys_at, words));
    }
    match text(items, "type") {
        None | Some("object") => {}
        Some(found) => causes.push(Cause::invalid(
            &format!("{path}.items.type"),
            &Value::from(found),
            "must be object if parent array's x-kubernetes-list-type is map",
        )),
    }
    let mut seen = BTreeSet::new();
    for (position, name) in keys.into_iter().enumerate() {
        let at = format!("{keys_at}[{position}]");
        if !seen.insert(name) {
            let words = "must not contain duplicate entries";
            causes.push(Cause::invalid(&at, &Value::from(name), words));
        }
        if let Some(property) = items.get("properties").and_then(|all| all.get(name)) {
            key(items, name, property, path, causes);
        } else {
            let words = "must be a property of the items of the list";
            causes.push(Cause::invalid(&at, &Value::from(name), words));
        }
    }
}

/// A field by which items are told apart is always there, and is no list or map.
fn key(items: &Value, name: &str, property: &Value, path: &str, causes: &mut Vec<Cause>) {
    let at = format!("{path}.items.properties[{name}]");
    if let Some(found @ ("array" | "object")) = text(property, "type") {
        let words = "must be a scalar type if parent array's x-kubernetes-list-type is map";
        causes.push(Cause::invalid(
            &format!("{at}.type"),
            &Value::from(found),
            words,
        ));
    }
    let required = strings(items, "required").any(|one| one == name);
    if !required && property.get("default").is_none() {
        let words =
            "this property must be required or have a default, since it is a key of the list";
        causes.push(Cause::required(&format!("{at}.default"), words));
    }
    if flag(property, "nullable") {
        let words = "this property cannot be nullable, since it is a key of the list";
        causes.push(Cause::forbidden(&format!("{at}.nullable"), words));
    }
}
