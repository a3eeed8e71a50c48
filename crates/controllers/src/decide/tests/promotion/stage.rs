//! A small platform that is all data: it can be copied, compared, and set to any time.

use std::sync::Arc;

use super::*;

/// Objects as they are stored, and the time.
#[derive(Clone)]
pub(super) struct Stage {
    /// Shared by the copies of the stage that left them as they were.
    pub(super) objects: BTreeMap<Key, Arc<Value>>,
    pub(super) now: Timestamp,
}

/// How far a decision is carried out before whoever carries it out is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// To its end.
    All,
    /// So many writes, and no status.
    Writes(usize),
}

impl Stage {
    pub(super) fn new(yaml: &str, now: &str) -> Self {
        let mut stage = Self {
            objects: BTreeMap::new(),
            now: now.parse().unwrap(),
        };
        stage.add(yaml);
        stage
    }

    pub(super) fn add(&mut self, yaml: &str) {
        for object in documents(yaml) {
            self.apply(&object);
        }
    }

    pub(super) fn key(kind: &str, name: &str) -> Key {
        Key::new(choreo_model::find(kind).unwrap().kind, "default", name)
    }

    pub(super) fn get(&self, kind: &str, name: &str) -> &Value {
        let key = Self::key(kind, name);
        self.objects.get(&key).unwrap_or_else(|| panic!("no {key}"))
    }

    /// Merges the fields of `object` into what is stored, as an API does.
    pub(super) fn apply(&mut self, object: &Value) {
        let name = object["metadata"]["name"].as_str().unwrap();
        let key = Self::key(object["kind"].as_str().unwrap(), name);
        let mut stored = self.objects.get(&key).map_or_else(
            || {
                json!({
                    "apiVersion": object["apiVersion"], "kind": key.kind,
                    "metadata": {
                        "name": name, "namespace": "default", "generation": 0,
                        "uid": format!("{}-{name}", key.kind), "creationTimestamp": self.now,
                    },
                })
            },
            |stored| Value::clone(stored),
        );
        let before = stored["spec"].clone();
        for field in ["spec", "status"] {
            if !object[field].is_null() {
                merge(&mut stored[field], &object[field]);
            }
        }
        merge(&mut stored["metadata"], &object["metadata"]);
        // What a controller renders it owns whole.
        if key.kind == "RenderedRelease" {
            stored["spec"] = object["spec"].clone();
            // One index sees stages with different objects of the same generation.
            let content = choreo_model::names::fnv1a(&stored["spec"].to_string());
            stored["metadata"]["uid"] = json!(format!("{name}-{content}"));
        }
        if stored["spec"] != before {
            let generation = stored["metadata"]["generation"].as_i64().unwrap() + 1;
            stored["metadata"]["generation"] = json!(generation);
        }
        if self.objects.get(&key).map(AsRef::as_ref) != Some(&stored) {
            self.objects.insert(key, Arc::new(stored));
        }
    }

    /// A stored object, to be changed.
    pub(super) fn edit(&mut self, kind: &str, name: &str) -> &mut Value {
        let key = Self::key(kind, name);
        Arc::make_mut(self.objects.get_mut(&key).unwrap())
    }

    pub(super) fn index(&self) -> Index {
        let mut index = Index::default();
        for object in self.objects.values() {
            index.apply(Change::applied(object).unwrap());
        }
        index
    }

    pub(super) fn decide(&self, kind: &str, name: &str) -> Decision {
        decide_at(&self.index(), &Self::key(kind, name), self.now)
    }

    /// Carries a decision out, as far as `reach`.
    pub(super) fn carry_out(&mut self, key: &Key, decision: &Decision, reach: Reach) {
        let count = match reach {
            Reach::All => decision.writes.len(),
            Reach::Writes(count) => count,
        };
        for write in decision.writes.iter().take(count) {
            match write {
                // The history of deployments is another story.
                Write::Apply { object, .. } if object["kind"] == "DeploymentRecord" => {}
                Write::Apply {
                    home: Home::Control,
                    object,
                } => self.apply(object),
                Write::Finalizers {
                    key, finalizers, ..
                } => {
                    let stored = self.edit(key.kind, &key.name);
                    stored["metadata"]["finalizers"] = json!(finalizers);
                }
                Write::Apply { .. }
                | Write::Status { .. }
                | Write::Place { .. }
                | Write::Delete { .. }
                | Write::Call { .. } => {}
            }
        }
        if let (Reach::All, Some(status)) = (reach, &decision.status) {
            self.edit(key.kind, &key.name)["status"] = status.clone();
        }
    }

    /// Decides about an object and carries the decision out. What is rendered is told of once it is
    /// there.
    pub(super) fn step(&mut self, kind: &str, name: &str) -> Decision {
        let decision = self.decide(kind, name);
        self.carry_out(&Self::key(kind, name), &decision, Reach::All);
        if decision.status.is_none() && decision.writes.iter().any(renders) {
            self.step(kind, name);
        }
        decision
    }

    /// Says of a rendered release what a node would say once its objects run, or do not.
    pub(super) fn run(&mut self, name: &str, health: &str) {
        let now = self.now;
        let stored = self.edit("RenderedRelease", name);
        let status = json!({
            "observedGeneration": stored["metadata"]["generation"],
            "resources": [{
                "id": "deployment-web", "group": "apps", "version": "v1", "kind": "Deployment",
                "name": "web", "namespace": "cell", "healthStatus": health,
            }],
            "conditions": [{
                "type": "ResourcesApplied", "status": "True", "reason": "ApplySucceeded",
                "message": "", "lastTransitionTime": now,
            }],
        });
        if stored["status"]["resources"] != status["resources"]
            || stored["status"]["observedGeneration"] != status["observedGeneration"]
        {
            stored["status"] = status;
        }
    }

    pub(super) fn wait(&mut self, seconds: i64) {
        self.now += k8s_openapi::jiff::SignedDuration::from_secs(seconds);
    }

    pub(super) fn phase(&self, promotion: &str) -> &str {
        let phase = &self.get("Promotion", promotion)["status"]["phase"];
        phase.as_str().unwrap_or_default()
    }

    /// The image that runs in an environment, by its rendered release.
    pub(super) fn image(&self, rendered: &str) -> Option<&str> {
        let rendered = self.objects.get(&Self::key("RenderedRelease", rendered))?;
        rendered
            .pointer("/spec/resources/0/object/spec/template/spec/containers/0/image")?
            .as_str()
    }
}

fn merge(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from.clone(),
    }
}
