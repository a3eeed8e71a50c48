//! What this machine refuses to run, told in one sentence instead of run differently.

use std::borrow::Cow;

use k8s_openapi::api::core::v1::{Container, EnvVarSource, Pod, PodSpec, SeccompProfile, Volume};

use super::{containers, security};
use crate::index::Index;

/// The label by which a namespace says how much its pods may ask for.
const ENFORCE: &str = "pod-security.kubernetes.io/enforce";

/// What a container may ask for an amount of.
const RESOURCES: [&str; 3] = ["cpu", "memory", "ephemeral-storage"];

/// Why a pod cannot run here: reason and message.
pub fn refuse(index: &Index, pod: &Pod) -> Option<(String, String)> {
    let spec = pod.spec.as_ref()?;
    let problem = never(spec).or_else(|| unfiltered(index, pod, containers(spec)))?;
    Some(("NotSupported".to_owned(), problem))
}

/// Why no pod like this can run here, whatever else there is.
pub fn never(spec: &PodSpec) -> Option<String> {
    let mut containers = spec
        .init_containers
        .iter()
        .flatten()
        .chain(&spec.containers);
    frame(spec)
        .or_else(|| spec.volumes.iter().flatten().find_map(volume))
        .or_else(|| containers.find_map(|one| container(one, &[])))
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
    if let Some(problem) = frame_of_others(spec) {
        return Some(problem.to_owned());
    }
    let context = spec.security_context.as_ref()?;
    if context.sysctls.as_ref().is_some_and(|all| !all.is_empty()) {
        return Some("spec.securityContext.sysctls: this node sets none for pods".to_owned());
    }
    let problem = seccomp(context.seccomp_profile.as_ref()?)?;
    Some(format!(
        "spec.securityContext.seccompProfile.type: {problem}"
    ))
}

/// What only other nodes have.
fn frame_of_others(spec: &PodSpec) -> Option<&'static str> {
    if spec.host_users == Some(false) {
        Some("spec.hostUsers: the pods of this node share their users; none has a range of its own")
    } else if spec
        .runtime_class_name
        .as_deref()
        .is_some_and(|name| !name.is_empty())
    {
        Some("spec.runtimeClassName: this node has one way to run containers, without a name")
    } else if spec
        .resource_claims
        .as_ref()
        .is_some_and(|all| !all.is_empty())
    {
        Some("spec.resourceClaims: this node gives out no devices")
    } else if spec.os.as_ref().is_some_and(|os| os.name != "linux") {
        Some("spec.os: this node runs Linux")
    } else {
        None
    }
}

/// Why an ephemeral container, which is added to a pod that runs, cannot run here.
pub(super) fn added(index: &Index, pod: &Pod, one: &Container) -> Option<String> {
    container(one, &security::TRACING)
        .or_else(|| unfiltered(index, pod, std::iter::once(Cow::Borrowed(one))))
}

/// System calls are filtered unless whoever keeps the namespace allows that they are not.
fn unfiltered<'c>(
    index: &Index,
    pod: &Pod,
    mut all: impl Iterator<Item = Cow<'c, Container>>,
) -> Option<String> {
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

fn volume(volume: &Volume) -> Option<String> {
    let name = &volume.name;
    if volume.host_path.is_some() {
        return Some(format!(
            "volume {name:?}: hostPath would open the host's files to the pod"
        ));
    }
    let sources = volume
        .projected
        .iter()
        .flat_map(|all| all.sources.iter().flatten());
    for source in sources {
        let table = [
            (source.cluster_trust_bundle.is_some(), "clusterTrustBundle"),
            (source.pod_certificate.is_some(), "podCertificate"),
        ];
        let Some((_, field)) = table.into_iter().find(|(wanted, _)| *wanted) else {
            continue;
        };
        return Some(format!(
            "volume {name:?}: projected.sources.{field}: this node has none; configMap, secret, \
             downwardAPI and serviceAccountToken are sources"
        ));
    }
    let known = volume.empty_dir.is_some()
        || volume.config_map.is_some()
        || volume.secret.is_some()
        || volume.projected.is_some()
        || volume.downward_api.is_some()
        || volume.persistent_volume_claim.is_some();
    (!known).then(|| {
        let kind = kind_of(volume);
        format!(
            "volume {name:?}: {kind}: this node has emptyDir, configMap, secret, projected, downwardAPI and \
             persistentVolumeClaim volumes only"
        )
    })
}

/// Why no container like this can run here, which may be granted some capabilities besides.
fn container(container: &Container, besides: &[&str]) -> Option<String> {
    let problem = of_others(container).or_else(|| elsewhere(container));
    if let Some(problem) = problem {
        return Some(format!("container {:?}: {problem}", container.name));
    }
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
            "container {name:?}: securityContext.seccompProfile.type: {problem}"
        ));
    }
    let refused = security::refused_capability(container, besides)?;
    Some(format!(
        "container {name:?}: securityContext.capabilities.add: {refused} leads out of the container \
         and is never given here"
    ))
}

