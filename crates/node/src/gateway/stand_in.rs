//! Who speaks at a port of the host while Envoy is away: at first nobody, because it comes back; after a while
//! clients are told so, rather than left waiting.

use std::{io, net::TcpListener, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::watch,
    task::JoinSet,
    time::{sleep, timeout},
};

/// How long clients wait for an Envoy that has gone away.
const PATIENCE: Duration = Duration::from_secs(5);
/// Pause after the system had no file descriptor left.
const BREATH: Duration = Duration::from_millis(100);
/// How long a client has to take its answer.
const FAREWELL: Duration = Duration::from_secs(1);
/// Clients that are answered at once.
const AT_ONCE: usize = 64;

const STARTING: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: text/plain\r\n\
    content-length: 28\r\nretry-after: 1\r\nconnection: close\r\n\r\nthe gateway is not ready yet";

/// Stands in at a socket whenever Envoy does not have it, until it is dropped. Where clients speak plain HTTP it
/// apologizes; elsewhere it ends their connections.
pub(super) async fn stand_in(
    listener: Arc<TcpListener>,
    mut taken: watch::Receiver<bool>,
    apologizes: bool,
) {
    let apology = if apologizes { STARTING } else { b"" };
    while taken.wait_for(|taken| !taken).await.is_ok() {
        let spoken = speak(&listener, apology);
        if let Err(error) = until(&mut taken, spoken).await {
            tracing::warn!(%error, "nobody can stand in for the gateway's Envoy");
            sleep(BREATH).await;
        }
    }
}

/// Does something until Envoy has the socket.
async fn until(
    taken: &mut watch::Receiver<bool>,
    work: impl Future<Output = io::Result<()>>,
) -> io::Result<()> {
    tokio::select! {
        done = work => done,
        _ = taken.changed() => Ok(()),
    }
}

/// Lets clients wait at first, and then answers those that have come, and whoever comes.
async fn speak(listener: &TcpListener, apology: &'static [u8]) -> io::Result<()> {
    sleep(PATIENCE).await;
    // Watched only as long as it is spoken for: nobody is to be woken by connections that are Envoy's.
    let watched = tokio::net::TcpListener::from_std(listener.try_clone()?)?;
    let mut answered = JoinSet::new();
    loop {
        if answered.len() >= AT_ONCE {
            answered.join_next().await;
        }
        let (client, _) = watched.accept().await?;
        answered.spawn(timeout(FAREWELL, answer(client, apology)));
        while answered.try_join_next().is_some() {}
    }
}

/// Answers, whatever is asked. What is asked is read to its end: if it were not, the connection would be reset, and
/// the answer lost.
async fn answer(mut client: TcpStream, apology: &[u8]) -> io::Result<()> {
    client.write_all(apology).await?;
    client.shutdown().await?;
    let mut asked = [0; 1 << 12];
    while client.read(&mut asked).await? > 0 {}
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a client hears, and when, of a port that Envoy does not have.
    async fn hear(address: std::net::SocketAddr) -> String {
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        let mut heard = String::new();
        client.read_to_string(&mut heard).await.unwrap();
        heard
    }

    #[tokio::test]
    async fn clients_are_told_that_envoy_is_away_and_left_to_it_when_it_is_back() {
        let listener = Arc::new(TcpListener::bind("127.0.0.1:0").unwrap());
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let (taken, is_taken) = watch::channel(true);
        let task = tokio::spawn(stand_in(Arc::clone(&listener), is_taken, true));
        // Envoy's affair.
        let waiting = TcpStream::connect(address).await.unwrap();
        assert_eq!(listener.accept().unwrap().1, waiting.local_addr().unwrap());
        taken.send_replace(false);
        let heard = hear(address).await;
        assert_eq!(heard.as_bytes(), STARTING);
        assert_eq!(hear(address).await, heard);
        taken.send_replace(true);
        tokio::task::yield_now().await;
        let waiting = TcpStream::connect(address).await.unwrap();
        sleep(Duration::from_millis(50)).await;
        assert_eq!(listener.accept().unwrap().1, waiting.local_addr().unwrap());
        task.abort();
    }

    #[test]
    fn the_refusal_is_well_formed() {
        let text = std::str::from_utf8(STARTING).unwrap();
        let (_, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(text.contains(&format!("content-length: {}\r\n", body.len())));
    }
}
