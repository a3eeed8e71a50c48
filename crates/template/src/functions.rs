//! The functions of the language beyond CEL's own: `oc_*`, `sets.*`, and what the comprehension
//! macros call.
#![expect(
    clippy::needless_pass_by_value,
    clippy::unnecessary_wraps,
    reason = "the CEL crate wants functions of this signature"
)]

use crate::comprehension::{self, ENTRIES, FROM_ENTRIES, FROM_PAIRS, RANGE};
use crate::name;
use crate::value::{self, Omit};
use cel::common::ast::{Expr, ListExpr};
use cel::common::types::{
    CelInt, CelList, CelMap, CelMapKey, CelString, DYN_TYPE, LIST_TYPE, STRING_TYPE, Type,
};
use cel::common::value::{CowVal, StaticVal, Val};
use cel::parser::Macro;
use cel::{DeclarationError, Env, ExecutionError};
use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const MERGE: &str = "@merge";
const GENERATE_NAME: &str = "@generate_name";
const DNS_LABEL: &str = "@dns_label";

type Called<'b, 'v> = Result<CowVal<'b, 'v>, ExecutionError>;

/// Adds every function, and the macros that make some of them variadic, to `env`.
pub(crate) fn add(env: &mut Env) -> Result<(), DeclarationError> {
    env.add_overload("oc_omit", "oc_omit", vec![], omit)?;
    env.add_overload("oc_hash", "oc_hash", vec![STRING_TYPE], hash)?;
    for (id, function) in [
        (MERGE, merge as cel::common::functions::Function),
        (GENERATE_NAME, generate_name),
        (DNS_LABEL, dns_label),
        (FROM_PAIRS, from_pairs),
        (FROM_ENTRIES, from_entries),
    ] {
        env.add_overload(id, id, vec![LIST_TYPE], function)?;
    }
    env.add_overload(RANGE, RANGE, vec![DYN_TYPE, DYN_TYPE], range)?;
    env.add_overload(ENTRIES, ENTRIES, vec![DYN_TYPE, DYN_TYPE], entries)?;
    for (id, function) in [
        (
            "sets.contains",
            contains as cel::common::functions::Function,
        ),
        ("sets.equivalent", equivalent),
        ("sets.intersects", intersects),
    ] {
        env.add_overload(id, id, vec![LIST_TYPE, LIST_TYPE], function)?;
    }
    variadic(env, "oc_merge", MERGE, 2)?;
    variadic(env, "oc_generate_name", GENERATE_NAME, 1)?;
    variadic(env, "oc_dns_label", DNS_LABEL, 1)
}

/// `name(a, b, ...)` becomes `function([a, b, ...])`.
fn variadic(
    env: &mut Env,
    name: &'static str,
    function: &'static str,
    least: usize,
) -> Result<(), DeclarationError> {
    env.add_macro(Macro::global_var_arg(name, move |h, _, args| {
        if args.len() < least {
            let at = args.first().map_or(0, |arg| arg.id);
            return Err(h.new_error(at, format!("{name} takes at least {least} arguments")));
        }
        let list = h.next_expr(Expr::List(ListExpr::new(std::mem::take(args))));
        Ok(Some(comprehension::call(h, function, vec![list])))
    }))
}

/// What an evaluation may still iterate; shared by all scopes of a context.
#[derive(Debug, Clone)]
pub(crate) struct Fuel(pub(crate) Arc<AtomicU64>);

static FUEL_TYPE: Type = Type::new_unspecified_type("fuel");

impl Val for Fuel {
    fn get_type(&self) -> &Type {
        &FUEL_TYPE
    }

    fn cel_type() -> &'static Type {
        &FUEL_TYPE
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v> {
        Box::new(self.clone())
    }

    fn as_any(&self) -> Option<&dyn Any> {
        Some(self)
    }
}

impl StaticVal for Fuel {}

