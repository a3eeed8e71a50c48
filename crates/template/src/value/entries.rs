//! The entries of a map that an expression made.

use super::{Key, Value};
use std::cmp::Ordering;

/// How many entries can be moved aside in one step.
pub(crate) const MOVED: usize = 8;

/// Entries in the order of their keys. Most maps have a handful, for which a list is smaller and
/// faster than a tree.
#[derive(Debug, Clone, Default)]
pub(crate) struct Entries<'v>(Vec<(Key<'v>, Value<'v>)>);

impl<'v> Entries<'v> {
    /// None, with room for `count`.
    pub(crate) fn with_capacity(count: usize) -> Self {
        Self(Vec::with_capacity(count))
    }

    pub(crate) const fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn iter(&self) -> std::slice::Iter<'_, (Key<'v>, Value<'v>)> {
        self.0.iter()
    }

    pub(crate) fn get(&self, key: &Key<'_>) -> Option<&Value<'v>> {
        let place = self.place(key).ok()?;
        self.0.get(place).map(|(_, value)| value)
    }

    /// Where the entry of `key` is, or where it belongs.
    pub(crate) fn place(&self, key: &Key<'_>) -> Result<usize, usize> {
        match self.0.last().map(|(last, _)| last.cmp(key)) {
            // Many a map is made in the order of its keys.
            None | Some(Ordering::Less) => Err(self.0.len()),
            Some(Ordering::Equal) => Ok(self.0.len() - 1),
            Some(Ordering::Greater) => self.0.binary_search_by(|(known, _)| known.cmp(key)),
        }
    }

    /// Puts `value` at the place where its key was found to be or to belong.
    pub(crate) fn put(&mut self, place: Result<usize, usize>, key: Key<'v>, value: Value<'v>) {
        match place {
            Ok(known) => self.0[known].1 = value,
            Err(place) => self.0.insert(place, (key, value)),
        }
    }
}

impl<'v> FromIterator<(Key<'v>, Value<'v>)> for Entries<'v> {
    /// Of values with one key the last counts.
    fn from_iter<I: IntoIterator<Item = (Key<'v>, Value<'v>)>>(entries: I) -> Self {
        let mut entries: Vec<_> = entries.into_iter().collect();
        entries.sort_by(|(left, _), (right, _)| left.cmp(right));
        entries.dedup_by(|later, kept| {
            let is_same = later.0 == kept.0;
            if is_same {
                std::mem::swap(&mut later.1, &mut kept.1);
            }
            is_same
        });
        Self(entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(entries: &Entries<'_>) -> Vec<(i128, i128)> {
        let number = |value: &Value<'_>| match value {
            Value::Int(number) => i128::from(*number),
            other => panic!("{other:?}"),
        };
        entries
            .iter()
            .map(|(key, value)| (number(&key.value()), number(value)))
            .collect()
    }

    #[test]
    fn entries_are_in_the_order_of_their_keys_however_they_came() {
        let given = [(3, 0), (1, 1), (2, 2), (1, 3), (4, 4), (4, 5)];
        let given = given.map(|(key, value)| (Key::Int(key), Value::Int(value)));
        let mut put = Entries::default();
        for (key, value) in given.clone() {
            put.put(put.place(&key), key, value);
        }
        let collected: Entries<'_> = given.into_iter().collect();
        assert_eq!(pairs(&put), [(1, 3), (2, 2), (3, 0), (4, 5)]);
        assert_eq!(pairs(&collected), pairs(&put));
        assert!(matches!(put.get(&Key::UInt(2)), Some(Value::Int(2))));
        assert!(put.get(&Key::Int(5)).is_none());
    }
}
