//! The walks over an object and its schema that field ownership needs: which
//! fields an object sets, and in which two objects differ.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::fields::Set;
use crate::schema::{Node, Shape};

/// The step from a list to one of its items.
pub(super) fn item_step(list: Node<'_>, item: &Value) -> String {
    match list.shape() {
        Shape::ListMap(keys) => {
            let mut keys: Vec<&String> = keys.iter().collect();
            keys.sort();
            let mut found = Map::new();
            for key in keys {
                let value = item.get(key).filter(|value| !value.is_null());
                let value = value.or_else(|| list.items().field(key).default_value());
                if let Some(value) = value {
                    found.insert(key.clone(), value.clone());
                }
            }
            format!("k:{}", Value::Object(found))
        }
        Shape::Atomic | Shape::Map | Shape::Set | Shape::Unknown => format!("v:{item}"),
    }
}

pub(super) fn member_step(name: &str) -> String {
    ["f:", name].concat()
}

/// How a value is walked, given what its schema says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Walk {
    /// It is one thing.
    Leaf,
    Members,
    Items,
}

impl Walk {
    /// Null is walked like whatever else the schema allows here.
    pub(super) fn of(node: Node<'_>, value: &Value) -> Self {
        match (node.shape(), value) {
            (Shape::Map | Shape::Unknown, Value::Object(_) | Value::Null) => Self::Members,
            (Shape::ListMap(_) | Shape::Set, Value::Array(_) | Value::Null) => Self::Items,
            _ => Self::Leaf,
        }
    }
}

/// The members of a map; of anything else, none.
pub(super) fn members(value: Option<&Value>) -> Option<&Map<String, Value>> {
    value
        .and_then(Value::as_object)
        .filter(|members| !members.is_empty())
}

