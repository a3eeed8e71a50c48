//! Component releases, and the bindings that put them into environments.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::application::{
    EndpointType, NoStatus, TraitInstance, Visibility, WorkloadTemplate, check_values,
};
use crate::check::{Check, Checker};
use crate::component_type::ComponentTypeSpec;
use crate::counted;
use crate::external::{self, ExternalDependency, ExternalProtocol};
use crate::history::HistoryHead;
use crate::object::{Object, Spec};
use crate::reference::{ComponentTypeKind, TraitKind};
use crate::shared::{ComponentOwner, EnvVar, FileVar};
use crate::traits::TraitSpec;
use crate::{names, schema};

/// Everything a component was made of, frozen.
pub type ComponentRelease = Object<ComponentReleaseSpec>;
/// A component release in an environment.
pub type ReleaseBinding = Object<ReleaseBindingSpec>;

/// What a component release keeps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ComponentReleaseSpec {
    /// The component the release is of.
    #[schemars(extend("x-kubernetes-validations" = schema::immutable()))]
    pub owner: ComponentOwner,
    /// The type as it was.
    #[schemars(extend("x-kubernetes-validations" = schema::immutable()))]
    pub component_type: FrozenComponentType,
    /// The traits as they were, those of the type included.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    #[schemars(extend("x-kubernetes-validations" = schema::immutable()))]
    pub traits: Vec<FrozenTrait>,
    /// What the component itself chose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-validations" = schema::immutable()))]
    pub component_profile: Option<ComponentProfile>,
    /// The workload as it was, which it may share with the workload.
    #[schemars(extend("x-kubernetes-validations" = schema::immutable()))]
    #[serde(with = "counted")]
    #[schemars(with = "WorkloadTemplate")]
    pub workload: Arc<WorkloadTemplate>,
}

/// A component type as it was when a release was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FrozenComponentType {
    /// The kind of the type.
    #[serde(default)]
    pub kind: ComponentTypeKind,
    /// The reference to the type: `<workload type>/<name>`.
    pub name: String,
    /// Its specification, which all releases of the type may share.
    #[serde(with = "counted")]
    #[schemars(with = "ComponentTypeSpec")]
    pub spec: Arc<ComponentTypeSpec>,
}

/// A trait as it was when a release was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FrozenTrait {
    /// The kind of the trait.
    #[serde(default)]
    pub kind: TraitKind,
    /// The name of the trait.
    pub name: String,
    /// Its specification, which all releases with the trait may share.
    #[serde(with = "counted")]
    #[schemars(with = "TraitSpec")]
    pub spec: Arc<TraitSpec>,
}

/// What a component chose: parameters and traits.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ComponentProfile {
    /// Values for the parameters of the type.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::free_form")]
    pub parameters: Option<Value>,
    /// Traits the component added.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub traits: Vec<TraitInstance>,
}

impl Spec for ComponentReleaseSpec {
    type Status = NoStatus;
    const KIND: &'static str = "ComponentRelease";
}

impl Check for ComponentReleaseSpec {
    fn check(&self, old: Option<&Self>, out: &mut Checker) {
        if let Some(old) = old {
            out.unchanged("owner", &self.owner, &old.owner);
            out.unchanged("componentType", &self.component_type, &old.component_type);
            out.unchanged("traits", &self.traits, &old.traits);
            out.unchanged(
                "componentProfile",
                &self.component_profile,
                &old.component_profile,
            );
            out.unchanged("workload", &self.workload, &old.workload);
        }
        if self.component_type.spec.workload_type.runs() {
            out.filled("workload.container.image", &self.workload.container.image);
        }
        out.at_most("traits", self.traits.len(), 100);
        let frozen = self
            .traits
            .iter()
            .map(|one| format!("{}:{}", one.kind, one.name));
        out.unique("traits", "name", frozen.clone());
        let known: BTreeSet<_> = frozen.collect();
        let profile = self
            .component_profile
            .iter()
            .flat_map(|profile| &profile.traits);
        out.unique(
            "componentProfile.traits",
            "instanceName",
            profile.clone().map(|instance| &instance.instance_name),
        );
        for (index, instance) in profile.enumerate() {
            if !known.contains(&instance.reference.to_string()) {
                out.add(
                    format!("componentProfile.traits[{index}]"),
                    &format!(
                        "{} is not among the traits of the release",
                        instance.reference
                    ),
                );
            }
        }
    }
}

