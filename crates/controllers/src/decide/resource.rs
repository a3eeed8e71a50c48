//! Managed resources: frozen into releases, and bound in every environment of their project.
//!
//! The binding of the first environment follows the latest release. Any other is given the release
//! of its day and stays there: it moves by promotion, and where a gated path leads, it is let in by one.

use std::collections::BTreeSet;

use choreo_compiler::release;
use choreo_model::conditions::reasons;
use choreo_model::promotion::{Part, PromotionSpec};
use choreo_model::resource::{ResourceReleaseBindingSpec, ResourceReleaseSpec, ResourceSpec};
use choreo_model::resource_type::ResourceTypeSpec;
use choreo_model::shared::{LatestRelease, Released};
use choreo_model::{Resource, ResourceReleaseBinding, finalizers, labels, names};
use serde_json::json;

use super::{
    Context, Finalizing, Obstacle, apply, changed, delete_all, history, hold, metadata, pipeline,
    readiness, retention, surplus,
};
use crate::decision::{Decision, Write};
use crate::key::By;

const MANAGER: &str = "resource-controller";

pub(super) fn decide(context: &Context<'_>) -> Decision {
    let Some(resource) = context.view.own::<ResourceSpec>(context.key) else {
        return Decision::default();
    };
    if resource.is_deleting() {
        return finalize(context, resource);
    }
    let mut writes: Vec<Write> = hold(resource, finalizers::RESOURCE).into_iter().collect();
    let old = &resource.status;
    let mut latest = old.latest_release.clone();
    let outcome = plan(context, resource, &mut writes, &mut latest);
    let done = "Resource is released and bound to every environment of its project";
    let ready = readiness::of_released(outcome, context.failure(), done);
    let status = Released {
        observed_generation: resource.generation(),
        conditions: context.conditions(resource, &old.conditions, vec![ready]),
        latest_release: latest,
    };
    Decision {
        manager: MANAGER,
        writes,
        status: changed(old, &status),
        ..Decision::default()
    }
}

/// Releases the resource, gives every environment of its project a binding with a release, and
/// moves the first to the latest.
fn plan(
    context: &Context<'_>,
    resource: &Resource,
    writes: &mut Vec<Write>,
    latest: &mut Option<LatestRelease>,
) -> Result<(), Obstacle> {
    let (release, write) = freeze(context, resource)?;
    let released = write.is_none();
    writes.extend(write);
    let of = [
        context.namespace(),
        &resource.spec.owner.project_name,
        resource.name(),
    ];
    let bindings = context
        .view
        .members::<ResourceReleaseBindingSpec>(By::Resource, &of);
    let pipeline = pipeline::of_project(context, &resource.spec.owner.project_name)?;
    let root = pipeline.spec.root_environment();
    let first = bindings
        .iter()
        .find(|binding| root == Some(binding.spec.environment.as_str()));
    // A release is bound once: who moves the binding elsewhere afterwards is obeyed.
    let was_bound = old_release(resource) == Some(release.as_str());
    let mut places: Vec<(String, &str)> = Vec::new();
    for binding in &bindings {
        let is_first = first.is_some_and(|first| first.name() == binding.name());
        if moves(binding, &release, is_first && !was_bound) {
            places.push((binding.name().to_owned(), &binding.spec.environment));
        }
    }
    let bound: Vec<&str> = bindings
        .iter()
        .map(|binding| binding.spec.environment.as_str())
        .collect();
    for environment in pipeline::unbound(context, pipeline, &bound) {
        let name = names::resource_binding(resource.name(), environment);
        places.push((name, environment));
    }
    let is_root = |(_, environment): &(String, &str)| root == Some(*environment);
    let moved = places.iter().any(is_root);
    let bind = |(name, environment)| bind(resource, name, environment, &release);
    writes.extend(
        places
            .iter()
            .map(|(name, place)| (name.as_str(), *place))
            .filter_map(bind),
    );
    writes.extend(surplus(context, resource, &bindings, &release));
    // Only what is there, and bound where it starts, is the latest: a failed write is tried again.
    if released && !moved {
        *latest = Some(LatestRelease {
            hash: release::hash_of(&release).to_owned(),
            name: release,
        });
    }
    Ok(())
}

