//! Whether the schema of a `CustomResourceDefinition` is structural: every place
//! has one type, and rules do not smuggle in shapes.

use regex::Regex;
use serde_json::{Map, Value};

use super::{
    Cause,
    compile::{flag, strings, text},
};

/// Everything about `schema` (found at `path` of its definition) that is not
/// structural.
pub(super) fn check(schema: &Value, path: &str) -> Vec<Cause> {
    let mut causes = Vec::new();
    if text(schema, "type") != Some("object") {
        let found = schema
            .get("type")
            .cloned()
            .unwrap_or_else(|| Value::from(""));
        causes.push(if text(schema, "type").is_none() {
            Cause::required(&format!("{path}.type"), "must not be empty at the root")
        } else {
            Cause::invalid(
                &format!("{path}.type"),
                &found,
                "must be object at the root",
            )
        });
        return causes;
    }
    identity_is_sound(schema, path, &mut causes);
    if schema.pointer("/properties/metadata/default").is_some() {
        causes.push(Cause::forbidden(
            &format!("{path}.properties[metadata].default"),
            "must not be set in top-level metadata",
        ));
    }
    place(schema, path, &mut causes);
    causes
}

fn place(schema: &Value, path: &str, causes: &mut Vec<Cause>) {
    let Some(members) = schema.as_object() else {
        causes.push(Cause::invalid(path, schema, "must be a schema"));
        return;
    };
    for forbidden in [
        "$ref",
        "definitions",
        "dependencies",
        "patternProperties",
        "additionalItems",
    ] {
        if members.contains_key(forbidden) {
            causes.push(Cause::forbidden(
                &format!("{path}.{forbidden}"),
                &format!("{forbidden} is not supported"),
            ));
        }
    }
    type_is_given(schema, path, causes);
    list_is_sound(schema, path, causes);
    patterns_compile(members, path, causes);
    embedded_is_sound(schema, path, causes);
    if members.contains_key("properties") && members.contains_key("additionalProperties") {
        causes.push(Cause::forbidden(
            &format!("{path}.additionalProperties"),
            "additionalProperties and properties are mutual exclusive",
        ));
    }
    children(schema, path, causes, place);
    for key in ["allOf", "anyOf", "oneOf"] {
        let listed = schema
            .get(key)
            .and_then(Value::as_array)
            .into_iter()
            .flatten();
        for (position, one) in listed.enumerate() {
            rule(one, &format!("{path}.{key}[{position}]"), causes);
        }
    }
    if let Some(not) = schema.get("not") {
        rule(not, &format!("{path}.not"), causes);
    }
}

/// Visits the places directly below a schema.
fn children(
    schema: &Value,
    path: &str,
    causes: &mut Vec<Cause>,
    visit: fn(&Value, &str, &mut Vec<Cause>),
) {
    let properties = schema
        .get("properties")
        .and_then(Value::as_object)
        .into_iter()
        .flatten();
    for (name, property) in properties {
        visit(property, &format!("{path}.properties[{name}]"), causes);
    }
    match schema.get("additionalProperties") {
        None | Some(Value::Bool(_)) => {}
        Some(typed) => visit(typed, &format!("{path}.additionalProperties"), causes),
    }
    match schema.get("items") {
        None => {}
        Some(Value::Array(_)) => causes.push(Cause::forbidden(
            &format!("{path}.items"),
            "items must be a schema object and not an array",
        )),
        Some(items) => visit(items, &format!("{path}.items"), causes),
    }
}

/// Whole objects have the fields that every object has, and nothing can be said against them.
fn embedded_is_sound(schema: &Value, path: &str, causes: &mut Vec<Cause>) {
    if !flag(schema, "x-kubernetes-embedded-resource") {
        return;
    }
    if schema.get("additionalProperties").is_some() {
        causes.push(Cause::forbidden(
            &format!("{path}.additionalProperties"),
            "must not be used if x-kubernetes-embedded-resource is set",
        ));
    }
    let properties = schema.get("properties").and_then(Value::as_object);
    if properties.is_none_or(Map::is_empty) && !flag(schema, "x-kubernetes-preserve-unknown-fields")
    {
        causes.push(Cause::required(
            &format!("{path}.properties"),
            "must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields",
        ));
    }
    identity_is_sound(schema, path, causes);
}

