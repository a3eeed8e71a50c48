//! The compiled form of a schema: a graph of shared, immutable places.

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
};

use regex::Regex;
use serde_json::Value;

use super::program::Programs;
use choreo_template::{format::Format, from_re2};

/// One place of a schema.
#[derive(Debug, Default)]
pub(crate) struct Structure {
    pub(super) kind: Type,
    /// Whether null is a value here rather than another word for "unset".
    pub(super) nullable: bool,
    /// Whether whole objects live here, with their own metadata.
    pub(super) embedded: bool,
    pub(super) properties: BTreeMap<Box<str>, Arc<Self>>,
    pub(super) rest: Rest,
    pub(super) items: Option<Arc<Self>>,
    pub(super) list: List,
    pub(super) merge: Merge,
    /// Key by which a strategic merge patch tells items apart.
    pub(super) merge_key: Option<Box<str>>,
    pub(super) default: Option<Value>,
    pub(super) rules: Option<Box<Rules>>,
    /// Rules written in CEL.
    pub(super) programs: Option<Box<Programs>>,
}

/// What kind of value belongs at a place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Type {
    /// Any value.
    #[default]
    Any,
    Object,
    Array,
    String,
    Integer,
    Number,
    Boolean,
    IntOrString,
    /// A Kubernetes quantity: a string, or a number on the way in.
    Quantity,
}

/// What may stand beside the declared properties of a map.
#[derive(Debug, Default)]
pub(super) enum Rest {
    /// Nothing: other keys are unknown.
    #[default]
    Unknown,
    /// Anything.
    Keep,
    /// Values of one shape.
    Typed(Arc<Structure>),
}

/// How server-side apply treats the value here as a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Merge {
    /// By its members or items.
    #[default]
    Granular,
    /// By its items, which must differ: Kubernetes holds custom kinds to that,
    /// but never its own.
    Distinct,
    /// A map that is replaced whole.
    Whole,
}

/// How a list merges.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) enum List {
    #[default]
    Atomic,
    Set,
    Map(Vec<String>),
}

impl List {
    /// The item of the list `old` that `item` was, where items can be told apart over time.
    pub(super) fn counterpart<'v>(
        &self,
        item: &Value,
        old: Option<&'v Value>,
    ) -> Option<&'v Value> {
        let Self::Map(keys) = self else {
            return None;
        };
        let same = |old: &&Value| keys.iter().all(|key| old.get(key) == item.get(key));
        old?.as_array()?.iter().find(same)
    }
}

/// Rules for values, beyond their shape.
#[derive(Debug, Default)]
pub(super) struct Rules {
    pub(super) required: Vec<Box<str>>,
    pub(super) allowed: Vec<Value>,
    pub(super) pattern: Option<Pattern>,
    pub(super) format: Option<Format>,
    pub(super) minimum: Option<Bound>,
    pub(super) maximum: Option<Bound>,
    pub(super) multiple_of: Option<f64>,
    pub(super) length: Range,
    pub(super) items: Range,
    pub(super) properties: Range,
    pub(super) unique: bool,
    pub(super) all_of: Vec<Arc<Structure>>,
    pub(super) any_of: Vec<Arc<Structure>>,
    pub(super) one_of: Vec<Arc<Structure>>,
    pub(super) not: Option<Arc<Structure>>,
}

/// A numeric bound.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Bound {
    pub(super) value: f64,
    pub(super) exclusive: bool,
}

/// Least and greatest size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) least: Option<u64>,
    pub(super) most: Option<u64>,
}

/// A regular expression, compiled at its first use: they are large in memory
/// and most are never tried.
#[derive(Debug)]
pub(super) struct Pattern {
    pub(super) source: Box<str>,
    compiled: OnceLock<Option<Regex>>,
}

impl Pattern {
    pub(super) fn new(source: &str) -> Self {
        Self {
            source: source.into(),
            compiled: OnceLock::new(),
        }
    }

    /// Whether the expression is found in `text`. One that does not compile
    /// matches nothing; definitions are checked before they get here.
    pub(super) fn matches(&self, text: &str) -> bool {
        self.compiled
            .get_or_init(|| Self::compile(&self.source).ok())
            .as_ref()
            .is_some_and(|regex| regex.is_match(text))
    }

    /// The expression as the engine reads it, or what is wrong with it.
    pub(super) fn compile(source: &str) -> Result<Regex, String> {
        let plain = from_re2(source)?;
        Regex::new(&plain).map_err(|error| error.to_string())
    }
}
