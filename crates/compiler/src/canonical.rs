//! One text for each JSON value.

use serde::Serialize;
use sha2::{Digest, Sha256};
use smallvec::SmallVec;
use std::fmt::Write as _;
use std::ops::Range;

/// The canonical text of `value`, JSON or a tree of it: fields sorted, which both keep so, and no
/// white space.
pub(crate) fn text(value: &impl Serialize) -> String {
    // Neither can hold what JSON cannot.
    serde_json::to_string(value).unwrap_or_default()
}

/// A hash of `text` in sixteen hexadecimal digits.
pub(crate) fn hash(text: &str) -> String {
    short(&Sha256::digest(text))
}

/// How many bytes the texts of most components have together at most, and how many texts there
/// are; so many need no memory of their own.
const USUAL: (usize, usize) = (4096, 8);

/// Canonical texts one after the other, whose order makes no difference.
pub(crate) struct Lines {
    text: SmallVec<[u8; USUAL.0]>,
    /// Where each is in the text, in the order of what they say.
    places: SmallVec<[Range<usize>; USUAL.1]>,
}

impl<T: Serialize> FromIterator<T> for Lines {
    fn from_iter<I: IntoIterator<Item = T>>(values: I) -> Self {
        let mut text = SmallVec::new();
        let mut places = SmallVec::<[Range<usize>; USUAL.1]>::new();
        for value in values {
            let start = text.len();
            // What is made by templates can be written as JSON, and to memory.
            if serde_json::to_writer(&mut text, &value).is_err() {
                text.truncate(start);
            }
            places.push(start..text.len());
        }
        places.sort_unstable_by(|left, right| text[left.clone()].cmp(&text[right.clone()]));
        Self { text, places }
    }
}

impl Lines {
    pub(crate) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// A hash of all, in sixteen hexadecimal digits.
    pub(crate) fn hash(&self) -> String {
        let mut sum = Sha256::new();
        for (index, place) in self.places.iter().enumerate() {
            if index > 0 {
                sum.update(b"\n");
            }
            sum.update(&self.text[place.clone()]);
        }
        short(&sum.finalize())
    }
}

/// The SHA-256 of `text` in hexadecimal digits.
pub(crate) fn digest(text: &str) -> String {
    hexadecimal(&Sha256::digest(text))
}

fn short(digest: &[u8]) -> String {
    let mut text = hexadecimal(digest);
    text.truncate(16);
    text
}

fn hexadecimal(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}
