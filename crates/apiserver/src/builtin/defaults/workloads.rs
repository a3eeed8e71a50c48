//! Defaults of what makes pods.

use serde_json::{Value, json};

use super::{
    super::{
        kept::AUTOSCALER,
        read::{at, existing, fill, fill_text, flag, has, items_mut, map_at, text},
    },
    pod::template,
};

pub(in crate::builtin) fn deployment(object: &mut Value, _: Option<&Value>) {
    template(object, "spec.template");
    let Some(spec) = existing(object, "spec") else {
        return;
    };
    fill(spec, "replicas", 1);
    fill(spec, "revisionHistoryLimit", 10);
    fill(spec, "progressDeadlineSeconds", 600);
    fill(spec, "strategy", json!({}));
    rolling(
        &mut spec["strategy"],
        &[("maxUnavailable", json!("25%")), ("maxSurge", json!("25%"))],
    );
}

pub(in crate::builtin) fn replica_set(object: &mut Value, _: Option<&Value>) {
    template(object, "spec.template");
    let Some(spec) = existing(object, "spec") else {
        return;
    };
    fill(spec, "replicas", 1);
}

pub(in crate::builtin) fn replication_controller(object: &mut Value, _: Option<&Value>) {
    template(object, "spec.template");
    let labels = at(object, "spec.template.metadata.labels").clone();
    let Some(spec) = existing(object, "spec") else {
        return;
    };
    fill(spec, "replicas", 1);
    if labels.is_object() {
        fill(spec, "selector", labels);
    }
}

pub(in crate::builtin) fn stateful_set(object: &mut Value, _: Option<&Value>) {
    template(object, "spec.template");
    let Some(spec) = existing(object, "spec") else {
        return;
    };
    fill(spec, "replicas", 1);
    fill(spec, "revisionHistoryLimit", 10);
    fill_text(spec, "podManagementPolicy", "OrderedReady");
    fill(spec, "updateStrategy", json!({}));
    rolling(&mut spec["updateStrategy"], &[("partition", json!(0))]);
    fill(spec, "persistentVolumeClaimRetentionPolicy", json!({}));
    if let Some(policy) = existing(spec, "persistentVolumeClaimRetentionPolicy") {
        fill_text(policy, "whenDeleted", "Retain");
        fill_text(policy, "whenScaled", "Retain");
    }
    for claim in items_mut(spec, "volumeClaimTemplates") {
        fill_text(claim, "apiVersion", "v1");
        fill_text(claim, "kind", "PersistentVolumeClaim");
        super::claim(claim, None);
    }
}

pub(in crate::builtin) fn daemon_set(object: &mut Value, _: Option<&Value>) {
    template(object, "spec.template");
    let Some(spec) = existing(object, "spec") else {
        return;
    };
    fill(spec, "revisionHistoryLimit", 10);
    fill(spec, "updateStrategy", json!({}));
    rolling(
        &mut spec["updateStrategy"],
        &[("maxUnavailable", json!(1)), ("maxSurge", json!(0))],
    );
}

/// A strategy rolls unless it says otherwise.
fn rolling(strategy: &mut Value, settings: &[(&str, Value)]) {
    fill_text(strategy, "type", "RollingUpdate");
    if text(strategy, "type") != "RollingUpdate" {
        return;
    }
    fill(strategy, "rollingUpdate", json!({}));
    if let Some(rolling) = existing(strategy, "rollingUpdate") {
        for (key, setting) in settings {
            fill(rolling, key, setting.clone());
        }
    }
}

pub(in crate::builtin) fn job(object: &mut Value, _: Option<&Value>) {
    template(object, "spec.template");
    let Some(spec) = existing(object, "spec") else {
        return;
    };
    if !has(spec, "completions") && !has(spec, "parallelism") {
        fill(spec, "completions", 1);
    }
    fill(spec, "parallelism", 1);
    let per_index = has(spec, "backoffLimitPerIndex");
    fill(spec, "backoffLimit", if per_index { i32::MAX } else { 6 });
    fill(spec, "suspend", false);
    fill_text(spec, "completionMode", "NonIndexed");
    if !has(spec, "selector") {
        fill(spec, "manualSelector", false);
    }
    let careful = has(spec, "podFailurePolicy");
    let policy = if careful {
        "Failed"
    } else {
        "TerminatingOrFailed"
    };
    fill_text(spec, "podReplacementPolicy", policy);
}

/// A job selects its own pods, unless its author knows better.
pub(in crate::builtin) fn prepare_job(object: &mut Value, old: Option<&Value>) {
    if !has(object, "spec.selector") && !flag(object, "spec.manualSelector") {
        select(object, old);
    }
    let labels = at(object, "spec.template.metadata.labels").clone();
    if labels.is_object() && map_at(object, "metadata").is_some() {
        fill(&mut object["metadata"], "labels", labels);
    }
}

