//! Conditions of Deployments, computed whole from counts and from what was true before.

use jiff::Timestamp;
use k8s_openapi::{
    api::apps::v1::{
        Deployment, DeploymentCondition, DeploymentStatus, ReplicaSet, ReplicaSetCondition,
    },
    apimachinery::pkg::apis::meta::v1::Time,
};

use super::after;

/// What is known when conditions are computed.
#[derive(Debug)]
pub struct Facts<'a> {
    /// The deployment with its last status.
    pub deployment: &'a Deployment,
    /// The new counts.
    pub counts: &'a DeploymentStatus,
    /// The replica set of the current template.
    pub current: Option<&'a ReplicaSet>,
    /// Whether it is being made right now.
    pub made: Option<&'a str>,
    /// How many pods must be available.
    pub min_available: i32,
    /// Failure of a replica set to make pods.
    pub failure: Option<&'a ReplicaSetCondition>,
    /// Now.
    pub now: Timestamp,
}

/// The conditions, and when the progress deadline passes.
pub fn compute(facts: &Facts<'_>) -> (Vec<DeploymentCondition>, Option<Timestamp>) {
    let mut conditions = vec![available(facts)];
    let (progressing, deadline) = progressing(facts);
    conditions.extend(progressing);
    if let Some(failure) = facts.failure {
        let reason = failure.reason.clone().unwrap_or_default();
        let message = failure.message.clone().unwrap_or_default();
        conditions.push(condition(
            facts,
            "ReplicaFailure",
            "True",
            (&reason, &message),
        ));
    }
    (conditions, deadline)
}

fn known<'a>(facts: &Facts<'a>, kind: &str) -> Option<&'a DeploymentCondition> {
    let status = facts.deployment.status.as_ref()?;
    status
        .conditions
        .as_ref()?
        .iter()
        .find(|condition| condition.type_ == kind)
}

/// A condition that keeps its times as long as it says the same.
fn condition(
    facts: &Facts<'_>,
    kind: &str,
    status: &str,
    (reason, message): (&str, &str),
) -> DeploymentCondition {
    let known = known(facts, kind);
    let same_status = known.filter(|known| known.status == status);
    let same = same_status.filter(|known| {
        known.reason.as_deref() == Some(reason) && known.message.as_deref() == Some(message)
    });
    let now = Time(facts.now);
    DeploymentCondition {
        type_: kind.to_owned(),
        status: status.to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message.to_owned()),
        last_transition_time: same_status
            .and_then(|known| known.last_transition_time.clone())
            .or_else(|| Some(now.clone())),
        last_update_time: same
            .and_then(|known| known.last_update_time.clone())
            .or(Some(now)),
    }
}

fn available(facts: &Facts<'_>) -> DeploymentCondition {
    if facts.counts.available_replicas.unwrap_or_default() >= facts.min_available {
        let why = (
            "MinimumReplicasAvailable",
            "Deployment has minimum availability.",
        );
        condition(facts, "Available", "True", why)
    } else {
        let why = (
            "MinimumReplicasUnavailable",
            "Deployment does not have minimum availability.",
        );
        condition(facts, "Available", "False", why)
    }
}

fn progressing(facts: &Facts<'_>) -> (Option<DeploymentCondition>, Option<Timestamp>) {
    let spec = facts.deployment.spec.as_ref();
    let known = known(facts, "Progressing");
    if spec.and_then(|spec| spec.paused) == Some(true) {
        let why = ("DeploymentPaused", "Deployment is paused");
        return (Some(condition(facts, "Progressing", "Unknown", why)), None);
    }
    let seconds = spec
        .and_then(|spec| spec.progress_deadline_seconds)
        .unwrap_or(600);
    if seconds == i32::MAX {
        return (None, None);
    }
    let resumed = known.is_none_or(|known| known.reason.as_deref() == Some("DeploymentPaused"));
    let name = facts.current.and_then(|set| set.metadata.name.as_deref());
    let state = facts
        .made
        .map_or_else(|| state(facts, known, seconds), |_| State::Made);
    let named = facts.made.or(name).unwrap_or_default();
    let (status, reason, message) = match state {
        State::Made => (
            "True",
            "NewReplicaSetCreated",
            format!("Created new replica set \"{named}\""),
        ),
        State::Complete => (
            "True",
            "NewReplicaSetAvailable",
            format!("ReplicaSet \"{named}\" has successfully progressed."),
        ),
        State::Moving => (
            "True",
            "ReplicaSetUpdated",
            format!("ReplicaSet \"{named}\" is progressing."),
        ),
        State::TimedOut => (
            "False",
            "ProgressDeadlineExceeded",
            format!("ReplicaSet \"{named}\" has timed out progressing."),
        ),
        State::Same if resumed => (
            "True",
            "FoundNewReplicaSet",
            format!("Found new replica set \"{named}\""),
        ),
        State::Same => return (known.cloned(), deadline(known, seconds)),
    };
    let mut made = condition(facts, "Progressing", status, (reason, &message));
    if matches!(state, State::Moving | State::Made) {
        made.last_update_time = Some(Time(facts.now));
    }
    let deadline = deadline(Some(&made), seconds);
    (Some(made), deadline)
}

/// Where a rollout is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Made,
    Complete,
    Moving,
    TimedOut,
    Same,
}

fn state(facts: &Facts<'_>, known: Option<&DeploymentCondition>, seconds: i32) -> State {
    let counts = facts.counts;
    let reason = known.and_then(|known| known.reason.as_deref());
    let replicas = facts
        .deployment
        .spec
        .as_ref()
        .and_then(|spec| spec.replicas)
        .unwrap_or(1);
    let total = counts.replicas.unwrap_or_default();
    let updated = counts.updated_replicas.unwrap_or_default();
    let available = counts.available_replicas.unwrap_or_default();
    if facts.current.is_some() && updated == replicas && total == replicas && available == replicas
    {
        return State::Complete;
    }
    if reason == Some("NewReplicaSetAvailable") && total == updated {
        return State::Same;
    }
    if moved(facts) {
        return State::Moving;
    }
    match deadline(known, seconds) {
        Some(time) if time <= facts.now => State::TimedOut,
        Some(_) | None => {
            if reason == Some("ProgressDeadlineExceeded") {
                State::TimedOut
            } else {
                State::Same
            }
        }
    }
}

/// Whether the counts came closer to the goal.
fn moved(facts: &Facts<'_>) -> bool {
    let Some(before) = facts.deployment.status.as_ref() else {
        return false;
    };
    let now = facts.counts;
    let old = |status: &DeploymentStatus| {
        status.replicas.unwrap_or_default() - status.updated_replicas.unwrap_or_default()
    };
    now.updated_replicas > before.updated_replicas
        || now.ready_replicas > before.ready_replicas
        || now.available_replicas > before.available_replicas
        || old(now) < old(before)
}

fn deadline(known: Option<&DeploymentCondition>, seconds: i32) -> Option<Timestamp> {
    let known = known.filter(|known| {
        known.status == "True" && known.reason.as_deref() != Some("NewReplicaSetAvailable")
    })?;
    known
        .last_update_time
        .as_ref()
        .map(|time| after(time.0, i64::from(seconds)))
}
