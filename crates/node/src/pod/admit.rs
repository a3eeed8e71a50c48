//! What this machine refuses to run, told in one sentence instead of run differently.

use k8s_openapi::api::core::v1::{Container, Pod, PodSpec, SeccompProfile};

use super::security;
use crate::index::Index;

/// The label by which a namespace says how much its pods may ask for.
const ENFORCE: &str = "pod-security.kubernetes.io/enforce";

/// Why a pod cannot run here: reason and message.
pub fn refuse(index: &Index, pod: &Pod) -> Option<(String, String)> {
    let spec = pod.spec.as_ref()?;
    let problem = frame(spec)
        .or_else(|| unfiltered(index, pod, spec))
        .or_else(|| spec.volumes.iter().flatten().find_map(volume))
        .or_else(|| {
            spec.init_containers
                .iter()
                .flatten()
                .chain(&spec.containers)
                .find_map(container)
        })?;
    Some(("NotSupported".to_owned(), problem))
}

fn frame(spec: &PodSpec) -> Option<String> {
    let shared = [
        ("hostNetwork", spec.host_network),
        ("hostPID", spec.host_pid),
        ("hostIPC", spec.host_ipc),
    ];
    if let Some((field, _)) = shared.into_iter().find(|(_, wanted)| *wanted == Some(true)) {
        return Some(format!(
            "spec.{field}: pods of this node never share the host's namespaces"
        ));
    }
    if spec.share_process_namespace == Some(true) {
        return Some(
            "spec.shareProcessNamespace: each container of this node has processes of its own"
                .to_owned(),
        );
    }
    let context = spec.security_context.as_ref()?;
    if context.sysctls.as_ref().is_some_and(|all| !all.is_empty()) {
        return Some("spec.securityContext.sysctls: this node sets none for pods".to_owned());
    }
    let problem = seccomp(context.seccomp_profile.as_ref()?)?;
    Some(format!("spec.securityContext.seccompProfile: {problem}"))
}

/// System calls are filtered unless whoever keeps the namespace allows that they are not.
fn unfiltered(index: &Index, pod: &Pod, spec: &PodSpec) -> Option<String> {
    let mut all = spec
        .init_containers
        .iter()
        .flatten()
        .chain(&spec.containers);
    let wanting = all.find(|container| security::is_unconfined(pod, container))?;
    let name = pod.metadata.namespace.clone().unwrap_or_default();
    let namespace = index.namespaces.find("", &name);
    let level = namespace.and_then(|namespace| namespace.metadata.labels.as_ref()?.get(ENFORCE));
    (level.map(String::as_str) != Some("privileged")).then(|| {
        format!(
            "container {:?}: securityContext.seccompProfile: Unconfined is for namespaces with the \
             label {ENFORCE}=privileged only",
            wanting.name
        )
    })
}

fn volume(volume: &k8s_openapi::api::core::v1::Volume) -> Option<String> {
    let name = &volume.name;
    if volume.host_path.is_some() {
        return Some(format!(
            "volume {name:?}: hostPath would open the host's files to the pod"
        ));
    }
    let known = volume.empty_dir.is_some()
        || volume.config_map.is_some()
        || volume.secret.is_some()
        || volume.projected.is_some()
        || volume.downward_api.is_some()
        || volume.persistent_volume_claim.is_some();
    (!known).then(|| {
        format!(
            "volume {name:?}: this node has emptyDir, configMap, secret, projected, downwardAPI and \
             persistentVolumeClaim volumes only"
        )
    })
}

fn container(container: &Container) -> Option<String> {
    let context = container.security_context.as_ref()?;
    let name = &container.name;
    if context.privileged == Some(true) {
        return Some(format!(
            "container {name:?}: securityContext.privileged: containers of this node are never \
             privileged, they would own the machine"
        ));
    }
    if context.proc_mount.as_deref() == Some("Unmasked") {
        return Some(format!(
            "container {name:?}: securityContext.procMount: parts of /proc are always hidden here"
        ));
    }
    if let Some(problem) = context.seccomp_profile.as_ref().and_then(seccomp) {
        return Some(format!(
            "container {name:?}: securityContext.seccompProfile: {problem}"
        ));
    }
    let refused = security::refused_capability(container)?;
    Some(format!(
        "container {name:?}: securityContext.capabilities.add: {refused} leads out of the container \
         and is never given here"
    ))
}

