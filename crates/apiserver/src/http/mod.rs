//! The HTTP face of the server: one function from request to answer, whoever
//! carries it, a socket or the in-process client.

mod answer;
mod discovery;
pub(crate) mod form;
mod gatekeeper;
mod impersonate;
mod metrics;
mod negotiate;
mod objects;
mod options;
mod path;
mod query;
mod reviews;
mod streams;
mod websocket;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, header, request::Parts};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

pub(crate) use answer::{Body, failure};
use discovery::Shape;
pub(crate) use metrics::Metrics;
use path::Route;
use query::Query;
pub(crate) use reviews::verified;

use crate::{
    core::Core,
    openapi,
    registry::Catalog,
    resource::Resource,
    status::{Failure, Result},
};

/// The largest body that is read, as on any Kubernetes.
const LARGEST: usize = 3 << 20;

/// Commands in containers that run at once.
pub(crate) const SESSIONS: usize = 64;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Everything an answer needs.
#[derive(Clone)]
pub(crate) struct Api {
    pub(crate) core: Arc<Core>,
    /// Ends watches when the server closes.
    pub(crate) stop: CancellationToken,
    /// Bounds the commands that run at once.
    pub(crate) sessions: Arc<Semaphore>,
    pub(crate) metrics: Arc<Metrics>,
}

impl Api {
    /// Answers a request; failures are answers too.
    pub(crate) async fn respond<B>(&self, request: Request<B>) -> Response<Body>
    where
        B: hyper::body::Body<Data = Bytes> + Send,
        B::Error: Into<BoxError>,
    {
        let began = Instant::now();
        let (parts, body) = request.into_parts();
        let outcome = match read(body).await {
            Ok(bytes) => self.route(&parts, bytes).await,
            Err(problem) => Err(problem),
        };
        let answer = answer::of(outcome);
        self.count(&parts, answer.status().as_u16(), began.elapsed());
        answer
    }

    fn count(&self, parts: &Parts, code: u16, took: Duration) {
        let (mut verb, mut resource) = ("get", String::new());
        if let Route::Objects(objects) = Route::parse(parts.uri.path()) {
            let query = Query::parse(parts.uri.query().unwrap_or_default());
            verb = gatekeeper::verb(&parts.method, &query.unwrap_or_default(), &objects);
            let catalog = self.core.catalog();
            if let Some(kind) = catalog.find(&objects.group, &objects.version, &objects.plural) {
                resource = kind.qualified();
            }
        }
        let label = metrics::Label {
            verb,
            resource,
            code,
        };
        self.metrics.count(label, took);
    }

    async fn route(&self, parts: &Parts, body: Bytes) -> Result<Response<Body>> {
        let query = Query::parse(parts.uri.query().unwrap_or_default())?;
        let route = Route::parse(parts.uri.path());
        let core = &*self.core;
        let user = gatekeeper::user(core, parts)?;
        gatekeeper::authorize(core, &user, parts, &query, &route)?;
        if let Route::Objects(objects) = route {
            if let Some(answer) = reviews::answer(core, &user, parts, &objects, &body) {
                return answer;
            }
            if let Some(place) = objects.exec() {
                return streams::exec(self, parts, &query, place).await;
            }
            let from = objects::From {
                user: &user,
                parts,
                query: &query,
            };
            return objects::answer(self, from, objects, body).await;
        }
        if route == Route::Unknown {
            return Err(Failure::no_route());
        }
        if parts.method != Method::GET {
            return Err(Failure::method_not_allowed());
        }
        self.document(parts, &query, route)
    }

    /// Answers about the server itself.
    fn document(&self, parts: &Parts, query: &Query, route: Route) -> Result<Response<Body>> {
        let catalog = self.core.catalog();
        let found = |value: Option<Value>| {
            value
                .map(|value| answer::json(200, &value))
                .ok_or_else(Failure::no_route)
        };
        match route {
            Route::Version => Ok(answer::json(200, &version())),
            Route::Health => Ok(plain(health(parts.uri.path(), query))),
            Route::Metrics => Ok(plain(self.metrics.text(&self.core))),
            Route::CoreVersions => Ok(discover(parts, &catalog, true)),
            Route::Groups => Ok(discover(parts, &catalog, false)),
            Route::Group(group) => found(discovery::group(&catalog, &group)),
            Route::Resources { group, version } => {
                negotiate::plain_json(&parts.headers)?;
                found(discovery::resources(&catalog, &group, &version))
            }
            Route::OpenApiIndex => Ok(openapi_index(&catalog)),
            Route::OpenApi(path) => openapi_document(&catalog, query, &path),
            Route::Objects(_) | Route::Unknown => Err(Failure::no_route()),
        }
    }
}

