//! Operators between values.
//!
//! CEL has no arithmetic between ints and doubles; where a number of a template comes from decides
//! its type, since JSON does not tell `2` from `2.0`. So a whole number beside a double is a double.

use super::Called;
use super::time::{self, Moment};
use crate::budget::{Budget, Exhausted};
use crate::fault::Failure;
use crate::syntax::ast::Operator;
use crate::value::{Key, List, Map, Text, Value, compare, equals};

/// `left operator right`.
pub(crate) fn binary<'e>(
    operator: Operator,
    left: &Value<'e>,
    right: &Value<'e>,
    budget: &Budget,
) -> Called<'e> {
    match operator {
        Operator::Equal => equals(left, right, budget).map(Value::Bool),
        Operator::NotEqual => equals(left, right, budget).map(|equal| Value::Bool(!equal)),
        Operator::In => within(left, right, budget).map(Value::Bool),
        Operator::Less | Operator::LessOrEqual | Operator::Greater | Operator::GreaterOrEqual => {
            ordered(operator, left, right, budget)
        }
        Operator::Add if concatenates(left) && concatenates(right) => joined(left, right, budget),
        Operator::Add
        | Operator::Subtract
        | Operator::Multiply
        | Operator::Divide
        | Operator::Modulo => computed(operator, left, right),
    }
}

/// Whether `+` puts values like it one after the other.
const fn concatenates(value: &Value<'_>) -> bool {
    matches!(value, Value::String(_) | Value::Bytes(_) | Value::List(_))
}

/// `-operand`.
pub(crate) fn negate<'e>(operand: &Value<'e>) -> Called<'e> {
    match operand {
        Value::Int(value) => value.checked_neg().map(Value::Int).ok_or_else(overflow),
        Value::Double(value) => Ok(Value::Double(-value)),
        Value::Duration(value) => Moment::ZERO
            .minus(*value)
            .and_then(time::duration)
            .map(Value::Duration)
            .ok_or_else(overflow),
        other => Err(Failure::new(format!(
            "- cannot be applied to {}",
            other.type_name()
        ))),
    }
}

/// The double that a whole number is.
#[expect(clippy::cast_precision_loss, reason = "what double(int) does in CEL")]
pub(super) const fn widened(value: &Value<'_>) -> Option<f64> {
    match value {
        Value::Int(value) => Some(*value as f64),
        Value::UInt(value) => Some(*value as f64),
        _ => None,
    }
}

fn overflow() -> Failure {
    Failure::new("the result is too large: overflow")
}

fn unsupported(operator: Operator, left: &Value<'_>, right: &Value<'_>) -> Failure {
    let (left_name, right_name) = (left.type_name(), right.type_name());
    let message = format!(
        "{} cannot be applied to {left_name}, {right_name}",
        operator.as_str()
    );
    let texts = matches!(left, Value::String(_)) != matches!(right, Value::String(_));
    let failure = Failure::new(message);
    if texts && operator == Operator::Add {
        return failure.with_hint("use string(...) to make a string of the other side");
    }
    failure
}

fn ordered<'e>(
    operator: Operator,
    left: &Value<'e>,
    right: &Value<'e>,
    budget: &Budget,
) -> Called<'e> {
    budget.step(left.comparing(right))?;
    let Ok(ordering) = compare(left, right) else {
        return Err(unsupported(operator, left, right));
    };
    Ok(Value::Bool(ordering.is_some_and(
        |ordering| match operator {
            Operator::Less => ordering.is_lt(),
            Operator::LessOrEqual => ordering.is_le(),
            Operator::Greater => ordering.is_gt(),
            _ => ordering.is_ge(),
        },
    )))
}

