//! The controllers: what the platform's objects ask for, made so.
//!
//! Watches feed an index of plain state. For every object that something changed for, a pure
//! function reads the index and returns a decision: writes, a status, events. An executor carries
//! decisions out and has no choice left. While a decision is made, the index records everything
//! that was read, present or absent; a later change of any of it wakes the object again, and
//! nothing else does. There is no polling.

mod act;
mod aside;
mod aspects;
mod calls;
mod decide;
mod decision;
mod health;
mod index;
mod keep;
mod key;
mod live;
mod manifests;
mod material;
mod members;
mod placements;
mod planes;
mod queue;
mod readers;
mod runtime;
mod table;
mod tables;
mod tell;
mod usage;
mod view;
mod watch;
mod watched;

pub use act::Executor;
pub use calls::{Calls, Request};
pub use decide::{Obstacle, Release, decide, hold_from_the_beginning, release};
pub use decision::{Decision, Event, EventType, Home, Write};
pub use index::{Change, Index};
pub use key::Key;
pub use live::Live;
pub use material::{left_behind, names, users};
pub use planes::Planes;
pub use runtime::Controllers;
