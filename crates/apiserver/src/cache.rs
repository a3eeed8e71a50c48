//! Which objects there are, with the recent past of each kind. Lists and watches are served from here; texts
//! that were not written lately are read from the disk.

mod shelf;

use std::{
    borrow::Borrow,
    collections::{BTreeMap, HashMap, HashSet},
    hash::{Hash, Hasher},
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
};

use choreo_packed::Uid;
use tokio::sync::{mpsc, watch};

pub(crate) use shelf::{Event, Forgotten, Kind, Shelf, Snapshot};

use crate::{
    object::{Identity, Name, Stored},
    recent::Recent,
    store::{Collection, Loaded, Publish, Written},
};

/// An object anywhere.
pub(crate) type Place = (Collection, Name);

/// Who owns whom, by UID.
#[derive(Default)]
struct Owners {
    places: HashSet<Found>,
    dependents: HashMap<Uid, HashSet<Found>>,
}

/// Where the object of a UID is.
#[derive(Clone)]
struct Found {
    collection: Collection,
    identity: Arc<Identity>,
}

impl Borrow<Uid> for Found {
    fn borrow(&self) -> &Uid {
        &self.identity.uid
    }
}

impl PartialEq for Found {
    fn eq(&self, other: &Self) -> bool {
        self.identity.uid == other.identity.uid
    }
}

impl Eq for Found {}

impl Hash for Found {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.identity.uid.hash(state);
    }
}

impl Found {
    fn new(collection: &Collection, object: &Stored) -> Self {
        Self {
            collection: Arc::clone(collection),
            identity: Arc::clone(object.identity()),
        }
    }

    fn place(&self) -> Place {
        (Arc::clone(&self.collection), self.identity.name.clone())
    }
}

impl Owners {
    fn add(&mut self, collection: &Collection, object: &Stored) {
        let found = Found::new(collection, object);
        for owner in &*object.head.owners {
            let dependents = self.dependents.entry(owner.clone()).or_default();
            dependents.replace(found.clone());
        }
        self.places.replace(found);
    }

    fn remove(&mut self, collection: &Collection, object: &Stored) {
        for owner in &*object.head.owners {
            if let Some(dependents) = self.dependents.get_mut(owner) {
                dependents.remove(object.uid());
                if dependents.is_empty() {
                    self.dependents.remove(owner);
                }
            }
        }
        let place = Found::new(collection, object).place();
        let found = self.places.get(object.uid());
        if found.is_some_and(|found| found.place() == place) {
            self.places.remove(object.uid());
        }
    }
}

/// Every collection.
pub(crate) struct Cache {
    shelves: RwLock<BTreeMap<Collection, Arc<Shelf>>>,
    owners: Mutex<Owners>,
    committed: watch::Sender<u64>,
    /// What happened up to here before the start may be forgotten.
    horizon: u64,
    /// Everything that happens, for the server's own controllers.
    feed: mpsc::UnboundedSender<Written>,
    recent: Mutex<Recent>,
}

impl Cache {
    /// Takes what the store read. Everything that happens later is also sent to `feed`.
    pub(crate) fn new(loaded: Loaded, feed: mpsc::UnboundedSender<Written>) -> Self {
        let cache = Self {
            shelves: RwLock::default(),
            owners: Mutex::default(),
            committed: watch::Sender::new(loaded.version),
            horizon: loaded.horizon,
            feed,
            recent: Mutex::new(Recent::new(loaded.texts)),
        };
        for (collection, object) in loaded.objects {
            cache.owners().add(&collection, &object);
            let shelf = cache.shelf(&collection);
            shelf.load(&object);
        }
        for past in loaded.history {
            let shelf = cache.shelf(&past.collection);
            let event = Event {
                deleted: past.deleted,
                object: past.object,
                previous: past.previous,
            };
            shelf.recall(event);
        }
        cache
    }

    fn owners(&self) -> MutexGuard<'_, Owners> {
        self.owners.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn recent(&self) -> MutexGuard<'_, Recent> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The newest version that is visible.
    pub(crate) fn version(&self) -> u64 {
        *self.committed.borrow()
    }

    /// The shelf of a collection, made on first use.
    pub(crate) fn shelf(&self, collection: &Collection) -> Arc<Shelf> {
        let known = self.shelves.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(shelf) = known.get(collection) {
            return Arc::clone(shelf);
        }
        drop(known);
        let mut shelves = self.shelves.write().unwrap_or_else(PoisonError::into_inner);
        let shelf = shelves
            .entry(Arc::clone(collection))
            .or_insert_with(|| Arc::new(Shelf::new(self.horizon)));
        Arc::clone(shelf)
    }

    /// Every collection that was ever used.
    pub(crate) fn collections(&self) -> Vec<(Collection, Arc<Shelf>)> {
        let shelves = self.shelves.read().unwrap_or_else(PoisonError::into_inner);
        shelves
            .iter()
            .map(|(name, shelf)| (Arc::clone(name), Arc::clone(shelf)))
            .collect()
    }

    /// Where the object of this UID is.
    pub(crate) fn place(&self, uid: &Uid) -> Option<Place> {
        self.owners().places.get(uid).map(Found::place)
    }

    /// The objects that name this UID as an owner.
    pub(crate) fn dependents(&self, uid: &Uid) -> Vec<Place> {
        let owners = self.owners();
        owners
            .dependents
            .get(uid)
            .into_iter()
            .flatten()
            .map(Found::place)
            .collect()
    }

    /// Every object that has an owner.
    pub(crate) fn owned(&self) -> Vec<Place> {
        let owners = self.owners();
        let all: HashSet<&Found> = owners.dependents.values().flatten().collect();
        all.into_iter().map(Found::place).collect()
    }

    pub(crate) fn get(&self, place: &Place) -> Option<Arc<Stored>> {
        self.shelf(&place.0).get(&place.1)
    }

    fn take(&self, written: &Written) {
        if !keeps_owners(written) {
            let mut owners = self.owners();
            if let Some(previous) = &written.previous {
                owners.remove(&written.collection, previous);
            }
            if !written.deleted {
                owners.add(&written.collection, &written.object);
            }
        }
        let event = Event {
            deleted: written.deleted,
            object: Arc::clone(&written.object),
            previous: written.previous.clone(),
        };
        self.shelf(&written.collection).apply(event);
    }
}

/// Whether who owns whom is as before.
fn keeps_owners(written: &Written) -> bool {
    let (new, old) = (&written.object, written.previous.as_ref());
    let same = old.is_some_and(|old| old.uid() == new.uid() && old.head.owners == new.head.owners);
    same && !written.deleted
}

impl Publish for Cache {
    fn current(&self, collection: &Collection, name: &Name) -> Option<Arc<Stored>> {
        self.shelf(collection).get(name)
    }

    fn forget(&self, horizon: u64) {
        for (_, shelf) in self.collections() {
            shelf.forget(horizon);
        }
    }

    fn publish(&self, written: Vec<Written>) {
        let Some(version) = written.last().map(|last| last.object.version) else {
            return;
        };
        for one in &written {
            self.take(one);
        }
        self.recent().note(&written);
        self.committed.send_replace(version);
        for one in &written {
            self.shelf(&one.collection).wake(one.object.version);
        }
        for one in written {
            // Nobody listens once the server is closing.
            let _ = self.feed.send(one);
        }
    }
}
