//! The types of what operators make.

use super::Type;
use crate::syntax::ast::Operator;

/// Whether values of these types have an order.
pub(super) fn ordered(left: &Type, right: &Type) -> bool {
    let has_order = |one: &Type| {
        one.is_open()
            || one.is_number()
            || matches!(
                one,
                Type::Bool | Type::String | Type::Bytes | Type::Duration | Type::Timestamp
            )
    };
    has_order(left) && has_order(right) && left.may_be(right)
}

/// Whether both are numbers, of different types.
pub(super) fn mixes(left: &Type, right: &Type) -> bool {
    left.is_number() && right.is_number() && left != right
}

/// The type of what an operator makes of values of these types, if it can.
pub(super) fn computed(operator: Operator, left: &Type, right: &Type) -> Option<Type> {
    use Type as T;
    let result = match (operator, left, right) {
        (Operator::Modulo, T::Double, _) | (Operator::Modulo, _, T::Double) => return None,
        (_, T::Dyn | T::Free | T::Int | T::UInt, T::Dyn | T::Free)
        | (_, T::Dyn | T::Free, T::Int | T::UInt) => T::Dyn,
        (_, T::Double, other) | (_, other, T::Double) if other.is_number() || other.is_open() => {
            T::Double
        }
        (_, T::Int, T::Int) => T::Int,
        (_, T::UInt, T::UInt) => T::UInt,
        (Operator::Add, T::String, T::String | T::Dyn | T::Free)
        | (Operator::Add, T::Dyn | T::Free, T::String) => T::String,
        (Operator::Add, T::Bytes, T::Bytes | T::Dyn | T::Free)
        | (Operator::Add, T::Dyn | T::Free, T::Bytes) => T::Bytes,
        (Operator::Add, T::List(left, _), T::List(right, _)) => T::list(left.join(right)),
        (Operator::Add, list @ T::List(..), T::Dyn | T::Free)
        | (Operator::Add, T::Dyn | T::Free, list @ T::List(..)) => list.join(&T::list(T::Dyn)),
        (Operator::Add, T::Timestamp, T::Duration) | (Operator::Add, T::Duration, T::Timestamp) => {
            T::Timestamp
        }
        (Operator::Add | Operator::Subtract, T::Duration, T::Duration)
        | (Operator::Subtract, T::Timestamp, T::Timestamp) => T::Duration,
        (Operator::Subtract, T::Timestamp, T::Duration) => T::Timestamp,
        (Operator::Add | Operator::Subtract, T::Timestamp | T::Duration, T::Dyn | T::Free)
        | (Operator::Add | Operator::Subtract, T::Dyn | T::Free, T::Timestamp | T::Duration) => {
            T::Dyn
        }
        _ => return None,
    };
    Some(result)
}
