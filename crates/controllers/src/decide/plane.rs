//! Data planes: kept as long as an environment is on them.

use choreo_model::conditions::{self, reasons, types};
use choreo_model::plane::{DataPlaneSpec, DataPlaneStatus};
use choreo_model::platform::EnvironmentSpec;
use choreo_model::{DataPlane, finalizers};

use super::{Context, changed, hold, let_go, some_of};
use crate::decision::{Decision, Write};
use crate::key::By;

const MANAGER: &str = "dataplane-controller";

pub(super) fn decide(context: &Context<'_>) -> Decision {
    let Some(plane) = context.view.own::<DataPlaneSpec>(context.key) else {
        return Decision::default();
    };
    let finalizer = match plane.namespace() {
        "" => finalizers::CLUSTER_DATA_PLANE,
        _ => finalizers::DATA_PLANE,
    };
    let mut writes: Vec<Write> = Vec::new();
    let mut all = vec![conditions::yes(
        types::CREATED,
        reasons::DATA_PLANE_CREATED,
        "Plane was accepted",
    )];
    if plane.is_deleting() {
        let environments = environments(context, plane);
        if environments.is_empty() {
            writes.extend(let_go(plane, finalizer));
            return Decision {
                manager: MANAGER,
                writes,
                ..Decision::default()
            };
        }
        all.push(conditions::no(
            types::FINALIZING,
            reasons::DELETION_BLOCKED,
            format!("still used by {}", some_of(&environments)),
        ));
    } else {
        writes.extend(hold(plane, finalizer));
    }
    let old = &plane.status;
    let status = DataPlaneStatus {
        observed_generation: plane.generation(),
        conditions: context.conditions(plane, &old.conditions, all),
        agent_connection: old.agent_connection.clone(),
    };
    Decision {
        manager: MANAGER,
        writes,
        status: changed(old, &status),
        ..Decision::default()
    }
}

/// The environments on the plane; those that name none are on the one called `default`.
fn environments(context: &Context<'_>, plane: &DataPlane) -> Vec<String> {
    let of = [plane.kind(), plane.namespace(), plane.name()];
    let mut found = context.view.members::<EnvironmentSpec>(By::Plane, &of);
    if plane.name() == "default" {
        let implied = context.view.members::<EnvironmentSpec>(By::Plane, &[""]);
        found.extend(implied.into_iter().filter(|environment| {
            let namespace = environment.namespace();
            match plane.namespace() {
                "" => context
                    .view
                    .get::<DataPlaneSpec>(namespace, "default")
                    .is_none(),
                own => own == namespace,
            }
        }));
    }
    super::names(found)
}
