//! The public conformance cases of CEL, as data: see `tests/conformance/README.md`.

use crate::check::{Scope, Type, infer};
use crate::context::Context;
use crate::eval::evaluate;
use crate::syntax;
use crate::value::{Key, Value, equals};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value as Json;
use std::collections::{BTreeMap, BTreeSet};

#[test]
#[expect(clippy::disallowed_methods, reason = "a test reads its data")]
fn cases_pass_but_for_those_listed() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/conformance");
    let listed = std::fs::read_to_string(format!("{folder}/failures.txt")).expect("a list");
    let listed: BTreeSet<&str> = listed
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .collect();
    let mut failed = BTreeMap::new();
    let mut played = 0;
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let text = std::fs::read_to_string(&path).expect("a file");
        let file: Json = serde_json::from_str(&text).expect("JSON");
        for (name, case) in cases(&file) {
            if concerns_messages(case) {
                continue;
            }
            played += 1;
            if let Err(why) = play(case) {
                failed.insert(name, format!("{}: {why}", case["expr"]));
            }
        }
    }
    assert!(played > 1500, "{played} cases");
    let unlisted: Vec<String> = failed
        .iter()
        .filter(|(name, _)| !listed.contains(name.as_str()))
        .map(|(name, why)| format!("{name}\n    {why}"))
        .collect();
    assert!(
        unlisted.is_empty(),
        "{} fail:\n{}",
        unlisted.len(),
        unlisted.join("\n")
    );
    let passing: Vec<&&str> = listed
        .iter()
        .filter(|name| !failed.contains_key(**name))
        .collect();
    assert!(passing.is_empty(), "listed, but they pass: {passing:?}");
}

fn cases(file: &Json) -> Vec<(String, &Json)> {
    let name = |one: &Json| one["name"].as_str().unwrap_or_default().to_owned();
    let list = |value: &Json, field: &str| value[field].as_array().map_or(0, Vec::len);
    let mut cases = Vec::new();
    for section in 0..list(file, "section") {
        let section = &file["section"][section];
        for case in 0..list(section, "test") {
            let case = &section["test"][case];
            cases.push((
                format!("{}/{}/{}", name(file), name(section), name(case)),
                case,
            ));
        }
    }
    cases
}

/// Whether a case is about protocol buffer messages, enums or the well-known wrappers of values.
fn concerns_messages(case: &Json) -> bool {
    let text = case.to_string();
    let expr = case["expr"].as_str().unwrap_or_default();
    text.contains("TestAllTypes")
        || text.contains("objectValue")
        || text.contains("messageType")
        || text.contains("wrapper")
        || text.contains("abstractType")
        || case["container"]
            .as_str()
            .is_some_and(|name| name.contains("conformance"))
        || (expr.contains("google.protobuf.") && expr.contains('{'))
        || expr.contains("NullValue")
}