/// Which release of a component an environment gets, and what differs there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReleaseBindingSpec {
    /// The component.
    #[schemars(extend("x-kubernetes-validations" = schema::immutable()))]
    pub owner: ComponentOwner,
    /// The environment.
    #[schemars(length(min = 1))]
    #[schemars(extend("x-kubernetes-validations" = schema::immutable()))]
    pub environment: String,
    /// The release.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub release_name: String,
    /// Values for the type's environment configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::free_form")]
    pub component_type_environment_configs: Option<Value>,
    /// Values for the environment configuration of traits, by instance name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::map_of_free_form")]
    pub trait_environment_configs: BTreeMap<String, Value>,
    /// Variables, files and external connections that differ here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workload_overrides: Option<WorkloadOverrides>,
    /// Whether the component runs here.
    #[serde(default)]
    pub state: BindingState,
}

/// Whether a component runs in an environment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum BindingState {
    /// It does.
    #[default]
    Active,
    /// Its objects are taken away; the binding stays.
    Undeploy,
}

/// What differs from the workload of the release.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct WorkloadOverrides {
    /// What differs in the container.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container: Option<ContainerOverrides>,
    /// What differs in what it needs from others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dependencies: Option<DependencyOverrides>,
}

impl WorkloadOverrides {
    /// The external connections that are set or replaced.
    pub fn external(&self) -> &[ExternalDependency] {
        let dependencies = self.dependencies.as_ref();
        dependencies.map_or(&[], |dependencies| dependencies.external.as_slice())
    }
}

/// What differs from the dependencies of the release.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct DependencyOverrides {
    /// External connections to set or replace, by name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub external: Vec<ExternalDependency>,
}

/// What differs from the container of the release.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ContainerOverrides {
    /// Variables to set or replace, by key.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<EnvVar>,
    /// Files to set or replace, by key.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<FileVar>,
}

/// The releases that a binding tells of: what is rendered, and what was ready before. Releases are told
/// apart by their identifiers.
#[derive(Clone, Copy, Debug)]
pub struct RolledOut<'a> {
    /// The release that is rendered.
    pub release: Option<&'a str>,
    /// Its identifier.
    pub uid: Option<&'a str>,
    /// The releases that were ready, each with its identifier.
    pub proven: &'a BTreeMap<String, String>,
}

impl RolledOut<'_> {
    /// Whether a release is what is rendered, or was ready here.
    pub fn knows(&self, release: &str, uid: &str) -> bool {
        let runs = self.release == Some(release) && self.uid == Some(uid);
        runs || self.proven.get(release).is_some_and(|known| known == uid)
    }
}

impl ReleaseBindingStatus {
    /// The releases it tells of.
    pub fn rolled_out(&self) -> RolledOut<'_> {
        RolledOut {
            release: self.release.as_deref(),
            uid: self.release_uid.as_deref(),
            proven: &self.proven_releases,
        }
    }
}

impl Spec for ReleaseBindingSpec {
    type Status = ReleaseBindingStatus;
    const KIND: &'static str = "ReleaseBinding";
}

impl Check for ReleaseBindingSpec {
    fn check(&self, old: Option<&Self>, out: &mut Checker) {
        if let Some(old) = old {
            out.unchanged("owner", &self.owner, &old.owner);
            out.unchanged("environment", &self.environment, &old.environment);
        }
        self.owner.check(out);
        out.filled("environment", &self.environment);
        if let Some(container) = self
            .workload_overrides
            .as_ref()
            .and_then(|overrides| overrides.container.as_ref())
        {
            check_values(
                "workloadOverrides.container",
                &container.env,
                &container.files,
                out,
            );
        }
        if let Some(overrides) = &self.workload_overrides {
            let field = "workloadOverrides.dependencies.external";
            external::check(field, overrides.external(), out);
        }
    }
}

/// What was observed of a component in an environment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ReleaseBindingStatus {
    /// The generation this status is about.
    #[serde(skip_serializing_if = "schema::is_zero")]
    pub observed_generation: i64,
    /// When that generation was first seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_spec_update_time: Option<Time>,
    /// `ReleaseSynced`, `ConnectionsResolved`, `ResourceDependenciesReady`, `ResourcesReady`,
    /// `Ready` and `Finalizing`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// The release that is rendered, which is not the one wanted while the way there is gated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub release: Option<String>,
    /// The identifier of that release, which tells it from another of its name made in its place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub release_uid: Option<String>,
    /// The releases that were ready here, and their identifiers. Going back to one of them needs no
    /// promotion.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub proven_releases: BTreeMap<String, String>,
    /// Where the history of deployments has come to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub history: Option<HistoryHead>,
    /// The addresses of the component's endpoints.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub endpoints: Vec<EndpointStatus>,
    /// The endpoints of others that the component calls.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub connection_targets: Vec<ConnectionTarget>,
    /// Those whose address is known.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub resolved_connections: Vec<ResolvedConnection>,
    /// Those whose address is not known yet, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pending_connections: Vec<PendingConnection>,
    /// The managed resources the component uses.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub resource_dependency_targets: Vec<ResourceDependencyTarget>,
    /// Those that are not ready yet, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pending_resource_dependencies: Vec<PendingResourceDependency>,
    /// The external connections the component has, declared or given.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub external_connections: Vec<BoundExternalConnection>,
    /// Those it declares and does not have, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pending_external_connections: Vec<PendingExternalConnection>,
    /// The secret references the component uses.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub secret_reference_names: Vec<String>,
}

