//! The claims of a stateful set's pods: one per template and ordinal, made before the pod, found again
//! by the next pod of that ordinal, and kept or deleted as the set's retention policy says.

use k8s_openapi::{
    api::{
        apps::v1::StatefulSet,
        core::v1::{
            PersistentVolumeClaim, PersistentVolumeClaimVolumeSource, Pod, PodSpec, Volume,
        },
    },
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference},
};

use super::super::{adopt::hand_over, owned_by};
use crate::{
    index::Index,
    write::{Decision, Write},
};

/// When claims are deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Retention {
    with_set: bool,
    with_pod: bool,
}

impl Retention {
    pub(super) fn of(set: &StatefulSet) -> Self {
        let policy = set
            .spec
            .as_ref()
            .and_then(|spec| spec.persistent_volume_claim_retention_policy.as_ref());
        let deletes = |one: Option<&String>| one.is_some_and(|one| one == "Delete");
        Self {
            with_set: deletes(policy.and_then(|policy| policy.when_deleted.as_ref())),
            with_pod: deletes(policy.and_then(|policy| policy.when_scaled.as_ref())),
        }
    }
}

fn templates(set: &StatefulSet) -> impl Iterator<Item = &PersistentVolumeClaim> {
    let spec = set.spec.as_ref();
    spec.into_iter()
        .flat_map(|spec| spec.volume_claim_templates.iter().flatten())
}

fn name(template: &PersistentVolumeClaim, set: &StatefulSet, ordinal: i32) -> String {
    let template = template.metadata.name.as_deref().unwrap_or_default();
    let set = set.metadata.name.as_deref().unwrap_or_default();
    format!("{template}-{set}-{ordinal}")
}

/// Whether a claim may be one of this set, as its name tells.
pub(super) fn may_be_of(set: &StatefulSet, claim: &str) -> bool {
    let own = set.metadata.name.as_deref().unwrap_or_default();
    templates(set).any(|template| {
        let template = template.metadata.name.as_deref().unwrap_or_default();
        let ordinal = claim.strip_prefix(&format!("{template}-{own}-"));
        ordinal.is_some_and(|ordinal| ordinal.parse::<i32>().is_ok())
    })
}

/// Puts the claims of an ordinal in the place of volumes of the same name.
pub(super) fn mount(set: &StatefulSet, ordinal: i32, spec: &mut PodSpec) {
    let claims: Vec<Volume> = templates(set)
        .map(|template| Volume {
            name: template.metadata.name.clone().unwrap_or_default(),
            persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
                claim_name: name(template, set, ordinal),
                read_only: Some(false),
            }),
            ..Volume::default()
        })
        .collect();
    if claims.is_empty() {
        return;
    }
    let volumes = spec.volumes.get_or_insert_default();
    volumes.retain(|volume| claims.iter().all(|claim| claim.name != volume.name));
    volumes.extend(claims);
}

/// Makes the claims of an ordinal. `false` while one of an earlier pod is still on its way out.
pub(super) fn make(
    index: &Index,
    set: &StatefulSet,
    ordinal: i32,
    decision: &mut Decision,
) -> bool {
    let namespace = set.metadata.namespace.as_deref().unwrap_or_default();
    let mut there = true;
    for template in templates(set) {
        let name = name(template, set, ordinal);
        match index.claims.find(namespace, &name) {
            Some(known) => there &= known.metadata.deletion_timestamp.is_none(),
            None => decision
                .writes
                .push(Write::create(&claim(set, template, name))),
        }
    }
    there
}

fn claim(
    set: &StatefulSet,
    template: &PersistentVolumeClaim,
    name: String,
) -> PersistentVolumeClaim {
    let mut labels = template.metadata.labels.clone().unwrap_or_default();
    let selector = set.spec.as_ref().map(|spec| &spec.selector);
    let wanted = selector.and_then(|selector| selector.match_labels.clone());
    labels.extend(wanted.unwrap_or_default());
    PersistentVolumeClaim {
        metadata: ObjectMeta {
            name: Some(name),
            namespace: set.metadata.namespace.clone(),
            labels: Some(labels),
            annotations: template.metadata.annotations.clone(),
            owner_references: owner(set, None).map(|owner| vec![owner]),
            ..ObjectMeta::default()
        },
        spec: template.spec.clone(),
        status: None,
    }
}

/// Whose end a claim ends with: that of a pod which is no longer wanted, of the set, or of nobody.
fn owner(set: &StatefulSet, condemned: Option<&Pod>) -> Option<OwnerReference> {
    let policy = Retention::of(set);
    let plain = |mut owner: OwnerReference| {
        // They end with it; it does not control them, and need not wait for them.
        owner.controller = None;
        owner.block_owner_deletion = None;
        owner
    };
    match condemned {
        Some(pod) if policy.with_pod => Some(plain(owned_by(pod))),
        _ if policy.with_set => Some(plain(owned_by(set))),
        _ => None,
    }
}

/// Ties the claims of an ordinal to whom they end with; `condemned` is its pod once it has to go.
pub(super) fn tie(
    index: &Index,
    set: &StatefulSet,
    (ordinal, condemned): (i32, Option<&Pod>),
    decision: &mut Decision,
) {
    let namespace = set.metadata.namespace.as_deref().unwrap_or_default();
    let wanted = owner(set, condemned);
    for template in templates(set) {
        let Some(claim) = index.claims.find(namespace, &name(template, set, ordinal)) else {
            continue;
        };
        let known = claim.metadata.owner_references.clone().unwrap_or_default();
        let ours = |one: &OwnerReference| {
            let pod = format!(
                "{}-{ordinal}",
                set.metadata.name.as_deref().unwrap_or_default()
            );
            Some(&one.uid) == set.metadata.uid.as_ref() || one.kind == "Pod" && one.name == pod
        };
        let mut owners: Vec<_> = known.iter().filter(|one| !ours(one)).cloned().collect();
        owners.extend(wanted.clone());
        if owners != known {
            decision.writes.push(hand_over(&**claim, &owners));
        }
    }
}
