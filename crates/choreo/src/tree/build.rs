//! From a snapshot to the tree. No clock, no client.

use std::collections::BTreeSet;

use choreo_model::{
    Component, DeploymentTrack, Object, Project, ProjectReleaseBinding, ReleaseBinding, Spec,
    conditions::reasons,
    release::{BindingState, EndpointStatus, EndpointUrl},
    rendered::{Health, ResourceStatus},
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::{Item, Snapshot, State, reason, schedule};
use crate::refused;

/// The projects of a snapshot, or one of them. Those that only components speak of are shown too:
/// otherwise nothing would say what such a component waits for.
pub(crate) fn build(snapshot: &Snapshot, project: Option<&str>) -> Vec<Item> {
    let wanted = |name: &str| project.is_none_or(|only| only == name);
    let known: BTreeSet<&str> = snapshot.projects.iter().map(Object::name).collect();
    let owners = snapshot.components.iter();
    let missing: BTreeSet<&str> = owners
        .map(|component| component.spec.owner.project_name.as_str())
        .filter(|name| !known.contains(name))
        .collect();
    let found = (snapshot.projects.iter())
        .filter(|project| wanted(project.name()))
        .map(|project| of_project(snapshot, project));
    let lost = (missing.into_iter())
        .filter(|name| wanted(name))
        .map(|name| of_missing_project(snapshot, name));
    found.chain(lost).collect()
}

/// What a name stands for: a project, or else the components of that name; `project/component` for
/// one of several.
pub(crate) fn find(snapshot: &Snapshot, name: &str) -> Vec<Item> {
    let of_components = |project: Option<&str>, name: &str| {
        let owner = |component: &Component| component.spec.owner.project_name.clone();
        let named = snapshot.components.iter().filter(|one| one.name() == name);
        named
            .filter(|one| project.is_none_or(|project| owner(one) == project))
            .map(|one| component(snapshot, one))
            .collect()
    };
    if let Some((project, component)) = name.split_once('/') {
        return of_components(Some(project), component);
    }
    let projects = build(snapshot, Some(name));
    if projects.is_empty() {
        of_components(None, name)
    } else {
        projects
    }
}

fn of_missing_project(snapshot: &Snapshot, name: &str) -> Item {
    Item {
        kind: "project".to_owned(),
        name: name.to_owned(),
        state: State::Failed,
        detail: format!("Project \"{name}\" not found"),
        refused: Vec::new(),
        children: components(snapshot, name).collect(),
    }
}

fn components<'a>(snapshot: &'a Snapshot, project: &'a str) -> impl Iterator<Item = Item> + 'a {
    (snapshot.components.iter())
        .filter(move |component| component.spec.owner.project_name == project)
        .map(|one| component(snapshot, one))
}

/// The bindings of a line of a component, by what it is called, without anything around them.
pub(crate) fn bindings(snapshot: &Snapshot, project: &str, line: &str) -> Vec<Item> {
    snapshot
        .bindings
        .iter()
        .filter(|binding| {
            binding.spec.owner.project_name == project && binding.spec.owner.line() == line
        })
        .map(|binding| of_binding(snapshot, binding))
        .collect()
}

fn of_project(snapshot: &Snapshot, project: &Project) -> Item {
    let mut children: Vec<Item> = snapshot
        .project_bindings
        .iter()
        .filter(|binding| binding.spec.owner.project_name == project.name())
        .map(of_cell)
        .collect();
    children.extend(components(snapshot, project.name()));
    let (state, detail) = own_state(project, &project.status.conditions);
    Item {
        kind: "project".to_owned(),
        name: project.name().to_owned(),
        state: worst(state, &children),
        detail,
        refused: Vec::new(),
        children,
    }
}

/// A project in an environment: the cell its components live in.
fn of_cell(binding: &ProjectReleaseBinding) -> Item {
    let (state, mut detail) = own_state(binding, &binding.status.conditions);
    if let (State::Ready, Some(namespace)) = (state, &binding.status.namespace) {
        detail = format!("namespace {namespace}");
    }
    Item {
        kind: "cell".to_owned(),
        name: binding.spec.environment.clone(),
        state,
        detail,
        refused: Vec::new(),
        children: Vec::new(),
    }
}

/// A component with its bindings, and its tracks with theirs.
pub(crate) fn component(snapshot: &Snapshot, component: &Component) -> Item {
    let project = &component.spec.owner.project_name;
    let mut children = bindings(snapshot, project, component.name());
    let tracks = snapshot.tracks.iter().filter(|track| {
        let owner = &track.spec.owner;
        owner.project_name == *project && owner.component_name == component.name()
    });
    children.extend(tracks.map(|one| track(snapshot, one)));
    let (state, mut detail) = own_state(component, &component.status.conditions);
    let mut state = worst(state, &children);
    if state == State::Ready && children.is_empty() {
        state = State::Off;
        "not deployed anywhere yet".clone_into(&mut detail);
    }
    Item {
        kind: "component".to_owned(),
        name: component.name().to_owned(),
        state,
        detail,
        refused: Vec::new(),
        children,
    }
}

fn track(snapshot: &Snapshot, track: &DeploymentTrack) -> Item {
    let (state, detail) = own_state(track, &track.status.conditions);
    let children = bindings(snapshot, &track.spec.owner.project_name, track.name());
    Item {
        kind: "track".to_owned(),
        name: track.name().to_owned(),
        state: worst(state, &children),
        detail,
        refused: Vec::new(),
        children,
    }
}

fn of_binding(snapshot: &Snapshot, binding: &ReleaseBinding) -> Item {
    let children: Vec<Item> = snapshot
        .rendered
        .iter()
        .filter(|rendered| {
            rendered.spec.environment_name == binding.spec.environment
                && rendered.spec.owner.project_name == binding.spec.owner.project_name
                && rendered.spec.owner.line() == Some(binding.spec.owner.line())
        })
        .flat_map(|rendered| &rendered.status.resources)
        .map(|resource| of_object(snapshot, binding, resource))
        .collect();
    let (state, detail) = binding_state(snapshot, binding);
    let refused = snapshot.refused.get(&refused::key(binding));
    Item {
        kind: "binding".to_owned(),
        name: binding.spec.environment.clone(),
        state,
        detail,
        refused: refused.cloned().unwrap_or_default(),
        children,
    }
}

fn binding_state(snapshot: &Snapshot, binding: &ReleaseBinding) -> (State, String) {
    if binding.spec.state == BindingState::Undeploy {
        return (State::Off, "undeployed".to_owned());
    }
    if binding.spec.release_name.is_empty() {
        return (State::Off, "no release yet".to_owned());
    }
    let (state, detail) = own_state(binding, &binding.status.conditions);
    let (line, environment) = (binding.spec.owner.line(), &binding.spec.environment);
    if state == State::Ready {
        return reason::restarting(&snapshot.pods, &line, environment)
            .unwrap_or_else(|| (state, achieved(snapshot, binding)));
    }
    reason::of_pods(&snapshot.pods, &line, environment).unwrap_or((state, detail))
}

/// What a ready binding offers: its addresses, or its schedule.
fn achieved(snapshot: &Snapshot, binding: &ReleaseBinding) -> String {
    let urls: Vec<String> = binding.status.endpoints.iter().filter_map(url).collect();
    if !urls.is_empty() {
        return urls.join(" ");
    }
    schedule::describe(snapshot, binding).unwrap_or_default()
}

/// The address a person can use: outside before inside.
fn url(endpoint: &EndpointStatus) -> Option<String> {
    let gateways = [&endpoint.external_urls, &endpoint.internal_urls];
    gateways
        .into_iter()
        .flatten()
        .find_map(|urls| {
            urls.http
                .as_ref()
                .or(urls.https.as_ref())
                .or(urls.tls.as_ref())
        })
        .map(text)
}

fn text(url: &EndpointUrl) -> String {
    let port = url.port.map(|port| format!(":{port}")).unwrap_or_default();
    let path = if url.path.ends_with('/') {
        url.path.clone()
    } else {
        format!("{}/", url.path)
    };
    format!("{}://{}{port}{path}", url.scheme, url.host)
}

fn of_object(snapshot: &Snapshot, binding: &ReleaseBinding, resource: &ResourceStatus) -> Item {
    let state = match resource.health_status {
        Health::Healthy => State::Ready,
        Health::Suspended => State::Off,
        Health::Progressing | Health::Unknown => State::Waiting,
        Health::Degraded => State::Failed,
    };
    let runs_pods = matches!(
        resource.kind.as_str(),
        "Deployment" | "StatefulSet" | "Job" | "CronJob"
    );
    let children = if runs_pods && matches!(state, State::Waiting | State::Failed) {
        reason::pods(
            &snapshot.pods,
            &binding.spec.owner.line(),
            &binding.spec.environment,
        )
    } else {
        Vec::new()
    };
    Item {
        kind: resource.kind.clone(),
        name: resource.name.clone(),
        state,
        detail: resource.message.clone().unwrap_or_default(),
        refused: Vec::new(),
        children,
    }
}

/// The state an object's own conditions tell, and the reason of it.
fn own_state<T: Spec>(object: &Object<T>, conditions: &[Condition]) -> (State, String) {
    let find = |name: &str| conditions.iter().find(|condition| condition.type_ == name);
    if object.is_deleting() {
        let why = find("Finalizing").map(|condition| format!(": {}", condition.message));
        return (
            State::Waiting,
            format!("being deleted{}", why.unwrap_or_default()),
        );
    }
    let Some(ready) = find("Ready") else {
        return (State::Waiting, "not looked at yet".to_owned());
    };
    if ready
        .observed_generation
        .is_some_and(|seen| seen < object.generation())
    {
        return (State::Waiting, "changing".to_owned());
    }
    if ready.status == "True" {
        return (State::Ready, String::new());
    }
    let detail = format!("{}: {}", ready.reason, ready.message);
    (
        if is_progress(&ready.reason) {
            State::Waiting
        } else {
            State::Failed
        },
        detail,
    )
}

/// Reasons that pass by themselves.
pub(crate) fn is_progress(reason: &str) -> bool {
    [
        "Progressing",
        "Pending",
        "Unknown",
        "NotSet",
        "NotReady",
        "Finalizing",
        // A component may be there before what it runs.
        reasons::WORKLOAD_NOT_FOUND,
    ]
    .iter()
    .any(|ending| reason.ends_with(ending))
}

fn worst(own: State, children: &[Item]) -> State {
    children
        .iter()
        .map(|child| child.state)
        .filter(|state| *state != State::Off)
        .fold(own, State::max)
}
