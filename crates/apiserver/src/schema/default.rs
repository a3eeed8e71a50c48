//! Filling in defaults.
//!
//! The same walk drops nulls where null only means "unset", and brings numbers
//! to the form typed readers expect: a reader of quantities wants strings, a
//! reader of integers does not want `3.0`.

use serde_json::{Map, Number, Value};

use super::{
    quantity,
    structure::{Rest, Structure, Type},
};

/// Defaults `value` in place.
pub(super) fn default(structure: &Structure, value: &mut Value) {
    match value {
        Value::Object(members) => map(structure, members),
        Value::Array(items) => {
            let Some(typed) = &structure.items else {
                return;
            };
            for item in items {
                if item.is_null() && !typed.nullable {
                    *item = typed.default.clone().unwrap_or_default();
                }
                default(typed, item);
            }
        }
        Value::Number(number) => {
            if let Some(better) = canonical(structure.kind, number) {
                *value = better;
            }
        }
        Value::String(text) if structure.kind == Type::Quantity => {
            if let Some(better) = quantity::canonical(text) {
                *text = better;
            }
        }
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

fn map(structure: &Structure, members: &mut Map<String, Value>) {
    for (name, typed) in &structure.properties {
        let Some(filling) = &typed.default else {
            continue;
        };
        let unset = members
            .get(&**name)
            .is_none_or(|found| found.is_null() && !typed.nullable);
        if unset {
            members.insert(name.to_string(), filling.clone());
        }
    }
    members.retain(|name, member| {
        let typed = match (structure.properties.get(name.as_str()), &structure.rest) {
            (Some(typed), _) | (None, Rest::Typed(typed)) => typed,
            (None, Rest::Keep | Rest::Unknown) => return true,
        };
        if member.is_null() && !typed.nullable {
            match &typed.default {
                Some(filling) => *member = filling.clone(),
                None => return false,
            }
        }
        default(typed, member);
        true
    });
}

/// The form of a number at a place of this type, when it differs.
fn canonical(kind: Type, number: &Number) -> Option<Value> {
    match kind {
        Type::Quantity => Some(Value::String(quantity::from_number(number))),
        Type::Integer if number.is_f64() => whole(number).map(Value::from),
        Type::Any
        | Type::Object
        | Type::Array
        | Type::String
        | Type::Integer
        | Type::Number
        | Type::Boolean
        | Type::IntOrString => None,
    }
}

/// A float that is a whole number, as one.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the range is checked first"
)]
fn whole(number: &Number) -> Option<i64> {
    let float = number.as_f64()?;
    (float.fract() == 0.0 && float.abs() < 9_007_199_254_740_992.0).then_some(float as i64)
}

#[cfg(test)]
mod tests {
    use crate::schema::Schema;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn schema() -> Schema {
        Schema::from_openapi(&json!({"type": "object", "properties": {"spec": {
        "type": "object",
        "default": {},
        "properties": {
            "replicas": {"type": "integer", "default": 1},
            "maybe": {"type": "string", "nullable": true, "default": "x"},
            "plain": {"type": "string"},
            "ports": {"type": "array", "items": {"type": "object", "properties": {
                "protocol": {"type": "string", "default": "TCP"}}}},
            "map": {"type": "object", "additionalProperties": {"type": "object",
                "properties": {"a": {"type": "integer", "default": 2}}}},
        }}}}))
    }

    fn check(mut given: Value, wanted: &Value) {
        schema().default(&mut given);
        assert_eq!(&given, wanted);
    }

    #[test]
    fn defaults_reach_into_defaults_lists_and_maps() {
        check(json!({}), &json!({"spec": {"replicas": 1, "maybe": "x"}}));
        check(
            json!({"spec": {"replicas": 3.0, "maybe": null, "ports": [{}], "map": {"k": {}}}}),
            &json!({"spec": {"replicas": 3, "maybe": null, "ports": [{"protocol": "TCP"}],
                "map": {"k": {"a": 2}}}}),
        );
    }

    #[test]
    fn null_means_unset_unless_nullable() {
        check(
            json!({"metadata": {"creationTimestamp": null}, "spec": {"replicas": null, "plain": null}}),
            &json!({"metadata": {}, "spec": {"replicas": 1, "maybe": "x"}}),
        );
    }

    proptest! {
        #[test]
        fn defaulting_twice_changes_nothing(replicas in proptest::option::of(any::<i32>()), ports in 0_usize..3) {
            let mut once = json!({"spec": {"replicas": replicas, "ports": vec![json!({}); ports]}});
            schema().default(&mut once);
            let mut twice = once.clone();
            schema().default(&mut twice);
            prop_assert_eq!(once, twice);
        }
    }
}
