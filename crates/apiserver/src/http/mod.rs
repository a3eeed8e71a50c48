//! The HTTP face of the server: one function from request to answer, whoever
//! carries it, a socket or the in-process client.

mod answer;
mod discovery;
pub(crate) mod form;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod gatekeeper;
mod handed;
mod impersonate;
mod limits;
mod metrics;
mod negotiate;
mod objects;
mod openapi;
mod options;
mod path;
mod query;
mod readers;
mod reviews;
mod spdy;
mod streams;
mod tokens;
mod websocket;

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, header, request::Parts};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

pub(crate) use answer::{Body, Large, failure};
use discovery::Shape;
pub(crate) use handed::Handed;
pub(crate) use limits::Limits;
pub(crate) use metrics::Metrics;
use path::Route;
use query::Query;
use readers::Readers;

use crate::{
    core::Core,
    registry::Catalog,
    status::{Failure, Result},
};

/// Major, minor and patch version.
const KUBERNETES: [&str; 3] = ["1", "34", "4"];

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Everything an answer needs.
#[derive(Clone)]
pub(crate) struct Api {
    pub(crate) core: Arc<Core>,
    /// Ends watches when the server closes.
    pub(crate) stop: CancellationToken,
    pub(crate) limits: Limits,
    /// Bounds the commands that run at once.
    pub(crate) sessions: Arc<Semaphore>,
    /// Bounds the watches that are open at once.
    pub(crate) watches: Arc<Semaphore>,
    pub(crate) readers: Arc<Readers>,
    pub(crate) metrics: Arc<Metrics>,
}

impl Api {
    pub(crate) fn new(core: Arc<Core>, stop: CancellationToken, limits: Limits) -> Self {
        Self {
            core,
            stop,
            limits,
            sessions: Arc::new(Semaphore::new(limits.sessions)),
            watches: Arc::new(Semaphore::new(limits.watches)),
            readers: Arc::default(),
            metrics: Arc::default(),
        }
    }

    /// Answers a request; failures are answers too.
    pub(crate) async fn respond<B>(&self, request: Request<B>) -> Response<Body>
    where
        B: hyper::body::Body<Data = Bytes> + Send,
        B::Error: Into<BoxError>,
    {
        let began = Instant::now();
        let (parts, body) = request.into_parts();
        let route = Route::parse(parts.uri.path());
        let query = Query::parse(parts.uri.query().unwrap_or_default());
        let (verb, resource) = self.label(&parts, query.as_ref().ok(), &route);
        let answer = match query {
            Ok(query) => answer::of(self.route(&parts, query, route, body).await),
            Err(problem) => failure(&problem),
        };
        let label = metrics::Label {
            verb,
            resource,
            code: answer.status().as_u16(),
        };
        self.metrics.count(label, began.elapsed());
        answer
    }

    /// As what a request is counted.
    fn label(
        &self,
        parts: &Parts,
        query: Option<&Query>,
        route: &Route,
    ) -> (&'static str, Option<Arc<str>>) {
        let Route::Objects(objects) = route else {
            return ("get", None);
        };
        let none = Query::default();
        let verb = gatekeeper::verb(&parts.method, query.unwrap_or(&none), objects);
        let catalog = self.core.catalog();
        let kind = catalog.find(&objects.group, &objects.version, &objects.plural);
        (verb, kind.map(|kind| Arc::clone(kind.qualified())))
    }

