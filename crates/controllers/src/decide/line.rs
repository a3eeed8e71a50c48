//! Lines of components: the main line, and the tracks beside it. Each is frozen into releases and, with
//! autoDeploy, bound to the first environment.

use std::borrow::Cow;
use std::collections::BTreeSet;

use choreo_compiler::release::{self, Refusal};
use choreo_compiler::workflow_rules;
use choreo_model::application::{LatestComponentRelease, WorkloadSpec};
use choreo_model::component_type::ComponentTypeSpec;
use choreo_model::conditions::{self, reasons, types};
use choreo_model::promotion::PromotionSpec;
use choreo_model::release::{ComponentReleaseSpec, ReleaseBindingSpec};
use choreo_model::shared::ComponentOwner;
use choreo_model::traits::TraitSpec;
use choreo_model::workflow::WorkflowSpec;
use choreo_model::{
    Component, ComponentRelease, ComponentType, DeploymentTrack, Object, Promotion, ReleaseBinding,
    Spec, Workload, finalizers, labels, names,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use serde_json::{Value, json};

use super::{
    Context, Obstacle, Release, apply, author, delete_all, history, metadata, pipeline, some_of,
    surplus,
};
use crate::decision::{Home, Write};
use crate::key::By;

/// A line of a component.
pub(super) struct Line<'a> {
    pub(super) component: &'a Component,
    pub(super) owner: ComponentOwner,
    auto_deploy: bool,
    /// The release it made last.
    pub(super) latest: Option<&'a LatestComponentRelease>,
    /// The kind that declares it.
    kind: &'static str,
}

impl<'a> Line<'a> {
    /// The main line of a component.
    pub(super) fn main(component: &'a Component) -> Self {
        let project = &component.spec.owner.project_name;
        Self {
            owner: ComponentOwner::new(project, component.name(), None),
            auto_deploy: component.spec.auto_deploy,
            latest: component.status.latest_release.as_ref(),
            kind: component.kind(),
            component,
        }
    }

    /// The line `owner` of a component, which `track` declares.
    pub(super) fn track(
        component: &'a Component,
        track: &'a DeploymentTrack,
        owner: ComponentOwner,
    ) -> Self {
        let own = track.spec.auto_deploy;
        Self {
            component,
            owner,
            auto_deploy: own.unwrap_or(component.spec.auto_deploy),
            latest: track.status.latest_release.as_ref(),
            kind: track.kind(),
        }
    }

    /// By what the objects that belong to the line, which has this `id`, are found.
    fn place<'c>(&'c self, context: &'c Context<'_>, id: &'c str) -> [&'c str; 3] {
        [context.namespace(), &self.owner.project_name, id]
    }

    /// What objects of the line are labelled with.
    fn labels(&self) -> Vec<(&'static str, &str)> {
        let owner = &self.owner;
        let track = owner.track_name.as_deref();
        let main = [
            (labels::PROJECT, owner.project_name.as_str()),
            (labels::COMPONENT, owner.component_name.as_str()),
        ];
        let track = track.map(|track| (labels::TRACK, track));
        main.into_iter().chain(track).collect()
    }

    /// The line, for a message.
    fn title(&self) -> String {
        let component = &self.owner.component_name;
        match &self.owner.track_name {
            Some(track) => format!("track \"{track}\" of component \"{component}\""),
            None => format!("component \"{component}\""),
        }
    }
}

/// How far a line has come.
pub(super) struct Progress {
    /// `Ready`.
    pub(super) ready: Condition,
    pub(super) writes: Vec<Write>,
    /// The release made last.
    pub(super) latest: Option<LatestComponentRelease>,
    /// Whether a release is being made or bound. That is told once it is there, which is a moment later.
    pub(super) under_way: bool,
}

impl Progress {
    /// Nothing goes on.
    pub(super) fn obstructed(obstacle: &Obstacle, latest: Option<&LatestComponentRelease>) -> Self {
        Self {
            ready: conditions::no(types::READY, obstacle.reason, obstacle.message.as_str()),
            writes: Vec::new(),
            latest: latest.cloned(),
            under_way: false,
        }
    }
}

