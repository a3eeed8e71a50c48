//! Rules of everything else.

use serde_json::Value;

use super::{
    super::read::{at, flag, list, members, text},
    broken, immutable, names, one_of,
};
use crate::{custom::is_established, schema::Cause};

/// Most bytes the data of a config map or secret may have.
const MOST: usize = 1024 * 1024;

pub(in crate::builtin) fn lease(object: &Value, _: Option<&Value>) -> Vec<Cause> {
    let mut causes = Vec::new();
    for (field, least, why) in [
        ("spec.leaseDurationSeconds", 1, "must be greater than 0"),
        (
            "spec.leaseTransitions",
            0,
            "must be greater than or equal to 0",
        ),
    ] {
        let given = at(object, field);
        if given.as_i64().is_some_and(|number| number < least) {
            causes.push(Cause::invalid(field, given, why));
        }
    }
    causes
}

pub(in crate::builtin) fn config_map(object: &Value, old: Option<&Value>) -> Vec<Cause> {
    let mut causes = Vec::new();
    keys(&mut causes, object, &["data", "binaryData"]);
    for (key, _) in members(object, "data") {
        if at(object, "binaryData").get(key).is_some() {
            let field = format!("data[{key}]");
            causes.push(Cause::invalid(
                &field,
                &Value::from(key),
                "duplicate of key present in binaryData",
            ));
        }
    }
    sealed(&mut causes, object, old, &["data", "binaryData"]);
    causes
}

pub(in crate::builtin) fn secret(object: &Value, old: Option<&Value>) -> Vec<Cause> {
    let mut causes = Vec::new();
    keys(&mut causes, object, &["data"]);
    immutable(&mut causes, object, old, "type");
    sealed(&mut causes, object, old, &["data"]);
    let needed: &[&str] = match text(object, "type") {
        "kubernetes.io/tls" => &["tls.crt", "tls.key"],
        "kubernetes.io/dockerconfigjson" => &[".dockerconfigjson"],
        "kubernetes.io/ssh-auth" => &["ssh-privatekey"],
        _ => &[],
    };
    for key in needed {
        if at(object, "data").get(*key).is_none() {
            causes.push(Cause::required(&format!("data[{key}]"), ""));
        }
    }
    causes
}

fn keys(causes: &mut Vec<Cause>, object: &Value, fields: &[&str]) {
    let mut size = 0;
    for field in fields {
        for (key, value) in members(object, field) {
            broken(
                causes,
                &format!("{field}[{key}]"),
                key,
                names::config_key(key),
            );
            size += value.as_str().map_or(0, str::len);
        }
    }
    if size > MOST {
        causes.push(Cause::too_long("data", MOST as u64));
    }
}

const SEALED: &str = "field is immutable when `immutable` is set";

/// What was declared immutable stays so.
fn sealed(causes: &mut Vec<Cause>, object: &Value, old: Option<&Value>, fields: &[&str]) {
    let Some(old) = old.filter(|old| flag(old, "immutable")) else {
        return;
    };
    if !flag(object, "immutable") {
        causes.push(Cause::forbidden("immutable", SEALED));
    }
    for field in fields {
        if at(object, field) != at(old, field) {
            causes.push(Cause::forbidden(field, SEALED));
        }
    }
}

/// Fields of a claim's spec that may change.
const FREE: [&str; 3] = ["resources", "volumeAttributesClassName", "volumeName"];
const MODES: [&str; 4] = [
    "ReadOnlyMany",
    "ReadWriteMany",
    "ReadWriteOnce",
    "ReadWriteOncePod",
];

pub(in crate::builtin) fn claim(object: &Value, old: Option<&Value>) -> Vec<Cause> {
    let mut causes = Vec::new();
    modes(&mut causes, object);
    if at(object, "spec.resources.requests")
        .get("storage")
        .is_none()
    {
        causes.push(Cause::required("spec.resources[storage]", ""));
    }
    let fixed = |object: &Value| -> Vec<(String, Value)> {
        members(object, "spec")
            .filter(|(key, _)| !FREE.contains(key))
            .map(|(key, value)| (key.to_owned(), value.clone()))
            .collect()
    };
    let named_late = |old: &Value| {
        let before = fixed(old);
        let mut after = fixed(object);
        // A class may be given to a claim that has none yet.
        after.retain(|(key, _)| {
            key != "storageClassName" || before.iter().any(|(had, _)| had == key)
        });
        before == after
    };
    let rebound = |old: &Value| {
        let before = text(old, "spec.volumeName");
        !before.is_empty() && before != text(object, "spec.volumeName")
    };
    if old.is_some_and(|old| !named_late(old) || rebound(old)) {
        let words = "spec is immutable after creation except resources.requests and \
             volumeAttributesClassName for bound claims";
        causes.push(Cause::forbidden("spec", words));
    }
    causes
}

pub(in crate::builtin) fn volume(object: &Value, _: Option<&Value>) -> Vec<Cause> {
    let mut causes = Vec::new();
    modes(&mut causes, object);
    if at(object, "spec.capacity").get("storage").is_none() {
        causes.push(Cause::required("spec.capacity", ""));
    }
    let policy = "spec.persistentVolumeReclaimPolicy";
    one_of(
        &mut causes,
        policy,
        text(object, policy),
        &["Delete", "Recycle", "Retain"],
    );
    causes
}

