//! Who has read what: for every object that something was decided about, what the decision looked at,
//! and the other way round. Both are numbered, since there are many of each.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::key::{Key, Target};

/// Reads, by reader and by what was read.
#[derive(Default)]
pub(crate) struct Readers {
    keys: Numbers<Key>,
    targets: Numbers<Target>,
    /// What each reader has read, and whether its status was; by number, in order.
    reads: BTreeMap<u32, Box<[(u32, bool)]>>,
    /// The readers of each, and whether they read its status.
    by: BTreeMap<u32, BTreeMap<u32, bool>>,
}

impl Readers {
    /// Takes down everything that a reader has read last.
    pub(crate) fn note(&mut self, key: &Key, reads: &BTreeMap<Target, bool>) {
        let reader = self.keys.take(key);
        let mut new: Vec<(u32, bool)> = reads
            .iter()
            .map(|(target, status)| (self.targets.take(target), *status))
            .collect();
        new.sort_unstable();
        // Mostly the same is read again.
        let old = self.reads.get(&reader).map_or(&[][..], |old| old);
        if old == new.as_slice() {
            return;
        }
        let left: Vec<u32> = (old.iter().map(|(target, _)| *target))
            .filter(|target| new.binary_search_by_key(target, |(new, _)| *new).is_err())
            .collect();
        for target in left {
            self.leave(reader, target);
        }
        for (target, status) in &new {
            self.by.entry(*target).or_default().insert(reader, *status);
        }
        self.reads.insert(reader, new.into_boxed_slice());
    }

    /// Forgets a reader.
    pub(crate) fn forget(&mut self, key: &Key) {
        let Some(reader) = self.keys.find(key) else {
            return;
        };
        for (target, _) in self.reads.remove(&reader).unwrap_or_default() {
            self.leave(reader, target);
        }
        self.keys.free(reader);
    }

    /// Everyone who has read a target; after a change of nothing but a status, who has read that.
    pub(crate) fn of(&self, target: &Target, status_only: bool) -> impl Iterator<Item = &Key> {
        let number = self.targets.find(target);
        let readers = number.and_then(|number| self.by.get(&number));
        readers
            .into_iter()
            .flatten()
            .filter(move |(_, status)| **status || !status_only)
            .filter_map(|(reader, _)| self.keys.of(*reader))
    }

    fn leave(&mut self, reader: u32, target: u32) {
        if let Some(readers) = self.by.get_mut(&target) {
            readers.remove(&reader);
            if readers.is_empty() {
                self.by.remove(&target);
                self.targets.free(target);
            }
        }
    }
}

/// Things and their numbers. Numbers that are free are given again.
struct Numbers<T> {
    given: BTreeMap<Arc<T>, u32>,
    things: Vec<Option<Arc<T>>>,
    free: Vec<u32>,
}

impl<T> Default for Numbers<T> {
    fn default() -> Self {
        Self {
            given: BTreeMap::new(),
            things: Vec::new(),
            free: Vec::new(),
        }
    }
}

impl<T: Ord + Clone> Numbers<T> {
    /// The number of a thing, a new one if it has none.
    fn take(&mut self, thing: &T) -> u32 {
        if let Some(number) = self.given.get(thing) {
            return *number;
        }
        let number = self.free.pop().unwrap_or_else(|| {
            self.things.push(None);
            u32::try_from(self.things.len() - 1).unwrap_or(u32::MAX)
        });
        let thing = Arc::new(thing.clone());
        self.things[number as usize] = Some(Arc::clone(&thing));
        self.given.insert(thing, number);
        number
    }

    fn find(&self, thing: &T) -> Option<u32> {
        self.given.get(thing).copied()
    }

    fn of(&self, number: u32) -> Option<&T> {
        self.things.get(number as usize)?.as_deref()
    }

    fn free(&mut self, number: u32) {
        if let Some(thing) = self.things.get_mut(number as usize).and_then(Option::take) {
            self.given.remove(&thing);
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

    fn note(readers: &mut Readers, reader: &str, reads: &[(&str, bool)]) {
        let reads = reads.iter().map(|(name, status)| (target(name), *status));
        readers.note(&key(reader), &reads.collect());
    }

    fn of(readers: &Readers, name: &str, status_only: bool) -> Vec<String> {
        let target = target(name);
        let found = readers.of(&target, status_only);
        found.map(|key| key.name.clone()).collect()
    }

    #[test]
    fn readers_are_those_of_the_last_time() {
        let mut readers = Readers::default();
        note(&mut readers, "a", &[("x", false), ("y", true)]);
        note(&mut readers, "b", &[("x", true)]);
        assert_eq!(of(&readers, "x", false), ["a", "b"]);
        assert_eq!(of(&readers, "x", true), ["b"]);
        note(&mut readers, "a", &[("y", false)]);
        assert_eq!(of(&readers, "x", false), ["b"]);
        assert_eq!(of(&readers, "y", true), [""; 0]);
        readers.forget(&key("b"));
        assert_eq!(of(&readers, "x", false), [""; 0]);
    }

    #[test]
    fn nothing_is_kept_of_what_is_forgotten() {
        let mut readers = Readers::default();
        for round in 0..100 {
            let (reader, read) = (format!("r{round}"), format!("t{round}"));
            note(&mut readers, &reader, &[(&read, false), ("all", false)]);
            readers.forget(&key(&reader));
        }
        assert!(readers.keys.things.len() == 1 && readers.targets.things.len() == 2);
        assert!(readers.keys.given.is_empty() && readers.targets.given.is_empty());
    }
}
