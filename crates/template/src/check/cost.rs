//! What an expression may cost at most, from how large the values are that it sees: the
//! estimate of CEL's Go implementation, by which Kubernetes refuses rules.

use crate::syntax::ast::{BindKind, Expr, Kind, Literal, Loop, LoopKind, Operator};
use std::collections::BTreeMap;
use std::sync::Arc;

/// How large a value may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Extent {
    /// One number, flag or time.
    One,
    /// A text of so many bytes.
    Text(u64),
    /// So many items.
    List(u64, Arc<Self>),
    /// So many values by name.
    Map(u64, Arc<Self>),
    /// Fields.
    Object(Arc<BTreeMap<String, Self>>),
    /// Anything, of any size.
    Any,
}

/// The cost of making a list, and of making a map.
const LIST: u64 = 10;
const MAP: u64 = 30;
/// How many bytes of a text are looked at for the cost of one step.
const TRAVERSED: u64 = 10;
/// How many bytes of a pattern are one state, about.
const STATE: u64 = 4;

impl Extent {
    /// The bytes of a text, the items of a list or map.
    fn size(&self) -> u64 {
        match self {
            Self::One | Self::Object(_) => 1,
            Self::Text(size) | Self::List(size, _) | Self::Map(size, _) => *size,
            Self::Any => u64::MAX,
        }
    }

    fn field(&self, name: &str) -> Self {
        match self {
            Self::Object(fields) => fields.get(name).cloned().unwrap_or(Self::Any),
            Self::Map(_, value) => value.as_ref().clone(),
            _ => Self::Any,
        }
    }

    fn item(&self) -> Self {
        match self {
            Self::List(_, item) | Self::Map(_, item) => item.as_ref().clone(),
            _ => Self::Any,
        }
    }

    /// The larger of two.
    fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Any, _) | (_, Self::Any) => Self::Any,
            (left, right) if left.size() >= right.size() => left,
            (_, right) => right,
        }
    }

    /// Two texts or lists one after the other.
    fn and(&self, other: &Self) -> Self {
        let size = self.size().saturating_add(other.size());
        match (self, other) {
            (Self::Text(_), Self::Text(_)) => Self::Text(size),
            (Self::List(_, left), Self::List(_, right)) => {
                let item = left.as_ref().clone().or(right.as_ref().clone());
                Self::List(size, Arc::new(item))
            }
            (Self::Any, _) | (_, Self::Any) => Self::Any,
            _ => Self::One,
        }
    }
}

/// What `expr` costs at most where `variables` are as large as they may be.
pub(crate) fn cost(expr: &Expr, variables: &[(&str, Extent)]) -> u64 {
    let known = variables.iter();
    let mut estimate = Estimate {
        known: known
            .map(|(name, extent)| ((*name).to_owned(), extent.clone()))
            .collect(),
    };
    estimate.of(expr).0
}

/// A cost, and how large the result is.
type Cost = (u64, Extent);

struct Estimate {
    /// Variables, the innermost last.
    known: Vec<(String, Extent)>,
}

/// What looking at a text once costs.
const fn traversal(size: u64) -> u64 {
    size.div_ceil(TRAVERSED)
}

