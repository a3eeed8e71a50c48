//! Functions over lists.

use super::arithmetic::{charge, list};
use super::{Called, Overload, Sig, function, method, unfit};
use crate::budget::{Budget, Exhausted};
use crate::fault::Failure;
use crate::value::{List, Value, compare, equals};
use std::cmp::Ordering;

pub(super) const FUNCTIONS: &[Overload] = &[
    function("lists.range", &[Sig::Int], Sig::List(&Sig::Int), range),
    method("slice", &[Sig::LIST, Sig::Int, Sig::Int], Sig::LIST, slice),
    method("flatten", &[Sig::LIST], Sig::List(&Sig::Any), flatten),
    method(
        "flatten",
        &[Sig::LIST, Sig::Int],
        Sig::List(&Sig::Any),
        flatten,
    ),
    method("distinct", &[Sig::LIST], Sig::LIST, distinct),
    method("reverse", &[Sig::LIST], Sig::LIST, reverse),
    method("sort", &[Sig::LIST], Sig::LIST, sort),
];

fn range<'e>(args: &[Value<'e>], budget: &Budget) -> Called<'e> {
    let [Value::Int(count)] = args else {
        return unfit();
    };
    let size = usize::try_from(*count).map_err(|_| {
        Failure::new(format!(
            "lists.range({count}) would have less than no items"
        ))
    })?;
    charge(size, budget)?;
    Ok(Value::list((0..*count).map(Value::Int).collect()))
}

fn slice<'e>(args: &[Value<'e>], budget: &Budget) -> Called<'e> {
    let [Value::List(list), Value::Int(from), Value::Int(to)] = args else {
        return unfit();
    };
    let length = list.len();
    let bound = |index: i64| usize::try_from(index).ok().filter(|index| *index <= length);
    let (Some(start), Some(end)) = (bound(*from), bound(*to)) else {
        let message = format!("slice({from}, {to}) is outside a list of {length}");
        return Err(Failure::new(message));
    };
    if start > end {
        return Err(Failure::new(format!(
            "slice({from}, {to}) ends before it starts"
        )));
    }
    charge(end - start, budget)?;
    Ok(Value::list(
        list.iter().skip(start).take(end - start).collect(),
    ))
}

fn flatten<'e>(args: &[Value<'e>], budget: &Budget) -> Called<'e> {
    let depth = match args.get(1) {
        None => 1,
        Some(Value::Int(depth)) => usize::try_from(*depth)
            .map_err(|_| Failure::new("flatten takes a depth of 0 or more"))?,
        Some(_) => return unfit(),
    };
    let Some(items) = args.first().and_then(list) else {
        return unfit();
    };
    let mut flat = Vec::new();
    spread(items, depth, &mut flat, budget)?;
    Ok(Value::list(flat))
}

fn spread<'e>(
    list: &List<'e>,
    depth: usize,
    flat: &mut Vec<Value<'e>>,
    budget: &Budget,
) -> Result<(), Exhausted> {
    charge(list.len(), budget)?;
    for item in list.iter() {
        match item {
            Value::List(inner) if depth > 0 => spread(&inner, depth - 1, flat, budget)?,
            item => flat.push(item),
        }
    }
    Ok(())
}

fn distinct<'e>(args: &[Value<'e>], budget: &Budget) -> Called<'e> {
    let Some(items) = args.first().and_then(list) else {
        return unfit();
    };
    charge(items.len(), budget)?;
    let mut seen: Vec<Value<'e>> = Vec::new();
    'items: for item in items.iter() {
        for other in &seen {
            if equals(other, &item, budget)? {
                continue 'items;
            }
        }
        seen.push(item);
    }
    Ok(Value::list(seen))
}

fn reverse<'e>(args: &[Value<'e>], budget: &Budget) -> Called<'e> {
    let Some(items) = args.first().and_then(list) else {
        return unfit();
    };
    charge(items.len(), budget)?;
    Ok(Value::list(items.iter().rev().collect()))
}

fn sort<'e>(args: &[Value<'e>], budget: &Budget) -> Called<'e> {
    let Some(items) = args.first().and_then(list) else {
        return unfit();
    };
    charge(items.len().saturating_mul(2), budget)?;
    let pairs = items.iter().map(|item| (item.clone(), item)).collect();
    sorted(pairs, budget)
}

/// The second of each pair, in the order of the first.
pub(crate) fn sorted<'e>(mut pairs: Vec<(Value<'e>, Value<'e>)>, budget: &Budget) -> Called<'e> {
    charge(pairs.len(), budget)?;
    let Some((first, _)) = pairs.first() else {
        return Ok(Value::list(Vec::new()));
    };
    let reading: usize = pairs.iter().map(|(key, _)| 1 + key.comparing(key)).sum();
    let rounds = pairs.len().ilog2() as usize + 1;
    budget.step(reading.saturating_mul(rounds))?;
    for (key, _) in &pairs {
        if key.type_name() != first.type_name() || compare(first, key).is_err() {
            let message = format!(
                "{} and {} cannot be sorted together",
                first.type_name(),
                key.type_name()
            );
            return Err(Failure::new(message));
        }
    }
    pairs.sort_by(|(left, _), (right, _)| {
        compare(left, right)
            .ok()
            .flatten()
            .unwrap_or(Ordering::Equal)
    });
    Ok(Value::list(
        pairs.into_iter().map(|(_, item)| item).collect(),
    ))
}
