//! Watches: they feed the index and tell what changed.

use std::{fmt::Debug, hash::Hash, sync::Arc, time::Duration};

use futures::StreamExt;
use kube::{
    Api, Client,
    runtime::{
        WatchStreamExt, reflector,
        reflector::{Store, store::Writer},
        watcher,
    },
};
use serde::de::DeserializeOwned;
use tokio::{
    sync::{Notify, mpsc},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use crate::index::{Change, Kept, Shared};

/// The start of every watch.
#[derive(Clone)]
pub struct Feed {
    /// Whom to ask.
    pub client: Client,
    /// What is fed.
    pub index: Shared,
    /// Who is told.
    pub changes: mpsc::UnboundedSender<Change>,
    /// When to stop.
    pub stop: CancellationToken,
}

impl Feed {
    /// Watches one kind until stopped.
    pub fn watch<K: Kept>(&self, tasks: &mut JoinSet<()>) {
        let feed = self.clone();
        tasks.spawn(async move {
            let stop = feed.stop.clone();
            tokio::select! {
                () = stop.cancelled() => {}
                () = feed.follow::<K>() => {}
            }
        });
    }

    async fn follow<K: Kept>(self) {
        let kind = K::kind(&());
        let api: Api<K> = Api::all(self.client.clone());
        let mut events = watcher(api, watcher::Config::default())
            .default_backoff()
            .boxed();
        while let Some(event) = events.next().await {
            match event {
                Ok(event) => {
                    for change in self.take(event) {
                        // Without a listener the node is stopping.
                        let _ = self.changes.send(change);
                    }
                }
                Err(error) => {
                    tracing::warn!(%kind, %error, "watching");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }

    fn take<K: Kept>(&self, event: watcher::Event<K>) -> Vec<Change> {
        let mut index = self.index.write();
        match event {
            watcher::Event::Apply(object) => index.apply(object).into_iter().collect(),
            watcher::Event::Delete(object) => {
                index.delete::<K>(object.metadata()).into_iter().collect()
            }
            watcher::Event::Init => {
                index.begin::<K>();
                Vec::new()
            }
            watcher::Event::InitApply(object) => index.listed(object).into_iter().collect(),
            watcher::Event::InitDone => {
                let mut changes = index.end::<K>();
                // The end of a list is news by itself: the node waits for the last one.
                changes.push(Change {
                    old: None,
                    new: None,
                });
                changes
            }
        }
    }
}

/// Keeps the objects of one kind current in a store and tells when any of them changed.
pub fn store<K>(
    api: Api<K>,
    kind: K::DynamicType,
    changed: &Arc<Notify>,
    tasks: &mut JoinSet<()>,
) -> Store<K>
where
    K: kube::Resource + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
    K::DynamicType: Clone + Eq + Hash + Send + Sync,
{
    chosen(api, kind, watcher::Config::default(), changed, tasks)
}

/// [`store`] of some of the objects.
pub fn chosen<K>(
    api: Api<K>,
    kind: K::DynamicType,
    config: watcher::Config,
    changed: &Arc<Notify>,
    tasks: &mut JoinSet<()>,
) -> Store<K>
where
    K: kube::Resource + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
    K::DynamicType: Clone + Eq + Hash + Send + Sync,
{
    let writer = Writer::new(kind);
    let store = writer.as_reader();
    let events = watcher(api, config).default_backoff();
    let mut events = Box::pin(reflector(writer, events));
    let changed = Arc::clone(changed);
    tasks.spawn(async move {
        while let Some(event) = events.next().await {
            match event {
                Ok(_) => changed.notify_one(),
                Err(error) => tracing::warn!(%error, "a watch broke"),
            }
        }
    });
    store
}
