//! Query strings.

use std::{borrow::Cow, time::Duration};

use crate::status::{Failure, Result};

/// The parameters of a request, decoded.
#[derive(Clone, Debug, Default)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    /// Reads a query string. Empty parts are skipped: some clients send `?&a=b`.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        text.split('&')
            .filter(|part| !part.is_empty())
            .map(|part| {
                let (key, value) = part.split_once('=').unwrap_or((part, ""));
                let decoded = decode(key, true).zip(decode(value, true));
                let owned = decoded.map(|(key, value)| (key.into_owned(), value.into_owned()));
                owned.ok_or_else(|| Failure::bad_request(format!("invalid query: {part:?}")))
            })
            .collect::<Result<_>>()
            .map(Self)
    }

    /// The first value of a parameter; empty if unset.
    pub(crate) fn get(&self, key: &str) -> &str {
        self.find(key).unwrap_or_default()
    }

    pub(crate) fn find(&self, key: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(name, _)| name == key)
            .map(|(_, value)| value.as_str())
    }

    /// Every value of a parameter.
    pub(crate) fn all<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        self.0
            .iter()
            .filter(move |(name, _)| name == key)
            .map(|(_, value)| value.as_str())
    }

    pub(crate) fn flag(&self, key: &str) -> bool {
        matches!(
            self.find(key),
            Some("" | "1" | "t" | "T" | "true" | "TRUE" | "True")
        )
    }

    pub(crate) fn number(&self, key: &str) -> Result<Option<i64>> {
        match self.find(key) {
            None | Some("") => Ok(None),
            Some(text) => text.parse().map(Some).map_err(|_| {
                Failure::bad_request(format!("{key}: {text:?} is not a whole number"))
            }),
        }
    }

    /// A number of things; less than none is none.
    pub(crate) fn count(&self, key: &str) -> Result<Option<u64>> {
        let number = self.number(key)?;
        Ok(number.map(|number| number.try_into().unwrap_or(0)))
    }

    pub(crate) fn seconds(&self, key: &str) -> Result<Option<Duration>> {
        Ok(self.count(key)?.map(Duration::from_secs))
    }
}

/// Decodes one segment of a path.
pub(super) fn decode_path(text: &str) -> Option<Cow<'_, str>> {
    decode(text, false)
}

fn decode(text: &str, plus: bool) -> Option<Cow<'_, str>> {
    if !text.contains(['%', '+']) {
        return Some(Cow::Borrowed(text));
    }
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => {
                let (high, low) = (digit(bytes.next()?)?, digit(bytes.next()?)?);
                high * 16 + low
            }
            b'+' if plus => b' ',
            other => other,
        });
    }
    String::from_utf8(decoded).ok().map(Cow::Owned)
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte)
        .to_digit(16)
        .and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_decoded() {
        let query = Query::parse("&a=b%3Dc+d&watch&x=%C3%A4").unwrap();
        assert_eq!(query.get("a"), "b=c d");
        assert_eq!(query.get("x"), "ä");
        assert!(query.flag("watch"));
        assert!(Query::parse("a=%zz").is_err());
    }
}
