//! The roles everybody relies on, and what becomes of them when a newer server starts
//! on an older folder.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{escalation, rbac::GROUP};

/// The file, by kind.
const POLICY: &str = include_str!("policy.yaml");
/// Set to `false` by who looks after a role or binding of ours themselves.
const AUTOUPDATE: &str = "rbac.authorization.kubernetes.io/autoupdate";

/// The roles and bindings that are there from the start.
pub(crate) fn objects() -> Result<Vec<Value>, serde_saphyr::Error> {
    let policy: BTreeMap<String, Vec<Value>> = serde_saphyr::from_str(POLICY)?;
    let objects = policy.into_iter().flat_map(|(kind, objects)| {
        objects.into_iter().map(move |mut object| {
            object["apiVersion"] = json!(format!("{GROUP}/v1"));
            object["kind"] = json!(kind);
            object["metadata"]["labels"]["kubernetes.io/bootstrapping"] = json!("rbac-defaults");
            object["metadata"]["annotations"][AUTOUPDATE] = json!("true");
            object
        })
    });
    Ok(objects.collect())
}

/// Adds to a role or binding what it lacks of `wanted`. Nothing is taken away from it.
pub(crate) fn complete(object: &mut Value, wanted: &Value) -> bool {
    let annotation = object["metadata"]["annotations"].get(AUTOUPDATE);
    if annotation.is_some_and(|value| value == "false") || object.get("aggregationRule").is_some() {
        return false;
    }
    let (held, of_role) = (list(object, "rules"), list(wanted, "rules"));
    let mut rules = of_role;
    rules.retain(|rule| !escalation::missing(&held, std::slice::from_ref(rule)).is_empty());
    let mut subjects = list(wanted, "subjects");
    let bound = list(object, "subjects");
    subjects.retain(|subject| !bound.contains(subject));
    let changed = !rules.is_empty() || !subjects.is_empty();
    for (key, known, more) in [("rules", held, rules), ("subjects", bound, subjects)] {
        if !more.is_empty() {
            object[key] = json!([known, more].concat());
        }
    }
    changed
}

fn list(object: &Value, key: &str) -> Vec<Value> {
    let list = object.get(key).and_then(Value::as_array);
    list.cloned().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str, kind: &str) -> Value {
        let mut all = objects().unwrap().into_iter();
        all.find(|object| object["metadata"]["name"] == name && object["kind"] == kind)
            .unwrap()
    }

    #[test]
    fn older_objects_are_completed() {
        let binding = named("system:public-info-viewer", "ClusterRoleBinding");
        let mut older = binding.clone();
        older["subjects"].as_array_mut().unwrap().truncate(1);
        older["subjects"][0]["name"] = json!("my-group");
        assert!(complete(&mut older, &binding));
        assert_eq!(older["subjects"].as_array().unwrap().len(), 3);
        assert!(!complete(&mut older, &binding));
        let role = named("system:discovery", "ClusterRole");
        let mut older = role.clone();
        older["rules"] = json!([{"nonResourceURLs": ["/api"], "verbs": ["get"]}]);
        assert!(complete(&mut older.clone(), &role));
        older["metadata"]["annotations"][AUTOUPDATE] = json!("false");
        assert!(!complete(&mut older, &role));
    }
}
