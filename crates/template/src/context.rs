//! What expressions can see.

use crate::budget::Budget;
use crate::value::{self, Value};
use crate::{Helper, Tree, Type};
use std::fmt;
use std::rc::Rc;

/// Variables and helper results, borrowed from JSON. All scopes of a context share its budget.
pub struct Context<'p, 'v> {
    parent: Option<&'p Self>,
    variables: Vec<(&'v str, Value<'v>)>,
    helpers: Vec<(&'v Helper, Value<'v>)>,
    budget: Budget,
}

impl fmt::Debug for Context<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").finish_non_exhaustive()
    }
}

impl Default for Context<'_, '_> {
    fn default() -> Self {
        Self::new()
    }
}

impl<'p, 'v> Context<'p, 'v> {
    /// An empty context with a budget of its own.
    pub fn new() -> Self {
        Self::within(Budget::default())
    }

    /// An empty context whose expressions take from `budget`.
    pub const fn within(budget: Budget) -> Self {
        Self {
            parent: None,
            variables: Vec::new(),
            helpers: Vec::new(),
            budget,
        }
    }

    /// Makes room for so many variables and results of helpers more.
    pub fn reserve(&mut self, variables: usize, helpers: usize) {
        self.variables.reserve_exact(variables);
        self.helpers.reserve_exact(helpers);
    }

    /// Binds the variable `name`.
    pub fn bind(&mut self, name: &'v str, value: &'v serde_json::Value) {
        self.set(name, value::from_json(value));
    }

    /// The same, to a tree.
    pub fn bind_tree(&mut self, name: &'v str, value: &'v Tree) {
        self.set(name, value::from_tree(value));
    }

    /// Binds the variable `name` to `value` as one of `type_`: where that says so, texts are times
    /// and whole numbers are doubles.
    pub fn bind_as(&mut self, name: &'v str, value: &'v serde_json::Value, type_: &Type) {
        self.set(name, value::from_json_as(value, type_));
    }

    /// Binds the variable `name` to an optional that holds `value`, if there is one.
    pub fn bind_optional(
        &mut self,
        name: &'v str,
        value: Option<&'v serde_json::Value>,
        type_: &Type,
    ) {
        let inner = value.map(|value| Rc::new(value::from_json_as(value, type_)));
        self.set(name, Value::Optional(inner));
    }

    /// Sets what `helper` returns (or, if it takes an argument, the map it looks it up in).
    pub fn bind_helper(&mut self, helper: &'v Helper, value: &'v Tree) {
        self.helpers.push((helper, value::from_tree(value)));
    }

    /// A scope inside this one: what is bound there hides what is bound here.
    pub fn scope<'b>(&'b self) -> Context<'b, 'v>
    where
        'p: 'b,
    {
        Context {
            parent: Some(self),
            variables: Vec::new(),
            helpers: Vec::new(),
            budget: self.budget.clone(),
        }
    }

    pub(crate) fn set(&mut self, name: &'v str, value: Value<'v>) {
        match self.variables.iter_mut().find(|(known, _)| *known == name) {
            Some((_, old)) => *old = value,
            None => self.variables.push((name, value)),
        }
    }

    pub(crate) fn find(&self, name: &str) -> Option<Value<'v>> {
        let own = self.variables.iter().find(|(known, _)| *known == name);
        match (own, self.parent) {
            (Some((_, value)), _) => Some(value.clone()),
            (None, Some(parent)) => parent.find(name),
            (None, None) => None,
        }
    }

    pub(crate) fn helper(&self, helper: Helper) -> Option<Value<'v>> {
        // The last one bound counts.
        let own = self
            .helpers
            .iter()
            .rev()
            .find(|(known, _)| **known == helper);
        match (own, self.parent) {
            (Some((_, value)), _) => Some(value.clone()),
            (None, Some(parent)) => parent.helper(helper),
            (None, None) => None,
        }
    }

    /// The names that can be written, for suggestions.
    pub(crate) fn names(&self) -> Vec<String> {
        let own = self.variables.iter().map(|(name, _)| (*name).to_owned());
        let outer = self.parent.map(Context::names).unwrap_or_default();
        own.chain(outer).collect()
    }

    pub(crate) fn budget(&self) -> &Budget {
        &self.budget
    }
}
