//! Every function of the language: its signatures, for whoever checks, and what it does.

mod added;
mod arithmetic;
mod convert;
mod encoders;
mod find;
mod format;
mod lists;
mod math;
mod optionals;
mod order;
mod platform;
mod sets;
mod strings;
pub(crate) mod time;

pub use added::{Added, Foreign, Plain};
pub(crate) use arithmetic::{binary, negate};
pub(crate) use convert::double_text;
pub use find::FUNCTIONS as FINDING;
pub(crate) use lists::sorted;
pub use order::FUNCTIONS as ORDERING;

use crate::budget::Budget;
use crate::fault::Failure;
use crate::value::Value;
use std::fmt;

/// What evaluates a call of a function of this crate.
pub(crate) type Own = for<'e> fn(&[Value<'e>], &Budget) -> Called<'e>;

/// What evaluates a call.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Run {
    Own(Own),
    Added(Added),
}

/// What a call comes to.
pub(crate) type Called<'e> = Result<Value<'e>, Failure>;

/// One way to call a function.
#[derive(Debug)]
pub struct Overload {
    pub(crate) name: &'static str,
    /// Whether the first argument stands before the dot.
    pub(crate) method: bool,
    pub(crate) params: &'static [Sig],
    pub(crate) result: Sig,
    pub(crate) run: Run,
}

/// The type of a parameter or result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sig {
    /// Whatever it is.
    Any,
    /// True or false.
    Bool,
    /// A whole number.
    Int,
    /// A whole number that is never negative.
    UInt,
    /// A number.
    Double,
    /// A text.
    String,
    /// Bytes.
    Bytes,
    /// A length of time.
    Duration,
    /// A point in time.
    Timestamp,
    /// A type.
    Type,
    /// The same type wherever it appears in one signature.
    A,
    /// A list of items.
    List(&'static Self),
    /// Keys and values.
    Map(&'static Self, &'static Self),
    /// A value that may be missing.
    Optional(&'static Self),
    /// A value of a type of this name, which functions that were added make.
    Foreign(&'static str),
}

impl Sig {
    pub(crate) const LIST: Self = Self::List(&Self::A);
    pub(crate) const MAP: Self = Self::Map(&Self::Any, &Self::Any);
    pub(crate) const OPTIONAL: Self = Self::Optional(&Self::A);

    /// Whether `value` may be passed.
    fn accepts(self, value: &Value<'_>) -> bool {
        match self {
            Self::Any | Self::A => true,
            Self::Bool => matches!(value, Value::Bool(_)),
            Self::Int => matches!(value, Value::Int(_)),
            Self::UInt => matches!(value, Value::UInt(_)),
            Self::Double => matches!(value, Value::Double(_)),
            Self::String => matches!(value, Value::String(_)),
            Self::Bytes => matches!(value, Value::Bytes(_)),
            Self::Duration => matches!(value, Value::Duration(_)),
            Self::Timestamp => matches!(value, Value::Timestamp(_)),
            Self::Type => matches!(value, Value::Type(_)),
            Self::List(_) => matches!(value, Value::List(_)),
            Self::Map(..) => matches!(value, Value::Map(_)),
            Self::Optional(_) => matches!(value, Value::Optional(_)),
            Self::Foreign(name) => value.type_name() == name,
        }
    }
}

impl fmt::Display for Sig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Any | Self::A => "any",
            Self::Bool => "bool",
            Self::Int => "int",
            Self::UInt => "uint",
            Self::Double => "double",
            Self::String => "string",
            Self::Bytes => "bytes",
            Self::Duration => "duration",
            Self::Timestamp => "timestamp",
            Self::Type => "type",
            Self::List(_) => "list",
            Self::Map(..) => "map",
            Self::Optional(_) => "optional",
            Self::Foreign(name) => name,
        })
    }
}

const fn overload(
    name: &'static str,
    method: bool,
    params: &'static [Sig],
    result: Sig,
    run: Run,
) -> Overload {
    Overload {
        name,
        method,
        params,
        result,
        run,
    }
}

const fn function(name: &'static str, params: &'static [Sig], result: Sig, run: Own) -> Overload {
    overload(name, false, params, result, Run::Own(run))
}

