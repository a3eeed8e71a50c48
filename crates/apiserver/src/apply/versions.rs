//! The versions of a kind, in which the owners of fields may have written.

use std::{collections::BTreeMap, fmt::Debug};

use serde_json::Value;

use super::{
    fields::Set,
    managed::Manager,
    typed::{Difference, compare},
};
use crate::schema::Node;

/// The versions of a kind.
pub(crate) trait Versions: Debug {
    /// The schema of a version; none of one that there is not (any more).
    fn node(&self, api_version: &str) -> Option<Node<'_>>;
    /// The object, whatever its version is, in a version that there is.
    fn convert(&self, object: &Value, api_version: &str) -> Value;
}

/// A kind that is the same in all versions.
#[cfg(any(test, fuzzing))]
#[derive(Debug)]
pub(crate) struct Same<'a>(pub(crate) Node<'a>);

#[cfg(any(test, fuzzing))]
impl Versions for Same<'_> {
    fn node(&self, _: &str) -> Option<Node<'_>> {
        Some(self.0)
    }

    fn convert(&self, object: &Value, _: &str) -> Value {
        object.clone()
    }
}

/// Where two objects differ, in every version that somebody asks for.
pub(super) struct Comparisons<'a> {
    old: &'a Value,
    new: &'a Value,
    manager: Manager<'a>,
    known: BTreeMap<String, Difference>,
}

impl<'a> Comparisons<'a> {
    /// Of objects in the version of `manager`.
    pub(super) fn new(old: &'a Value, new: &'a Value, manager: Manager<'a>) -> Self {
        Self {
            old,
            new,
            manager,
            known: BTreeMap::new(),
        }
    }

    /// The difference in a version, without what belongs to the server.
    pub(super) fn of(&mut self, api_version: &str) -> &Difference {
        if !self.known.contains_key(api_version) {
            let difference = self.compare(api_version);
            self.known.insert(api_version.to_owned(), difference);
        }
        &self.known[api_version]
    }

    /// What changed in a version, which is not asked about again.
    pub(super) fn take_changed(&mut self, api_version: &str) -> Set {
        let known = self.known.remove(api_version);
        known.unwrap_or_else(|| self.compare(api_version)).changed
    }

    fn compare(&self, api_version: &str) -> Difference {
        let versions = self.manager.versions;
        let Some(node) = versions.node(api_version) else {
            return Difference::default();
        };
        let difference = if api_version == self.manager.api_version {
            compare(node, self.old, self.new)
        } else {
            let [old, new] = [self.old, self.new].map(|one| versions.convert(one, api_version));
            compare(node, &old, &new)
        };
        Difference {
            changed: strip(difference.changed),
            removed: strip(difference.removed),
        }
    }
}

/// The set without what belongs to the server and to nobody else.
pub(super) fn strip(mut set: Set) -> Set {
    set.member = false;
    set.cut(&["f:apiVersion"]);
    set.cut(&["f:kind"]);
    set.disown("f:metadata");
    for step in [
        "f:name",
        "f:namespace",
        "f:creationTimestamp",
        "f:deletionTimestamp",
        "f:deletionGracePeriodSeconds",
        "f:selfLink",
        "f:uid",
        "f:generation",
        "f:managedFields",
        "f:resourceVersion",
    ] {
        set.cut(&["f:metadata", step]);
    }
    set
}
