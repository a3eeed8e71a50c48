//! What is special about namespaces as objects.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    core,
    object::{member_mut, meta_str},
    registry::Served,
    rest::seconds,
};

/// The finalizer by which a namespace waits until it is empty.
const FINALIZER: &str = "kubernetes";

/// Sets what Kubernetes sets on every namespace. `old` is the stored one;
/// `finalizing` says that the request may change `spec.finalizers`.
pub(crate) fn prepare(kind: &Served, object: &mut Value, old: Option<&Value>, finalizing: bool) {
    if *kind.collection != *core::namespaces() {
        return;
    }
    let finalizers = match old {
        None => Some(json!([FINALIZER])),
        Some(_) if finalizing => None,
        Some(old) => Some(
            old.pointer("/spec/finalizers")
                .cloned()
                .unwrap_or_else(|| json!([])),
        ),
    };
    if let Some(finalizers) = finalizers {
        member_mut(object, "spec").insert("finalizers".into(), finalizers);
    }
    let spec = member_mut(object, "spec");
    if spec.get("finalizers") == Some(&json!([])) {
        spec.remove("finalizers");
    }
    let going = !meta_str(object, "deletionTimestamp").is_empty();
    let phase = if going { "Terminating" } else { "Active" };
    member_mut(object, "status").insert("phase".into(), json!(phase));
}

/// What is still in a namespace that is going away.
#[derive(Debug, Default)]
pub(crate) struct Remains {
    /// How many objects there are, by `plural.group`; the core group is an empty word.
    pub(crate) objects: BTreeMap<String, usize>,
    /// How many of them each finalizer holds.
    pub(crate) finalizers: BTreeMap<String, usize>,
}

impl Remains {
    /// Says in the namespace's conditions what it waits for. Returns whether that is news.
    pub(crate) fn tell(&self, namespace: &mut Value, now: Timestamp) -> bool {
        let told = namespace.pointer("/status/conditions").cloned();
        if told.is_none() && self.objects.is_empty() {
            return false;
        }
        let before = |kind: &str| {
            let mut known = told.iter().filter_map(Value::as_array).flatten();
            known.find(|condition| condition["type"] == kind)
        };
        let own = self.conditions();
        let is_own = |condition: &&Value| own.iter().any(|own| condition["type"] == own[0]);
        let others = told.iter().filter_map(Value::as_array).flatten();
        let others = others.filter(|condition| !is_own(condition)).cloned();
        let own = own.iter().map(|[kind, status, reason, message]| {
            let same = before(kind).filter(|condition| condition["status"] == *status);
            let since = same.map_or_else(
                || json!(seconds(now)),
                |condition| condition["lastTransitionTime"].clone(),
            );
            json!({"type": kind, "status": status, "reason": reason, "message": message,
                    "lastTransitionTime": since})
        });
        let conditions: Value = others.chain(own).collect();
        if told.as_ref() == Some(&conditions) {
            return false;
        }
        member_mut(namespace, "status").insert("conditions".into(), conditions);
        true
    }

    /// Type, status, reason and message of each condition, in Kubernetes' words.
    fn conditions(&self) -> [[String; 4]; 5] {
        let list = |counts: &BTreeMap<String, usize>, verb: &str| {
            let each = counts
                .iter()
                .map(|(name, count)| format!("{name} {verb} {count} resource instances"));
            each.collect::<Vec<_>>().join(", ")
        };
        let objects = list(&self.objects, "has");
        let finalizers = list(&self.finalizers, "in");
        let fine = |kind: &str, reason: &str, message: &str| {
            [kind, "False", reason, message].map(str::to_owned)
        };
        let remaining = |kind: &str, reason: &str, message: String| {
            [kind.into(), "True".into(), reason.into(), message]
        };
        [
            fine(
                "NamespaceDeletionDiscoveryFailure",
                "ResourcesDiscovered",
                "All resources successfully discovered",
            ),
            fine(
                "NamespaceDeletionGroupVersionParsingFailure",
                "ParsedGroupVersions",
                "All legacy kube types successfully parsed",
            ),
            fine(
                "NamespaceDeletionContentFailure",
                "ContentDeleted",
                "All content successfully deleted, may be waiting on finalization",
            ),
            if objects.is_empty() {
                fine(
                    "NamespaceContentRemaining",
                    "ContentRemoved",
                    "All content successfully removed",
                )
            } else {
                remaining(
                    "NamespaceContentRemaining",
                    "SomeResourcesRemain",
                    format!("Some resources are remaining: {objects}"),
                )
            },
            if finalizers.is_empty() {
                fine(
                    "NamespaceFinalizersRemaining",
                    "ContentHasNoFinalizers",
                    "All content-preserving finalizers finished",
                )
            } else {
                remaining(
                    "NamespaceFinalizersRemaining",
                    "SomeFinalizersRemain",
                    format!("Some content in the namespace has finalizers remaining: {finalizers}"),
                )
            },
        ]
    }
}

/// Whether nothing holds the namespace object any longer.
pub(crate) fn finalized(object: &Value) -> bool {
    let finalizers = object.pointer("/spec/finalizers").and_then(Value::as_array);
    finalizers.is_none_or(Vec::is_empty)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_says_what_it_waits_for() {
        let (first, later) = (Timestamp::UNIX_EPOCH, Timestamp::MAX);
        let mut namespace = json!({"status": {"phase": "Terminating"}});
        assert!(!Remains::default().tell(&mut namespace, first));
        let held = Remains {
            objects: BTreeMap::from([("configmaps.".into(), 1)]),
            finalizers: BTreeMap::from([("example.com/hold".into(), 1)]),
        };
        assert!(held.tell(&mut namespace, first));
        assert!(!held.tell(&mut namespace, later), "the same is no news");
        let waits = &namespace["status"]["conditions"][4];
        assert_eq!(waits["status"], "True");
        assert_eq!(
            waits["message"],
            "Some content in the namespace has finalizers remaining: example.com/hold in 1 resource instances"
        );
        assert!(Remains::default().tell(&mut namespace, first));
        assert_eq!(namespace["status"]["conditions"][4]["status"], "False");
    }

    #[test]
    fn conditions_of_others_stay() {
        let other = json!({"type": "Other", "status": "True"});
        let mut namespace = json!({"status": {"conditions": [other]}});
        assert!(Remains::default().tell(&mut namespace, Timestamp::UNIX_EPOCH));
        assert_eq!(namespace["status"]["conditions"][0], other);
    }
}
