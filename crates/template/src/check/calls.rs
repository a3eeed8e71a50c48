//! The types of calls.

use super::infer::Checker;
use super::{Scope, Type};
use crate::Pattern;
use crate::library::{Overload, Sig, time, variadic};
use crate::syntax::ast::{Expr, Kind, Literal};
use std::ops::Range;

/// The result of a call, whatever fits; a mistake when nothing does.
pub(super) fn call(
    checker: &mut Checker,
    (name, overloads): (&str, &[&'static Overload]),
    args: &[Expr],
    span: &Range<usize>,
    scope: &Scope<'_>,
) -> Type {
    if let (Some(_), [packed]) = (variadic(name), args)
        && let Kind::List(items) = &packed.kind
    {
        let found: Vec<(Type, &Range<usize>)> = items
            .iter()
            .map(|item| (checker.infer(&item.value, scope), &item.value.span))
            .collect();
        return many(checker, name, &found);
    }
    let found: Vec<Type> = args
        .iter()
        .map(|arg| match &arg.kind {
            // What is put into a text may be of any types.
            Kind::List(items) if name == "format" => checker.arguments(items, scope),
            _ => checker.infer(arg, scope),
        })
        .collect();
    if checker.strict {
        constants(checker, name, args);
    }
    let results: Vec<Type> = overloads
        .iter()
        .filter_map(|one| result(one, &found, checker))
        .collect();
    if let Some((first, rest)) = results.split_first() {
        let alike = rest.iter().all(|other| other == first);
        return if alike { first.clone() } else { Type::Dyn };
    }
    if overloads.is_empty() {
        // There is no such function, which the parser said.
        return Type::Dyn;
    }
    let usage: Vec<String> = overloads.iter().map(|one| one.usage()).collect();
    let texts: Vec<String> = found.iter().map(ToString::to_string).collect();
    let message = format!("{name} cannot be applied to {}", texts.join(", "));
    checker.mistake(
        span,
        message,
        Some(format!("it is called as {}", usage.join(" or "))),
    );
    let first = overloads
        .first()
        .map(|one| Type::of_sig(one.result, &Type::Dyn));
    first.unwrap_or(Type::Dyn)
}

/// What is wrong with constants that are read when the expression is evaluated.
fn constants(checker: &mut Checker, name: &str, args: &[Expr]) {
    let (position, what) = match name {
        "matches" | "find" | "findAll" => (1, "pattern"),
        "duration" | "timestamp" => (0, name),
        _ => return,
    };
    let Some(arg) = args.get(position) else {
        return;
    };
    let Kind::Literal(Literal::String(text)) = &arg.kind else {
        return;
    };
    let good = match what {
        "pattern" => Pattern::new(text).is_ok(),
        "duration" => time::parse_duration(text).is_some(),
        _ => time::parse_timestamp(text).is_some(),
    };
    if !good {
        checker.mistake(&arg.span, format!("{text:?} is no {what}"), None);
    }
}

/// The result of `overload`, if it takes arguments of these types.
fn result(overload: &Overload, args: &[Type], checker: &Checker) -> Option<Type> {
    let mut free = Type::Free;
    for (param, arg) in overload.params.iter().zip(args) {
        if !fits(*param, arg, &mut free, checker) {
            return None;
        }
    }
    Some(Type::of_sig(overload.result, &free))
}

/// Whether an argument of type `found` can be passed; `free` is what the signature's open type has
/// been so far.
fn fits(param: Sig, found: &Type, free: &mut Type, checker: &Checker) -> bool {
    match (param, found) {
        (Sig::Any, _) | (Sig::Map(..), Type::Map(..)) => true,
        (Sig::Map(..), Type::Object(_)) => !checker.strict,
        (Sig::A, found) => {
            let fits = checker.may_be(found, free);
            *free = free.join(found);
            fits
        }
        (_, Type::Dyn | Type::Free) => {
            if mentions_free(param) {
                *free = free.join(&Type::Dyn);
            }
            true
        }
        (Sig::Double, found) if !checker.strict => found.is_number(),
        (Sig::List(item), Type::List(inner, _)) | (Sig::Optional(item), Type::Optional(inner)) => {
            fits(*item, inner, free, checker)
        }
        (param, found) => Type::of_sig(param, &Type::Dyn) == *found,
    }
}

const fn mentions_free(sig: Sig) -> bool {
    match sig {
        Sig::A => true,
        Sig::List(inner) | Sig::Optional(inner) => mentions_free(*inner),
        _ => false,
    }
}

/// Functions that take any number of arguments, or one list of them.
fn many(checker: &mut Checker, name: &str, args: &[(Type, &Range<usize>)]) -> Type {
    let (wanted, joined) = match name {
        "oc_merge" => (Wanted::Map, Type::map(Type::Free)),
        "oc_generate_name" | "oc_dns_label" => (Wanted::String, Type::String),
        _ => (Wanted::Number, Type::Free),
    };
    let mut result = joined;
    for (found, span) in args {
        let found = match found {
            Type::List(inner, _) if args.len() == 1 && wanted != Wanted::Map => inner.as_ref(),
            other => other,
        };
        let (fits, hint) = match wanted {
            Wanted::Map => (matches!(found, Type::Map(..) | Type::Object(_)), None),
            Wanted::String => (*found == Type::String, Some("use string(...)".to_owned())),
            Wanted::Number => (found.is_number(), None),
        };
        if !fits && !found.is_open() {
            let what = wanted.as_str();
            checker.mistake(span, format!("{name} takes {what}, found {found}"), hint);
        }
        if wanted != Wanted::String {
            result = result.join(found);
        }
    }
    result
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Map,
    String,
    Number,
}

impl Wanted {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Map => "maps",
            Self::String => "strings",
            Self::Number => "numbers",
        }
    }
}
