//! External connections: who has them, and whether those are there that they are given to.

use choreo_model::conditions::{self, reasons, types};
use choreo_model::external::{ExternalConnectionSpec, ExternalConnectionStatus};
use choreo_model::project::ProjectSpec;
use choreo_model::release::ReleaseBindingSpec;
use choreo_model::{ExternalConnection, Spec as _};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::{Context, changed, some_of};
use crate::decision::Decision;
use crate::key::{By, Group};

const MANAGER: &str = "externalconnection-controller";
/// How many bindings are named.
const NAMED: usize = 50;

pub(super) fn decide(context: &Context<'_>) -> Decision {
    let Some(connection) = context.view.own::<ExternalConnectionSpec>(context.key) else {
        return Decision::default();
    };
    if connection.is_deleting() {
        return Decision::default();
    }
    let group = Group::new(
        ReleaseBindingSpec::KIND,
        By::Material,
        &[&context.key.place()],
    );
    let mut users: Vec<String> = context
        .view
        .staying(&group)
        .into_iter()
        .map(|key| key.name)
        .collect();
    users.sort_unstable();
    let count = i32::try_from(users.len()).unwrap_or(i32::MAX);
    users.truncate(NAMED);
    let old = &connection.status;
    let ready = ready(context, connection);
    let status = ExternalConnectionStatus {
        observed_generation: connection.generation(),
        conditions: context.conditions(connection, &old.conditions, vec![ready]),
        users: count,
        used_by: users,
    };
    Decision {
        manager: MANAGER,
        status: changed(old, &status),
        ..Decision::default()
    }
}

/// Whether all projects are there. Which of their components have it is for the bindings to tell.
fn ready(context: &Context<'_>, connection: &ExternalConnection) -> Condition {
    let projects = connection.spec.projects.iter();
    let is_missing = |project: &&String| {
        let found = context
            .view
            .get::<ProjectSpec>(context.namespace(), project);
        found.is_none()
    };
    let missing: Vec<String> = projects
        .filter(is_missing)
        .map(|project| format!("Project \"{project}\""))
        .collect();
    if missing.is_empty() {
        return conditions::yes(types::READY, reasons::READY, "It is given to its projects");
    }
    let message = format!("{} not found", some_of(&missing));
    conditions::no(types::READY, reasons::PROJECT_NOT_FOUND, message)
}
