//! Functions that come from outside: what they are given and return.

use super::{Called, unfit};
use crate::budget::Budget;
use crate::fault::Failure;
use crate::value::{Key, Text, Value};
use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

/// A value of a type that only functions from outside know.
pub trait Foreign: fmt::Debug {
    /// The name of its type.
    fn type_name(&self) -> &'static str;
    /// Whether it is equal to another.
    fn equals(&self, other: &dyn Foreign) -> bool;
    /// Itself, for those who know its type.
    fn as_any(&self) -> &dyn Any;
}

/// A value as functions from outside see it.
#[derive(Debug, Clone)]
pub enum Plain {
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number.
    Double(f64),
    /// A text.
    String(Arc<str>),
    /// A list.
    List(Vec<Self>),
    /// Values by name.
    Map(BTreeMap<String, Self>),
    /// A value that may be missing.
    Optional(Option<Box<Self>>),
    /// A value of a type from outside.
    Foreign(Rc<dyn Foreign>),
}

/// What evaluates a call of a function from outside. A mistake is told to people.
pub type Added = fn(&[Plain]) -> Result<Plain, String>;

/// Calls `run`, which is paid for by the text it is given.
pub(super) fn call<'e>(run: Added, args: &[Value<'e>], budget: &Budget) -> Called<'e> {
    let size: usize = args.iter().filter_map(Value::as_str).map(str::len).sum();
    budget.step(size / 16 + 1)?;
    budget.grow(size)?;
    let Some(args) = args.iter().map(plain).collect::<Option<Vec<_>>>() else {
        return unfit();
    };
    run(&args).map(value).map_err(Failure::new)
}

fn plain(value: &Value<'_>) -> Option<Plain> {
    Some(match value {
        Value::Bool(value) => Plain::Bool(*value),
        Value::Int(value) => Plain::Int(*value),
        Value::Double(value) => Plain::Double(*value),
        Value::String(text) => Plain::String(text.as_str().into()),
        Value::Foreign(value) => Plain::Foreign(Rc::clone(value)),
        _ => return None,
    })
}

fn value<'e>(plain: Plain) -> Value<'e> {
    match plain {
        Plain::Bool(value) => Value::Bool(value),
        Plain::Int(value) => Value::Int(value),
        Plain::Double(value) => Value::Double(value),
        Plain::String(text) => Value::from(text.to_string()),
        Plain::List(items) => Value::list(items.into_iter().map(value).collect()),
        Plain::Map(entries) => {
            let entries = entries.into_iter();
            let entries =
                entries.map(|(key, one)| (Key::String(Text::Shared(key.into())), value(one)));
            Value::map(entries.collect())
        }
        Plain::Optional(inner) => Value::Optional(inner.map(|inner| Rc::new(value(*inner)))),
        Plain::Foreign(value) => Value::Foreign(value),
    }
}
