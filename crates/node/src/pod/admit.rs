//! What this machine refuses to run, told in one sentence instead of run differently.

use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};

/// Why a pod cannot run here: reason and message.
pub fn refuse(pod: &Pod) -> Option<(String, String)> {
    let spec = pod.spec.as_ref()?;
    let problem = frame(spec)
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
    let (field, _) = shared
        .into_iter()
        .find(|(_, wanted)| *wanted == Some(true))?;
    Some(format!(
        "spec.{field}: pods of this node never share the host's namespaces"
    ))
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
            "container {name:?}: privileged containers would own the machine"
        ));
    }
    let added = context.capabilities.as_ref()?.add.as_ref()?;
    let first = added.iter().find(|capability| !is_harmless(capability))?;
    Some(format!(
        "container {name:?}: capability {first} cannot be given"
    ))
}

/// Capabilities that containers have anyway, or that stay inside the pod.
fn is_harmless(capability: &str) -> bool {
    let known = [
        "CHOWN",
        "DAC_OVERRIDE",
        "FOWNER",
        "FSETID",
        "KILL",
        "NET_BIND_SERVICE",
        "SETFCAP",
        "SETGID",
        "SETPCAP",
        "SETUID",
        "SYS_CHROOT",
        "AUDIT_WRITE",
        "MKNOD",
    ];
    known.contains(&capability.trim_start_matches("CAP_"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, from_value, json};

    use super::*;

    fn check(spec: &Value, expected: Option<&str>) {
        let pod: Pod = from_value(json!({"metadata": {}, "spec": spec})).unwrap();
        let message = refuse(&pod).map(|(_, message)| message);
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
        let privileged = json!([{"name": "main", "securityContext": {"privileged": true}}]);
        check(
            &json!({"containers": privileged}),
            Some("container \"main\""),
        );
    }
}
