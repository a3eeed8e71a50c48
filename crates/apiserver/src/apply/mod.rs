//! Server-side apply: who owns which field, and what follows from it.

mod fields;
mod managed;
mod merge;
mod typed;

pub(crate) use managed::{Before, Manager, apply, track};
