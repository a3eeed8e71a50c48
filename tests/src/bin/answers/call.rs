//! Calls: what a component tries to reach.

use std::{env, fs, io, path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Uri, header::HOST};
use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UdpSocket, lookup_host},
    time,
};
use tokio_rustls::TlsConnector;

use crate::Result;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// The authority that certifies hosts of tests.
const AUTHORITY: &str = "/authority.pem";
/// The types of DNS records that are asked for (RFC 1035, 3.2.2).
const RECORDS: [(&str, u16); 3] = [("A", 1), ("NULL", 10), ("TXT", 16)];

/// Calls `SCHEME://HOST:PORT/PATH` and tells what came of it. The scheme is one of http, https, tcp, udp, and dns with
/// a type as the path; the first part may be a variable, as in `$RATES/x`.
pub(crate) async fn call(url: &str) -> Result<String> {
    let url = expanded(url)?;
    let uri: Uri = url.parse()?;
    let host = uri.host().ok_or("it names no host")?;
    let port = |usual: u16| uri.port_u16().unwrap_or(usual);
    let calling = async {
        match uri.scheme_str() {
            Some("http") => request(TcpStream::connect((host, port(80))).await?, &uri).await,
            Some("https") => {
                let stream = TcpStream::connect((host, port(443))).await?;
                let name = ServerName::try_from(host.to_owned())?;
                request(connector()?.connect(name, stream).await?, &uri).await
            }
            Some("tcp") => {
                TcpStream::connect((host, port(0))).await?;
                Ok("connected\n".to_owned())
            }
            Some("udp") => datagram(host, port(0)).await,
            Some("dns") => question(host, uri.path().trim_start_matches('/')).await,
            _ => Err(format!("{url} is no URL that can be called").into()),
        }
    };
    time::timeout(PATIENCE, calling).await?
}

/// The URL with the variable that it starts with.
fn expanded(url: &str) -> Result<String> {
    let Some(rest) = url.strip_prefix('$') else {
        return Ok(url.to_owned());
    };
    let (name, path) = rest.split_once('/').unwrap_or((rest, ""));
    Ok(format!("{}/{path}", env::var(name)?))
}

fn connector() -> Result<TlsConnector> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(Path::new(AUTHORITY))?)?;
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

async fn request<S>(stream: S, uri: &Uri) -> Result<String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let request = Request::get(path).header(HOST, authority);
    let response = sender
        .send_request(request.body(Empty::<Bytes>::new())?)
        .await?;
    let status = response.status().as_u16();
    let body = response.into_body().collect().await?.to_bytes();
    Ok(format!("{status} {}", String::from_utf8_lossy(&body)))
}

/// Sends a datagram and waits for one, or for the refusal.
async fn datagram(host: &str, port: u16) -> Result<String> {
    let address = lookup_host((host, port)).await?.next();
    let socket = UdpSocket::bind("0.0.0.0:0").await?;
    socket.connect(address.ok_or("it has no address")?).await?;
    socket.send(b"anybody there?").await?;
    let mut answer = [0; 1500];
    let length = socket.recv(&mut answer).await?;
    Ok(format!("{length} bytes\n"))
}

/// Asks the name server of the cell for records of a name (RFC 1035, 4.1).
async fn question(name: &str, kind: &str) -> Result<String> {
    let known = RECORDS.iter().find(|(known, _)| *known == kind);
    let (_, number) = known.ok_or("no such type of records")?;
    let mut query = vec![0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        query.push(u8::try_from(label.len())?);
        query.extend(label.bytes());
    }
    query.push(0);
    query.extend(number.to_be_bytes());
    query.extend([0, 1]);
    let socket = UdpSocket::bind("0.0.0.0:0").await?;
    socket.connect((name_server()?, 53)).await?;
    socket.send(&query).await?;
    let mut answer = [0; 4096];
    let length = socket.recv(&mut answer).await?;
    let answer = answer.get(..length).filter(|answer| answer.len() >= 12);
    let answer = answer.ok_or("the answer is too short")?;
    let (code, answers) = (answer[3] & 15, u16::from_be_bytes([answer[6], answer[7]]));
    Ok(format!("code {code}, {answers} answers\n"))
}

fn name_server() -> Result<String> {
    let text = fs::read_to_string("/etc/resolv.conf")?;
    let mut lines = text
        .lines()
        .filter_map(|line| line.strip_prefix("nameserver "));
    let found = lines.next().map(|address| address.trim().to_owned());
    found.ok_or_else(|| io::Error::other("there is no name server").into())
}
