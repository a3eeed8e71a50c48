//! Types, traits, workflows and secret references that are gone although others name them.
//!
//! Nothing keeps them: what is released holds them frozen, and what is rendered goes on. But no new
//! release can be made of them, so whoever deletes one is told who would need it. This is about
//! objects that are there no more, so it is told once, and nothing wakes it again.

use choreo_model::application::{ComponentSpec, WorkloadSpec};
use choreo_model::component_type::ComponentTypeSpec;
use choreo_model::project::ProjectSpec;
use choreo_model::release::ReleaseBindingSpec;
use choreo_model::resource::ResourceSpec;

use super::{Context, some_of};
use crate::decision::{Decision, Event};
use crate::key::By;
use crate::tables::Kept;

/// Why the event is told.
const DELETED_IN_USE: &str = "DeletedInUse";

pub(super) fn decide(context: &Context<'_>) -> Decision {
    let users = users(context);
    if users.is_empty() {
        return Decision::default();
    }
    let message = format!(
        "{} \"{}\" was deleted while {} named it: what runs goes on, but nothing is released or \
         rendered anew with it until it is there again",
        context.key.kind,
        context.key.name,
        some_of(&users)
    );
    Decision {
        events: vec![Event::warning(DELETED_IN_USE, message)],
        ..Decision::default()
    }
}

fn users(context: &Context<'_>) -> Vec<String> {
    match context.key.kind.trim_start_matches("Cluster") {
        "ComponentType" | "Workflow" => of::<ComponentSpec>(context),
        "Trait" => [
            of::<ComponentSpec>(context),
            of::<ComponentTypeSpec>(context),
        ]
        .concat(),
        "ProjectType" => of::<ProjectSpec>(context),
        "ResourceType" => of::<ResourceSpec>(context),
        _ => [
            of::<WorkloadSpec>(context),
            of::<ReleaseBindingSpec>(context),
        ]
        .concat(),
    }
}

/// The objects of one kind that name it and are not about to go themselves.
fn of<T: Kept>(context: &Context<'_>) -> Vec<String> {
    let mut users = context
        .view
        .members::<T>(By::Material, &[&context.key.place()]);
    users.retain(|user| !user.is_deleting());
    let elsewhere = |namespace: &str| namespace != context.namespace() && !namespace.is_empty();
    users
        .into_iter()
        .map(|user| match user.namespace() {
            namespace if elsewhere(namespace) => format!(
                "{} \"{}\" of namespace \"{namespace}\"",
                user.kind(),
                user.name()
            ),
            _ => format!("{} \"{}\"", user.kind(), user.name()),
        })
        .collect()
}
