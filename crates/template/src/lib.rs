//! `${...}` templates over CEL.
//!
//! A template is a JSON value whose strings (and map keys) may hold expressions. This crate parses
//! it once into programs that remember where they were written, and evaluates it any number of
//! times. It knows no kinds and no Kubernetes: what a platform adds to the language comes in as
//! data, through [`Helper`] and [`Context::bind`].
//!
//! Evaluation is deterministic (maps are walked in key order) and bounded: every iteration of a
//! comprehension burns fuel, and expressions, nesting and output have limits.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

mod arithmetic;
mod comprehension;
mod context;
mod dialect;
mod fault;
mod functions;
pub mod name;
mod scan;
mod size;
pub mod source;
mod template;
mod trace;
mod value;
mod variables;

pub use context::Context;
pub use dialect::{Dialect, Helper};
pub use fault::Fault;
pub use template::{Output, Template};
pub use trace::{Entry, Recorder, Silent, Trace};

/// The longest expression that is parsed, in bytes.
pub const MAX_EXPRESSION: usize = 32 * 1024;
/// How deep an expression may nest: operators in a row, and brackets, which count double.
pub const MAX_NESTING: usize = 100;
/// How deep the tree of an expression may be, with its macros expanded.
pub const MAX_TREE: usize = 40;
/// How many iterations all comprehensions of one [`Context`] may make together.
pub const MAX_ITERATIONS: u64 = 1_000_000;
/// How many values one expression may produce.
pub const MAX_VALUES: usize = 100_000;
/// How deep values may nest, in templates and in what expressions produce.
pub const MAX_DEPTH: usize = 64;
