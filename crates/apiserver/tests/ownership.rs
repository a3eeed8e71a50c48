//! The laws of server-side apply, played by random managers: the same again changes nothing, a field
//! has the value its owners gave it, a conflict changes nothing, what nobody owns any more goes.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[expect(dead_code, reason = "each test file uses its part")]
mod common;

use std::collections::{BTreeMap, BTreeSet};

use common::open;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, ResourceExt as _,
    api::{Patch, PatchParams},
};
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use serde_json::{Value, json};

const FIELDS: [&str; 3] = ["a", "b", "c"];
/// Managers that apply, and one that only patches.
const MANAGERS: [&str; 3] = ["ann", "bob", "patcher"];
const PATCHER: u8 = 2;

/// What a manager says of the fields: a value, or nothing.
type Fields = [Option<u8>; 3];

#[derive(Clone, Debug)]
enum Step {
    Apply {
        manager: u8,
        fields: Fields,
        force: bool,
    },
    Patch {
        fields: Fields,
    },
}

fn fields() -> impl Strategy<Value = Fields> {
    prop::array::uniform3(prop::option::of(0_u8..3))
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..PATCHER, fields(), any::<bool>())
            .prop_map(|(manager, fields, force)| Step::Apply { manager, fields, force }),
        1 => fields().prop_map(|fields| Step::Patch { fields }),
    ]
}

/// A field that is set: its value, and who owns it.
#[derive(Clone, Debug, Default, PartialEq)]
struct Field {
    value: u8,
    owners: BTreeSet<u8>,
}

/// The object as it should be, by the number of the field.
type Model = BTreeMap<usize, Field>;

/// What applying leads to; `None` is a conflict.
fn apply(model: &Model, manager: u8, fields: Fields, force: bool) -> Option<Model> {
    let mut next = model.clone();
    for (at, wanted) in fields.iter().enumerate() {
        let Some(value) = *wanted else {
            let gone = next
                .get_mut(&at)
                .is_some_and(|field| field.owners.remove(&manager) && field.owners.is_empty());
            if gone {
                next.remove(&at);
            }
            continue;
        };
        let field = next.entry(at).or_insert_with(|| Field {
            value,
            owners: BTreeSet::new(),
        });
        if field.value != value {
            let others = field.owners.iter().any(|owner| *owner != manager);
            if others && !force {
                return None;
            }
            field.owners.clear();
            field.value = value;
        }
        field.owners.insert(manager);
    }
    Some(next)
}

/// What a plain patch leads to: whatever it changes is the patcher's alone.
fn patch(model: &Model, fields: Fields) -> Model {
    let mut next = model.clone();
    for (at, wanted) in fields.iter().enumerate() {
        let Some(value) = *wanted else { continue };
        if next.get(&at).is_none_or(|field| field.value != value) {
            let owners = BTreeSet::from([PATCHER]);
            next.insert(at, Field { value, owners });
        }
    }
    next
}

/// The object as the API has it.
fn read(object: &ConfigMap) -> Model {
    let data = object.data.clone().unwrap_or_default();
    let owners = |key: &str| {
        let entries = object.metadata.managed_fields.iter().flatten();
        let owning = entries.filter(|entry| {
            let fields = entry
                .fields_v1
                .as_ref()
                .map_or(&Value::Null, |fields| &fields.0);
            fields["f:data"].get(format!("f:{key}")).is_some()
        });
        let number = |name: &str| {
            MANAGERS
                .iter()
                .position(|manager| *manager == name)
                .unwrap()
        };
        owning
            .map(|entry| u8::try_from(number(entry.manager.as_deref().unwrap())).unwrap())
            .collect()
    };
    let field = |(key, value): (&String, &String)| {
        let at = FIELDS.iter().position(|field| field == key).unwrap();
        let value = value.parse().unwrap();
        (
            at,
            Field {
                value,
                owners: owners(key),
            },
        )
    };
    let ours = data
        .iter()
        .filter(|(key, _)| FIELDS.contains(&key.as_str()));
    ours.map(field).collect()
}

fn data(fields: Fields) -> Value {
    let set = FIELDS.iter().zip(fields);
    let set = set
        .filter_map(|(key, value)| Some(((*key).to_owned(), json!(value.as_ref()?.to_string()))));
    Value::Object(set.collect())
}

struct World {
    api: Api<ConfigMap>,
    name: String,
    model: Model,
}

impl World {
    async fn send(&self, step: &Step) -> Result<ConfigMap, kube::Error> {
        match step {
            Step::Apply {
                manager,
                fields,
                force,
            } => {
                let mut params = PatchParams::apply(MANAGERS[usize::from(*manager)]);
                params.force = *force;
                let object = json!({"apiVersion": "v1", "kind": "ConfigMap",
                    "metadata": {"name": self.name}, "data": data(*fields)});
                self.api
                    .patch(&self.name, &params, &Patch::Apply(object))
                    .await
            }
            Step::Patch { fields } => {
                let params = PatchParams {
                    field_manager: Some(MANAGERS[usize::from(PATCHER)].to_owned()),
                    ..PatchParams::default()
                };
                let change = Patch::Merge(json!({"data": data(*fields)}));
                self.api.patch(&self.name, &params, &change).await
            }
        }
    }

    async fn step(&mut self, step: &Step) {
        let before = self.api.get(&self.name).await.unwrap();
        let expected = match step {
            Step::Apply {
                manager,
                fields,
                force,
            } => apply(&self.model, *manager, *fields, *force),
            Step::Patch { fields } => Some(patch(&self.model, *fields)),
        };
        let outcome = self.send(step).await;
        let Some(expected) = expected else {
            match outcome {
                Err(kube::Error::Api(status)) if status.code == 409 => {}
                other => panic!("{step:?}: {other:?} instead of a conflict"),
            }
            let after = self.api.get(&self.name).await.unwrap();
            assert_eq!(after, before, "a conflict changes nothing");
            return;
        };
        let after = outcome.unwrap();
        assert_eq!(read(&after), expected, "{step:?}");
        self.model = expected;
        let again = self.send(step).await.unwrap();
        assert_eq!(again, after, "the same again changes nothing: {step:?}");
    }
}

#[test]
fn apply_keeps_its_laws() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let client = runtime.block_on(async { open(folder.path()).client() });
    let config = Config {
        cases: 32,
        failure_persistence: None,
        ..Config::default()
    };
    let number = std::cell::Cell::new(0);
    let steps = prop::collection::vec(step(), 1..12);
    TestRunner::new(config)
        .run(&steps, |steps| {
            number.set(number.get() + 1);
            runtime.block_on(async {
                let name = format!("case-{}", number.get());
                let api: Api<ConfigMap> = Api::default_namespaced(client.clone());
                let first = json!({"metadata": {"name": name}, "data": {"other": "0"}});
                let first = serde_json::from_value(first).unwrap();
                let created = api
                    .create(&kube::api::PostParams::default(), &first)
                    .await
                    .unwrap();
                let mut world = World {
                    api,
                    name: created.name_any(),
                    model: Model::new(),
                };
                for step in &steps {
                    world.step(step).await;
                }
            });
            Ok(())
        })
        .unwrap();
}
