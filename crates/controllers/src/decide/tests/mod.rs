//! Decisions on small worlds written as YAML, without a runtime.

mod api;
mod binding;
mod component;
mod connections;
mod convergence;
mod deletion;
mod events;
mod external;
mod gone;
mod groups;
mod history;
mod observability;
mod organization;
mod planes;
mod preview;
mod project;
mod project_binding;
mod promotion;
mod readiness;
mod rendered;
mod resource;
mod retention;
mod surplus;
mod track;

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use crate::decision::{Decision, Home, Write};
use crate::index::{Change, Index};
use crate::key::Key;

/// A world: an index and a clock that stands still unless it is told otherwise.
struct World {
    index: Index,
    /// Objects of the platform as they were last stored.
    stored: BTreeMap<Key, Value>,
    made: u32,
    now: Timestamp,
}

impl World {
    /// The defaults of a platform and the documents of `yaml`.
    fn new(yaml: &str) -> Self {
        let mut world = Self {
            index: Index::default(),
            stored: BTreeMap::new(),
            made: 0,
            now: Timestamp::UNIX_EPOCH,
        };
        for default in choreo_model::defaults() {
            world.add(default.yaml);
        }
        world.add(yaml);
        world
    }

    fn add(&mut self, yaml: &str) -> BTreeSet<Key> {
        documents(yaml)
            .into_iter()
            .flat_map(|one| self.put(one))
            .collect()
    }

    /// Stores an object as an API would: with an identifier, a version and a generation.
    fn put(&mut self, mut object: Value) -> BTreeSet<Key> {
        self.made += 1;
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        let uid = format!("uid-{}-{name}", object["kind"].as_str().unwrap());
        object["metadata"]["uid"] = json!(uid);
        object["metadata"]["resourceVersion"] = json!(self.made.to_string());
        if object["metadata"]["generation"].is_null() {
            object["metadata"]["generation"] = json!(1);
        }
        if let Some(kind) = choreo_model::find(object["kind"].as_str().unwrap()) {
            let namespace = object["metadata"]["namespace"].as_str().unwrap_or_default();
            let key = Key::new(kind.kind, namespace, &name);
            self.stored.insert(key, object.clone());
            // Of records only those without an outcome are watched.
            let is_over = kind.kind == "DeploymentRecord" && !object["status"]["outcome"].is_null();
            self.index.apply(if is_over {
                Change::deleted(&object).unwrap()
            } else {
                Change::applied(&object).unwrap()
            })
        } else {
            self.index.apply(Change::LiveApplied(0, object))
        }
    }

    fn decide(&mut self, kind: &'static str, name: &str) -> Decision {
        let namespace = if kind.starts_with("Cluster") {
            ""
        } else {
            "default"
        };
        let key = Key::new(kind, namespace, name);
        let decision = super::decide(&self.index, &key, self.now);
        self.index.remember(&key, &decision, self.now);
        decision
    }

