//! What many objects have in common (namespaces, identifiers, keys of labels), each in memory once.

use std::{
    borrow::Borrow,
    collections::HashSet,
    hash::{BuildHasher as _, Hash, RandomState},
    sync::{Arc, LazyLock, Mutex, PoisonError},
};

/// Shelves of texts, so that writers seldom wait for each other.
const SHELVES: usize = 16;
/// How many texts a shelf has before it is first looked through for those nobody has any more.
const FIRST: usize = 256;

static TEXTS: LazyLock<Pool<str>> = LazyLock::new(Pool::default);

/// The one copy of `text`.
pub fn shared(text: &str) -> Arc<str> {
    TEXTS.get(text)
}

/// What is in memory once.
#[derive(Debug)]
pub struct Pool<T: ?Sized> {
    hasher: RandomState,
    shelves: [Mutex<Shelf<T>>; SHELVES],
}

#[derive(Debug)]
struct Shelf<T: ?Sized> {
    all: HashSet<Arc<T>>,
    /// How many were left when it was last looked through.
    left: usize,
}

impl<T: ?Sized> Default for Pool<T> {
    fn default() -> Self {
        let shelf = |_| {
            Mutex::new(Shelf {
                all: HashSet::new(),
                left: 0,
            })
        };
        Self {
            hasher: RandomState::new(),
            shelves: std::array::from_fn(shelf),
        }
    }
}

impl<T: Hash + Eq + ?Sized> Pool<T> {
    /// The one copy of what is wanted.
    pub fn get<W: Borrow<T> + Into<Arc<T>>>(&self, wanted: W) -> Arc<T> {
        let hash = self.hasher.hash_one(wanted.borrow());
        #[expect(clippy::cast_possible_truncation, reason = "any bits do")]
        let shelf = &self.shelves[hash as usize % SHELVES];
        let mut shelf = shelf.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = shelf.all.get(wanted.borrow()) {
            return Arc::clone(known);
        }
        shelf.forget();
        let new: Arc<T> = wanted.into();
        shelf.all.insert(Arc::clone(&new));
        new
    }
}

impl<T: Hash + Eq + ?Sized> Shelf<T> {
    /// Drops what nobody has any more, whenever the shelf has grown to twice what was left.
    fn forget(&mut self) {
        if self.all.len() < FIRST.max(2 * self.left) {
            return;
        }
        self.all.retain(|one| Arc::strong_count(one) > 1);
        self.left = self.all.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_texts_are_one() {
        let texts = Pool::<str>::default();
        assert!(Arc::ptr_eq(&texts.get("a"), &texts.get("a")));
        assert!(!Arc::ptr_eq(&texts.get("a"), &texts.get("b")));
    }

    #[test]
    fn equal_values_are_one() {
        let lists = Pool::<Vec<u8>>::default();
        assert!(Arc::ptr_eq(&lists.get(vec![1, 2]), &lists.get(vec![1, 2])));
        assert!(!Arc::ptr_eq(&lists.get(vec![1, 2]), &lists.get(vec![2, 1])));
    }

    #[test]
    fn what_nobody_has_is_forgotten() {
        let texts = Pool::<str>::default();
        let kept: Vec<Arc<str>> = (0..100).map(|n| texts.get(&*format!("kept-{n}"))).collect();
        for n in 0..50_000 {
            texts.get(&*format!("passing-{n}"));
        }
        let count: usize = (texts.shelves.iter())
            .map(|shelf| shelf.lock().unwrap().all.len())
            .sum();
        assert!(count <= SHELVES * FIRST + 2 * kept.len(), "{count}");
        assert!(
            kept.iter()
                .all(|text| Arc::ptr_eq(text, &texts.get(&**text)))
        );
    }
}
