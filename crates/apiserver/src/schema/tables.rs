//! What the tests of apiextensions-apiserver hold schemas to, asked here.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Cause, Schema, crd, program};
use crate::tables::{Table, judge};

#[derive(Deserialize)]
struct Case {
    name: String,
    function: String,
    schema: usize,
    /// Whether the value is a whole object.
    #[serde(default)]
    root: bool,
    given: Value,
    #[serde(default)]
    old: Value,
    after: Option<Value>,
    #[serde(default)]
    unknown: Option<Vec<String>>,
    #[serde(default)]
    errors: Vec<Told>,
}

/// An error, as clients are told of it.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
struct Told {
    #[serde(rename = "type")]
    reason: String,
    field: String,
    #[serde(default)]
    detail: String,
}

/// A value of the case's schema, in an object: all that there are here.
fn wrapped(case: &Case, value: &Value) -> Value {
    if case.root || value.is_null() && case.function == "rules" {
        value.clone()
    } else {
        json!({ "value": value })
    }
}

fn schema(case: &Case, schema: &Value) -> Schema {
    if case.root {
        Schema::from_openapi(schema)
    } else {
        Schema::from_openapi(&json!({"type": "object", "properties": {"value": schema}}))
    }
}

/// A path here as the tests write it, whose values are the root.
fn path(case: &Case, path: &str) -> String {
    if case.root {
        return path.to_owned();
    }
    let rest = path.strip_prefix("value").unwrap_or(path);
    rest.strip_prefix('.').unwrap_or(rest).to_owned()
}

/// The error as far as the tests agree on how it is written.
fn error(case: &Case, reason: &str, field: &str) -> (String, String) {
    let field = field.strip_prefix("root").unwrap_or(field);
    let field = field.strip_prefix('.').unwrap_or(field);
    let field = if field == "<nil>" { "" } else { field };
    (reason.to_owned(), path(case, field))
}

fn told(case: &Case) -> BTreeSet<(String, String)> {
    let errors = case.errors.iter();
    errors
        .map(|told| {
            let whole = Case {
                root: true,
                ..empty()
            };
            error(&whole, &told.reason, &told.field)
        })
        .collect()
}

fn found(case: &Case, causes: &[Cause]) -> BTreeSet<(String, String)> {
    let causes = causes.iter();
    causes
        .map(|cause| error(case, &cause.reason, &cause.field))
        .collect()
}

fn empty() -> Case {
    serde_json::from_value(json!({"name": "", "function": "", "schema": 0, "given": null})).unwrap()
}

/// What is otherwise here, if anything is.
fn difference(case: &Case, openapi: &Value) -> Option<String> {
    match case.function.as_str() {
        "prune" | "default" => changed(case, openapi),
        "definition" => {
            let mut causes = crd::check(&case.given);
            if causes.is_empty() {
                causes = crd::too_expensive(&case.given, None);
            }
            // The tests are about the internal form of definitions, whose paths are others.
            other(&case.errors.is_empty(), &causes.is_empty())
        }
        "rules" if uncompiled(case) => {
            let causes = program::check(openapi, "");
            causes
                .is_empty()
                .then(|| "expected the rule to be refused".to_owned())
        }
        "rules" => {
            refused(openapi).or_else(|| other(&told(case), &found(case, &causes(case, openapi))))
        }
        _ => other(&told(case), &found(case, &causes(case, openapi))),
    }
}

/// Why rules that can be compiled are refused here, if they are.
fn refused(openapi: &Value) -> Option<String> {
    let causes = program::check(openapi, "");
    let of_rule = |cause: &&Cause| cause.field.rsplit('.').next() == Some("rule");
    let cause = causes.iter().find(of_rule)?;
    Some(format!("expected the rule to be taken: {cause:?}"))
}

fn uncompiled(case: &Case) -> bool {
    let mut errors = case.errors.iter();
    errors.any(|told| told.detail.starts_with("rule compile error"))
}

fn changed(case: &Case, openapi: &Value) -> Option<String> {
    let compiled = schema(case, openapi);
    let mut value = wrapped(case, &case.given);
    let after = wrapped(case, case.after.as_ref()?);
    if case.function == "default" {
        compiled.default(&mut value);
        return other(&after, &value);
    }
    let unknown: BTreeSet<_> = compiled
        .prune(&mut value)
        .iter()
        .map(|at| path(case, at))
        .collect();
    let expected: BTreeSet<_> = case.unknown.iter().flatten().cloned().collect();
    other(&(after, expected), &(value, unknown))
}

fn causes(case: &Case, openapi: &Value) -> Vec<Cause> {
    let compiled = schema(case, openapi);
    let value = wrapped(case, &case.given);
    let old = (!case.old.is_null()).then(|| wrapped(case, &case.old));
    if case.function == "rules" {
        return compiled.check(&value, old.as_ref()).broken;
    }
    let mut causes = compiled.validate(&value, old.as_ref());
    match case.function.as_str() {
        "lists" => causes.retain(|cause| cause.reason == "FieldValueDuplicate"),
        "metadata" => causes.retain(|cause| {
            cause.reason == "FieldValueRequired" || cause.field.contains("metadata")
        }),
        "validate" => {}
        unknown => panic!("{unknown} has no counterpart"),
    }
    causes
}

fn other<T: PartialEq + std::fmt::Debug>(expected: &T, found: &T) -> Option<String> {
    (expected != found).then(|| format!("expected {expected:?}\n    found    {found:?}"))
}

#[test]
fn schemas_say_what_those_of_apiextensions_say() {
    let table = Table::<Case>::read("schema");
    let (mut played, mut failed) = (0, BTreeMap::new());
    for case in &table.cases {
        let openapi = &table.schemas[case.schema];
        if openapi.is_null() && case.function != "definition" {
            continue;
        }
        played += 1;
        if let Some(why) = difference(case, openapi) {
            let shown = json!({"schema": openapi, "given": case.given, "old": case.old, "errors":
                case.errors.iter().map(|told| &told.detail).collect::<Vec<_>>()});
            failed.insert(case.name.clone(), format!("{why}\n    {shown}"));
        }
    }
    judge("schema", played, &failed);
}
