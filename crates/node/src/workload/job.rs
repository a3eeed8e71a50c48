//! Job: pods that have to end well a number of times.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use k8s_openapi::{
    api::{
        batch::v1::{Job, JobCondition, JobSpec, JobStatus},
        core::v1::Pod,
    },
    apimachinery::pkg::apis::meta::v1::Time,
};

use super::{
    after, count, created, has_failed, has_succeeded, is_active, pod_of, prefix, ready_since,
    suffix,
};
use crate::{
    index::{Index, Key},
    notice::Notice,
    write::{Decision, Write},
};

/// How a job ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    /// Whether it is complete; otherwise it failed.
    pub well: bool,
    /// When.
    pub at: Timestamp,
}

/// How a job ended, if it has.
pub fn finished(job: &Job) -> Option<End> {
    let conditions = job.status.as_ref()?.conditions.as_ref()?;
    let end = conditions
        .iter()
        .find(|c| c.status == "True" && (c.type_ == "Complete" || c.type_ == "Failed"))?;
    let at = end
        .last_transition_time
        .as_ref()
        .map_or(Timestamp::UNIX_EPOCH, |time| time.0);
    Some(End {
        well: end.type_ == "Complete",
        at,
    })
}

/// A job and its pods.
struct World<'a> {
    job: &'a Job,
    spec: &'a JobSpec,
    active: Vec<&'a Arc<Pod>>,
    leaving: usize,
    succeeded: i32,
    failed: i32,
    /// Restarts inside pods that run.
    restarts: i32,
    last_failure: Option<Timestamp>,
    now: Timestamp,
}

/// What to do about a job.
pub fn decide(index: &Index, key: &Key, now: Timestamp) -> Decision {
    let mut decision = Decision::default();
    let Some(job) = index.jobs.get(key) else {
        return decision;
    };
    let Some(spec) = &job.spec else {
        return decision;
    };
    if job.metadata.deletion_timestamp.is_some() {
        return decision;
    }
    if let Some(end) = finished(job) {
        expire(job, spec, end, now, &mut decision);
        return decision;
    }
    let world = World::new(index, job, spec, now);
    let status = match world.verdict() {
        Some(verdict) => world.end(verdict, &mut decision),
        None if spec.suspend == Some(true) => world.suspend(&mut decision),
        None => world.go_on(&mut decision),
    };
    if job.status.as_ref() != Some(&status) {
        let changed = Job {
            status: Some(status),
            ..(**job).clone()
        };
        decision.writes.push(Write::status(&changed));
    }
    decision
}

/// Deletes a job that has been finished long enough.
fn expire(job: &Job, spec: &JobSpec, end: End, now: Timestamp, decision: &mut Decision) {
    let Some(seconds) = spec.ttl_seconds_after_finished else {
        return;
    };
    let due = after(end.at, i64::from(seconds));
    if due <= now {
        decision.writes.push(Write::delete(job));
    } else {
        decision.look_again(due);
    }
}

/// How a job must end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Complete,
    BackoffLimit,
    Deadline,
}

impl Verdict {
    fn words(self) -> (&'static str, &'static str, &'static str, &'static str) {
        match self {
            Self::Complete => (
                "SuccessCriteriaMet",
                "Complete",
                "CompletionsReached",
                "Reached expected number of succeeded pods",
            ),
            Self::BackoffLimit => (
                "FailureTarget",
                "Failed",
                "BackoffLimitExceeded",
                "Job has reached the specified backoff limit",
            ),
            Self::Deadline => (
                "FailureTarget",
                "Failed",
                "DeadlineExceeded",
                "Job was active longer than specified deadline",
            ),
        }
    }
}

