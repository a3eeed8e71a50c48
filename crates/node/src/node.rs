//! The Node object: one, always ready while the platform runs; every pod is placed on it.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use k8s_openapi::{
    api::core::v1::{
        Node, NodeAddress, NodeCondition, NodeStatus, NodeSystemInfo, Pod, PodCondition,
    },
    apimachinery::pkg::{
        api::resource::Quantity,
        apis::meta::v1::{ObjectMeta, Time},
    },
};
use kube::{
    Api, Client,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::json;
use tokio::sync::watch;

use crate::{
    index::{Index, Key},
    machine::Info,
    write::{Decision, Write, is},
};

/// What a node has for its pods.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Capacity {
    /// Thousandths of processors.
    pub cpu_millis: u64,
    /// Bytes of memory.
    pub memory: u64,
}

impl Capacity {
    /// What this machine has.
    pub fn of_this_machine() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let told = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
        Self {
            cpu_millis: u64::try_from(cores).unwrap_or(1) * 1000,
            memory: memory(&told).unwrap_or_default(),
        }
    }
}

/// The memory in bytes that the kernel's table tells.
fn memory(table: &str) -> Option<u64> {
    let total = table
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kilobytes: u64 = total.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes << 10)
}

/// How often the node says that it is there. Its status is written by the process that serves the
/// API, so nothing depends on this more often.
const HEARTBEAT: Duration = Duration::from_mins(5);

/// Places a pod that has no node yet.
pub fn place(index: &Index, key: &Key, node: &str) -> Decision {
    let mut decision = Decision::default();
    let Some(pod) = index.pods.get(key) else {
        return decision;
    };
    let unplaced = pod
        .spec
        .as_ref()
        .is_some_and(|spec| spec.node_name.is_none());
    if unplaced && pod.metadata.deletion_timestamp.is_none() {
        let write = match gated(pod) {
            Some(held) => {
                (pod.status.as_ref() != held.status.as_ref()).then(|| Write::status(&held))
            }
            None => Some(Write::merge(&**pod, json!({"spec": {"nodeName": node}}))),
        };
        decision.writes.extend(write);
    } else if unplaced {
        decision.writes.push(Write::remove(&**pod));
    }
    decision
}

/// A pod that is not to be placed yet, because somebody keeps a gate of it closed, with a status that says
/// so.
fn gated(pod: &Pod) -> Option<Pod> {
    let gates = pod.spec.as_ref()?.scheduling_gates.as_ref()?;
    let names: Vec<&str> = gates.iter().map(|gate| gate.name.as_str()).collect();
    if names.is_empty() {
        return None;
    }
    let mut held = pod.clone();
    let status = held.status.get_or_insert_default();
    status.phase.get_or_insert_with(|| "Pending".to_owned());
    let conditions = status.conditions.get_or_insert_default();
    conditions.retain(|one| one.type_ != "PodScheduled");
    conditions.push(PodCondition {
        type_: "PodScheduled".to_owned(),
        status: "False".to_owned(),
        reason: Some("SchedulingGated".to_owned()),
        message: Some(format!(
            "Scheduling is blocked due to non-empty scheduling gates: {}",
            names.join(", ")
        )),
        ..PodCondition::default()
    });
    Some(held)
}

/// What a node says of itself.
#[derive(Debug, Clone)]
pub struct Announced {
    /// Its name.
    pub name: String,
    /// Its machine.
    pub info: Info,
    /// How many pods it takes.
    pub max_pods: u32,
}

impl Announced {
    /// What a node of this name says.
    pub fn new(name: &str, info: Info, max_pods: u32) -> Self {
        Self {
            name: name.to_owned(),
            info,
            max_pods,
        }
    }
}

/// Keeps the Node object, for ever. What `pressure` says of its disk is told at once.
pub async fn keep(
    client: Client,
    announced: Announced,
    mut pressure: watch::Receiver<Option<String>>,
) {
    let api: Api<Node> = Api::all(client);
    loop {
        let pressed = pressure.borrow_and_update().clone();
        let wait = match announce(&api, &announced, pressed.as_deref()).await {
            Ok(()) => HEARTBEAT,
            Err(error) => {
                tracing::warn!(%error, "the node cannot announce itself");
                Duration::from_secs(1)
            }
        };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            Ok(()) = pressure.changed() => {}
        }
    }
}

async fn announce(
    api: &Api<Node>,
    announced: &Announced,
    pressed: Option<&str>,
) -> kube::Result<()> {
    let name = announced.name.as_str();
    let labels = BTreeMap::from([
        ("kubernetes.io/hostname".to_owned(), name.to_owned()),
        ("kubernetes.io/os".to_owned(), "linux".to_owned()),
        ("kubernetes.io/arch".to_owned(), architecture().to_owned()),
    ]);
    let node = Node {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            labels: Some(labels),
            ..ObjectMeta::default()
        },
        ..Node::default()
    };
    let made = api.create(&PostParams::default(), &node).await;
    if !is(&made, "AlreadyExists") {
        made?;
    }
    let known = api.get_status(name).await?.status;
    let status = status(known, announced, pressed);
    let patch = Patch::Merge(json!({"status": status}));
    api.patch_status(name, &PatchParams::default(), &patch)
        .await
        .map(|_| ())
}

