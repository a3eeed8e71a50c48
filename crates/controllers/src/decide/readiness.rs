//! Whether the objects of a rendered release are as wanted, told by what was observed of them.

use choreo_compiler::Readiness;
use choreo_model::RenderedRelease;
use choreo_model::component_type::WorkloadType;
use choreo_model::conditions::{self, reasons, types};
use choreo_model::rendered::{Health, RenderedReleaseStatus, ResourceStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::Obstacle;

/// What keeps a rendered release from having anything to say yet, as a condition of `type_`.
pub(super) fn not_applied(type_: &str, rendered: &RenderedRelease) -> Option<Condition> {
    if !rendered.is_told() {
        return Some(not_yet(type_, rendered));
    }
    let applied = conditions::find(&rendered.status.conditions, types::RESOURCES_APPLIED)?;
    match (applied.status.as_str(), applied.reason.as_str()) {
        ("True", _) => None,
        (_, reasons::APPLY_PENDING) => Some(conditions::no(
            type_,
            reasons::RESOURCES_PROGRESSING,
            applied.message.clone(),
        )),
        _ => Some(conditions::no(
            type_,
            reasons::RESOURCE_APPLY_FAILED,
            applied.message.clone(),
        )),
    }
}

/// A rendered release that is still to be applied, as a condition of `type_`.
pub(super) fn not_yet(type_: &str, rendered: &RenderedRelease) -> Condition {
    let message = format!("RenderedRelease \"{}\" is not applied yet", rendered.name());
    conditions::no(type_, reasons::RESOURCES_PROGRESSING, message)
}

/// `ResourcesReady` of a component whose type makes `workload`.
pub(super) fn of_component(rendered: &RenderedRelease, workload: WorkloadType) -> Condition {
    if let Some(condition) = not_applied(types::RESOURCES_READY, rendered) {
        return condition;
    }
    let status = &rendered.status;
    let primary = workload
        .object_kind()
        .and_then(|kind| status.resources.iter().find(|one| one.kind == kind));
    let Some(primary) = primary else {
        // Its routes are all there is.
        let unseen = status.resources.iter().find(|one| is_unseen(one));
        let all = of_all(status);
        return match unseen.filter(|_| all.status == "True" && !workload.runs()) {
            None => all,
            Some(route) => {
                let message = format!("no gateway serves {} \"{}\" yet", route.kind, route.name);
                no(reasons::RESOURCES_PROGRESSING, message)
            }
        };
    };
    if let Some(broken) = status
        .resources
        .iter()
        .find(|one| one.id != primary.id && one.health_status == Health::Degraded)
    {
        return no(reasons::RESOURCES_DEGRADED, describe(broken));
    }
    match workload {
        WorkloadType::CronJob => cron_job(primary),
        WorkloadType::Job => job(primary),
        WorkloadType::Deployment | WorkloadType::StatefulSet | WorkloadType::Proxy => {
            running(primary, status)
        }
    }
}

/// Whether an object is a route that no gateway has said anything of.
fn is_unseen(one: &ResourceStatus) -> bool {
    let is_route = matches!(one.kind.as_str(), "HTTPRoute" | "GRPCRoute" | "TLSRoute");
    let parents = one
        .status
        .as_ref()
        .and_then(|status| status.get("parents")?.as_array());
    is_route && parents.is_none_or(Vec::is_empty)
}

/// `ResourcesReady` of a managed resource whose objects are `known` to be so, by what its type says.
pub(super) fn of_resource(rendered: &RenderedRelease, known: &[Readiness]) -> Condition {
    if let Some(condition) = not_applied(types::RESOURCES_READY, rendered) {
        return condition;
    }
    let mut status = rendered.status.clone();
    for one in &mut status.resources {
        if let Some(known) = known.iter().find(|known| known.id == one.id) {
            one.health_status = known.health;
            one.message.clone_from(&known.message);
        }
    }
    of_all(&status)
}

/// `ResourcesReady` of objects among which none is the primary one.
pub(super) fn of_all(status: &RenderedReleaseStatus) -> Condition {
    // The worst that any object says is what there is to say.
    for health in [Health::Degraded, Health::Progressing, Health::Unknown] {
        if let Some(one) = status
            .resources
            .iter()
            .find(|one| one.health_status == health)
        {
            return no(not_ready(health), describe(one));
        }
    }
    ready(status)
}

fn ready(status: &RenderedReleaseStatus) -> Condition {
    if status
        .resources
        .iter()
        .any(|one| one.health_status == Health::Suspended)
    {
        let reason = reasons::READY_WITH_SUSPENDED_RESOURCES;
        return yes(reason, "All resources are ready; some are suspended");
    }
    yes(reasons::RESOURCES_READY, "All resources are ready")
}

fn running(primary: &ResourceStatus, status: &RenderedReleaseStatus) -> Condition {
    match primary.health_status {
        Health::Healthy | Health::Suspended => ready(status),
        health @ (Health::Unknown | Health::Progressing | Health::Degraded) => {
            no(not_ready(health), describe(primary))
        }
    }
}

fn cron_job(primary: &ResourceStatus) -> Condition {
    match primary.health_status {
        Health::Healthy | Health::Progressing => {
            yes(reasons::CRON_JOB_SCHEDULED, "CronJob is scheduled")
        }
        Health::Suspended => yes(reasons::CRON_JOB_SUSPENDED, "CronJob is suspended"),
        health @ (Health::Unknown | Health::Degraded) => no(not_ready(health), describe(primary)),
    }
}

fn job(primary: &ResourceStatus) -> Condition {
    match primary.health_status {
        Health::Healthy => yes(reasons::JOB_COMPLETED, "Job has completed"),
        Health::Degraded => no(reasons::JOB_FAILED, describe(primary)),
        Health::Progressing => no(reasons::JOB_RUNNING, "Job is running"),
        health @ (Health::Unknown | Health::Suspended) => no(not_ready(health), describe(primary)),
    }
}

fn not_ready(health: Health) -> &'static str {
    match health {
        Health::Degraded => reasons::RESOURCES_DEGRADED,
        Health::Progressing => reasons::RESOURCES_PROGRESSING,
        Health::Unknown => reasons::RESOURCES_UNKNOWN,
        Health::Healthy | Health::Suspended => reasons::RESOURCES_NOT_READY,
    }
}

