//! Which parts of the variables a part of an expression's value comes from.
//!
//! Where [`references`](crate::references()) tells everything that an expression names, this goes
//! down into what it does: of two lists put together it takes the one that holds the item, of a
//! conditional the side that was taken, of a loop the round that made the item. Where a function
//! hides which part that is, everything it was given counts.

use crate::budget::Budget;
use crate::context::Context;
use crate::eval::evaluate;
use crate::references::{Reference, references, walk};
use crate::syntax::ast::{Bind, BindKind, Entry, Expr, Item, Kind, Loop, LoopKind, Operator};
use crate::syntax::parse;
use crate::value::{List, Value, equals};
use crate::{Dialect, Helper};

/// What the part at the path `part` of the value of `source` comes from in `context`, the nearest
/// first. One that does not parse comes from nothing; one that takes more to follow than is left of
/// the context's budget, from everything that it names.
pub fn sources(
    dialect: &Dialect,
    source: &str,
    context: &Context<'_, '_>,
    part: &[String],
) -> Vec<Reference> {
    let mut search = Search::default();
    if let (Some(program), _) = parse(source, dialect) {
        search.expression(&program, part, View::of(context));
    }
    if search.exhausted {
        return references(dialect, source);
    }
    search.found
}

/// What an expression sees: the variables, and what loops and bindings around it name.
#[derive(Clone, Copy)]
struct View<'a> {
    context: &'a Context<'a, 'a>,
    local: Option<&'a Local<'a>>,
}

impl<'a> View<'a> {
    const fn of(context: &'a Context<'a, 'a>) -> Self {
        Self {
            context,
            local: None,
        }
    }

    fn local(self, name: &str) -> Option<&'a Local<'a>> {
        let mut local = self.local;
        while let Some(one) = local {
            if one.names.contains(&Some(name)) {
                return Some(one);
            }
            local = one.view.local;
        }
        None
    }
}

/// Names for a part of what an expression comes to: a loop may have two.
struct Local<'a> {
    names: [Option<&'a str>; 2],
    expr: &'a Expr,
    part: Vec<String>,
    /// What the expression sees.
    view: View<'a>,
}

/// One round of a loop: where its item is in what is looped over, and what its names stand for.
struct Round<'v> {
    at: String,
    first: Value<'v>,
    second: Option<Value<'v>>,
}

#[derive(Default)]
struct Search {
    found: Vec<Reference>,
    /// Whether the budget did not suffice: what names stand for is followed wherever they are used.
    exhausted: bool,
}

impl Search {
    fn note(&mut self, reference: Reference) {
        if !self.found.contains(&reference) {
            self.found.push(reference);
        }
    }

    /// Follows the part at `part` of what `expr` comes to.
    fn expression(&mut self, expr: &Expr, part: &[String], view: View<'_>) {
        self.exhausted |= view.context.budget().step(1).is_err();
        if !self.exhausted && self.inside(expr, part, view).is_none() {
            self.whole(expr, view);
        }
    }

    /// Everything that `expr` names.
    fn whole(&mut self, expr: &Expr, view: View<'_>) {
        let mut named = Vec::new();
        walk(expr, &mut Vec::new(), &mut named);
        for reference in named {
            match view.local(&reference.variable) {
                Some(local) => self.behind(local, &reference.path),
                None => self.note(reference),
            }
        }
    }

    fn behind(&mut self, local: &Local<'_>, part: &[String]) {
        self.expression(local.expr, &joined(&local.part, part), local.view);
    }