/// The field that says what a volume is.
fn kind_of(volume: &Volume) -> String {
    let fields = serde_json::to_value(volume).unwrap_or_default();
    let fields = fields.as_object().into_iter().flatten();
    let mut kinds = fields.filter(|(field, _)| *field != "name");
    kinds
        .next()
        .map(|(field, _)| field.clone())
        .unwrap_or_default()
}

/// What a container asks for that only other nodes have.
fn of_others(container: &Container) -> Option<String> {
    let devices = container.volume_devices.as_ref();
    if devices.is_some_and(|devices| !devices.is_empty()) {
        return Some("volumeDevices: volumes of this node are folders, not devices".to_owned());
    }
    let mut mounts = container.volume_mounts.iter().flatten();
    let shared = |mode: Option<&str>| mode == Some("Bidirectional");
    if mounts.any(|mount| shared(mount.mount_propagation.as_deref())) {
        let why = "volumeMounts.mountPropagation: no mount of a container leaves it on this node";
        return Some(why.to_owned());
    }
    let mut variables = container.env.iter().flatten();
    let of_file = |source: &EnvVarSource| source.file_key_ref.is_some();
    if variables.any(|one| one.value_from.as_ref().is_some_and(of_file)) {
        let why = "env.valueFrom.fileKeyRef: this node reads no files of volumes for variables";
        return Some(why.to_owned());
    }
    let hooks = container.lifecycle.iter();
    let mut hooks = hooks
        .flat_map(|all| [&all.post_start, &all.pre_stop])
        .flatten();
    if hooks.any(|hook| hook.tcp_socket.is_some()) {
        return Some("lifecycle: a hook cannot be tcpSocket: use httpGet".to_owned());
    }
    let mut rules = container.restart_policy_rules.iter().flatten();
    if let Some(rule) = rules.find(|rule| rule.action != "Restart") {
        let action = &rule.action;
        return Some(format!(
            "restartPolicyRules.action: {action}: this node knows Restart only"
        ));
    }
    let resources = container.resources.as_ref()?;
    if resources.claims.as_ref().is_some_and(|all| !all.is_empty()) {
        return Some("resources.claims: this node gives out no devices".to_owned());
    }
    let amounts = [
        ("limits", &resources.limits),
        ("requests", &resources.requests),
    ];
    amounts.into_iter().find_map(|(field, amounts)| {
        let mut names = amounts.iter().flatten().map(|(name, _)| name.as_str());
        let name = names.find(|name| !RESOURCES.contains(name))?;
        Some(format!("resources.{field}: this node has no {name}"))
    })
}

/// A probe or a hook that asks another host. The machine reaches what no pod may, so it asks for nobody.
fn elsewhere(container: &Container) -> Option<String> {
    let probes = [
        ("livenessProbe", &container.liveness_probe),
        ("readinessProbe", &container.readiness_probe),
        ("startupProbe", &container.startup_probe),
    ];
    let hooks = container.lifecycle.as_ref().map(|hooks| {
        [
            ("lifecycle.postStart", &hooks.post_start),
            ("lifecycle.preStop", &hooks.pre_stop),
        ]
    });
    let mut asked: Vec<(&str, &str, Option<&String>)> = Vec::new();
    for (field, probe) in probes {
        let Some(probe) = probe else { continue };
        let http = probe.http_get.as_ref().and_then(|http| http.host.as_ref());
        let tcp = probe.tcp_socket.as_ref().and_then(|tcp| tcp.host.as_ref());
        asked.extend([(field, "httpGet", http), (field, "tcpSocket", tcp)]);
    }
    for (field, hook) in hooks.into_iter().flatten() {
        let http = hook.as_ref().and_then(|hook| hook.http_get.as_ref());
        asked.push((field, "httpGet", http.and_then(|http| http.host.as_ref())));
    }
    let (field, action, _) = asked
        .into_iter()
        .find(|(_, _, host)| host.is_some_and(|host| !host.is_empty()))?;
    Some(format!(
        "{field}.{action}.host: this node asks the pod itself only; leave it out"
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
