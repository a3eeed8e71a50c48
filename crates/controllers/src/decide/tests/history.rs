//! Records of deployments: what opens them, what ends them, and what a crash leaves.

use std::collections::BTreeMap;

use choreo_compiler::history::{Recorded, verify};
use choreo_model::{DeploymentRecord, ReleaseBinding};
use proptest::{collection::vec, prelude::*, sample::select};
use serde_json::{Value, json};

use super::{ALL, World, shop, words};
use crate::index::Change;
use crate::key::Key;

const BINDING: (&str, &str) = ("ReleaseBinding", "web-development");

fn key((kind, name): (&'static str, &str)) -> Key {
    Key::new(kind, "default", name)
}

impl World {
    /// The shop, deployed to development.
    fn deployed() -> Self {
        let mut world = Self::new(&shop());
        world.live(&ALL);
        world
    }

    /// The records of the component.
    fn own(&self) -> Vec<DeploymentRecord> {
        let mut records = self.records();
        records.retain(|record| record.spec.binding.kind == BINDING.0);
        records
    }

    /// What they tell: number, action, outcome.
    fn history(&self) -> Vec<String> {
        let told = self.own().into_iter().map(|record| {
            let outcome = record.status.outcome;
            let outcome = outcome.map_or("under way", |outcome| outcome.as_str());
            let spec = record.spec;
            format!("{} {} {outcome}", spec.sequence, spec.action)
        });
        told.collect()
    }

    fn records(&self) -> Vec<DeploymentRecord> {
        let records = self
            .stored
            .iter()
            .filter(|(key, _)| key.kind == "DeploymentRecord");
        records
            .map(|(_, object)| serde_json::from_value(object.clone()).unwrap())
            .collect()
    }

    /// Changes a stored object, which gets the next generation if its specification changes.
    fn edit(&mut self, which: (&'static str, &str), change: impl FnOnce(&mut Value)) {
        let mut object = self.stored[&key(which)].clone();
        let before = object["spec"].clone();
        change(&mut object);
        if object["spec"] != before {
            let generation = object["metadata"]["generation"].as_i64().unwrap();
            object["metadata"]["generation"] = json!(generation + 1);
        }
        self.put(object);
    }

    fn gone(&mut self, which: (&'static str, &str)) {
        if let Some(object) = self.stored.remove(&key(which)) {
            self.index.apply(Change::deleted(&object).unwrap());
        }
    }

    /// Another image, which makes another release.
    fn release(&mut self, image: &str) {
        self.edit(("Workload", "web"), |workload| {
            workload["spec"]["container"]["image"] = json!(image);
        });
        self.record();
    }

    /// Everything that the rendered release says of the binding becomes true or false.
    fn ready(&mut self, ready: bool) {
        let kind = "Deployment";
        self.edit(("RenderedRelease", "web-development"), |rendered| {
            let generation = rendered["metadata"]["generation"].clone();
            let health = if ready { "Healthy" } else { "Degraded" };
            rendered["status"] = json!({
                "observedGeneration": generation,
                "conditions": [{ "type": "ResourcesApplied", "status": "True", "reason": "ApplySucceeded",
                    "message": "", "lastTransitionTime": "1970-01-01T00:00:00Z" }],
                "resources": [{ "id": "deployment", "group": "apps", "version": "v1", "kind": kind,
                    "name": "web", "namespace": "n", "healthStatus": health }],
            });
        });
    }

    /// Lets bindings and records come to rest.
    fn record(&mut self) {
        for _ in 0..3 {
            let names: Vec<String> = self
                .records()
                .iter()
                .map(|one| one.name().to_owned())
                .collect();
            let mut keys: Vec<_> = ALL.to_vec();
            keys.extend(names.iter().map(|name| ("DeploymentRecord", name.as_str())));
            self.live(&keys);
        }
        self.check_history();
    }

    /// Histories are whole, as anybody can tell who reads what is stored.
    fn check_history(&self) {
        let bindings = self.stored.iter().filter(|(key, _)| key.kind == BINDING.0);
        let bindings: BTreeMap<String, Recorded> = bindings
            .map(|(_, object)| {
                let binding: ReleaseBinding = serde_json::from_value(object.clone()).unwrap();
                let recorded = Recorded {
                    title: binding.name().to_owned(),
                    head: binding.status.history.clone(),
                };
                (binding.uid().to_owned(), recorded)
            })
            .collect();
        assert_eq!(verify(&self.own(), &bindings), []);
    }
}

#[test]
fn a_deployment_is_recorded_once_and_ends_when_it_is_ready() {
    let mut world = World::deployed();
    world.record();
    assert_eq!(world.history(), ["1 Deploy under way"]);
    world.ready(true);
    world.record();
    assert_eq!(world.history(), ["1 Deploy Succeeded"]);
    let decision = world.decide(BINDING.0, BINDING.1);
    let writes: Vec<String> = decision.writes.iter().map(words).collect();
    assert_eq!(writes, [""; 0], "nothing is written at rest");
    assert_eq!((decision.status, decision.look_again), (None, None));
}

#[test]
fn what_is_ready_before_its_record_is_seen_ends_too() {
    let mut world = World::deployed();
    world.ready(true);
    // The record is there, and the status of the binding that tells of it is on its way.
    world.edit(BINDING, |binding| binding["status"] = json!({}));
    assert_eq!(world.history(), ["1 Deploy under way"]);
    let late = world.decide(BINDING.0, BINDING.1);
    assert!(late.look_again.is_some(), "{late:?}");
    world.record();
    assert_eq!(world.history(), ["1 Deploy Succeeded"]);
}

#[test]
fn what_is_replaced_tells_how_it_was() {
    let mut world = World::deployed();
    world.record();
    world.release("example.org/web:2");
    assert_eq!(
        world.history(),
        ["1 Deploy Superseded", "2 Deploy under way"]
    );
    world.ready(false);
    world.record();
    assert_eq!(world.history()[1], "2 Deploy under way");
    world.release("example.org/web:3");
    assert_eq!(
        world.history()[1..],
        ["2 Deploy Failed", "3 Deploy under way"]
    );
    let first = world.own()[0].spec.release.clone();
    world.edit(BINDING, |binding| {
        binding["spec"]["releaseName"] = json!(first);
        binding["metadata"]["annotations"] = json!({
            "openchoreo.dev/changed-by": "jane",
            "openchoreo.dev/change-action": "rollback",
            "openchoreo.dev/change-reason": "it loses orders",
        });
    });
    world.record();
    assert_eq!(
        world.history()[2..],
        ["3 Deploy RolledBack", "4 Rollback under way"]
    );
    let last = &world.own()[3].spec;
    let told = [&last.changed_by, &last.reason, &last.release];
    assert_eq!(told, ["jane", "it loses orders", &first]);
}

#[test]
fn configuration_is_recorded_as_it_was() {
    let mut world = World::deployed();
    let overrides = json!({ "container": { "env": [{ "key": "A", "value": "b" }] } });
    world.edit(BINDING, |binding| {
        binding["spec"]["workloadOverrides"] = overrides.clone();
    });
    world.record();
    assert_eq!(world.history()[1], "2 Configure under way");
    let records = world.own();
    let configuration = records[1].spec.configuration.clone().unwrap();
    assert_eq!(
        configuration,
        json!({ "state": "Active", "workloadOverrides": overrides })
    );
    assert_ne!(records[0].spec.plan_digest, records[1].spec.plan_digest);
}

#[test]
fn taking_away_and_bringing_back_are_deployments() {
    let mut world = World::deployed();
    world.edit(BINDING, |binding| {
        binding["spec"]["state"] = json!("Undeploy");
    });
    world.record();
    assert_eq!(
        world.history(),
        ["1 Deploy Superseded"],
        "its objects are still there"
    );
    world.gone(("RenderedRelease", "web-development"));
    world.record();
    assert_eq!(
        world.history(),
        ["1 Deploy Superseded", "2 Undeploy Succeeded"]
    );
    world.edit(BINDING, |binding| {
        binding["spec"]["state"] = json!("Active");
    });
    world.record();
    assert_eq!(world.history()[2], "3 Deploy under way");
}

#[test]
fn what_is_not_ready_in_time_has_failed() {
    let mut world = World::deployed();
    world.record();
    let due = world.decide(BINDING.0, BINDING.1).look_again.unwrap();
    let decision = super::super::decide(&world.index, &key(BINDING), due);
    world.edit(BINDING, |binding| {
        binding["status"] = decision.status.unwrap();
    });
    world.record();
    assert_eq!(world.history(), ["1 Deploy Failed"]);
    assert!(world.own()[0].status.message.contains("not applied yet"));
}

#[test]
fn a_deleted_binding_leaves_its_history_closed() {
    let mut world = World::deployed();
    world.edit(BINDING, |binding| {
        binding["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        binding["metadata"]["finalizers"] = json!(["openchoreo.dev/releasebinding-cleanup"]);
    });
    world.gone(("RenderedRelease", "web-development"));
    let decision = world.decide(BINDING.0, BINDING.1);
    assert_eq!(
        decision.writes,
        [],
        "first the binding tells what became of its deployment"
    );
    assert!(decision.look_again.is_some());
    world.edit(BINDING, |binding| {
        binding["status"] = decision.status.unwrap();
    });
    let decision = world.decide(BINDING.0, BINDING.1);
    let last = decision.writes.last().map(words);
    assert_eq!(last.as_deref(), Some("finalizers web-development []"));
    world.crash(BINDING, usize::MAX);
    world.gone(BINDING);
    for record in world.own() {
        world.live(&[("DeploymentRecord", record.name())]);
    }
    world.check_history();
    assert_eq!(
        world.history(),
        ["1 Deploy Superseded", "2 Delete Succeeded"]
    );
}

#[test]
fn a_record_whose_binding_vanished_ends() {
    let mut world = World::deployed();
    world.record();
    let name = world.own()[0].name().to_owned();
    world.gone(BINDING);
    let decision = world.decide("DeploymentRecord", &name);
    assert_eq!(decision.status.unwrap()["outcome"], "Superseded");
}

/// Something that happens to the binding.
#[derive(Clone, Copy, Debug)]
enum Happening {
    Configured,
    Ready,
    Broken,
    TakenAway,
    BroughtBack,
}

const HAPPENINGS: [Happening; 5] = [
    Happening::Configured,
    Happening::Ready,
    Happening::Broken,
    Happening::TakenAway,
    Happening::BroughtBack,
];

impl World {
    fn happen(&mut self, what: Happening, number: usize) {
        let state = |state: &'static str| {
            move |binding: &mut Value| binding["spec"]["state"] = json!(state)
        };
        let rendered = ("RenderedRelease", "web-development");
        match what {
            Happening::Configured => self.edit(BINDING, |binding| {
                let env = json!([{ "key": "A", "value": number.to_string() }]);
                binding["spec"]["workloadOverrides"] = json!({ "container": { "env": env } });
            }),
            Happening::Ready | Happening::Broken if self.stored.contains_key(&key(rendered)) => {
                self.ready(matches!(what, Happening::Ready));
            }
            Happening::Ready | Happening::Broken => {}
            Happening::TakenAway => {
                self.edit(BINDING, state("Undeploy"));
                self.gone(rendered);
            }
            Happening::BroughtBack => self.edit(BINDING, state("Active")),
        }
    }

    /// Carries a decision out up to a write, or up to its status, and is killed.
    fn crash(&mut self, which: (&'static str, &str), writes: usize) {
        let decision = self.decide(which.0, which.1);
        for write in decision.writes.iter().take(writes) {
            self.act(write);
        }
    }
}

impl World {
    /// Says how many records development keeps.
    fn keeps(&mut self, limit: u32) {
        self.edit(("Environment", "development"), |environment| {
            environment["spec"]["historyLimit"] = json!(limit);
        });
    }
}

#[test]
fn the_oldest_records_go_and_the_history_begins_where_the_newest_says() {
    let mut world = World::deployed();
    world.keeps(2);
    world.record();
    for number in 2..=7 {
        world.happen(Happening::Configured, number);
        world.record();
    }
    let kept: Vec<i64> = world.own().iter().map(|one| one.spec.sequence).collect();
    assert_eq!(kept, [5, 6, 7]);
    let pruned = world.own()[2].spec.pruned.clone().unwrap();
    assert_eq!(pruned.sequence, 4);
    assert_eq!(pruned.hash, world.own()[0].spec.previous_hash);
    // A binding that goes leaves a history that still tells where it begins.
    world.edit(BINDING, |binding| {
        binding["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        binding["metadata"]["finalizers"] = json!(["openchoreo.dev/releasebinding-cleanup"]);
    });
    world.gone(("RenderedRelease", "web-development"));
    for _ in 0..2 {
        world.crash(BINDING, usize::MAX);
        let decision = world.decide(BINDING.0, BINDING.1);
        if let Some(status) = decision.status {
            world.edit(BINDING, |binding| binding["status"] = status);
        }
    }
    world.crash(BINDING, usize::MAX);
    world.gone(BINDING);
    for record in world.own() {
        world.live(&[("DeploymentRecord", record.name())]);
    }
    world.check_history();
    let last = world.own().pop().unwrap().spec;
    assert_eq!((last.sequence, last.action.as_str()), (8, "Delete"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Wherever the controllers are killed, the history stays one chain without a gap, and ends with
    /// what is in effect.
    #[test]
    fn no_crash_breaks_a_history(
        story in vec((select(&HAPPENINGS[..]), 0usize..6, any::<bool>()), 1..8),
        limit in 1u32..4,
    ) {
        let mut world = World::deployed();
        world.keeps(limit);
        for (number, (what, writes, rests)) in story.into_iter().enumerate() {
            world.happen(what, number);
            for _ in 0..3 {
                world.crash(BINDING, writes);
                let last = world.own().last().map(|last| last.name().to_owned());
                if let Some(last) = last {
                    world.live(&[("DeploymentRecord", &last)]);
                }
            }
            if rests {
                world.record();
            }
        }
        world.record();
        let binding = &world.stored[&key(BINDING)];
        let history = &binding["status"]["history"];
        prop_assert_eq!(&history["generation"], &binding["metadata"]["generation"]);
        let last = world.own().pop().unwrap();
        prop_assert_eq!(&history["sequence"], &json!(last.spec.sequence));
        let begin = history["pruned"]["sequence"].as_i64().unwrap_or_default();
        let kept: Vec<i64> = world.own().iter().map(|one| one.spec.sequence).collect();
        let wanted: Vec<i64> = (begin + 1..=last.spec.sequence).collect();
        prop_assert_eq!(kept, wanted, "nothing that is pruned is left");
    }
}
