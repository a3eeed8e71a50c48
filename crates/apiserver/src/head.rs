//! What is known of an object without its text: what lists, watches and the garbage collector ask for.
//! There are many objects, so this is little: what many of them have in common is in memory once, and of
//! the values of labels a hash is kept.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    hash::{BuildHasher as _, RandomState},
    sync::{Arc, LazyLock},
};

use choreo_packed::{Pool, Uid};
use serde::Deserialize;

static SHAPES: LazyLock<Pool<Shape>> = LazyLock::new(Pool::default);
/// Nobody can know what it makes of a text, hence nobody can make two texts of which it makes the same,
/// and by chance that does not happen (one comparison in 2^64).
static HASHER: LazyLock<RandomState> = LazyLock::new(RandomState::new);

/// What is known of an object without its text.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    shape: Arc<Shape>,
    /// Hashes of the values of its labels, in the order of their keys.
    values: Box<[u64]>,
    /// UIDs of the owners.
    pub(crate) owners: Box<[Uid]>,
    pub(crate) deleting: bool,
}

/// What the objects that one program makes for one purpose have in common.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Shape {
    api_version: String,
    /// The keys of the labels, in order.
    labels: Vec<String>,
    finalizers: Vec<String>,
}

/// The value of a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LabelValue(u64);

impl LabelValue {
    pub(crate) fn new(text: &str) -> Self {
        Self(HASHER.hash_one(text))
    }
}

/// What the head is made of, as objects have it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Metadata<'a> {
    #[serde(borrow)]
    pub(crate) name: Cow<'a, str>,
    #[serde(default, borrow)]
    pub(crate) namespace: Cow<'a, str>,
    #[serde(default, borrow)]
    pub(crate) uid: Cow<'a, str>,
    #[serde(default, borrow)]
    labels: Option<BTreeMap<Cow<'a, str>, Cow<'a, str>>>,
    #[serde(default, borrow)]
    owner_references: Vec<Owner<'a>>,
    #[serde(default)]
    deletion_timestamp: Option<serde::de::IgnoredAny>,
    #[serde(default)]
    finalizers: Vec<String>,
}

#[derive(Deserialize)]
struct Owner<'a> {
    #[serde(borrow)]
    uid: Cow<'a, str>,
}

impl Head {
    /// The head of an object that was written in this version of its kind.
    pub(crate) fn new(api_version: &str, metadata: &Metadata<'_>) -> Self {
        let labels = || metadata.labels.iter().flatten();
        let shape = Shape {
            api_version: api_version.to_owned(),
            labels: labels().map(|(key, _)| key.to_string()).collect(),
            finalizers: metadata.finalizers.clone(),
        };
        let owners = metadata.owner_references.iter();
        Self {
            shape: SHAPES.get(shape),
            values: labels()
                .map(|(_, value)| LabelValue::new(value).0)
                .collect(),
            owners: owners.map(|owner| Uid::new(&owner.uid)).collect(),
            deleting: metadata.deletion_timestamp.is_some(),
        }
    }

    /// The version of its kind that it was written in.
    pub(crate) fn api_version(&self) -> &str {
        &self.shape.api_version
    }

    pub(crate) fn finalizers(&self) -> &[String] {
        &self.shape.finalizers
    }

    pub(crate) fn has_finalizer(&self, wanted: &str) -> bool {
        self.finalizers().iter().any(|found| found == wanted)
    }

    /// The value of a label.
    pub(crate) fn label(&self, key: &str) -> Option<LabelValue> {
        let keys = &self.shape.labels;
        let at = keys.binary_search_by(|known| known.as_str().cmp(key));
        Some(LabelValue(*self.values.get(at.ok()?)?))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn head(metadata: &serde_json::Value) -> Head {
        Head::new("v1", &Metadata::deserialize(metadata).unwrap())
    }

    #[test]
    fn labels_are_found_by_their_keys() {
        let head = head(&json!({"name": "a", "labels": {"b": "1", "a": "2", "c": ""}}));
        for (key, value) in [("a", "2"), ("b", "1"), ("c", "")] {
            assert_eq!(head.label(key), Some(LabelValue::new(value)), "{key}");
        }
        assert_ne!(head.label("a"), head.label("b"));
        assert_eq!(head.label("d"), None);
    }

    #[test]
    fn what_objects_have_in_common_is_there_once() {
        let made = |name: &str, value: &str| {
            head(&json!({"name": name, "labels": {"app": value}, "finalizers": ["f"]}))
        };
        let (one, other) = (made("a", "1"), made("b", "2"));
        assert!(Arc::ptr_eq(&one.shape, &other.shape));
        assert_eq!(
            (one.api_version(), one.finalizers()),
            ("v1", &["f".to_owned()][..])
        );
    }
}
