//! The compiler: snapshots of the platform's objects in, Kubernetes objects out.
//!
//! Every function here is pure: the same snapshot gives the same result on every machine. Nothing
//! knows a client, a clock or a file, and nothing rendered ever depends on the order of a hash map.
//! A compilation always returns everything it found out, diagnostics included; when one of them is
//! an error there are no objects, so nothing half-rendered is ever applied.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

pub mod api;
pub mod check;
pub mod connections;
pub mod diagnostic;
pub mod explain;
pub mod external;
pub mod fleet;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
pub mod groups;
pub mod history;
pub mod plan;
pub mod pointer;
pub mod release;
pub mod schema;
pub mod snapshot;
pub mod type_schema;
pub mod workflow;
pub mod workflow_rules;

mod bench;
mod canonical;
mod component;
mod configurations;
mod context;
mod dialect;
mod egress_gateway;
mod endpoints;
mod finish;
mod freezer;
mod manifest;
mod manifests;
mod network_policy;
mod origin;
mod parallel;
mod parameters;
mod programs;
mod project;
mod protocol_schema;
mod resource;
mod resource_dependencies;
mod resource_outputs;
mod result;
mod settings;
mod traits;
mod upstream;
mod uses;
mod validations;

/// A digest of `value`: what says the same has the same.
pub fn digest(value: &impl serde::Serialize) -> String {
    canonical::digest(&canonical::text(value))
}

pub use api::{ApiSnapshot, compile_api};
pub use choreo_template::source::{self, Place};
pub use choreo_template::{Tree, tree};
pub use component::{compile_component, explain_component};
pub use diagnostic::{Code, Diagnostic, Severity};
pub use origin::{Cause, Looped, Made, Origin, Trail, leaves};
pub use programs::Programs;
pub use project::{compile_project, explain_project};
pub use resource::{CompiledResource, compile_resource, explain_resource};
pub use resource_dependencies::serves;
pub use resource_outputs::{Readiness, UnresolvedOutput};
pub use result::{Compiled, Provenance, Rendered};
pub use snapshot::{ComponentSnapshot, Lent, ProjectSnapshot, ResourceSnapshot, WorkflowSnapshot};
pub use workflow::{CompiledWorkflow, compile_workflow, explain_workflow};
