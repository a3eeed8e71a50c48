//! Refuses expressions too large to be parsed safely.
//!
//! Parsing and evaluating recurse over the expression, so what nests without end would exhaust the
//! stack. How deep an expression nests is estimated from its characters, from above: operators next
//! to each other nest, brackets add to what is around them, and a comma starts afresh.

use crate::{MAX_EXPRESSION, MAX_NESTING};
use cel::common::ast::{EntryExpr, Expr, IdedExpr};
use std::thread::ScopedJoinHandle;

/// What one level of brackets costs, in operators.
const BRACKET: usize = 2;
/// How deep an expression may nest to be parsed on the stack of whoever asks.
const SHALLOW: usize = 8;
/// The stack for the others, of which only what is used is ever real.
const STACK: usize = 128 << 20;

/// What is said about expressions that are too deep.
pub(crate) const TOO_DEEP: &str = "the expression nests too deep: split it up";

/// Runs `parse`, which recurses over `source`, where the stack suffices for it.
pub(crate) fn with_stack<R: Send>(
    source: &str,
    parse: impl FnOnce() -> Result<R, String> + Send,
) -> Result<R, String> {
    if source.len() > MAX_EXPRESSION {
        return Err(format!(
            "the expression is longer than {MAX_EXPRESSION} bytes"
        ));
    }
    match nesting(source) {
        0..SHALLOW => parse(),
        SHALLOW..=MAX_NESTING => std::thread::scope(|scope| {
            let parser = std::thread::Builder::new().stack_size(STACK);
            let parsed = parser
                .spawn_scoped(scope, parse)
                .map(ScopedJoinHandle::join);
            match parsed {
                Ok(Ok(parsed)) => parsed,
                Ok(Err(_)) => Err("the parser gave up on this expression".to_owned()),
                Err(error) => Err(format!("no thread to parse on: {error}")),
            }
        }),
        _ => Err(TOO_DEEP.to_owned()),
    }
}

/// How deep the tree of `expr` is, macros expanded.
pub(crate) fn depth(expr: &IdedExpr) -> usize {
    let deepest = |parts: &mut dyn Iterator<Item = &IdedExpr>| parts.map(depth).max().unwrap_or(0);
    let entry = |entry: &EntryExpr| match entry {
        EntryExpr::StructField(field) => depth(&field.value),
        EntryExpr::MapEntry(entry) => depth(&entry.key).max(depth(&entry.value)),
    };
    let below = match &expr.expr {
        Expr::Unspecified | Expr::Ident(_) | Expr::Literal(_) => 0,
        Expr::Select(select) => depth(&select.operand),
        Expr::List(list) => deepest(&mut list.elements.iter()),
        Expr::Call(call) => deepest(&mut call.target.as_deref().into_iter().chain(&call.args)),
        Expr::Map(map) => map
            .entries
            .iter()
            .map(|one| entry(&one.expr))
            .max()
            .unwrap_or(0),
        Expr::Struct(value) => value
            .entries
            .iter()
            .map(|one| entry(&one.expr))
            .max()
            .unwrap_or(0),
        Expr::Comprehension(inner) => deepest(
            &mut [
                &inner.iter_range,
                &inner.accu_init,
                &inner.loop_cond,
                &inner.loop_step,
                &inner.result,
            ]
            .into_iter(),
        ),
    };
    below + 1
}

/// What one level of brackets holds so far: operators, and selections since the last operator.
#[derive(Clone, Copy, Default)]
struct Level {
    operators: usize,
    selections: usize,
}

fn nesting(source: &str) -> usize {
    let mut around = Vec::new();
    let (mut outside, mut level, mut deepest) = (0, Level::default(), 0);
    let mut quote = None;
    let mut bytes = source.bytes();
    while let Some(byte) = bytes.next() {
        match (quote, byte) {
            (Some(_), b'\\') => {
                bytes.next();
            }
            (Some(open), byte) if byte == open => quote = None,
            (None, b'\'' | b'"') => quote = Some(byte),
            (None, b'(' | b'[' | b'{') => {
                around.push((outside, level));
                outside += level.operators + level.selections + BRACKET;
                level = Level::default();
            }
            (None, b')' | b']' | b'}') => (outside, level) = around.pop().unwrap_or_default(),
            (None, b',') => level = Level::default(),
            (None, b'.') => level.selections += 1,
            (None, byte) if is_operator(byte) => {
                level.operators += 1;
                level.selections = 0;
            }
            (Some(_) | None, _) => {}
        }
        deepest = deepest.max(outside + level.operators + level.selections);
    }
    deepest
}

const fn is_operator(byte: u8) -> bool {
    matches!(
        byte,
        b'+' | b'-' | b'*' | b'/' | b'%' | b'!' | b'?' | b'&' | b'|' | b'<' | b'>' | b'='
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_nests_counts() {
        assert_eq!(nesting("a.b.c"), 2);
        assert_eq!(nesting("a.b + c.d + '(((('"), 2);
        assert_eq!(nesting("f(a.b, c.d, [e + f])"), 5);
    }
}
