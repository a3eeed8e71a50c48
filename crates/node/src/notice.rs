//! Kubernetes Events: what happened to an object, told once and counted when it happens again.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::{
    api::core::v1::{Event, EventSource, ObjectReference},
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time},
};
use kube::{
    Api, Client,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::json;
use tokio::sync::mpsc;

use crate::index::Kept;

/// How many different events are remembered for counting.
const REMEMBERED: usize = 4096;

/// How many may wait to be written.
const WAITING: usize = 8192;

/// What happened to an object.
#[derive(Debug, Clone, PartialEq)]
pub struct Notice {
    /// To which object.
    pub object: ObjectReference,
    /// `Normal` or `Warning`.
    pub severity: &'static str,
    /// One word.
    pub reason: &'static str,
    /// A sentence.
    pub message: String,
    /// What a program needs to know of it.
    pub annotations: BTreeMap<String, String>,
    /// How often it happened.
    pub times: i32,
}

impl Notice {
    /// Something that was to be expected.
    pub fn normal<K: Kept>(object: &K, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            object: reference(object),
            severity: "Normal",
            reason,
            message: message.into(),
            annotations: BTreeMap::new(),
            times: 1,
        }
    }

    /// Something that someone may have to act on.
    pub fn warning<K: Kept>(object: &K, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            object: reference(object),
            severity: "Warning",
            reason,
            message: message.into(),
            annotations: BTreeMap::new(),
            times: 1,
        }
    }

    /// The same, about a part of the object.
    #[must_use]
    pub fn within(mut self, field_path: String) -> Self {
        self.object.field_path = Some(field_path);
        self
    }

    fn identity(&self) -> String {
        let object = &self.object;
        format!(
            "{}|{}|{}|{}",
            object.uid.as_deref().unwrap_or_default(),
            object.field_path.as_deref().unwrap_or_default(),
            self.reason,
            self.message
        )
    }
}

fn reference<K: Kept>(object: &K) -> ObjectReference {
    let meta = object.metadata();
    ObjectReference {
        api_version: Some(K::api_version(&()).into_owned()),
        kind: Some(K::kind(&()).into_owned()),
        name: meta.name.clone(),
        namespace: meta.namespace.clone(),
        uid: meta.uid.clone(),
        ..ObjectReference::default()
    }
}

/// Takes notices. Whoever has something to tell does not wait until it is written.
#[derive(Clone)]
pub struct Recorder {
    sender: mpsc::Sender<Notice>,
}

/// Writes what a recorder takes as Events.
pub struct Writer {
    client: Client,
    host: String,
    notices: mpsc::Receiver<Notice>,
    known: BTreeMap<String, (String, i32)>,
}

/// A recorder that speaks for the node `host`, and who writes what it takes.
pub fn recorder(client: Client, host: &str) -> (Recorder, Writer) {
    let (sender, notices) = mpsc::channel(WAITING);
    let writer = Writer {
        client,
        host: host.to_owned(),
        notices,
        known: BTreeMap::new(),
    };
    (Recorder { sender }, writer)
}

impl Recorder {
    /// Takes a notice. An event is a courtesy: when there are too many, or it cannot be written, the
    /// log has it.
    pub fn record(&self, notice: &Notice) {
        if self.sender.try_send(notice.clone()).is_err() {
            let Notice {
                reason, message, ..
            } = notice;
            tracing::debug!(reason, message, "an event too many");
        }
    }
}

impl Writer {
    /// Writes until nobody can tell anything any more.
    pub async fn run(mut self) {
        while let Some(notice) = self.notices.recv().await {
            if let Err(error) = self.write(&notice).await {
                tracing::debug!(%error, reason = notice.reason, message = notice.message, "event");
            }
        }
    }

    async fn write(&mut self, notice: &Notice) -> kube::Result<()> {
        let namespace = notice.object.namespace.as_deref().unwrap_or("default");
        let api: Api<Event> = Api::namespaced(self.client.clone(), namespace);
        let now = Timestamp::now();
        if let Some((name, count)) = self.known.get_mut(&notice.identity()) {
            *count = count.saturating_add(notice.times);
            let patch = json!({"count": *count, "lastTimestamp": Time(now)});
            let done = api
                .patch(name, &PatchParams::default(), &Patch::Merge(patch))
                .await;
            if !crate::write::is(&done, "NotFound") {
                return done.map(|_| ());
            }
        }
        if self.known.len() >= REMEMBERED {
            self.known.clear();
        }
        let event = self.event(notice, namespace, now);
        let name = event.metadata.name.clone().unwrap_or_default();
        api.create(&PostParams::default(), &event).await?;
        self.known.insert(notice.identity(), (name, notice.times));
        Ok(())
    }

    fn event(&self, notice: &Notice, namespace: &str, now: Timestamp) -> Event {
        let about = notice.object.name.as_deref().unwrap_or_default();
        Event {
            metadata: ObjectMeta {
                name: Some(format!("{about}.{:x}", now.as_nanosecond())),
                namespace: Some(namespace.to_owned()),
                annotations: (!notice.annotations.is_empty()).then(|| notice.annotations.clone()),
                ..ObjectMeta::default()
            },
            count: Some(notice.times),
            first_timestamp: Some(Time(now)),
            involved_object: notice.object.clone(),
            last_timestamp: Some(Time(now)),
            message: Some(notice.message.clone()),
            reason: Some(notice.reason.to_owned()),
            reporting_component: Some("choreo".to_owned()),
            reporting_instance: Some(self.host.clone()),
            source: Some(EventSource {
                component: Some("choreo".to_owned()),
                host: Some(self.host.clone()),
            }),
            type_: Some(notice.severity.to_owned()),
            ..Event::default()
        }
    }
}
