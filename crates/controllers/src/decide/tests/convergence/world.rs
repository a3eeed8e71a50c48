//! Controllers on an API, one step at a time, with whatever may go wrong.

use std::collections::{BTreeMap, BTreeSet};

use choreo_model::rendered::RenderedReleaseSpec;
use choreo_writer::Edition;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use proptest::test_runner::TestCaseError;
use serde::Deserialize as _;
use serde_json::{Value, json};

use super::api::{self, Api, identity};
use crate::act::Written;
use crate::decision::{Decision, Write};
use crate::index::Index;
use crate::key::Key;
use crate::live::LiveKey;
use crate::view::View;

/// What goes wrong with one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Nothing.
    None,
    /// A decision is made before the latest changes were seen.
    Late,
    /// The controllers end between two writes, and start again with nothing but what is stored.
    Crash,
    /// Watches break, and begin again with a list.
    LostWatch,
    /// Somebody else writes the object first.
    Conflict,
}

/// Steps that a small platform takes at most to come to rest.
const ENOUGH: usize = 20_000;

/// Objects by their titles.
pub(super) type Outcome = BTreeMap<String, Value>;

/// Controllers and the API they work on.
pub(super) struct World {
    api: Api,
    index: Index,
    queue: BTreeSet<Key>,
    later: BTreeSet<(Timestamp, Key)>,
    now: Timestamp,
}

impl World {
    /// A platform with its defaults, at rest.
    pub(super) fn new() -> Self {
        let mut world = Self {
            api: Api::default(),
            index: Index::default(),
            queue: BTreeSet::new(),
            later: BTreeSet::new(),
            now: Timestamp::UNIX_EPOCH,
        };
        for default in choreo_model::defaults() {
            for document in super::documents(default.yaml) {
                world.user_applies(&document);
            }
        }
        world.restart();
        world.rest(&mut std::iter::empty());
        world
    }

    pub(super) fn user_applies(&mut self, object: &Value) {
        self.api.apply("somebody", object);
    }

    /// An object of the platform, as it is now.
    pub(super) fn find(&self, kind: &str, name: &str) -> Value {
        let found = self.api.get(&identity(kind, "default", name));
        found.cloned().unwrap_or_default()
    }

    pub(super) fn user_deletes(&mut self, kind: &str, name: &str) {
        self.api.delete(&identity(kind, "default", name));
    }

    /// Takes some steps.
    pub(super) fn work(&mut self, steps: usize, faults: &mut impl Iterator<Item = Fault>) {
        for _ in 0..steps {
            self.step(faults.next().unwrap_or(Fault::None));
        }
    }

    /// Goes on until there is nothing to do, now or later.
    pub(super) fn rest(&mut self, faults: &mut impl Iterator<Item = Fault>) {
        for _ in 0..ENOUGH {
            if !self.step(faults.next().unwrap_or(Fault::None)) {
                return;
            }
        }
        panic!("the platform does not come to rest: {:?}", self.queue);
    }

    /// One decision, carried out; returns whether there was anything to do.
    fn step(&mut self, fault: Fault) -> bool {
        match fault {
            Fault::Crash => self.restart(),
            Fault::LostWatch => self.list(),
            Fault::Late if !self.queue.is_empty() => {}
            Fault::None | Fault::Late | Fault::Conflict => self.watch(),
        }
        let Some(key) = self.queue.pop_first().or_else(|| self.wait()) else {
            // What was late is seen at last.
            self.watch();
            return !self.queue.is_empty();
        };
        if fault == Fault::Conflict {
            self.touch(&key);
        }
        let decision = crate::decide::decide(&self.index, &key, self.now);
        self.queue
            .extend(self.index.remember(&key, &decision, self.now));
        self.later.retain(|(_, other)| *other != key);
        if let Some(time) = decision.look_again {
            self.later.insert((time.max(self.now), key.clone()));
        }
        self.watch_types(&key);
        self.carry_out(&key, decision, fault == Fault::Crash);
        self.run_workloads();
        true
    }

    /// Writes as the executor does; a crash ends it after the first.
    fn carry_out(&mut self, key: &Key, decision: Decision, crashes: bool) {
        for (index, write) in decision.writes.iter().enumerate() {
            if crashes && index > 0 {
                return self.restart();
            }
            if self.api.write(decision.manager, write).is_err() {
                self.queue.insert(key.clone());
                return;
            }
            if let Write::Place { object, hash, .. } = write
                && let Some(placed) = self.api.get(object)
            {
                let written = Written {
                    key: LiveKey::of(0, placed),
                    hash: *hash,
                    edition: Edition::deserialize(&placed["metadata"]).unwrap(),
                };
                if self.index.wrote(written, self.now) {
                    self.queue.insert(key.clone());
                }
            }
        }
        if let Some(status) = decision.status {
            self.api
                .report((key.kind, &key.namespace, &key.name), status);
        }
    }

    /// Lets time pass until something is due.
    fn wait(&mut self) -> Option<Key> {
        let (time, key) = self.later.pop_first()?;
        // What is looked at again and again without anything to do would never end.
        let horizon = Timestamp::UNIX_EPOCH + SignedDuration::from_hours(2);
        if time > horizon {
            return None;
        }
        self.now = self.now.max(time);
        Some(key)
    }

