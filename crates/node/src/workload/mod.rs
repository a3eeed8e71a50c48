//! The controllers a cluster has built in, as pure functions of what was observed: from Deployments,
//! stateful sets, jobs and cron jobs to pods. They behave as Kubernetes' own, so that what works
//! here works there.

pub mod adopt;
pub mod conditions;
pub mod cron;
pub mod cronjob;
pub mod daemonset;
pub mod deployment;
pub mod job;
pub mod replicaset;
pub mod rollout;
pub mod statefulset;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::{
    api::core::v1::{Pod, PodTemplateSpec},
    apimachinery::pkg::{
        apis::meta::v1::{ObjectMeta, OwnerReference},
        util::intstr::IntOrString,
    },
};
use serde::Serialize;

use crate::index::Kept;

/// The letters of generated names: no vowels, so that no words come out.
const LETTERS: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

/// The label that tells the pods of one replica set from those of its siblings.
pub const TEMPLATE_HASH: &str = "pod-template-hash";

/// The reference with which `owner` controls what it makes.
pub fn owned_by<K: Kept>(owner: &K) -> OwnerReference {
    let meta = owner.metadata();
    OwnerReference {
        api_version: K::api_version(&()).into_owned(),
        kind: K::kind(&()).into_owned(),
        name: meta.name.clone().unwrap_or_default(),
        uid: meta.uid.clone().unwrap_or_default(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }
}

/// A pod of `owner` as its template says.
pub fn pod_of<K: Kept>(owner: &K, template: &PodTemplateSpec, name: String) -> Pod {
    let given = template.metadata.clone().unwrap_or_default();
    Pod {
        metadata: ObjectMeta {
            name: Some(name),
            namespace: owner.metadata().namespace.clone(),
            labels: given.labels,
            annotations: given.annotations,
            finalizers: given.finalizers,
            owner_references: Some(vec![owned_by(owner)]),
            ..ObjectMeta::default()
        },
        spec: template.spec.clone(),
        status: None,
    }
}

/// FNV-1a, 32 bits.
pub(crate) fn fnv(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
    })
}

/// The hash of a pod template as it stands in names and labels.
pub fn template_hash(template: &impl Serialize, collisions: i32) -> String {
    let mut bytes = serde_json::to_vec(template).unwrap_or_default();
    if collisions > 0 {
        bytes.extend(collisions.to_le_bytes());
    }
    fnv(&bytes).to_string().bytes().map(letter).collect()
}

/// Five letters for the name of the `nth` object that `owner` makes at `now`.
pub fn suffix(owner: &ObjectMeta, now: Timestamp, nth: i32) -> String {
    let seed = format!(
        "{}/{}/{nth}",
        owner.uid.as_deref().unwrap_or_default(),
        now.as_nanosecond()
    );
    let mut rest = fnv(seed.as_bytes());
    (0..5)
        .map(|_| {
            let digit = u8::try_from(rest % 27).unwrap_or_default();
            rest /= 27;
            letter(digit)
        })
        .collect()
}

/// A letter for a digit, as Kubernetes encodes hashes.
fn letter(byte: u8) -> char {
    char::from(LETTERS[usize::from(byte) % LETTERS.len()])
}

/// The name a generated one begins with, short enough for what follows.
pub fn prefix(name: &str) -> &str {
    name.get(..57).unwrap_or(name)
}

fn phase(pod: &Pod) -> &str {
    pod.status
        .as_ref()
        .and_then(|status| status.phase.as_deref())
        .unwrap_or("Pending")
}

/// Whether a pod has ended well.
pub fn has_succeeded(pod: &Pod) -> bool {
    phase(pod) == "Succeeded"
}

/// Whether a pod has ended badly.
pub fn has_failed(pod: &Pod) -> bool {
    phase(pod) == "Failed"
}

/// Whether a pod has ended.
pub fn has_ended(pod: &Pod) -> bool {
    has_succeeded(pod) || has_failed(pod)
}

