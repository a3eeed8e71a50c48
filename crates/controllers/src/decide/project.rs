//! Projects: frozen into releases, with a cell in every environment of their pipeline.

use choreo_compiler::release;
use choreo_model::api::ApiSpec;
use choreo_model::application::ComponentSpec;
use choreo_model::conditions::{self, reasons, types};
use choreo_model::project::{
    ProjectReleaseBindingSpec, ProjectReleaseSpec, ProjectSpec, ProjectStatus, ProjectTypeSpec,
};
use choreo_model::promotion::PromotionSpec;
use choreo_model::resource::ResourceSpec;
use choreo_model::shared::LatestRelease;
use choreo_model::{Project, ProjectReleaseBinding, finalizers, labels, names};
use serde_json::json;

use super::{
    Context, Finalizing, Obstacle, apply, automatic, changed, delete_all, history, hold, metadata,
    pipeline, readiness, retention, surplus,
};
use crate::decision::{Decision, Write};
use crate::key::By;

const MANAGER: &str = "project-controller";

pub(super) fn decide(context: &Context<'_>) -> Decision {
    let Some(project) = context.view.own::<ProjectSpec>(context.key) else {
        return Decision::default();
    };
    if project.is_deleting() {
        return finalize(context, project);
    }
    let mut writes: Vec<Write> = hold(project, finalizers::PROJECT).into_iter().collect();
    let old = &project.status;
    let mut latest = old.latest_release.clone();
    let outcome = plan(context, project, &mut writes, &mut latest);
    let done = "Project is released and bound to every environment of its pipeline";
    let ready = readiness::of_released(outcome, context.failure(), done);
    let created = conditions::yes(
        types::CREATED,
        reasons::PROJECT_CREATED,
        "Project was accepted",
    );
    let status = ProjectStatus {
        observed_generation: project.generation(),
        conditions: context.conditions(project, &old.conditions, vec![created, ready]),
        latest_release: latest,
    };
    let status = changed(old, &status);
    let asked = automatic::of_project(context, project);
    writes.extend(asked.writes);
    Decision {
        manager: MANAGER,
        writes,
        status,
        look_again: asked.look_again,
        ..Decision::default()
    }
}

/// Releases the project, and gives every environment of its pipeline a binding with a release.
fn plan(
    context: &Context<'_>,
    project: &Project,
    writes: &mut Vec<Write>,
    latest: &mut Option<LatestRelease>,
) -> Result<(), Obstacle> {
    let release = freeze(context, project, writes)?;
    *latest = Some(LatestRelease {
        hash: release::hash_of(&release).to_owned(),
        name: release.clone(),
    });
    let of = [context.namespace(), project.name()];
    let bindings = context
        .view
        .members::<ProjectReleaseBindingSpec>(By::Project, &of);
    writes.extend(bindings.iter().filter_map(|binding| pin(binding, &release)));
    let pipeline = pipeline::of_project(context, project.name())?;
    let bound: Vec<&str> = bindings
        .iter()
        .map(|binding| binding.spec.environment.as_str())
        .collect();
    let environments = pipeline::unbound(context, pipeline, &bound);
    let made = environments.into_iter();
    writes.extend(made.filter_map(|environment| bind(context, project, environment, &release)));
    let releases = context.view.members::<ProjectReleaseSpec>(By::Project, &of);
    let named = bindings.iter().flat_map(|one| history::releases(one));
    let needed = named.chain([release.as_str()]).collect();
    let limit = project.spec.release_history_limit;
    writes.extend(surplus::delete(releases, &needed, limit));
    Ok(())
}

