//! Handing a translation to Envoy, in an order in which nothing is used before it is there.

use std::{
    collections::{BTreeMap, BTreeSet},
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
    salvage::{Parts, salvage},
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
    /// The objects it came from, by kind, namespace and name, if everything else is served.
    pub(super) objects: BTreeSet<String>,
}

impl Refusal {
    /// Nothing is taken, because nobody is there.
    fn absent() -> Self {
        Self {
            key: whole(Kind::Listeners),
            message: "Envoy does not start; its log tells why".to_owned(),
            objects: BTreeSet::new(),
        }
    }
}

/// Who offers Envoy its configuration.
#[derive(Debug)]
pub(super) struct Publisher {
    discovery: Arc<Discovery>,
    log: PathBuf,
    clusters: BTreeMap<String, Value>,
    tokens: Value,
    /// What was found out of resources that Envoy refused: which of them as they were offered, which parts
    /// are left out instead, and what is told of it.
    mended: BTreeMap<Key, (Value, Value, Refusal)>,
    /// Whether the Envoy that was started last did not come up.
    absent: bool,
}

impl Publisher {
    pub(super) fn new(discovery: Arc<Discovery>, log: PathBuf) -> Self {
        Self {
            discovery,
            log,
            clusters: BTreeMap::new(),
            tokens: Value::Null,
            mended: BTreeMap::new(),
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
        for (name, secret) in &new.secrets {
            discovery.offer(&(Kind::Secret, name.clone()), vec![secret.clone()]);
        }
        let clusters = whole(Kind::Clusters);
        // Clusters come before the routes that use them and go after.
        discovery.offer(&clusters, both.values().cloned().collect());
        self.settled(live, |key| key.0 == Kind::Clusters).await;
        let tokens = (Kind::Extension, envoy::JWT_FILTER.to_owned());
        let both_tokens = united(&self.tokens, &new.tokens);
        discovery.offer(&tokens, vec![self.known(&tokens, &both_tokens)]);
        self.settled(live, |key| matches!(key.0, Kind::Extension | Kind::Secret))
            .await;
        for (name, routes) in &new.routes {
            let key = (Kind::Routes, name.clone());
            discovery.offer(&key, vec![self.known(&key, routes)]);
        }
        self.settled(live, |key| key.0 == Kind::Routes).await;
        discovery.offer(&whole(Kind::Listeners), new.listeners.clone());
        let mut verdicts = self.settled(live, |key| key.0 == Kind::Listeners).await;
        if verdicts.get(&whole(Kind::Listeners)) == Some(&Verdict::Taken) {
            verdicts = self.asked(new).await;
        }
        let refusals = self.refusals(&verdicts, new);
        let mut refusals = self.mend(refusals, new).await;
        if refusals.iter().all(|refusal| !refusal.objects.is_empty()) {
            let discovery = &self.discovery;
            self.discovery
                .keep(Kind::Routes, |n| new.routes.contains_key(n));
            self.discovery
                .keep(Kind::Secret, |n| new.secrets.contains_key(n));
            discovery.offer(&clusters, wanted.values().cloned().collect());
            self.clusters = wanted;
            discovery.offer(&tokens, vec![self.known(&tokens, &new.tokens)]);
            self.tokens = new.tokens.clone();
        } else {
            self.clusters = both;
        }
        refusals.extend(self.absent.then(Refusal::absent));
        refusals
    }

    /// A resource as it is offered: without the parts that are known to be refused.
    fn known(&self, key: &Key, resource: &Value) -> Value {
        let mended = self.mended.get(key);
        let mended = mended.filter(|(refused, _, _)| refused == resource);
        mended.map_or_else(|| resource.clone(), |(_, instead, _)| instead.clone())
    }

    /// Finds out which parts of refused resources are bad, so that the others are served.
    pub(super) async fn mend(&mut self, refusals: Vec<Refusal>, new: &Translation) -> Vec<Refusal> {
        let mut told = Vec::new();
        for mut refusal in refusals {
            let mut parts = match (refusal.key.0, new.routes.get(&refusal.key.1)) {
                (Kind::Routes, Some(routes)) => Parts::of_routes(routes),
                (Kind::Extension, _) => Parts::of_tokens(&new.tokens),
                _ => {
                    told.push(refusal);
                    continue;
                }
            };
            let bad = salvage(&self.discovery, &refusal.key, &mut parts).await;
            tracing::error!(refusal.message, "Envoy refused a part of its configuration");
            refusal.objects = parts.objects(&bad);
            let whole = parts.without(&BTreeSet::new());
            let known = (whole, parts.without(&bad), refusal.clone());
            self.mended.insert(refusal.key.clone(), known);
        }
        self.mended.retain(|key, (refused, _, _)| match key.0 {
            Kind::Routes => new.routes.get(&key.1) == Some(refused),
            Kind::Extension => new.tokens == *refused,
            Kind::Clusters | Kind::Listeners | Kind::Secret => false,
        });
        told.extend(self.mended.values().map(|(_, _, refusal)| refusal.clone()));
        told
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
            Some(verdicts) => {
                let refusals = self.refusals(&verdicts, current);
                self.mend(refusals, current).await
            }
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
                    objects: BTreeSet::new(),
                    message: format!("Envoy refused the configuration ({}): {why}", key.0.path()),
                }
            })
            .collect()
    }
}