impl Estimate {
    fn of(&mut self, expr: &Expr) -> Cost {
        match &expr.kind {
            Kind::Literal(Literal::String(text)) => (0, Extent::Text(text.len() as u64)),
            Kind::Literal(Literal::Bytes(bytes)) => (0, Extent::Text(bytes.len() as u64)),
            Kind::Literal(_) => (0, Extent::One),
            Kind::Variable { name, .. } => {
                let found = self.known.iter().rev().find(|(known, _)| known == name);
                (1, found.map_or(Extent::One, |(_, extent)| extent.clone()))
            }
            Kind::Helper { .. } => (1, Extent::Any),
            Kind::Select { operand, field, .. } => {
                let (cost, extent) = self.of(operand);
                (cost.saturating_add(1), extent.field(&field.name))
            }
            Kind::Has { operand, .. } => (self.of(operand).0, Extent::One),
            Kind::Index { operand, index, .. } => {
                let ((cost, extent), (by, _)) = (self.of(operand), self.of(index));
                (cost.saturating_add(by).saturating_add(1), extent.item())
            }
            Kind::Call { name, args, .. } => self.call(name, args),
            Kind::Not(operand) | Kind::Negate(operand) => {
                (self.of(operand).0.saturating_add(1), Extent::One)
            }
            Kind::And(left, right) | Kind::Or(left, right) => {
                let cost = self.of(left).0.saturating_add(self.of(right).0);
                (cost, Extent::One)
            }
            Kind::Binary(operator, left, right) => self.binary(*operator, left, right),
            Kind::Conditional(parts) => {
                let [condition, yes, no] = parts.as_ref();
                let (condition, _) = self.of(condition);
                let ((yes, left), (no, right)) = (self.of(yes), self.of(no));
                (condition.saturating_add(yes.max(no)), left.or(right))
            }
            Kind::List(items) => {
                let items: Vec<&Expr> = items.iter().map(|item| &item.value).collect();
                self.made(LIST, &items)
            }
            Kind::Map(entries) => {
                let parts = entries.iter().flat_map(|entry| [&entry.key, &entry.value]);
                let (cost, _) = self.made(MAP, &parts.collect::<Vec<_>>());
                (
                    cost,
                    Extent::Map(entries.len() as u64, Arc::new(Extent::Any)),
                )
            }
            Kind::Loop(inner) => self.walk(inner),
            Kind::Bind(inner) => {
                let (cost, extent) = self.of(&inner.value);
                let (body, result) = self.within(&[(&inner.name, extent)], &inner.body);
                let own = if inner.kind == BindKind::Plain { 0 } else { 2 };
                (cost.saturating_add(body).saturating_add(own), result)
            }
        }
    }

    fn within(&mut self, names: &[(&str, Extent)], body: &Expr) -> Cost {
        let depth = self.known.len();
        let names = names.iter();
        self.known
            .extend(names.map(|(name, extent)| ((*name).to_owned(), extent.clone())));
        let cost = self.of(body);
        self.known.truncate(depth);
        cost
    }

    fn made(&mut self, base: u64, items: &[&Expr]) -> Cost {
        let mut item = Extent::One;
        let mut cost = base;
        for one in items {
            let (of_one, extent) = self.of(one);
            cost = cost.saturating_add(of_one);
            item = item.or(extent);
        }
        (cost, Extent::List(items.len() as u64, Arc::new(item)))
    }

    fn binary(&mut self, operator: Operator, left: &Expr, right: &Expr) -> Cost {
        let ((left, first), (right, second)) = (self.of(left), self.of(right));
        let (own, result) = match operator {
            Operator::Add => match first.and(&second) {
                Extent::Text(size) => (traversal(size), Extent::Text(size)),
                result => (1, result),
            },
            Operator::In => match second {
                Extent::Map(..) | Extent::Object(_) => (1, Extent::One),
                list => (list.size(), Extent::One),
            },
            Operator::Subtract | Operator::Multiply | Operator::Divide | Operator::Modulo => {
                (1, Extent::One)
            }
            // What is compared is compared as far as the shorter goes.
            _ => (traversal(first.size().min(second.size())), Extent::One),
        };
        (left.saturating_add(right).saturating_add(own), result)
    }

    fn call(&mut self, name: &str, args: &[Expr]) -> Cost {
        let mut cost = 0_u64;
        let mut extents = Vec::with_capacity(args.len());
        for arg in args {
            let (of_one, extent) = self.of(arg);
            cost = cost.saturating_add(of_one);
            extents.push(extent);
        }
        let first = extents.first().cloned().unwrap_or(Extent::One);
        let second = extents.get(1).map_or(1, Extent::size);
        let (own, result) = match name {
            "startsWith" | "endsWith" => (traversal(second), Extent::One),
            "contains" => (
                traversal(first.size()).saturating_mul(traversal(second)),
                Extent::One,
            ),
            "matches" | "find" | "findAll" => {
                let text = traversal(first.size().saturating_add(1));
                let cost = text.saturating_mul(second.div_ceil(STATE));
                let found = match name {
                    "find" => first,
                    "findAll" => Extent::List(first.size(), Arc::new(first)),
                    _ => Extent::One,
                };
                (cost, found)
            }
            "isSorted" | "sum" | "min" | "max" | "indexOf" | "lastIndexOf"
                if matches!(first, Extent::List(..)) =>
            {
                let item = first.item();
                let each = match item {
                    Extent::Text(size) => traversal(size),
                    _ => 1,
                };
                (first.size().saturating_mul(each), item)
            }
            "split" => (
                traversal(first.size()),
                Extent::List(first.size(), Arc::new(first)),
            ),
            "size" | "type" | "dyn" => (1, first),
            // Whatever else reads a text reads it once, and makes no more of it.
            _ => match first {
                Extent::Text(size) => (traversal(size).max(1), Extent::Text(size)),
                Extent::List(size, item) => (size, Extent::List(size, item)),
                other => (1, other),
            },
        };
        (cost.saturating_add(own), result)
    }