    /// Does what decisions ask for, until none of them asks for anything.
    fn settle(&mut self, keys: &[(&'static str, &str)]) {
        self.come_to_rest(keys, false);
    }

    /// The same, and keeps the statuses they report, so that objects hear of each other.
    fn live(&mut self, keys: &[(&'static str, &str)]) {
        self.come_to_rest(keys, true);
    }

    fn come_to_rest(&mut self, keys: &[(&'static str, &str)], statuses: bool) {
        for _ in 0..20 {
            let mut quiet = true;
            for (kind, name) in keys {
                let decision = self.decide(kind, name);
                for write in &decision.writes {
                    quiet &= !self.act(write);
                }
                let stored = self.stored.get(&Key::new(kind, "default", name)).cloned();
                let status = decision.status.filter(|_| statuses);
                if let (Some(mut object), Some(status)) = (stored, status) {
                    object["status"] = status;
                    self.put(object);
                    quiet = false;
                }
            }
            if quiet {
                return;
            }
        }
        panic!("the world does not come to rest");
    }

    /// A condition of a stored object in a few words.
    fn condition(&self, kind: &'static str, name: &str, type_: &str) -> String {
        let status = &self.stored[&Key::new(kind, "default", name)]["status"];
        let mut conditions = status["conditions"].as_array().into_iter().flatten();
        let found = conditions.find(|one| one["type"] == type_);
        found.map_or_else(String::new, condition)
    }

    /// Carries a write out; says whether it changed anything.
    fn act(&mut self, write: &Write) -> bool {
        match write {
            Write::Apply {
                home: Home::Control,
                object,
            } => {
                self.apply(object.clone());
                true
            }
            Write::Status { key, status } => {
                let mut object = self.stored[key].clone();
                let told = object["status"] != *status;
                object["status"] = status.clone();
                self.put(object);
                told
            }
            Write::Delete { object, .. } if object["kind"] == "DeploymentRecord" => {
                let name = object["metadata"]["name"].as_str().unwrap();
                let record = self
                    .stored
                    .remove(&Key::new("DeploymentRecord", "default", name));
                let was_there = record.is_some();
                if let Some(record) = record {
                    self.index.apply(Change::deleted(&record).unwrap());
                }
                was_there
            }
            Write::Apply {
                home: Home::Plane(_),
                ..
            }
            | Write::Place { .. }
            | Write::Delete { .. }
            | Write::Finalizers { .. }
            | Write::Call { .. } => false,
        }
    }

    /// Stores what is applied; what is there keeps its status, and counts changes of what is wanted.
    fn apply(&mut self, mut object: Value) {
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
        let kind = choreo_model::find(text("/kind").unwrap()).unwrap().kind;
        let namespace = text("/metadata/namespace").unwrap_or_default();
        let key = Key::new(kind, namespace, text("/metadata/name").unwrap());
        if let Some(there) = self.stored.get(&key) {
            let generation = there["metadata"]["generation"].as_i64().unwrap_or(1);
            let changed = i64::from(there["spec"] != object["spec"]);
            object["metadata"]["generation"] = json!(generation + changed);
            if !there["status"].is_null() {
                object["status"] = there["status"].clone();
            }
        }
        self.put(object);
    }

    /// The conditions that an object reports, once what it renders is there.
    fn status(&mut self, kind: &'static str, name: &str) -> Vec<String> {
        let mut decision = self.decide(kind, name);
        if decision.status.is_none() && decision.writes.iter().any(renders) {
            for write in &decision.writes {
                self.act(write);
            }
            decision = self.decide(kind, name);
        }
        let status = decision.status.unwrap_or_default();
        let conditions = status["conditions"].as_array().cloned().unwrap_or_default();
        conditions.iter().map(condition).collect()
    }
}

/// Whether a write is that of a rendered release.
fn renders(write: &Write) -> bool {
    matches!(write, Write::Apply { object, .. } if object["kind"] == "RenderedRelease")
}

/// A condition in a few words.
fn condition(one: &Value) -> String {
    let text = |name: &str| one[name].as_str().unwrap_or_default();
    format!(
        "{} {} {}: {}",
        text("type"),
        text("status"),
        text("reason"),
        text("message")
    )
}

/// The objects of a YAML text.
fn documents(yaml: &str) -> Vec<Value> {
    let mut documents = serde_saphyr::from_multiple::<Value>(yaml).unwrap();
    documents.retain(|one| !one.is_null());
    documents
}

/// A write in a few words.
fn words(write: &Write) -> String {
    let title = |object: &Value| {
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap();
        format!("{} {}", text("/kind"), text("/metadata/name"))
    };
    match write {
        Write::Apply { object, .. } | Write::Place { object, .. } => {
            format!("apply {}", title(object))
        }
        Write::Delete { object, .. } => format!("delete {}", title(object)),
        Write::Status { key, .. } => format!("status {} {}", key.kind, key.name),
        Write::Finalizers {
            key, finalizers, ..
        } => {
            format!("finalizers {} {finalizers:?}", key.name)
        }
        Write::Call { id, .. } => format!("call {id}"),
    }
}

/// Asserts the conditions that a decision reports, in a world of the defaults and `yaml`.
fn check(yaml: &str, kind: &'static str, name: &str, expected: &[&str]) {
    assert_eq!(World::new(yaml).status(kind, name), expected);
}

/// Asserts the writes that a decision asks for, in a world of the defaults and `yaml`.
fn check_writes(yaml: &str, kind: &'static str, name: &str, expected: &[&str]) {
    let decision = World::new(yaml).decide(kind, name);
    let writes: Vec<String> = decision.writes.iter().map(words).collect();
    assert_eq!(writes, expected);
}

const COMPONENT: &str = r"
apiVersion: openchoreo.dev/v1alpha1
kind: Component
metadata: { name: web, namespace: default }
spec:
  owner: { projectName: shop }
  componentType: { kind: ClusterComponentType, name: deployment/service }
  autoDeploy: true
";

const WORKLOAD: &str = r"
---
apiVersion: openchoreo.dev/v1alpha1
kind: Workload
metadata: { name: web, namespace: default }
spec:
  owner: { projectName: shop, componentName: web }
  container: { image: example.org/web:1 }
  endpoints: { http: { type: HTTP, port: 8080 } }
";

const PROJECT: &str = r"
---
apiVersion: openchoreo.dev/v1alpha1
kind: Project
metadata: { name: shop, namespace: default, finalizers: [openchoreo.dev/project-cleanup] }
spec:
  deploymentPipelineRef: { name: default }
  type: { kind: ClusterProjectType, name: default }
";

fn shop() -> String {
    format!("{COMPONENT}{WORKLOAD}{PROJECT}")
}

const ALL: [(&str, &str); 4] = [
    ("Project", "shop"),
    ("Component", "web"),
    ("ReleaseBinding", "web-development"),
    ("ProjectReleaseBinding", "shop-development"),
];
