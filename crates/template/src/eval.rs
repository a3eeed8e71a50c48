//! From a tree and what it can see to a value.

mod lookup;

use crate::Helper;
use crate::budget::Budget;
use crate::context::Context;
use crate::fault::Failure;
use crate::library::{self, Called, Overload};
use crate::syntax::ast::{Bind, BindKind, Entry, Expr, Item, Kind, Loop, LoopKind};
use crate::syntax::meant;
use crate::value::{Entries, Key, List, MOVED, Map, Value};
use lookup::{has, look_up, no_field, no_item};
use smallvec::SmallVec;
use std::ops::Range;

/// The most arguments a function takes.
pub(crate) const MAX_ARGUMENTS: usize = 4;

/// How many names loops and bindings have at once in most expressions.
const LOCALS: usize = 4;

/// What `expr` comes to in `context`.
pub(crate) fn evaluate<'e>(expr: &'e Expr, context: &'e Context<'e, 'e>) -> Called<'e> {
    let mut interpreter = Interpreter {
        context,
        budget: context.budget(),
        locals: SmallVec::new(),
    };
    interpreter.eval(expr)
}

struct Interpreter<'e> {
    context: &'e Context<'e, 'e>,
    budget: &'e Budget,
    /// What loops and bindings name, the innermost last.
    locals: SmallVec<[(&'e str, Value<'e>); LOCALS]>,
}

impl<'e> Interpreter<'e> {
    fn eval(&mut self, expr: &'e Expr) -> Called<'e> {
        self.step(expr).map_err(|failure| failure.at(&expr.span))
    }

    fn step(&mut self, expr: &'e Expr) -> Called<'e> {
        self.budget.step(1)?;
        match &expr.kind {
            Kind::Literal(literal) => Ok(literal.value()),
            Kind::Variable { name, outside } => self.variable(name, *outside),
            Kind::Helper { helper, key } => self.helper(*helper, key.as_deref()),
            Kind::Select {
                operand,
                field,
                optional,
            } => {
                let operand = self.eval(operand)?;
                let failure = |operand: &Value<'e>| no_field(operand, &field.name);
                look_up(
                    operand,
                    *optional,
                    |value| value.field(&field.name),
                    failure,
                )
                .map_err(|failure| failure.at(&field.span))
            }
            Kind::Has { operand, field } => {
                has(&self.eval(operand)?, &field.name).map_err(|failure| failure.at(&field.span))
            }
            Kind::Index {
                operand,
                index,
                optional,
            } => {
                let operand = self.eval(operand)?;
                let index = self.eval(index)?;
                self.item(operand, &index, *optional)
            }
            Kind::Call {
                name,
                overloads,
                args,
            } => self.call(name, overloads, args),
            Kind::Not(operand) => self.truth(operand).map(|truth| Value::Bool(!truth)),
            Kind::Negate(operand) => library::negate(&self.eval(operand)?),
            Kind::And(left, right) => self.connect(false, left, right),
            Kind::Or(left, right) => self.connect(true, left, right),
            Kind::Binary(operator, left, right) => {
                let left = self.eval(left)?;
                let right = self.eval(right)?;
                library::binary(*operator, &left, &right, self.budget)
            }
            Kind::Conditional(parts) => {
                let [condition, yes, no] = parts.as_ref();
                let truth = self.truth(condition)?;
                self.eval(if truth { yes } else { no })
            }
            Kind::List(items) => self.list(items),
            Kind::Map(entries) => self.map(entries),
            Kind::Loop(inner) => self.walk(inner),
            Kind::Bind(inner) => self.bind(inner),
        }
    }

    fn item(&self, operand: Value<'e>, index: &Value<'e>, optional: bool) -> Called<'e> {
        self.budget.step(index.comparing(index))?;
        let failure = |operand: &Value<'e>| no_item(operand, index);
        look_up(operand, optional, |value| value.item(index), failure)
    }

    fn call(
        &mut self,
        name: &str,
        overloads: &[&'static Overload],
        args: &'e [Expr],
    ) -> Called<'e> {
        let mut values = [const { Value::Null }; MAX_ARGUMENTS];
        for (value, arg) in values.iter_mut().zip(args) {
            *value = self.eval(arg)?;
        }
        let count = args.len().min(MAX_ARGUMENTS);
        library::call(name, overloads, &values[..count], self.budget)
    }

    fn variable(&self, name: &str, outside: bool) -> Called<'e> {
        let local = self.locals.iter().rev().find(|(local, _)| *local == name);
        if let Some((_, value)) = local.filter(|_| !outside) {
            return Ok(value.clone());
        }
        self.context
            .find(name)
            .or_else(|| type_value(name))
            .ok_or_else(|| {
                let failure = Failure::new(format!("there is no variable {name:?}"));
                let names = self.context.names();
                match meant(name, names.iter().map(String::as_str)) {
                    Some(hint) => failure.with_hint(hint),
                    None => failure,
                }
            })
    }