    fn walk(&mut self, inner: &Loop) -> Cost {
        let (range_cost, range) = self.of(&inner.range);
        let count = range.size();
        // Of a map, one variable is the key.
        let item = match (&range, &inner.second) {
            (Extent::Map(..), None) => Extent::Text(count.min(64)),
            _ => range.item(),
        };
        let names: Vec<(&str, Extent)> = match &inner.second {
            None => vec![(inner.first.as_str(), item)],
            Some(second) => {
                let first = match range {
                    Extent::Map(..) => Extent::Text(64),
                    _ => Extent::One,
                };
                vec![(inner.first.as_str(), first), (second.as_str(), item)]
            }
        };
        let filter = inner.filter.as_ref();
        let filter = filter.map_or(0, |filter| self.within(&names, filter).0);
        let (body, made) = self.within(&names, &inner.body);
        let (own, result) = match inner.kind {
            LoopKind::All => (3, Extent::One),
            LoopKind::Exists => (4, Extent::One),
            LoopKind::ExistsOne => (2, Extent::One),
            LoopKind::Filter => (LIST + 3, range),
            LoopKind::List | LoopKind::Sort => (LIST + 2, Extent::List(count, Arc::new(made))),
            LoopKind::Map | LoopKind::Entries => (MAP + 2, Extent::Map(count, Arc::new(made))),
        };
        let each = body.saturating_add(filter).saturating_add(own);
        let all = count.saturating_mul(each);
        (range_cost.saturating_add(all).saturating_add(1), result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Dialect;
    use crate::syntax::parse;

    fn check(source: &str, expected: u64) {
        let text = Extent::Text(100);
        let list = Extent::List(10, Arc::new(text.clone()));
        let lists = Extent::List(10, Arc::new(list.clone()));
        let fields = [("text", text), ("list", list), ("lists", lists)];
        let fields = fields.map(|(name, extent)| (name.to_owned(), extent));
        let object = Extent::Object(Arc::new(fields.into_iter().collect()));
        let (expr, _) = parse(source, &Dialect::new(&[]));
        assert_eq!(
            cost(&expr.unwrap(), &[("self", object)]),
            expected,
            "{source}"
        );
    }

    #[test]
    fn cost_grows_with_what_is_walked() {
        check("1 == 1", 1);
        check("self.text == 'a'", 3);
        check("self.text == self.text", 14);
        check("self.text.startsWith('abc')", 3);
        check("self.text.contains('abc')", 12);
        check("self.text.matches('^a.*b$')", 24);
        check("'a' in self.list", 12);
        check("self.list.all(x, x == 'a')", 3 + 10 * 5);
        check(
            "self.lists.all(l, l.all(x, x == 'a'))",
            3 + 10 * (3 + 2 + 50),
        );
        check("[1, 2].exists(x, x == 2)", 10 + 1 + 2 * 6);
        check("self.list.map(x, x + 'b').size()", 3 + 10 * (12 + 12) + 1);
    }

    #[test]
    fn what_has_no_bound_costs_everything() {
        let (expr, _) = parse("self.all(x, self.all(y, x == y))", &Dialect::new(&[]));
        let any = cost(&expr.unwrap(), &[("self", Extent::Any)]);
        assert_eq!(any, u64::MAX);
    }
}
