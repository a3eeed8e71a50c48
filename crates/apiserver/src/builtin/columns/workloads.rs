//! Columns of what makes pods.

use jiff::Timestamp;
use serde_json::Value;

use super::{
    super::read::{at, flag, has, int, list, text},
    AGE, Cell, Column, NAME, age, column, count, joined, labels, none, number, or, selector, shown,
    wide,
};
use crate::table::human;

const CONTAINERS: Cell =
    |object, _| Value::from(joined(object, "spec.template.spec.containers", "name"));
const IMAGES: Cell =
    |object, _| Value::from(joined(object, "spec.template.spec.containers", "image"));
const SELECTOR: Cell = |object, _| selector(at(object, "spec.selector"));

pub(in crate::builtin) const DEPLOYMENT: &[Column] = &[
    NAME,
    column("Ready", |object, _| {
        fraction(object, "status.readyReplicas")
    }),
    column("Up-to-date", |object, _| {
        Value::from(int(object, "status.updatedReplicas"))
    }),
    column("Available", |object, _| {
        Value::from(int(object, "status.availableReplicas"))
    }),
    AGE,
    wide("Containers", CONTAINERS),
    wide("Images", IMAGES),
    wide("Selector", SELECTOR),
];

pub(in crate::builtin) const REPLICA_SET: &[Column] = &[
    NAME,
    number("Desired", |object, _| {
        Value::from(int(object, "spec.replicas"))
    }),
    number("Current", |object, _| {
        Value::from(int(object, "status.replicas"))
    }),
    number("Ready", |object, _| {
        Value::from(int(object, "status.readyReplicas"))
    }),
    AGE,
    wide("Containers", CONTAINERS),
    wide("Images", IMAGES),
    wide("Selector", SELECTOR),
];

pub(in crate::builtin) const REPLICATION_CONTROLLER: &[Column] = &[
    NAME,
    number("Desired", |object, _| {
        Value::from(int(object, "spec.replicas"))
    }),
    number("Current", |object, _| {
        Value::from(int(object, "status.replicas"))
    }),
    number("Ready", |object, _| {
        Value::from(int(object, "status.readyReplicas"))
    }),
    AGE,
    wide("Containers", CONTAINERS),
    wide("Images", IMAGES),
    wide("Selector", |object, _| labels(at(object, "spec.selector"))),
];

pub(in crate::builtin) const STATEFUL_SET: &[Column] = &[
    NAME,
    column("Ready", |object, _| {
        fraction(object, "status.readyReplicas")
    }),
    AGE,
    wide("Containers", CONTAINERS),
    wide("Images", IMAGES),
];

pub(in crate::builtin) const DAEMON_SET: &[Column] = &[
    NAME,
    number("Desired", |object, _| {
        Value::from(int(object, "status.desiredNumberScheduled"))
    }),
    number("Current", |object, _| {
        Value::from(int(object, "status.currentNumberScheduled"))
    }),
    number("Ready", |object, _| {
        Value::from(int(object, "status.numberReady"))
    }),
    number("Up-to-date", |object, _| {
        Value::from(int(object, "status.updatedNumberScheduled"))
    }),
    number("Available", |object, _| {
        Value::from(int(object, "status.numberAvailable"))
    }),
    column("Node Selector", |object, _| {
        labels(at(object, "spec.template.spec.nodeSelector"))
    }),
    AGE,
    wide("Containers", CONTAINERS),
    wide("Images", IMAGES),
    wide("Selector", SELECTOR),
];

pub(in crate::builtin) const JOB: &[Column] = &[
    NAME,
    column("Status", |object, _| Value::from(job_status(object))),
    column("Completions", |object, _| Value::from(completions(object))),
    column("Duration", |object, now| Value::from(duration(object, now))),
    AGE,
    wide("Containers", CONTAINERS),
    wide("Images", IMAGES),
    wide("Selector", SELECTOR),
];

