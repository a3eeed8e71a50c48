use super::*;
use proptest::prelude::*;
use serde_json::json;

fn schema() -> Schema {
    let schema = json!({
        "type": "object",
        "$defs": {
            "Size": {"type": "integer", "minimum": 1, "default": 3},
            "Pair": {"type": "object", "default": {}, "properties": {"a": {"$ref": "#/$defs/Size"}}},
        },
        "required": ["name"],
        "properties": {
            "name": {"type": "string", "pattern": "^[a-z]+$", "x-form-order": 1},
            "pair": {"$ref": "#/$defs/Pair"},
            "other": {"type": "object", "properties": {"b": {"type": "string", "default": "x"}}},
            "big": {"$ref": "#/$defs/Size", "default": 9, "maximum": 10},
            "many": {"type": "array", "maxItems": 2, "items": {"$ref": "#/$defs/Pair"}},
            "any": {"type": "object", "additionalProperties": {"$ref": "#/$defs/Size"}},
        },
    });
    Schema::read(&schema).expect("a schema")
}

#[track_caller]
fn check_filled(mut value: Value, expected: &Value) {
    schema().fill(&mut value);
    assert_eq!(&value, expected);
}

#[track_caller]
fn check_violations(value: &Value, expected: &[&str]) {
    let found: Vec<_> = schema()
        .validate(value)
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(found, expected);
}

/// References to references multiply: twenty lines may stand for a billion schemas.
#[test]
fn references_cannot_multiply_without_end() {
    let mut definitions = Map::new();
    for level in 0..30 {
        let next = json!({"$ref": format!("#/$defs/L{}", level + 1)});
        let both = json!({"type": "object", "properties": {"a": next, "b": next}});
        definitions.insert(format!("L{level}"), both);
    }
    definitions.insert("L30".to_owned(), json!({"type": "string"}));
    let violation = Schema::read(&json!({"$defs": definitions, "$ref": "#/$defs/L0"}));
    let violation = violation.expect_err("is too large");
    assert!(violation.message.contains("10000 parts"), "{violation}");
}

#[test]
fn nested_defaults_need_their_parent() {
    check_filled(json!({}), &json!({"pair": {"a": 3}, "big": 9}));
    check_filled(
        json!({"other": {}, "many": [{}, {"a": 1}], "pair": {"a": 2}, "extra": true}),
        &json!({
            "other": {"b": "x"}, "many": [{"a": 3}, {"a": 1}], "pair": {"a": 2},
            "extra": true, "big": 9,
        }),
    );
}

#[test]
fn violations_say_where() {
    check_violations(
        &json!({"name": "A", "big": 11, "many": [{"a": "x"}, {}, {}], "any": {"k": 0}}),
        &[
            "any.k: 0 is below 1",
            "big: 11 is above 10",
            "many: has 3 items, at most 2 are allowed",
            "many[0].a: must be of type integer, not string",
            "name: \"A\" does not match ^[a-z]+$",
        ],
    );
    check_violations(&json!({"extra": 1}), &["name: is required"]);
    check_violations(&json!({"name": "a", "big": 2.0}), &[]);
}

#[test]
fn multiples_allow_for_rounding() {
    let schema = Schema::read(&json!({"type": "number", "multipleOf": 0.1})).expect("a schema");
    assert_eq!(schema.validate(&json!(0.3)), []);
    assert_eq!(schema.validate(&json!(0.35)).len(), 1);
}

#[test]
fn references_must_lead_somewhere() {
    for schema in [
        json!({"$ref": "#/definitions/A"}),
        json!({"$ref": "#/$defs/A"}),
        json!({"$defs": {"A": {"properties": {"b": {"$ref": "#/$defs/A"}}}}, "$ref": "#/$defs/A"}),
    ] {
        Schema::read(&schema).expect_err("refused");
    }
}

proptest! {
    #[test]
    fn filling_twice_is_filling_once(a in prop::option::of(0..5_i64), big in prop::option::of(0..20_i64)) {
        let mut once = json!({"pair": {"a": a}, "big": big});
        schema().fill(&mut once);
        let mut twice = once.clone();
        schema().fill(&mut twice);
        prop_assert_eq!(once, twice);
    }
}

#[test]
fn null_is_no_default() {
    let schema = Schema::read(&json!({"properties": {
        "a": {"type": "string", "nullable": true, "default": null},
        "l": {"type": "array", "items": {"type": "integer", "default": 9}},
        "m": {"additionalProperties": {"type": "integer", "default": 4}},
    }}));
    let mut value = json!({"l": [1, null], "m": {"x": null}});
    schema.expect("a schema").fill(&mut value);
    assert_eq!(value, json!({"l": [1, 9], "m": {"x": 4}}));
}

#[test]
fn formats_are_held() {
    let schema = Schema::read(&json!({"properties": {
        "at": {"type": "string", "format": "date-time"},
        "n": {"type": "integer", "format": "int32"},
        "x": {"type": "string", "format": "of our own"},
    }}));
    let value = json!({"at": "soon", "n": 3_000_000_000_i64, "x": "y"});
    let found: Vec<_> = schema
        .expect("a schema")
        .validate(&value)
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        found,
        ["at: \"soon\" is no date-time", "n: 3000000000 is no int32"]
    );
}
