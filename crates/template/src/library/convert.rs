//! From one type to another, and what a value's type is.

use super::arithmetic::{size, widened};
use super::{Called, Overload, Sig, function, method, time, unfit};
use crate::budget::Budget;
use crate::fault::{Failure, cut};
use crate::value::{Text, Value};

pub(super) const FUNCTIONS: &[Overload] = &[
    function("bool", &[Sig::Bool], Sig::Bool, same),
    function("bool", &[Sig::String], Sig::Bool, to_bool),
    function("int", &[Sig::Int], Sig::Int, same),
    function("int", &[Sig::UInt], Sig::Int, to_int),
    function("int", &[Sig::Double], Sig::Int, to_int),
    function("int", &[Sig::String], Sig::Int, to_int),
    function("int", &[Sig::Timestamp], Sig::Int, to_int),
    function("int", &[Sig::Duration], Sig::Int, to_int),
    function("uint", &[Sig::UInt], Sig::UInt, same),
    function("uint", &[Sig::Int], Sig::UInt, to_uint),
    function("uint", &[Sig::Double], Sig::UInt, to_uint),
    function("uint", &[Sig::String], Sig::UInt, to_uint),
    function("double", &[Sig::Double], Sig::Double, same),
    function("double", &[Sig::Int], Sig::Double, to_double),
    function("double", &[Sig::UInt], Sig::Double, to_double),
    function("double", &[Sig::String], Sig::Double, to_double),
    function("string", &[Sig::String], Sig::String, same),
    function("string", &[Sig::Bool], Sig::String, to_string),
    function("string", &[Sig::Int], Sig::String, to_string),
    function("string", &[Sig::UInt], Sig::String, to_string),
    function("string", &[Sig::Double], Sig::String, to_string),
    function("string", &[Sig::Bytes], Sig::String, to_string),
    function("string", &[Sig::Duration], Sig::String, to_string),
    function("string", &[Sig::Timestamp], Sig::String, to_string),
    function("bytes", &[Sig::Bytes], Sig::Bytes, same),
    function("bytes", &[Sig::String], Sig::Bytes, to_bytes),
    function("dyn", &[Sig::Any], Sig::Any, same),
    function("type", &[Sig::Any], Sig::Type, type_of),
    function("size", &[Sig::String], Sig::Int, count),
    function("size", &[Sig::Bytes], Sig::Int, count),
    function("size", &[Sig::LIST], Sig::Int, count),
    function("size", &[Sig::MAP], Sig::Int, count),
    method("size", &[Sig::String], Sig::Int, count),
    method("size", &[Sig::Bytes], Sig::Int, count),
    method("size", &[Sig::LIST], Sig::Int, count),
    method("size", &[Sig::MAP], Sig::Int, count),
];

fn same<'e>(args: &[Value<'e>], _budget: &Budget) -> Called<'e> {
    args.first().cloned().map_or_else(unfit, Ok)
}

fn count<'e>(args: &[Value<'e>], _budget: &Budget) -> Called<'e> {
    args.first()
        .and_then(size)
        .map_or_else(unfit, |count| Ok(Value::Int(count)))
}

fn type_of<'e>(args: &[Value<'e>], _budget: &Budget) -> Called<'e> {
    args.first()
        .map_or_else(unfit, |value| Ok(Value::Type(value.type_name())))
}

fn no_conversion<'e>(text: &str, wanted: &str) -> Called<'e> {
    Err(Failure::new(format!("{:?} is no {wanted}", cut(text, 100))))
}

fn to_bool<'e>(args: &[Value<'e>], _budget: &Budget) -> Called<'e> {
    let [Value::String(text)] = args else {
        return unfit();
    };
    match text.as_str() {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(Value::Bool(true)),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(Value::Bool(false)),
        other => no_conversion(other, "bool"),
    }
}

