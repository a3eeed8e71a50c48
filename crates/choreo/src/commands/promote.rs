//! `choreo promote`: a release goes on to the next environment, along the pipeline.

use choreo_model::{Component, history::Action};
use kube::Client;

use crate::{
    cli::Promote,
    client,
    exit::Exit,
    failure::{Failure, Result},
    folder::Folder,
    manager, pipeline,
    rollout::{self, Said},
    terminal,
    tree::{self, State},
};

/// Runs `choreo promote`.
pub(crate) async fn run(folder: &Folder, args: &Promote) -> Result {
    promote(&client::connect(folder).await?, args).await
}

async fn promote(client: &Client, args: &Promote) -> Result {
    let component = rollout::component(client, &args.namespace.namespace, &args.component).await?;
    let pipeline = rollout::pipeline_of(client, &component).await?;
    let bindings = rollout::bindings_of(client, &component).await?;
    let deployed: Vec<&str> = bindings
        .iter()
        .filter(|binding| !binding.spec.release_name.is_empty())
        .map(|binding| binding.spec.environment.as_str())
        .collect();
    let (name, to) = (component.name(), args.to.as_str());
    let from = pipeline::source(&pipeline.spec, name, to, args.from.as_deref(), &deployed)?;
    let release = rollout::release_in(&bindings, &from).unwrap_or_default();
    rollout::check_deployed(&bindings, to)?;
    if !args.force {
        check_ready(client, &component, &from).await?;
    }
    if rollout::release_in(&bindings, to) == Some(release) {
        terminal::line(format!("{name} {to}: has {release} already"))?;
    } else {
        let place = (to, release);
        rollout::bind_project(client, &component, to, manager::PROMOTE).await?;
        let said = Said {
            manager: manager::PROMOTE,
            action: Action::Promote,
            reason: args.reason.as_deref(),
        };
        rollout::bind(client, &component, &bindings, place, &said).await?;
        terminal::line(format!("{name} {from} -> {to}: {release}"))?;
    }
    rollout::rolled_out(client, &component, to, release, &args.wait).await
}

/// Refuses to pass on what does not run where it is.
async fn check_ready(client: &Client, component: &Component, environment: &str) -> Result {
    let snapshot = tree::collect(client, component.namespace()).await?;
    let project = &component.spec.owner.project_name;
    let items = tree::bindings(&snapshot, project, component.name());
    let here = items.into_iter().find(|item| item.name == environment);
    match here {
        Some(item) if item.state != State::Ready => {
            let name = component.name();
            let message = format!("{name} is not ready in {environment}: {}", item.detail);
            Err(Failure::new(Exit::NotReady, message)
                .hint("promote it once it is ready, or all the same with --force"))
        }
        Some(_) | None => Ok(()),
    }
}
