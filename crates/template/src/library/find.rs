//! What matches a pattern: `find` and `findAll`.

use super::{Called, Overload, Sig, method, unfit};
use crate::budget::Budget;
use crate::fault::Failure;
use crate::value::Value;

/// `text.find(pattern)`, `text.findAll(pattern)`, `text.findAll(pattern, limit)`.
pub const FUNCTIONS: &[Overload] = &[
    method("find", &[Sig::String, Sig::String], Sig::String, find),
    method(
        "findAll",
        &[Sig::String, Sig::String],
        Sig::List(&Sig::String),
        find_all,
    ),
    method(
        "findAll",
        &[Sig::String, Sig::String, Sig::Int],
        Sig::List(&Sig::String),
        find_all,
    ),
];

/// The first match, or an empty text.
fn find<'e>(args: &[Value<'e>], budget: &Budget) -> Called<'e> {
    let found = matching(args, 1, budget)?;
    Ok(found
        .into_iter()
        .next()
        .unwrap_or_else(|| Value::from(String::new())))
}

fn find_all<'e>(args: &[Value<'e>], budget: &Budget) -> Called<'e> {
    let limit = match args.get(2) {
        // Less than none is all.
        Some(Value::Int(limit)) => usize::try_from(*limit).unwrap_or(usize::MAX),
        _ => usize::MAX,
    };
    matching(args, limit, budget).map(Value::list)
}

fn matching<'e>(
    args: &[Value<'e>],
    limit: usize,
    budget: &Budget,
) -> Result<Vec<Value<'e>>, Failure> {
    let [Value::String(text), Value::String(pattern), ..] = args else {
        return unfit().map(|value| vec![value]);
    };
    let (text, pattern) = (text.as_str(), budget.pattern(pattern.as_str())?);
    let mut found = Vec::new();
    for one in pattern.find(text, limit, budget)? {
        budget.grow(one.len() + size_of::<Value<'_>>())?;
        found.push(Value::from(one.to_owned()));
    }
    Ok(found)
}
