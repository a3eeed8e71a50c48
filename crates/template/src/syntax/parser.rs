//! From tokens to a tree, by precedence climbing.

use super::ast::{Entry, Expr, Field, Item, Kind, Literal, Operator};
use super::lexer::{self, Lexeme, Token};
use super::{Mistake, macros, meant};
use crate::library::Overload;
use crate::{Dialect, Helper, MAX_EXPRESSION, MAX_NESTING};
use std::ops::Range;

/// Names that mean something else in languages like this one.
const RESERVED: [&str; 18] = [
    "as",
    "break",
    "const",
    "continue",
    "else",
    "false",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "null",
    "package",
    "namespace",
    "return",
    "true",
    "while",
];

/// What is said about expressions that are too deep.
const TOO_DEEP: &str = "the expression nests too deep: split it up";

/// Reads `source`, as far as it can be read. Calls that cannot work whatever they are given are
/// mistakes too, which leave a tree to look at.
pub(crate) fn parse(source: &str, dialect: &Dialect) -> (Option<Expr>, Vec<Mistake>) {
    if source.len() > MAX_EXPRESSION {
        let message = format!("the expression is longer than {MAX_EXPRESSION} bytes");
        return (None, vec![Mistake::new(0..source.len(), message)]);
    }
    let tokens = match lexer::tokens(source) {
        Ok(tokens) => tokens,
        Err(mistake) => return (None, vec![mistake]),
    };
    let mut parser = Parser {
        tokens,
        at: 0,
        level: 0,
        dialect: *dialect,
        mistakes: Vec::new(),
    };
    match parser.whole() {
        Ok(expr) => (Some(expr), parser.mistakes),
        Err(mistake) => {
            parser.mistakes.push(mistake);
            (None, parser.mistakes)
        }
    }
}

type Parsed = Result<Expr, Mistake>;

pub(super) struct Parser {
    tokens: Vec<Lexeme>,
    at: usize,
    level: usize,
    dialect: Dialect,
    mistakes: Vec<Mistake>,
}

impl Parser {
    fn whole(&mut self) -> Parsed {
        let expr = self.expression()?;
        match self.peek() {
            Token::End => Ok(expr),
            _ => Err(self.unexpected("an operator or the end")),
        }
    }

    fn peek(&self) -> &Token {
        self.tokens
            .get(self.at)
            .map_or(&Token::End, |lexeme| &lexeme.token)
    }

    fn span(&self) -> Range<usize> {
        self.tokens
            .get(self.at)
            .map_or(0..0, |lexeme| lexeme.span.clone())
    }

    fn next(&mut self) -> Token {
        let token = self.peek().clone();
        self.at += 1;
        token
    }

    fn takes(&mut self, sign: &'static str) -> bool {
        let found = *self.peek() == Token::Sign(sign);
        self.at += usize::from(found);
        found
    }

    fn wants(&mut self, sign: &'static str) -> Result<usize, Mistake> {
        let end = self.span().end;
        if self.takes(sign) {
            return Ok(end);
        }
        Err(self.unexpected(&format!("{sign:?}")))
    }

    fn unexpected(&self, wanted: &str) -> Mistake {
        let found = match self.peek() {
            Token::End => "the expression ends".to_owned(),
            Token::Name(name) | Token::Quoted(name) => format!("found {name}"),
            Token::Sign(sign) => format!("found {sign:?}"),
            Token::Int(_) | Token::MinInt | Token::UInt(_) | Token::Double(_) => {
                "found a number".to_owned()
            }
            Token::String(_) | Token::Bytes(_) => "found a text".to_owned(),
        };
        Mistake::new(self.span(), format!("{wanted} is expected here, {found}"))
    }

    pub(super) fn note(&mut self, mistake: Mistake) {
        self.mistakes.push(mistake);
    }

    fn expression(&mut self) -> Parsed {
        self.level += 1;
        if self.level > MAX_NESTING {
            return Err(Mistake::new(self.span(), TOO_DEEP));
        }
        let condition = self.binary(0)?;
        let expr = if self.takes("?") {
            let yes = self.binary(0)?;
            self.wants(":")?;
            let no = self.expression()?;
            let span = condition.span.start..no.span.end;
            node(span, Kind::Conditional(Box::new([condition, yes, no])))?
        } else {
            condition
        };
        self.level -= 1;
        Ok(expr)
    }

