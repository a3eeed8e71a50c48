//! Random sequences of operations against a simple model of the API: what it answers, what is there
//! afterwards, and that a watch tells the same story.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[expect(dead_code, reason = "each test file uses its part")]
mod common;

use std::collections::BTreeMap;

use common::{open, widget, widgets};
use futures::StreamExt as _;
use kube::{
    Api, ResourceExt as _,
    api::{
        DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams, Preconditions,
        WatchEvent, WatchParams,
    },
};
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use serde_json::{Value, json};

/// Names that operations draw from.
const NAMES: u8 = 3;
/// What holds an object.
const HOLD: &str = "example.com/hold";

/// What a write says about the version it expects.
#[derive(Clone, Copy, Debug)]
enum Version {
    /// Nothing.
    Any,
    /// The present one.
    Present,
    /// One of before.
    Old,
}

#[derive(Clone, Debug)]
enum Step {
    Create {
        name: u8,
        size: u8,
        held: bool,
    },
    Replace {
        name: u8,
        size: u8,
        version: Version,
    },
    Patch {
        name: u8,
        size: u8,
        version: Version,
    },
    Status {
        name: u8,
        phase: u8,
    },
    Hold {
        name: u8,
        held: bool,
    },
    Delete {
        name: u8,
        version: Version,
    },
}

impl Step {
    fn name(&self) -> u8 {
        match self {
            Self::Create { name, .. }
            | Self::Replace { name, .. }
            | Self::Patch { name, .. }
            | Self::Status { name, .. }
            | Self::Hold { name, .. }
            | Self::Delete { name, .. } => *name,
        }
    }
}

