//! Values that may be missing.

use super::arithmetic::list;
use super::{Called, Overload, Sig, function, method, unfit};
use crate::budget::Budget;
use crate::fault::Failure;
use crate::value::Value;

pub(super) const FUNCTIONS: &[Overload] = &[
    function("optional.of", &[Sig::A], Sig::OPTIONAL, of),
    function(
        "optional.ofNonZeroValue",
        &[Sig::A],
        Sig::OPTIONAL,
        of_non_zero,
    ),
    function("optional.none", &[], Sig::OPTIONAL, none),
    function(
        "optional.unwrap",
        &[Sig::List(&Sig::OPTIONAL)],
        Sig::LIST,
        unwrap,
    ),
    method("unwrapOpt", &[Sig::List(&Sig::OPTIONAL)], Sig::LIST, unwrap),
    method("hasValue", &[Sig::OPTIONAL], Sig::Bool, has_value),
    method("value", &[Sig::OPTIONAL], Sig::A, value),
    method("or", &[Sig::OPTIONAL, Sig::OPTIONAL], Sig::OPTIONAL, or),
    method("orValue", &[Sig::OPTIONAL, Sig::A], Sig::A, or_value),
    method("first", &[Sig::LIST], Sig::OPTIONAL, first),
    method("last", &[Sig::LIST], Sig::OPTIONAL, last),
];

fn of<'e>(args: &[Value<'e>], _budget: &Budget) -> Called<'e> {
    args.first()
        .map_or_else(unfit, |value| Ok(Value::some(value.clone())))
}

fn of_non_zero<'e>(args: &[Value<'e>], budget: &Budget) -> Called<'e> {
    match args.first() {
        Some(value) if value.is_zero() => Ok(Value::none()),
        _ => of(args, budget),
    }
}

#[expect(clippy::unnecessary_wraps, reason = "all functions have one signature")]
fn none<'e>(_args: &[Value<'e>], _budget: &Budget) -> Called<'e> {
    Ok(Value::none())
}

/// What those of a list hold that hold something.
fn unwrap<'e>(args: &[Value<'e>], budget: &Budget) -> Called<'e> {
    let Some(items) = args.first().and_then(list) else {
        return unfit();
    };
    super::arithmetic::charge(items.len(), budget)?;
    let mut held = Vec::new();
    for item in items.iter() {
        match item {
            Value::Optional(inner) => held.extend(inner.as_deref().cloned()),
            _ => return unfit(),
        }
    }
    Ok(Value::list(held))
}

fn has_value<'e>(args: &[Value<'e>], _budget: &Budget) -> Called<'e> {
    match args {
        [Value::Optional(inner)] => Ok(Value::Bool(inner.is_some())),
        _ => unfit(),
    }
}

fn value<'e>(args: &[Value<'e>], _budget: &Budget) -> Called<'e> {
    match args {
        [Value::Optional(Some(inner))] => Ok(inner.as_ref().clone()),
        [Value::Optional(None)] => Err(Failure::new("the optional holds no value")
            .with_hint("use orValue(...) to say what stands in for it")),
        _ => unfit(),
    }
}

fn or<'e>(args: &[Value<'e>], _budget: &Budget) -> Called<'e> {
    match args {
        [held @ Value::Optional(Some(_)), _] | [Value::Optional(None), held] => Ok(held.clone()),
        _ => unfit(),
    }
}

fn or_value<'e>(args: &[Value<'e>], _budget: &Budget) -> Called<'e> {
    match args {
        [Value::Optional(Some(inner)), _] => Ok(inner.as_ref().clone()),
        [Value::Optional(None), other] => Ok(other.clone()),
        _ => unfit(),
    }
}

fn first<'e>(args: &[Value<'e>], _budget: &Budget) -> Called<'e> {
    let items = args.first().and_then(list);
    items.map_or_else(unfit, |items| {
        Ok(items.get(0).map_or_else(Value::none, Value::some))
    })
}

fn last<'e>(args: &[Value<'e>], _budget: &Budget) -> Called<'e> {
    let items = args.first().and_then(list);
    items.map_or_else(unfit, |items| {
        Ok(items
            .iter()
            .next_back()
            .map_or_else(Value::none, Value::some))
    })
}
