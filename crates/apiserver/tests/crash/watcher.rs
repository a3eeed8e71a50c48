//! A client that watches, and goes on after each restart where it was.

use std::{collections::BTreeMap, sync::Mutex};

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, ResourceExt as _,
    api::{ListParams, WatchEvent, WatchParams},
};

use crate::client::Shared;

/// What a watcher has seen.
#[derive(Default)]
pub(crate) struct Watcher {
    /// Where to go on; empty before the first list.
    position: String,
    /// Versions of events, in order.
    seen: Vec<u64>,
    /// Acknowledged writes that were looked for already.
    checked: u64,
    /// What there is, as far as it was told.
    objects: BTreeMap<String, String>,
}

fn api(kube: &kube::Client) -> Api<ConfigMap> {
    Api::default_namespaced(kube.clone())
}

impl Watcher {
    pub(crate) fn seen(&self) -> usize {
        self.seen.len()
    }

    /// Watches until the server is gone.
    pub(crate) async fn watch(&mut self, kube: &kube::Client) {
        self.until(kube, |_| false).await;
    }

    /// Watches until an object of this version was seen.
    pub(crate) async fn follow(&mut self, kube: &kube::Client, version: &str) {
        if self.position.is_empty() {
            let list = api(kube).list(&ListParams::default()).await.unwrap();
            self.position = list.metadata.resource_version.unwrap();
            self.objects = (list.items.iter())
                .map(|object| (object.name_any(), object.resource_version().unwrap()))
                .collect();
            return;
        }
        self.until(kube, |seen| seen == version).await;
        assert_eq!(self.position, version, "the watch ended early");
    }

    async fn until(&mut self, kube: &kube::Client, last: impl Fn(&str) -> bool) {
        let params = WatchParams::default().timeout(60);
        let Ok(stream) = api(kube).watch(&params, &self.position).await else {
            return;
        };
        let mut stream = stream.boxed();
        while let Some(Ok(event)) = stream.next().await {
            self.take(event);
            if last(&self.position) {
                return;
            }
        }
    }

    fn take(&mut self, event: WatchEvent<ConfigMap>) {
        let (object, there) = match event {
            WatchEvent::Added(object) => {
                assert!(
                    !self.objects.contains_key(&object.name_any()),
                    "added twice"
                );
                (object, true)
            }
            WatchEvent::Modified(object) => (object, true),
            WatchEvent::Deleted(object) => (object, false),
            WatchEvent::Bookmark(_) => return,
            WatchEvent::Error(status) => panic!("{status:?}"),
        };
        let version = object.resource_version().unwrap();
        let number: u64 = version.parse().unwrap();
        let last: u64 = self.position.parse().unwrap();
        assert!(number > last, "an event of {number} after {last}");
        if there {
            self.objects.insert(object.name_any(), version.clone());
        } else {
            let known = self.objects.remove(&object.name_any());
            assert!(known.is_some(), "deleted twice");
        }
        self.seen.push(number);
        self.position = version;
    }

    /// What was seen leads to what there is, and every acknowledged write was among it.
    pub(crate) async fn verify(&mut self, kube: &kube::Client, shared: &Mutex<Shared>) {
        let list = api(kube).list(&ListParams::default()).await.unwrap();
        let there: BTreeMap<String, String> = (list.items.iter())
            .map(|object| (object.name_any(), object.resource_version().unwrap()))
            .collect();
        assert_eq!(self.objects, there);
        let shared = shared.lock().unwrap();
        let mut newest = self.checked;
        for version in shared.versions().range(self.checked + 1..) {
            assert!(
                self.seen.binary_search(version).is_ok(),
                "{version} was never seen"
            );
            newest = *version;
        }
        self.checked = newest;
    }
}
