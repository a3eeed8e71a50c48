//! What every request works with: the objects, the way to the disk, the
//! catalogue of kinds, and the rules of the embedding program.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, LazyLock, Mutex, OnceLock, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

use serde_json::Value;
use tokio::sync::MutexGuard;

use crate::{
    access::{Admission, PodAccess},
    auth::Identity,
    body, builtin,
    cache::{Cache, Shelf, Snapshot},
    convert::for_storage,
    custom,
    object::{Draft, Name, Stored},
    registry::{Catalog, Served, collection},
    resource::Resource,
    schema,
    status::{Failure, Result},
    store::{Change, Collection, Expect, Refusal, Store},
};

/// The version of a definition, and what it asks to be served.
type Custom = (u64, Vec<Arc<Resource>>);

/// The largest object that is stored, in bytes: what a client wants of it, and as much again of what the
/// server keeps with that.
const LARGEST: usize = 2 * body::LARGEST;

/// What a write is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    /// The object is as its schema wants it.
    Whole,
    /// A detail was changed in the object as it was stored.
    Amended,
    /// The object goes.
    Removed,
}

/// The state behind all requests.
pub(crate) struct Core {
    pub(crate) cache: Arc<Cache>,
    store: Store,
    catalog: RwLock<Arc<Catalog>>,
    /// Built-in kinds; the rest of the catalogue comes from definitions.
    builtin: Vec<Arc<Resource>>,
    /// What each definition asks for, by the definition's version. Held while
    /// refreshing, so an older catalogue never replaces a newer one.
    custom: Mutex<BTreeMap<Name, Custom>>,
    /// The stored definitions, and up to which change of them the catalogue is.
    definitions: Arc<Shelf>,
    refreshed: AtomicU64,
    /// Held while a definition claims its names, so that no two of them claim the same.
    naming: tokio::sync::Mutex<()>,
    pub(crate) admission: Arc<dyn Admission>,
    pub(crate) pods: Arc<dyn PodAccess>,
    /// Known once the server listens.
    pub(crate) identity: OnceLock<Identity>,
}

impl Core {
    pub(crate) fn new(
        cache: Arc<Cache>,
        store: Store,
        admission: Arc<dyn Admission>,
        pods: Arc<dyn PodAccess>,
    ) -> Self {
        let definitions = cache.shelf(&definitions());
        let core = Self {
            cache,
            store,
            catalog: RwLock::default(),
            builtin: builtin::resources().into_iter().map(Arc::new).collect(),
            custom: Mutex::default(),
            definitions,
            refreshed: AtomicU64::default(),
            naming: tokio::sync::Mutex::default(),
            admission,
            pods,
            identity: OnceLock::new(),
        };
        core.refresh();
        core
    }

