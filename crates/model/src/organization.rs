//! Organisations: who the platform is shared by, and how much of it each may have.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::check::{Check, Checker};
use crate::object::{Object, Spec};
use crate::quantity;
use crate::schema;

/// An organisation: a control-plane namespace, and how much there may be in it.
pub type Organization = Object<OrganizationSpec>;

/// What an organisation is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct OrganizationSpec {
    /// A name for people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub display_name: String,
    /// The control-plane namespace that holds everything of the organisation; left out, the one of
    /// the organisation's name.
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schemars(extend("x-kubernetes-validations" = schema::immutable()))]
    pub namespace: String,
    /// How much there may be; what is left out has no limit.
    #[serde(skip_serializing_if = "Quotas::is_empty")]
    pub quotas: Quotas,
}

/// How much an organisation may have.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Quotas {
    /// Projects.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub projects: Option<u64>,
    /// Components, in all projects together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub components: Option<u64>,
    /// Environments.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub environments: Option<u64>,
    /// Replicas of everything deployed, in all environments together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicas: Option<u64>,
    /// Processors that all replicas together request, as a Kubernetes quantity: `20`, `500m`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<String>,
    /// Memory that all replicas together request, as a Kubernetes quantity: `64Gi`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<String>,
}

impl Quotas {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What was observed of an organisation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct OrganizationStatus {
    /// The generation this status is about.
    #[serde(skip_serializing_if = "schema::is_zero")]
    pub observed_generation: i64,
    /// Its namespace.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// What it has of everything that can be limited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub used: Option<Used>,
    /// The projects that use most, first the one with the most memory.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub projects: Vec<ProjectUsage>,
    /// When what is used was last told. While it changes all the time, it is told every few seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub measured_at: Option<Time>,
    /// `Ready`, `WithinQuota` and `Finalizing`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// How much an organisation has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Used {
    /// Projects.
    pub projects: u64,
    /// Components.
    pub components: u64,
    /// Environments.
    pub environments: u64,
    /// Replicas of everything deployed.
    pub replicas: u64,
    /// Processors they request.
    pub cpu: String,
    /// Memory they request.
    pub memory: String,
}

/// How much of it a project has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ProjectUsage {
    /// The project.
    pub name: String,
    /// Replicas of everything deployed.
    pub replicas: u64,
    /// Processors they request.
    pub cpu: String,
    /// Memory they request.
    pub memory: String,
}

impl Spec for OrganizationSpec {
    type Status = OrganizationStatus;
    const KIND: &'static str = "Organization";
}

impl Check for OrganizationSpec {
    fn check(&self, old: Option<&Self>, out: &mut Checker) {
        if let Some(old) = old {
            out.unchanged("namespace", &self.namespace, &old.namespace);
        }
        let amounts = [("cpu", &self.quotas.cpu), ("memory", &self.quotas.memory)];
        for (name, amount) in amounts {
            if let Some(text) = amount
                && quantity::milli(text).is_none()
            {
                let message = format!("{text:?} is not an amount, as 500m, 2 or 1.5Gi are");
                out.add(format!("quotas.{name}"), &message);
            }
        }
    }
}

impl Organization {
    /// The control-plane namespace of the organisation.
    pub fn home(&self) -> &str {
        match self.spec.namespace.as_str() {
            "" => self.name(),
            namespace => namespace,
        }
    }
}
