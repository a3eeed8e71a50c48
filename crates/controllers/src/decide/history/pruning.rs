//! How much of a history is kept. What is pruned is everything up to a checkpoint: the number of a record
//! and its hash, which the first record that is kept follows. Every later record names it, so that the
//! chain begins there as surely as it began with the first.
//!
//! Where a record is, it is known only as long as it is the last. So the next checkpoint is remembered
//! when it is the last, and becomes the beginning once enough has followed.

use choreo_model::history::{Checkpoint, DeploymentRecordSpec, HistoryHead};
use choreo_model::platform::EnvironmentSpec;
use choreo_model::{Spec as _, names};
use serde_json::json;

use super::super::{Context, metadata};
use crate::decision::{Home, Write};

/// How many records are kept at least when nothing is said.
const LIMIT: i64 = 1000;

/// Up to where a history is pruned, and up to where it will be next.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Marks {
    pub(super) pruned: Option<Checkpoint>,
    pub(super) next: Option<Checkpoint>,
}

/// How many records of each binding an environment keeps at least.
pub(super) fn limit(context: &Context<'_>, environment: &str) -> i64 {
    let environment = context
        .view
        .get::<EnvironmentSpec>(context.namespace(), environment);
    let said = environment.and_then(|environment| environment.spec.history_limit);
    said.map_or(LIMIT, |limit| i64::from(limit.get()))
}

/// The marks of a history that a record is added to; `head` is the record before, with its outcome.
pub(super) fn marks(head: Option<&HistoryHead>, limit: i64) -> Marks {
    let Some(head) = head else {
        return Marks::default();
    };
    let last = || {
        Some(Checkpoint {
            sequence: head.sequence,
            hash: head.hash.clone(),
        })
    };
    let since = |mark: &Checkpoint| head.sequence - mark.sequence;
    match &head.next_checkpoint {
        None if head.sequence >= limit => Marks {
            pruned: head.pruned.clone(),
            next: last(),
        },
        Some(next) if since(next) >= limit => Marks {
            pruned: Some(next.clone()),
            next: last(),
        },
        next => Marks {
            pruned: head.pruned.clone(),
            next: next.clone(),
        },
    }
}

/// Deletes the records of a binding, of that name and identifier, from one checkpoint to another.
pub(super) fn deletes(
    context: &Context<'_>,
    (binding, uid): (&str, &str),
    before: Option<&Checkpoint>,
    now: Option<&Checkpoint>,
) -> Vec<Write> {
    let last = |mark: Option<&Checkpoint>| mark.map_or(0, |mark| mark.sequence);
    let gone = last(before) + 1..=last(now);
    gone.map(|sequence| {
        let name = names::deployment_record(binding, uid, sequence);
        Write::Delete {
            home: Home::Control,
            object: json!({
                "apiVersion": choreo_model::API_VERSION,
                "kind": DeploymentRecordSpec::KIND,
                "metadata": metadata(context.namespace(), &name, &[]),
            }),
            // The name of a record holds the identifier of its binding: there is no other of it.
            uid: String::new(),
        }
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers up to which a history of so many records is pruned, one after the other.
    fn pruned(limit: i64, records: i64) -> Vec<i64> {
        let mut head = HistoryHead::default();
        let numbers = (1..=records).map(|number| {
            let marks = marks((number > 1).then_some(&head), limit);
            head.sequence = number;
            head.hash = number.to_string();
            head.pruned.clone_from(&marks.pruned);
            head.next_checkpoint = marks.next;
            if let Some(pruned) = &marks.pruned {
                assert_eq!(pruned.hash, pruned.sequence.to_string());
            }
            marks.pruned.map_or(0, |pruned| pruned.sequence)
        });
        numbers.collect()
    }

    #[test]
    fn as_many_as_are_asked_for_are_kept_and_never_twice_as_many_more() {
        assert_eq!(pruned(2, 8), [0, 0, 0, 0, 2, 2, 4, 4]);
        assert_eq!(pruned(1, 4), [0, 0, 1, 2]);
        for limit in 1..6 {
            for (number, pruned) in (1..40).zip(pruned(limit, 39)) {
                let kept = number - pruned;
                assert!(kept >= limit.min(number), "{limit} {number}");
                assert!(kept <= 2 * limit, "{limit} {number}");
            }
        }
    }
}
