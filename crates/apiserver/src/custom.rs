//! What is special about `CustomResourceDefinitions` as objects. They are served
//! in the same instant they are stored, so their status is part of that write.

mod approval;
mod names;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    core,
    object::member_mut,
    registry::Served,
    rest::seconds,
    schema::{self, Cause, text},
};

pub(crate) use names::Taken;

/// The finalizer by which a definition waits until its objects are gone.
pub(crate) const CLEANUP: &str = "customresourcecleanup.apiextensions.k8s.io";

fn is_definition(kind: &Served) -> bool {
    *kind.collection == *core::definitions()
}

/// Fills in what the server decides: names left out, and the status. `taken` tells the names that
/// others have of a group, to the definition of this group and plural.
pub(crate) fn prepare(
    kind: &Served,
    object: &mut Value,
    now: Timestamp,
    taken: impl FnOnce(&str, &str) -> Taken,
) {
    if !is_definition(kind) {
        return;
    }
    let spec = member_mut(object, "spec");
    spec.entry("conversion")
        .or_insert_with(|| json!({"strategy": "None"}));
    let storage = storage_version(spec.get("versions"));
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
    let status = member_mut(object, "status");
    let stored = status.entry("storedVersions").or_insert_with(|| json!([]));
    if let (Some(stored), Some(storage)) = (stored.as_array_mut(), storage)
        && !stored.contains(&storage)
    {
        stored.push(storage);
    }
    if let Some((holds, reason, message)) = approval::condition(object) {
        let conditions = member_mut(object, "status").entry("conditions");
        let conditions = conditions.or_insert_with(|| json!([]));
        if let Some(conditions) = conditions.as_array_mut() {
            let kind = "KubernetesAPIApprovalPolicyConformant";
            say(conditions, kind, (holds, reason, &message), now);
        }
    }
    claim(object, now, taken);
}

/// Gives a definition the names that it can have. Says whether that changes it.
pub(crate) fn claim(
    object: &mut Value,
    now: Timestamp,
    taken: impl FnOnce(&str, &str) -> Taken,
) -> bool {
    let before = object.get("status").cloned().unwrap_or_default();
    let spec = &object["spec"];
    let wanted = &spec["names"];
    let plural = text(wanted, "plural").unwrap_or_default();
    let taken = taken(text(spec, "group").unwrap_or_default(), plural);
    let names::Claim { accepted, conflict } =
        names::claim(wanted, &before["acceptedNames"], &taken);
    let established = is_established(object);
    let status = member_mut(object, "status");
    status.insert("acceptedNames".into(), Value::Object(accepted));
    let conditions = status.entry("conditions").or_insert_with(|| json!([]));
    if let Some(conditions) = conditions.as_array_mut() {
        let (accepted, established_by) = match &conflict {
            None => (
                (true, "NoConflicts", "no conflicts found"),
                (
                    true,
                    "InitialNamesAccepted",
                    "the initial names have been accepted",
                ),
            ),
            Some((reason, message)) => (
                (false, *reason, message.as_str()),
                (false, "NotAccepted", "not all names are accepted"),
            ),
        };
        say(conditions, "NamesAccepted", accepted, now);
        if !established {
            say(conditions, "Established", established_by, now);
        }
    }
    before != object["status"]
}

/// Says of a definition that it waits for its objects to go. Says whether that changes it.
pub(crate) fn terminating(object: &mut Value, now: Timestamp) -> bool {
    let conditions = member_mut(object, "status").entry("conditions");
    let conditions = conditions.or_insert_with(|| json!([]));
    let before = conditions.clone();
    if let Some(conditions) = conditions.as_array_mut() {
        let message = "CustomResource deletion is in progress";
        let said = (true, "InstanceDeletionInProgress", message);
        say(conditions, "Terminating", said, now);
    }
    before != *conditions
}

/// Whether a definition is served: once it has its names, it keeps them.
pub(crate) fn is_established(definition: &Value) -> bool {
    let conditions = definition.pointer("/status/conditions");
    let mut conditions = conditions.and_then(Value::as_array).into_iter().flatten();
    conditions
        .any(|one| text(one, "type") == Some("Established") && text(one, "status") == Some("True"))
}

fn storage_version(versions: Option<&Value>) -> Option<Value> {
    let versions = versions?.as_array()?;
    let storage = versions
        .iter()
        .find(|version| version.get("storage") == Some(&json!(true)))?;
    storage.get("name").cloned()
}

/// Sets a condition, keeping the time since when it is so.
fn say(
    conditions: &mut Vec<Value>,
    kind: &str,
    (holds, reason, message): (bool, &str, &str),
    now: Timestamp,
) {
    let status = if holds { "True" } else { "False" };
    let mut since = json!(seconds(now));
    let known = conditions
        .iter()
        .position(|condition| text(condition, "type") == Some(kind));
    if let Some(known) = known {
        let old = &conditions[known];
        if text(old, "status") == Some(status) {
            since = old["lastTransitionTime"].clone();
        }
    }
    let condition = json!({
        "type": kind, "status": status, "reason": reason, "message": message,
        "lastTransitionTime": since,
    });
    match known {
        Some(known) => conditions[known] = condition,
        None => conditions.push(condition),
    }
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
    if !own {
        causes.extend(approval::check(object, old));
    }
    causes.extend(missing_versions(object));
    causes
}

/// Why nothing here does what a definition asks for, if so.
pub(crate) fn unheeded(kind: &Served, object: &Value) -> Option<&'static str> {
    let strategy = object.pointer("/spec/conversion/strategy");
    let webhook = is_definition(kind) && strategy.is_some_and(|strategy| strategy == "Webhook");
    webhook.then_some(
        "spec.conversion: this server asks no webhooks: every version of an object has the same fields",
    )
}

/// Versions in which objects may be stored, and which are no longer described.
fn missing_versions(definition: &Value) -> Vec<Cause> {
    let items = |path: &str| {
        let list = definition.pointer(path).and_then(Value::as_array);
        list.map_or(&[][..], Vec::as_slice)
    };
    let known: Vec<_> = items("/spec/versions")
        .iter()
        .map(|version| text(version, "name"))
        .collect();
    let stored = items("/status/storedVersions").iter().enumerate();
    let missing = stored.filter(|(_, version)| !known.contains(&version.as_str()));
    missing
        .map(|(position, version)| {
            let name = version.as_str().unwrap_or_default();
            let why = format!(
                "missing from spec.versions; {name} was previously a storage version, and must remain in \
                 spec.versions until a storage migration ensures no data remains persisted in {name} and \
                 removes {name} from status.storedVersions"
            );
            Cause::invalid(&format!("status.storedVersions[{position}]"), version, &why)
        })
        .collect()
}
