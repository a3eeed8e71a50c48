//! The OpenAPI documents, as clients ask for them: by a hash they keep, in one of two
//! versions, in JSON or protobuf.

use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use http::{HeaderValue, Response, header, request::Parts};
use serde_json::json;

use super::{
    Api, answer,
    answer::Body,
    discovery,
    negotiate::{self, accepted},
    not_modified,
    query::Query,
    tag, unchanged,
};
use crate::{
    openapi::{self, version2},
    registry::{Catalog, Served},
    resource::Resource,
    status::{Failure, Result},
};

/// `/openapi/v3` names a document per group version, with a hash that clients cache by.
pub(super) fn index(catalog: &Catalog) -> Response<Body> {
    let mut paths = serde_json::Map::new();
    for (group, versions) in catalog.groups() {
        for version in versions {
            let path = group_path(group, version);
            let hash = hash(catalog, &path, &catalog.of(group, version));
            let url = format!("/openapi/v3/{path}?hash={hash}");
            paths.insert(path, json!({"serverRelativeURL": url}));
        }
    }
    answer::json(200, &json!({"paths": paths}))
}

/// The hash of the kinds of a path.
fn hash(catalog: &Catalog, path: &str, kinds: &[&Arc<Served>]) -> String {
    catalog.hash(path, || discovery::hash(kinds.iter().copied()))
}

/// The hash of everything.
pub(super) fn hash_of_all(catalog: &Catalog) -> String {
    catalog.hash("", || discovery::hash(catalog.all()))
}

fn group_path(group: &str, version: &str) -> String {
    if group.is_empty() {
        format!("api/{version}")
    } else {
        format!("apis/{group}/{version}")
    }
}

/// A document of version 3.
pub(super) fn document(
    api: &Api,
    catalog: &Catalog,
    parts: &Parts,
    query: &Query,
    path: &str,
) -> Result<Response<Body>> {
    let (group, version) = match path.split('/').collect::<Vec<_>>().as_slice() {
        ["api", version] => (String::new(), (*version).to_owned()),
        ["apis", group, version] => ((*group).to_owned(), (*version).to_owned()),
        _ => return Err(Failure::no_route()),
    };
    let kinds = catalog.of(&group, &version);
    if kinds.is_empty() {
        return Err(Failure::no_route());
    }
    let resources: Vec<&Resource> = kinds.iter().map(|kind| &*kind.resource).collect();
    let hash = hash(catalog, path, &kinds);
    if query.find("hash").is_some_and(|asked| asked != hash) {
        let mut response = answer::full(301, "text/plain; charset=utf-8", Bytes::new());
        if let Ok(location) = HeaderValue::from_str(&format!("/openapi/v3/{path}?hash={hash}")) {
            response.headers_mut().insert(header::LOCATION, location);
        }
        return Ok(response);
    }
    negotiate::plain_json(&parts.headers)?;
    let etag = format!("\"{hash}\"");
    let mut response = if unchanged(parts, &etag) {
        not_modified()
    } else {
        let whole = || vec![Bytes::from(openapi::document(path, &resources).to_string())];
        sent(api, JSON, catalog.shared(path, whole))
    };
    tag(&mut response, &etag);
    if query.find("hash").is_some() {
        let forever = HeaderValue::from_static("public, immutable");
        response
            .headers_mut()
            .insert(header::CACHE_CONTROL, forever);
    }
    Ok(response)
}

const JSON: &str = "application/json";
/// How clients ask for protobuf, and how it is called in the answer: `@` is not allowed there.
const ASKED: &str = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
const PROTOBUF: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";

/// The document of version 2: everything that is served in one. It is made in pieces when
/// it is asked for; clients keep it by its tag.
pub(super) fn everything(api: &Api, catalog: &Catalog, parts: &Parts) -> Result<Response<Body>> {
    let form = accepted(&parts.headers).iter().find_map(|entry| {
        Some(match entry.media {
            "application/json" | "application/*" | "*/*" => JSON,
            ASKED | PROTOBUF => PROTOBUF,
            _ => return None,
        })
    });
    let form = form.ok_or_else(Failure::not_acceptable)?;
    let etag = format!("\"{}\"", hash_of_all(catalog));
    let mut response = if unchanged(parts, &etag) {
        not_modified()
    } else {
        sent(
            api,
            form,
            catalog.shared(form, || everything_in(catalog, form)),
        )
    };
    tag(&mut response, &etag);
    Ok(response)
}

fn everything_in(catalog: &Catalog, form: &str) -> Vec<Bytes> {
    let mut groups = Vec::new();
    for (group, versions) in catalog.groups() {
        for version in versions {
            let kinds = catalog.of(group, version).into_iter();
            let kinds = kinds.map(|kind| &*kind.resource).collect();
            groups.push((group_path(group, version), kinds));
        }
    }
    match form {
        JSON => version2::json(&groups),
        _ => version2::protobuf(&groups),
    }
}

/// An answer in pieces that others may read at the same time.
fn sent(api: &Api, form: &'static str, document: Arc<[Bytes]>) -> Response<Body> {
    if let [small] = &*document
        && small.len() <= answer::LARGE
    {
        return answer::full(200, form, small.clone());
    }
    let pieces = (0..document.len()).filter_map(move |at| document.get(at).cloned());
    let pieces = api.readers.watched(stream::iter(pieces).map(Ok));
    answer::large(form, pieces)
}
