//! Columns of everything else.

use jiff::Timestamp;
use serde_json::Value;

use super::{
    super::read::{at, flag, has, int, list, members, text},
    AGE, CREATED_AT, Column, NAME, column, count, none, number, or, shown, wide,
};
use crate::table::since;

pub(in crate::builtin) const CREATED: &[Column] = &[NAME, CREATED_AT];

pub(in crate::builtin) const CONFIG_MAP: &[Column] = &[
    NAME,
    column("Data", |object, _| {
        let of = |path| count(object, path).as_u64().unwrap_or_default();
        Value::from(of("data") + of("binaryData"))
    }),
    AGE,
];

pub(in crate::builtin) const SECRET: &[Column] = &[
    NAME,
    column("Type", |object, _| or(object, "type", "")),
    column("Data", |object, _| count(object, "data")),
    AGE,
];

pub(in crate::builtin) const SERVICE_ACCOUNT: &[Column] = &[
    NAME,
    column("Secrets", |object, _| count(object, "secrets")),
    AGE,
];

pub(in crate::builtin) const NAMESPACE: &[Column] = &[
    NAME,
    column("Status", |object, _| or(object, "status.phase", "")),
    AGE,
];

pub(in crate::builtin) const NODE: &[Column] = &[
    NAME,
    column("Status", |object, _| Value::from(node_status(object))),
    column("Roles", |object, _| Value::from(node_roles(object))),
    AGE,
    column("Version", |object, _| {
        or(object, "status.nodeInfo.kubeletVersion", "")
    }),
    wide("Internal-IP", |object, _| {
        Value::from(node_address(object, "InternalIP"))
    }),
    wide("External-IP", |object, _| {
        Value::from(node_address(object, "ExternalIP"))
    }),
    wide("OS-Image", |object, _| {
        or(object, "status.nodeInfo.osImage", "<unknown>")
    }),
    wide("Kernel-Version", |object, _| {
        or(object, "status.nodeInfo.kernelVersion", "<unknown>")
    }),
    wide("Container-Runtime", |object, _| {
        or(
            object,
            "status.nodeInfo.containerRuntimeVersion",
            "<unknown>",
        )
    }),
];

pub(in crate::builtin) const EVENT: &[Column] = &[
    column("Last Seen", |object, now| {
        Value::from(last_seen(object, now))
    }),
    column("Type", |object, _| or(object, "type", "")),
    column("Reason", |object, _| or(object, "reason", "")),
    column("Object", |object, _| {
        let subject = at(object, "involvedObject");
        let kind = text(subject, "kind").to_lowercase();
        Value::from(format!("{kind}/{}", text(subject, "name")))
    }),
    wide("Subobject", |object, _| {
        or(object, "involvedObject.fieldPath", "")
    }),
    wide("Source", |object, _| Value::from(source(object))),
    column("Message", |object, _| {
        Value::from(text(object, "message").trim())
    }),
    wide("First Seen", |object, now| {
        Value::from(first_seen(object, now))
    }),
    wide("Count", |object, _| {
        let counts = ["count", "series.count"].map(|path| int(object, path));
        Value::from(counts.into_iter().max().unwrap_or_default().max(1))
    }),
    wide("Name", |object, _| or(object, "metadata.name", "")),
];

pub(in crate::builtin) const CLAIM: &[Column] = &[
    NAME,
    column("Status", |object, _| {
        if has(object, "metadata.deletionTimestamp") {
            return Value::from("Terminating");
        }
        or(object, "status.phase", "")
    }),
    column("Volume", |object, _| or(object, "spec.volumeName", "")),
    column("Capacity", |object, _| {
        let bound = !text(object, "spec.volumeName").is_empty();
        if bound {
            or(object, "status.capacity.storage", "")
        } else {
            Value::from("")
        }
    }),
    column("Access Modes", |object, _| {
        let bound = !text(object, "spec.volumeName").is_empty();
        Value::from(if bound {
            modes(object, "status.accessModes")
        } else {
            String::new()
        })
    }),
    column("StorageClass", |object, _| {
        or(object, "spec.storageClassName", "")
    }),
    column("VolumeAttributesClass", |object, _| {
        or(object, "spec.volumeAttributesClassName", "<unset>")
    }),
    AGE,
    wide("VolumeMode", |object, _| {
        or(object, "spec.volumeMode", "<unset>")
    }),
];

