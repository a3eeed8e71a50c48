//! Merging an applied configuration into an object, and removing from an
//! object the fields nobody applies any longer.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{
    fields::Set,
    typed::{item_step, member_step},
};
use crate::schema::{Node, Shape};

/// The live value with everything that the configuration sets.
pub(super) fn merge(node: Node<'_>, live: Option<Value>, config: &Value) -> Value {
    match (node.shape(), live, config) {
        (Shape::Map | Shape::Unknown, live, Value::Object(config)) => {
            let live = match live {
                Some(Value::Object(live)) => live,
                _ => Map::new(),
            };
            Value::Object(merge_maps(node, live, config))
        }
        (Shape::ListMap(_) | Shape::Set, Some(Value::Array(live)), Value::Array(config)) => {
            Value::Array(merge_lists(node, live, config))
        }
        (_, _, config) => config.clone(),
    }
}

fn merge_maps(
    node: Node<'_>,
    mut live: Map<String, Value>,
    config: &Map<String, Value>,
) -> Map<String, Value> {
    for (name, value) in config.iter().filter(|(_, value)| !value.is_null()) {
        let before = live.remove(name);
        live.insert(name.clone(), merge(node.field(name), before, value));
    }
    live
}

/// Items keep the configuration's order; items only the object has keep their
/// place relative to their neighbours.
fn merge_lists(node: Node<'_>, live: Vec<Value>, config: &[Value]) -> Vec<Value> {
    let wanted: Vec<String> = config.iter().map(|item| item_step(node, item)).collect();
    let steps: Vec<String> = live.iter().map(|item| item_step(node, item)).collect();
    let place: BTreeMap<&str, usize> = steps
        .iter()
        .enumerate()
        .map(|(index, step)| (step.as_str(), index))
        .collect();
    let mut live: Vec<Option<Value>> = live.into_iter().map(Some).collect();
    let mut merged = Vec::with_capacity(live.len().max(config.len()));
    let mut next = 0;
    for (item, step) in config.iter().zip(&wanted) {
        while next < live.len() && (live[next].is_none() || !wanted.contains(&steps[next])) {
            merged.extend(live[next].take());
            next += 1;
        }
        let before = place
            .get(step.as_str())
            .and_then(|index| live[*index].take());
        merged.push(merge(node.items(), before, item));
    }
    merged.extend(live.into_iter().flatten());
    merged
}

/// Removes the fields of `gone`, and parents that became empty by it unless
/// `keep` names them.
pub(super) fn remove(node: Node<'_>, value: &mut Value, gone: &Set, keep: &Set) {
    let none = Set::default();
    match value {
        Value::Object(map) => {
            for (step, below) in gone.children() {
                let Some(name) = step.strip_prefix("f:") else {
                    continue;
                };
                let Some(child) = map.get_mut(name) else {
                    continue;
                };
                let kept = keep.child(step);
                if below.member {
                    map.remove(name);
                    continue;
                }
                remove(node.field(name), child, below, kept.unwrap_or(&none));
                if kept.is_none() && is_empty(child) {
                    map.remove(name);
                }
            }
        }
        Value::Array(items) => items.retain_mut(|item| {
            let step = item_step(node, item);
            let Some(below) = gone.child(&step) else {
                return true;
            };
            let kept = keep.child(&step);
            if below.member && kept.is_none() {
                return false;
            }
            remove(node.items(), item, below, kept.unwrap_or(&none));
            true
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Object(map) => map.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// The set without what belongs to the server and to nobody else.
pub(super) fn strip(mut set: Set) -> Set {
    set.member = false;
    set.cut(&["f:apiVersion"]);
    set.cut(&["f:kind"]);
    set.disown("f:metadata");
    for name in [
        "name",
        "namespace",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "selfLink",
        "uid",
        "generation",
        "managedFields",
        "resourceVersion",
    ] {
        set.cut(&["f:metadata", &member_step(name)]);
    }
    set
}
