//! Objects that parts of the program hand over as they are: what a request to apply or to create them
//! would do, without the text that one side writes and the other reads.

use std::{sync::Arc, time::Instant};

use choreo_writer::{Edition, Place, Writer};
use futures::{FutureExt as _, TryFutureExt as _, future::BoxFuture};
use http::Method;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::{Api, gatekeeper, metrics::Label, objects, path::Objects, query::Query};
use crate::{
    auth::User,
    object::meta_str,
    rest::{self, Call, Edit, Options, Outcome, Part},
    status::{Failure, Result},
};

/// Takes over what one part of the program writes.
pub(crate) struct Handed {
    api: Api,
    user: Arc<User>,
}

/// What is to be done with an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verb {
    Apply,
    ApplyStatus,
    Create,
}

impl Verb {
    /// How a request would say it.
    fn method(self) -> Method {
        match self {
            Self::Apply | Self::ApplyStatus => Method::PATCH,
            Self::Create => Method::POST,
        }
    }
}

impl Handed {
    pub(crate) fn new(api: Api, user: Arc<User>) -> Self {
        Self { api, user }
    }

    /// Does it, and counts it with the requests.
    async fn write(
        &self,
        verb: Verb,
        place: Place,
        manager: &str,
        object: Value,
    ) -> Result<Outcome, kube::Error> {
        let began = Instant::now();
        let path = path(verb, place, &object);
        let (method, query) = (verb.method(), Query::default());
        let done = self.take(verb, &path, manager, object).await;
        let code = match &done {
            Ok((_, created)) => 200 + u16::from(*created),
            Err(failure) => failure.code,
        };
        let kind = objects::served(&self.api.core, &path).ok();
        let label = Label {
            verb: gatekeeper::verb(&method, &query, &path),
            resource: kind.map(|kind| Arc::clone(kind.qualified())),
            code,
        };
        self.api.metrics.count(label, began.elapsed());
        done.map(|(outcome, _)| outcome)
            .map_err(|failure| told(&failure))
    }

    /// What was written, and whether there was none before.
    async fn take(
        &self,
        verb: Verb,
        path: &Objects,
        manager: &str,
        object: Value,
    ) -> Result<(Outcome, bool)> {
        let core = &*self.api.core;
        let (method, query) = (verb.method(), Query::default());
        gatekeeper::allow(core, &self.user, &method, &query, path)?;
        let kind = objects::served(core, path)?;
        let part = match verb {
            Verb::Apply | Verb::Create => Part::Main,
            Verb::ApplyStatus if kind.subresources.status => Part::Status,
            Verb::ApplyStatus => return Err(Failure::no_route()),
        };
        let options = Options {
            manager: manager.to_owned(),
            force: verb != Verb::Create,
            ..Options::default()
        };
        let mut call = Call {
            core,
            user: &self.user,
            kind: &kind,
            namespace: &path.namespace,
            name: &path.name,
            part,
            options: &options,
            now: Timestamp::now(),
            warnings: Vec::new(),
        };
        match verb {
            Verb::Apply | Verb::ApplyStatus => rest::update(&mut call, Edit::Apply(object)).await,
            Verb::Create => Ok((rest::create(&mut call, object).await?, true)),
        }
    }
}

impl Writer for Handed {
    fn apply(
        &self,
        place: Place,
        manager: &'static str,
        object: Value,
    ) -> BoxFuture<'_, Result<Edition, kube::Error>> {
        let written = self.write(Verb::Apply, place, manager, object);
        written
            .map(|outcome| edition(&outcome?).map_err(|failure| told(&failure)))
            .boxed()
    }

    fn apply_status(
        &self,
        place: Place,
        manager: &'static str,
        object: Value,
    ) -> BoxFuture<'_, Result<(), kube::Error>> {
        let written = self.write(Verb::ApplyStatus, place, manager, object);
        written.map_ok(drop).boxed()
    }

    fn create(
        &self,
        place: Place,
        manager: &'static str,
        object: Value,
    ) -> BoxFuture<'_, Result<(), kube::Error>> {
        let written = self.write(Verb::Create, place, manager, object);
        written.map_ok(drop).boxed()
    }
}

/// The path that a request would have.
fn path(verb: Verb, place: Place, object: &Value) -> Objects {
    let (name, subresource) = match verb {
        Verb::Apply => (meta_str(object, "name"), ""),
        Verb::ApplyStatus => (meta_str(object, "name"), "status"),
        Verb::Create => ("", ""),
    };
    Objects {
        group: place.resource.group,
        version: place.resource.version,
        plural: place.resource.plural,
        namespace: place.namespace,
        name: name.to_owned(),
        subresource: subresource.to_owned(),
        watch: false,
    }
}

fn edition(outcome: &Outcome) -> Result<Edition> {
    #[derive(Deserialize)]
    struct Object {
        metadata: Edition,
    }
    let object: Object = match outcome {
        Outcome::Stored(stored) => serde_json::from_slice(&stored.json()?),
        Outcome::Tree(tree) => Object::deserialize(tree),
    }
    .map_err(Failure::internal)?;
    Ok(object.metadata)
}

/// A failure as a client would tell it.
fn told(failure: &Failure) -> kube::Error {
    match serde_json::from_value(failure.to_value()) {
        Ok(status) => kube::Error::Api(status),
        Err(error) => kube::Error::SerdeError(error),
    }
}
