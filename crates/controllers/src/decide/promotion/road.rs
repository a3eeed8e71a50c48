//! The way a promotion takes: the path of its project's pipeline, with everything that holds there.

use choreo_model::brakes::{Approvals, PromotionStrategy};
use choreo_model::conditions::reasons;
use choreo_model::freeze::{FreezeWindow, freeze};
use choreo_model::platform::PromotionPath;
use choreo_model::promotion::PromotionSpec;
use k8s_openapi::jiff::Timestamp;

use super::super::{Context, Obstacle, pipeline};

/// A path and its brakes.
pub(super) struct Road<'a> {
    pub(super) path: &'a PromotionPath,
    pub(super) approvals: Option<Approvals>,
    windows: Vec<FreezeWindow>,
}

impl<'a> Road<'a> {
    /// The path that `promotion` asks for.
    pub(super) fn of(context: &Context<'a>, promotion: &PromotionSpec) -> Result<Self, Obstacle> {
        let owner = &promotion.owner;
        let pipeline = pipeline::of_project(context, &owner.project_name)?;
        let (name, pipeline) = (pipeline.name(), &pipeline.spec);
        let (source, target) = (&promotion.source_environment, &promotion.target_environment);
        let path = pipeline.path(source, target).ok_or_else(|| {
            Obstacle::new(
                reasons::PROMOTION_PATH_NOT_FOUND,
                format!("DeploymentPipeline \"{name}\" does not lead from {source} to {target}"),
            )
        })?;
        if path.strategy == PromotionStrategy::Project && !owner.is_whole() {
            let project = &owner.project_name;
            return Err(Obstacle::new(
                reasons::PROMOTION_NOT_ALLOWED,
                format!(
                    "from {source} to {target} only whole projects are promoted: `choreo promote \
                     --project {project} --to {target}`"
                ),
            ));
        }
        Ok(Self {
            path,
            approvals: path.approvals(),
            windows: pipeline.windows(path),
        })
    }

    /// The freeze window that holds `promotion` back now, and when that ends.
    pub(super) fn frozen(
        &self,
        context: &Context<'_>,
        promotion: &PromotionSpec,
    ) -> Option<(&FreezeWindow, Timestamp)> {
        let broken = promotion.is_glass_broken(self.approvals.as_ref());
        let frozen = freeze(&self.windows, context.now.0);
        frozen.filter(|_| !broken)
    }
}
