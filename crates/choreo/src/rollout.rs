//! Rolling releases out: where a component is bound, moving a binding, waiting until it runs. What
//! `deploy`, `promote` and `rollback` have in common.

use std::{borrow::Cow, collections::BTreeMap};

use choreo_model::{
    Component, DeploymentPipeline, ReleaseBinding, Spec as _,
    application::ComponentSpec,
    history::Action,
    labels, names,
    platform::DeploymentPipelineSpec,
    project::{ProjectReleaseBindingSpec, ProjectSpec},
    release::{BindingState, ReleaseBindingSpec},
    shared::ComponentOwner,
    track::DeploymentTrackSpec,
};
use kube::Client;
use serde_json::json;

use crate::{
    cli::Wait,
    exit::Exit,
    failure::{Failure, Result},
    pipeline, store,
    told::Told,
    waiting,
};

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

/// The component of that name.
pub(crate) async fn component(client: &Client, namespace: &str, name: &str) -> Result<Component> {
    store::get::<ComponentSpec>(client, namespace, name).await
}

/// A line of a component: its main line, or a track.
#[derive(Debug)]
pub(crate) struct Line {
    /// The component.
    pub(crate) component: Component,
    /// Which line of it.
    pub(crate) owner: ComponentOwner,
}

impl Line {
    /// The main line of a component.
    pub(crate) fn main(component: Component) -> Self {
        let project = &component.spec.owner.project_name;
        Self {
            owner: ComponentOwner::new(project, component.name(), None),
            component,
        }
    }

    /// What the line is called.
    pub(crate) fn name(&self) -> Cow<'_, str> {
        self.owner.line()
    }

    /// The namespace of the component.
    pub(crate) fn namespace(&self) -> &str {
        self.component.namespace()
    }

    /// The line as arguments of a command.
    pub(crate) fn words(&self) -> String {
        let component = &self.owner.component_name;
        match &self.owner.track_name {
            Some(track) => format!("{component} --track {track}"),
            None => component.clone(),
        }
    }
}

/// The component of that name, or its track.
pub(crate) async fn line(
    client: &Client,
    namespace: &str,
    (name, track): (&str, Option<&str>),
) -> Result<Line> {
    let mut line = Line::main(component(client, namespace, name).await?);
    if let Some(track) = track {
        line.owner.track_name = Some(track.to_owned());
        store::get::<DeploymentTrackSpec>(client, namespace, &line.name()).await?;
    }
    Ok(line)
}

/// The environment asked for, or the first of the project's pipeline.
pub(crate) async fn environment(
    client: &Client,
    component: &Component,
    wanted: Option<&str>,
) -> Result<String> {
    if let Some(environment) = wanted {
        return Ok(environment.to_owned());
    }
    let pipeline = pipeline_of(client, component).await?;
    pipeline::start(&pipeline.spec, component.name(), None)
}

/// Selects the pods of a line of a component in an environment.
pub(crate) fn pods_of(line: &Line, environment: &str) -> String {
    format!(
        "{}={},{}={},{}={},{}={environment}",
        labels::NAMESPACE,
        line.namespace(),
        labels::PROJECT,
        line.owner.project_name,
        labels::COMPONENT,
        line.name(),
        labels::ENVIRONMENT,
    )
}

/// The bindings of a line of a component.
pub(crate) async fn bindings_of(client: &Client, line: &Line) -> Result<Vec<ReleaseBinding>> {
    let mut bindings = store::list::<ReleaseBindingSpec>(client, line.namespace()).await?;
    bindings.retain(|binding| binding.spec.owner == line.owner);
    Ok(bindings)
}

/// The binding of an environment.
pub(crate) fn binding_in<'a>(
    bindings: &'a [ReleaseBinding],
    environment: &str,
) -> Option<&'a ReleaseBinding> {
    bindings
        .iter()
        .find(|binding| binding.spec.environment == environment)
}

/// The release in an environment.
pub(crate) fn release_in<'a>(bindings: &'a [ReleaseBinding], environment: &str) -> Option<&'a str> {
    binding_in(bindings, environment)
        .map(|binding| binding.spec.release_name.as_str())
        .filter(|release| !release.is_empty())
}

