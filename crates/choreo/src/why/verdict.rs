//! How an object says it is, whatever its kind.

use k8s_openapi::api::core::v1::Pod;
use serde_json::Value;

use super::text;
use crate::tree::{self, State};

/// How an object is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) state: State,
    pub(super) reason: String,
    pub(super) message: String,
    pub(super) since: Option<String>,
}

/// Conditions that sum an object up, in the order in which they count.
const SUMMARIES: [&str; 8] = [
    "Ready",
    "Available",
    "Synced",
    "ResourcesApplied",
    "Accepted",
    "Programmed",
    "Created",
    "Complete",
];

/// How `object` is.
pub(super) fn of(object: &Value) -> Verdict {
    if object.pointer("/metadata/deletionTimestamp").is_some() {
        return leaving(object);
    }
    match text(object, "/kind") {
        "Pod" => return of_pod(object),
        "ReplicaSet" | "StatefulSet" => return of_replicas(object),
        // What ran before may be available while what is wanted now does not come up.
        "Deployment" if !is_rolled_out(object) => return of_roll_out(object),
        "PersistentVolumeClaim" => return of_claim(object),
        _ => {}
    }
    if let Some(failed) = condition(object, &["Failed", "ReplicaFailure"])
        && failed["status"] == "True"
    {
        return told(failed, State::Failed);
    }
    match condition(object, &SUMMARIES) {
        Some(condition) if is_stale(object, condition) => {
            waiting("", "its last change has not been looked at yet")
        }
        Some(condition) if condition["status"] == "True" => told(condition, State::Ready),
        Some(condition) if tree::is_progress(text(condition, "/reason")) => {
            told(condition, State::Waiting)
        }
        Some(condition) => told(condition, State::Failed),
        None => unsaid(object),
    }
}

/// An object that is being deleted says what it waits for.
fn leaving(object: &Value) -> Verdict {
    if let Some(condition) = condition(object, &["Finalizing"]) {
        return told(condition, State::Waiting);
    }
    if let Some(condition) = condition(object, &SUMMARIES)
        && condition["status"] == "False"
    {
        return told(condition, State::Waiting);
    }
    waiting("Deleting", "it is being deleted")
}

/// An object without conditions that sum it up.
fn unsaid(object: &Value) -> Verdict {
    let all = |one: &&Value| one["status"] == "False";
    let parents = object["status"]["parents"].as_array();
    let mut parents = parents.into_iter().flatten();
    let refused = parents.find_map(|parent| {
        let conditions = parent["conditions"].as_array();
        conditions.into_iter().flatten().find(all)
    });
    match refused {
        Some(condition) => told(condition, State::Failed),
        None => Verdict {
            state: State::Ready,
            reason: String::new(),
            message: String::new(),
            since: None,
        },
    }
}

fn of_pod(object: &Value) -> Verdict {
    match serde_json::from_value::<Pod>(object.clone()) {
        Ok(pod) => {
            let (state, detail) = tree::pod_state(&pod);
            let (reason, message) = detail.split_once(": ").unwrap_or((&detail, ""));
            Verdict {
                state,
                reason: reason.to_owned(),
                message: message.to_owned(),
                since: None,
            }
        }
        Err(_) => waiting("Unknown", "the pod cannot be read"),
    }
}

fn of_replicas(object: &Value) -> Verdict {
    let number = |pointer: &str| object.pointer(pointer).and_then(Value::as_i64);
    let wanted = number("/spec/replicas").unwrap_or(1);
    let ready = number("/status/readyReplicas").unwrap_or(0);
    if ready < wanted {
        return waiting("", &format!("{ready} of {wanted} pods are ready"));
    }
    let updated = object.pointer("/status/updatedReplicas");
    if let Some(updated) = updated
        .and_then(Value::as_i64)
        .filter(|updated| *updated < wanted)
    {
        return waiting(
            "",
            &format!("{updated} of {wanted} pods are of the present version"),
        );
    }
    if object["kind"] == "Deployment" {
        return waiting("", "its pods of the present version are not ready");
    }
    Verdict {
        state: State::Ready,
        reason: String::new(),
        message: format!("{ready} pods are ready"),
        since: None,
    }
}

/// Whether all pods are of the present version, and ready.
fn is_rolled_out(object: &Value) -> bool {
    let number = |pointer: &str| object.pointer(pointer).and_then(Value::as_i64);
    let wanted = number("/spec/replicas").unwrap_or(1);
    let has = |pointer: &str| number(pointer).unwrap_or(0) >= wanted;
    has("/status/updatedReplicas")
        && has("/status/readyReplicas")
        && number("/status/unavailableReplicas").unwrap_or(0) == 0
}

