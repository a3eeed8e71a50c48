//! Columns of pods. The status is a story of its own: it tells the first thing
//! that keeps a pod from running.

use jiff::Timestamp;
use serde_json::Value;

use super::{
    super::read::{flag, has, int, list, text},
    AGE, Column, NAME, column, or, wide,
};
use crate::table::since;

pub(in crate::builtin) const POD: &[Column] = &[
    NAME,
    column("Ready", |pod, _| {
        let summary = summary(pod);
        Value::from(format!("{}/{}", summary.ready, summary.total))
    }),
    column("Status", |pod, _| Value::from(summary(pod).reason)),
    column("Restarts", |pod, now| {
        Value::from(restarts(&summary(pod), now))
    }),
    AGE,
    wide("IP", |pod, _| or(pod, "status.podIP", "<none>")),
    wide("Node", |pod, _| or(pod, "spec.nodeName", "<none>")),
    wide("Nominated Node", |pod, _| {
        or(pod, "status.nominatedNodeName", "<none>")
    }),
    wide("Readiness Gates", |pod, _| Value::from(gates(pod))),
];

/// What the containers of a pod amount to.
struct Summary {
    reason: String,
    ready: usize,
    total: usize,
    restarts: i64,
    last_restart: String,
}

fn summary(pod: &Value) -> Summary {
    let phase = text(pod, "status.phase");
    let own = text(pod, "status.reason");
    let mut summary = Summary {
        reason: if own.is_empty() { phase } else { own }.to_owned(),
        ready: 0,
        total: list(pod, "spec.containers").len(),
        restarts: 0,
        last_restart: String::new(),
    };
    if is_true(pod, "PodScheduled", Some("SchedulingGated")) {
        "SchedulingGated".clone_into(&mut summary.reason);
    }
    let initializing = summary.initialization(pod);
    if !initializing || is_true(pod, "Initialized", None) {
        summary.containers(pod);
    }
    if has(pod, "metadata.deletionTimestamp") {
        if own == "NodeLost" {
            "Unknown".clone_into(&mut summary.reason);
        } else if !["Succeeded", "Failed"].contains(&phase) {
            "Terminating".clone_into(&mut summary.reason);
        }
    }
    summary
}

impl Summary {
    /// Looks at init containers; whether they still hold the pod back.
    fn initialization(&mut self, pod: &Value) -> bool {
        let specs = list(pod, "spec.initContainers");
        let sidecar = |name: &str| {
            specs
                .iter()
                .any(|spec| text(spec, "name") == name && text(spec, "restartPolicy") == "Always")
        };
        self.total += specs
            .iter()
            .filter(|spec| text(spec, "restartPolicy") == "Always")
            .count();
        let mut held = false;
        let mut sidecar_restarts = 0;
        for (position, status) in list(pod, "status.initContainerStatuses").iter().enumerate() {
            self.restarted(status);
            let is_sidecar = sidecar(text(status, "name"));
            if is_sidecar {
                sidecar_restarts += int(status, "restartCount");
            }
            if is_sidecar && flag(status, "started") {
                self.ready += usize::from(flag(status, "ready"));
                continue;
            }
            if let Some(reason) = init_reason(status, position, specs.len()) {
                self.reason = reason;
                held = true;
                break;
            }
        }
        if !held {
            self.restarts = sidecar_restarts;
        }
        held
    }

    fn containers(&mut self, pod: &Value) {
        let mut running = false;
        for status in list(pod, "status.containerStatuses").iter().rev() {
            self.restarted(status);
            let waiting = text(status, "state.waiting.reason");
            if !waiting.is_empty() {
                waiting.clone_into(&mut self.reason);
            } else if has(status, "state.terminated") {
                self.reason = terminated(status);
            } else if flag(status, "ready") && has(status, "state.running") {
                running = true;
                self.ready += 1;
            }
        }
        if self.reason == "Completed" && running {
            let ready = is_true(pod, "Ready", None);
            if ready { "Running" } else { "NotReady" }.clone_into(&mut self.reason);
        }
    }

    fn restarted(&mut self, status: &Value) {
        self.restarts += int(status, "restartCount");
        let ended = text(status, "lastState.terminated.finishedAt");
        if ended > self.last_restart.as_str() {
            ended.clone_into(&mut self.last_restart);
        }
    }
}

