//! The objects of rendered releases, as the index keeps them. They are most of what there is, and seldom
//! looked into: what is kept is how they are called and a hash of each, and their texts packed.

use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;

use choreo_compiler::history;
use choreo_model::names::manifest_id;
use choreo_model::rendered::RenderedResource;
use choreo_packed::{Packed, Uid};
use serde::Serialize;

use crate::live::LiveKey;
use crate::usage::Usage;

/// The objects of a rendered release.
#[derive(Debug)]
pub(crate) struct Manifests {
    /// The identifier and the generation of the release.
    edition: (Uid, i64),
    each: Box<[Manifest]>,
    texts: Option<Packed>,
    /// What their replicas use.
    usage: Usage,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Manifest {
    /// Its identifier, if it is not the one that its kind and name give it.
    id: Option<Box<str>>,
    /// What the object is called on the first plane.
    key: LiveKey,
    /// What changes when anything of it changes.
    pub(crate) hash: u64,
}

impl Manifest {
    fn of(resource: &RenderedResource) -> Self {
        let key = LiveKey::of(0, &resource.object);
        let is_usual = resource.id == manifest_id(&key.kind, &key.name);
        Self {
            id: (!is_usual).then(|| resource.id.as_str().into()),
            key,
            hash: hash(&resource.object),
        }
    }

    /// Its identifier within the release.
    pub(crate) fn id(&self) -> Cow<'_, str> {
        let usual = || Cow::Owned(manifest_id(&self.key.kind, &self.key.name));
        self.id.as_deref().map_or_else(usual, Cow::Borrowed)
    }

    /// What the object is called on a plane.
    pub(crate) fn key(&self, home: usize) -> LiveKey {
        self.key.on(home)
    }

    /// Its apiVersion and kind.
    pub(crate) fn type_(&self) -> (&str, &str) {
        (&self.key.api_version, &self.key.kind)
    }
}

impl Manifests {
    /// Packs the objects of a release, whose identifier and generation are `edition`.
    pub(crate) fn new(edition: (Uid, i64), resources: &[RenderedResource]) -> Self {
        // What was read as JSON can be written as JSON.
        let texts = serde_json::to_vec(resources).ok();
        Self {
            edition,
            each: resources.iter().map(Manifest::of).collect(),
            texts: texts.map(|texts| Packed::new("RenderedRelease/manifests", &texts)),
            usage: Usage::of(resources.iter().map(|one| &one.object)),
        }
    }

    /// What their replicas use.
    pub(crate) fn usage(&self) -> Usage {
        self.usage
    }

    /// The identifier and the generation of the release.
    pub(crate) fn edition(&self) -> &(Uid, i64) {
        &self.edition
    }

    /// The objects, without what they say.
    pub(crate) fn each(&self) -> &[Manifest] {
        &self.each
    }

    /// Whether they are these, each given with its identifier.
    pub(crate) fn are<'a, T: Serialize + 'a>(
        &self,
        resources: impl IntoIterator<Item = (&'a str, &'a T)>,
    ) -> bool {
        let mut resources = resources.into_iter();
        let same = |one: &Manifest| {
            let next = resources.next();
            next.is_some_and(|(id, object)| one.id() == id && one.hash == hash(object))
        };
        self.each.iter().all(same) && resources.next().is_none()
    }

    /// The digest of all they say.
    pub(crate) fn plan_digest(&self) -> String {
        let texts = self.texts.as_ref().map(Packed::text).unwrap_or_default();
        // What was packed was written as text.
        history::plan_digest(&String::from_utf8_lossy(&texts))
    }

    /// The whole objects.
    pub(crate) fn objects(&self) -> Vec<RenderedResource> {
        let texts = self.texts.as_ref().map(Packed::text);
        let read = texts.map(|texts| serde_json::from_slice(&texts));
        read.and_then(Result::ok).unwrap_or_default()
    }
}

impl PartialEq for Manifests {
    fn eq(&self, other: &Self) -> bool {
        self.each == other.each
    }
}

/// A hash of a value by which a later one is compared.
pub(crate) fn hash(value: &impl Serialize) -> u64 {
    struct Sink(DefaultHasher);
    impl io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.write(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut sink = Sink(DefaultHasher::new());
    let written = serde_json::to_writer(&mut sink, value);
    written.is_ok().hash(&mut sink.0);
    sink.0.finish()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn resources(image: &str) -> Vec<RenderedResource> {
        let object = |kind: &str| {
            json!({
                "apiVersion": "apps/v1", "kind": kind,
                "metadata": {"name": "web", "namespace": "cell"}, "spec": {"image": image},
            })
        };
        let resource = |kind: &str| RenderedResource {
            id: kind.to_owned(),
            object: object(kind),
        };
        vec![resource("Deployment"), resource("StatefulSet")]
    }

    fn edition() -> (Uid, i64) {
        (Uid::new("u"), 1)
    }

    #[test]
    fn what_is_packed_comes_back() {
        let packed = Manifests::new(edition(), &resources("a:1"));
        assert_eq!(packed.objects(), resources("a:1"));
        let are = |resources: &[RenderedResource]| {
            packed.are(resources.iter().map(|one| (one.id.as_str(), &one.object)))
        };
        assert!(are(&resources("a:1")));
        assert!(!are(&resources("a:2")));
        assert!(!are(&resources("a:1")[..1]));
        assert!(!are(&[resources("a:1"), resources("a:1")].concat()));
        let key = LiveKey::of(3, &resources("a:1")[1].object);
        assert_eq!(packed.each()[1].key(3), key);
        assert_eq!(packed.each()[1].id(), "StatefulSet");
        let text = serde_json::to_string(&resources("a:1")).unwrap();
        assert_eq!(packed.plan_digest(), history::plan_digest(&text));
    }

    #[test]
    fn an_identifier_that_kind_and_name_give_comes_back() {
        let mut usual = resources("a:1");
        usual[0].id = "deployment-web".to_owned();
        let packed = Manifests::new(edition(), &usual);
        assert_eq!(
            (packed.each()[0].id.as_deref(), &*packed.each()[0].id()),
            (None, "deployment-web")
        );
        assert!(packed.are(usual.iter().map(|one| (one.id.as_str(), &one.object))));
    }

    #[test]
    fn nothing_is_nothing() {
        assert_eq!(Manifests::new(edition(), &[]).objects(), []);
        let nothing: [(&str, &Value); 0] = [];
        assert!(Manifests::new(edition(), &[]).are(nothing));
    }
}