/// A condition that says what fails, or how far it is.
fn of_roll_out(object: &Value) -> Verdict {
    let says = |one: &&Value| one["status"] == "False" && one["type"] == "Progressing";
    match condition(object, &["Progressing"]).filter(says) {
        Some(failed) => told(failed, State::Failed),
        None => of_replicas(object),
    }
}

fn of_claim(object: &Value) -> Verdict {
    match text(object, "/status/phase") {
        "Bound" => Verdict {
            state: State::Ready,
            reason: "Bound".to_owned(),
            message: String::new(),
            since: None,
        },
        "" => waiting("Pending", "no volume yet"),
        phase => waiting(phase, "no volume yet"),
    }
}

fn waiting(reason: &str, message: &str) -> Verdict {
    Verdict {
        state: State::Waiting,
        reason: reason.to_owned(),
        message: message.to_owned(),
        since: None,
    }
}

fn told(condition: &Value, state: State) -> Verdict {
    Verdict {
        state,
        reason: text(condition, "/reason").to_owned(),
        message: text(condition, "/message").to_owned(),
        since: condition["lastTransitionTime"].as_str().map(str::to_owned),
    }
}

/// The first of these conditions that the object has.
fn condition<'a>(object: &'a Value, types: &[&str]) -> Option<&'a Value> {
    let conditions = object["status"]["conditions"].as_array()?;
    types
        .iter()
        .find_map(|type_| conditions.iter().find(|one| one["type"] == **type_))
}

/// Whether a condition is about an earlier state of the object.
fn is_stale(object: &Value, condition: &Value) -> bool {
    let generation = object["metadata"]["generation"].as_i64();
    let seen = condition["observedGeneration"].as_i64();
    seen.is_some_and(|seen| Some(seen) < generation)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn with(kind: &str, conditions: &Value) -> Value {
        json!({"kind": kind, "metadata": {"name": "x", "generation": 2},
               "status": {"conditions": conditions}})
    }

    fn state(kind: &str, conditions: &Value) -> (State, String) {
        let verdict = of(&with(kind, conditions));
        (verdict.state, verdict.reason)
    }

    #[test]
    fn the_condition_that_sums_up_decides() {
        let ready = |status: &str, reason: &str| {
            json!([{"type": "ResourcesReady", "status": "False", "reason": "Other"},
                   {"type": "Ready", "status": status, "reason": reason}])
        };
        let of = |status, reason| state("ReleaseBinding", &ready(status, reason)).0;
        assert_eq!(of("True", "Ready"), State::Ready);
        assert_eq!(of("False", "RenderingFailed"), State::Failed);
        assert_eq!(of("False", "ConnectionsPending"), State::Waiting);
    }

    #[test]
    fn a_failed_job_is_failed_whatever_else_it_says() {
        let conditions = json!([
            {"type": "Complete", "status": "False"},
            {"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded"},
        ]);
        let expected = (State::Failed, "BackoffLimitExceeded".to_owned());
        assert_eq!(state("Job", &conditions), expected);
    }

    #[test]
    fn what_was_said_of_an_earlier_state_does_not_count() {
        let conditions = json!([
            {"type": "Ready", "status": "True", "reason": "Ready", "observedGeneration": 1}
        ]);
        assert_eq!(state("Component", &conditions).0, State::Waiting);
    }

    #[test]
    fn what_leaves_says_what_it_waits_for() {
        let mut project = with(
            "Project",
            &json!([{"type": "Finalizing", "status": "True", "reason": "ProjectFinalizing",
                     "message": "waiting for Component \"web\" to be deleted"}]),
        );
        project["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        let verdict = of(&project);
        assert_eq!(verdict.state, State::Waiting);
        assert!(verdict.message.contains("\"web\""));
    }

    #[test]
    fn routes_tell_by_their_parents() {
        let route = json!({"kind": "HTTPRoute", "metadata": {"name": "r"}, "status": {"parents": [
            {"conditions": [{"type": "Accepted", "status": "True"},
                            {"type": "ResolvedRefs", "status": "False", "reason": "BackendNotFound"}]}
        ]}});
        assert_eq!(of(&route).reason, "BackendNotFound");
    }

    #[test]
    fn what_ran_before_does_not_hide_what_does_not_come_up() {
        let deployment = json!({"kind": "Deployment", "metadata": {}, "spec": {"replicas": 1},
            "status": {"readyReplicas": 1, "updatedReplicas": 1, "unavailableReplicas": 1,
                "conditions": [{"type": "Available", "status": "True"},
                               {"type": "Progressing", "status": "True"}]}});
        assert_eq!(of(&deployment).state, State::Waiting);
    }

    #[test]
    fn replicas_are_counted() {
        let set = json!({"kind": "ReplicaSet", "metadata": {}, "spec": {"replicas": 2},
                         "status": {"readyReplicas": 1}});
        assert_eq!(of(&set).message, "1 of 2 pods are ready");
    }
}
