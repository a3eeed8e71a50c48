//! Every rule, with its words.

use crate::schema::Schema;
use serde_json::{Value, json};

/// Holds `value` at `x` to `rule` and compares reason, field and message.
fn check(rule: &Value, value: &Value, wanted: &[(&str, &str, &str)]) {
    let schema = json!({"type": "object", "properties": {"x": rule}});
    let causes = Schema::from_openapi(&schema).validate(&json!({"x": value}), None);
    let found: Vec<_> = causes
        .iter()
        .map(|cause| {
            (
                cause.reason.as_str(),
                cause.field.as_str(),
                cause.message.as_str(),
            )
        })
        .collect();
    assert_eq!(found, wanted, "{rule} {value}");
}

fn broken(rule: &Value, value: &Value, message: &str) {
    check(rule, value, &[("FieldValueInvalid", "x", message)]);
}

#[test]
fn types() {
    check(
        &json!({"type": "integer"}),
        &json!("a"),
        &[(
            "FieldValueTypeInvalid",
            "x",
            "Invalid value: \"string\": x in body must be of type integer: \"string\"",
        )],
    );
    check(&json!({"type": "integer"}), &json!(3.0), &[]);
    check(
        &json!({"type": "string", "nullable": true}),
        &json!(null),
        &[],
    );
    check(
        &json!({"type": "string"}),
        &json!(null),
        &[(
            "FieldValueTypeInvalid",
            "x",
            "Invalid value: \"null\": x in body must be of type string: \"null\"",
        )],
    );
    check(
        &json!({"x-kubernetes-int-or-string": true}),
        &json!("25%"),
        &[],
    );
    check(&json!({"x-kubernetes-int-or-string": true}), &json!(1), &[]);
    check(
        &json!({"x-kubernetes-int-or-string": true}),
        &json!(true),
        &[(
            "FieldValueTypeInvalid",
            "x",
            "Invalid value: \"boolean\": x in body must be of type integer,string: \"boolean\"",
        )],
    );
    check(
        &json!({"type": "string", "format": "date-time"}),
        &json!("now"),
        &[(
            "FieldValueTypeInvalid",
            "x",
            "Invalid value: \"now\": x in body must be of type date-time: \"now\"",
        )],
    );
}

#[test]
fn shapes() {
    let object = json!({"type": "object", "required": ["a"], "minProperties": 1,
        "properties": {"a": {"type": "string"}}});
    check(&object, &json!({"a": "b"}), &[]);
    check(
        &object,
        &json!({"b": 1}),
        &[("FieldValueRequired", "x.a", "Required value")],
    );
    let list = json!({"type": "array", "items": {"type": "object", "properties": {
        "name": {"type": "string"}}}, "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["name"]});
    check(&list, &json!([{"name": "a"}, {"name": "b"}]), &[]);
    check(
        &list,
        &json!([{"name": "a"}, {"name": "a"}]),
        &[(
            "FieldValueDuplicate",
            "x[1]",
            "Duplicate value: {\"name\":\"a\"}",
        )],
    );
    let set =
        json!({"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"});
    check(
        &set,
        &json!(["a", "a"]),
        &[("FieldValueDuplicate", "x[1]", "Duplicate value: \"a\"")],
    );
}

#[test]
fn values() {
    check(
        &json!({"type": "string", "enum": ["a", "b"]}),
        &json!("c"),
        &[(
            "FieldValueNotSupported",
            "x",
            "Unsupported value: \"c\": supported values: \"a\", \"b\"",
        )],
    );
    check(
        &json!({"type": "string", "maxLength": 2}),
        &json!("abc"),
        &[(
            "FieldValueTooLong",
            "x",
            "Too long: may not be more than 2 bytes",
        )],
    );
    check(
        &json!({"type": "array", "maxItems": 1, "items": {"type": "string"}}),
        &json!(["a", "b"]),
        &[(
            "FieldValueTooMany",
            "x",
            "Too many: 2: must have at most 1 item",
        )],
    );
}

#[test]
fn bounds() {
    let cases = [
        (
            json!({"type": "string", "minLength": 2}),
            json!("a"),
            "Invalid value: \"a\": x in body should be at least 2 chars long",
        ),
        (
            json!({"type": "string", "pattern": "^b$"}),
            json!("a"),
            "Invalid value: \"a\": x in body should match '^b$'",
        ),
        (
            json!({"type": "integer", "minimum": 2}),
            json!(1),
            "Invalid value: 1: x in body should be greater than or equal to 2",
        ),
        (
            json!({"type": "integer", "minimum": 2, "exclusiveMinimum": true}),
            json!(2),
            "Invalid value: 2: x in body should be greater than 2",
        ),
        (
            json!({"type": "integer", "maximum": 2}),
            json!(3),
            "Invalid value: 3: x in body should be less than or equal to 2",
        ),
        (
            json!({"type": "integer", "multipleOf": 2}),
            json!(3),
            "Invalid value: 3: x in body should be a multiple of 2",
        ),
        (
            json!({"type": "array", "minItems": 1, "items": {"type": "string"}}),
            json!([]),
            "Invalid value: []: x in body should have at least 1 items",
        ),
    ];
    for (rule, value, message) in &cases {
        broken(rule, value, message);
    }
}

#[test]
fn combinations() {
    let one = json!({"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string"}},
        "oneOf": [{"required": ["a"]}, {"required": ["b"]}]});
    check(&one, &json!({"a": "1"}), &[]);
    broken(
        &one,
        &json!({}),
        "Invalid value: {}: \"x\" must validate one and only one schema (oneOf). Found none valid",
    );
    let any = json!({"type": "integer", "anyOf": [{"minimum": 5}, {"maximum": 1}]});
    check(&any, &json!(0), &[]);
    broken(
        &any,
        &json!(3),
        "Invalid value: 3: \"x\" must validate at least one schema (anyOf)",
    );
    let not = json!({"type": "string", "not": {"enum": ["a"]}});
    check(&not, &json!("b"), &[]);
    broken(
        &not,
        &json!("a"),
        "Invalid value: \"a\": \"x\" must not validate the schema (not)",
    );
}

#[test]
fn names_may_be_restricted() {
    let schema = json!({"type": "object", "properties": {
        "metadata": {"type": "object", "properties": {"name": {"type": "string", "maxLength": 3}}}}});
    let causes =
        Schema::from_openapi(&schema).validate(&json!({"metadata": {"name": "long"}}), None);
    assert_eq!(causes[0].field, "metadata.name");
}
