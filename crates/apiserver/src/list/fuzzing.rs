//! Tokens of pages as a fuzz target.

use super::Token;

/// A token, which is written as one that means the same.
pub(crate) fn token(data: &[u8]) {
    let text = str::from_utf8(data).unwrap_or_default();
    let Ok(token) = Token::read(text) else {
        return;
    };
    let last = token.last();
    let again = Token::read(&Token::write(token.version, &last));
    let again = again.map(|again| (again.version, again.last()));
    assert_eq!(again.ok(), Some((token.version, last)));
}
