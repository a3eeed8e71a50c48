//! How parts of the program write objects: through a client to any API of Kubernetes, or handed over as
//! they are to the API of the same process, with no text in between that one side writes and the other
//! reads. Whoever writes does not know which.

mod edition;
mod remote;

use std::sync::Arc;

use futures::future::BoxFuture;
use kube::api::ApiResource;
use kube::{Client, Error};
use serde_json::Value;

pub use edition::Edition;

/// Where an object is written. What it is called it says itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// What objects of its kind are called in paths.
    pub resource: ApiResource,
    /// Empty for cluster-scoped kinds.
    pub namespace: String,
}

/// Writes to one API.
pub trait Writer: Send + Sync + 'static {
    /// Server-side apply of exactly the fields of `object`, by force.
    fn apply(
        &self,
        place: Place,
        manager: &'static str,
        object: Value,
    ) -> BoxFuture<'_, Result<Edition, Error>>;

    /// The same for the status of an object that is there.
    fn apply_status(
        &self,
        place: Place,
        manager: &'static str,
        object: Value,
    ) -> BoxFuture<'_, Result<(), Error>>;

    /// Creates `object`.
    fn create(
        &self,
        place: Place,
        manager: &'static str,
        object: Value,
    ) -> BoxFuture<'_, Result<(), Error>>;
}

/// One API: how it is read, and how it is written to.
#[derive(Clone)]
pub struct Cluster {
    /// Reads, watches, deletes.
    pub client: Client,
    /// Applies and creates.
    pub writer: Arc<dyn Writer>,
}

impl From<Client> for Cluster {
    fn from(client: Client) -> Self {
        let writer = Arc::new(client.clone());
        Self { client, writer }
    }
}

/// What an object says it is called.
fn name_of(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}
