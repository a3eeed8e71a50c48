//! The walks over an object and its schema that field ownership needs: which
//! fields an object sets, and in which two objects differ.

use std::collections::BTreeMap;

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
    format!("f:{name}")
}

/// Every field that `value` sets.
pub(super) fn set_of(node: Node<'_>, value: &Value) -> Set {
    let mut set = Set::default();
    match (node.shape(), value) {
        (Shape::Map | Shape::Unknown, Value::Object(map)) => {
            for (name, value) in map {
                let mut below = set_of(node.field(name), value);
                below.member |= is_hollow(value) || !node.declares(name);
                set.put(member_step(name), below);
            }
        }
        (Shape::ListMap(_) | Shape::Set, Value::Array(items)) => {
            for item in items {
                let mut below = set_of(node.items(), item);
                below.member = true;
                set.put(item_step(node, item), below);
            }
        }
        _ => set.member = true,
    }
    set
}

fn is_hollow(value: &Value) -> bool {
    value.is_null() || value.as_object().is_some_and(Map::is_empty)
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
        self.changed.put(step.to_owned(), below.changed);
        self.removed.put(step.to_owned(), below.removed);
    }
}

/// Compares field by field, as far as the schema lets fields be owned apart.
pub(super) fn compare(node: Node<'_>, old: &Value, new: &Value) -> Difference {
    if old == new {
        return Difference::default();
    }
    match (node.shape(), old, new) {
        (Shape::Map | Shape::Unknown, Value::Object(old), Value::Object(new)) => {
            compare_maps(node, old, new)
        }
        (Shape::ListMap(_) | Shape::Set, Value::Array(old), Value::Array(new)) => {
            compare_lists(node, old, new)
        }
        (_, Value::Null, _) => {
            // The place was there, what it holds was not.
            let mut changed = added(node, new);
            changed.member = changed.is_leaf();
            Difference {
                changed,
                removed: Set::default(),
            }
        }
        _ => Difference {
            changed: whole(node, new),
            removed: Set::default(),
        },
    }
}

/// A value that was not there: its maps are new too, not only what they hold.
fn added(node: Node<'_>, value: &Value) -> Set {
    let mut set = Set::leaf();
    match (node.shape(), value) {
        (Shape::Map | Shape::Unknown, Value::Object(map)) => {
            for (name, value) in map {
                set.put(member_step(name), added(node.field(name), value));
            }
        }
        (Shape::ListMap(_) | Shape::Set, Value::Array(items)) => {
            for item in items {
                set.put(item_step(node, item), added(node.items(), item));
            }
        }
        _ => {}
    }
    set
}

/// A value that took the place of another one.
fn whole(node: Node<'_>, value: &Value) -> Set {
    let mut set = set_of(node, value);
    if set.is_empty() {
        set.member = true;
    }
    set
}

fn compare_maps(node: Node<'_>, old: &Map<String, Value>, new: &Map<String, Value>) -> Difference {
    let mut difference = Difference::default();
    for (name, value) in new {
        let below = match old.get(name) {
            Some(before) => compare(node.field(name), before, value),
            None => Difference {
                changed: added(node.field(name), value),
                removed: Set::default(),
            },
        };
        difference.put(&member_step(name), below);
    }
    for (name, value) in old.iter().filter(|(name, _)| !new.contains_key(*name)) {
        let mut removed = set_of(node.field(name), value);
        removed.member = true;
        difference.put(
            &member_step(name),
            Difference {
                changed: Set::default(),
                removed,
            },
        );
    }
    difference
}

fn compare_lists(node: Node<'_>, old: &[Value], new: &[Value]) -> Difference {
    let index = |items| -> BTreeMap<String, &Value> {
        <[Value]>::iter(items)
            .map(|item| (item_step(node, item), item))
            .collect()
    };
    let (old, new) = (index(old), index(new));
    let mut difference = Difference::default();
    let item_set = |item| {
        let mut set = set_of(node.items(), item);
        set.member = true;
        set
    };
    for (step, item) in &new {
        let below = match old.get(step) {
            Some(before) => compare(node.items(), before, item),
            None => Difference {
                changed: added(node.items(), item),
                removed: Set::default(),
            },
        };
        difference.put(step, below);
    }
    for (step, item) in old.iter().filter(|(step, _)| !new.contains_key(*step)) {
        let below = Difference {
            changed: Set::default(),
            removed: item_set(item),
        };
        difference.put(step, below);
    }
    difference
}
