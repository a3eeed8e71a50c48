//! Decisions: pure functions of the index, one module per kind that holds logic.

mod api;
mod author;
mod automatic;
mod component;
mod component_binding;
mod component_input;
mod consumed;
mod environment;
mod events;
mod external_connection;
mod gate;
mod gone;
mod history;
mod line;
mod observability;
mod organization;
mod pipeline;
mod plane;
mod preview;
mod project;
mod project_binding;
mod promotion;
mod quota;
mod readiness;
mod rendered;
mod rendering;
mod resource;
mod resource_binding;
mod retention;
mod surplus;
#[cfg(test)]
mod tests;
mod track;

use std::cell::RefCell;

use choreo_model::conditions;
use choreo_model::external::ExternalConnectionSpec;
use choreo_model::track::DeploymentTrackSpec;
use choreo_model::{Object, Spec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

use self::line::Line;
use crate::decision::{Decision, Event, Home, Write};
use crate::index::Index;
use crate::key::Key;
use crate::material;
use crate::table::key_of;
use crate::tables::{Kept, kind_in};
use crate::view::View;

pub(crate) use rendered::types_of;

/// What to do about the object of `key`.
pub fn decide(index: &Index, key: &Key, now: Timestamp) -> Decision {
    let view = View::new(index);
    let context = Context {
        view: &view,
        key,
        now: Time(now),
        events: RefCell::default(),
    };
    let mut decision = match key.kind {
        "Project" => project::decide(&context),
        "Component" => component::decide(&context),
        "API" => api::decide(&context),
        "DeploymentTrack" => track::decide(&context),
        "ReleaseBinding" => component_binding::decide(&context),
        "ProjectReleaseBinding" => project_binding::decide(&context),
        "Resource" => resource::decide(&context),
        "ResourceReleaseBinding" => resource_binding::decide(&context),
        "Organization" => organization::decide(&context),
        "DeploymentRecord" => history::decide(&context),
        "RenderedRelease" => rendered::decide(&context),
        "Environment" => environment::decide(&context),
        "PreviewEnvironment" => preview::decide(&context),
        "Promotion" => promotion::decide(&context),
        "DeploymentPipeline" => pipeline::decide(&context),
        "DataPlane" | "ClusterDataPlane" => plane::data(&context),
        "WorkflowPlane" | "ClusterWorkflowPlane" => plane::workflow(&context),
        "ObservabilityPlane" | "ClusterObservabilityPlane" => plane::observability(&context),
        ExternalConnectionSpec::KIND if index.tables.uid(key).is_some() => {
            external_connection::decide(&context)
        }
        kind if !material::users(kind).is_empty() && index.tables.uid(key).is_none() => {
            return gone::decide(&context);
        }
        // Types, traits, workloads, workflows, releases and secret references are read, never acted
        // on.
        _ => Decision::default(),
    };
    decision.events.extend(events::of_writes(&decision.writes));
    if decision.status.is_some() {
        decision.events.extend(context.events.take());
    }
    decision.uid = index.tables.uid(key).map(str::to_owned);
    decision.reads = view.into_reads();
    decision
}

/// Gives an object of the platform that is being created the finalizer that its controller would give it
/// before anything else. Where the API does so at its door, as clusters do for volumes, each object is
/// written and decided about once less.
pub fn hold_from_the_beginning(kind: &str, object: &mut Value) {
    let Some(finalizer) = held(kind) else {
        return;
    };
    let Some(metadata) = object["metadata"].as_object_mut() else {
        return;
    };
    let finalizers = metadata.entry("finalizers").or_insert_with(|| json!([]));
    if let Some(finalizers) = finalizers.as_array_mut()
        && !finalizers.iter().any(|one| one == finalizer)
    {
        finalizers.push(json!(finalizer));
    }
}

/// The finalizer of a kind all of whose objects are held, and let go, by their controller.
fn held(kind: &str) -> Option<&'static str> {
    match kind {
        "Organization"
        | "Project"
        | "Component"
        | "DeploymentTrack"
        | "API"
        | "ReleaseBinding"
        | "ProjectReleaseBinding"
        | "Resource"
        | "ResourceReleaseBinding"
        | "Environment"
        | "PreviewEnvironment"
        | "Promotion"
        | "DeploymentPipeline"
        | "DataPlane"
        | "ClusterDataPlane"
        | "WorkflowPlane"
        | "ClusterWorkflowPlane"
        | "ObservabilityPlane"
        | "ClusterObservabilityPlane" => choreo_model::find(kind)?.finalizer,
        _ => None,
    }
}

