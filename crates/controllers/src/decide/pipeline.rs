//! Deployment pipelines: kept as long as a project uses them.

use choreo_model::conditions::{self, reasons, types};
use choreo_model::platform::{DeploymentPipelineSpec, DeploymentPipelineStatus, EnvironmentSpec};
use choreo_model::project::ProjectSpec;
use choreo_model::{DeploymentPipeline, finalizers};

use super::{Context, Obstacle, changed, hold, let_go, some_of};
use crate::decision::{Decision, Write};
use crate::key::By;

const MANAGER: &str = "deploymentpipeline-controller";

pub(super) fn decide(context: &Context<'_>) -> Decision {
    let Some(pipeline) = context.view.own::<DeploymentPipelineSpec>(context.key) else {
        return Decision::default();
    };
    let mut writes: Vec<Write> = Vec::new();
    let type_ = types::AVAILABLE;
    let available = if pipeline.is_deleting() {
        let of = [context.namespace(), pipeline.name()];
        let projects = context.view.members::<ProjectSpec>(By::Pipeline, &of);
        if projects.is_empty() {
            writes.extend(let_go(pipeline, finalizers::DEPLOYMENT_PIPELINE));
            return Decision {
                manager: MANAGER,
                writes,
                ..Decision::default()
            };
        }
        let message = format!("still used by {}", some_of(&super::names(projects)));
        conditions::no(type_, reasons::DELETION_BLOCKED, message)
    } else {
        writes.extend(hold(pipeline, finalizers::DEPLOYMENT_PIPELINE));
        conditions::yes(
            type_,
            reasons::DEPLOYMENT_PIPELINE_AVAILABLE,
            "Pipeline can be used",
        )
    };
    let old = &pipeline.status;
    let status = DeploymentPipelineStatus {
        observed_generation: pipeline.generation(),
        conditions: context.conditions(pipeline, &old.conditions, vec![available]),
    };
    Decision {
        manager: MANAGER,
        writes,
        status: changed(old, &status),
        ..Decision::default()
    }
}

/// The pipeline of the project called `project`.
pub(super) fn of_project<'a>(
    context: &Context<'a>,
    project: &str,
) -> Result<&'a DeploymentPipeline, Obstacle> {
    let namespace = context.namespace();
    let project = context.find::<ProjectSpec>(namespace, project, reasons::PROJECT_NOT_FOUND)?;
    let name = &project.spec.deployment_pipeline_ref.name;
    context.find::<DeploymentPipelineSpec>(namespace, name, reasons::DEPLOYMENT_PIPELINE_NOT_FOUND)
}

/// The environments of `pipeline` that can be deployed to, but are not among those `bound`.
pub(super) fn unbound<'a>(
    context: &Context<'_>,
    pipeline: &'a DeploymentPipeline,
    bound: &[&str],
) -> Vec<&'a str> {
    let mut environments = pipeline.spec.environments();
    environments.retain(|name| {
        let there = context
            .view
            .get::<EnvironmentSpec>(context.namespace(), name);
        !bound.contains(name) && there.is_some_and(|there| !there.is_deleting())
    });
    environments
}
