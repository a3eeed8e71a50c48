//! A JSON value with expressions in it: parsed once, evaluated often.

mod parser;

use crate::check::{self, Extent, Scope, Type};
use crate::eval::evaluate;
use crate::fault::{Failure, join};
use crate::library::double_text;
use crate::syntax::Mistake;
use crate::syntax::ast::Expr;
use crate::trace::Entry;
use crate::value::Value as Evaluated;
use crate::{Context, Dialect, Fault, MAX_DEPTH, MAX_FAULTS, Members, Trace, Tree, value};
use parser::Parser;
use serde_json::Value;
use std::fmt::Display;
use std::ops::Range;

/// A parsed template.
#[derive(Debug, Clone)]
pub struct Template {
    path: String,
    root: Node,
    /// Texts with an expression that is never closed, and so stays text.
    unclosed: Vec<Fault>,
}

/// What a template evaluates to: `None` when it asked to be left out.
pub type Output = Option<Tree>;

#[derive(Debug, Clone)]
enum Node {
    /// A value without expressions, and what it weighs in the budget.
    Constant(Tree, usize),
    Whole(Expression),
    Text(Vec<Part>),
    List(Vec<Self>),
    Map(Vec<(Self, Self)>),
}

#[derive(Debug, Clone)]
enum Part {
    Text(String),
    Expression(Expression),
}

#[derive(Debug, Clone)]
struct Expression {
    program: Expr,
    source: String,
    path: String,
    range: Range<usize>,
}

impl Template {
    /// Parses `value`, whose place is `path` (a JSON pointer), reporting every expression that
    /// does not parse.
    pub fn parse(dialect: &Dialect, value: &Value, path: &str) -> Result<Self, Vec<Fault>> {
        match Self::read(dialect, value, path) {
            (template, faults) if faults.is_empty() => Ok(template),
            (_, faults) => Err(faults),
        }
    }

    /// The same, with what can be looked at where something does not parse. Such a template is for
    /// [`Template::check`] only.
    pub fn read(dialect: &Dialect, value: &Value, path: &str) -> (Self, Vec<Fault>) {
        let mut parser = Parser::new(dialect);
        let root = parser.node(value, path, MAX_DEPTH);
        let template = Self {
            path: path.to_owned(),
            root,
            unclosed: parser.unclosed,
        };
        (template, parser.faults)
    }

    /// Everything about the template's expressions that cannot work with what `scope` declares.
    pub fn check(&self, scope: &Scope<'_>) -> Vec<Fault> {
        let mut faults = self.unclosed.clone();
        self.root.visit(&mut |expression| {
            if faults.len() >= MAX_FAULTS {
                return;
            }
            let (_, mistakes) = check::infer(&expression.program, scope);
            faults.extend(
                mistakes
                    .into_iter()
                    .map(|mistake| expression.mistaken(mistake)),
            );
        });
        self.root.check_parts(scope, &mut faults);
        faults
    }

    /// The type of what the template evaluates to.
    pub fn type_of(&self, scope: &Scope<'_>) -> Type {
        match &self.root {
            Node::Constant(value, _) => Type::of_json(&Value::from(value)),
            Node::Whole(expression) => check::infer(&expression.program, scope).0,
            Node::Text(_) => Type::String,
            Node::List(_) => Type::list(Type::Dyn),
            Node::Map(_) => Type::Map(Box::new(Type::String), Box::new(Type::Dyn)),
        }
    }

    /// What the template's expressions cost at most, all together, where `variables` are as
    /// large as they may be.
    pub fn cost(&self, variables: &[(&str, Extent)]) -> u64 {
        let mut all = 0_u64;
        self.root.visit(&mut |expression| {
            all = all.saturating_add(check::cost(&expression.program, variables));
        });
        all
    }

    /// A fault of the whole template, placed at its only expression when it is one.
    pub fn fault(&self, message: String) -> Fault {
        match &self.root {
            Node::Whole(expression) => expression.fault(message),
            _ => Fault {
                message,
                path: self.path.clone(),
                range: 0..0,
                expression: String::new(),
                part: 0..0,
                certain: true,
                hint: None,
            },
        }
    }

