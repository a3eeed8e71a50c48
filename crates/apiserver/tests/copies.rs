//! Backups of a store and the way back.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[expect(dead_code, reason = "each test file uses its part")]
mod common;

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use choreo_apiserver::{Server, store};
use common::{events, open_at, refused};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::{
    Api, ResourceExt as _,
    api::{DeleteParams, ListParams, PostParams},
};
use serde_json::json;
use store::{Error, Place};

struct World {
    folder: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn place(&self, name: &str) -> Place {
        Place::new(self.path(name), self.path(&format!("{name}.key")))
    }

    fn open(&self, name: &str) -> (Server, Api<ConfigMap>) {
        let server = open_at(self.place(name));
        let api = Api::default_namespaced(server.client());
        (server, api)
    }
}

fn map(name: &str) -> ConfigMap {
    serde_json::from_value(json!({"metadata": {"name": name}})).unwrap()
}

fn secret(name: &str) -> Secret {
    serde_json::from_value(json!({"metadata": {"name": name}, "stringData": {"k": "v"}})).unwrap()
}

async fn create(api: &Api<ConfigMap>, name: &str) {
    api.create(&PostParams::default(), &map(name))
        .await
        .unwrap();
}

async fn names(api: &Api<ConfigMap>) -> Vec<String> {
    let list = api.list(&ListParams::default()).await.unwrap();
    list.iter()
        .map(ConfigMap::name_any)
        .filter(|name| name != "kube-root-ca.crt")
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_under_load_is_one_moment() {
    let world = World::new();
    let (server, api) = world.open("data");
    let written = Arc::new(AtomicU32::new(0));
    let (writer, count) = (api.clone(), Arc::clone(&written));
    let load = tokio::spawn(async move {
        for number in 0..400 {
            create(&writer, &format!("m{number:03}")).await;
            count.store(number + 1, Ordering::Release);
        }
    });
    while written.load(Ordering::Acquire) < 50 {
        tokio::task::yield_now().await;
    }
    let (place, file) = (world.place("data"), world.path("copy"));
    let before = written.load(Ordering::Acquire);
    let copied = tokio::task::spawn_blocking({
        let file = file.clone();
        move || store::backup(&place, &file, false, false).unwrap()
    })
    .await
    .unwrap();
    load.await.unwrap();
    assert_eq!(names(&api).await.len(), 400);
    server.close().await;
    assert!(copied.objects > 50 && !copied.has_key);
    assert_eq!(
        fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let restored = Place::new(world.path("other"), world.path("data.key"));
    assert_eq!(
        store::restore(&restored, &file, Timestamp::now()).unwrap(),
        None
    );
    let api: Api<ConfigMap> = Api::default_namespaced(open_at(restored).client());
    let there = names(&api).await;
    // Nothing is missing in the middle, and what was acknowledged before is in it.
    let expected: Vec<String> = (0..there.len())
        .map(|number| format!("m{number:03}"))
        .collect();
    assert_eq!(there, expected);
    assert!(there.len() >= before as usize);
}

#[tokio::test]
async fn a_file_is_replaced_only_when_asked() {
    let world = World::new();
    world.open("data").0.close().await;
    let (place, file) = (world.place("data"), world.path("copy"));
    fs::write(&file, "precious").unwrap();
    let refused = store::backup(&place, &file, false, false);
    assert!(matches!(refused, Err(Error::Exists { .. })), "{refused:?}");
    assert_eq!(fs::read_to_string(&file).unwrap(), "precious");
    store::backup(&place, &file, false, true).unwrap();
    store::inspect(&place, &file).unwrap();
    // Nothing is left beside it.
    let files = fs::read_dir(world.folder.path()).unwrap().count();
    assert_eq!(files, 3, "the store, its key, the copy");
}

#[tokio::test]
async fn versions_go_on_rising_and_old_watches_begin_anew() {
    let world = World::new();
    let (server, api) = world.open("data");
    create(&api, "kept").await;
    let (place, file) = (world.place("data"), world.path("copy"));
    store::backup(&place, &file, false, false).unwrap();
    create(&api, "later").await;
    let newest = api
        .list(&ListParams::default())
        .await
        .unwrap()
        .metadata
        .resource_version
        .unwrap();
    server.close().await;
    drop((server, api));
    let mut last: u64 = newest.parse().unwrap();
    // Again and again the same copy: never the same version twice.
    for _ in 0..2 {
        let aside = store::restore(&place, &file, Timestamp::now())
            .unwrap()
            .unwrap();
        assert!(aside.exists());
        let (server, api) = world.open("data");
        assert_eq!(names(&api).await, ["kept"]);
        assert_eq!(events(&api, &newest, 1).await, ["ERROR 410"]);
        let list = api.list(&ListParams::default()).await.unwrap();
        let version: u64 = list.metadata.resource_version.unwrap().parse().unwrap();
        assert!(
            version > last && version < 1 << 53,
            "{version} after {last}"
        );
        create(&api, "new").await;
        last = api
            .get("new")
            .await
            .unwrap()
            .resource_version()
            .unwrap()
            .parse()
            .unwrap();
        assert_eq!(events(&api, &version.to_string(), 1).await, ["ADDED new"]);
        api.delete("new", &DeleteParams::default()).await.unwrap();
        server.close().await;
    }
}

#[tokio::test]
async fn keys_travel_only_when_asked() {
    let world = World::new();
    let (server, _) = world.open("data");
    let secrets: Api<Secret> = Api::default_namespaced(server.client());
    secrets
        .create(&PostParams::default(), &secret("s"))
        .await
        .unwrap();
    let place = world.place("data");
    let bare = store::backup(&place, &world.path("bare"), false, false).unwrap();
    let whole = store::backup(&place, &world.path("whole"), true, false).unwrap();
    assert_eq!((bare.secrets, bare.has_key), (1, false));
    assert_eq!((whole.secrets, whole.has_key), (1, true));
    server.close().await;
    let elsewhere = world.place("elsewhere");
    let refused = store::restore(&elsewhere, &world.path("bare"), Timestamp::now());
    assert!(matches!(refused, Err(Error::Locked { .. })), "{refused:?}");
    store::restore(&elsewhere, &world.path("whole"), Timestamp::now()).unwrap();
    let server = open_at(elsewhere);
    let secrets: Api<Secret> = Api::default_namespaced(server.client());
    assert_eq!(secrets.get("s").await.unwrap().data.unwrap()["k"].0, b"v");
}

#[tokio::test]
async fn a_bad_copy_changes_nothing() {
    let world = World::new();
    let (server, api) = world.open("data");
    create(&api, "kept").await;
    let (place, file) = (world.place("data"), world.path("copy"));
    store::backup(&place, &file, false, false).unwrap();
    let locked = store::restore(&place, &file, Timestamp::now());
    assert!(matches!(locked, Err(Error::InUse { .. })), "{locked:?}");
    server.close().await;
    drop((server, api));
    let good = fs::read(&file).unwrap();
    let at = good
        .windows(12)
        .position(|part| part == b"\"name\":\"kept")
        .unwrap();
    let mut bytes = good.clone();
    bytes[at + 9] = b'l';
    for bad in [
        bytes,
        good[..good.len() / 2].to_vec(),
        b"nonsense".repeat(1000),
        Vec::new(),
    ] {
        fs::write(&file, bad).unwrap();
        let refused = store::restore(&place, &file, Timestamp::now());
        let text = refused.unwrap_err().to_string();
        assert!(text.contains("copy is damaged"), "{text}");
    }
    let (_server, api) = world.open("data");
    assert_eq!(names(&api).await, ["kept"]);
    let gone = api.get("lost").await;
    assert_eq!(refused(gone).0, 404);
}

#[tokio::test]
async fn what_is_laid_ready_comes_with_the_next_start() {
    let world = World::new();
    let (server, api) = world.open("data");
    create(&api, "kept").await;
    let (place, file) = (world.place("data"), world.path("copy"));
    store::backup(&place, &file, false, false).unwrap();
    create(&api, "later").await;
    // While it runs.
    store::stage(&place, &file, Timestamp::now()).unwrap();
    assert_eq!(names(&api).await, ["kept", "later"]);
    server.close().await;
    drop((server, api));
    let (_server, api) = world.open("data");
    assert_eq!(names(&api).await, ["kept"]);
}
