//! The type of an expression, and every mistake in it.

use super::operators::{computed, mixes, ordered};
use super::types::NoField;
use super::{Scope, Type, calls};
use crate::Helper;
use crate::syntax::ast::{
    Bind, BindKind, Entry, Expr, Field, Item, Kind, Literal, Loop, LoopKind, Operator,
};
use crate::syntax::{Mistake, meant};
use std::ops::Range;

/// The type of `expr` in `scope`, and what cannot work in it.
pub(crate) fn infer(expr: &Expr, scope: &Scope<'_>) -> (Type, Vec<Mistake>) {
    let mut checker = Checker {
        strict: scope.is_strict(),
        ..Checker::default()
    };
    let found = checker.infer(expr, scope);
    (found, checker.mistakes)
}

#[derive(Default)]
pub(super) struct Checker {
    mistakes: Vec<Mistake>,
    /// Fields that nothing declares and that `has()` asks for: their use is probably meant.
    asked: Vec<String>,
    /// Whether types are those of CEL to the letter.
    pub(super) strict: bool,
}

impl Checker {
    pub(super) fn mistake(&mut self, span: &Range<usize>, message: String, hint: Option<String>) {
        self.mistakes
            .push(Mistake::new(span.clone(), message).with_hint(hint));
    }

    /// Whether a value of type `found` can be one of type `wanted`.
    pub(super) fn may_be(&self, found: &Type, wanted: &Type) -> bool {
        if self.strict {
            found.is_assignable(wanted)
        } else {
            found.may_be(wanted)
        }
    }

    /// Notes that something of type `found` stands where `wanted` should.
    fn want(&mut self, wanted: &Type, found: &Type, span: &Range<usize>) {
        if !self.may_be(found, wanted) {
            self.mistake(
                span,
                format!("{wanted} is wanted here, found {found}"),
                None,
            );
        }
    }

    pub(super) fn infer(&mut self, expr: &Expr, scope: &Scope<'_>) -> Type {
        match &expr.kind {
            Kind::Literal(literal) => literal_type(literal),
            Kind::Variable { name, outside } => {
                let scope = if *outside { scope.outside() } else { scope };
                self.variable(name, &expr.span, scope)
            }
            Kind::Helper { helper, key } => self.helper(*helper, key.as_deref(), &expr.span, scope),
            Kind::Select {
                operand,
                field,
                optional,
            } => {
                let operand = self.infer(operand, scope);
                let found = self.field(&operand, &field.name, &field.span);
                looked_up(&operand, found, *optional)
            }
            Kind::Has { operand, field } => {
                let operand = self.infer(operand, scope);
                self.asked_for(&operand, field);
                Type::Bool
            }
            Kind::Index {
                operand,
                index,
                optional,
            } => {
                let operand = self.infer(operand, scope);
                let by = self.infer(index, scope);
                let item = self.item(&operand, &by, index, &expr.span);
                looked_up(&operand, item, *optional)
            }
            Kind::Call {
                name,
                overloads,
                args,
            } => calls::call(self, (name, overloads), args, &expr.span, scope),
            Kind::Not(operand) => self.truth(operand, scope),
            Kind::Negate(operand) => self.negated(operand, scope),
            Kind::And(left, right) | Kind::Or(left, right) => {
                self.truth(left, scope);
                self.truth(right, scope)
            }
            Kind::Binary(operator, left, right) => {
                let (left, right) = (self.infer(left, scope), self.infer(right, scope));
                self.binary(*operator, &left, &right, &expr.span)
            }
            Kind::Conditional(parts) => self.conditional(parts, &expr.span, scope),
            Kind::List(items) => self.list(items, scope),
            Kind::Map(entries) => self.map(entries, scope),
            Kind::Loop(inner) => self.walk(inner, scope),
            Kind::Bind(inner) => self.bind(inner, scope),
        }
    }

    fn variable(&mut self, name: &str, span: &Range<usize>, scope: &Scope<'_>) -> Type {
        if let Some(found) = scope.find(name) {
            return found.clone();
        }
        if crate::eval::type_value(name).is_some() {
            return Type::Type;
        }
        let names = scope.names();
        let hint = meant(name, names.iter().copied())
            .unwrap_or_else(|| format!("known here: {}", names.join(", ")));
        let message = format!("there is no variable {name:?} here");
        self.mistake(span, message, (!names.is_empty()).then_some(hint));
        Type::Dyn
    }

