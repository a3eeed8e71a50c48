//! The database file: lock, format, loading, and the statements of a write.

use std::{
    borrow::Cow,
    fs::{File, OpenOptions, TryLockError},
    io::{Read, Seek, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use rusqlite::{Connection, ErrorCode, Transaction, params};

use super::{
    Collection, Error, Place, Written, check, format,
    keys::Keyring,
    row::{Label, Link, Trouble, Troubles},
};
use crate::object::Stored;

/// How many versions of history are kept at least.
pub(super) const KEPT: u64 = 10_000;

/// How long a start waits for the check of the file's structure once everything is read.
const BUDGET: Duration = Duration::from_millis(500);

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
    pub(super) keys: Keyring,
    path: PathBuf,
    /// Held until the database is dropped: two processes on one folder would
    /// each serve from their own memory.
    _lock: File,
}

impl Database {
    pub(super) fn open(place: &Place) -> Result<Self, Error> {
        let lock = lock(place)?;
        place.settle()?;
        let path = place.file();
        create_private(&path)?;
        let failed = |source| classify(&path, source);
        let mut connection = Connection::open(&path).map_err(failed)?;
        configure(&connection).map_err(failed)?;
        format::of(&connection, &path)?;
        let keys = keys(&connection, place)?;
        format::migrate(&mut connection, &path, &keys)?;
        format::reseal(&mut connection, &path, &keys)?;
        index(&connection);
        tidy(&connection);
        Ok(Self {
            connection,
            keys,
            path,
            _lock: lock,
        })
    }

    /// Reads everything. Nothing is served of a file that has one bad row.
    pub(super) fn load(&self) -> Result<Loaded, Error> {
        let check = check::begin(&self.path)?;
        let loaded = read(&self.connection, &self.path, &self.keys)?;
        check.end(BUDGET)?;
        Ok(loaded)
    }

    /// Forgets history up to `horizon`, except what later history refers to.
    pub(super) fn compact(&mut self, horizon: u64) -> rusqlite::Result<()> {
        let transaction = self.connection.transaction()?;
        transaction.execute("UPDATE horizon SET version = ?1", [horizon.cast_signed()])?;
        transaction.execute(
            "DELETE FROM history WHERE version <= ?1 AND NOT EXISTS (
                 SELECT 1 FROM history AS later
                 WHERE later.previous = history.version AND later.version > ?1)",
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

/// Everything a file holds, if all of it is as it was written.
pub(super) fn read(connection: &Connection, path: &Path, keys: &Keyring) -> Result<Loaded, Error> {
    let failed = |source| classify(path, source);
    let horizon = connection
        .query_row("SELECT version FROM horizon", [], |row| version(row, 0))
        .map_err(failed)?;
    let mut troubles = Troubles::default();
    let objects = objects(connection, keys, &mut troubles).map_err(failed)?;
    let history = history(connection, keys, horizon, &mut troubles).map_err(failed)?;
    troubles.verdict(path, keys)?;
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

fn objects(
    connection: &Connection,
    keys: &Keyring,
    troubles: &mut Troubles,
) -> rusqlite::Result<Vec<(Collection, Stored)>> {
    let mut names = Names::default();
    let mut statement = connection
        .prepare("SELECT collection, namespace, name, version, sum, data FROM objects")?;
    let mut rows = statement.query([])?;
    let mut objects = Vec::new();
    while let Some(row) = rows.next()? {
        let label = label(row, 0)?;
        match decode(keys, &label, row.get(4)?, blob(row.get_ref(5))?, None) {
            Ok(object) => objects.push((names.get(label.collection), object)),
            Err(trouble) => troubles.add(label, trouble),
        }
    }
    Ok(objects)
}

fn history(
    connection: &Connection,
    keys: &Keyring,
    horizon: u64,
    troubles: &mut Troubles,
) -> rusqlite::Result<Vec<Past>> {
    let mut names = Names::default();
    let mut statement = connection.prepare(
        "SELECT collection, namespace, name, version, sum, data, previous, deleted
         FROM history ORDER BY version",
    )?;
    let mut rows = statement.query([])?;
    let mut known = std::collections::HashMap::new();
    let mut history = Vec::new();
    while let Some(row) = rows.next()? {
        let label = label(row, 0)?;
        let link = Link {
            previous: row.get(6)?,
            deleted: row.get(7)?,
        };
        let data = blob(row.get_ref(5))?;
        let object = match decode(keys, &label, row.get(4)?, data, Some(&link)) {
            Ok(object) => Arc::new(object),
            Err(trouble) => {
                troubles.add(format!("the past of {label}"), trouble);
                continue;
            }
        };
        let previous = link.previous.map(i64::cast_unsigned);
        let previous = previous.and_then(|version| known.remove(&version));
        known.insert(label.version, Arc::clone(&object));
        if label.version > horizon {
            history.push(Past {
                collection: names.get(label.collection),
                deleted: link.deleted,
                object,
                previous,
            });
        }
    }
    Ok(history)
}

/// The object of a row, if the row is as it was written.
fn decode(
    keys: &Keyring,
    label: &Label<'_>,
    sum: u32,
    data: &[u8],
    link: Option<&Link>,
) -> Result<Stored, Trouble> {
    if label.sum(data, link) != sum {
        return Err(Trouble::Bad("its checksum is wrong".to_owned()));
    }
    let json = Bytes::from(label.unwrap(keys, data)?);
    Stored::parse(label.version, json).map_err(|error| Trouble::Bad(error.to_string()))
}

/// What is written of an object: its text, sealed if it is a secret.
pub(super) fn encode<'a>(
    keys: &Keyring,
    label: &Label<'_>,
    json: &'a [u8],
) -> rusqlite::Result<Cow<'a, [u8]>> {
    if !label.is_secret() {
        return Ok(Cow::Borrowed(json));
    }
    let sealed = label.wrap(keys, json).map(Cow::Owned);
    sealed.ok_or_else(|| rusqlite::Error::ToSqlConversionFailure("it cannot be sealed".into()))
}

/// Writes a change: the object, or its end, and its row of history.
pub(super) fn write(
    transaction: &Transaction<'_>,
    keys: &Keyring,
    written: &Written,
) -> rusqlite::Result<()> {
    let (collection, object) = (&written.collection, &*written.object);
    let data = encode(keys, &Label::new(collection, object), &object.json)?;
    if written.deleted {
        remove_object(transaction, collection, object)?;
    } else {
        insert_object(transaction, collection, object, &data)?;
    }
    let link = Link {
        previous: (written.previous.as_ref()).map(|object| object.version.cast_signed()),
        deleted: written.deleted,
    };
    remember(transaction, collection, object, link, &data)
}

/// Writes an object in the place of the one of its name.
pub(super) fn insert_object(
    transaction: &Transaction<'_>,
    collection: &str,
    object: &Stored,
    data: &[u8],
) -> rusqlite::Result<()> {
    let label = Label::new(collection, object);
    transaction
        .prepare_cached(
            "INSERT INTO objects (collection, namespace, name, version, sum, data)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT DO UPDATE
             SET version = excluded.version, sum = excluded.sum, data = excluded.data",
        )?
        .execute(params![
            label.collection,
            label.namespace,
            label.name,
            label.version.cast_signed(),
            label.sum(data, None),
            data
        ])?;
    Ok(())
}

fn remove_object(
    transaction: &Transaction<'_>,
    collection: &str,
    object: &Stored,
) -> rusqlite::Result<()> {
    let name = &object.name;
    transaction
        .prepare_cached(
            "DELETE FROM objects WHERE collection = ?1 AND namespace = ?2 AND name = ?3",
        )?
        .execute(params![collection, name.namespace, name.name])?;
    Ok(())
}

/// Writes a row of history.
pub(super) fn remember(
    transaction: &Transaction<'_>,
    collection: &str,
    object: &Stored,
    link: Link,
    data: &[u8],
) -> rusqlite::Result<()> {
    let label = Label::new(collection, object);
    transaction
        .prepare_cached("INSERT INTO history VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")?
        .execute(params![
            label.version.cast_signed(),
            link.previous,
            link.deleted,
            label.collection,
            label.namespace,
            label.name,
            label.sum(data, Some(&link)),
            data
        ])?;
    Ok(())
}

/// Collection, namespace, name and version from a column on.
fn label<'a>(row: &'a rusqlite::Row<'_>, from: usize) -> rusqlite::Result<Label<'a>> {
    Ok(Label {
        collection: text(row.get_ref(from))?,
        namespace: text(row.get_ref(from + 1))?,
        name: text(row.get_ref(from + 2))?,
        version: version(row, from + 3)?,
    })
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

/// Makes the folder of a store and takes it for this process.
pub(super) fn lock(place: &Place) -> Result<File, Error> {
    let folder = &place.folder;
    std::fs::create_dir_all(folder).map_err(|source| Error::File {
        path: folder.into(),
        source,
    })?;
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
pub(super) fn create_private(path: &Path) -> Result<(), Error> {
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
    // 4 MB: that much room a full disk must get back before the store can be written again.
    connection.pragma_update(None, "wal_autocheckpoint", 1000)?;
    // Everything is served from memory, so a large page cache would be waste.
    connection.pragma_update(None, "cache_size", -2000)?;
    connection.pragma_update(None, "journal_size_limit", 8 << 20)?;
    connection.set_prepared_statement_cache_capacity(16);
    Ok(())
}

/// Lets compaction find what later history refers to without reading all of it. Whatever a file holds
/// is whole without, and a full disk has no room for it.
fn index(connection: &Connection) {
    let outcome = connection.execute_batch(
        "CREATE INDEX IF NOT EXISTS history_previous ON history (previous)
         WHERE previous IS NOT NULL",
    );
    if let Err(error) = outcome {
        tracing::warn!(%error, "history has no index: compacting it takes longer");
    }
}

/// Takes what the write-ahead file holds into the database, so that nothing of before stays in it. A
/// full disk has no room for that, and the store is whole without.
fn tidy(connection: &Connection) {
    let outcome = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    if let Err(error) = outcome {
        tracing::warn!(%error, "the write-ahead file is kept as it is");
    }
}

/// The keys of a store. They are made when there are none and nothing needs older ones.
fn keys(connection: &Connection, place: &Place) -> Result<Keyring, Error> {
    let mut keys = Keyring::read(&place.key)?;
    if keys.first().is_none() && !has_sealed(connection).map_err(|e| classify(&place.file(), e))? {
        keys.renew()?;
    }
    Ok(keys)
}

/// Whether there is anything that only a key opens.
pub(super) fn has_sealed(connection: &Connection) -> rusqlite::Result<bool> {
    let tables: i64 = connection.query_row(
        "SELECT count(*) FROM sqlite_schema WHERE name IN ('objects', 'history')",
        [],
        |row| row.get(0),
    )?;
    let sealed = |table| {
        let sql = format!("SELECT EXISTS (SELECT 1 FROM {table} WHERE substr(data, 1, 1) = x'01')");
        connection.query_row(&sql, [], |row| row.get::<_, bool>(0))
    };
    Ok(tables == 2 && (sealed("objects")? || sealed("history")?))
}

pub(super) fn classify(path: &Path, source: rusqlite::Error) -> Error {
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
