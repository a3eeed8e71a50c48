//! Requests about objects.

use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt as _;
use http::{HeaderMap, Method, Response, request::Parts};
use jiff::Timestamp;

use super::{
    Api, answer, answer::Body, form::Form, negotiate, options, path::Objects, query::Query,
};
use crate::{
    access::LogOptions,
    auth::User,
    core::Core,
    list,
    patch::{Format, Patch},
    registry::Served,
    rest::{self, Call, DeleteOptions, Deleted, Edit, Options, Outcome, Part, Unknown},
    selector::Selector,
    status::{Failure, Result, created, deleted},
    watch,
};

/// One request about objects, as far as it is understood.
struct Ask<'a> {
    api: &'a Api,
    user: &'a User,
    kind: Arc<Served>,
    method: Method,
    headers: &'a HeaderMap,
    query: &'a Query,
    path: Objects,
    body: Bytes,
}

/// A request whose sender is known, but for its path and body.
#[derive(Clone, Copy)]
pub(super) struct From<'a> {
    pub(super) user: &'a User,
    pub(super) parts: &'a Parts,
    pub(super) query: &'a Query,
}

pub(super) async fn answer(
    api: &Api,
    from: From<'_>,
    path: Objects,
    body: Bytes,
) -> Result<Response<Body>> {
    let From { user, parts, query } = from;
    let kind = served(&api.core, &path)?;
    let ask = Ask {
        api,
        user,
        kind,
        method: parts.method.clone(),
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

/// The kind of what a path names, if it may be where the path says.
pub(super) fn served(core: &Core, path: &Objects) -> Result<Arc<Served>> {
    let catalog = core.catalog();
    let kind = catalog.find(&path.group, &path.version, &path.plural);
    let kind = kind.ok_or_else(Failure::no_route)?;
    if (!kind.namespaced && !path.namespace.is_empty())
        || (kind.namespaced && path.namespace.is_empty() && !path.name.is_empty())
    {
        return Err(Failure::no_route());
    }
    Ok(Arc::clone(kind))
}

impl Ask<'_> {
    async fn dispatch(&self, method: &Method) -> Result<Response<Body>> {
        if self.path.name.is_empty() {
            return match *method {
                Method::GET if self.path.watch || self.query.flag("watch") => self.watch(),
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
            ("", _, _) | ("finalize", "", "namespaces") | ("ephemeralcontainers", "", "pods") => {}
            ("status", _, _) if self.kind.subresources.status => {}
            ("scale", _, _) if self.kind.subresources.scale.is_some() => {
                return self.scale(method).await;
            }
            ("log", "", "pods") => return self.log(method).await,
            ("eviction", "", "pods") => return self.evict(method).await,
            _ => return Err(Failure::no_route()),
        }
        match *method {
            Method::GET if self.path.watch => self.watch(),
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
        let wanted = list::parse_version(self.query.get("resourceVersion"))?;
        let committed = self.api.core.cache.version();
        if wanted > committed {
            return Err(Failure::version_too_large(wanted, committed));
        }
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
        if self.path.watch && !self.path.name.is_empty() {
            let one = format!("metadata.name={}", self.path.name);
            return Selector::parse(&self.kind, labels, &one);
        }
        Selector::parse(&self.kind, labels, fields)
    }

    fn list(&self) -> Result<Response<Body>> {
        let form = self.form()?;
        let query = options::list(self.query, self.selector()?)?;
        let page = list::list(&self.api.core, &self.kind, &self.path.namespace, &query)?;
        let frames = form.list(&self.kind, &page)?;
        Ok(answer::frames(&self.api.readers, frames))
    }

    fn watch(&self) -> Result<Response<Body>> {
        let query = watch::Query {
            selector: self.selector()?,
            start: options::start(self.query)?,
            bookmarks: self.query.flag("allowWatchBookmarks"),
            timeout: options::watch_time(self.query)?,
            form: self.form()?,
        };
        let permit = Arc::clone(&self.api.watches).try_acquire_owned();
        let permit = permit.map_err(|_| Failure::too_many_requests())?;
        let stop = self.api.stop.clone();
        let (core, namespace) = (&self.api.core, &self.path.namespace);
        let events = watch::watch(core, &self.kind, namespace, query, stop)?;
        let events = events.map(move |event| {
            let _held = &permit;
            Ok(event)
        });
        let events = self.api.readers.watched(events);
        Ok(answer::streamed("application/json", events))
    }

    fn options(&self) -> Result<Options> {
        options::write(&self.method, self.headers, self.query)
    }

    fn part(&self) -> Part {
        match self.path.subresource.as_str() {
            "status" => Part::Status,
            "finalize" => Part::Finalize,
            "ephemeralcontainers" => Part::EphemeralContainers,
            _ => Part::Main,
        }
    }

    fn call<'b>(&'b self, options: &'b Options) -> Call<'b> {
        Call {
            core: &self.api.core,
            user: self.user,
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
                Err(Failure::not_strict(call.kind, &texts))
            }
            Unknown::Warn => {
                call.warnings.extend(texts);
                Ok(())
            }
            Unknown::Refuse | Unknown::Ignore => Ok(()),
        }
    }

    fn written(
        &self,
        form: &Form,
        code: u16,
        call: &Call<'_>,
        outcome: Outcome,
    ) -> Result<Response<Body>> {
        let bytes = match outcome {
            Outcome::Stored(stored) => form.object(&self.kind, &stored)?,
            Outcome::Tree(object) => Bytes::from(form.tree(&self.kind, object).to_string()),
        };
        Ok(warned(answer::full(code, "application/json", bytes), call))
    }

    async fn create(&self) -> Result<Response<Body>> {
        let form = self.form()?;
        if self.kind.namespaced && self.path.namespace.is_empty() {
            return Err(Failure::method_not_allowed());
        }
        let options = self.options()?;
        let mut call = self.call(&options);
        let body = negotiate::object(self.headers, &self.body)?;
        Self::duplicates(&mut call, &body.duplicates)?;
        match rest::create(&mut call, body.value).await {
            Ok(outcome) => self.written(&form, 201, &call, outcome),
            Err(problem) => Ok(refused(&problem, &call)),
        }
    }

    async fn replace(&self) -> Result<Response<Body>> {
        let form = self.form()?;
        let options = self.options()?;
        let mut call = self.call(&options);
        let body = negotiate::object(self.headers, &self.body)?;
        Self::duplicates(&mut call, &body.duplicates)?;
        match rest::update(&mut call, Edit::Replace(body.value)).await {
            Ok((outcome, _)) => self.written(&form, 200, &call, outcome),
            Err(problem) => Ok(refused(&problem, &call)),
        }
    }

    async fn patch(&self) -> Result<Response<Body>> {
        let form = self.form()?;
        let options = self.options()?;
        let mut call = self.call(&options);
        match rest::update_anew(&mut call, |call| self.edit(call)).await {
            Ok((outcome, created)) => {
                self.written(&form, if created { 201 } else { 200 }, &call, outcome)
            }
            Err(problem) => Ok(refused(&problem, &call)),
        }
    }

    fn edit(&self, call: &mut Call<'_>) -> Result<Edit> {
        let format = negotiate::patch(self.headers, self.kind.builtin)?;
        options::patch(format, self.query)?;
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

    fn delete_options(&self) -> Result<(Options, DeleteOptions)> {
        let wanted = options::deletion(self.headers, self.query, &self.body)?;
        let mut options = self.options()?;
        options.dry_run |= wanted.dry_run;
        Ok((options, wanted))
    }

    async fn delete(&self) -> Result<Response<Body>> {
        let form = self.form()?;
        let (options, wanted) = self.delete_options()?;
        let mut call = self.call(&options);
        match rest::delete(&mut call, &wanted).await? {
            Deleted::Gone(stored) if returned(&self.kind) => {
                self.written(&form, 200, &call, Outcome::Stored(stored))
            }
            Deleted::Gone(stored) => {
                let status = deleted(&self.kind, &self.path.name, &stored.uid().to_string());
                Ok(warned(answer::json(200, &status), &call))
            }
            Deleted::Waiting(outcome) => self.written(&form, 200, &call, outcome),
        }
    }

    async fn delete_collection(&self) -> Result<Response<Body>> {
        let form = self.form()?;
        if self.kind.namespaced && self.path.namespace.is_empty() {
            return Err(Failure::method_not_allowed());
        }
        let (options, wanted) = self.delete_options()?;
        let mut call = self.call(&options);
        let query = options::list(self.query, self.selector()?)?;
        let page = list::list(&self.api.core, &self.kind, &self.path.namespace, &query)?;
        let objects = rest::delete_collection(&mut call, page.objects, &wanted).await?;
        let version = self.api.core.cache.version();
        let page = list::Page {
            version,
            objects,
            resume: None,
            remaining: None,
        };
        Ok(warned(
            answer::frames(&self.api.readers, form.list(&self.kind, &page)?),
            &call,
        ))
    }

    /// An eviction is a deletion that others may have a say in.
    async fn evict(&self, method: &Method) -> Result<Response<Body>> {
        if *method != Method::POST {
            return Err(Failure::method_not_allowed());
        }
        let eviction = negotiate::object(self.headers, &self.body)?.value;
        let wanted = options::deletion_of(&eviction["deleteOptions"], self.query)?;
        let mut options = self.options()?;
        options.dry_run |= wanted.dry_run;
        let mut call = self.call(&options);
        rest::delete(&mut call, &wanted).await?;
        Ok(warned(answer::json(201, &created()), &call))
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
            tail_lines: self.query.count("tailLines")?,
            previous: self.query.flag("previous"),
            timestamps: self.query.flag("timestamps"),
            since: self.query.seconds("sinceSeconds")?,
            since_time: text("sinceTime"),
            limit_bytes: self.query.count("limitBytes")?,
        };
        let stream = self.api.core.pods.logs(namespace, pod, options).await?;
        let stopped = self.api.stop.clone().cancelled_owned();
        Ok(answer::streamed("text/plain", stream.take_until(stopped)))
    }
}

/// Whether a deletion is answered by what was deleted instead of a word about it.
fn returned(kind: &Served) -> bool {
    let core = [
        "namespaces",
        "persistentvolumeclaims",
        "persistentvolumes",
        "pods",
        "podtemplates",
        "resourcequotas",
        "serviceaccounts",
        "services",
    ];
    let storage = [
        "csidrivers",
        "csinodes",
        "storageclasses",
        "volumeattachments",
    ];
    match kind.group.as_str() {
        "" => core.contains(&kind.plural.as_str()),
        "storage.k8s.io" => storage.contains(&kind.plural.as_str()),
        _ => false,
    }
}

/// A refusal, with what there is to warn of besides.
fn refused(problem: &Failure, call: &Call<'_>) -> Response<Body> {
    warned(answer::failure(problem), call)
}

fn warned(mut response: Response<Body>, call: &Call<'_>) -> Response<Body> {
    call.warnings
        .iter()
        .for_each(|text| answer::warn(&mut response, text));
    response
}