fn version() -> impl Strategy<Value = Version> {
    prop_oneof![
        Just(Version::Any),
        Just(Version::Present),
        Just(Version::Old)
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let (name, size) = (0..NAMES, 0_u8..3);
    prop_oneof![
        3 => (name.clone(), size.clone(), any::<bool>())
            .prop_map(|(name, size, held)| Step::Create { name, size, held }),
        2 => (name.clone(), size.clone(), version())
            .prop_map(|(name, size, version)| Step::Replace { name, size, version }),
        3 => (name.clone(), size.clone(), version())
            .prop_map(|(name, size, version)| Step::Patch { name, size, version }),
        2 => (name.clone(), size).prop_map(|(name, phase)| Step::Status { name, phase }),
        2 => (name.clone(), any::<bool>()).prop_map(|(name, held)| Step::Hold { name, held }),
        2 => (name, version()).prop_map(|(name, version)| Step::Delete { name, version }),
    ]
}

/// An object as the model has it.
#[derive(Clone, Debug, PartialEq)]
struct Object {
    size: u8,
    phase: Option<u8>,
    held: bool,
    deleting: bool,
    generation: i64,
    version: u64,
}

/// What the model answers.
#[derive(Debug, PartialEq)]
enum Answer {
    /// Something changed.
    Changed,
    /// It is well, and nothing changed.
    Same,
    /// A refusal of this code.
    No(u16),
}

/// The API as it should be, in a page.
#[derive(Default)]
struct Model {
    objects: BTreeMap<u8, Object>,
    /// The newest version of an object.
    newest: u64,
}

impl Model {
    /// What a step should lead to. Versions are filled in from what the API says.
    fn take(&mut self, step: &Step) -> Answer {
        match *step {
            Step::Create { name, size, held } => self.create(name, size, held),
            Step::Replace {
                name,
                size,
                version,
            } => {
                // Custom objects are never replaced blindly.
                let unnamed = if matches!(version, Version::Any) {
                    422
                } else {
                    409
                };
                self.change(name, version, unnamed, |object| object.size = size)
            }
            Step::Patch {
                name,
                size,
                version,
            } => self.change(name, version, 0, |object| object.size = size),
            Step::Status { name, phase } => {
                self.change(name, Version::Any, 0, |object| object.phase = Some(phase))
            }
            Step::Hold { name, held } => {
                if held
                    && self
                        .objects
                        .get(&name)
                        .is_some_and(|found| found.deleting && !found.held)
                {
                    return Answer::No(422);
                }
                self.change(name, Version::Any, 0, |object| object.held = held)
            }
            Step::Delete { name, version } => self.delete(name, version),
        }
    }

    fn create(&mut self, name: u8, size: u8, held: bool) -> Answer {
        if self.objects.contains_key(&name) {
            return Answer::No(409);
        }
        let object = Object {
            size,
            phase: None,
            held,
            deleting: false,
            generation: 1,
            version: 0,
        };
        self.objects.insert(name, object);
        Answer::Changed
    }

    fn change(
        &mut self,
        name: u8,
        version: Version,
        unnamed: u16,
        change: impl FnOnce(&mut Object),
    ) -> Answer {
        if matches!(version, Version::Any) && unnamed > 0 {
            return Answer::No(unnamed);
        }
        let Some(object) = self.objects.get_mut(&name) else {
            return Answer::No(404);
        };
        if matches!(version, Version::Old) {
            return Answer::No(409);
        }
        let before = object.clone();
        change(object);
        if *object == before {
            return Answer::Same;
        }
        if object.size != before.size {
            object.generation += 1;
        }
        if object.deleting && !object.held {
            self.objects.remove(&name);
        }
        Answer::Changed
    }

    fn delete(&mut self, name: u8, version: Version) -> Answer {
        let Some(object) = self.objects.get_mut(&name) else {
            return Answer::No(404);
        };
        if matches!(version, Version::Old) {
            return Answer::No(409);
        }
        if !object.held {
            self.objects.remove(&name);
            return Answer::Changed;
        }
        if object.deleting {
            return Answer::Same;
        }
        object.deleting = true;
        object.generation += 1;
        Answer::Changed
    }
}

/// The API under test, with the version of each object before its present one.
struct World {
    api: Api<DynamicObject>,
    prefix: String,
    model: Model,
}

fn read(object: &DynamicObject) -> Object {
    let at = |path: &str| object.data.pointer(path).and_then(Value::as_u64);
    Object {
        size: u8::try_from(at("/spec/replicas").unwrap()).unwrap(),
        phase: at("/status/replicas").map(|phase| u8::try_from(phase).unwrap()),
        held: !object.finalizers().is_empty(),
        deleting: object.metadata.deletion_timestamp.is_some(),
        generation: object.metadata.generation.unwrap(),
        version: object.resource_version().unwrap().parse().unwrap(),
    }
}

impl World {
    fn name(&self, name: u8) -> String {
        format!("{}-{name}", self.prefix)
    }

    /// The version a write names; `None` if it names none.
    fn version(&self, name: u8, version: Version) -> Option<String> {
        let present = self
            .model
            .objects
            .get(&name)
            .map_or(1, |object| object.version);
        match version {
            Version::Any => None,
            Version::Present => Some(present.to_string()),
            Version::Old => Some((present - 1).to_string()),
        }
    }

    async fn send(&self, step: &Step) -> Result<(), kube::Error> {
        match *step {
            Step::Create { name, size, held } => self.create(name, size, held).await,
            Step::Replace {
                name,
                size,
                version,
            } => self.replace(name, size, version).await,
            Step::Patch {
                name,
                size,
                version,
            } => {
                let mut change = json!({"spec": {"replicas": size}});
                if let Some(version) = self.version(name, version) {
                    change["metadata"] = json!({"resourceVersion": version});
                }
                self.patch(name, change).await
            }
            Step::Status { name, phase } => {
                let (params, change) = (
                    PatchParams::default(),
                    json!({"status": {"replicas": phase}}),
                );
                let change = Patch::Merge(change);
                let name = self.name(name);
                self.api
                    .patch_status(&name, &params, &change)
                    .await
                    .map(drop)
            }
            Step::Hold { name, held } => {
                let list = if held { json!([HOLD]) } else { Value::Null };
                self.patch(name, json!({"metadata": {"finalizers": list}}))
                    .await
            }
            Step::Delete { name, version } => self.delete(name, version).await,
        }
    }

    async fn create(&self, name: u8, size: u8, held: bool) -> Result<(), kube::Error> {
        let mut object = widget(&self.name(name), &json!({"replicas": size}));
        object.metadata.finalizers = held.then(|| vec![HOLD.to_owned()]);
        self.api
            .create(&PostParams::default(), &object)
            .await
            .map(drop)
    }

    async fn replace(&self, name: u8, size: u8, version: Version) -> Result<(), kube::Error> {
        let mut object = match self.api.get_opt(&self.name(name)).await? {
            Some(found) => found,
            None => widget(&self.name(name), &json!({})),
        };
        object.data["spec"]["replicas"] = json!(size);
        object.metadata.resource_version = self.version(name, version);
        let (name, params) = (self.name(name), PostParams::default());
        self.api.replace(&name, &params, &object).await.map(drop)
    }

    async fn patch(&self, name: u8, change: Value) -> Result<(), kube::Error> {
        let (name, params) = (self.name(name), PatchParams::default());
        self.api
            .patch(&name, &params, &Patch::Merge(change))
            .await
            .map(drop)
    }

    async fn delete(&self, name: u8, version: Version) -> Result<(), kube::Error> {
        let preconditions = self.version(name, version).map(|version| Preconditions {
            resource_version: Some(version),
            uid: None,
        });
        let params = DeleteParams {
            preconditions,
            ..DeleteParams::default()
        };
        self.api.delete(&self.name(name), &params).await.map(drop)
    }

    /// Takes a step on both sides and compares them.
    async fn step(&mut self, step: &Step) {
        let outcome = self.send(step).await;
        let before = self.model.newest;
        let expected = self.model.take(step);
        match (&expected, &outcome) {
            (Answer::No(code), Err(kube::Error::Api(status))) => {
                assert_eq!(status.code, *code, "{step:?}: {status:?}");
            }
            (Answer::Changed | Answer::Same, Ok(())) => {}
            _ => panic!("{step:?}: {outcome:?} instead of {expected:?}"),
        }
        let list = self.api.list(&ListParams::default()).await.unwrap();
        let there: BTreeMap<String, Object> = (list.iter())
            .filter(|object| object.name_any().starts_with(&self.prefix))
            .map(|object| (object.name_any(), read(object)))
            .collect();
        let names: Vec<u8> = self.model.objects.keys().copied().collect();
        assert_eq!(there.len(), names.len(), "{step:?}: {there:?}");
        for name in names {
            let found = &there[&self.name(name)];
            let object = self.model.objects.get_mut(&name).unwrap();
            // Only what the step changed has a new version, and it is newer than all others.
            if expected == Answer::Changed && name == step.name() {
                assert!(found.version > before, "{step:?} left the version {before}");
                object.version = found.version;
                self.model.newest = found.version;
            }
            assert_eq!(found, object, "{step:?}");
        }
    }

    /// What a watch from a version on leads to is what there is.
    async fn check_watch(&self, from: &str) {
        let end = widget(&format!("end-of-{}", self.prefix), &json!({"replicas": 0}));
        self.api.create(&PostParams::default(), &end).await.unwrap();
        let mut objects = BTreeMap::new();
        let params = WatchParams::default().timeout(20);
        let mut stream = self.api.watch(&params, from).await.unwrap().boxed();
        let mut last: u64 = from.parse().unwrap();
        loop {
            let (object, there) = match stream.next().await.unwrap().unwrap() {
                WatchEvent::Added(object) | WatchEvent::Modified(object) => (object, true),
                WatchEvent::Deleted(object) => (object, false),
                other @ (WatchEvent::Bookmark(_) | WatchEvent::Error(_)) => panic!("{other:?}"),
            };
            let version = object.resource_version().unwrap().parse().unwrap();
            assert!(version > last, "{version} after {last}");
            last = version;
            if object.name_any() == end.name_any() {
                break;
            }
            if there {
                objects.insert(object.name_any(), read(&object));
            } else {
                objects.remove(&object.name_any());
            }
        }
        let expected: BTreeMap<String, Object> = (self.model.objects.iter())
            .map(|(name, object)| (self.name(*name), object.clone()))
            .collect();
        assert_eq!(objects, expected);
    }

    /// Leaves nothing behind for the next case.
    async fn clean(&mut self) {
        for name in 0..NAMES {
            self.step(&Step::Hold { name, held: false }).await;
            self.step(&Step::Delete {
                name,
                version: Version::Any,
            })
            .await;
        }
    }
}

/// Runs cases against one server, each with names of its own.
fn cases<S: Strategy>(count: u32, strategy: &S, case: &impl AsyncFn(&kube::Client, u32, S::Value)) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let client = runtime.block_on(async { open(folder.path()).client() });
    let config = Config {
        cases: count,
        failure_persistence: None,
        ..Config::default()
    };
    let number = std::cell::Cell::new(0);
    TestRunner::new(config)
        .run(strategy, |value| {
            number.set(number.get() + 1);
            runtime.block_on(case(&client, number.get(), value));
            Ok(())
        })
        .unwrap();
}

#[test]
fn the_api_is_as_its_model() {
    let steps = prop::collection::vec(step(), 1..30);
    cases(24, &steps, &async |client, number, steps| {
        let api = widgets(client, "default");
        let list = api.list(&ListParams::default()).await.unwrap();
        let start = list.metadata.resource_version.unwrap();
        let mut world = World {
            api,
            prefix: format!("case-{number}"),
            model: Model {
                newest: start.parse().unwrap(),
                ..Model::default()
            },
        };
        for step in &steps {
            world.step(step).await;
        }
        world.check_watch(&start).await;
        world.clean().await;
    });
}
