//! Lists as sets.

use super::arithmetic::list;
use super::{Called, Overload, Sig, function, unfit};
use crate::budget::Budget;
use crate::fault::Failure;
use crate::value::{List, Value, equals};

const LISTS: &[Sig] = &[Sig::LIST, Sig::LIST];

pub(super) const FUNCTIONS: &[Overload] = &[
    function("sets.contains", LISTS, Sig::Bool, contains),
    function("sets.equivalent", LISTS, Sig::Bool, equivalent),
    function("sets.intersects", LISTS, Sig::Bool, intersects),
];

fn pair<'a, 'e>(args: &'a [Value<'e>]) -> Option<(&'a List<'e>, &'a List<'e>)> {
    Some((args.first().and_then(list)?, args.get(1).and_then(list)?))
}

fn holds(list: &List<'_>, wanted: &Value<'_>, budget: &Budget) -> Result<bool, Failure> {
    for item in list.iter() {
        if equals(&item, wanted, budget)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn within(these: &List<'_>, those: &List<'_>, budget: &Budget) -> Result<bool, Failure> {
    for item in these.iter() {
        if !holds(those, &item, budget)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn contains<'e>(args: &[Value<'e>], budget: &Budget) -> Called<'e> {
    let Some((left, right)) = pair(args) else {
        return unfit();
    };
    within(right, left, budget).map(Value::Bool)
}

fn equivalent<'e>(args: &[Value<'e>], budget: &Budget) -> Called<'e> {
    let Some((left, right)) = pair(args) else {
        return unfit();
    };
    Ok(Value::Bool(
        within(left, right, budget)? && within(right, left, budget)?,
    ))
}

fn intersects<'e>(args: &[Value<'e>], budget: &Budget) -> Called<'e> {
    let Some((left, right)) = pair(args) else {
        return unfit();
    };
    for item in left.iter() {
        if holds(right, &item, budget)? {
            return Ok(Value::Bool(true));
        }
    }
    Ok(Value::Bool(false))
}