fn status(known: Option<NodeStatus>, announced: &Announced, pressed: Option<&str>) -> NodeStatus {
    let Capacity { cpu_millis, memory } = Capacity::of_this_machine();
    let capacity = BTreeMap::from([
        ("cpu".to_owned(), Quantity((cpu_millis / 1000).to_string())),
        ("memory".to_owned(), Quantity(format!("{}Ki", memory >> 10))),
        ("pods".to_owned(), Quantity(announced.max_pods.to_string())),
    ]);
    let known = known
        .and_then(|status| status.conditions)
        .unwrap_or_default();
    NodeStatus {
        addresses: Some(vec![NodeAddress {
            type_: "Hostname".into(),
            address: announced.name.clone(),
        }]),
        allocatable: Some(capacity.clone()),
        capacity: Some(capacity),
        conditions: Some(conditions(
            &known,
            &announced.info,
            pressed,
            Timestamp::now(),
        )),
        node_info: Some(NodeSystemInfo {
            architecture: architecture().to_owned(),
            operating_system: "linux".into(),
            container_runtime_version: format!("choreo://{}", env!("CARGO_PKG_VERSION")),
            kubelet_version: format!("v{}-choreo", env!("CARGO_PKG_VERSION")),
            ..NodeSystemInfo::default()
        }),
        ..NodeStatus::default()
    }
}

/// How the node is, since when it is so.
fn conditions(
    known: &[NodeCondition],
    info: &Info,
    pressed: Option<&str>,
    now: Timestamp,
) -> Vec<NodeCondition> {
    let mut message = format!("the machine runs ({})", info.summary());
    for note in &info.notes {
        message.push_str("; ");
        message.push_str(note);
    }
    let disk = if let Some(left) = pressed {
        let message = format!(
            "the disk is almost full ({left}): images cannot be pulled, and containers fail to \
             write; free some space under the data folder"
        );
        ("DiskPressure", "True", "KubeletHasDiskPressure", message)
    } else {
        let message = "the disk has space".to_owned();
        ("DiskPressure", "False", "KubeletHasNoDiskPressure", message)
    };
    let all = [("Ready", "True", "MachineReady", message), disk];
    let written = all.map(|(kind, status, reason, message)| {
        let same = known
            .iter()
            .find(|one| one.type_ == kind && one.status == status);
        let since = same.and_then(|one| one.last_transition_time.clone());
        NodeCondition {
            type_: kind.to_owned(),
            status: status.to_owned(),
            reason: Some(reason.to_owned()),
            message: Some(message),
            last_heartbeat_time: Some(Time(now)),
            last_transition_time: since.or(Some(Time(now))),
        }
    });
    written.into()
}

/// Says that the machine is gone.
pub async fn lost(client: Client, name: &str) {
    let api: Api<Node> = Api::all(client);
    let now = Time(Timestamp::now());
    let patch = json!({"status": {"conditions": [{
        "type": "Ready", "status": "False", "reason": "MachineLost",
        "message": "the machine ended and every container with it; the platform starts it again",
        "lastHeartbeatTime": now, "lastTransitionTime": now,
    }]}});
    let done = api
        .patch_status(name, &PatchParams::default(), &Patch::Merge(patch))
        .await;
    if let Err(error) = done {
        tracing::warn!(%error, "the loss of the machine cannot be recorded");
    }
}

fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::Mode;

    #[test]
    fn memory_is_read_from_the_kernels_table() {
        let table = "MemTotal:        2048 kB\nMemFree:  1 kB\n";
        assert_eq!(memory(table), Some(2 << 20));
        assert_eq!(memory("Other: 1 kB"), None);
    }

    #[test]
    fn a_full_disk_is_told_and_since_when() {
        let info = Info {
            mode: Mode::Root,
            limits: true,
            user_ids: 1,
            notes: Vec::new(),
        };
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let (first, second) = (at("2026-01-01T00:00:00Z"), at("2026-01-01T00:05:00Z"));
        let calm = conditions(&[], &info, None, first);
        assert_eq!(
            (calm[0].status.as_str(), calm[1].status.as_str()),
            ("True", "False")
        );
        let full = conditions(&calm, &info, Some("1 MiB of 9 MiB are free"), second);
        assert_eq!(full[1].status, "True");
        assert!(full[1].message.as_ref().unwrap().contains("1 MiB of 9 MiB"));
        let since = |one: &NodeCondition| one.last_transition_time.as_ref().unwrap().0;
        assert_eq!((since(&full[0]), since(&full[1])), (first, second));
    }
}