/// Whether a pod runs or will.
pub fn is_active(pod: &Pod) -> bool {
    !has_ended(pod) && pod.metadata.deletion_timestamp.is_none()
}

/// Since when a pod is ready.
pub fn ready_since(pod: &Pod) -> Option<Timestamp> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    let ready = conditions
        .iter()
        .find(|c| c.type_ == "Ready" && c.status == "True")?;
    Some(
        ready
            .last_transition_time
            .as_ref()
            .map_or(Timestamp::UNIX_EPOCH, |time| time.0),
    )
}

/// From when on a pod counts as available, if it stays ready.
pub fn available_from(pod: &Pod, min_ready_seconds: Option<i32>) -> Option<Timestamp> {
    let wait = SignedDuration::from_secs(i64::from(min_ready_seconds.unwrap_or_default()));
    ready_since(pod).map(|since| since.checked_add(wait).unwrap_or(Timestamp::MAX))
}

/// When an object was made.
pub fn created(meta: &ObjectMeta) -> Timestamp {
    meta.creation_timestamp
        .as_ref()
        .map_or(Timestamp::UNIX_EPOCH, |time| time.0)
}

/// A time so many seconds later.
pub fn after(time: Timestamp, seconds: i64) -> Timestamp {
    time.checked_add(SignedDuration::from_secs(seconds))
        .unwrap_or(Timestamp::MAX)
}

/// A number, or a percentage of `total`.
pub fn scaled(value: Option<&IntOrString>, total: i32, round_up: bool) -> Option<i32> {
    match value? {
        IntOrString::Int(number) => Some(*number),
        IntOrString::String(text) => {
            let percent: i64 = text.strip_suffix('%')?.trim().parse().ok()?;
            let product = i64::from(total) * percent;
            let rounded = if round_up {
                (product + 99) / 100
            } else {
                product / 100
            };
            i32::try_from(rounded).ok()
        }
    }
}

/// Length of a list as Kubernetes counts.
pub fn count(length: usize) -> i32 {
    i32::try_from(length).unwrap_or(i32::MAX)
}

#[cfg(test)]
pub(crate) mod tests {
    use k8s_openapi::{
        api::core::v1::{PodCondition, PodStatus},
        apimachinery::pkg::apis::meta::v1::Time,
    };

    use super::*;

    pub(crate) fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    pub(crate) fn with_phase(mut pod: Pod, phase: &str, ready: Option<Timestamp>) -> Pod {
        pod.status = Some(PodStatus {
            phase: Some(phase.into()),
            conditions: ready.map(|since| {
                vec![PodCondition {
                    type_: "Ready".into(),
                    status: "True".into(),
                    last_transition_time: Some(Time(since)),
                    ..PodCondition::default()
                }]
            }),
            ..PodStatus::default()
        });
        pod
    }

    #[test]
    fn names_are_stable_and_of_kubernetes_letters() {
        let template = PodTemplateSpec::default();
        assert_eq!(template_hash(&template, 0), template_hash(&template, 0));
        assert_ne!(template_hash(&template, 0), template_hash(&template, 1));
        let meta = ObjectMeta {
            uid: Some("u".into()),
            ..ObjectMeta::default()
        };
        let now = at("2026-01-01T00:00:00Z");
        assert_eq!(suffix(&meta, now, 0).len(), 5);
        assert_ne!(suffix(&meta, now, 0), suffix(&meta, now, 1));
    }

    #[test]
    fn percentages_round_as_asked() {
        let quarter = IntOrString::String("25%".into());
        assert_eq!(scaled(Some(&quarter), 3, true), Some(1));
        assert_eq!(scaled(Some(&quarter), 3, false), Some(0));
        assert_eq!(scaled(Some(&IntOrString::Int(2)), 3, false), Some(2));
        assert_eq!(scaled(None, 3, false), None);
    }
}
