//! From characters to tokens.

use super::{Mistake, literal};
use std::ops::Range;

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Token {
    Name(String),
    /// A name in backticks: only after a dot.
    Quoted(String),
    Int(i64),
    /// One more than the largest int: only after a minus.
    MinInt,
    UInt(u64),
    Double(f64),
    String(String),
    Bytes(Vec<u8>),
    Sign(&'static str),
    End,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Lexeme {
    pub(crate) token: Token,
    pub(crate) span: Range<usize>,
}

/// Signs, the longer ones first.
const SIGNS: [&str; 26] = [
    "&&", "||", "==", "!=", "<=", ">=", "[?", "{?", ".?", "(", ")", "[", "]", "{", "}", ",", ".",
    ":", "?", "+", "-", "*", "/", "%", "!", "<",
];

/// All tokens of `source`, the end included.
pub(crate) fn tokens(source: &str) -> Result<Vec<Lexeme>, Mistake> {
    let mut lexer = Lexer { source, at: 0 };
    let mut all = Vec::with_capacity(source.len() / 3 + 2);
    loop {
        lexer.skip();
        let start = lexer.at;
        let token = lexer.token()?;
        let end = token == Token::End;
        all.push(Lexeme {
            token,
            span: start..lexer.at,
        });
        if end {
            return Ok(all);
        }
    }
}

struct Lexer<'s> {
    source: &'s str,
    at: usize,
}

impl<'s> Lexer<'s> {
    fn rest(&self) -> &'s str {
        &self.source[self.at..]
    }

    fn peek(&self, ahead: usize) -> Option<u8> {
        self.source.as_bytes().get(self.at + ahead).copied()
    }

    /// Passes white space and comments.
    fn skip(&mut self) {
        loop {
            let rest = self.rest();
            let trimmed = rest.trim_start_matches([' ', '\t', '\n', '\r', '\u{c}']);
            self.at += rest.len() - trimmed.len();
            if !trimmed.starts_with("//") {
                return;
            }
            self.at += trimmed.find('\n').unwrap_or(trimmed.len());
        }
    }

    fn token(&mut self) -> Result<Token, Mistake> {
        let Some(byte) = self.peek(0) else {
            return Ok(Token::End);
        };
        if let Some(prefix) = self.quote() {
            return self.quoted(prefix);
        }
        if byte.is_ascii_alphabetic() || byte == b'_' {
            let name = self.take(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
            return Ok(Token::Name(name.to_owned()));
        }
        let fraction = byte == b'.' && self.peek(1).is_some_and(|next| next.is_ascii_digit());
        if byte.is_ascii_digit() || fraction {
            return self.number();
        }
        if byte == b'`' {
            return self.backticks();
        }
        if byte == b'>' && self.peek(1) != Some(b'=') {
            self.at += 1;
            return Ok(Token::Sign(">"));
        }
        let Some(sign) = SIGNS.into_iter().find(|sign| self.rest().starts_with(sign)) else {
            let c = self.rest().chars().next().unwrap_or_default();
            let span = self.at..self.at + c.len_utf8();
            return Err(Mistake::new(span, format!("{c:?} means nothing here")));
        };
        self.at += sign.len();
        Ok(Token::Sign(sign))
    }

    fn take(&mut self, wanted: impl Fn(u8) -> bool) -> &'s str {
        let rest = self.rest();
        let length = rest
            .bytes()
            .position(|byte| !wanted(byte))
            .unwrap_or(rest.len());
        self.at += length;
        &rest[..length]
    }

    fn backticks(&mut self) -> Result<Token, Mistake> {
        let start = self.at;
        self.at += 1;
        let name = self.take(|byte| byte.is_ascii_alphanumeric() || b"_.-/ ".contains(&byte));
        if name.is_empty() || self.peek(0) != Some(b'`') {
            return Err(Mistake::new(start..self.at, "the backtick is not closed"));
        }
        self.at += 1;
        Ok(Token::Quoted(name.to_owned()))
    }

    fn number(&mut self) -> Result<Token, Mistake> {
        let start = self.at;
        if self.rest().starts_with("0x") || self.rest().starts_with("0X") {
            self.at += 2;
            let digits = self.take(|byte| byte.is_ascii_hexdigit());
            return self.integer(start, digits, 16);
        }
        let digits = self.take(|byte| byte.is_ascii_digit());
        let fraction =
            self.peek(0) == Some(b'.') && self.peek(1).is_some_and(|byte| byte.is_ascii_digit());
        if fraction {
            self.at += 1;
            self.take(|byte| byte.is_ascii_digit());
        }
        let exponent = self.exponent();
        if !fraction && !exponent {
            return self.integer(start, digits, 10);
        }
        let text = &self.source[start..self.at];
        text.parse()
            .map(Token::Double)
            .map_err(|_| Mistake::new(start..self.at, format!("{text} is no number")))
    }

    fn exponent(&mut self) -> bool {
        let sign = usize::from(matches!(self.peek(1), Some(b'+' | b'-')));
        let found = matches!(self.peek(0), Some(b'e' | b'E'))
            && self
                .peek(1 + sign)
                .is_some_and(|byte| byte.is_ascii_digit());
        if found {
            self.at += 1 + sign;
            self.take(|byte| byte.is_ascii_digit());
        }
        found
    }

    fn integer(&mut self, start: usize, digits: &str, radix: u32) -> Result<Token, Mistake> {
        let unsigned = matches!(self.peek(0), Some(b'u' | b'U'));
        self.at += usize::from(unsigned);
        let span = start..self.at;
        let value = u64::from_str_radix(digits, radix)
            .map_err(|_| Mistake::new(span.clone(), "the number is too large"))?;
        if unsigned {
            return Ok(Token::UInt(value));
        }
        match i64::try_from(value) {
            Ok(value) => Ok(Token::Int(value)),
            Err(_) if value == i64::MIN.unsigned_abs() => Ok(Token::MinInt),
            Err(_) => Err(Mistake::new(span, "the number is too large for an int")),
        }
    }

    /// What stands before a quote, when a literal starts here.
    fn quote(&self) -> Option<Prefix> {
        let mut prefix = Prefix::default();
        for ahead in 0..3 {
            match self.peek(ahead)? {
                b'"' | b'\'' => return Some(prefix),
                b'r' | b'R' if !prefix.raw => prefix.raw = true,
                b'b' | b'B' if !prefix.bytes => prefix.bytes = true,
                _ => return None,
            }
            prefix.length += 1;
        }
        None
    }

    fn quoted(&mut self, prefix: Prefix) -> Result<Token, Mistake> {
        let start = self.at;
        self.at += prefix.length;
        let open = &self.rest()[..1];
        let triple = self.rest().starts_with(&open.repeat(3));
        let fence = open.repeat(if triple { 3 } else { 1 });
        self.at += fence.len();
        let body = self.body(&fence, prefix.raw, triple).ok_or_else(|| {
            Mistake::new(
                start..self.source.len(),
                "the text is not closed by a quote",
            )
        })?;
        let read = if prefix.bytes {
            literal::bytes(body, prefix.raw).map(Token::Bytes)
        } else {
            literal::string(body, prefix.raw).map(Token::String)
        };
        read.map_err(|message| Mistake::new(start..self.at, message))
    }

    /// What stands before `fence`, which is passed.
    fn body(&mut self, fence: &str, raw: bool, lines: bool) -> Option<&'s str> {
        let start = self.at;
        loop {
            if self.rest().starts_with(fence) {
                let body = &self.source[start..self.at];
                self.at += fence.len();
                return Some(body);
            }
            match self.peek(0)? {
                b'\\' if !raw => self.at += 1,
                b'\n' | b'\r' if !lines => return None,
                _ => {}
            }
            self.at += self.rest().chars().next()?.len_utf8();
        }
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Prefix {
    raw: bool,
    bytes: bool,
    length: usize,
}
