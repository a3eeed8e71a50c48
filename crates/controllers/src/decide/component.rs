//! Components: frozen into releases and, with autoDeploy, bound to the first environment.

use std::collections::BTreeSet;

use choreo_compiler::release::{self, Refusal};
use choreo_compiler::workflow_rules;
use choreo_model::application::{
    ComponentSpec, ComponentStatus, LatestComponentRelease, WorkloadSpec,
};
use choreo_model::component_type::ComponentTypeSpec;
use choreo_model::conditions::{self, reasons, types};
use choreo_model::promotion::{Part, PromotionSpec};
use choreo_model::release::{ComponentReleaseSpec, ReleaseBindingSpec};
use choreo_model::traits::TraitSpec;
use choreo_model::workflow::{WorkflowRunSpec, WorkflowSpec};
use choreo_model::{
    Component, ComponentType, Object, ReleaseBinding, Spec, Workload, finalizers, labels, names,
};
use serde_json::{Value, json};

use super::{
    Context, Finalizing, Obstacle, Release, apply, author, changed, delete_all, history, hold,
    metadata, pipeline, some_of, surplus,
};
use crate::decision::{Decision, Home, Write};
use crate::key::By;

const MANAGER: &str = "component-controller";

pub(super) fn decide(context: &Context<'_>) -> Decision {
    let Some(component) = context.view.own::<ComponentSpec>(context.key) else {
        return Decision::default();
    };
    if component.is_deleting() {
        return finalize(context, component);
    }
    let mut writes: Vec<Write> = hold(component, finalizers::COMPONENT).into_iter().collect();
    let old = &component.status;
    let mut latest = old.latest_release.clone();
    let plan = plan(context, component);
    if let Ok(deployment) = &plan {
        let current = deployment.as_ref().map(|one| one.latest.name.as_str());
        writes.extend(surplus(context, component, current));
    }
    let ready = match plan {
        Err(obstacle) => conditions::no(types::READY, obstacle.reason, obstacle.message),
        Ok(None) => conditions::yes(
            types::READY,
            reasons::RECONCILED,
            "Component is valid; autoDeploy is off, so releases are made and bound by hand",
        ),
        Ok(Some(deployment)) => {
            let message = deployment.message();
            if deployment.bound {
                latest = Some(deployment.latest);
            }
            writes.extend(deployment.writes);
            match context.failure() {
                Some(failure) => conditions::no(types::READY, reasons::AUTO_DEPLOY_FAILED, failure),
                None => conditions::yes(types::READY, reasons::COMPONENT_RELEASE_READY, message),
            }
        }
    };
    let status = ComponentStatus {
        observed_generation: component.generation(),
        conditions: context.conditions(component, &old.conditions, vec![ready]),
        latest_release: latest,
    };
    Decision {
        manager: MANAGER,
        writes,
        status: changed(old, &status),
        ..Decision::default()
    }
}

/// By what the objects that belong to the component are found.
fn place<'c>(context: &'c Context<'_>, component: &'c Component) -> [&'c str; 3] {
    let project = component.spec.owner.project_name.as_str();
    [context.namespace(), project, component.name()]
}

/// Deletes the releases that are kept no longer; `current` is the one being deployed.
fn surplus(context: &Context<'_>, component: &Component, current: Option<&str>) -> Vec<Write> {
    let of = place(context, component);
    let (bindings, releases) = (
        context
            .view
            .members::<ReleaseBindingSpec>(By::Component, &of),
        context
            .view
            .members::<ComponentReleaseSpec>(By::Component, &of),
    );
    let bound = bindings.iter().flat_map(|one| history::releases(one));
    let latest = component.status.latest_release.as_ref();
    let latest = latest.map(|latest| latest.name.as_str());
    let mut needed: BTreeSet<&str> = bound.chain(latest).chain(current).collect();
    let limit = component.spec.release_history_limit;
    if surplus::delete(releases.clone(), &needed, limit).is_empty() {
        return Vec::new();
    }
    let (project, part) = (of[1], Part::Component(component.name()));
    needed.extend(surplus::under_way::<ReleaseBindingSpec>(
        context, project, part,
    ));
    surplus::delete(releases, &needed, limit)
}

/// A release and its place in the first environment.
struct Deployment {
    latest: LatestComponentRelease,
    binding: String,
    environment: String,
    writes: Vec<Write>,
    /// Whether the release is there and the binding has been seen at it, or was moved away from it
    /// by hand. Only then the release becomes the latest of the status: a failed write is tried
    /// again.
    bound: bool,
}

