//! What cannot work, told before anything is evaluated.
//!
//! Types are inferred from what a [`Scope`] declares. Where a type is not known ([`Type::Dyn`])
//! everything goes; an error is only what fails whenever it is reached.

mod calls;
mod cost;
mod infer;
mod operators;
mod scope;
mod types;

pub use cost::Extent;
pub(crate) use cost::cost;
pub(crate) use infer::infer;
pub use scope::Scope;
pub use types::{Fields, Type};

#[cfg(test)]
mod tests;
