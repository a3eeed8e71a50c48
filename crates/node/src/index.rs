//! Everything the node has observed, as plain state that watches feed and decisions read.
//!
//! The executor puts the results of its own writes in here too, so that a decision never runs on a
//! world that is older than the previous decision. Versions tell which of two views is newer.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use k8s_openapi::{
    api::{
        apps::v1::{ControllerRevision, DaemonSet, Deployment, ReplicaSet, StatefulSet},
        batch::v1::{CronJob, Job},
        core::v1::{
            ConfigMap, Namespace, Node, PersistentVolumeClaim, Pod, Secret, Service, ServiceAccount,
        },
        discovery::v1::EndpointSlice,
        networking::v1::NetworkPolicy,
    },
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

/// Namespace and name; the namespace of cluster-wide objects is empty.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl Key {
    /// The key of these names.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
        }
    }

    /// The key under which an object is kept.
    pub fn of(meta: &ObjectMeta) -> Self {
        Self::new(
            meta.namespace.clone().unwrap_or_default(),
            meta.name.clone().unwrap_or_default(),
        )
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.namespace.is_empty() {
            write!(f, "{}", self.name)
        } else {
            write!(f, "{}/{}", self.namespace, self.name)
        }
    }
}

/// The objects of one kind.
#[derive(Debug)]
pub struct Objects<K> {
    by_key: BTreeMap<Key, Arc<K>>,
    listed: Option<Listing>,
    complete: bool,
}

/// What a list that is being received has named so far.
#[derive(Debug, Default)]
struct Listing {
    keys: BTreeSet<Key>,
    newest: u64,
}

impl<K> Default for Objects<K> {
    fn default() -> Self {
        Self {
            by_key: BTreeMap::new(),
            listed: None,
            complete: false,
        }
    }
}