    /// What is served now.
    pub(crate) fn catalog(&self) -> Arc<Catalog> {
        if self.definitions.newest() != self.refreshed.load(Ordering::Acquire) {
            self.refresh();
        }
        Arc::clone(&self.catalog.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// To be held from when a definition claims names until they are stored; nothing for other kinds.
    pub(crate) async fn naming(&self, kind: &Served) -> Option<MutexGuard<'_, ()>> {
        if *kind.collection == *definitions() {
            Some(self.naming.lock().await)
        } else {
            None
        }
    }

    /// Serves what the stored definitions say now.
    fn refresh(&self) {
        let mut custom = self.custom.lock().unwrap_or_else(PoisonError::into_inner);
        let Snapshot {
            version,
            objects: definitions,
        } = self.definitions.now("", 0);
        let mut next = BTreeMap::new();
        for stored in definitions {
            let known = custom
                .remove(stored.name())
                .filter(|known| known.0 == stored.version);
            let known = known.unwrap_or_else(|| (stored.version, read_definition(&stored)));
            next.insert(stored.name().clone(), known);
        }
        *custom = next;
        let all = custom.values().flat_map(|(_, resources)| resources.iter());
        let catalog = Catalog::new(self.builtin.iter().chain(all).cloned());
        *self.catalog.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(catalog);
        self.refreshed.store(version, Ordering::Release);
    }

    pub(crate) fn shelf(&self, kind: &Served) -> Arc<Shelf> {
        self.cache.shelf(&kind.collection)
    }

    pub(crate) fn get(&self, kind: &Served, namespace: &str, name: &str) -> Result<Arc<Stored>> {
        self.shelf(kind)
            .get(&Name::new(namespace, name))
            .ok_or_else(|| Failure::not_found(kind, name))
    }

    /// Writes an object that is as its schema wants it. `expect` is the version it replaces.
    pub(crate) async fn put(
        &self,
        kind: &Served,
        object: &Value,
        expect: Expect,
    ) -> Result<Arc<Stored>> {
        self.write(kind, object, expect, How::Whole).await
    }

    /// Writes an object of which the server itself changed a detail, whatever its schema says by now.
    pub(crate) async fn amend(
        &self,
        kind: &Served,
        object: &Value,
        version: u64,
    ) -> Result<Arc<Stored>> {
        self.write(kind, object, Expect::Version(version), How::Amended)
            .await
    }

    /// Removes an object whose last state is `object`.
    pub(crate) async fn remove(
        &self,
        kind: &Served,
        object: &Value,
        version: u64,
    ) -> Result<Arc<Stored>> {
        self.write(kind, object, Expect::Version(version), How::Removed)
            .await
    }

    /// Removes an object that nobody holds, as it is: for what goes by itself, in great numbers.
    pub(crate) async fn forget(&self, kind: &Served, stored: &Stored) -> Result<()> {
        let draft = Draft::again(stored)?;
        let expect = Expect::Version(stored.version);
        self.submit(kind, draft, expect, true).await.map(drop)
    }

    async fn write(
        &self,
        kind: &Served,
        object: &Value,
        expect: Expect,
        how: How,
    ) -> Result<Arc<Stored>> {
        let draft = Draft::new(&for_storage(kind, object))?;
        if draft.length() > LARGEST && how != How::Removed {
            return Err(Failure::too_large(LARGEST));
        }
        let draft = match how {
            How::Whole => draft.fitting(kind.schema.mark()),
            How::Amended | How::Removed => draft,
        };
        self.submit(kind, draft, expect, how == How::Removed).await
    }

    async fn submit(
        &self,
        kind: &Served,
        draft: Draft,
        expect: Expect,
        delete: bool,
    ) -> Result<Arc<Stored>> {
        let Name { namespace, name } = draft.name().clone();
        let collection = Arc::clone(&kind.collection);
        let written = self
            .store
            .write(Change {
                collection,
                draft,
                expect,
                delete,
            })
            .await;
        let written = written.map_err(|refusal| match refusal {
            Refusal::Exists => Failure::already_exists(kind, &name),
            Refusal::Changed if delete || self.get(kind, &namespace, &name).is_ok() => {
                Failure::modified(kind, &name)
            }
            Refusal::Changed => Failure::not_found(kind, &name),
            Refusal::Full => Failure::disk_full(),
            Refusal::Closed => Failure::unavailable("the server is shutting down"),
            Refusal::Failed(why) => Failure::internal(format!("the object was not stored: {why}")),
        })?;
        Ok(written)
    }

    /// Finishes what is queued and refuses more.
    pub(crate) fn close(&self) {
        self.store.close();
    }
}

/// What a definition asks to be served under the names it has got.
fn read_definition(stored: &Stored) -> Vec<Arc<Resource>> {
    let Ok(mut definition) = stored.value() else {
        return Vec::new();
    };
    if !custom::is_established(&definition) {
        return Vec::new();
    }
    if let Some(accepted) = definition.pointer("/status/acceptedNames").cloned() {
        definition["spec"]["names"] = accepted;
    }
    // What was good when it was written is served, however strict the checks became since.
    let versions = schema::versions(&definition).into_iter();
    versions.map(Arc::new).collect()
}

/// Where `CustomResourceDefinitions` are kept.
pub(crate) fn definitions() -> Collection {
    static KNOWN: LazyLock<Collection> =
        LazyLock::new(|| collection("apiextensions.k8s.io", "customresourcedefinitions"));
    Arc::clone(&KNOWN)
}

/// Where namespaces are kept.
pub(crate) fn namespaces() -> Collection {
    static KNOWN: LazyLock<Collection> = LazyLock::new(|| collection("", "namespaces"));
    Arc::clone(&KNOWN)
}
