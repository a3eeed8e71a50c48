//! Environments and the pipelines between them.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::check::{Check, Checker};
use crate::object::{Object, Spec};
use crate::plane::GatewaySpec;
use crate::reference::{DataPlaneRef, EnvironmentRef};
use crate::schema;
use crate::shared::{Egress, Observed};

/// A stage that components are promoted through.
pub type Environment = Object<EnvironmentSpec>;
/// The order in which environments are promoted to.
pub type DeploymentPipeline = Object<DeploymentPipelineSpec>;

/// What an environment should be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct EnvironmentSpec {
    /// Where its workloads run; left out, the plane named `default`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-validations" = schema::immutable()))]
    pub data_plane_ref: Option<DataPlaneRef>,
    /// Whether it serves real users.
    #[serde(skip_serializing_if = "schema::is_false")]
    pub is_production: bool,
    /// Gateways that differ from those of the data plane.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gateway: Option<GatewaySpec>,
    /// What components may call besides what their connections ask for; left out, what the type
    /// of their project says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub egress: Option<Egress>,
}

/// What was observed of an environment: `Ready`.
pub type EnvironmentStatus = Observed;

impl Spec for EnvironmentSpec {
    type Status = EnvironmentStatus;
    const KIND: &'static str = "Environment";
}

impl Check for EnvironmentSpec {
    fn check(&self, old: Option<&Self>, out: &mut Checker) {
        if let Some(old) = old.and_then(|old| old.data_plane_ref.as_ref()) {
            out.unchanged("dataPlaneRef", &self.data_plane_ref, &Some(old.clone()));
        }
        if let Some(gateway) = &self.gateway {
            gateway.check("gateway", out);
        }
    }
}

/// The paths of a pipeline.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct DeploymentPipelineSpec {
    /// From where to where components may be promoted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub promotion_paths: Vec<PromotionPath>,
}

/// One step of a pipeline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PromotionPath {
    /// From where.
    pub source_environment_ref: EnvironmentRef,
    /// To where.
    pub target_environment_refs: Vec<EnvironmentRef>,
}

impl DeploymentPipelineSpec {
    /// The environment everything starts in: the first source that is no target.
    pub fn root_environment(&self) -> Option<&str> {
        let targets: BTreeSet<&str> = self
            .promotion_paths
            .iter()
            .flat_map(|path| &path.target_environment_refs)
            .map(|target| target.name.as_str())
            .collect();
        self.promotion_paths
            .iter()
            .map(|path| path.source_environment_ref.name.as_str())
            .find(|source| !targets.contains(source))
    }

    /// Every environment of the pipeline, in the order in which it names them.
    pub fn environments(&self) -> Vec<&str> {
        let mut seen = BTreeSet::new();
        self.promotion_paths
            .iter()
            .flat_map(|path| {
                std::iter::once(&path.source_environment_ref).chain(&path.target_environment_refs)
            })
            .map(|environment| environment.name.as_str())
            .filter(|name| seen.insert(*name))
            .collect()
    }

    /// Whether a component may be promoted from `source` to `target` in one step.
    pub fn allows(&self, source: &str, target: &str) -> bool {
        self.promotion_paths.iter().any(|path| {
            path.source_environment_ref.name == source
                && path
                    .target_environment_refs
                    .iter()
                    .any(|one| one.name == target)
        })
    }
}

/// What was observed of a pipeline: `Available`.
pub type DeploymentPipelineStatus = Observed;

impl Spec for DeploymentPipelineSpec {
    type Status = DeploymentPipelineStatus;
    const KIND: &'static str = "DeploymentPipeline";
}

impl Check for DeploymentPipelineSpec {
    fn check(&self, _old: Option<&Self>, out: &mut Checker) {
        for (index, path) in self.promotion_paths.iter().enumerate() {
            let field = format!("promotionPaths[{index}]");
            let source = &path.source_environment_ref.name;
            out.filled(&format!("{field}.sourceEnvironmentRef.name"), source);
            for (place, target) in path.target_environment_refs.iter().enumerate() {
                let field = format!("{field}.targetEnvironmentRefs[{place}].name");
                out.filled(&field, &target.name);
                if &target.name == source {
                    out.add(field, "is the environment the path starts from");
                }
            }
        }
        if !self.promotion_paths.is_empty() && self.root_environment().is_none() {
            out.add(
                "promotionPaths",
                "form a circle: no environment is the first of the pipeline",
            );
        }
    }
}
