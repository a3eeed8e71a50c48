//! The host's ports for UDP: what a client sends is carried to Envoy over a stream of its own, and what comes back
//! goes to the client. Envoy's sockets are of streams, so datagrams go in the words of RFC 9298 (CONNECT-UDP over
//! HTTP/2); Envoy chooses the backend once for each client.

use std::{collections::BTreeMap, io, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::Empty;
use hyper::ext::Protocol;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{UdpSocket, UnixStream},
    sync::{Semaphore, mpsc},
    task::JoinSet,
};

use super::{
    capsule::{Capsules, datagram},
    relay::{connect, proxy_header},
};

/// Clients at once at one port; datagrams of more are lost.
const MAX_SESSIONS: usize = 1024;
/// Datagrams of one client that wait for Envoy; more are lost.
const MAX_WAITING: usize = 64;
/// The longest datagram.
const MAX_LENGTH: usize = 1 << 16;
/// Pause after the system could not receive.
const BREATH: Duration = Duration::from_millis(100);

/// Carries datagrams until it is dropped, and every session with it. Envoy ends the sessions that rest.
pub(super) async fn serve(socket: UdpSocket, envoy: Arc<Path>, permits: Arc<Semaphore>) {
    let mut port = Port {
        socket: Arc::new(socket),
        envoy,
        permits,
        known: BTreeMap::new(),
        sessions: JoinSet::new(),
    };
    let mut buffer = vec![0; MAX_LENGTH];
    loop {
        tokio::select! {
            Some(ended) = port.sessions.join_next() => port.forget(ended.ok()),
            received = port.socket.recv_from(&mut buffer) => match received {
                Ok((length, client)) => {
                    let payload = buffer.get(..length).unwrap_or_default();
                    port.deliver(client, Bytes::copy_from_slice(payload));
                }
                Err(error) => {
                    tracing::warn!(%error, "the gateway cannot receive a datagram");
                    tokio::time::sleep(BREATH).await;
                }
            }
        }
    }
}

/// A port, and the clients that send to it.
struct Port {
    socket: Arc<UdpSocket>,
    envoy: Arc<Path>,
    permits: Arc<Semaphore>,
    known: BTreeMap<SocketAddr, mpsc::Sender<Bytes>>,
    sessions: JoinSet<SocketAddr>,
}

impl Port {
    /// Hands a datagram to the session of its client. Who sends faster than it is carried loses some, as on any
    /// link.
    fn deliver(&mut self, client: SocketAddr, payload: Bytes) {
        let known = self.known.get(&client).filter(|one| !one.is_closed());
        if let Some(session) = known.cloned().or_else(|| self.begin(client)) {
            let _lost = session.try_send(payload);
        }
    }

    fn begin(&mut self, client: SocketAddr) -> Option<mpsc::Sender<Bytes>> {
        let permit = Arc::clone(&self.permits).try_acquire_owned().ok();
        let permit = permit.filter(|_| self.known.len() < MAX_SESSIONS);
        let Some(permit) = permit else {
            tracing::debug!(%client, "no room for another client of the gateway");
            return None;
        };
        let (sender, receiver) = mpsc::channel(MAX_WAITING);
        self.known.insert(client, sender.clone());
        let (socket, envoy) = (Arc::clone(&self.socket), Arc::clone(&self.envoy));
        self.sessions.spawn(async move {
            if let Err(error) = session(client, &socket, &envoy, receiver).await {
                tracing::debug!(%client, %error, "datagrams to the gateway");
            }
            drop(permit);
            client
        });
        Some(sender)
    }

    /// What a session leaves; of one that broke the next of the same client takes the place.
    fn forget(&mut self, ended: Option<SocketAddr>) {
        // The client may have begun another since.
        let is_over = |client: &SocketAddr| {
            let session = self.known.get(client);
            session.is_some_and(mpsc::Sender::is_closed)
        };
        if let Some(client) = ended.filter(is_over) {
            self.known.remove(&client);
        }
    }
}

/// Carries the datagrams of one client, until Envoy ends it.
async fn session(
    client: SocketAddr,
    socket: &UdpSocket,
    envoy: &Path,
    from_client: mpsc::Receiver<Bytes>,
) -> io::Result<()> {
    let mut stream = connect(envoy)
        .await
        .ok_or_else(|| io::Error::other("Envoy does not listen"))?;
    stream
        .write_all(&proxy_header(client, socket.local_addr()?))
        .await?;
    let handshake = hyper::client::conn::http2::handshake(
        TokioExecutor::new(),
        TokioIo::<UnixStream>::new(stream),
    );
    let (mut sender, connection) = handshake.await.map_err(io::Error::other)?;
    let carried = async {
        let asked = sender.send_request(request()?);
        let response = asked.await.map_err(io::Error::other)?;
        if response.status() != StatusCode::OK {
            return Err(io::Error::other(response.status().to_string()));
        }
        let tunnel = hyper::upgrade::on(response).await;
        let tunnel = TokioIo::new(tunnel.map_err(io::Error::other)?);
        carry(tunnel, client, socket, from_client).await
    };
    tokio::select! {
        ended = connection => ended.map_err(io::Error::other),
        ended = carried => ended,
    }
}

/// Asks for a tunnel. Where it leads is Envoy's to say, so the address in it is none.
fn request() -> io::Result<Request<Empty<Bytes>>> {
    Request::builder()
        .method(Method::CONNECT)
        .uri("http://gateway/.well-known/masque/udp/backend/0/")
        .header("capsule-protocol", "?1")
        .extension(Protocol::from_static("connect-udp"))
        .body(Empty::new())
        .map_err(io::Error::other)
}

async fn carry(
    tunnel: impl tokio::io::AsyncRead + tokio::io::AsyncWrite,
    client: SocketAddr,
    socket: &UdpSocket,
    mut from_client: mpsc::Receiver<Bytes>,
) -> io::Result<()> {
    let (mut reader, mut writer) = tokio::io::split(tunnel);
    let there = async {
        while let Some(payload) = from_client.recv().await {
            writer.write_all(&datagram(&payload)).await?;
            writer.flush().await?;
        }
        io::Result::Ok(())
    };
    let back = async {
        let mut capsules = Capsules::default();
        while reader.read_buf(capsules.buffer()).await? > 0 {
            while let Some(payload) = capsules.next().map_err(io::Error::other)? {
                // A client that is gone is told of by nobody but the system, and loses nothing.
                let _lost = socket.send_to(&payload, client).await;
            }
        }
        io::Result::Ok(())
    };
    tokio::select! {
        ended = there => ended,
        ended = back => ended,
    }
}