pub(in crate::builtin) const VOLUME: &[Column] = &[
    NAME,
    column("Capacity", |object, _| {
        or(object, "spec.capacity.storage", "")
    }),
    column("Access Modes", |object, _| {
        Value::from(modes(object, "spec.accessModes"))
    }),
    column("Reclaim Policy", |object, _| {
        or(object, "spec.persistentVolumeReclaimPolicy", "")
    }),
    column("Status", |object, _| {
        if has(object, "metadata.deletionTimestamp") {
            return Value::from("Terminating");
        }
        or(object, "status.phase", "")
    }),
    column("Claim", |object, _| {
        if !has(object, "spec.claimRef") {
            return Value::from("");
        }
        let namespace = text(object, "spec.claimRef.namespace");
        Value::from(format!(
            "{namespace}/{}",
            text(object, "spec.claimRef.name")
        ))
    }),
    column("StorageClass", |object, _| {
        or(object, "spec.storageClassName", "")
    }),
    column("VolumeAttributesClass", |object, _| {
        or(object, "spec.volumeAttributesClassName", "<unset>")
    }),
    column("Reason", |object, _| or(object, "status.reason", "")),
    AGE,
    wide("VolumeMode", |object, _| {
        or(object, "spec.volumeMode", "<unset>")
    }),
];

pub(in crate::builtin) const RESOURCE_QUOTA: &[Column] = &[
    NAME,
    column("Request", |object, _| Value::from(quota(object, false))),
    column("Limit", |object, _| Value::from(quota(object, true))),
    AGE,
];

pub(in crate::builtin) const WEBHOOKS: &[Column] = &[
    NAME,
    number("Webhooks", |object, _| count(object, "webhooks")),
    AGE,
];

pub(in crate::builtin) const ADMISSION_POLICY: &[Column] = &[
    NAME,
    number("Validations", |object, _| count(object, "spec.validations")),
    column("ParamKind", |object, _| {
        let kind =
            ["apiVersion", "kind"].map(|field| text(object, &format!("spec.paramKind.{field}")));
        match kind {
            ["", ""] => Value::from("<unset>"),
            [version, kind] => Value::from(format!("{version}/{kind}")),
        }
    }),
    AGE,
];

pub(in crate::builtin) const ADMISSION_POLICY_BINDING: &[Column] = &[
    NAME,
    column("PolicyName", |object, _| or(object, "spec.policyName", "")),
    column("ParamRef", |object, _| {
        let place =
            ["namespace", "name"].map(|field| text(object, &format!("spec.paramRef.{field}")));
        match place {
            [_, ""] => Value::from("<unset>"),
            ["", name] => Value::from(format!("*/{name}")),
            [namespace, name] => Value::from(format!("{namespace}/{name}")),
        }
    }),
    AGE,
];

pub(in crate::builtin) const LEASE: &[Column] = &[
    NAME,
    column("Holder", |object, _| or(object, "spec.holderIdentity", "")),
    AGE,
];

pub(in crate::builtin) const ROLE_BINDING: &[Column] = &[
    NAME,
    column("Role", |object, _| Value::from(role(object))),
    AGE,
    wide("Users", |object, _| Value::from(subjects(object, "User"))),
    wide("Groups", |object, _| Value::from(subjects(object, "Group"))),
    wide("ServiceAccounts", |object, _| {
        Value::from(subjects(object, "ServiceAccount"))
    }),
];

pub(in crate::builtin) const CLUSTER_ROLE_BINDING: &[Column] = ROLE_BINDING;

pub(in crate::builtin) const PRIORITY_CLASS: &[Column] = &[
    NAME,
    number("Value", |object, _| at(object, "value").clone()),
    column("Global-Default", |object, _| {
        Value::from(flag(object, "globalDefault").to_string())
    }),
    AGE,
    column("PreemptionPolicy", |object, _| {
        or(object, "preemptionPolicy", "")
    }),
];

pub(in crate::builtin) const STORAGE_CLASS: &[Column] = &[
    column("Name", |object, _| {
        let name = text(object, "metadata.name");
        let chosen = members(object, "metadata.annotations").any(|(key, value)| {
            key == "storageclass.kubernetes.io/is-default-class" && value == "true"
        });
        Value::from(if chosen {
            format!("{name} (default)")
        } else {
            name.to_owned()
        })
    }),
    column("Provisioner", |object, _| or(object, "provisioner", "")),
    column("ReclaimPolicy", |object, _| {
        or(object, "reclaimPolicy", "Delete")
    }),
    column("VolumeBindingMode", |object, _| {
        or(object, "volumeBindingMode", "<unset>")
    }),
    column("AllowVolumeExpansion", |object, _| {
        shown(object, "allowVolumeExpansion", "false")
    }),
    AGE,
];

fn node_status(node: &Value) -> String {
    let ready = list(node, "status.conditions")
        .iter()
        .find(|one| text(one, "type") == "Ready");
    let status = match ready.map(|condition| text(condition, "status")) {
        Some("True") => "Ready",
        Some(_) => "NotReady",
        None => "Unknown",
    };
    let cordoned = if flag(node, "spec.unschedulable") {
        ",SchedulingDisabled"
    } else {
        ""
    };
    format!("{status}{cordoned}")
}

