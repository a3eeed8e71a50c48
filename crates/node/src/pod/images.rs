//! What a pod needs of images: a seam, so that pods are tested without a registry.

use std::collections::BTreeMap;

use async_trait::async_trait;

use crate::machine::LayerSource;

/// An image that a container asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageRequest {
    /// The reference as written in the pod.
    pub reference: String,
    /// `Always`, `IfNotPresent` or `Never`.
    pub policy: String,
    /// User and password by registry host.
    pub credentials: BTreeMap<String, (String, String)>,
}

/// An image that is here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResolvedImage {
    /// What it is called in statuses (`repository@sha256:...`).
    pub id: String,
    /// Its layers, lowest first.
    pub layers: Vec<LayerSource>,
    /// Its entrypoint.
    pub entrypoint: Vec<String>,
    /// Its default arguments.
    pub cmd: Vec<String>,
    /// Its environment, `NAME=value`.
    pub env: Vec<String>,
    /// Its working directory.
    pub working_dir: Option<String>,
    /// Its user: `name`, `uid`, `uid:gid` ...
    pub user: Option<String>,
}

/// Why an image cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    /// The reference cannot be read.
    #[error("{0}")]
    InvalidName(String),
    /// The image is not here and the policy forbids pulling.
    #[error("{0}")]
    NeverPull(String),
    /// Getting it failed.
    #[error("{0}")]
    Pull(String),
}

/// Where images come from.
#[async_trait]
pub trait Images: Send + Sync + 'static {
    /// Finds or pulls an image.
    async fn resolve(&self, request: &ImageRequest) -> Result<ResolvedImage, ImageError>;
}
