//! From JSON to templates.

use super::{Expression, Node, Part};
use crate::fault::join;
use crate::scan::{self, Piece};
use crate::{Dialect, Fault, MAX_DEPTH, MAX_EXPRESSIONS, MAX_FAULTS, Tree, syntax};
use serde_json::Value;
use std::ops::Range;

/// Parses values, and collects what does not parse.
pub(super) struct Parser<'d> {
    dialect: &'d Dialect,
    /// How many expressions were read.
    expressions: usize,
    pub(super) faults: Vec<Fault>,
    pub(super) unclosed: Vec<Fault>,
}

impl<'d> Parser<'d> {
    pub(super) const fn new(dialect: &'d Dialect) -> Self {
        Self {
            dialect,
            expressions: 0,
            faults: Vec::new(),
            unclosed: Vec::new(),
        }
    }
}

impl Parser<'_> {
    pub(super) fn node(&mut self, value: &Value, path: &str, depth: usize) -> Node {
        if depth == 0 {
            let message = format!("the template nests deeper than {MAX_DEPTH} levels");
            self.fault(message, path, 0..0, String::new());
            return Node::constant(Tree::Null);
        }
        if self.is_full() {
            return Node::constant(Tree::Null);
        }
        match value {
            Value::String(text) => self.text(text, path),
            Value::Array(items) => {
                let items = items.iter().enumerate();
                Node::list(
                    items
                        .map(|(index, item)| self.node(item, &format!("{path}/{index}"), depth - 1))
                        .collect(),
                )
            }
            Value::Object(entries) => Node::map(
                entries
                    .iter()
                    .map(|(key, value)| {
                        let path = join(path, key);
                        (self.text(key, &path), self.node(value, &path, depth - 1))
                    })
                    .collect(),
            ),
            constant @ (Value::Null | Value::Bool(_) | Value::Number(_)) => {
                Node::constant(Tree::from(constant))
            }
        }
    }

    /// Whether there is no use in reading on.
    fn is_full(&self) -> bool {
        self.faults.len() >= MAX_FAULTS
    }

    fn text(&mut self, text: &str, path: &str) -> Node {
        if !text.contains("${") {
            return Node::constant(Tree::from(text));
        }
        let pieces = match scan::pieces(text) {
            Ok(pieces) => pieces,
            Err(nested) => {
                let message = "an expression inside an expression must be quoted".to_owned();
                let source = text[nested.range.clone()].to_owned();
                self.fault(message, path, nested.range, source);
                return Node::constant(Tree::Null);
            }
        };
        if let Some(Piece::Text(range)) = pieces.last()
            && let Some(start) = text[range.clone()].find("${")
        {
            self.note_unclosed(path, range.start + start..text.len());
        }
        if let Some(range) = whole(text, &pieces) {
            return self
                .expression(text, range, path)
                .map_or_else(|| Node::constant(Tree::Null), Node::Whole);
        }
        let parts: Vec<Part> = pieces
            .into_iter()
            .filter_map(|piece| match piece {
                Piece::Text(range) => Some(Part::Text(text[range].to_owned())),
                Piece::Expression(range) => {
                    self.expression(text, range, path).map(Part::Expression)
                }
            })
            .collect();
        match parts.as_slice() {
            [] => Node::constant(Tree::from(text)),
            [Part::Text(all)] => Node::constant(Tree::from(all.as_str())),
            _ => Node::Text(parts),
        }
    }

    fn expression(&mut self, text: &str, range: Range<usize>, path: &str) -> Option<Expression> {
        if self.is_full() {
            return None;
        }
        let source = &text[range.start + 2..range.end - 1];
        self.expressions += 1;
        if self.expressions > MAX_EXPRESSIONS {
            let message = format!("the template has more than {MAX_EXPRESSIONS} expressions");
            self.fault(message, path, range, source.to_owned());
            return None;
        }
        let (program, mistakes) = syntax::parse(source, self.dialect);
        self.faults
            .extend(mistakes.into_iter().map(|mistake| Fault {
                message: mistake.message,
                path: path.to_owned(),
                range: range.clone(),
                expression: source.to_owned(),
                part: mistake.span,
                certain: mistake.certain,
                hint: mistake.hint,
            }));
        program.map(|program| Expression {
            program,
            source: source.to_owned(),
            path: path.to_owned(),
            range,
        })
    }

    fn note_unclosed(&mut self, path: &str, range: Range<usize>) {
        if self.unclosed.len() >= MAX_FAULTS {
            return;
        }
        self.unclosed.push(Fault {
            message: "the ${ is never closed, so this stays text as it is".to_owned(),
            path: path.to_owned(),
            range,
            part: 0..0,
            expression: String::new(),
            certain: false,
            hint: None,
        });
    }

    fn fault(&mut self, message: String, path: &str, range: Range<usize>, expression: String) {
        self.faults.push(Fault {
            message,
            path: path.to_owned(),
            range,
            part: 0..expression.len(),
            expression,
            certain: true,
            hint: None,
        });
    }
}

/// The only expression of a string that holds nothing else but white space around it.
fn whole(text: &str, pieces: &[Piece]) -> Option<Range<usize>> {
    let mut found = None;
    for piece in pieces {
        match piece {
            Piece::Text(range) if text[range.clone()].trim().is_empty() => {}
            Piece::Expression(range) if found.is_none() => found = Some(range.clone()),
            Piece::Text(_) | Piece::Expression(_) => return None,
        }
    }
    found
}
