//! What a pod asks for that it does without on this node, told so that nobody believes to have it.
//!
//! A pod that would not be what its author means without something is refused ([`super::admit`]); what
//! only makes less of a difference here is in this list. `tests/fields` decides about every field.

use k8s_openapi::api::core::v1::{
    AppArmorProfile, Container, Pod, PodSpec, ResourceRequirements, SELinuxOptions,
};

use super::ephemeral;

/// What is not done for a pod, a sentence each that begins with the field.
pub fn of(pod: &Pod) -> Vec<String> {
    pod.spec.as_ref().map(of_spec).unwrap_or_default()
}

/// [`of`] for the specification of a pod, in a template for example.
pub fn of_spec(spec: &PodSpec) -> Vec<String> {
    let mut all: Vec<String> = placing(spec)
        .into_iter()
        .chain(frame(spec))
        .map(str::to_owned)
        .collect();
    let lists = [
        (
            "initContainers",
            spec.init_containers.as_deref().unwrap_or_default(),
        ),
        ("containers", &spec.containers),
    ];
    for (list, containers) in lists {
        for one in containers {
            let place = format!("spec.{list}[{}]", one.name);
            all.extend(container(one).map(|what| format!("{place}.{what}")));
        }
    }
    all
}

/// What is not done for the ephemeral containers of a pod.
pub fn of_added(pod: &Pod) -> Vec<String> {
    let all = pod.spec.iter().flat_map(ephemeral::of);
    let all = all.flat_map(|one| {
        let place = format!("spec.ephemeralContainers[{}]", one.name);
        let unheeded: Vec<_> = container(&one).collect();
        unheeded
            .into_iter()
            .map(move |what| format!("{place}.{what}"))
    });
    all.collect()
}

/// Where a pod may run: there is one place.
fn placing(spec: &PodSpec) -> Vec<&'static str> {
    let affinity = spec.affinity.clone().unwrap_or_default();
    let node = affinity.node_affinity.unwrap_or_default();
    let with = affinity.pod_affinity.unwrap_or_default();
    let apart = affinity.pod_anti_affinity.unwrap_or_default();
    let elsewhere = spec.node_selector.iter().flatten();
    let mut elsewhere = elsewhere.filter(|(label, value)| !is_everywhere(label, value));
    let scheduler = spec.scheduler_name.as_deref().unwrap_or(SCHEDULER);
    let table = [
        (
            elsewhere.next().is_some(),
            "spec.nodeSelector: there is one node, on which every pod runs",
        ),
        (
            node.required_during_scheduling_ignored_during_execution
                .is_some(),
            "spec.affinity.nodeAffinity: there is one node, on which every pod runs",
        ),
        (
            with.required_during_scheduling_ignored_during_execution
                .is_some(),
            "spec.affinity.podAffinity: there is one node, on which every pod runs",
        ),
        (
            apart
                .required_during_scheduling_ignored_during_execution
                .is_some(),
            "spec.affinity.podAntiAffinity: there is one node, on which every pod runs",
        ),
        (
            scheduler != SCHEDULER && !scheduler.is_empty(),
            "spec.schedulerName: there is one node, and nobody else is asked to place pods",
        ),
    ];
    chosen(&table)
}

const SCHEDULER: &str = "default-scheduler";

/// Whether a label says of nodes what is so of every node that could run the pod.
fn is_everywhere(label: &str, value: &str) -> bool {
    label == "kubernetes.io/os" && value == "linux"
}

fn frame(spec: &PodSpec) -> Vec<&'static str> {
    let context = spec.security_context.clone().unwrap_or_default();
    let table = [
        (
            spec.dns_policy.as_deref() == Some("Default"),
            "spec.dnsPolicy: pods ask the name server of their cell; it asks those of the host for pods \
             that may leave the cell",
        ),
        (
            spec.resources.as_ref().is_some_and(has_any),
            "spec.resources: only the resources of containers are limited",
        ),
        (
            is_labelled(context.app_armor_profile.as_ref()),
            "spec.securityContext.appArmorProfile: this node loads no profile of AppArmor",
        ),
        (
            is_set(context.se_linux_options.as_ref()),
            "spec.securityContext.seLinuxOptions: this node sets no label of SELinux",
        ),
        (
            context.windows_options.is_some(),
            "spec.securityContext.windowsOptions: this node runs Linux",
        ),
        (
            context.supplemental_groups_policy.as_deref() == Some("Merge"),
            "spec.securityContext.supplementalGroupsPolicy: groups of the image are not added",
        ),
    ];
    chosen(&table)
}

fn container(container: &Container) -> impl Iterator<Item = &'static str> {
    let context = container.security_context.clone().unwrap_or_default();
    let mut ports = container.ports.iter().flatten();
    let table = [
        (
            ports.any(|port| port.host_port.is_some_and(|port| port != 0)),
            "ports.hostPort: the host's ports are not the pods'; a Gateway leads to them",
        ),
        (
            context.allow_privilege_escalation == Some(true),
            "securityContext.allowPrivilegeEscalation: privileges are never gained on this node",
        ),
        (
            is_labelled(context.app_armor_profile.as_ref()),
            "securityContext.appArmorProfile: this node loads no profile of AppArmor",
        ),
        (
            is_set(context.se_linux_options.as_ref()),
            "securityContext.seLinuxOptions: this node sets no label of SELinux",
        ),
        (
            context.windows_options.is_some(),
            "securityContext.windowsOptions: this node runs Linux",
        ),
    ];
    chosen(&table).into_iter()
}

fn chosen(table: &[(bool, &'static str)]) -> Vec<&'static str> {
    let wanted = table.iter().filter(|(wanted, _)| *wanted);
    wanted.map(|(_, what)| *what).collect()
}

fn has_any(resources: &ResourceRequirements) -> bool {
    let amounts = [&resources.limits, &resources.requests];
    amounts.into_iter().flatten().any(|all| !all.is_empty())
}

fn is_labelled(profile: Option<&AppArmorProfile>) -> bool {
    profile.is_some_and(|profile| profile.type_ == "Localhost")
}

fn is_set(options: Option<&SELinuxOptions>) -> bool {
    options.is_some_and(|options| *options != SELinuxOptions::default())
}
