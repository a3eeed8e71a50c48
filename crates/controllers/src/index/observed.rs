//! What was observed on planes: live objects, namespaces, pods that fail.

use std::collections::BTreeSet;
use std::sync::Arc;

use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

use super::Index;
use crate::act::Written;
use crate::health;
use crate::key::{Key, Target};
use crate::live::{Live, LiveKey, PodOwner};
use crate::readers::Seen;

impl Index {
    /// Remembers that a live object was written; returns whether anything came of it.
    pub(crate) fn wrote(&mut self, written: Written, now: Timestamp) -> bool {
        self.adopt(&written.key);
        self.placements.note(written, now)
    }

    /// Lets a live object that a watch has brought before its write was answered go by the key that what
    /// renders it has, so that there is one copy.
    fn adopt(&mut self, key: &LiveKey) {
        let Some((known, _)) = self
            .live
            .get_key_value(key)
            .filter(|(known, _)| !known.is(key))
        else {
            return;
        };
        let known = known.clone();
        if let Some(live) = self.live.remove(&known) {
            if let Some(keys) = self.live_of.get_mut(&live.release) {
                keys.replace(key.clone());
            }
            let live = Live {
                key: key.clone(),
                ..live
            };
            self.live.insert(key.clone(), live);
        }
    }

    pub(super) fn keep_live(&mut self, home: usize, object: &Value, woken: &mut BTreeSet<Key>) {
        let key = LiveKey::of(home, object);
        if &*key.kind == "Namespace" && &*key.api_version == "v1" {
            self.keep_namespace(&key, Some(object), woken);
        }
        if &*key.kind == "Pod" && &*key.api_version == "v1" {
            return self.keep_pod(&key, Some(object), woken);
        }
        let known = self.live.get_key_value(&key).map(|(key, _)| key.clone());
        let key = known.or_else(|| self.placements.key(&key)).unwrap_or(key);
        let new = Live::of(key.clone(), object);
        let old = match &new {
            Some(new) => self.live.insert(key.clone(), new.clone()),
            None => self.live.remove(&key),
        };
        if old == new {
            return;
        }
        for release in [&old, &new]
            .into_iter()
            .flatten()
            .map(|live| Arc::clone(&live.release))
        {
            let present = new.as_ref().is_some_and(|new| new.release == release);
            self.file_live(&release, &key, present);
            self.wake(
                &Target::Live(release.as_ref().to_owned()),
                Seen::Content,
                woken,
            );
        }
    }

    pub(super) fn forget_live(&mut self, key: &LiveKey, woken: &mut BTreeSet<Key>) {
        if &*key.kind == "Namespace" && &*key.api_version == "v1" {
            self.keep_namespace(key, None, woken);
        }
        if &*key.kind == "Pod" && &*key.api_version == "v1" {
            return self.keep_pod(key, None, woken);
        }
        self.placements.forget(key);
        if let Some(old) = self.live.remove(key) {
            self.file_live(&old.release, key, false);
            self.wake(
                &Target::Live(old.release.as_ref().to_owned()),
                Seen::Content,
                woken,
            );
        }
    }

    fn file_live(&mut self, release: &Arc<str>, key: &LiveKey, present: bool) {
        if present {
            self.live_of
                .entry(Arc::clone(release))
                .or_default()
                .insert(key.clone());
        } else if let Some(keys) = self.live_of.get_mut(release) {
            keys.remove(key);
            if keys.is_empty() {
                self.live_of.remove(release);
            }
        }
    }

    /// Of pods only those are kept that tell why something does not work.
    fn keep_pod(&mut self, key: &LiveKey, object: Option<&Value>, woken: &mut BTreeSet<Key>) {
        let deleting = object.is_some_and(|it| it["metadata"].get("deletionTimestamp").is_some());
        let why = object.filter(|_| !deleting).and_then(|object| {
            Some((
                PodOwner::of(object)?.to_string(),
                health::stuck(&object["status"])?,
            ))
        });
        let known = self
            .failing_pods
            .iter()
            .find(|(_, pods)| pods.contains_key(key));
        let old = known.and_then(|(owner, pods)| Some((owner.clone(), pods.get(key)?.clone())));
        if old == why {
            return;
        }
        if let Some((owner, _)) = old {
            if let Some(pods) = self.failing_pods.get_mut(&owner) {
                pods.remove(key);
            }
            self.failing_pods.retain(|_, pods| !pods.is_empty());
            self.wake(&Target::Pods(owner), Seen::Content, woken);
        }
        if let Some((owner, why)) = why {
            self.failing_pods
                .entry(owner.clone())
                .or_default()
                .insert(key.clone(), why);
            self.wake(&Target::Pods(owner), Seen::Content, woken);
        }
    }

    fn keep_namespace(&mut self, key: &LiveKey, object: Option<&Value>, woken: &mut BTreeSet<Key>) {
        let place = (key.home, key.name.as_ref().to_owned());
        let new = object.map(|object| object["metadata"].get("deletionTimestamp").is_some());
        let old = match new {
            Some(deleting) => self.namespaces.insert(place, deleting),
            None => self.namespaces.remove(&place),
        };
        if old != new {
            self.wake(
                &Target::Namespace(key.home, key.name.as_ref().to_owned()),
                Seen::Content,
                woken,
            );
        }
    }

    pub(super) fn keep_only_live(
        &mut self,
        home: usize,
        (api_version, kind): (&str, &str),
        listed: &BTreeSet<LiveKey>,
        woken: &mut BTreeSet<Key>,
    ) {
        let is_namespace = kind == "Namespace" && api_version == "v1";
        let known = self.live.keys().filter(|key| {
            key.home == home && &*key.api_version == api_version && &*key.kind == kind
        });
        let mut gone: BTreeSet<LiveKey> =
            known.filter(|key| !listed.contains(key)).cloned().collect();
        if is_namespace {
            let names = self.namespaces.keys().filter(|(known, _)| *known == home);
            gone.extend(
                names
                    .map(|(_, name)| LiveKey::new(home, (api_version, kind), ("", name)))
                    .filter(|key| !listed.contains(key)),
            );
        }
        for key in gone {
            self.forget_live(&key, woken);
        }
        let type_ = format!("{api_version}/{kind}");
        if self.watched.insert((home, type_.clone())) {
            self.wake(&Target::Watched(home, type_), Seen::Content, woken);
        }
    }
}