/// The items of a list; of anything else, none.
pub(super) fn items(value: Option<&Value>) -> &[Value] {
    value.and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// Every field that `value` sets.
pub(super) fn set_of(node: Node<'_>, value: &Value) -> Set {
    let mut set = Set::default();
    match Walk::of(node, value) {
        Walk::Leaf => set.member = true,
        Walk::Members => {
            for (name, value) in members(Some(value)).into_iter().flatten() {
                let mut below = set_of(node.field(name), value);
                below.member |= is_hollow(value) || !node.declares(name);
                set.put(member_step(name), below);
            }
        }
        Walk::Items => {
            for (step, same) in by_step(node, items(Some(value))) {
                // Of items with one key, nothing but that they are there can be owned.
                let mut below = match same.as_slice() {
                    [item] => set_of(node.items(), item),
                    _ => Set::default(),
                };
                below.member = true;
                set.put(step, below);
            }
        }
    }
    set
}

fn is_hollow(value: &Value) -> bool {
    value.is_null() || value.as_object().is_some_and(Map::is_empty)
}

fn by_step<'a>(node: Node<'_>, items: &'a [Value]) -> BTreeMap<String, Vec<&'a Value>> {
    let mut by = BTreeMap::<_, Vec<_>>::new();
    for item in items {
        by.entry(item_step(node, item)).or_default().push(item);
    }
    by
}

/// The first two items of one list that nobody could tell apart, as a path and their step.
pub(super) fn ambiguous(node: Node<'_>, value: &Value) -> Option<String> {
    match Walk::of(node, value) {
        Walk::Leaf => None,
        Walk::Members => members(Some(value))
            .into_iter()
            .flatten()
            .find_map(|(name, value)| {
                ambiguous(node.field(name), value).map(|below| format!(".{name}{below}"))
            }),
        Walk::Items => {
            let mut seen = BTreeSet::new();
            items(Some(value)).iter().find_map(|item| {
                let step = item_step(node, item);
                let readable = Set::readable(&step);
                if seen.insert(step) {
                    ambiguous(node.items(), item).map(|below| format!("{readable}{below}"))
                } else {
                    Some(format!(": duplicate entries for key {readable}"))
                }
            })
        }
    }
}

/// Where two objects differ.
#[derive(Debug, Default)]
pub(super) struct Difference {
    /// Fields that are new or have another value.
    pub(super) changed: Set,
    /// Fields that are gone.
    pub(super) removed: Set,
}

impl Difference {
    pub(super) fn is_empty(&self) -> bool {
        self.changed.is_empty() && self.removed.is_empty()
    }

    fn put(&mut self, step: &str, below: Self) {
        for (set, below) in [
            (&mut self.changed, below.changed),
            (&mut self.removed, below.removed),
        ] {
            if !below.is_empty() {
                set.put(step.to_owned(), below);
            }
        }
    }

    fn extend(&mut self, other: &Self) {
        self.changed.extend(&other.changed);
        self.removed.extend(&other.removed);
    }
}

/// Compares field by field, as far as the schema lets fields be owned apart.
pub(super) fn compare(node: Node<'_>, old: &Value, new: &Value) -> Difference {
    if old == new {
        return Difference::default();
    }
    differ(node, Some(old), Some(new))
}

fn differ(node: Node<'_>, old: Option<&Value>, new: Option<&Value>) -> Difference {
    let was = old.map(|old| Walk::of(node, old));
    let (walk, other) = match (was, new.map(|new| Walk::of(node, new))) {
        (was, Some(is)) => (is, was.filter(|was| *was != is)),
        (Some(was), None) => (was, None),
        (None, None) => return Difference::default(),
    };
    let (mut difference, leaf) = as_walked(walk, node, old, new);
    // What was one kind of thing and is another: both are told.
    if let Some(other) = other {
        difference.extend(&as_walked(other, node, old, new).0);
    }
    if !leaf {
        difference.changed.member |= old.is_none();
        difference.removed.member |= old.is_some() && new.is_none();
    }
    difference
}

/// The difference, and whether the place was compared as one thing.
fn as_walked(
    walk: Walk,
    node: Node<'_>,
    old: Option<&Value>,
    new: Option<&Value>,
) -> (Difference, bool) {
    match walk {
        Walk::Members if members(old).is_some() || members(new).is_some() => {
            (differing_members(node, members(old), members(new)), false)
        }
        Walk::Items if !items(old).is_empty() || !items(new).is_empty() => {
            (differing_items(node, items(old), items(new)), false)
        }
        Walk::Leaf | Walk::Members | Walk::Items => (leaf(old, new), true),
    }
}

fn leaf(old: Option<&Value>, new: Option<&Value>) -> Difference {
    let mut difference = Difference::default();
    difference.changed.member = new.is_some() && !same(old, new);
    difference.removed.member = new.is_none();
    difference
}

/// Whether two values are equal; numbers are, however they are written.
fn same(old: Option<&Value>, new: Option<&Value>) -> bool {
    match (old, new) {
        (Some(Value::Number(old)), Some(Value::Number(new))) if old.is_f64() || new.is_f64() => {
            old.as_f64() == new.as_f64()
        }
        (old, new) => old == new,
    }
}

fn differing_members(
    node: Node<'_>,
    old: Option<&Map<String, Value>>,
    new: Option<&Map<String, Value>>,
) -> Difference {
    let mut difference = Difference::default();
    for (name, value) in new.into_iter().flatten() {
        let before = old.and_then(|old| old.get(name));
        if before != Some(value) {
            let below = differ(node.field(name), before, Some(value));
            difference.put(&member_step(name), below);
        }
    }
    for (name, value) in old.into_iter().flatten() {
        if new.is_none_or(|new| !new.contains_key(name)) {
            let below = differ(node.field(name), Some(value), None);
            difference.put(&member_step(name), below);
        }
    }
    difference
}

fn differing_items(node: Node<'_>, old: &[Value], new: &[Value]) -> Difference {
    let (old, new) = (by_step(node, old), by_step(node, new));
    let steps: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let mut difference = Difference::default();
    for step in steps {
        let before = old.get(step).map_or(&[][..], Vec::as_slice);
        let after = new.get(step).map_or(&[][..], Vec::as_slice);
        if before != after {
            difference.put(step, differing_item(node.items(), before, after));
        }
    }
    difference
}

/// Items with one key are compared as if they were one thing.
fn differing_item(node: Node<'_>, old: &[&Value], new: &[&Value]) -> Difference {
    match (old, new) {
        ([] | [_], [] | [_]) => differ(node, old.first().copied(), new.first().copied()),
        ([_, _, ..], [_, _, ..]) => Difference {
            changed: Set::leaf(),
            removed: Set::default(),
        },
        ([_, _, ..], _) => {
            let mut difference = differ(node, None, new.first().copied());
            difference.removed.member = true;
            difference
        }
        (_, [_, _, ..]) => {
            let mut difference = differ(node, old.first().copied(), None);
            difference.changed.member = true;
            difference
        }
    }
}
