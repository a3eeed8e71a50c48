//! What a developer writes: components and their workloads.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::check::{Check, Checker};
use crate::counted;
use crate::external::{self, ExternalDependency};
use crate::object::{Object, Spec};
use crate::reference::{COMPONENT_TYPE_NAME, ComponentTypeRef, TraitRef, WorkflowRef};
use crate::schema;
use crate::shared::{ComponentOwner, ConfigurationGroupRef, EnvVar, FileVar, ProjectOwner};

/// One deployable unit of a project.
pub type Component = Object<ComponentSpec>;
/// The image, endpoints and dependencies of a component.
pub type Workload = Object<WorkloadSpec>;

/// What a component should be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ComponentSpec {
    /// The project of the component.
    #[schemars(extend("x-kubernetes-validations" = schema::immutable()))]
    pub owner: ProjectOwner,
    /// The golden path the component follows.
    #[schemars(extend("x-kubernetes-validations" = schema::immutable()))]
    pub component_type: ComponentTypeRef,
    /// Whether every change is released and deployed to the first environment.
    #[serde(default, skip_serializing_if = "schema::is_false")]
    pub auto_deploy: bool,
    /// Whether a push to the source builds the component.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto_build: Option<bool>,
    /// Values for the parameters of the type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::free_form")]
    pub parameters: Option<Value>,
    /// Traits the component adds to those of its type.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub traits: Vec<TraitInstance>,
    /// How the component is built.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workflow: Option<WorkflowInstance>,
    /// How many releases that no binding names are kept, the newest; left out, ten.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release_history_limit: Option<NonZeroU32>,
}

/// A trait, applied once under a name of its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TraitInstance {
    /// The trait.
    #[serde(flatten)]
    pub reference: TraitRef,
    /// Tells instances of one trait apart; unique within the component.
    #[schemars(length(min = 1))]
    pub instance_name: String,
    /// Values for the parameters of the trait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::free_form")]
    pub parameters: Option<Value>,
}

/// A workflow and the values it is run with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WorkflowInstance {
    /// The workflow.
    #[serde(flatten)]
    pub reference: WorkflowRef,
    /// Values for its parameters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::free_form")]
    pub parameters: Option<Value>,
}

/// What was observed of a component.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ComponentStatus {
    /// The generation this status is about.
    #[serde(skip_serializing_if = "schema::is_zero")]
    pub observed_generation: i64,
    /// `Ready` and, while being deleted, `Finalizing`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// The release made last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latest_release: Option<LatestComponentRelease>,
}

/// The release a component made last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LatestComponentRelease {
    /// The name of the release.
    pub name: String,
    /// The hash of what it holds.
    pub release_hash: String,
}

impl Spec for ComponentSpec {
    type Status = ComponentStatus;
    const KIND: &'static str = "Component";
}

impl Check for ComponentSpec {
    fn check(&self, old: Option<&Self>, out: &mut Checker) {
        if let Some(old) = old {
            out.unchanged("owner", &self.owner, &old.owner);
            out.unchanged("componentType", &self.component_type, &old.component_type);
        }
        out.filled("owner.projectName", &self.owner.project_name);
        out.matches(
            "componentType.name",
            &self.component_type.name,
            COMPONENT_TYPE_NAME,
        );
        for (index, instance) in self.traits.iter().enumerate() {
            out.filled(&format!("traits[{index}].name"), &instance.reference.name);
            out.filled(
                &format!("traits[{index}].instanceName"),
                &instance.instance_name,
            );
        }
        out.unique(
            "traits",
            "instanceName",
            self.traits.iter().map(|one| &one.instance_name),
        );
    }
}

/// What a component runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("required" = ["container", "owner"]))]
pub struct WorkloadSpec {
    /// The component the workload belongs to.
    #[schemars(extend("x-kubernetes-validations" = schema::immutable()))]
    pub owner: ComponentOwner,
    /// Everything a release keeps of the workload.
    #[serde(flatten, with = "counted")]
    #[schemars(with = "WorkloadTemplate")]
    pub template: Arc<WorkloadTemplate>,
}

/// The part of a workload that a release keeps.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WorkloadTemplate {
    /// The container. Releases of proxies have none.
    #[serde(default, skip_serializing_if = "Container::is_none")]
    pub container: Container,
    /// What it listens on, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub endpoints: BTreeMap<String, WorkloadEndpoint>,
    /// What it needs from others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dependencies: Option<Dependencies>,
}