/// An object and how it is, for a person.
pub(super) fn describe(one: &ResourceStatus) -> String {
    let health = one.health_status.as_str();
    match &one.message {
        Some(message) => format!("{} \"{}\" is {health}: {message}", one.kind, one.name),
        None => format!("{} \"{}\" is {health}", one.kind, one.name),
    }
}

fn yes(reason: &str, message: impl Into<String>) -> Condition {
    conditions::yes(types::RESOURCES_READY, reason, message)
}

fn no(reason: &str, message: impl Into<String>) -> Condition {
    conditions::no(types::RESOURCES_READY, reason, message)
}

/// `Ready`: the first of `conditions` that does not say `True` says why not.
pub(super) fn aggregate(all: &[Condition]) -> Condition {
    match all.iter().find(|condition| condition.status != "True") {
        Some(first) => conditions::no(types::READY, &first.reason, first.message.clone()),
        None => conditions::yes(types::READY, reasons::READY, "Everything is ready"),
    }
}

/// `Ready` of what is released and bound: whether planning it and writing that went well.
pub(super) fn of_released(
    planned: Result<(), Obstacle>,
    failure: Option<&str>,
    done: &str,
) -> Condition {
    match (planned, failure) {
        (Err(obstacle), _) => conditions::no(types::READY, obstacle.reason, obstacle.message),
        (Ok(()), Some(failure)) => {
            conditions::no(types::READY, reasons::RELEASE_UPDATE_FAILED, failure)
        }
        (Ok(()), None) => conditions::yes(types::READY, reasons::RECONCILED, done),
    }
}