fn burn(fuel: Option<&CowVal<'_, '_>>, amount: usize) -> Result<(), ExecutionError> {
    let left = fuel.and_then(|fuel| fuel.downcast_ref::<Fuel>());
    let spent = left.is_some_and(|Fuel(left)| {
        let amount = amount as u64;
        left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
            left.checked_sub(amount)
        })
        .is_ok()
    });
    if spent {
        return Ok(());
    }
    Err(ExecutionError::function_error(
        "comprehension",
        "too many iterations",
    ))
}

fn range<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Called<'b, 'v> {
    let mut args = args.into_iter();
    let (Some(subject), fuel) = (args.next(), args.next()) else {
        return Err(ExecutionError::missing_argument_or_target());
    };
    if let Some(map) = subject.downcast_ref::<CelMap<'_>>() {
        burn(fuel.as_ref(), map.inner().len())?;
        let keys = value::sorted(map)
            .into_iter()
            .map(|(key, _)| key.inner().clone_as_boxed());
        return Ok(CowVal::owned(CelList::from(keys.collect::<Vec<_>>())));
    }
    if let Some(list) = subject.downcast_ref::<CelList<'_>>() {
        burn(fuel.as_ref(), list.inner().len())?;
        return Ok(subject);
    }
    Err(not_iterable(subject.as_ref()))
}

fn entries<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Called<'b, 'v> {
    let subject = argument(&args, 0)?;
    let pair = |key: Box<dyn Val + 'v>, value: Box<dyn Val + 'v>| -> Box<dyn Val + 'v> {
        Box::new(CelList::from(vec![key, value]))
    };
    let pairs: Vec<Box<dyn Val + 'v>> = if let Some(map) = subject.downcast_ref::<CelMap<'_>>() {
        value::sorted(map)
            .into_iter()
            .map(|(key, value)| pair(key.inner().clone_as_boxed(), value.clone_as_boxed()))
            .collect()
    } else if let Some(list) = subject.downcast_ref::<CelList<'_>>() {
        (0_i64..)
            .zip(list.inner())
            .map(|(index, value)| pair(Box::new(CelInt::from(index)), value.clone_as_boxed()))
            .collect()
    } else {
        return Err(not_iterable(subject));
    };
    burn(args.get(1), pairs.len())?;
    Ok(CowVal::owned(CelList::from(pairs)))
}

fn not_iterable(subject: &dyn Val) -> ExecutionError {
    ExecutionError::UnexpectedType {
        got: subject.get_type().name().to_owned(),
        want: "a list or a map".to_owned(),
    }
}

fn omit<'b, 'v>(_args: Vec<CowVal<'b, 'v>>) -> Called<'b, 'v> {
    Ok(CowVal::owned(Omit))
}

fn hash<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Called<'b, 'v> {
    let text = string(argument(&args, 0)?, "oc_hash")?;
    Ok(CowVal::owned(CelString::from(name::fnv(text))))
}

fn generate_name<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Called<'b, 'v> {
    named(&args, "oc_generate_name", name::OBJECT)
}

fn dns_label<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Called<'b, 'v> {
    named(&args, "oc_dns_label", name::LABEL)
}

fn named<'b, 'v>(args: &[CowVal<'b, 'v>], function: &str, limit: usize) -> Called<'b, 'v> {
    let mut parts = items(args, 0)?;
    if let [only] = parts
        && let Some(list) = only.downcast_ref::<CelList<'_>>()
    {
        parts = list.inner();
    }
    let parts = parts
        .iter()
        .map(|part| string(part.as_ref(), function))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(CowVal::owned(CelString::from(name::generate(
        limit, &parts,
    ))))
}

