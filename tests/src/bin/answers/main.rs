//! What answers requests in tests, in containers and in place of hosts outside: says which request it got, takes its
//! time, fails now and then, and calls where it is told to.
//!
//! `answers` listens where endpoints of tests are. `answers here CERTIFICATE KEY` listens on two ports of this
//! machine, for plain text and for TLS with these files, and prints their addresses.

mod call;
mod serve;

use std::{env, io, net::SocketAddr, path::Path, sync::Arc};

use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// Where endpoints of tests are.
const ENDPOINT: &str = "0.0.0.0:8080";

type Result<T, E = Box<dyn std::error::Error + Send + Sync>> = std::result::Result<T, E>;

#[tokio::main]
async fn main() -> Result<()> {
    let words: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        [] => {
            let (listener, _) = listen(ENDPOINT).await?;
            serve::plain(listener).await
        }
        ["here", certificate, key] => {
            let acceptor = acceptor(Path::new(certificate), Path::new(key))?;
            let ((plain, one), (secured, other)) =
                (listen("127.0.0.1:0").await?, listen("127.0.0.1:0").await?);
            tell(one, other)?;
            tokio::try_join!(serve::plain(plain), serve::secured(secured, acceptor))?;
            Ok(())
        }
        _ => Err("answers, or answers here CERTIFICATE KEY".into()),
    }
}

async fn listen(address: &str) -> io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

fn tell(plain: SocketAddr, secured: SocketAddr) -> io::Result<()> {
    use io::Write as _;
    let mut out = io::stdout().lock();
    writeln!(out, "{plain} {secured}")?;
    out.flush()
}

fn acceptor(certificate: &Path, key: &Path) -> Result<TlsAcceptor> {
    let certificate = CertificateDer::from_pem_file(certificate)?;
    let key = PrivateKeyDer::from_pem_file(key)?;
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}
