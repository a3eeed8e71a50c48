//! What expressions compute with. JSON is borrowed, never copied in.

mod distinct;
mod entries;
mod json;
mod order;

pub(crate) use distinct::Distinct;
pub use distinct::Identity;
pub(crate) use entries::{Entries, MOVED};
pub use json::weight;
pub(crate) use json::{
    from_json, from_json_as, from_tree, list_weight, map_weight, to_tree, whole,
};
pub(crate) use order::{compare, equals};

use crate::library::{Foreign, time::Moment};
use crate::{Items, Members, Name};
use serde_json::Value as Json;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

#[derive(Debug, Clone)]
pub(crate) enum Value<'v> {
    Null,
    Bool(bool),
    Int(i64),
    UInt(u64),
    Double(f64),
    String(Text<'v>),
    Bytes(Rc<[u8]>),
    List(List<'v>),
    Map(Map<'v>),
    Optional(Option<Rc<Self>>),
    Duration(Moment),
    Timestamp(Moment),
    /// What `type(...)` returns: the name of a type.
    Type(&'static str),
    /// A value that functions from outside make and read.
    Foreign(Rc<dyn Foreign>),
    /// What `oc_omit()` returns: the place it is assigned to goes away.
    Omit,
}

/// A string, borrowed or shared.
#[derive(Debug, Clone)]
pub(crate) enum Text<'v> {
    Borrowed(&'v str),
    Held(&'v Arc<str>),
    Shared(Arc<str>),
}

impl Text<'_> {
    /// What a text of `length` bytes takes in memory, in bytes.
    pub(crate) const fn cost(length: usize) -> usize {
        32 + length
    }

    pub(crate) fn as_str(&self) -> &str {
        match self {
            Self::Borrowed(text) => text,
            Self::Held(text) => text,
            Self::Shared(text) => text,
        }
    }

    /// The text to keep, shared where it can be.
    pub(crate) fn share(&self) -> Arc<str> {
        match self {
            Self::Borrowed(text) => Arc::from(*text),
            Self::Held(text) => Arc::clone(text),
            Self::Shared(text) => Arc::clone(text),
        }
    }
}

impl<'v> From<&'v Name> for Text<'v> {
    fn from(name: &'v Name) -> Self {
        match name {
            Name::Known(name) => Self::Borrowed(name),
            Name::Shared(name) => Self::Held(name),
        }
    }
}

/// A list, borrowed from JSON or made by an expression.
#[derive(Debug, Clone)]
#[expect(clippy::rc_buffer, reason = "a slice would be copied once more")]
pub(crate) enum List<'v> {
    Json(&'v [Json]),
    Tree(&'v Items),
    Shared(Rc<Vec<Value<'v>>>),
    Distinct(Rc<Distinct<'v>>),
}

impl<'v> List<'v> {
    /// What a list of `count` items takes in memory, in bytes, while it is made.
    pub(crate) const fn cost(count: usize) -> usize {
        count.saturating_mul(2 * size_of::<Value<'_>>())
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Json(items) => items.len(),
            Self::Tree(items) => items.len(),
            Self::Shared(items) => items.len(),
            Self::Distinct(list) => list.items().len(),
        }
    }

    pub(crate) fn get(&self, index: usize) -> Option<Value<'v>> {
        match self {
            Self::Json(items) => items.get(index).map(from_json),
            Self::Tree(items) => items.get(index).map(from_tree),
            Self::Shared(items) => items.get(index).cloned(),
            Self::Distinct(list) => list.items().get(index),
        }
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = Value<'v>> + '_ {
        (0..self.len()).filter_map(|index| self.get(index))
    }
}

/// How many entries a node of a B-tree has room for.
const NODE: usize = 11;

/// How many nodes the B-tree of a map of `count` entries has at most.
const fn nodes(count: usize) -> usize {
    count.div_ceil(NODE.div_ceil(2))
}

/// What a map of `count` entries takes in memory as JSON, in bytes, without what it holds.
pub(crate) const fn json_map_cost(count: usize) -> usize {
    nodes(count).saturating_mul(NODE * (size_of::<String>() + size_of::<Json>()))
}

/// A map, borrowed from JSON or made by an expression; always walked in the order of its keys.
#[derive(Debug, Clone)]
pub(crate) enum Map<'v> {
    Json(&'v serde_json::Map<String, Json>),
    Tree(&'v Members),
    Shared(Rc<Entries<'v>>),
}

impl<'v> Map<'v> {
    /// What a map of `count` entries takes in memory, in bytes, while it is made.
    pub(crate) const fn cost(count: usize) -> usize {
        count.saturating_mul(2 * (size_of::<Key<'_>>() + size_of::<Value<'_>>()))
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Json(map) => map.len(),
            Self::Tree(fields) => fields.len(),
            Self::Shared(map) => map.len(),
        }
    }

    pub(crate) fn get(&self, key: &Key<'_>) -> Option<Value<'v>> {
        match (self, key) {
            (Self::Json(map), Key::String(name)) => map.get(name.as_str()).map(from_json),
            (Self::Tree(fields), Key::String(name)) => fields.get(name.as_str()).map(from_tree),
            (Self::Json(_) | Self::Tree(_), Key::Bool(_) | Key::Int(_) | Key::UInt(_)) => None,
            (Self::Shared(map), key) => map.get(key).cloned(),
        }
    }

    pub(crate) fn field(&self, name: &str) -> Option<Value<'v>> {
        match self {
            Self::Json(map) => map.get(name).map(from_json),
            Self::Tree(fields) => fields.get(name).map(from_tree),
            Self::Shared(map) => map.get(&Key::String(Text::Borrowed(name))).cloned(),
        }
    }

    pub(crate) fn entries(&self) -> Vec<(Key<'v>, Value<'v>)> {
        match self {
            Self::Json(map) => {
                let mut entries: Vec<_> = map
                    .iter()
                    .map(|(key, value)| (Key::String(Text::Borrowed(key)), from_json(value)))
                    .collect();
                if !entries.is_sorted_by(|(left, _), (right, _)| left <= right) {
                    entries.sort_by(|(left, _), (right, _)| left.cmp(right));
                }
                entries
            }
            Self::Tree(fields) => fields
                .iter()
                .map(|(name, value)| (Key::String(name.into()), from_tree(value)))
                .collect(),
            Self::Shared(map) => map.iter().cloned().collect(),
        }
    }

    /// The names of its fields, for suggestions.
    pub(crate) fn names(&self) -> Vec<String> {
        self.entries()
            .into_iter()
            .map(|(key, _)| key.to_string())
            .collect()
    }
}

/// The key of a map. Whole numbers are equal whatever their type.
#[derive(Debug, Clone)]
pub(crate) enum Key<'v> {
    Bool(bool),
    Int(i64),
    UInt(u64),
    String(Text<'v>),
}

impl<'v> Key<'v> {
    /// The key that `value` is, if it can be one.
    pub(crate) fn of(value: &Value<'v>) -> Option<Self> {
        match value {
            Value::Bool(value) => Some(Self::Bool(*value)),
            Value::Int(value) => Some(Self::Int(*value)),
            Value::UInt(value) => Some(Self::UInt(*value)),
            Value::Double(value) => whole(*value).map(Self::Int),
            Value::String(text) => Some(Self::String(text.clone())),
            _ => None,
        }
    }

    pub(crate) fn value(&self) -> Value<'v> {
        match self {
            Self::Bool(value) => Value::Bool(*value),
            Self::Int(value) => Value::Int(*value),
            Self::UInt(value) => Value::UInt(*value),
            Self::String(text) => Value::String(text.clone()),
        }
    }

    fn rank(&self) -> (u8, i128) {
        match self {
            Self::Bool(value) => (0, i128::from(*value)),
            Self::Int(value) => (1, i128::from(*value)),
            Self::UInt(value) => (1, i128::from(*value)),
            Self::String(_) => (2, 0),
        }
    }
}

impl Ord for Key<'_> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        match (self, other) {
            (Self::String(left), Self::String(right)) => left.as_str().cmp(right.as_str()),
            _ => self.rank().cmp(&other.rank()),
        }
    }
}

impl PartialOrd for Key<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Key<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Key<'_> {}

impl fmt::Display for Key<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(key) => key.fmt(f),
            Self::Int(key) => key.fmt(f),
            Self::UInt(key) => key.fmt(f),
            Self::String(key) => f.write_str(key.as_str()),
        }
    }
}