fn freeze(
    context: &Context<'_>,
    project: &Project,
    writes: &mut Vec<Write>,
) -> Result<String, Obstacle> {
    let reference = &project.spec.type_;
    let namespace = reference.namespace(context.namespace()).unwrap_or_default();
    let type_ = context.find::<ProjectTypeSpec>(
        namespace,
        &reference.name,
        reasons::PROJECT_TYPE_NOT_FOUND,
    )?;
    let (name, spec) = release::project_release(project, type_)
        .map_err(|refusal| Obstacle::new(reasons::INVALID_CONFIGURATION, refusal.to_string()))?;
    if context
        .view
        .get::<ProjectReleaseSpec>(context.namespace(), &name)
        .is_none()
    {
        let labels = [(labels::PROJECT, project.name())];
        let metadata = metadata(context.namespace(), &name, &labels);
        writes.extend(apply("ProjectRelease", metadata, &spec));
    }
    Ok(name)
}

/// Gives a binding without a release the present one. A release once set is never moved from here.
fn pin(binding: &ProjectReleaseBinding, release: &str) -> Option<Write> {
    if !binding.spec.project_release.is_empty() || binding.is_deleting() {
        return None;
    }
    let metadata = metadata(binding.namespace(), binding.name(), &[]);
    apply(
        "ProjectReleaseBinding",
        metadata,
        &json!({ "projectRelease": release }),
    )
}

fn bind(
    context: &Context<'_>,
    project: &Project,
    environment: &str,
    release: &str,
) -> Option<Write> {
    let name = names::component_binding(project.name(), environment);
    let labels = [
        (labels::PROJECT, project.name()),
        (labels::ENVIRONMENT, environment),
    ];
    let spec = json!({
        "owner": { "projectName": project.name() },
        "environment": environment,
        "projectRelease": release,
    });
    apply(
        "ProjectReleaseBinding",
        metadata(context.namespace(), &name, &labels),
        &spec,
    )
}

/// Components and APIs go first, so that they leave their cells in order; then resources; then the cells,
/// then the releases. A cell stays as long as a resource retains its objects in it.
fn finalize(context: &Context<'_>, project: &Project) -> Decision {
    let of = [context.namespace(), project.name()];
    let components = context.view.members::<ComponentSpec>(By::Project, &of);
    let resources = context.view.members::<ResourceSpec>(By::Project, &of);
    let cells = context
        .view
        .members::<ProjectReleaseBindingSpec>(By::Project, &of);
    let releases = context.view.members::<ProjectReleaseSpec>(By::Project, &of);
    let mut reason = reasons::PROJECT_FINALIZING;
    let mut writes = Vec::new();
    let mut waits = Vec::new();
    let promotions = context.view.members::<PromotionSpec>(By::Project, &of);
    let apis = context.view.members::<ApiSpec>(By::Project, &of);
    if !components.is_empty() || !promotions.is_empty() || !apis.is_empty() {
        writes.extend(delete_all(apis.iter().copied()));
        waits.extend(super::names(apis));
        writes.extend(delete_all(promotions.iter().copied()));
        writes.extend(delete_all(components.iter().copied()));
        waits.extend(super::names(promotions));
        waits.extend(super::names(components));
    } else if !resources.is_empty() || !cells.is_empty() {
        writes.extend(delete_all(resources.iter().copied()));
        let is_empty = |cell: &&&ProjectReleaseBinding| {
            let bindings = retention::bindings(context, project.name(), &cell.spec.environment);
            bindings.is_empty()
        };
        writes.extend(delete_all(cells.iter().filter(is_empty).copied()));
        let retained: Vec<String> = cells
            .iter()
            .flat_map(|cell| retention::in_cell(context, project.name(), &cell.spec.environment))
            .collect();
        if !retained.is_empty() {
            reason = reasons::RETAIN_HOLD;
        }
        waits.extend(retained);
        waits.extend(super::names(resources));
        waits.extend(super::names(cells));
    } else {
        writes.extend(delete_all(releases.iter().copied()));
        waits.extend(super::names(releases));
    }
    let deletion = Finalizing {
        manager: MANAGER,
        finalizer: finalizers::PROJECT,
        reason,
        writes,
        waits,
    };
    let old = &project.status;
    deletion.decide(project, |new| ProjectStatus {
        observed_generation: project.generation(),
        conditions: context.conditions(project, &old.conditions, new),
        latest_release: old.latest_release.clone(),
    })
}
