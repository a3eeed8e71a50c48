//! The executor: carries decisions out, without a choice of its own.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use choreo_writer::{Cluster, Edition, Place};
use futures::future::join_all;
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, Preconditions};
use kube::core::GroupVersionKind;
use kube::{Client, Error};
use serde_json::{Value, json};

use crate::calls::Calls;
use crate::decision::{Decision, Event, Home, Write};
use crate::key::Key;
use crate::live::{self, LiveKey};
use crate::planes::Planes;
use crate::tell::Teller;
use crate::watch;

/// The only place with clients.
pub struct Executor {
    control: Cluster,
    planes: Planes,
    /// Types looked up on planes.
    types: Mutex<BTreeMap<(usize, String, String), ApiResource>>,
    teller: Teller,
    calls: Arc<dyn Calls>,
}

/// An object that was written to a plane.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) key: LiveKey,
    /// A hash of what was wanted.
    pub(crate) hash: u64,
    /// What changes when anything else comes to be wanted of it.
    pub(crate) edition: Edition,
}

/// What came of carrying out a decision.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// What was written to planes.
    pub(crate) written: Vec<Written>,
    /// What went wrong, in words for a condition.
    pub(crate) failures: Vec<String>,
    /// The object had changed meanwhile; trying again is all there is to do.
    pub(crate) stale: bool,
    /// What came of requests, by their identifiers.
    pub(crate) answers: Vec<(String, Result<u16, String>)>,
}

impl Executor {
    /// An executor with these clients.
    pub fn new(control: Cluster, planes: Planes, calls: Arc<dyn Calls>) -> Self {
        Self {
            teller: Teller::new(Arc::clone(&control.writer), control.client.clone()),
            control,
            planes,
            types: Mutex::default(),
            calls,
        }
    }

    /// Carries out the decision about `key`: every write, then the status if all succeeded. What
    /// the control plane refuses ends the writes there: a later one may name what was refused.
    pub(crate) async fn run(&self, key: &Key, mut decision: Decision) -> Outcome {
        let mut outcome = Outcome::default();
        for write in std::mem::take(&mut decision.writes) {
            let failures = outcome.failures.len();
            let is_named_later = matches!(
                write,
                Write::Apply {
                    home: Home::Control,
                    ..
                } | Write::Status { .. }
            );
            self.write(decision.manager, write, &mut outcome).await;
            if is_named_later && outcome.failures.len() > failures {
                break;
            }
        }
        if !outcome.failures.is_empty() || outcome.stale {
            return outcome;
        }
        self.report(key, decision, &mut outcome).await;
        outcome
    }

    /// Writes the status that a decision about `key` reports, and tells its events.
    pub(crate) async fn report(&self, key: &Key, decision: Decision, outcome: &mut Outcome) {
        if let Some(status) = decision.status {
            self.write_status(key, decision.manager, status, outcome)
                .await;
        }
        let uid = &decision.uid;
        let events = decision.events.into_iter();
        join_all(events.map(|event| self.tell(key, uid.as_deref(), event))).await;
    }

    async fn write_status(
        &self,
        key: &Key,
        manager: &'static str,
        status: Value,
        outcome: &mut Outcome,
    ) {
        let Some(resource) = platform_resource(key.kind) else {
            return;
        };
        let mut object = identity(&resource, &key.namespace, &key.name);
        object["status"] = status;
        let place = Place {
            resource,
            namespace: key.namespace.clone(),
        };
        let written = self.control.writer.apply_status(place, manager, object);
        match written.await {
            Ok(()) => {}
            Err(error) if is(&error, 404) => {}
            Err(error) => outcome.failures.push(format!("status: {}", words(&error))),
        }
    }

    async fn write(&self, manager: &'static str, write: Write, outcome: &mut Outcome) {
        match write {
            Write::Apply { home, object } => {
                self.apply(manager, home, object, outcome).await;
            }
            Write::Place { key, object, hash } => {
                let home = Home::Plane(key.home);
                let edition = self.apply(manager, home, object, outcome).await;
                outcome
                    .written
                    .extend(edition.map(|edition| Written { key, hash, edition }));
            }
            Write::Delete { home, object, uid } => self.delete(home, &object, &uid, outcome).await,
            Write::Status { key, status } => {
                self.write_status(&key, manager, status, outcome).await;
            }
            Write::Finalizers {
                key,
                version,
                finalizers,
            } => {
                self.set_finalizers(&key, &version, &finalizers, outcome)
                    .await;
            }
            Write::Call { id, request } => {
                let answer = self.calls.call(request).await;
                outcome.answers.push((id, answer));
            }
        }
    }

    /// The edition of an object that was applied, if it was.
    async fn apply(
        &self,
        manager: &'static str,
        home: Home,
        object: Value,
        outcome: &mut Outcome,
    ) -> Option<Edition> {
        let title = title(&object);
        let done = match self.place(home, &object).await {
            Ok((cluster, place)) => cluster.writer.apply(place, manager, object).await,
            Err(error) => Err(error),
        };
        match done {
            Ok(edition) => return Some(edition),
            // What is made in a namespace that goes would go with it. Deletions that tell of themselves
            // must not wait for that.
            Err(error) if home == Home::Control && is_terminating(&error) => {}
            // Somebody has created it in the meantime.
            Err(Error::Api(status)) if status.is_already_exists() => outcome.stale = true,
            Err(error) => outcome.failures.push(format!("{title}: {}", words(&error))),
        }
        None
    }

