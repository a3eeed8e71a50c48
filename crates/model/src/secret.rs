//! Secret references: where values live in an external store. No value ever enters the platform.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::check::{Check, Checker};
use crate::object::{Object, Spec};
use crate::schema;

/// Names for values that are kept in an external store.
pub type SecretReference = Object<SecretReferenceSpec>;

/// Where the values are kept and what secret they become.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretReferenceSpec {
    /// The plane the secret is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_plane: Option<SecretPlaneRef>,
    /// The secret to make.
    pub template: SecretTemplate,
    /// Its keys and where their values are kept.
    #[schemars(length(min = 1))]
    pub data: Vec<SecretDataSource>,
    /// How often the values are read again.
    #[serde(default = "hourly")]
    pub refresh_interval: String,
}

/// The plane a secret is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SecretPlaneRef {
    /// The kind of plane.
    pub kind: SecretPlaneKind,
    /// The name of the plane.
    #[schemars(length(min = 1))]
    pub name: String,
}

/// The kinds of plane that hold secrets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[expect(clippy::enum_variant_names, reason = "the names of the kinds")]
pub enum SecretPlaneKind {
    /// A workflow plane of the namespace.
    WorkflowPlane,
    /// A workflow plane of every namespace.
    ClusterWorkflowPlane,
    /// A data plane of the namespace.
    DataPlane,
    /// A data plane of every namespace.
    ClusterDataPlane,
}

/// The secret to make.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct SecretTemplate {
    /// The type of the secret.
    #[serde(rename = "type")]
    pub type_: SecretType,
    /// Labels and annotations of the secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<SecretMetadata>,
}

/// The type of a secret.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SecretType {
    /// Any keys.
    #[default]
    Opaque,
    /// Credentials of an image registry.
    #[serde(rename = "kubernetes.io/dockerconfigjson")]
    DockerConfigJson,
    /// Credentials of an image registry, in the older form.
    #[serde(rename = "kubernetes.io/dockercfg")]
    DockerConfig,
    /// A user name and password.
    #[serde(rename = "kubernetes.io/basic-auth")]
    BasicAuth,
    /// A private key for SSH.
    #[serde(rename = "kubernetes.io/ssh-auth")]
    SshAuth,
    /// A certificate and its key.
    #[serde(rename = "kubernetes.io/tls")]
    Tls,
    /// A token with which nodes join a cluster.
    #[serde(rename = "bootstrap.kubernetes.io/token")]
    BootstrapToken,
}

/// Labels and annotations of a secret.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct SecretMetadata {
    /// Labels.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// One key and where its value is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretDataSource {
    /// The key.
    #[schemars(length(min = 1))]
    pub secret_key: String,
    /// Where its value is kept.
    pub remote_ref: RemoteRef,
}

/// A value in an external store.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct RemoteRef {
    /// The entry of the store.
    #[schemars(length(min = 1))]
    pub key: String,
    /// The part of the entry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub property: Option<String>,
    /// The version of the entry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// What was observed of a secret reference.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct SecretReferenceStatus {
    /// Conditions others may write.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

fn hourly() -> String {
    "1h".to_owned()
}

impl Spec for SecretReferenceSpec {
    type Status = SecretReferenceStatus;
    const KIND: &'static str = "SecretReference";
}

impl Check for SecretReferenceSpec {
    fn check(&self, _old: Option<&Self>, out: &mut Checker) {
        if self.data.is_empty() {
            out.add("data", "must not be empty");
        }
        for (index, one) in self.data.iter().enumerate() {
            out.filled(&format!("data[{index}].secretKey"), &one.secret_key);
            out.filled(&format!("data[{index}].remoteRef.key"), &one.remote_ref.key);
        }
        out.unique(
            "data",
            "secretKey",
            self.data.iter().map(|one| &one.secret_key),
        );
        out.matches("refreshInterval", &self.refresh_interval, schema::DURATION);
    }
}
