//! Claims of persistent folders. Every claim has one: it is made with the first pod that mounts it and
//! goes with the claim, so that a claim is bound as soon as it is there.

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, PersistentVolumeClaimStatus};

use crate::{
    index::{Index, Key},
    notice::Notice,
    write::{Decision, Write},
};

const BOUND: &str = "Bound";

/// Why a claim is not bound: the field that a folder cannot be as it says, if there is one.
pub fn refused(claim: &PersistentVolumeClaim) -> Option<&'static str> {
    let spec = claim.spec.as_ref()?;
    let named = |value: &Option<String>| value.as_deref().is_some_and(|value| !value.is_empty());
    if spec.volume_mode.as_deref() == Some("Block") {
        Some("spec.volumeMode: volumes of this node are folders, not devices")
    } else if spec.data_source.is_some() || spec.data_source_ref.is_some() {
        Some("spec.dataSource: volumes of this node begin empty")
    } else if named(&spec.volume_name) {
        Some(
            "spec.volumeName: volumes of this node are made with their claims, none is there before",
        )
    } else if spec.selector.is_some() {
        Some("spec.selector: volumes of this node are made with their claims, none is there before")
    } else if spec
        .access_modes
        .iter()
        .flatten()
        .any(|mode| mode == "ReadWriteOncePod")
    {
        Some("spec.accessModes: ReadWriteOncePod: nothing keeps a second pod from a folder")
    } else {
        None
    }
}

/// Says of a claim that it is bound, and what it has of what it asks for.
pub fn bind(index: &Index, key: &Key) -> Decision {
    let mut decision = Decision::default();
    let Some(claim) = index.claims.get(key) else {
        return decision;
    };
    let phase = claim
        .status
        .as_ref()
        .and_then(|status| status.phase.as_deref());
    if phase == Some(BOUND) || claim.metadata.deletion_timestamp.is_some() {
        return decision;
    }
    if let Some(why) = refused(claim) {
        let notice = Notice::warning(&**claim, "ProvisioningFailed", why);
        decision.writes.push(Write::Notice(notice));
        return decision;
    }
    let spec = claim.spec.as_ref();
    let asked = spec.and_then(|spec| spec.resources.as_ref());
    let status = PersistentVolumeClaimStatus {
        phase: Some(BOUND.to_owned()),
        access_modes: spec.and_then(|spec| spec.access_modes.clone()),
        // Nothing holds a folder to a size: it has what was asked for, as far as the disk has it.
        capacity: asked.and_then(|asked| asked.requests.clone()),
        ..PersistentVolumeClaimStatus::default()
    };
    let bound = PersistentVolumeClaim {
        status: Some(status),
        ..PersistentVolumeClaim::clone(claim)
    };
    decision.writes.push(Write::status(&bound));
    decision
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn check(status: &Value) -> Vec<Write> {
        let claim = json!({
            "metadata": {"name": "disk", "namespace": "ns", "uid": "u", "resourceVersion": "1"},
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": "1Gi"}},
            },
            "status": status,
        });
        let mut index = Index::default();
        let claim: PersistentVolumeClaim = serde_json::from_value(claim).unwrap();
        index.apply(claim);
        bind(&index, &Key::new("ns", "disk")).writes
    }

    #[test]
    fn a_claim_that_a_folder_cannot_meet_is_not_bound() {
        for (field, value) in [
            ("volumeMode", json!("Block")),
            (
                "dataSource",
                json!({"kind": "PersistentVolumeClaim", "name": "other"}),
            ),
            ("volumeName", json!("disk-1")),
            ("selector", json!({"matchLabels": {"a": "b"}})),
        ] {
            let claim = json!({
                "metadata": {"name": "disk", "namespace": "ns", "uid": "u"},
                "spec": {field: value},
            });
            let mut index = Index::default();
            index.apply::<PersistentVolumeClaim>(serde_json::from_value(claim).unwrap());
            let writes = bind(&index, &Key::new("ns", "disk")).writes;
            let [Write::Notice(notice)] = writes.as_slice() else {
                panic!("{writes:?}");
            };
            assert!(notice.message.contains(field), "{}", notice.message);
        }
    }

    #[test]
    fn a_claim_is_bound_once() {
        let writes = check(&json!({"phase": "Pending"}));
        let [Write::Status(_, object)] = writes.as_slice() else {
            panic!("{writes:?}");
        };
        assert_eq!(
            object["status"],
            json!({
                "phase": "Bound", "accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"},
            })
        );
        assert!(check(&object["status"]).is_empty());
    }
}
