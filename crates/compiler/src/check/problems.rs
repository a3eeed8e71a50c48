//! What is wrong with schemas as they are written.

use crate::schema::{MAX_PATTERNS, Schema, compiled};
use choreo_template::{Pattern, nearest};
use serde_json::{Map, Value};

/// The types that a schema can name.
const NAMES: [&str; 6] = ["object", "array", "string", "integer", "number", "boolean"];
/// What a structural schema may say; `x-` and a name of somebody's own besides.
const KEYWORDS: [&str; 37] = [
    "$defs",
    "$ref",
    "additionalProperties",
    "allOf",
    "anyOf",
    "default",
    "description",
    "enum",
    "example",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "externalDocs",
    "format",
    "items",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minItems",
    "minLength",
    "minProperties",
    "minimum",
    "multipleOf",
    "not",
    "nullable",
    "oneOf",
    "pattern",
    "properties",
    "required",
    "title",
    "type",
    "uniqueItems",
    "x-kubernetes-int-or-string",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-list-type",
    "x-kubernetes-map-type",
    "x-kubernetes-preserve-unknown-fields",
];
/// What else Kubernetes knows, and nobody asks of the values of a type.
const ELSEWHERE: [&str; 2] = ["x-kubernetes-embedded-resource", "x-kubernetes-validations"];

/// How many problems of one schema are told.
const MAX_PROBLEMS: usize = 100;
/// How many parts the schemas of all defaults may have together: one inside another counts twice.
const MAX_DEFAULTED: usize = 30_000;

/// Something wrong with a schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    /// JSON pointer into the schema.
    pub(super) pointer: String,
    pub(super) message: String,
    /// Whether the schema cannot be used with it.
    pub(super) fatal: bool,
}

/// Everything wrong with `schema` as it is written, references apart; `read` is what was read of it,
/// if it could be.
pub(super) fn problems(schema: &Value, read: Option<&Schema>) -> Vec<Problem> {
    let mut problems = Problems {
        found: Vec::new(),
        read,
        left: MAX_DEFAULTED,
        room: MAX_PATTERNS / 8,
    };
    problems.schema(schema, "");
    problems.found
}

struct Problems<'s> {
    found: Vec<Problem>,
    read: Option<&'s Schema>,
    /// How many parts of schemas of defaults may still be looked at.
    left: usize,
    /// How many bytes patterns may still take that were not prepared when the schema was read.
    room: usize,
}

