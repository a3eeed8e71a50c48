//! What many releases have in common, kept once: the types and traits they were cut of.

use choreo_model::component_type::ComponentTypeSpec;
use choreo_model::release::ComponentReleaseSpec;
use choreo_model::traits::TraitSpec;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Every version of a specification, by the names of types or traits.
type Versions<T> = BTreeMap<String, Vec<Arc<T>>>;

/// The specifications that releases have.
#[derive(Debug, Clone, Default)]
pub(super) struct Shared {
    types: Versions<ComponentTypeSpec>,
    traits: Versions<TraitSpec>,
}

impl Shared {
    /// Lets `release` keep what others keep too, where it is the same.
    pub(super) fn share(&mut self, release: &mut ComponentReleaseSpec) {
        let frozen = &mut release.component_type;
        share(&mut self.types, &frozen.name, &mut frozen.spec);
        for frozen in &mut release.traits {
            share(&mut self.traits, &frozen.name, &mut frozen.spec);
        }
    }
}

fn share<T: Eq>(known: &mut Versions<T>, name: &str, wanted: &mut Arc<T>) {
    let versions = known.entry(name.to_owned()).or_default();
    // The version that was seen last is seen most.
    match versions.iter().rev().find(|version| *version == wanted) {
        Some(version) => *wanted = Arc::clone(version),
        None => versions.push(Arc::clone(wanted)),
    }
}
