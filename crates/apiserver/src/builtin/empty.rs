//! What Kubernetes writes of an object of which nothing is set: fields of its
//! types that are never left out. They are there without anybody owning them.
//!
//! `empty.json` holds what Go's encoder prints for a new value of each type.

use std::{collections::BTreeMap, sync::LazyLock};

use serde_json::{Map, Value};

use crate::resource::Resource;

static EMPTY: LazyLock<BTreeMap<String, Value>> =
    LazyLock::new(|| serde_json::from_str(include_str!("empty.json")).unwrap_or_default());

/// An object of this kind of which nothing is set.
pub(super) fn empty(resource: &Resource) -> Option<&'static Value> {
    EMPTY.get(&format!("{} {}", resource.api_version(), resource.kind))
}

/// Adds what is never left out: structures and numbers. Texts and lists that are
/// empty are left to the checks, which tell an empty one from none at all.
pub(super) fn fill(object: &mut Value, empty: &Value) {
    let (Value::Object(object), Value::Object(empty)) = (object, empty) else {
        return;
    };
    for (name, value) in empty {
        match object.get_mut(name) {
            Some(member) if !member.is_null() => fill(member, value),
            _ if value.is_object() => {
                let mut member = Value::Object(Map::new());
                fill(&mut member, value);
                object.insert(name.clone(), member);
            }
            _ if value.is_number() || value.is_boolean() => {
                object.insert(name.clone(), value.clone());
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn structures_and_numbers_are_never_left_out() {
        let empty = &EMPTY["apps/v1 StatefulSet"];
        let mut object = json!({"spec": {"template": {"spec": {"containers": [1]}}}});
        fill(&mut object, empty);
        let expected = json!({
            "spec": {"updateStrategy": {}, "template": {"metadata": {}, "spec": {"containers": [1]}}},
            "status": {"availableReplicas": 0, "replicas": 0},
        });
        assert_eq!(object, expected);
    }
}