/// The configurations of the filter for tokens before and after a change together, so that routes of
/// either find what they require.
fn united(before: &Value, after: &Value) -> Value {
    let mut both = after.clone();
    for field in ["providers", "requirement_map"] {
        let before = before["typed_config"][field].as_object();
        if let Some(all) = both["typed_config"][field].as_object_mut() {
            for (name, value) in before.into_iter().flatten() {
                all.entry(name).or_insert_with(|| value.clone());
            }
        }
    }
    both
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

#[cfg(test)]
mod tests {
    use std::process::{Child, Command, Stdio};

    use serde_json::json;

    use super::{super::discovery, *};

    /// An Envoy that is killed at the end.
    struct Running(Child);

    impl Drop for Running {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    fn start(folder: &Path, program: &std::ffi::OsStr) -> Running {
        let log = fs::File::create(folder.join("log")).unwrap();
        let started = Command::new(program)
            .args(["-c", envoy::BOOTSTRAP, "--disable-hot-restart"])
            .args(["--concurrency", "1", "--log-level", "warning"])
            .current_dir(folder)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        Running(started.unwrap())
    }

    /// A translation whose routes have these matches.
    fn matching(matches: &[Value]) -> Translation {
        let routes = matches.iter().enumerate().map(|(number, wanted)| {
            json!({
                "name": format!("HTTPRoute cell/{number}"),
                "match": wanted, "direct_response": {"status": 200},
            })
        });
        let routes: Vec<Value> = routes.collect();
        let host = json!({"name": "*", "domains": ["*"], "routes": routes});
        let chain = json!({"filters": [envoy::requests("80", false, None)]});
        Translation {
            listeners: vec![envoy::listener("80", &[chain], &envoy::At::Relay, None)],
            routes: BTreeMap::from([("80".to_owned(), envoy::route_configuration("80", &[host]))]),
            tokens: super::super::translate(&super::super::Input::default()).tokens,
            ..Translation::default()
        }
    }

    fn regex(text: &str) -> Value {
        json!({"safe_regex": {"regex": text}})
    }

    #[tokio::test(start_paused = true)]
    async fn an_envoy_that_does_not_start_takes_nothing() {
        let home = tempfile::tempdir().unwrap();
        let mut publisher = Publisher::new(Arc::new(Discovery::new()), home.path().join("log"));
        let first = matching(&[regex("a")]);
        publisher.publish(&first, false).await;
        assert_eq!(publisher.started(&first).await, [Refusal::absent()]);
        // And what follows is not taken either.
        let refusals = publisher.publish(&matching(&[regex("b")]), true).await;
        assert_eq!(refusals, [Refusal::absent()]);
    }

    #[expect(clippy::print_stderr, reason = "a skipped test says so")]
    #[tokio::test]
    async fn of_what_envoy_refuses_the_good_is_kept_and_the_bad_told() {
        let Some(program) = std::env::var_os("CHOREO_ENVOY") else {
            eprintln!("skipped: CHOREO_ENVOY does not name an Envoy program");
            return;
        };
        let home = tempfile::tempdir().unwrap();
        prepare(home.path()).unwrap();
        let discovery = Arc::new(Discovery::new());
        let questions = discovery::listen(&home.path().join(envoy::DISCOVERY_SOCKET)).unwrap();
        tokio::spawn(discovery::serve(questions, Arc::clone(&discovery)));
        let mut publisher = Publisher::new(Arc::clone(&discovery), home.path().join("log"));
        let first = matching(&[regex("a")]);
        publisher.publish(&first, false).await;
        let _envoy = start(home.path(), &program);
        assert_eq!(publisher.started(&first).await, []);

        let key = (Kind::Routes, "80".to_owned());
        let routes = || discovery.good(&key).unwrap()["virtual_hosts"][0]["routes"].clone();
        // A bad condition is left out, whatever is beside it; so it stays.
        let mixed = matching(&[regex("a"), regex("("), regex("b"), regex("c")]);
        for _ in 0..2 {
            let refusals = publisher.publish(&mixed, true).await;
            assert_eq!(refusals.len(), 1, "{refusals:?}");
            let expected = BTreeSet::from(["HTTPRoute cell/1".to_owned()]);
            assert_eq!(refusals[0].objects, expected);
            assert!(refusals[0].message.contains("missing )"), "{refusals:?}");
            assert_eq!(routes().as_array().unwrap().len(), 3, "{}", routes());
        }
        // The next that is good is taken again.
        let refusals = publisher
            .publish(&matching(&[regex("a"), regex("d")]), true)
            .await;
        assert_eq!(refusals, []);
        assert_eq!(routes()[1]["match"], regex("d"));
    }
}
