//! Objects of one kind. There may be many, and at any moment few of them are looked at: those that were
//! not for a while are packed, and unpacked when somebody looks.

use std::cell::{OnceCell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use choreo_model::component_type::ComponentTypeSpec;
use choreo_model::traits::TraitSpec;
use choreo_model::{ComponentRelease, Object, Spec};
use choreo_packed::Packed;

use crate::key::Key;

/// How many objects of a kind are kept unpacked.
pub(crate) const OPEN: usize = 128;

/// What an object is called.
pub(crate) fn key_of<T: Spec>(object: &Object<T>) -> Key {
    Key::new(object.kind(), object.namespace(), object.name())
}

/// A kind whose objects are kept in a table.
pub(crate) trait Row: Spec + Sized {
    /// Takes out of an object what is not packed with it, because other objects have it too.
    fn set_apart(_object: &mut Object<Self>) -> Apart {
        Apart::default()
    }

    /// Puts back what was taken out.
    fn put_back(_object: &mut Object<Self>, _apart: &Apart) {}
}

/// What objects have in common with others.
#[derive(Debug, Default)]
pub(crate) struct Apart {
    component_type: Option<Arc<ComponentTypeSpec>>,
    traits: Box<[Arc<TraitSpec>]>,
}

impl Apart {
    /// Takes the type and the traits out of a release.
    pub(crate) fn of_release(release: &mut ComponentRelease) -> Self {
        let type_ = &mut release.spec.component_type.spec;
        let traits = release.spec.traits.iter_mut();
        Self {
            component_type: Some(std::mem::take(type_)),
            traits: traits.map(|one| std::mem::take(&mut one.spec)).collect(),
        }
    }

    /// Puts them back.
    pub(crate) fn into_release(release: &mut ComponentRelease, apart: &Self) {
        if let Some(type_) = &apart.component_type {
            release.spec.component_type.spec = Arc::clone(type_);
        }
        for (one, spec) in release.spec.traits.iter_mut().zip(&apart.traits) {
            one.spec = Arc::clone(spec);
        }
    }
}

/// Objects of one kind.
pub(crate) struct Table<T: Spec> {
    rows: HashMap<Arc<Key>, Entry<T>>,
    /// Those that are unpacked, the first that was so first. Some may be gone, or be here twice.
    open: RefCell<VecDeque<Arc<Key>>>,
}

struct Entry<T: Spec> {
    is_deleting: bool,
    open: OnceCell<Box<Object<T>>>,
    /// Nothing as long as it is as it came.
    packed: Option<Box<Bundle>>,
}

/// An object that is packed.
struct Bundle {
    text: Packed,
    apart: Apart,
}

impl<T: Spec> Default for Table<T> {
    fn default() -> Self {
        Self {
            rows: HashMap::new(),
            open: RefCell::default(),
        }
    }
}

impl<T: Row> Table<T> {
    /// An object.
    pub(crate) fn get(&self, key: &Key) -> Option<&Object<T>> {
        let (key, entry) = self.rows.get_key_value(key)?;
        if let Some(object) = entry.open.get() {
            return Some(object);
        }
        let object = entry.unpack(key)?;
        self.open.borrow_mut().push_back(Arc::clone(key));
        Some(entry.open.get_or_init(|| object))
    }

    /// Whether an object is there, and its deletion was asked for.
    pub(crate) fn is_deleting(&self, key: &Key) -> bool {
        self.rows.get(key).is_some_and(|entry| entry.is_deleting)
    }

    /// The one copy of the key of an object that is there.
    pub(crate) fn key(&self, key: &Key) -> Option<Arc<Key>> {
        let (key, _) = self.rows.get_key_value(key)?;
        Some(Arc::clone(key))
    }

    /// What every object is called, in order.
    pub(crate) fn keys(&self) -> Vec<&Arc<Key>> {
        let mut keys: Vec<_> = self.rows.keys().collect();
        keys.sort_unstable();
        keys
    }

    /// Keeps an object; returns what it is called, and what it was before.
    pub(crate) fn put(&mut self, object: Object<T>) -> (Arc<Key>, Option<Box<Object<T>>>) {
        let key = key_of(&object);
        let known = self.rows.get_key_value(&key);
        let key = known.map_or_else(|| Arc::new(key), |(known, _)| Arc::clone(known));
        let entry = Entry {
            is_deleting: object.is_deleting(),
            open: OnceCell::from(Box::new(object)),
            packed: None,
        };
        let old = self.rows.insert(Arc::clone(&key), entry);
        if old.as_ref().is_none_or(|old| old.open.get().is_none()) {
            self.open.get_mut().push_back(Arc::clone(&key));
        }
        let old = old.and_then(|old| old.into_object(&key));
        (key, old)
    }

    /// Forgets an object.
    pub(crate) fn take(&mut self, key: &Key) -> Option<(Arc<Key>, Box<Object<T>>)> {
        let (key, entry) = self.rows.remove_entry(key)?;
        let object = entry.into_object(&key)?;
        Some((key, object))
    }

    /// How many objects are unpacked.
    #[cfg(test)]
    pub(crate) fn opened(&self) -> usize {
        let entries = self.rows.values();
        entries.filter(|entry| entry.open.get().is_some()).count()
    }

    /// Packs those that were not looked at for longest, if too many are unpacked.
    pub(crate) fn tidy(&mut self) {
        let open = self.open.get_mut();
        while open.len() > OPEN {
            let Some(key) = open.pop_front() else { return };
            if let Some(entry) = self.rows.get_mut(&key) {
                entry.pack(&key);
            }
        }
    }
}

impl<T: Row> Entry<T> {
    fn pack(&mut self, key: &Key) {
        if self.packed.is_some() {
            self.open.take();
            return;
        }
        let Some(mut object) = self.open.take() else {
            return;
        };
        let apart = T::set_apart(&mut object);
        match serde_json::to_vec(&object) {
            Ok(text) => {
                let text = Packed::new(key.kind, &text);
                self.packed = Some(Box::new(Bundle { text, apart }));
            }
            // What was read as JSON can be written as JSON; if not, it stays as it is.
            Err(error) => {
                tracing::error!(%key, error = &error as &dyn std::error::Error, "an object cannot be packed");
                T::put_back(&mut object, &apart);
                self.open = OnceCell::from(object);
            }
        }
    }

    fn unpack(&self, key: &Key) -> Option<Box<Object<T>>> {
        let packed = self.packed.as_ref()?;
        match serde_json::from_slice::<Object<T>>(&packed.text.text()) {
            Ok(mut object) => {
                T::put_back(&mut object, &packed.apart);
                Some(Box::new(object))
            }
            // What was written of an object can be read as one.
            Err(error) => {
                tracing::error!(%key, error = &error as &dyn std::error::Error, "an object cannot be unpacked");
                None
            }
        }
    }

    fn into_object(mut self, key: &Key) -> Option<Box<Object<T>>> {
        self.open.take().or_else(|| self.unpack(key))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn release(name: &str) -> ComponentRelease {
        serde_json::from_value(json!({
            "metadata": { "name": name, "namespace": "default", "uid": format!("u-{name}") },
            "spec": {
                "owner": { "projectName": "shop", "componentName": "web" },
                "componentType": {
                    "kind": "ClusterComponentType", "name": "deployment/service",
                    "spec": {
                        "workloadType": "deployment",
                        "resources": [{ "id": "deployment", "template": { "kind": "Deployment" } }],
                    },
                },
                "traits": [{ "kind": "Trait", "name": "t", "spec": { "creates": [] } }],
                "workload": { "container": { "image": format!("{name}:1") } },
            },
        }))
        .unwrap()
    }

    fn key(name: &str) -> Key {
        Key::new("ComponentRelease", "default", name)
    }

    #[test]
    fn what_was_packed_is_as_it_was() {
        let mut table = Table::default();
        let all: Vec<_> = (0..OPEN + 50).map(|n| release(&format!("r{n}"))).collect();
        for one in &all {
            assert!(table.put(one.clone()).1.is_none());
            table.tidy();
        }
        assert_eq!(table.opened(), OPEN);
        for one in &all {
            assert_eq!(table.get(&key(one.name())), Some(one));
        }
        assert_eq!(table.opened(), all.len());
        table.tidy();
        assert_eq!(table.opened(), OPEN);
        let (_, old) = table.put(release("r0"));
        assert_eq!(old.as_deref(), Some(&all[0]));
        let taken = table.take(&key("r1"));
        assert_eq!(taken.map(|(_, old)| *old).as_ref(), Some(&all[1]));
        assert_eq!(table.get(&key("r1")), None);
    }

    #[test]
    fn what_others_have_too_stays_theirs() {
        let mut table = Table::default();
        let first = release("first");
        let common = Arc::clone(&first.spec.component_type.spec);
        table.put(first);
        for n in 0..=OPEN {
            table.put(release(&format!("r{n}")));
        }
        table.tidy();
        assert!(table.rows[&key("first")].open.get().is_none());
        let first = table.get(&key("first")).unwrap();
        assert!(Arc::ptr_eq(&first.spec.component_type.spec, &common));
    }
}
