//! Statuses: conditions without times, which the writer adds when something changed.

use serde_json::{Value, json};

use super::{GROUP, objects::ParentRef};

/// The name of this controller in statuses and classes.
pub const CONTROLLER: &str = "choreo.dev/gateway";
/// The same for classes of Gateways that lead out of cells.
pub const EGRESS_CONTROLLER: &str = "choreo.dev/egress-gateway";
/// The class of Gateways that lead out of cells, also while there is no such object.
pub const EGRESS_CLASS: &str = "openchoreo-egress";

/// The whole new status of one object.
#[derive(Debug, Clone, PartialEq)]
pub struct Status {
    /// Kind of the object.
    pub kind: &'static str,
    /// Its namespace; empty for cluster-wide kinds.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The status. Conditions have no `lastTransitionTime`; of routes and policies, only our own parents
    /// and ancestors are in it.
    pub value: Value,
}

/// Why something was not taken as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) condition: &'static str,
    pub(super) reason: &'static str,
    pub(super) message: String,
}

impl Problem {
    /// A reference that leads nowhere.
    pub(super) fn refs(reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            condition: "ResolvedRefs",
            reason,
            message: message.into(),
        }
    }

    /// An object that is refused.
    pub(super) fn refused(reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            condition: "Accepted",
            reason,
            message: message.into(),
        }
    }

    /// A value that cannot be served.
    pub(super) fn unsupported(message: impl Into<String>) -> Self {
        Self::refused("UnsupportedValue", message)
    }

    /// Listeners that cannot be told apart.
    pub(super) fn conflict(reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            condition: "Conflicted",
            reason,
            message: message.into(),
        }
    }
}

/// A condition; `Err` says why it is false.
pub(super) fn condition(kind: &str, generation: i64, state: Result<&str, (&str, &str)>) -> Value {
    let (status, reason, message) = match state {
        Ok(reason) => ("True", reason, ""),
        Err((reason, message)) => ("False", reason, message),
    };
    json!({
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "observedGeneration": generation,
    })
}

/// The condition that the problems of its type make false; else it is true for the reason `good`.
pub(super) fn state(kind: &str, generation: i64, problems: &[Problem], good: &str) -> Value {
    let found: Vec<&Problem> = problems.iter().filter(|p| p.condition == kind).collect();
    let message = messages(found.iter().copied());
    match found.first() {
        Some(problem) => condition(kind, generation, Err((problem.reason, &message))),
        None => condition(kind, generation, Ok(good)),
    }
}

/// What problems have to say, each thing once.
pub(super) fn messages<'a>(problems: impl Iterator<Item = &'a Problem>) -> String {
    let mut said: Vec<&str> = Vec::new();
    for problem in problems {
        if !said.contains(&problem.message.as_str()) {
            said.push(&problem.message);
        }
    }
    said.join("; ")
}

/// What became of a route at one parent.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// What makes its conditions false.
    pub(super) problems: Vec<Problem>,
    /// Rules that were left out while others are served.
    pub(super) dropped: Vec<Problem>,
}

/// The status of a route towards one parent.
pub(super) fn parent(
    reference: &ParentRef,
    generation: i64,
    controller: &str,
    outcome: &Outcome,
) -> Value {
    let problems = &outcome.problems;
    let mut conditions = vec![
        state("Accepted", generation, problems, "Accepted"),
        state("ResolvedRefs", generation, problems, "ResolvedRefs"),
    ];
    if let Some(first) = outcome.dropped.first() {
        let mut partly = condition("PartiallyInvalid", generation, Ok(first.reason));
        partly["message"] = json!(format!(
            "Dropped Rule: {}",
            messages(outcome.dropped.iter())
        ));
        conditions.push(partly);
    }
    json!({
        "controllerName": controller,
        "parentRef": parent_ref(reference),
        "conditions": conditions,
    })
}

/// A reference to a parent, with what it leaves open filled in.
pub(super) fn parent_ref(reference: &ParentRef) -> Value {
    let mut value = json!({
        "group": reference.group.as_deref().unwrap_or(GROUP),
        "kind": reference.kind.as_deref().unwrap_or("Gateway"),
        "name": reference.name,
    });
    let optional = [
        ("namespace", reference.namespace.as_deref().map(Value::from)),
        (
            "sectionName",
            reference.section_name.as_deref().map(Value::from),
        ),
        ("port", reference.port.map(Value::from)),
    ];
    for (field, given) in optional {
        if let Some(given) = given {
            value[field] = given;
        }
    }
    value
}
