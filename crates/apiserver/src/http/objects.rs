//! Requests about objects.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures::StreamExt as _;
use http::{HeaderMap, Method, Response, header, request::Parts};
use jiff::Timestamp;
use serde_json::Value;

use super::{Api, answer, answer::Body, form::Form, negotiate, path::Objects, query::Query};
use crate::{
    access::{LogOptions, PodError},
    list::{self, Match},
    patch::{Format, Patch},
    registry::Served,
    rest::{
        self, Call, DeleteOptions, Deleted, Edit, Options, Outcome, Part, Propagation, Unknown,
    },
    selector::Selector,
    status::{Failure, Result, deleted},
    watch::{self, Start},
};

/// A watch without a timeout of its own ends after half an hour to an hour.
const WATCH_LEAST: u64 = 1800;

/// One request about objects, as far as it is understood.
struct Ask<'a> {
    api: &'a Api,
    kind: Arc<Served>,
    headers: &'a HeaderMap,
    query: &'a Query,
    path: Objects,
    body: Bytes,
}

pub(super) async fn answer(
    api: &Api,
    parts: &Parts,
    query: &Query,
    path: Objects,
    body: Bytes,
) -> Result<Response<Body>> {
    let catalog = api.core.catalog();
    let kind = catalog.find(&path.group, &path.version, &path.plural);
    let kind = Arc::clone(kind.ok_or_else(Failure::no_route)?);
    if (!kind.namespaced && !path.namespace.is_empty())
        || (kind.namespaced && path.namespace.is_empty() && !path.name.is_empty())
    {
        return Err(Failure::no_route());
    }
    let ask = Ask {
        api,
        kind,
        headers: &parts.headers,
        query,
        path,
        body,
    };
    let mut response = ask.dispatch(&parts.method).await?;
    if let Some(warning) = &ask.kind.deprecation {
        answer::warn(&mut response, warning);
    }
    Ok(response)
}

