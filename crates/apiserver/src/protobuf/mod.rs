//! Bodies in protobuf. Go clients send built-in kinds so and do not fall back, so the
//! form is read here; answers stay JSON, which the same clients accept.
//!
//! One reader serves every kind: what a message means is a table made from the Go
//! types, because only their tags tell an unset field from one that is zero.

mod table;
mod wire;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use self::{
    table::{Field, Message, Table, Word},
    wire::{Item, Raw, Reader},
};

/// What every body begins with.
const MAGIC: &[u8] = b"k8s\0";
/// How deep messages may nest.
const DEEPEST: usize = 100;

/// Why a body cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(
    clippy::error_impl_error,
    reason = "named by its module: `protobuf::Error`"
)]
pub(crate) enum Error {
    /// The kind is not one of Kubernetes' own.
    #[error("{0} has no protobuf form here")]
    Unknown(String),
    /// The bytes are not what they say.
    #[error("the body of the request is not valid protobuf: {0}")]
    Broken(&'static str),
}

type Result<T> = std::result::Result<T, Error>;

/// Reads a body into the tree its JSON would be.
pub(crate) fn decode(bytes: &[u8]) -> Result<Value> {
    let envelope = bytes
        .strip_prefix(MAGIC)
        .ok_or(Error::Broken("it does not begin as Kubernetes bodies do"))?;
    let mut parts: [&[u8]; 2] = [&[], &[]];
    for item in Reader::new(envelope) {
        if let Item {
            number,
            raw: Raw::Bytes(bytes),
        } = item?
            && let Some(part) = number
                .checked_sub(1)
                .and_then(|at| parts.get_mut(at as usize))
        {
            *part = bytes;
        }
    }
    let [type_meta, body] = parts;
    let api_version = wire::text(type_meta, 1)?;
    let kind = wire::text(type_meta, 2)?;
    let table = table::table();
    let message = find(table, api_version, kind)
        .ok_or_else(|| Error::Unknown(format!("{kind} of {api_version}")))?;
    let mut object = members(table, message, body, DEEPEST)?;
    object.insert("apiVersion".into(), json!(api_version));
    object.insert("kind".into(), json!(kind));
    Ok(Value::Object(object))
}

/// Options of deletions are sent under the group of what is deleted.
fn find<'t>(table: &'t Table, api_version: &str, kind: &str) -> Option<&'t Message> {
    let api_version = if kind == "DeleteOptions" {
        "v1"
    } else {
        api_version
    };
    table.kind(api_version, kind)
}

fn message(table: &Table, message: &Message, bytes: &[u8], depth: usize) -> Result<Value> {
    let members = members(table, message, bytes, depth)?;
    Ok(if message.either {
        chosen(members)
    } else {
        Value::Object(members)
    })
}

/// What a type stands for that is either a schema or something else: the list or the
/// schema it holds, else its flag.
fn chosen(members: Map<String, Value>) -> Value {
    let mut flag = Value::Bool(false);
    for value in members.into_iter().map(|(_, value)| value) {
        if !value.is_boolean() {
            return value;
        }
        flag = value;
    }
    flag
}

fn members(
    table: &Table,
    message: &Message,
    bytes: &[u8],
    depth: usize,
) -> Result<Map<String, Value>> {
    let depth = depth
        .checked_sub(1)
        .ok_or(Error::Broken("it nests too deep"))?;
    let mut object = Map::new();
    for item in Reader::new(bytes) {
        let Item { number, raw } = item?;
        let Some(field) = message.field(number) else {
            continue;
        };
        if field.map {
            let (key, value) = entry(table, field, raw.bytes()?, depth)?;
            if let Value::Object(map) = object.entry(field.name).or_insert_with(|| json!({})) {
                map.insert(key, value);
            }
            continue;
        }
        let value = value(table, field.word, raw, depth)?;
        if field.list {
            if let Value::Array(list) = object.entry(field.name).or_insert_with(|| json!([])) {
                list.push(value);
            }
        } else if field.inline {
            if let Value::Object(inner) = value {
                object.extend(inner);
            }
        } else if !is_unset(field, &value) {
            object.insert(field.name.to_string(), value);
        }
    }
    Ok(object)
}

/// Whether a value is only how Go writes a field nobody set.
fn is_unset(field: &Field, value: &Value) -> bool {
    if value.is_null() {
        return true;
    }
    field.omit_zero
        && !field.pointer
        && match value {
            Value::Bool(flag) => !flag,
            Value::Number(number) => number.as_f64() == Some(0.0),
            Value::String(text) => text.is_empty(),
            Value::Null | Value::Array(_) | Value::Object(_) => false,
        }
}

