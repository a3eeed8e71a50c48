//! What expressions may name, and of which type it is.

use super::Type;
use crate::Helper;
use std::collections::BTreeMap;

/// Declarations, and those around them.
#[derive(Debug, Clone, Default)]
pub struct Scope<'p> {
    parent: Option<&'p Self>,
    variables: BTreeMap<String, Type>,
    helpers: BTreeMap<Helper, Type>,
    /// Whether it is that of a loop or binding within an expression.
    inner: bool,
    strict: bool,
}

impl<'p> Scope<'p> {
    /// A scope that declares nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// A scope that declares nothing, whose expressions are held to the types of CEL to the letter:
    /// numbers do not mix, only what can be null is compared with it, objects are no maps and of one
    /// type only if they are of one place, and fields that nothing declares cannot be asked for.
    pub fn strict() -> Self {
        Self {
            strict: true,
            ..Self::default()
        }
    }

    /// A scope inside this one: what is declared there hides what is declared here.
    pub fn scope<'b>(&'b self) -> Scope<'b>
    where
        'p: 'b,
    {
        Scope {
            parent: Some(self),
            variables: BTreeMap::new(),
            helpers: BTreeMap::new(),
            inner: false,
            strict: self.strict,
        }
    }

    pub(super) const fn is_strict(&self) -> bool {
        self.strict
    }

    /// The scope of a loop or binding within an expression.
    pub(super) fn inner<'b>(&'b self) -> Scope<'b>
    where
        'p: 'b,
    {
        Scope {
            inner: true,
            ..self.scope()
        }
    }

    /// The scope of the whole expression.
    pub(super) fn outside(&self) -> &Self {
        match self.parent {
            Some(parent) if self.inner => parent.outside(),
            _ => self,
        }
    }

    /// Declares the variable `name`.
    pub fn declare(&mut self, name: &str, type_: Type) {
        self.variables.insert(name.to_owned(), type_);
    }

    /// Declares what `helper` returns.
    pub fn declare_helper(&mut self, helper: &Helper, type_: Type) {
        self.helpers.insert(*helper, type_);
    }

    pub(super) fn helper(&self, helper: Helper) -> Option<&Type> {
        let own = self.helpers.get(&helper);
        own.or_else(|| self.parent.and_then(|parent| parent.helper(helper)))
    }

    pub(crate) fn find(&self, name: &str) -> Option<&Type> {
        let own = self.variables.get(name);
        own.or_else(|| self.parent.and_then(|parent| parent.find(name)))
    }

    /// The names that can be written.
    pub(crate) fn names(&self) -> Vec<&str> {
        let own = self.variables.keys().map(String::as_str);
        let outer = self.parent.map(Scope::names).unwrap_or_default();
        let mut names: Vec<&str> = own.chain(outer).collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}