impl Ask<'_> {
    async fn dispatch(&self, method: &Method) -> Result<Response<Body>> {
        if self.path.name.is_empty() {
            return match *method {
                Method::GET if self.query.flag("watch") => self.watch(),
                Method::GET => self.list(),
                Method::POST => self.create().await,
                Method::DELETE => self.delete_collection().await,
                _ => Err(Failure::method_not_allowed()),
            };
        }
        match (
            self.path.subresource.as_str(),
            &self.path.group[..],
            &self.path.plural[..],
        ) {
            ("", _, _) | ("finalize", "", "namespaces") => {}
            ("status", _, _) if self.kind.subresources.status => {}
            ("scale", _, _) if self.kind.subresources.scale.is_some() => {
                return self.scale(method).await;
            }
            ("log", "", "pods") => return self.log(method).await,
            _ => return Err(Failure::no_route()),
        }
        match *method {
            Method::GET => self.get(),
            Method::PUT => self.replace().await,
            Method::PATCH => self.patch().await,
            Method::DELETE if self.path.subresource.is_empty() => self.delete().await,
            _ => Err(Failure::method_not_allowed()),
        }
    }

    fn form(&self) -> Result<Form> {
        negotiate::form(self.headers, self.query, &self.kind)
    }

    fn get(&self) -> Result<Response<Body>> {
        let form = self.form()?;
        let stored = self
            .api
            .core
            .get(&self.kind, &self.path.namespace, &self.path.name)?;
        Ok(answer::full(
            200,
            "application/json",
            form.object(&self.kind, &stored)?,
        ))
    }

    fn selector(&self) -> Result<Selector> {
        let (labels, fields) = (
            self.query.get("labelSelector"),
            self.query.get("fieldSelector"),
        );
        Selector::parse(&self.kind, labels, fields)
    }

    fn list(&self) -> Result<Response<Body>> {
        let form = self.form()?;
        if self.query.find("sendInitialEvents").is_some() {
            let message = "Forbidden: sendInitialEvents is forbidden for list";
            return Err(Failure::invalid_options(
                "ListOptions",
                "sendInitialEvents",
                message,
            ));
        }
        let query = list::Query {
            selector: self.selector()?,
            limit: usize::try_from(self.query.number("limit")?.unwrap_or(0)).unwrap_or(usize::MAX),
            resume: self.query.get("continue").to_owned(),
            version: self.query.get("resourceVersion").to_owned(),
            matching: matching(self.query)?,
        };
        let page = list::list(&self.api.core, &self.kind, &self.path.namespace, &query)?;
        Ok(answer::frames(200, form.list(&self.kind, &page)?))
    }

    fn watch(&self) -> Result<Response<Body>> {
        let timeout = self
            .query
            .seconds("timeoutSeconds")?
            .filter(|timeout| !timeout.is_zero());
        let query = watch::Query {
            selector: self.selector()?,
            start: start(self.query)?,
            bookmarks: self.query.flag("allowWatchBookmarks"),
            timeout: timeout.unwrap_or_else(watch_time),
            form: self.form()?,
        };
        let stop = self.api.stop.clone();
        let (core, namespace) = (&self.api.core, &self.path.namespace);
        let events = watch::watch(core, &self.kind, namespace, query, stop)?;
        Ok(answer::streamed("application/json", events.map(Ok)))
    }

    fn options(&self) -> Result<Options> {
        if self
            .query
            .all("dryRun")
            .any(|value| value != "All" && !value.is_empty())
        {
            let message = "Unsupported value: supported values: \"All\"";
            return Err(Failure::invalid_options(
                "Options.meta.k8s.io",
                "dryRun",
                message,
            ));
        }
        let unknown = match self.query.get("fieldValidation") {
            "" | "Warn" => Unknown::Warn,
            "Ignore" => Unknown::Ignore,
            "Strict" => Unknown::Refuse,
            _ => {
                let message =
                    "Unsupported value: supported values: \"\", \"Ignore\", \"Strict\", \"Warn\"";
                let kind = "Options.meta.k8s.io";
                return Err(Failure::invalid_options(kind, "fieldValidation", message));
            }
        };
        Ok(Options {
            dry_run: self.query.get("dryRun") == "All",
            manager: self.manager(),
            unknown,
            force: self.query.flag("force"),
        })
    }

    /// Who writes: what the query says, or the program of the User-Agent.
    fn manager(&self) -> String {
        let given = self.query.get("fieldManager");
        if !given.is_empty() {
            return given.chars().take(128).collect();
        }
        let agent = self
            .headers
            .get(header::USER_AGENT)
            .and_then(|value| value.to_str().ok());
        let program = agent
            .and_then(|agent| agent.split('/').next())
            .unwrap_or_default();
        if program.is_empty() {
            "unknown".into()
        } else {
            program.chars().take(128).collect()
        }
    }

    fn part(&self) -> Part {
        match self.path.subresource.as_str() {
            "status" => Part::Status,
            "finalize" => Part::Finalize,
            _ => Part::Main,
        }
    }

    fn call<'b>(&'b self, options: &'b Options) -> Call<'b> {
        Call {
            core: &self.api.core,
            kind: &self.kind,
            namespace: &self.path.namespace,
            name: &self.path.name,
            part: self.part(),
            options,
            now: Timestamp::now(),
            warnings: Vec::new(),
        }
    }

    /// Fields given twice are refused or told, as the client wishes.
    fn duplicates(call: &mut Call<'_>, duplicates: &[String]) -> Result<()> {
        let texts = duplicates
            .iter()
            .map(|path| format!("duplicate field \"{path}\""));
        match call.options.unknown {
            Unknown::Refuse if !duplicates.is_empty() => {
                let texts: Vec<_> = texts.collect();
                Err(Failure::bad_request(format!(
                    "strict decoding error: {}",
                    texts.join(", ")
                )))
            }
            Unknown::Warn => {
                call.warnings.extend(texts);
                Ok(())
            }
            Unknown::Refuse | Unknown::Ignore => Ok(()),
        }
    }

    fn written(&self, code: u16, call: &Call<'_>, outcome: Outcome) -> Result<Response<Body>> {
        let form = self.form()?;
        let bytes = match outcome {
            Outcome::Stored(stored) => form.object(&self.kind, &stored)?,
            Outcome::Tree(object) => Bytes::from(form.tree(&self.kind, object).to_string()),
        };
        Ok(warned(answer::full(code, "application/json", bytes), call))
    }

    async fn create(&self) -> Result<Response<Body>> {
        self.form()?;
        if self.kind.namespaced && self.path.namespace.is_empty() {
            return Err(Failure::method_not_allowed());
        }
        let options = self.options()?;
        let mut call = self.call(&options);
        let body = negotiate::object(self.headers, &self.body)?;
        Self::duplicates(&mut call, &body.duplicates)?;
        let outcome = rest::create(&mut call, body.value).await?;
        self.written(201, &call, outcome)
    }

    async fn replace(&self) -> Result<Response<Body>> {
        self.form()?;
        let options = self.options()?;
        let mut call = self.call(&options);
        let body = negotiate::object(self.headers, &self.body)?;
        Self::duplicates(&mut call, &body.duplicates)?;
        let (outcome, _) = rest::update(&mut call, Edit::Replace(body.value)).await?;
        self.written(200, &call, outcome)
    }

    async fn patch(&self) -> Result<Response<Body>> {
        self.form()?;
        let options = self.options()?;
        let mut call = self.call(&options);
        let edit = self.edit(&mut call)?;
        let (outcome, created) = rest::update(&mut call, edit).await?;
        self.written(if created { 201 } else { 200 }, &call, outcome)
    }

    fn edit(&self, call: &mut Call<'_>) -> Result<Edit> {
        let format = negotiate::patch(self.headers, self.kind.builtin)?;
        let wrong = |field, message| {
            Err(Failure::invalid_options(
                "PatchOptions.meta.k8s.io",
                field,
                message,
            ))
        };
        if format == Format::Apply && self.query.get("fieldManager").is_empty() {
            return wrong(
                "fieldManager",
                "Required value: is required for apply patch",
            );
        }
        if format != Format::Apply && self.query.find("force").is_some() {
            return wrong(
                "force",
                "Forbidden: may not be specified for non-apply patch",
            );
        }
        let body = negotiate::patch_body(format, &self.body)?;
        Self::duplicates(call, &body.duplicates)?;
        match format {
            Format::Apply => Ok(Edit::Apply(body.value)),
            Format::Json | Format::Merge | Format::Strategic => {
                Patch::read(format, body.value).map(Edit::Patch)
            }
        }
    }

    async fn scale(&self, method: &Method) -> Result<Response<Body>> {
        let options = self.options()?;
        let mut call = self.call(&options);
        let edit = match *method {
            Method::GET => None,
            Method::PUT => Some(Edit::Replace(
                negotiate::object(self.headers, &self.body)?.value,
            )),
            Method::PATCH => Some(self.edit(&mut call)?),
            _ => return Err(Failure::method_not_allowed()),
        };
        let scale = match edit {
            None => rest::get_scale(&call)?,
            Some(edit) => rest::update_scale(&mut call, edit).await?,
        };
        Ok(warned(answer::json(200, &scale), &call))
    }

    fn delete_options(&self) -> Result<DeleteOptions> {
        let body = negotiate::optional(self.headers, &self.body)?;
        let text = |pointer: &str, query: &str| {
            let given = body.pointer(pointer).and_then(Value::as_str);
            given
                .or_else(|| self.query.find(query))
                .filter(|text| !text.is_empty())
                .map(str::to_owned)
        };
        let orphans = body.get("orphanDependents").and_then(Value::as_bool);
        let propagation = match text("/propagationPolicy", "propagationPolicy").as_deref() {
            None => orphans.map(|orphans| {
                if orphans {
                    Propagation::Orphan
                } else {
                    Propagation::Background
                }
            }),
            Some("Background") => Some(Propagation::Background),
            Some("Foreground") => Some(Propagation::Foreground),
            Some("Orphan") => Some(Propagation::Orphan),
            Some(_) => {
                let message = "Unsupported value: supported values: \"Foreground\", \"Background\", \"Orphan\"";
                let kind = "DeleteOptions.meta.k8s.io";
                return Err(Failure::invalid_options(kind, "propagationPolicy", message));
            }
        };
        let grace = body.get("gracePeriodSeconds").and_then(Value::as_i64);
        let grace = match grace {
            Some(grace) => Some(grace),
            None => self
                .query
                .number("gracePeriodSeconds")?
                .and_then(|grace| grace.try_into().ok()),
        };
        Ok(DeleteOptions {
            grace,
            propagation,
            uid: text("/preconditions/uid", ""),
            version: text("/preconditions/resourceVersion", ""),
        })
    }

    /// The options of a write; deletions may name a dry run in their body.
    fn options_of_deletion(&self) -> Result<Options> {
        let mut options = self.options()?;
        let body = negotiate::optional(self.headers, &self.body)?;
        options.dry_run |= body
            .pointer("/dryRun/0")
            .is_some_and(|value| value == "All");
        Ok(options)
    }

    async fn delete(&self) -> Result<Response<Body>> {
        self.form()?;
        let options = self.options_of_deletion()?;
        let mut call = self.call(&options);
        match rest::delete(&mut call, &self.delete_options()?).await? {
            Deleted::Gone(stored) => {
                let status = deleted(&self.kind, &self.path.name, &stored.head.uid);
                Ok(warned(answer::json(200, &status), &call))
            }
            Deleted::Waiting(outcome) => self.written(200, &call, outcome),
        }
    }

    async fn delete_collection(&self) -> Result<Response<Body>> {
        let form = self.form()?;
        if self.kind.namespaced && self.path.namespace.is_empty() {
            return Err(Failure::method_not_allowed());
        }
        let options = self.options_of_deletion()?;
        let mut call = self.call(&options);
        let query = list::Query {
            selector: self.selector()?,
            ..list::Query::default()
        };
        let page = list::list(&self.api.core, &self.kind, &self.path.namespace, &query)?;
        let wanted = self.delete_options()?;
        let objects = rest::delete_collection(&mut call, page.objects, &wanted).await?;
        let version = self.api.core.cache.version();
        let page = list::Page {
            version,
            objects,
            resume: None,
            remaining: None,
        };
        Ok(warned(
            answer::frames(200, form.list(&self.kind, &page)?),
            &call,
        ))
    }

    async fn log(&self, method: &Method) -> Result<Response<Body>> {
        if *method != Method::GET {
            return Err(Failure::method_not_allowed());
        }
        let (namespace, pod) = (&self.path.namespace, &self.path.name);
        self.api.core.get(&self.kind, namespace, pod)?;
        let text = |key| {
            self.query
                .find(key)
                .filter(|text| !text.is_empty())
                .map(str::to_owned)
        };
        let options = LogOptions {
            container: text("container"),
            follow: self.query.flag("follow"),
            tail_lines: self.query.number("tailLines")?,
            previous: self.query.flag("previous"),
            timestamps: self.query.flag("timestamps"),
            since: self.query.seconds("sinceSeconds")?,
            since_time: text("sinceTime"),
            limit_bytes: self.query.number("limitBytes")?,
        };
        let stream = self.api.core.pods.logs(namespace, pod, options).await;
        let stream = stream.map_err(|error| match error {
            PodError::NotFound(why) => Failure::missing(why),
            PodError::BadRequest(why) => Failure::bad_request(why),
            PodError::Internal(why) => Failure::internal(why),
        })?;
        let stopped = self.api.stop.clone().cancelled_owned();
        Ok(answer::streamed("text/plain", stream.take_until(stopped)))
    }
}

