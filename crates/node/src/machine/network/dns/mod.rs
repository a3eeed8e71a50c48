//! The name server of a cell: answers for the cell's names from memory. Pods that may leave the network of cells
//! ask it for other names too, which it asks the platform for.

mod answer;

use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use hickory_proto::op::{Message, MessageType, OpCode, ResponseCode};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket},
    sync::{Semaphore, mpsc},
    task::{JoinHandle, JoinSet},
    time::timeout,
};

pub(super) use self::answer::Known;
use self::answer::Zone;
use crate::{
    machine::{Attempt, Refused},
    outside::request_name,
};

const PORT: u16 = 53;
/// Longest answer over UDP without EDNS.
const UDP_LIMIT: usize = 512;
/// Longest answer over UDP with it, whatever a client says it takes.
const EDNS_LIMIT: usize = 1232;
/// TCP connections served at once, and of one client.
const CONNECTIONS: usize = 64;
const CONNECTIONS_OF_ONE: usize = 8;
/// Questions of a cell that others are asked at once, over UDP.
const ASKED: usize = 64;
/// How long a TCP connection may be silent.
const PATIENCE: Duration = Duration::from_secs(5);

/// Whom the server tells of names that it refused.
pub(super) type Tell = mpsc::Sender<Refused>;

/// What both ways of asking share.
#[derive(Debug, Clone)]
struct Shared {
    zone: Arc<RwLock<Zone>>,
    tell: Tell,
    /// The platform's socket, where names outside are asked for.
    platform: PathBuf,
}

/// A running name server; it ends when it is dropped.
#[derive(Debug)]
pub(super) struct Server {
    zone: Arc<RwLock<Zone>>,
    tasks: [JoinHandle<()>; 2],
}

impl Server {
    /// Starts answering at an address of this machine.
    pub(super) async fn start(
        address: Ipv4Addr,
        known: Known,
        (tell, platform): (Tell, PathBuf),
    ) -> io::Result<Self> {
        let udp = UdpSocket::bind((address, PORT)).await?;
        let tcp = TcpListener::bind((address, PORT)).await?;
        let zone = Arc::new(RwLock::new(Zone::new(known)));
        let shared = Shared {
            zone: Arc::clone(&zone),
            tell,
            platform,
        };
        let tasks = [
            tokio::spawn(serve_udp(udp, shared.clone())),
            tokio::spawn(serve_tcp(tcp, shared)),
        ];
        Ok(Self { zone, tasks })
    }

