//! The server as one value: opened on a folder, asked for clients, served on a
//! listener, closed.

use std::{path::Path, sync::Arc};

use serde_json::Value;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{access::Admission, access::PodAccess, credentials::Credentials};

/// Why the server cannot be opened or served.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The data folder cannot be used.
    #[error("{0}")]
    Folder(String),
}

/// The Kubernetes API on one folder. Clones share one server.
#[derive(Clone)]
pub struct Server {}

impl Server {
    /// Opens or makes the data of `folder` and serves `definitions` (CustomResourceDefinition
    /// objects) besides Kubernetes' own kinds. Call it inside a tokio runtime.
    pub fn open(
        _folder: &Path,
        _definitions: Vec<Value>,
        _admission: Arc<dyn Admission>,
        _pods: Arc<dyn PodAccess>,
    ) -> Result<Self, Error> {
        Ok(Self {})
    }

    /// A client that talks to this server inside the process.
    pub fn client(&self) -> kube::Client {
        let service = tower::service_fn(|_request: http::Request<kube::client::Body>| async {
            Ok::<_, std::convert::Infallible>(http::Response::new(http_body_util::Full::new(
                bytes::Bytes::new(),
            )))
        });
        kube::Client::new(service, "default")
    }

    /// Serves TLS on `listener` to whoever shows the token of `credentials`, until `stop`.
    #[expect(clippy::unused_async, reason = "skeleton")]
    pub async fn serve(
        &self,
        _listener: TcpListener,
        _credentials: &Credentials,
        _stop: CancellationToken,
    ) -> Result<(), Error> {
        Ok(())
    }

    /// Writes what is queued, stops background work and releases the folder.
    #[expect(clippy::unused_async, reason = "skeleton")]
    pub async fn close(&self) {}
}
