//! Autoscalers of `autoscaling/v1` know one metric, the use of processors; they are kept as those of
//! `autoscaling/v2`. What the older version has no fields for stands in annotations there, in the
//! form of a version that was given up.

use serde_json::{Map, Value, json};

use super::Kept;
use crate::{
    builtin::read::{at, text},
    object::member_mut,
};

/// How autoscalers of `autoscaling/v1` are kept.
pub(in crate::builtin) static AUTOSCALER: Kept = Kept {
    as_of: "autoscaling/v2",
    keep,
    show,
};

const METRICS: &str = "autoscaling.alpha.kubernetes.io/metrics";
const CURRENT: &str = "autoscaling.alpha.kubernetes.io/current-metrics";
const CONDITIONS: &str = "autoscaling.alpha.kubernetes.io/conditions";
const BEHAVIOR: &str = "autoscaling.alpha.kubernetes.io/behavior";
const ANNOTATIONS: [&str; 4] = [METRICS, CURRENT, CONDITIONS, BEHAVIOR];
/// The use of processors to keep to, and the one there is.
const TARGET: &str = "targetCPUUtilizationPercentage";
const USE: &str = "currentCPUUtilizationPercentage";

/// A member of a metric in the annotations, where the metric has it, and what is written if it has
/// not.
type Place = (&'static str, &'static str, Option<&'static str>);

/// The places of each sort of metrics.
type Sorts = [(&'static str, &'static [Place]); 5];

/// In metrics that are wanted.
const WANTED: Sorts = [
    (
        "object",
        &[
            ("target", "describedObject", None),
            ("metricName", "metric.name", None),
            ("selector", "metric.selector", None),
            ("targetValue", "target.value", Some("0")),
            ("averageValue", "target.averageValue", None),
        ],
    ),
    (
        "pods",
        &[
            ("metricName", "metric.name", None),
            ("selector", "metric.selector", None),
            ("targetAverageValue", "target.averageValue", Some("0")),
        ],
    ),
    ("resource", &RESOURCE),
    ("containerResource", &RESOURCE),
    (
        "external",
        &[
            ("metricName", "metric.name", None),
            ("metricSelector", "metric.selector", None),
            ("targetValue", "target.value", None),
            ("targetAverageValue", "target.averageValue", None),
        ],
    ),
];

/// In metrics that are measured.
const MEASURED: Sorts = [
    (
        "object",
        &[
            ("target", "describedObject", None),
            ("metricName", "metric.name", None),
            ("selector", "metric.selector", None),
            ("currentValue", "current.value", Some("0")),
            ("averageValue", "current.averageValue", None),
        ],
    ),
    (
        "pods",
        &[
            ("metricName", "metric.name", None),
            ("selector", "metric.selector", None),
            ("currentAverageValue", "current.averageValue", Some("0")),
        ],
    ),
    ("resource", &RESOURCE_MEASURED),
    ("containerResource", &RESOURCE_MEASURED),
    (
        "external",
        &[
            ("metricName", "metric.name", None),
            ("metricSelector", "metric.selector", None),
            ("currentValue", "current.value", Some("0")),
            ("currentAverageValue", "current.averageValue", None),
        ],
    ),
];

const RESOURCE: [Place; 4] = [
    ("name", "name", None),
    ("container", "container", None),
    (
        "targetAverageUtilization",
        "target.averageUtilization",
        None,
    ),
    ("targetAverageValue", "target.averageValue", None),
];

const RESOURCE_MEASURED: [Place; 4] = [
    ("name", "name", None),
    ("container", "container", None),
    (
        "currentAverageUtilization",
        "current.averageUtilization",
        None,
    ),
    ("currentAverageValue", "current.averageValue", Some("0")),
];

/// To `autoscaling/v1`.
fn show(fields: &mut Map<String, Value>) {
    drop_annotations(fields);
    let mut notes = Vec::new();
    if let Some(spec) = fields.get_mut("spec").and_then(Value::as_object_mut) {
        if let Some(metrics) = spec.remove("metrics") {
            let (of_processors, others): (Vec<_>, Vec<_>) =
                items(&metrics).partition(|metric| use_of_processors(metric, "target").is_some());
            let target = of_processors.first();
            let target = target.and_then(|metric| use_of_processors(metric, "target"));
            spec.extend(target.map(|target| (TARGET.to_owned(), target.clone())));
            notes.push((
                METRICS,
                others.iter().map(|one| older(one, &WANTED)).collect(),
            ));
        }
        if let Some(behavior) = spec.remove("behavior") {
            notes.push((BEHAVIOR, initials(behavior, char::to_ascii_uppercase)));
        }
    }
    if let Some(status) = fields.get_mut("status").and_then(Value::as_object_mut) {
        if let Some(metrics) = status.remove("currentMetrics") {
            let now = items(&metrics).filter_map(|metric| use_of_processors(metric, "current"));
            status.extend(now.last().map(|now| (USE.to_owned(), now.clone())));
            notes.push((
                CURRENT,
                items(&metrics).map(|one| older(one, &MEASURED)).collect(),
            ));
        }
        notes.extend(status.remove("conditions").map(|all| (CONDITIONS, all)));
        status.entry("currentReplicas").or_insert(json!(0));
    }
    notes.retain(|(_, value)| !value.is_null() && *value != json!([]));
    for (name, value) in notes {
        annotations(fields).insert(name.to_owned(), Value::from(value.to_string()));
    }
}

/// To `autoscaling/v2`.
fn keep(fields: &mut Map<String, Value>) {
    let [metrics, current, conditions, behavior] =
        ANNOTATIONS.map(|name| note(fields, name).filter(|value| !value.is_null()));
    drop_annotations(fields);
    if let Some(spec) = fields.get_mut("spec").and_then(Value::as_object_mut) {
        let mut all: Vec<Value> = metrics
            .iter()
            .flat_map(items)
            .map(|one| newer(one, &WANTED))
            .collect();
        all.extend(spec.remove(TARGET).map(|target| {
            json!({"type": "Resource", "resource": {"name": "cpu",
                "target": {"type": "Utilization", "averageUtilization": target}}})
        }));
        if !all.is_empty() {
            spec.insert("metrics".to_owned(), all.into());
        }
        let behavior = behavior.map(|all| initials(all, char::to_ascii_lowercase));
        spec.extend(behavior.map(|behavior| ("behavior".to_owned(), behavior)));
    }
    if let Some(status) = fields.get_mut("status").and_then(Value::as_object_mut) {
        let now = status.remove(USE).map(|now| {
            json!([{"type": "Resource", "resource": {"name": "cpu",
                "current": {"averageUtilization": now}}}])
        });
        let current = current.map(|all| items(&all).map(|one| newer(one, &MEASURED)).collect());
        status.extend(
            current
                .or(now)
                .map(|all| ("currentMetrics".to_owned(), all)),
        );
        status.extend(conditions.map(|all| ("conditions".to_owned(), all)));
    }
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

/// The share that a metric says, if it is about the use of processors.
fn use_of_processors<'a>(metric: &'a Value, figures: &str) -> Option<&'a Value> {
    let source = at(metric, "resource");
    let wanted = text(metric, "type") == "Resource" && text(source, "name") == "cpu";
    let share = source.get(figures)?.get("averageUtilization")?;
    (wanted && !share.is_null()).then_some(share)
}

