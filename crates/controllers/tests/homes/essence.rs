//! What of objects is the same in every run.

use std::collections::BTreeMap;

use serde_json::Value;

use super::home::Objects;

/// Fields that no two runs have in common, wherever they are.
const PASSING: [&str; 22] = [
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
    "expiresAt",
    "measuredAt",
    "clusterIP",
    "clusterIPs",
    // Hashes of what has identifiers in it.
    "openchoreo.dev/dp-resource-hash",
    "planDigest",
    "hash",
    "previousHash",
    // How the end was reached may differ: what was wanted in between is rendered or not.
    "sequence",
    "previousRelease",
];

/// How much of a digest messages tell.
const SHORT: usize = 12;

/// Objects without what only one run has; identifiers are told as what they identify.
pub(crate) fn of(objects: Objects) -> Objects {
    let names: BTreeMap<String, String> = objects
        .iter()
        .flat_map(|(title, object)| {
            let uid = object["metadata"]["uid"].as_str();
            let plan = object["status"]["planDigest"].as_str();
            let plan = plan.and_then(|digest| digest.get(..SHORT));
            let names = [
                (uid, format!("<{title}>")),
                (plan, format!("<plan of {title}>")),
            ];
            names
                .into_iter()
                .filter_map(|(it, name)| Some((it?.to_owned(), name)))
        })
        .collect();
    last_deployments(objects)
        .into_iter()
        .map(|(title, mut object)| {
            strip(&mut object, &names);
            if let Some(status) = object["status"].as_object_mut() {
                status.remove("history");
            }
            (title, object)
        })
        .collect()
}

/// The objects, with of the records only the last of every binding: all before depend on the way.
fn last_deployments(objects: Objects) -> Objects {
    let (records, mut kept): (Objects, Objects) = objects
        .into_iter()
        .partition(|(title, _)| title.starts_with("DeploymentRecord "));
    let order = |record: &Value| {
        let spec = &record["spec"];
        let started = spec["startedAt"].as_str().unwrap_or_default().to_owned();
        (started, spec["sequence"].as_i64())
    };
    for (_, mut record) in records {
        let binding = &record["spec"]["binding"];
        let title = format!("last deployment of {} {}", binding["kind"], binding["name"]);
        record["metadata"] = Value::Null;
        if kept
            .get(&title)
            .is_none_or(|last| order(last) < order(&record))
        {
            kept.insert(title, record);
        }
    }
    kept
}

fn strip(value: &mut Value, names: &BTreeMap<String, String>) {
    match value {
        Value::Object(fields) => {
            fields.retain(|name, _| !PASSING.contains(&name.as_str()));
            for value in fields.values_mut() {
                strip(value, names);
            }
            // Of what is gone nothing is known that both have in common.
            let is_of_gone =
                |value: &Value| value.as_str().is_some_and(|uid| !uid.starts_with('<'));
            fields
                .retain(|name, value| !(says_nothing(value) || name == "uid" && is_of_gone(value)));
        }
        Value::Array(items) => {
            for item in items {
                strip(item, names);
            }
        }
        Value::String(text) => {
            let told = names
                .iter()
                .filter(|(it, _)| text.contains(it.as_str()))
                .fold(text.clone(), |text, (it, name)| text.replace(it, name));
            *text = told;
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
