//! Job: pods that have to end well a number of times.

mod failure;
mod indexes;
mod make;
mod tracking;

use std::{borrow::Cow, sync::Arc};

use jiff::Timestamp;
use k8s_openapi::{
    api::{
        batch::v1::{Job, JobCondition, JobSpec, JobStatus},
        core::v1::Pod,
    },
    apimachinery::pkg::apis::meta::v1::Time,
};

use self::{
    failure::Failures,
    indexes::{Indexed, Indexes, index_of},
    tracking::Tracking,
};
use super::{after, count, created, has_succeeded, is_active, ready_since};
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
    failures: Failures<'a>,
    /// Which index each pod is for, where that is told apart.
    indexed: Option<Indexed>,
    tracking: Tracking<'a>,
    now: Timestamp,
}

/// What to do about a job.
pub fn decide(index: &Index, key: &Key, now: Timestamp) -> Decision {
    let mut decision = Decision::default();
    let found = index.jobs.get(key);
    let counts =
        found.filter(|job| job.metadata.deletion_timestamp.is_none() && finished(job).is_none());
    let uid = counts.and_then(|job| job.metadata.uid.as_deref());
    decision.writes.extend(tracking::orphans(index, key, uid));
    let Some(job) = found else {
        return decision;
    };
    let Some(spec) = &job.spec else {
        return decision;
    };
    if job.metadata.deletion_timestamp.is_some() || is_of_another(spec) {
        return decision;
    }
    if let Some(end) = finished(job) {
        expire(job, spec, end, now, &mut decision);
        return decision;
    }
    let world = World::new(index, job, spec, now);
    let status = match world.verdict() {
        Some(verdict) => world.end(&verdict, &mut decision),
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
    decision.writes.extend(world.tracking.let_go());
    decision
}

/// Whether somebody else says that this job is theirs.
fn is_of_another(spec: &JobSpec) -> bool {
    let manager = spec.managed_by.as_deref();
    manager.is_some_and(|manager| manager != "kubernetes.io/job-controller")
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
#[derive(Debug, Clone, PartialEq, Eq)]
struct Verdict {
    well: bool,
    reason: Cow<'static, str>,
    message: Cow<'static, str>,
}

/// The condition that announces a good end, and a bad one.
const MET: &str = "SuccessCriteriaMet";
const TARGET: &str = "FailureTarget";

impl Verdict {
    fn good(reason: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            well: true,
            reason: reason.into(),
            message: message.into(),
        }
    }

    fn bad(reason: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            well: false,
            reason: reason.into(),
            message: message.into(),
        }
    }

    /// What was announced already: it stays so.
    fn announced(job: &Job) -> Option<Self> {
        let mut conditions = job.status.as_ref()?.conditions.iter().flatten();
        let known = conditions
            .find(|one| one.status == "True" && (one.type_ == MET || one.type_ == TARGET))?;
        Some(Self {
            well: known.type_ == MET,
            reason: known.reason.clone().unwrap_or_default().into(),
            message: known.message.clone().unwrap_or_default().into(),
        })
    }

    fn conditions(&self) -> (&'static str, &'static str) {
        if self.well {
            (MET, "Complete")
        } else {
            (TARGET, "Failed")
        }
    }
}

impl<'a> World<'a> {
    fn new(index: &'a Index, job: &'a Job, spec: &'a JobSpec, now: Timestamp) -> Self {
        let pods: Vec<&Arc<Pod>> = index.pods.owned_by(&job.metadata).collect();
        let known = job.status.as_ref();
        let failures = Failures::of(spec, &pods);
        let indexed = Indexed::of(job, spec, &pods, &failures);
        let tracking = Tracking::of(job, &pods, &failures);
        let (succeeded, failed) = if tracking.active {
            (tracking.succeeded(), tracking.failed())
        } else {
            let succeeded = count(pods.iter().filter(|pod| has_succeeded(pod)).count());
            let most = |number: Option<i32>, seen: i32| seen.max(number.unwrap_or_default());
            (
                most(known.and_then(|s| s.succeeded), succeeded),
                most(known.and_then(|s| s.failed), failures.counted()),
            )
        };
        let succeeded = match &indexed {
            Some(indexed) => indexed.completed.len(),
            None => succeeded,
        };
        let active: Vec<_> = pods.iter().filter(|pod| is_active(pod)).copied().collect();
        let leaving = pods
            .iter()
            .filter(|pod| !is_active(pod) && !super::has_ended(pod))
            .count();
        Self {
            job,
            spec,
            leaving,
            succeeded,
            failed,
            tracking,
            restarts: active.iter().map(|pod| restarts(pod)).sum(),
            active,
            failures,
            indexed,
            now,
        }
    }

