//! The index as one decision sees it. Everything read is recorded.

use std::cell::RefCell;
use std::collections::BTreeMap;

use choreo_model::organization::OrganizationSpec;
use choreo_model::rendered::RenderedResource;
use choreo_model::{Object, Organization, RenderedRelease, Spec as _};
use k8s_openapi::jiff::Timestamp;
use serde::Serialize;

use crate::aspects::Aspects;
use crate::calls::Answer;
use crate::index::{Failure, Index};
use crate::key::{By, Group, Key, Target};
use crate::live::{Live, LiveKey, PodOwner};
use crate::manifests::{Manifest, Manifests};
use crate::placements::Standing;
use crate::tables::{Kept, kind_in};
use crate::usage::Ledger;

/// The index, read on behalf of one object.
pub(crate) struct View<'a> {
    index: &'a Index,
    reads: RefCell<BTreeMap<Target, Aspects>>,
}

impl<'a> View<'a> {
    pub(crate) fn new(index: &'a Index) -> Self {
        Self {
            index,
            reads: RefCell::default(),
        }
    }

    /// Everything that was read.
    pub(crate) fn into_reads(self) -> BTreeMap<Target, Aspects> {
        self.reads.into_inner()
    }

    /// What was parsed of types and traits; a cache, so reading it is not recorded.
    pub(crate) fn programs(&self) -> &'a choreo_compiler::Programs {
        &self.index.programs
    }

    /// The object decided about: its own changes wake it anyway.
    pub(crate) fn own<T: Kept>(&self, key: &Key) -> Option<&'a Object<T>> {
        T::table(&self.index.tables).get(key)
    }

    /// An object, without its status.
    pub(crate) fn get<T: Kept>(&self, namespace: &str, name: &str) -> Option<&'a Object<T>> {
        self.read::<T>(namespace, name, Aspects::NONE)
    }

    /// An object and its status.
    pub(crate) fn get_with_status<T: Kept>(
        &self,
        namespace: &str,
        name: &str,
    ) -> Option<&'a Object<T>> {
        self.get_with(namespace, name, Aspects::ALL)
    }

    /// An object and these parts of its status: no others may be looked at.
    pub(crate) fn get_with<T: Kept>(
        &self,
        namespace: &str,
        name: &str,
        parts: Aspects,
    ) -> Option<&'a Object<T>> {
        self.read::<T>(namespace, name, parts)
    }

    /// The members of a group, without their statuses.
    pub(crate) fn members<T: Kept>(&self, by: By, of: &[&str]) -> Vec<&'a Object<T>> {
        self.group(by, of, Aspects::NONE)
    }

    /// The members of a group as they are now, unrecorded: for who need not be woken when others come.
    pub(crate) fn members_now<T: Kept>(&self, by: By, of: &[&str]) -> Vec<&'a Object<T>> {
        let group = Group::new(T::KIND, by, of);
        let members = self.index.members(&group);
        members.filter_map(|key| self.own::<T>(key)).collect()
    }

    /// The members of a group and their statuses.
    pub(crate) fn members_with_status<T: Kept>(&self, by: By, of: &[&str]) -> Vec<&'a Object<T>> {
        self.members_with(by, of, Aspects::ALL)
    }

    /// The members of a group and these parts of their statuses: no others may be looked at.
    pub(crate) fn members_with<T: Kept>(
        &self,
        by: By,
        of: &[&str],
        parts: Aspects,
    ) -> Vec<&'a Object<T>> {
        self.group(by, of, parts)
    }

    /// The objects of a rendered release that was read.
    pub(crate) fn manifests(&self, rendered: &RenderedRelease) -> &'a [Manifest] {
        let found = self.index.manifests(rendered.namespace(), rendered.name());
        found.map_or(&[], Manifests::each)
    }

    /// The same, with all they say.
    pub(crate) fn objects(&self, rendered: &RenderedRelease) -> Vec<RenderedResource> {
        let found = self.index.manifests(rendered.namespace(), rendered.name());
        found.map(Manifests::objects).unwrap_or_default()
    }

    /// The digest of all they say, of a rendered release that was read.
    pub(crate) fn plan_digest(&self, rendered: &RenderedRelease) -> String {
        let found = self.index.manifests(rendered.namespace(), rendered.name());
        found.map(Manifests::plan_digest).unwrap_or_default()
    }

    /// Whether the objects of a rendered release that was read are these, each given with its identifier.
    pub(crate) fn has_objects<'b, T: Serialize + 'b>(
        &self,
        rendered: &RenderedRelease,
        objects: impl IntoIterator<Item = (&'b str, &'b T)>,
    ) -> bool {
        let found = self.index.manifests(rendered.namespace(), rendered.name());
        found.is_some_and(|found| found.are(objects))
    }

    /// The members of a group whose deletion was not asked for.
    pub(crate) fn staying(&self, group: &Group) -> Vec<Key> {
        self.record(Target::Group(group.clone()), Aspects::NONE);
        let members = self.index.members(group);
        members
            .filter(|key| !self.index.tables.is_deleting(key))
            .cloned()
            .collect()
    }

    /// The live objects of a rendered release.
    pub(crate) fn live_of(&self, release: &str) -> Vec<&'a Live> {
        self.record(Target::Live(release.to_owned()), Aspects::NONE);
        self.index.live_of(release).collect()
    }

    /// How a live object stands to what is wanted of it, of which `hash` is the hash.
    pub(crate) fn standing(&self, key: &LiveKey, hash: u64, now: Timestamp) -> Standing {
        self.index.standing(key, hash, now)
    }

    /// Why pods of a component or managed resource fail.
    pub(crate) fn failing_pod(&self, owner: &PodOwner<'_>) -> Option<&'a str> {
        let owner = owner.to_string();
        let why = self.index.failing_pod(&owner);
        self.record(Target::Pods(owner), Aspects::NONE);
        why
    }

    /// Whether a namespace of a plane is there, and if so, whether it is being deleted.
    pub(crate) fn namespace(&self, home: usize, name: &str) -> Option<bool> {
        self.record(Target::Namespace(home, name.to_owned()), Aspects::NONE);
        self.index.namespace(home, name)
    }

    /// What everything rendered in a control-plane namespace uses.
    pub(crate) fn usage(&self, namespace: &str) -> &'a Ledger {
        self.record(Target::Usage(namespace.to_owned()), Aspects::NONE);
        &self.index.ledger
    }

    /// The same, unrecorded: for who need not be woken whenever anything is used or freed.
    pub(crate) fn usage_now(&self) -> &'a Ledger {
        &self.index.ledger
    }

    /// The organisation of a control-plane namespace, unrecorded.
    pub(crate) fn organization_now(&self, namespace: &str) -> Option<&'a Organization> {
        let group = Group::new(OrganizationSpec::KIND, By::Namespace, &[namespace]);
        let first = self.index.members(&group).next()?;
        self.own::<OrganizationSpec>(first)
    }

    /// How many members a group has.
    pub(crate) fn count<T: Kept>(&self, by: By, of: &[&str]) -> usize {
        let group = Group::new(T::KIND, by, of);
        let count = self.index.members(&group).count();
        self.record(Target::Group(group), Aspects::NONE);
        count
    }

    /// Whether live objects of a type are all known.
    pub(crate) fn is_watched(&self, home: usize, type_: &str) -> bool {
        self.record(Target::Watched(home, type_.to_owned()), Aspects::NONE);
        self.index.is_watched(home, type_)
    }

    /// The plane of this `kind/namespace/name`.
    pub(crate) fn home(&self, plane: &str) -> usize {
        self.index.home(plane)
    }

    /// Since when what the binding of `key` says of its addresses is known here alone.
    pub(crate) fn foretold(&self, key: &Key) -> Option<Timestamp> {
        self.index.foretold(key)
    }

    /// The failure of the last writes for `key`.
    pub(crate) fn failure(&self, key: &Key) -> Option<&'a Failure> {
        self.index.failure(key)
    }

    /// What came of the last request `id` for `key`.
    pub(crate) fn answer(&self, key: &Key, id: &str) -> Option<&'a Answer> {
        self.index.answer(key, id)
    }

    fn read<T: Kept>(&self, namespace: &str, name: &str, status: Aspects) -> Option<&'a Object<T>> {
        let key = Key::new(kind_in::<T>(namespace), namespace, name);
        let object = self.own::<T>(&key);
        self.record(Target::Object(key), status);
        object
    }

    fn group<T: Kept>(&self, by: By, of: &[&str], status: Aspects) -> Vec<&'a Object<T>> {
        self.record(Target::Group(Group::new(T::KIND, by, of)), status);
        self.members_now(by, of)
    }

    fn record(&self, target: Target, status: Aspects) {
        let mut reads = self.reads.borrow_mut();
        let known = reads.entry(target).or_default();
        *known = known.and(status);
    }
}
