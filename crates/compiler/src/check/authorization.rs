//! Conditions of role bindings: CEL over one variable, `resource`, whose attributes depend on the
//! actions the condition is about.

use super::examiner::Examiner;
use crate::diagnostic::{Code, Diagnostic};
use choreo_model::authz::RoleBindingSpec;
use choreo_template::{Scope, Type};

/// Everything wrong with the conditions of a binding called `object`.
pub(super) fn check<S>(object: &str, spec: &RoleBindingSpec<S>) -> Vec<Diagnostic> {
    let mut examiner = Examiner::new(object);
    for (index, mapping) in spec.role_mappings.iter().enumerate() {
        for (place, condition) in mapping.conditions.iter().enumerate() {
            let pointer = format!("/spec/roleMappings/{index}/conditions/{place}");
            let shared = shared(&condition.actions);
            if shared.is_empty() {
                let pointer = format!("{pointer}/actions");
                let message = "have no attribute in common that a condition could look at";
                examiner.fail(Code::Manifest, &pointer, message);
                continue;
            }
            let mut scope = Scope::new();
            let attributes = shared.into_iter().map(|name| (name, Type::String));
            scope.declare("resource", Type::object(attributes));
            let pointer = format!("{pointer}/expression");
            examiner.expression(&pointer, &condition.expression, &scope);
        }
    }
    examiner.diagnostics
}

/// The attributes that resources have in every one of `actions`.
fn shared(actions: &[String]) -> Vec<&'static str> {
    let mut all = actions.iter().map(|action| attributes(action));
    let first = all.next().unwrap_or_default().to_vec();
    all.fold(first, |mut shared, these| {
        shared.retain(|name| these.contains(name));
        shared
    })
}

/// The attributes that the resource of `action`, written `kind:verb`, has.
fn attributes(action: &str) -> &'static [&'static str] {
    match action.split_once(':').unwrap_or_default() {
        (
            "releasebinding" | "resourcereleasebinding" | "projectreleasebinding",
            "create" | "view" | "update" | "delete" | "*",
        )
        | ("component", "exec")
        | ("logs" | "wirelogs" | "metrics" | "traces", "view" | "*") => &["environment"],
        ("component", "create" | "update" | "delete") => &["componentType"],
        ("resource", "create" | "update" | "delete") => &["resourceType"],
        ("workflowrun", "create" | "update" | "delete") => &["workflow"],
        _ => &[],
    }
}