fn merge<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Called<'b, 'v> {
    let mut merged: BTreeMap<CelMapKey<'v>, Box<dyn Val + 'v>> = BTreeMap::new();
    for item in items(&args, 0)? {
        let map = item.downcast_ref::<CelMap<'_>>().ok_or_else(|| {
            ExecutionError::function_error(
                "oc_merge",
                format!("only maps can be merged, found {}", item.get_type().name()),
            )
        })?;
        for (key, value) in value::sorted(map) {
            merged.insert(key.clone(), value.clone_as_boxed());
        }
    }
    Ok(CowVal::owned(value::map(merged.into_iter())))
}

fn from_pairs<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Called<'b, 'v> {
    let mut map: BTreeMap<CelMapKey<'v>, Box<dyn Val + 'v>> = BTreeMap::new();
    for pair in items(&args, 0)? {
        let [key, value] = pair
            .downcast_ref::<CelList<'_>>()
            .map(CelList::inner)
            .unwrap_or_default()
        else {
            return Err(ExecutionError::missing_argument_or_target());
        };
        map.insert(CelMapKey::try_from(key.clone())?, value.clone());
    }
    Ok(CowVal::owned(value::map(map.into_iter())))
}

fn from_entries<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Called<'b, 'v> {
    let mut map: BTreeMap<CelMapKey<'v>, Box<dyn Val + 'v>> = BTreeMap::new();
    for item in items(&args, 0)? {
        let entry = item.downcast_ref::<CelMap<'_>>().ok_or_else(|| {
            ExecutionError::function_error(
                "transformMapEntry",
                format!("each entry must be a map, found {}", item.get_type().name()),
            )
        })?;
        for (key, value) in value::sorted(entry) {
            if map.insert(key.clone(), value.clone_as_boxed()).is_some() {
                return Err(ExecutionError::function_error(
                    "transformMapEntry",
                    format!("key {:?} is made twice", key.inner()),
                ));
            }
        }
    }
    Ok(CowVal::owned(value::map(map.into_iter())))
}

fn contains<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Called<'b, 'v> {
    boolean(within(items(&args, 1)?, items(&args, 0)?))
}

fn equivalent<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Called<'b, 'v> {
    let (left, right) = (items(&args, 0)?, items(&args, 1)?);
    boolean(within(left, right) && within(right, left))
}

fn intersects<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Called<'b, 'v> {
    let (left, right) = (items(&args, 0)?, items(&args, 1)?);
    boolean(
        left.iter()
            .any(|item| within(std::slice::from_ref(item), right)),
    )
}

/// Whether every item of `these` is one of `those`.
fn within(these: &[Box<dyn Val + '_>], those: &[Box<dyn Val + '_>]) -> bool {
    these
        .iter()
        .all(|item| those.iter().any(|other| item.equals(other.as_ref())))
}

fn boolean<'b, 'v>(value: bool) -> Called<'b, 'v> {
    Ok(CowVal::owned(cel::common::types::CelBool::from(value)))
}

/// The argument at `index`.
pub(crate) fn argument<'a, 'v>(
    args: &'a [CowVal<'_, 'v>],
    index: usize,
) -> Result<&'a (dyn Val + 'v), ExecutionError> {
    args.get(index)
        .map(AsRef::as_ref)
        .ok_or_else(ExecutionError::missing_argument_or_target)
}

fn items<'a, 'v>(
    args: &'a [CowVal<'_, 'v>],
    index: usize,
) -> Result<&'a [Box<dyn Val + 'v>], ExecutionError> {
    let subject = argument(args, index)?;
    subject
        .downcast_ref::<CelList<'_>>()
        .map(CelList::inner)
        .ok_or_else(|| not_iterable(subject))
}

fn string<'a>(value: &'a dyn Val, function: &str) -> Result<&'a str, ExecutionError> {
    value
        .downcast_ref::<CelString<'_>>()
        .map(CelString::inner)
        .ok_or_else(|| {
            ExecutionError::function_error(
                function,
                format!(
                    "a string is wanted, found {}: use string(...)",
                    value.get_type().name()
                ),
            )
        })
}