fn warned(mut response: Response<Body>, call: &Call<'_>) -> Response<Body> {
    call.warnings
        .iter()
        .for_each(|text| answer::warn(&mut response, text));
    response
}

/// Spread, so that many watches do not all come back at once.
fn watch_time() -> Duration {
    use rand::RngExt as _;
    Duration::from_secs(rand::rng().random_range(WATCH_LEAST..2 * WATCH_LEAST))
}

fn matching(query: &Query) -> Result<Option<Match>> {
    match query.get("resourceVersionMatch") {
        "" => Ok(None),
        "NotOlderThan" => Ok(Some(Match::NotOlderThan)),
        "Exact" => Ok(Some(Match::Exact)),
        _ => {
            let message = "Unsupported value: supported values: \"Exact\", \"NotOlderThan\", \"\"";
            Err(Failure::invalid_options(
                "ListOptions",
                "resourceVersionMatch",
                message,
            ))
        }
    }
}

/// Where a watch begins.
fn start(query: &Query) -> Result<Start> {
    let forbidden = |field, message| Err(Failure::invalid_options("ListOptions", field, message));
    let matching = matching(query)?;
    let version = list::parse_version(query.get("resourceVersion"))?;
    match query.find("sendInitialEvents") {
        None if matching.is_some() => forbidden(
            "resourceVersionMatch",
            "Forbidden: resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
        ),
        Some(_) if matching != Some(Match::NotOlderThan) => forbidden(
            "resourceVersionMatch",
            "Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
        ),
        Some(_) if query.flag("sendInitialEvents") && !query.flag("allowWatchBookmarks") => {
            forbidden(
                "sendInitialEvents",
                "Forbidden: sendInitialEvents requires setting allowWatchBookmarks to true",
            )
        }
        Some(_) if query.flag("sendInitialEvents") => Ok(Start::Initial),
        Some(_) if version == 0 => Ok(Start::Fresh),
        None if version == 0 => Ok(Start::Now),
        _ => Ok(Start::After(version)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(query: &str, expected: Option<Start>) {
        let query = Query::parse(query).unwrap();
        assert_eq!(start(&query).ok(), expected, "{query:?}");
    }

    #[test]
    fn watches_begin_where_asked() {
        check("watch=1", Some(Start::Now));
        check("resourceVersion=0", Some(Start::Now));
        check("resourceVersion=7", Some(Start::After(7)));
        check("sendInitialEvents=true", None);
        check("resourceVersionMatch=NotOlderThan", None);
        check(
            "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true",
            Some(Start::Initial),
        );
        check("resourceVersion=x", None);
    }

    #[test]
    fn matches_are_checked() {
        let query = Query::parse("resourceVersionMatch=Sometimes").unwrap();
        assert_eq!(matching(&query).unwrap_err().code, 422);
    }
}
