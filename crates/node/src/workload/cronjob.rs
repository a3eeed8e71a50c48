//! `CronJob`: jobs made at the times of a schedule.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::{
    api::{
        batch::v1::{CronJob, CronJobSpec, CronJobStatus, Job},
        core::v1::ObjectReference,
    },
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time},
};

use super::{after, created, cron::Schedule, job, owned_by};
use crate::{
    index::{Index, Key},
    notice::Notice,
    write::{Decision, Write},
};

const SCHEDULED: &str = "batch.kubernetes.io/cronjob-scheduled-timestamp";

/// What to do about a cron job.
pub fn decide(index: &Index, key: &Key, now: Timestamp) -> Decision {
    let mut decision = Decision::default();
    let Some(cron) = index.cron_jobs.get(key) else {
        return decision;
    };
    let spec = &cron.spec;
    if cron.metadata.deletion_timestamp.is_some() {
        return decision;
    }
    let jobs: Vec<&Arc<Job>> = index.jobs.owned_by(&cron.metadata).collect();
    prune(spec, &jobs, &mut decision);
    let mut status = observed(cron, &jobs);
    if spec.suspend != Some(true) {
        match Schedule::parse(&spec.schedule, spec.time_zone.as_deref()) {
            Ok(schedule) => run(cron, &schedule, (&jobs, &mut status), now, &mut decision),
            Err(error) => {
                let message = format!("Unparseable schedule {:?}: {error}", spec.schedule);
                let notice = Notice::warning(&**cron, "UnparseableSchedule", message);
                decision.writes.push(Write::Notice(notice));
            }
        }
    }
    if cron.status.as_ref() != Some(&status) {
        let changed = CronJob {
            status: Some(status),
            ..(**cron).clone()
        };
        decision.writes.push(Write::status(&changed));
    }
    decision
}

/// What the jobs say, and when the last one was due.
fn observed(cron: &CronJob, jobs: &[&Arc<Job>]) -> CronJobStatus {
    let known = cron.status.clone().unwrap_or_default();
    let active: Vec<ObjectReference> = jobs
        .iter()
        .filter(|job| job::finished(job).is_none())
        .map(|job| ObjectReference {
            api_version: Some("batch/v1".into()),
            kind: Some("Job".into()),
            name: job.metadata.name.clone(),
            namespace: job.metadata.namespace.clone(),
            uid: job.metadata.uid.clone(),
            ..ObjectReference::default()
        })
        .collect();
    let succeeded = jobs
        .iter()
        .filter(|job| job::finished(job).is_some_and(|end| end.well))
        .filter_map(|job| job.status.as_ref()?.completion_time.clone())
        .max_by_key(|time| time.0);
    CronJobStatus {
        active: (!active.is_empty()).then_some(active),
        last_schedule_time: known.last_schedule_time,
        last_successful_time: succeeded
            .into_iter()
            .chain(known.last_successful_time)
            .max_by_key(|time| time.0),
    }
}

fn run(
    cron: &CronJob,
    schedule: &Schedule,
    (jobs, status): (&[&Arc<Job>], &mut CronJobStatus),
    now: Timestamp,
    decision: &mut Decision,
) {
    let spec = &cron.spec;
    if let Some(next) = schedule.next(now) {
        decision.look_again(next);
    }
    let since = status
        .last_schedule_time
        .as_ref()
        .map_or_else(|| created(&cron.metadata), |time| time.0);
    let Some(due) = schedule.last(since, now) else {
        return;
    };
    let running: Vec<_> = jobs
        .iter()
        .filter(|job| job::finished(job).is_none())
        .collect();
    if let Some(seconds) = spec.starting_deadline_seconds
        && after(due, seconds) < now
    {
        let message = format!("Missed scheduled time to start a job: {due}");
        decision.writes.push(Write::Notice(Notice::warning(
            cron,
            "MissSchedule",
            message,
        )));
        return;
    }
    match spec.concurrency_policy.as_deref() {
        Some("Forbid") if !running.is_empty() => {
            let message = "Not starting job because prior execution is running and concurrency \
                           policy is Forbid";
            decision.writes.push(Write::Notice(Notice::normal(
                cron,
                "JobAlreadyActive",
                message,
            )));
            return;
        }
        Some("Replace") => {
            decision
                .writes
                .extend(running.iter().map(|job| Write::delete(&****job)));
        }
        _ => {}
    }
    let made = make(cron, spec, due);
    let name = made.metadata.name.clone().unwrap_or_default();
    if jobs
        .iter()
        .all(|job| job.metadata.name.as_deref() != Some(&name))
    {
        decision.writes.push(Write::create(&made));
        let message = format!("Created job {name}");
        decision.writes.push(Write::Notice(Notice::normal(
            cron,
            "SuccessfulCreate",
            message,
        )));
    }
    status.last_schedule_time = Some(Time(due));
}

/// The job of one time: its name says which, so that it cannot be made twice.
fn make(cron: &CronJob, spec: &CronJobSpec, due: Timestamp) -> Job {
    let name = cron.metadata.name.as_deref().unwrap_or_default();
    let template = spec.job_template.metadata.clone().unwrap_or_default();
    let mut annotations = template.annotations.unwrap_or_default();
    annotations.insert(SCHEDULED.into(), due.to_string());
    Job {
        metadata: ObjectMeta {
            name: Some(format!(
                "{}-{}",
                name.get(..52).unwrap_or(name),
                due.as_second() / 60
            )),
            namespace: cron.metadata.namespace.clone(),
            labels: template.labels,
            annotations: Some(annotations),
            owner_references: Some(vec![owned_by(cron)]),
            ..ObjectMeta::default()
        },
        spec: spec.job_template.spec.clone(),
        status: None,
    }
}