    /// Operators that bind as tight as `least` or tighter.
    fn binary(&mut self, least: u8) -> Parsed {
        let mut left = self.unary()?;
        while let Some((tightness, sign)) = self.operator().filter(|(found, _)| *found >= least) {
            self.at += 1;
            let right = self.binary(tightness + 1)?;
            let span = left.span.start..right.span.end;
            let (left_side, right_side) = (Box::new(left), Box::new(right));
            let kind = match sign {
                Sign::Or => Kind::Or(left_side, right_side),
                Sign::And => Kind::And(left_side, right_side),
                Sign::Binary(operator) => Kind::Binary(operator, left_side, right_side),
            };
            left = node(span, kind)?;
        }
        Ok(left)
    }

    fn operator(&self) -> Option<(u8, Sign)> {
        use Operator as O;
        let found = match self.peek() {
            Token::Name(name) if name == "in" => (2, Sign::Binary(O::In)),
            Token::Sign(sign) => match *sign {
                "||" => (0, Sign::Or),
                "&&" => (1, Sign::And),
                "==" => (2, Sign::Binary(O::Equal)),
                "!=" => (2, Sign::Binary(O::NotEqual)),
                "<" => (2, Sign::Binary(O::Less)),
                "<=" => (2, Sign::Binary(O::LessOrEqual)),
                ">" => (2, Sign::Binary(O::Greater)),
                ">=" => (2, Sign::Binary(O::GreaterOrEqual)),
                "+" => (3, Sign::Binary(O::Add)),
                "-" => (3, Sign::Binary(O::Subtract)),
                "*" => (4, Sign::Binary(O::Multiply)),
                "/" => (4, Sign::Binary(O::Divide)),
                "%" => (4, Sign::Binary(O::Modulo)),
                _ => return None,
            },
            _ => return None,
        };
        Some(found)
    }

    fn unary(&mut self) -> Parsed {
        let start = self.span().start;
        let mut signs = Vec::new();
        while let Token::Sign(sign @ ("!" | "-")) = *self.peek() {
            if signs.last().is_some_and(|last| *last != sign) {
                return Err(self.unexpected("an operand"));
            }
            signs.push(sign);
            self.at += 1;
        }
        let negative = if signs.last() == Some(&"-") {
            self.negative()
        } else {
            None
        };
        let mut expr = if let Some(literal) = negative {
            signs.pop();
            let span = self.tokens[self.at].span.start - 1..self.span().end;
            self.at += 1;
            let literal = node(span, Kind::Literal(literal))?;
            self.member(literal)?
        } else {
            let primary = self.primary()?;
            self.member(primary)?
        };
        for sign in signs.into_iter().rev() {
            let span = start..expr.span.end;
            let operand = Box::new(expr);
            let kind = match sign {
                "!" => Kind::Not(operand),
                _ => Kind::Negate(operand),
            };
            expr = node(span, kind)?;
        }
        Ok(expr)
    }

    /// The literal that a minus right before makes of the number at hand.
    fn negative(&self) -> Option<Literal> {
        match *self.peek() {
            Token::Int(value) => Some(Literal::Int(-value)),
            Token::MinInt => Some(Literal::Int(i64::MIN)),
            Token::Double(value) => Some(Literal::Double(-value)),
            _ => None,
        }
    }

    fn primary(&mut self) -> Parsed {
        let span = self.span();
        let literal = match self.peek().clone() {
            Token::Name(name) => {
                self.at += 1;
                return self.named(&name, span);
            }
            Token::Sign(sign) => return self.bracketed(sign, span),
            Token::Int(value) => Literal::Int(value),
            Token::UInt(value) => Literal::UInt(value),
            Token::Double(value) => Literal::Double(value),
            Token::String(text) => Literal::String(text),
            Token::Bytes(bytes) => Literal::Bytes(bytes),
            Token::MinInt => {
                return Err(Mistake::new(span, "the number is too large for an int"));
            }
            Token::Quoted(_) | Token::End => return Err(self.unexpected("a value")),
        };
        self.at += 1;
        node(span, Kind::Literal(literal))
    }

