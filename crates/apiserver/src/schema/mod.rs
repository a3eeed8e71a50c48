//! Structural schemas: what the server knows about the shape of an object.
//!
//! One schema answers every question the API asks of a shape: which fields are
//! unknown, what the defaults are, which rules a value breaks, and how the
//! values at a place merge in server-side apply. Built-in kinds and custom
//! kinds use the same code; they differ only in where the schema comes from.
//! A schema is compiled when it is first needed, because most kinds of most
//! servers are never written.

mod cause;
mod compile;
mod conversion;
mod crd;
mod default;
mod defaults;
mod expressions;
mod functions;
mod meta;
mod node;
mod path;
mod program;
mod prune;
mod quantity;
mod selectable;
mod structural;
mod structure;
#[cfg(test)]
mod tables;
mod validate;

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::{Arc, OnceLock},
};

use serde_json::Value;

pub use self::{cause::Cause, crd::from_crd};
pub(crate) use self::{
    compile::{Compiler, strings, text},
    crd::{AGE, check as check_definition, too_expensive, versions},
    expressions::Verdict,
    meta::openapi as metadata_openapi,
    node::{Node, Shape},
    quantity::value as quantity_value,
    structure::Structure,
};

/// A structural schema of whole objects.
#[derive(Clone)]
pub struct Schema {
    source: Source,
    compiled: Arc<OnceLock<Arc<Structure>>>,
    mark: u64,
}

/// Where the compiled form comes from when it is asked for.
#[derive(Clone)]
enum Source {
    /// The text of an `openAPIV3Schema`: as JSON text, a fifth of the parsed size.
    OpenApi(Arc<str>),
    /// The definition of a built-in kind.
    Builtin(Arc<dyn Fn() -> Arc<Structure> + Send + Sync>),
}

impl std::fmt::Debug for Schema {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Schema")
            .field("compiled", &self.compiled.get().is_some())
            .finish_non_exhaustive()
    }
}

impl Schema {
    /// Reads an OpenAPI v3 schema of a whole object.
    pub fn from_openapi(schema: &Value) -> Self {
        let text: Arc<str> = Arc::from(schema.to_string());
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        Self {
            source: Source::OpenApi(text),
            compiled: Arc::default(),
            mark: hasher.finish().max(1),
        }
    }

    /// A schema that `compile` makes when it is first needed.
    pub(crate) fn builtin(compile: Arc<dyn Fn() -> Arc<Structure> + Send + Sync>) -> Self {
        Self {
            source: Source::Builtin(compile),
            compiled: Arc::default(),
            mark: 0,
        }
    }

    /// The OpenAPI v3 schema this was read from; nothing for built-in kinds,
    /// whose definitions are shared.
    pub fn openapi(&self) -> Option<Value> {
        match &self.source {
            Source::OpenApi(text) => serde_json::from_str(text).ok(),
            Source::Builtin(_) => None,
        }
    }

    /// The text this schema was read from, for hashing.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.source {
            Source::OpenApi(text) => Some(text),
            Source::Builtin(_) => None,
        }
    }

    /// Tells this schema from others; 0 for those of built-in kinds, which do not change.
    pub(crate) fn mark(&self) -> u64 {
        self.mark
    }

    /// The place of the whole object.
    pub(crate) fn root(&self) -> Node<'_> {
        Node::new(Some(self.structure()))
    }

    /// Removes what the schema does not know and returns the paths removed
    /// (`spec.foo`), sorted as they were met.
    pub fn prune(&self, object: &mut Value) -> Vec<String> {
        prune::prune(self.structure(), object)
    }

    /// Fills in defaults, drops nulls that mean "unset", and brings numbers to
    /// the form typed readers expect.
    pub fn default(&self, object: &mut Value) {
        default::default(self.structure(), object);
    }

    /// Every rule the object breaks, but for what is as in `old`, the object stored so far.
    pub fn validate(&self, object: &Value, old: Option<&Value>) -> Vec<Cause> {
        validate::validate(self.structure(), object, old)
    }

    /// What the rules written in CEL say of the object, stored so far as `old`.
    pub(crate) fn check(&self, object: &Value, old: Option<&Value>) -> Verdict {
        expressions::check(self.structure(), object, old)
    }

    fn structure(&self) -> &Structure {
        self.compiled.get_or_init(|| match &self.source {
            Source::OpenApi(text) => {
                let schema = serde_json::from_str(text).unwrap_or(Value::Null);
                Compiler::default().object(&schema)
            }
            Source::Builtin(compile) => compile(),
        })
    }
}

/// The words Kubernetes uses for an unknown field of a strict request.
pub(crate) fn unknown_field(path: &str) -> String {
    format!("unknown field \"{path}\"")
}
