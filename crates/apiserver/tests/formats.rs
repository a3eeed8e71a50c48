//! Files of other formats and files that are not as they were written.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[expect(dead_code, reason = "each test file uses its part")]
mod common;

use std::{
    fs::{self, OpenOptions},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

use common::{events, open, refusal};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::{Api, ResourceExt as _, api::PostParams};
use rusqlite::Connection;
use serde_json::{Value, json};

/// The first format there was.
const FIRST: &str = "
    CREATE TABLE objects (
        id INTEGER PRIMARY KEY,
        collection TEXT NOT NULL,
        namespace TEXT NOT NULL,
        name TEXT NOT NULL,
        version INTEGER NOT NULL,
        data BLOB NOT NULL,
        UNIQUE (collection, namespace, name)
    ) STRICT;
    CREATE TABLE history (
        version INTEGER PRIMARY KEY,
        previous INTEGER,
        deleted INTEGER NOT NULL,
        collection TEXT NOT NULL,
        data BLOB NOT NULL
    ) STRICT;
    CREATE TABLE horizon (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        version INTEGER NOT NULL
    ) STRICT;
    INSERT INTO horizon VALUES (1, 2);
    PRAGMA user_version = 1;
    PRAGMA journal_mode = WAL;
";

fn file(folder: &Path) -> PathBuf {
    folder.join("objects.sqlite")
}

fn object(kind: &str, name: &str, version: i64, data: &Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": kind, "data": data,
        "metadata": {"name": name, "namespace": "default", "uid": format!("uid-{name}"),
            "creationTimestamp": "2026-01-01T00:00:00Z", "resourceVersion": version.to_string()},
    })
}

/// A file as the first format had it: a map that was changed once, a map that was deleted, a secret.
fn first_format(folder: &Path) {
    let connection = Connection::open(file(folder)).unwrap();
    connection.execute_batch(FIRST).unwrap();
    let past =
        |collection: &str, version: i64, previous: Option<i64>, deleted: bool, object: &Value| {
            connection
                .execute(
                    "INSERT INTO history VALUES (?1, ?2, ?3, ?4, ?5)",
                    (
                        version,
                        previous,
                        deleted,
                        collection,
                        object.to_string().as_bytes(),
                    ),
                )
                .unwrap();
        };
    let present = |collection: &str, version: i64, object: &Value| {
        let name = object["metadata"]["name"].as_str().unwrap();
        connection
            .execute(
                "INSERT INTO objects (collection, namespace, name, version, data)
                 VALUES (?1, 'default', ?2, ?3, ?4)",
                (collection, name, version, object.to_string().as_bytes()),
            )
            .unwrap();
    };
    let (maps, secrets) = ("/configmaps", "/secrets");
    let changed =
        |version, value: &str| object("ConfigMap", "changed", version, &json!({"v": value}));
    past(maps, 3, None, false, &changed(3, "old"));
    past(maps, 4, Some(3), false, &changed(4, "new"));
    present(maps, 4, &changed(4, "new"));
    past(
        maps,
        5,
        None,
        false,
        &object("ConfigMap", "gone", 5, &json!({})),
    );
    past(
        maps,
        6,
        Some(5),
        true,
        &object("ConfigMap", "gone", 6, &json!({})),
    );
    let secret = object("Secret", "s", 7, &json!({"password": "aHVudGVyMg=="}));
    past(secrets, 7, None, false, &secret);
    present(secrets, 7, &secret);
}

#[tokio::test]
async fn the_first_format_is_migrated() {
    let folder = tempfile::tempdir().unwrap();
    first_format(folder.path());
    let server = open(folder.path());
    let maps: Api<ConfigMap> = Api::default_namespaced(server.client());
    let map = maps.get("changed").await.unwrap();
    assert_eq!(map.data.unwrap()["v"], "new");
    assert_eq!(map.metadata.resource_version.as_deref(), Some("4"));
    let secrets: Api<Secret> = Api::default_namespaced(server.client());
    let secret = secrets.get("s").await.unwrap();
    assert_eq!(secret.data.unwrap()["password"].0, b"hunter2");
    // The past came along.
    assert_eq!(events(&maps, "4", 2).await, ["ADDED gone", "DELETED gone"]);
    server.close().await;
    drop((server, maps, secrets));
    for entry in fs::read_dir(folder.path()).unwrap() {
        let path = entry.unwrap().path();
        let bytes = fs::read(&path).unwrap();
        let clear = bytes.windows(12).any(|part| part == b"aHVudGVyMg==");
        assert!(!clear, "{} has the secret of before", path.display());
    }
    let format: u32 = Connection::open(file(folder.path()))
        .unwrap()
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .unwrap();
    assert_eq!(format, 2);
}