    /// The same where it is known what `expr` does; `None`, and nothing noted, where it is not.
    fn inside(&mut self, expr: &Expr, part: &[String], view: View<'_>) -> Option<()> {
        match &expr.kind {
            Kind::Literal(_) => Some(()),
            Kind::Variable { name, outside } => {
                self.variable((name, *outside), part, view);
                Some(())
            }
            Kind::Helper { helper, key } => self.helper((*helper, key.as_deref()), part, view),
            Kind::Select { operand, field, .. } => {
                self.expression(
                    operand,
                    &joined(std::slice::from_ref(&field.name), part),
                    view,
                );
                Some(())
            }
            Kind::Has { operand, field } => {
                self.expression(operand, std::slice::from_ref(&field.name), view);
                Some(())
            }
            Kind::Index { operand, index, .. } => {
                let key = text(&value(index, view)?)?;
                self.expression(operand, &joined(&[key], part), view);
                self.expression(index, &[], view);
                Some(())
            }
            Kind::Conditional(parts) => {
                let [condition, yes, no] = parts.as_ref();
                let Value::Bool(truth) = value(condition, view)? else {
                    return None;
                };
                self.expression(if truth { yes } else { no }, part, view);
                self.expression(condition, &[], view);
                Some(())
            }
            Kind::Binary(Operator::Add, left, right) => self.sum((left, right), part, view),
            Kind::List(items) => self.list(items, part, view),
            Kind::Map(entries) => self.map(entries, part, view),
            Kind::Loop(inner) => self.rounds((expr, inner), part, view),
            Kind::Bind(inner) => {
                self.bound(inner, part, view);
                Some(())
            }
            Kind::Call { name, args, .. } => self.call(name, (expr, args), part, view),
            Kind::Not(_) | Kind::Negate(_) | Kind::And(..) | Kind::Or(..) | Kind::Binary(..) => {
                for child in expr.kind.children() {
                    self.expression(child, &[], view);
                }
                Some(())
            }
        }
    }

    fn variable(&mut self, (name, outside): (&str, bool), part: &[String], view: View<'_>) {
        match view.local(name).filter(|_| !outside) {
            Some(local) => self.behind(local, part),
            None => self.note(Reference {
                variable: name.to_owned(),
                helper: None,
                path: part.to_vec(),
            }),
        }
    }

    fn helper(
        &mut self,
        (helper, key): (Helper, Option<&Expr>),
        part: &[String],
        view: View<'_>,
    ) -> Option<()> {
        let key = match key {
            Some(key) => vec![text(&value(key, view)?)?],
            None => Vec::new(),
        };
        self.note(Reference {
            variable: helper.receiver.to_owned(),
            helper: Some(helper.name.to_owned()),
            path: joined(&key, part),
        });
        Some(())
    }

    /// Two lists put together; of anything else both sides count.
    fn sum(
        &mut self,
        (left, right): (&Expr, &Expr),
        part: &[String],
        view: View<'_>,
    ) -> Option<()> {
        let Value::List(items) = value(left, view)? else {
            self.expression(left, &[], view);
            self.expression(right, &[], view);
            return Some(());
        };
        let (index, rest) = position(part)?;
        let count = items.iter().filter(is_kept).count();
        match index.checked_sub(count) {
            None => self.expression(left, part, view),
            Some(index) => self.expression(right, &joined(&[index.to_string()], rest), view),
        }
        Some(())
    }

    fn list(&mut self, items: &[Item], part: &[String], view: View<'_>) -> Option<()> {
        let (mut left, rest) = position(part)?;
        for item in items {
            if !is_there(&value(&item.value, view)?, item.optional) {
                continue;
            }
            if left == 0 {
                self.expression(&item.value, rest, view);
                return Some(());
            }
            left -= 1;
        }
        None
    }

    /// The value of an entry; its key, when the value comes from nothing.
    fn map(&mut self, entries: &[Entry], part: &[String], view: View<'_>) -> Option<()> {
        let (wanted, rest) = part.split_first()?;
        let mut named = entries.iter().map(|one| (one, value(&one.key, view)));
        let (entry, _) = named.find(|(_, key)| {
            let key = key.as_ref().and_then(text);
            key.is_some_and(|key| key == *wanted)
        })?;
        let before = self.found.len();
        self.expression(&entry.value, rest, view);
        if self.found.len() == before {
            self.expression(&entry.key, &[], view);
        }
        Some(())
    }

