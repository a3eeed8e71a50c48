//! What clients send as fuzz targets: everything of a request that is read before an object is looked
//! at, and frames of SPDY.

use std::str::FromStr as _;
use std::sync::LazyLock;

use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::{
    negotiate, options,
    path::{Objects, Route},
    query::Query,
    spdy::{Decoder, Frame, Violation},
};
use crate::{builtin, patch::Format, registry::Catalog, selector::Selector};

static CATALOG: LazyLock<Catalog> =
    LazyLock::new(|| Catalog::new(builtin::resources().into_iter().map(Into::into)));

/// `METHOD PATH?QUERY`, then headers in lines of their own, then an empty line and a body.
pub(crate) fn request(data: &[u8]) {
    let text = str::from_utf8(data).unwrap_or_default();
    let (head, body) = text.split_once("\n\n").unwrap_or((text, ""));
    let mut lines = head.lines();
    let first = lines.next().unwrap_or_default();
    let (method, target) = first.split_once(' ').unwrap_or(("GET", first));
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let headers = headers(lines);
    let route = Route::parse(path);
    assert_eq!(route, Route::parse(&format!("/{path}/")));
    let Ok(query) = Query::parse(query) else {
        return;
    };
    let objects = if let Route::Objects(objects) = route {
        objects
    } else {
        Objects {
            version: "v1".to_owned(),
            plural: "pods".to_owned(),
            ..Objects::default()
        }
    };
    let _ = objects.talk();
    let method = Method::from_str(method).unwrap_or(Method::GET);
    let _ = options::write(&method, &headers, &query);
    let _ = options::deletion(&headers, &query, body.as_bytes());
    let _ = (options::start(&query), options::watch_time(&query));
    let _ = negotiate::plain_json(&headers);
    for builtin in [true, false] {
        let format = negotiate::patch(&headers, builtin).unwrap_or(Format::Json);
        let _ = options::patch(format, &query);
        let _ = negotiate::patch_body(format, body.as_bytes());
    }
    let Some(kind) = CATALOG.find(&objects.group, &objects.version, &objects.plural) else {
        return;
    };
    let _ = negotiate::form(&headers, &query, kind);
    let (labels, fields) = (query.get("labelSelector"), query.get("fieldSelector"));
    if let Ok(selector) = Selector::parse(kind, labels, fields) {
        let _ = options::list(&query, selector);
    }
}

/// Frames in all the pieces they may come in.
pub(crate) fn spdy(data: &[u8]) {
    let whole = frames(data, data.len());
    for size in [1, 7, 1000] {
        assert_eq!(whole, frames(data, size));
    }
}

/// The frames of what comes in pieces of a size; data without where it was cut.
pub(crate) fn frames(data: &[u8], size: usize) -> (Vec<Frame>, Option<Violation>) {
    let (mut decoder, mut frames) = (Decoder::default(), Vec::new());
    for piece in data.chunks(size.max(1)) {
        decoder.push(piece);
        loop {
            match decoder.next() {
                Ok(Some(frame)) => join(&mut frames, frame),
                Ok(None) => break,
                Err(violation) => return (frames, Some(violation)),
            }
        }
    }
    (frames, None)
}

/// Adds a frame; data to the data before it.
pub(crate) fn join(frames: &mut Vec<Frame>, frame: Frame) {
    let start = match (frames.last(), &frame) {
        (
            Some(Frame::Data {
                stream: before,
                bytes,
                last: false,
            }),
            Frame::Data { stream, .. },
        ) if before == stream => Some(bytes.clone()),
        _ => None,
    };
    let Some(start) = start else {
        return frames.push(frame);
    };
    if let Frame::Data {
        stream,
        bytes,
        last,
    } = frame
    {
        let bytes = [start, bytes].concat().into();
        frames.pop();
        frames.push(Frame::Data {
            stream,
            bytes,
            last,
        });
    }
}

fn headers<'t>(lines: impl Iterator<Item = &'t str>) -> HeaderMap {
    let read = |line: &'t str| {
        let (name, value) = line.split_once(':')?;
        let name = HeaderName::from_str(name.trim()).ok()?;
        Some((name, HeaderValue::from_str(value.trim()).ok()?))
    };
    lines.filter_map(read).collect()
}
