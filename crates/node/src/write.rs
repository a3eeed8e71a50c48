//! Writes as data: what a decision wants done to the API, and the only place that does it.

use jiff::Timestamp;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{
    Api, Client, Resource,
    api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams, Preconditions},
    core::ApiResource,
};
use serde_json::Value;
use tokio::sync::mpsc;

use crate::{
    index::{Change, Kept, Key, Shared},
    notice::{Notice, Recorder},
};

/// Which object a write is about.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    /// Its kind.
    pub resource: ApiResource,
    /// Whether it lives in a namespace.
    pub key: Key,
}

/// One write.
#[derive(Debug, Clone, PartialEq)]
pub enum Write {
    /// A new object; one that is already there is left alone.
    Create(Target, Value),
    /// Some fields of an object (JSON merge patch).
    Merge(Target, Value),
    /// The whole status; the object's version must be the one that was observed.
    Status(Target, Value),
    /// No more object, if it still is the one with this uid.
    Delete {
        /// Which object.
        target: Target,
        /// Its uid.
        uid: String,
        /// Grace period in seconds; `None`: the object's own.
        grace: Option<u32>,
    },
    /// Something to tell about an object.
    Notice(Notice),
}

impl Target {
    /// The object of this kind and these names.
    pub fn of<K: Kept>(meta: &ObjectMeta) -> Self {
        Self {
            resource: ApiResource::erase::<K>(&()),
            key: Key::of(meta),
        }
    }
}

impl Write {
    /// Creates an object.
    pub fn create<K: Kept>(object: &K) -> Self {
        Self::Create(Target::of::<K>(object.metadata()), value(object))
    }

    /// Changes some fields of an object.
    pub fn merge<K: Kept>(object: &K, patch: Value) -> Self {
        Self::Merge(Target::of::<K>(object.metadata()), patch)
    }

    /// Writes the status of an object that has it set as wished.
    pub fn status<K: Kept>(object: &K) -> Self {
        Self::Status(Target::of::<K>(object.metadata()), value(object))
    }

    /// Deletes an object.
    pub fn delete<K: Kept>(object: &K) -> Self {
        Self::deletion(object, None)
    }

    /// Deletes an object at once, its end having been seen to.
    pub fn remove<K: Kept>(object: &K) -> Self {
        Self::deletion(object, Some(0))
    }

    fn deletion<K: Kept>(object: &K, grace: Option<u32>) -> Self {
        let uid = object.metadata().uid.clone().unwrap_or_default();
        Self::Delete {
            target: Target::of::<K>(object.metadata()),
            uid,
            grace,
        }
    }
}

/// Objects of Kubernetes always serialize; the null of the impossible case would be refused by the
/// API.
fn value<K: Kept>(object: &K) -> Value {
    serde_json::to_value(object).unwrap_or_default()
}

/// What a controller wants after looking at the index.
#[derive(Debug, Default, PartialEq)]
pub struct Decision {
    /// Writes, in order.
    pub writes: Vec<Write>,
    /// When to look again although nothing changed.
    pub again: Option<Timestamp>,
}

impl Decision {
    /// Looks again at `time` or earlier.
    pub fn look_again(&mut self, time: Timestamp) {
        self.again = Some(self.again.map_or(time, |known| known.min(time)));
    }
}

/// Does writes and puts their results into the index.
#[derive(Clone)]
pub struct Executor {
    client: Client,
    index: Shared,
    recorder: Recorder,
    changes: mpsc::UnboundedSender<Change>,
}

impl Executor {
    /// An executor that writes through `client` and tells what its writes changed.
    pub fn new(
        client: Client,
        index: Shared,
        recorder: Recorder,
        changes: mpsc::UnboundedSender<Change>,
    ) -> Self {
        Self {
            client,
            index,
            recorder,
            changes,
        }
    }

    /// Records a notice; what cannot be recorded is only logged, since nothing depends on it.
    pub fn notice(&self, notice: &Notice) {
        self.recorder.record(notice);
    }