    fn bound(&mut self, inner: &Bind, part: &[String], view: View<'_>) {
        let local = Local {
            names: [Some(&inner.name), None],
            expr: &inner.value,
            part: Vec::new(),
            view,
        };
        let mut scope = view.context.scope();
        match (value(&inner.value, view), inner.kind) {
            (Some(Value::Optional(Some(held))), BindKind::Optional | BindKind::Flat) => {
                scope.set(&inner.name, held.as_ref().clone());
            }
            (Some(known), _) => scope.set(&inner.name, known),
            (None, _) => {}
        }
        let within = View {
            context: &scope,
            local: Some(&local),
        };
        self.expression(&inner.body, part, within);
    }

    fn call(
        &mut self,
        name: &str,
        (call, args): (&Expr, &[Expr]),
        part: &[String],
        view: View<'_>,
    ) -> Option<()> {
        match (name, args) {
            ("value" | "optional.of" | "optional.ofNonZeroValue" | "dyn", [inner]) => {
                self.expression(inner, part, view);
            }
            ("or" | "orValue", [first, other]) => {
                let Value::Optional(inner) = value(first, view)? else {
                    return None;
                };
                if inner.is_none() {
                    self.expression(other, part, view);
                }
                self.expression(first, part, view);
            }
            ("oc_merge", [parts]) => return self.merged(parts, part, view),
            ("flatten" | "distinct" | "reverse" | "slice" | "sort", [list, ..]) => {
                self.moved((call, list), part, view)?;
            }
            _ => return None,
        }
        Some(())
    }

    /// The last of several maps that has the key.
    fn merged(&mut self, parts: &Expr, part: &[String], view: View<'_>) -> Option<()> {
        let (Kind::List(parts), Some(key)) = (&parts.kind, part.first()) else {
            return None;
        };
        for one in parts.iter().rev() {
            let Value::Map(map) = value(&one.value, view)? else {
                return None;
            };
            if map.field(key).is_some() {
                self.expression(&one.value, part, view);
                return Some(());
            }
        }
        None
    }

    /// A call that gives the items of `list` another place: an item is recognised by what it is.
    fn moved(
        &mut self,
        (call, list): (&Expr, &Expr),
        part: &[String],
        view: View<'_>,
    ) -> Option<()> {
        let (index, rest) = position(part)?;
        let (Value::List(made), Value::List(given)) = (value(call, view)?, value(list, view)?)
        else {
            return None;
        };
        let wanted = made.iter().filter(is_kept).nth(index)?;
        let from = place(&given, &wanted, view.context.budget())?;
        self.expression(list, &joined(&from, rest), view);
        Some(())
    }

    /// The round of a loop that made the part.
    fn rounds(
        &mut self,
        (whole, inner): (&Expr, &Loop),
        part: &[String],
        view: View<'_>,
    ) -> Option<()> {
        let mut left = match inner.kind {
            LoopKind::Filter | LoopKind::List => position(part)?.0,
            LoopKind::Map | LoopKind::Entries => 0,
            LoopKind::Sort => return self.moved((whole, &inner.range), part, view),
            LoopKind::All | LoopKind::Exists | LoopKind::ExistsOne => return None,
        };
        let range = value(&inner.range, view)?;
        for round in rounds(&range, inner.second.is_some()) {
            if self.round(inner, round, (&mut left, part), view)? {
                return Some(());
            }
        }
        None
    }

