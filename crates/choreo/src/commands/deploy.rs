//! `choreo deploy`: another image of a component becomes a new release where components start.

use choreo_model::{
    Component, ReleaseBinding, Workload,
    application::{ComponentSpec, WorkloadSpec},
};
use kube::Client;
use serde_json::json;

use super::promote;
use crate::{
    cli::Deploy,
    client,
    exit::Exit,
    failure::{Failure, Result},
    folder::Folder,
    store, terminal, waiting,
};

/// Runs `choreo deploy`.
pub(crate) async fn run(folder: &Folder, args: &Deploy) -> Result {
    let client = client::connect(folder).await?;
    let namespace = &args.namespace.namespace;
    let component = store::get::<ComponentSpec>(&client, namespace, &args.component).await?;
    let environment = promote::first_environment(&client, &component).await?;
    let workload = workload_of(&client, &component).await?;
    let before = release_in(
        &promote::bindings_of(&client, &component).await?,
        &environment,
    );
    if workload.spec.template.container.image == args.image && before.is_some() {
        return terminal::line(format!("{} already has {}", component.name(), args.image));
    }
    let change = json!({"spec": {"container": {"image": args.image}}});
    store::merge::<WorkloadSpec>(&client, namespace, workload.name(), change).await?;
    terminal::line(format!("{} gets {}", component.name(), args.image))?;
    if !component.spec.auto_deploy {
        terminal::note(format!(
            "{} has autoDeploy off: its bindings keep their release until they are changed",
            component.name()
        ));
        return Ok(());
    }
    if args.wait.no_wait {
        return Ok(());
    }
    let changed = |binding: &ReleaseBinding| {
        !binding.spec.release_name.is_empty() && Some(&binding.spec.release_name) != before.as_ref()
    };
    let place = (namespace.as_str(), component.name(), environment.as_str());
    let item = waiting::until_ready(&client, place, changed, args.wait.timeout).await?;
    terminal::line(format!("{} {environment} Ready {}", component.name(), item.detail).trim_end())
}

fn release_in(bindings: &[ReleaseBinding], environment: &str) -> Option<String> {
    bindings
        .iter()
        .find(|binding| binding.spec.environment == environment)
        .map(|binding| binding.spec.release_name.clone())
        .filter(|release| !release.is_empty())
}

/// The one workload of a component.
async fn workload_of(client: &Client, component: &Component) -> Result<Workload> {
    let mut workloads = store::list::<WorkloadSpec>(client, component.namespace()).await?;
    workloads.retain(|workload| {
        workload.spec.owner.component_name == component.name()
            && workload.spec.owner.project_name == component.spec.owner.project_name
    });
    let name = component.name();
    match workloads.len() {
        1 => Ok(workloads.remove(0)),
        0 => Err(
            Failure::new(Exit::NotFound, format!("component {name} has no workload"))
                .hint("apply a Workload whose spec.owner names the component"),
        ),
        count => Err(Failure::new(
            Exit::Conflict,
            format!("component {name} has {count} workloads"),
        )
        .hint("delete all but one")),
    }
}
