//! The database file: lock, format, loading, and the statements of a write.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{Read, Seek, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use rusqlite::{Connection, ErrorCode, Transaction, params};

use super::{Collection, Error};
use crate::object::Stored;

/// Each step takes the format of its index to the next one.
const MIGRATIONS: &[&str] = &["
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
    INSERT INTO horizon VALUES (1, 0);
"];

/// How many versions of history are kept at least.
pub(super) const KEPT: u64 = 10_000;

/// Everything on disk when the store is opened.
pub(crate) struct Loaded {
    /// Newest version given.
    pub(crate) version: u64,
    /// History is complete after this version.
    pub(crate) horizon: u64,
    pub(crate) objects: Vec<(Collection, Stored)>,
    /// In order of versions.
    pub(crate) history: Vec<Past>,
}

/// One remembered change.
pub(crate) struct Past {
    pub(crate) collection: Collection,
    pub(crate) deleted: bool,
    pub(crate) object: Arc<Stored>,
    pub(crate) previous: Option<Arc<Stored>>,
}

pub(super) struct Database {
    pub(super) connection: Connection,
    path: PathBuf,
    /// Held until the database is dropped: two processes on one folder would
    /// each serve from their own memory.
    _lock: File,
}

impl Database {
    pub(super) fn open(folder: &Path) -> Result<Self, Error> {
        std::fs::create_dir_all(folder).map_err(|source| Error::File {
            path: folder.into(),
            source,
        })?;
        let lock = lock(folder)?;
        let path = folder.join("objects.sqlite");
        create_private(&path)?;
        let failed = |source| classify(&path, source);
        let mut connection = Connection::open(&path).map_err(failed)?;
        configure(&connection).map_err(failed)?;
        migrate(&mut connection, &path)?;
        Ok(Self {
            connection,
            path,
            _lock: lock,
        })
    }

    pub(super) fn load(&self) -> Result<Loaded, Error> {
        let failed = |source| classify(&self.path, source);
        let horizon = self
            .connection
            .query_row("SELECT version FROM horizon", [], |row| version(row, 0))
            .map_err(failed)?;
        let objects = self.objects()?;
        let history = self.history(horizon)?;
        let newest = objects.iter().map(|(_, object)| object.version);
        let newest = newest.chain(history.iter().map(|past| past.object.version));
        let version = newest.max().unwrap_or(0).max(horizon);
        Ok(Loaded {
            version,
            horizon,
            objects,
            history,
        })
    }

    fn objects(&self) -> Result<Vec<(Collection, Stored)>, Error> {
        let failed = |source| classify(&self.path, source);
        let mut names = Names::default();
        let mut statement = self
            .connection
            .prepare("SELECT collection, version, data FROM objects")
            .map_err(failed)?;
        let mut rows = statement.query([]).map_err(failed)?;
        let mut objects = Vec::new();
        while let Some(row) = rows.next().map_err(failed)? {
            let collection = names.get(text(row.get_ref(0)).map_err(failed)?);
            let version = version(row, 1).map_err(failed)?;
            let data = blob(row.get_ref(2)).map_err(failed)?;
            objects.push((collection, self.parse(version, data)?));
        }
        Ok(objects)
    }

    fn history(&self, horizon: u64) -> Result<Vec<Past>, Error> {
        let failed = |source| classify(&self.path, source);
        let mut names = Names::default();
        let mut statement = self
            .connection
            .prepare(
                "SELECT version, previous, deleted, collection, data FROM history ORDER BY version",
            )
            .map_err(failed)?;
        let mut rows = statement.query([]).map_err(failed)?;
        let mut known = std::collections::HashMap::new();
        let mut history = Vec::new();
        while let Some(row) = rows.next().map_err(failed)? {
            let version = version(row, 0).map_err(failed)?;
            let previous: Option<i64> = row.get(1).map_err(failed)?;
            let deleted = row.get(2).map_err(failed)?;
            let collection = names.get(text(row.get_ref(3)).map_err(failed)?);
            let data = blob(row.get_ref(4)).map_err(failed)?;
            let object = Arc::new(self.parse(version, data)?);
            let previous = previous.and_then(|version| known.remove(&version.cast_unsigned()));
            known.insert(version, Arc::clone(&object));
            if version > horizon {
                history.push(Past {
                    collection,
                    deleted,
                    object,
                    previous,
                });
            }
        }
        Ok(history)
    }

    fn parse(&self, version: u64, data: &[u8]) -> Result<Stored, Error> {
        Stored::parse(version, Bytes::copy_from_slice(data)).map_err(|error| Error::Damaged {
            path: self.path.clone(),
            why: format!("object of version {version}: {error}"),
        })
    }

    /// Forgets history up to `horizon`, except what later history refers to.
    pub(super) fn compact(&mut self, horizon: u64) -> rusqlite::Result<()> {
        let transaction = self.connection.transaction()?;
        transaction.execute("UPDATE horizon SET version = ?1", [horizon.cast_signed()])?;
        transaction.execute(
            "DELETE FROM history WHERE version <= ?1 AND version NOT IN (
                 SELECT previous FROM history WHERE version > ?1 AND previous IS NOT NULL)",
            [horizon.cast_signed()],
        )?;
        transaction.commit()
    }
}

