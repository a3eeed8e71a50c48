//! Answers on their way out.

use bytes::Bytes;
use futures::{Stream, StreamExt as _, stream};
use http::{HeaderValue, Response, header};
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::Frame;
use serde_json::Value;

use super::readers::Readers;
use crate::status::{Failure, Result};

/// The body of every answer.
pub(crate) type Body = UnsyncBoxBody<Bytes, std::io::Error>;

/// Lists up to this size are sent in one piece, with their length.
const ONE_PIECE: usize = 256 << 10;
/// Larger answers are compressed for those who take that, as on any Kubernetes.
const LARGE: usize = 128 << 10;

/// Marks an answer that is worth compressing. Watches are not: each event is to leave at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Large;

pub(crate) fn full(code: u16, content_type: &'static str, bytes: Bytes) -> Response<Body> {
    let large = bytes.len() > LARGE;
    let body = Full::new(bytes)
        .map_err(|never| match never {})
        .boxed_unsync();
    let mut response = answer(code, content_type, body);
    if large {
        response.extensions_mut().insert(Large);
    }
    response
}

pub(crate) fn json(code: u16, value: &Value) -> Response<Body> {
    full(code, "application/json", Bytes::from(value.to_string()))
}

pub(crate) fn frames(readers: &Readers, frames: Vec<Bytes>) -> Response<Body> {
    let size: usize = frames.iter().map(Bytes::len).sum();
    if size <= ONE_PIECE {
        return full(200, "application/json", Bytes::from(frames.concat()));
    }
    let frames = readers.watched(stream::iter(frames).map(Ok));
    large("application/json", frames)
}

/// An answer that is too large for one piece.
pub(crate) fn large(
    content_type: &'static str,
    frames: impl Stream<Item = std::io::Result<Bytes>> + Send + 'static,
) -> Response<Body> {
    let mut response = streamed(content_type, frames);
    response.extensions_mut().insert(Large);
    response
}

pub(crate) fn streamed(
    content_type: &'static str,
    frames: impl Stream<Item = std::io::Result<Bytes>> + Send + 'static,
) -> Response<Body> {
    let body = StreamBody::new(frames.map(|bytes| bytes.map(Frame::data))).boxed_unsync();
    answer(200, content_type, body)
}

fn answer(code: u16, content_type: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() =
        http::StatusCode::from_u16(code).unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static("no-cache, private"),
    );
    response
}

/// The answer to a request that failed.
pub(crate) fn failure(failure: &Failure) -> Response<Body> {
    let mut response = json(failure.code, &failure.to_value());
    if let Some(seconds) = failure.retry_after() {
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

pub(crate) fn of(result: Result<Response<Body>>) -> Response<Body> {
    result.unwrap_or_else(|problem| failure(&problem))
}

/// Adds a warning for whoever asked.
pub(crate) fn warn(response: &mut Response<Body>, text: &str) {
    let quoted: String = text
        .chars()
        .filter(|c| !c.is_control())
        .flat_map(|c| {
            matches!(c, '"' | '\\')
                .then_some('\\')
                .into_iter()
                .chain([c])
        })
        .collect();
    // Warnings quote what people wrote, which need not be ASCII.
    if let Ok(value) = HeaderValue::from_bytes(format!("299 - \"{quoted}\"").as_bytes()) {
        response.headers_mut().append(header::WARNING, value);
    }
}
