//! Functions over texts. Positions count characters.

use super::arithmetic::charge;
use super::{Called, Overload, Sig, function, method, unfit};
use crate::budget::Budget;
use crate::fault::Failure;
use crate::value::{Text, Value};

const S: &[Sig] = &[Sig::String];
const SS: &[Sig] = &[Sig::String, Sig::String];
const SSI: &[Sig] = &[Sig::String, Sig::String, Sig::Int];
const TEXTS: Sig = Sig::List(&Sig::String);

pub(super) const FUNCTIONS: &[Overload] = &[
    method("contains", SS, Sig::Bool, contains),
    method("startsWith", SS, Sig::Bool, starts_with),
    method("endsWith", SS, Sig::Bool, ends_with),
    method("matches", SS, Sig::Bool, matches),
    function("matches", SS, Sig::Bool, matches),
    method("charAt", &[Sig::String, Sig::Int], Sig::String, char_at),
    method("indexOf", SS, Sig::Int, index_of),
    method("indexOf", SSI, Sig::Int, index_of),
    method("lastIndexOf", SS, Sig::Int, last_index_of),
    method("lastIndexOf", SSI, Sig::Int, last_index_of),
    method("join", &[TEXTS], Sig::String, join),
    method("join", &[TEXTS, Sig::String], Sig::String, join),
    method("lowerAscii", S, Sig::String, lower),
    method("upperAscii", S, Sig::String, upper),
    method("trim", S, Sig::String, trim),
    method("reverse", S, Sig::String, reverse),
    method(
        "replace",
        &[Sig::String, Sig::String, Sig::String],
        Sig::String,
        replace,
    ),
    method(
        "replace",
        &[Sig::String, Sig::String, Sig::String, Sig::Int],
        Sig::String,
        replace,
    ),
    method("split", SS, TEXTS, split),
    method("split", SSI, TEXTS, split),
    method(
        "substring",
        &[Sig::String, Sig::Int],
        Sig::String,
        substring,
    ),
    method(
        "substring",
        &[Sig::String, Sig::Int, Sig::Int],
        Sig::String,
        substring,
    ),
    function("strings.quote", S, Sig::String, quote),
];

/// Pays for `text`, which was made.
fn made<'e>(text: String, budget: &Budget) -> Called<'e> {
    budget.grow(Text::cost(text.len()))?;
    Ok(Value::from(text))
}

macro_rules! tests {
    ($($name:ident: $left:ident, $right:ident => $result:expr;)*) => {
        $(fn $name<'e>(args: &[Value<'e>], _budget: &Budget) -> Called<'e> {
            let [Value::String($left), Value::String($right)] = args else {
                return unfit();
            };
            let ($left, $right) = ($left.as_str(), $right.as_str());
            Ok(Value::Bool($result))
        })*
    };
}

tests! {
    contains: text, part => text.contains(part);
    starts_with: text, part => text.starts_with(part);
    ends_with: text, part => text.ends_with(part);
}

fn matches<'e>(args: &[Value<'e>], budget: &Budget) -> Called<'e> {
    let [Value::String(text), Value::String(pattern)] = args else {
        return unfit();
    };
    let pattern = budget.pattern(pattern.as_str())?;
    Ok(Value::Bool(pattern.is_match(text.as_str(), budget)?))
}

/// The byte at which character `index` starts; the end counts as one.
fn position(text: &str, index: i64) -> Result<usize, Failure> {
    let outside = || {
        Failure::new(format!(
            "position {index} is outside a text of {} characters",
            text.chars().count()
        ))
    };
    let index = usize::try_from(index).map_err(|_| outside())?;
    text.char_indices()
        .map(|(at, _)| at)
        .chain([text.len()])
        .nth(index)
        .ok_or_else(outside)
}

fn char_at<'e>(args: &[Value<'e>], _budget: &Budget) -> Called<'e> {
    let [Value::String(text), Value::Int(index)] = args else {
        return unfit();
    };
    let text = text.as_str();
    let at = position(text, *index)?;
    let found = text.get(at..).and_then(|rest| rest.chars().next());
    Ok(Value::from(found.map(String::from).unwrap_or_default()))
}

fn characters(text: &str) -> i64 {
    i64::try_from(text.chars().count()).unwrap_or(i64::MAX)
}

fn index_of<'e>(args: &[Value<'e>], _budget: &Budget) -> Called<'e> {
    let (text, part, from) = match args {
        [Value::String(text), Value::String(part)] => (text.as_str(), part.as_str(), 0),
        [Value::String(text), Value::String(part), Value::Int(from)] => {
            (text.as_str(), part.as_str(), *from)
        }
        _ => return unfit(),
    };
    let start = position(text, from)?;
    let found = text.get(start..).and_then(|rest| rest.find(part));
    let before = found.and_then(|found| text.get(..start + found));
    Ok(Value::Int(before.map_or(-1, characters)))
}

