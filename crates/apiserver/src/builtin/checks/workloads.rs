//! Rules of what makes pods.

use serde_json::{Value, json};

use super::{
    super::read::{at, flag, has, int, list, members, text},
    broken, cron, immutable, not_negative, one_of,
    pod::template,
};
use crate::schema::Cause;

const TEMPLATE: &str = "spec.template";

/// Fields of a stateful set's spec that may change.
const FREE: [&str; 7] = [
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
];

pub(in crate::builtin) fn deployment(object: &Value, old: Option<&Value>) -> Vec<Cause> {
    let mut causes = Vec::new();
    long_running(&mut causes, object, old, "deployment");
    let path = "spec.strategy.type";
    one_of(
        &mut causes,
        path,
        text(object, path),
        &["Recreate", "RollingUpdate"],
    );
    if text(object, path) == "Recreate" && has(object, "spec.strategy.rollingUpdate") {
        let words = "may not be specified when strategy `type` is 'Recreate'";
        causes.push(Cause::forbidden("spec.strategy.rollingUpdate", words));
    }
    let zero = |path| {
        matches!(at(object, path), Value::Number(number) if number.as_i64() == Some(0))
            || at(object, path) == "0%"
    };
    let unavailable = "spec.strategy.rollingUpdate.maxUnavailable";
    if zero(unavailable) && zero("spec.strategy.rollingUpdate.maxSurge") {
        let words = "may not be 0 when `maxSurge` is 0";
        causes.push(Cause::invalid(unavailable, at(object, unavailable), words));
    }
    causes
}

pub(in crate::builtin) fn replica_set(object: &Value, old: Option<&Value>) -> Vec<Cause> {
    let mut causes = Vec::new();
    long_running(&mut causes, object, old, "replicaset");
    causes
}

pub(in crate::builtin) fn replication_controller(object: &Value, _: Option<&Value>) -> Vec<Cause> {
    let mut causes = Vec::new();
    not_negative(&mut causes, object, &["spec.replicas"]);
    template(&mut causes, object, TEMPLATE);
    causes
}

pub(in crate::builtin) fn stateful_set(object: &Value, old: Option<&Value>) -> Vec<Cause> {
    let mut causes = Vec::new();
    long_running(&mut causes, &with_claims(object), None, "statefulset");
    let path = "spec.podManagementPolicy";
    one_of(
        &mut causes,
        path,
        text(object, path),
        &["OrderedReady", "Parallel"],
    );
    let path = "spec.updateStrategy.type";
    one_of(
        &mut causes,
        path,
        text(object, path),
        &["RollingUpdate", "OnDelete"],
    );
    let fixed = |object: &Value| -> Vec<(String, Value)> {
        members(object, "spec")
            .filter(|(key, _)| !FREE.contains(key))
            .map(|(key, value)| (key.to_owned(), without_status(value)))
            .collect()
    };
    if old.is_some_and(|old| fixed(old) != fixed(object)) {
        causes.push(Cause::forbidden(
            "spec",
            "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', \
             'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and \
             'minReadySeconds' are forbidden",
        ));
    }
    causes
}

/// A stateful set whose template has the volumes that its pods get from the templates of claims.
fn with_claims(object: &Value) -> Value {
    let mut object = object.clone();
    let claims: Vec<Value> = list(&object, "spec.volumeClaimTemplates")
        .iter()
        .map(|claim| text(claim, "metadata.name"))
        .filter(|name| {
            let volumes = list(&object, "spec.template.spec.volumes");
            volumes.iter().all(|volume| text(volume, "name") != *name)
        })
        .map(|name| json!({"name": name, "persistentVolumeClaim": {"claimName": name}}))
        .collect();
    if let Some(spec) = object.pointer_mut("/spec/template/spec")
        && let Some(fields) = spec.as_object_mut()
        && !claims.is_empty()
    {
        let volumes = fields.entry("volumes").or_insert_with(|| json!([]));
        if let Some(volumes) = volumes.as_array_mut() {
            volumes.extend(claims);
        }
    }
    object
}

/// Templates of claims without the status that some writers send along.
fn without_status(value: &Value) -> Value {
    let mut value = value.clone();
    for claim in value.as_array_mut().into_iter().flatten() {
        if let Some(members) = claim.as_object_mut() {
            members.remove("status");
        }
    }
    value
}

pub(in crate::builtin) fn daemon_set(object: &Value, old: Option<&Value>) -> Vec<Cause> {
    let mut causes = Vec::new();
    long_running(&mut causes, object, old, "daemonset");
    let path = "spec.updateStrategy.type";
    one_of(
        &mut causes,
        path,
        text(object, path),
        &["RollingUpdate", "OnDelete"],
    );
    causes
}

pub(in crate::builtin) fn job(object: &Value, old: Option<&Value>) -> Vec<Cause> {
    let mut causes = Vec::new();
    job_spec(&mut causes, object, "spec");
    immutable(&mut causes, object, old, "spec.selector");
    if old.is_none_or(|old| !flag(old, "spec.suspend")) {
        immutable(&mut causes, object, old, TEMPLATE);
    }
    if text(object, "spec.completionMode") != "Indexed" {
        immutable(&mut causes, object, old, "spec.completions");
    }
    causes
}