/// Deletes the releases that are kept no longer; `current` is the one that is bound.
fn surplus(
    context: &Context<'_>,
    resource: &Resource,
    bindings: &[&ResourceReleaseBinding],
    current: &str,
) -> Vec<Write> {
    let project = resource.spec.owner.project_name.as_str();
    let of = [context.namespace(), project, resource.name()];
    let releases = context
        .view
        .members::<ResourceReleaseSpec>(By::Resource, &of);
    let named = bindings.iter().flat_map(|one| history::releases(one));
    let mut needed: BTreeSet<&str> = named.chain([current]).collect();
    let limit = resource.spec.release_history_limit;
    if surplus::delete(releases.clone(), &needed, limit).is_empty() {
        return Vec::new();
    }
    let part = Part::Resource(resource.name());
    needed.extend(surplus::under_way::<ResourceReleaseBindingSpec>(
        context, project, part,
    ));
    surplus::delete(releases, &needed, limit)
}

fn old_release(resource: &Resource) -> Option<&str> {
    let latest = resource.status.latest_release.as_ref()?;
    Some(latest.name.as_str())
}

/// The release the resource has now, and the write that makes it, if it is not there.
fn freeze(context: &Context<'_>, resource: &Resource) -> Result<(String, Option<Write>), Obstacle> {
    let reference = &resource.spec.type_;
    let namespace = reference.namespace(context.namespace()).unwrap_or_default();
    let type_ = context.find::<ResourceTypeSpec>(
        namespace,
        &reference.name,
        reasons::RESOURCE_TYPE_NOT_FOUND,
    )?;
    let (name, spec) = release::resource_release(resource, type_)
        .map_err(|refusal| Obstacle::new(reasons::INVALID_CONFIGURATION, refusal.to_string()))?;
    let there = context
        .view
        .get::<ResourceReleaseSpec>(context.namespace(), &name);
    if there.is_some() {
        return Ok((name, None));
    }
    let labels = [
        (labels::PROJECT, spec.owner.project_name.as_str()),
        (labels::RESOURCE, resource.name()),
    ];
    let metadata = metadata(context.namespace(), &name, &labels);
    let write = apply("ResourceRelease", metadata, &spec);
    Ok((name, write))
}

/// Whether `binding` is given `release`: it has none, or another although it `follows`.
fn moves(binding: &ResourceReleaseBinding, release: &str, follows: bool) -> bool {
    let bound = binding.spec.resource_release.as_str();
    !binding.is_deleting() && bound != release && (bound.is_empty() || follows)
}

/// Makes the binding `name`, or moves it.
fn bind(resource: &Resource, name: &str, environment: &str, release: &str) -> Option<Write> {
    let project = &resource.spec.owner.project_name;
    let labels = [
        (labels::PROJECT, project.as_str()),
        (labels::RESOURCE, resource.name()),
        (labels::ENVIRONMENT, environment),
    ];
    let spec = json!({
        "owner": { "projectName": project, "resourceName": resource.name() },
        "environment": environment,
        "resourceRelease": release,
    });
    let metadata = metadata(resource.namespace(), name, &labels);
    apply("ResourceReleaseBinding", metadata, &spec)
}

/// Bindings go first, then releases. A binding that retains its objects is left alone.
fn finalize(context: &Context<'_>, resource: &Resource) -> Decision {
    let of = [
        context.namespace(),
        &resource.spec.owner.project_name,
        resource.name(),
    ];
    let bindings = context
        .view
        .members_with_status::<ResourceReleaseBindingSpec>(By::Resource, &of);
    let releases = context
        .view
        .members::<ResourceReleaseSpec>(By::Resource, &of);
    let mut promotions = context.view.members::<PromotionSpec>(By::Resource, &of);
    // One of a component or of the whole project is theirs.
    promotions.retain(|one| one.spec.owner.resource_name.is_some());
    let (retained, free) = retention::sort(context, bindings);
    let mut writes: Vec<Write> = delete_all(promotions.iter().copied()).collect();
    writes.extend(delete_all(free.iter().copied()));
    let reason = if retained.is_empty() {
        reasons::RESOURCE_FINALIZING
    } else {
        reasons::RETAIN_HOLD
    };
    let mut waits = retained;
    waits.extend(super::names(promotions));
    waits.extend(super::names(free));
    if waits.is_empty() {
        writes.extend(delete_all(releases.iter().copied()));
        waits.extend(super::names(releases));
    }
    let deletion = Finalizing {
        manager: MANAGER,
        finalizer: finalizers::RESOURCE,
        reason,
        writes,
        waits,
    };
    let old = &resource.status;
    deletion.decide(resource, |new| Released {
        observed_generation: resource.generation(),
        conditions: context.conditions(resource, &old.conditions, new),
        latest_release: old.latest_release.clone(),
    })
}