    /// Follows one round, if it is the one that made the part; `left` counts the items before it.
    fn round(
        &mut self,
        inner: &Loop,
        round: Round<'_>,
        (left, part): (&mut usize, &[String]),
        view: View<'_>,
    ) -> Option<bool> {
        let (wanted, rest) = part.split_first()?;
        let mut scope = view.context.scope();
        scope.set(&inner.first, round.first);
        if let (Some(name), Some(second)) = (&inner.second, round.second) {
            scope.set(name, second);
        }
        let local = Local {
            names: [Some(&inner.first), inner.second.as_deref()],
            expr: &inner.range,
            part: vec![round.at.clone()],
            view,
        };
        let within = View {
            context: &scope,
            local: Some(&local),
        };
        let passes = |test: &Expr| matches!(value(test, within), Some(Value::Bool(true)));
        if !inner.filter.as_ref().is_none_or(passes) {
            return Some(false);
        }
        match inner.kind {
            LoopKind::Filter if passes(&inner.body) && is_last(left) => {
                self.behind(&local, rest);
            }
            LoopKind::List if is_kept(&value(&inner.body, within)?) && is_last(left) => {
                self.expression(&inner.body, rest, within);
            }
            LoopKind::Map if round.at == *wanted => self.expression(&inner.body, rest, within),
            LoopKind::Entries if has(&value(&inner.body, within)?, wanted) => {
                self.expression(&inner.body, part, within);
            }
            _ => return Some(false),
        }
        Some(true)
    }
}

/// What `expr` comes to, if it comes to something.
fn value<'e>(expr: &'e Expr, view: View<'e>) -> Option<Value<'e>> {
    evaluate(expr, view.context).ok()
}

/// The rounds of a loop with one name or `two`.
fn rounds<'v>(range: &Value<'v>, two: bool) -> Vec<Round<'v>> {
    match range {
        Value::List(items) => items
            .iter()
            .enumerate()
            .map(|(index, item)| {
                let at = index.to_string();
                match i64::try_from(index).ok().filter(|_| two) {
                    Some(index) => Round {
                        at,
                        first: Value::Int(index),
                        second: Some(item),
                    },
                    None => Round {
                        at,
                        first: item,
                        second: None,
                    },
                }
            })
            .collect(),
        Value::Map(map) => map
            .entries()
            .into_iter()
            .map(|(key, value)| Round {
                at: key.to_string(),
                first: key.value(),
                second: Some(value),
            })
            .collect(),
        _ => Vec::new(),
    }
}

/// Where in `list`, or in the lists in it, `wanted` is.
fn place(list: &List<'_>, wanted: &Value<'_>, budget: &Budget) -> Option<Vec<String>> {
    list.iter().enumerate().find_map(|(index, item)| {
        let at = vec![index.to_string()];
        if equals(&item, wanted, budget).unwrap_or_default() {
            return Some(at);
        }
        match item {
            Value::List(inner) => Some(joined(&at, &place(&inner, wanted, budget)?)),
            _ => None,
        }
    })
}

/// The index that a path starts with, and the rest of it.
fn position(part: &[String]) -> Option<(usize, &[String])> {
    let (first, rest) = part.split_first()?;
    Some((first.parse().ok()?, rest))
}

fn joined(first: &[String], rest: &[String]) -> Vec<String> {
    first.iter().chain(rest).cloned().collect()
}

/// The part of a path that an index or a key is.
fn text(value: &Value<'_>) -> Option<String> {
    match value {
        Value::String(text) => Some(text.as_str().to_owned()),
        Value::Int(index) => Some(index.to_string()),
        Value::UInt(index) => Some(index.to_string()),
        _ => None,
    }
}

/// Whether an item is in the list that is rendered.
const fn is_kept(item: &Value<'_>) -> bool {
    !matches!(item, Value::Omit)
}

/// Whether an element of a literal adds something.
fn is_there(value: &Value<'_>, optional: bool) -> bool {
    match (value, optional) {
        (Value::Optional(held), true) => held.as_deref().is_some_and(is_kept),
        (value, _) => is_kept(value),
    }
}

fn has(map: &Value<'_>, key: &str) -> bool {
    matches!(map, Value::Map(map) if map.field(key).is_some())
}

/// Whether no item is `left` before this one; else one less is.
const fn is_last(left: &mut usize) -> bool {
    match left.checked_sub(1) {
        Some(fewer) => {
            *left = fewer;
            false
        }
        None => true,
    }
}

#[cfg(test)]
mod tests;
