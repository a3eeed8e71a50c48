//! The language templates are written in: CEL, its libraries, ours, and the platform's helpers.

/// A call on a variable whose result the platform computes: `receiver.name()`, or
/// `receiver.name(key)`, which looks `key` up and returns an optional.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Helper {
    /// The variable it is called on.
    pub receiver: &'static str,
    /// The method's name.
    pub name: &'static str,
    /// Whether it takes a key.
    pub keyed: bool,
}

impl Helper {
    /// The variable that holds the result; no expression can spell it.
    pub(crate) fn variable(&self) -> String {
        format!("@{}_{}", self.receiver, self.name)
    }
}

/// The language: what the platform adds to CEL and its libraries.
#[derive(Debug, Clone, Copy)]
pub struct Dialect {
    helpers: &'static [Helper],
}

impl Dialect {
    /// CEL with `helpers`.
    pub const fn new(helpers: &'static [Helper]) -> Self {
        Self { helpers }
    }

    pub(crate) const fn helpers(&self) -> &'static [Helper] {
        self.helpers
    }
}

/// What is said of the helper that `variable` holds where there is none.
pub(crate) fn missing(variable: &str) -> String {
    let (receiver, name) = variable
        .trim_start_matches('@')
        .split_once('_')
        .unwrap_or_default();
    format!("there is no {receiver}.{name}() here")
}