impl Deployment {
    fn message(&self) -> String {
        format!(
            "ComponentRelease \"{}\" and ReleaseBinding \"{}\" successfully managed for \
             environment \"{}\"",
            self.latest.name, self.binding, self.environment
        )
    }
}

/// What to make of the component; nothing when it is not deployed by itself.
fn plan(context: &Context<'_>, component: &Component) -> Result<Option<Deployment>, Obstacle> {
    let release = release(context, component)?;
    let environment = root_environment(context, component)?;
    if !component.spec.auto_deploy {
        return Ok(None);
    }
    Ok(Some(deploy(context, component, release, environment)))
}

/// The component as it is now, frozen, under the name its content gives it.
pub(super) fn release(context: &Context<'_>, component: &Component) -> Result<Release, Obstacle> {
    let type_ = component_type(context, component)?;
    check_workflow(context, component, type_)?;
    let workload = workload(context, component)?;
    let (name, spec) = freeze(context, component, type_, workload)?;
    let labels = [
        (labels::PROJECT, spec.owner.project_name.as_str()),
        (labels::COMPONENT, spec.owner.component_name.as_str()),
    ];
    let metadata = metadata(context.namespace(), &name, &labels);
    let object = json!({
        "apiVersion": choreo_model::API_VERSION,
        "kind": ComponentReleaseSpec::KIND,
        "metadata": metadata,
        "spec": spec,
    });
    Ok(Release { name, object })
}

fn component_type<'a>(
    context: &Context<'a>,
    component: &Component,
) -> Result<&'a ComponentType, Obstacle> {
    let reference = &component.spec.component_type;
    let namespace = reference.namespace(context.namespace()).unwrap_or_default();
    let type_ = context.find::<ComponentTypeSpec>(
        namespace,
        reference.type_name(),
        reasons::COMPONENT_TYPE_NOT_FOUND,
    )?;
    release::check_workload_type(component, type_).map_err(|refusal| refused(&refusal))?;
    Ok(type_)
}

/// Workflows are looked at before anything else that may be wrong: a component that may not be
/// built this way should hear so first.
fn check_workflow(
    context: &Context<'_>,
    component: &Component,
    type_: &ComponentType,
) -> Result<(), Obstacle> {
    let Some(workflow) = &component.spec.workflow else {
        return Ok(());
    };
    let reference = &workflow.reference;
    workflow_rules::check_allowed(reference, type_)
        .map_err(|refusal| Obstacle::new(reasons::WORKFLOW_NOT_ALLOWED, refusal.to_string()))?;
    let namespace = reference.namespace(context.namespace()).unwrap_or_default();
    let reason = reasons::WORKFLOW_NOT_FOUND;
    context.find::<WorkflowSpec>(namespace, &reference.name, reason)?;
    Ok(())
}

fn workload<'a>(context: &Context<'a>, component: &Component) -> Result<&'a Workload, Obstacle> {
    let of = place(context, component);
    let found = context.view.members::<WorkloadSpec>(By::Component, &of);
    match found.as_slice() {
        [workload] => Ok(workload),
        [] => Err(Obstacle::new(
            reasons::WORKLOAD_NOT_FOUND,
            format!(
                "Workload for component \"{}\" not found, waiting for workload to be created",
                component.name()
            ),
        )),
        several => {
            let names: Vec<String> = several
                .iter()
                .map(|workload| format!("\"{}\"", workload.name()))
                .collect();
            Err(Obstacle::new(
                reasons::INVALID_CONFIGURATION,
                format!(
                    "component \"{}\" has {} Workloads ({}); exactly one is wanted",
                    component.name(),
                    names.len(),
                    some_of(&names)
                ),
            ))
        }
    }
}

fn freeze(
    context: &Context<'_>,
    component: &Component,
    type_: &ComponentType,
    workload: &Workload,
) -> Result<(String, ComponentReleaseSpec), Obstacle> {
    let references = release::trait_references(component, type_);
    let traits: Vec<&Object<TraitSpec>> = references
        .iter()
        .filter_map(|reference| {
            let namespace = reference.namespace(context.namespace()).unwrap_or_default();
            context.view.get(namespace, &reference.name)
        })
        .collect();
    release::component_release(component, type_, &traits, workload)
        .map_err(|refusal| refused(&refusal))
}

fn refused(refusal: &Refusal) -> Obstacle {
    let reason = match refusal {
        Refusal::TraitNotFound(..) => reasons::TRAIT_NOT_FOUND,
        Refusal::TraitNotAllowed { .. }
        | Refusal::InstanceNameTwice(_)
        | Refusal::WorkloadType(..)
        | Refusal::Json(_) => reasons::INVALID_CONFIGURATION,
    };
    Obstacle::new(reason, refusal.to_string())
}