/// A container of a workload.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Container {
    /// The image to run.
    #[schemars(length(min = 1))]
    pub image: String,
    /// Replaces the entry point of the image.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// Replaces the arguments of the image.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// Environment variables.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<EnvVar>,
    /// Files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<FileVar>,
    /// Groups whose keys become environment variables. What `env` names counts more, and of several
    /// groups the last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub env_from: Vec<EnvFrom>,
    /// Groups whose keys become files. What `files` names counts more, and of several groups in one
    /// folder the last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files_from: Vec<FilesFrom>,
}

impl Container {
    /// Whether there is no container.
    fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// A group of which every key becomes an environment variable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EnvFrom {
    /// The group.
    pub configuration_group_ref: ConfigurationGroupRef,
    /// What the names of the variables begin with, before the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
}

/// A group of which every key becomes a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FilesFrom {
    /// The folder of the files. It holds nothing else: what the image has there is hidden.
    #[schemars(length(min = 1))]
    pub mount_path: String,
    /// The group.
    pub configuration_group_ref: ConfigurationGroupRef,
}

/// Something a workload listens on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadEndpoint {
    /// The protocol spoken.
    #[serde(rename = "type")]
    pub type_: EndpointType,
    /// The port others call.
    #[schemars(range(min = 1, max = 65535))]
    pub port: u16,
    /// The port the container listens on, when it is another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub target_port: Option<u16>,
    /// Who may call, besides the cell of the component itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub visibility: Vec<Visibility>,
    /// A name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// The path every request starts with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_path: Option<String>,
    /// A description of the interface.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<EndpointSchema>,
}

/// The protocol of an endpoint.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub enum EndpointType {
    /// HTTP.
    #[serde(rename = "HTTP")]
    Http,
    /// gRPC.
    #[serde(rename = "gRPC")]
    Grpc,
    /// GraphQL over HTTP.
    GraphQL,
    /// Web sockets.
    Websocket,
    /// Any protocol over TCP.
    #[serde(rename = "TCP")]
    Tcp,
    /// Any protocol over UDP.
    #[serde(rename = "UDP")]
    Udp,
}

impl EndpointType {
    /// As written in manifests.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "HTTP",
            Self::Grpc => "gRPC",
            Self::GraphQL => "GraphQL",
            Self::Websocket => "Websocket",
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
        }
    }
}

/// Who may call an endpoint.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Visibility {
    /// Components of the same project and environment.
    Project,
    /// Components of any project of the same namespace and environment.
    Namespace,
    /// Callers within the organisation, through the internal gateway.
    Internal,
    /// Anyone, through the external gateway.
    External,
}

impl Visibility {
    /// As written in manifests.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Project => "project",
            Self::Namespace => "namespace",
            Self::Internal => "internal",
            Self::External => "external",
        }
    }
}

/// A description of an interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EndpointSchema {
    /// The language of the description.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub type_: Option<String>,
    /// The description itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
}

/// What a workload needs from others.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Dependencies {
    /// Endpoints of other components.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    pub endpoints: Vec<EndpointDependency>,
    /// Managed resources of the project.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["ref"]))]
    pub resources: Vec<ResourceDependency>,
    /// Hosts outside the platform.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub external: Vec<ExternalDependency>,
}

/// A call to an endpoint of another component.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EndpointDependency {
    /// The project of the other component; left out, the caller's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// The other component.
    #[schemars(length(min = 1))]
    pub component: String,
    /// The deployment track of the other component; left out, its main line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub track: Option<String>,
    /// The name of its endpoint.
    #[schemars(length(min = 1))]
    pub name: String,
    /// How the endpoint is reached.
    pub visibility: DependencyVisibility,
    /// The variables that receive its address.
    pub env_bindings: EnvBindings,
}

/// How a dependency is reached.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum DependencyVisibility {
    /// Within the cell.
    Project,
    /// In another cell of the same namespace and environment.
    Namespace,
}

impl DependencyVisibility {
    /// As written in manifests.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Project => "project",
            Self::Namespace => "namespace",
        }
    }
}

/// The variables that receive the address of a dependency.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct EnvBindings {
    /// Receives the whole address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Receives the host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Receives the port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<String>,
    /// Receives the path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base_path: Option<String>,
}

/// Use of a managed resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResourceDependency {
    /// The resource, in the same project.
    #[serde(rename = "ref")]
    #[schemars(length(min = 1))]
    pub reference: String,
    /// Outputs and the variables that receive them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 50))]
    pub env_bindings: BTreeMap<String, String>,
    /// Outputs and the paths of the files that receive them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 50))]
    pub file_bindings: BTreeMap<String, String>,
}