    fn helper(
        &mut self,
        helper: Helper,
        key: Option<&Expr>,
        span: &Range<usize>,
        scope: &Scope<'_>,
    ) -> Type {
        if let Some(key) = key {
            let found = self.infer(key, scope);
            self.want(&Type::String, &found, &key.span);
        }
        scope.helper(helper).cloned().unwrap_or_else(|| {
            self.mistake(span, helper.missing(), None);
            Type::Dyn
        })
    }

    /// A field that is asked for may be missing, also where it is not declared: values are not
    /// stripped of what their schema does not know.
    fn asked_for(&mut self, operand: &Type, field: &Field) {
        if self.strict {
            self.field(operand, &field.name, &field.span);
            return;
        }
        if matches!(operand.field(&field.name), Err(NoField::Unknown(_))) {
            self.asked.push(field.name.clone());
        }
        if !operand.declares_nothing() {
            self.field(operand, &field.name, &field.span);
        }
    }

    fn field(&mut self, operand: &Type, name: &str, span: &Range<usize>) -> Type {
        match operand.field(name) {
            Ok(found) => found,
            Err(NoField::Unknown(fields)) => {
                let known = || fields.known.keys().map(String::as_str);
                let hint = meant(name, known()).or_else(|| {
                    let all: Vec<&str> = known().take(12).collect();
                    (!all.is_empty()).then(|| format!("there are: {}", all.join(", ")))
                });
                let mut mistake = Mistake::new(span.clone(), format!("there is no field {name:?}"));
                mistake.certain = !self.asked.iter().any(|asked| asked == name);
                self.mistakes.push(mistake.with_hint(hint));
                Type::Dyn
            }
            Err(NoField::Plain(other)) => {
                let message = format!("{other} has no fields, so there is no {name:?}");
                self.mistake(span, message, None);
                Type::Dyn
            }
        }
    }

    fn item(&mut self, operand: &Type, by: &Type, index: &Expr, span: &Range<usize>) -> Type {
        match operand {
            Type::Dyn | Type::Free => Type::Dyn,
            Type::List(item, _) => {
                self.want(&Type::Int, by, &index.span);
                item.as_ref().clone()
            }
            Type::Map(key, value) => {
                self.want(key, by, &index.span);
                value.as_ref().clone()
            }
            Type::Object(_) if !self.strict => {
                if let Kind::Literal(Literal::String(name)) = &index.kind {
                    return self.field(operand, name, &index.span);
                }
                self.want(&Type::String, by, &index.span);
                Type::Dyn
            }
            Type::Optional(inner) => {
                let item = self.item(inner, by, index, span);
                Type::Optional(Box::new(item))
            }
            other => {
                self.mistake(span, format!("{other} cannot be indexed"), None);
                Type::Dyn
            }
        }
    }

    fn truth(&mut self, operand: &Expr, scope: &Scope<'_>) -> Type {
        let found = self.infer(operand, scope);
        if !matches!(found, Type::Bool | Type::Dyn | Type::Free) {
            let message = format!("must be true or false, found {found}");
            self.mistake(&operand.span, message, None);
        }
        Type::Bool
    }

    fn negated(&mut self, operand: &Expr, scope: &Scope<'_>) -> Type {
        let found = self.infer(operand, scope);
        if !matches!(found, Type::Int | Type::Double | Type::Duration) && !found.is_open() {
            self.mistake(
                &operand.span,
                format!("- cannot be applied to {found}"),
                None,
            );
            return Type::Dyn;
        }
        found
    }

