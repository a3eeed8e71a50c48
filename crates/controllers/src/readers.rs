//! Who has read what: for every object that something was decided about, what the decision looked at,
//! and the other way round. There are many of each, so readers are numbered, and of what they read a hash
//! is kept: should two things have the same one, somebody is woken without need, which does no harm.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use crate::aspects::Aspects;
use crate::key::{Key, Target};

/// Reads, by reader and by what was read.
#[derive(Default)]
pub(crate) struct Readers {
    keys: Numbers,
    /// What each reader has read, by its number, in order.
    reads: HashMap<u32, Box<[Mark]>>,
    /// The same by what was read.
    by: BTreeSet<(Mark, u32)>,
}

/// What others see of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// More than the status: it concerns everyone who has read anything of it.
    Content,
    /// These parts of the status.
    Status(Aspects),
}

/// Something that was read: a hash of it, but for the last bits, which say what of its status was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Mark(u32);

impl Mark {
    fn new(target: &Target, status: Aspects) -> Self {
        let mut hasher = DefaultHasher::new();
        target.hash(&mut hasher);
        // Of a good hash any part is one.
        let [a, b, c, d, ..] = hasher.finish().to_le_bytes();
        Self(u32::from_le_bytes([a, b, c, d]) & !Aspects::ALL.bits() | status.bits())
    }

    fn status(self) -> Aspects {
        Aspects::of_bits(self.0)
    }
}

impl Readers {
    /// Takes down everything that a reader has read last.
    pub(crate) fn note(&mut self, key: &Arc<Key>, reads: &BTreeMap<Target, Aspects>) {
        let reader = self.keys.take(key);
        let mut new: Vec<Mark> = reads
            .iter()
            .map(|(target, status)| Mark::new(target, *status))
            .collect();
        new.sort_unstable();
        // Mostly the same is read again.
        let old = self.reads.get(&reader).map_or(&[][..], |old| old);
        if old == new.as_slice() {
            return;
        }
        for mark in old {
            if new.binary_search(mark).is_err() {
                self.by.remove(&(*mark, reader));
            }
        }
        self.by.extend(new.iter().map(|mark| (*mark, reader)));
        self.reads.insert(reader, new.into_boxed_slice());
    }

    /// Forgets a reader.
    pub(crate) fn forget(&mut self, key: &Key) {
        let Some(reader) = self.keys.find(key) else {
            return;
        };
        for mark in self.reads.remove(&reader).unwrap_or_default() {
            self.by.remove(&(mark, reader));
        }
        self.keys.free(reader);
    }

    /// Everyone whom a change of a target concerns.
    pub(crate) fn of(&self, target: &Target, change: Seen) -> impl Iterator<Item = &Key> {
        let first = Mark::new(target, Aspects::NONE);
        let last = Mark(first.0 | Aspects::ALL.bits());
        let readers = self.by.range((first, 0)..=(last, u32::MAX));
        let concerned = readers.filter(move |(mark, _)| match change {
            Seen::Content => true,
            Seen::Status(differing) => mark.status().meets(differing),
        });
        concerned.filter_map(|(_, reader)| self.keys.of(*reader))
    }
}

/// Keys and their numbers. Numbers that are free are given again.
#[derive(Default)]
struct Numbers {
    given: HashMap<Arc<Key>, u32>,
    keys: Vec<Option<Arc<Key>>>,
    free: Vec<u32>,
}

impl Numbers {
    /// The number of a key, a new one if it has none.
    fn take(&mut self, key: &Arc<Key>) -> u32 {
        if let Some(number) = self.given.get(key) {
            return *number;
        }
        let number = self.free.pop().unwrap_or_else(|| {
            self.keys.push(None);
            u32::try_from(self.keys.len() - 1).unwrap_or(u32::MAX)
        });
        self.keys[number as usize] = Some(Arc::clone(key));
        self.given.insert(Arc::clone(key), number);
        number
    }

    fn find(&self, key: &Key) -> Option<u32> {
        self.given.get(key).copied()
    }

    fn of(&self, number: u32) -> Option<&Key> {
        self.keys.get(number as usize)?.as_deref()
    }

    fn free(&mut self, number: u32) {
        if let Some(key) = self.keys.get_mut(number as usize).and_then(Option::take) {
            self.given.remove(&key);
            self.free.push(number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        Key::new("Component", "default", name)
    }

    fn target(name: &str) -> Target {
        Target::Live(name.to_owned())
    }

    fn note(readers: &mut Readers, reader: &str, reads: &[(&str, Aspects)]) {
        let reads = reads.iter().map(|(name, status)| (target(name), *status));
        readers.note(&Arc::new(key(reader)), &reads.collect());
    }

    fn of(readers: &Readers, name: &str, change: Seen) -> Vec<String> {
        let target = target(name);
        let found = readers.of(&target, change);
        found.map(|key| key.name.clone()).collect()
    }

    const NOTHING: [&str; 0] = [];

    #[test]
    fn readers_are_those_of_the_last_time() {
        let (none, all) = (Aspects::NONE, Aspects::ALL);
        let mut readers = Readers::default();
        note(&mut readers, "a", &[("x", none), ("y", all)]);
        note(&mut readers, "b", &[("x", all)]);
        assert_eq!(of(&readers, "x", Seen::Content), ["a", "b"]);
        assert_eq!(of(&readers, "x", Seen::Status(all)), ["b"]);
        note(&mut readers, "a", &[("y", none)]);
        assert_eq!(of(&readers, "x", Seen::Content), ["b"]);
        assert_eq!(of(&readers, "y", Seen::Status(all)), NOTHING);
        readers.forget(&key("b"));
        assert_eq!(of(&readers, "x", Seen::Content), NOTHING);
    }

    #[test]
    fn a_change_concerns_who_has_read_what_differs() {
        let mut readers = Readers::default();
        note(&mut readers, "caller", &[("x", Aspects::ENDPOINTS)]);
        note(&mut readers, "record", &[("x", Aspects::HISTORY)]);
        note(
            &mut readers,
            "both",
            &[("x", Aspects::ENDPOINTS.and(Aspects::HISTORY))],
        );
        let of = |change| of(&readers, "x", change);
        assert_eq!(of(Seen::Status(Aspects::HISTORY)), ["record", "both"]);
        assert_eq!(of(Seen::Status(Aspects::ENDPOINTS)), ["caller", "both"]);
        assert_eq!(of(Seen::Content).len(), 3);
    }

    #[test]
    fn nothing_is_kept_of_what_is_forgotten() {
        let mut readers = Readers::default();
        for round in 0..100 {
            let (reader, read) = (format!("r{round}"), format!("t{round}"));
            note(
                &mut readers,
                &reader,
                &[(&read, Aspects::NONE), ("all", Aspects::NONE)],
            );
            readers.forget(&key(&reader));
        }
        assert_eq!(readers.keys.keys.len(), 1);
        assert!(readers.keys.given.is_empty() && readers.reads.is_empty());
        assert!(readers.by.is_empty());
    }
}
