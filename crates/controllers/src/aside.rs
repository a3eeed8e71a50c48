//! What the index keeps of objects elsewhere than in them, because there is much of it, and it is alike
//! or seldom looked at.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Weak};

use choreo_model::component_type::ComponentTypeSpec;
use choreo_model::traits::TraitSpec;
use choreo_model::{ComponentRelease, RenderedRelease};
use choreo_packed::Uid;

use crate::key::Key;
use crate::manifests::Manifests;

/// Parts of objects that are kept beside them.
#[derive(Default)]
pub(crate) struct Aside {
    /// The objects of rendered releases, by namespace and name.
    manifests: HashMap<(String, String), Manifests>,
    types: Common<ComponentTypeSpec>,
    traits: Common<TraitSpec>,
}

impl Aside {
    /// The objects of a rendered release.
    pub(crate) fn manifests(&self, namespace: &str, name: &str) -> Option<&Manifests> {
        self.manifests.get(&(namespace.to_owned(), name.to_owned()))
    }

    /// Takes the objects out of a rendered release; returns whether they are others than before.
    pub(crate) fn take_manifests(&mut self, rendered: &mut RenderedRelease) -> bool {
        let resources = std::mem::take(&mut rendered.spec.resources);
        let place = (rendered.namespace().to_owned(), rendered.name().to_owned());
        // What is wanted of an object changes with its generation only.
        let edition = (Uid::new(rendered.uid()), rendered.generation());
        if let Some(known) = self.manifests.get(&place)
            && *known.edition() == edition
        {
            return false;
        }
        let new = Manifests::new(edition, &resources);
        let differ = self.manifests.get(&place) != Some(&new);
        if differ {
            self.manifests.insert(place, new);
        }
        differ
    }

    /// Lets a release share what it says of its type and traits with those that say the same.
    pub(crate) fn share(&mut self, release: &mut ComponentRelease) {
        let type_ = &mut release.spec.component_type;
        self.types.share(&type_.name, &mut type_.spec);
        for trait_ in &mut release.spec.traits {
            self.traits.share(&trait_.name, &mut trait_.spec);
        }
    }

    /// Forgets what belongs to an object.
    pub(crate) fn forget(&mut self, key: &Key) {
        if key.kind == "RenderedRelease" {
            self.manifests
                .remove(&(key.namespace.clone(), key.name.clone()));
        }
    }
}

/// Values that many objects have, by name; each as long as one of them is there.
struct Common<T>(BTreeMap<String, Vec<Weak<T>>>);

impl<T> Default for Common<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<T: PartialEq> Common<T> {
    fn share(&mut self, name: &str, value: &mut Arc<T>) {
        let known = self.0.entry(name.to_owned()).or_default();
        let same = known
            .iter()
            .filter_map(Weak::upgrade)
            .find(|known| *known == *value);
        if let Some(same) = same {
            *value = same;
        } else {
            known.retain(|known| known.strong_count() > 0);
            known.push(Arc::downgrade(value));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_become_one() {
        let mut common = Common::default();
        let (mut first, mut second) = (Arc::new(vec![1]), Arc::new(vec![1]));
        common.share("a", &mut first);
        common.share("a", &mut second);
        assert!(Arc::ptr_eq(&first, &second));
        let mut third = Arc::new(vec![2]);
        common.share("a", &mut third);
        assert_eq!(*third, [2]);
        drop((first, second));
        common.share("a", &mut Arc::new(vec![3]));
        assert_eq!(common.0["a"].len(), 2);
    }
}
