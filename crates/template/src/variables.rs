//! Which variables a program needs from outside.

use cel::common::ast::{EntryExpr, Expr, IdedExpr};
use std::collections::BTreeSet;

/// The free variables of `expr`, helpers' and macros' own excluded.
pub(crate) fn free(expr: &IdedExpr) -> BTreeSet<&str> {
    let mut found = BTreeSet::new();
    walk(expr, &mut Vec::new(), &mut found);
    found
}

fn walk<'e>(expr: &'e IdedExpr, bound: &mut Vec<&'e str>, found: &mut BTreeSet<&'e str>) {
    match &expr.expr {
        Expr::Ident(name) => {
            if !name.starts_with('@') && !bound.contains(&name.as_str()) {
                found.insert(name);
            }
        }
        Expr::Select(select) => walk(&select.operand, bound, found),
        Expr::Call(call) => {
            // `math.greatest(x)` is a call of a namespaced function, not on a variable.
            if let Some(target) = &call.target
                && !is_namespace(target)
            {
                walk(target, bound, found);
            }
            call.args.iter().for_each(|arg| walk(arg, bound, found));
        }
        Expr::List(list) => list
            .elements
            .iter()
            .for_each(|item| walk(item, bound, found)),
        Expr::Map(map) => map
            .entries
            .iter()
            .for_each(|entry| walk_entry(&entry.expr, bound, found)),
        Expr::Struct(value) => {
            value
                .entries
                .iter()
                .for_each(|entry| walk_entry(&entry.expr, bound, found));
        }
        Expr::Comprehension(inner) => {
            walk(&inner.iter_range, bound, found);
            walk(&inner.accu_init, bound, found);
            bound.extend([inner.iter_var.as_str(), inner.accu_var.as_str()]);
            for part in [&inner.loop_cond, &inner.loop_step, &inner.result] {
                walk(part, bound, found);
            }
            bound.truncate(bound.len() - 2);
        }
        Expr::Unspecified | Expr::Literal(_) => {}
    }
}

fn walk_entry<'e>(entry: &'e EntryExpr, bound: &mut Vec<&'e str>, found: &mut BTreeSet<&'e str>) {
    match entry {
        EntryExpr::StructField(field) => walk(&field.value, bound, found),
        EntryExpr::MapEntry(entry) => {
            walk(&entry.key, bound, found);
            walk(&entry.value, bound, found);
        }
    }
}

fn is_namespace(target: &IdedExpr) -> bool {
    const NAMESPACES: [&str; 6] = ["base64", "lists", "math", "optional", "sets", "strings"];
    matches!(&target.expr, Expr::Ident(name) if NAMESPACES.contains(&name.as_str()))
}
