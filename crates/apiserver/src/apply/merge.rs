//! Merging an applied configuration into an object.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::typed::{Walk, item_step, items, members};
use crate::schema::Node;

/// The live value with everything that the configuration sets. Nothing is left of a map or list
/// whose contents merge to nothing.
pub(super) fn merge(node: Node<'_>, live: Option<&Value>, config: Option<&Value>) -> Option<Value> {
    let walk = Walk::of(node, config.or(live)?);
    match walk {
        Walk::Members if members(live).is_some() || members(config).is_some() => {
            merge_members(node, members(live), members(config))
        }
        Walk::Items if !items(live).is_empty() || !items(config).is_empty() => {
            merge_items(node, items(live), items(config))
        }
        Walk::Leaf | Walk::Members | Walk::Items => config.or(live).cloned(),
    }
}

fn merge_members(
    node: Node<'_>,
    live: Option<&Map<String, Value>>,
    config: Option<&Map<String, Value>>,
) -> Option<Value> {
    let mut merged = Map::new();
    for (name, value) in live.into_iter().flatten() {
        let value = match config.and_then(|config| config.get(name)) {
            Some(set) => merge(node.field(name), Some(value), Some(set)),
            None => Some(value.clone()),
        };
        merged.extend(value.map(|value| (name.clone(), value)));
    }
    for (name, value) in config.into_iter().flatten() {
        if live.is_none_or(|live| !live.contains_key(name)) {
            let value = merge(node.field(name), None, Some(value));
            merged.extend(value.map(|value| (name.clone(), value)));
        }
    }
    (!merged.is_empty()).then_some(Value::Object(merged))
}

/// Items keep the configuration's order; items only the object has keep their
/// place relative to their neighbours.
fn merge_items(node: Node<'_>, live: &[Value], config: &[Value]) -> Option<Value> {
    let steps =
        |list: &[Value]| -> Vec<String> { list.iter().map(|item| item_step(node, item)).collect() };
    let (had, wanted) = (steps(live), steps(config));
    let place = places(&had);
    let is_wanted: BTreeSet<&str> = wanted.iter().map(String::as_str).collect();
    let mut left: Vec<bool> = vec![true; live.len()];
    let mut merged = Vec::with_capacity(live.len().max(config.len()));
    let mut next = 0;
    for (item, step) in config.iter().zip(&wanted) {
        while next < live.len() && (!left[next] || !is_wanted.contains(had[next].as_str())) {
            if left[next] {
                left[next] = false;
                merged.push(live[next].clone());
            }
            next += 1;
        }
        let found = place.get(step.as_str()).map_or(&[][..], Vec::as_slice);
        for index in found {
            left[*index] = false;
        }
        // Of several, none is the one that the configuration means.
        let before = match found {
            [index] => Some(&live[*index]),
            [] => None,
            _ => Some(&Value::Null),
        };
        merged.extend(merge(node.items(), before, Some(item)));
    }
    let rest = live.iter().zip(&left).filter(|(_, left)| **left);
    merged.extend(rest.map(|(item, _)| item.clone()));
    (!merged.is_empty()).then_some(Value::Array(merged))
}

/// Where each step is.
fn places(steps: &[String]) -> BTreeMap<&str, Vec<usize>> {
    let mut places = BTreeMap::<_, Vec<_>>::new();
    for (index, step) in steps.iter().enumerate() {
        places.entry(step.as_str()).or_default().push(index);
    }
    places
}
