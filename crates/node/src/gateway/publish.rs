//! Handing a translation to Envoy, in an order in which nothing is used before it is there.

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use serde_json::Value;

use super::{
    Error, Result, Translation,
    discovery::{Discovery, Key, Kind, Verdict, whole},
    elsewhere, envoy,
};

/// Envoy answers within milliseconds; after this long it never will.
const PATIENCE: Duration = Duration::from_secs(3);
/// How much of the end of Envoy's log is searched for a reason.
const LOG_TAIL: u64 = 16 << 10;

/// A piece of configuration that Envoy did not take. What it had before stays in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    /// What it was; all clusters or listeners have no name.
    pub(super) key: Key,
    pub(super) message: String,
}

impl Refusal {
    /// Nothing is taken, because nobody is there.
    fn absent() -> Self {
        Self {
            key: whole(Kind::Listeners),
            message: "Envoy does not start; its log tells why".to_owned(),
        }
    }
}

/// Who offers Envoy its configuration.
#[derive(Debug)]
pub(super) struct Publisher {
    discovery: Arc<Discovery>,
    log: PathBuf,
    clusters: BTreeMap<String, Value>,
    /// Whether the Envoy that was started last did not come up.
    absent: bool,
}

impl Publisher {
    pub(super) fn new(discovery: Arc<Discovery>, log: PathBuf) -> Self {
        Self {
            discovery,
            log,
            clusters: BTreeMap::new(),
            absent: false,
        }
    }

    /// Offers a translation, piece by piece, and tells what Envoy did not take. Without a running Envoy
    /// (`live` is false) nothing is waited for.
    pub(super) async fn publish(&mut self, new: &Translation, live: bool) -> Vec<Refusal> {
        let wanted: BTreeMap<String, Value> = new
            .clusters
            .iter()
            .map(|c| (c["name"].as_str().unwrap_or_default().to_owned(), c.clone()))
            .collect();
        let mut both = self.clusters.clone();
        both.extend(wanted.clone());
        let discovery = &self.discovery;
        let clusters = whole(Kind::Clusters);
        // Clusters come before the routes that use them and go after.
        discovery.offer(&clusters, both.values().cloned().collect());
        self.settled(live, |key| key.0 == Kind::Clusters).await;
        let tokens = (Kind::Extension, envoy::JWT_FILTER.to_owned());
        discovery.offer(&tokens, vec![new.tokens.clone()]);
        for (name, secret) in &new.secrets {
            discovery.offer(&(Kind::Secret, name.clone()), vec![secret.clone()]);
        }
        self.settled(live, |key| matches!(key.0, Kind::Extension | Kind::Secret))
            .await;
        for (name, routes) in &new.routes {
            discovery.offer(&(Kind::Routes, name.clone()), vec![routes.clone()]);
        }
        self.settled(live, |key| key.0 == Kind::Routes).await;
        discovery.offer(&whole(Kind::Listeners), new.listeners.clone());
        let mut verdicts = self.settled(live, |key| key.0 == Kind::Listeners).await;
        if verdicts.get(&whole(Kind::Listeners)) == Some(&Verdict::Taken) {
            verdicts = self.asked(new).await;
        }
        let mut refusals = self.refusals(&verdicts, new);
        if refusals.is_empty() {
            self.discovery
                .keep(Kind::Routes, |n| new.routes.contains_key(n));
            self.discovery
                .keep(Kind::Secret, |n| new.secrets.contains_key(n));
            discovery.offer(&clusters, wanted.values().cloned().collect());
            self.clusters = wanted;
        } else {
            self.clusters = both;
        }
        refusals.extend(self.absent.then(Refusal::absent));
        refusals
    }

    /// Waits until Envoy has taken or refused whatever it has asked for of some kinds.
    async fn settled(&self, live: bool, about: impl Fn(&Key) -> bool) -> BTreeMap<Key, Verdict> {
        if !live || self.absent {
            return BTreeMap::new();
        }
        let done = |verdicts: &BTreeMap<Key, Verdict>| {
            let mut open = verdicts.iter().filter(|(_, v)| **v == Verdict::Open);
            !open.any(|(key, _)| about(key))
        };
        let settled = self.discovery.wait(PATIENCE, done).await;
        settled.unwrap_or_else(|| {
            tracing::warn!("Envoy did not ask for its new configuration in time");
            self.discovery.verdicts()
        })
    }