pub(in crate::builtin) const CRON_JOB: &[Column] = &[
    NAME,
    column("Schedule", |object, _| or(object, "spec.schedule", "")),
    column("Timezone", |object, _| {
        or(object, "spec.timeZone", "<none>")
    }),
    Column {
        name: "Suspend",
        kind: "boolean",
        priority: 0,
        cell: |object, _| {
            Value::from(if flag(object, "spec.suspend") {
                "True"
            } else {
                "False"
            })
        },
    },
    number("Active", |object, _| count(object, "status.active")),
    column("Last Schedule", |object, now| {
        if has(object, "status.lastScheduleTime") {
            age(object, "status.lastScheduleTime", now)
        } else {
            Value::from("<none>")
        }
    }),
    AGE,
    wide("Containers", |object, _| {
        Value::from(joined(
            object,
            "spec.jobTemplate.spec.template.spec.containers",
            "name",
        ))
    }),
    wide("Images", |object, _| {
        Value::from(joined(
            object,
            "spec.jobTemplate.spec.template.spec.containers",
            "image",
        ))
    }),
    wide("Selector", |object, _| {
        selector(at(object, "spec.jobTemplate.spec.selector"))
    }),
];

pub(in crate::builtin) const CONTROLLER_REVISION: &[Column] = &[
    NAME,
    column("Controller", |object, _| {
        let owners = list(object, "metadata.ownerReferences");
        let owner = owners.iter().find(|owner| flag(owner, "controller"));
        Value::from(owner.map_or_else(
            || "<none>".to_owned(),
            |owner| {
                let kind = text(owner, "kind").to_lowercase();
                let group = text(owner, "apiVersion")
                    .split_once('/')
                    .map_or("", |(group, _)| group);
                let dot = if group.is_empty() { "" } else { "." };
                format!("{kind}{dot}{group}/{}", text(owner, "name"))
            },
        ))
    }),
    number("Revision", |object, _| at(object, "revision").clone()),
    AGE,
];

pub(in crate::builtin) const DISRUPTION_BUDGET: &[Column] = &[
    NAME,
    column("Min Available", |object, _| {
        shown(object, "spec.minAvailable", "N/A")
    }),
    column("Max Unavailable", |object, _| {
        shown(object, "spec.maxUnavailable", "N/A")
    }),
    number("Allowed Disruptions", |object, _| {
        Value::from(int(object, "status.disruptionsAllowed"))
    }),
    AGE,
];

pub(in crate::builtin) const AUTOSCALER: &[Column] = &[
    NAME,
    column("Reference", |object, _| {
        let kind = text(object, "spec.scaleTargetRef.kind");
        Value::from(format!(
            "{kind}/{}",
            text(object, "spec.scaleTargetRef.name")
        ))
    }),
    column("Targets", |object, _| Value::from(targets(object))),
    column("MinPods", |object, _| {
        shown(object, "spec.minReplicas", "<unset>")
    }),
    column("MaxPods", |object, _| {
        at(object, "spec.maxReplicas").clone()
    }),
    column("Replicas", |object, _| {
        Value::from(int(object, "status.currentReplicas"))
    }),
    AGE,
];

fn fraction(object: &Value, path: &str) -> Value {
    Value::from(format!(
        "{}/{}",
        int(object, path),
        int(object, "spec.replicas")
    ))
}

fn job_status(job: &Value) -> &'static str {
    let holds = |kind: &str| {
        list(job, "status.conditions")
            .iter()
            .any(|condition| text(condition, "type") == kind && text(condition, "status") == "True")
    };
    if holds("Complete") {
        "Complete"
    } else if holds("Failed") {
        "Failed"
    } else if has(job, "metadata.deletionTimestamp") {
        "Terminating"
    } else if holds("Suspended") {
        "Suspended"
    } else if holds("FailureTarget") {
        "FailureTarget"
    } else if holds("SuccessCriteriaMet") {
        "SuccessCriteriaMet"
    } else {
        "Running"
    }
}

