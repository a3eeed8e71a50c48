//! Answering Envoy's questions for configuration.
//!
//! Envoy asks over a unix socket, by its REST protocol for discovery, in JSON: once for each resource, and
//! again as soon as it has an answer. The next question tells by its version whether the answer before
//! was taken, and waits here until there is something newer. So a change is at Envoy within
//! milliseconds, what it refuses is known at once, and no file holds what Secrets do.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    fs, io,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{net::UnixListener, sync::watch, task::JoinSet};

use super::{Error, Result};

/// A question is small.
const MAX_QUESTION: usize = 1 << 20;

/// A kind of resource, as the path of its questions has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Clusters,
    Extension,
    Listeners,
    Routes,
    Secret,
}

impl Kind {
    const ALL: [(Self, &'static str); 5] = [
        (Self::Clusters, "clusters"),
        (Self::Extension, "extension_configs"),
        (Self::Listeners, "listeners"),
        (Self::Routes, "routes"),
        (Self::Secret, "secrets"),
    ];

    /// Its name in questions, and in what Envoy logs of refused answers.
    pub(super) fn path(self) -> &'static str {
        let mut all = Self::ALL.iter();
        all.find(|(kind, _)| *kind == self)
            .map_or("", |(_, path)| path)
    }

    fn of(path: &str) -> Option<Self> {
        let name = path.strip_prefix("/v3/discovery:")?;
        let mut all = Self::ALL.iter();
        all.find(|(_, path)| *path == name).map(|(kind, _)| *kind)
    }

    /// Whether a question is about all resources of the kind together.
    fn is_whole(self) -> bool {
        matches!(self, Self::Clusters | Self::Listeners)
    }
}

/// What Envoy asks for: a kind, and a name unless it is about all of the kind.
pub(super) type Key = (Kind, String);

/// The key of all resources of a kind together.
pub(super) fn whole(kind: Kind) -> Key {
    (kind, String::new())
}

/// What became of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Envoy has it.
    Taken,
    /// Envoy has what it had before.
    Refused,
    /// Nobody has asked, or it is on its way.
    Open,
}

#[derive(Debug, Clone)]
struct Version {
    number: u64,
    resources: Arc<[Value]>,
}

/// One thing that is asked for.
#[derive(Debug, Default)]
struct Entry {
    /// The newest.
    offered: Option<Version>,
    /// The newest that an Envoy took: what one that starts anew gets if it is offered nothing newer.
    good: Option<Version>,
    refused: Option<u64>,
    /// What this Envoy has, and what is on its way to it.
    has: Option<u64>,
    sent: Option<Version>,
    asked: bool,
}

impl Entry {
    /// Takes in what a question tells of the answer before.
    fn heard(&mut self, has: Option<u64>) {
        self.asked = true;
        if let Some(sent) = self.sent.take() {
            if has == Some(sent.number) {
                self.good = Some(sent);
            } else {
                self.refused = Some(sent.number);
            }
        }
        self.has = has;
    }

    /// The answer, if there is one that is new.
    fn answer(&mut self) -> Option<Version> {
        let offered = self.offered.as_ref();
        let offered = offered.filter(|o| Some(o.number) != self.refused);
        let next = offered.or(self.good.as_ref())?;
        if self.has == Some(next.number) {
            return None;
        }
        self.sent = Some(next.clone());
        self.sent.clone()
    }

    fn verdict(&self) -> Verdict {
        match &self.offered {
            Some(offered) if self.has == Some(offered.number) => Verdict::Taken,
            Some(offered) if self.refused == Some(offered.number) => Verdict::Refused,
            Some(_) => Verdict::Open,
            None => Verdict::Taken,
        }
    }
}

