//! Claims of persistent folders. Every claim has one: it is made with the first pod that mounts it and
//! goes with the claim, so that a claim is bound as soon as it is there.

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, PersistentVolumeClaimStatus};

use crate::{
    index::{Index, Key},
    write::{Decision, Write},
};

const BOUND: &str = "Bound";

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
