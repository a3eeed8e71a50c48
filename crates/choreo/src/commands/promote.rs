//! `choreo promote`: releases go on to the next environment, along the pipeline. Where the path is
//! gated, they go by a promotion, which may wait for people.

mod resources;

use std::collections::BTreeMap;

use choreo_model::{
    DeploymentPipeline, ReleaseBinding, application::ComponentSpec, history::Action,
    platform::DeploymentPipelineSpec, project::ProjectSpec, promotion::PromotionOwner,
    release::ReleaseBindingSpec, shared::ComponentOwner,
};
use kube::Client;

use crate::{
    cli::Promote,
    client,
    exit::Exit,
    failure::{Failure, Result},
    folder::Folder,
    manager, pipeline,
    promotion::{self, Wanted},
    rollout::{self, Line, Said},
    store,
    told::Told,
    tree::{self, State},
};

/// Runs `choreo promote`.
pub(crate) async fn run(folder: impl FnOnce() -> Result<Folder>, args: &Promote) -> Result {
    let client = client::connect_as(folder, args.identity.kubeconfig.as_deref()).await?;
    let mut told = Told::new(args.output.output, "promote", &args.namespace.namespace);
    let result = match (&args.component, &args.project, &args.resource) {
        (Some(component), _, _) => one(&client, args, component, &mut told).await,
        (None, Some(project), _) => whole(&client, args, project, &mut told).await,
        (None, None, Some(resource)) => resources::one(&client, args, resource, &mut told).await,
        (None, None, None) => {
            let message = "name a component, --project or --resource";
            Err(Failure::new(Exit::Usage, message))
        }
    };
    told.end(result)
}

/// What is promoted: the release of each component and of each managed resource.
#[derive(Default)]
struct Parts {
    components: BTreeMap<String, String>,
    resources: BTreeMap<String, String>,
}

/// Promotes one line of a component.
async fn one(client: &Client, args: &Promote, component: &str, told: &mut Told) -> Result {
    let named = (component, args.track.as_deref());
    let line = rollout::line(client, &args.namespace.namespace, named).await?;
    let pipeline = rollout::pipeline_of(client, &line.component).await?;
    let bindings = rollout::bindings_of(client, &line).await?;
    let deployed = deployed(&bindings);
    let (name, to) = (&*line.name(), args.to.as_str());
    let from = pipeline::source(&pipeline.spec, name, to, args.from.as_deref(), &deployed)?;
    let release = rollout::release_in(&bindings, &from).unwrap_or_default();
    rollout::check_deployed(&bindings, to)?;
    if !args.force {
        check_ready(client, &line, &from).await?;
    }
    told.about(&line, to);
    told.moves(rollout::release_in(&bindings, to), release);
    told.summary.from = Some(from.clone());
    if rollout::release_in(&bindings, to) == Some(release) && runs(&bindings, to, release) {
        told.unchanged(format!("{name} {to}: has {release} already"))?;
        return rollout::rolled_out(client, &line, (to, release), &args.wait, told).await;
    }
    if is_gated(&pipeline, &from, to) {
        let ComponentOwner {
            project_name,
            component_name,
            track_name,
        } = line.owner.clone();
        let components = BTreeMap::from([(component_name.clone(), release.to_owned())]);
        let owner = PromotionOwner {
            project_name,
            component_name: Some(component_name),
            track_name,
            resource_name: None,
        };
        let resources = resources::missing(client, (&line, &bindings), (&from, to)).await?;
        let parts = Parts {
            components,
            resources,
        };
        return ask(client, args, owner, (&from, parts), told).await;
    }
    let place = (to, release);
    rollout::bind_project(client, &line.component, to, manager::PROMOTE).await?;
    let said = Said {
        manager: manager::PROMOTE,
        action: Action::Promote,
        reason: args.reason.as_deref(),
    };
    let binding = rollout::bind(client, &line, &bindings, place, &said).await?;
    told.requested(binding, format!("{name} {from} -> {to}: {release}"))?;
    rollout::rolled_out(client, &line, place, &args.wait, told).await
}