/// All that Envoy may ask for.
#[derive(Debug)]
pub(super) struct Discovery {
    entries: Mutex<Entries>,
    changed: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct Entries {
    by_key: BTreeMap<Key, Entry>,
    last: u64,
}

#[derive(Deserialize)]
struct Question {
    #[serde(default)]
    version_info: String,
    #[serde(default)]
    resource_names: Vec<String>,
}

impl Discovery {
    pub(super) fn new() -> Self {
        Self {
            entries: Mutex::default(),
            changed: watch::Sender::new(()),
        }
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Offers resources; the same ones again are no news, not even if they were refused.
    pub(super) fn offer(&self, key: &Key, resources: Vec<Value>) {
        let mut entries = self.entries();
        let number = entries.last + 1;
        let entry = entries.by_key.entry(key.clone()).or_default();
        if entry
            .offered
            .as_ref()
            .is_some_and(|o| *o.resources == *resources)
        {
            return;
        }
        // What works is good again, whatever was refused since.
        let good = entry.good.as_ref();
        let known = good.filter(|good| *good.resources == *resources).cloned();
        let fresh = known.is_none();
        entry.offered = Some(known.unwrap_or_else(|| Version {
            number,
            resources: resources.into(),
        }));
        if fresh {
            entries.last = number;
        }
        drop(entries);
        self.changed.send_replace(());
    }

    /// The newest that an Envoy took.
    pub(super) fn good(&self, key: &Key) -> Option<Value> {
        let entries = self.entries();
        let good = entries.by_key.get(key)?.good.as_ref()?;
        good.resources.first().cloned()
    }

    /// Forgets all of a kind that is not in use any more.
    pub(super) fn keep(&self, kind: Kind, used: impl Fn(&str) -> bool) {
        let mut entries = self.entries();
        entries
            .by_key
            .retain(|(of, name), _| *of != kind || used(name));
    }

    /// From now on another Envoy asks.
    pub(super) fn restart(&self) {
        for entry in self.entries().by_key.values_mut() {
            entry.has = None;
            entry.sent = None;
            entry.asked = false;
        }
    }

    /// What became of the newest offers; those that nobody has asked for yet are not in it.
    pub(super) fn verdicts(&self) -> BTreeMap<Key, Verdict> {
        let entries = self.entries();
        let asked = entries.by_key.iter().filter(|(_, entry)| entry.asked);
        asked
            .map(|(key, entry)| (key.clone(), entry.verdict()))
            .collect()
    }

    /// Waits until a condition on the verdicts is true, or for so long.
    pub(super) async fn wait(
        &self,
        patience: Duration,
        done: impl Fn(&BTreeMap<Key, Verdict>) -> bool,
    ) -> Option<BTreeMap<Key, Verdict>> {
        let mut changed = self.changed.subscribe();
        let look = async {
            loop {
                changed.mark_unchanged();
                let verdicts = self.verdicts();
                if done(&verdicts) {
                    return verdicts;
                }
                if changed.changed().await.is_err() {
                    return verdicts;
                }
            }
        };
        tokio::time::timeout(patience, look).await.ok()
    }

    /// Answers a question once there is something to say.
    async fn answer(&self, key: Key, version: Option<u64>) -> Value {
        let mut changed = self.changed.subscribe();
        self.entries()
            .by_key
            .entry(key.clone())
            .or_default()
            .heard(version);
        self.changed.send_replace(());
        loop {
            changed.mark_unchanged();
            let next = self.entries().by_key.get_mut(&key).and_then(Entry::answer);
            if let Some(next) = next {
                return json!({
                    "version_info": next.number.to_string(),
                    "resources": &*next.resources,
                });
            }
            if changed.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }

    async fn respond(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let kind = Kind::of(request.uri().path());
        let body = Limited::new(request.into_body(), MAX_QUESTION)
            .collect()
            .await;
        let question = body
            .ok()
            .and_then(|body| serde_json::from_slice::<Question>(&body.to_bytes()).ok());
        let (Some(kind), Some(question)) = (kind, question) else {
            let mut refused = Response::new(Full::default());
            *refused.status_mut() = StatusCode::BAD_REQUEST;
            return refused;
        };
        let name = if kind.is_whole() {
            String::new()
        } else {
            question
                .resource_names
                .into_iter()
                .next()
                .unwrap_or_default()
        };
        let version = question.version_info.parse().ok();
        let answer = self.answer((kind, name), version).await;
        let mut response = Response::new(Full::from(answer.to_string()));
        let json = http::HeaderValue::from_static("application/json");
        response
            .headers_mut()
            .insert(http::header::CONTENT_TYPE, json);
        response
    }
}

/// Listens for Envoy at a path. Nobody but it and the platform comes near the folder, whatever user it is.
pub(super) fn listen(path: &Path) -> Result<UnixListener> {
    listen_for(path, 0o666)
}

/// Listens at a path for nobody but the platform's user.
pub(super) fn listen_privately(path: &Path) -> Result<UnixListener> {
    listen_for(path, 0o600)
}

fn listen_for(path: &Path, mode: u32) -> Result<UnixListener> {
    let failed = |cause: io::Error| Error::Io {
        doing: format!("listen at {}", path.display()),
        cause,
    };
    match fs::remove_file(path) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => return Err(failed(cause)),
        _ => {}
    }
    let listener = UnixListener::bind(path).map_err(failed)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(failed)?;
    Ok(listener)
}

/// Answers until it is dropped.
pub(super) async fn serve(listener: UnixListener, discovery: Arc<Discovery>) -> Result<()> {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok((stream, _)) = listener.accept().await else {
            // No file descriptor is left: there will be one again.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let discovery = Arc::clone(&discovery);
        let service = hyper::service::service_fn(move |request| {
            let discovery = Arc::clone(&discovery);
            async move { Ok::<_, Infallible>(discovery.respond(request).await) }
        });
        connections.spawn(async move {
            let connection = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service);
            // Envoy may go at any time; it asks again when it is back.
            let _ended = connection.await;
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> Key {
        (Kind::Routes, "80".to_owned())
    }

    async fn ask(discovery: &Discovery, version: Option<u64>) -> (u64, Value) {
        let wait = discovery.answer(key(), version);
        let answer = tokio::time::timeout(Duration::from_secs(1), wait).await;
        let answer = answer.expect("there is an answer");
        let version = answer["version_info"].as_str().unwrap().parse().unwrap();
        (version, answer["resources"][0].clone())
    }

    /// Tells what became of an answer, as the next question does.
    fn tell(discovery: &Discovery, version: Option<u64>) -> Verdict {
        let mut entries = discovery.entries();
        let entry = entries.by_key.get_mut(&key()).unwrap();
        entry.heard(version);
        entry.verdict()
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_refused_is_not_sent_again_and_what_was_good_stays() {
        let discovery = Discovery::new();
        discovery.offer(&key(), vec![json!("a")]);
        let (first, resource) = ask(&discovery, None).await;
        assert_eq!(resource, "a");
        assert_eq!(tell(&discovery, Some(first)), Verdict::Taken);

        discovery.offer(&key(), vec![json!("bad")]);
        let (second, _) = ask(&discovery, Some(first)).await;
        assert_eq!(tell(&discovery, Some(first)), Verdict::Refused);
        assert!(second > first);
        discovery.offer(&key(), vec![json!("bad")]);
        let again = discovery.answer(key(), Some(first));
        assert!(
            tokio::time::timeout(Duration::from_secs(9), again)
                .await
                .is_err()
        );

        // An Envoy that starts anew gets what worked.
        discovery.restart();
        let (version, resource) = ask(&discovery, None).await;
        assert_eq!((version, resource), (first, json!("a")));
        tell(&discovery, Some(first));
        discovery.offer(&key(), vec![json!("b")]);
        let (third, resource) = ask(&discovery, Some(first)).await;
        assert_eq!(resource, "b");
        assert_eq!(tell(&discovery, Some(third)), Verdict::Taken);
    }

    #[tokio::test(start_paused = true)]
    async fn going_back_to_what_is_there_is_no_question() {
        let discovery = Discovery::new();
        discovery.offer(&key(), vec![json!("a")]);
        let (first, _) = ask(&discovery, None).await;
        tell(&discovery, Some(first));
        discovery.offer(&key(), vec![json!("bad")]);
        ask(&discovery, Some(first)).await;
        tell(&discovery, Some(first));
        discovery.offer(&key(), vec![json!("a")]);
        assert_eq!(discovery.verdicts()[&key()], Verdict::Taken);
    }
}
