//! Writes expressions, every part of them in brackets.

use crate::library;
use crate::syntax::ast::{Bind, BindKind, Expr, Field, Item, Kind, Literal, Loop, LoopKind};
use std::fmt::Write as _;

/// The text of `expr`.
pub(super) fn expression(expr: &Expr) -> String {
    match &expr.kind {
        Kind::Literal(one) => literal(one),
        Kind::Variable { name, outside } => {
            let dot = if *outside { "." } else { "" };
            format!("{dot}{name}")
        }
        Kind::Helper { helper, key } => {
            let key = key.as_deref().map(expression).unwrap_or_default();
            format!("{}.{}({key})", helper.receiver, helper.name)
        }
        Kind::Select {
            operand,
            field,
            optional,
        } => {
            let dot = if *optional { ".?" } else { "." };
            format!("{}{dot}{}", bracketed(operand), name(field))
        }
        Kind::Has { operand, field } => format!("has({}.{})", bracketed(operand), name(field)),
        Kind::Index {
            operand,
            index,
            optional,
        } => {
            let open = if *optional { "[?" } else { "[" };
            format!("{}{open}{}]", bracketed(operand), expression(index))
        }
        Kind::Call {
            name,
            overloads,
            args,
        } => call(name, overloads.iter().any(|one| one.method), args),
        Kind::Not(operand) => format!("!{}", bracketed(operand)),
        Kind::Negate(operand) => format!("-{}", bracketed(operand)),
        Kind::And(left, right) => binary("&&", left, right),
        Kind::Or(left, right) => binary("||", left, right),
        Kind::Binary(operator, left, right) => binary(operator.as_str(), left, right),
        Kind::Conditional(parts) => {
            let [condition, yes, no] = parts.each_ref().map(bracketed);
            format!("{condition} ? {yes} : {no}")
        }
        Kind::List(items) => format!("[{}]", listed(items)),
        Kind::Map(entries) => {
            let entries = entries.iter().map(|one| {
                let mark = if one.optional { "?" } else { "" };
                format!("{mark}{}: {}", expression(&one.key), expression(&one.value))
            });
            format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
        }
        Kind::Loop(inner) => walk(inner),
        Kind::Bind(inner) => bind(inner),
    }
}

fn bracketed(expr: &Expr) -> String {
    match expr.kind {
        // What is called on a name may mean more than the value it has.
        Kind::Variable { .. } => expression(expr),
        _ => format!("({})", expression(expr)),
    }
}

fn binary(sign: &str, left: &Expr, right: &Expr) -> String {
    format!("{} {sign} {}", bracketed(left), bracketed(right))
}

fn listed(items: &[Item]) -> String {
    let items = items.iter().map(|item| {
        let mark = if item.optional { "?" } else { "" };
        format!("{mark}{}", expression(&item.value))
    });
    items.collect::<Vec<_>>().join(", ")
}

fn joined<'e>(parts: impl IntoIterator<Item = &'e Expr>) -> String {
    let parts = parts.into_iter().map(expression);
    parts.collect::<Vec<_>>().join(", ")
}

fn call(name: &str, method: bool, args: &[Expr]) -> String {
    if let Some((receiver, rest)) = args.split_first().filter(|_| method) {
        return format!("{}.{name}({})", bracketed(receiver), joined(rest));
    }
    // The arguments of these were made one list.
    if library::variadic(name).is_some()
        && let [only] = args
        && let Kind::List(items) = &only.kind
    {
        return format!("{name}({})", listed(items));
    }
    format!("{name}({})", joined(args))
}

fn walk(inner: &Loop) -> String {
    let called = match (inner.kind, &inner.second) {
        (LoopKind::All, _) => "all",
        (LoopKind::Exists, _) => "exists",
        (LoopKind::ExistsOne, _) => "existsOne",
        (LoopKind::Filter, _) => "filter",
        (LoopKind::List, None) => "map",
        (LoopKind::List, Some(_)) => "transformList",
        (LoopKind::Map, _) => "transformMap",
        (LoopKind::Entries, _) => "transformMapEntry",
        (LoopKind::Sort, _) => "sortBy",
    };
    let second = inner.second.as_ref().map(|name| format!(", {name}"));
    let second = second.unwrap_or_default();
    let parts = joined(inner.filter.iter().chain([&inner.body]));
    let (range, first) = (bracketed(&inner.range), &inner.first);
    format!("{range}.{called}({first}{second}, {parts})")
}

fn bind(inner: &Bind) -> String {
    let (name, body) = (&inner.name, expression(&inner.body));
    match inner.kind {
        BindKind::Plain => format!("cel.bind({name}, {}, {body})", expression(&inner.value)),
        BindKind::Optional => format!("{}.optMap({name}, {body})", bracketed(&inner.value)),
        BindKind::Flat => format!("{}.optFlatMap({name}, {body})", bracketed(&inner.value)),
    }
}

fn name(field: &Field) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let starts_plain = !field.name.starts_with(|c: char| c.is_ascii_digit());
    let is_word = matches!(field.name.as_str(), "in" | "true" | "false" | "null");
    if field.name.bytes().all(plain) && starts_plain && !is_word {
        return field.name.clone();
    }
    format!("`{}`", field.name)
}

fn literal(literal: &Literal) -> String {
    match literal {
        Literal::Null => "null".to_owned(),
        Literal::Type(name) => (*name).to_owned(),
        Literal::Bool(value) => value.to_string(),
        Literal::Int(value) => value.to_string(),
        Literal::UInt(value) => format!("{value}u"),
        Literal::Double(value) if value.is_infinite() => {
            format!("{}1e999", if *value < 0.0 { "-" } else { "" })
        }
        Literal::Double(value) => format!("{value:?}"),
        Literal::String(text) => {
            let mut quoted = String::from("\"");
            for c in text.chars() {
                // Writing to a string cannot fail.
                let _ = match c {
                    '"' | '\\' => write!(quoted, "\\{c}"),
                    ' '..='~' => write!(quoted, "{c}"),
                    _ => write!(quoted, "\\U{:08x}", u32::from(c)),
                };
            }
            quoted + "\""
        }
        Literal::Bytes(bytes) => {
            let escaped = bytes.iter().map(|byte| format!("\\x{byte:02x}"));
            format!("b\"{}\"", escaped.collect::<String>())
        }
    }
}
