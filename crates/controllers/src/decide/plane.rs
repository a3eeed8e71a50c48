//! Planes of every kind: kept as long as something is on them.

use choreo_model::conditions::{self, reasons, types};
use choreo_model::plane::{DataPlaneSpec, ObservabilityPlaneSpec, PlaneStatus, WorkflowPlaneSpec};
use choreo_model::platform::EnvironmentSpec;
use choreo_model::workflow::WorkflowSpec;
use choreo_model::{Object, Spec, finalizers};

use super::{Context, changed, hold, let_go, some_of};
use crate::decision::{Decision, Write};
use crate::key::By;
use crate::tables::Kept;

/// What differs between kinds of planes.
struct Kind {
    manager: &'static str,
    /// Of planes of one namespace.
    finalizer: &'static str,
    /// Of planes of every namespace.
    cluster_finalizer: &'static str,
    created: &'static str,
}

pub(super) fn data(context: &Context<'_>) -> Decision {
    let kind = Kind {
        manager: "dataplane-controller",
        finalizer: finalizers::DATA_PLANE,
        cluster_finalizer: finalizers::CLUSTER_DATA_PLANE,
        created: reasons::DATA_PLANE_CREATED,
    };
    decide::<DataPlaneSpec>(context, &kind, |plane| {
        super::names(users::<_, EnvironmentSpec>(context, plane))
    })
}

pub(super) fn workflow(context: &Context<'_>) -> Decision {
    let kind = Kind {
        manager: "workflowplane-controller",
        finalizer: finalizers::WORKFLOW_PLANE,
        cluster_finalizer: finalizers::CLUSTER_WORKFLOW_PLANE,
        created: reasons::WORKFLOW_PLANE_CREATED,
    };
    decide::<WorkflowPlaneSpec>(context, &kind, |plane| {
        super::names(named_by::<_, WorkflowSpec>(context, plane))
    })
}

/// Planes that name no observability plane use the one called `default` if it is there, but do not
/// need it.
pub(super) fn observability(context: &Context<'_>) -> Decision {
    let kind = Kind {
        manager: "observabilityplane-controller",
        finalizer: finalizers::OBSERVABILITY_PLANE_OBJECT,
        cluster_finalizer: finalizers::CLUSTER_OBSERVABILITY_PLANE,
        created: reasons::OBSERVABILITY_PLANE_CREATED,
    };
    decide::<ObservabilityPlaneSpec>(context, &kind, |plane| {
        let mut users = super::names(named_by::<_, DataPlaneSpec>(context, plane));
        users.extend(super::names(named_by::<_, WorkflowPlaneSpec>(
            context, plane,
        )));
        users
    })
}

fn decide<T: Kept + Spec<Status = PlaneStatus>>(
    context: &Context<'_>,
    kind: &Kind,
    users: impl FnOnce(&Object<T>) -> Vec<String>,
) -> Decision {
    let Some(plane) = context.view.own::<T>(context.key) else {
        return Decision::default();
    };
    let finalizer = match plane.namespace() {
        "" => kind.cluster_finalizer,
        _ => kind.finalizer,
    };
    let mut writes: Vec<Write> = Vec::new();
    let mut all = vec![conditions::yes(
        types::CREATED,
        kind.created,
        "Plane was accepted",
    )];
    if plane.is_deleting() {
        let users = users(plane);
        if users.is_empty() {
            writes.extend(let_go(plane, finalizer));
            return Decision {
                manager: kind.manager,
                writes,
                ..Decision::default()
            };
        }
        all.push(conditions::no(
            types::FINALIZING,
            reasons::DELETION_BLOCKED,
            format!("still used by {}", some_of(&users)),
        ));
    } else {
        writes.extend(hold(plane, finalizer));
    }
    let old = &plane.status;
    let status = PlaneStatus {
        observed_generation: plane.generation(),
        conditions: context.conditions(plane, &old.conditions, all),
        agent_connection: old.agent_connection.clone(),
    };
    Decision {
        manager: kind.manager,
        writes,
        status: changed(old, &status),
        ..Decision::default()
    }
}

/// The objects that name the plane.
fn named_by<'a, T: Spec, U: Kept>(context: &Context<'a>, plane: &Object<T>) -> Vec<&'a Object<U>> {
    let of = [plane.kind(), plane.namespace(), plane.name()];
    context.view.members::<U>(By::Plane, &of)
}

/// The objects on the plane; those that name none are on the one called `default`.
fn users<'a, T: Kept, U: Kept>(context: &Context<'a>, plane: &Object<T>) -> Vec<&'a Object<U>> {
    let mut found = named_by(context, plane);
    if plane.name() == "default" {
        let implied = context.view.members::<U>(By::Plane, &[""]);
        found.extend(implied.into_iter().filter(|user| {
            let namespace = user.namespace();
            match plane.namespace() {
                "" => context.view.get::<T>(namespace, "default").is_none(),
                own => own == namespace,
            }
        }));
    }
    found
}
