//! The golden paths of components, written by platform engineers.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::application::NoStatus;
use crate::check::{Check, Checker, is_workload};
use crate::object::{Object, Spec};
use crate::reference::{TraitRef, WorkflowRef};
use crate::schema;
use crate::shared::{ResourceTemplate, SchemaSection, ValidationRule, rules_before};
use crate::traits::{PostRenderValidation, check_rules_after};

/// A golden path of one namespace.
pub type ComponentType = Object<ComponentTypeSpec>;
/// A golden path of every namespace.
pub type ClusterComponentType = Object<ComponentTypeSpec>;

/// What a golden path makes of a component.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = schema::rules(&[
    schema::ONE_NAME,
    (
        "self.workloadType == 'proxy' || self.resources.exists(r, r.id == self.workloadType)",
        "resources must contain a resource whose id is the workloadType",
    ),
])))]
pub struct ComponentTypeSpec {
    /// The kind of workload that components of this type are.
    #[schemars(extend("x-kubernetes-validations" = schema::immutable()))]
    pub workload_type: WorkloadType,
    /// Workflows a component may be built with; none when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed_workflows: Vec<WorkflowRef>,
    /// Values a component chooses once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters: Option<SchemaSection>,
    /// Values chosen per environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment_configs: Option<SchemaSection>,
    /// Traits every component of this type has.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub traits: Vec<EmbeddedTrait>,
    /// Traits a component may add; none when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed_traits: Vec<TraitRef>,
    /// The older name of `preRenderValidations`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub validations: Vec<ValidationRule>,
    /// Rules that must hold before rendering.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pre_render_validations: Vec<ValidationRule>,
    /// Rules that must hold for what was rendered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub post_render_validations: Vec<PostRenderValidation>,
    /// The objects a component becomes.
    #[schemars(length(min = 1))]
    pub resources: Vec<ResourceTemplate>,
}

/// The kind of workload a component is.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum WorkloadType {
    /// Replicas that are all alike.
    #[default]
    Deployment,
    /// Replicas with identity and storage.
    StatefulSet,
    /// A task run on a schedule.
    CronJob,
    /// A task run once.
    Job,
    /// No workload: only routes and policies.
    Proxy,
}

impl WorkloadType {
    /// As written in manifests.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Deployment => "deployment",
            Self::StatefulSet => "statefulset",
            Self::CronJob => "cronjob",
            Self::Job => "job",
            Self::Proxy => "proxy",
        }
    }

    /// Whether it runs anything. What does not needs no Workload.
    pub const fn runs(self) -> bool {
        !matches!(self, Self::Proxy)
    }

    /// The Kubernetes kind that carries the workload; a proxy has none.
    pub const fn object_kind(self) -> Option<&'static str> {
        match self {
            Self::Deployment => Some("Deployment"),
            Self::StatefulSet => Some("StatefulSet"),
            Self::CronJob => Some("CronJob"),
            Self::Job => Some("Job"),
            Self::Proxy => None,
        }
    }
}

/// A trait that is part of a type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EmbeddedTrait {
    /// The trait.
    #[serde(flatten)]
    pub reference: TraitRef,
    /// Tells instances of one trait apart; unique within the type.
    #[schemars(length(min = 1))]
    pub instance_name: String,
    /// Values for the trait's parameters; may contain `${...}` of the component.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::free_form")]
    pub parameters: Option<Value>,
    /// Values for the trait's environment configuration; may contain `${...}` of the component.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::free_form")]
    pub environment_configs: Option<Value>,
}

impl ComponentTypeSpec {
    /// The rules that must hold before rendering, under whichever name they were written.
    pub fn rules_before(&self) -> &[ValidationRule] {
        rules_before(&self.validations, &self.pre_render_validations)
    }
}

impl Spec for ComponentTypeSpec {
    type Status = NoStatus;
    const KIND: &'static str = "ComponentType";
    const CLUSTER_KIND: Option<&'static str> = Some("ClusterComponentType");
}

impl Check for ComponentTypeSpec {
    fn check(&self, old: Option<&Self>, out: &mut Checker) {
        if let Some(old) = old {
            out.unchanged("workloadType", &self.workload_type, &old.workload_type);
        }
        out.rules_before(&self.validations, &self.pre_render_validations);
        out.templates("resources", &self.resources);
        self.check_workload(out);
        self.check_traits(out);
        check_rules_after(&self.post_render_validations, out);
        out.unique("allowedWorkflows", "name", self.allowed_workflows.iter());
    }
}

impl ComponentTypeSpec {
    fn check_workload(&self, out: &mut Checker) {
        let wanted = self.workload_type.object_kind();
        // Kinds are compared the way the reference does: `deployment` counts as a Deployment.
        let is_wanted = |kind: &str| wanted.is_some_and(|own| own.eq_ignore_ascii_case(kind));
        if let Some(kind) = wanted {
            let id = self.workload_type.as_str();
            if !self.resources.iter().any(|one| one.id == id) {
                out.add(
                    "resources",
                    &format!("must contain a resource with id {id}, the workloadType"),
                );
            }
            let count = self
                .resources
                .iter()
                .filter(|one| one.kind().is_some_and(is_wanted))
                .count();
            if count != 1 {
                out.add(
                    "resources",
                    &format!("must contain exactly one {kind}, the workloadType; found {count}"),
                );
            }
        }
        for (index, one) in self.resources.iter().enumerate() {
            if let Some(kind) = one.kind()
                && is_workload(kind)
                && !is_wanted(kind)
            {
                out.add(
                    format!("resources[{index}].template.kind"),
                    &format!(
                        "{kind} is not allowed in a type of workloadType {}",
                        self.workload_type.as_str()
                    ),
                );
            }
        }
    }

    fn check_traits(&self, out: &mut Checker) {
        out.unique(
            "traits",
            "instanceName",
            self.traits.iter().map(|one| &one.instance_name),
        );
        out.unique("allowedTraits", "name", self.allowed_traits.iter());
        let embedded: BTreeSet<_> = self.traits.iter().map(|one| &one.reference).collect();
        for (index, allowed) in self.allowed_traits.iter().enumerate() {
            if embedded.contains(allowed) {
                out.add(
                    format!("allowedTraits[{index}]"),
                    &format!("{allowed} is already embedded in the type"),
                );
            }
        }
    }
}
