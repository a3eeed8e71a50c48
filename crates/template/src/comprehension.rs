//! The comprehension macros, over one and two variables.
//!
//! They replace the CEL crate's own for two reasons: its maps have no order, so ours walk what
//! `@range` and `@entries` return, sorted by key; and both burn the fuel that bounds evaluation.

use cel::common::ast::operators;
use cel::common::ast::{CallExpr, ComprehensionExpr, Expr, IdedExpr, ListExpr, LiteralValue};
use cel::parser::{Macro, MacroExprHelper, ParseError};
use cel::{DeclarationError, Env};

/// The variable that carries the fuel of an evaluation.
pub(crate) const FUEL: &str = "@fuel";
/// The function that lists what one variable walks: a list's items, a map's keys.
pub(crate) const RANGE: &str = "@range";
/// The function that lists what two variables walk, as pairs of key (or index) and value.
pub(crate) const ENTRIES: &str = "@entries";
/// The function that makes a map of pairs.
pub(crate) const FROM_PAIRS: &str = "@from_pairs";
/// The function that makes one map of maps whose keys must differ.
pub(crate) const FROM_ENTRIES: &str = "@from_entries";

const RESULT: &str = "@result";
const PAIR: &str = "@pair";

type Helper<'a, 'b> = &'a mut MacroExprHelper<'b>;
type Expanded = Result<Option<IdedExpr>, ParseError>;

/// Adds every comprehension macro, `has` and `cel.bind` to `env`.
pub(crate) fn add(env: &mut Env) -> Result<(), DeclarationError> {
    env.add_macro(Macro::global(operators::HAS, 1, |h, _, args| has(h, args)))?;
    env.add_macro(Macro::receiver("bind", 3, bind))?;
    for variables in [1, 2] {
        let arguments = variables + 1;
        fold(env, operators::EXISTS, arguments, exists)?;
        fold(env, operators::ALL, arguments, all)?;
        fold(env, operators::EXISTS_ONE, arguments, exists_one)?;
        fold(env, "existsOne", arguments, exists_one)?;
    }
    fold(env, operators::FILTER, 2, filter)?;
    for (name, variables, finish) in [
        (operators::MAP, 1, None),
        ("transformList", 2, None),
        ("transformMap", 2, Some(FROM_PAIRS)),
        ("transformMapEntry", 2, Some(FROM_ENTRIES)),
    ] {
        for filtered in [0, 1] {
            env.add_macro(Macro::receiver(
                name,
                variables + 1 + filtered,
                move |h, target, args| transform(h, target, args, variables, finish),
            ))?;
        }
    }
    Ok(())
}

/// A comprehension as it is written: what it walks, its variables and its remaining arguments.
struct Loop {
    range: IdedExpr,
    variables: Vec<String>,
    rest: Vec<IdedExpr>,
}

impl Loop {
    fn read(
        h: Helper<'_, '_>,
        target: &mut Option<IdedExpr>,
        args: &mut Vec<IdedExpr>,
        variables: usize,
    ) -> Result<Self, ParseError> {
        let rest = args.split_off(variables);
        let names = std::mem::take(args)
            .into_iter()
            .map(|arg| variable(h, arg))
            .collect::<Result<Vec<_>, _>>()?;
        let subject = target.take().unwrap_or_default();
        let function = if variables == 1 { RANGE } else { ENTRIES };
        let fuel = ident(h, FUEL);
        let range = call(h, function, vec![subject, fuel]);
        Ok(Self {
            range,
            variables: names,
            rest,
        })
    }

    /// `body` with this loop's variables in scope.
    fn body(&self, h: Helper<'_, '_>, body: IdedExpr) -> IdedExpr {
        let [key, value] = self.variables.as_slice() else {
            return body;
        };
        let inner = bound(h, value, 1, body);
        bound(h, key, 0, inner)
    }