/// A metric as annotations have it.
fn older(metric: &Value, sorts: &Sorts) -> Value {
    let mut made = json!({"type": text(metric, "type")});
    for (sort, places) in sorts {
        let Some(source) = metric.get(sort).filter(|source| !source.is_null()) else {
            continue;
        };
        made[sort] = places
            .iter()
            .filter_map(|(name, path, missing)| {
                let value = Some(at(source, path)).filter(|value| !value.is_null());
                let value = value.cloned().or_else(|| missing.map(Value::from))?;
                Some(((*name).to_owned(), value))
            })
            .collect::<Map<_, _>>()
            .into();
    }
    made
}

/// A metric that annotations have.
fn newer(metric: &Value, sorts: &Sorts) -> Value {
    let mut made = json!({"type": text(metric, "type")});
    for (sort, places) in sorts {
        let Some(given) = metric.get(sort).filter(|source| !source.is_null()) else {
            continue;
        };
        let mut source = Map::new();
        for (name, path, missing) in *places {
            let value = given.get(name).filter(|value| !value.is_null());
            if let Some(value) = value.cloned().or_else(|| missing.map(Value::from)) {
                put(&mut source, path, value);
            }
        }
        if let Some(target) = source.get_mut("target") {
            target["type"] = json!(target_type(sort, target));
        }
        made[sort] = source.into();
    }
    made
}

fn put(object: &mut Map<String, Value>, path: &str, value: Value) {
    match path.split_once('.') {
        None => {
            object.insert(path.to_owned(), value);
        }
        Some((name, rest)) => {
            let below = object.entry(name).or_insert_with(|| json!({}));
            if let Value::Object(below) = below {
                put(below, rest, value);
            }
        }
    }
}

/// What sort of target it is, which the older form does not say.
fn target_type(sort: &str, target: &Value) -> &'static str {
    let has = |name: &str| target.get(name).is_some();
    if has("averageUtilization") {
        "Utilization"
    } else if has("averageValue") && !(sort == "external" && has("value")) {
        "AverageValue"
    } else if has("value") {
        "Value"
    } else {
        "AverageValue"
    }
}

