//! The database file: lock, settings, opening and reading.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{Read, Seek, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::Arc,
    time::Duration,
};

use rusqlite::{Connection, ErrorCode};

use super::{
    Error, Place, check,
    checkpoint::Checkpoints,
    format,
    keys::Keyring,
    texts::Texts,
    versions::{self, Loaded},
};

/// How long a start waits for the check of the file's structure once everything is read.
const BUDGET: Duration = Duration::from_millis(500);

pub(super) struct Database {
    pub(super) connection: Connection,
    pub(super) texts: Arc<Texts>,
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
        tidy(&connection);
        Ok(Self {
            connection,
            texts: Texts::new(&path, &keys),
            _lock: lock,
        })
    }

    /// Reads everything, and seals anew what an earlier key sealed. Nothing is served of a file that
    /// has one bad row.
    pub(super) fn load(&mut self) -> Result<Loaded, Error> {
        let check = check::begin(&self.texts.path)?;
        let loaded = versions::read(&self.connection, &self.texts)?;
        check.end(BUDGET)?;
        if loaded.stale {
            format::reseal(&mut self.connection, &self.texts.path, &self.texts.keys)?;
            tidy(&self.connection);
        }
        Ok(loaded)
    }

    /// Begins to take the write-ahead file over beside whoever writes.
    pub(super) fn checkpoints(&mut self) -> Result<Checkpoints, Error> {
        Checkpoints::begin(&mut self.connection, &self.texts.path)
    }
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
    // This connection only writes, so a large page cache would be waste.
    connection.pragma_update(None, "cache_size", -2000)?;
    connection.pragma_update(None, "journal_size_limit", 8 << 20)?;
    connection.set_prepared_statement_cache_capacity(16);
    Ok(())
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
fn has_sealed(connection: &Connection) -> rusqlite::Result<bool> {
    for table in format::tables(connection)? {
        let sql = format!("SELECT EXISTS (SELECT 1 FROM {table} WHERE substr(data, 1, 1) = x'01')");
        if connection.query_row(&sql, [], |row| row.get(0))? {
            return Ok(true);
        }
    }
    Ok(false)
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
