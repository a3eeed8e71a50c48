//! What Envoy leads here: requests and connections of pods for hosts that no route names. They are
//! answered for, and told.

use std::{convert::Infallible, io, net::Ipv4Addr, path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{UnixListener, UnixStream},
    sync::{Semaphore, mpsc},
    time::Instant,
};

use super::{
    Error, Result,
    discovery::listen,
    egress::{CLIENT_HEADER, PORT_HEADER},
    named::host_of,
};
use crate::{
    machine::{Attempt, Gathered, Refused},
    service::egress::Egress,
};

/// Connections at once.
const MAX_CONNECTIONS: usize = 128;
/// How long a request may take to come.
const PATIENCE: Duration = Duration::from_secs(10);
/// Refusals that wait to be counted.
const WAITING: usize = 256;
/// Pause after the system had no file descriptor left.
const BREATH: Duration = Duration::from_millis(100);
/// The longest name there is.
const LONGEST_NAME: usize = 253;

/// Where Envoy finds it.
pub(super) fn open(socket: &Path) -> Result<UnixListener> {
    listen(socket)
}

/// Serves until it is dropped.
pub(super) async fn serve(listener: UnixListener, egress: Egress) -> Result<()> {
    let (tell, told) = mpsc::channel(WAITING);
    tokio::select! {
        () = accept(listener, tell) => {}
        () = gather(told, &egress) => {}
    }
    Err(Error::Ended { what: "refusal" })
}

async fn accept(listener: UnixListener, tell: mpsc::Sender<Refused>) {
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else {
            return;
        };
        let Ok((envoy, _)) = listener.accept().await else {
            tokio::time::sleep(BREATH).await;
            continue;
        };
        let tell = tell.clone();
        tokio::spawn(async move {
            if let Err(error) = answer(envoy, &tell).await {
                tracing::debug!(%error, "a refusal");
            }
            drop(permit);
        });
    }
}

async fn answer(envoy: UnixStream, tell: &mpsc::Sender<Refused>) -> io::Result<()> {
    let service = hyper::service::service_fn(|request: Request<_>| {
        let refused = read(&request);
        let response = refusal(refused.as_ref());
        if let Some(refused) = refused {
            // When too much is refused, some of it is not told.
            let _full = tell.try_send(refused);
        }
        async move { Ok::<_, Infallible>(response) }
    });
    hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .keep_alive(false)
        .serve_connection(TokioIo::new(envoy), service)
        .await
        .map_err(io::Error::other)
}

/// Who asked for what.
fn read<B>(request: &Request<B>) -> Option<Refused> {
    let told = |name| request.headers().get(name)?.to_str().ok();
    let pod: Ipv4Addr = told(CLIENT_HEADER)?.parse().ok()?;
    let port = told(PORT_HEADER)?.parse().ok()?;
    let mut host = host_of(request).unwrap_or_default();
    host.truncate(LONGEST_NAME);
    Some(Refused::once(pod, Attempt::Host { host, port }))
}

fn refusal(refused: Option<&Refused>) -> Response<Full<Bytes>> {
    let text = match refused.map(|refused| &refused.attempt) {
        Some(Attempt::Host { host, port }) => format!(
            "nothing that this component declares leads to {host:?} on port {port}: declare an external \
             connection\n"
        ),
        _ => "nothing that this component declares leads there\n".to_owned(),
    };
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = StatusCode::FORBIDDEN;
    let plain = header::HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, plain);
    response
}

/// Tells what is new, once in a while.
async fn gather(mut told: mpsc::Receiver<Refused>, egress: &Egress) {
    let mut gathered = Gathered::default();
    loop {
        let due = gathered.due();
        let wait = async {
            match due {
                Some(due) => tokio::time::sleep_until(due).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            refused = told.recv() => match refused {
                Some(refused) => gathered.add(refused, Instant::now()),
                None => return,
            },
            () = wait => {
                let news = gathered.take(Instant::now());
                if !news.is_empty() {
                    egress.refuse(news);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    async fn check(asked: &str, host: &str) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let egress = Egress::default();
        let mut told = egress.refused();
        let serving = tokio::spawn(serve(open(&path).unwrap(), egress));
        let mut envoy = UnixStream::connect(&path).await.unwrap();
        let request = format!(
            "{asked} HTTP/1.1\r\nhost: evil.test\r\n{CLIENT_HEADER}: 10.128.1.2\r\n{PORT_HEADER}: 443\r\n\r\n"
        );
        envoy.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        envoy.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
        let attempt = Attempt::Host {
            host: host.to_owned(),
            port: 443,
        };
        let expected = Refused::once(Ipv4Addr::new(10, 128, 1, 2), attempt);
        assert_eq!(told.recv().await.unwrap(), [expected]);
        serving.abort();
    }

    #[tokio::test]
    async fn refusals_name_the_pod_and_the_host() {
        check("GET /secret", "evil.test").await;
        check("CONNECT other.test:443", "other.test").await;
        check("CONNECT -:443", "").await;
    }
}