    /// Evaluates the template, reporting every expression that fails.
    pub fn eval<T: Trace>(
        &self,
        context: &Context<'_, '_>,
        trace: &mut T,
    ) -> Result<Output, Vec<Fault>> {
        let mut evaluation = Evaluation {
            context,
            trace,
            path: &self.path,
            faults: Vec::new(),
        };
        let output = evaluation.node(&self.root, &mut String::new());
        if evaluation.faults.is_empty() {
            Ok(output)
        } else {
            Err(evaluation.faults)
        }
    }
}

impl Expression {
    fn fault(&self, message: String) -> Fault {
        Fault {
            message,
            path: self.path.clone(),
            range: self.range.clone(),
            expression: self.source.clone(),
            part: 0..self.source.len(),
            certain: true,
            hint: None,
        }
    }

    fn mistaken(&self, mistake: Mistake) -> Fault {
        let mut fault = self.fault(mistake.message);
        fault.part = mistake.span;
        fault.certain = mistake.certain;
        fault.hint = mistake.hint;
        fault
    }

    fn failed(&self, failure: Failure) -> Fault {
        let (message, hint, span) = failure.into_parts();
        let mut fault = self.fault(message);
        fault.part = span.unwrap_or(fault.part);
        fault.hint = hint;
        fault
    }
}

impl Node {
    fn constant(value: Tree) -> Self {
        let weight = value.weight();
        Self::Constant(value, weight)
    }

    /// A list; a constant, when all of its items are.
    fn list(items: Vec<Self>) -> Self {
        if !items.iter().all(Self::is_constant) {
            return Self::List(items);
        }
        let (mut list, mut below) = (Vec::with_capacity(items.len()), 0);
        for item in items {
            if let Self::Constant(value, weight) = item {
                below += weight;
                list.push(value);
            }
        }
        Self::Constant(list.into(), value::list_weight(below))
    }

    /// A map; a constant, when all of its keys and values are.
    fn map(entries: Vec<(Self, Self)>) -> Self {
        let constant = |(key, value): &(Self, Self)| key.is_constant() && value.is_constant();
        if !entries.iter().all(constant) {
            return Self::Map(entries);
        }
        let (mut fields, mut below) = (Members::with_capacity(entries.len()), 0);
        for entry in entries {
            if let (Self::Constant(Tree::String(key), _), Self::Constant(value, weight)) = entry {
                below += key.len() + weight;
                fields.insert(key, value);
            }
        }
        let weight = value::map_weight(fields.len(), below);
        Self::Constant(fields.into(), weight)
    }

    /// Reports what a text cannot hold, and keys that are no strings.
    fn check_parts(&self, scope: &Scope<'_>, faults: &mut Vec<Fault>) {
        match self {
            Self::Constant(..) | Self::Whole(_) | Self::Text(_) => {}
            Self::List(items) => items
                .iter()
                .for_each(|item| item.check_parts(scope, faults)),
            Self::Map(entries) => {
                for (key, value) in entries {
                    if let Self::Whole(expression) = key
                        && faults.len() < MAX_FAULTS
                    {
                        let found = check::infer(&expression.program, scope).0;
                        if !found.may_be(&Type::String) {
                            let message = format!("a key must be a string, found {found}");
                            faults.push(expression.fault(message));
                        }
                    }
                    value.check_parts(scope, faults);
                }
            }
        }
    }

    fn visit(&self, visit: &mut impl FnMut(&Expression)) {
        match self {
            Self::Constant(..) => {}
            Self::Whole(expression) => visit(expression),
            Self::Text(parts) => parts.iter().for_each(|part| match part {
                Part::Text(_) => {}
                Part::Expression(expression) => visit(expression),
            }),
            Self::List(items) => items.iter().for_each(|item| item.visit(visit)),
            Self::Map(entries) => entries.iter().for_each(|(key, value)| {
                key.visit(visit);
                value.visit(visit);
            }),
        }
    }

    const fn is_constant(&self) -> bool {
        matches!(self, Self::Constant(..))
    }
}

struct Evaluation<'c, 'p, 'v, T> {
    context: &'c Context<'p, 'v>,
    trace: &'c mut T,
    /// Where the template is written.
    path: &'c str,
    faults: Vec<Fault>,
}

