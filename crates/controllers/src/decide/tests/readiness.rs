//! `ResourcesReady`, by what was observed of the objects, for every kind of workload.

use choreo_model::RenderedRelease;
use choreo_model::component_type::WorkloadType;

use super::*;
use crate::decide::readiness;

/// A rendered release whose objects, kind by kind, are so.
fn rendered(objects: &[(&str, &str)]) -> RenderedRelease {
    let resources: Vec<Value> = objects
        .iter()
        .map(|(kind, health)| {
            json!({
                "id": kind, "version": "v1", "kind": kind, "name": "web", "healthStatus": health,
                "status": { "parents": [{}] },
            })
        })
        .collect();
    let rendered = json!({
        "metadata": { "name": "web-development", "generation": 1 },
        "spec": { "owner": { "projectName": "shop" }, "environmentName": "development" },
        "status": { "observedGeneration": 1, "resources": resources },
    });
    serde_json::from_value(rendered).unwrap()
}

#[track_caller]
fn check(workload: WorkloadType, objects: &[(&str, &str)], expected: &str) {
    let found = readiness::of_component(&rendered(objects), workload);
    assert_eq!(format!("{} {}", found.status, found.reason), expected);
}

#[test]
fn what_runs_is_as_ready_as_its_workload() {
    for (workload, kind) in [
        (WorkloadType::Deployment, "Deployment"),
        (WorkloadType::StatefulSet, "StatefulSet"),
    ] {
        for (health, expected) in [
            ("Healthy", "True ResourcesReady"),
            ("Suspended", "True ReadyWithSuspendedResources"),
            ("Progressing", "False ResourcesProgressing"),
            ("Degraded", "False ResourcesDegraded"),
            ("Unknown", "False ResourcesUnknown"),
        ] {
            // Of the others only what is broken counts.
            check(
                workload,
                &[("Service", "Progressing"), (kind, health)],
                expected,
            );
        }
        let broken = [(kind, "Healthy"), ("HTTPRoute", "Degraded")];
        check(workload, &broken, "False ResourcesDegraded");
    }
}

#[test]
fn tasks_are_ready_when_they_are_planned_or_done() {
    for (health, expected) in [
        ("Healthy", "True CronJobScheduled"),
        ("Progressing", "True CronJobScheduled"),
        ("Suspended", "True CronJobSuspended"),
        ("Degraded", "False ResourcesDegraded"),
        ("Unknown", "False ResourcesUnknown"),
    ] {
        check(WorkloadType::CronJob, &[("CronJob", health)], expected);
    }
    for (health, expected) in [
        ("Healthy", "True JobCompleted"),
        ("Progressing", "False JobRunning"),
        ("Degraded", "False JobFailed"),
        ("Suspended", "False ResourcesNotReady"),
        ("Unknown", "False ResourcesUnknown"),
    ] {
        check(WorkloadType::Job, &[("Job", health)], expected);
    }
}

#[test]
fn a_proxy_is_as_ready_as_the_worst_of_its_objects() {
    for (others, expected) in [
        (["Healthy", "Healthy"], "True ResourcesReady"),
        (["Healthy", "Suspended"], "True ReadyWithSuspendedResources"),
        (["Unknown", "Suspended"], "False ResourcesUnknown"),
        (["Progressing", "Unknown"], "False ResourcesProgressing"),
        (["Progressing", "Degraded"], "False ResourcesDegraded"),
    ] {
        let [first, second] = others;
        let objects = [("HTTPRoute", first), ("Backend", second)];
        check(WorkloadType::Proxy, &objects, expected);
    }
    // Nobody has looked at its route yet.
    let mut unseen = rendered(&[("HTTPRoute", "Healthy")]);
    unseen.status.resources[0].status = None;
    let found = readiness::of_component(&unseen, WorkloadType::Proxy);
    assert_eq!(
        (&*found.status, &*found.reason),
        ("False", "ResourcesProgressing")
    );
}

#[test]
fn what_is_not_applied_tells_nothing_else() {
    let check = |change: &dyn Fn(&mut RenderedRelease), expected: &str| {
        let mut rendered = rendered(&[("Deployment", "Healthy")]);
        change(&mut rendered);
        let found = readiness::of_component(&rendered, WorkloadType::Deployment);
        assert_eq!(format!("{} {}", found.status, found.reason), expected);
    };
    let applied = |status: &'static str, reason: &'static str| {
        move |rendered: &mut RenderedRelease| {
            let mut condition = choreo_model::conditions::no("ResourcesApplied", reason, "because");
            status.clone_into(&mut condition.status);
            rendered.status.conditions = vec![condition];
        }
    };
    check(&applied("True", "ApplySucceeded"), "True ResourcesReady");
    check(
        &applied("False", "ApplyPending"),
        "False ResourcesProgressing",
    );
    check(
        &applied("False", "ApplyFailed"),
        "False ResourceApplyFailed",
    );
    let stale = |rendered: &mut RenderedRelease| rendered.metadata.generation = Some(2);
    check(&stale, "False ResourcesProgressing");
}