fn to_int<'e>(args: &[Value<'e>], _budget: &Budget) -> Called<'e> {
    /// The first double beyond every int.
    const BEYOND: f64 = 9_223_372_036_854_775_808.0;
    let int = match args {
        [Value::UInt(value)] => i64::try_from(*value).ok(),
        #[expect(clippy::cast_possible_truncation, reason = "checked to fit")]
        [Value::Double(value)] => (value.abs() < BEYOND).then_some(*value as i64),
        [Value::Timestamp(moment)] => Some(moment.seconds),
        [Value::Duration(length)] => length
            .seconds
            .checked_mul(1_000_000_000)
            .and_then(|nanos| nanos.checked_add(length.nanos)),
        [Value::String(text)] => {
            let text = text.as_str();
            return text
                .parse()
                .map(Value::Int)
                .or_else(|_| no_conversion(text, "int"));
        }
        _ => return unfit(),
    };
    int.map(Value::Int)
        .ok_or_else(|| Failure::new("the number is out of range for an int"))
}

fn to_uint<'e>(args: &[Value<'e>], _budget: &Budget) -> Called<'e> {
    /// The first double beyond every uint.
    const BEYOND: f64 = 18_446_744_073_709_551_616.0;
    let uint = match args {
        [Value::Int(value)] => u64::try_from(*value).ok(),
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "checked to fit"
        )]
        [Value::Double(value)] => (*value > -1.0 && *value < BEYOND).then_some(*value as u64),
        [Value::String(text)] => {
            let text = text.as_str();
            return text
                .parse()
                .map(Value::UInt)
                .or_else(|_| no_conversion(text, "uint"));
        }
        _ => return unfit(),
    };
    uint.map(Value::UInt)
        .ok_or_else(|| Failure::new("the number is out of range for a uint"))
}

/// How many bytes the text of a number may have.
const LONGEST_NUMBER: usize = 1000;

fn to_double<'e>(args: &[Value<'e>], _budget: &Budget) -> Called<'e> {
    match args {
        [Value::String(text)] => {
            // Nobody writes a number that long, and reading one takes its time.
            let text = text.as_str();
            let short = Some(text).filter(|text| text.len() <= LONGEST_NUMBER);
            match short.and_then(|text| text.parse().ok()) {
                Some(number) => Ok(Value::Double(number)),
                None => no_conversion(text, "double"),
            }
        }
        [value] => widened(value).map_or_else(unfit, |double| Ok(Value::Double(double))),
        _ => unfit(),
    }
}

fn to_string<'e>(args: &[Value<'e>], budget: &Budget) -> Called<'e> {
    let text = match args {
        [Value::Bool(value)] => value.to_string(),
        [Value::Int(value)] => value.to_string(),
        [Value::UInt(value)] => value.to_string(),
        [Value::Double(value)] => double_text(*value),
        [Value::Duration(moment)] => moment.to_string(),
        [Value::Timestamp(moment)] => time::written(*moment),
        [Value::Bytes(bytes)] => match std::str::from_utf8(bytes) {
            Ok(text) => text.to_owned(),
            Err(_) => return Err(Failure::new("the bytes are not text in UTF-8")),
        },
        _ => return unfit(),
    };
    budget.grow(Text::cost(text.len()))?;
    Ok(Value::from(text))
}

/// A double in full, and with an exponent where that would be absurd.
pub(crate) fn double_text(value: f64) -> String {
    const LARGE: f64 = 1e21;
    const SMALL: f64 = 1e-6;
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let size = value.abs();
    if size != 0.0 && !(SMALL..LARGE).contains(&size) {
        let text = format!("{value:e}");
        return match text.split_once("e-") {
            Some((digits, exponent)) => format!("{digits}e-{exponent:0>2}"),
            None => text.replacen('e', "e+", 1),
        };
    }
    value.to_string()
}

fn to_bytes<'e>(args: &[Value<'e>], budget: &Budget) -> Called<'e> {
    let [Value::String(text)] = args else {
        return unfit();
    };
    let bytes = Text::as_str(text).as_bytes();
    budget.grow(bytes.len())?;
    Ok(Value::Bytes(bytes.into()))
}