fn entry(table: &Table, field: &Field, bytes: &[u8], depth: usize) -> Result<(String, Value)> {
    let key = wire::text(bytes, 1)?.to_owned();
    for item in Reader::new(bytes) {
        let Item { number, raw } = item?;
        if number == 2 {
            return Ok((key, value(table, field.word, raw, depth)?));
        }
    }
    Ok((key, value(table, field.word, Raw::Bytes(&[]), depth)?))
}

fn value(table: &Table, word: Word, raw: Raw<'_>, depth: usize) -> Result<Value> {
    Ok(match word {
        Word::Text => json!(wire::utf8(raw.bytes()?)?),
        Word::Bytes => json!(STANDARD.encode(raw.bytes()?)),
        Word::Bool => json!(raw.number()? != 0),
        Word::Int => json!(raw.number()?),
        Word::Double => json!(raw.double()?),
        Word::Quantity => json!(wire::text(raw.bytes()?, 1)?),
        Word::Raw => embedded(raw.bytes()?)?,
        Word::Time => time(raw.bytes()?, 0)?,
        Word::MicroTime => time(raw.bytes()?, 6)?,
        Word::Duration => json!(duration(wire::number(raw.bytes()?, 1)?)),
        Word::IntOrString => int_or_string(raw.bytes()?)?,
        Word::List => {
            let items = Reader::new(raw.bytes()?);
            let texts =
                items.map(|item| item.and_then(|item| Ok(json!(wire::utf8(item.raw.bytes()?)?))));
            Value::Array(texts.collect::<Result<_>>()?)
        }
        Word::Message(number) => {
            let inner = table
                .message(number)
                .ok_or(Error::Broken("a message is unknown"))?;
            message(table, inner, raw.bytes()?, depth)?
        }
    })
}

/// JSON inside a message.
fn embedded(bytes: &[u8]) -> Result<Value> {
    match wire::bytes(bytes, 1)? {
        [] => Ok(Value::Null),
        text => serde_json::from_slice(text).map_err(|_| Error::Broken("embedded JSON is broken")),
    }
}

fn int_or_string(bytes: &[u8]) -> Result<Value> {
    Ok(if wire::number(bytes, 1)? == 0 {
        json!(wire::number(bytes, 2)?)
    } else {
        json!(wire::text(bytes, 3)?)
    })
}

/// A point in time with so many digits behind the second; null if it is unset.
fn time(bytes: &[u8], digits: u8) -> Result<Value> {
    let (seconds, nanos) = (wire::number(bytes, 1)?, wire::number(bytes, 2)?);
    if seconds == 0 && nanos == 0 {
        return Ok(Value::Null);
    }
    let nanos = i32::try_from(nanos).map_err(|_| Error::Broken("a time is out of range"))?;
    let time =
        Timestamp::new(seconds, nanos).map_err(|_| Error::Broken("a time is out of range"))?;
    Ok(json!(format!("{time:.*}", usize::from(digits))))
}

/// A length of time as Go writes it: `1h2m3.5s`.
fn duration(nanos: i64) -> String {
    const SECOND: u64 = 1_000_000_000;
    let sign = if nanos < 0 { "-" } else { "" };
    let total = nanos.unsigned_abs();
    if total == 0 {
        return "0s".to_owned();
    }
    if total < SECOND {
        let (unit, name) = match total {
            0..1_000 => (1, "ns"),
            1_000..1_000_000 => (1_000, "µs"),
            _ => (1_000_000, "ms"),
        };
        return format!("{sign}{}{name}", decimal(total, unit));
    }
    let (hours, minutes) = (total / (3600 * SECOND), total / (60 * SECOND) % 60);
    let seconds = decimal(total % (60 * SECOND), SECOND);
    match (hours, minutes) {
        (0, 0) => format!("{sign}{seconds}s"),
        (0, _) => format!("{sign}{minutes}m{seconds}s"),
        _ => format!("{sign}{hours}h{minutes}m{seconds}s"),
    }
}

/// `total / unit` without trailing zeros.
fn decimal(total: u64, unit: u64) -> String {
    let rest = total % unit;
    if rest == 0 {
        return (total / unit).to_string();
    }
    let width = unit.ilog10() as usize;
    let digits = format!("{rest:0width$}");
    format!("{}.{}", total / unit, digits.trim_end_matches('0'))
}

#[cfg(test)]
mod tests;