impl<T: Trace> Evaluation<'_, '_, '_, T> {
    fn node(&mut self, node: &Node, output: &mut String) -> Output {
        match node {
            Node::Constant(value, weight) => self.pay(*weight).then(|| value.clone()),
            Node::Whole(expression) => self.expression(expression, output),
            Node::Text(parts) => Some(Tree::from(self.text(parts, output))),
            Node::List(items) => {
                let mut list = Vec::with_capacity(items.len());
                for item in items {
                    let index = list.len();
                    let item = self.at(output, &index, |this, output| this.node(item, output));
                    list.extend(item);
                }
                Some(Tree::from(list))
            }
            Node::Map(entries) => {
                let mut fields = Members::with_capacity(entries.len());
                for (key, value) in entries {
                    self.entry(key, value, &mut fields, output);
                }
                Some(fields.into())
            }
        }
    }

    fn entry(&mut self, key: &Node, value: &Node, fields: &mut Members, output: &mut String) {
        let name = match self.node(key, output) {
            Some(Tree::String(name)) => name,
            None => return,
            Some(other) => return self.key_fault(key, &other),
        };
        if let Some(value) = self.at(output, &name, |this, output| this.node(value, output)) {
            fields.insert(name, value);
        }
    }

    fn key_fault(&mut self, key: &Node, found: &Tree) {
        let faults = &mut self.faults;
        // A key that failed has its own fault already and evaluates to null.
        if !found.is_null() || faults.is_empty() {
            key.visit(&mut |expression| {
                faults.push(expression.fault(format!("a key must be a string, found {found}")));
            });
        }
    }

    /// Runs `run` with `output` one segment longer, when anybody wants to know.
    fn at<R>(
        &mut self,
        output: &mut String,
        segment: &dyn Display,
        run: impl FnOnce(&mut Self, &mut String) -> R,
    ) -> R {
        if !T::ENABLED {
            return run(self, output);
        }
        let length = output.len();
        *output = join(output, &segment.to_string());
        let result = run(self, output);
        output.truncate(length);
        result
    }

    fn expression(&mut self, expression: &Expression, output: &str) -> Output {
        if self.faults.len() >= MAX_FAULTS {
            return Some(Tree::Null);
        }
        self.record(expression, output);
        let budget = self.context.budget();
        let result = evaluate(&expression.program, self.context)
            .and_then(|value| value::to_tree(&value, budget));
        match result {
            Ok(output) => output,
            Err(failure) => {
                self.faults.push(expression.failed(failure));
                Some(Tree::Null)
            }
        }
    }

    fn record(&mut self, expression: &Expression, output: &str) {
        if T::ENABLED {
            self.trace.record(Entry {
                output: output.to_owned(),
                path: expression.path.clone(),
                range: expression.range.clone(),
                expression: expression.source.clone(),
            });
        }
    }

    /// Pays for `weight` bytes of output; once there is nothing left, that is the only fault.
    fn pay(&mut self, weight: usize) -> bool {
        match self.context.budget().grow(weight) {
            Ok(()) => true,
            Err(exhausted) => {
                if self.faults.is_empty() {
                    self.faults.push(Fault {
                        message: exhausted.to_string(),
                        path: self.path.to_owned(),
                        range: 0..0,
                        expression: String::new(),
                        part: 0..0,
                        certain: true,
                        hint: None,
                    });
                }
                false
            }
        }
    }

    /// Adds what `expression` comes to, as text.
    fn append(&self, expression: &Expression, text: &mut String) -> Result<(), Failure> {
        let budget = self.context.budget();
        let value = evaluate(&expression.program, self.context)?.held();
        if let Some(part) = value.as_str() {
            budget.grow(part.len())?;
            text.push_str(part);
            return Ok(());
        }
        if let Evaluated::Double(number) = value {
            let part = double_text(number);
            budget.grow(part.len())?;
            text.push_str(&part);
            return Ok(());
        }
        let Some(tree) = value::to_tree(&value, budget)? else {
            let message = "oc_omit() can only leave out a whole value, not a part of a text";
            return Err(Failure::new(message));
        };
        text.push_str(&tree.to_string());
        Ok(())
    }

    fn text(&mut self, parts: &[Part], output: &str) -> String {
        let mut text = String::new();
        for part in parts {
            match part {
                Part::Text(literal) => {
                    if self.pay(literal.len()) {
                        text.push_str(literal);
                    }
                }
                Part::Expression(expression) if self.faults.len() < MAX_FAULTS => {
                    self.record(expression, output);
                    if let Err(failure) = self.append(expression, &mut text) {
                        self.faults.push(expression.failed(failure));
                    }
                }
                Part::Expression(_) => {}
            }
        }
        text
    }
}

#[cfg(test)]
mod tests;