/// What a schema says of the fields that every object has must be true of them.
fn identity_is_sound(schema: &Value, path: &str, causes: &mut Vec<Cause>) {
    for (name, wanted) in [
        ("apiVersion", "string"),
        ("kind", "string"),
        ("metadata", "object"),
    ] {
        let Some(field) = schema.pointer(&format!("/properties/{name}")) else {
            continue;
        };
        let at = format!("{path}.properties[{name}]");
        if text(field, "type").is_some_and(|found| found != wanted) {
            causes.push(Cause::invalid(
                &format!("{at}.type"),
                field.get("type").unwrap_or(&Value::Null),
                &format!("must be {wanted}"),
            ));
        }
        if flag(field, "x-kubernetes-embedded-resource") {
            causes.push(Cause::forbidden(
                &format!("{at}.x-kubernetes-embedded-resource"),
                "must not be used inside of resource meta",
            ));
        }
    }
}

fn type_is_given(schema: &Value, path: &str, causes: &mut Vec<Cause>) {
    const TYPES: [&str; 6] = ["array", "boolean", "integer", "number", "object", "string"];
    let free = flag(schema, "x-kubernetes-int-or-string")
        || flag(schema, "x-kubernetes-preserve-unknown-fields");
    let at = format!("{path}.type");
    match text(schema, "type") {
        None | Some("") if !free => {
            causes.push(Cause::required(
                &at,
                "must not be empty for specified object fields",
            ));
        }
        Some(_) if flag(schema, "x-kubernetes-int-or-string") => {
            causes.push(Cause::forbidden(
                &at,
                "must be empty if x-kubernetes-int-or-string is true",
            ));
        }
        Some(name) if !TYPES.contains(&name) => {
            causes.push(Cause::unsupported(&at, &Value::from(name), TYPES));
        }
        Some("array") if schema.get("items").is_none() => {
            causes.push(Cause::required(
                &format!("{path}.items"),
                "must be specified",
            ));
        }
        _ => {}
    }
}

fn list_is_sound(schema: &Value, path: &str, causes: &mut Vec<Cause>) {
    let Some(kind) = text(schema, "x-kubernetes-list-type") else {
        return;
    };
    let at = format!("{path}.x-kubernetes-list-type");
    if !["atomic", "map", "set"].contains(&kind) {
        causes.push(Cause::unsupported(
            &at,
            &Value::from(kind),
            ["atomic", "map", "set"],
        ));
    }
    if text(schema, "type") != Some("array") {
        causes.push(Cause::invalid(
            &format!("{path}.type"),
            schema.get("type").unwrap_or(&Value::Null),
            "must be array if x-kubernetes-list-type is specified",
        ));
    }
    if kind != "map" {
        return;
    }
    let keys_at = format!("{path}.x-kubernetes-list-map-keys");
    let items = schema.get("items").unwrap_or(&Value::Null);
    let mut keys = strings(schema, "x-kubernetes-list-map-keys").peekable();
    if keys.peek().is_none() {
        causes.push(Cause::required(
            &keys_at,
            "must not be empty if x-kubernetes-list-type is map",
        ));
    }
    for (position, key) in keys.enumerate() {
        let Some(property) = items.get("properties").and_then(|all| all.get(key)) else {
            let words = "must be a property of the items of the list";
            causes.push(Cause::invalid(
                &format!("{keys_at}[{position}]"),
                &Value::from(key),
                words,
            ));
            continue;
        };
        let required = strings(items, "required").any(|name| name == key);
        if !required && property.get("default").is_none() {
            let words =
                "this property must be required or have a default, since it is a key of the list";
            causes.push(Cause::required(
                &format!("{path}.items.properties[{key}].default"),
                words,
            ));
        }
    }
}