    async fn delete(&self, home: Home, object: &Value, uid: &str, outcome: &mut Outcome) {
        let preconditions = Preconditions {
            uid: (!uid.is_empty()).then(|| uid.to_owned()),
            resource_version: None,
        };
        let params = DeleteParams {
            preconditions: Some(preconditions),
            ..DeleteParams::background()
        };
        let done = match self.place(home, object).await {
            Ok((cluster, place)) => {
                let api = api(&cluster.client, &place.resource, &place.namespace);
                api.delete(name_of(object), &params).await.map(drop)
            }
            Err(error) => Err(error),
        };
        match done {
            Ok(()) => {}
            // Gone already, or another object of the same name.
            Err(error) if is(&error, 404) || is(&error, 409) => {}
            Err(error) => {
                outcome
                    .failures
                    .push(format!("deleting {}: {}", title(object), words(&error)));
            }
        }
    }

    async fn set_finalizers(
        &self,
        key: &Key,
        version: &str,
        finalizers: &[String],
        outcome: &mut Outcome,
    ) {
        let Some(resource) = platform_resource(key.kind) else {
            return;
        };
        let api = api(&self.control.client, &resource, &key.namespace);
        let patch = json!({ "metadata": { "resourceVersion": version, "finalizers": finalizers } });
        match api
            .patch_metadata(&key.name, &PatchParams::default(), &Patch::Merge(&patch))
            .await
        {
            Ok(_) => {}
            Err(error) if is(&error, 404) => {}
            Err(error) if is(&error, 409) => outcome.stale = true,
            Err(error) => outcome
                .failures
                .push(format!("finalizers: {}", words(&error))),
        }
    }

    /// Where an object is written.
    async fn place(&self, home: Home, object: &Value) -> Result<(&Cluster, Place), Error> {
        let (api_version, kind) = (text(&object["apiVersion"]), text(&object["kind"]));
        let (cluster, resource) = match home {
            Home::Control => {
                let known = || watch::known_type(api_version, kind);
                (&self.control, platform_resource(kind).or_else(known))
            }
            Home::Plane(plane) => {
                let cluster = self.planes.clusters().get(plane).unwrap_or(&self.control);
                let resource = self.lookup(plane, api_version, kind).await?;
                (cluster, Some(resource))
            }
        };
        let resource = resource.ok_or_else(|| Error::Discovery(missing(kind)))?;
        let place = Place {
            resource,
            namespace: text(&object["metadata"]["namespace"]).to_owned(),
        };
        Ok((cluster, place))
    }

    /// The type of objects on a plane; asked for once.
    async fn lookup(
        &self,
        plane: usize,
        api_version: &str,
        kind: &str,
    ) -> Result<ApiResource, Error> {
        if let Some(known) = watch::known_type(api_version, kind) {
            return Ok(known);
        }
        let place = (plane, api_version.to_owned(), kind.to_owned());
        let known = self
            .types
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&place)
            .cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        let cluster = self.planes.clusters().get(plane).unwrap_or(&self.control);
        let kind = gvk(api_version, kind);
        let (resource, _) = kube::discovery::pinned_kind(&cluster.client, &kind).await?;
        self.types
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(place, resource.clone());
        Ok(resource)
    }

    async fn tell(&self, key: &Key, uid: Option<&str>, event: Event) {
        if let Err(error) = self.teller.tell(key, uid, event).await {
            // The event log is a convenience; the conditions say the same.
            tracing::debug!(%key, error = words(&error), "an event was not recorded");
        }
    }
}

fn name_of(object: &Value) -> &str {
    text(&object["metadata"]["name"])
}

fn api(client: &Client, resource: &ApiResource, namespace: &str) -> Api<DynamicObject> {
    match namespace {
        "" => Api::all_with(client.clone(), resource),
        namespace => Api::namespaced_with(client.clone(), namespace, resource),
    }
}

fn missing(kind: &str) -> kube::error::DiscoveryError {
    kube::error::DiscoveryError::MissingKind(kind.to_owned())
}

pub(crate) fn gvk(api_version: &str, kind: &str) -> GroupVersionKind {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    GroupVersionKind::gvk(group, version, kind)
}

/// The type of a kind of the platform.
pub(crate) fn platform_resource(kind: &str) -> Option<ApiResource> {
    let row = choreo_model::find(kind)?;
    let gvk = GroupVersionKind::gvk(row.group, row.version, row.kind);
    Some(ApiResource::from_gvk_with_plural(&gvk, row.plural))
}

fn identity(resource: &ApiResource, namespace: &str, name: &str) -> Value {
    let mut metadata = json!({ "name": name });
    if !namespace.is_empty() {
        metadata["namespace"] = json!(namespace);
    }
    json!({ "apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata })
}

pub(crate) fn is(error: &Error, code: u16) -> bool {
    matches!(error, Error::Api(status) if status.code == code)
}

/// Whether the namespace of what was to be made is being deleted.
fn is_terminating(error: &Error) -> bool {
    const REASON: &str = "NamespaceTerminating";
    let Error::Api(status) = error else {
        return false;
    };
    let details = status.details.iter();
    let mut causes = details.flat_map(|details| &details.causes);
    causes.any(|cause| cause.reason == REASON)
}

/// An error in words for a person: what the API said, or the chain of causes.
pub(crate) fn words(error: &Error) -> String {
    if let Error::Api(status) = error {
        return status.message.clone();
    }
    let mut words = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let cause_words = cause.to_string();
        if !words.contains(&cause_words) {
            words = format!("{words}: {cause_words}");
        }
        source = cause.source();
    }
    words
}

fn title(object: &Value) -> String {
    let metadata = &object["metadata"];
    let place = (text(&metadata["namespace"]), text(&metadata["name"]));
    live::title(text(&object["kind"]), place)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
