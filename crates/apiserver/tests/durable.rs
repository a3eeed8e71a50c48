//! What is acknowledged stays, whatever happens to the process or the file.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[expect(dead_code, reason = "each test file uses its part")]
mod common;

use std::{
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
};

use common::{open, refusal};
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, ResourceExt as _,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams},
};
use proptest::prelude::*;
use serde_json::json;

/// Set for the process that is killed while it writes.
const FOLDER: &str = "CHOREO_TEST_WRITER";

fn config(name: &str) -> ConfigMap {
    serde_json::from_value(json!({"metadata": {"name": name}})).unwrap()
}

/// Not a test of its own: the process that `acknowledged_writes_survive_a_kill` kills.
#[expect(
    clippy::print_stdout,
    reason = "how the process tells what was acknowledged"
)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writer() {
    let Some(folder) = std::env::var_os(FOLDER) else {
        return;
    };
    let server = open(folder.as_ref());
    let api: Api<ConfigMap> = Api::default_namespaced(server.client());
    for number in 0_u32.. {
        let name = format!("n{number}");
        api.create(&PostParams::default(), &config(&name))
            .await
            .unwrap();
        println!("\nwritten {name}");
    }
}

#[tokio::test]
async fn acknowledged_writes_survive_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "writer", "--nocapture"])
        .env(FOLDER, folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut last = String::new();
    let mut acknowledged = 0;
    for line in lines {
        let line = line.unwrap();
        if let Some(name) = line.strip_prefix("written ") {
            name.clone_into(&mut last);
            acknowledged += 1;
        }
        if acknowledged == 200 {
            child.kill().unwrap();
            break;
        }
    }
    child.wait().unwrap();
    let server = open(folder.path());
    let api: Api<ConfigMap> = Api::default_namespaced(server.client());
    assert_eq!(last, "n199");
    for number in 0..200 {
        api.get(&format!("n{number}")).await.unwrap();
    }
}

/// What a map of 20 kB says.
fn said(number: usize, round: usize) -> String {
    format!("{number} {round} ").repeat(2_500)
}

/// Maps that say what `said` gives, with their versions; they are more than is kept in memory.
async fn write_many(api: &Api<ConfigMap>, round: usize) -> Vec<String> {
    let mut versions = Vec::new();
    for number in 0..400 {
        let map = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": format!("n{number:03}")},
            "data": {"v": said(number, round)},
        });
        let params = PatchParams::apply("test");
        let name = map["metadata"]["name"].as_str().unwrap();
        let written = api.patch(name, &params, &Patch::Apply(&map)).await.unwrap();
        versions.push(written.resource_version().unwrap());
    }
    versions
}