impl<'a> World<'a> {
    fn new(index: &'a Index, job: &'a Job, spec: &'a JobSpec, now: Timestamp) -> Self {
        let pods: Vec<&Arc<Pod>> = index.pods.owned_by(&job.metadata).collect();
        let known = job.status.as_ref();
        let succeeded = count(pods.iter().filter(|pod| has_succeeded(pod)).count());
        let failed = count(pods.iter().filter(|pod| has_failed(pod)).count());
        let active: Vec<_> = pods.iter().filter(|pod| is_active(pod)).copied().collect();
        let last_failure = pods
            .iter()
            .filter(|pod| has_failed(pod))
            .map(|p| ended(p))
            .max();
        let leaving = pods
            .iter()
            .filter(|pod| !is_active(pod) && !has_succeeded(pod) && !has_failed(pod))
            .count();
        Self {
            job,
            spec,
            leaving,
            succeeded: succeeded.max(known.and_then(|s| s.succeeded).unwrap_or_default()),
            failed: failed.max(known.and_then(|s| s.failed).unwrap_or_default()),
            restarts: active.iter().map(|pod| restarts(pod)).sum(),
            active,
            last_failure,
            now,
        }
    }

    fn verdict(&self) -> Option<Verdict> {
        let complete = match self.spec.completions {
            Some(completions) => self.succeeded >= completions,
            None => match self.spec.parallelism {
                Some(_) => self.succeeded > 0 && self.active.is_empty(),
                None => self.succeeded >= 1,
            },
        };
        if complete {
            return Some(Verdict::Complete);
        }
        let limit = self.spec.backoff_limit.unwrap_or(6);
        let template = self.spec.template.spec.as_ref();
        let restarting =
            template.and_then(|spec| spec.restart_policy.as_deref()) == Some("OnFailure");
        let exhausted = restarting && self.restarts > 0 && self.restarts >= limit;
        if self.failed > limit || exhausted {
            return Some(Verdict::BackoffLimit);
        }
        (self.deadline()? <= self.now).then_some(Verdict::Deadline)
    }

    fn deadline(&self) -> Option<Timestamp> {
        let started = self.job.status.as_ref()?.start_time.as_ref()?.0;
        self.spec
            .active_deadline_seconds
            .map(|seconds| after(started, seconds))
    }

    /// Ends what still runs; when nothing does, the job has ended.
    fn end(&self, verdict: Verdict, decision: &mut Decision) -> JobStatus {
        decision
            .writes
            .extend(self.active.iter().map(|pod| Write::delete(&***pod)));
        let (announced, kind, reason, message) = verdict.words();
        let mut conditions = vec![self.condition(announced, reason, message)];
        let mut status = self.counts();
        if self.active.is_empty() && self.leaving == 0 {
            conditions.push(self.condition(kind, reason, message));
            if verdict == Verdict::Complete {
                status.completion_time = Some(Time(self.now));
            }
            let notice = if verdict == Verdict::Complete {
                Notice::normal(self.job, "Completed", "Job completed")
            } else {
                Notice::warning(self.job, reason, message)
            };
            decision.writes.push(Write::Notice(notice));
        }
        status.conditions = Some(conditions);
        status
    }

    fn suspend(&self, decision: &mut Decision) -> JobStatus {
        decision
            .writes
            .extend(self.active.iter().map(|pod| Write::delete(&***pod)));
        let mut status = self.counts();
        status.start_time = None;
        status.conditions = Some(vec![self.condition(
            "Suspended",
            "JobSuspended",
            "Job suspended",
        )]);
        status
    }

    fn go_on(&self, decision: &mut Decision) -> JobStatus {
        let parallelism = self.spec.parallelism.unwrap_or(1);
        let wanted = match (self.spec.completions, self.spec.parallelism) {
            (Some(completions), _) => parallelism.min(completions - self.succeeded),
            (None, None) => 1,
            (None, Some(_)) if self.succeeded > 0 => count(self.active.len()).min(parallelism),
            (None, Some(_)) => parallelism,
        };
        let missing = wanted - count(self.active.len());
        if missing > 0 {
            match self.backed_off() {
                Some(until) => decision.look_again(until),
                None => self.create(missing, decision),
            }
        }
        let surplus = usize::try_from(-missing).unwrap_or_default();
        let mut ranked = self.active.clone();
        ranked.sort_by_key(|pod| (ready_since(pod).is_some(), created(&pod.metadata)));
        decision.writes.extend(
            ranked
                .iter()
                .take(surplus)
                .map(|pod| Write::delete(&***pod)),
        );
        let mut status = self.counts();
        status.conditions = None;
        let started = self
            .job
            .status
            .as_ref()
            .and_then(|status| status.start_time.clone());
        status.start_time = started.or(Some(Time(self.now)));
        if let (Some(seconds), Some(start)) = (
            self.spec.active_deadline_seconds,
            status.start_time.as_ref(),
        ) {
            decision.look_again(after(start.0, seconds));
        }
        status
    }

