//! Preview environments: made beside the environment they copy, kept for as long as their lease, and
//! taken away with a report that nothing is left.
//!
//! A preview is made of the same objects as any other environment, so everything that is known of
//! those holds for it: where it is deployed, how it is, and the order in which it goes.

mod make;
mod removal;

use choreo_model::conditions::{self, reasons, types};
use choreo_model::platform::EnvironmentSpec;
use choreo_model::preview::{Phase, PreviewEnvironmentSpec, PreviewEnvironmentStatus};
use choreo_model::project::ProjectSpec;
use choreo_model::release::ReleaseBindingSpec;
use choreo_model::{Environment, PreviewEnvironment, finalizers};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::{SignedDuration, Timestamp};

use super::{Context, changed, delete_all, hold, let_go};
use crate::decision::{Decision, Write};
use crate::key::By;

const MANAGER: &str = "previewenvironment-controller";

/// How long a preview that has ended can still be looked at.
const REMEMBERED: SignedDuration = SignedDuration::from_hours(1);

pub(super) fn decide(context: &Context<'_>) -> Decision {
    let Some(preview) = context.view.own::<PreviewEnvironmentSpec>(context.key) else {
        return Decision::default();
    };
    let expires = expiry(context, preview);
    match ended(context, preview, expires) {
        Some(why) => end(context, preview, expires, why),
        None => keep(context, preview, expires),
    }
}

/// When the lease ends: some time after it was begun, renewed or, if that is asked for, last used.
fn expiry(context: &Context<'_>, preview: &PreviewEnvironment) -> Option<Timestamp> {
    let spec = &preview.spec;
    let created = preview.metadata.creation_timestamp.as_ref();
    let mut begun: Vec<Timestamp> = created
        .into_iter()
        .chain(&spec.renew_time)
        .map(|time| time.0)
        .collect();
    if spec.extend_on_use {
        let of = [context.namespace(), preview.name()];
        let bindings = context
            .view
            .members_with_status::<ReleaseBindingSpec>(By::Environment, &of);
        let used = bindings
            .iter()
            .filter_map(|binding| binding.status.last_spec_update_time.as_ref());
        begun.extend(used.map(|time| time.0));
    }
    let lease = SignedDuration::from_secs(spec.lease_seconds()?);
    begun.into_iter().max()?.checked_add(lease).ok()
}

/// Why the preview ends, if it does: the reason of a condition.
fn ended(
    context: &Context<'_>,
    preview: &PreviewEnvironment,
    expires: Option<Timestamp>,
) -> Option<&'static str> {
    let project = context
        .view
        .get::<ProjectSpec>(context.namespace(), &preview.spec.project_name);
    let project_goes = project.is_some_and(choreo_model::Object::is_deleting);
    let is_over = expires.is_some_and(|expires| expires <= context.now.0);
    if preview.is_deleting() || project_goes {
        Some(reasons::PREVIEW_REMOVING)
    } else if is_over {
        Some(reasons::PREVIEW_EXPIRED)
    } else {
        None
    }
}

/// The environment of a preview, when it is its own.
fn own_environment<'a>(
    context: &Context<'a>,
    preview: &PreviewEnvironment,
) -> Option<&'a Environment> {
    let found = context
        .view
        .get_with_status::<EnvironmentSpec>(context.namespace(), preview.name())?;
    is_own(found, preview).then_some(found)
}

fn is_own(environment: &Environment, preview: &PreviewEnvironment) -> bool {
    let mut owners = environment.metadata.owner_references.iter().flatten();
    owners.any(|owner| owner.uid == preview.uid())
}

