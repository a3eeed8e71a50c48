//! Whether the schema of a `CustomResourceDefinition` is structural: every place
//! has one type, and rules do not smuggle in shapes.

mod lists;
mod nested;

use serde_json::{Map, Value};

use super::{
    Cause,
    compile::{flag, text},
    structure::Pattern,
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
    root_is_sound(schema, path, &mut causes);
    place(schema, path, &mut causes);
    nested::check_root(schema, path, &mut causes);
    causes
}

/// What the root of a schema may say of objects whose status is written on its own: what is said
/// elsewhere would not hold for it.
pub(super) fn check_beside_status(schema: &Value, path: &str) -> Option<Cause> {
    const ALLOWED: [&str; 22] = [
        "description",
        "type",
        "format",
        "title",
        "maximum",
        "exclusiveMaximum",
        "minimum",
        "exclusiveMinimum",
        "maxLength",
        "minLength",
        "pattern",
        "maxItems",
        "minItems",
        "uniqueItems",
        "multipleOf",
        "required",
        "items",
        "properties",
        "externalDocs",
        "example",
        "x-kubernetes-preserve-unknown-fields",
        "x-kubernetes-validations",
    ];
    let mut members = schema.as_object().into_iter().flatten();
    let (other, _) = members.find(|(key, value)| {
        let says = !matches!(value, Value::Null | Value::Bool(false));
        says && !ALLOWED.contains(&key.as_str())
    })?;
    let words = format!(
        "only {} fields are allowed at the root of the schema if the status subresource is enabled",
        ALLOWED.join(", ")
    );
    Some(Cause::invalid(path, &Value::from(other.as_str()), &words))
}

/// Whole objects are structs, of whose metadata only names can be restricted.
fn root_is_sound(schema: &Value, path: &str, causes: &mut Vec<Cause>) {
    if flag(schema, "nullable") {
        let words = "nullable cannot be true at the root";
        causes.push(Cause::forbidden(&format!("{path}.nullable"), words));
    }
    if schema.get("additionalProperties").is_some() {
        let at = format!("{path}.additionalProperties");
        causes.push(Cause::forbidden(&at, "must not be used at the root"));
    }
    for name in ["apiVersion", "kind", "metadata"] {
        if schema
            .pointer(&format!("/properties/{name}/default"))
            .is_some()
        {
            causes.push(Cause::forbidden(
                &format!("{path}.properties[{name}].default"),
                &format!("must not be set in top-level {name}"),
            ));
        }
    }
    let metadata = schema.pointer("/properties/metadata");
    let metadata = metadata.and_then(Value::as_object);
    let restricted = metadata.is_none_or(|metadata| {
        let names = metadata.get("properties").and_then(Value::as_object);
        let names_only = names.is_none_or(|names| {
            names
                .keys()
                .all(|name| matches!(name.as_str(), "name" | "generateName"))
        });
        let known = |key: &String| matches!(key.as_str(), "type" | "default" | "properties");
        names_only && metadata.keys().all(known)
    });
    if !restricted {
        let words = "must not specify anything other than name and generateName, but metadata is implicitly specified";
        causes.push(Cause::forbidden(
            &format!("{path}.properties[metadata]"),
            words,
        ));
    }
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
    extensions_are_sound(schema, path, causes);
    lists::check(schema, path, causes);
    patterns_compile(members, path, causes);
    embedded_is_sound(schema, path, causes);
    let struct_like = members
        .get("properties")
        .and_then(Value::as_object)
        .is_some_and(|properties| !properties.is_empty());
    let values = members.get("additionalProperties");
    if struct_like && values.is_some_and(|values| *values != Value::Bool(true)) {
        causes.push(Cause::forbidden(
            &format!("{path}.additionalProperties"),
            "additionalProperties and properties are mutual exclusive",
        ));
    }
    children(schema, path, causes, place);
    nested::check(schema, path, causes);
}

/// Extensions that exclude each other, and what no place may say.
fn extensions_are_sound(schema: &Value, path: &str, causes: &mut Vec<Cause>) {
    const KEEP: &str = "x-kubernetes-preserve-unknown-fields";
    if flag(schema, "uniqueItems") {
        let words =
            "uniqueItems cannot be set to true since the runtime complexity becomes quadratic";
        causes.push(Cause::forbidden(&format!("{path}.uniqueItems"), words));
    }
    if schema.get(KEEP) == Some(&Value::Bool(false)) {
        causes.push(Cause::invalid(
            &format!("{path}.{KEEP}"),
            &Value::Bool(false),
            "must be true or undefined",
        ));
    }
    if !flag(schema, "x-kubernetes-int-or-string") {
        return;
    }
    for other in [KEEP, "x-kubernetes-embedded-resource"] {
        if flag(schema, other) {
            causes.push(Cause::invalid(
                &format!("{path}.{other}"),
                &Value::Bool(true),
                "must be false if x-kubernetes-int-or-string is true",
            ));
        }
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
    let words = "must be object if x-kubernetes-embedded-resource is true";
    match text(schema, "type") {
        Some("object") => {}
        None | Some("") => causes.push(Cause::required(&format!("{path}.type"), words)),
        Some(found) => {
            let found = Value::from(found);
            causes.push(Cause::invalid(&format!("{path}.type"), &found, words));
        }
    }
    if let Some(metadata) = schema.pointer("/properties/metadata") {
        let at = format!("{path}.properties[metadata]");
        defaults_are_certain(metadata, &at, false, causes);
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

/// Below entries of metadata nothing can be filled in: which of them stay is not known before.
fn defaults_are_certain(schema: &Value, path: &str, entry: bool, causes: &mut Vec<Cause>) {
    if entry && schema.get("default").is_some() {
        let words = "must not be set inside additionalProperties applying to object metadata";
        causes.push(Cause::forbidden(&format!("{path}.default"), words));
    }
    let properties = schema.get("properties").and_then(Value::as_object);
    for (name, member) in properties.into_iter().flatten() {
        let at = format!("{path}.properties[{name}]");
        defaults_are_certain(member, &at, entry, causes);
    }
    if let Some(values) = schema.get("additionalProperties") {
        let at = format!("{path}.additionalProperties");
        defaults_are_certain(values, &at, true, causes);
    }
    if let Some(items) = schema.get("items") {
        defaults_are_certain(items, &format!("{path}.items"), entry, causes);
    }
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

fn patterns_compile(members: &Map<String, Value>, path: &str, causes: &mut Vec<Cause>) {
    let Some(pattern) = members.get("pattern").and_then(Value::as_str) else {
        return;
    };
    if let Err(error) = Pattern::compile(pattern) {
        let words = format!("must be a valid regular expression, but isn't: {error}");
        causes.push(Cause::invalid(
            &format!("{path}.pattern"),
            &Value::from(pattern),
            &words,
        ));
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
