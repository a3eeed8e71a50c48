//! Requests, over HTTP of both versions and gRPC.

use std::{
    convert::Infallible,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use bytes::{BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header::CONTENT_TYPE};
use http_body_util::{BodyExt as _, Full, combinators::BoxBody};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    time,
};
use tokio_rustls::TlsAcceptor;

use crate::{Result, call};

/// The path that every request may start with.
const BASE: &str = "/base";
/// The path in front of those of requests that it is asked about.
const GUARD: &str = "/guard/";
/// The type of gRPC's requests and answers.
const GRPC: &str = "application/grpc";
/// How long `/slow` takes.
const SLOW: Duration = Duration::from_secs(3);

/// Whether the last request to `/flaky` failed.
static FAILED: AtomicBool = AtomicBool::new(false);

/// Answers what comes in plain text.
pub(crate) async fn plain(listener: TcpListener) -> Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(connection(stream, "plain text"));
    }
}

/// Answers what comes over TLS.
pub(crate) async fn secured(listener: TcpListener, acceptor: TlsAcceptor) -> Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        let accepting = acceptor.accept(stream);
        tokio::spawn(async move {
            // Who does not trust the certificate goes away.
            if let Ok(stream) = accepting.await {
                connection(stream, "TLS").await;
            }
        });
    }
}

async fn connection<S>(stream: S, over: &'static str)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service =
        service_fn(move |request| async move { Ok::<_, Infallible>(answer(request, over).await) });
    let builder = Builder::new(TokioExecutor::new());
    // Whoever does not wait for the answer does not get it.
    let _gone = builder
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

async fn answer(request: Request<Incoming>, over: &str) -> Response<BoxBody<Bytes, Infallible>> {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path_and_query().map_or("", |path| path.as_str());
    let path = path.strip_prefix(BASE).unwrap_or(path);
    let told = told(path, &parts, over);
    if header(&parts.headers, "content-type").starts_with(GRPC) {
        return call_answer(&told);
    }
    // All of it is taken in first: what a client sends is at times what is looked at.
    if body.collect().await.is_err() {
        return text(StatusCode::BAD_REQUEST, String::new());
    }
    match path {
        "/slow" => {
            time::sleep(SLOW).await;
            text(StatusCode::OK, told)
        }
        "/flaky" if !FAILED.fetch_xor(true, Ordering::SeqCst) => {
            text(StatusCode::SERVICE_UNAVAILABLE, "not now\n".to_owned())
        }
        path if path.starts_with(GUARD) => guard(&parts.headers),
        "/call" => {
            let called = call::call(header(&parts.headers, "x-call")).await;
            text(
                StatusCode::OK,
                called.unwrap_or_else(|error| format!("no answer: {error}\n")),
            )
        }
        _ => text(StatusCode::OK, told),
    }
}

/// Lets Ann pass, and says who she is.
fn guard(headers: &HeaderMap) -> Response<BoxBody<Bytes, Infallible>> {
    if header(headers, "x-user") != "ann" {
        return text(StatusCode::FORBIDDEN, "not you\n".to_owned());
    }
    let mut response = text(StatusCode::OK, String::new());
    let known = HeaderValue::from_static("ann");
    response.headers_mut().insert("x-consumer-id", known);
    response
}

fn text(status: StatusCode, body: String) -> Response<BoxBody<Bytes, Infallible>> {
    let mut response = Response::new(Full::from(body).boxed());
    *response.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain");
    response.headers_mut().insert(CONTENT_TYPE, plain);
    response
}

/// The one message of an answer, and the status that follows it: <https://grpc.io/docs/guides/wire.html>.
fn call_answer(told: &str) -> Response<BoxBody<Bytes, Infallible>> {
    let mut message = BytesMut::new();
    message.put_u8(0);
    message.put_u32(u32::try_from(told.len()).unwrap_or_default());
    message.put_slice(told.as_bytes());
    let mut status = HeaderMap::new();
    status.insert("grpc-status", HeaderValue::from_static("0"));
    let body = Full::from(message.freeze()).with_trailers(async { Some(Ok(status)) });
    let mut response = Response::new(body.boxed());
    let kind = HeaderValue::from_static(GRPC);
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

/// The request, in a line.
fn told(path: &str, request: &http::request::Parts, over: &str) -> String {
    let host = match request.uri.authority() {
        Some(authority) => authority.as_str(),
        None => header(&request.headers, "host"),
    };
    let names = ["x-consumer-id", "x-token-subject", "x-shop", "x-api-key"];
    let [consumer, subject, shop, key] = names.map(|name| header(&request.headers, name));
    let method = &request.method;
    format!(
        "{method} over {over} host={host} path={path} consumer={consumer} subject={subject} shop={shop} key={key}\n"
    )
}

fn header<'h>(headers: &'h HeaderMap, name: &str) -> &'h str {
    let value = headers.get(name).and_then(|value| value.to_str().ok());
    value.unwrap_or_default()
}
