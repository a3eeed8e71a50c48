//! The index: what was observed, and who has read what of it.

mod observed;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use choreo_model::organization::OrganizationSpec;
use choreo_model::release::{EndpointStatus, ReleaseBindingSpec};
use choreo_model::rendered::RenderedReleaseSpec;
use choreo_model::{RenderedRelease, Spec as _, labels};
use k8s_openapi::jiff::Timestamp;
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

use crate::aspects::Aspects;
use crate::calls::Answer;
use crate::decision::{Home, Write};
use crate::keep::Touched;
use crate::key::{Group, Key, Target};
use crate::live::{Live, LiveKey};
use crate::manifests::Manifests;
use crate::material;
use crate::members::Members;
use crate::placements::{Placements, Standing};
use crate::readers::{Readers, Seen};
use crate::tables::{Kept as _, Tables};
use crate::usage::{Ledger, Usage};

/// Something that was observed.
#[derive(Debug)]
pub enum Change {
    /// An object of the platform is there, as it is now: its kind, and its text.
    Applied(&'static str, Box<RawValue>),
    /// An object of the platform is gone.
    Deleted(Key),
    /// Of a kind of the platform exactly these objects are there, and each was applied.
    Listed(&'static str, BTreeSet<Key>),
    /// An object of a plane is there, as it is now.
    LiveApplied(usize, Value),
    /// An object of a plane is gone.
    LiveDeleted(usize, Value),
    /// Of a type exactly these objects are on a plane, and each was applied.
    LiveListed {
        /// The plane.
        home: usize,
        /// `group/version`, or the version alone for the core group.
        api_version: String,
        /// The kind.
        kind: String,
        /// The objects.
        listed: BTreeSet<LiveKey>,
    },
}

impl Change {
    /// An object of the platform is there. Nothing if it is of no kind of the platform.
    pub fn applied(object: &Value) -> Option<Self> {
        let key = platform_key(object)?;
        Some(Self::Applied(key.kind, to_raw_value(object).ok()?))
    }

    /// An object of the platform is gone. Nothing if it is of no kind of the platform.
    pub fn deleted(object: &Value) -> Option<Self> {
        platform_key(object).map(Self::Deleted)
    }
}

/// A write that failed, and how often.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) message: String,
    pub(crate) attempts: u32,
}

/// What was observed. Where there is much, it is found by a hash: a search in an order compares names many
/// times, and each is elsewhere in memory. Who goes through all of it puts it in order first.
#[derive(Default)]
pub struct Index {
    pub(crate) tables: Tables,
    members: HashMap<Group, Members>,
    live: HashMap<LiveKey, Live>,
    live_of: HashMap<Arc<str>, BTreeSet<LiveKey>>,
    /// Namespaces of planes, and whether they are being deleted.
    namespaces: BTreeMap<(usize, String), bool>,
    /// Pods whose containers keep failing, by owner: the pod, and why.
    failing_pods: BTreeMap<String, BTreeMap<LiveKey, String>>,
    /// Types of live objects whose first list has arrived.
    watched: BTreeSet<(usize, String)>,
    placements: Placements,
    /// Bindings whose addresses are known here and not told yet, and since when.
    foretold: HashMap<Key, Timestamp>,
    failures: HashMap<Key, Failure>,
    /// What came of requests, by their identifier.
    answers: HashMap<Key, BTreeMap<String, Answer>>,
    readers: Readers,
    /// Planes of their own, by `kind/namespace/name`; any other is the first.
    homes: BTreeMap<String, usize>,
    /// What everything rendered uses.
    pub(crate) ledger: Ledger,
    /// What was parsed of types and traits.
    pub(crate) programs: choreo_compiler::Programs,
}

impl Index {
    /// An empty index; these planes have places of their own.
    pub(crate) fn with_homes(homes: BTreeMap<String, usize>) -> Self {
        Self {
            homes,
            ..Self::default()
        }
    }

    /// Takes a change in and returns the objects it concerns.
    pub fn apply(&mut self, change: Change) -> BTreeSet<Key> {
        let mut woken = BTreeSet::new();
        match change {
            Change::Applied(kind, text) => self.keep(kind, text.get(), &mut woken),
            Change::Deleted(key) => self.forget(&key, &mut woken),
            Change::Listed(kind, listed) => self.keep_only(kind, &listed, &mut woken),
            Change::LiveApplied(home, object) => self.keep_live(home, &object, &mut woken),
            Change::LiveDeleted(home, object) => {
                self.forget_live(&LiveKey::of(home, &object), &mut woken);
            }
            Change::LiveListed {
                home,
                api_version,
                kind,
                listed,
            } => self.keep_only_live(home, (&api_version, &kind), &listed, &mut woken),
        }
        woken
    }

