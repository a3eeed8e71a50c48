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

/// Which values a schema takes, and which not.
#[track_caller]
fn check_takes(schema: &Value, good: &[Value], bad: &[Value]) {
    let read = Schema::read(schema).expect("a schema");
    for value in good {
        assert_eq!(read.validate(value), [], "{schema} {value}");
    }
    for value in bad {
        assert_eq!(read.validate(value).len(), 1, "{schema} {value}");
    }
}

#[test]
fn types_are_held() {
    let all = [
        json!({}),
        json!([]),
        json!("x"),
        json!(true),
        json!(1),
        json!(1.5),
        json!(null),
    ];
    for (name, taken) in [
        ("object", vec![0]),
        ("array", vec![1]),
        ("string", vec![2]),
        ("boolean", vec![3]),
        ("integer", vec![4]),
        ("number", vec![4, 5]),
    ] {
        let of = |wanted: bool| -> Vec<Value> {
            let indexed = all.iter().enumerate();
            let chosen = indexed.filter(|(index, _)| taken.contains(index) == wanted);
            chosen.map(|(_, value)| value.clone()).collect()
        };
        check_takes(&json!({"type": name}), &of(true), &of(false));
    }
    check_takes(
        &json!({"x-kubernetes-int-or-string": true, "type": "string"}),
        &[json!("x"), json!(1), json!(1.0), json!(u64::MAX)],
        &[json!(1.5), json!(true)],
    );
    check_takes(
        &json!({"type": "string", "nullable": true}),
        &[json!(null), json!("x")],
        &[json!(1)],
    );
    check_takes(
        &json!({"nullable": false, "enum": [1]}),
        &[json!(1)],
        &[json!(null)],
    );
}

#[test]
fn limits_are_held_to_the_last_value() {
    check_takes(
        &json!({"minimum": 1, "maximum": 3}),
        &[json!(1), json!(3), json!(2.5)],
        &[json!(0.9), json!(3.1)],
    );
    check_takes(
        &json!({"minimum": 1, "maximum": 3, "exclusiveMinimum": true, "exclusiveMaximum": true}),
        &[json!(1.1), json!(2.9)],
        &[json!(1), json!(3), json!(0), json!(4)],
    );
    check_takes(&json!({"multipleOf": 0}), &[json!(1)], &[]);
    check_takes(
        &json!({"multipleOf": 3}),
        &[json!(0), json!(-6)],
        &[json!(4)],
    );
    check_takes(
        &json!({"multipleOf": 0.01}),
        &[json!(123_456.78)],
        &[json!(123_456.785)],
    );
    check_takes(
        &json!({"minLength": 1, "maxLength": 2}),
        &[json!("é"), json!("éé")],
        &[json!(""), json!("abc")],
    );
    check_takes(
        &json!({"minItems": 1, "maxItems": 2, "uniqueItems": true}),
        &[json!([1]), json!([1, 2])],
        &[json!([]), json!([1, 2, 3]), json!([1, 1])],
    );
    check_takes(
        &json!({"minProperties": 1, "maxProperties": 1}),
        &[json!({"a": 1})],
        &[json!({}), json!({"a": 1, "b": 2})],
    );
}

#[test]
fn alternatives_are_counted() {
    let (small, even) = (json!({"maximum": 5}), json!({"multipleOf": 2}));
    check_takes(
        &json!({"allOf": [small, even]}),
        &[json!(4)],
        &[json!(3), json!(6)],
    );
    check_takes(
        &json!({"anyOf": [small, even]}),
        &[json!(4), json!(3), json!(6)],
        &[json!(7)],
    );
    check_takes(
        &json!({"oneOf": [small, even]}),
        &[json!(3), json!(6)],
        &[json!(4), json!(7)],
    );
    check_takes(&json!({"not": small}), &[json!(6)], &[json!(5)]);
}

/// Everything that a schema may hold a schema in is resolved.
#[test]
fn references_are_followed_everywhere() {
    let size = json!({"$ref": "#/$defs/Size"});
    for (keyword, inner, good, bad) in [
        (
            "properties",
            json!({"a": size}),
            json!({"a": 1}),
            json!({"a": 0}),
        ),
        (
            "additionalProperties",
            size.clone(),
            json!({"b": 1}),
            json!({"b": 0}),
        ),
        ("items", size.clone(), json!([1]), json!([0])),
        ("allOf", json!([size]), json!(1), json!(0)),
        ("anyOf", json!([size]), json!(1), json!(0)),
        ("oneOf", json!([size]), json!(1), json!(0)),
        ("not", size, json!(0), json!(1)),
    ] {
        let schema = json!({"$defs": {"Size": {"minimum": 1}}, keyword: inner});
        check_takes(&schema, &[good], &[bad]);
    }
}

/// A field that may be null is not missing when it is.
#[test]
fn null_is_a_value_only_where_it_may_be_one() {
    let schema = json!({"properties": {
        "may": {"nullable": true, "default": 1}, "must": {"default": 2},
    }});
    let mut value = json!({"may": null, "must": null});
    Schema::read(&schema).expect("a schema").fill(&mut value);
    assert_eq!(value, json!({"may": null, "must": 2}));
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
