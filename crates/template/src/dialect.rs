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
    /// What is said of it where there is none.
    pub(crate) fn missing(self) -> String {
        format!("there is no {}.{}() here", self.receiver, self.name)
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