async fn what_is_said(api: &Api<ConfigMap>, params: &ListParams) -> Vec<String> {
    let list = api.list(params).await.unwrap();
    let said = list.into_iter().filter_map(|map| map.data?.remove("v"));
    said.collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn texts_are_read_from_the_disk_now_and_as_they_were() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = open(folder.path());
    let api: Api<ConfigMap> = Api::default_namespaced(server.client());
    let first = write_many(&api, 1).await;
    let second = write_many(&api, 2).await;
    let of = |round: usize| (0..400).map(move |number| said(number, round));
    for _ in 0..2 {
        let api: Api<ConfigMap> = Api::default_namespaced(server.client());
        let now: Vec<String> = of(2).collect();
        assert_eq!(what_is_said(&api, &ListParams::default()).await, now);
        let then = ListParams::default().at(first.last().unwrap());
        let then = then.matching(kube::api::VersionMatch::Exact);
        assert_eq!(what_is_said(&api, &then).await, of(1).collect::<Vec<_>>());
        let params = WatchParams::default().timeout(1);
        let events = api.watch(&params, first.last().unwrap()).await.unwrap();
        let events = events.filter_map(async |event| {
            let WatchEvent::Modified(map) = event.unwrap() else {
                panic!("nothing else happened");
            };
            map.data?.remove("v")
        });
        assert_eq!(events.collect::<Vec<_>>().await, now);
        let one = api.get("n000").await.unwrap();
        assert_eq!(one.resource_version(), second.first().cloned());
        server.close().await;
        server = open(folder.path());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_text_that_was_changed_on_the_disk_is_not_served() {
    let folder = tempfile::tempdir().unwrap();
    let server = open(folder.path());
    let api: Api<ConfigMap> = Api::default_namespaced(server.client());
    write_many(&api, 1).await;
    let database = rusqlite::Connection::open(folder.path().join("objects.sqlite")).unwrap();
    let changed = database.execute(
        "UPDATE versions SET data = CAST(replace(data, '0 1 0 1', '0 1 1 1') AS BLOB) WHERE name = 'n000'",
        [],
    );
    assert_eq!(changed.unwrap(), 1);
    let error = api.get("n000").await.unwrap_err().to_string();
    assert!(error.contains("checksum is wrong"), "{error}");
    assert!(api.get("n001").await.is_ok());
}

#[tokio::test]
async fn a_folder_is_open_once() {
    let folder = tempfile::tempdir().unwrap();
    let server = open(folder.path());
    assert!(refusal(folder.path()).contains("in use by another process (pid "));
    server.close().await;
    drop(server);
    open(folder.path()).close().await;
}

#[tokio::test]
async fn a_newer_format_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    open(folder.path()).close().await;
    let file = rusqlite::Connection::open(folder.path().join("objects.sqlite")).unwrap();
    file.pragma_update(None, "user_version", 99).unwrap();
    drop(file);
    let text = refusal(folder.path());
    assert!(
        text.contains("newer version of this program (data format 99"),
        "{text}"
    );
}

#[tokio::test]
async fn a_damaged_file_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("objects.sqlite"),
        "nonsense ".repeat(1000),
    )
    .unwrap();
    let text = refusal(folder.path());
    assert!(text.contains("objects.sqlite is damaged"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_at_once_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let server = open(folder.path());
    let api: Api<ConfigMap> = Api::default_namespaced(server.client());
    api.create(&PostParams::default(), &config("shared"))
        .await
        .unwrap();
    let writes = (0..16).map(|number| {
        let api = api.clone();
        tokio::spawn(async move {
            let patch = Patch::Merge(json!({"data": {number.to_string(): "x"}}));
            api.patch("shared", &PatchParams::default(), &patch).await
        })
    });
    for write in futures::future::join_all(writes).await {
        write.unwrap().unwrap();
    }
    assert_eq!(api.get("shared").await.unwrap().data.unwrap().len(), 16);
}

#[derive(Clone, Debug)]
enum Step {
    Create(u8),
    Change(u8, u8),
    Delete(u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0_u8..6).prop_map(Step::Create),
        (0_u8..6, 0_u8..3).prop_map(|(name, value)| Step::Change(name, value)),
        (0_u8..6).prop_map(Step::Delete),
    ]
}

/// Carries out the steps; whether each succeeds is not the point.
async fn play(api: &Api<ConfigMap>, steps: Vec<Step>) {
    for step in steps {
        match step {
            Step::Create(name) => {
                drop(
                    api.create(&PostParams::default(), &config(&format!("n{name}")))
                        .await,
                );
            }
            Step::Change(name, value) => {
                let patch = Patch::Merge(json!({"data": {"v": value.to_string()}}));
                drop(
                    api.patch(&format!("n{name}"), &PatchParams::default(), &patch)
                        .await,
                );
            }
            Step::Delete(name) => {
                drop(
                    api.delete(&format!("n{name}"), &DeleteParams::default())
                        .await,
                );
            }
        }
    }
}

/// What a watcher that began at `version` believes after it has seen `end`.
async fn believed(api: &Api<ConfigMap>, version: &str, end: &str) -> Vec<(String, Option<String>)> {
    use futures::StreamExt as _;
    let mut objects = std::collections::BTreeMap::new();
    let params = WatchParams::default().timeout(20);
    let mut stream = api.watch(&params, version).await.unwrap().boxed();
    while let Some(event) = stream.next().await {
        let (object, there) = match event.unwrap() {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => (object, true),
            WatchEvent::Deleted(object) => (object, false),
            other @ (WatchEvent::Bookmark(_) | WatchEvent::Error(_)) => panic!("{other:?}"),
        };
        if object.name_any() == end {
            break;
        }
        if there {
            objects.insert(object.name_any(), object.resource_version());
        } else {
            objects.remove(&object.name_any());
        }
    }
    objects.into_iter().collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    /// A watch from the beginning leads to the same objects as a list, also after a restart.
    #[test]
    fn watching_equals_listing(steps in prop::collection::vec(step(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let server = open(folder.path());
            let api: Api<ConfigMap> = Api::default_namespaced(server.client());
            let start = api.list(&ListParams::default()).await.unwrap().metadata.resource_version.unwrap();
            play(&api, steps).await;
            let listed = api.list(&ListParams::default()).await.unwrap();
            let listed: Vec<_> =
                listed.iter().map(|object| (object.name_any(), object.resource_version())).collect();
            api.create(&PostParams::default(), &config("end")).await.unwrap();
            assert_eq!(believed(&api, &start, "end").await, listed);
            server.close().await;
            drop((server, api));
            let server = open(folder.path());
            let api: Api<ConfigMap> = Api::default_namespaced(server.client());
            assert_eq!(believed(&api, &start, "end").await, listed);
        });
    }
}
