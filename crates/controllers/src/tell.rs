//! The event log: what controllers tell of objects, each thing once, with how often it happened.

use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use choreo_writer::{Place, Writer};
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::{Event as Stored, EventSeries};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::api::{Api, ApiResource, Patch, PatchParams};
use kube::{Client, Error};
use serde_json::json;

use crate::decision::{Event, EventType};
use crate::key::Key;

/// Who tells.
const CONTROLLER: &str = "choreo";
/// How long the same is one event that happened again.
const AGAIN: SignedDuration = SignedDuration::from_mins(6);
/// How many events are remembered; the oldest is forgotten first, and would be told anew.
const REMEMBERED: usize = 4096;
/// Where events of objects without a namespace are.
const NAMESPACE: &str = "default";

/// Writes events.
pub(crate) struct Teller {
    writer: Arc<dyn Writer>,
    client: Client,
    told: Mutex<Told>,
}

/// What was told lately.
#[derive(Default)]
struct Told {
    events: HashMap<u64, Last>,
    order: VecDeque<u64>,
}

struct Last {
    name: String,
    count: i32,
    at: Timestamp,
}

/// What to write.
#[derive(Debug, PartialEq, Eq)]
enum Telling {
    New(String),
    Again(String, i32),
}

impl Told {
    fn next(&mut self, what: u64, object: &str, now: Timestamp) -> Telling {
        if let Some(last) = self.events.get_mut(&what)
            && now.duration_since(last.at) < AGAIN
        {
            last.count = last.count.saturating_add(1);
            last.at = now;
            return Telling::Again(last.name.clone(), last.count);
        }
        // Two things told of an object at the same moment differ in what they are.
        let name = format!("{object}.{:x}{:04x}", now.as_nanosecond(), what & 0xffff);
        let last = Last {
            name: name.clone(),
            count: 1,
            at: now,
        };
        if self.events.insert(what, last).is_none() {
            self.order.push_back(what);
        }
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.events.remove(&oldest);
        }
        Telling::New(name)
    }
}

impl Teller {
    pub(crate) fn new(writer: Arc<dyn Writer>, client: Client) -> Self {
        Self {
            writer,
            client,
            told: Mutex::default(),
        }
    }

    /// Tells an event of the object of `key`.
    pub(crate) async fn tell(
        &self,
        key: &Key,
        uid: Option<&str>,
        event: Event,
    ) -> Result<(), Error> {
        let now = Timestamp::now();
        let mut hasher = DefaultHasher::new();
        (key, uid, &event.reason, &event.message).hash(&mut hasher);
        let telling = self
            .told
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .next(hasher.finish(), &key.name, now);
        let namespace = match key.namespace.as_str() {
            "" => NAMESPACE,
            namespace => namespace,
        };
        match telling {
            Telling::Again(name, count) => {
                let series = EventSeries {
                    count,
                    last_observed_time: MicroTime(now),
                };
                let patch = Patch::Merge(json!({ "series": series }));
                let api: Api<Stored> = Api::namespaced(self.client.clone(), namespace);
                api.patch_metadata(&name, &PatchParams::default(), &patch)
                    .await
                    .map(drop)
            }
            Telling::New(name) => {
                let stored = stored((name, namespace), (key, uid), event, now);
                let object = serde_json::to_value(stored).map_err(Error::SerdeError)?;
                let place = Place {
                    resource: ApiResource::erase::<Stored>(&()),
                    namespace: namespace.to_owned(),
                };
                self.writer.create(place, CONTROLLER, object).await
            }
        }
    }
}

fn stored(
    (name, namespace): (String, &str),
    (key, uid): (&Key, Option<&str>),
    event: Event,
    now: Timestamp,
) -> Stored {
    Stored {
        metadata: ObjectMeta {
            name: Some(name),
            namespace: Some(namespace.to_owned()),
            ..ObjectMeta::default()
        },
        type_: Some(match event.type_ {
            EventType::Normal => "Normal".to_owned(),
            EventType::Warning => "Warning".to_owned(),
        }),
        reason: Some(event.reason),
        note: Some(event.message),
        action: Some("Reconcile".to_owned()),
        reporting_controller: Some(CONTROLLER.to_owned()),
        reporting_instance: Some(CONTROLLER.to_owned()),
        event_time: Some(MicroTime(now)),
        regarding: Some(ObjectReference {
            api_version: Some(choreo_model::API_VERSION.to_owned()),
            kind: Some(key.kind.to_owned()),
            name: Some(key.name.clone()),
            namespace: Some(key.namespace.clone()).filter(|namespace| !namespace.is_empty()),
            // Clients look for the events of an object by its identifier.
            uid: uid.map(str::to_owned),
            ..ObjectReference::default()
        }),
        ..Stored::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn the_same_again_is_counted_for_a_while() {
        let mut told = Told::default();
        let Telling::New(first) = told.next(7, "web", at(0)) else {
            panic!("nothing was told before");
        };
        assert_eq!(
            told.next(7, "web", at(300)),
            Telling::Again(first.clone(), 2)
        );
        assert_eq!(
            told.next(7, "web", at(600)),
            Telling::Again(first.clone(), 3)
        );
        let later = told.next(7, "web", at(1_000));
        assert!(matches!(later, Telling::New(name) if name != first));
        assert_eq!(told.order.len(), 1);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut told = Told::default();
        for what in 0..10_000 {
            told.next(what, "web", at(0));
        }
        assert_eq!(
            (told.events.len(), told.order.len()),
            (REMEMBERED, REMEMBERED)
        );
        assert!(matches!(told.next(0, "web", at(1)), Telling::New(_)));
    }

    #[test]
    fn two_things_at_one_moment_have_two_names() {
        let mut told = Told::default();
        assert_ne!(told.next(1, "web", at(0)), told.next(2, "web", at(0)));
    }
}
