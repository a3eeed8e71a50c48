//! From a snapshot to the tree. No clock, no client.

use std::collections::BTreeSet;

use choreo_model::{
    Api, Component, DeploymentTrack, Object, Project, ProjectReleaseBinding, ReleaseBinding, Spec,
    api::ApiEnvironment,
    conditions::reasons,
    release::{BindingState, EndpointStatus, EndpointUrl, GatewayUrls},
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
    let apis = snapshot.apis.iter();
    let apis = apis.filter(|api| api.spec.owner.project_name == project.name());
    children.extend(apis.map(|api| of_api(snapshot, api)));
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

/// An API with the environments it is offered in, or is to be.
fn of_api(snapshot: &Snapshot, api: &Api) -> Item {
    let (state, detail) = own_state(api, &api.status.conditions);
    let places = api.status.environments.iter();
    let children = places.map(|place| of_place(snapshot, api, place));
    let children: Vec<Item> = children.collect();
    Item {
        kind: "API".to_owned(),
        name: api.name().to_owned(),
        // What it waits for is told where it waits.
        detail: if children.iter().any(|place| place.state != State::Ready) {
            String::new()
        } else {
            detail
        },
        state: worst(state, &children),
        refused: Vec::new(),
        children,
    }
}

/// An API in an environment: its addresses, or what is in the way.
fn of_place(snapshot: &Snapshot, api: &Api, place: &ApiEnvironment) -> Item {
    let objects = snapshot.rendered.iter().filter(|rendered| {
        let owner = &rendered.spec.owner;
        rendered.spec.environment_name == place.name
            && owner.project_name == api.spec.owner.project_name
            && owner.api_name.as_deref() == Some(api.name())
    });
    let objects = objects.flat_map(|rendered| &rendered.status.resources);
    let (state, detail) = match &place.reason {
        None if place.ready => {
            let gateways = [&place.external_urls, &place.internal_urls];
            let urls = gateways.into_iter().flatten().filter_map(first_url);
            (State::Ready, urls.collect::<Vec<_>>().join(" "))
        }
        reason => {
            let reason = reason.as_deref().unwrap_or_default();
            let message = place.message.as_deref().unwrap_or_default();
            let waits = is_progress(reason) || reason == reasons::NOT_DEPLOYED;
            let state = if waits { State::Waiting } else { State::Failed };
            (state, format!("{reason}: {message}"))
        }
    };
    Item {
        kind: "binding".to_owned(),
        name: place.name.clone(),
        state,
        detail,
        refused: Vec::new(),
        children: objects.map(plain).collect(),
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
    gateways.into_iter().flatten().find_map(first_url)
}

fn first_url(urls: &GatewayUrls) -> Option<String> {
    let urls = [&urls.http, &urls.https, &urls.tls];
    urls.into_iter().flatten().next().map(text)
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

/// An object without what it runs.
fn plain(resource: &ResourceStatus) -> Item {
    let state = match resource.health_status {
        Health::Healthy => State::Ready,
        Health::Suspended => State::Off,
        Health::Progressing | Health::Unknown => State::Waiting,
        Health::Degraded => State::Failed,
    };
    Item {
        kind: resource.kind.clone(),
        name: resource.name.clone(),
        state,
        detail: resource.message.clone().unwrap_or_default(),
        refused: Vec::new(),
        children: Vec::new(),
    }
}

fn of_object(snapshot: &Snapshot, binding: &ReleaseBinding, resource: &ResourceStatus) -> Item {
    let mut item = plain(resource);
    let runs_pods = matches!(
        resource.kind.as_str(),
        "Deployment" | "StatefulSet" | "Job" | "CronJob"
    );
    if runs_pods && matches!(item.state, State::Waiting | State::Failed) {
        item.children = reason::pods(
            &snapshot.pods,
            &binding.spec.owner.line(),
            &binding.spec.environment,
        );
    }
    item
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
