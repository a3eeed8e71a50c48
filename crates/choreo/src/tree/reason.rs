//! Why pods do not run: the deepest cause there is, in the words of whoever noticed it.

use choreo_model::labels;
use choreo_node::pod::restart::REASON as RESTARTED;
use k8s_openapi::{
    api::core::v1::{ContainerStatus, Pod, PodCondition},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};

use super::{Item, State};

/// The first trouble among the pods of a component in an environment.
pub(crate) fn of_pods(pods: &[Pod], component: &str, environment: &str) -> Option<(State, String)> {
    self::pods(pods, component, environment)
        .into_iter()
        .filter(|item| item.state != State::Ready && !item.detail.is_empty())
        .max_by_key(|item| item.state)
        .map(|item| (item.state, format!("pod {}: {}", item.name, item.detail)))
}

/// What a component waits for whose pods start again after a restart of the platform: for a moment
/// its stored conditions still tell of the run before.
pub(crate) fn restarting(
    pods: &[Pod],
    component: &str,
    environment: &str,
) -> Option<(State, String)> {
    let mine = || {
        pods.iter()
            .filter(|pod| belongs(&pod.metadata, component, environment))
            .filter(|pod| pod.metadata.deletion_timestamp.is_none())
    };
    if mine().any(is_ready) {
        return None;
    }
    let pod = mine().find(|pod| was_restarted(pod))?;
    let item = item(pod);
    (item.state == State::Waiting).then(|| {
        let detail = format!("pod {}: {}", item.name, item.detail);
        (State::Waiting, detail)
    })
}

fn ready(pod: &Pod) -> Option<&PodCondition> {
    let mut conditions = pod.status.as_ref()?.conditions.iter().flatten();
    conditions.find(|condition| condition.type_ == "Ready")
}

fn is_ready(pod: &Pod) -> bool {
    ready(pod).is_some_and(|condition| condition.status == "True")
}

fn was_restarted(pod: &Pod) -> bool {
    let marked = ready(pod).and_then(|condition| condition.reason.as_deref()) == Some(RESTARTED);
    let statuses = pod.status.iter();
    let mut containers = statuses.flat_map(|status| status.container_statuses.iter().flatten());
    marked
        || containers.any(|container| {
            let last = container.last_state.as_ref();
            let ended = last.and_then(|last| last.terminated.as_ref());
            ended.and_then(|ended| ended.reason.as_deref()) == Some(RESTARTED)
        })
}

/// The pods of a component in an environment that do not run as they should.
pub(crate) fn pods(pods: &[Pod], component: &str, environment: &str) -> Vec<Item> {
    pods.iter()
        .filter(|pod| belongs(&pod.metadata, component, environment))
        .filter(|pod| pod.metadata.deletion_timestamp.is_none())
        .map(item)
        .filter(|item| item.state != State::Ready)
        .collect()
}

/// Whether a live object is part of a component in an environment.
pub(crate) fn belongs(metadata: &ObjectMeta, component: &str, environment: &str) -> bool {
    let label = |key: &str| metadata.labels.as_ref()?.get(key).map(String::as_str);
    label(labels::COMPONENT) == Some(component) && label(labels::ENVIRONMENT) == Some(environment)
}

fn item(pod: &Pod) -> Item {
    let (state, detail) = state(pod);
    Item {
        kind: "Pod".to_owned(),
        name: pod.metadata.name.clone().unwrap_or_default(),
        state,
        detail,
        refused: Vec::new(),
        children: Vec::new(),
    }
}

/// How a pod is, and why.
pub(crate) fn state(pod: &Pod) -> (State, String) {
    let Some(status) = &pod.status else {
        return (State::Waiting, "not started yet".to_owned());
    };
    let containers = status
        .init_container_statuses
        .iter()
        .chain(&status.container_statuses)
        .flatten();
    if let Some(found) = containers
        .filter_map(of_container)
        .max_by_key(|(state, _)| *state)
    {
        return found;
    }
    match status.phase.as_deref() {
        Some("Succeeded") => (State::Ready, String::new()),
        Some("Failed") => (
            State::Failed,
            said(status.reason.as_deref(), status.message.as_deref()),
        ),
        _ => {
            let conditions = status.conditions.iter().flatten();
            let open = conditions
                .filter(|condition| condition.status == "False")
                .find(|condition| {
                    matches!(
                        condition.type_.as_str(),
                        "PodScheduled" | "Ready" | "ContainersReady"
                    )
                });
            match open {
                Some(condition) => (
                    State::Waiting,
                    said(condition.reason.as_deref(), condition.message.as_deref()),
                ),
                None if status.phase.as_deref() == Some("Running") => (State::Ready, String::new()),
                None => (State::Waiting, status.phase.clone().unwrap_or_default()),
            }
        }
    }
}