impl Problems<'_> {
    fn note(&mut self, pointer: impl Into<String>, fatal: bool, message: impl Into<String>) {
        if self.found.len() < MAX_PROBLEMS {
            self.found.push(Problem {
                pointer: pointer.into(),
                message: message.into(),
                fatal,
            });
        }
    }

    fn schema(&mut self, schema: &Value, at: &str) {
        if self.found.len() >= MAX_PROBLEMS {
            return;
        }
        let Some(keywords) = schema.as_object() else {
            return self.note(at, true, "a schema must be an object");
        };
        for keyword in keywords.keys() {
            self.keyword(keyword, at);
        }
        self.type_name(keywords, at);
        self.shapes(keywords, at);
        if keywords.contains_key("properties")
            && keywords
                .get("additionalProperties")
                .is_some_and(Value::is_object)
        {
            let message = "properties and additionalProperties exclude each other";
            self.note(format!("{at}/additionalProperties"), false, message);
        }
        for (keyword, inner) in keywords {
            let at = format!("{at}/{keyword}");
            match (keyword.as_str(), inner) {
                ("properties" | "$defs", Value::Object(fields)) => {
                    for (name, field) in fields {
                        let name = name.replace('~', "~0").replace('/', "~1");
                        self.schema(field, &format!("{at}/{name}"));
                    }
                }
                ("items" | "not", _) | ("additionalProperties", Value::Object(_)) => {
                    self.schema(inner, &at);
                }
                ("allOf" | "anyOf" | "oneOf", Value::Array(branches)) => {
                    for (index, branch) in branches.iter().enumerate() {
                        self.schema(branch, &format!("{at}/{index}"));
                    }
                }
                _ => {}
            }
        }
    }

    fn keyword(&mut self, keyword: &str, at: &str) {
        let is_own = keyword.starts_with("x-") && !keyword.starts_with("x-kubernetes-");
        if is_own || KEYWORDS.contains(&keyword) || ELSEWHERE.contains(&keyword) {
            return;
        }
        let hint = nearest(keyword, KEYWORDS).map(|near| format!("; did you mean {near}?"));
        let message = format!(
            "is no keyword of structural schemas{}",
            hint.unwrap_or_default()
        );
        self.note(format!("{at}/{keyword}"), true, message);
    }

    fn type_name(&mut self, keywords: &Map<String, Value>, at: &str) {
        let Some(name) = keywords.get("type") else {
            return;
        };
        if !name.as_str().is_some_and(|name| NAMES.contains(&name)) {
            let message = format!("{name} is no type: use one of {}", NAMES.join(", "));
            self.note(format!("{at}/type"), true, message);
        }
    }

    /// Keywords whose value cannot be what it has to be.
    fn shapes(&mut self, keywords: &Map<String, Value>, at: &str) {
        for (keyword, value) in keywords {
            let wanted = match keyword.as_str() {
                "properties" | "$defs" if !value.is_object() => "an object",
                "allOf" | "anyOf" | "oneOf" | "enum" if !value.is_array() => "a list",
                "required" if !is_texts(value) => "a list of names",
                "minimum" | "maximum" | "multipleOf" if !value.is_number() => "a number",
                "minLength" | "maxLength" | "minItems" | "maxItems" | "minProperties"
                | "maxProperties"
                    if !value.is_u64() =>
                {
                    "a whole number"
                }
                "exclusiveMinimum" | "exclusiveMaximum" | "nullable" | "uniqueItems"
                    if !value.is_boolean() =>
                {
                    "true or false"
                }
                "pattern" if !value.is_string() => "a regular expression",
                "title" | "description" | "format" if !value.is_string() => "text",
                "additionalProperties" if !value.is_object() && !value.is_boolean() => {
                    "a schema, true or false"
                }
                _ => continue,
            };
            self.note(format!("{at}/{keyword}"), true, format!("must be {wanted}"));
        }
        self.pattern(keywords, at);
        self.default(keywords, at);
    }

    fn pattern(&mut self, keywords: &Map<String, Value>, at: &str) {
        let Some(pattern) = keywords.get("pattern").and_then(Value::as_str) else {
            return;
        };
        let known = self.read.and_then(|read| read.pattern(pattern));
        let reason = match known {
            Some(known) => known.as_ref().err().cloned(),
            None => self.prepared(pattern),
        };
        if let Some(reason) = reason {
            let message = format!("cannot be used: {reason}");
            self.note(format!("{at}/pattern"), false, message);
        }
    }

    /// Why a pattern cannot be used, if there is room to find out. That there are too many is told
    /// where the schema is read.
    fn prepared(&mut self, pattern: &str) -> Option<String> {
        let room = self.room.checked_sub(1)?;
        let compiled = compiled(pattern);
        // One that cannot be used took its time too.
        let size = compiled
            .as_ref()
            .map_or(Pattern::LARGEST / 16, Pattern::size);
        self.room = room.saturating_sub(size);
        compiled.err()
    }

    /// A default that its own schema refuses makes every value that is left out an error.
    fn default(&mut self, keywords: &Map<String, Value>, at: &str) {
        let (Some(default), false) = (keywords.get("default"), keywords.contains_key("$ref"))
        else {
            return;
        };
        if self.left == 0 {
            return;
        }
        self.left = self.left.saturating_sub(keywords.values().map(parts).sum());
        if self.left == 0 {
            let message = "has too many defaults inside of each other";
            return self.note(at, true, message);
        }
        let Ok(schema) = Schema::read(&Value::Object(keywords.clone())) else {
            return;
        };
        let mut filled = default.clone();
        schema.fill(&mut filled);
        if let Some(violation) = schema.validate(&filled).first() {
            let field = violation.field.as_str();
            let place = if field.is_empty() {
                String::new()
            } else {
                format!(" {field}")
            };
            let message = format!("does not satisfy its schema:{place} {}", violation.message);
            self.note(format!("{at}/default"), false, message);
        }
    }
}

