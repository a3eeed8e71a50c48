//! What a pod needs of images: a seam, so that pods are tested without a registry.

use std::{collections::BTreeSet, sync::Arc};

use async_trait::async_trait;
use k8s_openapi::api::core::v1::{Container, Pod, Secret};
use tokio::runtime::Handle;

use crate::{
    image::{self, Credentials, Image, Progress, PullPolicy, Store},
    index::Index,
};

/// An image that a container asks for.
#[derive(Clone, PartialEq, Eq)]
pub struct ImageRequest {
    /// The reference as written in the pod.
    pub reference: String,
    /// When to ask a registry.
    pub policy: PullPolicy,
    /// Credentials for its registry.
    pub credentials: Option<Credentials>,
}

/// Why an image cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ImageError {
    /// What Kubernetes calls it: `ErrImagePull`, `ErrImageNeverPull`, `InvalidImageName`.
    pub reason: &'static str,
    /// What happened.
    pub message: String,
}

/// Hears how far the pull of an image is, blob by blob.
pub type Report = Arc<dyn Fn(Progress) + Send + Sync>;

/// Where images come from.
#[async_trait]
pub trait Images: Send + Sync + 'static {
    /// Finds or pulls an image, and reports how far a pull is.
    async fn resolve(&self, request: ImageRequest, report: Report) -> Result<Image, ImageError>;

    /// Removes what nobody needs: what is left of images that are gone and, where space is `short`,
    /// images that can be pulled again and whose digests are not `used`. Returns the unpacked digests
    /// of the layers that images still have; nothing if this is not known.
    async fn tidy(
        &self,
        used: &BTreeSet<String>,
        short: bool,
    ) -> Result<Option<BTreeSet<String>>, ImageError> {
        let _ = (used, short);
        Ok(None)
    }
}

/// The images of a store. The store reads, writes and hashes files: each request has a thread, so that
/// nothing else waits for that.
#[derive(Debug, Clone)]
pub struct FromStore(pub Arc<Store>);

#[async_trait]
impl Images for FromStore {
    async fn resolve(&self, request: ImageRequest, report: Report) -> Result<Image, ImageError> {
        let ImageRequest {
            reference,
            policy,
            credentials,
        } = request;
        let (store, runtime) = (Arc::clone(&self.0), Handle::current());
        let found = tokio::task::spawn_blocking(move || {
            let resolving = store.resolve_reporting(&reference, policy, credentials, &*report);
            runtime.block_on(resolving)
        });
        let failed = |error: tokio::task::JoinError| ImageError {
            reason: "ErrImagePull",
            message: error.to_string(),
        };
        found.await.map_err(failed)?.map_err(|error| ImageError {
            reason: match &error {
                image::Error::Reference { .. } => "InvalidImageName",
                image::Error::NotFound { .. } if policy == PullPolicy::Never => "ErrImageNeverPull",
                image::Error::NotFound { .. }
                | image::Error::Unauthorized { .. }
                | image::Error::Unreachable { .. }
                | image::Error::Corrupt { .. }
                | image::Error::Unsupported { .. }
                | image::Error::NoSpace { .. }
                | image::Error::Io { .. } => "ErrImagePull",
            },
            message: error.to_string(),
        })
    }

    async fn tidy(
        &self,
        used: &BTreeSet<String>,
        short: bool,
    ) -> Result<Option<BTreeSet<String>>, ImageError> {
        let (store, used) = (Arc::clone(&self.0), used.clone());
        let tidying = tokio::task::spawn_blocking(move || {
            if short {
                let gone = store.remove_unused(&used)?;
                tracing::info!(
                    gone,
                    "the disk is short of space: unused images are removed"
                );
            } else {
                store.remove_remains()?;
            }
            store.unpacked_layers()
        });
        let failed = |message: String| ImageError {
            reason: "ImageGCFailed",
            message,
        };
        let layers = tidying.await.map_err(|error| failed(error.to_string()))?;
        layers.map(Some).map_err(|error| failed(error.to_string()))
    }
}

/// What to ask for so that a container can start.
pub fn request(index: &Index, pod: &Pod, container: &Container) -> ImageRequest {
    let reference = container.image.clone().unwrap_or_default();
    let policy = match container.image_pull_policy.as_deref() {
        Some("Always") => PullPolicy::Always,
        Some("Never") => PullPolicy::Never,
        Some("IfNotPresent") => PullPolicy::IfNotPresent,
        _ if is_latest(&reference) => PullPolicy::Always,
        _ => PullPolicy::IfNotPresent,
    };
    let credentials = secrets(index, pod).find_map(|secret| {
        let document = secret.data.as_ref()?.get(".dockerconfigjson")?;
        Credentials::from_docker_config(&document.0, &reference)
            .ok()
            .flatten()
    });
    ImageRequest {
        reference,
        policy,
        credentials,
    }
}

/// The pull secrets of a pod and of its service account.
fn secrets<'a>(index: &'a Index, pod: &'a Pod) -> impl Iterator<Item = &'a Secret> + 'a {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let spec = pod.spec.as_ref();
    let account = spec
        .and_then(|spec| spec.service_account_name.as_deref())
        .unwrap_or("default");
    let account = index.service_accounts.find(namespace, account);
    let own = spec.and_then(|spec| spec.image_pull_secrets.as_ref());
    let granted = account.and_then(|account| account.image_pull_secrets.as_ref());
    [own, granted]
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(move |reference| index.secrets.find(namespace, &reference.name))
        .map(|secret| &**secret)
}

fn is_latest(reference: &str) -> bool {
    let name = reference.rsplit('/').next().unwrap_or_default();
    !name.contains('@') && name.split_once(':').is_none_or(|(_, tag)| tag == "latest")
}
