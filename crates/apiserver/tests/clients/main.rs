//! Programs of others against the TLS listener: kubectl of several versions, Helm, and a program of
//! client-go. `tests/clients/clients build` builds them; without it only the installed kubectl runs.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]
#![expect(
    clippy::print_stderr,
    reason = "whoever runs it wants to know what is skipped, and why"
)]

#[expect(dead_code, reason = "each test file uses its part")]
#[path = "../common/mod.rs"]
mod common;
mod transcript;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
};

use common::serving;
use futures::{StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use kube::{
    Api, Client, ResourceExt as _,
    api::{Patch, PatchParams, WatchEvent, WatchParams},
};
use serde_json::json;
use transcript::{Stage, play};

/// The folder of what belongs to these tests and is no Rust.
fn material() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/clients")
}

/// Where the programs are that `tests/clients/clients` built, if it did.
fn built() -> Option<PathBuf> {
    let cache = env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cache")));
    let folder = env::var_os("CHOREO_CLIENTS").map(PathBuf::from);
    let folder = folder.or_else(|| Some(cache?.join("choreo/clients/bin")));
    folder.filter(|folder| folder.join("client-go").exists())
}

fn installed(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|path| path.exists())
}

/// Every kubectl there is: the one on `PATH`, and those that were built.
fn kubectls() -> Vec<PathBuf> {
    let built = built().and_then(|folder| fs::read_dir(folder).ok());
    let built = built
        .into_iter()
        .flatten()
        .map(|entry| entry.unwrap().path());
    let mut others: Vec<_> = built
        .filter(|path| {
            path.file_name()
                .unwrap()
                .to_string_lossy()
                .starts_with("kubectl-")
        })
        .collect();
    others.sort();
    installed("kubectl").into_iter().chain(others).collect()
}

/// Plays the part of the controller of jobs: whatever is asked for has been done.
async fn finish_jobs(client: Client) {
    let all: Api<Job> = Api::all(client.clone());
    let mut stream = all
        .watch(&WatchParams::default(), "0")
        .await
        .unwrap()
        .boxed();
    while let Some(event) = stream.try_next().await.unwrap() {
        let WatchEvent::Added(job) = event else {
            continue;
        };
        let now = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let status = json!({"status": {"startTime": now, "completionTime": now, "succeeded": 1, "conditions": [
            {"type": "SuccessCriteriaMet", "status": "True"}, {"type": "Complete", "status": "True"}]}});
        let jobs: Api<Job> = Api::namespaced(client.clone(), &job.namespace().unwrap());
        // It may be gone already.
        let _ = jobs
            .patch_status(
                &job.name_any(),
                &PatchParams::default(),
                &Patch::Merge(status),
            )
            .await;
    }
}

/// Plays every transcript of a folder at once, each in a namespace of its own, with these programs.
fn transcripts(folder: &str, config: &Path, programs: &[(&str, &Path)]) -> Vec<String> {
    let mut files: Vec<_> = fs::read_dir(material().join(folder))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    thread::scope(|scope| {
        let playing: Vec<_> = files
            .iter()
            .map(|file| scope.spawn(move || alone(file, config, programs)))
            .collect();
        playing
            .into_iter()
            .flat_map(|one| one.join().unwrap())
            .collect()
    })
}

fn alone(file: &Path, config: &Path, programs: &[(&str, &Path)]) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let (bin, work) = (folder.path().join("bin"), folder.path().join("work"));
    fs::create_dir(&bin).unwrap();
    fs::create_dir(&work).unwrap();
    for (name, path) in programs {
        std::os::unix::fs::symlink(path, bin.join(name)).unwrap();
    }
    let own = folder.path().join("kubeconfig");
    fs::copy(config, &own).unwrap();
    let stage = Stage {
        programs: &bin,
        config: &own,
        folder: &work,
        chart: &material().join("chart"),
    };
    let kind = file.file_stem().unwrap().to_string_lossy().into_owned();
    let namespace = format!(
        "{kind}-{}",
        Timestamp::now().as_nanosecond() % 1_000_000_000
    );
    let prepare = format!(
        "kubectl create namespace {namespace} && kubectl config set-context --current --namespace={namespace} \
         && until kubectl get configmap kube-root-ca.crt && kubectl get serviceaccount default; do sleep 0.1; done"
    );
    let (text, code) = stage.run(&prepare);
    assert_eq!(code, 0, "{text}");
    let found = play(file, &stage);
    stage.run(&format!(
        "kubectl delete namespace {namespace} --wait=false"
    ));
    found
}

#[track_caller]
fn no_differences(found: &[String]) {
    assert!(
        found.is_empty(),
        "{} differences:\n{}",
        found.len(),
        found.join("\n")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kubectl_does_what_it_does_elsewhere() {
    let kubectls = kubectls();
    if kubectls.is_empty() {
        eprintln!(
            "skipped: there is no kubectl on PATH, and none was built by tests/clients/clients"
        );
        return;
    }
    serving(move |_, config| {
        let oracle = env::var_os("CHOREO_ORACLE").map(PathBuf::from);
        let mut found = Vec::new();
        for kubectl in &kubectls {
            for target in oracle.iter().map(PathBuf::as_path).chain([config]) {
                let who = format!("{} at {}", kubectl.display(), target.display());
                let told = transcripts("kubectl", target, &[("kubectl", kubectl)]);
                found.extend(told.into_iter().map(|one| format!("{who}: {one}")));
            }
        }
        no_differences(&found);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn helm_installs_upgrades_and_removes() {
    let (Some(folder), Some(kubectl)) = (built(), installed("kubectl")) else {
        eprintln!("skipped: tests/clients/clients did not build Helm, or there is no kubectl");
        return;
    };
    serving(move |client, config| {
        let jobs = tokio::runtime::Handle::current().spawn(finish_jobs(client));
        let programs = [("helm", &*folder.join("helm")), ("kubectl", &*kubectl)];
        let found = transcripts("helm", config, &programs);
        jobs.abort();
        no_differences(&found);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn client_go_runs_controllers() {
    let Some(folder) = built() else {
        eprintln!("skipped: tests/clients/clients did not build the program of client-go");
        return;
    };
    serving(move |_, config| {
        // Once as it is, once with lists that are streamed.
        for streams in ["false", "true"] {
            let output = Command::new(folder.join("client-go"))
                .arg(config)
                .env("KUBE_FEATURE_WatchListClient", streams)
                .output()
                .unwrap();
            let text = [output.stdout, output.stderr].concat();
            let text = String::from_utf8_lossy(&text);
            assert!(output.status.success(), "with streams {streams}:\n{text}");
        }
    })
    .await;
}
