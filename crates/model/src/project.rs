//! Projects, their types, and the releases and bindings that make their cells.

use std::num::NonZeroU32;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::application::NoStatus;
use crate::check::{Check, Checker};
use crate::history::HistoryHead;
use crate::object::{Object, Spec};
use crate::reference::{DeploymentPipelineRef, ProjectTypeKind, ProjectTypeRef};
use crate::schema;
use crate::shared::{
    Egress, ProjectOwner, Released, ResourceTemplate, SchemaSection, ValidationRule,
};

/// A bounded context: components that are built and promoted together.
pub type Project = Object<ProjectSpec>;
/// What the cells of projects are made of, in one namespace.
pub type ProjectType = Object<ProjectTypeSpec>;
/// What the cells of projects are made of, in every namespace.
pub type ClusterProjectType = Object<ProjectTypeSpec>;
/// A type and parameters of a project, frozen.
pub type ProjectRelease = Object<ProjectReleaseSpec>;
/// A project release in an environment: its cell.
pub type ProjectReleaseBinding = Object<ProjectReleaseBindingSpec>;

/// What a project should be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProjectSpec {
    /// The environments of the project and the ways between them.
    pub deployment_pipeline_ref: DeploymentPipelineRef,
    /// The type of the project.
    #[serde(rename = "type")]
    #[schemars(extend("x-kubernetes-validations" = schema::immutable()))]
    pub type_: ProjectTypeRef,
    /// Values for the parameters of the type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::free_form")]
    pub parameters: Option<Value>,
    /// How many releases that no binding names are kept, the newest; left out, ten.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release_history_limit: Option<NonZeroU32>,
}

/// What was observed of a project: `Created`, `Ready` and, while being deleted, `Finalizing`.
pub type ProjectStatus = Released;

impl Spec for ProjectSpec {
    type Status = ProjectStatus;
    const KIND: &'static str = "Project";
}

impl Check for ProjectSpec {
    fn check(&self, old: Option<&Self>, out: &mut Checker) {
        if let Some(old) = old {
            out.unchanged("type", &self.type_, &old.type_);
        }
        out.dns_label("type.name", &self.type_.name);
        out.filled(
            "deploymentPipelineRef.name",
            &self.deployment_pipeline_ref.name,
        );
    }
}

/// What a project type makes of a project.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProjectTypeSpec {
    /// Values a project chooses once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters: Option<SchemaSection>,
    /// Values chosen per environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment_configs: Option<SchemaSection>,
    /// Rules that must hold before rendering.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub validations: Vec<ValidationRule>,
    /// What the components of a cell may call besides what their connections ask for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub egress: Option<Egress>,
    /// The objects a cell is made of; among them its namespace.
    #[schemars(length(min = 1))]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["id"]))]
    pub resources: Vec<ResourceTemplate>,
}

impl Spec for ProjectTypeSpec {
    type Status = NoStatus;
    const KIND: &'static str = "ProjectType";
    const CLUSTER_KIND: Option<&'static str> = Some("ClusterProjectType");
}

impl Check for ProjectTypeSpec {
    fn check(&self, _old: Option<&Self>, out: &mut Checker) {
        out.rules("validations", &self.validations);
        out.templates("resources", &self.resources);
    }
}

/// What a project release keeps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = schema::immutable()))]
pub struct ProjectReleaseSpec {
    /// The project the release is of.
    pub owner: ProjectOwner,
    /// The type as it was.
    pub project_type: FrozenProjectType,
    /// The parameters as they were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::free_form")]
    pub parameters: Option<Value>,
}

/// A project type as it was when a release was made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FrozenProjectType {
    /// The kind of the type.
    #[serde(default)]
    pub kind: ProjectTypeKind,
    /// The name of the type.
    pub name: String,
    /// Its specification.
    pub spec: ProjectTypeSpec,
}

impl Spec for ProjectReleaseSpec {
    type Status = NoStatus;
    const KIND: &'static str = "ProjectRelease";
}

impl Check for ProjectReleaseSpec {
    fn check(&self, old: Option<&Self>, out: &mut Checker) {
        if let Some(old) = old {
            out.unchanged("", self, old);
        }
    }
}

/// Which release of a project an environment gets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProjectReleaseBindingSpec {
    /// The project.
    #[schemars(extend("x-kubernetes-validations" = schema::immutable()))]
    pub owner: ProjectOwner,
    /// The environment.
    #[schemars(length(min = 1))]
    #[schemars(extend("x-kubernetes-validations" = schema::immutable()))]
    pub environment: String,
    /// The release; filled once with the latest when left empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub project_release: String,
    /// Values for the type's environment configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::free_form")]
    pub environment_configs: Option<Value>,
}

/// What was observed of a cell.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ProjectReleaseBindingStatus {
    /// The generation this status is about.
    #[serde(skip_serializing_if = "schema::is_zero")]
    pub observed_generation: i64,
    /// `Synced`, `NamespaceReady`, `ResourcesReady`, `Ready` and `Finalizing`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// Where the history of deployments has come to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub history: Option<HistoryHead>,
    /// The namespace of the cell on the data plane.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

impl Spec for ProjectReleaseBindingSpec {
    type Status = ProjectReleaseBindingStatus;
    const KIND: &'static str = "ProjectReleaseBinding";
}

impl Check for ProjectReleaseBindingSpec {
    fn check(&self, old: Option<&Self>, out: &mut Checker) {
        if let Some(old) = old {
            out.unchanged("owner", &self.owner, &old.owner);
            out.unchanged("environment", &self.environment, &old.environment);
        }
        out.filled("owner.projectName", &self.owner.project_name);
        out.filled("environment", &self.environment);
    }
}
