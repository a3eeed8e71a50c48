//! The names expressions can make: readable parts and a hash of all of them.

use sha2::{Digest, Sha256};
use std::fmt::Write as _;

/// The longest name of an object.
pub const OBJECT: usize = 253;
/// The longest DNS label.
pub const LABEL: usize = 63;
const HASH: usize = 8;

/// A name of at most `limit` bytes from `parts`, ending in a hash of them.
pub fn generate<S: AsRef<str>>(limit: usize, parts: &[S]) -> String {
    let raw = parts
        .iter()
        .map(AsRef::as_ref)
        .collect::<Vec<_>>()
        .join("-");
    let hash = hash(&raw);
    let clean: Vec<String> = parts.iter().map(|part| sanitize(part.as_ref())).collect();
    let budget = limit.saturating_sub(HASH + parts.len());
    let (share, left) = match parts.len() {
        0 => (0, 0),
        count => (budget / count, budget % count),
    };
    let cut: Vec<&str> = clean
        .iter()
        .enumerate()
        .map(|(index, part)| floor(part, share + usize::from(index < left)))
        .collect();
    let name = format!("{}-{hash}", cut.join("-"));
    name.trim_matches(|c: char| !c.is_ascii_alphanumeric())
        .to_owned()
}

/// FNV-1a with 32 bits as eight hexadecimal digits.
pub fn fnv(text: &str) -> String {
    let hash = text.bytes().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    format!("{hash:08x}")
}

fn hash(raw: &str) -> String {
    Sha256::digest(raw.as_bytes())
        .iter()
        .take(HASH / 2)
        .fold(String::new(), |mut text, byte| {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

fn sanitize(part: &str) -> String {
    part.chars()
        .flat_map(char::to_lowercase)
        .map(|c| match c {
            c if c.is_ascii_alphanumeric() || c == '-' || c == '.' => c,
            _ => '-',
        })
        .collect::<String>()
        .trim_matches(['-', '.'])
        .to_owned()
}

/// The longest prefix of at most `limit` bytes.
fn floor(part: &str, limit: usize) -> &str {
    part.get(..limit.min(part.len())).unwrap_or(part)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_are_those_of_the_reference() {
        let of = |parts: &[&str]| generate(OBJECT, parts);
        assert_eq!(of(&["project", "component"]), "project-component-932d1646");
        assert_eq!(
            of(&["My_Project$", "Component@Name"]),
            "my-project-component-name-40314333"
        );
        assert_eq!(of(&["", ""]), "3973e022");
        assert_eq!(
            generate(LABEL, &["dp", "omit-and-merge", "default", "development"]),
            "dp-omit-and-merg-default-development-d769fca5"
        );
        assert_eq!(fnv("hello"), "4f9f2cab");
    }

    proptest! {
        #[test]
        fn names_fit_and_are_names(parts in proptest::collection::vec("[a-zA-Z0-9_.é-]{0,80}", 1..5)) {
            let name = generate(LABEL, &parts);
            prop_assert!(name.len() <= LABEL);
            prop_assert!(name.starts_with(|c: char| c.is_ascii_alphanumeric()));
            prop_assert!(name.ends_with(|c: char| c.is_ascii_alphanumeric()));
            prop_assert_eq!(&name, &generate(LABEL, &parts));
        }
    }
}
