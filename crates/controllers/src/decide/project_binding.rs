//! Project release bindings: the cell of a project in an environment.

use choreo_compiler::diagnostic::Code;
use choreo_compiler::{Compiled, ProjectSnapshot, compile_project};
use choreo_model::conditions::{self, reasons, types};
use choreo_model::project::{
    ProjectReleaseBindingSpec, ProjectReleaseBindingStatus, ProjectReleaseSpec, ProjectSpec,
};
use choreo_model::rendered::{Health, RenderedOwner, RenderedReleaseSpec};
use choreo_model::shared::{ProjectOwner, TargetPlane};
use choreo_model::{ProjectReleaseBinding, RenderedRelease, finalizers, names};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::history::{self, Effect};
use super::rendering::{self, Pin, Rendering};
use super::{Context, Finalizing, Obstacle, changed, hold, readiness, retention};
use crate::decision::{Decision, Write};
use crate::key::By;

const MANAGER: &str = "projectreleasebinding-controller";

pub(super) fn decide(context: &Context<'_>) -> Decision {
    let Some(binding) = context.view.own::<ProjectReleaseBindingSpec>(context.key) else {
        return Decision::default();
    };
    if binding.is_deleting() {
        return finalize(context, binding);
    }
    let mut writes: Vec<Write> = hold(binding, finalizers::PROJECT_RELEASE_BINDING)
        .into_iter()
        .collect();
    let old = &binding.status;
    let name = rendered_name(binding);
    let (conditions, namespace, effect) = match plan(context, binding, &name) {
        Err(obstacle) => {
            let conditions = obstructed(&obstacle);
            (conditions, old.namespace.clone(), Effect::Pending)
        }
        Ok(plan) => {
            let effect = Effect::of(plan.there, plan.write.as_ref());
            writes.extend(plan.write);
            let conditions = observed(context, &name, plan.there);
            (conditions, Some(plan.namespace), effect)
        }
    };
    let conditions = context.conditions(binding, &old.conditions, conditions);
    let recorded = history::step(context, binding, effect, &conditions);
    writes.extend(recorded.writes);
    let status = ProjectReleaseBindingStatus {
        observed_generation: binding.generation(),
        conditions,
        history: recorded.head,
        namespace,
    };
    Decision {
        manager: MANAGER,
        writes,
        status: changed(old, &status),
        look_again: recorded.look_again,
        ..Decision::default()
    }
}

fn rendered_name(binding: &ProjectReleaseBinding) -> String {
    names::project_rendered_release(&binding.spec.owner.project_name, &binding.spec.environment)
}

/// The rendered release that is there, the write that makes it as wanted, and its namespace.
struct Plan<'a> {
    there: Option<&'a RenderedRelease>,
    write: Option<Write>,
    namespace: String,
}

fn plan<'a>(
    context: &Context<'a>,
    binding: &ProjectReleaseBinding,
    name: &str,
) -> Result<Plan<'a>, Obstacle> {
    let release = release(context, binding)?;
    let environment = rendering::environment(context, &binding.spec.environment)?;
    let data_plane = rendering::data_plane(context, environment)?;
    let project = &binding.spec.owner.project_name;
    let project =
        context.find::<ProjectSpec>(context.namespace(), project, reasons::PROJECT_NOT_FOUND)?;
    let snapshot = ProjectSnapshot {
        release,
        binding,
        project,
        environment,
        data_plane,
    };
    let compiled = compile_project(&snapshot, context.view.programs());
    check(&compiled)?;
    let rendering = Rendering {
        name,
        owner: RenderedOwner {
            project_name: binding.spec.owner.project_name.clone(),
            ..RenderedOwner::default()
        },
        environment: &binding.spec.environment,
        plane: TargetPlane::DataPlane,
        compiled: &compiled,
    };
    let (there, write) = rendering::release(context, binding, rendering)?;
    Ok(Plan {
        there,
        write,
        namespace: compiled.namespace,
    })
}

fn release<'a>(
    context: &Context<'a>,
    binding: &ProjectReleaseBinding,
) -> Result<&'a ProjectReleaseSpec, Obstacle> {
    let owner = |of: &ProjectOwner| of.project_name.clone();
    let pin = Pin {
        name: &binding.spec.project_release,
        unset: (
            reasons::PROJECT_RELEASE_NOT_SET,
            "spec.projectRelease is unset; it is filled as soon as the Project has a release",
        ),
        missing: reasons::PROJECT_RELEASE_NOT_FOUND,
        of: "project",
        owner: owner(&binding.spec.owner),
    };
    pin.find(context, |release: &ProjectReleaseSpec| {
        owner(&release.owner)
    })
}

fn check(compiled: &Compiled) -> Result<(), Obstacle> {
    rendering::check(compiled).map_err(|obstacle| {
        let missing = compiled
            .diagnostics
            .iter()
            .find(|one| one.code == Code::NamespaceMissing);
        match missing {
            Some(missing) => Obstacle::new(reasons::NAMESPACE_MISSING, missing.to_string()),
            None => obstacle,
        }
    })
}

