//! What is special about `CustomResourceDefinitions` as objects. They are served
//! in the same instant they are stored, so their status is part of that write.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    core,
    object::member_mut,
    registry::Served,
    rest::seconds,
    schema::{self, Cause},
};

/// The finalizer by which a definition waits until its objects are gone.
pub(crate) const CLEANUP: &str = "customresourcecleanup.apiextensions.k8s.io";

fn is_definition(kind: &Served) -> bool {
    *kind.collection == *core::definitions()
}

/// Fills in what the server decides: names left out, and the status.
pub(crate) fn prepare(kind: &Served, object: &mut Value, now: Timestamp) {
    if !is_definition(kind) {
        return;
    }
    let spec = member_mut(object, "spec");
    spec.entry("conversion")
        .or_insert_with(|| json!({"strategy": "None"}));
    let Some(names) = spec.get_mut("names").and_then(Value::as_object_mut) else {
        return;
    };
    let kind = names
        .get("kind")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned();
    names
        .entry("singular")
        .or_insert_with(|| json!(kind.to_lowercase()));
    names
        .entry("listKind")
        .or_insert_with(|| json!(format!("{kind}List")));
    let names = Value::Object(names.clone());
    let storage = storage_version(spec.get("versions"));
    let status = member_mut(object, "status");
    status.insert("acceptedNames".into(), names);
    let stored = status.entry("storedVersions").or_insert_with(|| json!([]));
    if let (Some(stored), Some(storage)) = (stored.as_array_mut(), storage)
        && !stored.contains(&storage)
    {
        stored.push(storage);
    }
    let conditions = status.entry("conditions").or_insert_with(|| json!([]));
    if let Some(conditions) = conditions.as_array_mut() {
        confirm(
            conditions,
            "NamesAccepted",
            "NoConflicts",
            "no conflicts found",
            now,
        );
        let message = "the initial names have been accepted";
        confirm(
            conditions,
            "Established",
            "InitialNamesAccepted",
            message,
            now,
        );
    }
}

fn storage_version(versions: Option<&Value>) -> Option<Value> {
    let versions = versions?.as_array()?;
    let storage = versions
        .iter()
        .find(|version| version.get("storage") == Some(&json!(true)))?;
    storage.get("name").cloned()
}

/// Makes a condition true, keeping the time since when it is.
fn confirm(conditions: &mut Vec<Value>, kind: &str, reason: &str, message: &str, now: Timestamp) {
    let known = conditions.iter().any(|condition| {
        condition.get("type") == Some(&json!(kind))
            && condition.get("status") == Some(&json!("True"))
    });
    if known {
        return;
    }
    conditions.retain(|condition| condition.get("type") != Some(&json!(kind)));
    conditions.push(json!({
        "type": kind, "status": "True", "reason": reason, "message": message,
        "lastTransitionTime": seconds(now),
    }));
}

/// What is wrong with a definition and was not so before. Those of the program itself (`own`) may
/// have rules of any cost.
pub(crate) fn validate(
    kind: &Served,
    object: &Value,
    old: Option<&Value>,
    own: bool,
) -> Vec<Cause> {
    if !is_definition(kind) {
        return Vec::new();
    }
    let mut causes = schema::check_definition(object);
    if !causes.is_empty()
        && let Some(old) = old
    {
        let known = schema::check_definition(old);
        causes.retain(|cause| !known.contains(cause));
    }
    if causes.is_empty() && !own {
        causes = schema::too_expensive(object, old);
    }
    causes
}