fn last_index_of<'e>(args: &[Value<'e>], budget: &Budget) -> Called<'e> {
    let (text, part, limit) = match args {
        [Value::String(text), Value::String(part)] => (text.as_str(), part.as_str(), None),
        [Value::String(text), Value::String(part), Value::Int(limit)] => {
            (text.as_str(), part.as_str(), Some(*limit))
        }
        _ => return unfit(),
    };
    let last = limit.map_or(Ok(text.len()), |limit| position(text, limit))?;
    budget.step((last + 1).saturating_mul(part.len() / 64 + 1) / 16)?;
    let starts = (0..=last)
        .rev()
        .filter_map(|start| Some((start, text.get(start..)?)));
    let found = starts.into_iter().find(|(_, rest)| rest.starts_with(part));
    let before = found.and_then(|(start, _)| text.get(..start));
    Ok(Value::Int(before.map_or(-1, characters)))
}

fn join<'e>(args: &[Value<'e>], budget: &Budget) -> Called<'e> {
    let (list, separator) = match args {
        [Value::List(list)] => (list, ""),
        [Value::List(list), Value::String(separator)] => (list, separator.as_str()),
        _ => return unfit(),
    };
    let mut joined = String::new();
    for (index, item) in list.iter().enumerate() {
        let Value::String(text) = item else {
            let message = format!("join puts strings together, found {}", item.type_name());
            return Err(Failure::new(message).with_hint("use map(x, string(x)) before"));
        };
        budget.step(1)?;
        budget.grow(separator.len() + text.as_str().len())?;
        if index > 0 {
            joined.push_str(separator);
        }
        joined.push_str(text.as_str());
    }
    Ok(Value::from(joined))
}

macro_rules! changes {
    ($($name:ident: $text:ident => $result:expr;)*) => {
        $(fn $name<'e>(args: &[Value<'e>], budget: &Budget) -> Called<'e> {
            let [Value::String($text)] = args else {
                return unfit();
            };
            let $text = $text.as_str();
            made($result, budget)
        })*
    };
}

changes! {
    lower: text => text.to_ascii_lowercase();
    upper: text => text.to_ascii_uppercase();
    trim: text => text.trim().to_owned();
    reverse: text => text.chars().rev().collect();
    quote: text => quoted(text);
}

/// How often at most, when a number says so: less than 0 is without end.
fn times(limit: Option<&Value<'_>>) -> Option<usize> {
    match limit {
        Some(Value::Int(limit)) => Some(usize::try_from(*limit).unwrap_or(usize::MAX)),
        None => Some(usize::MAX),
        Some(_) => None,
    }
}

fn replace<'e>(args: &[Value<'e>], budget: &Budget) -> Called<'e> {
    let (
        [
            Value::String(text),
            Value::String(old),
            Value::String(new),
            ..,
        ],
        Some(limit),
    ) = (args, times(args.get(3)))
    else {
        return unfit();
    };
    let (text, old, new) = (text.as_str(), old.as_str(), new.as_str());
    // Paid before it is made: each place grows by the difference.
    let places = if old.is_empty() {
        text.chars().count() + 1
    } else {
        text.matches(old).count()
    };
    budget.step(places / 8)?;
    let growth = places.min(limit).saturating_mul(new.len());
    budget.grow(text.len().saturating_add(growth))?;
    Ok(Value::from(text.replacen(old, new, limit)))
}

fn split<'e>(args: &[Value<'e>], budget: &Budget) -> Called<'e> {
    let ([Value::String(text), Value::String(separator), ..], Some(limit)) =
        (args, times(args.get(2)))
    else {
        return unfit();
    };
    let (text, separator) = (text.as_str(), separator.as_str());
    let places = if separator.is_empty() {
        text.len()
    } else {
        text.matches(separator).count()
    };
    charge(places.min(limit) + 1, budget)?;
    budget.grow(text.len() + places.min(limit).saturating_mul(Text::cost(0)))?;
    let parts: Vec<&str> = match (limit, separator) {
        (0, _) => Vec::new(),
        (limit, "") => letters(text, limit),
        (limit, separator) => text.splitn(limit, separator).collect(),
    };
    Ok(Value::list(
        parts
            .into_iter()
            .map(|part| Value::from(part.to_owned()))
            .collect(),
    ))
}

/// Every character by itself, the last of `limit` with all the rest.
fn letters(text: &str, limit: usize) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if parts.len() + 1 == limit {
            parts.push(rest);
            return parts;
        }
        let (letter, after) = rest.split_at(c.len_utf8());
        parts.push(letter);
        rest = after;
    }
    parts
}

fn substring<'e>(args: &[Value<'e>], budget: &Budget) -> Called<'e> {
    let (text, from, to) = match args {
        [Value::String(text), Value::Int(from)] => (text.as_str(), *from, None),
        [Value::String(text), Value::Int(from), Value::Int(to)] => {
            (text.as_str(), *from, Some(*to))
        }
        _ => return unfit(),
    };
    let start = position(text, from)?;
    let end = to.map_or(Ok(text.len()), |to| position(text, to))?;
    match text.get(start..end) {
        Some(part) => made(part.to_owned(), budget),
        None => Err(Failure::new(format!(
            "substring from {from} ends before it starts"
        ))),
    }
}

/// The text as it would be written in an expression.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '\u{7}' => quoted.push_str("\\a"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{c}' => quoted.push_str("\\f"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\u{b}' => quoted.push_str("\\v"),
            '\\' => quoted.push_str("\\\\"),
            '"' => quoted.push_str("\\\""),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
