//! A job played against a small API, where pods end and vanish at bad moments.

use jiff::Timestamp;
use k8s_openapi::{api::core::v1::PodStatus, apimachinery::pkg::apis::meta::v1::Time};
use serde_json::{Value, from_value};

use super::*;
use crate::{
    index::Kept,
    workload::{job::decide, tests::at},
};

const NOW: &str = "2026-01-01T00:10:00Z";

/// What is stored, and a clock of versions.
struct World {
    index: Index,
    key: Key,
    version: u32,
}

impl World {
    fn new(spec: &Value) -> Self {
        let mut world = Self {
            index: Index::default(),
            key: Key::new("ns", "task"),
            version: 0,
        };
        let job = json!({
            "metadata": {"namespace": "ns", "name": "task", "uid": "job"}, "spec": spec,
        });
        world.store::<Job>(from_value(job).unwrap());
        world
    }

    fn store<K: Kept>(&mut self, mut object: K) {
        self.version += 1;
        object.metadata_mut().resource_version = Some(self.version.to_string());
        self.index.apply(object);
    }

    fn pods(&self) -> Vec<Arc<Pod>> {
        self.index.pods.within("ns").cloned().collect()
    }

    fn job(&self) -> Arc<Job> {
        Arc::clone(self.index.jobs.get(&self.key).unwrap())
    }

    /// Stores a pod, unless it is deleted and nobody holds it.
    fn put(&mut self, pod: Pod) {
        let held = pod.metadata.finalizers.iter().flatten().next().is_some();
        if pod.metadata.deletion_timestamp.is_some() && !held {
            let key = Key::of(&pod.metadata);
            self.index.forget("Pod", &key, uid(&pod));
        } else {
            self.store(pod);
        }
    }

    fn change(&mut self, name: &str, change: impl FnOnce(&mut Pod)) {
        let found = self.index.pods.find("ns", name).cloned();
        let mut pod = Pod::clone(&found.unwrap());
        change(&mut pod);
        self.put(pod);
    }

    /// Does the first writes of a decision; returns whether there were any.
    fn step(&mut self, most: usize) -> bool {
        // Names of pods are made of the time.
        let now = crate::workload::after(at(NOW), i64::from(self.version));
        let writes = decide(&self.index, &self.key, now).writes;
        let writes = writes
            .into_iter()
            .filter(|one| !matches!(one, Write::Notice(_)));
        let writes: Vec<_> = writes.take(most).collect();
        for write in &writes {
            self.write(write);
        }
        !writes.is_empty()
    }

    fn write(&mut self, write: &Write) {
        match write {
            Write::Create(_, pod) => {
                let mut pod: Pod = from_value(pod.clone()).unwrap();
                pod.metadata.uid = pod.metadata.name.clone();
                self.put(pod);
            }
            Write::Status(_, job) => self.store::<Job>(from_value(job.clone()).unwrap()),
            Write::Merge(target, patch) => {
                let left = from_value(patch["metadata"]["finalizers"].clone()).unwrap();
                self.change(&target.key.name, |pod| pod.metadata.finalizers = left);
            }
            Write::Delete { target, .. } => self.delete(&target.key.name),
            Write::Notice(_) => {}
        }
    }

    fn settle(&mut self) {
        let mut rounds = 0;
        while self.step(usize::MAX) {
            rounds += 1;
            assert!(rounds < 20, "it never settles");
        }
    }

    fn delete(&mut self, name: &str) {
        let now = Timestamp::UNIX_EPOCH;
        self.change(name, |pod| {
            pod.metadata.deletion_timestamp = Some(Time(now));
        });
    }

    /// The pod that is active ends.
    fn end(&mut self, phase: &str) -> String {
        let pods = self.pods();
        let active = pods.iter().find(|pod| crate::workload::is_active(pod));
        let name = active.unwrap().metadata.name.clone().unwrap();
        self.change(&name, |pod| {
            pod.status = Some(PodStatus {
                phase: Some(phase.to_owned()),
                ..PodStatus::default()
            });
        });
        name
    }

    fn check(&self, (succeeded, failed): (i32, i32), complete: bool) {
        let status = self.job().status.clone().unwrap();
        let counts = (
            status.succeeded.unwrap_or_default(),
            status.failed.unwrap_or_default(),
        );
        assert_eq!(counts, (succeeded, failed));
        let lists = status.uncounted_terminated_pods.unwrap();
        assert_eq!((lists.succeeded, lists.failed), (None, None));
        let mut conditions = status.conditions.into_iter().flatten();
        assert_eq!(conditions.any(|one| one.type_ == "Complete"), complete);
    }
}

fn three() -> World {
    let template = json!({"spec": {"restartPolicy": "Never", "containers": [{"name": "main"}]}});
    World::new(&json!({"completions": 3, "parallelism": 1, "template": template}))
}

#[test]
fn who_ended_is_counted_once_whoever_deletes_it() {
    let mut world = three();
    world.settle();
    let first = world.end("Succeeded");
    world.settle();
    world.check((1, 0), false);
    world.delete(&first);
    assert!(
        world
            .pods()
            .iter()
            .all(|pod| pod.metadata.name.as_ref() != Some(&first))
    );
    let second = world.end("Succeeded");
    // Nobody has seen its end yet.
    world.delete(&second);
    world.settle();
    world.check((2, 0), false);
    world.end("Succeeded");
    world.settle();
    world.check((3, 0), true);
    assert!(world.pods().iter().all(|pod| !is_held(pod)));
}

#[test]
fn what_breaks_off_goes_on_without_counting_twice() {
    for most in 1..4 {
        let mut world = three();
        for _ in 0..3 {
            while world.step(most) {}
            world.end("Succeeded");
        }
        while world.step(most) {}
        world.check((3, 0), true);
    }
}

#[test]
fn a_pod_that_is_deleted_before_its_end_has_failed() {
    let mut world = three();
    world.settle();
    let name = world.pods()[0].metadata.name.clone().unwrap();
    world.delete(&name);
    world.settle();
    world.check((0, 1), false);
    assert_eq!(world.pods().len(), 1, "another one is made");
}

#[test]
fn nobody_is_held_for_a_job_that_is_gone_or_suspended() {
    let mut world = three();
    world.settle();
    let mut job = Job::clone(&world.job());
    job.spec.as_mut().unwrap().suspend = Some(true);
    world.store(job);
    world.settle();
    world.check((0, 0), false);
    assert_eq!(world.pods().len(), 0);
    let mut world = three();
    world.settle();
    world.index.forget("Job", &world.key, "job");
    world.settle();
    assert!(world.pods().iter().all(|pod| !is_held(pod)) && !world.pods().is_empty());
}
