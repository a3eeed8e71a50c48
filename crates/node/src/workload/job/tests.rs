//! What a job decides in small worlds.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Value, from_value, json};

use super::*;
use crate::workload::{
    pod_of,
    tests::{at, with_phase},
};

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

/// A job with numbers, and pods: number, how it is, with which code, how often it failed before.
struct Numbered {
    index: Index,
    job: Job,
}

impl Numbered {
    fn new(spec: &Value, pods: &[(i32, &str, i32, i32)]) -> Self {
        let mut whole = json!({
            "completionMode": "Indexed", "completions": 4, "parallelism": 2,
            "template": {"spec": {"containers": [{"name": "main"}]}},
        });
        whole
            .as_object_mut()
            .unwrap()
            .extend(spec.as_object().unwrap().clone());
        let mut job = job(from_value(whole).unwrap());
        job.status.as_mut().unwrap().completed_indexes = Some(String::new());
        let mut index = Index::default();
        for (nth, (number, phase, code, before)) in pods.iter().enumerate() {
            let template = &job.spec.as_ref().unwrap().template;
            let mut pod = with_phase(pod_of(&job, template, format!("p{nth}")), phase, None);
            pod.metadata.uid = Some(format!("p{nth}"));
            pod.metadata.annotations = Some(BTreeMap::from([
                (
                    "batch.kubernetes.io/job-completion-index".to_owned(),
                    number.to_string(),
                ),
                (
                    "batch.kubernetes.io/job-index-failure-count".to_owned(),
                    before.to_string(),
                ),
            ]));
            let state = json!([{"name": "main", "image": "", "imageID": "", "ready": false, "restartCount": 0,
                "state": {"terminated": {"exitCode": code, "finishedAt": "2026-01-01T00:00:00Z"}}}]);
            let status = pod.status.as_mut().unwrap();
            status.container_statuses = Some(from_value(state).unwrap());
            status.conditions =
                Some(from_value(json!([{"type": "DisruptionTarget", "status": "False"}])).unwrap());
            index.apply(pod);
        }
        index.apply(job.clone());
        Self { index, job }
    }

    /// The numbers of the pods that are made, and what the conditions say.
    fn check(&self, made: &[&str], conditions: &[(&str, &str)]) {
        let decision = decide(&self.index, &Key::of(&self.job.metadata), at(NOW));
        let numbers = decision.writes.iter().filter_map(|write| {
            let Write::Create(_, pod) = write else {
                return None;
            };
            pod["metadata"]["labels"]["batch.kubernetes.io/job-completion-index"].as_str()
        });
        assert_eq!(numbers.collect::<Vec<_>>(), made, "made");
        let status = self.status();
        let found = status["conditions"].as_array().cloned().unwrap_or_default();
        let found = found.iter().map(|one| {
            (
                one["type"].as_str().unwrap(),
                one["reason"].as_str().unwrap(),
            )
        });
        assert_eq!(found.collect::<Vec<_>>(), conditions);
    }

    fn status(&self) -> Value {
        let decision = decide(&self.index, &Key::of(&self.job.metadata), at(NOW));
        let status = decision.writes.iter().find_map(|write| {
            let Write::Status(_, job) = write else {
                return None;
            };
            Some(job["status"].clone())
        });
        status.unwrap()
    }
}

#[test]
fn every_number_ends_well_once() {
    let plain = || json!({});
    Numbered::new(&plain(), &[]).check(&["0", "1"], &[]);
    let half = [
        (0, "Succeeded", 0, 0),
        (2, "Running", 0, 0),
        (2, "Succeeded", 0, 0),
    ];
    let half = Numbered::new(&plain(), &half);
    half.check(&["1", "3"], &[]);
    assert_eq!(half.status()["completedIndexes"], "0,2");
    let all: Vec<_> = (0..4).map(|number| (number, "Succeeded", 0, 0)).collect();
    let done = [
        ("SuccessCriteriaMet", "CompletionsReached"),
        ("Complete", "CompletionsReached"),
    ];
    Numbered::new(&plain(), &all).check(&[], &done);
    // Whoever deletes a pod takes nothing back.
    let mut noted = Numbered::new(&plain(), &[]);
    noted.job.status.as_mut().unwrap().completed_indexes = Some("0-2".into());
    noted.index.apply(noted.job.clone());
    noted.job.metadata.resource_version = Some("2".into());
    noted.index.apply(noted.job.clone());
    noted.check(&["3"], &[]);
}

