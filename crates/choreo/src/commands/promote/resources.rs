//! Managed resources on their way: by themselves, with their whole project, or along with a component
//! that cannot do without them.

use std::collections::BTreeMap;

use choreo_compiler::connections;
use choreo_model::{
    ReleaseBinding, ResourceReleaseBinding,
    conditions::{self, types},
    platform::DeploymentPipelineSpec,
    project::ProjectSpec,
    promotion::PromotionOwner,
    release::ComponentReleaseSpec,
    resource::{ResourceReleaseBindingSpec, ResourceSpec},
};
use kube::Client;

use super::{Parts, ask};
use crate::{
    cli::Promote,
    exit::Exit,
    failure::{Failure, Result},
    pipeline,
    rollout::{self, Line},
    store,
    told::Told,
};

/// Promotes one resource.
pub(super) async fn one(
    client: &Client,
    args: &Promote,
    resource: &str,
    told: &mut Told,
) -> Result {
    let namespace = args.namespace.namespace.as_str();
    let resource = store::get::<ResourceSpec>(client, namespace, resource).await?;
    let project = &resource.spec.owner.project_name;
    let name = resource.name();
    let of_project = store::get::<ProjectSpec>(client, namespace, project).await?;
    let pipeline = &of_project.spec.deployment_pipeline_ref.name;
    let pipeline = store::get::<DeploymentPipelineSpec>(client, namespace, pipeline).await?;
    let mut bindings = bindings_of(client, namespace, project).await?;
    bindings.retain(|binding| binding.spec.owner.resource_name == name);
    let running = bindings.iter().filter(|binding| release(binding).is_some());
    let mut deployed: Vec<&str> = running
        .map(|binding| binding.spec.environment.as_str())
        .collect();
    deployed.sort_unstable();
    deployed.dedup();
    let (to, from) = (args.to.as_str(), args.from.as_deref());
    let from = pipeline::source(&pipeline.spec, name, to, from, &deployed)?;
    if !args.force {
        check_ready(&bindings, &from)?;
    }
    let owner = PromotionOwner {
        project_name: project.clone(),
        component_name: None,
        track_name: None,
        resource_name: Some(name.to_owned()),
    };
    let parts = Parts {
        resources: releases_in(&bindings, &from),
        ..Parts::default()
    };
    ask(client, args, owner, (&from, parts), told).await
}

/// The bindings of a project's resources.
pub(super) async fn bindings_of(
    client: &Client,
    namespace: &str,
    project: &str,
) -> Result<Vec<ResourceReleaseBinding>> {
    let mut bindings = store::list::<ResourceReleaseBindingSpec>(client, namespace).await?;
    bindings.retain(|binding| binding.spec.owner.project_name == project);
    Ok(bindings)
}

/// The release of a binding that runs.
fn release(binding: &ResourceReleaseBinding) -> Option<&str> {
    binding.status.release.as_deref()
}

/// The release that each resource runs in an environment.
pub(super) fn releases_in(
    bindings: &[ResourceReleaseBinding],
    environment: &str,
) -> BTreeMap<String, String> {
    let here = bindings
        .iter()
        .filter(|binding| binding.spec.environment == environment);
    here.filter_map(|binding| {
        let name = binding.spec.owner.resource_name.clone();
        Some((name, release(binding)?.to_owned()))
    })
    .collect()
}

/// What `line` uses of the resources of its project and `to` does not have, as it is in `from`.
pub(super) async fn missing(
    client: &Client,
    (line, bindings): (&Line, &[ReleaseBinding]),
    (from, to): (&str, &str),
) -> Result<BTreeMap<String, String>> {
    let namespace = line.namespace();
    let Some(binding) = rollout::binding_in(bindings, from) else {
        return Ok(BTreeMap::new());
    };
    let name = &binding.spec.release_name;
    let release = store::get::<ComponentReleaseSpec>(client, namespace, name).await?;
    let used = connections::resource_targets(namespace, &binding.spec, &release.spec.workload);
    if used.is_empty() {
        return Ok(BTreeMap::new());
    }
    let project = &line.owner.project_name;
    let all = bindings_of(client, namespace, project).await?;
    let there = releases_in(&all, to);
    let mut wanted = releases_in(&all, from);
    wanted.retain(|resource, _| {
        let is_used = used.iter().any(|one| &one.resource == resource);
        is_used && !there.contains_key(resource)
    });
    Ok(wanted)
}

/// Refuses to pass on what does not run where it is.
pub(super) fn check_ready(bindings: &[ResourceReleaseBinding], environment: &str) -> Result {
    let here = bindings
        .iter()
        .filter(|binding| binding.spec.environment == environment && release(binding).is_some());
    for binding in here {
        let ready = conditions::find(&binding.status.conditions, types::READY);
        if let Some(ready) = ready.filter(|ready| ready.status != "True") {
            let name = &binding.spec.owner.resource_name;
            let why = &ready.message;
            let message = format!("resource {name} is not ready in {environment}: {why}");
            return Err(Failure::new(Exit::NotReady, message)
                .hint("promote it once it is ready, or all the same with --force"));
        }
    }
    Ok(())
}
