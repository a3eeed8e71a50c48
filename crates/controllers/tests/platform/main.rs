//! The controllers on the real API, in one process. There is no node: the tests play its part.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod events;
mod harness;
mod lifecycle;
mod preview;
mod promotions;
#[path = "../../../compiler/tests/reference/mod.rs"]
mod reference;
mod references;
mod resources;
mod tracks;
