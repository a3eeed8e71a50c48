//! What cannot work, told before anything is evaluated.
//!
//! Types are inferred from what a [`Scope`] declares. Where a type is not known ([`Type::Dyn`])
//! everything goes; an error is only what fails whenever it is reached.

mod calls;
mod infer;
mod scope;
mod types;

pub(crate) use infer::infer;
pub use scope::Scope;
pub use types::{Fields, Type};

#[cfg(test)]
mod tests;
