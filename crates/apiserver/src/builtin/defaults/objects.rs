//! Defaults of everything else.

use base64::Engine as _;
use serde_json::{Value, json};

use super::super::read::{existing, fill, fill_text, items_mut, map_at, text};

const RBAC: &str = "rbac.authorization.k8s.io";

pub(in crate::builtin) fn namespace(object: &mut Value, old: Option<&Value>) {
    let name = text(object, "metadata.name").to_owned();
    if let Some(labels) = map_at(object, "metadata.labels").filter(|_| !name.is_empty()) {
        labels.insert("kubernetes.io/metadata.name".to_owned(), Value::from(name));
    }
    if old.is_none() && map_at(object, "status").is_some() {
        fill_text(&mut object["status"], "phase", "Active");
    }
}

/// Text that a writer gave as text is stored as every reader expects it.
pub(in crate::builtin) fn secret(object: &mut Value, _: Option<&Value>) {
    fill_text(object, "type", "Opaque");
    let given = object
        .as_object_mut()
        .and_then(|members| members.remove("stringData"));
    let Some(Value::Object(given)) = given.filter(|given| !given.is_null()) else {
        return;
    };
    let Some(data) = map_at(object, "data") else {
        return;
    };
    for (key, value) in given {
        let bytes = value.as_str().unwrap_or_default();
        let encoded = base64::engine::general_purpose::STANDARD.encode(bytes);
        data.insert(key, Value::from(encoded));
    }
}

pub(in crate::builtin) fn claim(object: &mut Value, old: Option<&Value>) {
    if let Some(spec) = existing(object, "spec") {
        fill_text(spec, "volumeMode", "Filesystem");
    }
    if old.is_none() && map_at(object, "status").is_some() {
        fill_text(&mut object["status"], "phase", "Pending");
    }
}

pub(in crate::builtin) fn volume(object: &mut Value, old: Option<&Value>) {
    if let Some(spec) = existing(object, "spec") {
        fill_text(spec, "volumeMode", "Filesystem");
        fill_text(spec, "persistentVolumeReclaimPolicy", "Retain");
    }
    if old.is_none() && map_at(object, "status").is_some() {
        fill_text(&mut object["status"], "phase", "Pending");
    }
}

pub(in crate::builtin) fn definition(object: &mut Value, _: Option<&Value>) {
    let Some(spec) = existing(object, "spec") else {
        return;
    };
    fill(spec, "conversion", json!({"strategy": "None"}));
    let kind = text(spec, "names.kind").to_owned();
    if let Some(names) = existing(spec, "names").filter(|_| !kind.is_empty()) {
        fill_text(names, "singular", &kind.to_lowercase());
        fill_text(names, "listKind", &format!("{kind}List"));
    }
}

pub(in crate::builtin) fn role_binding(object: &mut Value, _: Option<&Value>) {
    if let Some(role) = existing(object, "roleRef") {
        fill_text(role, "apiGroup", RBAC);
    }
    for subject in items_mut(object, "subjects") {
        if ["User", "Group"].contains(&text(subject, "kind")) {
            fill_text(subject, "apiGroup", RBAC);
        }
    }
}

pub(in crate::builtin) fn mutating_webhooks(object: &mut Value, _: Option<&Value>) {
    for webhook in items_mut(object, "webhooks") {
        webhook_defaults(webhook);
        fill_text(webhook, "reinvocationPolicy", "Never");
    }
}

pub(in crate::builtin) fn validating_webhooks(object: &mut Value, _: Option<&Value>) {
    items_mut(object, "webhooks").for_each(webhook_defaults);
}

fn webhook_defaults(webhook: &mut Value) {
    fill_text(webhook, "failurePolicy", "Fail");
    fill_text(webhook, "matchPolicy", "Equivalent");
    fill(webhook, "namespaceSelector", json!({}));
    fill(webhook, "objectSelector", json!({}));
    fill(webhook, "timeoutSeconds", 10);
    for rule in items_mut(webhook, "rules") {
        fill_text(rule, "scope", "*");
    }
    if let Some(service) = existing(webhook, "clientConfig.service") {
        fill(service, "port", 443);
    }
}

pub(in crate::builtin) fn admission_policy(object: &mut Value, _: Option<&Value>) {
    if let Some(spec) = existing(object, "spec") {
        fill_text(spec, "failurePolicy", "Fail");
    }
    match_defaults(object, "spec.matchConstraints");
}

pub(in crate::builtin) fn admission_policy_binding(object: &mut Value, _: Option<&Value>) {
    match_defaults(object, "spec.matchResources");
}

/// What requests a policy is about.
fn match_defaults(object: &mut Value, path: &str) {
    let Some(matched) = existing(object, path) else {
        return;
    };
    fill_text(matched, "matchPolicy", "Equivalent");
    fill(matched, "namespaceSelector", json!({}));
    fill(matched, "objectSelector", json!({}));
    for list in ["resourceRules", "excludeResourceRules"] {
        for rule in items_mut(matched, list) {
            fill_text(rule, "scope", "*");
        }
    }
}

pub(in crate::builtin) fn priority_class(object: &mut Value, _: Option<&Value>) {
    fill_text(object, "preemptionPolicy", "PreemptLowerPriority");
}

pub(in crate::builtin) fn storage_class(object: &mut Value, _: Option<&Value>) {
    fill_text(object, "reclaimPolicy", "Delete");
    fill_text(object, "volumeBindingMode", "Immediate");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_stored_as_bytes() {
        let mut object = json!({"data": {"a": "YQ=="}, "stringData": {"b": "hi"}});
        secret(&mut object, None);
        assert_eq!(
            object,
            json!({"type": "Opaque", "data": {"a": "YQ==", "b": "aGk="}})
        );
    }

    #[test]
    fn namespaces_carry_their_name() {
        let mut object = json!({"metadata": {"name": "n"}});
        namespace(&mut object, None);
        assert_eq!(
            object["metadata"]["labels"]["kubernetes.io/metadata.name"],
            "n"
        );
        assert_eq!(object["status"]["phase"], "Active");
    }

    #[test]
    fn subjects_belong_to_the_group_of_roles() {
        let mut object =
            json!({"roleRef": {}, "subjects": [{"kind": "User"}, {"kind": "ServiceAccount"}]});
        role_binding(&mut object, None);
        assert_eq!(object["roleRef"]["apiGroup"], RBAC);
        assert_eq!(
            object["subjects"],
            json!([{"kind": "User", "apiGroup": RBAC}, {"kind": "ServiceAccount"}])
        );
    }
}