    /// Remembers what a decision for `key` has read: a change of it concerns `key`. Returns the objects that
    /// the decision itself concerns.
    pub fn remember(
        &mut self,
        key: &Key,
        decision: &crate::Decision,
        now: Timestamp,
    ) -> BTreeSet<Key> {
        let known = self.tables.key(key);
        let key = known.unwrap_or_else(|| Arc::new(key.clone()));
        self.readers.note(&key, &decision.reads);
        self.tables.tidy();
        if self.ledger.is_open() {
            self.reserve(decision);
        }
        let mut woken = BTreeSet::new();
        if let Some(endpoints) = &decision.endpoints {
            self.foretold.entry(Key::clone(&key)).or_insert(now);
            self.foretell(&key, endpoints, &mut woken);
        }
        woken
    }

    /// Lets a binding say already where it is reached.
    fn foretell(&mut self, key: &Key, endpoints: &[EndpointStatus], woken: &mut BTreeSet<Key>) {
        let bindings = ReleaseBindingSpec::table_mut(&mut self.tables);
        let known = bindings.get(key);
        let known = known.filter(|known| known.status.endpoints != endpoints);
        let Some(mut binding) = known.cloned() else {
            return;
        };
        binding.status.endpoints = endpoints.to_vec();
        let groups = ReleaseBindingSpec::groups(&binding);
        bindings.put(binding);
        let seen = Seen::Status(Aspects::ENDPOINTS);
        self.wake(&Target::Object(key.clone()), seen, woken);
        for group in groups {
            self.wake(&Target::Group(group), seen, woken);
        }
    }

    /// Remembers that writing for `key` failed.
    pub(crate) fn fail(&mut self, key: &Key, message: String) -> u32 {
        let failure = self.failures.entry(key.clone()).or_default();
        failure.message = message;
        failure.attempts += 1;
        failure.attempts
    }

    /// Remembers that writing for `key` succeeded; returns whether it had failed before.
    pub(crate) fn succeed(&mut self, key: &Key) -> bool {
        self.failures.remove(key).is_some()
    }

    /// Remembers what came of the request `id` for `key`.
    pub(crate) fn answered(
        &mut self,
        key: &Key,
        id: String,
        outcome: Result<u16, String>,
        at: Timestamp,
    ) {
        let answers = self.answers.entry(key.clone()).or_default();
        let attempts = answers.get(&id).map_or(0, |answer| answer.attempts) + 1;
        let answer = Answer {
            outcome,
            at,
            attempts,
        };
        answers.insert(id, answer);
    }

    pub(crate) fn answer(&self, key: &Key, id: &str) -> Option<&Answer> {
        self.answers.get(key)?.get(id)
    }

    /// Where the plane of this `kind/namespace/name` is.
    pub(crate) fn home(&self, plane: &str) -> usize {
        self.homes.get(plane).copied().unwrap_or_default()
    }

    /// Since when the addresses of a binding are known, and not told yet.
    pub(crate) fn foretold(&self, key: &Key) -> Option<Timestamp> {
        self.foretold.get(key).copied()
    }

    pub(crate) fn failure(&self, key: &Key) -> Option<&Failure> {
        self.failures.get(key)
    }

    pub(crate) fn members(&self, group: &Group) -> impl Iterator<Item = &Key> {
        let members = self.members.get(group).into_iter();
        members.flat_map(Members::iter).map(AsRef::as_ref)
    }

    pub(crate) fn live_of(&self, release: &str) -> impl Iterator<Item = &Live> {
        self.live_of
            .get(release)
            .into_iter()
            .flatten()
            .filter_map(|key| self.live.get(key))
    }

    /// The objects of a rendered release.
    pub(crate) fn manifests(&self, namespace: &str, name: &str) -> Option<&Manifests> {
        self.tables.aside.manifests(namespace, name)
    }

    /// Why pods of a component or managed resource fail.
    pub(crate) fn failing_pod(&self, owner: &str) -> Option<&str> {
        self.failing_pods
            .get(owner)?
            .values()
            .next()
            .map(String::as_str)
    }

    pub(crate) fn namespace(&self, home: usize, name: &str) -> Option<bool> {
        self.namespaces.get(&(home, name.to_owned())).copied()
    }

    pub(crate) fn is_watched(&self, home: usize, type_: &str) -> bool {
        self.watched.contains(&(home, type_.to_owned()))
    }

    /// How a live object stands to what is wanted, of which `hash` is the hash.
    pub(crate) fn standing(&self, key: &LiveKey, hash: u64, now: Timestamp) -> Standing {
        let edition = self.live.get(key).map(|live| live.edition);
        self.placements.standing(key, hash, edition, now)
    }

    fn keep(&mut self, kind: &str, text: &str, woken: &mut BTreeSet<Key>) {
        match self.tables.keep(kind, text) {
            Ok(touched) => {
                self.foretold.remove(&*touched.key);
                self.book(&touched.key, woken);
                self.touch(touched, woken);
            }
            Err(error) => {
                let object: Value = serde_json::from_str(text).unwrap_or_default();
                tracing::warn!(
                    kind,
                    name = object["metadata"]["name"].as_str(),
                    namespace = object["metadata"]["namespace"].as_str(),
                    error = &error as &dyn std::error::Error,
                    "an object is left out of account",
                );
            }
        }
    }

