//! The API compared with a real kube-apiserver, the oracle: every scenario is
//! played here and must be answered as the oracle answered when its recording
//! was made. `tests/oracle/record` makes recordings; `./test --oracle` compares
//! with the oracle itself.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod scenario;

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
};

use choreo_apiserver::{AllowAll, Credentials, NoPods, Server};
use futures::{StreamExt as _, stream};
use jiff::Timestamp;
use kube::config::{KubeConfigOptions, Kubeconfig};
use scenario::{Scenario, compare, play};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

/// The kubeconfig of a running oracle.
const ORACLE: &str = "CHOREO_ORACLE";
/// The URL of its etcd.
const ETCD: &str = "CHOREO_ORACLE_ETCD";
/// Set when the oracle's answers are to be recorded.
const RECORD: &str = "CHOREO_ORACLE_RECORD";
/// How many scenarios are played at once.
const AT_ONCE: usize = 16;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios")
}

fn recording(scenario: &Scenario) -> PathBuf {
    folder()
        .join("recorded")
        .join(format!("{}.json", scenario.name))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_are_those_of_kubernetes() {
    let mut scenarios = scenario::all(&folder());
    if let Ok(word) = env::var("SCENARIO") {
        scenarios.retain(|scenario| scenario.name.contains(&word));
    }
    let oracle = env::var_os(ORACLE).map(PathBuf::from);
    let expected = match &oracle {
        Some(config) => play_all(&oracle_at(config).await, &scenarios).await,
        None => scenarios.iter().map(recorded).collect(),
    };
    if env::var_os(RECORD).is_some() {
        assert!(oracle.is_some(), "{RECORD} needs {ORACLE}");
        record(&scenarios, &expected);
        return;
    }
    let here = Here::open().await;
    let found = play_all(&here.target, &scenarios).await;
    here.close().await;
    let problems: Vec<String> = scenarios
        .iter()
        .zip(expected.iter().zip(&found))
        .flat_map(|(scenario, (expected, found))| compare::problems(scenario, expected, found))
        .collect();
    assert!(
        problems.is_empty(),
        "{} differences:\n{}",
        problems.len(),
        problems.join("\n")
    );
}

/// A difference nobody can read about is not known, and one that is only read about is not there.
#[test]
fn known_differences_are_documented() {
    let scenarios = scenario::all(&folder());
    let used: BTreeSet<String> = scenarios
        .iter()
        .flat_map(|scenario| {
            let steps = scenario.steps.iter().flat_map(|step| &step.differs);
            scenario.differs.iter().chain(steps)
        })
        .map(|known| known.reason.clone())
        .collect();
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/kubernetes-api.md");
    let page = fs::read_to_string(page).unwrap();
    let documented: BTreeSet<String> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`'))
        .map(|(name, _)| name.to_owned())
        .collect();
    assert_eq!(used, documented, "left: scenarios, right: the page");
}

async fn play_all(target: &play::Target, scenarios: &[Scenario]) -> Vec<Vec<Value>> {
    let together = |scenario: &&Scenario| !scenario.alone;
    let mut played: BTreeMap<&str, Vec<Value>> = stream::iter(scenarios.iter().filter(together))
        .map(|scenario| async { (&*scenario.name, play::play(target, scenario).await) })
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    for scenario in scenarios.iter().filter(|scenario| scenario.alone) {
        played.insert(&scenario.name, play::play(target, scenario).await);
    }
    let all = scenarios.iter();
    all.filter_map(|scenario| played.remove(&*scenario.name))
        .collect()
}

fn recorded(scenario: &Scenario) -> Vec<Value> {
    let path = recording(scenario);
    let text = fs::read_to_string(&path)
        .unwrap_or_else(|_| panic!("{} has no recording: tests/oracle/record", scenario.name));
    serde_json::from_str(&text).unwrap()
}

fn record(scenarios: &[Scenario], answers: &[Vec<Value>]) {
    let mut stopped = Vec::new();
    for (scenario, answers) in scenarios.iter().zip(answers) {
        if let Some(why) = answers.last().and_then(|last| last.get(play::STOPPED)) {
            let line = scenario.steps[answers.len() - 1].line;
            stopped.push(format!("{}:{line} {why}", scenario.name));
            continue;
        }
        let text = serde_json::to_string_pretty(answers).unwrap();
        fs::write(recording(scenario), text + "\n").unwrap();
    }
    assert!(stopped.is_empty(), "stopped:\n{}", stopped.join("\n"));
}

async fn oracle_at(config: &Path) -> play::Target {
    let etcd = env::var(ETCD).unwrap_or_else(|_| panic!("{ORACLE} needs {ETCD}"));
    target(Kubeconfig::read_from(config).unwrap(), Some(etcd)).await
}

async fn target(config: Kubeconfig, etcd: Option<String>) -> play::Target {
    let options = KubeConfigOptions::default();
    let mut config = kube::Config::from_custom_kubeconfig(config, &options)
        .await
        .unwrap();
    // What a server answers first is what is compared.
    config.default_retry = false;
    let mut anybody = config.clone();
    anybody.auth_info = kube::config::AuthInfo::default();
    play::Target {
        admin: config.try_into().unwrap(),
        anybody: anybody.try_into().unwrap(),
        etcd,
    }
}

/// The server under test, behind its listener.
struct Here {
    target: play::Target,
    server: Server,
    folder: tempfile::TempDir,
}

impl Here {
    async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = Server::open(
            folder.path(),
            Vec::new(),
            Arc::new(AllowAll),
            Arc::new(NoPods),
        )
        .unwrap();
        let credentials = Credentials::open(folder.path(), Timestamp::now()).unwrap();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let listener = tokio::net::TcpListener::bind(address).await.unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let config = Kubeconfig::from_yaml(&credentials.kubeconfig(&url)).unwrap();
        let serving = server.clone();
        tokio::spawn(async move {
            let stop = CancellationToken::new();
            serving.serve(listener, &credentials, stop).await.unwrap();
        });
        let target = target(config, None).await;
        Self {
            target,
            server,
            folder,
        }
    }

    async fn close(self) {
        self.server.close().await;
        self.folder.close().unwrap();
    }
}