    async fn route<B>(
        &self,
        parts: &Parts,
        query: Query,
        route: Route,
        body: B,
    ) -> Result<Response<Body>>
    where
        B: hyper::body::Body<Data = Bytes> + Send,
        B::Error: Into<BoxError>,
    {
        let core = &*self.core;
        let user = gatekeeper::user(core, parts)?;
        gatekeeper::authorize(core, &user, parts, &query, &route)?;
        // Only now, so that nothing is kept for those who may not.
        let body = read(body, &self.limits).await?;
        if let Route::Objects(objects) = route {
            if let Some(answer) = reviews::answer(core, &user, parts, &objects, &body) {
                return answer;
            }
            if let Some(talk) = objects.talk() {
                return streams::answer(self, parts, &query, talk).await;
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
        let can_be_looked_at = !matches!(
            route,
            Route::Version | Route::Group(_) | Route::Resources { .. }
        );
        match parts.method {
            Method::GET => {}
            Method::HEAD if can_be_looked_at => {}
            _ => return Err(Failure::method_not_allowed()),
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
            Route::Issuer => tokens::issuer(&self.core),
            Route::Keys => tokens::keys(&self.core),
            Route::CoreVersions => discover(parts, &catalog, true),
            Route::Groups => discover(parts, &catalog, false),
            Route::Group(group) => found(discovery::group(&catalog, &group)),
            Route::Resources { group, version } => {
                negotiate::plain_json(&parts.headers)?;
                found(discovery::resources(&catalog, &group, &version))
            }
            Route::OpenApi2 => openapi::everything(self, &catalog, parts),
            Route::OpenApiIndex => Ok(openapi::index(&catalog)),
            Route::OpenApi(path) => openapi::document(self, &catalog, parts, query, &path),
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

async fn read<B>(body: B, limits: &Limits) -> Result<Bytes>
where
    B: hyper::body::Body<Data = Bytes> + Send,
    B::Error: Into<BoxError>,
{
    let reading = Limited::new(body, limits.largest).collect();
    let Ok(read) = tokio::time::timeout(limits.body, reading).await else {
        return Err(Failure::timeout("the body did not arrive in time"));
    };
    match read {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Failure::too_large(limits.largest)),
        Err(error) => Err(Failure::bad_request(format!(
            "the body cannot be read: {error}"
        ))),
    }
}

/// The version of Kubernetes whose API this is: the one that its answers are compared with. Clients
/// want plain numbers.
fn version() -> Value {
    let [major, minor, _] = KUBERNETES;
    let version = KUBERNETES.join(".");
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    json!({
        "major": major, "minor": minor,
        "gitVersion": format!("v{version}+choreo.{}", env!("CARGO_PKG_VERSION")),
        "gitCommit": "", "gitTreeState": "clean", "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "", "compiler": "rustc",
        "platform": format!("linux/{architecture}"),
    })
}

fn discover(parts: &Parts, catalog: &Catalog, core: bool) -> Result<Response<Body>> {
    let shape = Shape::of(&parts.headers);
    if shape == Shape::Legacy && !negotiate::takes_json(&parts.headers) {
        return Err(Failure::not_acceptable());
    }
    let etag = format!("\"{}\"", openapi::hash_of_all(catalog));
    if matches!(shape, Shape::Aggregated(_)) && unchanged(parts, &etag) {
        let mut response = not_modified();
        tag(&mut response, &etag);
        share(&mut response);
        return Ok(response);
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
        share(&mut response);
    }
    Ok(response)
}

fn unchanged(parts: &Parts, etag: &str) -> bool {
    parts
        .headers
        .get(header::IF_NONE_MATCH)
        .is_some_and(|value| value.as_bytes() == etag.as_bytes())
}

/// What the client keeps is still true.
fn not_modified() -> Response<Body> {
    let mut response = answer::full(304, "", Bytes::new());
    response.headers_mut().remove(header::CONTENT_TYPE);
    response
}

/// Says that a document is the same for everybody.
fn share(response: &mut Response<Body>) {
    let public = HeaderValue::from_static("public");
    response.headers_mut().insert(header::CACHE_CONTROL, public);
}

/// Marks a document that clients keep, in the form they accept.
fn tag(response: &mut Response<Body>, etag: &str) {
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(etag) {
        headers.insert(header::ETAG, value);
    }
    headers.insert(header::VARY, HeaderValue::from_static("Accept"));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the server calls itself is what it was compared with.
    #[test]
    fn the_version_is_that_of_the_oracle() {
        let script = include_str!("../../../../tests/oracle/oracle");
        let compared = script
            .lines()
            .find_map(|line| line.strip_prefix("version="));
        assert_eq!(compared, Some(KUBERNETES.join(".").as_str()));
    }
}