    /// Objects of every type that a rendered release has are watched.
    fn watch_types(&mut self, key: &Key) {
        let view = View::new(&self.index);
        let Some(rendered) = view.own::<RenderedReleaseSpec>(key) else {
            return;
        };
        let types = crate::decide::types_of(&view, rendered);
        let new: Vec<_> = types
            .into_iter()
            .filter(|(version, kind)| !self.index.is_watched(0, &format!("{version}/{kind}")))
            .collect();
        for (version, kind) in new {
            for change in self.api.list(&version, &kind) {
                self.queue.extend(self.index.apply(change));
            }
        }
    }

    fn watch(&mut self) {
        while let Some(change) = self.api.next_change() {
            self.queue.extend(self.index.apply(change));
        }
    }

    fn list(&mut self) {
        for change in self.api.list_all() {
            self.queue.extend(self.index.apply(change));
        }
    }

    /// The controllers start with nothing but what is stored.
    fn restart(&mut self) {
        self.index = Index::default();
        self.queue.clear();
        self.later.clear();
        self.list();
    }

    /// Somebody writes something that no decision looks at.
    fn touch(&mut self, key: &Key) {
        let mut object = identity(key.kind, &key.namespace, &key.name);
        if let Some(found) = self.api.get(&object) {
            let version = found["metadata"]["resourceVersion"].clone();
            object["metadata"]["annotations"] = json!({ "example.org/touched-at": version });
            self.api.apply("somebody-else", &object);
        }
    }

    /// A plane on which everything runs at once.
    fn run_workloads(&mut self) {
        let deployments: Vec<Value> = (self.api.objects())
            .filter(|(key, _)| *key.kind == *"Deployment")
            .map(|(_, object)| object.clone())
            .collect();
        for deployment in deployments {
            let replicas = deployment["spec"]["replicas"].as_i64().unwrap_or(1);
            let status = json!({
                "observedGeneration": deployment["metadata"]["generation"],
                "replicas": replicas, "updatedReplicas": replicas,
                "readyReplicas": replicas, "availableReplicas": replicas,
            });
            if deployment["status"] != status {
                self.api.set_status(&deployment, status);
            }
        }
    }

    /// A second pass over everything writes nothing.
    pub(super) fn is_at_rest(&mut self) -> Result<(), TestCaseError> {
        let before = self.api.changes;
        self.list();
        let keys: Vec<Key> = std::mem::take(&mut self.queue).into_iter().collect();
        for key in &keys {
            let decision = crate::decide::decide(&self.index, key, self.now);
            if !decision.writes.is_empty() || decision.status.is_some() {
                return Err(TestCaseError::fail(format!("{key}: {decision:#?}")));
            }
        }
        self.restart();
        self.rest(&mut std::iter::empty());
        if self.api.changes == before {
            return Ok(());
        }
        Err(TestCaseError::fail("a restart writes something"))
    }

    /// Everything of people and controllers that is left, besides what the platform comes with.
    pub(super) fn left(&self) -> Vec<String> {
        let defaults: BTreeSet<_> = choreo_model::defaults()
            .iter()
            .flat_map(|default| super::documents(default.yaml))
            .map(|object| api::key(&object))
            .collect();
        (self.api.objects())
            .filter(|(key, _)| !defaults.contains(key) && is_of_the_present(&key.kind))
            .map(|(key, _)| key.title())
            .collect()
    }

    /// All objects, without what tells when and how often something was written.
    pub(super) fn outcome(&self) -> Outcome {
        let kept = self
            .api
            .objects()
            .filter(|(key, _)| is_of_the_present(&key.kind));
        let mut outcome: Outcome = kept
            .map(|(key, object)| (key.title(), essence(object.clone())))
            .collect();
        // How the end was reached is history.
        for object in outcome.values_mut() {
            if let Some(status) = object["status"].as_object_mut() {
                status.remove("history");
                status.remove("provenReleases");
                status.remove("releaseUid");
            }
        }
        outcome
    }
}

/// What tells of the past: it depends on the way.
fn is_of_the_present(kind: &str) -> bool {
    !matches!(
        kind,
        "DeploymentRecord" | "ComponentRelease" | "ProjectRelease" | "ResourceRelease"
    )
}

fn essence(mut object: Value) -> Value {
    const PASSING: [&str; 10] = [
        "resourceVersion",
        "generation",
        "observedGeneration",
        "lastTransitionTime",
        "lastSpecUpdateTime",
        "lastObservedTime",
        "startedAt",
        "finishedAt",
        "measuredAt",
        "example.org/touched-at",
    ];
    fn strip(value: &mut Value) {
        match value {
            Value::Object(fields) => {
                fields.retain(|name, _| !PASSING.contains(&name.as_str()));
                fields.values_mut().for_each(strip);
                // A touch leaves nothing but an empty map.
                fields.retain(|name, value| name != "annotations" || *value != json!({}));
            }
            Value::Array(items) => items.iter_mut().for_each(strip),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    strip(&mut object);
    object
}
