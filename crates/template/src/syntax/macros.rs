//! Calls that are no calls: those that name variables, pick fields or reach the platform.

use super::Mistake;
use super::ast::{Bind, BindKind, Expr, Field, Item, Kind, Loop, LoopKind};
use super::parser::{Parser, node};
use crate::library;
use std::ops::Range;

type Parsed = Result<Expr, Mistake>;

/// The names of macros, for suggestions.
pub(super) const NAMES: [&str; 15] = [
    "all",
    "exists",
    "exists_one",
    "existsOne",
    "filter",
    "map",
    "transformList",
    "transformMap",
    "transformMapEntry",
    "sortBy",
    "optMap",
    "optFlatMap",
    "has",
    "oc_merge",
    "oc_generate_name",
];

/// `name(args)`.
pub(super) fn global(
    parser: &mut Parser,
    name: &str,
    span: Range<usize>,
    args: Vec<Expr>,
) -> Parsed {
    if name == "has" {
        return has(span, args);
    }
    let named = span.start..span.start + name.len();
    called(parser, name, named, span, args)
}

/// `receiver.name(args)`: a macro, a helper of the platform, a function of a namespace or a method.
pub(super) fn method(
    parser: &mut Parser,
    receiver: Expr,
    field: &Field,
    span: Range<usize>,
    mut args: Vec<Expr>,
) -> Parsed {
    let name = field.name.as_str();
    if let Some(helper) = parser.helper(&receiver, name, args.len()) {
        let kind = Kind::Helper {
            helper,
            key: args.pop().map(Box::new),
        };
        return node(span, kind);
    }
    if let Kind::Variable {
        name: namespace, ..
    } = &receiver.kind
    {
        let binds = namespace == "cel" && name == "bind" && parser.has("cel.bind");
        if binds && args.len() == 3 {
            return bind(span, args);
        }
        let qualified = format!("{namespace}.{name}");
        if !parser.overloads(&qualified, false).is_empty() {
            let named = receiver.span.start..field.span.end;
            return called(parser, &qualified, named, span, args);
        }
    }
    if let Some(shape) = shape(name, args.len()) {
        return walk(shape, receiver, span, args);
    }
    if matches!(name, "optMap" | "optFlatMap") && args.len() == 2 {
        return opt_map(name == "optFlatMap", receiver, span, args);
    }
    let helpers = parser.helper_names(&receiver);
    if parser.overloads(name, true).is_empty()
        && let Some(found) = super::nearest(name, helpers)
    {
        let message = format!("there is no method {name} here");
        let mistake = Mistake::new(field.span.clone(), message);
        parser.note(mistake.with_hint(Some(format!("did you mean {found}?"))));
        return Ok(receiver);
    }
    args.insert(0, receiver);
    parser.call((name, true), field.span.clone(), span, args)
}

/// A call, the arguments of variadic functions made one list.
fn called(
    parser: &mut Parser,
    name: &str,
    named: Range<usize>,
    span: Range<usize>,
    args: Vec<Expr>,
) -> Parsed {
    let Some(least) = library::variadic(name) else {
        return parser.call((name, false), named, span, args);
    };
    if args.len() < least {
        let plural = if least == 1 { "" } else { "s" };
        let message = format!("{name} takes at least {least} argument{plural}");
        return Err(Mistake::new(span, message));
    }
    let inner =
        args.first().map_or(0, |arg| arg.span.start)..args.last().map_or(0, |arg| arg.span.end);
    let items = args.into_iter().map(|value| Item {
        value,
        optional: false,
    });
    let list = node(inner, Kind::List(items.collect()))?;
    parser.call((name, false), named, span, vec![list])
}

fn has(span: Range<usize>, mut args: Vec<Expr>) -> Parsed {
    let message = "has() takes one field, as in has(a.b)";
    match (args.pop().map(|arg| arg.kind), args.is_empty()) {
        (
            Some(Kind::Select {
                operand,
                field,
                optional: false,
            }),
            true,
        ) => node(span, Kind::Has { operand, field }),
        _ => Err(Mistake::new(span, message)),
    }
}

/// What a macro over lists and maps looks like.
#[derive(Clone, Copy)]
struct Shape {
    kind: LoopKind,
    variables: usize,
    filtered: bool,
}

fn shape(name: &str, count: usize) -> Option<Shape> {
    let shape = |kind, variables, filtered| {
        Some(Shape {
            kind,
            variables,
            filtered,
        })
    };
    match (name, count) {
        ("all", 2 | 3) => shape(LoopKind::All, count - 1, false),
        ("exists", 2 | 3) => shape(LoopKind::Exists, count - 1, false),
        ("exists_one" | "existsOne", 2 | 3) => shape(LoopKind::ExistsOne, count - 1, false),
        ("filter", 2) => shape(LoopKind::Filter, 1, false),
        ("map", 2 | 3) => shape(LoopKind::List, 1, count == 3),
        ("transformList", 3 | 4) => shape(LoopKind::List, 2, count == 4),
        ("transformMap", 3 | 4) => shape(LoopKind::Map, 2, count == 4),
        ("transformMapEntry", 3 | 4) => shape(LoopKind::Entries, 2, count == 4),
        ("sortBy", 2) => shape(LoopKind::Sort, 1, false),
        _ => None,
    }
}

fn walk(shape: Shape, range: Expr, span: Range<usize>, args: Vec<Expr>) -> Parsed {
    let mut args = args.into_iter();
    let mut names = args.by_ref().take(shape.variables);
    let first = variable(names.next(), &span)?;
    let second = match names.next() {
        Some(name) => Some(variable(Some(name), &span)?),
        None => None,
    };
    if second.as_ref() == Some(&first) {
        let message = format!("both variables are named {first}");
        return Err(Mistake::new(span, message));
    }
    let filter = if shape.filtered { args.next() } else { None };
    let body = args.next().ok_or_else(|| missing(&span))?;
    let walked = Loop {
        kind: shape.kind,
        range,
        first,
        second,
        filter,
        body,
    };
    node(span, Kind::Loop(Box::new(walked)))
}

/// `cel.bind(name, value, body)`.
fn bind(span: Range<usize>, args: Vec<Expr>) -> Parsed {
    let mut args = args.into_iter();
    let name = variable(args.next(), &span)?;
    let value = args.next().ok_or_else(|| missing(&span))?;
    let body = args.next().ok_or_else(|| missing(&span))?;
    let bound = Bind {
        kind: BindKind::Plain,
        name,
        value,
        body,
    };
    node(span, Kind::Bind(Box::new(bound)))
}

fn opt_map(flat: bool, value: Expr, span: Range<usize>, args: Vec<Expr>) -> Parsed {
    let mut args = args.into_iter();
    let name = variable(args.next(), &span)?;
    let body = args.next().ok_or_else(|| missing(&span))?;
    let kind = if flat {
        BindKind::Flat
    } else {
        BindKind::Optional
    };
    let bound = Bind {
        kind,
        name,
        value,
        body,
    };
    node(span, Kind::Bind(Box::new(bound)))
}

fn variable(argument: Option<Expr>, span: &Range<usize>) -> Result<String, Mistake> {
    let argument = argument.ok_or_else(|| missing(span))?;
    match argument.kind {
        Kind::Variable {
            name,
            outside: false,
        } => Ok(name),
        _ => Err(Mistake::new(
            argument.span,
            "a variable must be a plain name here",
        )),
    }
}

fn missing(span: &Range<usize>) -> Mistake {
    Mistake::new(span.clone(), "an argument is missing")
}
