//! The text of string and byte literals.

/// What a literal holds: escapes resolved, unless it is raw.
pub(crate) fn string(body: &str, raw: bool) -> Result<String, String> {
    let mut text = String::with_capacity(body.len());
    unescape(body, raw, |piece| {
        match piece {
            Piece::Char(c) | Piece::Point(c) => text.push(c),
            Piece::Byte(byte) => text.push(char::from(byte)),
        }
        true
    })?;
    Ok(text)
}

/// The same as bytes, where `\x` and octal escapes are bytes and code points are not allowed.
pub(crate) fn bytes(body: &str, raw: bool) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::with_capacity(body.len());
    unescape(body, raw, |piece| {
        match piece {
            Piece::Char(c) => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            Piece::Point(_) => return false,
            Piece::Byte(byte) => bytes.push(byte),
        }
        true
    })?;
    Ok(bytes)
}

enum Piece {
    /// A character as it stands.
    Char(char),
    /// A character given by its code point.
    Point(char),
    /// A byte given by its number.
    Byte(u8),
}

fn unescape(body: &str, raw: bool, mut put: impl FnMut(Piece) -> bool) -> Result<(), String> {
    let mut rest = body;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        let (piece, used) = match c {
            '\r' => {
                let used = usize::from(rest.starts_with('\n'));
                (Piece::Char('\n'), used)
            }
            '\\' if !raw => escape(rest)?,
            c => (Piece::Char(c), 0),
        };
        if !put(piece) {
            return Err("bytes cannot hold \\u or \\U: use \\x".to_owned());
        }
        rest = &rest[used..];
    }
    Ok(())
}

/// The piece after a backslash, and how many bytes it takes.
fn escape(rest: &str) -> Result<(Piece, usize), String> {
    let kind = rest.chars().next().ok_or("a backslash at the end")?;
    let plain = match kind {
        'a' => '\u{7}',
        'b' => '\u{8}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'v' => '\u{b}',
        '\\' | '?' | '"' | '\'' | '`' => kind,
        'x' | 'X' => return number(rest, 1, 2, 16),
        'u' => return number(rest, 1, 4, 16),
        'U' => return number(rest, 1, 8, 16),
        '0'..='3' => return number(rest, 0, 3, 8),
        other => return Err(format!("\\{other} is no escape")),
    };
    Ok((Piece::Char(plain), kind.len_utf8()))
}

fn number(rest: &str, skip: usize, digits: usize, radix: u32) -> Result<(Piece, usize), String> {
    let end = skip + digits;
    let code = rest
        .get(skip..end)
        .filter(|text| text.bytes().all(|byte| byte.is_ascii_alphanumeric()))
        .and_then(|text| u32::from_str_radix(text, radix).ok())
        .ok_or_else(|| format!("an escape needs {digits} digits here"))?;
    if digits < 4 {
        let byte = u8::try_from(code).map_err(|_| "an escape is too large for a byte")?;
        return Ok((Piece::Byte(byte), end));
    }
    let point = char::from_u32(code).ok_or("an escape is no character")?;
    Ok((Piece::Point(point), end))
}