/// How many values there are in `value`, itself included.
fn parts(value: &Value) -> usize {
    match value {
        Value::Object(map) => 1 + map.values().map(parts).sum::<usize>(),
        Value::Array(items) => 1 + items.iter().map(parts).sum::<usize>(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 1,
    }
}

fn is_texts(value: &Value) -> bool {
    value
        .as_array()
        .is_some_and(|items| items.iter().all(Value::is_string))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_no_schema_can_have_is_found() {
        let schema = json!({"type": "object", "properties": {
            "a": {"type": "text"},
            "b": {"type": "string", "pattern": "["},
            "c": {"type": "integer", "minimum": 3, "default": 1},
            "d": {"type": "object", "definitions": {}, "required": "x"},
        }});
        let found: Vec<(String, bool)> = problems(&schema, None)
            .into_iter()
            .map(|problem| (problem.pointer, problem.fatal))
            .collect();
        let expected = [
            ("/properties/a/type", true),
            ("/properties/b/pattern", false),
            ("/properties/c/default", false),
            ("/properties/d/definitions", true),
            ("/properties/d/required", true),
        ];
        assert_eq!(
            found,
            expected.map(|(pointer, fatal)| (pointer.to_owned(), fatal))
        );
    }

    #[test]
    fn keywords_have_values_of_their_form() {
        for (keyword, good, bad) in [
            ("properties", json!({}), json!([])),
            ("allOf", json!([]), json!({})),
            ("oneOf", json!([{"type": "string"}]), json!("x")),
            ("enum", json!(["a"]), json!("a")),
            ("required", json!(["a"]), json!([1])),
            ("minimum", json!(1.5), json!("1")),
            ("multipleOf", json!(2), json!(true)),
            ("maxLength", json!(3), json!(-3)),
            ("minItems", json!(0), json!(0.5)),
            ("nullable", json!(true), json!("true")),
            ("exclusiveMinimum", json!(false), json!(0)),
            ("pattern", json!("a+"), json!(1)),
        ] {
            let pointers = |value: &Value| -> Vec<(String, bool)> {
                let found = problems(&json!({keyword: value}), None).into_iter();
                found.map(|one| (one.pointer, one.fatal)).collect()
            };
            assert_eq!(pointers(&good), [], "{keyword}");
            assert_eq!(pointers(&bad), [(format!("/{keyword}"), true)], "{keyword}");
        }
    }

    #[test]
    fn problems_are_found_however_deep() {
        let wrong = json!({"type": "text"});
        for (schema, pointer) in [
            (json!({"items": wrong}), "/items/type"),
            (json!({"not": wrong}), "/not/type"),
            (
                json!({"additionalProperties": wrong}),
                "/additionalProperties/type",
            ),
            (json!({"$defs": {"a/b": wrong}}), "/$defs/a~1b/type"),
            (json!({"anyOf": [{}, wrong]}), "/anyOf/1/type"),
            (json!({"allOf": [wrong]}), "/allOf/0/type"),
        ] {
            let found = problems(&schema, None);
            assert_eq!(found.len(), 1, "{schema}");
            assert_eq!(found[0].pointer, pointer, "{schema}");
        }
        assert_eq!(problems(&json!({"additionalProperties": false}), None), []);
    }
}
