//! How a live object is, from nothing but the object.

use choreo_model::rendered::Health;
use serde_json::Value;

/// The fields of a specification that tell something of health.
pub(crate) const WANTED: [&str; 3] = ["paused", "replicas", "suspend"];

/// The health of `object`, and what is wrong when something is.
pub(crate) fn of(object: &Value) -> (Health, Option<String>) {
    let kind = object["kind"].as_str().unwrap_or_default();
    let api_version = object["apiVersion"].as_str().unwrap_or_default();
    let group = api_version.split_once('/').map_or("", |(group, _)| group);
    match (group, kind) {
        ("apps", "Deployment") => deployment(object),
        ("apps", "StatefulSet") => stateful_set(object),
        ("", "Pod") => pod(object),
        ("batch", "CronJob") => (cron_job(object), None),
        ("batch", "Job") => job(object),
        ("external-secrets.io", "ExternalSecret") => external_secret(object),
        ("gateway.networking.k8s.io", "HTTPRoute" | "GRPCRoute" | "TLSRoute") => route(object),
        _ => (Health::Healthy, None),
    }
}

fn number(object: &Value, pointer: &str) -> i64 {
    object
        .pointer(pointer)
        .and_then(Value::as_i64)
        .unwrap_or_default()
}

fn flag(object: &Value, pointer: &str) -> bool {
    object
        .pointer(pointer)
        .and_then(Value::as_bool)
        .unwrap_or_default()
}

fn wanted(object: &Value) -> i64 {
    object
        .pointer("/spec/replicas")
        .and_then(Value::as_i64)
        .unwrap_or(1)
}

fn is_behind(object: &Value) -> bool {
    number(object, "/status/observedGeneration") < number(object, "/metadata/generation")
}

/// A condition of a status: its status, reason and message.
struct Condition<'a> {
    status: &'a str,
    reason: &'a str,
    message: &'a str,
}

fn condition<'a>(holder: &'a Value, type_: &str) -> Option<Condition<'a>> {
    let conditions = holder.get("conditions")?.as_array()?;
    let found = conditions
        .iter()
        .find(|condition| condition["type"] == type_)?;
    let text = |key: &str| found[key].as_str().unwrap_or_default();
    Some(Condition {
        status: text("status"),
        reason: text("reason"),
        message: text("message"),
    })
}

impl Condition<'_> {
    fn says(&self) -> Option<String> {
        match (self.reason, self.message) {
            ("", "") => None,
            (reason, "") => Some(reason.to_owned()),
            ("", message) => Some(message.to_owned()),
            (reason, message) => Some(format!("{reason}: {message}")),
        }
    }
}

fn deployment(object: &Value) -> (Health, Option<String>) {
    if flag(object, "/spec/paused") || wanted(object) == 0 {
        return (Health::Suspended, None);
    }
    if is_behind(object) {
        return (Health::Progressing, None);
    }
    let status = &object["status"];
    let progressing = condition(status, "Progressing");
    if let Some(failed) = progressing
        .as_ref()
        .filter(|it| it.reason == "ProgressDeadlineExceeded")
    {
        return (Health::Degraded, failed.says());
    }
    if let Some(failed) = condition(status, "ReplicaFailure").filter(|it| it.status == "True") {
        return (Health::Degraded, failed.says());
    }
    let desired = wanted(object);
    let [updated, ready, available, unavailable] = [
        "updatedReplicas",
        "readyReplicas",
        "availableReplicas",
        "unavailableReplicas",
    ]
    .map(|field| number(status, &format!("/{field}")));
    let all = condition(status, "Available");
    if updated == desired && available == 0 {
        let settled = progressing
            .as_ref()
            .is_some_and(|it| it.reason == "NewReplicaSetAvailable");
        let moving = progressing.is_some_and(|it| it.status == "True");
        let health = if moving && !settled {
            Health::Progressing
        } else {
            Health::Degraded
        };
        return (health, all.and_then(|it| it.says()));
    }
    if unavailable > 0 && ready > 0 && all.as_ref().is_some_and(|it| it.status != "True") {
        return (Health::Degraded, all.and_then(|it| it.says()));
    }
    let settled = [updated, ready, available]
        .iter()
        .all(|count| *count == desired);
    if settled && unavailable == 0 {
        (Health::Healthy, None)
    } else {
        (
            Health::Progressing,
            Some(format!("{available} of {desired} replicas are available")),
        )
    }
}

