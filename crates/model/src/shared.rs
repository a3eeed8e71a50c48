//! Values that several kinds are made of.

use std::borrow::Cow;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::check::Checker;
use crate::promotion::Part;
use crate::{names, schema};

/// The project something belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProjectOwner {
    /// The name of the project.
    #[schemars(length(min = 1))]
    pub project_name: String,
}

/// The component something belongs to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_field_names, reason = "the names manifests have")]
pub struct ComponentOwner {
    /// The name of the component's project.
    #[schemars(length(min = 1))]
    pub project_name: String,
    /// The name of the component.
    #[schemars(length(min = 1))]
    pub component_name: String,
    /// The deployment track of the component; left out, it is its main line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub track_name: Option<String>,
}

impl ComponentOwner {
    /// A line of a component: its main line, or a track.
    pub fn new(project: &str, component: &str, track: Option<&str>) -> Self {
        Self {
            project_name: project.to_owned(),
            component_name: component.to_owned(),
            track_name: track.map(str::to_owned),
        }
    }

    /// What this line of the component is called: the component, or its track.
    pub fn line(&self) -> Cow<'_, str> {
        names::line(&self.component_name, self.track_name.as_deref())
    }

    /// What tells this line from every other of the namespace, as in `web` and `web/v2`.
    pub fn line_id(&self) -> Cow<'_, str> {
        names::line_id(&self.component_name, self.track_name.as_deref())
    }

    /// The line as something that is promoted.
    pub fn part(&self) -> Part<'_> {
        Part::line(&self.component_name, self.track_name.as_deref())
    }

    pub(crate) fn check(&self, out: &mut Checker) {
        out.filled("owner.projectName", &self.project_name);
        out.filled("owner.componentName", &self.component_name);
        if let Some(track) = &self.track_name {
            out.filled("owner.trackName", track);
        }
    }
}

/// The managed resource something belongs to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResourceOwner {
    /// The name of the resource's project.
    #[schemars(length(min = 1))]
    pub project_name: String,
    /// The name of the resource.
    #[schemars(length(min = 1))]
    pub resource_name: String,
}

impl ResourceOwner {
    pub(crate) fn check(&self, field: &str, out: &mut Checker) {
        out.filled(&format!("{field}.projectName"), &self.project_name);
        out.filled(&format!("{field}.resourceName"), &self.resource_name);
    }
}

/// What components may call besides what their connections to other components ask for.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Egress {
    /// Nothing outside but the external connections that their workloads declare, or that they are given.
    #[default]
    Closed,
    /// Of the external connections that their workloads declare only those that an `ExternalConnection`
    /// covers.
    Approved,
    /// Their external connections, their own cell and the internet, but no other cell, host or private network;
    /// for applications whose connections are not declared.
    Open,
}

/// A schema for the values that a type or trait takes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SchemaSection {
    /// A structural `OpenAPI` schema; `$defs` and references to them are allowed.
    #[serde(
        rename = "openAPIV3Schema",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(schema_with = "schema::free_form")]
    pub open_api_v3_schema: Option<Value>,
}

/// A rule that must hold before anything is rendered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ValidationRule {
    /// A `${...}` expression that must be true.
    #[schemars(regex(pattern = schema::EXPRESSION))]
    pub rule: String,
    /// What to say when it is not.
    #[schemars(length(min = 1))]
    pub message: String,
}

/// The rules that must hold before rendering, under whichever of their two names they are written.
pub(crate) fn rules_before<'r>(
    older: &'r [ValidationRule],
    rules: &'r [ValidationRule],
) -> &'r [ValidationRule] {
    if rules.is_empty() { older } else { rules }
}

/// The plane an object is sent to.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum TargetPlane {
    /// Where workloads run.
    #[default]
    DataPlane,
    /// Where they are watched.
    ObservabilityPlane,
}