fn obstructed(obstacle: &Obstacle) -> Vec<Condition> {
    let unknown = |type_| {
        conditions::unknown(
            type_,
            reasons::SYNCED_NOT_READY,
            "The release is not rendered",
        )
    };
    vec![
        conditions::no(types::SYNCED, obstacle.reason, obstacle.message.clone()),
        unknown(types::NAMESPACE_READY),
        unknown(types::RESOURCES_READY),
        conditions::no(types::READY, obstacle.reason, obstacle.message.clone()),
    ]
}

/// The conditions told by the rendered release that is there.
fn observed(context: &Context<'_>, name: &str, there: Option<&RenderedRelease>) -> Vec<Condition> {
    if let Some(failure) = context.failure() {
        return obstructed(&Obstacle::new(reasons::RELEASE_UPDATE_FAILED, failure));
    }
    let Some(there) = there else {
        let message = format!("RenderedRelease \"{name}\" was created");
        let waiting = |type_| conditions::no(type_, reasons::RESOURCES_PROGRESSING, &message);
        return vec![
            conditions::yes(types::SYNCED, reasons::RELEASE_CREATED, &message),
            conditions::no(
                types::NAMESPACE_READY,
                reasons::NAMESPACE_PROGRESSING,
                &message,
            ),
            waiting(types::RESOURCES_READY),
            waiting(types::READY),
        ];
    };
    let synced = conditions::yes(
        types::SYNCED,
        reasons::RELEASE_SYNCED,
        format!("RenderedRelease \"{name}\" is up to date"),
    );
    let resources = readiness::not_applied(types::RESOURCES_READY, there)
        .unwrap_or_else(|| readiness::of_all(&there.status));
    let mut all = vec![synced, namespace_ready(there), resources];
    let ready = readiness::aggregate(&all);
    all.push(ready);
    all
}

fn namespace_ready(there: &RenderedRelease) -> Condition {
    let type_ = types::NAMESPACE_READY;
    if let Some(mut condition) = readiness::not_applied(type_, there) {
        if condition.reason == reasons::RESOURCES_PROGRESSING {
            reasons::NAMESPACE_PROGRESSING.clone_into(&mut condition.reason);
        }
        return condition;
    }
    let namespace = there
        .status
        .resources
        .iter()
        .find(|one| one.kind == "Namespace");
    match namespace.map(|one| (one, one.health_status)) {
        Some((one, Health::Healthy | Health::Suspended)) => conditions::yes(
            type_,
            reasons::NAMESPACE_READY,
            format!("Namespace \"{}\" is there", one.name),
        ),
        Some((one, Health::Degraded)) => {
            conditions::no(type_, reasons::NAMESPACE_DEGRADED, readiness::describe(one))
        }
        Some((one, Health::Progressing | Health::Unknown)) => conditions::no(
            type_,
            reasons::NAMESPACE_PROGRESSING,
            readiness::describe(one),
        ),
        None => conditions::no(
            type_,
            reasons::NAMESPACE_PROGRESSING,
            "The namespace has not been seen yet",
        ),
    }
}

fn finalize(context: &Context<'_>, binding: &ProjectReleaseBinding) -> Decision {
    let of = [
        context.namespace(),
        &binding.spec.owner.project_name,
        "",
        &binding.spec.environment,
    ];
    let mut rendered = context
        .view
        .members::<RenderedReleaseSpec>(By::ComponentEnvironment, &of);
    rendered.retain(|rendered| rendering::is_owned(rendered, binding));
    // With the namespace of the cell would go what a resource is to retain in it.
    let retained = retention::in_cell(
        context,
        &binding.spec.owner.project_name,
        &binding.spec.environment,
    );
    let (reason, mut writes, waits) = if retained.is_empty() {
        let writes = rendering::delete(&rendered);
        (reasons::FINALIZING, writes, super::names(rendered))
    } else {
        (reasons::RETAIN_HOLD, Vec::new(), retained)
    };
    if waits.is_empty() {
        let status = |head| ProjectReleaseBindingStatus {
            history: Some(head),
            ..binding.status.clone()
        };
        if let Some(first) = history::close(context, binding, MANAGER, &mut writes, status) {
            return first;
        }
    }
    let deletion = Finalizing {
        manager: MANAGER,
        finalizer: finalizers::PROJECT_RELEASE_BINDING,
        reason,
        writes,
        waits,
    };
    let old = &binding.status;
    deletion.decide(binding, |new| ProjectReleaseBindingStatus {
        observed_generation: binding.generation(),
        conditions: context.conditions(binding, &old.conditions, new),
        history: old.history.clone(),
        namespace: old.namespace.clone(),
    })
}
