//! What is served at this moment. Custom resources come and go, so the whole is
//! one immutable value that is replaced.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use bytes::Bytes;

use crate::{
    resource::{Availability, Resource},
    store::Collection,
};

/// One kind in one version, and where its objects are kept.
#[derive(Debug)]
pub(crate) struct Served {
    pub(crate) resource: Arc<Resource>,
    pub(crate) collection: Collection,
    /// Names that every request asks for.
    api_version: Arc<str>,
    qualified: Arc<str>,
}

impl Served {
    fn new(resource: Arc<Resource>) -> Self {
        Self {
            collection: collection(&resource.group, &resource.plural),
            api_version: resource.api_version().into(),
            qualified: resource.qualified().into(),
            resource,
        }
    }

    /// `group/version`, or the bare version in the core group.
    pub(crate) fn api_version(&self) -> &Arc<str> {
        &self.api_version
    }

    /// `plural.group`, or the bare plural in the core group.
    pub(crate) fn qualified(&self) -> &Arc<str> {
        &self.qualified
    }

    fn path(&self) -> (&str, &str, &str) {
        (&self.group, &self.version, &self.plural)
    }
}

impl std::ops::Deref for Served {
    type Target = Resource;

    fn deref(&self) -> &Resource {
        &self.resource
    }
}

/// Everything that is served.
#[derive(Debug, Default)]
pub(crate) struct Catalog {
    /// Sorted by group, version and plural.
    kinds: Vec<Arc<Served>>,
    /// Versions of kinds that definitions have and do not serve.
    unserved: Vec<Arc<Served>>,
    /// Documents derived from the catalogue, made on first use.
    documents: Mutex<BTreeMap<String, Bytes>>,
    /// Documents that are too large to be kept, as long as somebody reads them.
    read: Mutex<BTreeMap<String, Weak<[Bytes]>>>,
    /// What clients keep them by, made on first use.
    hashes: Mutex<BTreeMap<String, String>>,
}

impl Catalog {
    pub(crate) fn new(resources: impl IntoIterator<Item = Arc<Resource>>) -> Self {
        let mut kinds = Vec::new();
        let mut unserved = Vec::new();
        for resource in resources {
            let kind = Arc::new(Served::new(resource));
            match kind.availability {
                Availability::Served => kinds.push(kind),
                Availability::Unserved => unserved.push(kind),
            }
        }
        kinds.sort_by(|one, other| one.path().cmp(&other.path()));
        // Built-in kinds come first and cannot be replaced.
        kinds.dedup_by(|later, earlier| later.path() == earlier.path());
        Self {
            kinds,
            unserved,
            ..Self::default()
        }
    }

    pub(crate) fn find(&self, group: &str, version: &str, plural: &str) -> Option<&Arc<Served>> {
        let wanted = (group, version, plural);
        let place = self.kinds.binary_search_by(|kind| kind.path().cmp(&wanted));
        place.ok().and_then(|place| self.kinds.get(place))
    }

    /// The kind under which a collection is stored.
    pub(crate) fn stored(&self, collection: &str) -> Option<&Arc<Served>> {
        let mut versions = self
            .kinds
            .iter()
            .filter(|kind| *kind.collection == *collection);
        let first = versions.next()?;
        Some(
            std::iter::once(first)
                .chain(versions)
                .find(|kind| kind.storage)
                .unwrap_or(first),
        )
    }

    /// The kind of this name, in the version that is stored.
    pub(crate) fn kind(&self, group: &str, kind: &str) -> Option<&Arc<Served>> {
        let found = self
            .kinds
            .iter()
            .find(|one| one.group == group && one.kind == kind)?;
        self.stored(&found.collection)
    }

    /// The version of the kind that is stored in a collection, whether it is served or not.
    pub(crate) fn version(&self, collection: &str, api_version: &str) -> Option<&Arc<Served>> {
        let mut versions = self.kinds.iter().chain(&self.unserved);
        versions
            .find(|kind| *kind.collection == *collection && **kind.api_version() == *api_version)
    }