    /// Does one write; whom its result concerns is told like of any other change.
    pub async fn run(&self, write: &Write) -> kube::Result<()> {
        match write {
            Write::Create(target, object) => {
                let object: DynamicObject =
                    serde_json::from_value(object.clone()).map_err(kube::Error::SerdeError)?;
                let made = self
                    .api(target)
                    .create(&PostParams::default(), &object)
                    .await;
                if is(&made, "AlreadyExists") {
                    return Ok(());
                }
                self.absorb(target, made?)
            }
            Write::Merge(target, patch) => {
                let params = PatchParams::default();
                let patch = Patch::Merge(patch);
                let done = self
                    .api(target)
                    .patch(&target.key.name, &params, &patch)
                    .await?;
                self.absorb(target, done)
            }
            Write::Status(target, object) => {
                let object: DynamicObject =
                    serde_json::from_value(object.clone()).map_err(kube::Error::SerdeError)?;
                let params = PostParams::default();
                let done = self
                    .api(target)
                    .replace_status(&target.key.name, &params, &object)
                    .await?;
                self.absorb(target, done)
            }
            Write::Delete { target, uid, grace } => self.delete(target, uid, *grace).await,
            Write::Notice(notice) => {
                self.notice(notice);
                Ok(())
            }
        }
    }

    /// Takes in the objects of a kind as they are in a namespace now: watches may tell of them later than
    /// of what was made after them.
    pub async fn catch_up<K>(&self, namespace: &str) -> kube::Result<()>
    where
        K: Kept + Resource<Scope = NamespaceResourceScope>,
    {
        let api: Api<K> = Api::namespaced(self.client.clone(), namespace);
        for object in api.list(&ListParams::default()).await?.items {
            let change = self.index.write().apply(object);
            self.tell(change);
        }
        Ok(())
    }

    async fn delete(&self, target: &Target, uid: &str, grace: Option<u32>) -> kube::Result<()> {
        let params = DeleteParams {
            grace_period_seconds: grace,
            preconditions: Some(Preconditions {
                uid: Some(uid.to_owned()),
                resource_version: None,
            }),
            ..DeleteParams::background()
        };
        let done = self.api(target).delete(&target.key.name, &params).await;
        if is(&done, "NotFound") || is(&done, "Conflict") {
            return Ok(());
        }
        match done?.left() {
            Some(object) if waits(&object) => self.absorb(target, object),
            _ => {
                let change = self
                    .index
                    .write()
                    .forget(&target.resource.kind, &target.key, uid);
                self.tell(change);
                Ok(())
            }
        }
    }

    fn absorb(&self, target: &Target, object: DynamicObject) -> kube::Result<()> {
        let object = serde_json::to_value(object).map_err(kube::Error::SerdeError)?;
        let change = self.index.write().absorb(&target.resource.kind, object);
        self.tell(change);
        Ok(())
    }

    /// Without a listener the node is stopping.
    fn tell(&self, change: Option<Change>) {
        if let Some(change) = change {
            let _ = self.changes.send(change);
        }
    }

    fn api(&self, target: &Target) -> Api<DynamicObject> {
        if target.key.namespace.is_empty() {
            Api::all_with(self.client.clone(), &target.resource)
        } else {
            Api::namespaced_with(self.client.clone(), &target.key.namespace, &target.resource)
        }
    }
}

/// Whether a call was answered with this reason.
pub(crate) fn is<T>(result: &kube::Result<T>, reason: &str) -> bool {
    matches!(result, Err(kube::Error::Api(status)) if status.reason == reason)
}

/// Whether a deleted object is still there: it has time left, or finalizers.
fn waits(object: &DynamicObject) -> bool {
    let metadata = &object.metadata;
    let time = metadata.deletion_grace_period_seconds;
    let held = metadata
        .finalizers
        .as_ref()
        .is_some_and(|finalizers| !finalizers.is_empty());
    metadata.deletion_timestamp.is_some() && (held || time.is_some_and(|left| left > 0))
}
