//! Managed resources: databases, queues and the like, that a project declares and components use.
//!
//! A resource goes the way of a project: its type and parameters are frozen in a release, and a
//! binding puts the release into an environment. What components get of it are its outputs.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::application::NoStatus;
use crate::check::{Check, Checker};
use crate::history::HistoryHead;
use crate::object::{Object, Spec};
use crate::reference::{ResourceTypeKind, ResourceTypeRef};
use crate::release::RolledOut;
use crate::resource_type::{ResourceOutput, ResourceTypeSpec, RetainPolicy};
use crate::schema;
use crate::shared::{ProjectOwner, Released, ResourceOwner};

/// Something a project needs beside its components.
pub type Resource = Object<ResourceSpec>;
/// A type and parameters of a resource, frozen.
pub type ResourceRelease = Object<ResourceReleaseSpec>;
/// A resource release in an environment.
pub type ResourceReleaseBinding = Object<ResourceReleaseBindingSpec>;

/// What a resource should be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResourceSpec {
    /// The project of the resource.
    #[schemars(extend("x-kubernetes-validations" = schema::immutable()))]
    pub owner: ProjectOwner,
    /// The type of the resource.
    #[serde(rename = "type")]
    #[schemars(extend("x-kubernetes-validations" = schema::immutable()))]
    pub type_: ResourceTypeRef,
    /// Values for the parameters of the type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::free_form")]
    pub parameters: Option<Value>,
    /// How many releases that no binding names are kept, the newest; left out, ten.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release_history_limit: Option<NonZeroU32>,
}

impl Spec for ResourceSpec {
    type Status = Released;
    const KIND: &'static str = "Resource";
}

impl Check for ResourceSpec {
    fn check(&self, old: Option<&Self>, out: &mut Checker) {
        if let Some(old) = old {
            out.unchanged("owner", &self.owner, &old.owner);
            out.unchanged("type", &self.type_, &old.type_);
        }
        out.filled("owner.projectName", &self.owner.project_name);
        out.dns_label("type.name", &self.type_.name);
    }
}

/// What a resource release keeps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = schema::immutable()))]
pub struct ResourceReleaseSpec {
    /// The resource the release is of.
    pub owner: ResourceOwner,
    /// The type as it was.
    pub resource_type: FrozenResourceType,
    /// The parameters as they were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::free_form")]
    pub parameters: Option<Value>,
}

/// A resource type as it was when a release was made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FrozenResourceType {
    /// The kind of the type.
    #[serde(default)]
    pub kind: ResourceTypeKind,
    /// The name of the type.
    pub name: String,
    /// Its specification.
    pub spec: ResourceTypeSpec,
}

impl Spec for ResourceReleaseSpec {
    type Status = NoStatus;
    const KIND: &'static str = "ResourceRelease";
}

impl Check for ResourceReleaseSpec {
    fn check(&self, old: Option<&Self>, out: &mut Checker) {
        if let Some(old) = old {
            out.unchanged("", self, old);
        }
        self.owner.check("owner", out);
    }
}

/// Which release of a resource an environment gets, and what differs there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResourceReleaseBindingSpec {
    /// The resource.
    #[schemars(extend("x-kubernetes-validations" = schema::immutable()))]
    pub owner: ResourceOwner,
    /// The environment.
    #[schemars(length(min = 1))]
    #[schemars(extend("x-kubernetes-validations" = schema::immutable()))]
    pub environment: String,
    /// The release; nothing is deployed until it is named.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub resource_release: String,
    /// What becomes of the objects when the binding is deleted; left out, what the type says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retain_policy: Option<RetainPolicy>,
    /// Values for the type's environment configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::free_form")]
    pub resource_type_environment_configs: Option<Value>,
}

impl ResourceReleaseBindingSpec {
    /// What becomes of the objects when the binding is deleted: its own word, else that of the
    /// type in `release`, else they are deleted.
    pub fn effective_retain_policy(&self, release: Option<&ResourceReleaseSpec>) -> RetainPolicy {
        let of_type = || release.map(|release| release.resource_type.spec.retain_policy);
        self.retain_policy.or_else(of_type).unwrap_or_default()
    }
}

/// What was observed of a resource in an environment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ResourceReleaseBindingStatus {
    /// `Synced`, `ResourcesReady`, `OutputsResolved`, `Ready` and `Finalizing`, each with the
    /// generation it is about.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// What components can use of the resource.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub outputs: Vec<ResourceOutput>,
    /// What becomes of the objects when the binding is deleted, by its own word or that of the type
    /// of its release.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retain_policy: Option<RetainPolicy>,
    /// The last record of what was deployed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub history: Option<HistoryHead>,
    /// The release that is rendered. At the gate of an environment it may be another than the one
    /// the binding names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub release: Option<String>,
    /// The identifier of that release.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub release_uid: Option<String>,
    /// The releases that were ready here, as long as they are kept, each with its identifier.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub proven_releases: BTreeMap<String, String>,
}

impl ResourceReleaseBindingStatus {
    /// The releases it tells of.
    pub fn rolled_out(&self) -> RolledOut<'_> {
        RolledOut {
            release: self.release.as_deref(),
            uid: self.release_uid.as_deref(),
            proven: &self.proven_releases,
        }
    }
}

impl Spec for ResourceReleaseBindingSpec {
    type Status = ResourceReleaseBindingStatus;
    const KIND: &'static str = "ResourceReleaseBinding";
}

impl Check for ResourceReleaseBindingSpec {
    fn check(&self, old: Option<&Self>, out: &mut Checker) {
        if let Some(old) = old {
            out.unchanged("owner", &self.owner, &old.owner);
            out.unchanged("environment", &self.environment, &old.environment);
        }
        self.owner.check("owner", out);
        out.filled("environment", &self.environment);
    }
}
