//! What a job decides in small worlds.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::*;
use crate::workload::tests::{at, with_phase};

const NOW: &str = "2026-01-01T00:10:00Z";

fn job(spec: JobSpec) -> Job {
    Job {
        metadata: ObjectMeta {
            name: Some("task".into()),
            namespace: Some("ns".into()),
            uid: Some("job".into()),
            ..ObjectMeta::default()
        },
        spec: Some(spec),
        status: Some(JobStatus {
            start_time: Some(Time(at("2026-01-01T00:00:00Z"))),
            ..JobStatus::default()
        }),
    }
}

/// What is decided: pods made, pods deleted, types of conditions.
fn check(spec: JobSpec, phases: &[&str], expected: (usize, usize, &[&str])) {
    let mut index = Index::default();
    let job = job(spec);
    for (nth, phase) in phases.iter().enumerate() {
        let pod = pod_of(
            &job,
            &job.spec.as_ref().unwrap().template,
            format!("p{nth}"),
        );
        index.apply(with_phase(pod, phase, None));
    }
    let key = Key::of(&job.metadata);
    index.apply(job);
    let decision = decide(&index, &key, at(NOW));
    let count = |wanted: fn(&Write) -> bool| decision.writes.iter().filter(|w| wanted(w)).count();
    let conditions: Vec<String> = decision
        .writes
        .iter()
        .filter_map(|write| match write {
            Write::Status(_, job) => job["status"]["conditions"].as_array().cloned(),
            Write::Create(..) | Write::Merge(..) | Write::Delete { .. } | Write::Notice(_) => None,
        })
        .flatten()
        .map(|condition| condition["type"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(
        count(|write| matches!(write, Write::Create(..))),
        expected.0,
        "made"
    );
    assert_eq!(
        count(|write| matches!(write, Write::Delete { .. })),
        expected.1,
        "deleted"
    );
    assert_eq!(conditions, expected.2);
}

#[test]
fn one_pod_is_made_and_its_success_completes() {
    check(JobSpec::default(), &[], (1, 0, &[]));
    check(JobSpec::default(), &["Running"], (0, 0, &[]));
    check(
        JobSpec::default(),
        &["Succeeded"],
        (0, 0, &["SuccessCriteriaMet", "Complete"]),
    );
}

#[test]
fn completions_are_reached_in_parallel() {
    let spec = || JobSpec {
        completions: Some(5),
        parallelism: Some(2),
        ..JobSpec::default()
    };
    check(spec(), &["Succeeded", "Running"], (1, 0, &[]));
    check(
        spec(),
        &[
            "Succeeded",
            "Succeeded",
            "Succeeded",
            "Succeeded",
            "Running",
        ],
        (0, 0, &[]),
    );
}

#[test]
fn too_many_failures_end_it() {
    let spec = || JobSpec {
        backoff_limit: Some(1),
        ..JobSpec::default()
    };
    check(spec(), &["Failed"], (1, 0, &[]));
    check(
        spec(),
        &["Failed", "Failed"],
        (0, 0, &["FailureTarget", "Failed"]),
    );
    check(
        spec(),
        &["Failed", "Failed", "Running"],
        (0, 1, &["FailureTarget"]),
    );
}

#[test]
fn deadline_and_suspension_end_running_pods() {
    let late = JobSpec {
        active_deadline_seconds: Some(60),
        ..JobSpec::default()
    };
    check(late, &["Running"], (0, 1, &["FailureTarget"]));
    let suspended = JobSpec {
        suspend: Some(true),
        ..JobSpec::default()
    };
    check(suspended, &["Running"], (0, 1, &["Suspended"]));
}

#[test]
fn a_finished_job_expires() {
    let mut index = Index::default();
    let mut job = job(JobSpec {
        ttl_seconds_after_finished: Some(30),
        ..JobSpec::default()
    });
    job.status.as_mut().unwrap().conditions = Some(vec![JobCondition {
        type_: "Complete".into(),
        status: "True".into(),
        last_transition_time: Some(Time(at("2026-01-01T00:00:00Z"))),
        ..JobCondition::default()
    }]);
    let key = Key::of(&job.metadata);
    index.apply(job);
    let early = decide(&index, &key, at("2026-01-01T00:00:10Z"));
    assert_eq!(
        (early.writes.len(), early.again),
        (0, Some(at("2026-01-01T00:00:30Z")))
    );
    assert!(matches!(
        decide(&index, &key, at(NOW)).writes[..],
        [Write::Delete { .. }]
    ));
}
