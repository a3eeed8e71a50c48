//! Statuses: conditions without times, which the writer adds when something changed.

use serde_json::{Value, json};

use super::{GROUP, objects::ParentRef};

/// The name of this controller in statuses and classes.
pub const CONTROLLER: &str = "choreo.dev/gateway";

/// The whole new status of one object.
#[derive(Debug, Clone, PartialEq)]
pub struct Status {
    /// Kind of the object, of the Gateway API.
    pub kind: &'static str,
    /// Its namespace; empty for cluster-wide kinds.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The status. Conditions have no `lastTransitionTime`; of routes, only our own parents are in it.
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
    pub(super) fn refs(reason: &'static str, message: String) -> Self {
        Self {
            condition: "ResolvedRefs",
            reason,
            message,
        }
    }

    /// A route that is refused.
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

/// The status of a route towards one parent.
pub(super) fn parent(reference: &ParentRef, generation: i64, problems: &[Problem]) -> Value {
    let state = |kind: &str, good: &'static str| {
        let found: Vec<&Problem> = problems.iter().filter(|p| p.condition == kind).collect();
        let messages: Vec<&str> = found.iter().map(|p| p.message.as_str()).collect();
        let message = messages.join("; ");
        let state = match found.first() {
            Some(problem) => Err((problem.reason, message.as_str())),
            None => Ok(good),
        };
        condition(kind, generation, state)
    };
    json!({
        "controllerName": CONTROLLER,
        "parentRef": parent_ref(reference),
        "conditions": [
            state("Accepted", "Accepted"),
            state("ResolvedRefs", "ResolvedRefs"),
        ],
    })
}

fn parent_ref(reference: &ParentRef) -> Value {
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