const fn method(name: &'static str, params: &'static [Sig], result: Sig, run: Own) -> Overload {
    overload(name, true, params, result, Run::Own(run))
}

impl Overload {
    /// A function `name(...)`, or `space.name(...)`, to be added to a dialect.
    pub const fn function(
        name: &'static str,
        params: &'static [Sig],
        result: Sig,
        run: Added,
    ) -> Self {
        overload(name, false, params, result, Run::Added(run))
    }

    /// A method `first.name(...)`, to be added to a dialect.
    pub const fn method(
        name: &'static str,
        params: &'static [Sig],
        result: Sig,
        run: Added,
    ) -> Self {
        overload(name, true, params, result, Run::Added(run))
    }

    fn run<'e>(&self, args: &[Value<'e>], budget: &Budget) -> Called<'e> {
        match self.run {
            Run::Own(run) => run(args, budget),
            Run::Added(run) => added::call(run, args, budget),
        }
    }

    /// How it is called, for hints.
    pub(crate) fn usage(&self) -> String {
        let texts: Vec<String> = self.params.iter().map(ToString::to_string).collect();
        match (self.method, texts.split_first()) {
            (true, Some((receiver, rest))) => {
                format!("{receiver}.{}({})", self.name, rest.join(", "))
            }
            _ => format!("{}({})", self.name, texts.join(", ")),
        }
    }
}

const LIBRARIES: [&[Overload]; 10] = [
    convert::FUNCTIONS,
    encoders::FUNCTIONS,
    format::FUNCTIONS,
    lists::FUNCTIONS,
    math::FUNCTIONS,
    optionals::FUNCTIONS,
    platform::FUNCTIONS,
    sets::FUNCTIONS,
    strings::FUNCTIONS,
    time::FUNCTIONS,
];

pub(crate) fn all() -> impl Iterator<Item = &'static Overload> {
    LIBRARIES.into_iter().flatten()
}

/// How many arguments a function takes at least that takes any number, as one list.
pub(crate) fn variadic(name: &str) -> Option<usize> {
    match name {
        "oc_merge" => Some(2),
        "oc_generate_name" | "oc_dns_label" | "math.greatest" | "math.least" => Some(1),
        _ => None,
    }
}

/// Calls the overload that fits `args`, all texts of which are read once or so. Where only a double
/// will do, a whole number is one.
pub(crate) fn call<'e>(
    name: &str,
    overloads: &[&'static Overload],
    args: &[Value<'e>],
    budget: &Budget,
) -> Called<'e> {
    let fitting = |args: &[Value<'e>]| {
        overloads.iter().find(|overload| {
            overload
                .params
                .iter()
                .zip(args)
                .all(|(param, arg)| param.accepts(arg))
        })
    };
    budget.step(args.iter().map(Value::length).sum::<usize>() / 64)?;
    if let Some(overload) = fitting(args) {
        return overload.run(args, budget);
    }
    for overload in overloads {
        let mut widened = args.to_vec();
        for (param, arg) in overload.params.iter().zip(&mut widened) {
            if *param == Sig::Double
                && let Some(double) = arithmetic::widened(arg)
            {
                *arg = Value::Double(double);
            }
        }
        if overload
            .params
            .iter()
            .zip(&widened)
            .all(|(param, arg)| param.accepts(arg))
        {
            return overload.run(&widened, budget);
        }
    }
    Err(misfit(name, overloads, args))
}

fn misfit(name: &str, overloads: &[&'static Overload], args: &[Value<'_>]) -> Failure {
    let found: Vec<&str> = args.iter().map(Value::type_name).collect();
    let usage: Vec<String> = overloads.iter().map(|one| one.usage()).collect();
    let message = format!("{name} cannot be applied to {}", found.join(", "));
    Failure::new(message).with_hint(format!("it is called as {}", usage.join(" or ")))
}

/// What a function says to arguments that its signature should have kept away.
fn unfit<'e>() -> Called<'e> {
    Err(Failure::new("the arguments do not fit the function"))
}

#[cfg(test)]
mod tests;