    /// Until when no replacement is made after failures: 10 s, doubling up to 10 min.
    fn backed_off(&self) -> Option<Timestamp> {
        let doubled = 10_i64 << (self.failed - 1).clamp(0, 6);
        let until = after(self.last_failure?, doubled.min(600));
        (until > self.now).then_some(until)
    }

    fn create(&self, missing: i32, decision: &mut Decision) {
        let name = self.job.metadata.name.clone().unwrap_or_default();
        let uid = self.job.metadata.uid.clone().unwrap_or_default();
        for nth in 0..missing {
            let pod_name = format!(
                "{}-{}",
                prefix(&name),
                suffix(&self.job.metadata, self.now, nth)
            );
            let message = format!("Created pod: {pod_name}");
            let mut pod = pod_of(self.job, &self.spec.template, pod_name);
            let labels = pod.metadata.labels.get_or_insert_default();
            labels.extend(BTreeMap::from([
                ("batch.kubernetes.io/controller-uid".to_owned(), uid.clone()),
                ("batch.kubernetes.io/job-name".to_owned(), name.clone()),
                ("controller-uid".to_owned(), uid.clone()),
                ("job-name".to_owned(), name.clone()),
            ]));
            decision.writes.push(Write::create(&pod));
            let notice = Notice::normal(self.job, "SuccessfulCreate", message);
            decision.writes.push(Write::Notice(notice));
        }
    }

    fn counts(&self) -> JobStatus {
        let ready = self
            .active
            .iter()
            .filter(|pod| ready_since(pod).is_some())
            .count();
        let known = self.job.status.as_ref();
        JobStatus {
            active: Some(count(self.active.len())),
            ready: Some(count(ready)),
            succeeded: (self.succeeded > 0).then_some(self.succeeded),
            failed: (self.failed > 0).then_some(self.failed),
            terminating: Some(count(self.leaving)),
            start_time: known.and_then(|status| status.start_time.clone()),
            ..JobStatus::default()
        }
    }

    /// A condition that is true, since when it first was.
    fn condition(&self, kind: &str, reason: &str, message: &str) -> JobCondition {
        let known = self
            .job
            .status
            .iter()
            .flat_map(|status| status.conditions.iter().flatten());
        let since = known
            .filter(|condition| condition.type_ == kind && condition.status == "True")
            .find_map(|condition| condition.last_transition_time.clone());
        let since = since.unwrap_or(Time(self.now));
        JobCondition {
            type_: kind.into(),
            status: "True".into(),
            reason: Some(reason.into()),
            message: Some(message.into()),
            last_probe_time: Some(since.clone()),
            last_transition_time: Some(since),
        }
    }
}

/// When a pod's containers ended.
fn ended(pod: &Pod) -> Timestamp {
    let statuses = pod
        .status
        .iter()
        .flat_map(|status| status.container_statuses.iter().flatten());
    statuses
        .filter_map(|status| {
            status
                .state
                .as_ref()?
                .terminated
                .as_ref()?
                .finished_at
                .as_ref()
        })
        .map(|time| time.0)
        .max()
        .unwrap_or_else(|| created(&pod.metadata))
}

fn restarts(pod: &Pod) -> i32 {
    let Some(status) = &pod.status else { return 0 };
    let lists = [&status.init_container_statuses, &status.container_statuses];
    lists
        .into_iter()
        .flatten()
        .flatten()
        .map(|container| container.restart_count)
        .sum()
}

#[cfg(test)]
mod tests;
