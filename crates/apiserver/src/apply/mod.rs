//! Server-side apply: who owns which field, and what follows from it.

mod fields;
mod managed;
mod merge;
mod reconcile;
mod release;
mod typed;

pub(crate) use managed::{Before, Manager, ambiguous, apply, track};
#[cfg(test)]
mod tables;
