//! Envoy's admin interface, over its unix socket.

use std::{
    fs::File,
    os::fd::AsRawFd as _,
    path::{Path, PathBuf},
    time::Duration,
};

use http::{Method, Request};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;

use super::envoy;

const TIMEOUT: Duration = Duration::from_secs(2);
const MAX_ANSWER: usize = 64 << 20;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// A client of one Envoy.
#[derive(Debug)]
pub(super) struct Admin {
    socket: PathBuf,
}

impl Admin {
    pub(super) fn new(socket: PathBuf) -> Self {
        Self { socket }
    }

    /// Lets Envoy open its log files again after they were moved.
    pub(super) async fn reopen_logs(&self) -> Result<(), Failure> {
        self.call(Method::POST, "/reopen_logs").await.map(drop)
    }

    async fn call(&self, method: Method, path: &str) -> Result<Vec<u8>, Failure> {
        tokio::time::timeout(TIMEOUT, self.exchange(method, path)).await?
    }

    async fn exchange(&self, method: Method, path: &str) -> Result<Vec<u8>, Failure> {
        let stream = UnixStream::connect(&self.socket).await?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(http::header::HOST, "admin")
            .body(Empty::<bytes::Bytes>::new())?;
        let answer = async {
            let response = sender.send_request(request).await?;
            if !response.status().is_success() {
                return Err(Failure::from(response.status().to_string()));
            }
            let body = Limited::new(response.into_body(), MAX_ANSWER);
            Ok(body.collect().await?.to_bytes().to_vec())
        };
        tokio::pin!(connection, answer);
        tokio::select! {
            biased;
            answer = &mut answer => answer,
            ended = &mut connection => {
                ended?;
                answer.await
            }
        }
    }
}

/// What the Envoy of a gateway's folder counts, in the form that Prometheus reads.
pub async fn metrics(folder: &Path) -> std::io::Result<Vec<u8>> {
    let folder = File::open(folder)?;
    let socket = format!(
        "/proc/self/fd/{}/{}",
        folder.as_raw_fd(),
        envoy::ADMIN_SOCKET
    );
    let admin = Admin::new(socket.into());
    let answer = admin.call(Method::GET, "/stats/prometheus").await;
    answer.map_err(std::io::Error::other)
}
