//! Identifiers of objects, in as little memory as they need.

use std::{fmt, sync::Arc};

use uuid::Uuid;

use crate::shared;

/// A UID. Those that an API server gives are kept as the number they are; whatever else a client has brought
/// (in the reference to an owner, say) as it is written.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Uid {
    /// Written in lower case with hyphens (RFC 9562, section 4).
    Number(Uuid),
    /// Written otherwise.
    Text(Arc<str>),
}

impl Uid {
    /// The identifier that is written so.
    pub fn new(text: &str) -> Self {
        let number = Uuid::try_parse(text).ok();
        let mut buffer = Uuid::encode_buffer();
        number
            .filter(|number| *number.hyphenated().encode_lower(&mut buffer) == *text)
            .map_or_else(|| Self::Text(shared(text)), Self::Number)
    }
}

impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.hyphenated().fmt(f),
            Self::Text(text) => text.fmt(f),
        }
    }
}

impl PartialEq<str> for Uid {
    fn eq(&self, other: &str) -> bool {
        *self == Self::new(other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uid_is_written_as_it_was() {
        for text in [
            "",
            "u-1",
            "0d6cb9b4-7c4b-4ac1-9d3c-8a0e6d2b6f01",
            "0D6CB9B4-7C4B-4AC1-9D3C-8A0E6D2B6F01",
            "0d6cb9b47c4b4ac19d3c8a0e6d2b6f01",
            "urn:uuid:0d6cb9b4-7c4b-4ac1-9d3c-8a0e6d2b6f01",
        ] {
            let uid = Uid::new(text);
            assert_eq!(uid.to_string(), text);
            assert!(uid == *text);
            assert_eq!(matches!(uid, Uid::Number(_)), text.starts_with("0d6cb9b4-"));
        }
    }
}
