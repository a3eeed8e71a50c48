//! An API that is one map: what the controllers rely on of a real one, and nothing else. Versions,
//! generations, identifiers, finalizers, owners, server-side apply by whole fields, and a log of changes
//! that watches read at their own pace.

use std::collections::{BTreeMap, VecDeque};

use serde_json::{Map, Value, json};

use crate::decision::Write;
use crate::index::Change;
use crate::key::Key;
use crate::live::LiveKey;

/// Why a write was refused.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// The object has another version by now.
    Conflict,
}

/// Objects, and what happened to them that was not watched yet.
#[derive(Default)]
pub(super) struct Api {
    objects: BTreeMap<LiveKey, Value>,
    /// What each manager has applied of each object.
    applied: BTreeMap<(LiveKey, String), Value>,
    log: VecDeque<Change>,
    version: u64,
    /// How many objects of a name there were: each has an identifier of its own.
    made: BTreeMap<LiveKey, u64>,
    /// Writes that changed something.
    pub(super) changes: usize,
}

impl Api {
    pub(super) fn objects(&self) -> impl Iterator<Item = (&LiveKey, &Value)> {
        self.objects.iter()
    }

    pub(super) fn get(&self, object: &Value) -> Option<&Value> {
        self.objects.get(&key(object))
    }

    /// The next change that watches have not seen.
    pub(super) fn next_change(&mut self) -> Option<Change> {
        self.log.pop_front()
    }

    /// Watches break and begin again: everything is listed, and what happened meanwhile is skipped.
    pub(super) fn list_all(&mut self) -> Vec<Change> {
        self.log.clear();
        let mut kinds: BTreeMap<(String, String), Vec<Value>> = BTreeMap::new();
        for (key, object) in &self.objects {
            let type_ = [&key.api_version, &key.kind].map(|part| part.as_ref().to_owned());
            let type_: (String, String) = type_.into();
            kinds.entry(type_).or_default().push(object.clone());
        }
        let mut changes = Vec::new();
        for row in choreo_model::registry() {
            let listed = kinds.remove(&(row.api_version(), row.kind.to_owned()));
            let mut listed = listed.unwrap_or_default();
            listed.retain(is_watched);
            let keys = listed.iter().map(|object| {
                let metadata = &object["metadata"];
                let namespace = metadata["namespace"].as_str().unwrap_or_default();
                Key::new(row.kind, namespace, metadata["name"].as_str().unwrap())
            });
            let all = Change::Listed(row.kind, keys.collect());
            changes.extend(listed.iter().filter_map(Change::applied).chain([all]));
        }
        for ((api_version, kind), objects) in kinds {
            changes.extend(listed(&api_version, &kind, objects));
        }
        changes
    }

    /// The objects of a type of the plane.
    pub(super) fn list(&self, api_version: &str, kind: &str) -> Vec<Change> {
        let is_of_type =
            |(key, _): &(&LiveKey, &Value)| *key.api_version == *api_version && *key.kind == *kind;
        let found = self.objects.iter().filter(is_of_type);
        listed(
            api_version,
            kind,
            found.map(|(_, object)| object.clone()).collect(),
        )
    }

    /// Carries a write out.
    pub(super) fn write(&mut self, manager: &str, write: &Write) -> Result<(), Refused> {
        match write {
            Write::Apply { object, .. } | Write::Place { object, .. } => {
                self.apply(manager, object);
            }
            Write::Delete { object, uid, .. } => {
                let is_that = |found: &Value| found["metadata"]["uid"] == **uid;
                if self.get(object).is_some_and(is_that) {
                    self.delete(object);
                }
            }
            Write::Finalizers {
                key,
                version,
                finalizers,
            } => {
                let object = identity(key.kind, &key.namespace, &key.name);
                let Some(found) = self.get(&object) else {
                    return Ok(());
                };
                if found["metadata"]["resourceVersion"] != **version {
                    return Err(Refused::Conflict);
                }
                let mut found = found.clone();
                found["metadata"]["finalizers"] = json!(finalizers);
                self.store(found);
            }
            Write::Status { key, status, .. } => {
                self.report((key.kind, &key.namespace, &key.name), status.clone());
            }
            // Nothing outside answers here.
            Write::Call { .. } => {}
        }
        Ok(())
    }

    /// Server-side apply: fields as given, those that the same manager gave before and leaves out now
    /// are taken away.
    pub(super) fn apply(&mut self, manager: &str, object: &Value) {
        let key = key(object);
        let place = (key.clone(), manager.to_owned());
        let mut new = match self.objects.get(&key) {
            Some(found) => found.clone(),
            None => self.fresh(object),
        };
        if let Some(before) = self.applied.get(&place) {
            take_away(&mut new, before, object);
        }
        put(&mut new, object);
        self.applied.insert(place, object.clone());
        self.store(new);
    }

    /// Writes a status.
    pub(super) fn report(&mut self, (kind, namespace, name): (&str, &str, &str), status: Value) {
        if let Some(found) = self.get(&identity(kind, namespace, name)) {
            let mut found = found.clone();
            found["status"] = status;
            self.store(found);
        }
    }

    /// What a plane reports of one of its objects.
    pub(super) fn set_status(&mut self, object: &Value, status: Value) {
        let mut object = object.clone();
        object["status"] = status;
        self.store(object);
    }