/// One kind of object the index keeps.
pub trait Kept:
    kube::Resource<DynamicType = ()>
    + k8s_openapi::Metadata<Ty = ObjectMeta>
    + Serialize
    + DeserializeOwned
    + Clone
    + std::fmt::Debug
    + Send
    + Sync
    + 'static
{
    /// Where objects of this kind are.
    fn all(index: &Index) -> &Objects<Self>;
    /// Where objects of this kind are, to change.
    fn all_mut(index: &mut Index) -> &mut Objects<Self>;
    /// An object as one of any kind.
    fn any(object: Arc<Self>) -> Any;
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $field:ident: $kind:ident,)*) => {
        /// What has been observed.
        #[derive(Debug, Default)]
        pub struct Index {
            $($(#[$doc])* pub $field: Objects<$kind>,)*
            gone: BTreeSet<String>,
        }

        /// An object of any kept kind.
        #[derive(Debug, Clone)]
        pub enum Any {
            $($(#[$doc])* $kind(Arc<$kind>),)*
        }

        impl Index {
            /// Whether every kind has been listed once.
            pub fn is_complete(&self) -> bool {
                $(self.$field.complete &&)* true
            }

            /// Takes in an object that a write returned; `None` when it is no news.
            pub fn absorb(&mut self, kind: &str, value: Value) -> Option<Change> {
                match kind {
                    $(stringify!($kind) => {
                        serde_json::from_value::<$kind>(value).ok().and_then(|o| self.apply(o))
                    })*
                    _ => None,
                }
            }

            /// Forgets an object that a write removed.
            pub fn forget(&mut self, kind: &str, key: &Key, uid: &str) -> Option<Change> {
                match kind {
                    $(stringify!($kind) => self.deleted::<$kind>(key, uid),)*
                    _ => None,
                }
            }
        }

        $(impl Kept for $kind {
            fn all(index: &Index) -> &Objects<Self> { &index.$field }
            fn all_mut(index: &mut Index) -> &mut Objects<Self> { &mut index.$field }
            fn any(object: Arc<Self>) -> Any { Any::$kind(object) }
        })*
    };
}

kinds! {
    /// Namespaces.
    namespaces: Namespace,
    /// Nodes.
    nodes: Node,
    /// Pods.
    pods: Pod,
    /// Deployments.
    deployments: Deployment,
    /// Replica sets.
    replica_sets: ReplicaSet,
    /// Daemon sets.
    daemon_sets: DaemonSet,
    /// Stateful sets.
    stateful_sets: StatefulSet,
    /// Revisions of stateful sets.
    revisions: ControllerRevision,
    /// Jobs.
    jobs: Job,
    /// Cron jobs.
    cron_jobs: CronJob,
    /// Services.
    services: Service,
    /// Endpoint slices.
    endpoint_slices: EndpointSlice,
    /// Config maps.
    config_maps: ConfigMap,
    /// Secrets.
    secrets: Secret,
    /// Service accounts.
    service_accounts: ServiceAccount,
    /// Claims of persistent folders.
    claims: PersistentVolumeClaim,
    /// Network policies.
    policies: NetworkPolicy,
}

/// A difference between two moments of the index.
#[derive(Debug, Clone)]
pub struct Change {
    /// The object before, when there was one.
    pub old: Option<Any>,
    /// The object now, when there is one.
    pub new: Option<Any>,
}

impl<K: Kept> Objects<K> {
    /// The object of this key.
    pub fn get(&self, key: &Key) -> Option<&Arc<K>> {
        self.by_key.get(key)
    }

    /// The object of this name.
    pub fn find(&self, namespace: &str, name: &str) -> Option<&Arc<K>> {
        self.by_key.get(&Key::new(namespace, name))
    }

    /// All objects in order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<K>> {
        self.by_key.values()
    }

    /// The objects of one namespace in order.
    pub fn within<'a>(&'a self, namespace: &'a str) -> impl Iterator<Item = &'a Arc<K>> + 'a {
        self.by_key
            .range(Key::new(namespace, "")..)
            .take_while(move |(key, _)| key.namespace == namespace)
            .map(|(_, object)| object)
    }

    /// The objects that `owner` controls.
    pub fn owned_by<'a>(&'a self, owner: &'a ObjectMeta) -> impl Iterator<Item = &'a Arc<K>> + 'a {
        let uid = owner.uid.as_deref();
        self.within(owner.namespace.as_deref().unwrap_or_default())
            .filter(move |object| {
                controller(object.metadata()).is_some_and(|c| Some(c.uid.as_str()) == uid)
            })
    }
}

impl Index {
    /// Takes in a newer view of an object; `None` when it is no news.
    pub fn apply<K: Kept>(&mut self, object: K) -> Option<Change> {
        let meta = object.metadata();
        if self.gone.contains(meta.uid.as_deref().unwrap_or_default()) {
            return None;
        }
        let key = Key::of(meta);
        let version = version(meta);
        let all = K::all_mut(self);
        if let Some(listing) = &mut all.listed {
            listing.keys.insert(key.clone());
        }
        let old = all.by_key.get(&key).cloned();
        if let Some(known) = &old
            && known.metadata().uid == object.metadata().uid
            && self::version(known.metadata()) >= version
        {
            return None;
        }
        let object = Arc::new(object);
        all.by_key.insert(key, Arc::clone(&object));
        Some(Change {
            old: old.map(K::any),
            new: Some(K::any(object)),
        })
    }

    /// Forgets an object that a watch says is gone.
    pub fn delete<K: Kept>(&mut self, meta: &ObjectMeta) -> Option<Change> {
        self.gone.remove(meta.uid.as_deref().unwrap_or_default());
        self.remove::<K>(&Key::of(meta), meta.uid.as_deref())
    }

    /// Forgets an object that our own write removed, before the watch has said so.
    pub fn deleted<K: Kept>(&mut self, key: &Key, uid: &str) -> Option<Change> {
        let change = self.remove::<K>(key, Some(uid));
        if change.is_some() {
            self.gone.insert(uid.to_owned());
        }
        change
    }

