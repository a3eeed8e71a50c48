//! Handing configuration to Envoy: files that are renamed into place, in an order in which nothing is
//! used before it is there, each followed by a look at whether Envoy took it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::{Value, json};

use super::{Error, Result, Translation, admin::Admin, admin::Counters, envoy};

/// Envoy notices a file within milliseconds; after this long it never will.
const PATIENCE: Duration = Duration::from_secs(3);
const LOOK_AGAIN: Duration = Duration::from_millis(10);
/// How much of the end of Envoy's log is searched for a reason.
const LOG_TAIL: u64 = 16 << 10;

/// A piece of configuration that Envoy did not take. What it had before stays in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) service: String,
    pub(super) message: String,
}

impl Refusal {
    /// Nothing is taken, because nobody is there.
    fn absent() -> Self {
        Self {
            service: "lds".to_owned(),
            message: "Envoy does not start; its log tells why".to_owned(),
        }
    }
}

/// The writer of all discovery files.
#[derive(Debug)]
pub(super) struct Publisher {
    folder: PathBuf,
    log: PathBuf,
    admin: Admin,
    /// What each file holds.
    current: BTreeMap<String, Vec<u8>>,
    /// What Envoy refused, and why: it is not offered again.
    refused: BTreeMap<String, (Vec<u8>, Refusal)>,
    clusters: BTreeMap<String, Value>,
    /// Whether the Envoy that was started last did not come up.
    absent: bool,
}

impl Publisher {
    pub(super) fn new(folder: PathBuf, log: PathBuf, admin: Admin) -> Self {
        Self {
            folder,
            log,
            admin,
            current: BTreeMap::new(),
            refused: BTreeMap::new(),
            clusters: BTreeMap::new(),
            absent: false,
        }
    }

    /// Writes a translation, piece by piece, and tells what Envoy did not take. Without a running Envoy
    /// (`live` is false) nothing is checked.
    pub(super) async fn publish(&mut self, new: &Translation, live: bool) -> Result<Vec<Refusal>> {
        let wanted: BTreeMap<String, Value> = new
            .clusters
            .iter()
            .map(|c| (c["name"].as_str().unwrap_or_default().to_owned(), c.clone()))
            .collect();
        let mut both = self.clusters.clone();
        both.extend(wanted.clone());
        let mut refusals = Vec::new();
        // Clusters come before the routes that use them and go after.
        refusals.extend(self.offer("cds", both.values(), live).await?);
        for (port, routes) in &new.routes {
            let service = envoy::route_name(*port);
            refusals.extend(self.offer(&service, [routes], live).await?);
        }
        refusals.extend(self.offer("lds", &new.listeners, live).await?);
        if both.len() > wanted.len() && refusals.is_empty() {
            refusals.extend(self.offer("cds", wanted.values(), live).await?);
        }
        self.clusters = if refusals.is_empty() { wanted } else { both };
        self.refused
            .retain(|service, _| refusals.iter().any(|r| r.service == *service));
        refusals.extend(self.absent.then(Refusal::absent));
        Ok(refusals)
    }

    /// Waits until a newly started Envoy has read its files, and tells what it did not take.
    pub(super) async fn started(&mut self) -> Vec<Refusal> {
        let done = |counters: &BTreeMap<String, Counters>| {
            self.current.keys().all(|service| {
                counters
                    .get(service)
                    .is_some_and(|c| c.successes + c.refusals > 0)
            })
        };
        let counters = self.wait(done).await;
        self.absent = counters.is_none();
        let Some(counters) = counters else {
            return vec![Refusal::absent()];
        };
        let refused = counters.iter().filter(|(_, c)| c.refusals > 0);
        refused.map(|(service, _)| self.refusal(service)).collect()
    }

