//! What the platform adds to the language: `oc_*`.

use super::arithmetic::{list, map};
use super::{Called, Overload, Sig, function, unfit};
use crate::budget::Budget;
use crate::fault::Failure;
use crate::name;
use crate::value::{List, Map, Value};

/// Any number of arguments arrive as one list.
const MANY: &[Sig] = &[Sig::LIST];

pub(super) const FUNCTIONS: &[Overload] = &[
    function("oc_omit", &[], Sig::Any, omit),
    function("oc_hash", &[Sig::String], Sig::String, hash),
    function("oc_merge", MANY, Sig::MAP, merge),
    function("oc_generate_name", MANY, Sig::String, generate_name),
    function("oc_dns_label", MANY, Sig::String, dns_label),
];

#[expect(clippy::unnecessary_wraps, reason = "all functions have one signature")]
fn omit<'e>(_args: &[Value<'e>], _budget: &Budget) -> Called<'e> {
    Ok(Value::Omit)
}

fn hash<'e>(args: &[Value<'e>], _budget: &Budget) -> Called<'e> {
    let [Value::String(text)] = args else {
        return unfit();
    };
    Ok(Value::from(name::fnv(text.as_str())))
}

fn generate_name<'e>(args: &[Value<'e>], budget: &Budget) -> Called<'e> {
    named(args, name::OBJECT, budget)
}

fn dns_label<'e>(args: &[Value<'e>], budget: &Budget) -> Called<'e> {
    named(args, name::LABEL, budget)
}

fn named<'e>(args: &[Value<'e>], limit: usize, budget: &Budget) -> Called<'e> {
    let Some(mut parts) = args.first().and_then(list).cloned() else {
        return unfit();
    };
    if let (1, Some(Value::List(inner))) = (parts.len(), parts.get(0)) {
        parts = inner;
    }
    let parts = texts(&parts)?;
    let length = parts.iter().map(String::len).sum::<usize>();
    budget.grow(length.saturating_mul(2) + limit)?;
    budget.step(length / 16)?;
    Ok(Value::from(name::generate(limit, &parts)))
}

fn texts(parts: &List<'_>) -> Result<Vec<String>, Failure> {
    parts
        .iter()
        .map(|part| match part {
            Value::String(text) => Ok(text.as_str().to_owned()),
            other => Err(Failure::new(format!(
                "names are made of strings, found {}: use string(...)",
                other.type_name()
            ))),
        })
        .collect()
}

fn merge<'e>(args: &[Value<'e>], budget: &Budget) -> Called<'e> {
    let Some(parts) = args.first().and_then(list) else {
        return unfit();
    };
    let mut merged = Vec::new();
    for part in parts.iter() {
        let Some(part) = map(&part) else {
            let message = format!("only maps can be merged, found {}", part.type_name());
            return Err(Failure::new(message));
        };
        budget.step(part.len())?;
        budget.grow(Map::cost(part.len()))?;
        merged.extend(part.entries());
    }
    Ok(Value::map(merged.into_iter().collect()))
}
