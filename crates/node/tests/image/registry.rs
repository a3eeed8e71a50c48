//! A registry on the loopback interface, which can be told to misbehave.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    io::{self, Write as _},
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use axum::{
    body::{Body, Bytes},
    extract::State,
    http::{Request, StatusCode, header},
    response::{IntoResponse as _, Redirect, Response},
    serve::Listener,
};
use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_rustls::{TlsAcceptor, rustls::ServerConfig, server::TlsStream};

pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const USER: &str = "alice";
pub(crate) const PASSWORD: &str = "open sesame";
/// `alice:open sesame`.
const BASIC: &str = "Basic YWxpY2U6b3BlbiBzZXNhbWU=";
const TOKEN: &str = "a-token";

/// How a client proves who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Auth {
    None,
    Basic,
    Bearer,
}

/// A registry, until it is dropped.
pub(crate) struct Registry {
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    address: SocketAddr,
    scheme: &'static str,
    auth: Auth,
    /// Where blobs are instead, if not here.
    elsewhere: Mutex<Option<String>>,
    /// What every request is answered with.
    refusal: Mutex<Option<StatusCode>>,
    /// By `repository:tag-or-digest`.
    manifests: Mutex<BTreeMap<String, (&'static str, Bytes)>>,
    blobs: Mutex<BTreeMap<String, Bytes>>,
    broken: Mutex<BTreeSet<String>>,
    requests: Mutex<Vec<String>>,
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Registry {
    pub(crate) async fn start(auth: Auth) -> Self {
        Self::start_with(auth, None).await
    }

    /// One that speaks TLS with this certificate.
    pub(crate) async fn start_tls(auth: Auth, certificate: ServerConfig) -> Self {
        Self::start_with(auth, Some(certificate)).await
    }

    async fn start_with(auth: Auth, certificate: Option<ServerConfig>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let shared = Arc::new(Shared {
            address: listener.local_addr().unwrap(),
            scheme: if certificate.is_some() {
                "https"
            } else {
                "http"
            },
            auth,
            elsewhere: Mutex::default(),
            refusal: Mutex::default(),
            manifests: Mutex::default(),
            blobs: Mutex::default(),
            broken: Mutex::default(),
            requests: Mutex::default(),
        });
        let app = axum::Router::new()
            .fallback(answer)
            .with_state(Arc::clone(&shared));
        let task = match certificate {
            None => tokio::spawn(async move { axum::serve(listener, app).await.unwrap() }),
            Some(certificate) => {
                let listener = Encrypted {
                    listener,
                    acceptor: TlsAcceptor::from(Arc::new(certificate)),
                };
                tokio::spawn(async move { axum::serve(listener, app).await.unwrap() })
            }
        };
        Self { shared, task }
    }

    /// A name in this registry.
    pub(crate) fn reference(&self, rest: &str) -> String {
        format!("{}/{rest}", self.shared.address)
    }

    /// Serves a document under a tag and its digest.
    pub(crate) fn document(&self, name: &str, kind: &'static str, document: &Value) -> String {
        let bytes = Bytes::from(document.to_string());
        let digest = digest(&bytes);
        let (repository, _) = name.split_once(':').unwrap();
        let mut manifests = self.shared.manifests.lock().unwrap();
        manifests.insert(format!("{repository}:{digest}"), (kind, bytes.clone()));
        manifests.insert(name.to_owned(), (kind, bytes));
        digest
    }

    /// Serves bytes under their digest.
    pub(crate) fn blob(&self, bytes: impl Into<Bytes>) -> String {
        let bytes = bytes.into();
        let digest = digest(&bytes);
        self.replace(&digest, bytes);
        digest
    }

    /// Serves other bytes under a digest.
    pub(crate) fn replace(&self, digest: &str, bytes: impl Into<Bytes>) {
        let mut blobs = self.shared.blobs.lock().unwrap();
        blobs.insert(digest.to_owned(), bytes.into());
    }

    /// The next request for a blob ends in its middle.
    pub(crate) fn break_once(&self, digest: &str) {
        self.shared.broken.lock().unwrap().insert(digest.to_owned());
    }

    /// Sends those who want blobs to another registry, as the large ones do.
    pub(crate) fn redirect_blobs(&self, to: &Self) {
        let place = format!("{}://{}/v2/any/blobs", to.shared.scheme, to.shared.address);
        *self.shared.elsewhere.lock().unwrap() = Some(place);
    }

    /// From now on every request is refused so.
    pub(crate) fn refuse(&self, with: Option<StatusCode>) {
        *self.shared.refusal.lock().unwrap() = with;
    }

    /// How often something was asked for.
    pub(crate) fn requests(&self, part: &str) -> usize {
        let requests = self.shared.requests.lock().unwrap();
        requests.iter().filter(|r| r.contains(part)).count()
    }
}

/// Connections that speak TLS; those that do not are dropped.
struct Encrypted {
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl Listener for Encrypted {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let (stream, address) = self.listener.accept().await.unwrap();
            if let Ok(stream) = self.acceptor.accept(stream).await {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

async fn answer(State(shared): State<Arc<Shared>>, request: Request<Body>) -> Response {
    let path = request.uri().path().to_owned();
    shared.requests.lock().unwrap().push(path.clone());
    if let Some(refusal) = *shared.refusal.lock().unwrap() {
        return refusal.into_response();
    }
    let given = request
        .headers()
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    if path == "/token" {
        return if given == BASIC {
            axum::Json(json!({"token": TOKEN, "expires_in": 300})).into_response()
        } else {
            StatusCode::UNAUTHORIZED.into_response()
        };
    }
    let expected = match shared.auth {
        Auth::None => given.to_owned(),
        Auth::Basic => BASIC.to_owned(),
        Auth::Bearer => format!("Bearer {TOKEN}"),
    };
    if given != expected {
        return shared.challenge();
    }
    if path == "/v2/" {
        return StatusCode::OK.into_response();
    }
    let parts = path.strip_prefix("/v2/").unwrap();
    if let Some((repository, reference)) = parts.split_once("/manifests/") {
        shared.manifest(&format!("{repository}:{reference}"))
    } else {
        shared.blob(parts.rsplit('/').next().unwrap())
    }
}

impl Shared {
    fn challenge(&self) -> Response {
        let challenge = match self.auth {
            Auth::Bearer => format!(
                "Bearer realm=\"{}://{}/token\",service=\"test\"",
                self.scheme, self.address
            ),
            Auth::None | Auth::Basic => "Basic realm=\"test\"".to_owned(),
        };
        let document = json!({"errors": [{"code": "UNAUTHORIZED", "message": "who are you?"}]});
        let headers = [(header::WWW_AUTHENTICATE, challenge)];
        (StatusCode::UNAUTHORIZED, headers, axum::Json(document)).into_response()
    }

    fn manifest(&self, key: &str) -> Response {
        let found = self.manifests.lock().unwrap().get(key).cloned();
        found.map_or_else(
            || missing("MANIFEST_UNKNOWN"),
            |(kind, bytes)| ([(header::CONTENT_TYPE, kind)], bytes).into_response(),
        )
    }

    fn blob(&self, digest: &str) -> Response {
        if let Some(place) = &*self.elsewhere.lock().unwrap() {
            return Redirect::temporary(&format!("{place}/{digest}")).into_response();
        }
        let Some(bytes) = self.blobs.lock().unwrap().get(digest).cloned() else {
            return missing("BLOB_UNKNOWN");
        };
        if !self.broken.lock().unwrap().remove(digest) {
            return bytes.into_response();
        }
        let half = bytes.slice(..bytes.len() / 2);
        let parts = [
            Ok(half),
            Err(io::Error::from(io::ErrorKind::ConnectionReset)),
        ];
        let length = [(header::CONTENT_LENGTH, bytes.len().to_string())];
        (length, Body::from_stream(futures::stream::iter(parts))).into_response()
    }
}

fn missing(code: &str) -> Response {
    let document = json!({"errors": [{"code": code, "message": "unknown"}]});
    (StatusCode::NOT_FOUND, axum::Json(document)).into_response()
}

pub(crate) fn digest(bytes: &[u8]) -> String {
    let mut text = "sha256:".to_owned();
    for byte in Sha256::digest(bytes) {
        write!(text, "{byte:02x}").unwrap();
    }
    text
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = GzEncoder::new(Vec::new(), Compression::fast());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

/// This machine's architecture in the words of images.
pub(crate) fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// A configuration of an image with these uncompressed layers.
pub(crate) fn config(layers: &[&[u8]]) -> Value {
    let diff_ids: Vec<String> = layers.iter().map(|layer| digest(layer)).collect();
    json!({
        "architecture": architecture(), "os": "linux",
        "config": {"Entrypoint": ["/bin/web"], "Env": ["A=b"], "ExposedPorts": {"80/tcp": {}}},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    })
}

/// A descriptor of bytes.
pub(crate) fn descriptor(kind: &str, bytes: &[u8]) -> Value {
    json!({"mediaType": kind, "digest": digest(bytes), "size": bytes.len()})
}

/// A manifest over a configuration and layers as they are stored.
pub(crate) fn manifest(config: &Value, layers: &[(&str, &[u8])]) -> Value {
    let layers: Vec<Value> = layers
        .iter()
        .map(|(kind, bytes)| descriptor(kind, bytes))
        .collect();
    json!({
        "schemaVersion": 2, "mediaType": MANIFEST,
        "config": descriptor("application/vnd.oci.image.config.v1+json", config.to_string().as_bytes()),
        "layers": layers,
    })
}