    fn bracketed(&mut self, sign: &'static str, span: Range<usize>) -> Parsed {
        match sign {
            "(" => {
                self.at += 1;
                let mut inner = self.expression()?;
                inner.span = span.start..self.wants(")")?;
                Ok(inner)
            }
            "[" | "[?" => {
                self.at += 1;
                let optional = sign == "[?" || self.takes("?");
                let items = self.items(optional)?;
                let end = self.wants("]")?;
                node(span.start..end, Kind::List(items))
            }
            "{" | "{?" => {
                self.at += 1;
                let optional = sign == "{?" || self.takes("?");
                let entries = self.entries(optional)?;
                let end = self.wants("}")?;
                node(span.start..end, Kind::Map(entries))
            }
            "." => {
                self.at += 1;
                let name = self.field()?;
                let mut named = self.named(&name.name, name.span)?;
                if let Kind::Variable { outside, .. } = &mut named.kind {
                    *outside = true;
                }
                Ok(named)
            }
            _ => Err(self.unexpected("a value")),
        }
    }

    fn items(&mut self, mut optional: bool) -> Result<Vec<Item>, Mistake> {
        let mut items = Vec::new();
        while optional || !matches!(self.peek(), Token::Sign("]")) {
            let value = self.expression()?;
            items.push(Item { value, optional });
            if !self.takes(",") {
                break;
            }
            optional = self.takes("?");
        }
        Ok(items)
    }

    fn entries(&mut self, mut optional: bool) -> Result<Vec<Entry>, Mistake> {
        let mut entries = Vec::new();
        while optional || !matches!(self.peek(), Token::Sign("}")) {
            let key = self.expression()?;
            self.wants(":")?;
            let value = self.expression()?;
            entries.push(Entry {
                key,
                value,
                optional,
            });
            if !self.takes(",") {
                break;
            }
            optional = self.takes("?");
        }
        Ok(entries)
    }

    /// What `name` begins: a literal, a call or a variable.
    fn named(&mut self, name: &str, span: Range<usize>) -> Parsed {
        match name {
            "true" => return node(span, Kind::Literal(Literal::Bool(true))),
            "false" => return node(span, Kind::Literal(Literal::Bool(false))),
            "null" => return node(span, Kind::Literal(Literal::Null)),
            _ => {}
        }
        if *self.peek() == Token::Sign("(") {
            let (args, end) = self.arguments()?;
            return macros::global(self, name, span.start..end, args);
        }
        if RESERVED.contains(&name) || name == "in" {
            let message = format!("{name} is a reserved word");
            return Err(Mistake::new(span, message));
        }
        node(
            span,
            Kind::Variable {
                name: name.to_owned(),
                outside: false,
            },
        )
    }

    fn arguments(&mut self) -> Result<(Vec<Expr>, usize), Mistake> {
        self.wants("(")?;
        let mut args = Vec::new();
        if *self.peek() != Token::Sign(")") {
            args.push(self.expression()?);
            while self.takes(",") {
                args.push(self.expression()?);
            }
        }
        let end = self.wants(")")?;
        Ok((args, end))
    }

    /// A name after a dot, which may be a reserved word.
    fn field(&mut self) -> Result<Field, Mistake> {
        let span = self.span();
        match self.peek().clone() {
            Token::Name(name) if !matches!(name.as_str(), "in" | "true" | "false" | "null") => {
                self.at += 1;
                Ok(Field { name, span })
            }
            _ => Err(self.unexpected("a name")),
        }
    }

    /// Everything that follows a value: `.field`, `.method(...)`, `[index]`.
    fn member(&mut self, mut expr: Expr) -> Parsed {
        loop {
            expr = match *self.peek() {
                Token::Sign("." | ".?") => self.selection(expr)?,
                Token::Sign(sign @ ("[" | "[?")) => {
                    self.next();
                    let index = self.expression()?;
                    let span = expr.span.start..self.wants("]")?;
                    let kind = Kind::Index {
                        operand: Box::new(expr),
                        index: Box::new(index),
                        optional: sign == "[?",
                    };
                    node(span, kind)?
                }
                Token::Sign("{") => {
                    let message = "there are no message types here: write a map";
                    return Err(Mistake::new(expr.span, message));
                }
                _ => return Ok(expr),
            };
        }
    }

    fn selection(&mut self, expr: Expr) -> Parsed {
        let optional = self.next() == Token::Sign(".?");
        let field = match self.peek().clone() {
            Token::Quoted(name) => {
                let span = self.span();
                self.at += 1;
                Field { name, span }
            }
            _ => self.field()?,
        };
        if !optional && *self.peek() == Token::Sign("(") {
            let (args, end) = self.arguments()?;
            let span = expr.span.start..end;
            return macros::method(self, expr, &field, span, args);
        }
        let span = expr.span.start..field.span.end;
        let named = qualified(&expr, &field, optional);
        if let Some(type_) = named.and_then(|name| self.dialect.type_named(&name)) {
            return node(span, Kind::Literal(Literal::Type(type_)));
        }
        let kind = Kind::Select {
            operand: Box::new(expr),
            field,
            optional,
        };
        node(span, kind)
    }