/// The same with other first letters of the names of members: the annotation of the behaviour has
/// capital ones.
fn initials(value: Value, first: fn(&char) -> char) -> Value {
    match value {
        Value::Array(items) => items
            .into_iter()
            .map(|item| initials(item, first))
            .collect(),
        Value::Object(members) => {
            let members = members.into_iter().filter(|(_, value)| !value.is_null());
            let members = members.map(|(name, value)| {
                let mut letters = name.chars();
                let name: String = letters.next().iter().map(first).chain(letters).collect();
                (name, initials(value, first))
            });
            Value::Object(members.collect())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value,
    }
}

fn annotations(fields: &mut Map<String, Value>) -> &mut Map<String, Value> {
    let metadata = fields.entry("metadata").or_insert_with(|| json!({}));
    member_mut(metadata, "annotations")
}

/// What an annotation holds. One that cannot be read is none.
fn note(fields: &Map<String, Value>, name: &str) -> Option<Value> {
    let all = fields.get("metadata")?.get("annotations")?;
    serde_json::from_str(all.get(name)?.as_str()?).ok()
}

/// They are those that a conversion writes, whatever else is said.
fn drop_annotations(fields: &mut Map<String, Value>) {
    let metadata = fields.get_mut("metadata").and_then(Value::as_object_mut);
    let Some(metadata) = metadata else {
        return;
    };
    let Some(all) = metadata
        .get_mut("annotations")
        .and_then(Value::as_object_mut)
    else {
        return;
    };
    let before = all.len();
    all.retain(|name, _| !ANNOTATIONS.contains(&name.as_str()));
    if all.is_empty() && before > 0 {
        metadata.remove("annotations");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(convert: fn(&mut Map<String, Value>), mut object: Value, wanted: &Value) {
        convert(object.as_object_mut().unwrap());
        assert_eq!(&object, wanted);
    }

    #[test]
    fn the_use_of_processors_is_a_field() {
        let older = json!({"spec": {"maxReplicas": 3, TARGET: 50}});
        let newer = json!({"spec": {"maxReplicas": 3, "metrics": [{"type": "Resource",
            "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}}]}});
        check(show, newer.clone(), &older);
        check(keep, older, &newer);
    }

    /// Whatever the older version has no fields for comes back.
    #[test]
    fn the_rest_is_told_in_annotations() {
        let metrics = json!([
            {"type": "Object", "object": {"describedObject": {"kind": "Service", "name": "s"},
                "metric": {"name": "m"}, "target": {"type": "Value", "value": "5"}}},
            {"type": "Pods", "pods": {"metric": {"name": "m", "selector": {"matchLabels": {"a": "b"}}},
                "target": {"type": "AverageValue", "averageValue": "5"}}},
            {"type": "Resource", "resource": {"name": "memory",
                "target": {"type": "Utilization", "averageUtilization": 60}}},
            {"type": "ContainerResource", "containerResource": {"name": "cpu", "container": "c",
                "target": {"type": "AverageValue", "averageValue": "100m"}}},
            {"type": "External", "external": {"metric": {"name": "m"},
                "target": {"type": "Value", "value": "7"}}},
            {"type": "Resource", "resource": {"name": "cpu",
                "target": {"type": "Utilization", "averageUtilization": 70}}},
        ]);
        let object = json!({
            "metadata": {"name": "a"},
            "spec": {"maxReplicas": 3, "metrics": metrics, "behavior": {
                "scaleUp": {"policies": [{"type": "Pods", "value": 1, "periodSeconds": 15}]}}},
            "status": {"currentReplicas": 1, "desiredReplicas": 1,
                "conditions": [{"type": "AbleToScale", "status": "True"}],
                "currentMetrics": [{"type": "Resource", "resource": {"name": "cpu",
                    "current": {"averageUtilization": 3, "averageValue": "5m"}}}]},
        });
        let mut older = object.clone();
        show(older.as_object_mut().unwrap());
        assert_eq!(older["spec"], json!({"maxReplicas": 3, TARGET: 70}));
        assert_eq!(
            older["status"],
            json!({"currentReplicas": 1, "desiredReplicas": 1, USE: 3})
        );
        let annotations = &older["metadata"]["annotations"];
        assert_eq!(annotations.as_object().unwrap().len(), 4);
        assert!(
            annotations[BEHAVIOR]
                .as_str()
                .unwrap()
                .contains("\"PeriodSeconds\":15")
        );
        assert!(
            annotations[METRICS]
                .as_str()
                .unwrap()
                .contains("\"targetValue\":\"5\"")
        );
        check(keep, older, &object);
    }

    #[test]
    fn annotations_that_cannot_be_read_are_dropped() {
        let object = json!({"metadata": {"annotations": {METRICS: "[", "a": "b"}}, "spec": {}});
        let wanted = json!({"metadata": {"annotations": {"a": "b"}}, "spec": {}});
        check(keep, object, &wanted);
    }
}