/// A component frozen as it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Release {
    /// The release's name, which its content gives it.
    pub name: String,
    /// The `ComponentRelease`.
    pub object: Value,
}

/// The release of the component or track of `key` as the index knows it: the same that its controller
/// makes by itself with autoDeploy.
pub fn release(index: &Index, key: &Key) -> Result<Release, Obstacle> {
    let view = View::new(index);
    let context = Context {
        view: &view,
        key,
        now: Time(Timestamp::UNIX_EPOCH),
        events: RefCell::default(),
    };
    let reason = conditions::reasons::COMPONENT_NOT_FOUND;
    let (namespace, name) = (key.namespace.as_str(), key.name.as_str());
    let line = if key.kind == DeploymentTrackSpec::KIND {
        track::line(&context, context.find(namespace, name, reason)?)?
    } else {
        Line::main(context.find(namespace, name, reason)?)
    };
    line::release(&context, &line)
}

/// Everything a decision may look at.
struct Context<'a> {
    view: &'a View<'a>,
    key: &'a Key,
    now: Time,
    /// What the conditions tell that they did not tell before.
    events: RefCell<Vec<Event>>,
}

/// Why an object is not as wanted yet.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Obstacle {
    /// The reason of a condition.
    pub reason: &'static str,
    /// What is in the way, for a person.
    pub message: String,
}

impl Obstacle {
    fn new(reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
        }
    }
}

impl<'a> Context<'a> {
    /// An object that must be there; `reason` tells that it is not.
    fn find<T: Kept>(
        &self,
        namespace: &str,
        name: &str,
        reason: &'static str,
    ) -> Result<&'a Object<T>, Obstacle> {
        self.view.get(namespace, name).ok_or_else(|| {
            let kind = kind_in::<T>(namespace);
            Obstacle::new(reason, format!("{kind} \"{name}\" not found"))
        })
    }

    fn namespace(&self) -> &str {
        &self.key.namespace
    }

    /// The conditions `new` of `object`, with the times of those that stay as they were. What they
    /// tell anew becomes an event.
    fn conditions<T: Spec>(
        &self,
        object: &Object<T>,
        old: &[Condition],
        new: Vec<Condition>,
    ) -> Vec<Condition> {
        let new = conditions::merged(old, new, object.generation(), &self.now);
        self.events.borrow_mut().extend(events::of(old, &new));
        new
    }

    /// What went wrong with the last writes for this object.
    fn failure(&self) -> Option<&str> {
        self.view
            .failure(self.key)
            .map(|failure| failure.message.as_str())
    }
}

/// The status `new` as a value, if it differs from `old`.
fn changed<S: Serialize + PartialEq>(old: &S, new: &S) -> Option<Value> {
    if old == new {
        return None;
    }
    serde_json::to_value(new).ok()
}

/// Moves the time to look again, if there is one, forward to `time`.
fn no_later(look_again: &mut Option<Timestamp>, time: Timestamp) {
    *look_again = Some(look_again.map_or(time, |known| known.min(time)));
}

/// Adds `finalizer`, if it is missing.
fn hold<T: Spec>(object: &Object<T>, finalizer: &str) -> Option<Write> {
    if object.has_finalizer(finalizer) {
        return None;
    }
    let mut finalizers = object.metadata.finalizers.clone().unwrap_or_default();
    finalizers.push(finalizer.to_owned());
    Some(finalizers_of(object, finalizers))
}