impl<'v> Value<'v> {
    /// The name of its type, as `type(...)` has it.
    pub(crate) fn type_name(&self) -> &'static str {
        match self {
            Self::Null => "null_type",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::UInt(_) => "uint",
            Self::Double(_) => "double",
            Self::String(_) => "string",
            Self::Bytes(_) => "bytes",
            Self::List(_) => "list",
            Self::Map(_) => "map",
            Self::Optional(_) => "optional_type",
            Self::Duration(_) => "google.protobuf.Duration",
            Self::Timestamp(_) => "google.protobuf.Timestamp",
            Self::Type(_) => "type",
            Self::Foreign(value) => value.type_name(),
            Self::Omit => "omit",
        }
    }

    /// The text, if it is one.
    pub(crate) fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text.as_str()),
            _ => None,
        }
    }

    /// How many bytes its text or bytes have.
    pub(crate) fn length(&self) -> usize {
        match self {
            Self::String(text) => text.as_str().len(),
            Self::Bytes(bytes) => bytes.len(),
            _ => 0,
        }
    }

    pub(crate) fn list(items: Vec<Self>) -> Self {
        Self::List(List::Shared(Rc::new(items)))
    }

    pub(crate) fn map(entries: Entries<'v>) -> Self {
        Self::Map(Map::Shared(Rc::new(entries)))
    }

    pub(crate) fn some(value: Self) -> Self {
        Self::Optional(Some(Rc::new(value)))
    }

    /// What an optional holds; everything else is itself.
    pub(crate) fn held(self) -> Self {
        match self {
            Self::Optional(Some(inner)) => inner.as_ref().clone().held(),
            other => other,
        }
    }

    pub(crate) const fn none() -> Self {
        Self::Optional(None)
    }

    /// Whether it is what its type starts with: empty, zero, false.
    pub(crate) fn is_zero(&self) -> bool {
        match self {
            Self::Null | Self::Omit => true,
            Self::Bool(value) => !value,
            Self::Int(value) => *value == 0,
            Self::UInt(value) => *value == 0,
            Self::Double(value) => *value == 0.0,
            Self::String(text) => text.as_str().is_empty(),
            Self::Bytes(bytes) => bytes.is_empty(),
            Self::List(list) => list.len() == 0,
            Self::Map(map) => map.len() == 0,
            Self::Optional(inner) => inner.is_none(),
            Self::Duration(length) => *length == Moment::ZERO,
            Self::Timestamp(time) => *time == Moment::FIRST,
            Self::Type(_) | Self::Foreign(_) => false,
        }
    }
}

impl<'v> From<&'v str> for Value<'v> {
    fn from(text: &'v str) -> Self {
        Self::String(Text::Borrowed(text))
    }
}

impl From<String> for Value<'_> {
    fn from(text: String) -> Self {
        Self::String(Text::Shared(text.into()))
    }
}

impl From<bool> for Value<'_> {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i64> for Value<'_> {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<f64> for Value<'_> {
    fn from(value: f64) -> Self {
        Self::Double(value)
    }
}