/// Nothing: no controller reports about workloads.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NoStatus {}

impl Spec for WorkloadSpec {
    type Status = NoStatus;
    const KIND: &'static str = "Workload";
}

impl Check for WorkloadSpec {
    fn check(&self, old: Option<&Self>, out: &mut Checker) {
        if let Some(old) = old {
            out.unchanged("owner", &self.owner, &old.owner);
        }
        self.owner.check(out);
        self.template.check("", out);
    }
}

impl WorkloadTemplate {
    /// Reports what is wrong, with `prefix` before every field.
    pub(crate) fn check(&self, prefix: &str, out: &mut Checker) {
        out.filled(&format!("{prefix}container.image"), &self.container.image);
        check_values(
            &format!("{prefix}container"),
            &self.container.env,
            &self.container.files,
            out,
        );
        for (index, from) in self.container.env_from.iter().enumerate() {
            let field = format!("{prefix}container.envFrom[{index}].configurationGroupRef.name");
            out.filled(&field, &from.configuration_group_ref.name);
        }
        for (index, from) in self.container.files_from.iter().enumerate() {
            let field = format!("{prefix}container.filesFrom[{index}]");
            if !from.mount_path.starts_with('/') || from.mount_path.trim_matches('/').is_empty() {
                out.add(
                    format!("{field}.mountPath"),
                    "must be the path of a folder, as in /etc/app",
                );
            }
            let field = format!("{field}.configurationGroupRef.name");
            out.filled(&field, &from.configuration_group_ref.name);
        }
        for (name, endpoint) in &self.endpoints {
            let field = format!("{prefix}endpoints[{name}]");
            out.port(&format!("{field}.port"), endpoint.port);
            if let Some(port) = endpoint.target_port {
                out.port(&format!("{field}.targetPort"), port);
            }
            let distinct: BTreeSet<_> = endpoint.visibility.iter().collect();
            if distinct.len() != endpoint.visibility.len() {
                out.add(format!("{field}.visibility"), "names a visibility twice");
            }
        }
        if let Some(dependencies) = &self.dependencies {
            check_dependencies(&format!("{prefix}dependencies"), dependencies, out);
        }
    }
}

fn check_dependencies(field: &str, dependencies: &Dependencies, out: &mut Checker) {
    out.at_most(
        &format!("{field}.endpoints"),
        dependencies.endpoints.len(),
        50,
    );
    out.at_most(
        &format!("{field}.resources"),
        dependencies.resources.len(),
        50,
    );
    for (index, endpoint) in dependencies.endpoints.iter().enumerate() {
        out.filled(
            &format!("{field}.endpoints[{index}].component"),
            &endpoint.component,
        );
        out.filled(&format!("{field}.endpoints[{index}].name"), &endpoint.name);
    }
    for (index, resource) in dependencies.resources.iter().enumerate() {
        let field = format!("{field}.resources[{index}]");
        out.filled(&format!("{field}.ref"), &resource.reference);
        for (kind, bindings) in [
            ("envBindings", &resource.env_bindings),
            ("fileBindings", &resource.file_bindings),
        ] {
            out.at_most(&format!("{field}.{kind}"), bindings.len(), 50);
            for (output, target) in bindings {
                if output.is_empty() {
                    out.add(format!("{field}.{kind}"), "must name an output");
                }
                out.filled(&format!("{field}.{kind}[{output}]"), target);
            }
        }
    }
    out.unique(
        &format!("{field}.resources"),
        "ref",
        dependencies.resources.iter().map(|one| &one.reference),
    );
    external::check(&format!("{field}.external"), &dependencies.external, out);
}

/// Reports variables and files that have no value, two values, or no name.
pub(crate) fn check_values(field: &str, env: &[EnvVar], files: &[FileVar], out: &mut Checker) {
    for (index, one) in env.iter().enumerate() {
        let field = format!("{field}.env[{index}]");
        out.filled(&format!("{field}.key"), &one.key);
        out.one_value(&field, one.value.is_some(), one.value_from.as_ref());
    }
    for (index, one) in files.iter().enumerate() {
        let field = format!("{field}.files[{index}]");
        out.filled(&format!("{field}.key"), &one.key);
        out.filled(&format!("{field}.mountPath"), &one.mount_path);
        out.one_value(&field, one.value.is_some(), one.value_from.as_ref());
    }
}
