//! Arithmetic between ints and doubles.
//!
//! CEL has none, and where a number of a template comes from decides its type: JSON does not tell
//! `2` from `2.0`. So `+ - * /` are rewritten, after parsing, to functions that make both sides
//! doubles when exactly one is.

use crate::functions::argument;
use cel::common::ast::{CallExpr, EntryExpr, Expr, IdedExpr, LiteralValue, operators};
use cel::common::types::{CelDouble, CelInt, CelUInt, DYN_TYPE};
use cel::common::value::{CowVal, Val};
use cel::{DeclarationError, Env, ExecutionError};

const ADD: &str = "@add";
const SUBTRACT: &str = "@subtract";
const MULTIPLY: &str = "@multiply";
const DIVIDE: &str = "@divide";

type Called<'b, 'v> = Result<CowVal<'b, 'v>, ExecutionError>;

/// Adds the functions to `env`.
pub(crate) fn add(env: &mut Env) -> Result<(), DeclarationError> {
    for (id, function) in [
        (ADD, plus as cel::common::functions::Function),
        (SUBTRACT, minus),
        (MULTIPLY, times),
        (DIVIDE, by),
    ] {
        env.add_overload(id, id, vec![DYN_TYPE, DYN_TYPE], function)?;
    }
    Ok(())
}

/// Rewrites the operators in `expr`.
pub(crate) fn rewrite(expr: &mut IdedExpr) {
    match &mut expr.expr {
        Expr::Call(call) => {
            if let Some(function) = replacement(call) {
                function.clone_into(&mut call.func_name);
            }
            call.target.iter_mut().for_each(|target| rewrite(target));
            call.args.iter_mut().for_each(rewrite);
        }
        Expr::Comprehension(inner) => {
            for part in [
                &mut inner.iter_range,
                &mut inner.accu_init,
                &mut inner.loop_cond,
                &mut inner.loop_step,
                &mut inner.result,
            ] {
                rewrite(part);
            }
        }
        Expr::List(list) => list.elements.iter_mut().for_each(rewrite),
        Expr::Map(map) => map
            .entries
            .iter_mut()
            .for_each(|entry| rewrite_entry(&mut entry.expr)),
        Expr::Struct(value) => {
            value
                .entries
                .iter_mut()
                .for_each(|entry| rewrite_entry(&mut entry.expr));
        }
        Expr::Select(select) => rewrite(&mut select.operand),
        Expr::Unspecified | Expr::Ident(_) | Expr::Literal(_) => {}
    }
}

fn rewrite_entry(entry: &mut EntryExpr) {
    match entry {
        EntryExpr::StructField(field) => rewrite(&mut field.value),
        EntryExpr::MapEntry(entry) => {
            rewrite(&mut entry.key);
            rewrite(&mut entry.value);
        }
    }
}

fn replacement(call: &CallExpr) -> Option<&'static str> {
    let [left, right] = call.args.as_slice() else {
        return None;
    };
    let function = match call.func_name.as_str() {
        operators::ADD => ADD,
        operators::SUBSTRACT => SUBTRACT,
        operators::MULTIPLY => MULTIPLY,
        operators::DIVIDE => DIVIDE,
        _ => return None,
    };
    let numbers = maybe_number(&left.expr) && maybe_number(&right.expr);
    numbers.then_some(function)
}

/// False for what is plainly no number, and for the accumulator whose shape the CEL crate knows.
fn maybe_number(expr: &Expr) -> bool {
    match expr {
        Expr::Literal(literal) => {
            matches!(
                literal,
                LiteralValue::Int(_) | LiteralValue::Double(_) | LiteralValue::UInt(_)
            )
        }
        Expr::Ident(name) => !name.starts_with('@'),
        Expr::List(_) | Expr::Map(_) | Expr::Struct(_) | Expr::Unspecified => false,
        Expr::Call(_) | Expr::Comprehension(_) | Expr::Select(_) => true,
    }
}

/// Both sides as doubles when one is a double and the other a whole number.
fn mixed(left: &dyn Val, right: &dyn Val) -> Option<(CelDouble, CelDouble)> {
    let double = |value: &dyn Val| {
        value
            .downcast_ref::<CelDouble>()
            .map(|value| *value.inner())
    };
    match (double(left), double(right)) {
        (Some(left), None) => Some((left.into(), widen(right)?.into())),
        (None, Some(right)) => Some((widen(left)?.into(), right.into())),
        _ => None,
    }
}

#[expect(clippy::cast_precision_loss, reason = "what double(int) does in CEL")]
fn widen(value: &dyn Val) -> Option<f64> {
    let int = value
        .downcast_ref::<CelInt>()
        .map(|value| *value.inner() as f64);
    int.or_else(|| {
        value
            .downcast_ref::<CelUInt>()
            .map(|value| *value.inner() as f64)
    })
}

fn unsupported(operator: &str, left: &dyn Val, right: &dyn Val) -> ExecutionError {
    let types = vec![
        left.get_type().name().to_owned(),
        right.get_type().name().to_owned(),
    ];
    ExecutionError::no_such_overload(operator, types)
}

macro_rules! arithmetic {
    ($function:ident, $operator:expr, $capability:ident, $method:ident) => {
        fn $function<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Called<'b, 'v> {
            let (left, right) = (argument(&args, 0)?, argument(&args, 1)?);
            if let Some((left, right)) = mixed(left, right) {
                let capable = left
                    .$capability()
                    .ok_or_else(|| unsupported($operator, &left, &right))?;
                return Ok(CowVal::Owned(capable.$method(&right)?.into_owned()));
            }
            let capable = left
                .$capability()
                .ok_or_else(|| unsupported($operator, left, right))?;
            capable
                .$method(right)
                .map(|value| CowVal::Owned(value.into_owned()))
                .map_err(|error| match error {
                    ExecutionError::UnsupportedBinaryOperator(..) => {
                        unsupported($operator, left, right)
                    }
                    other => other,
                })
        }
    };
}

arithmetic!(plus, operators::ADD, as_adder, add);
arithmetic!(minus, operators::SUBSTRACT, as_subtractor, sub);
arithmetic!(times, operators::MULTIPLY, as_multiplier, mul);
arithmetic!(by, operators::DIVIDE, as_divider, div);
