//! Fields and items, and what is said where there are none.

use crate::fault::Failure;
use crate::library::Called;
use crate::syntax::meant;
use crate::value::{Key, List, Map, Value};

impl Value<'_> {
    pub(super) fn field(&self, name: &str) -> Option<Self> {
        match self {
            Self::Map(map) => map.field(name),
            _ => None,
        }
    }

    pub(super) fn item(&self, index: &Value<'_>) -> Option<Self> {
        match self {
            Self::Map(map) => map.get(&Key::of(index)?),
            Self::List(list) => list.get(position(index)?),
            _ => None,
        }
    }
}

fn position(index: &Value<'_>) -> Option<usize> {
    match Key::of(index)? {
        Key::Int(index) => usize::try_from(index).ok(),
        Key::UInt(index) => usize::try_from(index).ok(),
        Key::Bool(_) | Key::String(_) => None,
    }
}

/// Looks something up in `operand`: in what it holds when it is optional, and then the result is
/// optional too.
pub(super) fn look_up<'e>(
    operand: Value<'e>,
    optional: bool,
    find: impl Fn(&Value<'e>) -> Option<Value<'e>>,
    failure: impl Fn(&Value<'e>) -> Failure,
) -> Called<'e> {
    match operand {
        Value::Optional(None) => Ok(Value::none()),
        Value::Optional(Some(held)) => look_up(held.as_ref().clone(), true, find, failure),
        operand if optional => match find(&operand) {
            Some(found) => Ok(Value::some(found)),
            None if matches!(operand, Value::Map(_) | Value::List(_)) => Ok(Value::none()),
            None => Err(failure(&operand)),
        },
        operand => find(&operand).ok_or_else(|| failure(&operand)),
    }
}

pub(super) fn has<'e>(operand: &Value<'e>, name: &str) -> Called<'e> {
    match operand {
        Value::Map(map) => Ok(Value::Bool(map.field(name).is_some())),
        Value::Optional(None) => Ok(Value::Bool(false)),
        Value::Optional(Some(held)) => has(held, name),
        other => Err(no_field(other, name)),
    }
}

pub(super) fn no_field(operand: &Value<'_>, name: &str) -> Failure {
    let Value::Map(map) = operand else {
        let message = format!(
            "a {} has no fields, so there is no {name:?}",
            operand.type_name()
        );
        return Failure::new(message);
    };
    let names = map.names();
    let hint = meant(name, names.iter().map(String::as_str))
        .unwrap_or_else(|| format!("use has(...) or .?{name}.orValue(...) if it may be missing"));
    Failure::new(format!("there is no field {name:?}")).with_hint(hint)
}

pub(super) fn no_item(operand: &Value<'_>, index: &Value<'_>) -> Failure {
    match (operand, Key::of(index)) {
        (Value::Map(_), Some(Key::String(name))) => no_field(operand, name.as_str()),
        (Value::Map(Map::Json(_) | Map::Tree(_) | Map::Shared(_)), Some(key)) => {
            Failure::new(format!("there is no key {key}"))
        }
        (Value::List(list), Some(Key::Int(_) | Key::UInt(_))) => outside(list, index),
        _ => {
            let (found, by) = (operand.type_name(), index.type_name());
            Failure::new(format!("a {found} cannot be indexed by a {by}"))
        }
    }
}

fn outside(list: &List<'_>, index: &Value<'_>) -> Failure {
    let index = Key::of(index)
        .map(|key| key.to_string())
        .unwrap_or_default();
    Failure::new(format!("index {index} is outside a list of {}", list.len()))
        .with_hint("use list[?index].orValue(...) if it may be missing")
}
