//! The Node object: one, always ready while the platform runs; every pod is placed on it.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use k8s_openapi::{
    api::core::v1::{Node, NodeAddress, NodeCondition, NodeStatus, NodeSystemInfo},
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
        decision
            .writes
            .push(Write::merge(&**pod, json!({"spec": {"nodeName": node}})));
    } else if unplaced {
        decision.writes.push(Write::remove(&**pod));
    }
    decision
}

/// Keeps the Node object, for ever.
pub async fn keep(client: Client, name: String, info: Info, max_pods: u32) {
    let api: Api<Node> = Api::all(client);
    loop {
        let wait = match announce(&api, &name, &info, max_pods).await {
            Ok(()) => HEARTBEAT,
            Err(error) => {
                tracing::warn!(%error, "the node cannot announce itself");
                Duration::from_secs(1)
            }
        };
        tokio::time::sleep(wait).await;
    }
}

async fn announce(api: &Api<Node>, name: &str, info: &Info, max_pods: u32) -> kube::Result<()> {
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
    let status = status(known, name, info, max_pods);
    let patch = Patch::Merge(json!({"status": status}));
    api.patch_status(name, &PatchParams::default(), &patch)
        .await
        .map(|_| ())
}

fn status(known: Option<NodeStatus>, name: &str, info: &Info, max_pods: u32) -> NodeStatus {
    let now = Time(Timestamp::now());
    let since = known
        .and_then(|status| status.conditions?.into_iter().find(|c| c.type_ == "Ready"))
        .and_then(|ready| ready.last_transition_time);
    let Capacity { cpu_millis, memory } = Capacity::of_this_machine();
    let capacity = BTreeMap::from([
        ("cpu".to_owned(), Quantity((cpu_millis / 1000).to_string())),
        ("memory".to_owned(), Quantity(format!("{}Ki", memory >> 10))),
        ("pods".to_owned(), Quantity(max_pods.to_string())),
    ]);
    let mut message = format!("the machine runs ({})", info.summary());
    for note in &info.notes {
        message.push_str("; ");
        message.push_str(note);
    }
    NodeStatus {
        addresses: Some(vec![NodeAddress {
            type_: "Hostname".into(),
            address: name.to_owned(),
        }]),
        allocatable: Some(capacity.clone()),
        capacity: Some(capacity),
        conditions: Some(vec![NodeCondition {
            type_: "Ready".into(),
            status: "True".into(),
            reason: Some("MachineReady".into()),
            message: Some(message),
            last_heartbeat_time: Some(now.clone()),
            last_transition_time: since.or(Some(now)),
        }]),
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