    /// Asks for a deletion; the object goes when nothing holds it.
    pub(super) fn delete(&mut self, object: &Value) {
        if let Some(found) = self.get(object) {
            let mut found = found.clone();
            found["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
            self.store(found);
        }
    }

    /// A new object, as the API completes it.
    fn fresh(&mut self, object: &Value) -> Value {
        let key = key(object);
        let made = self.made.entry(key.clone()).or_default();
        *made += 1;
        let mut new = json!({
            "apiVersion": object["apiVersion"], "kind": object["kind"],
            "metadata": {
                "name": *key.name, "uid": format!("{}/{}/{}#{made}", key.kind, key.namespace, key.name),
                "generation": 0, "creationTimestamp": "2026-01-01T00:00:00Z",
            },
        });
        if !key.namespace.is_empty() {
            new["metadata"]["namespace"] = json!(*key.namespace);
        }
        new
    }

    /// Stores an object, if it differs from what is stored.
    fn store(&mut self, mut new: Value) {
        let key = key(&new);
        let old = self.objects.get(&key);
        if old == Some(&new) {
            return;
        }
        self.changes += 1;
        self.version += 1;
        let is_changed = old.is_none_or(|old| old["spec"] != new["spec"]);
        if is_changed {
            let generation = new["metadata"]["generation"].as_i64().unwrap_or_default();
            new["metadata"]["generation"] = json!(generation + 1);
        }
        new["metadata"]["resourceVersion"] = json!(self.version.to_string());
        if is_done_with(&new) {
            self.remove(&key, new);
            return;
        }
        self.objects.insert(key, new.clone());
        self.log.push_back(seen(new));
    }

    /// An object goes, and whatever it owns.
    fn remove(&mut self, key: &LiveKey, last: Value) {
        self.objects.remove(key);
        self.applied.retain(|(other, _), _| other != key);
        let uid = last["metadata"]["uid"].clone();
        self.log.push_back(gone(last));
        let is_owned = |object: &&Value| {
            let owners = object["metadata"]["ownerReferences"].as_array();
            owners
                .into_iter()
                .flatten()
                .any(|owner| owner["uid"] == uid)
        };
        let owned: Vec<Value> = self.objects.values().filter(is_owned).cloned().collect();
        for object in &owned {
            self.delete(object);
        }
        if *key.kind == *"Namespace" {
            self.empty(&key.name);
        }
    }

    /// What is in a namespace goes with it.
    fn empty(&mut self, namespace: &str) {
        let inside = self
            .objects
            .iter()
            .filter(|(key, _)| *key.namespace == *namespace);
        let inside: Vec<Value> = inside.map(|(_, object)| object.clone()).collect();
        for object in &inside {
            self.delete(object);
        }
    }
}

fn is_done_with(object: &Value) -> bool {
    let held = object["metadata"]["finalizers"].as_array();
    !object["metadata"]["deletionTimestamp"].is_null() && held.is_none_or(Vec::is_empty)
}

fn is_platform(object: &Value) -> bool {
    object["apiVersion"] == choreo_model::API_VERSION
}

/// Of records only those without an outcome are watched.
fn is_watched(object: &Value) -> bool {
    object["kind"] != "DeploymentRecord" || object["status"]["outcome"].is_null()
}

fn seen(object: Value) -> Change {
    match (is_platform(&object), is_watched(&object)) {
        (true, true) => Change::applied(&object).unwrap(),
        (true, false) => Change::deleted(&object).unwrap(),
        (false, _) => Change::LiveApplied(0, object),
    }
}

fn gone(object: Value) -> Change {
    if is_platform(&object) {
        Change::deleted(&object).unwrap()
    } else {
        Change::LiveDeleted(0, object)
    }
}

/// What a list of a type of the plane brings.
fn listed(api_version: &str, kind: &str, objects: Vec<Value>) -> Vec<Change> {
    let all = Change::LiveListed {
        home: 0,
        api_version: api_version.to_owned(),
        kind: kind.to_owned(),
        listed: objects.iter().map(key).collect(),
    };
    let each = objects
        .into_iter()
        .map(|object| Change::LiveApplied(0, object));
    each.chain([all]).collect()
}

pub(super) fn key(object: &Value) -> LiveKey {
    LiveKey::of(0, object)
}

/// An object of the platform, by its name.
pub(super) fn identity(kind: &str, namespace: &str, name: &str) -> Value {
    let mut object = json!({
        "apiVersion": choreo_model::API_VERSION, "kind": kind, "metadata": { "name": name },
    });
    if !namespace.is_empty() {
        object["metadata"]["namespace"] = json!(namespace);
    }
    object
}

/// Takes away what `before` has and `now` has not. Lists are one field.
fn take_away(object: &mut Value, before: &Value, now: &Value) {
    let (Some(fields), Some(before)) = (object.as_object_mut(), before.as_object()) else {
        return;
    };
    for (name, value) in before {
        match (now.get(name), fields.get_mut(name)) {
            (None, Some(_)) => {
                fields.remove(name);
            }
            (Some(now), Some(field)) => take_away(field, value, now),
            (_, None) => {}
        }
    }
}

/// Puts the fields of `fields` into `object`.
fn put(object: &mut Value, fields: &Value) {
    let Some(fields) = fields.as_object() else {
        *object = fields.clone();
        return;
    };
    if !object.is_object() {
        *object = Value::Object(Map::new());
    }
    for (name, value) in fields {
        put(&mut object[name.as_str()], value);
    }
}
