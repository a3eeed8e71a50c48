//! What is special about namespaces as objects.

use serde_json::{Value, json};

use crate::{
    core,
    object::{member_mut, meta_str},
    registry::Served,
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
    let going = !meta_str(object, "deletionTimestamp").is_empty();
    let phase = if going { "Terminating" } else { "Active" };
    member_mut(object, "status").insert("phase".into(), json!(phase));
}

/// Whether nothing holds the namespace object any longer.
pub(crate) fn finalized(object: &Value) -> bool {
    let finalizers = object.pointer("/spec/finalizers").and_then(Value::as_array);
    finalizers.is_none_or(Vec::is_empty)
}
