//! `choreo promote`: a release goes on to the next environment, along the pipeline.

use choreo_model::{
    Component, DeploymentPipeline, ReleaseBinding,
    application::ComponentSpec,
    platform::DeploymentPipelineSpec,
    project::{ProjectReleaseBindingSpec, ProjectSpec},
    release::ReleaseBindingSpec,
};
use kube::Client;
use serde_json::json;

use crate::{
    cli::{Promote, Wait},
    client,
    exit::Exit,
    failure::{Failure, Result},
    folder::Folder,
    pipeline, store, terminal, waiting,
};

/// Runs `choreo promote`.
pub(crate) async fn run(folder: &Folder, args: &Promote) -> Result {
    let client = client::connect(folder).await?;
    let namespace = &args.namespace.namespace;
    let component = store::get::<ComponentSpec>(&client, namespace, &args.component).await?;
    let pipeline = pipeline_of(&client, &component).await?;
    let bindings = bindings_of(&client, &component).await?;
    let deployed: Vec<&str> = bindings
        .iter()
        .filter(|binding| !binding.spec.release_name.is_empty())
        .map(|binding| binding.spec.environment.as_str())
        .collect();
    let from = pipeline::source(
        &pipeline.spec,
        component.name(),
        &args.to,
        args.from.as_deref(),
        &deployed,
    )?;
    let release = bindings
        .iter()
        .find(|binding| binding.spec.environment == from)
        .map(|binding| binding.spec.release_name.clone())
        .unwrap_or_default();
    bind_project(&client, &component, &args.to).await?;
    bind(&client, &component, &bindings, &args.to, &release).await?;
    terminal::line(format!(
        "{} {from} -> {}: {release}",
        component.name(),
        args.to
    ))?;
    rolled_out(&client, &component, &args.to, &release, &args.wait).await
}

/// The pipeline of a component's project.
pub(crate) async fn pipeline_of(
    client: &Client,
    component: &Component,
) -> Result<DeploymentPipeline> {
    let namespace = component.namespace();
    let project =
        store::get::<ProjectSpec>(client, namespace, &component.spec.owner.project_name).await?;
    let name = &project.spec.deployment_pipeline_ref.name;
    store::get::<DeploymentPipelineSpec>(client, namespace, name).await
}

/// The environment a component starts in.
pub(crate) async fn first_environment(client: &Client, component: &Component) -> Result<String> {
    let pipeline = pipeline_of(client, component).await?;
    pipeline
        .spec
        .root_environment()
        .map(str::to_owned)
        .ok_or_else(|| {
            let message = format!(
                "pipeline {} has no environment to start in",
                pipeline.name()
            );
            Failure::new(Exit::Invalid, message)
        })
}

/// A component's bindings.
pub(crate) async fn bindings_of(
    client: &Client,
    component: &Component,
) -> Result<Vec<ReleaseBinding>> {
    let mut bindings = store::list::<ReleaseBindingSpec>(client, component.namespace()).await?;
    bindings.retain(|binding| {
        binding.spec.owner.project_name == component.spec.owner.project_name
            && binding.spec.owner.component_name == component.name()
    });
    Ok(bindings)
}

/// Puts a release into an environment, in the binding that is there or in a new one.
pub(crate) async fn bind(
    client: &Client,
    component: &Component,
    bindings: &[ReleaseBinding],
    environment: &str,
    release: &str,
) -> Result {
    let namespace = component.namespace();
    let existing = bindings
        .iter()
        .find(|binding| binding.spec.environment == environment);
    if let Some(binding) = existing {
        // A merge: what files say about the binding besides must stay.
        let change = json!({"spec": {"releaseName": release}});
        store::merge::<ReleaseBindingSpec>(client, namespace, binding.name(), change).await?;
        return Ok(());
    }
    let name = format!("{}-{environment}", component.name());
    let spec = json!({
        "owner": {
            "projectName": component.spec.owner.project_name,
            "componentName": component.name(),
        },
        "environment": environment,
        "releaseName": release,
    });
    store::apply::<ReleaseBindingSpec>(client, namespace, &name, spec).await?;
    Ok(())
}

/// Makes the project's cell in an environment, unless it is there.
pub(crate) async fn bind_project(
    client: &Client,
    component: &Component,
    environment: &str,
) -> Result {
    let project = &component.spec.owner.project_name;
    let bound = store::list::<ProjectReleaseBindingSpec>(client, component.namespace()).await?;
    let there = bound.iter().any(|binding| {
        binding.spec.owner.project_name == *project && binding.spec.environment == environment
    });
    if there {
        return Ok(());
    }
    let name = format!("{project}-{environment}");
    let spec = json!({"owner": {"projectName": project}, "environment": environment});
    store::apply::<ProjectReleaseBindingSpec>(client, component.namespace(), &name, spec).await?;
    Ok(())
}

/// Waits until a release runs, unless told not to.
pub(crate) async fn rolled_out(
    client: &Client,
    component: &Component,
    environment: &str,
    release: &str,
    wait: &Wait,
) -> Result {
    if wait.no_wait {
        return Ok(());
    }
    let place = (component.namespace(), component.name(), environment);
    let wanted = |binding: &ReleaseBinding| binding.spec.release_name == release;
    let item = waiting::until_ready(client, place, wanted, wait.timeout).await?;
    terminal::line(format!("{} {environment} Ready {}", component.name(), item.detail).trim_end())
}