fn job_spec(causes: &mut Vec<Cause>, object: &Value, path: &str) {
    let numbers = [
        "parallelism",
        "completions",
        "backoffLimit",
        "activeDeadlineSeconds",
        "ttlSecondsAfterFinished",
    ];
    let numbers = numbers.map(|key| format!("{path}.{key}"));
    not_negative(causes, object, &numbers.each_ref().map(String::as_str));
    let mode = format!("{path}.completionMode");
    one_of(
        causes,
        &mode,
        text(object, &mode),
        &["NonIndexed", "Indexed"],
    );
    let policy = format!("{path}.template.spec.restartPolicy");
    if has(object, &format!("{path}.template.spec"))
        && !["OnFailure", "Never"].contains(&text(object, &policy))
    {
        causes.push(Cause::required(
            &policy,
            "valid values: \"OnFailure\", \"Never\"",
        ));
    }
    template(causes, object, &format!("{path}.template"));
}

pub(in crate::builtin) fn cron_job(object: &Value, _: Option<&Value>) -> Vec<Cause> {
    const LONGEST: usize = 52;
    let mut causes = Vec::new();
    let name = text(object, "metadata.name");
    if name.len() > LONGEST {
        let words = format!("must be no more than {LONGEST} characters");
        causes.push(Cause::invalid("metadata.name", &Value::from(name), &words));
    }
    let schedule = text(object, "spec.schedule");
    if schedule.is_empty() {
        if has(object, "spec.schedule") {
            causes.push(Cause::required("spec.schedule", ""));
        }
    } else {
        broken(
            &mut causes,
            "spec.schedule",
            schedule,
            cron::broken(schedule),
        );
    }
    let zone = text(object, "spec.timeZone");
    if !zone.is_empty() && jiff::tz::db().get(zone).is_err() {
        let words = format!("unknown time zone {zone}");
        causes.push(Cause::invalid("spec.timeZone", &Value::from(zone), &words));
    }
    let path = "spec.concurrencyPolicy";
    one_of(
        &mut causes,
        path,
        text(object, path),
        &["Allow", "Forbid", "Replace"],
    );
    let numbers = [
        "spec.startingDeadlineSeconds",
        "spec.successfulJobsHistoryLimit",
        "spec.failedJobsHistoryLimit",
    ];
    not_negative(&mut causes, object, &numbers);
    job_spec(&mut causes, object, "spec.jobTemplate.spec");
    causes
}

pub(in crate::builtin) fn autoscaler(object: &Value, _: Option<&Value>) -> Vec<Cause> {
    let mut causes = Vec::new();
    let (least, most) = (
        int(object, "spec.minReplicas"),
        int(object, "spec.maxReplicas"),
    );
    if has(object, "spec.maxReplicas") && most < 1 {
        let words = "must be greater than 0";
        causes.push(Cause::invalid(
            "spec.maxReplicas",
            &Value::from(most),
            words,
        ));
    }
    if least > most {
        let words = "must be greater than or equal to `minReplicas`";
        causes.push(Cause::invalid(
            "spec.maxReplicas",
            &Value::from(most),
            words,
        ));
    }
    causes
}

pub(in crate::builtin) fn disruption_budget(object: &Value, _: Option<&Value>) -> Vec<Cause> {
    if has(object, "spec.minAvailable") && has(object, "spec.maxUnavailable") {
        let words = "minAvailable and maxUnavailable cannot be both set";
        return vec![Cause::invalid("spec", at(object, "spec"), words)];
    }
    Vec::new()
}

/// Rules of everything that keeps pods running.
fn long_running(causes: &mut Vec<Cause>, object: &Value, old: Option<&Value>, kind: &str) {
    let numbers = [
        "spec.replicas",
        "spec.minReadySeconds",
        "spec.revisionHistoryLimit",
        "spec.progressDeadlineSeconds",
    ];
    not_negative(causes, object, &numbers);
    selects_its_template(causes, object, kind);
    let policy = text(object, "spec.template.spec.restartPolicy");
    one_of(
        causes,
        "spec.template.spec.restartPolicy",
        policy,
        &["Always"],
    );
    template(causes, object, TEMPLATE);
    immutable(causes, object, old, "spec.selector");
}

fn selects_its_template(causes: &mut Vec<Cause>, object: &Value, kind: &str) {
    let selector = at(object, "spec.selector");
    if !selector.is_object() {
        return;
    }
    let nothing = members(selector, "matchLabels").next().is_none()
        && list(selector, "matchExpressions").is_empty();
    if nothing {
        let words = format!("empty selector is invalid for {kind}");
        causes.push(Cause::invalid("spec.selector", selector, &words));
    } else if has(object, TEMPLATE) {
        let labels = at(object, "spec.template.metadata.labels");
        if !selects(selector, labels) {
            let words = "`selector` does not match template `labels`";
            causes.push(Cause::invalid(
                "spec.template.metadata.labels",
                labels,
                words,
            ));
        }
    }
}

