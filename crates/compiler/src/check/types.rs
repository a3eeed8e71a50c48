//! The types that schemas stand for.

use crate::schema::Schema;
use choreo_template::{Fields, Type};
use serde_json::Value;
use std::sync::Arc;

/// What a section without a schema takes: nothing.
pub(super) fn nothing() -> Type {
    Type::object::<String>([])
}

/// The type of a whole section: only the fields it declares can be named.
pub(super) fn section(schema: &Schema) -> Type {
    let found = of(schema.root());
    if found == Type::map(Type::Dyn) {
        return nothing();
    }
    found
}

/// What a loop over `range` binds: an item of a list, or `{key, value}` of a map.
pub(super) fn item(range: &Type) -> Option<Type> {
    let entry =
        |key: &Type, value: &Type| Type::object([("key", key.clone()), ("value", value.clone())]);
    match range {
        Type::Dyn | Type::Free => Some(Type::Dyn),
        Type::List(item, _) => Some(item.as_ref().clone()),
        Type::Map(key, value) => Some(entry(key, value)),
        Type::Object(fields) => {
            let mut all = fields.known.values().chain(&fields.other);
            let first = all.next().cloned().unwrap_or(Type::Dyn);
            let value = if all.all(|other| *other == first) {
                first
            } else {
                Type::Dyn
            };
            Some(entry(&Type::String, &value))
        }
        Type::Null
        | Type::Bool
        | Type::Int
        | Type::UInt
        | Type::Double
        | Type::String
        | Type::Bytes
        | Type::Duration
        | Type::Timestamp
        | Type::Type
        | Type::Foreign(_)
        | Type::Optional(_) => None,
    }
}

/// The type of what satisfies `schema`, references followed.
fn of(schema: &Value) -> Type {
    let is = |keyword: &str| schema.get(keyword) == Some(&Value::Bool(true));
    if is("x-kubernetes-int-or-string") {
        return Type::Dyn;
    }
    match schema.get("type").and_then(Value::as_str) {
        Some("object") => object(schema),
        None if schema.get("properties").is_some() => object(schema),
        Some("array") => Type::list(schema.get("items").map_or(Type::Dyn, of)),
        Some("string") => match schema.get("format").and_then(Value::as_str) {
            // What these hold is text when it is rendered, whatever a checker may think.
            Some("byte" | "date" | "date-time" | "duration") => Type::Dyn,
            _ => Type::String,
        },
        Some("integer") => Type::Int,
        Some("number") => Type::Double,
        Some("boolean") => Type::Bool,
        // Described only by alternatives, or not at all.
        _ => Type::Dyn,
    }
}

fn object(schema: &Value) -> Type {
    let other = match schema.get("additionalProperties") {
        Some(inner @ Value::Object(_)) => Some(of(inner)),
        Some(Value::Bool(true)) => Some(Type::Dyn),
        _ => (schema.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(true)))
            .then_some(Type::Dyn),
    };
    let properties = schema.get("properties").and_then(Value::as_object);
    match properties.filter(|properties| !properties.is_empty()) {
        None => Type::map(other.unwrap_or(Type::Dyn)),
        Some(properties) => {
            let known = properties
                .iter()
                .map(|(name, field)| (name.clone(), of(field)));
            Type::Object(Arc::new(Fields {
                known: known.collect(),
                other,
            }))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn type_of(schema: &Value) -> Type {
        section(&Schema::read(schema).expect("a schema"))
    }

    #[test]
    fn schemas_are_types() {
        let schema = json!({"type": "object", "$defs": {"Size": {"type": "integer"}}, "properties": {
            "a": {"type": "array", "items": {"$ref": "#/$defs/Size"}},
            "b": {"type": "object", "additionalProperties": {"type": "boolean"}},
            "c": {"type": "object"},
            "d": {"anyOf": [{"type": "string"}, {"type": "integer"}]},
            "e": {"type": "string", "format": "date-time"},
        }});
        let expected = Type::object([
            ("a", Type::list(Type::Int)),
            ("b", Type::map(Type::Bool)),
            ("c", Type::map(Type::Dyn)),
            ("d", Type::Dyn),
            ("e", Type::Dyn),
        ]);
        assert_eq!(type_of(&schema), expected);
        assert_eq!(type_of(&json!({"type": "object"})), nothing());
    }

    #[test]
    fn every_form_of_a_schema_has_its_type() {
        for (schema, expected) in [
            (json!({"type": "number"}), Type::Double),
            (json!({"type": "boolean"}), Type::Bool),
            (json!({"type": "string", "format": "uuid"}), Type::String),
            (json!({"type": "array"}), Type::list(Type::Dyn)),
            (
                json!({"type": "object", "additionalProperties": true}),
                Type::map(Type::Dyn),
            ),
            (
                json!({"x-kubernetes-int-or-string": true, "type": "integer"}),
                Type::Dyn,
            ),
            (
                json!({"properties": {"a": {"type": "string"}}}),
                Type::object([("a", Type::String)]),
            ),
        ] {
            let schema = json!({"type": "object", "properties": {"x": schema}});
            assert_eq!(
                type_of(&schema),
                Type::object([("x", expected)]),
                "{schema}"
            );
        }
        for open in [
            "additionalProperties",
            "x-kubernetes-preserve-unknown-fields",
        ] {
            let schema =
                json!({"type": "object", open: true, "properties": {"a": {"type": "string"}}});
            let Type::Object(fields) = type_of(&schema) else {
                panic!("no object");
            };
            assert_eq!(fields.other, Some(Type::Dyn), "{open}");
        }
    }

    #[test]
    fn what_a_loop_binds_is_of_the_type_all_share() {
        let entry = |value| Type::object([("key", Type::String), ("value", value)]);
        for (range, expected) in [
            (Type::list(Type::Int), Some(Type::Int)),
            (Type::map(Type::Int), Some(entry(Type::Int))),
            (
                Type::object([("a", Type::Int), ("b", Type::Int)]),
                Some(entry(Type::Int)),
            ),
            (
                Type::object([("a", Type::Int), ("b", Type::Bool)]),
                Some(entry(Type::Dyn)),
            ),
            (Type::Dyn, Some(Type::Dyn)),
            (Type::String, None),
        ] {
            assert_eq!(item(&range), expected, "{range}");
        }
    }
}
