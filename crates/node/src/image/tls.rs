//! Whether a registry of this machine speaks TLS. Many do not, so one is asked by a greeting: only what
//! speaks TLS answers it as TLS does, and no request with a password has been sent yet.

use std::{sync::Arc, time::Duration};

use rustls::{ClientConfig, ClientConnection, RootCertStore, pki_types::ServerName};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

const PATIENCE: Duration = Duration::from_secs(5);
/// First bytes of an answer: a greeting, or an alert that says what was wrong with ours.
const ANSWERS: [u8; 2] = [22, 21];

/// Whether TLS is spoken at `host` or `host:port`. What does not answer is left to the pull to explain.
pub(super) async fn spoken_at(registry: &str) -> bool {
    let address = match registry.rsplit_once(':') {
        Some((_, port)) if port.parse::<u16>().is_ok() => registry.to_owned(),
        _ => format!("{registry}:443"),
    };
    tokio::time::timeout(PATIENCE, answers(&address))
        .await
        .ok()
        .flatten()
        .unwrap_or(false)
}

async fn answers(address: &str) -> Option<bool> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    stream.write_all(&greeting()?).await.ok()?;
    let first = stream.read_u8().await.ok()?;
    Some(ANSWERS.contains(&first))
}

/// The first message of a client that trusts nobody: nothing follows it.
fn greeting() -> Option<Vec<u8>> {
    let config = ClientConfig::builder()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").ok()?;
    let mut client = ClientConnection::new(Arc::new(config), name).ok()?;
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).ok()?;
    Some(bytes)
}