/// The addresses of one endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EndpointStatus {
    /// The name of the endpoint.
    pub name: String,
    /// The protocol it speaks.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub type_: Option<EndpointType>,
    /// The address within the data plane.
    #[serde(
        rename = "serviceURL",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub service_url: Option<EndpointUrl>,
    /// The addresses on the internal gateway.
    #[serde(
        rename = "internalURLs",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub internal_urls: Option<GatewayUrls>,
    /// The addresses on the external gateway.
    #[serde(
        rename = "externalURLs",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub external_urls: Option<GatewayUrls>,
    /// Who may call it, besides the cell of the component itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub visibility: Vec<Visibility>,
}

/// The addresses of one endpoint on one gateway, by listener.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct GatewayUrls {
    /// On the HTTP listener.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http: Option<EndpointUrl>,
    /// On the HTTPS listener.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub https: Option<EndpointUrl>,
    /// On the TLS listener.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<EndpointUrl>,
}

/// An address, in parts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EndpointUrl {
    /// The scheme.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub scheme: String,
    /// The host.
    pub host: String,
    /// The port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// The path.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub path: String,
}

/// An endpoint that a component calls.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct ConnectionTarget {
    /// The namespace of the component called.
    pub namespace: String,
    /// Its project.
    pub project: String,
    /// Its name.
    pub component: String,
    /// Its deployment track; nothing for its main line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub track: Option<String>,
    /// The environment, which is the caller's.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub environment: String,
    /// Its endpoint.
    pub endpoint: String,
    /// How the endpoint is reached.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub visibility: String,
}

impl ConnectionTarget {
    /// What the line of the component is called.
    pub fn line(&self) -> Cow<'_, str> {
        names::line(&self.component, self.track.as_deref())
    }

    /// What tells the line of the component from every other of the namespace.
    pub fn line_id(&self) -> Cow<'_, str> {
        names::line_id(&self.component, self.track.as_deref())
    }
}

/// An endpoint that a component calls, and its address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ResolvedConnection {
    /// The namespace of the component called.
    pub namespace: String,
    /// Its project.
    pub project: String,
    /// Its name.
    pub component: String,
    /// Its deployment track; nothing for its main line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub track: Option<String>,
    /// Its endpoint.
    pub endpoint: String,
    /// How the endpoint is reached.
    pub visibility: String,
    /// The address.
    pub url: EndpointUrl,
}

/// An endpoint that a component calls, and why its address is not known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PendingConnection {
    /// The namespace of the component called.
    pub namespace: String,
    /// Its project.
    pub project: String,
    /// Its name.
    pub component: String,
    /// Its deployment track; nothing for its main line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub track: Option<String>,
    /// Its endpoint.
    pub endpoint: String,
    /// Why the address is not known.
    pub reason: String,
}

/// A managed resource that a component uses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ResourceDependencyTarget {
    /// The namespace of the resource.
    pub namespace: String,
    /// Its project.
    pub project: String,
    /// Its name.
    #[serde(rename = "resourceName")]
    pub resource: String,
    /// The environment.
    pub environment: String,
}

/// A managed resource that a component uses, and why it is not ready.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PendingResourceDependency {
    /// The namespace of the resource.
    pub namespace: String,
    /// Its project.
    pub project: String,
    /// Its name.
    #[serde(rename = "resourceName")]
    pub resource: String,
    /// Why it is not ready.
    pub reason: String,
}

/// An external connection that a component has.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BoundExternalConnection {
    /// What the connection is called where it is declared.
    pub name: String,
    /// The host.
    pub host: String,
    /// The port of the host.
    pub port: u16,
    /// What the host speaks.
    pub protocol: ExternalProtocol,
    /// The `ExternalConnection` that gives it, or without which the component would not have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_connection: Option<String>,
}

/// An external connection that a component declares and does not have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PendingExternalConnection {
    /// What the workload calls it.
    pub name: String,
    /// The host.
    pub host: String,
    /// The port of the host.
    pub port: u16,
    /// What the host speaks.
    pub protocol: ExternalProtocol,
    /// What is missing.
    pub reason: String,
}
