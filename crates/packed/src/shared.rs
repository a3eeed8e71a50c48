//! Texts that many objects have in common (labels, namespaces, identifiers), each in memory once.

use std::{
    collections::HashSet,
    hash::{BuildHasher as _, RandomState},
    sync::{Arc, LazyLock, Mutex, PoisonError},
};

/// Shelves of texts, so that writers seldom wait for each other.
const SHELVES: usize = 16;
/// How many texts a shelf has before it is first looked through for those nobody has any more.
const FIRST: usize = 256;

static TEXTS: LazyLock<Texts> = LazyLock::new(Texts::default);

/// The one copy of `text`.
pub fn shared(text: &str) -> Arc<str> {
    TEXTS.get(text)
}

#[derive(Default)]
struct Texts {
    hasher: RandomState,
    shelves: [Mutex<Shelf>; SHELVES],
}

#[derive(Default)]
struct Shelf {
    texts: HashSet<Arc<str>>,
    /// How many texts were left when it was last looked through.
    left: usize,
}

impl Texts {
    fn get(&self, text: &str) -> Arc<str> {
        let hash = self.hasher.hash_one(text);
        #[expect(clippy::cast_possible_truncation, reason = "any bits do")]
        let shelf = &self.shelves[hash as usize % SHELVES];
        let mut shelf = shelf.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = shelf.texts.get(text) {
            return Arc::clone(known);
        }
        shelf.forget();
        let new: Arc<str> = text.into();
        shelf.texts.insert(Arc::clone(&new));
        new
    }
}

impl Shelf {
    /// Drops what nobody has any more, whenever the shelf has grown to twice what was left.
    fn forget(&mut self) {
        if self.texts.len() < FIRST.max(2 * self.left) {
            return;
        }
        self.texts.retain(|text| Arc::strong_count(text) > 1);
        self.left = self.texts.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_texts_are_one() {
        let texts = Texts::default();
        assert!(Arc::ptr_eq(&texts.get("a"), &texts.get("a")));
        assert!(!Arc::ptr_eq(&texts.get("a"), &texts.get("b")));
    }

    #[test]
    fn what_nobody_has_is_forgotten() {
        let texts = Texts::default();
        let kept: Vec<Arc<str>> = (0..100).map(|n| texts.get(&format!("kept-{n}"))).collect();
        for n in 0..50_000 {
            texts.get(&format!("passing-{n}"));
        }
        let count: usize = (texts.shelves.iter())
            .map(|shelf| shelf.lock().unwrap().texts.len())
            .sum();
        assert!(count <= SHELVES * FIRST + 2 * kept.len(), "{count}");
        assert!(kept.iter().all(|text| Arc::ptr_eq(text, &texts.get(text))));
    }
}
