//! The operations that the tests of structured-merge-diff make, made here.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Before, Manager, Same, ambiguous, apply, track};
use crate::{
    schema::{Compiler, Schema},
    tables::{Table, judge},
};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Case {
    name: String,
    operation: String,
    manager: String,
    version: String,
    force: bool,
    #[serde(default)]
    traits: Vec<String>,
    schema: usize,
    live: Value,
    managers: Vec<Owner>,
    given: Value,
    error: Option<String>,
    #[serde(default)]
    conflicts: Vec<Conflict>,
    after: Option<Value>,
    #[serde(default)]
    managers_after: Vec<Owner>,
}

/// A manager and its fields.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
struct Owner {
    name: String,
    version: String,
    applied: bool,
    #[serde(deserialize_with = "text")]
    fields: String,
}

fn text<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Value::deserialize(deserializer).map(|fields| fields.to_string())
}

#[derive(Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
struct Conflict {
    manager: String,
    path: String,
}

/// What came of an operation.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Done(Value, Vec<Owner>),
    Conflicts(Vec<Conflict>),
    Refused,
}

impl Case {
    /// What it should come to.
    fn expected(&self) -> Outcome {
        if self.error.is_some() {
            return Outcome::Refused;
        }
        if !self.conflicts.is_empty() {
            let mut conflicts: Vec<_> = self
                .conflicts
                .iter()
                .map(|conflict| Conflict {
                    manager: conflict.manager.clone(),
                    path: conflict.path.clone(),
                })
                .collect();
            conflicts.sort();
            return Outcome::Conflicts(conflicts);
        }
        let mut owners = self.managers_after.clone();
        owners.sort();
        // An object is never nothing at all.
        let empty = || Value::Object(Map::new());
        Outcome::Done(self.after.clone().unwrap_or_else(empty), owners)
    }

    /// What it comes to here.
    fn outcome(&self, schema: &Schema) -> Outcome {
        let same = Same(schema.root());
        let manager = Manager {
            name: &self.manager,
            api_version: &self.version,
            subresource: "",
            versions: &same,
            now: Timestamp::UNIX_EPOCH,
        };
        let live = self.live();
        if self.operation == "update" {
            let mut new = self.given.clone();
            let before = live.as_ref().map_or(Before::Empty(None), Before::Stored);
            track(before, &mut new, manager);
            return done(new);
        }
        if ambiguous(schema.root(), &self.given).is_some() {
            return Outcome::Refused;
        }
        let applied = apply(
            schema.root(),
            live.as_ref(),
            &self.given,
            manager,
            self.force,
        );
        match applied {
            Ok(object) => done(object),
            Err(failure) if failure.reason == "Conflict" => {
                let status = failure.to_value();
                let causes = status["details"]["causes"].as_array().unwrap();
                let text = |cause: &Value, key: &str| cause[key].as_str().unwrap().to_owned();
                let mut conflicts: Vec<_> = causes
                    .iter()
                    .map(|cause| Conflict {
                        manager: text(cause, "message").split('"').nth(1).unwrap().to_owned(),
                        path: text(cause, "field"),
                    })
                    .collect();
                conflicts.sort();
                Outcome::Conflicts(conflicts)
            }
            Err(_) => Outcome::Refused,
        }
    }

    /// The object before, as it would be stored.
    fn live(&self) -> Option<Value> {
        let mut live = Some(self.live.clone()).filter(|live| !live.is_null())?;
        let entries = self.managers.iter().map(|owner| {
            json!({
                "manager": owner.name,
                "operation": if owner.applied { "Apply" } else { "Update" },
                "apiVersion": owner.version,
                "time": "1970-01-01T00:00:00Z",
                "fieldsType": "FieldsV1",
                "fieldsV1": serde_json::from_str::<Value>(&owner.fields).unwrap(),
            })
        });
        live["metadata"] = json!({"managedFields": entries.collect::<Vec<_>>()});
        Some(live)
    }
}

fn done(mut object: Value) -> Outcome {
    let metadata = object
        .as_object_mut()
        .and_then(|map| map.remove("metadata"));
    let entries = metadata
        .as_ref()
        .and_then(|metadata| metadata.get("managedFields"));
    let entries = entries.and_then(Value::as_array).into_iter().flatten();
    let mut owners: Vec<_> = entries
        .map(|entry| Owner {
            name: entry["manager"].as_str().unwrap().to_owned(),
            version: entry["apiVersion"].as_str().unwrap().to_owned(),
            applied: entry["operation"] == "Apply",
            fields: entry["fieldsV1"].to_string(),
        })
        .collect();
    owners.sort();
    Outcome::Done(object, owners)
}

fn schema(openapi: &Value) -> Schema {
    let definitions = Map::from_iter([("T".to_owned(), openapi.clone())]);
    let compiled = Compiler::default().definition("T", definitions);
    Schema::builtin(Arc::new(move || compiled.clone()))
}

#[test]
fn operations_end_as_in_structured_merge_diff() {
    let table = Table::<Case>::read("merge");
    let schemas: Vec<Schema> = table.schemas.iter().map(schema).collect();
    // An API has no conversions between versions, and what it ignores is fixed.
    let cases = table.cases.iter().filter(|case| case.traits.is_empty());
    let (mut played, mut failed) = (0, BTreeMap::new());
    for case in cases {
        played += 1;
        let (expected, found) = (case.expected(), case.outcome(&schemas[case.schema]));
        if expected != found {
            let why = format!("expected {expected:?}\n    found    {found:?}");
            failed.insert(case.name.clone(), why);
        }
    }
    judge("merge", played, &failed);
}