    fn verdict(&self) -> Option<Verdict> {
        if let Some(announced) = Verdict::announced(self.job) {
            return Some(announced);
        }
        if let Some(message) = self.failures.fatal() {
            return Some(Verdict::bad("PodFailurePolicy", message));
        }
        if let Some(rule) = self.policy_met() {
            return Some(Verdict::good(
                "SuccessPolicy",
                format!("Matched rules at index {rule}"),
            ));
        }
        if let Some(bad) = self.indexes_failed() {
            return Some(bad);
        }
        if self.is_complete() {
            let message = "Reached expected number of succeeded pods";
            return Some(Verdict::good("CompletionsReached", message));
        }
        let per_index = self.spec.backoff_limit_per_index.is_some();
        let usual = if per_index { i32::MAX } else { 6 };
        let limit = self.spec.backoff_limit.unwrap_or(usual);
        let template = self.spec.template.spec.as_ref();
        let restarting =
            template.and_then(|spec| spec.restart_policy.as_deref()) == Some("OnFailure");
        let exhausted = restarting && self.restarts > 0 && self.restarts >= limit;
        if self.failed > limit || exhausted {
            let message = "Job has reached the specified backoff limit";
            return Some(Verdict::bad("BackoffLimitExceeded", message));
        }
        if self.deadline()? <= self.now {
            let message = "Job was active longer than specified deadline";
            return Some(Verdict::bad("DeadlineExceeded", message));
        }
        None
    }

    fn is_complete(&self) -> bool {
        match self.spec.completions {
            Some(completions) => self.succeeded >= completions,
            None => match self.spec.parallelism {
                Some(_) => self.succeeded > 0 && self.active.is_empty(),
                None => self.succeeded >= 1,
            },
        }
    }

    /// The rule of the success policy that is met.
    fn policy_met(&self) -> Option<usize> {
        let completed = &self.indexed.as_ref()?.completed;
        self.spec
            .success_policy
            .as_ref()?
            .rules
            .iter()
            .position(|rule| {
                let wanted = rule.succeeded_indexes.as_deref().map(Indexes::parse);
                let met = match &wanted {
                    Some(wanted) => completed.common(wanted),
                    None => completed.len(),
                };
                let needed = rule
                    .succeeded_count
                    .or_else(|| wanted.as_ref().map(Indexes::len));
                needed.is_some_and(|needed| needed > 0 && met >= needed)
            })
    }

    /// The end of a job whose indexes fail each by itself.
    fn indexes_failed(&self) -> Option<Verdict> {
        let indexed = self.indexed.as_ref()?;
        let failed = indexed.failed.len();
        let most = self.spec.max_failed_indexes;
        if most.is_some_and(|most| failed > most) {
            let message = "Job has exceeded the specified maximal number of failed indexes";
            return Some(Verdict::bad("MaxFailedIndexesExceeded", message));
        }
        let all = self.spec.completions.unwrap_or_default();
        (failed > 0 && failed + indexed.completed.len() >= all)
            .then(|| Verdict::bad("FailedIndexes", "Job has failed indexes"))
    }

    fn deadline(&self) -> Option<Timestamp> {
        let started = self.job.status.as_ref()?.start_time.as_ref()?.0;
        self.spec
            .active_deadline_seconds
            .map(|seconds| after(started, seconds))
    }

    /// Ends what still runs; when nothing does, the job has ended.
    fn end(&self, verdict: &Verdict, decision: &mut Decision) -> JobStatus {
        tracking::give_up(&self.active, decision);
        let Verdict {
            well,
            reason,
            message,
        } = verdict;
        let (announced, kind) = verdict.conditions();
        let mut conditions = vec![self.condition(announced, reason, message)];
        let mut status = self.counts();
        let settled = !self.tracking.active || self.tracking.is_settled();
        if self.active.is_empty() && self.leaving == 0 && settled {
            conditions.push(self.condition(kind, reason, message));
            let notice = if *well {
                status.completion_time = Some(Time(self.now));
                Notice::normal(self.job, "Completed", "Job completed")
            } else {
                Notice::warning(self.job, "Failed", format!("{reason}: {message}"))
            };
            decision.writes.push(Write::Notice(notice));
        }
        status.conditions = Some(conditions);
        status
    }

    fn suspend(&self, decision: &mut Decision) -> JobStatus {
        tracking::give_up(&self.active, decision);
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
        self.keep(decision);
        let mut status = self.counts();
        status.conditions = self.resumed().map(|resumed| vec![resumed]);
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

    /// Says of a job that was suspended that it goes on.
    fn resumed(&self) -> Option<JobCondition> {
        let mut known = self.job.status.as_ref()?.conditions.iter().flatten();
        let known = known.find(|condition| condition.type_ == "Suspended")?;
        if known.status == "False" {
            return Some(known.clone());
        }
        let resumed = self.condition("Suspended", "JobResumed", "Job resumed");
        Some(JobCondition {
            status: "False".to_owned(),
            last_probe_time: Some(Time(self.now)),
            last_transition_time: Some(Time(self.now)),
            ..resumed
        })
    }

    fn counts(&self) -> JobStatus {
        let ready = self
            .active
            .iter()
            .filter(|pod| ready_since(pod).is_some())
            .count();
        let known = self.job.status.as_ref();
        let mut status = JobStatus {
            active: Some(count(self.active.len())),
            ready: Some(count(ready)),
            succeeded: (self.succeeded > 0).then_some(self.succeeded),
            failed: (self.failed > 0).then_some(self.failed),
            terminating: Some(count(self.leaving)),
            start_time: known.and_then(|status| status.start_time.clone()),
            completed_indexes: self.indexed.as_ref().map(|all| all.completed.to_string()),
            failed_indexes: (self.spec.backoff_limit_per_index.is_some())
                .then(|| self.indexed.as_ref().map(|all| all.failed.to_string()))
                .flatten(),
            ..JobStatus::default()
        };
        self.tracking.tell(&mut status);
        if let Some(indexed) = &self.indexed {
            status.succeeded = Some(indexed.completed.len()).filter(|number| *number > 0);
        }
        status
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
