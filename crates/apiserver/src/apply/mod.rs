//! Server-side apply: who owns which field, and what follows from it.

mod conflict;
mod entry;
mod fields;
mod managed;
mod merge;
mod reconcile;
mod release;
mod typed;
mod versions;

pub(crate) use managed::{Before, Manager, ambiguous, apply, create, track};
#[cfg(any(test, fuzzing))]
pub(crate) use versions::Same;
pub(crate) use versions::Versions;
#[cfg(test)]
mod tables;