/// Pods of a job are told apart by the job's identity.
fn select(object: &mut Value, old: Option<&Value>) {
    const IDENTITY: [&str; 2] = ["controller-uid", "batch.kubernetes.io/controller-uid"];
    const NAMES: [&str; 2] = ["job-name", "batch.kubernetes.io/job-name"];
    let of = |path| {
        let own = text(object, path);
        if own.is_empty() {
            old.map_or("", |old| text(old, path))
        } else {
            own
        }
        .to_owned()
    };
    let (uid, name) = (of("metadata.uid"), of("metadata.name"));
    if uid.is_empty() || name.is_empty() {
        return;
    }
    if let Some(labels) = map_at(object, "spec.template.metadata.labels") {
        for (keys, value) in [(IDENTITY, &uid), (NAMES, &name)] {
            for key in keys {
                labels.insert(key.to_owned(), Value::from(value.as_str()));
            }
        }
    }
    if let Some(selected) = map_at(object, "spec.selector.matchLabels") {
        selected.insert(IDENTITY[1].to_owned(), Value::from(uid));
    }
}

pub(in crate::builtin) fn cron_job(object: &mut Value, _: Option<&Value>) {
    template(object, "spec.jobTemplate.spec.template");
    let Some(spec) = existing(object, "spec") else {
        return;
    };
    fill_text(spec, "concurrencyPolicy", "Allow");
    fill(spec, "suspend", false);
    fill(spec, "successfulJobsHistoryLimit", 3);
    fill(spec, "failedJobsHistoryLimit", 1);
}

pub(in crate::builtin) fn autoscaler(object: &mut Value, _: Option<&Value>) {
    let Some(spec) = existing(object, "spec") else {
        return;
    };
    fill(spec, "minReplicas", 1);
    fill(
        spec,
        "metrics",
        json!([{"type": "Resource", "resource": {
        "name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}}]),
    );
    let Some(behavior) = spec.get_mut("behavior").filter(|one| one.is_object()) else {
        return;
    };
    let policy =
        |kind: &str, value: u32| json!({"type": kind, "value": value, "periodSeconds": 15});
    let (pods, percent) = (policy("Pods", 4), policy("Percent", 100));
    fill(behavior, "scaleUp", json!({}));
    fill(&mut behavior["scaleUp"], "stabilizationWindowSeconds", 0);
    fill(behavior, "scaleDown", json!({}));
    for (way, policies) in [
        ("scaleUp", vec![pods, percent.clone()]),
        ("scaleDown", vec![percent]),
    ] {
        let rules = &mut behavior[way];
        fill_text(rules, "selectPolicy", "Max");
        fill(rules, "policies", policies);
    }
}

/// The older version leaves to the newer one what is not its own, and says the same as that.
pub(in crate::builtin) fn older_autoscaler(object: &mut Value, old: Option<&Value>) {
    if let Some(fields) = object.as_object_mut() {
        (AUTOSCALER.keep)(fields);
    }
    autoscaler(object, old);
    if let Some(fields) = object.as_object_mut() {
        (AUTOSCALER.show)(fields);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(
        default: fn(&mut Value, Option<&Value>),
        mut given: Value,
        path: &str,
        wanted: &Value,
    ) {
        default(&mut given, None);
        assert_eq!(at(&given, path), wanted);
        let once = given.clone();
        default(&mut given, None);
        assert_eq!(given, once, "defaulting twice changes nothing");
    }

    #[test]
    fn workloads_get_their_numbers() {
        check(
            deployment,
            json!({"spec": {}}),
            "spec",
            &json!({
            "replicas": 1, "revisionHistoryLimit": 10, "progressDeadlineSeconds": 600,
            "strategy": {"type": "RollingUpdate",
                "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"}}}),
        );
        check(
            deployment,
            json!({"spec": {"strategy": {"type": "Recreate"}}}),
            "spec.strategy",
            &json!({"type": "Recreate"}),
        );
        check(
            stateful_set,
            json!({"spec": {}}),
            "spec.updateStrategy",
            &json!({"type": "RollingUpdate", "rollingUpdate": {"partition": 0}}),
        );
        check(
            cron_job,
            json!({"spec": {}}),
            "spec.successfulJobsHistoryLimit",
            &json!(3),
        );
        check(
            deployment,
            json!({"spec": {"template": {"spec": {"containers": [{"image": "a"}]}}}}),
            "spec.template.spec.dnsPolicy",
            &json!("ClusterFirst"),
        );
    }

    #[test]
    fn jobs_select_their_own_pods() {
        let job_of = json!({"metadata": {"name": "j", "uid": "u"}, "spec": {"template": {}}});
        check(
            prepare_job,
            job_of.clone(),
            "spec.selector",
            &json!({"matchLabels": {"batch.kubernetes.io/controller-uid": "u"}}),
        );
        check(
            prepare_job,
            job_of,
            "spec.template.metadata.labels",
            &json!({
            "controller-uid": "u", "batch.kubernetes.io/controller-uid": "u",
            "job-name": "j", "batch.kubernetes.io/job-name": "j"}),
        );
    }
}
