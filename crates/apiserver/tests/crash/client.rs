//! A client that writes, and remembers what it was told.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};

use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, ResourceExt as _,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use serde_json::json;
use tokio::sync::Notify;

/// Objects that each client has for itself.
const OWN: u32 = 6;
/// The object that all clients count up.
const COUNTER: &str = "counter";

/// What all clients know together.
#[derive(Default)]
pub(crate) struct Shared {
    /// Versions that were acknowledged.
    versions: BTreeSet<u64>,
    deletions: u64,
    /// Told of each acknowledged write.
    progress: Arc<Notify>,
    cut: u64,
    /// How far the counter was counted for sure, and how many more may have been.
    counted: u64,
    maybe: u64,
}

impl Shared {
    pub(crate) fn acknowledged(&self) -> u64 {
        self.versions.len() as u64 + self.deletions
    }

    pub(crate) fn cut(&self) -> u64 {
        self.cut
    }

    pub(crate) fn versions(&self) -> &BTreeSet<u64> {
        &self.versions
    }

    pub(crate) fn progress(&self) -> Arc<Notify> {
        Arc::clone(&self.progress)
    }

    fn note(&mut self, object: &ConfigMap) {
        self.versions
            .insert(object.resource_version().unwrap().parse().unwrap());
    }

    /// The counter lost no count, and has none that nobody made.
    pub(crate) async fn verify(shared: &Mutex<Self>, kube: &kube::Client) {
        let found = api(kube).get_opt(COUNTER).await.unwrap();
        let value = found.as_ref().map_or(0, number);
        let mut shared = shared.lock().unwrap();
        let (low, high) = (shared.counted, shared.counted + shared.maybe);
        assert!(
            (low..=high).contains(&value),
            "counted {value}, not {low} to {high}"
        );
        (shared.counted, shared.maybe) = (value, 0);
    }
}

/// What an object is: nothing, or a number that stands in both of its fields.
type State = Option<u64>;

/// One client with objects of its own.
pub(crate) struct Client {
    name: usize,
    random: StdRng,
    next: u64,
    /// What each object was when last acknowledged.
    known: BTreeMap<String, State>,
    /// What a write that was cut would have made of an object.
    open: Option<(String, State)>,
    shared: Arc<Mutex<Shared>>,
}

/// The server is gone.
struct Gone;

fn api(kube: &kube::Client) -> Api<ConfigMap> {
    Api::default_namespaced(kube.clone())
}

fn data(number: u64) -> serde_json::Value {
    // The second field is far from the first, so that half an object would show.
    json!({"first": number.to_string(), "middle": "x".repeat(1500), "second": number.to_string()})
}

fn object(name: &str, number: u64) -> ConfigMap {
    serde_json::from_value(json!({"metadata": {"name": name}, "data": data(number)})).unwrap()
}

/// The number of an object, which must be whole.
fn number(object: &ConfigMap) -> u64 {
    let data = object.data.as_ref().unwrap();
    assert_eq!(data["first"], data["second"], "half a write is there");
    data["first"].parse().unwrap()
}

/// What was answered; everything but an answer means that the server is gone.
fn answered<T>(outcome: Result<T, kube::Error>) -> Result<T, Gone> {
    match outcome {
        Ok(value) => Ok(value),
        Err(kube::Error::Api(status)) => panic!("{status:?}"),
        Err(_) => Err(Gone),
    }
}

impl Client {
    pub(crate) fn new(name: usize, seed: u64, shared: Arc<Mutex<Shared>>) -> Self {
        Self {
            name,
            random: StdRng::seed_from_u64(seed.wrapping_mul(1_000).wrapping_add(name as u64)),
            next: 0,
            known: BTreeMap::new(),
            open: None,
            shared,
        }
    }

    /// Everything is as it was acknowledged, or as the one cut write would have made it.
    pub(crate) async fn verify(&mut self, kube: &kube::Client) {
        let open = self.open.take();
        let mine = format!("c{}-", self.name);
        let list = api(kube).list(&ListParams::default()).await.unwrap();
        let mut there: BTreeMap<String, State> = (list.iter())
            .filter(|object| object.name_any().starts_with(&mine))
            .map(|object| (object.name_any(), Some(number(object))))
            .collect();
        for (name, known) in &mut self.known {
            let found = there.remove(name).flatten();
            let cut = open
                .as_ref()
                .filter(|(cut, _)| cut == name)
                .map(|(_, state)| *state);
            assert!(
                found == *known || Some(found) == cut,
                "{name} is {found:?}; acknowledged was {known:?}, cut {cut:?}"
            );
            *known = found;
        }
        assert!(there.is_empty(), "nobody made {there:?}");
    }

    /// Writes until the server is gone.
    pub(crate) async fn work(&mut self, kube: &kube::Client) {
        let api = api(kube);
        loop {
            let outcome = if self.random.random_ratio(1, 10) {
                self.count(&api).await
            } else {
                self.write(&api).await
            };
            if outcome.is_err() {
                self.shared.lock().unwrap().cut += 1;
                return;
            }
        }
    }

    /// One write of one of the client's own objects.
    async fn write(&mut self, api: &Api<ConfigMap>) -> Result<(), Gone> {
        let name = format!("c{}-{}", self.name, self.random.random_range(0..OWN));
        let before = self.known.entry(name.clone()).or_default().is_some();
        self.next += 1;
        let deletes = before && self.random.random_ratio(1, 4);
        let after = (!deletes).then_some(self.next);
        self.open = Some((name.clone(), after));
        let written = match after {
            None => {
                answered(api.delete(&name, &DeleteParams::default()).await)?;
                None
            }
            Some(number) if !before => {
                let object = object(&name, number);
                Some(answered(api.create(&PostParams::default(), &object).await)?)
            }
            Some(number) if self.random.random() => {
                let patch = Patch::Merge(json!({"data": data(number)}));
                Some(answered(
                    api.patch(&name, &PatchParams::default(), &patch).await,
                )?)
            }
            Some(number) => {
                let object = object(&name, number);
                Some(answered(
                    api.replace(&name, &PostParams::default(), &object).await,
                )?)
            }
        };
        self.open = None;
        self.known.insert(name, after);
        let mut shared = self.shared.lock().unwrap();
        match written {
            Some(object) => shared.note(&object),
            None => shared.deletions += 1,
        }
        shared.progress.notify_one();
        Ok(())
    }

    /// Counts the common object up by one: reads it, and writes it unless somebody was faster.
    async fn count(&mut self, api: &Api<ConfigMap>) -> Result<(), Gone> {
        let found = answered(api.get_opt(COUNTER).await)?;
        self.shared.lock().unwrap().maybe += 1;
        let outcome = match found {
            None => {
                api.create(&PostParams::default(), &object(COUNTER, 1))
                    .await
            }
            Some(found) => {
                let mut next = object(COUNTER, number(&found) + 1);
                next.metadata.resource_version = found.resource_version();
                api.replace(COUNTER, &PostParams::default(), &next).await
            }
        };
        let outcome = match outcome {
            Err(kube::Error::Api(status)) if status.code == 409 => None,
            other => Some(answered(other)?),
        };
        let mut shared = self.shared.lock().unwrap();
        shared.maybe -= 1;
        if let Some(object) = outcome {
            shared.counted += 1;
            shared.note(&object);
        }
        shared.progress.notify_one();
        Ok(())
    }
}
