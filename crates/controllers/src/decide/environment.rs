//! Environments: kept as long as a pipeline names them or something is deployed to them.

use choreo_model::conditions::{self, reasons, types};
use choreo_model::platform::{DeploymentPipelineSpec, EnvironmentSpec, EnvironmentStatus};
use choreo_model::project::ProjectReleaseBindingSpec;
use choreo_model::release::ReleaseBindingSpec;
use choreo_model::resource::ResourceReleaseBindingSpec;
use choreo_model::{Environment, finalizers};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::{Context, changed, delete_all, hold, let_go, retention, some_of};
use crate::decision::{Decision, Write};
use crate::key::By;

const MANAGER: &str = "environment-controller";

pub(super) fn decide(context: &Context<'_>) -> Decision {
    let Some(environment) = context.view.own::<EnvironmentSpec>(context.key) else {
        return Decision::default();
    };
    let mut writes = Vec::new();
    let ready = if environment.is_deleting() {
        match finalize(context, environment, &mut writes) {
            Some(condition) => condition,
            None => {
                return Decision {
                    manager: MANAGER,
                    writes,
                    ..Decision::default()
                };
            }
        }
    } else {
        writes.extend(hold(environment, finalizers::ENVIRONMENT));
        conditions::yes(
            types::READY,
            reasons::ENVIRONMENT_READY,
            "Environment is ready",
        )
    };
    let old = &environment.status;
    let status = EnvironmentStatus {
        observed_generation: environment.generation(),
        conditions: context.conditions(environment, &old.conditions, vec![ready]),
    };
    Decision {
        manager: MANAGER,
        writes,
        status: changed(old, &status),
        ..Decision::default()
    }
}

fn finalize(
    context: &Context<'_>,
    environment: &Environment,
    writes: &mut Vec<Write>,
) -> Option<Condition> {
    let of = [context.namespace(), environment.name()];
    let pipelines = context
        .view
        .members::<DeploymentPipelineSpec>(By::Environment, &of);
    if !pipelines.is_empty() {
        return Some(conditions::no(
            types::READY,
            reasons::DELETION_BLOCKED,
            format!("still named by {}", some_of(&super::names(pipelines))),
        ));
    }
    let bindings = context
        .view
        .members::<ReleaseBindingSpec>(By::Environment, &of);
    let resources = context
        .view
        .members_with_status::<ResourceReleaseBindingSpec>(By::Environment, &of);
    let cells = context
        .view
        .members::<ProjectReleaseBindingSpec>(By::Environment, &of);
    let (retained, free) = retention::sort(context, resources);
    writes.extend(delete_all(bindings.iter().copied()));
    writes.extend(delete_all(free.iter().copied()));
    writes.extend(delete_all(cells.iter().copied()));
    let waits: Vec<String> = retained
        .into_iter()
        .chain(super::names(bindings))
        .chain(super::names(free))
        .chain(super::names(cells))
        .collect();
    if waits.is_empty() {
        writes.extend(let_go(environment, finalizers::ENVIRONMENT));
        return None;
    }
    Some(conditions::no(
        types::READY,
        reasons::RELEASE_BINDINGS_PENDING,
        format!("waiting for {} to be deleted", some_of(&waits)),
    ))
}
