//! Which objects there are, with the recent past of each kind. Lists and watches are served from here; texts
//! that were not written lately are read from the disk.

use std::{
    borrow::Borrow,
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque},
    hash::{Hash, Hasher},
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use choreo_packed::Uid;
use tokio::sync::{mpsc, watch};

use crate::{
    object::{Identity, Name, Stored},
    recent::Recent,
    store::{Collection, Loaded, Publish, Written},
};

/// What happened to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Added,
    Modified,
    Deleted,
}

/// A change of one object.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) deleted: bool,
    /// The object afterwards; for deletions its last state, at the deletion's version.
    pub(crate) object: Arc<Stored>,
    pub(crate) previous: Option<Arc<Stored>>,
}

impl Event {
    pub(crate) fn version(&self) -> u64 {
        self.object.version
    }
}

/// The past asked for is forgotten; it is known after this version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Forgotten(pub(crate) u64);

/// Objects at one version of the collection.
pub(crate) struct Snapshot {
    pub(crate) version: u64,
    pub(crate) objects: Vec<Arc<Stored>>,
}

/// All objects of one kind.
pub(crate) struct Shelf {
    state: RwLock<State>,
    changed: watch::Sender<u64>,
}

/// An object, by its name.
#[derive(Clone)]
struct Named(Arc<Stored>);

impl Borrow<Name> for Named {
    fn borrow(&self) -> &Name {
        self.0.name()
    }
}

impl PartialEq for Named {
    fn eq(&self, other: &Self) -> bool {
        self.0.name() == other.0.name()
    }
}

impl Eq for Named {}

impl PartialOrd for Named {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Named {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.name().cmp(other.0.name())
    }
}

#[derive(Default)]
struct State {
    objects: BTreeSet<Named>,
    events: VecDeque<Arc<Event>>,
    /// Everything after this version is in `events`.
    horizon: u64,
}

impl State {
    fn forget(&mut self, horizon: u64) {
        while let Some(event) = self.events.pop_front_if(|event| event.version() <= horizon) {
            self.horizon = event.version();
        }
    }

    fn apply(&mut self, event: Arc<Event>) {
        if event.deleted {
            self.objects.remove(event.object.name());
        } else {
            self.objects.replace(Named(Arc::clone(&event.object)));
        }
        self.events.push_back(event);
    }

    fn newest(&self) -> u64 {
        self.events
            .back()
            .map_or(self.horizon, |event| event.version())
    }

    /// Position of the first event after `version`.
    fn position(&self, version: u64) -> Result<usize, Forgotten> {
        if version < self.horizon {
            return Err(Forgotten(self.horizon));
        }
        Ok(self
            .events
            .partition_point(|event| event.version() <= version))
    }

    fn range(&self, namespace: &str) -> Vec<Arc<Stored>> {
        self.of(namespace).cloned().collect()
    }

    /// Every object of a namespace (of all, if it is empty), in the order of names.
    fn of(&self, namespace: &str) -> impl Iterator<Item = &Arc<Stored>> {
        let objects = self.objects.range(Name::new(namespace, "")..);
        let objects = objects.map(|Named(object)| object);
        objects.take_while(move |object| within(namespace, object.name()))
    }
}

impl Shelf {
    fn new(horizon: u64) -> Self {
        let state = State {
            horizon,
            ..State::default()
        };
        Self {
            state: RwLock::new(state),
            changed: watch::Sender::new(horizon),
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn get(&self, name: &Name) -> Option<Arc<Stored>> {
        self.read()
            .objects
            .get(name)
            .map(|Named(object)| Arc::clone(object))
    }

    /// The version of the last change.
    pub(crate) fn newest(&self) -> u64 {
        self.read().newest()
    }

    pub(crate) fn len(&self) -> usize {
        self.read().objects.len()
    }

    /// Visits the name of every object of a namespace (of all, if it is empty).
    pub(crate) fn each_name(&self, namespace: &str, visit: &mut dyn FnMut(&str)) {
        for object in self.read().of(namespace) {
            visit(&object.name().name);
        }
    }

    /// Whether the namespace holds an object of this kind.
    pub(crate) fn occupies(&self, namespace: &str) -> bool {
        let state = self.read();
        let first = state.objects.range(Name::new(namespace, "")..).next();
        first.is_some_and(|Named(object)| *object.name().namespace == *namespace)
    }

    /// Every object of a namespace (of all, if it is empty), now. `committed`
    /// is the newest version published before the call.
    pub(crate) fn now(&self, namespace: &str, committed: u64) -> Snapshot {
        let state = self.read();
        let version = committed.max(state.newest());
        Snapshot {
            version,
            objects: state.range(namespace),
        }
    }

    /// The first objects of a namespace (of all, if it is empty), now, and how many there are.
    pub(crate) fn first(&self, namespace: &str, count: usize, committed: u64) -> (Snapshot, usize) {
        let state = self.read();
        let all = if namespace.is_empty() {
            state.objects.len()
        } else {
            state.of(namespace).count()
        };
        let snapshot = Snapshot {
            version: committed.max(state.newest()),
            objects: state.of(namespace).take(count).cloned().collect(),
        };
        (snapshot, all)
    }

    /// Every object of a namespace as it was at `version`.
    #[expect(
        clippy::mutable_key_type,
        reason = "objects are in the order of their names, which never change"
    )]
    pub(crate) fn then(&self, namespace: &str, version: u64) -> Result<Snapshot, Forgotten> {
        let state = self.read();
        let position = state.position(version)?;
        let mut objects: BTreeSet<Named> = state.of(namespace).cloned().map(Named).collect();
        let undone = state.events.range(position..).rev();
        for event in undone.filter(|event| within(namespace, event.object.name())) {
            match &event.previous {
                Some(previous) => drop(objects.replace(Named(Arc::clone(previous)))),
                None => drop(objects.take(event.object.name())),
            }
        }
        Ok(Snapshot {
            version,
            objects: objects.into_iter().map(|Named(object)| object).collect(),
        })
    }

    /// Up to `limit` events after `version`.
    pub(crate) fn since(&self, version: u64, limit: usize) -> Result<Vec<Arc<Event>>, Forgotten> {
        let state = self.read();
        let position = state.position(version)?;
        Ok(state
            .events
            .range(position..)
            .take(limit)
            .cloned()
            .collect())
    }

    /// How many wait for changes.
    pub(crate) fn watchers(&self) -> usize {
        self.changed.receiver_count()
    }

    /// Wakes whenever something changes.
    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }
}

fn within(namespace: &str, name: &Name) -> bool {
    namespace.is_empty() || *name.namespace == *namespace
}

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
            shelf.write().objects.insert(Named(object));
        }
        for past in loaded.history {
            let shelf = cache.shelf(&past.collection);
            let event = Event {
                deleted: past.deleted,
                object: past.object,
                previous: past.previous,
            };
            shelf.write().events.push_back(Arc::new(event));
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
        let event = Arc::new(Event {
            deleted: written.deleted,
            object: Arc::clone(&written.object),
            previous: written.previous.clone(),
        });
        self.shelf(&written.collection).write().apply(event);
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
            shelf.write().forget(horizon);
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
            self.shelf(&one.collection)
                .changed
                .send_replace(one.object.version);
        }
        for one in written {
            // Nobody listens once the server is closing.
            let _ = self.feed.send(one);
        }
    }
}