/// Promotes every component and resource of a project that has a release where it comes from.
async fn whole(client: &Client, args: &Promote, project: &str, told: &mut Told) -> Result {
    let namespace = args.namespace.namespace.as_str();
    let project = store::get::<ProjectSpec>(client, namespace, project).await?;
    let name = &project.spec.deployment_pipeline_ref.name;
    let pipeline = store::get::<DeploymentPipelineSpec>(client, namespace, name).await?;
    let mut bindings = store::list::<ReleaseBindingSpec>(client, namespace).await?;
    bindings.retain(|binding| {
        let owner = &binding.spec.owner;
        owner.project_name == project.name() && owner.track_name.is_none()
    });
    let (name, to) = (project.name(), args.to.as_str());
    let deployed = deployed(&bindings);
    let from = pipeline::source(&pipeline.spec, name, to, args.from.as_deref(), &deployed)?;
    let here = bindings.iter().filter(|binding| {
        binding.spec.environment == from && !binding.spec.release_name.is_empty()
    });
    let releases: BTreeMap<String, String> = here
        .map(|binding| {
            let component = binding.spec.owner.component_name.clone();
            (component, binding.spec.release_name.clone())
        })
        .collect();
    let resources = resources::bindings_of(client, namespace, name).await?;
    if !args.force {
        resources::check_ready(&resources, &from)?;
        for component in releases.keys() {
            let component = store::get::<ComponentSpec>(client, namespace, component).await?;
            check_ready(client, &Line::main(component), &from).await?;
        }
    }
    let owner = PromotionOwner {
        project_name: name.to_owned(),
        component_name: None,
        track_name: None,
        resource_name: None,
    };
    let parts = Parts {
        components: releases,
        resources: resources::releases_in(&resources, &from),
    };
    ask(client, args, owner, (&from, parts), told).await
}

/// Asks for a promotion, and follows it.
async fn ask(
    client: &Client,
    args: &Promote,
    owner: PromotionOwner,
    (from, parts): (&str, Parts),
    told: &mut Told,
) -> Result {
    let wanted = Wanted {
        namespace: &args.namespace.namespace,
        owner,
        from,
        to: &args.to,
        releases: parts.components,
        resources: parts.resources,
        reason: args.reason.as_deref(),
        break_glass: args.break_glass.as_deref(),
    };
    let promotion = promotion::request(client, &wanted).await?;
    let name = wanted.owner.name();
    let title = promotion::title(&promotion);
    told.line(format!("{name} {from} -> {}: {title}", args.to))?;
    promotion::follow(client, promotion, &args.wait, told).await
}

/// The environments where there is a release.
fn deployed(bindings: &[ReleaseBinding]) -> Vec<&str> {
    let bound = bindings.iter();
    let bound = bound.filter(|binding| !binding.spec.release_name.is_empty());
    let mut environments: Vec<&str> = bound
        .map(|binding| binding.spec.environment.as_str())
        .collect();
    environments.sort_unstable();
    environments.dedup();
    environments
}

/// Whether the release of a binding is what runs: at a gate it may be held.
fn runs(bindings: &[ReleaseBinding], environment: &str, release: &str) -> bool {
    let binding = rollout::binding_in(bindings, environment);
    let runs = binding.and_then(|binding| binding.status.release.as_deref());
    runs.is_none_or(|runs| runs == release)
}

fn is_gated(pipeline: &DeploymentPipeline, from: &str, to: &str) -> bool {
    let path = pipeline.spec.path(from, to);
    path.is_some_and(|path| pipeline.spec.is_gated(path))
}

/// Refuses to pass on what does not run where it is.
async fn check_ready(client: &Client, line: &Line, environment: &str) -> Result {
    let snapshot = tree::collect(client, line.namespace()).await?;
    let name = line.name();
    let items = tree::bindings(&snapshot, &line.owner.project_name, &name);
    let here = items.into_iter().find(|item| item.name == environment);
    match here {
        Some(item) if item.state != State::Ready => {
            let message = format!("{name} is not ready in {environment}: {}", item.detail);
            Err(Failure::new(Exit::NotReady, message)
                .hint("promote it once it is ready, or all the same with --force"))
        }
        Some(_) | None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