/// Takes `finalizer` away, so that the object can go.
fn let_go<T: Spec>(object: &Object<T>, finalizer: &str) -> Option<Write> {
    if !object.has_finalizer(finalizer) {
        return None;
    }
    let held = object.metadata.finalizers.iter().flatten();
    Some(finalizers_of(
        object,
        held.filter(|held| *held != finalizer).cloned().collect(),
    ))
}

/// How a deletion goes on: what is deleted now, and what it waits for before the finalizer goes.
struct Finalizing {
    manager: &'static str,
    finalizer: &'static str,
    reason: &'static str,
    writes: Vec<Write>,
    waits: Vec<String>,
}

impl Finalizing {
    /// The decision; `status` makes the object's status of the condition that tells what it waits for.
    fn decide<T: Spec>(
        mut self,
        object: &Object<T>,
        status: impl FnOnce(Vec<Condition>) -> T::Status,
    ) -> Decision {
        let status = if self.waits.is_empty() {
            self.writes.extend(let_go(object, self.finalizer));
            None
        } else {
            let message = format!("waiting for {} to be deleted", some_of(&self.waits));
            let condition = conditions::yes(conditions::types::FINALIZING, self.reason, message);
            changed(&object.status, &status(vec![condition]))
        };
        Decision {
            manager: self.manager,
            writes: self.writes,
            status,
            ..Decision::default()
        }
    }
}

fn finalizers_of<T: Spec>(object: &Object<T>, finalizers: Vec<String>) -> Write {
    Write::Finalizers {
        key: key_of(object),
        version: object.metadata.resource_version.clone().unwrap_or_default(),
        finalizers,
    }
}

/// Deletes those of `objects` whose deletion was not asked for yet.
fn delete_all<'a, T: Kept + 'a>(
    objects: impl IntoIterator<Item = &'a Object<T>>,
) -> impl Iterator<Item = Write> {
    objects
        .into_iter()
        .filter(|object| !object.is_deleting())
        .map(|object| Write::Delete {
            home: Home::Control,
            object: identity(object),
            uid: object.uid().to_owned(),
        })
}

fn identity<T: Spec>(object: &Object<T>) -> Value {
    json!({
        "apiVersion": choreo_model::API_VERSION,
        "kind": object.kind(),
        "metadata": metadata(object.namespace(), object.name(), &[]),
    })
}

/// Metadata with labels; no namespace when it is empty.
fn metadata(namespace: &str, name: &str, labels: &[(&str, &str)]) -> Value {
    let mut metadata = json!({ "name": name });
    if !namespace.is_empty() {
        metadata["namespace"] = json!(namespace);
    }
    if !labels.is_empty() {
        metadata["labels"] = labels
            .iter()
            .map(|(key, value)| ((*key).to_owned(), json!(value)))
            .collect::<serde_json::Map<_, _>>()
            .into();
    }
    metadata
}

/// Applies an object of the platform with this specification.
fn apply(kind: &str, metadata: Value, spec: &impl Serialize) -> Option<Write> {
    let spec = serde_json::to_value(spec).ok()?;
    Some(apply_value(kind, metadata, spec))
}

/// The same of what is plain already.
fn apply_value(kind: &str, metadata: Value, spec: Value) -> Write {
    let fields = [
        ("apiVersion", choreo_model::API_VERSION.into()),
        ("kind", kind.into()),
        ("metadata", metadata),
        ("spec", spec),
    ];
    Write::Apply {
        home: Home::Control,
        object: Value::from_iter(fields),
    }
}

/// The names of `objects` with their kind, for a message about what is waited for.
fn names<'a, T: Kept + 'a>(objects: impl IntoIterator<Item = &'a Object<T>>) -> Vec<String> {
    objects
        .into_iter()
        .map(|object| format!("{} \"{}\"", object.kind(), object.name()))
        .collect()
}

/// The first few of `names`, and how many more there are.
pub(crate) fn some_of(names: &[String]) -> String {
    const SHOWN: usize = 5;
    let shown = names
        .iter()
        .take(SHOWN)
        .cloned()
        .collect::<Vec<_>>()
        .join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