fn play(case: &Json) -> Result<(), String> {
    let source = case["expr"].as_str().unwrap_or_default();
    let wants_error = case.get("evalError").is_some();
    let expr = match syntax::parse(source, &crate::Dialect::new(&[])) {
        (Some(expr), mistakes) if mistakes.is_empty() => expr,
        _ if wants_error => return Ok(()),
        (_, mistakes) => return Err(format!("{mistakes:?}")),
    };
    let mut scope = Scope::new();
    for declared in case["typeEnv"].as_array().into_iter().flatten() {
        let name = declared["name"].as_str().unwrap_or_default();
        scope.declare(name, read_type(&declared["ident"]["type"]));
    }
    if case["disableCheck"] != true {
        let (found, mistakes) = infer(&expr, &scope);
        if !mistakes.is_empty() {
            return if wants_error {
                Ok(())
            } else {
                Err(format!("{mistakes:?}"))
            };
        }
        if let Some(wanted) = case.pointer("/typedResult/deducedType") {
            let wanted = read_type(wanted);
            if found.to_string() != wanted.to_string() {
                return Err(format!("deduced {found}, wanted {wanted}"));
            }
        }
        if case["checkOnly"] == true {
            return Ok(());
        }
    }
    let mut context = Context::new();
    for (name, bound) in case["bindings"].as_object().into_iter().flatten() {
        context.set(name, read(&bound["value"]));
    }
    let found = match (evaluate(&expr, &context), wants_error) {
        (Err(_), true) => return Ok(()),
        (Ok(found), true) => return Err(format!("no error: {found:?}")),
        (Err(failure), false) => return Err(format!("{:?}", failure.into_parts())),
        (Ok(found), false) => found,
    };
    let wanted = case
        .get("value")
        .or_else(|| case.pointer("/typedResult/result"));
    let wanted = wanted.map_or(Value::Bool(true), read);
    // The cases' own doubles went through a reader of JSON that is one digit less exact.
    let near = match (&wanted, &found) {
        (Value::Double(a), Value::Double(b)) => {
            a.is_nan() && b.is_nan() || (a - b).abs() <= f64::EPSILON * a.abs()
        }
        _ => false,
    };
    let same = wanted.type_name() == found.type_name()
        && equals(&wanted, &found, context.budget()).unwrap_or(false);
    if same || near {
        return Ok(());
    }
    Err(format!("found {found:?}, wanted {wanted:?}"))
}

/// A value as the cases write it.
fn read(json: &Json) -> Value<'static> {
    let Some((kind, value)) = json.as_object().and_then(|object| object.iter().next()) else {
        return Value::Null;
    };
    let text = || value.as_str().unwrap_or_default();
    let list = |field: &str| value[field].as_array().cloned().unwrap_or_default();
    match kind.as_str() {
        "boolValue" => Value::Bool(value == true),
        "int64Value" => Value::Int(text().parse().expect("an int")),
        "uint64Value" => Value::UInt(text().parse().expect("a uint")),
        "doubleValue" => Value::Double(value.as_f64().unwrap_or_else(|| match text() {
            "Infinity" => f64::INFINITY,
            "-Infinity" => f64::NEG_INFINITY,
            _ => f64::NAN,
        })),
        "stringValue" => Value::from(text().to_owned()),
        "bytesValue" => Value::Bytes(STANDARD.decode(text()).expect("base64").into()),
        "listValue" => Value::list(list("values").iter().map(read).collect()),
        "mapValue" => {
            let entries = list("entries");
            let entries = entries.iter().map(|entry| {
                let key = Key::of(&read(&entry["key"])).expect("a key");
                (key, read(&entry["value"]))
            });
            Value::map(entries.collect())
        }
        "typeValue" => {
            let known = crate::eval::type_value(text());
            known.unwrap_or_else(|| match text() {
                "google.protobuf.Duration" => Value::Type("google.protobuf.Duration"),
                "google.protobuf.Timestamp" => Value::Type("google.protobuf.Timestamp"),
                _ => Value::Null,
            })
        }
        _ => Value::Null,
    }
}

/// A type as the cases write it.
fn read_type(json: &Json) -> Type {
    let Some((kind, value)) = json.as_object().and_then(|object| object.iter().next()) else {
        return Type::Dyn;
    };
    match (kind.as_str(), value.as_str().unwrap_or_default()) {
        ("primitive", "BOOL") => Type::Bool,
        ("primitive", "INT64") => Type::Int,
        ("primitive", "UINT64") => Type::UInt,
        ("primitive", "DOUBLE") => Type::Double,
        ("primitive", "STRING") => Type::String,
        ("primitive", "BYTES") => Type::Bytes,
        ("wellKnown", "TIMESTAMP") => Type::Timestamp,
        ("wellKnown", "DURATION") => Type::Duration,
        ("null", _) => Type::Null,
        ("type", _) => Type::Type,
        ("listType", _) => Type::list(read_type(&value["elemType"])),
        ("mapType", _) => Type::Map(
            Box::new(read_type(&value["keyType"])),
            Box::new(read_type(&value["valueType"])),
        ),
        _ => Type::Dyn,
    }
}
