//! The subresource of pods that adds ephemeral containers: nothing else of a pod changes by it, and they by nothing
//! else.

use serde_json::{Value, json};

use super::{Call, Part};
use crate::{
    builtin::ephemeral as rules,
    object::{at, metadata},
    status::{Failure, Result},
};

/// Where they are.
const FIELD: &str = "ephemeralContainers";

/// Leaves out of an applied configuration what this route cannot change.
pub(super) fn restrict(config: &mut Value) {
    let added = at(config, "spec.ephemeralContainers").cloned();
    if let Some(fields) = config.as_object_mut() {
        fields.retain(|key, _| matches!(key.as_str(), "apiVersion" | "kind" | "metadata"));
        if let Some(added) = added {
            fields.insert("spec".into(), json!({FIELD: added}));
        }
    }
}

/// Takes everything else over from the stored pod.
pub(super) fn carry(new: &mut Value, old: &Value) {
    let added = at(new, "spec.ephemeralContainers").cloned();
    let written = metadata(new).clone();
    let mut kept = old.clone();
    if let Some(spec) = kept.get_mut("spec").and_then(Value::as_object_mut) {
        match added {
            Some(added) => spec.insert(FIELD.into(), added),
            None => spec.remove(FIELD),
        };
    }
    // Of its metadata only who manages what, and what the client knows of versions.
    for name in ["managedFields", "resourceVersion", "uid"] {
        if let Some(value) = written.get(name) {
            kept["metadata"][name] = value.clone();
        }
    }
    *new = kept;
}

/// What is wrong with a change of them.
pub(super) fn check(call: &Call<'_>, old: &Value, new: &Value) -> Result<()> {
    if !call.kind.builtin || !call.kind.group.is_empty() || call.kind.plural != "pods" {
        return Ok(());
    }
    let causes = match call.part {
        Part::EphemeralContainers => rules::added(new, old),
        Part::Main => rules::kept(new, old),
        Part::Status | Part::Finalize | Part::Scale => return Ok(()),
    };
    if causes.is_empty() {
        return Ok(());
    }
    Err(Failure::invalid(call.kind, call.name, causes))
}
