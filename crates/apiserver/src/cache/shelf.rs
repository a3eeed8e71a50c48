//! All objects of one kind, and what happened to them lately.

use std::{
    borrow::Borrow,
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet, HashSet, VecDeque},
    hash::{Hash, Hasher},
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use tokio::sync::watch;

use crate::object::{Identity, Name, Stored};

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

/// An object, found by its name.
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

impl Hash for Named {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.name().hash(state);
    }
}

/// The place of an object in the order of names.
struct Ordered(Arc<Identity>);

impl Borrow<Name> for Ordered {
    fn borrow(&self) -> &Name {
        &self.0.name
    }
}

impl PartialEq for Ordered {
    fn eq(&self, other: &Self) -> bool {
        self.0.name == other.0.name
    }
}

impl Eq for Ordered {}

impl PartialOrd for Ordered {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Ordered {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.name.cmp(&other.0.name)
    }
}

#[derive(Default)]
struct State {
    objects: HashSet<Named>,
    /// Only lists need it: what is written looks for one object, which takes longer in an order.
    order: BTreeSet<Ordered>,
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
            self.order.remove(event.object.name());
        } else {
            self.put(&event.object);
        }
        self.events.push_back(event);
    }

    fn put(&mut self, object: &Arc<Stored>) {
        let old = self.objects.replace(Named(Arc::clone(object)));
        let is_known = |Named(old): Named| Arc::ptr_eq(old.identity(), object.identity());
        if !old.is_some_and(is_known) {
            self.order.replace(Ordered(Arc::clone(object.identity())));
        }
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

    /// Every object of a namespace (of all, if it is empty), in the order of names.
    fn of(&self, namespace: &str) -> impl Iterator<Item = &Arc<Stored>> {
        let find = |name| self.objects.get(name).map(|Named(object)| object);
        self.names(namespace).filter_map(find)
    }

    /// What they are called.
    fn names(&self, namespace: &str) -> impl Iterator<Item = &Name> {
        let names = self.order.range(Name::new(namespace, "")..);
        let names = names.map(|Ordered(identity)| &identity.name);
        names.take_while(move |name| within(namespace, name))
    }
}

impl Shelf {
    pub(super) fn new(horizon: u64) -> Self {
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

    /// Takes an object that was there before the start.
    pub(super) fn load(&self, object: &Arc<Stored>) {
        self.write().put(object);
    }

    /// Takes something that happened before the start, in order.
    pub(super) fn recall(&self, event: Event) {
        self.write().events.push_back(Arc::new(event));
    }

    /// Takes what happened. Nobody is woken by it yet.
    pub(super) fn apply(&self, event: Event) {
        self.write().apply(Arc::new(event));
    }

    /// Wakes those who wait for the change of this version.
    pub(super) fn wake(&self, version: u64) {
        self.changed.send_replace(version);
    }

    /// Forgets what happened up to this version.
    pub(super) fn forget(&self, horizon: u64) {
        self.write().forget(horizon);
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
        for name in self.read().names(namespace) {
            visit(&name.name);
        }
    }

    /// Whether the namespace (any, if it is empty) holds an object of this kind.
    pub(crate) fn occupies(&self, namespace: &str) -> bool {
        self.read().names(namespace).next().is_some()
    }

    /// Every object of a namespace (of all, if it is empty), now. `committed`
    /// is the newest version published before the call.
    pub(crate) fn now(&self, namespace: &str, committed: u64) -> Snapshot {
        let state = self.read();
        let version = committed.max(state.newest());
        Snapshot {
            version,
            objects: state.of(namespace).cloned().collect(),
        }
    }

    /// The first objects of a namespace (of all, if it is empty), now, and how many there are.
    pub(crate) fn first(&self, namespace: &str, count: usize, committed: u64) -> (Snapshot, usize) {
        let state = self.read();
        let all = if namespace.is_empty() {
            state.objects.len()
        } else {
            state.names(namespace).count()
        };
        let snapshot = Snapshot {
            version: committed.max(state.newest()),
            objects: state.of(namespace).take(count).cloned().collect(),
        };
        (snapshot, all)
    }

    /// Every object of a namespace as it was at `version`.
    pub(crate) fn then(&self, namespace: &str, version: u64) -> Result<Snapshot, Forgotten> {
        let state = self.read();
        let position = state.position(version)?;
        let named = |object: &Arc<Stored>| (object.name().clone(), Arc::clone(object));
        let mut objects: BTreeMap<Name, Arc<Stored>> = state.of(namespace).map(named).collect();
        let undone = state.events.range(position..).rev();
        for event in undone.filter(|event| within(namespace, event.object.name())) {
            match &event.previous {
                Some(previous) => objects.extend([named(previous)]),
                None => drop(objects.remove(event.object.name())),
            }
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(place: (&str, &str), uid: &str, version: u64) -> Arc<Stored> {
        let (namespace, name) = place;
        let text = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {
            "namespace": namespace, "name": name, "uid": uid, "resourceVersion": version.to_string()}});
        Arc::new(Stored::parse(version, text.to_string().into()).unwrap())
    }

    fn happens(shelf: &Shelf, object: &Arc<Stored>, deleted: bool) {
        let previous = shelf.get(object.name());
        shelf.apply(Event {
            deleted,
            object: Arc::clone(object),
            previous,
        });
    }

    fn told(objects: &[Arc<Stored>]) -> Vec<String> {
        let tell = |one: &Arc<Stored>| {
            let (name, uid) = (one.name(), one.uid());
            format!("{}/{} {uid} {}", name.namespace, name.name, one.version)
        };
        objects.iter().map(tell).collect()
    }

    #[test]
    fn lists_are_in_the_order_of_names_whatever_happened() {
        let shelf = Shelf::new(0);
        shelf.load(&object(("b", "x"), "u1", 1));
        shelf.load(&object(("a", "z"), "u2", 2));
        happens(&shelf, &object(("a", "y"), "u3", 3), false);
        happens(&shelf, &object(("a", "z"), "u2", 4), false);
        happens(&shelf, &object(("b", "x"), "u1", 5), true);
        happens(&shelf, &object(("b", "x"), "u4", 6), false);
        let all = told(&shelf.now("", 0).objects);
        assert_eq!(all, ["a/y u3 3", "a/z u2 4", "b/x u4 6"]);
        assert_eq!(told(&shelf.now("b", 0).objects), ["b/x u4 6"]);
        let (first, count) = shelf.first("a", 1, 0);
        assert_eq!((told(&first.objects), count), (vec![all[0].clone()], 2));
        let then = shelf.then("", 3).unwrap();
        assert_eq!(told(&then.objects), ["a/y u3 3", "a/z u2 2", "b/x u1 1"]);
        happens(&shelf, &object(("b", "x"), "u4", 7), true);
        assert!(shelf.occupies("a") && !shelf.occupies("b"));
        assert_eq!(shelf.len(), 2);
    }
}
