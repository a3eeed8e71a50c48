//! Statuses of policies: what became of each at each Gateway it concerns.

use serde_json::{Value, json};

use super::{
    objects::Resource,
    status::{CONTROLLER, Problem, Status, state},
};

/// The most ancestors that a status may name.
const MAX_ANCESTORS: usize = 16;

/// What became of a policy at one ancestor; `types` are the conditions that are told.
pub(super) fn ancestor(
    reference: &Value,
    generation: i64,
    types: &[&str],
    problems: &[Problem],
) -> Value {
    let mut conditions: Vec<Value> = types
        .iter()
        .map(|kind| state(kind, generation, problems, kind))
        .collect();
    for condition in &mut conditions {
        if condition["type"] == "Overridden" {
            // True is what the others call false.
            let overridden = condition["status"] == "False";
            condition["status"] = json!(if overridden { "True" } else { "False" });
        }
    }
    conditions.retain(|c| c["type"] != "Overridden" || c["status"] == "True");
    json!({
        "ancestorRef": reference,
        "controllerName": CONTROLLER,
        "conditions": conditions,
    })
}

/// The status of a policy.
pub(super) fn status<S>(
    kind: &'static str,
    policy: &Resource<S>,
    mut ancestors: Vec<Value>,
) -> Status {
    ancestors.truncate(MAX_ANCESTORS);
    Status {
        kind,
        namespace: policy.namespace.clone(),
        name: policy.name.clone(),
        value: json!({"ancestors": ancestors}),
    }
}
