//! Ephemeral containers: those that somebody adds to a pod that runs, to look at it. They begin whatever the others do,
//! are started once, and nothing waits for them.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, EphemeralContainer, Pod, PodSpec};

use super::{
    admit,
    state::{Runtime, State},
};
use crate::index::Index;

/// The ephemeral containers of a pod, as containers.
pub fn of(spec: &PodSpec) -> impl Iterator<Item = Container> {
    spec.ephemeral_containers.iter().flatten().map(container)
}

/// Whether a container is one.
pub fn is(spec: &PodSpec, name: &str) -> bool {
    let mut all = spec.ephemeral_containers.iter().flatten();
    all.any(|one| one.name == name)
}

/// How many of them a pod's status tells of.
pub fn known(pod: &Pod) -> usize {
    let status = pod.status.iter();
    let known = status.flat_map(|status| status.ephemeral_container_statuses.iter().flatten());
    known.count()
}

fn container(one: &EphemeralContainer) -> Container {
    let one = one.clone();
    Container {
        args: one.args,
        command: one.command,
        env: one.env,
        env_from: one.env_from,
        image: one.image,
        image_pull_policy: one.image_pull_policy,
        lifecycle: one.lifecycle,
        liveness_probe: one.liveness_probe,
        name: one.name,
        ports: one.ports,
        readiness_probe: one.readiness_probe,
        resize_policy: one.resize_policy,
        resources: one.resources,
        // Whatever becomes of it, it is not started again.
        restart_policy: Some("Never".to_owned()),
        restart_policy_rules: None,
        security_context: one.security_context,
        startup_probe: one.startup_probe,
        stdin: one.stdin,
        stdin_once: one.stdin_once,
        termination_message_path: one.termination_message_path,
        termination_message_policy: one.termination_message_policy,
        tty: one.tty,
        volume_devices: one.volume_devices,
        volume_mounts: one.volume_mounts,
        working_dir: one.working_dir,
    }
}

/// The run of a container among whose processes an ephemeral one is to be, if it names one.
pub fn among(spec: &PodSpec, runtime: &Runtime, name: &str) -> Option<String> {
    let target = target(spec, name)?;
    match &runtime.containers.get(target)?.state {
        State::Running { id, .. } => Some(id.clone()),
        State::Waiting { .. } | State::Pulling | State::Starting(_) | State::Ended(_) => None,
    }
}

/// Why ephemeral containers cannot start, by name: what this node does not give, or a target that does not run.
pub fn problems(index: &Index, pod: &Pod, runtime: &Runtime) -> BTreeMap<String, String> {
    let Some(spec) = &pod.spec else {
        return BTreeMap::new();
    };
    let all = of(spec).filter_map(|one| {
        let problem = admit::added(index, pod, &one).or_else(|| {
            let target = target(spec, &one.name)?;
            let lacks = among(spec, runtime, &one.name).is_none();
            lacks.then(|| format!("targetContainerName: container {target:?} does not run"))
        });
        Some((one.name, problem?))
    });
    all.collect()
}

fn target<'a>(spec: &'a PodSpec, name: &str) -> Option<&'a str> {
    let mut all = spec.ephemeral_containers.iter().flatten();
    let one = all.find(|one| one.name == name)?;
    let target = one.target_container_name.as_deref();
    target.filter(|target| !target.is_empty())
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::{from_value, json};

    use super::*;
    use crate::pod::{
        decide::{self, Action, Inputs},
        files::Payload,
    };

    fn pod(status: &serde_json::Value) -> Pod {
        from_value(json!({
            "metadata": {"name": "p", "uid": "u"},
            "spec": {
                "containers": [{"name": "main", "image": "i"}],
                "ephemeralContainers": [
                    {"name": "own", "image": "i"},
                    {"name": "looks", "image": "i", "targetContainerName": "main"},
                ],
            },
            "status": status,
        }))
        .unwrap()
    }

    fn ran(name: &str) -> serde_json::Value {
        json!({"name": name, "containerID": format!("choreo://{name}"), "image": "", "imageID": "", "ready": false,
            "restartCount": 0, "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}})
    }

    #[test]
    fn a_target_has_to_run() {
        let pod = pod(&json!({}));
        let spec = pod.spec.as_ref().unwrap();
        let mut runtime = Runtime::default();
        let waits = problems(&Index::default(), &pod, &runtime);
        assert_eq!(waits.keys().collect::<Vec<_>>(), ["looks"]);
        assert!(waits["looks"].starts_with("targetContainerName: container \"main\""));
        runtime.container("main").state = State::Running {
            id: "u-main-0".to_owned(),
            since: Timestamp::UNIX_EPOCH,
        };
        assert!(problems(&Index::default(), &pod, &runtime).is_empty());
        let among = |name| among(spec, &runtime, name);
        assert_eq!(among("looks"), Some("u-main-0".to_owned()));
        assert_eq!((among("own"), among("main")), (None, None));
    }

    /// Others run again when the node does.
    #[test]
    fn what_ran_once_does_not_run_again() {
        let pod = pod(&json!({
            "phase": "Running", "startTime": "2026-01-01T00:00:00Z",
            "containerStatuses": [ran("main")],
            "ephemeralContainerStatuses": [ran("own")],
        }));
        let now = Timestamp::UNIX_EPOCH;
        let runtime = Runtime::recover(&pod, now);
        assert_eq!(known(&pod), 1);
        let inputs = Inputs {
            pod: &pod,
            payload: Ok(Payload::new()),
            problems: BTreeMap::new(),
            now,
        };
        let plan = decide::decide(&inputs, &runtime);
        let pulled = |name: &str| plan.actions.contains(&Action::Pull(name.to_owned()));
        assert!(pulled("main") && pulled("looks"), "{plan:?}");
        assert!(!pulled("own"), "{plan:?}");
    }
}
