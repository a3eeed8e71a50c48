//! Answers on their way out.

use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt as _, stream};
use http::{HeaderValue, Response, header};
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::Frame;
use serde_json::Value;

use super::readers::Readers;
use crate::status::{Failure, Result};

/// The body of every answer.
pub(crate) type Body = UnsyncBoxBody<Bytes, std::io::Error>;

/// Lists up to this size are sent in one piece.
const ONE_PIECE: usize = 256 << 10;
/// The size of the pieces of larger ones: what is sent in small pieces costs sender and reader time.
const PIECE: usize = 64 << 10;
/// Larger answers are compressed for those who take that, as on any Kubernetes.
pub(crate) const LARGE: usize = 128 << 10;

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
    let pieces = readers.watched(stream::iter(pieces(frames)).map(Ok));
    let mut response = large("application/json", pieces);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(size));
    response
}

/// The same bytes in larger pieces, each made when it is asked for.
fn pieces(frames: Vec<Bytes>) -> impl Iterator<Item = Bytes> + Send {
    let mut frames = frames.into_iter().peekable();
    std::iter::from_fn(move || {
        let first = frames.next()?;
        if first.len() >= PIECE || frames.peek().is_none() {
            return Some(first);
        }
        let mut piece = BytesMut::with_capacity(PIECE);
        piece.extend_from_slice(&first);
        while let Some(next) = frames.next_if(|next| piece.len() + next.len() <= PIECE) {
            piece.extend_from_slice(&next);
        }
        Some(piece.freeze())
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_hold_the_same_bytes() {
        let sizes = [1, PIECE - 2, 1, 3, PIECE + 1, 7, PIECE, 0, 5];
        let frames: Vec<Bytes> = (0_u8..)
            .zip(sizes)
            .map(|(byte, size)| vec![byte; size].into())
            .collect();
        let found: Vec<Bytes> = pieces(frames.clone()).collect();
        assert_eq!(found.concat(), frames.concat());
        let sizes: Vec<usize> = found.iter().map(Bytes::len).collect();
        assert_eq!(sizes, [PIECE, 3, PIECE + 1, 7, PIECE, 5]);
    }
}