fn patterns_compile(members: &Map<String, Value>, path: &str, causes: &mut Vec<Cause>) {
    let Some(pattern) = members.get("pattern").and_then(Value::as_str) else {
        return;
    };
    if let Err(error) = Regex::new(pattern) {
        let words = format!("must be a valid regular expression, but isn't: {error}");
        causes.push(Cause::invalid(
            &format!("{path}.pattern"),
            &Value::from(pattern),
            &words,
        ));
    }
}

/// A schema used as a rule says nothing about shape.
fn rule(schema: &Value, path: &str, causes: &mut Vec<Cause>) {
    const SHAPE: [&str; 4] = ["description", "default", "nullable", "additionalProperties"];
    let Some(members) = schema.as_object() else {
        return;
    };
    let shape = SHAPE
        .iter()
        .copied()
        .chain(["title", "x-kubernetes-preserve-unknown-fields"])
        .chain(["x-kubernetes-validations"]);
    for key in shape.filter(|key| members.contains_key(*key)) {
        causes.push(Cause::forbidden(
            &format!("{path}.{key}"),
            "must be undefined to be structural",
        ));
    }
    patterns_compile(members, path, causes);
    children(schema, path, causes, rule);
    for key in ["allOf", "anyOf", "oneOf"] {
        let listed = schema
            .get(key)
            .and_then(Value::as_array)
            .into_iter()
            .flatten();
        for (position, one) in listed.enumerate() {
            rule(one, &format!("{path}.{key}[{position}]"), causes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check_is(schema: &Value, wanted: &[(&str, &str)]) {
        let causes = check(schema, "s");
        let found: Vec<_> = causes
            .iter()
            .map(|cause| {
                (
                    cause.field.as_str(),
                    cause.message.split(':').next().unwrap_or(""),
                )
            })
            .collect();
        assert_eq!(found, wanted, "{schema}");
    }

    #[test]
    fn structural_schemas_pass() {
        check_is(
            &json!({"type": "object", "properties": {
                "a": {"x-kubernetes-int-or-string": true,
                    "anyOf": [{"type": "integer"}, {"type": "string"}]},
                "b": {"type": "array", "x-kubernetes-list-type": "map",
                    "x-kubernetes-list-map-keys": ["n"],
                    "items": {"type": "object", "required": ["n"],
                        "properties": {"n": {"type": "string"}}}},
                "c": {"x-kubernetes-preserve-unknown-fields": true}}}),
            &[],
        );
    }

    #[test]
    fn others_are_explained() {
        let wrap = |place: Value| json!({"type": "object", "properties": {"a": place}});
        check_is(&json!({"properties": {}}), &[("s.type", "Required value")]);
        check_is(
            &wrap(json!({})),
            &[("s.properties[a].type", "Required value")],
        );
        check_is(
            &wrap(json!({"type": "text"})),
            &[("s.properties[a].type", "Unsupported value")],
        );
        check_is(
            &wrap(json!({"type": "array"})),
            &[("s.properties[a].items", "Required value")],
        );
        check_is(
            &wrap(json!({"type": "string", "$ref": "x"})),
            &[("s.properties[a].$ref", "Forbidden")],
        );
        check_is(
            &wrap(json!({"type": "string", "pattern": "("})),
            &[("s.properties[a].pattern", "Invalid value")],
        );
        check_is(
            &wrap(json!({"type": "string", "anyOf": [{"default": "x"}]})),
            &[("s.properties[a].anyOf[0].default", "Forbidden")],
        );
        check_is(
            &wrap(json!({"type": "array", "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["n"],
                "items": {"type": "object", "properties": {"n": {"type": "string"}}}})),
            &[(
                "s.properties[a].items.properties[n].default",
                "Required value",
            )],
        );
    }
}
