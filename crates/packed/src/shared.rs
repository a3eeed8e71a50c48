//! Texts that many objects have in common (labels, namespaces, identifiers), each in memory once; and lists
//! of such texts likewise.

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
static LISTS: LazyLock<Pool<[Arc<str>]>> = LazyLock::new(Pool::default);

/// The one copy of `text`.
pub fn shared(text: &str) -> Arc<str> {
    TEXTS.get(text)
}

/// The one copy of a list of texts, of each of which there is one copy.
pub fn shared_list<'a>(texts: impl IntoIterator<Item = &'a str>) -> Arc<[Arc<str>]> {
    let texts: Vec<Arc<str>> = texts.into_iter().map(shared).collect();
    LISTS.get(texts.as_slice())
}

/// What is in memory once.
struct Pool<T: ?Sized> {
    hasher: RandomState,
    shelves: [Mutex<Shelf<T>>; SHELVES],
}

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

impl<T: Hash + Eq + ?Sized> Pool<T>
where
    Arc<T>: Borrow<T> + for<'a> From<&'a T>,
{
    fn get(&self, wanted: &T) -> Arc<T> {
        let hash = self.hasher.hash_one(wanted);
        #[expect(clippy::cast_possible_truncation, reason = "any bits do")]
        let shelf = &self.shelves[hash as usize % SHELVES];
        let mut shelf = shelf.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = shelf.all.get(wanted) {
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
    fn equal_lists_are_one() {
        let list = shared_list(["a", "b"]);
        assert!(Arc::ptr_eq(&list, &shared_list(["a", "b"])));
        assert!(!Arc::ptr_eq(&list, &shared_list(["b", "a"])));
        assert!(Arc::ptr_eq(&list[1], &shared("b")));
    }

    #[test]
    fn what_nobody_has_is_forgotten() {
        let texts = Pool::<str>::default();
        let kept: Vec<Arc<str>> = (0..100).map(|n| texts.get(&format!("kept-{n}"))).collect();
        for n in 0..50_000 {
            texts.get(&format!("passing-{n}"));
        }
        let count: usize = (texts.shelves.iter())
            .map(|shelf| shelf.lock().unwrap().all.len())
            .sum();
        assert!(count <= SHELVES * FIRST + 2 * kept.len(), "{count}");
        assert!(kept.iter().all(|text| Arc::ptr_eq(text, &texts.get(text))));
    }
}
