//! Rendered releases: the final list of Kubernetes objects for one plane.

use std::borrow::Cow;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::check::{Check, Checker};
use crate::object::{Object, Spec};
use crate::shared::{ComponentOwner, TargetPlane};
use crate::{names, schema};

/// The objects of a component, project or resource in an environment.
pub type RenderedRelease = Object<RenderedReleaseSpec>;

/// The objects to put on a plane.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RenderedReleaseSpec {
    /// What the objects belong to.
    #[schemars(extend("x-kubernetes-validations" = schema::immutable()))]
    pub owner: RenderedOwner,
    /// The environment.
    #[schemars(length(min = 1))]
    pub environment_name: String,
    /// The objects.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<RenderedResource>,
    /// How often a plane without watches is looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = schema::DURATION))]
    pub interval: Option<String>,
    /// The same, while objects are in progress.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = schema::DURATION))]
    pub progressing_interval: Option<String>,
    /// The plane.
    #[serde(default)]
    pub target_plane: TargetPlane,
}

/// What a rendered release belongs to: a project, or a component, resource or API of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = schema::rules(&[(
    "!(has(self.componentName) && has(self.resourceName))",
    "componentName and resourceName are mutually exclusive",
)])))]
#[expect(clippy::struct_field_names, reason = "the names manifests have")]
pub struct RenderedOwner {
    /// The project.
    #[schemars(length(min = 1))]
    pub project_name: String,
    /// The component, if it belongs to one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component_name: Option<String>,
    /// The deployment track of the component; left out, it is its main line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub track_name: Option<String>,
    /// The resource, if it belongs to one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_name: Option<String>,
    /// The API, if it belongs to one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_name: Option<String>,
}

impl From<&ComponentOwner> for RenderedOwner {
    fn from(owner: &ComponentOwner) -> Self {
        Self {
            project_name: owner.project_name.clone(),
            component_name: Some(owner.component_name.clone()),
            track_name: owner.track_name.clone(),
            ..Self::default()
        }
    }
}

impl RenderedOwner {
    /// What the line of the component is called, if it belongs to one.
    pub fn line(&self) -> Option<Cow<'_, str>> {
        let component = self.component_name.as_deref()?;
        Some(names::line(component, self.track_name.as_deref()))
    }

    /// What tells the line of the component from every other, if it belongs to one.
    pub fn line_id(&self) -> Option<Cow<'_, str>> {
        let component = self.component_name.as_deref()?;
        Some(names::line_id(component, self.track_name.as_deref()))
    }
}

/// One object.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RenderedResource {
    /// Identifies the object within the release.
    #[schemars(length(min = 1))]
    pub id: String,
    /// The object.
    // Not as an embedded resource: Kubernetes would store its metadata otherwise than it is written, and
    // what is rendered would never be what is stored.
    #[schemars(schema_with = "schema::free_form")]
    pub object: Value,
}

/// What was observed of the objects.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct RenderedReleaseStatus {
    /// The generation this status is about.
    #[serde(skip_serializing_if = "schema::is_zero")]
    pub observed_generation: i64,
    /// Each object, its status and its health.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<ResourceStatus>,
    /// `ResourcesApplied` and `Finalizing`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

impl Object<RenderedReleaseSpec> {
    /// Whether the status is about what is wanted now.
    pub fn is_told(&self) -> bool {
        let about = self.status.observed_generation;
        about != 0 && about >= self.generation()
    }
}

/// What was observed of one object.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResourceStatus {
    /// Identifies the object within the release.
    pub id: String,
    /// The API group.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// The version.
    pub version: String,
    /// The kind.
    pub kind: String,
    /// The name.
    pub name: String,
    /// The namespace.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// The status of the live object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::free_form")]
    pub status: Option<Value>,
    /// How the live object is.
    #[serde(default)]
    pub health_status: Health,
    /// Why, when something is wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// When this was last different.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_observed_time: Option<Time>,
}

/// How a live object is.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub enum Health {
    /// Not seen yet.
    #[default]
    Unknown,
    /// On its way.
    Progressing,
    /// As wanted.
    Healthy,
    /// Deliberately not running.
    Suspended,
    /// In trouble.
    Degraded,
}

impl Health {
    /// As written in a status.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "Unknown",
            Self::Progressing => "Progressing",
            Self::Healthy => "Healthy",
            Self::Suspended => "Suspended",
            Self::Degraded => "Degraded",
        }
    }
}

impl Spec for RenderedReleaseSpec {
    type Status = RenderedReleaseStatus;
    const KIND: &'static str = "RenderedRelease";
}

impl Check for RenderedReleaseSpec {
    fn check(&self, old: Option<&Self>, out: &mut Checker) {
        if let Some(old) = old {
            out.unchanged("owner", &self.owner, &old.owner);
        }
        out.filled("owner.projectName", &self.owner.project_name);
        out.filled("environmentName", &self.environment_name);
        if self.owner.component_name.is_some() && self.owner.resource_name.is_some() {
            out.add(
                "owner",
                "componentName and resourceName are mutually exclusive",
            );
        }
        for (field, value) in [
            ("interval", &self.interval),
            ("progressingInterval", &self.progressing_interval),
        ] {
            if let Some(value) = value {
                out.matches(field, value, schema::DURATION);
            }
        }
        out.unique("resources", "id", self.resources.iter().map(|one| &one.id));
    }
}