fn selects(selector: &Value, labels: &Value) -> bool {
    let equal = members(selector, "matchLabels").all(|(key, value)| labels.get(key) == Some(value));
    equal
        && list(selector, "matchExpressions").iter().all(|expression| {
            let found = labels.get(text(expression, "key"));
            let among = found.is_some_and(|found| list(expression, "values").contains(found));
            match text(expression, "operator") {
                "In" => among,
                "NotIn" => !among,
                "Exists" => found.is_some(),
                "DoesNotExist" => found.is_none(),
                _ => false,
            }
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    type Check = fn(&Value, Option<&Value>) -> Vec<Cause>;

    fn check(rule: Check, object: &Value, old: Option<&Value>, wanted: &[(&str, &str)]) {
        let causes = rule(object, old);
        let found: Vec<_> = causes
            .iter()
            .map(|cause| (cause.field.as_str(), cause.message.as_str()))
            .collect();
        assert_eq!(found, wanted, "{object}");
    }

    fn web(selected: &str) -> Value {
        json!({"spec": {"selector": {"matchLabels": {"app": selected}}, "template": {
            "metadata": {"labels": {"app": "web"}},
            "spec": {"restartPolicy": "Always", "containers": [{"name": "a", "image": "i"}]}}}})
    }

    #[test]
    fn deployments_select_their_pods_for_good() {
        check(deployment, &web("web"), None, &[]);
        check(
            deployment,
            &web("api"),
            None,
            &[(
                "spec.template.metadata.labels",
                "Invalid value: {\"app\":\"web\"}: `selector` does not match template `labels`",
            )],
        );
        let mut both = web("web");
        both["spec"]["template"]["metadata"]["labels"]["tier"] = json!("x");
        both["spec"]["selector"]["matchLabels"]["tier"] = json!("x");
        check(
            deployment,
            &both,
            Some(&web("web")),
            &[(
                "spec.selector",
                "Invalid value: {\"matchLabels\":{\"app\":\"web\",\"tier\":\"x\"}}: field is immutable",
            )],
        );
        let mut negative = web("web");
        negative["spec"]["replicas"] = json!(-1);
        check(
            deployment,
            &negative,
            None,
            &[(
                "spec.replicas",
                "Invalid value: -1: must be greater than or equal to 0",
            )],
        );
        let mut never = web("web");
        never["spec"]["template"]["spec"]["restartPolicy"] = json!("Never");
        check(
            deployment,
            &never,
            None,
            &[(
                "spec.template.spec.restartPolicy",
                "Unsupported value: \"Never\": supported values: \"Always\"",
            )],
        );
    }

    #[test]
    fn claims_of_a_stateful_set_are_volumes() {
        let mut set = web("web");
        set["spec"]["volumeClaimTemplates"] = json!([{"metadata": {"name": "data"}}]);
        let mounts = json!([{"name": "data", "mountPath": "/data"}]);
        set["spec"]["template"]["spec"]["containers"][0]["volumeMounts"] = mounts;
        check(stateful_set, &set, None, &[]);
        set["spec"]["volumeClaimTemplates"][0]["metadata"]["name"] = json!("other");
        let found = stateful_set(&set, None);
        assert_eq!(found[0].message, "Not found: \"data\"");
    }

    #[test]
    fn jobs_end() {
        let mut once = json!({"spec": {"template": {"spec": {"restartPolicy": "Never",
            "containers": [{"name": "a", "image": "i"}]}}}});
        check(job, &once, None, &[]);
        let old = once.clone();
        once["spec"]["template"]["spec"]["restartPolicy"] = json!("Always");
        check(
            job,
            &once,
            None,
            &[(
                "spec.template.spec.restartPolicy",
                "Required value: valid values: \"OnFailure\", \"Never\"",
            )],
        );
        let mut changed = old.clone();
        changed["spec"]["template"]["spec"]["containers"][0]["image"] = json!("j");
        assert_eq!(job(&changed, Some(&old))[0].field, TEMPLATE);
    }

    #[test]
    fn schedules_are_checked() {
        let mut nightly = json!({"spec": {"schedule": "0 3 * * *", "jobTemplate": {"spec": {"template": {
            "spec": {"restartPolicy": "Never", "containers": [{"name": "a", "image": "i"}]}}}}}});
        check(cron_job, &nightly, None, &[]);
        nightly["spec"]["schedule"] = json!("nightly");
        nightly["spec"]["timeZone"] = json!("Moon/Base");
        check(
            cron_job,
            &nightly,
            None,
            &[
                (
                    "spec.schedule",
                    "Invalid value: \"nightly\": expected exactly 5 fields, found 1: [nightly]",
                ),
                (
                    "spec.timeZone",
                    "Invalid value: \"Moon/Base\": unknown time zone Moon/Base",
                ),
            ],
        );
    }
}
