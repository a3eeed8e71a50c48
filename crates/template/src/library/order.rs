//! Functions over lists whose items have an order, or a sum.

use super::arithmetic::{binary, charge, list};
use super::{Called, Overload, Sig, method, unfit};
use crate::budget::Budget;
use crate::fault::Failure;
use crate::syntax::ast::Operator;
use crate::value::{Value, compare, equals};
use std::cmp::Ordering;

macro_rules! functions {
    (ordered: $($ordered:ident)*; added: $($added:ident)*) => {
        /// `isSorted`, `sum`, `min`, `max`, `indexOf` and `lastIndexOf` of lists.
        pub const FUNCTIONS: &[Overload] = &[
            $(
                method("isSorted", &[Sig::List(&Sig::$ordered)], Sig::Bool, is_sorted),
                method("min", &[Sig::List(&Sig::$ordered)], Sig::$ordered, min),
                method("max", &[Sig::List(&Sig::$ordered)], Sig::$ordered, max),
            )*
            $(method("sum", &[Sig::List(&Sig::$added)], Sig::$added, sum),)*
            method("indexOf", &[Sig::LIST, Sig::A], Sig::Int, index_of),
            method("lastIndexOf", &[Sig::LIST, Sig::A], Sig::Int, last_index_of),
        ];
    };
}

functions! {
    ordered: Int UInt Double Bool Duration Timestamp String Bytes;
    added: Int UInt Double Duration
}

fn items<'e>(args: &[Value<'e>], budget: &Budget) -> Result<Vec<Value<'e>>, Failure> {
    let Some(items) = args.first().and_then(list) else {
        return unfit().map(|value| vec![value]);
    };
    charge(items.len(), budget)?;
    budget.step(items.len())?;
    Ok(items.iter().collect())
}

/// Which of two items comes first.
fn ordered(left: &Value<'_>, right: &Value<'_>) -> Result<Ordering, Failure> {
    let order = compare(left, right).map_err(|_| {
        let (left, right) = (left.type_name(), right.type_name());
        Failure::new(format!("{left} and {right} have no order"))
    })?;
    order.ok_or_else(|| Failure::new("what is no number has no order"))
}

fn is_sorted<'e>(args: &[Value<'e>], budget: &Budget) -> Called<'e> {
    let items = items(args, budget)?;
    for (left, right) in items.iter().zip(items.iter().skip(1)) {
        if ordered(left, right)?.is_gt() {
            return Ok(Value::Bool(false));
        }
    }
    Ok(Value::Bool(true))
}

fn sum<'e>(args: &[Value<'e>], budget: &Budget) -> Called<'e> {
    let mut items = items(args, budget)?.into_iter();
    // Nothing comes to nothing, of the only type it can be told to be.
    let first = items.next().unwrap_or(Value::Int(0));
    items.try_fold(first, |sum, item| {
        binary(Operator::Add, &sum, &item, budget)
    })
}

fn min<'e>(args: &[Value<'e>], budget: &Budget) -> Called<'e> {
    most(args, Ordering::Less, "min", budget)
}

fn max<'e>(args: &[Value<'e>], budget: &Budget) -> Called<'e> {
    most(args, Ordering::Greater, "max", budget)
}

fn most<'e>(args: &[Value<'e>], wanted: Ordering, name: &str, budget: &Budget) -> Called<'e> {
    let mut items = items(args, budget)?.into_iter();
    let none = || Failure::new(format!("{name} called on empty list"));
    let first = items.next().ok_or_else(none)?;
    items.try_fold(first, |most, item| {
        let better = ordered(&item, &most)? == wanted;
        Ok(if better { item } else { most })
    })
}

fn index_of<'e>(args: &[Value<'e>], budget: &Budget) -> Called<'e> {
    position(args, budget, |mut positions| positions.next())
}

fn last_index_of<'e>(args: &[Value<'e>], budget: &Budget) -> Called<'e> {
    position(args, budget, Iterator::last)
}

/// Which of the positions of an item is wanted; -1 if there is none.
fn position<'e>(
    args: &[Value<'e>],
    budget: &Budget,
    choose: fn(std::vec::IntoIter<usize>) -> Option<usize>,
) -> Called<'e> {
    let all = items(args, budget)?;
    let Some(wanted) = args.get(1) else {
        return unfit();
    };
    let mut found = Vec::new();
    for (position, item) in all.iter().enumerate() {
        if equals(item, wanted, budget)? {
            found.push(position);
        }
    }
    let chosen = choose(found.into_iter()).and_then(|position| i64::try_from(position).ok());
    Ok(Value::Int(chosen.unwrap_or(-1)))
}
