//! Objects of one kind, found by namespace and name.

use super::removal::ObjectName;
use choreo_model::{Object, Spec};
use std::collections::BTreeMap;
use std::fmt;

/// The objects of one kind, its cluster-scoped twin included: that has the namespace `""`.
#[derive(Clone)]
pub(super) struct Table<T: Spec>(BTreeMap<String, BTreeMap<String, Object<T>>>);

impl<T: Spec> Default for Table<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<T: Spec> fmt::Debug for Table<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.iter().map(|one| (one.namespace(), one.name()));
        f.debug_set().entries(names).finish()
    }
}

impl<T: Spec> Table<T> {
    /// Puts `object` in the place of what had its name.
    pub(super) fn put(&mut self, object: Object<T>) {
        let (namespace, name) = (object.namespace().to_owned(), object.name().to_owned());
        self.0.entry(namespace).or_default().insert(name, object);
    }

    pub(super) fn get(&self, namespace: &str, name: &str) -> Option<&Object<T>> {
        self.0.get(namespace)?.get(name)
    }

    pub(super) fn get_mut(&mut self, namespace: &str, name: &str) -> Option<&mut Object<T>> {
        self.0.get_mut(namespace)?.get_mut(name)
    }

    pub(super) fn remove(&mut self, namespace: &str, name: &str) {
        if let Some(objects) = self.0.get_mut(namespace) {
            objects.remove(name);
        }
    }

    /// Keeps of the objects in `namespace` those that are `wanted`.
    pub(super) fn retain_in(&mut self, namespace: &str, wanted: impl Fn(&Object<T>) -> bool) {
        if let Some(objects) = self.0.get_mut(namespace) {
            objects.retain(|_, object| wanted(object));
        }
    }

    /// The objects in `namespace`, by name.
    pub(super) fn all_in(&self, namespace: &str) -> impl Iterator<Item = &Object<T>> {
        self.0.get(namespace).into_iter().flat_map(BTreeMap::values)
    }

    /// The names of the objects in `namespace` that are `wanted`.
    pub(super) fn names_in(
        &self,
        namespace: &str,
        wanted: impl Fn(&Object<T>) -> bool,
    ) -> Vec<String> {
        let wanted = self.all_in(namespace).filter(|object| wanted(object));
        wanted.map(|object| object.name().to_owned()).collect()
    }

    /// The names of all of them.
    pub(super) fn names(&self) -> Vec<ObjectName> {
        let named = |object: &Object<T>| ObjectName {
            kind: object.kind().to_owned(),
            namespace: object.namespace().to_owned(),
            name: object.name().to_owned(),
        };
        self.iter().map(named).collect()
    }

    /// What `namespace` (none for the cluster-scoped twin) and `name` lead to, or what is missing.
    pub(super) fn find(&self, namespace: Option<&str>, name: &str) -> Result<&Object<T>, String> {
        self.get(namespace.unwrap_or_default(), name)
            .ok_or_else(|| match (namespace, T::CLUSTER_KIND) {
                (None, Some(kind)) => missing(kind, name),
                _ => missing(T::KIND, name),
            })
    }

    /// All of them, by namespace and name.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Object<T>> {
        self.0.values().flat_map(BTreeMap::values)
    }
}

/// How something is called that is not there.
pub(super) fn missing(kind: &str, name: &str) -> String {
    format!("{kind} {name:?} not found")
}
