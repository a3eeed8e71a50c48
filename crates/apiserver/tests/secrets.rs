//! Secrets on disk: sealed, opened only by their key, and never in the clear in any file.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[expect(dead_code, reason = "each test file uses its part")]
mod common;

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use choreo_apiserver::{Server, store};
use common::{open_at, refusal_at};
use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{
    Api,
    api::{DeleteParams, ObjectMeta, Patch, PatchParams, PostParams},
};
use serde_json::json;
use store::Place;

/// What must not be found on a disk, as it is and as JSON carries it.
const VALUE: &str = "correct-horse-battery-staple";
const ENCODED: &str = "Y29ycmVjdC1ob3JzZS1iYXR0ZXJ5LXN0YXBsZQ==";

struct World {
    folder: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn key(&self) -> PathBuf {
        self.folder.path().join("data.key")
    }

    fn place(&self) -> Place {
        Place::new(self.data(), self.key())
    }

    fn open(&self) -> (Server, Api<Secret>) {
        let server = open_at(self.place());
        let api = Api::default_namespaced(server.client());
        (server, api)
    }

    /// A secret is made, and the server ends.
    async fn keep(&self, name: &str) {
        let (server, api) = self.open();
        api.create(&PostParams::default(), &secret(name))
            .await
            .unwrap();
        server.close().await;
    }

    fn keys(&self) -> Vec<String> {
        let text = fs::read_to_string(self.key()).unwrap();
        text.lines().map(str::to_owned).collect()
    }
}

fn secret(name: &str) -> Secret {
    Secret {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            ..ObjectMeta::default()
        },
        data: Some(BTreeMap::from([(
            "password".to_owned(),
            ByteString(VALUE.into()),
        )])),
        ..Secret::default()
    }
}

async fn value(api: &Api<Secret>, name: &str) -> Vec<u8> {
    let data = api.get(name).await.unwrap().data.unwrap();
    data["password"].0.clone()
}

/// The files of a folder that have any of the words in them.
fn found(folder: &Path, words: &[&str]) -> Vec<PathBuf> {
    let files = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    files
        .filter(|path| {
            let bytes = fs::read(path).unwrap();
            let has = |word: &&str| {
                bytes
                    .windows(word.len())
                    .any(|part| part == word.as_bytes())
            };
            words.iter().any(has)
        })
        .collect()
}

#[tokio::test]
async fn no_file_has_a_value_in_the_clear() {
    let world = World::new();
    let (server, api) = world.open();
    for name in ["kept", "changed", "deleted"] {
        api.create(&PostParams::default(), &secret(name))
            .await
            .unwrap();
    }
    let patch = Patch::Merge(json!({"stringData": {"second": VALUE}}));
    api.patch("changed", &PatchParams::default(), &patch)
        .await
        .unwrap();
    api.delete("deleted", &DeleteParams::default())
        .await
        .unwrap();
    // While it runs the newest writes are in the write-ahead file.
    assert!(
        fs::metadata(world.data().join("objects.sqlite-wal"))
            .unwrap()
            .len()
            > 0
    );
    assert_eq!(
        found(&world.data(), &[VALUE, ENCODED]),
        Vec::<PathBuf>::new()
    );
    server.close().await;
    drop((server, api));
    assert_eq!(
        found(&world.data(), &[VALUE, ENCODED]),
        Vec::<PathBuf>::new()
    );
    let (_server, api) = world.open();
    assert_eq!(value(&api, "kept").await, VALUE.as_bytes());
}

#[tokio::test]
async fn a_key_is_made_once_for_its_owner_alone() {
    let world = World::new();
    world.open().0.close().await;
    let keys = world.keys();
    assert_eq!(keys.len(), 1);
    assert_eq!(
        fs::metadata(world.key()).unwrap().permissions().mode() & 0o777,
        0o600
    );
    world.open().0.close().await;
    assert_eq!(world.keys(), keys);
}

#[tokio::test]
async fn without_its_key_a_store_is_not_served() {
    let world = World::new();
    world.keep("s").await;
    let elsewhere = world.folder.path().join("elsewhere");
    fs::rename(world.key(), &elsewhere).unwrap();
    let text = refusal_at(world.place());
    assert!(
        text.contains("only key") && text.contains("data.key"),
        "{text}"
    );
    assert!(
        !world.key().exists(),
        "a new key would hide that the old one is lost"
    );
    fs::rename(elsewhere, world.key()).unwrap();
    let (_server, api) = world.open();
    assert_eq!(value(&api, "s").await, VALUE.as_bytes());
}

#[tokio::test]
async fn a_new_key_takes_over() {
    let world = World::new();
    world.keep("s").await;
    store::renew_key(&world.place()).unwrap();
    let keys = world.keys();
    assert_eq!(keys.len(), 2);
    // The next start seals everything anew, so that the earlier key can go.
    world.open().0.close().await;
    fs::write(world.key(), &keys[0]).unwrap();
    let (_server, api) = world.open();
    assert_eq!(value(&api, "s").await, VALUE.as_bytes());
}
