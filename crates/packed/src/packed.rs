//! Texts of objects, packed: objects of a kind say mostly the same, so that each takes a fraction of the
//! room beside a dictionary of what was said before. Packing takes microseconds, unpacking less.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock, PoisonError, RwLock},
};

use lz4_flex::block;

use crate::shared;

/// A text shorter than this is kept as it is.
const SHORT: usize = 128;
/// The longest dictionary. It is read anew for every text that is packed.
const LONGEST: usize = 12 << 10;
/// A text that takes more than this share of its length is not said by the dictionary.
const STRANGE: usize = 3;
/// A dictionary outlives what it is made of, which secret values must not.
const SECRET: &str = "v1/Secret";
/// How many dictionaries a kind may have had: its objects may be of several sorts, or of none.
const RENEWALS: u32 = 24;

/// What objects of one kind are packed with.
#[derive(Debug, Default)]
struct Dictionary {
    text: Box<[u8]>,
    renewals: u32,
}

/// The present dictionary of each kind.
static DICTIONARIES: LazyLock<RwLock<HashMap<Arc<str>, Arc<Dictionary>>>> =
    LazyLock::new(RwLock::default);

/// A text, packed if that saves anything.
#[derive(Debug)]
pub struct Packed {
    bytes: Box<[u8]>,
    /// How long the text is, and what it was packed with; nothing if the bytes are the text.
    with: Option<(u32, Arc<Dictionary>)>,
}

impl Packed {
    /// Packs the text of an object of a kind, as `v1/Service`.
    pub fn new(kind: &str, text: &[u8]) -> Self {
        let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
        if text.len() < SHORT || length == u32::MAX || kind == SECRET {
            return Self::plain(text);
        }
        let dictionary = dictionary(kind);
        let bytes = block::compress_with_dict(text, &dictionary.text);
        if bytes.len() > text.len() / STRANGE && dictionary.renewals < RENEWALS {
            renew(kind, &dictionary, text);
        }
        if bytes.len() >= text.len() {
            return Self::plain(text);
        }
        Self {
            bytes: bytes.into_boxed_slice(),
            with: Some((length, dictionary)),
        }
    }

    fn plain(text: &[u8]) -> Self {
        Self {
            bytes: text.into(),
            with: None,
        }
    }

    /// How much room it takes.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    /// The text, with room for `more` bytes behind it.
    pub fn text(&self, more: usize) -> Vec<u8> {
        let length = self
            .with
            .as_ref()
            .map_or(self.bytes.len(), |(length, _)| *length as usize);
        let mut text = Vec::with_capacity(length + more);
        match &self.with {
            None => text.extend_from_slice(&self.bytes),
            Some((_, dictionary)) => {
                text.resize(length, 0);
                let unpacked =
                    block::decompress_into_with_dict(&self.bytes, &mut text, &dictionary.text);
                // What was packed here, and never left this process, can be unpacked.
                debug_assert!(unpacked.is_ok_and(|unpacked| unpacked == length));
            }
        }
        text
    }
}

fn dictionary(kind: &str) -> Arc<Dictionary> {
    let known = DICTIONARIES.read().unwrap_or_else(PoisonError::into_inner);
    known.get(kind).cloned().unwrap_or_default()
}

/// Puts a text that the dictionary says little of before what it says.
fn renew(kind: &str, old: &Arc<Dictionary>, text: &[u8]) {
    let mut said = Vec::with_capacity(LONGEST);
    // What is at the end is found best, and is what most others have said.
    let kept = old.text.len().min(LONGEST / 2);
    let new = text.len().min(LONGEST - kept);
    said.extend_from_slice(&text[..new]);
    said.extend_from_slice(&old.text[old.text.len() - kept..]);
    let renewed = Dictionary {
        text: said.into_boxed_slice(),
        renewals: old.renewals + 1,
    };
    let mut known = DICTIONARIES.write().unwrap_or_else(PoisonError::into_inner);
    let present = known.entry(shared(kind)).or_default();
    // Another may have been first; its dictionary is as good.
    if present.renewals == old.renewals {
        *present = Arc::new(renewed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(number: usize, words: usize) -> Vec<u8> {
        let spec: Vec<String> = (0..words)
            .map(|word| format!(r#""field-{word}":{{"value":"the same in all","limits":[1,2,3]}}"#))
            .collect();
        format!(
            r#"{{"metadata":{{"name":"object-{number}"}},"spec":{{{}}}"#,
            spec.join(",")
        )
        .into_bytes()
    }

    #[test]
    fn every_text_comes_back() {
        for length in [0, 1, 127, 128, 129, 5_000, 200_000] {
            for text in [vec![b'x'; length], text(length, length / 50)] {
                let packed = Packed::new("test/every", &text);
                assert_eq!(packed.text(3), text);
            }
        }
    }

    #[test]
    fn what_was_packed_before_a_renewal_is_unpacked_after_it() {
        let texts: Vec<Vec<u8>> = (0..100).map(|n| text(n, n % 40)).collect();
        let all: Vec<Packed> = (texts.iter())
            .map(|text| Packed::new("test/renewal", text))
            .collect();
        for (packed, text) in all.iter().zip(&texts) {
            assert_eq!(packed.text(0), *text);
        }
    }

    #[test]
    fn objects_of_a_kind_take_a_fraction() {
        let texts: Vec<Vec<u8>> = (0..100).map(|n| text(n, 30)).collect();
        let packed: usize = (texts.iter())
            .map(|text| Packed::new("test/fraction", text).size())
            .sum();
        let plain: usize = texts.iter().map(Vec::len).sum();
        assert!(packed * 6 < plain, "{packed} of {plain}");
    }

    #[test]
    fn what_cannot_be_packed_is_kept_as_it_is() {
        // A sequence that does not repeat itself.
        let mut state = 1_u32;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_be_bytes()[0]
        })
        .take(4096)
        .collect();
        let packed = Packed::new("test/noise", &noise);
        assert!(packed.size() <= noise.len());
        assert_eq!(packed.text(0), noise);
    }
}