    fn binary(
        &mut self,
        operator: Operator,
        left: &Type,
        right: &Type,
        span: &Range<usize>,
    ) -> Type {
        let result = match operator {
            Operator::Equal | Operator::NotEqual => self.may_be(left, right).then_some(Type::Bool),
            Operator::Less
            | Operator::LessOrEqual
            | Operator::Greater
            | Operator::GreaterOrEqual => ordered(left, right).then_some(Type::Bool),
            Operator::In => self.within(left, right).then_some(Type::Bool),
            Operator::Add
            | Operator::Subtract
            | Operator::Multiply
            | Operator::Divide
            | Operator::Modulo
                if self.strict && mixes(left, right) =>
            {
                None
            }
            Operator::Add
            | Operator::Subtract
            | Operator::Multiply
            | Operator::Divide
            | Operator::Modulo => computed(operator, left, right),
        };
        if let Some(result) = result {
            return result;
        }
        let sign = operator.as_str();
        let message = match operator {
            Operator::Equal | Operator::NotEqual => {
                format!("{left} and {right} are never equal")
            }
            _ => format!("{sign} cannot be applied to {left}, {right}"),
        };
        let texts = (*left == Type::String) != (*right == Type::String);
        let hint = (operator == Operator::Add && texts)
            .then(|| "use string(...) to make a string of the other side".to_owned());
        self.mistake(span, message, hint);
        match operator {
            Operator::Add
            | Operator::Subtract
            | Operator::Multiply
            | Operator::Divide
            | Operator::Modulo => Type::Dyn,
            _ => Type::Bool,
        }
    }

    fn within(&self, left: &Type, right: &Type) -> bool {
        match right {
            Type::Dyn | Type::Free => true,
            Type::List(item, _) => self.may_be(left, item),
            Type::Map(key, _) => self.may_be(left, key),
            Type::Object(_) => !self.strict && left.may_be(&Type::String),
            _ => false,
        }
    }

    fn conditional(&mut self, parts: &[Expr; 3], span: &Range<usize>, scope: &Scope<'_>) -> Type {
        let [condition, yes, no] = parts;
        self.truth(condition, scope);
        let (yes, no) = (self.infer(yes, scope), self.infer(no, scope));
        if !self.may_be(&yes, &no) {
            let message = format!("the sides of ? : differ: {yes} and {no}");
            self.mistake(
                span,
                message,
                Some("use dyn(...) if that is meant".to_owned()),
            );
        }
        yes.join(&no)
    }

    fn given(&mut self, value: &Expr, optional: bool, scope: &Scope<'_>) -> Type {
        let found = self.infer(value, scope);
        match (optional, found) {
            (false, found) => found,
            (true, Type::Optional(inner)) => *inner,
            (true, found) => {
                let wanted = Type::Optional(Box::new(Type::Dyn));
                self.want(&wanted, &found, &value.span);
                Type::Dyn
            }
        }
    }

    fn list(&mut self, items: &[Item], scope: &Scope<'_>) -> Type {
        let mut joined = Type::Free;
        for item in items {
            let found = self.given(&item.value, item.optional, scope);
            joined = self.joined(&joined, &found, &item.value.span);
        }
        Type::list(joined)
    }

    /// The type of a list whose items may be of different types.
    pub(super) fn arguments(&mut self, items: &[Item], scope: &Scope<'_>) -> Type {
        for item in items {
            self.given(&item.value, item.optional, scope);
        }
        Type::list(Type::Dyn)
    }

    /// The type of what is of type `known` or `found`, which to the letter must be one.
    fn joined(&mut self, known: &Type, found: &Type, span: &Range<usize>) -> Type {
        if self.strict && !found.is_assignable(known) {
            let message = format!("{known} is wanted here as before, found {found}");
            let hint = "use dyn(...) if that is meant".to_owned();
            self.mistake(span, message, Some(hint));
        }
        known.join(found)
    }

    fn map(&mut self, entries: &[Entry], scope: &Scope<'_>) -> Type {
        let (mut keys, mut values) = (Type::Free, Type::Free);
        for entry in entries {
            let key = self.infer(&entry.key, scope);
            if !matches!(key, Type::String | Type::Int | Type::UInt | Type::Bool) && !key.is_open()
            {
                let message = format!("{key} cannot be a key");
                self.mistake(&entry.key.span, message, None);
            }
            let value = self.given(&entry.value, entry.optional, scope);
            keys = self.joined(&keys, &key, &entry.key.span);
            values = self.joined(&values, &value, &entry.value.span);
        }
        Type::Map(Box::new(keys), Box::new(values))
    }