fn stateful_set(object: &Value) -> (Health, Option<String>) {
    let desired = wanted(object);
    if desired == 0 {
        return (Health::Suspended, None);
    }
    let status = &object["status"];
    let behind = is_behind(object) || status["currentRevision"] != status["updateRevision"];
    let settled = [
        "replicas",
        "readyReplicas",
        "currentReplicas",
        "updatedReplicas",
    ]
    .iter()
    .all(|field| number(status, &format!("/{field}")) == desired);
    if !behind && settled {
        return (Health::Healthy, None);
    }
    let ready = number(status, "/readyReplicas");
    (
        Health::Progressing,
        Some(format!("{ready} of {desired} replicas are ready")),
    )
}

fn pod(object: &Value) -> (Health, Option<String>) {
    let status = &object["status"];
    if let Some(waiting) = stuck(status) {
        return (Health::Degraded, Some(waiting));
    }
    match status["phase"].as_str() {
        Some("Succeeded") => (Health::Healthy, None),
        Some("Failed") => (Health::Degraded, text(status, "message")),
        Some("Running") if condition(status, "Ready").is_some_and(|it| it.status == "True") => {
            (Health::Healthy, None)
        }
        _ => (Health::Progressing, None),
    }
}

fn text(holder: &Value, key: &str) -> Option<String> {
    holder[key].as_str().map(str::to_owned)
}

/// Why a container of a pod does not start, if it keeps failing.
pub(crate) fn stuck(status: &Value) -> Option<String> {
    let containers = ["initContainerStatuses", "containerStatuses"]
        .iter()
        .filter_map(|key| status[key].as_array())
        .flatten();
    for container in containers {
        let waiting = &container["state"]["waiting"];
        let reason = waiting["reason"].as_str().unwrap_or_default();
        if ["CrashLoopBackOff", "ImagePullBackOff", "ErrImagePull"].contains(&reason) {
            let message = waiting["message"].as_str().unwrap_or_default();
            let name = container["name"].as_str().unwrap_or_default();
            return Some(format!("container \"{name}\": {reason}: {message}"));
        }
    }
    None
}

fn cron_job(object: &Value) -> Health {
    let active = object.pointer("/status/active").and_then(Value::as_array);
    if flag(object, "/spec/suspend") {
        Health::Suspended
    } else if active.is_some_and(|active| !active.is_empty()) {
        Health::Progressing
    } else if object.pointer("/status/lastScheduleTime").is_some() {
        Health::Healthy
    } else {
        Health::Progressing
    }
}

fn job(object: &Value) -> (Health, Option<String>) {
    let status = &object["status"];
    let holds = |type_: &str| condition(status, type_).filter(|it| it.status == "True");
    if let Some(failed) = holds("Failed") {
        (Health::Degraded, failed.says())
    } else if holds("Complete").is_some() {
        (Health::Healthy, None)
    } else if flag(object, "/spec/suspend") {
        (Health::Suspended, None)
    } else {
        (Health::Progressing, None)
    }
}

fn external_secret(object: &Value) -> (Health, Option<String>) {
    match condition(&object["status"], "Ready") {
        Some(ready) if ready.status == "True" => (Health::Healthy, None),
        Some(ready) => (Health::Degraded, ready.says()),
        None => (Health::Progressing, None),
    }
}