fn completions(job: &Value) -> String {
    let done = int(job, "status.succeeded");
    if has(job, "spec.completions") {
        return format!("{done}/{}", int(job, "spec.completions"));
    }
    let parallel = int(job, "spec.parallelism");
    if parallel > 1 {
        format!("{done}/1 of {parallel}")
    } else {
        format!("{done}/1")
    }
}

fn duration(job: &Value, now: Timestamp) -> String {
    let time = |path| text(job, path).parse::<Timestamp>().ok();
    let Some(start) = time("status.startTime") else {
        return String::new();
    };
    let end = time("status.completionTime").unwrap_or(now);
    human(end.as_second() - start.as_second())
}

/// How many metrics of an autoscaler are shown.
const SHOWN: usize = 2;

fn targets(autoscaler: &Value) -> String {
    let current = list(autoscaler, "status.currentMetrics");
    let wanted = list(autoscaler, "spec.metrics");
    let shown: Vec<String> = wanted
        .iter()
        .take(SHOWN)
        .enumerate()
        .map(|(position, metric)| target(metric, current.get(position)))
        .collect();
    let shown = shown.join(", ");
    match wanted.len().saturating_sub(SHOWN) {
        0 => none(&shown).to_owned(),
        more => format!("{shown} + {more} more..."),
    }
}

/// What a metric is and what it should be.
fn target(metric: &Value, current: Option<&Value>) -> String {
    let source = match text(metric, "type") {
        "Resource" => "resource",
        "ContainerResource" => "containerResource",
        "Pods" => "pods",
        "Object" => "object",
        _ => "external",
    };
    let target = at(at(metric, source), "target");
    let of_resource = matches!(source, "resource" | "containerResource");
    let sort = ["averageValue", "averageUtilization", "value"]
        .into_iter()
        .find(|sort| has(target, sort));
    let Some(sort) = sort else {
        return "<unknown>/<auto>".to_owned();
    };
    let figure = |figures: &Value| match at(figures, sort) {
        Value::String(text) => text.clone(),
        Value::Number(percent) => format!("{percent}%"),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => "<unknown>".to_owned(),
    };
    let now = current.map_or(&Value::Null, |metric| at(at(metric, source), "current"));
    let mut shown = format!("{}/{}", figure(now), figure(target));
    if of_resource {
        shown = format!("{}: {shown}", text(at(metric, source), "name"));
    } else if sort == "averageValue" && source != "pods" {
        shown.push_str(" (avg)");
    }
    shown
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
    fn workloads_count_their_pods() {
        let meta = json!({"name": "w", "creationTimestamp": "2026-01-01T00:00:00Z"});
        check(
            DEPLOYMENT,
            &json!({"metadata": meta, "spec": {"replicas": 2},
                "status": {"readyReplicas": 1, "updatedReplicas": 2, "availableReplicas": 1}}),
            &json!(["w", "1/2", 2, 1, "5m"]),
        );
        check(
            JOB,
            &json!({"metadata": meta, "spec": {"completions": 1}, "status": {"succeeded": 1,
                "startTime": "2026-01-01T00:00:00Z", "completionTime": "2026-01-01T00:00:07Z",
                "conditions": [{"type": "Complete", "status": "True"}]}}),
            &json!(["w", "Complete", "1/1", "7s", "5m"]),
        );
        check(
            CRON_JOB,
            &json!({"metadata": meta, "spec": {"schedule": "* * * * *"}, "status": {}}),
            &json!(["w", "* * * * *", "<none>", "False", 0, "<none>", "5m"]),
        );
        check(
            AUTOSCALER,
            &json!({"metadata": meta, "spec": {"maxReplicas": 3, "minReplicas": 1,
                "scaleTargetRef": {"kind": "Deployment", "name": "d"},
                "metrics": [{"type": "Resource", "resource": {"name": "cpu",
                    "target": {"type": "Utilization", "averageUtilization": 80}}}]}}),
            &json!(["w", "Deployment/d", "cpu: <unknown>/80%", "1", 3, 0, "5m"]),
        );
    }
}