/// Releases and deploys a line, and deletes what is kept no longer.
pub(super) fn advance(context: &Context<'_>, line: &Line<'_>) -> Progress {
    let deployment = match plan(context, line) {
        Ok(deployment) => deployment,
        Err(obstacle) => return Progress::obstructed(&obstacle, line.latest),
    };
    let current = deployment.as_ref().map(|one| one.latest.name.as_str());
    let mut writes = surplus(context, line, current);
    let Some(deployment) = deployment else {
        let message = format!(
            "{} is valid; autoDeploy is off, so releases are made and bound by hand",
            line.kind
        );
        return Progress {
            ready: conditions::yes(types::READY, reasons::RECONCILED, message),
            writes,
            latest: line.latest.cloned(),
            under_way: false,
        };
    };
    let under_way = !deployment.bound && context.failure().is_none();
    let ready = if let Some(failure) = context.failure() {
        conditions::no(types::READY, reasons::AUTO_DEPLOY_FAILED, failure)
    } else {
        let message = deployment.message();
        conditions::yes(types::READY, reasons::COMPONENT_RELEASE_READY, message)
    };
    writes.extend(deployment.writes);
    Progress {
        ready,
        writes,
        latest: if deployment.bound {
            Some(deployment.latest)
        } else {
            line.latest.cloned()
        },
        under_way,
    }
}