    /// Whether the language has a macro of this name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.dialect.has(name)
    }

    /// The call of a function, of a method when `args` starts with the receiver.
    pub(super) fn call(
        &mut self,
        (name, method): (&str, bool),
        named: Range<usize>,
        span: Range<usize>,
        args: Vec<Expr>,
    ) -> Parsed {
        let all = self.dialect.overloads(name, method);
        let overloads: Vec<_> = all
            .iter()
            .filter(|overload| overload.params.len() == args.len())
            .copied()
            .collect();
        if overloads.is_empty() {
            let given = args.len() - usize::from(method);
            let mistake = if all.is_empty() {
                unknown(&self.dialect, name, method, named)
            } else {
                let usage: Vec<String> = all.iter().map(|one| one.usage()).collect();
                let plural = if given == 1 { "" } else { "s" };
                let message = format!("{name} is not called with {given} argument{plural}");
                Mistake::new(named, message)
                    .with_hint(Some(format!("it is called as {}", usage.join(" or "))))
            };
            self.note(mistake);
        }
        let name = overloads.first().map_or("", |overload| overload.name);
        let kind = Kind::Call {
            name,
            overloads,
            args,
        };
        node(span, kind)
    }

    /// The helper that `receiver.name` calls with `count` arguments.
    pub(super) fn helper(&self, receiver: &Expr, name: &str, count: usize) -> Option<Helper> {
        let Kind::Variable { name: variable, .. } = &receiver.kind else {
            return None;
        };
        self.dialect.helpers().iter().copied().find(|helper| {
            helper.receiver == variable && helper.name == name && usize::from(helper.keyed) == count
        })
    }

    /// The ways to call `name`.
    pub(super) fn overloads(&self, name: &str, method: bool) -> Vec<&'static Overload> {
        self.dialect.overloads(name, method)
    }

    /// The methods that platforms add to the variable `receiver`.
    pub(super) fn helper_names(&self, receiver: &Expr) -> Vec<&'static str> {
        let Kind::Variable { name: variable, .. } = &receiver.kind else {
            return Vec::new();
        };
        let of = self
            .dialect
            .helpers()
            .iter()
            .filter(|helper| helper.receiver == variable);
        of.map(|helper| helper.name).collect()
    }
}

/// A node over `span`, unless it nests too deep.
pub(super) fn node(span: Range<usize>, kind: Kind) -> Parsed {
    let below = kind.children().iter().map(|child| child.depth).max();
    let depth = below.unwrap_or(0) + 1;
    if depth > MAX_NESTING {
        return Err(Mistake::new(span, TOO_DEEP));
    }
    Ok(Expr { kind, span, depth })
}

/// What stands between two operands.
#[derive(Clone, Copy)]
enum Sign {
    Or,
    And,
    Binary(Operator),
}

/// The qualified name that a field of names makes, if it can be that of a type.
fn qualified(expr: &Expr, field: &Field, optional: bool) -> Option<String> {
    if optional
        || !field
            .name
            .starts_with(|first: char| first.is_ascii_uppercase())
    {
        return None;
    }
    let space = match &expr.kind {
        Kind::Variable { name, .. } => name.clone(),
        Kind::Select {
            operand,
            field,
            optional: false,
        } => match &operand.kind {
            Kind::Variable { name, .. } => format!("{name}.{}", field.name),
            _ => return None,
        },
        _ => return None,
    };
    Some(format!("{space}.{}", field.name))
}

fn unknown(dialect: &Dialect, name: &str, method: bool, span: Range<usize>) -> Mistake {
    let what = if method { "method" } else { "function" };
    let known = dialect.names(method).chain(macros::NAMES.iter().copied());
    let mut hint = meant(name, known);
    if hint.is_none() && !dialect.overloads(name, !method).is_empty() {
        hint = Some(if method {
            format!("{name} is a function: write {name}(...)")
        } else {
            format!("{name} is a method: write value.{name}(...)")
        });
    }
    Mistake::new(span, format!("there is no {what} {name}")).with_hint(hint)
}