    /// Books what a rendered release uses, from when on there is an organisation that wants to know.
    fn book(&mut self, key: &Key, woken: &mut BTreeSet<Key>) {
        match key.kind {
            OrganizationSpec::KIND if !self.ledger.is_open() => {
                self.ledger.open();
                for key in RenderedReleaseSpec::table(&self.tables).keys() {
                    book(&self.tables, &mut self.ledger, key);
                }
            }
            RenderedReleaseSpec::KIND
                if self.ledger.is_open() && book(&self.tables, &mut self.ledger, key) =>
            {
                self.wake(&Target::Usage(key.namespace.clone()), Seen::Content, woken);
            }
            _ => {}
        }
    }

    /// Books what a decision is about to write, so that the next one cannot have it too.
    fn reserve(&mut self, decision: &crate::Decision) {
        for write in &decision.writes {
            let Write::Apply {
                home: Home::Control,
                object,
            } = write
            else {
                continue;
            };
            if object["kind"] == RenderedReleaseSpec::KIND
                && let Ok(rendered) = serde_json::from_value::<RenderedRelease>(object.clone())
            {
                let usage = Usage::of(rendered.spec.resources.iter().map(|one| &one.object));
                let project = &rendered.spec.owner.project_name;
                let place = (rendered.namespace(), rendered.name());
                self.ledger.reserve(place, project, usage);
            }
        }
    }

    fn forget(&mut self, key: &Key, woken: &mut BTreeSet<Key>) {
        if let Some(touched) = self.tables.forget(key) {
            self.book(key, woken);
            self.touch(touched, woken);
            self.readers.forget(key);
            self.foretold.remove(key);
            self.failures.remove(key);
            self.answers.remove(key);
            if material::users(key.kind).is_empty() {
                woken.remove(key);
            } else {
                // Somebody may have needed it.
                woken.insert(key.clone());
            }
        }
    }

    fn keep_only(&mut self, kind: &'static str, listed: &BTreeSet<Key>, woken: &mut BTreeSet<Key>) {
        for key in self.tables.keys(kind) {
            if !listed.contains(&*key) {
                self.forget(&key, woken);
            }
        }
    }

    fn touch(&mut self, touched: Touched, woken: &mut BTreeSet<Key>) {
        let (left, joined) = (touched.left, touched.joined);
        // Whoever comes or goes by a status is news also to those who read no statuses.
        let moves = |group: &Group| left.contains(group) != joined.contains(group);
        let moved: Vec<bool> = touched.groups.iter().map(moves).collect();
        for group in left.iter().filter(|group| !joined.contains(group)) {
            let rest = self.members.remove_entry(group);
            let rest = rest.and_then(|(group, all)| Some((group, all.without(&touched.key)?)));
            self.members.extend(rest);
        }
        for group in joined {
            let key = || Arc::clone(&touched.key);
            self.members
                .entry(group)
                .and_modify(|members| members.insert(key()))
                .or_insert_with(|| Members::One(key()));
        }
        let key = Key::clone(&touched.key);
        if touched.own {
            woken.insert(key.clone());
        }
        let Some(seen) = touched.seen else {
            return;
        };
        self.wake(&Target::Object(key), seen, woken);
        for (group, moved) in touched.groups.into_iter().zip(moved) {
            let seen = if moved { Seen::Content } else { seen };
            self.wake(&Target::Group(group), seen, woken);
        }
    }

    /// Adds everyone whom a change of `target` concerns.
    fn wake(&self, target: &Target, seen: Seen, woken: &mut BTreeSet<Key>) {
        woken.extend(self.readers.of(target, seen).cloned());
    }
}

/// Books a rendered release as it is kept; says whether anything else is used than before.
fn book(tables: &Tables, ledger: &mut Ledger, key: &Key) -> bool {
    let (namespace, name) = (key.namespace.as_str(), key.name.as_str());
    let rendered = RenderedReleaseSpec::table(tables).get(key);
    match (rendered, tables.aside.manifests(namespace, name)) {
        (Some(rendered), Some(manifests)) => {
            let project = &rendered.spec.owner.project_name;
            ledger.enter((namespace, name), project, manifests.usage())
        }
        _ => ledger.strike(namespace, name),
    }
}

fn platform_key(object: &Value) -> Option<Key> {
    let kind = choreo_model::find(object["kind"].as_str()?)?.kind;
    let metadata = &object["metadata"];
    Some(Key::new(
        kind,
        metadata["namespace"].as_str().unwrap_or_default(),
        metadata["name"].as_str()?,
    ))
}

/// The labels by which live objects of a kind are found; none for all of them.
pub(crate) fn live_selector(kind: &str) -> Option<String> {
    // Whether a namespace is there matters, whoever made it.
    if kind == "Namespace" {
        return None;
    }
    // Pods are made by others, of templates that carry the labels of what they belong to.
    if kind == "Pod" {
        return Some(labels::ENVIRONMENT_UID.to_owned());
    }
    let (key, value) = (labels::MANAGED_BY, labels::RENDERED_RELEASE_CONTROLLER);
    // Promotions make jobs of their own.
    if kind == "Job" {
        let also = labels::PROMOTION_CONTROLLER;
        return Some(format!("{key} in ({value},{also})"));
    }
    Some(format!("{key}={value}"))
}