    async fn offer(
        &mut self,
        service: &str,
        resources: impl IntoIterator<Item = &Value>,
        live: bool,
    ) -> Result<Option<Refusal>> {
        let resources: Vec<&Value> = resources.into_iter().collect();
        let bytes = json!({"resources": resources}).to_string().into_bytes();
        if self.current.get(service) == Some(&bytes) {
            return Ok(None);
        }
        if let Some((refused, refusal)) = self.refused.get(service)
            && *refused == bytes
        {
            return Ok(Some(refusal.clone()));
        }
        let before = if live {
            self.admin.counters().await.ok()
        } else {
            None
        };
        write(&self.folder, service, &bytes)?;
        if let Some(before) = before {
            let before = before.get(service).copied().unwrap_or_default();
            if let Some(refusal) = self.verdict(service, before).await {
                self.restore(service).await?;
                self.refused
                    .insert(service.to_owned(), (bytes, refusal.clone()));
                return Ok(Some(refusal));
            }
        }
        self.current.insert(service.to_owned(), bytes);
        Ok(None)
    }

    /// Puts back what worked: a restarted Envoy must find it.
    async fn restore(&self, service: &str) -> Result<()> {
        let Some(good) = self.current.get(service) else {
            return Ok(());
        };
        let before = self.admin.counters().await.ok();
        write(&self.folder, service, good)?;
        // Waited for, or its success would be taken for that of the next offer.
        if let Some(before) = before {
            let before = before.get(service).copied().unwrap_or_default();
            self.verdict(service, before).await;
        }
        Ok(())
    }

    async fn verdict(&self, service: &str, before: Counters) -> Option<Refusal> {
        let settled = |counters: &BTreeMap<String, Counters>| {
            counters.get(service).is_some_and(|now| {
                // Fewer than before: Envoy started again and has read the new file.
                now.successes + now.refusals != before.successes + before.refusals
            })
        };
        let Some(now) = self.wait(settled).await else {
            tracing::warn!(service, "Envoy did not read its new configuration in time");
            return None;
        };
        let now = now.get(service).copied().unwrap_or_default();
        (now.refusals > before.refusals).then(|| self.refusal(service))
    }

    async fn wait(
        &self,
        done: impl Fn(&BTreeMap<String, Counters>) -> bool,
    ) -> Option<BTreeMap<String, Counters>> {
        let look = async {
            loop {
                match self.admin.counters().await {
                    Ok(counters) if done(&counters) => return counters,
                    _ => tokio::time::sleep(LOOK_AGAIN).await,
                }
            }
        };
        tokio::time::timeout(PATIENCE, look).await.ok()
    }

    fn refusal(&self, service: &str) -> Refusal {
        let reason =
            last_complaint(&self.log).unwrap_or_else(|| format!("see {}", self.log.display()));
        Refusal {
            service: service.to_owned(),
            message: format!("Envoy refused the configuration ({service}): {reason}"),
        }
    }
}

/// Makes the folder as Envoy needs it, without what an earlier run left in it.
///
/// Envoy is a user of its own: it may read what it watches, and write in one folder. That everybody
/// else could is nothing to them, because the data folder is its owner's only.
pub(super) fn prepare(folder: &Path, services: &BTreeSet<String>) -> Result<()> {
    let made = |made: &Path, mode| {
        fs::create_dir_all(made)
            .and_then(|()| fs::set_permissions(made, fs::Permissions::from_mode(mode)))
            .map_err(|cause| failed(format!("create {}", made.display()), cause))
    };
    made(folder, 0o711)?;
    for service in services {
        made(&folder.join(service), 0o755)?;
    }
    let live = folder.join(envoy::WRITABLE);
    // Most often there is none.
    let _ = fs::rename(
        folder.join(envoy::ACCESS_LOG),
        folder.join(envoy::OLD_ACCESS_LOG),
    );
    match fs::remove_dir_all(&live) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => {
            Err(failed(format!("empty {}", live.display()), cause))
        }
        _ => made(&live, 0o700),
    }
}

fn write(folder: &Path, service: &str, bytes: &[u8]) -> Result<()> {
    replace(&folder.join(envoy::discovery_file(service)), bytes)
}

/// Writes a file so that it is seen old or new, never in between.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let temporary = path.with_extension("new");
    fs::write(&temporary, bytes)
        .and_then(|()| fs::set_permissions(&temporary, fs::Permissions::from_mode(0o644)))
        .and_then(|()| fs::rename(&temporary, path))
        .map_err(|cause| failed(format!("write {}", path.display()), cause))
}

pub(super) fn failed(doing: String, cause: io::Error) -> Error {
    Error::Io { doing, cause }
}

