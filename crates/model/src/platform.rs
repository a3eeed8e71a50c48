//! Environments and the pipelines between them.

use std::collections::BTreeSet;
use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::brakes::{
    Approvals, Automatic, Brakes, PromotionCheck, PromotionStrategy, RollbackPolicy,
};
use crate::check::{Check, Checker};
use crate::freeze::FreezeWindow;
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
    /// How many deployments of each component, managed resource and cell the history keeps at least;
    /// left out, a thousand. Older ones are deleted now and then, before there are twice as many.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub history_limit: Option<NonZeroU32>,
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
    /// Times in which nothing is promoted on any path.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub freeze_windows: Vec<FreezeWindow>,
}

/// One step of a pipeline.
///
/// A path with anything but its ends is *gated*: what it leads to gets no release but by a
/// `Promotion`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PromotionPath {
    /// From where.
    pub source_environment_ref: EnvironmentRef,
    /// To where.
    pub target_environment_refs: Vec<EnvironmentRef>,
    /// Whether somebody else must approve; `approvals` says who, and how many.
    #[serde(default, skip_serializing_if = "schema::is_false")]
    pub requires_approval: bool,
    /// Who must approve; left out while `requiresApproval` says that somebody must, anybody else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approvals: Option<Approvals>,
    /// What must succeed once a promotion is approved.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<PromotionCheck>,
    /// Times in which nothing is promoted on this path.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub freeze_windows: Vec<FreezeWindow>,
    /// Whether releases go on by themselves, and after what time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub automatic: Option<Automatic>,
    /// Whether the release before comes back when the new one does not become healthy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback: Option<RollbackPolicy>,
    /// What goes on together.
    #[serde(default)]
    pub strategy: PromotionStrategy,
}

impl PromotionPath {
    /// Whether the path leads from `source` to `target`.
    pub fn leads(&self, source: &str, target: &str) -> bool {
        self.source_environment_ref.name == source && self.leads_to(target)
    }

    /// Whether the path leads to `target`.
    pub fn leads_to(&self, target: &str) -> bool {
        let targets = &self.target_environment_refs;
        targets.iter().any(|one| one.name == target)
    }

    /// Whose approval the path needs, if it needs any.
    pub fn approvals(&self) -> Option<Approvals> {
        let by_default = || self.requires_approval.then(Approvals::default);
        self.approvals.clone().or_else(by_default)
    }

    fn brakes(&self) -> Brakes<'_> {
        Brakes {
            approvals: self.approvals.as_ref(),
            checks: &self.checks,
            automatic: self.automatic.as_ref(),
            rollback: self.rollback.as_ref(),
        }
    }

    /// Whether the path itself has anything but its ends.
    fn has_brakes(&self) -> bool {
        self.requires_approval
            || self.approvals.is_some()
            || !self.checks.is_empty()
            || !self.freeze_windows.is_empty()
            || self.automatic.is_some()
            || self.rollback.is_some()
            || self.strategy != PromotionStrategy::default()
    }
}

impl DeploymentPipelineSpec {
    /// Whether what `path` leads to gets releases by promotions alone, as far as this path goes.
    pub fn is_gated(&self, path: &PromotionPath) -> bool {
        path.has_brakes() || !self.freeze_windows.is_empty()
    }

    /// The path from `source` to `target`.
    pub fn path(&self, source: &str, target: &str) -> Option<&PromotionPath> {
        let mut paths = self.promotion_paths.iter();
        paths.find(|path| path.leads(source, target))
    }

    /// The paths to `target`.
    pub fn paths_to<'a>(&'a self, target: &'a str) -> impl Iterator<Item = &'a PromotionPath> {
        let paths = self.promotion_paths.iter();
        paths.filter(move |path| path.leads_to(target))
    }

    /// The windows in which nothing goes along `path`.
    pub fn windows(&self, path: &PromotionPath) -> Vec<FreezeWindow> {
        let windows = self.freeze_windows.iter().chain(&path.freeze_windows);
        windows.cloned().collect()
    }

    /// Whether an earlier path leads the same way, and one of the two has brakes.
    fn is_twice(&self, index: usize, source: &str, target: &str) -> bool {
        let earlier = self.promotion_paths.iter().take(index);
        let braked = self
            .promotion_paths
            .get(index)
            .is_some_and(PromotionPath::has_brakes);
        let mut same = earlier.filter(|path| path.leads(source, target));
        same.any(|path| braked || path.has_brakes())
    }

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
        self.path(source, target).is_some()
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
                } else if self.is_twice(index, source, &target.name) {
                    out.add(
                        field,
                        "is led to from the same environment by another path; only one of them \
                         could hold, so write one",
                    );
                }
            }
            path.brakes().check(&field, out);
            check_windows(&format!("{field}.freezeWindows"), &path.freeze_windows, out);
        }
        check_windows("freezeWindows", &self.freeze_windows, out);
        if !self.promotion_paths.is_empty() && self.root_environment().is_none() {
            out.add(
                "promotionPaths",
                "form a circle: no environment is the first of the pipeline",
            );
        }
    }
}

fn check_windows(field: &str, windows: &[FreezeWindow], out: &mut Checker) {
    out.unique(field, "name", windows.iter().map(|window| &window.name));
    for (index, window) in windows.iter().enumerate() {
        window.check(&format!("{field}[{index}]"), out);
    }
}