/// One collection name is one allocation, however many objects it has.
#[derive(Default)]
struct Names(std::collections::BTreeSet<Collection>);

impl Names {
    fn get(&mut self, name: &str) -> Collection {
        if let Some(known) = self.0.get(name) {
            return Arc::clone(known);
        }
        let name: Collection = name.into();
        self.0.insert(Arc::clone(&name));
        name
    }
}

/// Writes one object and its history row.
pub(super) fn put(
    transaction: &Transaction<'_>,
    collection: &str,
    object: &Stored,
    previous: Option<u64>,
) -> rusqlite::Result<()> {
    let (name, data) = (&object.name, &object.json[..]);
    let version = object.version.cast_signed();
    transaction
        .prepare_cached(
            "INSERT INTO objects (collection, namespace, name, version, data)
             VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT DO UPDATE SET version = excluded.version, data = excluded.data",
        )?
        .execute(params![
            collection,
            name.namespace,
            name.name,
            version,
            data
        ])?;
    remember(transaction, collection, object, previous, false)
}

/// Removes one object and writes its history row.
pub(super) fn remove(
    transaction: &Transaction<'_>,
    collection: &str,
    object: &Stored,
    previous: Option<u64>,
) -> rusqlite::Result<()> {
    let name = &object.name;
    transaction
        .prepare_cached(
            "DELETE FROM objects WHERE collection = ?1 AND namespace = ?2 AND name = ?3",
        )?
        .execute(params![collection, name.namespace, name.name])?;
    remember(transaction, collection, object, previous, true)
}

fn remember(
    transaction: &Transaction<'_>,
    collection: &str,
    object: &Stored,
    previous: Option<u64>,
    deleted: bool,
) -> rusqlite::Result<()> {
    let (version, previous) = (object.version.cast_signed(), previous.map(u64::cast_signed));
    transaction
        .prepare_cached("INSERT INTO history VALUES (?1, ?2, ?3, ?4, ?5)")?
        .execute(params![
            version,
            previous,
            deleted,
            collection,
            &object.json[..]
        ])?;
    Ok(())
}

/// SQLite knows signed numbers only; versions never come near the difference.
fn version(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<u64> {
    row.get::<_, i64>(column).map(i64::cast_unsigned)
}

fn text(value: rusqlite::Result<rusqlite::types::ValueRef<'_>>) -> rusqlite::Result<&str> {
    value?.as_str().map_err(Into::into)
}

fn blob(value: rusqlite::Result<rusqlite::types::ValueRef<'_>>) -> rusqlite::Result<&[u8]> {
    value?.as_blob().map_err(Into::into)
}

fn lock(folder: &Path) -> Result<File, Error> {
    let path = folder.join("lock");
    let failed = |source| Error::File {
        path: path.clone(),
        source,
    };
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::Error(source)) => return Err(failed(source)),
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            // Who holds it is a courtesy: the lock itself is what counts.
            let known = file.read_to_string(&mut text).is_ok() && !text.trim().is_empty();
            let holder = if known {
                format!(" (pid {})", text.trim())
            } else {
                String::new()
            };
            return Err(Error::InUse {
                path: folder.into(),
                holder,
            });
        }
    }
    let written = file
        .set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| write!(file, "{}", std::process::id()));
    written.map_err(failed)?;
    Ok(file)
}

/// Objects hold secrets: nobody else reads the file (SQLite gives its
/// companions the same mode).
fn create_private(path: &Path) -> Result<(), Error> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map(drop)
        .map_err(|source| Error::File {
            path: path.into(),
            source,
        })
}

fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "wal_autocheckpoint", 1000)?;
    // Everything is served from memory, so a large page cache would be waste.
    connection.pragma_update(None, "cache_size", -2000)?;
    connection.pragma_update(None, "journal_size_limit", 8 << 20)?;
    connection.set_prepared_statement_cache_capacity(16);
    Ok(())
}

fn migrate(connection: &mut Connection, path: &Path) -> Result<(), Error> {
    let failed = |source| classify(path, source);
    let found: u32 = connection
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .map_err(failed)?;
    let known = u32::try_from(MIGRATIONS.len()).unwrap_or(u32::MAX);
    if found > known {
        return Err(Error::Newer {
            path: path.into(),
            found,
            known,
        });
    }
    let transaction = connection.transaction().map_err(failed)?;
    for step in MIGRATIONS.iter().skip(found as usize) {
        transaction.execute_batch(step).map_err(failed)?;
    }
    transaction
        .pragma_update(None, "user_version", known)
        .map_err(failed)?;
    transaction.commit().map_err(failed)
}

fn classify(path: &Path, source: rusqlite::Error) -> Error {
    let path = path.to_owned();
    match source.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => Error::Full { path },
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Error::Damaged {
            path,
            why: source.to_string(),
        },
        _ => Error::Database { path, source },
    }
}
