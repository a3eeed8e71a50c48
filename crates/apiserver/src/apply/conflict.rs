//! Fields that an apply would take from those who own them.

use super::{entry::Entry, versions::Comparisons};
use crate::{
    schema::Cause,
    status::{Failure, Result, cause},
};

/// Takes changed fields from their owners, or says whose they are.
pub(super) fn take_over(
    entries: &mut [Entry],
    comparisons: &mut Comparisons<'_>,
    force: bool,
) -> Result<()> {
    let mut causes = Vec::new();
    let mut owners = Vec::new();
    for entry in entries {
        let changed = &comparisons.of(&entry.api_version).changed;
        let contested = entry.fields.intersection(changed);
        if contested.is_empty() {
            continue;
        }
        if force {
            entry.fields.subtract(&contested);
            continue;
        }
        let owner = entry.describe();
        let paths = contested.paths();
        causes.extend(paths.iter().map(|path| {
            cause(
                "FieldManagerConflict",
                path,
                format!("conflict with {owner}"),
            )
        }));
        owners.push((owner, paths));
    }
    if causes.is_empty() {
        return Ok(());
    }
    owners.sort();
    Err(Failure::apply_conflict(
        conflict_message(&owners, &causes),
        causes,
    ))
}

fn conflict_message(owners: &[(String, Vec<String>)], causes: &[Cause]) -> String {
    if let [only] = causes {
        return format!(
            "Apply failed with 1 conflict: {}: {}",
            only.message, only.field
        );
    }
    let mut lines = Vec::new();
    for (owner, paths) in owners {
        lines.push(format!("conflicts with {owner}:"));
        lines.extend(paths.iter().map(|path| format!("- {path}")));
    }
    format!(
        "Apply failed with {} conflicts: {}",
        causes.len(),
        lines.join("\n")
    )
}