#[tokio::test]
async fn an_older_file_that_cannot_be_read_stays_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    first_format(folder.path());
    let connection = Connection::open(file(folder.path())).unwrap();
    connection
        .execute("UPDATE objects SET data = x'7b' WHERE version = 4", [])
        .unwrap();
    drop(connection);
    let text = refusal(folder.path());
    assert!(
        text.contains("damaged") && text.contains("version 4"),
        "{text}"
    );
    let connection = Connection::open(file(folder.path())).unwrap();
    let format: u32 = connection
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .unwrap();
    assert_eq!(format, 1);
}

async fn with_maps(folder: &Path, count: usize) {
    let server = open(folder);
    let maps: Api<ConfigMap> = Api::default_namespaced(server.client());
    for number in 0..count {
        let map = object(
            "ConfigMap",
            &format!("map-{number}"),
            0,
            &json!({"v": "x".repeat(2000)}),
        );
        let mut map: ConfigMap = serde_json::from_value(map).unwrap();
        map.metadata.resource_version = None;
        map.metadata.uid = None;
        maps.create(&PostParams::default(), &map).await.unwrap();
    }
    assert_eq!(maps.get("map-0").await.unwrap().name_any(), "map-0");
    server.close().await;
}

#[tokio::test]
async fn a_changed_byte_is_found_and_its_row_is_named() {
    let folder = tempfile::tempdir().unwrap();
    with_maps(folder.path(), 20).await;
    let connection = Connection::open(file(folder.path())).unwrap();
    connection
        .execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")
        .unwrap();
    drop(connection);
    let mut bytes = fs::read(file(folder.path())).unwrap();
    // A letter in the middle of a value: SQLite and JSON find nothing wrong with it.
    let at = bytes
        .windows(100)
        .position(|part| part == [b'x'; 100])
        .unwrap()
        + 50;
    bytes[at] = b'y';
    fs::write(file(folder.path()), bytes).unwrap();
    let text = refusal(folder.path());
    assert!(
        text.contains("damaged") && text.contains("configmaps default/map-"),
        "{text}"
    );
    assert!(
        text.contains("checksum") && text.contains("restore"),
        "{text}"
    );
}

#[tokio::test]
async fn a_truncated_file_is_found() {
    let folder = tempfile::tempdir().unwrap();
    with_maps(folder.path(), 20).await;
    let path = file(folder.path());
    let length = fs::metadata(&path).unwrap().len();
    OpenOptions::new()
        .write(true)
        .open(&path)
        .unwrap()
        .set_len(length / 2)
        .unwrap();
    let text = refusal(folder.path());
    assert!(text.contains("damaged"), "{text}");
}

#[tokio::test]
async fn an_index_that_disagrees_with_its_table_is_found() {
    let folder = tempfile::tempdir().unwrap();
    with_maps(folder.path(), 20).await;
    let path = file(folder.path());
    let connection = Connection::open(&path).unwrap();
    let (root, size): (i64, i64) = connection
        .query_row(
            "SELECT rootpage, (SELECT page_size FROM pragma_page_size) FROM sqlite_schema
             WHERE type = 'index' AND tbl_name = 'objects'",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .unwrap();
    drop(connection);
    let page = fs::read(&path).unwrap();
    let from = usize::try_from((root - 1) * size).unwrap();
    let entry = page[from..]
        .windows(5)
        .position(|part| part == b"map-7")
        .unwrap();
    let at = u64::try_from(from + entry + 4).unwrap();
    OpenOptions::new()
        .write(true)
        .open(&path)
        .unwrap()
        .write_all_at(b"z", at)
        .unwrap();
    let text = refusal(folder.path());
    assert!(text.contains("damaged") && text.contains("index"), "{text}");
}
