//! `${...}` templates over CEL.
//!
//! A template is a JSON value whose strings (and map keys) may hold expressions. This crate parses
//! it once into programs that remember where they were written, and evaluates it any number of
//! times. It knows no kinds and no Kubernetes: what a platform adds to the language comes in as
//! data, through [`Helper`] and [`Context::bind`], and functions of other types as [`Overload`]s.
//!
//! The language is CEL: `syntax` reads it, `check` tells what cannot work before anything is
//! evaluated, `eval` evaluates it, and `library` holds its functions. It is our own because
//! evaluation must be deterministic (maps are walked in key order) and bounded in steps, memory and
//! depth whatever is written, and because every mistake should be told where it stands.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "an operation is defined for few of many types and nodes; all others are refused alike"
)]

mod budget;
mod check;
#[cfg(test)]
mod conformance;
mod context;
mod dialect;
mod eval;
mod fault;
pub mod format;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod library;
pub mod name;
mod pattern;
mod references;
mod scan;
pub mod source;
mod sources;
mod syntax;
mod template;
mod trace;
mod tree;
mod value;

pub use budget::{Budget, Exhausted};
pub use check::{Extent, Fields, Scope, Type};
pub use context::Context;
pub use dialect::{Dialect, Helper};
pub use fault::{Fault, clipped, cut};
pub use library::{Added, FINDING, Foreign, ORDERING, Overload, Plain, Sig};
pub use pattern::{Pattern, from_re2};
pub use references::{Reference, references};
pub use sources::sources;
pub use syntax::nearest;
pub use template::{Output, Template};
pub use trace::{Entry, Recorder, Silent, Trace};
pub use tree::{Items, Members, Name, Tree};
pub use value::{Identity, weight};

/// The longest expression that is parsed, in bytes.
pub const MAX_EXPRESSION: usize = 32 * 1024;
/// How deep the tree of an expression may be, and how deep its brackets.
pub const MAX_NESTING: usize = 96;
/// How many mistakes of one template are told.
pub const MAX_FAULTS: usize = 100;
/// How many expressions one template may hold.
pub const MAX_EXPRESSIONS: usize = 5_000;
/// How many steps all expressions of one [`Context`] may take together.
pub const MAX_STEPS: usize = 1_000_000;
/// How many bytes all expressions of one [`Context`] may make together, intermediate ones included.
pub const MAX_OUTPUT: usize = 32 << 20;
/// How deep values may nest, in templates and in what expressions produce.
pub const MAX_DEPTH: usize = 64;
