//! Rules of ephemeral containers, which are added to a pod that is there.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{
    super::read::{at, list, text},
    pod::{CHANGES, container, name, volumes},
};
use crate::schema::Cause;

/// What an ephemeral container may not have: nobody waits for it, and it takes nothing for itself.
const NOT_EPHEMERAL: [&str; 9] = [
    "ports",
    "livenessProbe",
    "readinessProbe",
    "startupProbe",
    "lifecycle",
    "resources",
    "resizePolicy",
    "restartPolicy",
    "restartPolicyRules",
];

/// Rules of ephemeral containers that are added: those that are there stay as they are.
pub(crate) fn added(new: &Value, old: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    let (path, spec) = ("spec.ephemeralContainers", at(new, "spec"));
    let before = list(at(old, "spec"), "ephemeralContainers");
    let after = list(spec, "ephemeralContainers");
    for known in before {
        let name = text(known, "name");
        match after.iter().find(|one| text(one, "name") == name) {
            None => {
                let words = format!("existing ephemeral containers {name:?} may not be removed\n");
                causes.push(Cause::forbidden(path, &words));
            }
            Some(one) if one != known => {
                let words = format!("existing ephemeral containers {name:?} may not be changed\n");
                causes.push(Cause::forbidden(path, &words));
            }
            Some(_) => {}
        }
    }
    let mut volumes_seen = Vec::new();
    let volumes = volumes(&mut volumes_seen, spec, "spec");
    let declared = ["initContainers", "containers"].map(|kind| list(spec, kind));
    let declared: Vec<&str> = declared
        .into_iter()
        .flatten()
        .map(|one| text(one, "name"))
        .collect();
    let mut seen: BTreeSet<&str> = declared.iter().copied().collect();
    for (position, one) in after.iter().enumerate() {
        let field = format!("{path}[{position}]");
        name(&mut causes, &mut seen, one, &field);
        container(&mut causes, one, &field, &volumes);
        ephemeral(&mut causes, one, &field, &declared);
    }
    causes
}

fn ephemeral(causes: &mut Vec<Cause>, one: &Value, path: &str, declared: &[&str]) {
    let target = text(one, "targetContainerName");
    if !target.is_empty() && !declared.contains(&target) {
        let field = format!("{path}.targetContainerName");
        causes.push(Cause::not_found(&field, &Value::from(target)));
    }
    for key in NOT_EPHEMERAL {
        let is_empty = |value: &Value| match value {
            Value::Null => true,
            Value::Object(fields) => fields.is_empty(),
            Value::Array(items) => items.is_empty(),
            Value::String(text) => text.is_empty(),
            Value::Bool(_) | Value::Number(_) => false,
        };
        if one.get(key).is_some_and(|value| !is_empty(value)) {
            let words = "cannot be set for an Ephemeral Container";
            causes.push(Cause::forbidden(&format!("{path}.{key}"), words));
        }
    }
    for (position, mount) in list(one, "volumeMounts").iter().enumerate() {
        for key in ["subPath", "subPathExpr"] {
            if !text(mount, key).is_empty() {
                let field = format!("{path}.volumeMounts[{position}].{key}");
                let words = "cannot be set for an Ephemeral Container";
                causes.push(Cause::forbidden(&field, words));
            }
        }
    }
}

/// Ephemeral containers change through their subresource only.
pub(crate) fn kept(new: &Value, old: &Value) -> Vec<Cause> {
    let of = |object| list(at(object, "spec"), "ephemeralContainers");
    if of(new) == of(old) {
        return Vec::new();
    }
    vec![Cause::forbidden("spec", CHANGES)]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(containers: &Value) -> Value {
        json!({"spec": {"containers": [{"name": "main", "image": "i"}], "ephemeralContainers": containers}})
    }

    fn check(after: &Value, expected: &[(&str, &str)]) {
        let before = pod(&json!([{"name": "old", "image": "i"}]));
        let causes = added(&pod(after), &before);
        let found: Vec<_> = causes
            .iter()
            .map(|cause| (cause.field.as_str(), cause.message.trim_end()))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn they_are_added_and_stay_as_they_are() {
        let old = json!({"name": "old", "image": "i"});
        let debug = json!({"name": "debug", "image": "i", "targetContainerName": "main", "resources": {}, "stdin": true});
        check(&json!([old, debug]), &[]);
        check(
            &json!([debug]),
            &[(
                "spec.ephemeralContainers",
                "Forbidden: existing ephemeral containers \"old\" may not be removed",
            )],
        );
        check(
            &json!([{"name": "old", "image": "j"}]),
            &[(
                "spec.ephemeralContainers",
                "Forbidden: existing ephemeral containers \"old\" may not be changed",
            )],
        );
        let main = json!({"name": "main", "image": "i"});
        check(
            &json!([old, main]),
            &[(
                "spec.ephemeralContainers[1].name",
                "Duplicate value: \"main\"",
            )],
        );
        let lost = json!({"name": "debug", "image": "i", "targetContainerName": "nobody"});
        check(
            &json!([old, lost]),
            &[(
                "spec.ephemeralContainers[1].targetContainerName",
                "Not found: \"nobody\"",
            )],
        );
        let greedy = json!({"name": "debug", "image": "i", "resources": {"limits": {"cpu": "1"}}});
        check(
            &json!([old, greedy]),
            &[(
                "spec.ephemeralContainers[1].resources",
                "Forbidden: cannot be set for an Ephemeral Container",
            )],
        );
    }

    #[test]
    fn nothing_else_changes_them() {
        let before = pod(&json!([{"name": "old", "image": "i"}]));
        assert_eq!(kept(&before, &before).len(), 0);
        assert_eq!(kept(&pod(&json!([])), &before)[0].field, "spec");
    }
}
