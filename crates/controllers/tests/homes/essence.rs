//! What of objects is the same in every run.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::home::Objects;

/// Fields that no two runs have in common, wherever they are.
const PASSING: [&str; 15] = [
    "managedFields",
    "resourceVersion",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
    "observedGeneration",
    "lastTransitionTime",
    "lastObservedTime",
    "lastSpecUpdateTime",
    "startedAt",
    "finishedAt",
    "clusterIP",
    "clusterIPs",
    // Hashes of what has identifiers in it.
    "openchoreo.dev/dp-resource-hash",
];

/// Objects without what only one run has; identifiers are told as what they identify.
pub(crate) fn of(objects: Objects) -> Objects {
    let names: BTreeMap<String, String> = objects
        .iter()
        .filter_map(|(title, object)| {
            let uid = object["metadata"]["uid"].as_str()?;
            Some((uid.to_owned(), format!("<{title}>")))
        })
        .collect();
    objects
        .into_iter()
        // History is about times, and a chain of hashes over them.
        .filter(|(title, _)| !title.starts_with("DeploymentRecord "))
        .map(|(title, mut object)| {
            strip(&mut object, &names);
            if let Some(status) = object["status"].as_object_mut() {
                status.remove("history");
            }
            (title, object)
        })
        .collect()
}

fn strip(value: &mut Value, names: &BTreeMap<String, String>) {
    match value {
        Value::Object(fields) => {
            fields.retain(|name, _| !PASSING.contains(&name.as_str()));
            for value in fields.values_mut() {
                strip(value, names);
            }
            fields.retain(|_, value| !says_nothing(value));
        }
        Value::Array(items) => {
            for item in items {
                strip(item, names);
            }
        }
        Value::String(text) => {
            if let Some(name) = names.get(text) {
                *value = json!(name);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Whether a field might as well be left out: Go's types do not tell empty lists from none.
fn says_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// Where two homes differ, in words.
pub(crate) fn differences(found: &Objects, wanted: &Objects) -> Vec<String> {
    let mut told = Vec::new();
    for title in found
        .keys()
        .chain(wanted.keys().filter(|title| !found.contains_key(*title)))
    {
        match (found.get(title), wanted.get(title)) {
            (Some(found), Some(wanted)) => differ(title, found, wanted, &mut told),
            (Some(_), None) => told.push(format!("{title}: only the embedded home has it")),
            (None, _) => told.push(format!("{title}: only the real API has it")),
        }
    }
    told
}

fn differ(place: &str, found: &Value, wanted: &Value, told: &mut Vec<String>) {
    match (found, wanted) {
        (Value::Object(left), Value::Object(right)) => {
            for name in left
                .keys()
                .chain(right.keys().filter(|name| !left.contains_key(*name)))
            {
                differ(
                    &format!("{place}.{name}"),
                    &found[name],
                    &wanted[name],
                    told,
                );
            }
        }
        (Value::Array(left), Value::Array(right)) if left.len() == right.len() => {
            for (index, (left, right)) in left.iter().zip(right).enumerate() {
                differ(&format!("{place}[{index}]"), left, right, told);
            }
        }
        _ if found == wanted => {}
        _ => told.push(format!("{place}: embedded {found}, real {wanted}")),
    }
}