    fn finish(self, h: Helper<'_, '_>, init: Expr, condition: IdedExpr, step: IdedExpr) -> Step {
        let iter_var = match self.variables.as_slice() {
            [name] => name.clone(),
            _ => PAIR.to_owned(),
        };
        Step(ComprehensionExpr {
            iter_range: self.range,
            iter_var,
            iter_var2: None,
            accu_var: RESULT.to_owned(),
            accu_init: h.next_expr(init),
            loop_cond: condition,
            loop_step: step,
            result: ident(h, RESULT),
        })
    }
}

/// A comprehension without its result.
struct Step(ComprehensionExpr);

impl Step {
    fn build(self, h: Helper<'_, '_>) -> IdedExpr {
        h.next_expr(Expr::Comprehension(Box::new(self.0)))
    }

    fn resulting(mut self, h: Helper<'_, '_>, result: IdedExpr) -> IdedExpr {
        self.0.result = result;
        self.build(h)
    }
}

type Fold = fn(Helper<'_, '_>, Loop) -> IdedExpr;

fn fold(env: &mut Env, name: &str, arguments: usize, build: Fold) -> Result<(), DeclarationError> {
    env.add_macro(Macro::receiver(name, arguments, move |h, target, args| {
        let read = Loop::read(h, target, args, arguments - 1)?;
        Ok(Some(build(h, read)))
    }))
}

fn exists(h: Helper<'_, '_>, mut read: Loop) -> IdedExpr {
    let test = read.rest.pop().unwrap_or_default();
    let test = read.body(h, test);
    let result = ident(h, RESULT);
    let not = call(h, operators::LOGICAL_NOT, vec![result]);
    let condition = call(h, operators::NOT_STRICTLY_FALSE, vec![not]);
    let result = ident(h, RESULT);
    let step = call(h, operators::LOGICAL_OR, vec![result, test]);
    read.finish(h, boolean(false), condition, step).build(h)
}

fn all(h: Helper<'_, '_>, mut read: Loop) -> IdedExpr {
    let test = read.rest.pop().unwrap_or_default();
    let test = read.body(h, test);
    let result = ident(h, RESULT);
    let condition = call(h, operators::NOT_STRICTLY_FALSE, vec![result]);
    let result = ident(h, RESULT);
    let step = call(h, operators::LOGICAL_AND, vec![result, test]);
    read.finish(h, boolean(true), condition, step).build(h)
}

fn exists_one(h: Helper<'_, '_>, mut read: Loop) -> IdedExpr {
    let test = read.rest.pop().unwrap_or_default();
    let test = read.body(h, test);
    let one = h.next_expr(int(1));
    let result = ident(h, RESULT);
    let more = call(h, operators::ADD, vec![result, one]);
    let result = ident(h, RESULT);
    let step = call(h, operators::CONDITIONAL, vec![test, more, result]);
    let condition = h.next_expr(boolean(true));
    let found = ident(h, RESULT);
    let one = h.next_expr(int(1));
    let result = call(h, operators::EQUALS, vec![found, one]);
    read.finish(h, int(0), condition, step).resulting(h, result)
}

fn filter(h: Helper<'_, '_>, mut read: Loop) -> IdedExpr {
    let test = read.rest.pop().unwrap_or_default();
    let item = read.variables.first().cloned().unwrap_or_default();
    let item = ident(h, &item);
    append(h, read, Some(test), item).build(h)
}

/// `map`, and the `transform` family: a list of what the last argument makes, of the items that
/// the argument before it accepts; `finish` turns that list into a map.
fn transform(
    h: Helper<'_, '_>,
    target: &mut Option<IdedExpr>,
    args: &mut Vec<IdedExpr>,
    variables: usize,
    finish: Option<&str>,
) -> Expanded {
    let mut read = Loop::read(h, target, args, variables)?;
    let made = read.rest.pop().unwrap_or_default();
    let test = read.rest.pop().map(|test| read.body(h, test));
    let made = match (finish, read.variables.first().cloned()) {
        (Some(FROM_PAIRS), Some(key)) => {
            let key = ident(h, &key);
            h.next_expr(Expr::List(ListExpr::new(vec![key, made])))
        }
        _ => made,
    };
    let made = read.body(h, made);
    let list = append(h, read, test, made).build(h);
    Ok(Some(match finish {
        Some(function) => call(h, function, vec![list]),
        None => list,
    }))
}