/// What keeps a container from running, if anything does.
fn of_container(container: &ContainerStatus) -> Option<(State, String)> {
    let now = container.state.as_ref()?;
    if let Some(waiting) = &now.waiting {
        let reason = waiting.reason.as_deref().unwrap_or("Waiting");
        if matches!(reason, "ContainerCreating" | "PodInitializing") {
            return Some((
                State::Waiting,
                said(Some(reason), waiting.message.as_deref()),
            ));
        }
        // Which container of which pod is said around it.
        let message = waiting.message.as_deref();
        let message = message.and_then(|text| text.split(" restarting failed container=").next());
        let mut detail = said(Some(reason), message);
        if let Some(ending) = last_ending(container) {
            detail = format!("{detail} ({ending})");
        }
        return Some((State::Failed, detail));
    }
    let ended = now
        .terminated
        .as_ref()
        .filter(|ended| ended.exit_code != 0)?;
    let reason = said(ended.reason.as_deref(), ended.message.as_deref());
    Some((
        State::Failed,
        format!("{reason}, exit code {}", ended.exit_code),
    ))
}

fn last_ending(container: &ContainerStatus) -> Option<String> {
    let ended = container.last_state.as_ref()?.terminated.as_ref()?;
    let reason = ended.reason.as_deref().unwrap_or("Error");
    let reason = said(Some(reason), ended.message.as_deref());
    Some(format!(
        "last run: {reason}, exit code {}; {} restarts",
        ended.exit_code, container.restart_count
    ))
}

fn said(reason: Option<&str>, message: Option<&str>) -> String {
    match (reason.unwrap_or_default(), message.unwrap_or_default()) {
        ("", message) => message.to_owned(),
        (reason, "") => reason.to_owned(),
        (reason, message) => format!("{reason}: {message}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(status: &Value) -> Pod {
        serde_json::from_value(json!({
            "metadata": {"name": "p", "labels": {labels::COMPONENT: "catalog", labels::ENVIRONMENT: "development"}},
            "status": status,
        }))
        .unwrap()
    }

    fn why(status: &Value) -> Option<(State, String)> {
        of_pods(&[pod(status)], "catalog", "development")
    }

    #[test]
    fn a_crashing_container_tells_its_last_ending() {
        let status = json!({"phase": "Running", "containerStatuses": [{
            "name": "main", "image": "i", "imageID": "", "ready": false, "restartCount": 3,
            "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s restarting failed container=main pod=p"}},
            "lastState": {"terminated": {"exitCode": 7, "reason": "Error"}},
        }]});
        let detail =
            "pod p: CrashLoopBackOff: back-off 40s (last run: Error, exit code 7; 3 restarts)";
        assert_eq!(why(&status), Some((State::Failed, detail.to_owned())));
    }

    #[test]
    fn a_missing_image_is_a_failure_and_a_start_is_not() {
        let waiting = |reason: &str, message: &str| {
            json!({"phase": "Pending", "containerStatuses": [{
                "name": "main", "image": "i", "imageID": "", "ready": false, "restartCount": 0,
                "state": {"waiting": {"reason": reason, "message": message}},
            }]})
        };
        let (state, detail) = why(&waiting("ErrImagePull", "shop/none:1 was not found")).unwrap();
        assert_eq!(
            (state, detail.as_str()),
            (
                State::Failed,
                "pod p: ErrImagePull: shop/none:1 was not found"
            )
        );
        assert_eq!(
            why(&waiting("ContainerCreating", "")).unwrap().0,
            State::Waiting
        );
    }

    #[test]
    fn a_restarted_component_waits_for_its_pods() {
        let waits = |status: &Value| restarting(&[pod(status)], "catalog", "development");
        let ready = |status: &str, reason: &str| json!({"phase": "Running", "conditions": [{"type": "Ready", "status": status, "reason": reason}]});
        let (state, detail) = waits(&ready("False", "NodeRestarted")).unwrap();
        assert_eq!(state, State::Waiting);
        assert!(detail.contains("NodeRestarted"), "{detail}");
        assert_eq!(waits(&ready("True", "")), None);
        assert_eq!(waits(&ready("False", "ContainersNotReady")), None);
    }

    #[test]
    fn running_pods_and_other_components_are_quiet() {
        assert_eq!(why(&json!({"phase": "Running"})), None);
        let pods = [pod(&json!({"phase": "Failed"}))];
        assert_eq!(of_pods(&pods, "web", "development"), None);
    }
}