/// Makes the preview what is asked for, and tells how it is.
fn keep(
    context: &Context<'_>,
    preview: &PreviewEnvironment,
    expires: Option<Timestamp>,
) -> Decision {
    let mut writes: Vec<Write> = hold(preview, finalizers::PREVIEW_ENVIRONMENT)
        .into_iter()
        .collect();
    let mut urls = Vec::new();
    let (phase, ready) = match make::plan(context, preview) {
        Err(obstacle) => (
            Phase::Preparing,
            conditions::no(types::READY, obstacle.reason, obstacle.message),
        ),
        Ok(plan) => {
            writes.extend(plan.writes);
            urls = plan.urls;
            match (context.failure(), plan.waits.is_empty()) {
                (Some(failure), _) => (
                    Phase::Preparing,
                    conditions::no(types::READY, reasons::PREVIEW_FAILED, failure),
                ),
                (None, false) => (
                    Phase::Preparing,
                    conditions::no(
                        types::READY,
                        reasons::PREVIEW_PREPARING,
                        format!("waiting for {}", super::some_of(&plan.waits)),
                    ),
                ),
                (None, true) => (
                    Phase::Ready,
                    conditions::yes(
                        types::READY,
                        reasons::PREVIEW_READY,
                        format!("Environment \"{}\" can be used", preview.name()),
                    ),
                ),
            }
        }
    };
    let report = removal::report(context, preview);
    let status = PreviewEnvironmentStatus {
        phase,
        urls,
        report,
        ..status(context, preview, expires, ready)
    };
    Decision {
        manager: MANAGER,
        writes,
        status: changed(&preview.status, &status),
        look_again: expires,
        ..Decision::default()
    }
}

/// What every status of a preview has.
fn status(
    context: &Context<'_>,
    preview: &PreviewEnvironment,
    expires: Option<Timestamp>,
    ready: Condition,
) -> PreviewEnvironmentStatus {
    PreviewEnvironmentStatus {
        observed_generation: preview.generation(),
        environment: preview.name().to_owned(),
        expires_at: expires.map(Time),
        conditions: context.conditions(preview, &preview.status.conditions, vec![ready]),
        ..PreviewEnvironmentStatus::default()
    }
}

/// Takes the preview away, step by step, and tells what is left.
fn end(
    context: &Context<'_>,
    preview: &PreviewEnvironment,
    expires: Option<Timestamp>,
    why: &'static str,
) -> Decision {
    let removal = removal::plan(context, preview);
    // Its own status is read like that of another: what comes next waits for the report to be told.
    let told = context
        .view
        .get_with_status::<PreviewEnvironmentSpec>(context.namespace(), preview.name());
    let old = &told.unwrap_or(preview).status;
    let is_told = old.phase == Phase::Removed && old.report == removal.report;
    if removal.waits.is_empty() && is_told {
        return forget(context, preview);
    }
    let (phase, ready) = if removal.waits.is_empty() {
        let all = removal.report.iter();
        let names: Vec<String> = all
            .map(|one| format!("{} \"{}\"", one.kind, one.name))
            .collect();
        let message = match names.len() {
            0 => "Nothing was made, so nothing is left".to_owned(),
            count => format!(
                "Nothing is left of {count} objects: {}",
                super::some_of(&names)
            ),
        };
        let reason = reasons::PREVIEW_REMOVED;
        (
            Phase::Removed,
            conditions::no(types::READY, reason, message),
        )
    } else {
        let waits = super::some_of(&removal.waits);
        let message = format!("waiting for {waits} to be deleted");
        (Phase::Removing, conditions::no(types::READY, why, message))
    };
    let removed_at = (phase == Phase::Removed).then(|| {
        old.removed_at
            .clone()
            .unwrap_or_else(|| context.now.clone())
    });
    let status = PreviewEnvironmentStatus {
        phase,
        removed_at,
        report: removal.report,
        ..status(context, preview, expires, ready)
    };
    Decision {
        manager: MANAGER,
        writes: removal.writes,
        status: changed(old, &status),
        ..Decision::default()
    }
}

/// The report is told: a deleted preview goes at once, one whose lease is over after a while.
fn forget(context: &Context<'_>, preview: &PreviewEnvironment) -> Decision {
    let removed = preview.status.removed_at.as_ref().map(|time| time.0);
    let due = removed.and_then(|time| time.checked_add(REMEMBERED).ok());
    let (writes, look_again) = if preview.is_deleting() {
        let write = let_go(preview, finalizers::PREVIEW_ENVIRONMENT);
        (write.into_iter().collect(), None)
    } else if due.is_some_and(|due| due <= context.now.0) {
        (delete_all([preview]).collect(), None)
    } else {
        (Vec::new(), due)
    };
    Decision {
        manager: MANAGER,
        writes,
        look_again,
        ..Decision::default()
    }
}