/// The shape the CEL crate recognises and runs without copying: `@result + [item]`.
fn append(h: Helper<'_, '_>, read: Loop, test: Option<IdedExpr>, item: IdedExpr) -> Step {
    let result = ident(h, RESULT);
    let one = h.next_expr(Expr::List(ListExpr::new(vec![item])));
    let mut step = call(h, operators::ADD, vec![result, one]);
    if let Some(test) = test {
        let result = ident(h, RESULT);
        step = call(h, operators::CONDITIONAL, vec![test, step, result]);
    }
    let condition = h.next_expr(boolean(true));
    read.finish(h, Expr::List(ListExpr::default()), condition, step)
}

fn has(h: Helper<'_, '_>, args: &mut Vec<IdedExpr>) -> Expanded {
    let argument = args.pop().unwrap_or_default();
    let Expr::Select(mut select) = argument.expr else {
        return Err(h.new_error(argument.id, "has() takes a field, as in has(a.b)"));
    };
    select.test = true;
    Ok(Some(h.next_expr(Expr::Select(select))))
}

/// `cel.bind(name, value, body)`.
fn bind(h: Helper<'_, '_>, target: &mut Option<IdedExpr>, args: &mut Vec<IdedExpr>) -> Expanded {
    let on_cel = target
        .as_ref()
        .is_some_and(|target| matches!(&target.expr, Expr::Ident(name) if name == "cel"));
    if !on_cel {
        return Ok(None);
    }
    let body = args.pop().unwrap_or_default();
    let value = args.pop().unwrap_or_default();
    let name = variable(h, args.pop().unwrap_or_default())?;
    Ok(Some(binding(h, &name, value, body)))
}

/// `body` with `name` bound to one half of the current pair.
fn bound(h: Helper<'_, '_>, name: &str, half: i64, body: IdedExpr) -> IdedExpr {
    let pair = ident(h, PAIR);
    let half = h.next_expr(int(half));
    let value = call(h, operators::INDEX, vec![pair, half]);
    binding(h, name, value, body)
}

/// A comprehension over nothing whose accumulator is the bound variable.
fn binding(h: Helper<'_, '_>, name: &str, value: IdedExpr, body: IdedExpr) -> IdedExpr {
    let nothing = h.next_expr(Expr::List(ListExpr::default()));
    let loop_cond = h.next_expr(boolean(false));
    let loop_step = ident(h, name);
    h.next_expr(Expr::Comprehension(Box::new(ComprehensionExpr {
        iter_range: nothing,
        iter_var: "@unused".to_owned(),
        iter_var2: None,
        accu_var: name.to_owned(),
        accu_init: value,
        loop_cond,
        loop_step,
        result: body,
    })))
}

fn variable(h: Helper<'_, '_>, argument: IdedExpr) -> Result<String, ParseError> {
    let Expr::Ident(name) = argument.expr else {
        let message = "a comprehension's variable must be a plain name";
        return Err(h.new_error(argument.id, message));
    };
    Ok(name)
}

/// A call of the global function `function`.
pub(crate) fn call(h: Helper<'_, '_>, function: &str, args: Vec<IdedExpr>) -> IdedExpr {
    h.next_expr(Expr::Call(CallExpr {
        func_name: function.to_owned(),
        target: None,
        args,
    }))
}

/// The variable `name`.
pub(crate) fn ident(h: Helper<'_, '_>, name: &str) -> IdedExpr {
    h.next_expr(Expr::Ident(name.to_owned()))
}

fn boolean(value: bool) -> Expr {
    Expr::Literal(LiteralValue::Boolean(value.into()))
}

fn int(value: i64) -> Expr {
    Expr::Literal(LiteralValue::Int(value.into()))
}