fn plain(text: String) -> Response<Body> {
    answer::full(200, "text/plain; charset=utf-8", Bytes::from(text))
}

/// A server that answers at all has read its store, and refuses what it cannot write.
fn health(path: &str, query: &Query) -> String {
    if query.find("verbose").is_none() {
        return "ok".to_owned();
    }
    let name = path.trim_matches('/').split('/').next().unwrap_or_default();
    format!("[+]ping ok\n[+]storage ok\n{name} check passed\n")
}

async fn read<B>(body: B) -> Result<Bytes>
where
    B: hyper::body::Body<Data = Bytes> + Send,
    B::Error: Into<BoxError>,
{
    match Limited::new(body, LARGEST).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Failure::too_large(LARGEST)),
        Err(error) => Err(Failure::bad_request(format!(
            "the body cannot be read: {error}"
        ))),
    }
}

/// The version of Kubernetes whose API this is. Clients want plain numbers.
fn version() -> Value {
    json!({
        "major": "1", "minor": "32",
        "gitVersion": concat!("v1.32.4+choreo.", env!("CARGO_PKG_VERSION")),
        "gitCommit": "", "gitTreeState": "clean", "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "", "compiler": "rustc",
        "platform": concat!("linux/", "amd64"),
    })
}

fn discover(parts: &Parts, catalog: &Catalog, core: bool) -> Response<Body> {
    let shape = Shape::of(&parts.headers);
    let etag = format!("\"{}\"", catalog.hash(discovery::hash));
    if matches!(shape, Shape::Aggregated(_)) && unchanged(parts, &etag) {
        let mut response = answer::full(304, shape.content_type(), Bytes::new());
        tag(&mut response, &etag);
        return response;
    }
    let name = format!("{}{core}", shape.content_type());
    let bytes = catalog.document(&name, || {
        let value = match (shape, core) {
            (Shape::Aggregated(version), core) => discovery::aggregated(catalog, version, core),
            (Shape::Legacy, true) => discovery::core_versions(),
            (Shape::Legacy, false) => discovery::groups(catalog),
        };
        Bytes::from(value.to_string())
    });
    let mut response = answer::full(200, shape.content_type(), bytes);
    response
        .headers_mut()
        .insert(header::VARY, HeaderValue::from_static("Accept"));
    if matches!(shape, Shape::Aggregated(_)) {
        tag(&mut response, &etag);
    }
    response
}

fn unchanged(parts: &Parts, etag: &str) -> bool {
    parts
        .headers
        .get(header::IF_NONE_MATCH)
        .is_some_and(|value| value.as_bytes() == etag.as_bytes())
}

fn tag(response: &mut Response<Body>, etag: &str) {
    if let Ok(value) = HeaderValue::from_str(etag) {
        response.headers_mut().insert(header::ETAG, value);
    }
}

/// `/openapi/v3` names a document per group version, with a hash that clients cache by.
fn openapi_index(catalog: &Catalog) -> Response<Body> {
    let hash = catalog.hash(discovery::hash);
    let mut paths = serde_json::Map::new();
    for (group, versions) in catalog.groups() {
        for version in versions {
            let path = group_path(group, version);
            let url = format!("/openapi/v3/{path}?hash={hash}");
            paths.insert(path, json!({"serverRelativeURL": url}));
        }
    }
    answer::json(200, &json!({"paths": paths}))
}

fn group_path(group: &str, version: &str) -> String {
    if group.is_empty() {
        format!("api/{version}")
    } else {
        format!("apis/{group}/{version}")
    }
}

fn openapi_document(catalog: &Catalog, query: &Query, path: &str) -> Result<Response<Body>> {
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
    let hash = catalog.hash(discovery::hash);
    if query.find("hash").is_some_and(|asked| asked != hash) {
        let mut response = answer::full(301, "text/plain; charset=utf-8", Bytes::new());
        if let Ok(location) = HeaderValue::from_str(&format!("/openapi/v3/{path}?hash={hash}")) {
            response.headers_mut().insert(header::LOCATION, location);
        }
        return Ok(response);
    }
    let bytes = Bytes::from(openapi::document(path, &resources).to_string());
    let mut response = answer::full(200, "application/json", bytes);
    tag(&mut response, &format!("\"{hash}\""));
    if query.find("hash").is_some() {
        let forever = HeaderValue::from_static("public, immutable, max-age=31536000");
        response
            .headers_mut()
            .insert(header::CACHE_CONTROL, forever);
    }
    Ok(response)
}
