//! A server that is killed again and again while clients write: what was acknowledged is there,
//! nothing is half there, and who watches sees each change once and in order.
//!
//! Ten kills by default. The campaign of two hundred:
//!
//! ```text
//! CHOREO_CRASH_KILLS=200 cargo test -p choreo-apiserver --test crash -- --nocapture
//! ```
//!
//! `CHOREO_CRASH_SEED` chooses other moments and other writes.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test fails by panicking; processes tell each other and people what they did"
)]

mod client;
mod server;
mod watcher;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use client::{Client, Shared};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, api::PostParams};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use serde_json::json;
use server::Process;
use watcher::Watcher;

/// Clients that write at once.
const CLIENTS: usize = 16;
/// Clients that watch across all restarts.
const WATCHERS: usize = 2;
/// A server is killed after at most this many writes ...
const WRITES: u64 = 150;
/// ... and at most so many microseconds more: anywhere between two commits.
const MOMENT: u64 = 3_000;

/// How long a server may take for the writes of one life.
const PATIENCE: Duration = Duration::from_mins(2);

/// A number from the environment.
fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

#[test]
fn every_acknowledged_write_survives_kills() {
    server::be_one_if_asked();
    let kills = setting("CHOREO_CRASH_KILLS", 10);
    let seed = setting("CHOREO_CRASH_SEED", 1);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let told = runtime.block_on(campaign(kills, seed));
    eprintln!("{told}");
}

async fn campaign(kills: u64, seed: u64) -> String {
    let folder = tempfile::tempdir().unwrap();
    let shared = Arc::new(Mutex::new(Shared::default()));
    let mut random = StdRng::seed_from_u64(seed);
    let mut clients: Vec<Client> = (0..CLIENTS)
        .map(|number| Client::new(number, seed, Arc::clone(&shared)))
        .collect();
    let mut watchers: Vec<Watcher> = (0..WATCHERS).map(|_| Watcher::default()).collect();
    for round in 0..=kills {
        let process = Process::start(folder.path());
        let kube = process.client().await;
        for client in &mut clients {
            client.verify(&kube).await;
        }
        Shared::verify(&shared, &kube).await;
        let mark = mark(&kube, round).await;
        for watcher in &mut watchers {
            watcher.follow(&kube, &mark).await;
            watcher.verify(&kube, &shared).await;
        }
        if round == kills {
            break;
        }
        let moment = Moment {
            writes: shared.lock().unwrap().acknowledged() + random.random_range(1..WRITES),
            rest: Duration::from_micros(random.random_range(0..MOMENT)),
        };
        let killing = killing(process, Arc::clone(&shared), moment);
        clients = under_load(clients, &mut watchers, &kube, killing).await;
    }
    let shared = shared.lock().unwrap();
    let events = watchers.iter().map(Watcher::seen).min().unwrap_or_default();
    format!(
        "{kills} kills, seed {seed}: {} acknowledged writes are there, {} were cut; {events} events seen once and in order",
        shared.acknowledged(),
        shared.cut()
    )
}

/// When a server is killed.
struct Moment {
    writes: u64,
    rest: Duration,
}

async fn killing(mut process: Process, shared: Arc<Mutex<Shared>>, moment: Moment) {
    let progress = shared.lock().unwrap().progress();
    let enough = async {
        while shared.lock().unwrap().acknowledged() < moment.writes {
            progress.notified().await;
        }
    };
    tokio::time::timeout(PATIENCE, enough)
        .await
        .expect("the server must go on answering");
    tokio::time::sleep(moment.rest).await;
    process.kill();
}

/// Everybody works until the server is killed.
async fn under_load(
    clients: Vec<Client>,
    watchers: &mut [Watcher],
    kube: &kube::Client,
    killing: impl Future<Output = ()>,
) -> Vec<Client> {
    let writing = clients.into_iter().map(|mut client| {
        let kube = kube.clone();
        tokio::spawn(async move {
            client.work(&kube).await;
            client
        })
    });
    let writing: Vec<_> = writing.collect();
    let watching = futures::future::join_all(watchers.iter_mut().map(|one| one.watch(kube)));
    // Watches end with the server.
    futures::future::join(watching, killing).await;
    let clients = futures::future::join_all(writing).await;
    clients.into_iter().map(Result::unwrap).collect()
}

/// An object that nobody changes, by which watchers know how far they are. Returns its version.
async fn mark(kube: &kube::Client, round: u64) -> String {
    let api: Api<ConfigMap> = Api::default_namespaced(kube.clone());
    let object = json!({"metadata": {"name": format!("mark-{round}")}});
    let object = serde_json::from_value(object).unwrap();
    let created = api.create(&PostParams::default(), &object).await.unwrap();
    created.metadata.resource_version.unwrap()
}
