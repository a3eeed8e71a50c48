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
    assert_eq!(format, 3);
}

/// The second format: rows have sums, and what is newest is in both tables.
const SECOND: &str = "
    CREATE TABLE objects (
        id INTEGER PRIMARY KEY,
        collection TEXT NOT NULL,
        namespace TEXT NOT NULL,
        name TEXT NOT NULL,
        version INTEGER NOT NULL,
        sum INTEGER NOT NULL,
        data BLOB NOT NULL,
        UNIQUE (collection, namespace, name)
    ) STRICT;
    CREATE TABLE history (
        version INTEGER PRIMARY KEY,
        previous INTEGER,
        deleted INTEGER NOT NULL,
        collection TEXT NOT NULL,
        namespace TEXT NOT NULL,
        name TEXT NOT NULL,
        sum INTEGER NOT NULL,
        data BLOB NOT NULL
    ) STRICT;
    CREATE INDEX history_previous ON history (previous) WHERE previous IS NOT NULL;
    CREATE TABLE horizon (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        version INTEGER NOT NULL
    ) STRICT;
    INSERT INTO horizon VALUES (1, 10);
    PRAGMA user_version = 2;
    PRAGMA journal_mode = WAL;
";

/// The sum of a row of the second format: of the past if there is a link.
fn sum(name: &str, version: i64, data: &[u8], link: Option<(Option<i64>, bool)>) -> u32 {
    let mut sum = crc32fast::Hasher::new();
    for part in ["/configmaps", "default", name] {
        sum.update(part.as_bytes());
        sum.update(&[0]);
    }
    sum.update(&version.to_le_bytes());
    sum.update(data);
    if let Some((previous, deleted)) = link {
        sum.update(&[u8::from(deleted)]);
        sum.update(&previous.unwrap_or(-1).to_le_bytes());
    }
    sum.finalize()
}

/// A file as the second format had it, long after its history began: a map that is older than that,
/// one that was changed twice since, one that was deleted.
fn second_format(folder: &Path) -> Connection {
    let connection = Connection::open(file(folder)).unwrap();
    connection.execute_batch(SECOND).unwrap();
    let data = |name: &str, version: i64| {
        let value = json!({"v": version.to_string()});
        object("ConfigMap", name, version, &value)
            .to_string()
            .into_bytes()
    };
    for (name, version) in [("kept", 4), ("changed", 12)] {
        let data = data(name, version);
        connection
            .execute(
                "INSERT INTO objects (collection, namespace, name, version, sum, data)
                 VALUES ('/configmaps', 'default', ?1, ?2, ?3, ?4)",
                (name, version, sum(name, version, &data, None), data),
            )
            .unwrap();
    }
    for (name, version, previous, deleted) in [
        ("changed", 11, Some(5), false),
        ("changed", 12, Some(11), false),
        ("gone", 13, Some(3), true),
    ] {
        let data = data(name, version);
        let sum = sum(name, version, &data, Some((previous, deleted)));
        connection
            .execute(
                "INSERT INTO history VALUES (?1, ?2, ?3, '/configmaps', 'default', ?4, ?5, ?6)",
                (version, previous, deleted, name, sum, data),
            )
            .unwrap();
    }
    connection
}

#[tokio::test]
async fn the_second_format_is_migrated() {
    let folder = tempfile::tempdir().unwrap();
    drop(second_format(folder.path()));
    // Again, because what was migrated must be whole.
    for _ in 0..2 {
        let server = open(folder.path());
        let maps: Api<ConfigMap> = Api::default_namespaced(server.client());
        for (name, version) in [("kept", "4"), ("changed", "12")] {
            let map = maps.get(name).await.unwrap();
            assert_eq!(map.data.unwrap()["v"], version);
            assert_eq!(map.metadata.resource_version.as_deref(), Some(version));
        }
        assert!(maps.get("gone").await.is_err());
        let expected = ["MODIFIED changed", "DELETED gone"];
        assert_eq!(events(&maps, "11", 2).await, expected);
        server.close().await;
    }
    let connection = Connection::open(file(folder.path())).unwrap();
    let tables: Vec<String> = connection
        .prepare("SELECT name FROM sqlite_schema ORDER BY name")
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert_eq!(tables, ["horizon", "versions"]);
}

#[tokio::test]
async fn a_row_of_the_second_format_that_is_damaged_is_named() {
    for table in ["objects", "history"] {
        let folder = tempfile::tempdir().unwrap();
        let connection = second_format(folder.path());
        let damage = format!("UPDATE {table} SET name = 'other' WHERE version IN (4, 11)");
        assert_eq!(connection.execute(&damage, []), Ok(1));
        drop(connection);
        let text = refusal(folder.path());
        assert!(
            text.contains("configmaps default/other") && text.contains("checksum"),
            "{text}"
        );
    }
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
async fn a_row_that_is_missing_is_found() {
    let folder = tempfile::tempdir().unwrap();
    with_maps(folder.path(), 20).await;
    let connection = Connection::open(file(folder.path())).unwrap();
    let gone = connection.execute("DELETE FROM versions WHERE name = 'map-7'", []);
    assert_eq!(gone, Ok(1));
    drop(connection);
    let text = refusal(folder.path());
    assert!(
        text.contains("before configmaps default/map-8") && text.contains("is missing"),
        "{text}"
    );
}

/// What no row tells: how many pages of the file nobody uses.
#[tokio::test]
async fn a_damaged_structure_is_found() {
    let folder = tempfile::tempdir().unwrap();
    with_maps(folder.path(), 20).await;
    OpenOptions::new()
        .write(true)
        .open(file(folder.path()))
        .unwrap()
        .write_all_at(&[7], 39)
        .unwrap();
    let text = refusal(folder.path());
    assert!(
        text.contains("damaged") && text.contains("Freelist"),
        "{text}"
    );
}