    fn helper(&mut self, helper: Helper, key: Option<&'e Expr>) -> Called<'e> {
        let result = self
            .context
            .helper(helper)
            .ok_or_else(|| Failure::new(helper.missing()))?;
        let Some(key) = key else {
            return Ok(result);
        };
        let key = self.eval(key)?;
        look_up(
            result,
            true,
            |value| value.item(&key),
            |value| no_item(value, &key),
        )
    }

    fn truth(&mut self, expr: &'e Expr) -> Result<bool, Failure> {
        match self.eval(expr)? {
            Value::Bool(truth) => Ok(truth),
            other => {
                let message = format!("must be true or false, found {}", other.type_name());
                Err(Failure::new(message).at(&expr.span))
            }
        }
    }

    /// `&&` or `||`: one side that decides makes the other's failure irrelevant.
    fn connect(&mut self, decisive: bool, left: &'e Expr, right: &'e Expr) -> Called<'e> {
        let left = self.truth(left);
        if left.as_ref().is_ok_and(|left| *left == decisive) {
            return Ok(Value::Bool(decisive));
        }
        let right = self.truth(right);
        if right.as_ref().is_ok_and(|right| *right == decisive) {
            return Ok(Value::Bool(decisive));
        }
        left?;
        right.map(Value::Bool)
    }