/// Deletes the releases that are kept no longer; `current` is the one being deployed.
fn surplus(context: &Context<'_>, line: &Line<'_>, current: Option<&str>) -> Vec<Write> {
    let id = line.owner.line_id();
    let of = line.place(context, &id);
    let (bindings, releases) = (
        context
            .view
            .members::<ReleaseBindingSpec>(By::Component, &of),
        context
            .view
            .members::<ComponentReleaseSpec>(By::Component, &of),
    );
    let bound = bindings.iter().flat_map(|one| history::releases(one));
    let latest = line.latest.map(|latest| latest.name.as_str());
    let mut needed: BTreeSet<&str> = bound.chain(latest).chain(current).collect();
    let limit = line.component.spec.release_history_limit;
    if surplus::delete(releases.clone(), &needed, limit).is_empty() {
        return Vec::new();
    }
    let (project, part) = (&line.owner.project_name, line.owner.part());
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

/// What to make of the line; nothing when it is not deployed by itself.
fn plan(context: &Context<'_>, line: &Line<'_>) -> Result<Option<Deployment>, Obstacle> {
    let release = frozen(context, line)?;
    let environment = root_environment(context, line.component)?;
    if !line.auto_deploy {
        return Ok(None);
    }
    Ok(Some(deploy(context, line, release, environment)))
}

/// The line as it is now, frozen, under the name its content gives it.
pub(super) fn release(context: &Context<'_>, line: &Line<'_>) -> Result<Release, Obstacle> {
    let (name, spec) = frozen(context, line)?;
    let object = object(context, line, (&name, &spec));
    Ok(Release { name, object })
}

fn object(
    context: &Context<'_>,
    line: &Line<'_>,
    (name, spec): (&str, &ComponentReleaseSpec),
) -> Value {
    json!({
        "apiVersion": choreo_model::API_VERSION,
        "kind": ComponentReleaseSpec::KIND,
        "metadata": metadata(context.namespace(), name, &line.labels()),
        "spec": spec,
    })
}

fn frozen(
    context: &Context<'_>,
    line: &Line<'_>,
) -> Result<(String, ComponentReleaseSpec), Obstacle> {
    let component = line.component;
    let type_ = component_type(context, component)?;
    check_workflow(context, component, type_)?;
    let workload = workload(context, line, type_)?;
    freeze(context, component, type_, &workload)
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

fn workload<'a>(
    context: &Context<'a>,
    line: &Line<'_>,
    type_: &ComponentType,
) -> Result<Cow<'a, Workload>, Obstacle> {
    let id = line.owner.line_id();
    let of = line.place(context, &id);
    let found = context.view.members::<WorkloadSpec>(By::Component, &of);
    match found.as_slice() {
        [workload] => Ok(Cow::Borrowed(workload)),
        [] if !type_.spec.workload_type.runs() => {
            let none = release::no_workload(line.component, &line.owner);
            Ok(Cow::Owned(none))
        }
        [] => Err(Obstacle::new(
            reasons::WORKLOAD_NOT_FOUND,
            format!(
                "Workload for {} not found, waiting for workload to be created",
                line.title()
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
                    "{} has {} Workloads ({}); exactly one is wanted",
                    line.title(),
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
    release::component_release(component, type_, &traits, workload, context.view.programs())
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
    line: &Line<'_>,
    (name, release): (String, ComponentReleaseSpec),
    environment: &str,
) -> Deployment {
    let mut writes = Vec::new();
    let released = context
        .view
        .get::<ComponentReleaseSpec>(context.namespace(), &name)
        .is_some();
    let place = (name.as_str(), environment);
    let (binding, write) = bind(context, line, place, &release);
    if !released {
        writes.push(Write::Apply {
            home: Home::Control,
            object: object(context, line, (&name, &release)),
        });
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
/// obeyed until the line's next release.
fn bind(
    context: &Context<'_>,
    line: &Line<'_>,
    (release, environment): (&str, &str),
    content: &ComponentReleaseSpec,
) -> (String, Option<Write>) {
    let (project, id) = (line.owner.project_name.as_str(), line.owner.line_id());
    let of = [context.namespace(), project, &id, environment];
    let found = context
        .view
        .members::<ReleaseBindingSpec>(By::ComponentEnvironment, &of);
    let name = found.first().map_or_else(
        || names::component_binding(&line.owner.line(), environment),
        |binding| binding.name().to_owned(),
    );
    let was_bound = line.latest.is_some_and(|latest| latest.name == release);
    let settled = |binding: &&ReleaseBinding| {
        let bound = binding.spec.release_name.as_str();
        binding.is_deleting() || bound == release || (was_bound && !bound.is_empty())
    };
    if found.first().is_some_and(settled) {
        return (name, None);
    }
    let mut labels = line.labels();
    labels.push((labels::ENVIRONMENT, environment));
    let spec = json!({
        "owner": line.owner,
        "environment": environment,
        "releaseName": release,
    });
    let mut metadata = metadata(context.namespace(), &name, &labels);
    // Held from the beginning, so that nobody has to write it a second time for that.
    metadata["finalizers"] = json!([finalizers::RELEASE_BINDING]);
    if let Some(author) = author::of_release(context, line, content) {
        metadata["annotations"] = json!({ labels::ON_BEHALF_OF: author });
    }
    let write = apply("ReleaseBinding", metadata, &spec);
    (name, write)
}

/// What belongs to lines of components and goes with them.
pub(super) struct Belongings<'a> {
    promotions: Vec<&'a Promotion>,
    bindings: Vec<&'a ReleaseBinding>,
    releases: Vec<&'a ComponentRelease>,
    workloads: Vec<&'a Workload>,
}

impl<'a> Belongings<'a> {
    /// What belongs to a group.
    pub(super) fn of(context: &Context<'a>, by: By, of: &[&str]) -> Self {
        let view = context.view;
        let mut promotions = view.members::<PromotionSpec>(by, of);
        // One of the whole project is the project's.
        promotions.retain(|one| one.spec.owner.component_name.is_some());
        Self {
            promotions,
            bindings: view.members::<ReleaseBindingSpec>(by, of),
            releases: view.members::<ComponentReleaseSpec>(by, of),
            workloads: view.members::<WorkloadSpec>(by, of),
        }
    }

    /// Deletes all of it.
    pub(super) fn delete(&self) -> impl Iterator<Item = Write> {
        delete_all(self.promotions.iter().copied())
            .chain(delete_all(self.bindings.iter().copied()))
            .chain(delete_all(self.releases.iter().copied()))
            .chain(delete_all(self.workloads.iter().copied()))
    }

    /// What of it is there, for a message.
    pub(super) fn names(&self) -> impl Iterator<Item = String> {
        super::names(self.promotions.iter().copied())
            .into_iter()
            .chain(super::names(self.bindings.iter().copied()))
            .chain(super::names(self.releases.iter().copied()))
            .chain(super::names(self.workloads.iter().copied()))
    }
}
