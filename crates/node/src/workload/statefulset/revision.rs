//! Revisions of a stateful set: its templates, kept as objects, so that pods can be made of the one
//! before while a new one rolls out, and so that `kubectl rollout undo` finds it.

use std::{collections::BTreeSet, sync::Arc};

use k8s_openapi::{
    api::{
        apps::v1::{ControllerRevision, StatefulSet},
        core::v1::PodTemplateSpec,
    },
    apimachinery::pkg::{apis::meta::v1::ObjectMeta, runtime::RawExtension},
};
use serde_json::{Value, json};

use super::super::{owned_by, prefix, template_hash};
use crate::{
    index::Index,
    write::{Decision, Write},
};

/// The label with which a pod says of which revision it is.
pub(super) const LABEL: &str = "controller-revision-hash";
const HASH: &str = "controller.kubernetes.io/hash";

/// What is being rolled out, and what was before.
#[derive(Debug)]
pub(super) struct Revisions<'a> {
    /// Name of the revision that all pods had when they were last the same.
    pub(super) current: String,
    /// Its template.
    pub(super) current_template: PodTemplateSpec,
    /// Name of the revision of the set's template.
    pub(super) update: String,
    known: Vec<&'a Arc<ControllerRevision>>,
}

impl<'a> Revisions<'a> {
    /// Finds the revisions of a set, and makes the one of its template.
    pub(super) fn keep(
        index: &'a Index,
        set: &'a StatefulSet,
        template: &PodTemplateSpec,
        decision: &mut Decision,
    ) -> Self {
        let mut known: Vec<_> = index.revisions.owned_by(&set.metadata).collect();
        known.sort_by_key(|one| (one.revision, one.metadata.name.clone()));
        let data = json!({"spec": {"template": marked(template)}});
        let newest = known.last().map_or(0, |one| one.revision);
        let same = known.iter().rev().find(|one| holds(one, &data));
        let update = if let Some(found) = same {
            if found.revision != newest {
                // What was before is again: it is the newest now.
                let patch = json!({"revision": newest + 1});
                decision.writes.push(Write::merge(&***found, patch));
            }
            found.metadata.name.clone().unwrap_or_default()
        } else {
            let hash = unused_hash(set, template, &known);
            let made = new(set, template, (&hash, data, newest + 1));
            decision.writes.push(Write::create(&made));
            name(set, &hash)
        };
        let status = set.status.as_ref();
        let wanted = status.and_then(|status| status.current_revision.as_deref());
        let current = known
            .iter()
            .find(|one| one.metadata.name.as_deref() == wanted)
            .and_then(|one| Some((one.metadata.name.clone()?, template_of(one)?)));
        let (current, current_template) =
            current.unwrap_or_else(|| (update.clone(), template.clone()));
        Self {
            current,
            current_template,
            update,
            known,
        }
    }

    /// Forgets the oldest of the revisions that nothing runs, but for some.
    pub(super) fn forget(&self, used: &BTreeSet<&str>, limit: i32, decision: &mut Decision) {
        let idle: Vec<_> = self
            .known
            .iter()
            .filter(|one| {
                let name = one.metadata.name.as_deref().unwrap_or_default();
                name != self.current && name != self.update && !used.contains(name)
            })
            .collect();
        let kept = usize::try_from(limit).unwrap_or_default();
        let surplus = idle.len().saturating_sub(kept);
        let gone = idle.into_iter().take(surplus);
        decision
            .writes
            .extend(gone.map(|one| Write::delete(&***one)));
    }
}

/// A template that replaces the one of a set it is patched into, as `kubectl rollout undo` does.
fn marked(template: &PodTemplateSpec) -> Value {
    let mut value = serde_json::to_value(template).unwrap_or_default();
    value["$patch"] = json!("replace");
    value
}

fn holds(revision: &ControllerRevision, data: &Value) -> bool {
    revision.data.as_ref().is_some_and(|known| known.0 == *data)
}

fn template_of(revision: &ControllerRevision) -> Option<PodTemplateSpec> {
    let template = revision.data.as_ref()?.0.pointer("/spec/template")?;
    serde_json::from_value(template.clone()).ok()
}

fn name(set: &StatefulSet, hash: &str) -> String {
    let own = prefix(set.metadata.name.as_deref().unwrap_or_default());
    format!("{own}-{hash}")
}

/// The hash of a template; another one where a different template has it.
fn unused_hash(
    set: &StatefulSet,
    template: &PodTemplateSpec,
    known: &[&Arc<ControllerRevision>],
) -> String {
    let mut tries = 0;
    loop {
        let hash = template_hash(template, tries);
        let name = Some(name(set, &hash));
        if known.iter().all(|one| one.metadata.name != name) {
            return hash;
        }
        tries += 1;
    }
}

fn new(
    set: &StatefulSet,
    template: &PodTemplateSpec,
    (hash, data, number): (&str, Value, i64),
) -> ControllerRevision {
    let of_template = template.metadata.as_ref();
    let mut labels = of_template
        .and_then(|meta| meta.labels.clone())
        .unwrap_or_default();
    labels.insert(HASH.to_owned(), hash.to_owned());
    ControllerRevision {
        metadata: ObjectMeta {
            name: Some(name(set, hash)),
            namespace: set.metadata.namespace.clone(),
            labels: Some(labels),
            owner_references: Some(vec![owned_by(set)]),
            ..ObjectMeta::default()
        },
        data: Some(RawExtension(data)),
        revision: number,
    }
}