/// Deletes finished jobs beyond the history limits.
fn prune(spec: &CronJobSpec, jobs: &[&Arc<Job>], decision: &mut Decision) {
    let limits = [
        (true, spec.successful_jobs_history_limit.unwrap_or(3)),
        (false, spec.failed_jobs_history_limit.unwrap_or(1)),
    ];
    for (well, limit) in limits {
        let mut ended: Vec<_> = jobs
            .iter()
            .filter(|job| job::finished(job).is_some_and(|end| end.well == well))
            .filter(|job| job.metadata.deletion_timestamp.is_none())
            .collect();
        ended.sort_by_key(|job| (created(&job.metadata), job.metadata.name.clone()));
        let surplus = ended
            .len()
            .saturating_sub(usize::try_from(limit).unwrap_or_default());
        decision.writes.extend(
            ended
                .iter()
                .take(surplus)
                .map(|job| Write::delete(&****job)),
        );
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::batch::v1::{JobCondition, JobSpec, JobStatus, JobTemplateSpec};

    use super::*;
    use crate::workload::tests::at;

    fn cron(policy: &str) -> CronJob {
        CronJob {
            metadata: ObjectMeta {
                name: Some("restock".into()),
                namespace: Some("ns".into()),
                uid: Some("cron".into()),
                creation_timestamp: Some(Time(at("2026-01-01T00:00:10Z"))),
                ..ObjectMeta::default()
            },
            spec: CronJobSpec {
                schedule: "* * * * *".into(),
                concurrency_policy: Some(policy.into()),
                job_template: JobTemplateSpec {
                    spec: Some(JobSpec::default()),
                    metadata: None,
                },
                ..CronJobSpec::default()
            },
            status: None,
        }
    }

    fn job(cron: &CronJob, due: &str, end: Option<&str>) -> Job {
        let mut job = make(cron, &cron.spec, at(due));
        job.metadata.uid = Some(due.into());
        job.metadata.creation_timestamp = Some(Time(at(due)));
        job.status = end.map(|kind| JobStatus {
            completion_time: Some(Time(at(due))),
            conditions: Some(vec![JobCondition {
                type_: kind.into(),
                status: "True".into(),
                ..JobCondition::default()
            }]),
            ..JobStatus::default()
        });
        job
    }

    fn decided(cron: &CronJob, jobs: Vec<Job>, now: &str) -> (Vec<String>, Option<Timestamp>) {
        let mut index = Index::default();
        let key = Key::of(&cron.metadata);
        index.apply(cron.clone());
        for job in jobs {
            index.apply(job);
        }
        let decision = decide(&index, &key, at(now));
        let writes = decision.writes.iter().filter_map(|write| match write {
            Write::Create(target, _) => Some(format!("create {}", target.key.name)),
            Write::Delete { target, .. } => Some(format!("delete {}", target.key.name)),
            Write::Merge(..) | Write::Status(..) | Write::Notice(_) => None,
        });
        (writes.collect(), decision.again)
    }

    #[test]
    fn nothing_is_due_before_the_first_time() {
        let (writes, again) = decided(&cron("Allow"), vec![], "2026-01-01T00:00:30Z");
        assert_eq!(writes, Vec::<String>::new());
        assert_eq!(again, Some(at("2026-01-01T00:01:00Z")));
    }

    #[test]
    fn a_due_time_makes_one_job_named_after_it() {
        let (writes, _) = decided(&cron("Allow"), vec![], "2026-01-01T00:01:00Z");
        assert_eq!(writes, ["create restock-29453761"]);
        let there = job(&cron("Allow"), "2026-01-01T00:01:00Z", None);
        let (writes, _) = decided(&cron("Allow"), vec![there], "2026-01-01T00:01:10Z");
        assert_eq!(writes, Vec::<String>::new());
    }

    #[test]
    fn concurrency_policies() {
        let running = || vec![job(&cron("Forbid"), "2026-01-01T00:01:00Z", None)];
        let now = "2026-01-01T00:02:01Z";
        assert_eq!(
            decided(&cron("Forbid"), running(), now).0,
            Vec::<String>::new()
        );
        assert_eq!(
            decided(&cron("Allow"), running(), now).0,
            ["create restock-29453762"]
        );
        let replaced = ["delete restock-29453761", "create restock-29453762"];
        assert_eq!(decided(&cron("Replace"), running(), now).0, replaced);
    }

    #[test]
    fn history_is_limited() {
        let mut cron = cron("Allow");
        cron.spec.suspend = Some(true);
        let jobs = (1..=5).map(|minute| {
            let end = if minute == 1 { "Failed" } else { "Complete" };
            job(&cron, &format!("2026-01-01T00:0{minute}:00Z"), Some(end))
        });
        let (writes, again) = decided(&cron, jobs.collect(), "2026-01-01T00:06:00Z");
        assert_eq!(writes, ["delete restock-29453762"]);
        assert_eq!(again, None);
    }
}
