//! What a pod says about the rights of its containers, as Kubernetes reads it.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Container, Pod, PodSecurityContext};

/// What the root of a container may do unless its pod says otherwise: container runtimes' default
/// without raw packets, device files and what few programs use.
const GIVEN: [&str; 9] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETUID",
];

/// What a pod may ask for besides: it stays inside the container.
const GRANTED: [&str; 3] = ["AUDIT_WRITE", "SETPCAP", "SYS_CHROOT"];

/// What an ephemeral container may ask for besides: it sees no processes but those of its target, or its own.
pub(super) const TRACING: [&str; 1] = ["SYS_PTRACE"];

/// The capabilities of a container: what all have, without what it drops, with what it adds.
pub fn capabilities(container: &Container) -> BTreeSet<String> {
    let changes = container
        .security_context
        .as_ref()
        .and_then(|context| context.capabilities.as_ref());
    let names = |list: Option<&Vec<String>>| -> BTreeSet<String> {
        list.into_iter().flatten().map(|name| plain(name)).collect()
    };
    let dropped = names(changes.and_then(|changes| changes.drop.as_ref()));
    let added = names(changes.and_then(|changes| changes.add.as_ref()));
    let all = |names: &BTreeSet<String>| names.contains("ALL");
    let given = GIVEN
        .into_iter()
        .filter(|name| !all(&dropped) && !dropped.contains(*name));
    given
        .map(str::to_owned)
        .chain(added)
        .map(|name| format!("CAP_{name}"))
        .collect()
}

/// The first capability a container asks for that cannot be given, were it granted these besides.
pub(super) fn refused_capability<'c>(
    container: &'c Container,
    besides: &[&str],
) -> Option<&'c str> {
    let context = container.security_context.as_ref()?;
    let added = context.capabilities.as_ref()?.add.as_ref()?;
    added
        .iter()
        .find(|name| {
            let name = plain(name);
            let mut granted = GIVEN.iter().chain(&GRANTED).chain(besides);
            !granted.any(|granted| *granted == name)
        })
        .map(String::as_str)
}

/// A capability's name as Kubernetes has it, however it is written.
fn plain(name: &str) -> String {
    let name = name.to_ascii_uppercase();
    name.strip_prefix("CAP_").unwrap_or(&name).to_owned()
}

/// The groups of a pod's containers besides their own.
pub fn groups(pod: &Pod) -> Result<Vec<u32>, String> {
    let Some(context) = of(pod) else {
        return Ok(Vec::new());
    };
    let wanted = context.supplemental_groups.iter().flatten();
    let groups: Result<BTreeSet<u32>, String> = wanted
        .chain(&context.fs_group)
        .map(|group| u32::try_from(*group).map_err(|_| format!("{group} is no group id")))
        .collect();
    Ok(groups?.into_iter().collect())
}

/// Whether a container's system calls are not to be filtered. They are unless it, or its pod, says
/// otherwise.
pub fn is_unconfined(pod: &Pod, container: &Container) -> bool {
    let own = container
        .security_context
        .as_ref()
        .and_then(|context| context.seccomp_profile.as_ref());
    let whole = of(pod).and_then(|context| context.seccomp_profile.as_ref());
    own.or(whole)
        .is_some_and(|profile| profile.type_ == "Unconfined")
}

/// The group that the files of a pod's volumes belong to.
pub fn volumes_group(pod: &Pod) -> Option<u32> {
    u32::try_from(of(pod)?.fs_group?).ok()
}

/// The user that all containers of a pod run as, if the pod says so.
pub fn volumes_user(pod: &Pod) -> Option<u32> {
    let spec = pod.spec.as_ref()?;
    let whole = of(pod).and_then(|context| context.run_as_user);
    let mut users = spec
        .init_containers
        .iter()
        .flatten()
        .chain(&spec.containers)
        .map(|one| {
            let own = one.security_context.as_ref();
            own.and_then(|context| context.run_as_user).or(whole)
        });
    let first = users.next()??;
    users
        .all(|one| one == Some(first))
        .then(|| u32::try_from(first).ok())?
}

fn of(pod: &Pod) -> Option<&PodSecurityContext> {
    pod.spec.as_ref()?.security_context.as_ref()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, from_value, json};

    use super::*;

    fn container(changes: &Value) -> Container {
        from_value(json!({"name": "main", "securityContext": {"capabilities": changes}})).unwrap()
    }

    #[test]
    fn capabilities_are_dropped_and_added() {
        let check = |changes: Value, expected: &[&str]| {
            let found = capabilities(&container(&changes));
            let expected: BTreeSet<String> =
                expected.iter().map(|name| format!("CAP_{name}")).collect();
            assert_eq!(found, expected, "{changes}");
        };
        check(json!({}), &GIVEN);
        check(json!({"drop": ["ALL"]}), &[]);
        check(
            json!({"drop": ["all"], "add": ["NET_BIND_SERVICE"]}),
            &["NET_BIND_SERVICE"],
        );
        check(
            json!({"drop": ["CAP_KILL"], "add": ["SYS_CHROOT"]}),
            &[
                "CHOWN",
                "DAC_OVERRIDE",
                "FOWNER",
                "FSETID",
                "NET_BIND_SERVICE",
                "SETFCAP",
                "SETGID",
                "SETUID",
                "SYS_CHROOT",
            ],
        );
    }

    #[test]
    fn what_leads_out_of_a_container_is_refused() {
        let check = |name: &str, expected: bool| {
            let container = container(&json!({"add": [name]}));
            assert_eq!(
                refused_capability(&container, &[]).is_some(),
                expected,
                "{name}"
            );
        };
        for name in ["CHOWN", "CAP_SETPCAP"] {
            check(name, false);
        }
        for name in ["ALL", "NET_ADMIN", "NET_RAW", "SYS_ADMIN", "MKNOD", "BPF"] {
            check(name, true);
        }
    }

    #[test]
    fn the_group_of_files_is_a_group_of_the_containers() {
        let pod: Pod = from_value(json!({"metadata": {}, "spec": {
            "containers": [],
            "securityContext": {"fsGroup": 2000, "supplementalGroups": [7, 2000]},
        }}))
        .unwrap();
        assert_eq!(groups(&pod), Ok(vec![7, 2000]));
        assert_eq!(volumes_group(&pod), Some(2000));
    }
}
