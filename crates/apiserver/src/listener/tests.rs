//! One client cannot have more of the server than its part.

use std::path::Path;

use jiff::Timestamp;
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::*;
use crate::{AllowAll, NoPods, Server};

struct Served {
    server: Server,
    credentials: Credentials,
    address: std::net::SocketAddr,
    stop: CancellationToken,
    _folder: tempfile::TempDir,
}

async fn serve(limits: Limits) -> Served {
    let folder = tempfile::tempdir().unwrap();
    let server = open(&folder.path().join("data")).within(limits);
    let credentials = Credentials::open(folder.path(), Timestamp::now()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let served = Served {
        server,
        credentials,
        address: listener.local_addr().unwrap(),
        stop: CancellationToken::new(),
        _folder: folder,
    };
    let (server, stop) = (served.server.clone(), served.stop.clone());
    let credentials = served.credentials.clone();
    tokio::spawn(async move { server.serve(listener, &credentials, stop).await });
    served
}

fn open(folder: &Path) -> Server {
    Server::open(folder, Vec::new(), Arc::new(AllowAll), Arc::new(NoPods)).unwrap()
}

impl Served {
    async fn connect(&self) -> TlsStream<TcpStream> {
        let mut roots = rustls::RootCertStore::empty();
        let authority = self.credentials.authority().as_bytes();
        let authority = CertificateDer::from_pem_slice(authority).unwrap();
        roots.add(authority).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let stream = TcpStream::connect(self.address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let connector = TlsConnector::from(Arc::new(config));
        connector.connect(name, stream).await.unwrap()
    }

    /// A connection on which a request was begun.
    async fn begin(&self, head: &str, body: &str) -> TlsStream<TcpStream> {
        let mut stream = self.connect().await;
        let token = self.credentials.token();
        let head = format!(
            "{head} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\
             Content-Type: application/json\r\nConnection: close\r\n{body}"
        );
        // The server may answer and close before everything is sent.
        let _ = stream.write_all(head.as_bytes()).await;
        stream
    }

    async fn ask(&self, head: &str, body: &str) -> String {
        rest(&mut self.begin(head, body).await).await
    }
}

async fn rest(stream: &mut TlsStream<TcpStream>) -> String {
    let mut bytes = Vec::new();
    let reading = stream.read_to_end(&mut bytes);
    let patience = Duration::from_secs(20);
    // A connection that is closed without a word is read as far as it goes.
    let _ = tokio::time::timeout(patience, reading).await.unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

const CREATE: &str = "POST /api/v1/namespaces/default/configmaps";
/// Says more than is sent.
const UNFINISHED: &str = "Content-Length: 100\r\n\r\n{";

#[tokio::test]
async fn too_many_requests_are_told_to_come_back() {
    let served = serve(Limits {
        in_flight: 1,
        ..Limits::default()
    })
    .await;
    let mut first = served.begin(CREATE, UNFINISHED).await;
    let refused = async {
        loop {
            let answer = served.ask("GET /livez", "\r\n").await;
            if answer.starts_with("HTTP/1.1 429") {
                return answer;
            }
        }
    };
    let patience = Duration::from_secs(20);
    let answer = tokio::time::timeout(patience, refused).await.unwrap();
    assert!(answer.contains("retry-after: 1\r\n"), "{answer}");
    first.write_all(&[b' '; 99]).await.unwrap();
    assert!(rest(&mut first).await.starts_with("HTTP/1.1 400"));
    let answer = served.ask("GET /livez", "\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    served.stop.cancel();
}

#[tokio::test]
async fn a_body_must_arrive() {
    let served = serve(Limits {
        body: Duration::from_millis(50),
        ..Limits::default()
    })
    .await;
    let answer = served.ask(CREATE, UNFINISHED).await;
    assert!(answer.starts_with("HTTP/1.1 504"), "{answer}");
    assert!(answer.contains("\"reason\":\"Timeout\""), "{answer}");
    served.stop.cancel();
}

#[tokio::test]
async fn a_head_must_arrive() {
    let served = serve(Limits {
        head: Duration::from_millis(50),
        ..Limits::default()
    })
    .await;
    let mut stream = served.connect().await;
    stream.write_all(b"GET /livez HTTP/1.1\r\n").await.unwrap();
    assert!(!rest(&mut stream).await.contains("200"));
    served.stop.cancel();
}

#[tokio::test]
async fn large_heads_and_bodies_are_refused() {
    let served = serve(Limits::default()).await;
    let head = format!("X: {}\r\n\r\n", "x".repeat(100 << 10));
    let answer = served.ask("GET /livez", &head).await;
    assert!(!answer.starts_with("HTTP/1.1 200"), "{answer}");
    let body = "x".repeat((3 << 20) + 1);
    let body = format!("Content-Length: {}\r\n\r\n{body}", body.len());
    let answer = served.ask(CREATE, &body).await;
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 413"),
        "{answer}"
    );
    served.stop.cancel();
}

#[tokio::test]
async fn watches_are_counted() {
    let served = serve(Limits {
        watches: 1,
        ..Limits::default()
    })
    .await;
    let watch = "GET /api/v1/configmaps?watch=true";
    let mut first = served.begin(watch, "\r\n").await;
    let mut begun = [0; 12];
    first.read_exact(&mut begun).await.unwrap();
    assert_eq!(&begun, b"HTTP/1.1 200");
    let answer = served.ask(watch, "\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 429"), "{answer}");
    drop(first);
    served.stop.cancel();
}

#[tokio::test]
async fn connections_are_counted() {
    let served = serve(Limits {
        connections: 1,
        ..Limits::default()
    })
    .await;
    let held = served.connect().await;
    let mut second = TcpStream::connect(served.address).await.unwrap();
    assert_eq!(
        second.read(&mut [0; 1]).await.unwrap_or(0),
        0,
        "closed at once"
    );
    drop(held);
    served.stop.cancel();
}
