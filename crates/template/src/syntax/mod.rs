//! From the text of an expression to its tree.

pub(crate) mod ast;
mod lexer;
mod literal;
mod macros;
mod nearest;
mod parser;

pub use nearest::nearest;
pub(crate) use parser::parse;

use std::ops::Range;

/// Something wrong with an expression, and where in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mistake {
    pub(crate) message: String,
    pub(crate) span: Range<usize>,
    /// Whether it fails whenever it is reached.
    pub(crate) certain: bool,
    pub(crate) hint: Option<String>,
}

impl Mistake {
    pub(crate) fn new(span: Range<usize>, message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            span,
            certain: true,
            hint: None,
        }
    }

    pub(crate) fn with_hint(mut self, hint: Option<String>) -> Self {
        self.hint = hint;
        self
    }
}

/// `did you mean ...`, when one of `known` is close to `name`.
pub(crate) fn meant<'k>(name: &str, known: impl IntoIterator<Item = &'k str>) -> Option<String> {
    nearest(name, known).map(|found| format!("did you mean {found}?"))
}

#[cfg(test)]
mod tests;