fn init_reason(status: &Value, position: usize, total: usize) -> Option<String> {
    if has(status, "state.terminated") {
        let done = int(status, "state.terminated.exitCode") == 0;
        return (!done).then(|| format!("Init:{}", terminated(status)));
    }
    let waiting = text(status, "state.waiting.reason");
    Some(if waiting.is_empty() || waiting == "PodInitializing" {
        format!("Init:{position}/{total}")
    } else {
        format!("Init:{waiting}")
    })
}

fn terminated(status: &Value) -> String {
    let reason = text(status, "state.terminated.reason");
    let signal = int(status, "state.terminated.signal");
    match (reason, signal) {
        ("", 0) => format!("ExitCode:{}", int(status, "state.terminated.exitCode")),
        ("", signal) => format!("Signal:{signal}"),
        (reason, _) => reason.to_owned(),
    }
}

/// Whether a condition is true; with a reason, whether it has that reason.
fn is_true(pod: &Value, kind: &str, reason: Option<&str>) -> bool {
    list(pod, "status.conditions").iter().any(|condition| {
        text(condition, "type") == kind
            && match reason {
                Some(reason) => text(condition, "reason") == reason,
                None => text(condition, "status") == "True",
            }
    })
}

fn restarts(summary: &Summary, now: Timestamp) -> String {
    if summary.restarts == 0 || summary.last_restart.is_empty() {
        return summary.restarts.to_string();
    }
    format!(
        "{} ({} ago)",
        summary.restarts,
        since(&summary.last_restart, now)
    )
}

fn gates(pod: &Value) -> String {
    let gates = list(pod, "spec.readinessGates");
    if gates.is_empty() {
        return "<none>".to_owned();
    }
    let open = gates
        .iter()
        .filter(|gate| is_true(pod, text(gate, "conditionType"), None))
        .count();
    format!("{open}/{}", gates.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(pod: &Value, wanted: [&str; 3]) {
        let now = "2026-01-01T00:05:00Z".parse().unwrap();
        let cells: Vec<Value> = POD[1..4]
            .iter()
            .map(|column| (column.cell)(pod, now))
            .collect();
        assert_eq!(cells, wanted, "{pod}");
    }

    fn pod(status: &Value) -> Value {
        json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "a"}]}, "status": status})
    }

    #[test]
    fn status_tells_what_holds_a_pod_back() {
        check(&pod(&json!({"phase": "Pending"})), ["0/1", "Pending", "0"]);
        check(
            &pod(&json!({"phase": "Running", "containerStatuses": [
                {"name": "a", "ready": true, "restartCount": 0, "state": {"running": {}}}]})),
            ["1/1", "Running", "0"],
        );
        check(
            &pod(&json!({"phase": "Running", "containerStatuses": [
                {"name": "a", "restartCount": 3, "state": {"waiting": {"reason": "CrashLoopBackOff"}},
                 "lastState": {"terminated": {"finishedAt": "2026-01-01T00:00:00Z"}}}]})),
            ["0/1", "CrashLoopBackOff", "3 (5m ago)"],
        );
        check(
            &pod(&json!({"phase": "Failed", "containerStatuses": [
                {"name": "a", "state": {"terminated": {"exitCode": 2}}}]})),
            ["0/1", "ExitCode:2", "0"],
        );
        check(
            &pod(&json!({"phase": "Succeeded", "containerStatuses": [
                {"name": "a", "state": {"terminated": {"exitCode": 0, "reason": "Completed"}}}]})),
            ["0/1", "Completed", "0"],
        );
    }

    #[test]
    fn init_containers_come_first() {
        let mut waiting = pod(&json!({"phase": "Pending", "initContainerStatuses": [
            {"name": "i", "restartCount": 0, "state": {"running": {}}}]}));
        waiting["spec"]["initContainers"] = json!([{"name": "i"}, {"name": "j"}]);
        check(&waiting, ["0/1", "Init:0/2", "0"]);
        waiting["status"]["initContainerStatuses"][0]["state"] =
            json!({"terminated": {"exitCode": 1, "reason": "Error"}});
        check(&waiting, ["0/1", "Init:Error", "0"]);
    }

    #[test]
    fn deletion_shows() {
        let mut going = pod(&json!({"phase": "Running"}));
        going["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        check(&going, ["0/1", "Terminating", "0"]);
    }
}
