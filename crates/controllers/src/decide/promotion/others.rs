//! Other promotions of the same parts to the same environment.

use std::collections::BTreeMap;

use choreo_model::Promotion;
use choreo_model::promotion::{PromotionPhase, PromotionSpec};

use super::super::Context;
use crate::key::groups;

/// The other promotions that share a part with `promotion`, by name.
fn of<'a>(context: &Context<'a>, promotion: &Promotion) -> Vec<&'a Promotion> {
    let spec = &promotion.spec;
    let mut found = BTreeMap::new();
    for (part, _) in spec.parts() {
        let (_, by, name) = groups(part);
        let of = [
            context.namespace(),
            &spec.owner.project_name,
            &name,
            &spec.target_environment,
        ];
        let members = context.view.members_with_status::<PromotionSpec>(by, &of);
        found.extend(members.into_iter().map(|one| (one.name(), one)));
    }
    found.remove(promotion.name());
    found.into_values().collect()
}

/// The promotion that is deploying the same parts now.
pub(super) fn under_way<'a>(context: &Context<'a>, promotion: &Promotion) -> Option<&'a Promotion> {
    of(context, promotion).into_iter().find(|other| {
        let phase = other.status.phase;
        !other.is_deleting() && !phase.is_final() && other.status.started_at.is_some()
    })
}

/// The later promotion that took the place of `promotion`, which has not started: one that was asked
/// for after it, and has started. Of two that were asked for in the same second none came later.
pub(super) fn overtaken_by<'a>(
    context: &Context<'a>,
    promotion: &Promotion,
) -> Option<&'a Promotion> {
    let asked = |one: &Promotion| one.metadata.creation_timestamp.clone().map(|time| time.0);
    of(context, promotion)
        .into_iter()
        .find(|other| is_in_place(other) && asked(other) > asked(promotion))
}

/// The promotion that started after `promotion` did.
pub(super) fn replaced_by<'a>(
    context: &Context<'a>,
    promotion: &Promotion,
) -> Option<&'a Promotion> {
    let started = |one: &Promotion| {
        let time = one.status.started_at.clone().map(|time| time.0);
        (time, one.name().to_owned())
    };
    of(context, promotion)
        .into_iter()
        .find(|other| is_in_place(other) && started(other) > started(promotion))
}

/// Whether what a promotion brings is there, or on its way.
fn is_in_place(promotion: &Promotion) -> bool {
    let status = &promotion.status;
    let comes = status.phase == PromotionPhase::Succeeded || !status.phase.is_final();
    comes && status.started_at.is_some()
}
