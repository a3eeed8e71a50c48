//! What is wrong with an object of the platform, told when it is applied.
//!
//! The rules that a kind's own fields can tell are in the model; here are those that need the
//! language and the schemas: whether schemas can be used, whether every `${...}` parses and can
//! work with what it will see, and whether values satisfy the schemas they were frozen with.

mod authorization;
mod component_type;
mod examiner;
mod file;
mod problems;
mod project_type;
mod release;
mod resource_type;
mod scopes;
mod traits;
mod types;
mod workflow;

pub use file::{Finding, file};

use crate::diagnostic::Diagnostic;
use choreo_model::authz::{AuthzRoleBindingSpec, ClusterAuthzRoleBindingSpec};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Everything wrong with `object`, and with changing `old` into it, that its kind's own check does
/// not tell. An object whose specification did not change is not looked at again, so that what was
/// accepted once never stands in the way of its labels or finalizers.
pub fn object(object: &Value, old: Option<&Value>) -> Vec<Diagnostic> {
    let text = |pointer: &str| {
        object
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let (kind, name) = (
        text("/kind"),
        format!("{}/{}", text("/kind"), text("/metadata/name")),
    );
    let Some(spec) = object.get("spec") else {
        return Vec::new();
    };
    if old.is_some_and(|old| old.get("spec") == Some(spec)) {
        return Vec::new();
    }
    match kind {
        "ComponentType" | "ClusterComponentType" => {
            read(spec, |spec| component_type::check(&name, spec))
        }
        "Trait" | "ClusterTrait" => read(spec, |spec| traits::check(&name, spec)),
        "ProjectType" | "ClusterProjectType" => read(spec, |spec| project_type::check(&name, spec)),
        "ResourceType" | "ClusterResourceType" => {
            read(spec, |spec| resource_type::check(&name, spec))
        }
        "Workflow" | "ClusterWorkflow" => read(spec, |spec| workflow::check(&name, spec)),
        "AuthzRoleBinding" => {
            read::<AuthzRoleBindingSpec>(spec, |spec| authorization::check(&name, spec))
        }
        "ClusterAuthzRoleBinding" => {
            read::<ClusterAuthzRoleBindingSpec>(spec, |spec| authorization::check(&name, spec))
        }
        "ComponentRelease" if old.is_none() => read(spec, |spec| release::check(&name, spec)),
        "ResourceRelease" if old.is_none() => {
            read(spec, |spec| release::check_resource(&name, spec))
        }
        _ => Vec::new(),
    }
}

/// Checks `spec` when it has the form of its kind; that it has not is told elsewhere.
fn read<T: DeserializeOwned>(
    spec: &Value,
    check: impl FnOnce(&T) -> Vec<Diagnostic>,
) -> Vec<Diagnostic> {
    T::deserialize(spec).map_or_else(|_| Vec::new(), |spec| check(&spec))
}
