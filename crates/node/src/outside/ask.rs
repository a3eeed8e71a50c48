//! What the machine asks of the platform over a socket in its folder: a connection to an address, to send datagrams
//! there, or the answer to a question of a name. A request is one connection: the kind, and then an address and
//! port, or a question with its length before it. Datagrams have theirs before them too.

use std::{
    io,
    net::{Ipv4Addr, SocketAddrV4},
    path::Path,
    sync::Arc,
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional},
    net::{UnixListener, UnixStream},
    sync::Semaphore,
};

use super::{Bounds, Reach, connect, datagrams, names};

/// The name of the socket in the machine's folder.
pub(crate) const SOCKET: &str = "outside.sock";
/// Requests at once: more than the machine has of connections, flows of datagrams and names.
const MOST: usize = 12_288;
/// How long a request may take to come, or an answer to a question.
const PATIENCE: Duration = Duration::from_secs(10);
/// Pause after the system had no file descriptor left.
const BREATH: Duration = Duration::from_millis(100);

/// Kinds of requests.
const STREAM: u8 = 1;
const NAME: u8 = 2;
const DATAGRAMS: u8 = 3;
/// What is said of a connection once it stands.
const CONNECTED: u8 = 0;

/// Answers the machine until it is dropped.
pub(crate) async fn serve(listener: UnixListener, reach: Arc<Reach>) {
    let permits = Arc::new(Semaphore::new(MOST));
    loop {
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else {
            return;
        };
        let Ok((machine, _)) = listener.accept().await else {
            tokio::time::sleep(BREATH).await;
            continue;
        };
        let reach = Arc::clone(&reach);
        tokio::spawn(async move {
            if let Err(error) = answer(machine, &reach).await {
                tracing::debug!(%error, "a way out of the machine");
            }
            drop(permit);
        });
    }
}

async fn answer(mut machine: UnixStream, reach: &Reach) -> io::Result<()> {
    let kind = tokio::time::timeout(PATIENCE, machine.read_u8()).await??;
    match kind {
        NAME => {
            let question = tokio::time::timeout(PATIENCE, read_message(&mut machine)).await??;
            let asked = names::ask(&question, &reach.resolvers);
            let answer = tokio::time::timeout(PATIENCE, asked).await??;
            write_message(&mut machine, &answer).await
        }
        STREAM | DATAGRAMS => {
            let to = tokio::time::timeout(PATIENCE, address(&mut machine)).await??;
            lead(machine, (kind, to), reach).await
        }
        other => Err(io::Error::other(format!("a request of kind {other}"))),
    }
}

/// Leads the machine to an address.
async fn lead(
    mut machine: UnixStream,
    (kind, to): (u8, SocketAddrV4),
    reach: &Reach,
) -> io::Result<()> {
    if kind == DATAGRAMS {
        let outside = datagrams::connect(to, Bounds::Public, reach).await?;
        machine.write_u8(CONNECTED).await?;
        return datagrams::carry(machine, &outside).await;
    }
    let host = to.ip().to_string();
    let mut outside = connect((&host, to.port()), Bounds::Public, reach).await?;
    machine.write_u8(CONNECTED).await?;
    copy_bidirectional(&mut machine, &mut outside).await?;
    Ok(())
}

async fn address(machine: &mut UnixStream) -> io::Result<SocketAddrV4> {
    let address = Ipv4Addr::from(machine.read_u32().await?);
    Ok(SocketAddrV4::new(address, machine.read_u16().await?))
}

/// A connection to an address outside, by way of the platform's socket.
pub(crate) async fn request_stream(socket: &Path, to: SocketAddrV4) -> io::Result<UnixStream> {
    request(socket, STREAM, to).await
}

/// Datagrams to and from an address outside, as messages, by way of the platform's socket.
pub(crate) async fn request_datagrams(socket: &Path, to: SocketAddrV4) -> io::Result<UnixStream> {
    tokio::time::timeout(2 * PATIENCE, request(socket, DATAGRAMS, to)).await?
}

async fn request(socket: &Path, kind: u8, to: SocketAddrV4) -> io::Result<UnixStream> {
    let mut platform = UnixStream::connect(socket).await?;
    let [a, b, c, d] = to.ip().octets();
    let [high, low] = to.port().to_be_bytes();
    platform.write_all(&[kind, a, b, c, d, high, low]).await?;
    match platform.read_u8().await? {
        CONNECTED => Ok(platform),
        other => Err(io::Error::other(format!("an answer of kind {other}"))),
    }
}

/// The answer to a question of a name, by way of the platform's socket.
pub(crate) async fn request_name(socket: &Path, question: &[u8]) -> io::Result<Vec<u8>> {
    let asked = async {
        let mut platform = UnixStream::connect(socket).await?;
        platform.write_u8(NAME).await?;
        write_message(&mut platform, question).await?;
        read_message(&mut platform).await
    };
    tokio::time::timeout(2 * PATIENCE, asked).await?
}

/// Reads a message with its length before it, as names are asked for over TCP.
pub(crate) async fn read_message<S: tokio::io::AsyncRead + Unpin>(
    stream: &mut S,
) -> io::Result<Vec<u8>> {
    let length = stream.read_u16().await?;
    let mut message = vec![0; length.into()];
    stream.read_exact(&mut message).await?;
    Ok(message)
}

/// Writes a message with its length before it.
pub(crate) async fn write_message<S: tokio::io::AsyncWrite + Unpin>(
    stream: &mut S,
    message: &[u8],
) -> io::Result<()> {
    let length = u16::try_from(message.len()).map_err(io::Error::other)?;
    stream
        .write_all(&[&length.to_be_bytes(), message].concat())
        .await
}
