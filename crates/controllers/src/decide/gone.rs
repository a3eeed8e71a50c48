//! Types, traits, workflows and secret references that are gone although others name them.
//!
//! Nothing keeps them: what is released holds them frozen, and what is rendered goes on. But no new
//! release can be made of them, so whoever deletes one is told who would need it. This is about
//! objects that are there no more, so it is told once, and nothing wakes it again.

use super::Context;
use crate::decision::{Decision, Event};
use crate::key::{By, Group};
use crate::material;

/// Why the event is told.
const DELETED_IN_USE: &str = "DeletedInUse";

pub(super) fn decide(context: &Context<'_>) -> Decision {
    let key = context.key;
    let users: Vec<_> = material::users(key.kind)
        .iter()
        .flat_map(|kind| {
            let group = Group::new(kind, By::Material, &[&key.place()]);
            context.view.staying(&group)
        })
        .collect();
    let told = material::left_behind(key, &users);
    Decision {
        events: told
            .into_iter()
            .map(|message| Event::warning(DELETED_IN_USE, message))
            .collect(),
        ..Decision::default()
    }
}
