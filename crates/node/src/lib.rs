//! One machine as a data plane: Kubernetes objects in, running containers out.
//!
//! Everything that decides is a pure function of an [`index::Index`] of observed objects; everything
//! that acts goes through a `kube::Client` or a [`machine::Machine`]. The node knows no kind of the
//! platform: only Kubernetes' own.

pub mod index;
pub mod machine;
pub mod notice;
pub mod pod;
pub mod service;
pub mod workload;
pub mod write;

use std::{future::Future, path::PathBuf, sync::Arc};

use serde_json::Value;

pub use self::pod::{
    images::{ImageError, ImageRequest, Images, ResolvedImage},
    logs::{LogError, LogOptions, LogStream},
};
use crate::machine::Machine;

/// What a node is told when it starts.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Folder for logs and volumes; made when missing.
    pub data: PathBuf,
    /// Name of the Node object.
    pub node_name: String,
    /// How many pods the node takes.
    pub max_pods: u32,
}

impl Settings {
    /// The usual settings with data in `data`.
    pub fn new(data: impl Into<PathBuf>) -> Self {
        Self { data: data.into(), node_name: "choreo".to_owned(), max_pods: 110 }
    }
}

/// Why a node stopped by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The machine is gone and everything on it; start a new machine and a new node.
    MachineLost,
    /// [`Node::shutdown`] was called.
    ShutDown,
}

/// CustomResourceDefinitions that the API must serve for a node.
pub fn definitions() -> Vec<Value> {
    Vec::new()
}

/// A running node.
pub struct Node {
    settings: Settings,
}

impl Node {
    /// Starts a node on the objects of `client`. Call it inside a tokio runtime.
    pub fn start(
        _client: kube::Client,
        _machine: Arc<dyn Machine>,
        _images: Arc<dyn Images>,
        settings: Settings,
    ) -> Self {
        Self { settings }
    }

    /// The output of a container.
    pub async fn logs(
        &self,
        namespace: &str,
        pod: &str,
        options: LogOptions,
    ) -> Result<LogStream, LogError> {
        pod::logs::read(&self.settings.data, namespace, pod, options).await
    }

    /// Completes when the node stops.
    pub fn ended(&self) -> impl Future<Output = Ended> + Send + use<> {
        std::future::ready(Ended::ShutDown)
    }

    /// Stops watching and acting. Containers are left to the machine's own shutdown.
    pub async fn shutdown(self) {}
}