/// A route that a gateway has refused serves nobody; one not looked at yet may be fine.
fn route(object: &Value) -> (Health, Option<String>) {
    let parents = object.pointer("/status/parents").and_then(Value::as_array);
    for parent in parents.into_iter().flatten() {
        for type_ in ["Accepted", "ResolvedRefs"] {
            if let Some(refused) = condition(parent, type_).filter(|it| it.status == "False") {
                return (Health::Degraded, refused.says());
            }
        }
    }
    (Health::Healthy, None)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[expect(
        clippy::needless_pass_by_value,
        reason = "tables of cases read better so"
    )]
    fn check(kind: &str, spec: Value, status: Value, expected: Health) {
        let api_version = match kind {
            "Job" | "CronJob" => "batch/v1",
            "HTTPRoute" => "gateway.networking.k8s.io/v1",
            "ConfigMap" | "Pod" => "v1",
            _ => "apps/v1",
        };
        let object = json!({
            "apiVersion": api_version, "kind": kind, "metadata": { "generation": 2 },
            "spec": spec, "status": status,
        });
        assert_eq!(of(&object).0, expected, "{object}");
    }

    fn replicas(updated: i64, ready: i64, available: i64, unavailable: i64) -> Value {
        json!({
            "observedGeneration": 2, "updatedReplicas": updated, "readyReplicas": ready,
            "availableReplicas": available, "unavailableReplicas": unavailable,
        })
    }

    fn saying(mut status: Value, type_: &str, says: &str, reason: &str) -> Value {
        status["conditions"] = json!([{ "type": type_, "status": says, "reason": reason }]);
        status
    }

    #[test]
    fn deployments() {
        let check = |spec: Value, status: Value, expected| {
            check("Deployment", spec, status, expected);
        };
        let two = || json!({ "replicas": 2 });
        check(two(), replicas(2, 2, 2, 0), Health::Healthy);
        check(two(), replicas(2, 1, 1, 1), Health::Progressing);
        check(
            two(),
            json!({ "observedGeneration": 1 }),
            Health::Progressing,
        );
        check(json!({ "replicas": 0 }), json!({}), Health::Suspended);
        check(
            json!({ "paused": true }),
            replicas(1, 1, 1, 0),
            Health::Suspended,
        );
        let late = saying(
            replicas(2, 0, 0, 2),
            "Progressing",
            "False",
            "ProgressDeadlineExceeded",
        );
        check(two(), late, Health::Degraded);
        let lost = saying(
            replicas(2, 0, 0, 2),
            "Progressing",
            "True",
            "NewReplicaSetAvailable",
        );
        check(two(), lost, Health::Degraded);
        let started = saying(
            replicas(2, 0, 0, 2),
            "Progressing",
            "True",
            "ReplicaSetUpdated",
        );
        check(two(), started, Health::Progressing);
        let partly = saying(replicas(1, 1, 1, 1), "Available", "False", "Minimum");
        check(two(), partly, Health::Degraded);
    }

    #[test]
    fn tasks() {
        check("Job", json!({}), json!({}), Health::Progressing);
        check(
            "Job",
            json!({ "suspend": true }),
            json!({}),
            Health::Suspended,
        );
        check(
            "Job",
            json!({}),
            saying(json!({}), "Failed", "True", "Backoff"),
            Health::Degraded,
        );
        check(
            "Job",
            json!({}),
            saying(json!({}), "Complete", "True", ""),
            Health::Healthy,
        );
        check("CronJob", json!({}), json!({}), Health::Progressing);
        check(
            "CronJob",
            json!({ "suspend": true }),
            json!({}),
            Health::Suspended,
        );
        check(
            "CronJob",
            json!({}),
            json!({ "lastScheduleTime": "t" }),
            Health::Healthy,
        );
        check(
            "CronJob",
            json!({}),
            json!({ "active": [{}] }),
            Health::Progressing,
        );
    }

    #[test]
    fn others() {
        check("ConfigMap", json!({}), json!({}), Health::Healthy);
        let waiting = json!({ "reason": "ImagePullBackOff", "message": "no such image" });
        let pod =
            json!({ "containerStatuses": [{ "name": "main", "state": { "waiting": waiting } }] });
        check("Pod", json!({}), pod, Health::Degraded);
        let refused = saying(json!({}), "Accepted", "False", "NotAllowed");
        check(
            "HTTPRoute",
            json!({}),
            json!({ "parents": [refused] }),
            Health::Degraded,
        );
    }
}