/// The release in an environment where there must be one: its name may be mistyped.
pub(crate) fn must_have<'a>(
    bindings: &'a [ReleaseBinding],
    component: &str,
    environment: &str,
) -> Result<&'a str> {
    if let Some(release) = release_in(bindings, environment) {
        return Ok(release);
    }
    let bound = bindings
        .iter()
        .map(|binding| binding.spec.environment.as_str());
    let others: Vec<&str> = bound
        .filter(|other| release_in(bindings, other).is_some())
        .collect();
    let message = format!("{component} has no release in {environment}");
    let failure = Failure::new(Exit::NotFound, message);
    Err(if others.is_empty() {
        failure.hint(format!("`choreo status {component}` shows why"))
    } else {
        failure.hint(format!("it has one in: {}", others.join(", ")))
    })
}

/// Refuses what could not come to run: a release in an environment where the component is undeployed.
pub(crate) fn check_deployed(bindings: &[ReleaseBinding], environment: &str) -> Result {
    let undeployed = |binding: &&ReleaseBinding| binding.spec.state == BindingState::Undeploy;
    let Some(binding) = binding_in(bindings, environment).filter(undeployed) else {
        return Ok(());
    };
    let name = binding.spec.owner.line();
    let message = format!("{name} is undeployed in {environment}");
    Err(Failure::new(Exit::Conflict, message).hint(format!(
        "set spec.state of ReleaseBinding {} to Active first",
        binding.name()
    )))
}

/// What a command says of a change it makes: the history of the environment tells it.
pub(crate) struct Said<'a> {
    /// The field manager of the command.
    pub(crate) manager: &'a str,
    /// What it does.
    pub(crate) action: Action,
    /// Why, if somebody said so.
    pub(crate) reason: Option<&'a str>,
}

impl Said<'_> {
    /// The annotations of the write.
    pub(crate) fn annotations(&self) -> BTreeMap<String, String> {
        let action = (labels::ACTION, self.action.as_str());
        let reason = self.reason.map(|reason| (labels::CHANGE_CAUSE, reason));
        let all = std::iter::once(action).chain(reason);
        all.map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect()
    }
}

/// Puts a release into an environment, in the binding that is there or in a new one; returns its name.
pub(crate) async fn bind(
    client: &Client,
    line: &Line,
    bindings: &[ReleaseBinding],
    (environment, release): (&str, &str),
    said: &Said<'_>,
) -> Result<String> {
    let namespace = line.namespace();
    let (manager, annotations) = (said.manager, said.annotations());
    if let Some(binding) = binding_in(bindings, environment) {
        // A merge: what files say about the binding besides must stay.
        let change = json!({
            "metadata": {"annotations": annotations},
            "spec": {"releaseName": release},
        });
        let name = binding.name();
        store::merge::<ReleaseBindingSpec>(client, (namespace, name), change, manager).await?;
        return Ok(name.to_owned());
    }
    let name = names::component_binding(&line.name(), environment);
    let binding = json!({
        "apiVersion": choreo_model::API_VERSION,
        "kind": ReleaseBindingSpec::KIND,
        "metadata": {"name": name, "namespace": namespace, "annotations": annotations},
        "spec": {
            "owner": line.owner,
            "environment": environment,
            "releaseName": release,
        },
    });
    store::put::<ReleaseBindingSpec>(client, (namespace, &name), binding, manager).await?;
    Ok(name)
}

/// Makes the project's cell in an environment, unless it is there.
pub(crate) async fn bind_project(
    client: &Client,
    component: &Component,
    environment: &str,
    manager: &str,
) -> Result {
    let namespace = component.namespace();
    let project = &component.spec.owner.project_name;
    let bound = store::list::<ProjectReleaseBindingSpec>(client, namespace).await?;
    let there = bound.iter().any(|binding| {
        binding.spec.owner.project_name == *project && binding.spec.environment == environment
    });
    if there {
        return Ok(());
    }
    let name = format!("{project}-{environment}");
    let spec = json!({"owner": {"projectName": project}, "environment": environment});
    store::apply::<ProjectReleaseBindingSpec>(client, (namespace, &name), spec, manager).await?;
    Ok(())
}

/// Waits until a release runs, unless told not to.
pub(crate) async fn rolled_out(
    client: &Client,
    line: &Line,
    (environment, release): (&str, &str),
    wait: &Wait,
    told: &mut Told,
) -> Result {
    if wait.no_wait {
        return Ok(());
    }
    let name = line.name();
    let place = (line.namespace(), &*name, environment);
    let wanted = |binding: &ReleaseBinding| binding.spec.release_name == release;
    let item = waiting::until_ready(client, place, wanted, wait.timeout).await?;
    told.ready(format!("{name} {environment} Ready {}", item.detail).trim_end())
}
