//! `'...'.format([...])`.

use super::convert::double_text;
use super::{Called, Overload, Sig, method, time, unfit};
use crate::budget::Budget;
use crate::fault::Failure;
use crate::value::{List, Value};
use std::fmt::Write as _;
use std::iter::Peekable;
use std::str::Chars;

pub(super) const FUNCTIONS: &[Overload] = &[method(
    "format",
    &[Sig::String, Sig::List(&Sig::Any)],
    Sig::String,
    format,
)];

/// What `%f` and `%e` write after the point when nothing is said.
const PRECISION: usize = 6;
/// The most digits after the point.
const MAX_PRECISION: usize = 100;

fn format<'e>(args: &[Value<'e>], budget: &Budget) -> Called<'e> {
    let [Value::String(pattern), Value::List(values)] = args else {
        return unfit();
    };
    let mut chars = pattern.as_str().chars().peekable();
    let mut text = String::new();
    let mut next = 0;
    while let Some(c) = chars.next() {
        budget.grow(1)?;
        if c != '%' {
            text.push(c);
            continue;
        }
        if chars.peek() == Some(&'%') {
            chars.next();
            text.push('%');
            continue;
        }
        let precision = precision(&mut chars)?;
        let verb = chars
            .next()
            .ok_or_else(|| Failure::new("format ends after %"))?;
        let value = argument(values, next)?;
        next += 1;
        let written = clause(verb, precision, &value, budget)?;
        budget.grow(written.len())?;
        text.push_str(&written);
    }
    Ok(Value::from(text))
}

fn argument<'e>(values: &List<'e>, index: usize) -> Result<Value<'e>, Failure> {
    values.get(index).ok_or_else(|| {
        Failure::new(format!(
            "format wants a value {} that is not given",
            index + 1
        ))
    })
}

fn precision(chars: &mut Peekable<Chars<'_>>) -> Result<Option<usize>, Failure> {
    if chars.next_if_eq(&'.').is_none() {
        return Ok(None);
    }
    let mut digits = String::new();
    while let Some(digit) = chars.next_if(char::is_ascii_digit) {
        digits.push(digit);
    }
    match digits.parse() {
        Ok(count) if count <= MAX_PRECISION => Ok(Some(count)),
        _ => Err(Failure::new(format!(
            "format cannot write {digits:?} digits after the point"
        ))),
    }
}

fn clause(
    verb: char,
    precision: Option<usize>,
    value: &Value<'_>,
    budget: &Budget,
) -> Result<String, Failure> {
    let precise = precision.unwrap_or(PRECISION);
    budget.step(1 + precise / 4)?;
    let text = match (verb, value) {
        ('s', value) => return plain(value, budget),
        ('d', Value::Int(value)) => value.to_string(),
        ('d', Value::UInt(value)) => value.to_string(),
        ('d', Value::Double(value)) => special(*value).unwrap_or_else(|| double_text(*value)),
        ('f', value) => real(value, |value| format!("{value:.precise$}"))?,
        ('e', value) => real(value, |value| exponent(value, precise))?,
        ('b', Value::Bool(value)) => u8::from(*value).to_string(),
        ('b' | 'o' | 'x' | 'X', Value::Int(value)) => {
            let sign = if *value < 0 { "-" } else { "" };
            format!("{sign}{}", radix(verb, value.unsigned_abs()))
        }
        ('b' | 'o' | 'x' | 'X', Value::UInt(value)) => radix(verb, *value),
        ('x' | 'X', Value::String(text)) => bytes(verb, text.as_str().as_bytes()),
        ('x' | 'X', Value::Bytes(content)) => bytes(verb, content),
        ('d' | 'b' | 'o' | 'x' | 'X', other) => return Err(unfitting(verb, other)),
        (other, _) => return Err(Failure::new(format!("format knows no %{other}"))),
    };
    Ok(text)
}

fn unfitting(verb: char, value: &Value<'_>) -> Failure {
    Failure::new(format!(
        "%{verb} cannot write a value of type {}",
        value.type_name()
    ))
}

fn special(value: f64) -> Option<String> {
    let text = match value {
        value if value.is_nan() => "NaN",
        value if value.is_infinite() && value > 0.0 => "Infinity",
        value if value.is_infinite() => "-Infinity",
        _ => return None,
    };
    Some(text.to_owned())
}

fn real(value: &Value<'_>, write: impl Fn(f64) -> String) -> Result<String, Failure> {
    let double = match value {
        Value::Double(value) => *value,
        Value::String(text) if matches!(text.as_str(), "NaN" | "Infinity" | "-Infinity") => {
            return Ok(text.as_str().to_owned());
        }
        other => super::arithmetic::widened(other).ok_or_else(|| unfitting('f', other))?,
    };
    Ok(special(double).unwrap_or_else(|| write(double)))
}

fn exponent(value: f64, precision: usize) -> String {
    let text = format!("{value:.precision$e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    match exponent.strip_prefix('-') {
        Some(exponent) => format!("{digits}e-{exponent:0>2}"),
        None => format!("{digits}e+{exponent:0>2}"),
    }
}

fn radix(verb: char, value: u64) -> String {
    match verb {
        'b' => format!("{value:b}"),
        'o' => format!("{value:o}"),
        'x' => format!("{value:x}"),
        _ => format!("{value:X}"),
    }
}

fn bytes(verb: char, content: &[u8]) -> String {
    content.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = match verb {
            'x' => write!(text, "{byte:02x}"),
            _ => write!(text, "{byte:02X}"),
        };
        text
    })
}

/// A value as people read it.
fn plain(value: &Value<'_>, budget: &Budget) -> Result<String, Failure> {
    budget.step(4)?;
    let text = match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::UInt(value) => value.to_string(),
        Value::Double(value) => special(*value).unwrap_or_else(|| double_text(*value)),
        Value::String(text) => text.as_str().to_owned(),
        Value::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Value::Duration(moment) => moment.to_string(),
        Value::Timestamp(moment) => time::written(*moment),
        Value::Type(name) => (*name).to_owned(),
        Value::List(list) => {
            let items = list.iter().map(|item| plain(&item, budget));
            format!("[{}]", items.collect::<Result<Vec<_>, _>>()?.join(", "))
        }
        Value::Map(map) => {
            let mut entries = Vec::with_capacity(map.len());
            for (key, value) in map.entries() {
                entries.push(format!("{key}: {}", plain(&value, budget)?));
            }
            entries.sort();
            format!("{{{}}}", entries.join(", "))
        }
        Value::Optional(_) | Value::Foreign(_) | Value::Omit => return Err(unfitting('s', value)),
    };
    budget.grow(text.len())?;
    Ok(text)
}
