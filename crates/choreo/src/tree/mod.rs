//! A project as a tree: project, components, bindings, objects, each with its state and the reason of
//! what is not ready. Collected once, built by plain functions, drawn at the end.

mod build;
mod draw;
mod reason;
mod schedule;

use choreo_model::{
    Api as ApiObject, Component, DeploymentTrack, Project, ProjectReleaseBinding, ReleaseBinding,
    RenderedRelease, labels,
};
use k8s_openapi::api::{batch::v1::Job, core::v1::Pod};
use kube::{Api, Client, api::ListParams};
use serde::Serialize;

pub(crate) use self::{
    build::{bindings, build, component, find, is_progress},
    draw::{draw, draw_kinds, word},
    reason::state as pod_state,
};
use crate::{
    failure::Result,
    refused::{ByBinding, Refused},
    store,
};

/// Everything the tree is made of, as it was at one moment.
#[derive(Debug, Clone, Default)]
pub(crate) struct Snapshot {
    /// Projects.
    pub(crate) projects: Vec<Project>,
    /// Projects in environments.
    pub(crate) project_bindings: Vec<ProjectReleaseBinding>,
    /// Components.
    pub(crate) components: Vec<Component>,
    /// Tracks of components.
    pub(crate) tracks: Vec<DeploymentTrack>,
    /// APIs of projects.
    pub(crate) apis: Vec<ApiObject>,
    /// Components in environments.
    pub(crate) bindings: Vec<ReleaseBinding>,
    /// Their objects.
    pub(crate) rendered: Vec<RenderedRelease>,
    /// Pods of the cells.
    pub(crate) pods: Vec<Pod>,
    /// Runs of scheduled components.
    pub(crate) jobs: Vec<Job>,
    /// What was refused their components; only where somebody asks for it.
    pub(crate) refused: ByBinding,
}

/// How something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    /// As wanted.
    Ready,
    /// Deliberately not running.
    Off,
    /// On its way.
    Waiting,
    /// In trouble.
    Failed,
}

/// One line of the tree and what is below it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Item {
    /// Project, component, API, binding, or the kind of an object.
    pub(crate) kind: String,
    /// Its name.
    pub(crate) name: String,
    /// How it is.
    pub(crate) state: State,
    /// What a person wants to know about it: an address, or the reason of its state.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) detail: String,
    /// What it was refused, and what would allow that.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) refused: Vec<Refused>,
    /// What is below it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) children: Vec<Self>,
}

/// Reads everything of a namespace.
pub(crate) async fn collect(client: &Client, namespace: &str) -> Result<Snapshot> {
    let live = ListParams::default().labels(&format!("{}={namespace}", labels::NAMESPACE));
    let pods: Api<Pod> = Api::all(client.clone());
    let jobs: Api<Job> = Api::all(client.clone());
    Ok(Snapshot {
        projects: store::list(client, namespace).await?,
        project_bindings: store::list(client, namespace).await?,
        components: store::list(client, namespace).await?,
        tracks: store::list(client, namespace).await?,
        apis: store::list(client, namespace).await?,
        bindings: store::list(client, namespace).await?,
        rendered: store::list(client, namespace).await?,
        pods: pods.list(&live).await?.items,
        jobs: jobs.list(&live).await?.items,
        refused: ByBinding::new(),
    })
}