    fn remove<K: Kept>(&mut self, key: &Key, uid: Option<&str>) -> Option<Change> {
        let all = K::all_mut(self);
        let known = all.by_key.get(key)?;
        if uid.is_some() && known.metadata().uid.as_deref() != uid {
            return None;
        }
        let old = all.by_key.remove(key).map(K::any);
        Some(Change { old, new: None })
    }

    /// A complete list begins.
    pub fn begin<K: Kept>(&mut self) {
        K::all_mut(self).listed = Some(Listing::default());
    }

    /// Notes the version of a listed object, so that what was written after the list stays.
    pub fn listed<K: Kept>(&mut self, object: K) -> Option<Change> {
        if let Some(listing) = &mut K::all_mut(self).listed {
            listing.newest = listing.newest.max(version(object.metadata()));
        }
        self.apply(object)
    }

    /// A complete list has ended: what it did not name is gone.
    pub fn end<K: Kept>(&mut self) -> Vec<Change> {
        let all = K::all_mut(self);
        all.complete = true;
        let Some(listing) = all.listed.take() else {
            return Vec::new();
        };
        let missing: Vec<Key> = all
            .by_key
            .iter()
            .filter(|(key, object)| {
                !listing.keys.contains(key) && version(object.metadata()) <= listing.newest
            })
            .map(|(key, _)| key.clone())
            .collect();
        missing
            .iter()
            .filter_map(|key| self.remove::<K>(key, None))
            .collect()
    }
}

/// The index as tasks share it. Decisions take it for as long as they compute, never across a wait.
#[derive(Debug, Clone, Default)]
pub struct Shared(Arc<RwLock<Index>>);

impl Shared {
    /// To look.
    pub fn read(&self) -> RwLockReadGuard<'_, Index> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// To change.
    pub fn write(&self) -> RwLockWriteGuard<'_, Index> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn version(meta: &ObjectMeta) -> u64 {
    meta.resource_version
        .as_deref()
        .and_then(|v| v.parse().ok())
        .unwrap_or_default()
}

/// The owner that controls an object.
pub fn controller(meta: &ObjectMeta) -> Option<&OwnerReference> {
    meta.owner_references
        .iter()
        .flatten()
        .find(|owner| owner.controller == Some(true))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(name: &str, version: u64, uid: &str) -> Pod {
        Pod {
            metadata: ObjectMeta {
                name: Some(name.into()),
                namespace: Some("ns".into()),
                uid: Some(uid.into()),
                resource_version: Some(version.to_string()),
                ..ObjectMeta::default()
            },
            ..Pod::default()
        }
    }

    #[test]
    fn older_views_are_no_news() {
        let mut index = Index::default();
        assert!(index.apply(pod("a", 5, "u")).is_some());
        assert!(index.apply(pod("a", 4, "u")).is_none());
        assert!(index.apply(pod("a", 6, "u")).is_some());
        assert!(
            index.apply(pod("a", 3, "other")).is_some(),
            "a new object of the same name"
        );
    }

    #[test]
    fn own_deletions_are_not_undone_by_late_watch_events() {
        let mut index = Index::default();
        index.apply(pod("a", 5, "u"));
        assert!(index.deleted::<Pod>(&Key::new("ns", "a"), "u").is_some());
        assert!(index.apply(pod("a", 6, "u")).is_none());
        assert!(index.delete::<Pod>(&pod("a", 7, "u").metadata).is_none());
    }

    #[test]
    fn a_list_removes_what_it_does_not_name_unless_it_is_newer() {
        let mut index = Index::default();
        index.apply(pod("old", 5, "1"));
        index.apply(pod("own-write", 20, "2"));
        index.begin::<Pod>();
        index.listed(pod("kept", 10, "3"));
        let changes = index.end::<Pod>();
        assert_eq!(changes.len(), 1);
        let names: Vec<_> = index
            .pods
            .iter()
            .map(|p| p.metadata.name.clone().unwrap())
            .collect();
        assert_eq!(names, ["kept", "own-write"]);
    }
}
