//! Generated values: what a `Password` of `generators.external-secrets.io` asks for, and characters
//! of a cryptographic source of random numbers that answer it.

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE},
};
use rand::{CryptoRng, RngExt as _, seq::SliceRandom as _};
use serde::Deserialize;

const LOWER: &str = "abcdefghijklmnopqrstuvwxyz";
const UPPER: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
const DIGITS: &str = "0123456789";
const SYMBOLS: &str = "~!@#$%^&*()_+`-={}|[]\\:\"<>?,./";
/// More than anybody needs, and a bound for what one object may cost.
const LONGEST: usize = 4096;

/// The spec of a `Password`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Password {
    length: usize,
    digits: Option<usize>,
    symbols: Option<usize>,
    symbol_characters: Option<String>,
    no_upper: bool,
    allow_repeat: bool,
    secret_keys: Vec<String>,
    encoding: Encoding,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Encoding {
    #[default]
    Raw,
    Base64,
    Base64url,
    Base32,
    Hex,
}

impl Default for Password {
    fn default() -> Self {
        Self {
            length: 24,
            digits: None,
            symbols: None,
            symbol_characters: None,
            no_upper: false,
            allow_repeat: false,
            secret_keys: Vec::new(),
            encoding: Encoding::Raw,
        }
    }
}

impl Password {
    /// The keys of the values it makes, each with a value of its own.
    pub(super) fn keys(&self) -> Vec<String> {
        if self.secret_keys.is_empty() {
            vec!["password".to_owned()]
        } else {
            self.secret_keys.clone()
        }
    }

    /// The characters to choose from and how many of each, or why no value can be made.
    fn recipe(&self) -> Result<[(String, usize); 3], String> {
        let quarter = self.length / 4;
        let digits = self.digits.unwrap_or(quarter);
        let symbols = self.symbols.unwrap_or(quarter);
        if self.length == 0 || self.length > LONGEST {
            return Err(format!("length has to be from 1 to {LONGEST}"));
        }
        let letters = self
            .length
            .checked_sub(digits)
            .and_then(|rest| rest.checked_sub(symbols))
            .ok_or("digits and symbols together are more than length")?;
        let alphabet = if self.no_upper {
            LOWER.to_owned()
        } else {
            [LOWER, UPPER].concat()
        };
        let special = self.symbol_characters.as_deref().unwrap_or(SYMBOLS);
        let recipe = [
            (alphabet, letters),
            (DIGITS.to_owned(), digits),
            (special.to_owned(), symbols),
        ];
        for ((from, count), what) in recipe.iter().zip(["letters", "digits", "symbols"]) {
            let most = from.chars().count();
            if *count > 0 && most == 0 || !self.allow_repeat && *count > most {
                return Err(format!(
                    "{count} {what} cannot be taken from {most} without repeating one: set allowRepeat"
                ));
            }
        }
        Ok(recipe)
    }

    /// Whether values can be made.
    pub(super) fn check(&self) -> Result<(), String> {
        self.recipe().map(drop)
    }

    /// A new value.
    pub(super) fn generate(&self, random: &mut impl CryptoRng) -> Result<String, String> {
        let mut chosen = Vec::with_capacity(self.length);
        for (from, count) in self.recipe()? {
            let mut from: Vec<char> = from.chars().collect();
            for _ in 0..count {
                let place = random.random_range(0..from.len());
                let next = if self.allow_repeat {
                    from.get(place).copied()
                } else {
                    Some(from.swap_remove(place))
                };
                chosen.extend(next);
            }
        }
        chosen.shuffle(random);
        Ok(self
            .encoding
            .encode(&chosen.into_iter().collect::<String>()))
    }
}

impl Encoding {
    fn encode(self, text: &str) -> String {
        match self {
            Self::Raw => text.to_owned(),
            Self::Base64 => STANDARD.encode(text),
            Self::Base64url => URL_SAFE.encode(text),
            Self::Base32 => base32(text.as_bytes()),
            Self::Hex => text.bytes().flat_map(hex).collect(),
        }
    }
}

fn hex(byte: u8) -> [char; 2] {
    let digit = |value| char::from_digit(u32::from(value), 16).unwrap_or_default();
    [digit(byte >> 4), digit(byte & 15)]
}

