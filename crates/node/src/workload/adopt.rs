//! Which objects a controller has: it takes in those without one that its selector takes, and lets go
//! of its own that the selector does not take any more.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, OwnerReference};
use serde_json::json;

use super::owned_by;
use crate::{
    index::{Index, Kept, controller},
    service::selects,
    write::{Decision, Write},
};

/// Takes in and lets go of objects. They count from the moment the write is seen.
pub fn adopt<O: Kept, K: Kept>(
    index: &Index,
    owner: &O,
    selector: &LabelSelector,
    decision: &mut Decision,
) {
    if is_empty(selector) {
        return;
    }
    let uid = owner.metadata().uid.as_deref();
    let namespace = owner.metadata().namespace.as_deref().unwrap_or_default();
    for object in K::all(index).within(namespace) {
        let meta = object.metadata();
        if meta.deletion_timestamp.is_some() {
            continue;
        }
        let taken = selects(selector, &meta.labels);
        let known = || meta.owner_references.iter().flatten().cloned();
        match controller(meta) {
            None if taken => {
                let owners: Vec<_> = known().chain([owned_by(owner)]).collect();
                decision.writes.push(hand_over(&**object, &owners));
            }
            Some(own) if !taken && Some(own.uid.as_str()) == uid => {
                let owners: Vec<_> = known().filter(|one| one.uid != own.uid).collect();
                decision.writes.push(hand_over(&**object, &owners));
            }
            _ => {}
        }
    }
}

/// Whether a controller without this selector would take everything there is.
fn is_empty(selector: &LabelSelector) -> bool {
    selector
        .match_labels
        .as_ref()
        .is_none_or(std::collections::BTreeMap::is_empty)
        && selector
            .match_expressions
            .as_ref()
            .is_none_or(Vec::is_empty)
}

/// Sets the owners of an object, unless it has changed meanwhile.
pub fn hand_over<K: Kept>(object: &K, owners: &[OwnerReference]) -> Write {
    let meta = object.metadata();
    let mut patch = json!({"metadata": {"ownerReferences": owners}});
    if let Some(version) = &meta.resource_version {
        patch["metadata"]["resourceVersion"] = json!(version);
    }
    Write::merge(object, patch)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::{apps::v1::ReplicaSet, core::v1::Pod};
    use serde_json::{Value, from_value};

    use super::*;

    fn check(labels: &Value, owner: Option<&str>, expected: Option<&[&str]>) {
        let set: ReplicaSet = from_value(json!({
            "metadata": {"name": "web", "namespace": "ns", "uid": "web"},
            "spec": {"selector": {"matchLabels": {"app": "web"}}},
        }))
        .unwrap();
        let owners = owner.map(|uid| {
            json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": uid, "uid": uid, "controller": true}])
        });
        let pod: Pod = from_value(json!({"metadata": {
            "name": "p", "namespace": "ns", "uid": "p", "labels": labels, "ownerReferences": owners,
        }}))
        .unwrap();
        let mut index = Index::default();
        index.apply(pod);
        let mut decision = Decision::default();
        let selector = set.spec.as_ref().unwrap().selector.clone();
        adopt::<_, Pod>(&index, &set, &selector, &mut decision);
        let found = decision.writes.into_iter().next().map(|write| {
            let Write::Merge(_, patch) = write else {
                panic!("{write:?}");
            };
            let owners = patch["metadata"]["ownerReferences"].as_array().cloned();
            let uids = owners.unwrap().into_iter().map(|one| one["uid"].clone());
            Value::Array(uids.collect())
        });
        assert_eq!(
            found,
            expected.map(|uids| json!(uids)),
            "{labels} {owner:?}"
        );
    }

    #[test]
    fn orphans_are_taken_in_and_strangers_let_go() {
        let (web, other) = (json!({"app": "web"}), json!({"app": "other"}));
        check(&web, None, Some(&["web"]));
        check(&web, Some("web"), None);
        check(&web, Some("another"), None);
        check(&other, None, None);
        check(&other, Some("web"), Some(&[]));
        check(&other, Some("another"), None);
    }
}
