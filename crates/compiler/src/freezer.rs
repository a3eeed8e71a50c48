//! Types and traits as releases keep them. What many releases share is copied once and written down
//! once, however many there are.

use crate::canonical;
use choreo_model::component_type::ComponentTypeSpec;
use choreo_model::release::ComponentReleaseSpec;
use choreo_model::traits::TraitSpec;
use choreo_template::Tree;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What was frozen before.
#[derive(Debug, Clone, Default)]
pub(crate) struct Freezer {
    types: Versions<ComponentTypeSpec>,
    traits: Versions<TraitSpec>,
}

/// Every version of a specification, by the names of types or traits.
type Versions<T> = BTreeMap<String, Vec<Frozen<T>>>;

/// A specification that does not change any more.
#[derive(Debug)]
pub(crate) struct Frozen<T> {
    pub(crate) spec: Arc<T>,
    /// Its canonical text.
    pub(crate) text: Arc<str>,
}

impl<T> Clone for Frozen<T> {
    fn clone(&self) -> Self {
        Self {
            spec: Arc::clone(&self.spec),
            text: Arc::clone(&self.text),
        }
    }
}

impl Freezer {
    /// The specification of the type that releases call `name`.
    pub(crate) fn type_(
        &mut self,
        name: &str,
        spec: &ComponentTypeSpec,
    ) -> serde_json::Result<Frozen<ComponentTypeSpec>> {
        freeze(&mut self.types, name, spec, || Arc::new(spec.clone()))
    }

    /// The specification of the trait `name`.
    pub(crate) fn trait_(
        &mut self,
        name: &str,
        spec: &TraitSpec,
    ) -> serde_json::Result<Frozen<TraitSpec>> {
        freeze(&mut self.traits, name, spec, || Arc::new(spec.clone()))
    }

    /// How many versions of types and traits there are.
    pub(crate) fn len(&self) -> usize {
        let types = self.types.values().map(Vec::len);
        types.chain(self.traits.values().map(Vec::len)).sum()
    }

    /// Lets `release` keep what others keep too, where it is the same.
    pub(crate) fn share(&mut self, release: &mut ComponentReleaseSpec) {
        let type_ = &mut release.component_type;
        let own = || Arc::clone(&type_.spec);
        if let Ok(frozen) = freeze(&mut self.types, &type_.name, &type_.spec, own) {
            type_.spec = frozen.spec;
        }
        for one in &mut release.traits {
            let own = || Arc::clone(&one.spec);
            if let Ok(frozen) = freeze(&mut self.traits, &one.name, &one.spec, own) {
                one.spec = frozen.spec;
            }
        }
    }
}

/// The version of `name` that is `spec`: one that was seen, or the new one that `own` gives.
fn freeze<T: PartialEq + Serialize>(
    known: &mut Versions<T>,
    name: &str,
    spec: &T,
    own: impl FnOnce() -> Arc<T>,
) -> serde_json::Result<Frozen<T>> {
    // The version that was seen last is seen most.
    let mut versions = known.get(name).into_iter().flatten().rev();
    let same =
        |version: &&Frozen<T>| std::ptr::eq(version.spec.as_ref(), spec) || *version.spec == *spec;
    if let Some(version) = versions.find(same) {
        return Ok(version.clone());
    }
    let frozen = Frozen {
        spec: own(),
        text: canonical::text(&Tree::of(spec)?).into(),
    };
    let versions = known.entry(name.to_owned()).or_default();
    versions.push(frozen.clone());
    Ok(frozen)
}
