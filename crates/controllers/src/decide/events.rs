//! Events that conditions make: what an object tells anew about how it is.
//!
//! Only conditions that sum up others make events, and only when their status or reason changes.
//! What is merely under way is silent: it ends in success or in failure, and that is told.

use choreo_model::conditions::{self, reasons, types};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use crate::decision::Event;

/// The reason of the event of something that became ready and has no better word for it.
const RECONCILE_COMPLETE: &str = "ReconcileComplete";

/// The events of going from the conditions `old` to `new`.
pub(super) fn of(old: &[Condition], new: &[Condition]) -> Vec<Event> {
    new.iter()
        .filter(|new| {
            let old = conditions::find(old, &new.type_);
            old.is_none_or(|old| old.status != new.status || old.reason != new.reason)
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
        | reasons::RESOURCES_UNKNOWN
        | reasons::NAMESPACE_PROGRESSING
        | reasons::APPLY_PENDING
        | reasons::JOB_RUNNING => News::None,
        reasons::CONNECTIONS_PENDING
        | reasons::RESOURCE_DEPENDENCIES_PENDING
        | reasons::COMPONENT_RELEASE_NOT_SET
        | reasons::PROJECT_RELEASE_NOT_SET
        | reasons::RESOURCE_RELEASE_NOT_SET
        | reasons::RESOURCES_UNDEPLOYED
        | reasons::RELEASE_BINDINGS_PENDING
        | reasons::ENVIRONMENT_FINALIZING => News::Good,
        _ => News::Bad,
    }
}

fn of_deletion(reason: &str) -> News {
    match reason {
        reasons::CLEANUP_FAILED | reasons::RETAIN_HOLD | reasons::DELETION_BLOCKED => News::Bad,
        _ => News::Good,
    }
}