fn within(needle: &Value<'_>, hay: &Value<'_>, budget: &Budget) -> Result<bool, Failure> {
    match hay {
        Value::List(list) => {
            for item in list.iter() {
                if equals(&item, needle, budget)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        Value::Map(map) => {
            budget.step(needle.comparing(needle))?;
            Ok(Key::of(needle).is_some_and(|key| map.get(&key).is_some()))
        }
        _ => Err(unsupported(Operator::In, needle, hay)),
    }
}

fn joined<'e>(left: &Value<'e>, right: &Value<'e>, budget: &Budget) -> Called<'e> {
    match (left, right) {
        (Value::String(left), Value::String(right)) => {
            let (left, right) = (left.as_str(), right.as_str());
            budget.grow(Text::cost(left.len() + right.len()))?;
            Ok(Value::String(Text::Shared([left, right].concat().into())))
        }
        (Value::Bytes(left), Value::Bytes(right)) => {
            budget.grow(left.len() + right.len())?;
            Ok(Value::Bytes(
                [left.as_ref(), right.as_ref()].concat().into(),
            ))
        }
        (Value::List(List::Distinct(left)), Value::List(right)) => {
            left.joined(right, budget).map(Value::List)
        }
        (Value::List(left), Value::List(right)) => {
            if left.len() == 0 {
                return Ok(Value::List(right.clone()));
            }
            if right.len() == 0 {
                return Ok(Value::List(left.clone()));
            }
            charge(left.len() + right.len(), budget)?;
            Ok(Value::list(left.iter().chain(right.iter()).collect()))
        }
        _ => Err(unsupported(Operator::Add, left, right)),
    }
}

/// Pays for a list of `count` items.
pub(super) fn charge(count: usize, budget: &Budget) -> Result<(), Exhausted> {
    budget.step(count)?;
    budget.grow(List::cost(count))
}

fn computed<'e>(operator: Operator, left: &Value<'e>, right: &Value<'e>) -> Called<'e> {
    match (left, right) {
        (Value::Int(left), Value::Int(right)) => ints(operator, *left, *right),
        (Value::UInt(left), Value::UInt(right)) => uints(operator, *left, *right),
        (Value::Double(a), Value::Double(b)) => {
            doubles(operator, *a, *b).ok_or_else(|| unsupported(operator, left, right))
        }
        (Value::Double(a), whole) | (whole, Value::Double(a)) => {
            let b = widened(whole);
            let flipped = matches!(right, Value::Double(_));
            b.and_then(|b| {
                let (a, b) = if flipped { (b, *a) } else { (*a, b) };
                doubles(operator, a, b)
            })
            .ok_or_else(|| unsupported(operator, left, right))
        }
        _ => moments(operator, left, right),
    }
}

fn ints<'e>(operator: Operator, left: i64, right: i64) -> Called<'e> {
    if right == 0 && matches!(operator, Operator::Divide | Operator::Modulo) {
        return Err(Failure::new("division by zero"));
    }
    let result = match operator {
        Operator::Add => left.checked_add(right),
        Operator::Subtract => left.checked_sub(right),
        Operator::Multiply => left.checked_mul(right),
        Operator::Divide => left.checked_div(right),
        _ => left.checked_rem(right),
    };
    result.map(Value::Int).ok_or_else(overflow)
}

fn uints<'e>(operator: Operator, left: u64, right: u64) -> Called<'e> {
    if right == 0 && matches!(operator, Operator::Divide | Operator::Modulo) {
        return Err(Failure::new("division by zero"));
    }
    let result = match operator {
        Operator::Add => left.checked_add(right),
        Operator::Subtract => left.checked_sub(right),
        Operator::Multiply => left.checked_mul(right),
        Operator::Divide => left.checked_div(right),
        _ => left.checked_rem(right),
    };
    result.map(Value::UInt).ok_or_else(overflow)
}

fn doubles<'e>(operator: Operator, left: f64, right: f64) -> Option<Value<'e>> {
    let result = match operator {
        Operator::Add => left + right,
        Operator::Subtract => left - right,
        Operator::Multiply => left * right,
        Operator::Divide => left / right,
        _ => return None,
    };
    Some(Value::Double(result))
}

fn moments<'e>(operator: Operator, left: &Value<'e>, right: &Value<'e>) -> Called<'e> {
    let result = match (operator, left, right) {
        (Operator::Add, Value::Timestamp(a), Value::Duration(b))
        | (Operator::Add, Value::Duration(b), Value::Timestamp(a)) => {
            a.plus(*b).and_then(time::timestamp).map(Value::Timestamp)
        }
        (Operator::Add, Value::Duration(a), Value::Duration(b)) => {
            a.plus(*b).and_then(time::duration).map(Value::Duration)
        }
        (Operator::Subtract, Value::Timestamp(a), Value::Duration(b)) => {
            a.minus(*b).and_then(time::timestamp).map(Value::Timestamp)
        }
        (Operator::Subtract, Value::Timestamp(a), Value::Timestamp(b))
        | (Operator::Subtract, Value::Duration(a), Value::Duration(b)) => {
            a.minus(*b).and_then(time::duration).map(Value::Duration)
        }
        _ => return Err(unsupported(operator, left, right)),
    };
    result.ok_or_else(overflow)
}

/// How many items, entries, characters or bytes there are.
pub(super) fn size(value: &Value<'_>) -> Option<i64> {
    let count = match value {
        Value::String(text) => text.as_str().chars().count(),
        Value::Bytes(bytes) => bytes.len(),
        Value::List(list) => list.len(),
        Value::Map(map) => map.len(),
        _ => return None,
    };
    i64::try_from(count).ok()
}

/// The items of `value`, if it is a list.
pub(super) const fn list<'v, 'e>(value: &'v Value<'e>) -> Option<&'v List<'e>> {
    match value {
        Value::List(list) => Some(list),
        _ => None,
    }
}

/// The entries of `value`, if it is a map.
pub(super) const fn map<'v, 'e>(value: &'v Value<'e>) -> Option<&'v Map<'e>> {
    match value {
        Value::Map(map) => Some(map),
        _ => None,
    }
}