fn node_roles(node: &Value) -> String {
    let roles: Vec<&str> = members(node, "metadata.labels")
        .filter_map(|(key, value)| match key {
            "kubernetes.io/role" => value.as_str(),
            _ => key.strip_prefix("node-role.kubernetes.io/"),
        })
        .filter(|role| !role.is_empty())
        .collect();
    none(&roles.join(",")).to_owned()
}

fn node_address(node: &Value, kind: &str) -> String {
    let found = list(node, "status.addresses")
        .iter()
        .find(|one| text(one, "type") == kind);
    none(found.map_or("", |address| text(address, "address"))).to_owned()
}

fn source(event: &Value) -> String {
    let first = |paths: [&'static str; 2]| {
        let found = paths.into_iter().map(|path| text(event, path));
        found.into_iter().find(|found| !found.is_empty())
    };
    let component = first(["source.component", "reportingComponent"]);
    let host = first(["source.host", "reportingInstance"]);
    [component, host]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join(", ")
}

fn last_seen(event: &Value, now: Timestamp) -> String {
    ["series.lastObservedTime", "lastTimestamp"]
        .into_iter()
        .map(|path| text(event, path))
        .find(|time| !time.is_empty())
        .map_or_else(|| first_seen(event, now), |time| since(time, now))
}

fn first_seen(event: &Value, now: Timestamp) -> String {
    let times = ["firstTimestamp", "eventTime"];
    let found = times
        .into_iter()
        .map(|path| text(event, path))
        .find(|time| !time.is_empty());
    match found {
        Some(time) => since(time, now),
        None => "<unknown>".to_owned(),
    }
}

fn modes(object: &Value, path: &str) -> String {
    let short = list(object, path)
        .iter()
        .filter_map(Value::as_str)
        .map(|mode| match mode {
            "ReadWriteOnce" => "RWO",
            "ReadOnlyMany" => "ROX",
            "ReadWriteMany" => "RWX",
            "ReadWriteOncePod" => "RWOP",
            other => other,
        });
    short.collect::<Vec<_>>().join(",")
}

fn quota(object: &Value, limits: bool) -> String {
    let used = at(object, "status.used");
    let shown = members(object, "status.hard")
        .filter(|(name, _)| name.starts_with("limits.") == limits)
        .map(|(name, hard)| {
            let used = used.get(name).and_then(Value::as_str).unwrap_or("0");
            format!("{name}: {used}/{}", hard.as_str().unwrap_or_default())
        });
    shown.collect::<Vec<_>>().join(", ")
}

fn role(binding: &Value) -> String {
    format!(
        "{}/{}",
        text(binding, "roleRef.kind"),
        text(binding, "roleRef.name")
    )
}

fn subjects(binding: &Value, kind: &str) -> String {
    let found = list(binding, "subjects")
        .iter()
        .filter(|one| text(one, "kind") == kind);
    let names = found.map(|one| match text(one, "namespace") {
        "" => text(one, "name").to_owned(),
        namespace => format!("{namespace}/{}", text(one, "name")),
    });
    names.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(columns: &[Column], object: &Value, wanted: &Value) {
        let now = "2026-01-01T00:05:00Z".parse().unwrap();
        let shown = columns.iter().filter(|column| column.priority == 0);
        let cells: Vec<Value> = shown.map(|column| (column.cell)(object, now)).collect();
        assert_eq!(&Value::from(cells), wanted);
    }

    #[test]
    fn objects_show_what_matters() {
        let meta = json!({"name": "o", "creationTimestamp": "2026-01-01T00:00:00Z",
            "labels": {"node-role.kubernetes.io/control-plane": ""}});
        check(
            CONFIG_MAP,
            &json!({"metadata": meta, "data": {"a": "b"}}),
            &json!(["o", 1, "5m"]),
        );
        check(
            NODE,
            &json!({"metadata": meta, "spec": {"unschedulable": true}, "status": {
                "conditions": [{"type": "Ready", "status": "True"}],
                "nodeInfo": {"kubeletVersion": "v1"}}}),
            &json!(["o", "Ready,SchedulingDisabled", "control-plane", "5m", "v1"]),
        );
        check(
            EVENT,
            &json!({"metadata": meta, "type": "Normal", "reason": "R", "message": "m ",
                "lastTimestamp": "2026-01-01T00:04:00Z",
                "involvedObject": {"kind": "Pod", "name": "p"}}),
            &json!(["60s", "Normal", "R", "pod/p", "m"]),
        );
        check(
            CLAIM,
            &json!({"metadata": meta, "spec": {"volumeName": "v", "storageClassName": "c"},
                "status": {"phase": "Bound", "capacity": {"storage": "1Gi"},
                    "accessModes": ["ReadWriteOnce"]}}),
            &json!(["o", "Bound", "v", "1Gi", "RWO", "c", "<unset>", "5m"]),
        );
        check(
            ROLE_BINDING,
            &json!({"metadata": meta, "roleRef": {"kind": "Role", "name": "r"}}),
            &json!(["o", "Role/r", "5m"]),
        );
    }
}
