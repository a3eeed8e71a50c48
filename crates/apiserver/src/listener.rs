//! The way in from outside the process: TLS, who asks, limits.

use std::{convert::Infallible, pin::pin, sync::Arc, time::Duration};

use futures::future::{Either, select};
use http::{Extensions, HeaderMap, Request, Response, StatusCode, Version, header};
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
    service::TowerToHyperService,
};
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::service_fn;
use tower_http::{CompressionLevel, compression::Compression};

use crate::{
    auth::{User, certificate, verified},
    credentials::{self, Credentials},
    http::{Api, Body, Large, Limits, failure},
    status::Failure,
};

/// A client that is silent for so long is asked whether it is there, and has as long to answer.
const SILENCE: Duration = Duration::from_secs(30);
/// Time that open requests get when the server stops.
const PARTING: Duration = Duration::from_secs(5);
/// Pause after a failure to accept, which is mostly a lack of file descriptors.
const RELIEF: Duration = Duration::from_millis(100);

/// Lets those in who may come in.
#[derive(Clone)]
pub(crate) struct Gate {
    api: Api,
    tls: TlsAcceptor,
    /// Digest of the token, so that comparing takes the same time for any guess.
    token: [u8; 32],
    in_flight: Arc<Semaphore>,
    connections: Arc<Semaphore>,
}

impl Gate {
    pub(crate) fn new(api: Api, credentials: &Credentials) -> Result<Self, credentials::Error> {
        let limits = api.limits;
        Ok(Self {
            api,
            tls: TlsAcceptor::from(Arc::new(credentials.tls()?)),
            token: digest(credentials.token()),
            in_flight: Arc::new(Semaphore::new(limits.in_flight)),
            connections: Arc::new(Semaphore::new(limits.connections)),
        })
    }

    /// Accepts until told to stop, then waits for open requests for a while.
    pub(crate) async fn run(self, listener: TcpListener, stop: CancellationToken) {
        let tracker = TaskTracker::new();
        let (closing, ending) = (self.api.stop.clone(), stop.clone());
        let accepting = self.accept(&listener, &tracker, &stop);
        tokio::select! {
            () = ending.cancelled() => {}
            () = closing.cancelled() => {}
            () = accepting => {}
        }
        drop(listener);
        tracker.close();
        if tokio::time::timeout(PARTING, tracker.wait()).await.is_err() {
            tracing::warn!("some connections did not end in time");
        }
    }

    async fn accept(
        &self,
        listener: &TcpListener,
        tracker: &TaskTracker,
        stop: &CancellationToken,
    ) {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    let Ok(permit) = Arc::clone(&self.connections).try_acquire_owned() else {
                        continue;
                    };
                    let connection = self.clone().connection(stream, stop.clone());
                    tracker.spawn(async move {
                        connection.await;
                        drop(permit);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection cannot be accepted");
                    tokio::time::sleep(RELIEF).await;
                }
            }
        }
    }

    async fn connection(self, stream: TcpStream, stop: CancellationToken) {
        // Small answers must not wait for more.
        let _ = stream.set_nodelay(true);
        let handshake = tokio::time::timeout(self.api.limits.head, self.tls.accept(stream));
        let Ok(Ok(stream)) = handshake.await else {
            return;
        };
        let closing = self.api.stop.clone();
        let shown = stream.get_ref().1.peer_certificates();
        let shown = shown.and_then(|chain| certificate::user(chain.first()?));
        let builder = builder(&self.api.limits);
        let (gate, shown) = (Arc::new(self), shown.map(Arc::new));
        let service = service_fn(move |request| {
            let (gate, shown) = (Arc::clone(&gate), shown.clone());
            async move { Ok::<_, Infallible>(gate.answer(request, shown).await) }
        });
        let service = Compression::new(service)
            .quality(CompressionLevel::Fastest)
            .compress_when(is_large);
        let service = TowerToHyperService::new(service);
        let mut connection =
            pin!(builder.serve_connection_with_upgrades(TokioIo::new(stream), service));
        let parting = async {
            tokio::select! {
                () = stop.cancelled() => {}
                () = closing.cancelled() => {}
            }
        };
        let outcome = match select(connection.as_mut(), pin!(parting)).await {
            Either::Left((outcome, _)) => outcome,
            Either::Right(((), connection)) => {
                let mut connection = connection;
                connection.as_mut().graceful_shutdown();
                tokio::time::timeout(PARTING, connection)
                    .await
                    .unwrap_or(Ok(()))
            }
        };
        if let Err(error) = outcome {
            tracing::debug!(error, "a connection ended early");
        }
    }

    /// `shown` is whom the certificate of the client names.
    async fn answer(
        &self,
        mut request: Request<Incoming>,
        shown: Option<Arc<User>>,
    ) -> Response<Body> {
        let Some(user) = shown.or_else(|| self.known(request.headers())) else {
            return failure(&Failure::unauthorized());
        };
        request.extensions_mut().insert(user);
        let Ok(_permit) = self.in_flight.try_acquire() else {
            return failure(&Failure::too_many_requests());
        };
        self.api.respond(request).await
    }

    /// Whoever shows the administrator's token, or a service account's. Who shows no
    /// token is anonymous; who shows a wrong one is nobody.
    fn known(&self, headers: &HeaderMap) -> Option<Arc<User>> {
        let Some(token) = bearer(headers) else {
            return Some(Arc::new(User::anonymous()));
        };
        if same(&digest(token), &self.token) {
            return Some(User::admin());
        }
        let core = &self.api.core;
        let shown = verified(core, core.identity.get()?, token, &[], Timestamp::now());
        let shown = shown.inspect_err(|why| tracing::debug!(why, "a token is refused"));
        shown.ok().map(|shown| Arc::new(shown.user))
    }
}

fn builder(limits: &Limits) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_buf_size(limits.largest_head);
    let largest = u32::try_from(limits.largest_head).unwrap_or(u32::MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(SILENCE)
        .keep_alive_timeout(SILENCE)
        .max_header_list_size(largest);
    builder
}

fn is_large(_: StatusCode, _: Version, _: &HeaderMap, marks: &Extensions) -> bool {
    marks.get::<Large>().is_some()
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let shown = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = shown.trim().split_once(' ')?;
    let bearer = scheme.eq_ignore_ascii_case("bearer");
    Some(token.trim()).filter(|token| bearer && !token.is_empty())
}

fn digest(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

/// Compares without stopping at the first difference.
fn same(a: &[u8; 32], b: &[u8; 32]) -> bool {
    a.iter()
        .zip(b)
        .fold(0, |difference, (a, b)| difference | (a ^ b))
        == 0
}

#[cfg(test)]
mod tests;