/// RFC 4648, with padding.
fn base32(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.chunks(5) {
        let bits: Vec<bool> = chunk
            .iter()
            .flat_map(|byte| (0..8).rev().map(move |place| byte >> place & 1 == 1))
            .collect();
        let letters = bits.chunks(5).map(letter);
        let padding = std::iter::repeat('=');
        text.extend(letters.chain(padding).take(8));
    }
    text
}

/// The letter of up to five bits, the missing ones being zero.
fn letter(bits: &[bool]) -> char {
    const ALPHABET: [char; 32] = [
        'A', 'B', 'C', 'D', 'E', 'F', 'G', 'H', 'I', 'J', 'K', 'L', 'M', 'N', 'O', 'P', 'Q', 'R',
        'S', 'T', 'U', 'V', 'W', 'X', 'Y', 'Z', '2', '3', '4', '5', '6', '7',
    ];
    let bit = |place: usize| usize::from(bits.get(place).copied().unwrap_or_default());
    let value = (0..5).fold(0, |value, place| value << 1 | bit(place));
    ALPHABET.get(value).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;
    use serde_json::{Value, json};

    use super::*;

    fn password(spec: Value) -> Password {
        serde_json::from_value(spec).unwrap()
    }

    fn make(spec: Value) -> String {
        let mut random = rand::rngs::StdRng::seed_from_u64(7);
        password(spec).generate(&mut random).unwrap()
    }

    #[test]
    fn a_value_is_made_of_what_was_asked_for() {
        let count = |text: &str, set: &str| text.chars().filter(|c| set.contains(*c)).count();
        let made = make(json!({}));
        let of = [LOWER, UPPER].concat();
        assert_eq!(
            (
                count(&made, &of),
                count(&made, DIGITS),
                count(&made, SYMBOLS)
            ),
            (12, 6, 6)
        );
        let made = make(json!({"length": 32, "digits": 8, "symbols": 0, "allowRepeat": true}));
        assert_eq!((made.len(), count(&made, DIGITS)), (32, 8));
        assert!(made.chars().all(|c| c.is_ascii_alphanumeric()), "{made}");
        let made = make(json!({
            "length": 30, "digits": 2, "symbols": 2, "symbolCharacters": "-_", "noUpper": true,
            "allowRepeat": false,
        }));
        assert_eq!((count(&made, UPPER), count(&made, "-_")), (0, 2));
        let distinct: std::collections::BTreeSet<char> = made.chars().collect();
        assert_eq!(distinct.len(), 30, "{made}");
    }

    #[test]
    fn no_two_values_are_alike() {
        let mut random = rand::rng();
        let spec = password(json!({}));
        let mut values = std::collections::BTreeSet::new();
        for _ in 0..100 {
            assert!(values.insert(spec.generate(&mut random).unwrap()));
        }
    }

    #[test]
    fn what_cannot_be_made_is_told() {
        for (spec, named) in [
            (json!({"length": 0}), "length"),
            (json!({"length": 5000}), "4096"),
            (
                json!({"length": 8, "digits": 5, "symbols": 5}),
                "more than length",
            ),
            (
                json!({"length": 64, "digits": 0, "symbols": 0}),
                "allowRepeat",
            ),
            (
                json!({"symbolCharacters": "", "allowRepeat": true}),
                "symbols",
            ),
        ] {
            let message = password(spec).check().unwrap_err();
            assert!(message.contains(named), "{message}");
        }
        assert!(serde_json::from_value::<Password>(json!({"encoding": "rot13"})).is_err());
    }

    #[test]
    fn encodings_are_those_of_the_standard() {
        for (encoding, expected) in [
            (Encoding::Raw, "foobar!"),
            (Encoding::Base64, "Zm9vYmFyIQ=="),
            (Encoding::Base64url, "Zm9vYmFyIQ=="),
            (Encoding::Base32, "MZXW6YTBOIQQ===="),
            (Encoding::Hex, "666f6f62617221"),
        ] {
            assert_eq!(encoding.encode("foobar!"), expected);
        }
    }
}