fn root_environment<'a>(context: &Context<'a>, component: &Component) -> Result<&'a str, Obstacle> {
    let pipeline = pipeline::of_project(context, &component.spec.owner.project_name)?;
    pipeline.spec.root_environment().ok_or_else(|| {
        Obstacle::new(
            reasons::INVALID_CONFIGURATION,
            format!(
                "DeploymentPipeline \"{}\" has no environment to start in",
                pipeline.name()
            ),
        )
    })
}

fn deploy(
    context: &Context<'_>,
    component: &Component,
    Release { name, object }: Release,
    environment: &str,
) -> Deployment {
    let mut writes = Vec::new();
    let released = context
        .view
        .get::<ComponentReleaseSpec>(context.namespace(), &name)
        .is_some();
    let place = (name.as_str(), environment);
    let (binding, write) = bind(context, component, place, &object);
    if !released {
        let home = Home::Control;
        writes.push(Write::Apply { home, object });
    }
    let bound = released && write.is_none();
    writes.extend(write);
    let latest = LatestComponentRelease {
        release_hash: release::hash_of(&name).to_owned(),
        name,
    };
    Deployment {
        latest,
        binding,
        environment: environment.to_owned(),
        writes,
        bound,
    }
}

/// The binding of the environment, moved to the release if it is not there yet.
///
/// A release is bound once: a person who moves the binding elsewhere afterwards (a rollback) is
/// obeyed until the component's next release.
fn bind(
    context: &Context<'_>,
    component: &Component,
    (release, environment): (&str, &str),
    content: &Value,
) -> (String, Option<Write>) {
    let project = component.spec.owner.project_name.as_str();
    let of = [context.namespace(), project, component.name(), environment];
    let found = context
        .view
        .members::<ReleaseBindingSpec>(By::ComponentEnvironment, &of);
    let name = found.first().map_or_else(
        || names::component_binding(component.name(), environment),
        |binding| binding.name().to_owned(),
    );
    let was_bound =
        (component.status.latest_release.as_ref()).is_some_and(|latest| latest.name == release);
    let settled = |binding: &&ReleaseBinding| {
        let bound = binding.spec.release_name.as_str();
        binding.is_deleting() || bound == release || (was_bound && !bound.is_empty())
    };
    if found.first().is_some_and(settled) {
        return (name, None);
    }
    let labels = [
        (labels::PROJECT, project),
        (labels::COMPONENT, component.name()),
        (labels::ENVIRONMENT, environment),
    ];
    let spec = json!({
        "owner": { "projectName": project, "componentName": component.name() },
        "environment": environment,
        "releaseName": release,
    });
    let mut metadata = metadata(context.namespace(), &name, &labels);
    // Held from the beginning, so that nobody has to write it a second time for that.
    metadata["finalizers"] = json!([finalizers::RELEASE_BINDING]);
    if let Some(author) = author::of_release(context, component, content) {
        metadata["annotations"] = json!({ labels::ON_BEHALF_OF: author });
    }
    let write = apply("ReleaseBinding", &metadata, &spec);
    (name, write)
}

fn finalize(context: &Context<'_>, component: &Component) -> Decision {
    let of = place(context, component);
    let (bindings, releases) = (
        context
            .view
            .members::<ReleaseBindingSpec>(By::Component, &of),
        context
            .view
            .members::<ComponentReleaseSpec>(By::Component, &of),
    );
    let workloads = context.view.members::<WorkloadSpec>(By::Component, &of);
    let runs = context.view.members::<WorkflowRunSpec>(By::Component, &of);
    let mut promotions = context.view.members::<PromotionSpec>(By::Component, &of);
    // One of the whole project is the project's.
    promotions.retain(|one| one.spec.owner.component_name.is_some());
    let writes: Vec<Write> = delete_all(promotions.iter().copied())
        .chain(delete_all(bindings.iter().copied()))
        .chain(delete_all(releases.iter().copied()))
        .chain(delete_all(workloads.iter().copied()))
        .chain(delete_all(runs.iter().copied()))
        .collect();
    let waits: Vec<String> = super::names(promotions)
        .into_iter()
        .chain(super::names(bindings))
        .chain(super::names(releases))
        .chain(super::names(workloads))
        .chain(super::names(runs))
        .collect();
    let deletion = Finalizing {
        manager: MANAGER,
        finalizer: finalizers::COMPONENT,
        reason: reasons::COMPONENT_FINALIZING,
        writes,
        waits,
    };
    let old = &component.status;
    deletion.decide(component, |new| ComponentStatus {
        observed_generation: component.generation(),
        conditions: context.conditions(component, &old.conditions, new),
        latest_release: old.latest_release.clone(),
    })
}