    fn list(&mut self, items: &'e [Item]) -> Called<'e> {
        self.budget.grow(List::cost(items.len()))?;
        let mut list = Vec::with_capacity(items.len());
        for item in items {
            let value = self.eval(&item.value)?;
            list.extend(given(value, item.optional, &item.value)?);
        }
        Ok(Value::list(list))
    }

    fn map(&mut self, entries: &'e [Entry]) -> Called<'e> {
        self.budget.grow(Map::cost(entries.len()))?;
        let mut map = Entries::with_capacity(entries.len());
        for entry in entries {
            let key = self.eval(&entry.key)?;
            self.budget.step(key.comparing(&key))?;
            let Some(key) = Key::of(&key).filter(|_| !matches!(key, Value::Double(_))) else {
                let message = format!("a {} cannot be a key", key.type_name());
                return Err(Failure::new(message).at(&entry.key.span));
            };
            let value = self.eval(&entry.value)?;
            let Some(value) = given(value, entry.optional, &entry.value)? else {
                continue;
            };
            let place = map.place(&key);
            let Err(behind) = place else {
                let message = format!("the key {key} appears twice");
                return Err(Failure::new(message).at(&entry.key.span));
            };
            self.budget.step((map.len() - behind) / MOVED)?;
            map.put(place, key, value);
        }
        Ok(Value::map(map))
    }

    fn bind(&mut self, inner: &'e Bind) -> Called<'e> {
        let value = self.eval(&inner.value)?;
        let value = match (inner.kind, value) {
            (BindKind::Plain, value) => value,
            (_, Value::Optional(None)) => return Ok(Value::none()),
            (_, Value::Optional(Some(held))) => held.as_ref().clone(),
            (_, other) => {
                let message = format!("an optional is wanted, found {}", other.type_name());
                return Err(Failure::new(message).at(&inner.value.span));
            }
        };
        self.locals.push((&inner.name, value));
        let result = self.eval(&inner.body);
        self.locals.pop();
        match (inner.kind, result?) {
            (BindKind::Optional, value) => Ok(Value::some(value)),
            (BindKind::Plain, value) | (BindKind::Flat, value @ Value::Optional(_)) => Ok(value),
            (BindKind::Flat, other) => {
                let message = format!("an optional is wanted, found {}", other.type_name());
                Err(Failure::new(message).at(&inner.body.span))
            }
        }
    }

    /// Evaluates `expr` for one step of a loop.
    fn within(&mut self, inner: &'e Loop, pair: &Pair<'e>, expr: &'e Expr) -> Called<'e> {
        let depth = self.locals.len();
        self.locals.push((&inner.first, pair.0.clone()));
        if let Some(second) = &inner.second {
            self.locals.push((second, pair.1.clone()));
        }
        let result = self.eval(expr);
        self.locals.truncate(depth);
        result
    }

    fn test(&mut self, inner: &'e Loop, pair: &Pair<'e>, expr: &'e Expr) -> Result<bool, Failure> {
        match self.within(inner, pair, expr)? {
            Value::Bool(truth) => Ok(truth),
            other => {
                let message = format!("must be true or false, found {}", other.type_name());
                Err(Failure::new(message).at(&expr.span))
            }
        }
    }

    fn walk(&mut self, inner: &'e Loop) -> Called<'e> {
        let range = self.eval(&inner.range)?;
        let count = match &range {
            Value::List(list) => list.len(),
            Value::Map(map) => map.len(),
            other => {
                let message = format!("a list or a map is wanted, found {}", other.type_name());
                return Err(Failure::new(message).at(&inner.range.span));
            }
        };
        self.budget.step(count)?;
        let pairs = Pairs::of(range, inner.second.is_some());
        match inner.kind {
            LoopKind::All => self.decide(inner, pairs, false),
            LoopKind::Exists => self.decide(inner, pairs, true),
            LoopKind::ExistsOne => {
                let mut found = 0_usize;
                for pair in pairs {
                    found += usize::from(self.test(inner, &pair, &inner.body)?);
                }
                Ok(Value::Bool(found == 1))
            }
            LoopKind::Filter => {
                let mut kept = Vec::new();
                for pair in pairs {
                    if self.test(inner, &pair, &inner.body)? {
                        self.budget.grow(List::cost(1))?;
                        kept.push(pair.0);
                    }
                }
                Ok(Value::list(kept))
            }
            LoopKind::List => {
                let mut made = Vec::new();
                self.transform(inner, pairs, |this, _, value| {
                    this.budget.grow(List::cost(1))?;
                    made.push(value);
                    Ok(())
                })?;
                Ok(Value::list(made))
            }
            LoopKind::Map => {
                let mut made = Entries::default();
                self.transform(inner, pairs, |this, key, value| {
                    this.enter(&mut made, Key::of(&key), value)
                })?;
                Ok(Value::map(made))
            }
            LoopKind::Entries => self.entries(inner, pairs),
            LoopKind::Sort => {
                self.budget.grow(List::cost(2 * count))?;
                let mut keyed = Vec::with_capacity(count);
                for pair in pairs {
                    let key = self.within(inner, &pair, &inner.body)?;
                    keyed.push((key, pair.0));
                }
                library::sorted(keyed, self.budget)
            }
        }
    }

    /// `all` and `exists`: one item that decides makes the failures of others irrelevant.
    fn decide(&mut self, inner: &'e Loop, pairs: Pairs<'e>, decisive: bool) -> Called<'e> {
        let mut failed = None;
        for pair in pairs {
            match self.test(inner, &pair, &inner.body) {
                Ok(truth) if truth == decisive => return Ok(Value::Bool(decisive)),
                Ok(_) => {}
                // The rest would fail for the same reason.
                Err(failure) if self.budget.step(1).is_err() => return Err(failure),
                Err(failure) => failed = Some(failure),
            }
        }
        failed.map_or(Ok(Value::Bool(!decisive)), Err)
    }

    /// Hands `keep` what the body makes of each item that the filter lets pass, with its key.
    fn transform(
        &mut self,
        inner: &'e Loop,
        pairs: Pairs<'e>,
        mut keep: impl FnMut(&mut Self, Value<'e>, Value<'e>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        for pair in pairs {
            let kept = match &inner.filter {
                Some(filter) => self.test(inner, &pair, filter)?,
                None => true,
            };
            if kept {
                let value = self.within(inner, &pair, &inner.body)?;
                keep(self, pair.0, value)?;
            }
        }
        Ok(())
    }

    fn entries(&mut self, inner: &'e Loop, pairs: Pairs<'e>) -> Called<'e> {
        let mut all = Entries::default();
        self.transform(inner, pairs, |this, _, entry| {
            let Value::Map(entry) = entry else {
                let message = format!("each entry must be a map, found {}", entry.type_name());
                return Err(Failure::new(message).at(&inner.body.span));
            };
            for (key, value) in entry.entries() {
                if all.get(&key).is_some() {
                    let message = format!("the key {key} is made twice");
                    return Err(Failure::new(message).at(&inner.body.span));
                }
                this.enter(&mut all, Some(key), value)?;
            }
            Ok(())
        })?;
        Ok(Value::map(all))
    }

    /// Pays for an entry of a map that is being made, and puts it there.
    fn enter(
        &self,
        map: &mut Entries<'e>,
        key: Option<Key<'e>>,
        value: Value<'e>,
    ) -> Result<(), Failure> {
        if let Some(key) = key {
            self.budget.step(key.reading())?;
            self.budget.grow(Map::cost(1))?;
            let place = map.place(&key);
            let behind = place.map_or_else(|behind| behind, |known| known + 1);
            self.budget.step((map.len() - behind) / MOVED)?;
            map.put(place, key, value);
        }
        Ok(())
    }
}

/// What a loop sees of one step: the item, or the key and the value.
type Pair<'e> = (Value<'e>, Value<'e>);

/// The steps of a loop.
enum Pairs<'e> {
    Items(List<'e>, Range<usize>),
    /// Each item behind its index.
    Indexed(List<'e>, Range<usize>),
    Entries(std::vec::IntoIter<(Key<'e>, Value<'e>)>),
}

impl<'e> Pairs<'e> {
    /// The steps of a loop over `range`; no others are there than those of lists and maps.
    fn of(range: Value<'e>, two: bool) -> Self {
        match range {
            Value::List(list) => {
                let all = 0..list.len();
                if two {
                    Self::Indexed(list, all)
                } else {
                    Self::Items(list, all)
                }
            }
            Value::Map(map) => Self::Entries(map.entries().into_iter()),
            _ => Self::Entries(Vec::new().into_iter()),
        }
    }
}

impl<'e> Iterator for Pairs<'e> {
    type Item = Pair<'e>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Items(list, left) => Some((list.get(left.next()?)?, Value::Null)),
            Self::Indexed(list, left) => {
                let index = left.next()?;
                Some((Value::Int(i64::try_from(index).ok()?), list.get(index)?))
            }
            Self::Entries(left) => left.next().map(|(key, value)| (key.value(), value)),
        }
    }
}

/// What an element of a literal adds: nothing, when it is an optional without a value.
fn given<'e>(value: Value<'e>, optional: bool, expr: &Expr) -> Result<Option<Value<'e>>, Failure> {
    match (optional, value) {
        (false, value) => Ok(Some(value)),
        (true, Value::Optional(held)) => Ok(held.map(|held| held.as_ref().clone())),
        (true, other) => {
            let message = format!("an optional is wanted after ?, found {}", other.type_name());
            Err(Failure::new(message).at(&expr.span))
        }
    }
}

/// The type that `name` stands for.
pub(crate) fn type_value<'e>(name: &str) -> Option<Value<'e>> {
    const TYPES: [&str; 11] = [
        "bool",
        "int",
        "uint",
        "double",
        "string",
        "bytes",
        "list",
        "map",
        "null_type",
        "type",
        "optional_type",
    ];
    TYPES
        .into_iter()
        .find(|known| *known == name)
        .map(Value::Type)
}
