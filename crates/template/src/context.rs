//! What expressions can see.

use crate::comprehension::FUEL;
use crate::functions::Fuel;
use crate::{Dialect, Helper, MAX_ITERATIONS, value};
use serde_json::Value;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

/// Variables and helper results, borrowed from JSON. All scopes of a context share its fuel.
pub struct Context<'p, 'v> {
    scope: cel::Context<'p, 'v>,
}

impl fmt::Debug for Context<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").finish_non_exhaustive()
    }
}

impl<'v> Context<'_, 'v> {
    /// An empty context for templates parsed with `dialect`.
    pub fn new(dialect: &Dialect) -> Self {
        let mut scope = cel::Context::with_env(Arc::clone(dialect.env()));
        let fuel = Fuel(Arc::new(AtomicU64::new(MAX_ITERATIONS)));
        scope.add_variable_as_val(FUEL, Box::new(fuel));
        Self { scope }
    }

    /// Binds the variable `name`.
    pub fn bind(&mut self, name: &str, value: &'v Value) {
        self.scope
            .add_variable_as_val(name, value::from_json(value));
    }

    /// Sets what `helper` returns (or, if it takes an argument, the map it looks it up in).
    pub fn bind_helper(&mut self, helper: &Helper, value: &'v Value) {
        self.scope
            .add_variable_as_val(helper.variable(), value::from_json(value));
    }

    /// A scope inside this one: what is bound there hides what is bound here.
    pub fn scope<'b>(&'b self) -> Context<'b, 'v> {
        Context {
            scope: self.scope.new_inner_scope(),
        }
    }

    pub(crate) fn cel(&self) -> &cel::Context<'_, 'v> {
        &self.scope
    }
}
