//! Finds `${...}` in a string.

use std::ops::Range;

/// A run of a scanned string.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Piece {
    /// Literal text.
    Text(Range<usize>),
    /// An expression; the range includes `${` and `}`.
    Expression(Range<usize>),
}

/// An expression inside an expression, outside quotes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Nested {
    pub(crate) range: Range<usize>,
}

/// Splits `text` into literal runs and expressions. An expression that never closes is text.
pub(crate) fn pieces(text: &str) -> Result<Vec<Piece>, Nested> {
    let mut pieces = Vec::new();
    let mut from = 0;
    while let Some(found) = text[from..].find("${") {
        let start = from + found;
        let Some(end) = close(text, start)? else {
            break;
        };
        if start > from {
            pieces.push(Piece::Text(from..start));
        }
        pieces.push(Piece::Expression(start..end));
        from = end;
    }
    if from < text.len() {
        pieces.push(Piece::Text(from..text.len()));
    }
    Ok(pieces)
}

/// The end of the expression that starts at `start`, if it is closed.
fn close(text: &str, start: usize) -> Result<Option<usize>, Nested> {
    let bytes = text.as_bytes();
    let mut depth = 0_usize;
    let mut quote = None;
    let mut at = start + 1;
    while at < bytes.len() {
        match (quote, bytes[at]) {
            (Some(_), b'\\') => at += 1,
            (Some(open), byte) if byte == open => quote = None,
            (None, byte @ (b'\'' | b'"')) => quote = Some(byte),
            (None, b'$') if bytes.get(at + 1) == Some(&b'{') => {
                return Err(Nested {
                    range: start..at + 2,
                });
            }
            (None, b'{') => depth += 1,
            (None, b'}') => {
                depth -= 1;
                if depth == 0 {
                    return Ok(Some(at + 1));
                }
            }
            (Some(_) | None, _) => {}
        }
        at += 1;
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        let found: Vec<&str> = pieces(text)
            .expect("scans")
            .into_iter()
            .filter_map(|piece| match piece {
                Piece::Expression(range) => Some(&text[range]),
                Piece::Text(_) => None,
            })
            .collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn braces_are_counted_outside_quotes() {
        check("a ${b} c${d}", &["${b}", "${d}"]);
        check("m=${{'k': 1}}", &["${{'k': 1}}"]);
        check("x=${'}'} ${\"\\\"}\"}", &["${'}'}", "${\"\\\"}\"}"]);
        check("${'${'}", &["${'${'}"]);
    }

    #[test]
    fn what_never_closes_is_text() {
        check("5$ {not} ${a", &[]);
        check("${a} ${b", &["${a}"]);
    }

    #[test]
    fn nested_expressions_are_refused() {
        assert_eq!(pieces("${a ${b}}"), Err(Nested { range: 0..6 }));
    }

    #[test]
    fn nothing_between_expressions_is_no_piece() {
        assert_eq!(pieces("${a}"), Ok(vec![Piece::Expression(0..4)]));
        let both = vec![Piece::Expression(0..4), Piece::Expression(4..8)];
        assert_eq!(pieces("${a}${b}"), Ok(both));
        assert_eq!(pieces("${a $ b}"), Ok(vec![Piece::Expression(0..8)]));
    }

    proptest! {
        #[test]
        fn pieces_cover_the_text(text in "[a-z${}'\"\\\\ é]{0,40}") {
            if let Ok(found) = pieces(&text) {
                let joined: String = found.iter().map(|piece| match piece {
                    Piece::Text(range) | Piece::Expression(range) => &text[range.clone()],
                }).collect();
                prop_assert_eq!(joined, text);
            }
        }
    }
}