    /// Answers with these names from now on.
    pub(super) fn set(&self, known: Known) {
        *self.zone.write().unwrap_or_else(PoisonError::into_inner) = Zone::new(known);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

async fn serve_udp(socket: UdpSocket, shared: Shared) {
    let socket = Arc::new(socket);
    let permits = Arc::new(Semaphore::new(ASKED));
    let mut buffer = vec![0; 4096];
    loop {
        // An error of one packet (an unreachable client) is not the end.
        let Ok((length, client)) = socket.recv_from(&mut buffer).await else {
            tokio::task::yield_now().await;
            continue;
        };
        match reply(&buffer[..length], &shared, client, true) {
            Reply::Nothing => {}
            Reply::Answer(answer) => {
                // A client that went away asks again.
                let _unheard = socket.send_to(&answer, client).await;
            }
            Reply::Ask(question) => {
                // Who asks for too much at once asks again.
                let Ok(permit) = Arc::clone(&permits).try_acquire_owned() else {
                    continue;
                };
                let (socket, platform) = (Arc::clone(&socket), shared.platform.clone());
                tokio::spawn(async move {
                    let answer = from_outside(&platform, &question, true).await;
                    let _unheard = socket.send_to(&answer, client).await;
                    drop(permit);
                });
            }
        }
    }
}

async fn serve_tcp(listener: TcpListener, shared: Shared) {
    let mut conversations = JoinSet::new();
    let mut open = BTreeMap::<IpAddr, usize>::new();
    loop {
        tokio::select! {
            Some(Ok(client)) = conversations.join_next() => {
                if let Some(count) = open.get_mut(&client) {
                    *count -= 1;
                }
                open.retain(|_, count| *count > 0);
            }
            accepted = listener.accept(), if conversations.len() < CONNECTIONS => {
                let Ok((stream, client)) = accepted else {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    continue;
                };
                let count = open.entry(client.ip()).or_default();
                if *count >= CONNECTIONS_OF_ONE {
                    continue;
                }
                *count += 1;
                let shared = shared.clone();
                conversations.spawn(async move {
                    // A broken conversation ends; the client asks again.
                    let _ended = converse(stream, client, &shared).await;
                    client.ip()
                });
            }
        }
    }
}

async fn converse(mut stream: TcpStream, client: SocketAddr, shared: &Shared) -> io::Result<()> {
    loop {
        let length = timeout(PATIENCE, stream.read_u16()).await??;
        let mut query = vec![0; length.into()];
        timeout(PATIENCE, stream.read_exact(&mut query)).await??;
        let reply = match reply(&query, shared, client, false) {
            Reply::Nothing => return Ok(()),
            Reply::Answer(answer) => answer,
            Reply::Ask(question) => from_outside(&shared.platform, &question, false).await,
        };
        let length = u16::try_from(reply.len()).map_err(io::Error::other)?;
        let reply = [&length.to_be_bytes(), reply.as_slice()].concat();
        timeout(PATIENCE, stream.write_all(&reply)).await??;
    }
}

/// What becomes of a query.
#[derive(Debug, PartialEq)]
enum Reply {
    /// It is not worth an answer.
    Nothing,
    Answer(Vec<u8>),
    /// Others are asked.
    Ask(Box<Message>),
}

fn reply(query: &[u8], shared: &Shared, client: SocketAddr, datagram: bool) -> Reply {
    let query = Message::from_vec(query).ok();
    let asks = |query: &Message| query.metadata.message_type == MessageType::Query;
    let Some(query) = query.filter(asks) else {
        return Reply::Nothing;
    };
    let zone = shared.zone.read().unwrap_or_else(PoisonError::into_inner);
    let answer = answer::answer(&query, &zone, client.ip());
    drop(zone);
    if answer.asks {
        return Reply::Ask(Box::new(query));
    }
    if let (Some(name), IpAddr::V4(pod)) = (answer.refused, client.ip()) {
        let attempt = Attempt::Name { name };
        // When too much is refused, some of it is not told.
        let _full = shared.tell.try_send(Refused::once(pod, attempt));
    }
    fitted(&answer.message, &query, datagram).map_or(Reply::Nothing, Reply::Answer)
}

/// An answer as long as who asked can take it.
fn fitted(answer: &Message, query: &Message, datagram: bool) -> Option<Vec<u8>> {
    let bytes = answer.to_vec().ok()?;
    let offered = query.edns.as_ref().map(|_| query.max_payload());
    let limit = offered.map_or(UDP_LIMIT, |offered| {
        usize::from(offered).clamp(UDP_LIMIT, EDNS_LIMIT)
    });
    if datagram && bytes.len() > limit {
        answer.truncate().to_vec().ok()
    } else {
        Some(bytes)
    }
}

/// What the platform hears of a name outside, or that it heard nothing.
async fn from_outside(platform: &Path, query: &Message, datagram: bool) -> Vec<u8> {
    let heard = async {
        let asked = request_name(platform, &query.to_vec().ok()?).await;
        let answer = Message::from_vec(&asked.ok()?).ok()?;
        fitted(&answer, query, datagram)
    };
    let failed = || {
        let failure = Message::error_msg(query.metadata.id, OpCode::Query, ResponseCode::ServFail);
        failure.to_vec().unwrap_or_default()
    };
    heard.await.unwrap_or_else(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_client_leaves_room_for_others() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (tell, _told) = mpsc::channel(1);
        let zone = Arc::default();
        let server = tokio::spawn(serve_tcp(
            listener,
            Shared {
                zone,
                tell,
                platform: PathBuf::new(),
            },
        ));
        let mut hogs = Vec::new();
        for _ in 0..2 * CONNECTIONS {
            hogs.push(TcpStream::connect(("127.0.0.1", port)).await.unwrap());
        }
        let other = tokio::net::TcpSocket::new_v4().unwrap();
        other.bind(([127, 0, 0, 2], 0).into()).unwrap();
        let mut other = other.connect(([127, 0, 0, 1], port).into()).await.unwrap();
        // A question without a question.
        let query = [0, 12, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        other.write_all(&query).await.unwrap();
        let length = timeout(PATIENCE, other.read_u16()).await;
        assert_eq!(length.unwrap().unwrap(), 12);
        server.abort();
    }

    #[test]
    fn garbage_gets_no_answer() {
        let (tell, _told) = mpsc::channel(1);
        let zone = Arc::default();
        let client = SocketAddr::from(([10, 1, 0, 2], 4000));
        let shared = Shared {
            zone,
            tell,
            platform: PathBuf::new(),
        };
        assert_eq!(reply(b"nonsense", &shared, client, true), Reply::Nothing);
    }
}
