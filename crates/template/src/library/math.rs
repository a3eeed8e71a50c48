//! Functions over numbers.
use super::arithmetic::list;
use super::{Called, Overload, Sig, function, unfit};
use crate::budget::Budget;
use crate::fault::Failure;
use crate::value::{Value, compare};
use std::cmp::Ordering;

const D: &[Sig] = &[Sig::Double];
const I: &[Sig] = &[Sig::Int];
const U: &[Sig] = &[Sig::UInt];
const II: &[Sig] = &[Sig::Int, Sig::Int];
const UU: &[Sig] = &[Sig::UInt, Sig::UInt];
const UI: &[Sig] = &[Sig::UInt, Sig::Int];

pub(super) const FUNCTIONS: &[Overload] = &[
    function("math.greatest", &[Sig::LIST], Sig::A, greatest),
    function("math.least", &[Sig::LIST], Sig::A, least),
    function("math.ceil", D, Sig::Double, ceil),
    function("math.floor", D, Sig::Double, floor),
    function("math.round", D, Sig::Double, round),
    function("math.trunc", D, Sig::Double, trunc),
    function("math.isNaN", D, Sig::Bool, is_nan),
    function("math.isInf", D, Sig::Bool, is_inf),
    function("math.isFinite", D, Sig::Bool, is_finite),
    function("math.sqrt", D, Sig::Double, sqrt),
    function("math.abs", D, Sig::Double, abs),
    function("math.abs", I, Sig::Int, abs),
    function("math.abs", U, Sig::UInt, abs),
    function("math.sign", D, Sig::Double, sign),
    function("math.sign", I, Sig::Int, sign),
    function("math.sign", U, Sig::UInt, sign),
    function("math.bitAnd", II, Sig::Int, bit_and),
    function("math.bitAnd", UU, Sig::UInt, bit_and),
    function("math.bitOr", II, Sig::Int, bit_or),
    function("math.bitOr", UU, Sig::UInt, bit_or),
    function("math.bitXor", II, Sig::Int, bit_xor),
    function("math.bitXor", UU, Sig::UInt, bit_xor),
    function("math.bitNot", I, Sig::Int, bit_not),
    function("math.bitNot", U, Sig::UInt, bit_not),
    function("math.bitShiftLeft", II, Sig::Int, shift_left),
    function("math.bitShiftLeft", UI, Sig::UInt, shift_left),
    function("math.bitShiftRight", II, Sig::Int, shift_right),
    function("math.bitShiftRight", UI, Sig::UInt, shift_right),
];

fn greatest<'e>(args: &[Value<'e>], budget: &Budget) -> Called<'e> {
    extreme("math.greatest", Ordering::Greater, args, budget)
}

fn least<'e>(args: &[Value<'e>], budget: &Budget) -> Called<'e> {
    extreme("math.least", Ordering::Less, args, budget)
}

/// The number of a list that is `wanted` compared to all others; the first of equal ones.
fn extreme<'e>(name: &str, wanted: Ordering, args: &[Value<'e>], budget: &Budget) -> Called<'e> {
    let Some(mut numbers) = args.first().and_then(list).cloned() else {
        return unfit();
    };
    if let (1, Some(Value::List(inner))) = (numbers.len(), numbers.get(0)) {
        numbers = inner;
    }
    budget.step(numbers.len())?;
    let mut best: Option<Value<'e>> = None;
    for number in numbers.iter() {
        if !matches!(number, Value::Int(_) | Value::UInt(_) | Value::Double(_)) {
            let message = format!("{name} compares numbers, found {}", number.type_name());
            return Err(Failure::new(message));
        }
        let better = best
            .as_ref()
            .is_none_or(|best| compare(&number, best).is_ok_and(|found| found == Some(wanted)));
        if better {
            best = Some(number);
        }
    }
    best.ok_or_else(|| Failure::new(format!("{name} needs a number")))
}

macro_rules! doubles {
    ($($name:ident: $value:ident => $result:expr;)*) => {
        $(fn $name<'e>(args: &[Value<'e>], _budget: &Budget) -> Called<'e> {
            let [Value::Double($value)] = args else {
                return unfit();
            };
            Ok(Value::from($result))
        })*
    };
}

doubles! {
    ceil: value => value.ceil();
    floor: value => value.floor();
    round: value => value.round();
    trunc: value => value.trunc();
    is_nan: value => value.is_nan();
    is_inf: value => value.is_infinite();
    is_finite: value => value.is_finite();
    sqrt: value => value.sqrt();
}

fn abs<'e>(args: &[Value<'e>], _budget: &Budget) -> Called<'e> {
    match args {
        [Value::Double(value)] => Ok(Value::Double(value.abs())),
        [Value::Int(value)] => value
            .checked_abs()
            .map(Value::Int)
            .ok_or_else(|| Failure::new("the result is too large: overflow")),
        [value @ Value::UInt(_)] => Ok(value.clone()),
        _ => unfit(),
    }
}

fn sign<'e>(args: &[Value<'e>], _budget: &Budget) -> Called<'e> {
    match args {
        [Value::Double(value)] if value.is_nan() || *value == 0.0 => Ok(Value::Double(*value)),
        [Value::Double(value)] => Ok(Value::Double(value.signum())),
        [Value::Int(value)] => Ok(Value::Int(value.signum())),
        [Value::UInt(value)] => Ok(Value::UInt((*value).min(1))),
        _ => unfit(),
    }
}

macro_rules! bits {
    ($($name:ident: $operator:tt;)*) => {
        $(fn $name<'e>(args: &[Value<'e>], _budget: &Budget) -> Called<'e> {
            match args {
                [Value::Int(left), Value::Int(right)] => Ok(Value::Int(left $operator right)),
                [Value::UInt(left), Value::UInt(right)] => Ok(Value::UInt(left $operator right)),
                _ => unfit(),
            }
        })*
    };
}

bits! {
    bit_and: &;
    bit_or: |;
    bit_xor: ^;
}

fn bit_not<'e>(args: &[Value<'e>], _budget: &Budget) -> Called<'e> {
    match args {
        [Value::Int(value)] => Ok(Value::Int(!value)),
        [Value::UInt(value)] => Ok(Value::UInt(!value)),
        _ => unfit(),
    }
}

/// By how many bits to shift; `None` when nothing is left.
fn distance(by: i64) -> Result<Option<u32>, Failure> {
    let by = u32::try_from(by).or_else(|_| {
        if by < 0 {
            Err(Failure::new(format!("cannot shift by {by} bits")))
        } else {
            Ok(u64::BITS)
        }
    })?;
    Ok((by < u64::BITS).then_some(by))
}

fn shift_left<'e>(args: &[Value<'e>], _budget: &Budget) -> Called<'e> {
    match args {
        [Value::Int(value), Value::Int(by)] => {
            Ok(Value::Int(distance(*by)?.map_or(0, |by| value << by)))
        }
        [Value::UInt(value), Value::Int(by)] => {
            Ok(Value::UInt(distance(*by)?.map_or(0, |by| value << by)))
        }
        _ => unfit(),
    }
}

/// The sign is shifted like any other bit.
fn shift_right<'e>(args: &[Value<'e>], _budget: &Budget) -> Called<'e> {
    match args {
        [Value::Int(value), Value::Int(by)] => {
            let bits = value.cast_unsigned();
            Ok(Value::Int(
                distance(*by)?.map_or(0, |by| (bits >> by).cast_signed()),
            ))
        }
        [Value::UInt(value), Value::Int(by)] => {
            Ok(Value::UInt(distance(*by)?.map_or(0, |by| value >> by)))
        }
        _ => unfit(),
    }
}
