//! The pods of a job: how many, of which numbers, and when.

use std::{cmp::Reverse, collections::BTreeMap};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{EnvVar, EnvVarSource, ObjectFieldSelector, Pod};

use super::{
    World,
    failure::FAILURES,
    index_of,
    indexes::{INDEX, Indexed},
    tracking::{FINALIZER, give_up},
};
use crate::{
    notice::Notice,
    workload::{after, count, created, pod_of, prefix, ready_since, suffix},
    write::{Decision, Write},
};

/// The variable that tells a program its number.
const VARIABLE: &str = "JOB_COMPLETION_INDEX";
/// Most pods that are made at once.
const MOST: i32 = 500;

impl World<'_> {
    /// Makes the pods that are missing and deletes those that are too many.
    pub(super) fn keep(&self, decision: &mut Decision) {
        let doubles = self.doubles();
        let running = count(self.active.len() - doubles.len());
        let mut there = running;
        if self.spec.pod_replacement_policy.as_deref() == Some("Failed") {
            there += count(self.leaving);
        }
        let wanted = self.wanted(running);
        match &self.indexed {
            _ if wanted <= there => {}
            Some(indexed) => self.make_indexed(indexed, wanted - there, decision),
            None => match backed_off(self.failed, self.failures.last(None), self.now) {
                Some(until) => decision.look_again(until),
                None => {
                    for nth in 0..(wanted - there).min(MOST) {
                        self.create(nth, None, decision);
                    }
                }
            },
        }
        let mut ranked: Vec<_> = self.active.clone();
        ranked.retain(|pod| !doubles.contains(&pod.metadata.uid));
        ranked.sort_by_key(|pod| (ready_since(pod).is_some(), Reverse(created(&pod.metadata))));
        let surplus = usize::try_from(running - wanted).unwrap_or_default();
        let all = self.active.iter();
        let gone = ranked.iter().take(surplus);
        let gone = gone.chain(all.filter(|pod| doubles.contains(&pod.metadata.uid)));
        give_up(gone, decision);
    }

    /// How many pods should run, of which so many do.
    fn wanted(&self, running: i32) -> i32 {
        let parallelism = self.spec.parallelism.unwrap_or(1);
        let failed = self.indexed.as_ref().map_or(0, |all| all.failed.len());
        match (self.spec.completions, self.spec.parallelism) {
            (Some(completions), _) => parallelism.min(completions - self.succeeded - failed),
            (None, None) => 1,
            (None, Some(_)) if self.succeeded > 0 => running.min(parallelism),
            (None, Some(_)) => parallelism,
        }
    }

    /// Active pods whose number is none of the job's, is done, or has an older pod.
    fn doubles(&self) -> Vec<Option<String>> {
        let Some(indexed) = &self.indexed else {
            return Vec::new();
        };
        let all = self.spec.completions.unwrap_or_default();
        let mut seen = std::collections::BTreeSet::new();
        let mut oldest: Vec<_> = self.active.clone();
        oldest.sort_by_key(|pod| created(&pod.metadata));
        let doubles = oldest.into_iter().filter(|pod| match index_of(pod) {
            Some(index) => {
                !(0..all).contains(&index)
                    || indexed.completed.has(index)
                    || indexed.failed.has(index)
                    || !seen.insert(index)
            }
            None => true,
        });
        doubles.map(|pod| pod.metadata.uid.clone()).collect()
    }

    /// Makes pods of the lowest numbers that are still to be done and not held back.
    fn make_indexed(&self, indexed: &Indexed, missing: i32, decision: &mut Decision) {
        let all = self.spec.completions.unwrap_or_default();
        let per_index = self.spec.backoff_limit_per_index.is_some();
        if !per_index
            && let Some(until) = backed_off(self.failed, self.failures.last(None), self.now)
        {
            decision.look_again(until);
            return;
        }
        let taken: Vec<_> = self.active.iter().filter_map(|pod| index_of(pod)).collect();
        let mut left = missing.min(MOST);
        for index in 0..all {
            let done = indexed.completed.has(index) || indexed.failed.has(index);
            if left == 0 {
                return;
            }
            if done || taken.contains(&index) {
                continue;
            }
            let failures = indexed.failures.get(&index).copied().unwrap_or_default();
            let last = self.failures.last(Some(index));
            match backed_off(failures, last, self.now) {
                Some(until) if per_index => decision.look_again(until),
                _ => {
                    self.create(index, Some((index, failures)), decision);
                    left -= 1;
                }
            }
        }
    }

    /// Makes one pod; one with a number knows it, and how often the number failed.
    fn create(&self, nth: i32, number: Option<(i32, i32)>, decision: &mut Decision) {
        let meta = &self.job.metadata;
        let own = meta.name.clone().unwrap_or_default();
        let uid = meta.uid.clone().unwrap_or_default();
        let base = match number {
            Some((index, _)) => format!("{own}-{index}"),
            None => own.clone(),
        };
        let name = format!("{}-{}", prefix(&base), suffix(meta, self.now, nth));
        let message = format!("Created pod: {name}");
        let mut pod = pod_of(self.job, &self.spec.template, name);
        let labels = pod.metadata.labels.get_or_insert_default();
        labels.extend(BTreeMap::from([
            ("batch.kubernetes.io/controller-uid".to_owned(), uid.clone()),
            ("batch.kubernetes.io/job-name".to_owned(), own.clone()),
            ("controller-uid".to_owned(), uid),
            ("job-name".to_owned(), own),
        ]));
        if let Some((index, failures)) = number {
            let failures = self.spec.backoff_limit_per_index.map(|_| failures);
            give_number(&mut pod, index, failures, base);
        }
        if self.tracking.active {
            let finalizers = pod.metadata.finalizers.get_or_insert_default();
            finalizers.push(FINALIZER.to_owned());
        }
        decision.writes.push(Write::create(&pod));
        let notice = Notice::normal(self.job, "SuccessfulCreate", message);
        decision.writes.push(Write::Notice(notice));
    }
}

/// Tells a pod its number: by a label, an annotation, its host name and a variable.
fn give_number(pod: &mut Pod, index: i32, failures: Option<i32>, hostname: String) {
    let labels = pod.metadata.labels.get_or_insert_default();
    labels.insert(INDEX.to_owned(), index.to_string());
    let annotations = pod.metadata.annotations.get_or_insert_default();
    annotations.insert(INDEX.to_owned(), index.to_string());
    if let Some(failures) = failures {
        annotations.insert(FAILURES.to_owned(), failures.to_string());
    }
    let spec = pod.spec.get_or_insert_default();
    spec.hostname.get_or_insert(hostname);
    let all = spec.init_containers.iter_mut().flatten();
    for container in all.chain(&mut spec.containers) {
        let env = container.env.get_or_insert_default();
        if env.iter().all(|variable| variable.name != VARIABLE) {
            env.push(EnvVar {
                name: VARIABLE.to_owned(),
                value: None,
                value_from: Some(EnvVarSource {
                    field_ref: Some(ObjectFieldSelector {
                        api_version: Some("v1".to_owned()),
                        field_path: format!("metadata.annotations['{INDEX}']"),
                    }),
                    ..EnvVarSource::default()
                }),
            });
        }
    }
}

/// Until when no replacement is made after failures: 10 s, doubling up to 10 min.
fn backed_off(failures: i32, last: Option<Timestamp>, now: Timestamp) -> Option<Timestamp> {
    let doubled = 10_i64 << (failures - 1).clamp(0, 6);
    let until = after(last?, doubled.min(600));
    (until > now).then_some(until)
}
