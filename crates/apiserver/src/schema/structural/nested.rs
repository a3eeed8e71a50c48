//! Schemas within `allOf`, `anyOf`, `oneOf` and `not`: they hold values to rules, and say nothing
//! about shape.

use serde_json::{Value, json};

use super::{super::Cause, children, patterns_compile};

/// What a schema says of shape.
const SHAPE: [&str; 14] = [
    "additionalProperties",
    "default",
    "description",
    "nullable",
    "title",
    "type",
    "x-kubernetes-embedded-resource",
    "x-kubernetes-int-or-string",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-list-type",
    "x-kubernetes-map-type",
    "x-kubernetes-preserve-unknown-fields",
    "x-kubernetes-validations",
    "uniqueItems",
];

/// What is wrong with the combinations of `schema`, a place of the shape found at `path`.
pub(super) fn check(schema: &Value, path: &str, causes: &mut Vec<Cause>) {
    let either = json!([{"type": "integer"}, {"type": "string"}]);
    let is_either = |one: &Value| one.get("anyOf") == Some(&either);
    for (key, position, nested) in combinations(schema) {
        let at = match position {
            Some(position) => format!("{path}.{key}[{position}]"),
            None => format!("{path}.{key}"),
        };
        // The two ways to write that a value is an integer or a text.
        let plain = match (key, position) {
            ("anyOf", _) => is_either(schema),
            ("allOf", Some(0)) => is_either(nested),
            _ => false,
        };
        if !plain {
            rule(nested, &at, causes);
        }
    }
}

/// What the combinations at the root of a schema are about must be there. Those of other places are
/// not asked, as in Kubernetes.
pub(super) fn check_root(schema: &Value, path: &str, causes: &mut Vec<Cause>) {
    for (key, position, nested) in combinations(schema) {
        let told = match position {
            Some(position) => format!("{path}.{key}[{position}]"),
            None => format!("{path}.{key}"),
        };
        complete(nested, Some(schema), path, &told, causes);
    }
}

/// The schemas that are combined: under which word, and at which place of its list.
fn combinations(schema: &Value) -> Vec<(&'static str, Option<usize>, &Value)> {
    let mut all = Vec::new();
    for key in ["allOf", "anyOf", "oneOf"] {
        let listed = schema.get(key).and_then(Value::as_array);
        let listed = listed.into_iter().flatten().enumerate();
        all.extend(listed.map(|(position, one)| (key, Some(position), one)));
    }
    all.extend(schema.get("not").map(|not| ("not", None, not)));
    all
}

fn rule(schema: &Value, path: &str, causes: &mut Vec<Cause>) {
    let Some(members) = schema.as_object() else {
        return;
    };
    let is_set = |key: &str| {
        let value = members.get(key);
        value.is_some_and(|value| !matches!(value, Value::Null | Value::Bool(false)))
    };
    for key in SHAPE.into_iter().filter(|key| is_set(key)) {
        causes.push(Cause::forbidden(
            &format!("{path}.{key}"),
            "must be undefined to be structural",
        ));
    }
    if schema.pointer("/properties/metadata").is_some() {
        causes.push(Cause::forbidden(
            &format!("{path}.properties[metadata]"),
            "must not be specified in a nested context",
        ));
    }
    patterns_compile(members, path, causes);
    children(schema, path, causes, rule);
    for (key, position, nested) in combinations(schema) {
        match position {
            Some(position) => rule(nested, &format!("{path}.{key}[{position}]"), causes),
            None => rule(nested, &format!("{path}.{key}"), causes),
        }
    }
}

/// What a combination says of a place must be about a place that the shape, found at `path`, has.
fn complete(
    nested: &Value,
    shape: Option<&Value>,
    path: &str,
    told: &str,
    causes: &mut Vec<Cause>,
) {
    let Some(shape) = shape else {
        causes.push(Cause::required(
            path,
            &format!("because it is defined in {told}"),
        ));
        return;
    };
    if let Some(items) = nested.get("items") {
        let at = format!("{path}.items");
        complete(
            items,
            shape.get("items"),
            &at,
            &format!("{told}.items"),
            causes,
        );
    }
    let properties = nested.get("properties").and_then(Value::as_object);
    for (name, property) in properties.into_iter().flatten() {
        let known = shape.get("properties").and_then(|all| all.get(name));
        let step = format!("properties[{name}]");
        complete(
            property,
            known,
            &format!("{path}.{step}"),
            &format!("{told}.{step}"),
            causes,
        );
    }
    for (key, position, deeper) in combinations(nested) {
        let told = match position {
            Some(position) => format!("{told}.{key}[{position}]"),
            None => format!("{told}.{key}"),
        };
        complete(deeper, Some(shape), path, &told, causes);
    }
}