/// A template of one object, or of one object per element of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = schema::rules(&[schema::LOOP])))]
pub struct ResourceTemplate {
    /// Names the template within its type.
    #[schemars(length(min = 1))]
    pub id: String,
    /// Where the objects go.
    #[serde(default)]
    pub target_plane: TargetPlane,
    /// A `${...}` condition; the template is left out when it is false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = schema::EXPRESSION))]
    pub include_when: Option<String>,
    /// A `${...}` list or map; the template is rendered once per element.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = schema::EXPRESSION))]
    pub for_each: Option<String>,
    /// The name of the element in the template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = schema::VARIABLE))]
    pub var: Option<String>,
    /// The object, with `${...}` anywhere in it.
    #[schemars(schema_with = "schema::free_form")]
    pub template: Value,
}

/// One environment variable of a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = schema::value_or_reference()))]
pub struct EnvVar {
    /// The name of the variable.
    #[schemars(length(min = 1))]
    pub key: String,
    /// Its value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// Where its value is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_from: Option<ValueFrom>,
}

/// One file of a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = schema::value_or_reference()))]
pub struct FileVar {
    /// The name of the file.
    #[schemars(length(min = 1))]
    pub key: String,
    /// The folder it appears in.
    #[schemars(length(min = 1))]
    pub mount_path: String,
    /// Its content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// Where its content is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_from: Option<ValueFrom>,
}

/// A value kept elsewhere.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ValueFrom {
    /// A key of a `SecretReference` in the same namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_key_ref: Option<SecretKeyRef>,
    /// A key of a `ConfigurationGroup` in the same namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub configuration_group_ref: Option<ConfigurationKeyRef>,
}

/// A key of a `ConfigurationGroup`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConfigurationKeyRef {
    /// The name of the `ConfigurationGroup`.
    #[schemars(length(min = 1))]
    pub name: String,
    /// The key in it.
    #[schemars(length(min = 1))]
    pub key: String,
    /// Whether a changed value replaces what runs. Otherwise containers that are running keep the
    /// variables they were started with, and see a changed file as it is.
    #[serde(default, skip_serializing_if = "schema::is_false")]
    pub restart_on_change: bool,
}

/// A whole `ConfigurationGroup`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConfigurationGroupRef {
    /// The name of the `ConfigurationGroup`.
    #[schemars(length(min = 1))]
    pub name: String,
    /// Whether a changed value replaces what runs. Otherwise containers that are running keep the
    /// variables they were started with, and see changed files as they are.
    #[serde(default, skip_serializing_if = "schema::is_false")]
    pub restart_on_change: bool,
}

/// A key of a `SecretReference`: one of its `data[].secretKey`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct SecretKeyRef {
    /// The name of the `SecretReference`.
    #[schemars(length(min = 1))]
    pub name: String,
    /// The key in it.
    #[schemars(length(min = 1))]
    pub key: String,
}

/// A key of a secret or config map on the plane it is used on.
#[derive(
    Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub struct KeyRef {
    /// The name of the secret or config map.
    #[schemars(length(min = 1))]
    pub name: String,
    /// The key in it.
    #[schemars(length(min = 1))]
    pub key: String,
}

/// A release that a project or resource made last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LatestRelease {
    /// The name of the release.
    pub name: String,
    /// The hash of what it holds.
    pub hash: String,
}

/// What is reported about an object that has nothing to report but how it is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Observed {
    /// The generation this status is about.
    #[serde(skip_serializing_if = "schema::is_zero")]
    pub observed_generation: i64,
    /// How the object is.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// What is reported about an object that is frozen in releases.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Released {
    /// The generation this status is about.
    #[serde(skip_serializing_if = "schema::is_zero")]
    pub observed_generation: i64,
    /// How the object is.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// The release made last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latest_release: Option<LatestRelease>,
}

/// Whether agents of a plane are connected.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AgentConnection {
    /// Whether any agent is connected.
    pub connected: bool,
    /// How many are.
    pub connected_agents: i32,
    /// When an agent connected last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_connected_time: Option<Time>,
    /// When an agent was lost last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_disconnected_time: Option<Time>,
    /// When an agent was heard last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_heartbeat_time: Option<Time>,
    /// What a person should know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}