    fn bind(&mut self, inner: &Bind, scope: &Scope<'_>) -> Type {
        let value = self.infer(&inner.value, scope);
        let bound = match (inner.kind, value) {
            (BindKind::Plain, value) => value,
            (BindKind::Optional | BindKind::Flat, Type::Optional(held)) => *held,
            (BindKind::Optional | BindKind::Flat, found) => {
                let wanted = Type::Optional(Box::new(Type::Dyn));
                self.want(&wanted, &found, &inner.value.span);
                Type::Dyn
            }
        };
        let mut inside = scope.inner();
        inside.declare(&inner.name, bound);
        let body = self.infer(&inner.body, &inside);
        match inner.kind {
            BindKind::Plain => body,
            BindKind::Optional => Type::Optional(Box::new(body)),
            BindKind::Flat => {
                let wanted = Type::Optional(Box::new(Type::Dyn));
                self.want(&wanted, &body, &inner.body.span);
                body
            }
        }
    }

    fn walk(&mut self, inner: &Loop, scope: &Scope<'_>) -> Type {
        let range = self.infer(&inner.range, scope);
        let (first, second, key) = self.variables(&range, inner);
        let mut inside = scope.inner();
        inside.declare(&inner.first, first.clone());
        if let Some(name) = &inner.second {
            inside.declare(name, second);
        }
        if let Some(filter) = &inner.filter {
            self.truth(filter, &inside);
        }
        match inner.kind {
            LoopKind::All | LoopKind::Exists | LoopKind::ExistsOne => {
                self.truth(&inner.body, &inside)
            }
            LoopKind::Filter => {
                self.truth(&inner.body, &inside);
                Type::list(first)
            }
            LoopKind::List => Type::list(self.infer(&inner.body, &inside)),
            LoopKind::Map => {
                let body = self.infer(&inner.body, &inside);
                Type::Map(Box::new(key), Box::new(body))
            }
            LoopKind::Entries => {
                let body = self.infer(&inner.body, &inside);
                let wanted = Type::Map(Box::new(Type::Dyn), Box::new(Type::Dyn));
                self.want(&wanted, &body, &inner.body.span);
                body
            }
            LoopKind::Sort => {
                self.infer(&inner.body, &inside);
                Type::list(first)
            }
        }
    }

    /// The types of a loop's variables, and of the keys it walks.
    fn variables(&mut self, range: &Type, inner: &Loop) -> (Type, Type, Type) {
        let two = inner.second.is_some();
        match range {
            Type::Dyn | Type::Free => (Type::Dyn, Type::Dyn, Type::Dyn),
            Type::List(item, _) if two => (Type::Int, item.as_ref().clone(), Type::Int),
            Type::List(item, _) => (item.as_ref().clone(), Type::Dyn, Type::Int),
            Type::Map(key, value) => {
                let key = key.as_ref().clone();
                (key.clone(), value.as_ref().clone(), key)
            }
            Type::Object(fields) if !self.strict => {
                let values = fields.known.values().chain(&fields.other).cloned();
                let value = values.reduce(|left, right| left.join(&right));
                (Type::String, value.unwrap_or(Type::Dyn), Type::String)
            }
            other => {
                let message = format!("a list or a map is wanted, found {other}");
                self.mistake(&inner.range.span, message, None);
                (Type::Dyn, Type::Dyn, Type::Dyn)
            }
        }
    }
}

/// The type of what is looked up: optional when the look-up is, once, or when what it is looked up
/// in is.
fn looked_up(operand: &Type, found: Type, optional: bool) -> Type {
    match (optional, &found) {
        (true, Type::Optional(_)) if matches!(operand, Type::Optional(_)) => found,
        (true, _) => Type::Optional(Box::new(found)),
        (false, _) => found,
    }
}

const fn literal_type(literal: &Literal) -> Type {
    match literal {
        Literal::Null => Type::Null,
        Literal::Type(_) => Type::Type,
        Literal::Bool(_) => Type::Bool,
        Literal::Int(_) => Type::Int,
        Literal::UInt(_) => Type::UInt,
        Literal::Double(_) => Type::Double,
        Literal::String(_) => Type::String,
        Literal::Bytes(_) => Type::Bytes,
    }
}
