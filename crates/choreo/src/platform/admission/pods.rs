//! Warnings about what runs: what the node refuses to run, and what it does without, told to whoever
//! writes it and not only by the pods that come of it.

use choreo_apiserver::{AdmissionRequest, Operation};
use choreo_node::pod::{admit, unheeded};
use k8s_openapi::api::core::v1::PodSpec;
use serde_json::Value;

/// Where the specification of pods is in the kinds that have one.
const PLACES: [(&str, &str, &str); 7] = [
    ("", "Pod", "/spec"),
    ("apps", "Deployment", TEMPLATE),
    ("apps", "ReplicaSet", TEMPLATE),
    ("apps", "StatefulSet", TEMPLATE),
    ("apps", "DaemonSet", TEMPLATE),
    ("batch", "Job", TEMPLATE),
    ("batch", "CronJob", "/spec/jobTemplate/spec/template/spec"),
];

const TEMPLATE: &str = "/spec/template/spec";

/// What is to be said of the pods of an object that is made, or whose pods are changed.
pub(super) fn warnings(request: &AdmissionRequest<'_>) -> Vec<String> {
    if !matches!(request.operation, Operation::Create | Operation::Update) {
        return Vec::new();
    }
    let resource = request.resource;
    let mut places = PLACES.iter();
    let found = places.find(|(group, kind, _)| resource.group == *group && resource.kind == *kind);
    let Some((_, _, place)) = found else {
        return Vec::new();
    };
    of(place, &request.object, request.old)
}

fn of(place: &str, object: &Value, old: Option<&Value>) -> Vec<String> {
    let spec = object.pointer(place);
    if spec.is_none() || spec == old.and_then(|old| old.pointer(place)) {
        return Vec::new();
    }
    // What cannot be read is told by the checks of its kind.
    let Some(Ok(spec)) = spec.map(|spec| serde_json::from_value::<PodSpec>(spec.clone())) else {
        return Vec::new();
    };
    let refused = admit::never(&spec).map(|why| format!("the node does not run such pods: {why}"));
    refused
        .into_iter()
        .chain(unheeded::of_spec(&spec))
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_runs_otherwise_is_said_once() {
        let template = |spec: Value| json!({ "spec": { "template": { "spec": spec } } });
        let plain = template(json!({ "containers": [{ "name": "main" }] }));
        let host = template(json!({ "containers": [], "hostNetwork": true }));
        let mine = template(json!({ "containers": [], "schedulerName": "mine" }));
        let check = |object: &Value, old: Option<&Value>, expected: &[&str]| {
            let found = of(TEMPLATE, object, old);
            assert_eq!(found.len(), expected.len(), "{found:?}");
            for (found, expected) in found.iter().zip(expected) {
                assert!(found.contains(expected), "{found}");
            }
        };
        check(&plain, None, &[]);
        check(&host, None, &["does not run such pods: spec.hostNetwork"]);
        check(&mine, Some(&plain), &["spec.schedulerName"]);
        check(&mine, Some(&mine), &[]);
        check(&template(json!({ "containers": 1 })), None, &[]);
    }
}
