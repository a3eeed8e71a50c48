//! What went wrong, and where it was written.

use crate::budget::Exhausted;
use std::ops::Range;

/// The longest message, in bytes: what people wrote may be quoted in it, whatever its length.
const LONGEST: usize = 1000;

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
    /// Bytes of the expression's source that the problem is about.
    pub part: Range<usize>,
    /// Whether it fails whenever it is reached; otherwise it may well be meant.
    pub certain: bool,
    /// What could be done about it, when that is known.
    pub hint: Option<String>,
}

/// Why an expression has no value, before it is known where it was written.
#[derive(Debug, Clone)]
pub(crate) struct Failure(Box<Cause>);

#[derive(Debug, Clone)]
struct Cause {
    message: String,
    hint: Option<String>,
    span: Option<Range<usize>>,
}

impl Failure {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self(Box::new(Cause {
            message: clipped(message.into()),
            hint: None,
            span: None,
        }))
    }

    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// The same at `span`, unless a place further inside is known.
    pub(crate) fn at(mut self, span: &Range<usize>) -> Self {
        self.0.span.get_or_insert_with(|| span.clone());
        self
    }

    pub(crate) fn into_parts(self) -> (String, Option<String>, Option<Range<usize>>) {
        (self.0.message, self.0.hint, self.0.span)
    }
}

impl From<Exhausted> for Failure {
    fn from(exhausted: Exhausted) -> Self {
        Self::new(exhausted.to_string())
    }
}

/// `message`, cut when it is too long to be read.
pub fn clipped(mut message: String) -> String {
    let length = cut(&message, LONGEST).len();
    if length < message.len() {
        message.truncate(length);
        message.push('…');
    }
    message
}

/// The first `length` bytes of `text`, or a little less: what is quoted in a message.
pub fn cut(text: &str, length: usize) -> &str {
    text.get(..text.floor_char_boundary(length)).unwrap_or(text)
}

/// Joins `segment` to a JSON pointer.
pub(crate) fn join(path: &str, segment: &str) -> String {
    if segment.contains(['~', '/']) {
        return format!("{path}/{}", segment.replace('~', "~0").replace('/', "~1"));
    }
    let mut joined = String::with_capacity(path.len() + 1 + segment.len());
    joined.push_str(path);
    joined.push('/');
    joined.push_str(segment);
    joined
}
