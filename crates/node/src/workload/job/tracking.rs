//! Each pod of a job that ends is counted once, whoever deletes it and whenever.
//!
//! Pods have a finalizer until they are counted. First the job's status lists who has ended
//! (`uncountedTerminatedPods`), then their finalizers go, and then the list becomes a number: wherever
//! that breaks off, it goes on without counting anybody twice.

use std::{collections::BTreeSet, sync::Arc};

use k8s_openapi::api::{
    batch::v1::{Job, JobStatus, UncountedTerminatedPods},
    core::v1::Pod,
};
use serde_json::json;

use super::{super::count, failure::Failures};
use crate::{
    index::{Index, Key, controller},
    workload::{has_failed, has_succeeded},
    write::{Decision, Write},
};

/// What a pod has until it is counted.
pub(super) const FINALIZER: &str = "batch.kubernetes.io/job-tracking";

/// The pods of a job that have ended, as they are counted.
#[derive(Debug)]
pub(super) struct Tracking<'a> {
    /// Whether the pods of this job are counted so; a job of an earlier version counts those it sees.
    pub(super) active: bool,
    succeeded: Counted,
    failed: Counted,
    /// Pods that are listed, or need not be.
    release: Vec<&'a Arc<Pod>>,
}

#[derive(Debug)]
struct Counted {
    /// Those that are gone or without their finalizer.
    number: i32,
    /// The others, by their uids.
    listed: BTreeSet<String>,
}

impl Counted {
    fn total(&self) -> i32 {
        self.number + count(self.listed.len())
    }

    fn list(&self) -> Option<Vec<String>> {
        (!self.listed.is_empty()).then(|| self.listed.iter().cloned().collect())
    }
}

impl<'a> Tracking<'a> {
    pub(super) fn of(job: &Job, pods: &[&'a Arc<Pod>], failures: &Failures<'_>) -> Self {
        let nothing = JobStatus::default();
        let known = job.status.as_ref().unwrap_or(&nothing);
        let lists = known.uncounted_terminated_pods.clone();
        let active = lists.is_some() || known.start_time.is_none();
        let lists = lists.unwrap_or_default();
        let both = lists.succeeded.iter().chain(&lists.failed).flatten();
        let both: BTreeSet<String> = both.cloned().collect();
        let held: Vec<_> = pods.iter().copied().filter(|pod| is_held(pod)).collect();
        let held_uids: BTreeSet<&str> = held.iter().map(|pod| uid(pod)).collect();
        let counted =
            |number: Option<i32>, list: Option<Vec<String>>, new: &dyn Fn(&Pod) -> bool| {
                let (mut listed, done): (BTreeSet<_>, BTreeSet<_>) = list
                    .into_iter()
                    .flatten()
                    .partition(|one| held_uids.contains(one.as_str()));
                listed.extend(
                    held.iter()
                        .filter(|pod| !both.contains(uid(pod)) && new(pod))
                        .map(|pod| uid(pod).to_owned()),
                );
                let number = number.unwrap_or_default() + count(done.len());
                Counted { number, listed }
            };
        let waits = job
            .spec
            .as_ref()
            .and_then(|spec| spec.pod_replacement_policy.as_deref());
        let lost = |pod: &Pod| is_lost(pod, waits == Some("Failed"));
        let succeeded = counted(known.succeeded, lists.succeeded, &has_succeeded);
        let failed = counted(known.failed, lists.failed, &|pod| {
            lost(pod) && !failures.are_ignored(pod)
        });
        let release = held.iter().copied();
        let release = release
            .filter(|pod| has_succeeded(pod) || lost(pod))
            .collect();
        Self {
            active,
            succeeded,
            failed,
            release,
        }
    }

    /// How many have succeeded.
    pub(super) fn succeeded(&self) -> i32 {
        self.succeeded.total()
    }

    /// How many have failed and count against the limit.
    pub(super) fn failed(&self) -> i32 {
        self.failed.total()
    }

    /// Whether everybody who has ended is in the numbers.
    pub(super) fn is_settled(&self) -> bool {
        self.release.is_empty()
    }

    /// Says in a status who is counted.
    pub(super) fn tell(&self, status: &mut JobStatus) {
        if self.active {
            let number = |counted: &Counted| (counted.number > 0).then_some(counted.number);
            status.succeeded = number(&self.succeeded);
            status.failed = number(&self.failed);
            status.uncounted_terminated_pods = Some(UncountedTerminatedPods {
                failed: self.failed.list(),
                succeeded: self.succeeded.list(),
            });
        }
    }

    /// Lets those go whom the status lists; to be done after it is written.
    pub(super) fn let_go(&self) -> impl Iterator<Item = Write> + '_ {
        self.release.iter().map(|pod| let_go(pod))
    }
}

/// Lets the pods go of a job that counts no more, and of other jobs that had its name.
pub(super) fn orphans(index: &Index, key: &Key, uid: Option<&str>) -> Vec<Write> {
    let pods = index.pods.within(&key.namespace).filter(|pod| is_held(pod));
    let orphans = pods.filter(|pod| {
        controller(&pod.metadata).is_some_and(|owner| {
            owner.kind == "Job" && owner.name == key.name && Some(owner.uid.as_str()) != uid
        })
    });
    orphans.map(|pod| let_go(pod)).collect()
}

/// Deletes pods that the job does not want any more, which is no failure of theirs.
pub(super) fn give_up<'p>(
    pods: impl IntoIterator<Item = &'p &'p Arc<Pod>>,
    decision: &mut Decision,
) {
    for pod in pods {
        if is_held(pod) {
            decision.writes.push(let_go(pod));
        }
        decision.writes.push(Write::delete(&***pod));
    }
}

/// Takes the finalizer of a pod.
fn let_go(pod: &Pod) -> Write {
    let all = pod.metadata.finalizers.iter().flatten();
    let left: Vec<&String> = all.filter(|one| *one != FINALIZER).collect();
    Write::merge(pod, json!({"metadata": {"finalizers": left}}))
}

/// Whether a pod waits to be counted.
fn is_held(pod: &Pod) -> bool {
    let mut all = pod.metadata.finalizers.iter().flatten();
    all.any(|one| one == FINALIZER)
}

/// Whether a pod failed, or is deleted before it has done anything, which counts as much; where its place
/// stays taken until it has ended, only that counts.
fn is_lost(pod: &Pod, waits: bool) -> bool {
    let deleted = pod.metadata.deletion_timestamp.is_some() && !has_succeeded(pod);
    has_failed(pod) || (deleted && !waits)
}

fn uid(pod: &Pod) -> &str {
    pod.metadata.uid.as_deref().unwrap_or_default()
}

#[cfg(test)]
mod tests;
