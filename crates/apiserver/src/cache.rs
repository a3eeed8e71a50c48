//! Every object in memory, with the recent past of each kind: lists and
//! watches are served from here and never touch the disk.

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    ops::Bound,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use tokio::sync::{mpsc, watch};

use crate::{
    object::{Name, Stored},
    store::{Collection, Loaded, Publish, Written},
};

/// Events that are always remembered, whatever their size.
const EVENTS_MIN: usize = 256;
/// Events that are never exceeded.
const EVENTS_MAX: usize = 8_192;
/// Bytes of objects that only the past refers to.
const EVENT_BYTES: usize = 1 << 20;

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

#[derive(Default)]
struct State {
    objects: BTreeMap<Name, Arc<Stored>>,
    events: VecDeque<Arc<Event>>,
    /// Everything after this version is in `events`.
    horizon: u64,
    bytes: usize,
}

impl State {
    fn remember(&mut self, event: Arc<Event>) {
        self.bytes += weight(&event);
        self.events.push_back(event);
        while self.events.len() > EVENTS_MAX
            || (self.bytes > EVENT_BYTES && self.events.len() > EVENTS_MIN)
        {
            let Some(event) = self.events.pop_front() else {
                break;
            };
            self.bytes = self.bytes.saturating_sub(weight(&event));
            self.horizon = event.version();
        }
    }

    fn apply(&mut self, event: Arc<Event>) {
        let name = &event.object.name;
        if event.deleted {
            self.objects.remove(name);
        } else {
            self.objects.insert(name.clone(), Arc::clone(&event.object));
        }
        self.remember(event);
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
        if namespace.is_empty() {
            return self.objects.values().cloned().collect();
        }
        let from = Name::new(namespace, "");
        self.objects
            .range((Bound::Included(from), Bound::Unbounded))
            .take_while(|(name, _)| *name.namespace == *namespace)
            .map(|(_, object)| Arc::clone(object))
            .collect()
    }
}

/// What an event keeps in memory that would otherwise be gone.
fn weight(event: &Event) -> usize {
    let past = event.previous.as_ref().map_or(0, |object| object.weight());
    let last = if event.deleted {
        event.object.weight()
    } else {
        0
    };
    past + last + 128
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
        self.read().objects.get(name).cloned()
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
        let state = self.read();
        let from = Name::new(namespace, "");
        let names = state
            .objects
            .range((Bound::Included(from), Bound::Unbounded));
        for (name, _) in names.take_while(|(name, _)| within(namespace, name)) {
            visit(&name.name);
        }
    }

    /// Whether the namespace holds an object of this kind.
    pub(crate) fn occupies(&self, namespace: &str) -> bool {
        let from = Name::new(namespace, "");
        let state = self.read();
        let first = state
            .objects
            .range((Bound::Included(from), Bound::Unbounded))
            .next();
        first.is_some_and(|(name, _)| *name.namespace == *namespace)
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

    /// Every object of a namespace as it was at `version`.
    pub(crate) fn then(&self, namespace: &str, version: u64) -> Result<Snapshot, Forgotten> {
        let state = self.read();
        let position = state.position(version)?;
        let mut objects: BTreeMap<Name, Arc<Stored>> = state
            .range(namespace)
            .into_iter()
            .map(|object| (object.name.clone(), object))
            .collect();
        let undone = state.events.range(position..).rev();
        for event in undone.filter(|event| within(namespace, &event.object.name)) {
            match &event.previous {
                Some(previous) => objects.insert(previous.name.clone(), Arc::clone(previous)),
                None => objects.remove(&event.object.name),
            };
        }
        Ok(Snapshot {
            version,
            objects: objects.into_values().collect(),
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
    places: HashMap<Arc<str>, Place>,
    dependents: HashMap<Arc<str>, HashSet<Place>>,
}

impl Owners {
    fn add(&mut self, collection: &Collection, object: &Stored) {
        let place = (Arc::clone(collection), object.name.clone());
        for owner in &object.head.owners {
            self.dependents
                .entry(owner.clone())
                .or_default()
                .insert(place.clone());
        }
        self.places.insert(object.head.uid.clone(), place);
    }

    fn remove(&mut self, collection: &Collection, object: &Stored) {
        let place = (Arc::clone(collection), object.name.clone());
        for owner in &object.head.owners {
            if let Some(dependents) = self.dependents.get_mut(owner) {
                dependents.remove(&place);
                if dependents.is_empty() {
                    self.dependents.remove(owner);
                }
            }
        }
        if self.places.get(&object.head.uid) == Some(&place) {
            self.places.remove(&object.head.uid);
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
        };
        for (collection, object) in loaded.objects {
            cache.owners().add(&collection, &object);
            let shelf = cache.shelf(&collection);
            shelf.write().objects.insert(object.name.clone(), object);
        }
        for past in loaded.history {
            let shelf = cache.shelf(&past.collection);
            let event = Event {
                deleted: past.deleted,
                object: past.object,
                previous: past.previous,
            };
            shelf.write().remember(Arc::new(event));
        }
        cache
    }

    fn owners(&self) -> MutexGuard<'_, Owners> {
        self.owners.lock().unwrap_or_else(PoisonError::into_inner)
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
    pub(crate) fn place(&self, uid: &str) -> Option<Place> {
        self.owners().places.get(uid).cloned()
    }

    /// The objects that name this UID as an owner.
    pub(crate) fn dependents(&self, uid: &str) -> Vec<Place> {
        let owners = self.owners();
        owners
            .dependents
            .get(uid)
            .into_iter()
            .flatten()
            .cloned()
            .collect()
    }

    /// Every object that has an owner.
    pub(crate) fn owned(&self) -> Vec<Place> {
        let owners = self.owners();
        let all: HashSet<&Place> = owners.dependents.values().flatten().collect();
        all.into_iter().cloned().collect()
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
    let (new, old) = (&written.object.head, written.previous.as_ref());
    let same = old.is_some_and(|old| old.head.uid == new.uid && old.head.owners == new.owners);
    same && !written.deleted
}

impl Publish for Cache {
    fn current(&self, collection: &Collection, name: &Name) -> Option<Arc<Stored>> {
        self.shelf(collection).get(name)
    }

    fn publish(&self, written: Vec<Written>) {
        let Some(version) = written.last().map(|last| last.object.version) else {
            return;
        };
        for one in &written {
            self.take(one);
        }
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
