//! Hosts outside: listeners on the loopback address that say who they are and what they heard.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

/// Names or addresses, ports, and who is there.
const HOSTS: [(&str, u16, &str); 8] = [
    ("api.test", 80, "api:80"),
    ("a.wild.test", 80, "wild:80"),
    ("secure.test", 443, "secure:443"),
    ("b.wild.test", 443, "wild:443"),
    ("db.test", 5432, "db:5432"),
    ("192.0.2.10", 8081, "other:80"),
    ("b.test", 80, "b:80"),
    // Nobody declares it.
    ("evil.test", 443, "evil:443"),
];

/// Starts them; where each is really.
pub(super) async fn start() -> BTreeMap<(String, u16), SocketAddr> {
    let mut all = BTreeMap::new();
    for (host, port, word) in HOSTS {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(serve(listener, word));
        all.insert((host.to_owned(), port), address);
    }
    all
}

async fn serve(listener: TcpListener, word: &'static str) {
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        tokio::spawn(async move {
            let mut heard = [0; 4096];
            let length = stream.read(&mut heard).await.unwrap_or_default();
            let text = String::from_utf8_lossy(&heard[..length]);
            let body = format!("I am {word}\n{text}");
            let head = format!(
                "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
                body.len()
            );
            let head = if text.starts_with("GET ") {
                head
            } else {
                String::new()
            };
            let _broken = stream.write_all(format!("{head}{body}").as_bytes()).await;
        });
    }
}

/// A request for a host, of a path that is to arrive as it is.
pub(super) fn request(host: &str) -> Vec<u8> {
    format!("GET /a%2Fb//c/../d HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").into_bytes()
}

/// The first message of TLS to a name.
pub(super) fn greeting(name: &str) -> Vec<u8> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let name = rustls::pki_types::ServerName::try_from(name.to_owned()).unwrap();
    let mut client = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).unwrap();
    bytes
}
