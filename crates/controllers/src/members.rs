//! The members of a group. There are many groups, and most of them have one.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::key::Key;

/// What is in a group, in order.
#[derive(Debug)]
pub(crate) enum Members {
    One(Arc<Key>),
    Many(BTreeSet<Arc<Key>>),
}

impl Members {
    /// Adds a member.
    pub(crate) fn insert(&mut self, key: Arc<Key>) {
        match self {
            Self::One(known) if *known == key => {}
            Self::One(known) => *self = Self::Many([Arc::clone(known), key].into()),
            Self::Many(known) => drop(known.insert(key)),
        }
    }

    /// What is left without a member, if anything is.
    pub(crate) fn without(self, key: &Key) -> Option<Self> {
        match self {
            Self::One(known) => (*known != *key).then_some(Self::One(known)),
            Self::Many(mut known) => {
                known.remove(key);
                (!known.is_empty()).then_some(Self::Many(known))
            }
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Key>> {
        let (one, many) = match self {
            Self::One(one) => (Some(one), None),
            Self::Many(many) => (None, Some(many)),
        };
        one.into_iter().chain(many.into_iter().flatten())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Arc<Key> {
        Arc::new(Key::new("Component", "default", name))
    }

    fn names(members: &Members) -> Vec<&str> {
        members.iter().map(|key| key.name.as_str()).collect()
    }

    #[test]
    fn members_come_and_go() {
        let mut members = Members::One(key("b"));
        members.insert(key("b"));
        assert_eq!(names(&members), ["b"]);
        members.insert(key("a"));
        assert_eq!(names(&members), ["a", "b"]);
        let members = members
            .without(&key("b"))
            .and_then(|some| some.without(&key("c")));
        let members = members.expect("one is left");
        assert_eq!(names(&members), ["a"]);
        assert!(members.without(&key("a")).is_none());
        assert_eq!(
            names(&Members::One(key("a")).without(&key("b")).unwrap()),
            ["a"]
        );
    }
}