fn modes(causes: &mut Vec<Cause>, object: &Value) {
    let modes = list(object, "spec.accessModes");
    if modes.is_empty() {
        causes.push(Cause::required(
            "spec.accessModes",
            "at least 1 access mode is required",
        ));
    }
    for mode in modes {
        one_of(
            causes,
            "spec.accessModes",
            mode.as_str().unwrap_or_default(),
            &MODES,
        );
    }
}

pub(in crate::builtin) fn definition(object: &Value, old: Option<&Value>) -> Vec<Cause> {
    let mut causes = Vec::new();
    for path in ["spec.group", "spec.names.plural"] {
        immutable(&mut causes, object, old, path);
    }
    // These only from when there may be objects.
    let old = old.filter(|old| is_established(old));
    for path in ["spec.scope", "spec.names.kind"] {
        immutable(&mut causes, object, old, path);
    }
    causes
}

pub(in crate::builtin) fn role_binding(object: &Value, old: Option<&Value>) -> Vec<Cause> {
    let mut causes = Vec::new();
    if old.is_some_and(|old| at(old, "roleRef") != at(object, "roleRef")) {
        causes.push(Cause::invalid(
            "roleRef",
            at(object, "roleRef"),
            "cannot change roleRef",
        ));
    }
    let kind = text(object, "roleRef.kind");
    one_of(&mut causes, "roleRef.kind", kind, &["ClusterRole", "Role"]);
    for (position, subject) in list(object, "subjects").iter().enumerate() {
        let field = format!("subjects[{position}]");
        let kinds = ["Group", "ServiceAccount", "User"];
        one_of(
            &mut causes,
            &format!("{field}.kind"),
            text(subject, "kind"),
            &kinds,
        );
        // In a namespace, an account is of that namespace if nothing else is said.
        let everywhere = text(object, "metadata.namespace").is_empty();
        let is_account = text(subject, "kind") == "ServiceAccount";
        if everywhere && is_account && text(subject, "namespace").is_empty() {
            causes.push(Cause::required(&format!("{field}.namespace"), ""));
        }
    }
    causes
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    type Check = fn(&Value, Option<&Value>) -> Vec<Cause>;

    fn check(rule: Check, object: &Value, old: Option<&Value>, fields: &[&str]) {
        let causes = rule(object, old);
        let found: Vec<_> = causes.iter().map(|cause| cause.field.as_str()).collect();
        assert_eq!(found, fields, "{object}");
    }

    #[test]
    fn keys_fit_into_file_names() {
        check(config_map, &json!({"data": {"a.b": "x"}}), None, &[]);
        check(
            config_map,
            &json!({"data": {"a/b": "x"}}),
            None,
            &["data[a/b]"],
        );
        check(
            secret,
            &json!({"type": "kubernetes.io/tls", "data": {"tls.crt": ""}}),
            None,
            &["data[tls.key]"],
        );
    }

    #[test]
    fn sealed_data_stays() {
        let old = json!({"data": {"a": "x"}, "immutable": true});
        check(
            config_map,
            &json!({"data": {"a": "y"}, "immutable": true}),
            Some(&old),
            &["data"],
        );
        check(
            secret,
            &json!({"type": "b"}),
            Some(&json!({"type": "a"})),
            &["type"],
        );
    }

    #[test]
    fn claims_ask_for_something_and_stay() {
        let claimed = json!({"spec": {"accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}}}});
        check(claim, &claimed, None, &[]);
        check(
            claim,
            &json!({"spec": {}}),
            None,
            &["spec.accessModes", "spec.resources[storage]"],
        );
        let mut bound = claimed.clone();
        bound["spec"]["volumeName"] = json!("v");
        bound["spec"]["storageClassName"] = json!("c");
        check(claim, &bound, Some(&claimed), &[]);
        check(claim, &claimed, Some(&bound), &["spec"]);
    }

    #[test]
    fn leases_last() {
        let given = json!({"spec": {"leaseDurationSeconds": 0, "leaseTransitions": -1}});
        let fields = ["spec.leaseDurationSeconds", "spec.leaseTransitions"];
        check(lease, &given, None, &fields);
        check(
            lease,
            &json!({"spec": {"leaseDurationSeconds": 1}}),
            None,
            &[],
        );
    }

    #[test]
    fn accounts_of_a_namespace_need_not_say_so() {
        let bound = json!({"metadata": {"namespace": "x"}, "roleRef": {"kind": "Role", "name": "a"},
            "subjects": [{"kind": "ServiceAccount", "name": "s"}]});
        check(role_binding, &bound, None, &[]);
    }

    #[test]
    fn bindings_keep_their_role() {
        let bound = json!({"roleRef": {"kind": "Role", "name": "a"},
            "subjects": [{"kind": "ServiceAccount", "name": "s"}]});
        check(role_binding, &bound, None, &["subjects[0].namespace"]);
        check(
            role_binding,
            &bound,
            Some(&json!({"roleRef": {}})),
            &["roleRef", "subjects[0].namespace"],
        );
    }
}