#[test]
fn numbers_fail_each_by_itself() {
    let limits = |more: Value| {
        let mut limits = json!({"backoffLimitPerIndex": 1});
        limits
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        limits
    };
    let twice = [
        (0, "Failed", 1, 0),
        (0, "Failed", 1, 1),
        (1, "Failed", 1, 0),
    ];
    let numbered = Numbered::new(&limits(json!({})), &twice);
    numbered.check(&["1", "2"], &[]);
    assert_eq!(numbered.status()["failedIndexes"], "0");
    let strict = Numbered::new(&limits(json!({"maxFailedIndexes": 0})), &twice);
    let reason = "MaxFailedIndexesExceeded";
    strict.check(&[], &[("FailureTarget", reason), ("Failed", reason)]);
    let mut rest = twice.to_vec();
    rest.extend((1..4).map(|number| (number, "Succeeded", 0, 0)));
    let end = [
        ("FailureTarget", "FailedIndexes"),
        ("Failed", "FailedIndexes"),
    ];
    Numbered::new(&limits(json!({})), &rest).check(&[], &end);
}

#[test]
fn policies_judge_pods_that_fail() {
    let rule = |action: &str, codes: Value| {
        json!({"backoffLimit": 0, "podFailurePolicy": {"rules": [{
        "action": action, "onExitCodes": {"operator": "In", "values": codes}}]}})
    };
    let failed = [(0, "Failed", 42, 0)];
    let fatal = [
        ("FailureTarget", "PodFailurePolicy"),
        ("Failed", "PodFailurePolicy"),
    ];
    let numbered = Numbered::new(&rule("FailJob", json!([42])), &failed);
    numbered.check(&[], &fatal);
    let message = numbered.status()["conditions"][1]["message"].clone();
    let expected =
        "Container main for pod ns/p0 failed with exit code 42 matching FailJob rule at index 0";
    assert_eq!(message, expected);
    let limit = [
        ("FailureTarget", "BackoffLimitExceeded"),
        ("Failed", "BackoffLimitExceeded"),
    ];
    Numbered::new(&rule("FailJob", json!([1])), &failed).check(&[], &limit);
    Numbered::new(&rule("Ignore", json!([42])), &failed).check(&["0", "1"], &[]);
    let mut index = rule("FailIndex", json!([42]));
    index["backoffLimitPerIndex"] = json!(5);
    index["backoffLimit"] = json!(100);
    Numbered::new(&index, &failed).check(&["1", "2"], &[]);
    let condition = json!({"podFailurePolicy": {"rules": [{
        "action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "False"}]}]}, "backoffLimit": 0});
    Numbered::new(&condition, &failed).check(&["0", "1"], &[]);
}

#[test]
fn some_numbers_can_be_enough() {
    let rules = |rule: Value| json!({"successPolicy": {"rules": [{"succeededCount": 4}, rule]}});
    let one = [(1, "Succeeded", 0, 0)];
    let met = [
        ("SuccessCriteriaMet", "SuccessPolicy"),
        ("Complete", "SuccessPolicy"),
    ];
    Numbered::new(&rules(json!({"succeededIndexes": "1"})), &one).check(&[], &met);
    Numbered::new(&rules(json!({"succeededIndexes": "0-1"})), &one).check(&["0", "2"], &[]);
    let any = json!({"succeededIndexes": "0-1", "succeededCount": 1});
    Numbered::new(&rules(any), &one).check(&[], &met);
}

#[test]
fn what_was_announced_stays() {
    let mut numbered = Numbered::new(&json!({}), &[]);
    let announced = json!([{"type": "FailureTarget", "status": "True", "reason": "DeadlineExceeded", "message": "late"}]);
    numbered.job.status.as_mut().unwrap().conditions = Some(from_value(announced).unwrap());
    numbered.job.metadata.resource_version = Some("2".into());
    numbered.index.apply(numbered.job.clone());
    numbered.check(
        &[],
        &[
            ("FailureTarget", "DeadlineExceeded"),
            ("Failed", "DeadlineExceeded"),
        ],
    );
}

#[test]
fn a_pod_is_told_its_number() {
    let numbered = Numbered::new(
        &json!({"backoffLimitPerIndex": 3, "parallelism": 1}),
        &[(0, "Failed", 1, 1)],
    );
    let decision = decide(&numbered.index, &Key::of(&numbered.job.metadata), at(NOW));
    let pod = decision.writes.iter().find_map(|write| {
        let Write::Create(_, pod) = write else {
            return None;
        };
        Some(pod.clone())
    });
    let pod = pod.unwrap();
    let annotations = &pod["metadata"]["annotations"];
    assert_eq!(annotations["batch.kubernetes.io/job-completion-index"], "0");
    assert_eq!(
        annotations["batch.kubernetes.io/job-index-failure-count"],
        "2"
    );
    assert_eq!(pod["spec"]["hostname"], "task-0");
    assert!(
        pod["metadata"]["name"]
            .as_str()
            .unwrap()
            .starts_with("task-0-")
    );
    let variable = &pod["spec"]["containers"][0]["env"][0];
    assert_eq!(variable["name"], "JOB_COMPLETION_INDEX");
}