/// There are no files of profiles on this node.
fn seccomp(profile: &SeccompProfile) -> Option<&'static str> {
    (profile.type_ == "Localhost").then_some("this node has no profile but RuntimeDefault")
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Namespace;
    use serde_json::{Value, from_value, json};

    use super::*;

    fn check(spec: &Value, expected: Option<&str>) {
        let pod: Pod = from_value(json!({"metadata": {}, "spec": spec})).unwrap();
        let message = refuse(&Index::default(), &pod).map(|(_, message)| message);
        let starts = message
            .as_deref()
            .map(|message| message.split(':').next().unwrap());
        assert_eq!(starts, expected);
    }

    #[test]
    fn what_would_open_the_host_is_refused() {
        let main = json!([{"name": "main"}]);
        check(&json!({"containers": main}), None);
        check(
            &json!({"containers": main, "hostNetwork": true}),
            Some("spec.hostNetwork"),
        );
        let volumes = json!([{"name": "v", "hostPath": {"path": "/"}}]);
        check(
            &json!({"containers": main, "volumes": volumes}),
            Some("volume \"v\""),
        );
        let volumes = json!([{"name": "v", "nfs": {"path": "/", "server": "s"}}]);
        check(
            &json!({"containers": main, "volumes": volumes}),
            Some("volume \"v\""),
        );
        check(
            &json!({"containers": main, "shareProcessNamespace": true}),
            Some("spec.shareProcessNamespace"),
        );
        let sysctls = json!([{"name": "kernel.msgmax", "value": "1"}]);
        check(
            &json!({"containers": main, "securityContext": {"sysctls": sysctls}}),
            Some("spec.securityContext.sysctls"),
        );
    }

    #[test]
    fn rights_that_cannot_be_given_are_named() {
        let check = |context: Value, expected: Option<&str>| {
            let pod = json!({"metadata": {}, "spec": {
                "containers": [{"name": "main", "securityContext": context}],
            }});
            let pod = from_value(pod).unwrap();
            let message = refuse(&Index::default(), &pod).map(|(_, message)| message);
            match expected {
                None => assert_eq!(message, None),
                Some(field) => assert!(
                    message.as_ref().unwrap().contains(field),
                    "{message:?} lacks {field}"
                ),
            }
        };
        check(json!({"privileged": true}), Some("privileged"));
        check(json!({"procMount": "Unmasked"}), Some("procMount"));
        check(
            json!({"capabilities": {"add": ["NET_ADMIN"]}}),
            Some("capabilities.add: NET_ADMIN"),
        );
        let local = json!({"type": "Localhost", "localhostProfile": "a.json"});
        check(json!({"seccompProfile": local}), Some("seccompProfile"));
        check(json!({"seccompProfile": {"type": "RuntimeDefault"}}), None);
        check(
            json!({"privileged": false, "capabilities": {"add": ["SETPCAP"]}}),
            None,
        );
    }

    #[test]
    fn unfiltered_calls_need_a_namespace_that_allows_them() {
        let pod: Pod = from_value(json!({"metadata": {"namespace": "ns"}, "spec": {
            "securityContext": {"seccompProfile": {"type": "Unconfined"}},
            "containers": [{"name": "main"}],
        }}))
        .unwrap();
        for (level, allowed) in [("baseline", false), ("privileged", true)] {
            let mut index = Index::default();
            let labels = json!({ENFORCE: level});
            let namespace = json!({"metadata": {"name": "ns", "labels": labels}});
            index.apply::<Namespace>(from_value(namespace).unwrap());
            assert_eq!(refuse(&index, &pod).is_none(), allowed, "{level}");
        }
    }
}