    /// Every kind in every version, sorted by group, version and plural.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Served>> {
        self.kinds.iter()
    }

    /// The kinds of one group version.
    pub(crate) fn of(&self, group: &str, version: &str) -> Vec<&Arc<Served>> {
        self.all()
            .filter(|kind| kind.group == group && kind.version == version)
            .collect()
    }

    /// Groups with their versions, the preferred one first.
    pub(crate) fn groups(&self) -> BTreeMap<&str, Vec<&str>> {
        let mut groups: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for kind in self.all() {
            let versions = groups.entry(&kind.group).or_default();
            if !versions.contains(&kind.version.as_str()) {
                versions.push(&kind.version);
            }
        }
        for versions in groups.values_mut() {
            versions.sort_by_key(|version| std::cmp::Reverse(priority(version)));
        }
        groups
    }

    /// A document that is made once per catalogue.
    pub(crate) fn document(&self, name: &str, make: impl FnOnce() -> Bytes) -> Bytes {
        let documents = self
            .documents
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = documents.get(name) {
            return known.clone();
        }
        drop(documents);
        let made = make();
        let mut documents = self
            .documents
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        documents.entry(name.to_owned()).or_insert(made).clone()
    }

    /// A document in pieces that is forgotten when nobody reads it any more. It is in memory once,
    /// however many read it, and however slowly.
    pub(crate) fn shared(&self, name: &str, make: impl FnOnce() -> Vec<Bytes>) -> Arc<[Bytes]> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = read.get(name).and_then(Weak::upgrade) {
            return known;
        }
        let made: Arc<[Bytes]> = make().into();
        read.insert(name.to_owned(), Arc::downgrade(&made));
        made
    }

    /// Changes whenever what is served changes, or what is served of one path (`apis/apps/v1`).
    pub(crate) fn hash(&self, of: &str, make: impl FnOnce() -> String) -> String {
        let mut hashes = self.hashes.lock().unwrap_or_else(PoisonError::into_inner);
        hashes.entry(of.to_owned()).or_insert_with(make).clone()
    }
}

/// Where objects of a kind are kept: the same for all its versions, and for
/// events the same under both of their groups.
pub(crate) fn collection(group: &str, plural: &str) -> Collection {
    let group = if (group, plural) == ("events.k8s.io", "events") {
        ""
    } else {
        group
    };
    format!("{group}/{plural}").into()
}

/// Kubernetes' order of versions: v2 before v1 before v1beta2 before v1alpha1.
fn priority(version: &str) -> (u8, u32, u32) {
    let Some(rest) = version.strip_prefix('v') else {
        return (0, 0, 0);
    };
    let digits = rest
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(rest.len());
    let (major, stage) = rest.split_at(digits);
    let Ok(major) = major.parse() else {
        return (0, 0, 0);
    };
    let minor = |name: &str| {
        stage
            .strip_prefix(name)
            .and_then(|number| number.parse().ok())
    };
    if stage.is_empty() {
        (3, major, 0)
    } else if let Some(minor) = minor("beta") {
        (2, major, minor)
    } else if let Some(minor) = minor("alpha") {
        (1, major, minor)
    } else {
        (0, 0, 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered_as_kubernetes_does() {
        let mut versions = ["v1alpha1", "v1", "v2", "v1beta2", "v1beta10", "foo"];
        versions.sort_by_key(|version| std::cmp::Reverse(priority(version)));
        assert_eq!(
            versions,
            ["v2", "v1", "v1beta10", "v1beta2", "v1alpha1", "foo"]
        );
    }
    #[test]
    fn large_documents_are_shared_while_they_are_read() {
        let catalog = Catalog::default();
        let make = || vec![Bytes::from(vec![0; 1024])];
        let first = catalog.shared("a", make);
        let second = catalog.shared("a", || unreachable!("it is being read"));
        assert!(Arc::ptr_eq(&first, &second));
        assert!(!Arc::ptr_eq(&first, &catalog.shared("b", make)));
        drop((first, second));
        let mut made = false;
        catalog.shared("a", || {
            made = true;
            Vec::new()
        });
        assert!(made, "nobody read it, so it was not kept");
    }
}
