//! Releases that are kept no longer: all but the newest of those that nothing names.
//!
//! What a binding names, what its environment can go back to, and the latest are `needed`. Bindings
//! are asked for that without waiting for news of their status: a release that they remember only
//! later they name before.

use std::collections::BTreeSet;
use std::num::NonZeroU32;

use choreo_model::Object;

use super::delete_all;
use crate::decision::Write;
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
