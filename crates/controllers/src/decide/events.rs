//! Events that decisions make: what is done about an object, and what it tells anew about how it is.
//!
//! Of conditions only those that sum up others make events, and only when their status or reason
//! changes. What is merely under way is silent: it ends in success or in failure, and that is told.

use std::collections::BTreeMap;

use choreo_model::conditions::{self, reasons, types};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use serde_json::Value;

use super::some_of;
use crate::decision::{Event, Home, Write};

/// A release was made.
const RELEASED: &str = "Released";
/// A release was put into an environment.
const BOUND: &str = "Bound";
/// What a release renders to was written.
const RENDERED: &str = "Rendered";
/// Something that belongs to the object is taken away.
const DELETING: &str = "Deleting";

/// The reason of the event of something that became ready and has no better word for it.
const RECONCILE_COMPLETE: &str = "ReconcileComplete";

/// The events of `writes` to the API that keeps the platform's own objects.
pub(super) fn of_writes(writes: &[Write]) -> Vec<Event> {
    let mut deleted: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let mut events = Vec::new();
    for write in writes {
        match write {
            Write::Apply {
                home: Home::Control,
                object,
            } => events.extend(of_apply(object)),
            Write::Delete {
                home: Home::Control,
                object,
                ..
            } => {
                let name = format!("\"{}\"", text(object, "/metadata/name"));
                deleted.entry(text(object, "/kind")).or_default().push(name);
            }
            Write::Apply { .. }
            | Write::Place { .. }
            | Write::Delete { .. }
            | Write::Status { .. }
            | Write::Finalizers { .. }
            | Write::Call { .. } => {}
        }
    }
    let told = deleted
        .into_iter()
        .map(|(kind, names)| Event::normal(DELETING, format!("{kind} {}", some_of(&names))));
    events.extend(told);
    events
}

fn of_apply(object: &Value) -> Option<Event> {
    let kind = text(object, "/kind");
    let title = format!("{kind} \"{}\"", text(object, "/metadata/name"));
    match kind {
        "ComponentRelease" | "ProjectRelease" | "ResourceRelease" => {
            Some(Event::normal(RELEASED, format!("{title} is made")))
        }
        "ReleaseBinding" | "ProjectReleaseBinding" | "ResourceReleaseBinding" => {
            let release = ["releaseName", "projectRelease", "resourceRelease"]
                .iter()
                .find_map(|field| object["spec"][field].as_str())?;
            let message = format!("{title} is given release \"{release}\"");
            Some(Event::normal(BOUND, message))
        }
        "RenderedRelease" => {
            let objects = object["spec"]["resources"].as_array().map_or(0, Vec::len);
            let message = format!("{title} is written, with {objects} objects");
            Some(Event::normal(RENDERED, message))
        }
        _ => None,
    }
}

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    let text = object.pointer(pointer).and_then(Value::as_str);
    text.unwrap_or_default()
}

/// The events of going from the conditions `old` to `new`.
pub(super) fn of(old: &[Condition], new: &[Condition]) -> Vec<Event> {
    new.iter()
        .filter(|new| {
            let old = conditions::find(old, &new.type_);
            // That the release was made and bound is told already, each by an event of its own.
            old.map_or(new.reason != reasons::COMPONENT_RELEASE_READY, |old| {
                old.status != new.status || old.reason != new.reason
            })
        })
        .filter_map(event)
        .collect()
}

fn event(condition: &Condition) -> Option<Event> {
    let Condition {
        type_,
        status,
        reason,
        message,
        ..
    } = condition;
    let news = match (type_.as_str(), status.as_str()) {
        // The binding tells that its objects are applied, by being ready.
        (types::RESOURCES_APPLIED, "True") => News::None,
        (types::CREATED | types::READY | types::AVAILABLE, "True") => News::Good,
        (types::READY | types::AVAILABLE | types::RESOURCES_APPLIED, _) => of_obstacle(reason),
        (types::FINALIZING, _) => of_deletion(reason),
        _ => News::None,
    };
    let reason = match reason.as_str() {
        reasons::RECONCILED => RECONCILE_COMPLETE,
        reason => reason,
    };
    match news {
        News::None => None,
        News::Good => Some(Event::normal(reason, message.as_str())),
        News::Bad => Some(Event::warning(reason, message.as_str())),
    }
}

enum News {
    None,
    Good,
    Bad,
}

/// Of something that is not as wanted.
fn of_obstacle(reason: &str) -> News {
    match reason {
        reasons::RESOURCES_PROGRESSING
        | reasons::PREVIEW_PREPARING
        | reasons::PREVIEW_REMOVING
        | reasons::RESOURCES_UNKNOWN
        | reasons::NAMESPACE_PROGRESSING
        | reasons::APPLY_PENDING
        | reasons::CHECKS_RUNNING
        | reasons::DEPLOYING
        | reasons::JOB_RUNNING => News::None,
        reasons::PREVIEW_EXPIRED
        | reasons::PREVIEW_REMOVED
        | reasons::CONNECTIONS_PENDING
        | reasons::AWAITING_APPROVAL
        | reasons::FROZEN
        | reasons::PROMOTION_IN_PROGRESS
        | reasons::SUPERSEDED
        | reasons::RESOURCE_DEPENDENCIES_PENDING
        | reasons::COMPONENT_RELEASE_NOT_SET
        | reasons::PROJECT_RELEASE_NOT_SET
        | reasons::RESOURCE_RELEASE_NOT_SET
        | reasons::RESOURCES_UNDEPLOYED
        | reasons::RELEASE_BINDINGS_PENDING => News::Good,
        _ => News::Bad,
    }
}

fn of_deletion(reason: &str) -> News {
    match reason {
        reasons::CLEANUP_FAILED | reasons::RETAIN_HOLD | reasons::DELETION_BLOCKED => News::Bad,
        _ => News::Good,
    }
}
