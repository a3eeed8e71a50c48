//! What cells refused their components, told by events of their pods, and what each of those would have to
//! declare to be let through.

mod draw;
mod suggest;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use choreo_model::{Environment, ReleaseBinding, Workload, labels};
use choreo_node::gateway::EGRESS_CLASS;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::{
    Api, Client,
    api::{DynamicObject, ListParams},
};
use serde::Serialize;
use serde_json::Value;

use self::suggest::{Attempt, Caller, World};
pub(crate) use self::{draw::text, suggest::Suggestion};
use crate::{failure::Result, kinds, store, tree::Snapshot};

/// The reasons of the events, as the node writes them.
const REASONS: [&str; 2] = ["FlowDenied", "NameDenied"];
/// What begins the names of their annotations.
const PREFIX: &str = "node.choreo.dev/";

/// Something that was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Refused {
    /// The reason of the events.
    pub(crate) reason: String,
    /// What was tried: an address or a name.
    pub(crate) to: String,
    /// How often.
    pub(crate) times: i64,
    /// When it was tried first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) first: Option<Timestamp>,
    /// When it was tried last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) last: Option<Timestamp>,
    /// What would allow it.
    pub(crate) suggestion: Suggestion,
}

/// Whether a warning, `REASON: MESSAGE`, is of something that was refused.
pub(crate) fn is_told(warning: &str) -> bool {
    let reason = warning.split(':').next();
    reason.is_some_and(|reason| REASONS.contains(&reason))
}

/// What was refused, by project, line of a component and environment.
pub(crate) type ByBinding = BTreeMap<(String, String, String), Vec<Refused>>;

/// The key of a binding.
pub(crate) fn key(binding: &ReleaseBinding) -> (String, String, String) {
    let owner = &binding.spec.owner;
    (
        owner.project_name.clone(),
        owner.line().into_owned(),
        binding.spec.environment.clone(),
    )
}

/// Reads what was refused the pods of a snapshot.
pub(crate) async fn collect(
    client: &Client,
    namespace: &str,
    snapshot: &Snapshot,
) -> Result<ByBinding> {
    let api: Api<Event> = Api::all(client.clone());
    let mut events = Vec::new();
    for reason in REASONS {
        let selector = ListParams::default().fields(&format!("reason={reason}"));
        events.extend(api.list(&selector).await?.items);
    }
    if events.is_empty() {
        return Ok(ByBinding::new());
    }
    let workloads: Vec<Workload> = store::list(client, namespace).await?;
    let environments: Vec<Environment> = store::list(client, namespace).await?;
    let gateways = Api::<DynamicObject>::all_with(client.clone(), &kinds::gateways());
    let gateways = ways_out(&gateways.list(&ListParams::default()).await?.items);
    let world = World {
        pods: &snapshot.pods,
        gateways: &gateways,
        workloads: &workloads,
        environments: &environments,
    };
    Ok(sorted(&events, &world))
}

/// The addresses of the Gateways that lead out of cells.
fn ways_out(gateways: &[DynamicObject]) -> BTreeSet<IpAddr> {
    let leading = gateways
        .iter()
        .map(|one| &one.data)
        .filter(|data| data["spec"]["gatewayClassName"] == EGRESS_CLASS);
    let addresses = leading.filter_map(|data| data["status"]["addresses"].as_array());
    let addresses = addresses.flatten().map(|address| &address["value"]);
    addresses
        .filter_map(Value::as_str)
        .filter_map(|address| address.parse().ok())
        .collect()
}

/// What events tell of the pods that are there: what pods are told that are gone was another deployment's.
fn sorted(events: &[Event], world: &World<'_>) -> ByBinding {
    let mut found: BTreeMap<(Caller<'_>, Attempt<'_>), Refused> = BTreeMap::new();
    for event in events {
        let subject = &event.involved_object;
        let pod = world.pods.iter().find(|pod| {
            let metadata = &pod.metadata;
            metadata.uid.is_some() && metadata.uid == subject.uid
        });
        let (Some(caller), Some(attempt)) = (pod.and_then(caller), attempt(event)) else {
            continue;
        };
        let times = i64::from(event.count.unwrap_or(1));
        let first = event.first_timestamp.as_ref().map(|time| time.0);
        let last = event.last_timestamp.as_ref().map(|time| time.0);
        found
            .entry((caller, attempt))
            .and_modify(|known| {
                known.times += times;
                known.first = [known.first, first].into_iter().flatten().min();
                known.last = known.last.max(last);
            })
            .or_insert_with(|| Refused {
                reason: event.reason.clone().unwrap_or_default(),
                to: suggest::target(world, &attempt),
                times,
                first,
                last,
                suggestion: suggest::suggest(world, &caller, &attempt),
            });
    }
    let mut by_binding = ByBinding::new();
    for ((caller, _), refused) in found {
        let of = [caller.project, caller.line, caller.environment].map(str::to_owned);
        by_binding.entry(of.into()).or_default().push(refused);
    }
    for list in by_binding.values_mut() {
        list.sort_by(|one, other| other.last.cmp(&one.last).then(one.to.cmp(&other.to)));
    }
    by_binding
}

/// The line of a component that a pod is of.
fn caller(pod: &Pod) -> Option<Caller<'_>> {
    let labels = pod.metadata.labels.as_ref()?;
    let label = |key: &str| labels.get(key).map(String::as_str);
    Some(Caller {
        project: label(labels::PROJECT)?,
        line: label(labels::COMPONENT)?,
        environment: label(labels::ENVIRONMENT)?,
    })
}

/// What a pod tried that could be allowed; what it refused itself is told by whoever tried.
fn attempt(event: &Event) -> Option<Attempt<'_>> {
    let annotations = event.metadata.annotations.as_ref()?;
    let say = |key: &str| {
        let found = annotations.get(&format!("{PREFIX}{key}"));
        found.map(String::as_str)
    };
    if let Some(name) = say("name") {
        return Some(Attempt::Name(name));
    }
    if say("direction") != Some("egress") {
        return None;
    }
    let port = say("port").and_then(|port| port.parse().ok());
    if let Some(host) = say("host") {
        return Some(Attempt::Host { host, port: port? });
    }
    Some(Attempt::Flow {
        address: say("peer-address")?.parse().ok()?,
        port: say("protocol").zip(port),
        pod: say("peer-namespace").zip(say("peer-pod")),
    })
}

#[cfg(test)]
mod tests;
