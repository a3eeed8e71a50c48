//! What went wrong, and where it was written.

use std::ops::Range;

/// A problem with one expression of a template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Fault {
    /// What went wrong, without the place.
    pub message: String,
    /// JSON pointer to the string inside the template; a key's pointer is that of its entry.
    pub path: String,
    /// Bytes of that string the expression covers, `${` and `}` included.
    pub range: Range<usize>,
    /// The expression's source, without `${` and `}`.
    pub expression: String,
    /// What could be done about it, when that is known.
    pub hint: Option<String>,
}

/// Joins `segment` to a JSON pointer.
pub(crate) fn join(path: &str, segment: &str) -> String {
    format!("{path}/{}", segment.replace('~', "~0").replace('/', "~1"))
}
