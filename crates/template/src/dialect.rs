//! The language templates are written in: CEL, its libraries, ours, and the platform's helpers.

use crate::library::{self, Overload};

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
    functions: &'static [&'static [Overload]],
}

impl Dialect {
    /// CEL with `helpers`.
    pub const fn new(helpers: &'static [Helper]) -> Self {
        Self {
            helpers,
            functions: &[],
        }
    }

    /// The same with further functions.
    #[must_use]
    pub const fn with(self, functions: &'static [&'static [Overload]]) -> Self {
        Self { functions, ..self }
    }

    fn all(&self) -> impl Iterator<Item = &'static Overload> + use<> {
        library::all().chain(self.functions.iter().copied().flatten())
    }

    /// The ways to call `name`.
    pub(crate) fn overloads(&self, name: &str, method: bool) -> Vec<&'static Overload> {
        self.all()
            .filter(|one| one.method == method && one.name == name)
            .collect()
    }

    /// The names of all functions, or of all methods.
    pub(crate) fn names(&self, method: bool) -> impl Iterator<Item = &'static str> + use<> {
        self.all()
            .filter(move |one| one.method == method)
            .map(|one| one.name)
    }

    pub(crate) const fn helpers(&self) -> &'static [Helper] {
        self.helpers
    }
}