    /// Waits until Envoy has asked for all routes, those of new listeners included, and told of them.
    async fn asked(&self, new: &Translation) -> BTreeMap<Key, Verdict> {
        let done = |verdicts: &BTreeMap<Key, Verdict>| {
            let known = |name: &String| verdicts.contains_key(&(Kind::Routes, name.clone()));
            new.routes.keys().all(known) && !verdicts.values().any(|v| *v == Verdict::Open)
        };
        let settled = self.discovery.wait(PATIENCE, done).await;
        settled.unwrap_or_else(|| self.discovery.verdicts())
    }

    /// Waits until a newly started Envoy has what it needs, and tells what it did not take.
    pub(super) async fn started(&mut self, current: &Translation) -> Vec<Refusal> {
        let basics = [whole(Kind::Clusters), whole(Kind::Listeners)];
        let done = |verdicts: &BTreeMap<Key, Verdict>| {
            let known = |key| verdicts.get(key).is_some_and(|v| *v != Verdict::Open);
            basics.iter().all(known) && !verdicts.values().any(|v| *v == Verdict::Open)
        };
        let verdicts = self.discovery.wait(PATIENCE, done).await;
        self.absent = verdicts.is_none();
        match verdicts {
            Some(verdicts) => self.refusals(&verdicts, current),
            None => vec![Refusal::absent()],
        }
    }

    fn refusals(&self, verdicts: &BTreeMap<Key, Verdict>, current: &Translation) -> Vec<Refusal> {
        let used = |(kind, name): &Key| match kind {
            Kind::Routes => current.routes.contains_key(name),
            Kind::Secret => current.secrets.contains_key(name),
            Kind::Clusters | Kind::Extension | Kind::Listeners => true,
        };
        let refused = verdicts
            .iter()
            .filter(|(key, v)| **v == Verdict::Refused && used(key));
        refused
            .map(|(key, _)| {
                let why = last_complaint(&self.log, key.0)
                    .unwrap_or_else(|| format!("see {}", self.log.display()));
                Refusal {
                    key: key.clone(),
                    message: format!("Envoy refused the configuration ({}): {why}", key.0.path()),
                }
            })
            .collect()
    }
}

/// Makes the folder as Envoy needs it, without what an earlier run left in it.
///
/// Envoy is a user of its own: it may read what is there, and write in one folder. That everybody else
/// could is nothing to them, because the data folder is its owner's only.
pub(super) fn prepare(folder: &Path) -> Result<()> {
    let made = |made: &Path, mode| {
        fs::create_dir_all(made)
            .and_then(|()| fs::set_permissions(made, fs::Permissions::from_mode(mode)))
            .map_err(|cause| failed(format!("create {}", made.display()), cause))
    };
    let emptied = |emptied: &Path| match fs::remove_dir_all(emptied) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => {
            Err(failed(format!("empty {}", emptied.display()), cause))
        }
        _ => Ok(()),
    };
    made(folder, 0o711)?;
    // Most often there is none.
    let _ = fs::rename(
        folder.join(envoy::ACCESS_LOG),
        folder.join(envoy::OLD_ACCESS_LOG),
    );
    for (name, mode) in [(envoy::WRITABLE, 0o700), (elsewhere::FOLDER, 0o711)] {
        emptied(&folder.join(name))?;
        made(&folder.join(name), mode)?;
    }
    let bootstrap = folder.join(envoy::BOOTSTRAP);
    fs::write(&bootstrap, envoy::bootstrap().to_string())
        .and_then(|()| fs::set_permissions(&bootstrap, fs::Permissions::from_mode(0o644)))
        .map_err(|cause| failed(format!("write {}", bootstrap.display()), cause))
}

fn failed(doing: String, cause: io::Error) -> Error {
    Error::Io { doing, cause }
}

/// The last line of Envoy's log that tells of a refused answer of a kind.
fn last_complaint(log: &Path, kind: Kind) -> Option<String> {
    use io::{Read as _, Seek as _};
    let mut file = fs::File::open(log).ok()?;
    let length = file.metadata().ok()?.len();
    let start = length.saturating_sub(LOG_TAIL);
    file.seek(io::SeekFrom::Start(start)).ok()?;
    let mut bytes = Vec::new();
    file.take(LOG_TAIL).read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let words = format!("/v3/discovery:{} rejected: ", kind.path());
    let mut lines = text.lines().rev();
    lines.find_map(|line| Some(line.split_once(&words)?.1.to_owned()))
}
