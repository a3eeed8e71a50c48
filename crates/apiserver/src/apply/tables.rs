//! The operations that the tests of structured-merge-diff make, made here.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Before, Manager, Versions, ambiguous, apply, create, fields::Set, track};
use crate::{
    schema::{Compiler, Node, Schema},
    tables::{Table, judge},
};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Case {
    name: String,
    operation: String,
    manager: String,
    version: String,
    force: bool,
    /// What the operation ignores, by version.
    #[serde(default)]
    ignored: BTreeMap<String, Value>,
    #[serde(default)]
    conversions: Vec<Conversion>,
    schema: usize,
    live: Value,
    managers: Vec<Owner>,
    given: Value,
    error: Option<String>,
    #[serde(default)]
    conflicts: Vec<Conflict>,
    #[serde(default)]
    after: Value,
    #[serde(default)]
    managers_after: Vec<Owner>,
}

/// What became of an object in a version; without a schema, there is no such version.
#[derive(Debug, Deserialize)]
struct Conversion {
    #[serde(default)]
    given: Value,
    version: String,
    #[serde(default)]
    after: Value,
    schema: Option<usize>,
}

/// The versions of which the tests made conversions.
#[derive(Debug)]
struct Recorded<'a> {
    case: &'a Case,
    schemas: &'a [Schema],
}

impl Versions for Recorded<'_> {
    fn node(&self, api_version: &str) -> Option<Node<'_>> {
        let same = || Some(self.schemas[self.case.schema].root());
        if api_version == self.case.version || self.case.conversions.is_empty() {
            return same();
        }
        let mut conversions = self.case.conversions.iter();
        let known = conversions.find(|one| one.version == api_version)?;
        known.schema.map(|schema| self.schemas[schema].root())
    }

    fn convert(&self, object: &Value, api_version: &str) -> Value {
        if self.case.conversions.is_empty() {
            return object.clone();
        }
        let mut object = object.clone();
        if let Some(members) = object.as_object_mut() {
            members.remove("metadata");
        }
        let object = whole(&object);
        let mut conversions = self.case.conversions.iter();
        let known =
            conversions.find(|one| one.version == api_version && whole(&one.given) == object);
        known.map_or_else(|| json!("was not converted"), |one| whole(&one.after))
    }
}

/// An object is never nothing at all.
fn whole(object: &Value) -> Value {
    if object.is_null() {
        json!({})
    } else {
        object.clone()
    }
}

/// Takes what `set` names from `new`, and puts there what `old` has of it: an operation does not
/// change what it ignores.
fn restore(new: &mut Value, old: &Value, set: &Set) {
    let Some(members) = new.as_object_mut() else {
        return;
    };
    for (step, below) in set.children() {
        let name = step.strip_prefix("f:").unwrap();
        let before = old.get(name);
        if !below.member {
            if let Some(member) = members.get_mut(name) {
                restore(member, before.unwrap_or(&Value::Null), below);
            }
        } else if let Some(before) = before {
            members.insert(name.to_owned(), before.clone());
        } else {
            members.remove(name);
        }
    }
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
        let mut after = whole(&self.after);
        restore(&mut after, &self.live, &self.ignored());
        Outcome::Done(after, owners)
    }

    /// What the operation ignores.
    fn ignored(&self) -> Set {
        let ignored = self.ignored.get(&self.version);
        ignored.map(Set::read).unwrap_or_default()
    }

    /// What it comes to here.
    fn outcome(&self, schemas: &[Schema]) -> Outcome {
        let schema = &schemas[self.schema];
        let versions = Recorded {
            case: self,
            schemas,
        };
        let manager = Manager {
            name: &self.manager,
            api_version: &self.version,
            subresource: "",
            versions: &versions,
            now: Timestamp::UNIX_EPOCH,
        };
        let live = self.live();
        if self.operation == "update" {
            let mut new = self.given.clone();
            restore(&mut new, &self.live, &self.ignored());
            let before = live.as_ref().map_or(Before::Empty(None), Before::Stored);
            track(before, &mut new, manager);
            return done(new);
        }
        if ambiguous(schema.root(), &self.given).is_some() {
            return Outcome::Refused;
        }
        let mut config = self.given.clone();
        restore(&mut config, &Value::Null, &self.ignored());
        let node = schema.root();
        let applied = match &live {
            Some(live) => apply(node, live, &config, manager, self.force),
            None => create(node, config, manager),
        };
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
    let mut failed = BTreeMap::new();
    for case in &table.cases {
        let (expected, found) = (case.expected(), case.outcome(&schemas));
        if expected != found {
            let why = format!("expected {expected:?}\n    found    {found:?}");
            failed.insert(case.name.clone(), why);
        }
    }
    judge("merge", table.cases.len(), &failed);
}
