//! What becomes of fields that a manager applied before and does not apply now.

use serde_json::{Map, Value};

use super::{
    fields::Set,
    typed::{Walk, item_step, items, member_step, members, set_of},
};
use crate::schema::Node;

/// The merged object without what `last` set and `wanted` does not, as far as nobody else,
/// of whom `others` are the fields, owns it too.
pub(super) fn release(
    node: Node<'_>,
    merged: Value,
    last: &Set,
    wanted: &Set,
    others: &Set,
) -> Value {
    let mut gone = last.clone();
    gone.subtract(wanted);
    if gone.is_empty() {
        return merged;
    }
    let last = with_named(node, last);
    let all = with_named(node, &set_of(node, &merged));
    let missing = |object: &Value| {
        let mut missing = all.clone();
        missing.subtract(&with_named(node, &set_of(node, object)));
        missing
    };
    // What goes with a parent that is removed comes back if it is owned,
    let mut owned = wanted.clone();
    owned.extend(others);
    let mut gone = missing(&remove(node, &merged, &last));
    gone.subtract(&with_named(node, &owned));
    let kept = remove(node, &merged, &gone);
    // and also if this manager never had it.
    remove(node, &merged, &missing(&kept).intersection(&last))
}

/// The set, with the declared members on the way to its members.
fn with_named(node: Node<'_>, set: &Set) -> Set {
    let mut out = Set::default();
    out.member = set.member;
    for (step, below) in set.children() {
        let (next, named) = match step.strip_prefix("f:") {
            Some(name) => (node.field(name), node.declares(name)),
            None => (node.items(), false),
        };
        let mut child = with_named(next, below);
        child.member |= named && !below.is_leaf();
        out.put(step.clone(), child);
    }
    out
}

/// The value without the members of `gone`. A list or map of which nothing is left is null,
/// and so is one that is owned as a whole but of which parts are gone.
fn remove(node: Node<'_>, value: &Value, gone: &Set) -> Value {
    match Walk::of(node, value) {
        Walk::Leaf if value.is_array() || value.is_object() => Value::Null,
        Walk::Leaf => value.clone(),
        Walk::Members => {
            let members = members(Some(value)).into_iter().flatten();
            let left: Map<_, _> = members
                .filter_map(|(name, value)| {
                    let value = left(node.field(name), value, gone.child(&member_step(name)))?;
                    Some((name.clone(), value))
                })
                .collect();
            if left.is_empty() {
                Value::Null
            } else {
                Value::Object(left)
            }
        }
        Walk::Items => {
            let items = items(Some(value)).iter();
            let left: Vec<_> = items
                .filter_map(|item| left(node.items(), item, gone.child(&item_step(node, item))))
                .collect();
            if left.is_empty() {
                Value::Null
            } else {
                Value::Array(left)
            }
        }
    }
}

/// What is left of a member or item.
fn left(node: Node<'_>, value: &Value, gone: Option<&Set>) -> Option<Value> {
    match gone {
        None => Some(value.clone()),
        Some(gone) if gone.member => None,
        Some(gone) => Some(remove(node, value, gone)),
    }
}
