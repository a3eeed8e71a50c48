//! When values are equal, and which comes first.

use super::{Key, List, Map, Value};
use crate::budget::Budget;
use crate::fault::Failure;
use std::cmp::Ordering;

/// Whether two values are equal: numbers by what they count, the rest within its type.
pub(crate) fn equals(
    left: &Value<'_>,
    right: &Value<'_>,
    budget: &Budget,
) -> Result<bool, Failure> {
    budget.step(1 + left.comparing(right))?;
    let equal = match (left, right) {
        (Value::Null, Value::Null)
        | (Value::Omit, Value::Omit)
        | (Value::Optional(None), Value::Optional(None)) => true,
        (Value::Bool(left), Value::Bool(right)) => left == right,
        (Value::String(left), Value::String(right)) => left.as_str() == right.as_str(),
        (Value::Bytes(left), Value::Bytes(right)) => left == right,
        (Value::List(left), Value::List(right)) => return lists(left, right, budget),
        (Value::Map(left), Value::Map(right)) => return maps(left, right, budget),
        (Value::Optional(Some(left)), Value::Optional(Some(right))) => {
            return equals(left, right, budget);
        }
        (Value::Duration(left), Value::Duration(right))
        | (Value::Timestamp(left), Value::Timestamp(right)) => left == right,
        (Value::Type(left), Value::Type(right)) => left == right,
        (Value::Foreign(left), Value::Foreign(right)) => left.equals(right.as_ref()),
        _ => numbers(left, right) == Some(Ordering::Equal),
    };
    Ok(equal)
}

/// Whether order counts is up to the list on the left.
fn lists(left: &List<'_>, right: &List<'_>, budget: &Budget) -> Result<bool, Failure> {
    if let List::Distinct(left) = left {
        return left.equals(right, budget);
    }
    if left.len() != right.len() {
        return Ok(false);
    }
    for (left, right) in left.iter().zip(right.iter()) {
        if !equals(&left, &right, budget)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn maps(left: &Map<'_>, right: &Map<'_>, budget: &Budget) -> Result<bool, Failure> {
    if left.len() != right.len() {
        return Ok(false);
    }
    for (key, value) in left.entries() {
        match right.get(&key) {
            Some(other) if equals(&value, &other, budget)? => {}
            _ => return Ok(false),
        }
    }
    Ok(true)
}

impl Value<'_> {
    /// How many steps comparing it with `other` takes, besides the first: long texts take time.
    pub(crate) fn comparing(&self, other: &Self) -> usize {
        reading(self.length().min(other.length()))
    }
}

impl Key<'_> {
    /// How many steps comparing it with another key takes, besides the first.
    pub(crate) fn reading(&self) -> usize {
        match self {
            Self::String(text) => reading(text.as_str().len()),
            Self::Bool(_) | Self::Int(_) | Self::UInt(_) => 0,
        }
    }
}

/// How many steps looking at `length` bytes takes.
const fn reading(length: usize) -> usize {
    length / 1024
}

/// Values of these types have no order.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Unordered;

/// Which of two values comes first; none does when one is no number at all.
pub(crate) fn compare(left: &Value<'_>, right: &Value<'_>) -> Result<Option<Ordering>, Unordered> {
    let ordering = match (left, right) {
        (Value::Bool(left), Value::Bool(right)) => left.cmp(right),
        (Value::String(left), Value::String(right)) => left.as_str().cmp(right.as_str()),
        (Value::Bytes(left), Value::Bytes(right)) => left.cmp(right),
        (Value::Duration(left), Value::Duration(right))
        | (Value::Timestamp(left), Value::Timestamp(right)) => left.cmp(right),
        (
            Value::Int(_) | Value::UInt(_) | Value::Double(_),
            Value::Int(_) | Value::UInt(_) | Value::Double(_),
        ) => return Ok(numbers(left, right)),
        _ => return Err(Unordered),
    };
    Ok(Some(ordering))
}

fn numbers(left: &Value<'_>, right: &Value<'_>) -> Option<Ordering> {
    match (left, right) {
        (Value::Double(left), Value::Double(right)) => left.partial_cmp(right),
        (Value::Double(left), right) => mixed(integer(right)?, *left).map(Ordering::reverse),
        (left, Value::Double(right)) => mixed(integer(left)?, *right),
        (left, right) => Some(integer(left)?.cmp(&integer(right)?)),
    }
}

fn integer(value: &Value<'_>) -> Option<i128> {
    match value {
        Value::Int(value) => Some(i128::from(*value)),
        Value::UInt(value) => Some(i128::from(*value)),
        _ => None,
    }
}

/// Exact, where a conversion to double would round.
fn mixed(int: i128, double: f64) -> Option<Ordering> {
    /// Above every int and uint, and exact as a double.
    const BEYOND: f64 = 1e30;
    if double.is_nan() {
        return None;
    }
    #[expect(clippy::cast_possible_truncation, reason = "clamped to what fits")]
    let floor = double.clamp(-BEYOND, BEYOND).floor() as i128;
    let rest = if double.fract() == 0.0 || double.is_infinite() {
        Ordering::Equal
    } else {
        Ordering::Less
    };
    Some(int.cmp(&floor).then(rest))
}
