//! The language templates are written in: CEL, its libraries, ours, and the platform's helpers.

use crate::library::{self, Overload, Sig};

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
    /// How the calls of functions begin that are left out.
    without: &'static [&'static str],
}

impl Dialect {
    /// CEL with `helpers`.
    pub const fn new(helpers: &'static [Helper]) -> Self {
        Self {
            helpers,
            functions: &[],
            without: &[],
        }
    }

    /// The same with further functions.
    #[must_use]
    pub const fn with(self, functions: &'static [&'static [Overload]]) -> Self {
        Self { functions, ..self }
    }

    /// The same without the functions whose calls begin like one of these: `math.`, `string.reverse`.
    #[must_use]
    pub const fn without(self, without: &'static [&'static str]) -> Self {
        Self { without, ..self }
    }

    fn all(&self) -> impl Iterator<Item = &'static Overload> + use<> {
        let all = library::all().chain(self.functions.iter().copied().flatten());
        let dialect = *self;
        all.filter(move |one| dialect.without.is_empty() || dialect.has(&one.usage()))
    }

    /// Whether a function that is called so would not be left out.
    pub(crate) fn has(&self, usage: &str) -> bool {
        !self.without.iter().any(|begin| usage.starts_with(begin))
    }

    /// The type of this qualified name.
    pub(crate) fn type_named(&self, name: &str) -> Option<&'static str> {
        const PROTOBUF: [&str; 2] = ["google.protobuf.Duration", "google.protobuf.Timestamp"];
        let made = self.functions.iter().copied().flatten();
        let made = made.filter_map(|one| match one.result {
            Sig::Foreign(name) => Some(name),
            _ => None,
        });
        PROTOBUF
            .into_iter()
            .chain(made)
            .find(|known| *known == name)
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