/// The last line of Envoy's log that tells of refused configuration.
fn last_complaint(log: &Path) -> Option<String> {
    use io::{Read as _, Seek as _};
    let mut file = fs::File::open(log).ok()?;
    let length = file.metadata().ok()?.len();
    let start = length.saturating_sub(LOG_TAIL);
    file.seek(io::SeekFrom::Start(start)).ok()?;
    let mut bytes = Vec::new();
    file.take(LOG_TAIL).read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let line = text.lines().rev().find(|line| {
        line.contains("rejected")
            || line.contains("update failed")
            || line.contains("Unable to parse")
    })?;
    // [time][thread][level][component] [source:line] message
    Some(
        line.rsplit_once("] ")
            .map_or(line, |(_, message)| message)
            .to_owned(),
    )
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command, Stdio};

    use super::*;

    /// An Envoy that is killed at the end.
    struct Running(Child);

    impl Drop for Running {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    fn start(folder: &Path, program: &std::ffi::OsStr) -> Running {
        replace(
            &folder.join("bootstrap.json"),
            envoy::bootstrap().to_string().as_bytes(),
        )
        .unwrap();
        let log = fs::File::create(folder.join("log")).unwrap();
        let started = Command::new(program)
            .args(["-c", "bootstrap.json", "--disable-hot-restart"])
            .args(["--concurrency", "1", "--log-level", "warning"])
            .current_dir(folder)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        Running(started.unwrap())
    }

    /// A translation whose one route has a regular expression.
    fn matching(regex: &str) -> Translation {
        let route =
            json!({"match": {"safe_regex": {"regex": regex}}, "direct_response": {"status": 200}});
        let host = json!({"name": "*", "domains": ["*"], "routes": [route]});
        Translation {
            listeners: vec![envoy::listener(80)],
            routes: BTreeMap::from([(80, envoy::route_configuration(80, &[host]))]),
            ..Translation::default()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_envoy_that_does_not_start_takes_nothing() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().to_owned();
        let services = ["cds", "lds", "rds-80"].map(str::to_owned);
        prepare(&folder, &BTreeSet::from(services)).unwrap();
        let admin = Admin::new(folder.join(envoy::ADMIN_SOCKET));
        let mut publisher = Publisher::new(folder.clone(), folder.join("log"), admin);
        publisher.publish(&matching("a"), false).await.unwrap();
        assert_eq!(publisher.started().await, [Refusal::absent()]);
        // And what follows is not taken either.
        let refusals = publisher.publish(&matching("b"), true).await.unwrap();
        assert_eq!(refusals, [Refusal::absent()]);
    }

    #[expect(clippy::print_stderr, reason = "a skipped test says so")]
    #[tokio::test]
    async fn what_envoy_refuses_is_told_and_taken_back() {
        let Some(program) = std::env::var_os("CHOREO_ENVOY") else {
            eprintln!("skipped: CHOREO_ENVOY does not name an Envoy program");
            return;
        };
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().to_owned();
        let services = ["cds", "lds", "rds-80"].map(str::to_owned);
        prepare(&folder, &BTreeSet::from(services)).unwrap();
        let admin = Admin::new(folder.join(envoy::ADMIN_SOCKET));
        let mut publisher = Publisher::new(folder.clone(), folder.join("log"), admin);
        let first = publisher.publish(&matching("a"), false).await.unwrap();
        assert!(first.is_empty());
        let _envoy = start(&folder, &program);
        let up = async {
            while publisher.admin.counters().await.is_err() {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        };
        tokio::time::timeout(10 * PATIENCE, up).await.unwrap();
        assert_eq!(publisher.started().await, []);

        let file = folder.join(envoy::discovery_file("rds-80"));
        let good = fs::read(&file).unwrap();
        for _ in 0..3 {
            for bad in ["(", "["] {
                let refusals = publisher.publish(&matching(bad), true).await.unwrap();
                assert_eq!(refusals.len(), 1, "{refusals:?}");
                assert_eq!(refusals[0].service, "rds-80");
                assert!(refusals[0].message.contains("missing"), "{refusals:?}");
                assert_eq!(fs::read(&file).unwrap(), good);
            }
        }
        // The next that is good is taken again.
        let refusals = publisher.publish(&matching("b"), true).await.unwrap();
        assert_eq!(refusals, []);
        assert_ne!(fs::read(&file).unwrap(), good);
    }
}
