//! Releases that are kept no longer: all but the newest of those that nothing names.
//!
//! What a binding names, what its environment can go back to, and the latest are `needed`. Bindings
//! are asked for that without waiting for news of their status: a release that they remember only
//! later they name before.

use std::collections::BTreeSet;
use std::num::NonZeroU32;

use choreo_model::Object;
use choreo_model::promotion::{Part, PromotionSpec};

use super::gate::Gated;
use super::{Context, delete_all};
use crate::decision::Write;
use crate::key::groups;
use crate::tables::Kept;

/// How many are kept when nothing is said.
const LIMIT: usize = 10;

/// Deletes of `releases` what is neither `needed` nor among the newest `limit` of the rest.
pub(super) fn delete<T: Kept>(
    mut releases: Vec<&Object<T>>,
    needed: &BTreeSet<&str>,
    limit: Option<NonZeroU32>,
) -> Vec<Write> {
    releases.retain(|release| !needed.contains(release.name()));
    releases.sort_by_key(|release| (&release.metadata.creation_timestamp, release.name()));
    let limit = limit.map_or(LIMIT, |limit| {
        usize::try_from(limit.get()).unwrap_or(usize::MAX)
    });
    let surplus = releases.len().saturating_sub(limit);
    delete_all(releases.into_iter().take(surplus)).collect()
}

/// The releases of a part that are needed although no binding names them: what runs, which may be
/// another than the binding names, and what is on its way somewhere.
pub(super) fn under_way<'a, T: Gated>(
    context: &Context<'a>,
    project: &str,
    part: Part<'_>,
) -> Vec<&'a str> {
    let (by, _, name) = groups(part);
    let of = [context.namespace(), project, &name];
    let bindings = context.view.members_with_status::<T>(by, &of);
    let running = bindings
        .into_iter()
        .filter_map(|one| T::rolled_out(&one.status).release);
    let promotions = context.view.members_with_status::<PromotionSpec>(by, &of);
    let open = promotions
        .into_iter()
        .filter(|one| !one.status.phase.is_final());
    let asked = open.filter_map(|one| one.spec.release_of(part));
    running.chain(asked).collect()
}
