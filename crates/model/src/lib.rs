//! The kinds of the platform: their types, schemas, validation, names, labels and conditions.
//!
//! Everything that varies per kind is one row of [`registry`]; the definition served by an API,
//! its columns, its checks and the nouns of a command line all derive from that row. The crate
//! knows no client, no clock, no file and nothing asynchronous.

mod check;
#[cfg(test)]
mod check_tests;
mod counted;
mod duration;
mod host;
mod json_schema;
mod kind;
mod object;
mod schema;

pub mod api;
pub mod application;
pub mod authz;
pub mod brakes;
pub mod component_type;
pub mod conditions;
pub mod configuration;
pub mod defaults;
pub mod external;
pub mod finalizers;
pub mod freeze;
pub mod history;
pub mod labels;
pub mod names;
pub mod observability;
pub mod organization;
pub mod plane;
pub mod platform;
pub mod preview;
pub mod project;
pub mod promotion;
pub mod quantity;
pub mod reference;
pub mod release;
pub mod rendered;
pub mod resource;
pub mod resource_type;
pub mod secret;
pub mod shared;
pub mod track;
pub mod traits;
pub mod workflow;

pub use check::{Check, Violation};
pub use defaults::{POLICIES, defaults};
pub use duration::duration;
pub use json_schema::json_schema;
pub use kind::{Column, Kind, Scope, find, registry};
pub use object::{API_VERSION, GROUP, Object, Spec, VERSION};

pub use api::Api;
pub use application::{Component, Workload};
pub use authz::{AuthzRole, AuthzRoleBinding, ClusterAuthzRole, ClusterAuthzRoleBinding};
pub use component_type::{ClusterComponentType, ComponentType};
pub use configuration::ConfigurationGroup;
pub use external::ExternalConnection;
pub use history::DeploymentRecord;
pub use observability::{ObservabilityAlertRule, ObservabilityAlertsNotificationChannel};
pub use organization::Organization;
pub use plane::{
    ClusterDataPlane, ClusterObservabilityPlane, ClusterWorkflowPlane, DataPlane,
    ObservabilityPlane, WorkflowPlane,
};
pub use platform::{DeploymentPipeline, Environment};
pub use preview::PreviewEnvironment;
pub use project::{
    ClusterProjectType, Project, ProjectRelease, ProjectReleaseBinding, ProjectType,
};
pub use promotion::Promotion;
pub use release::{ComponentRelease, ReleaseBinding};
pub use rendered::RenderedRelease;
pub use resource::{Resource, ResourceRelease, ResourceReleaseBinding};
pub use resource_type::{ClusterResourceType, ResourceType};
pub use secret::SecretReference;
pub use track::DeploymentTrack;
pub use traits::{ClusterTrait, Trait};
pub use workflow::{ClusterWorkflow, Workflow, WorkflowRun};
