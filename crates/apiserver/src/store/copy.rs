//! Copies of a store: one file with everything at one moment, taken while a server runs or not, and
//! the way back.
//!
//! A restored store goes on counting versions far behind whatever was given before: a watch from
//! before the restore is told that its past is forgotten, and lists anew.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::Timestamp;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _};

use super::{
    Error, Place, check,
    database::{self, classify},
    format,
    keys::Keyring,
    place::{remove_if_there, sync_folder, with_suffix},
    row::SEALED,
    texts::Texts,
    versions,
};

/// Versions that a second has room for. What is restored begins at the present second, so versions
/// only ever rise, whatever is known of the store of before.
const VERSIONS_PER_SECOND: u64 = 1 << 20;
/// How long the structure of a copy may be checked: until it is done.
const PATIENCE: Duration = Duration::from_hours(1);

/// What is in a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copied {
    /// Objects of all kinds.
    pub objects: usize,
    /// Those of them that are sealed.
    pub secrets: usize,
    /// Whether it brings the keys that open them.
    pub has_key: bool,
}

/// Writes a copy of a store to a file, for its owner alone: whole, or not at all. A file that is there
/// is replaced only if `replace` says so. Secrets stay sealed; `with_key` puts the keys into the copy.
pub fn backup(place: &Place, to: &Path, with_key: bool, replace: bool) -> Result<Copied, Error> {
    let failed = |source| Error::File {
        path: to.into(),
        source,
    };
    let exists = || Error::Exists { path: to.into() };
    if !replace && to.symlink_metadata().is_ok() {
        return Err(exists());
    }
    let beside = Beside::new(to)?;
    let keys = Keyring::read(&place.key)?;
    copy_database(&place.file(), beside.path())?;
    if with_key {
        add_keys(beside.path(), &keys)?;
    }
    let copied = look(beside.path(), &keys)?;
    let done = sync(beside.path()).and_then(|()| {
        if replace {
            fs::rename(beside.path(), to)
        } else {
            fs::hard_link(beside.path(), to)
        }
    });
    match done {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(exists()),
        Err(error) => Err(failed(error)),
        Ok(()) => sync_folder(folder_of(to)).map_err(failed).map(|()| copied),
    }
}

/// Reads a copy as a restore would, and says what is in it.
pub fn inspect(place: &Place, copy: &Path) -> Result<Copied, Error> {
    let mut keys = Keyring::read(&place.key)?;
    adopt_keys(copy, &mut keys)?;
    look(copy, &keys)
}

/// Puts a copy in the place of a store that nobody uses. Returns where the store of before is kept.
pub fn restore(place: &Place, copy: &Path, now: Timestamp) -> Result<Option<PathBuf>, Error> {
    let _lock = database::lock(place)?;
    stage(place, copy, now)?;
    place.settle()
}

/// Checks a copy and lays it ready: it takes its place when the store is opened the next time.
pub fn stage(place: &Place, copy: &Path, now: Timestamp) -> Result<Copied, Error> {
    let failed = |source| Error::File {
        path: copy.into(),
        source,
    };
    let staged = place.staged();
    let mut keys = Keyring::read(&place.key)?;
    let beside = Beside::new(&staged)?;
    let mut from = File::open(copy).map_err(failed)?;
    let mut to = OpenOptions::new()
        .write(true)
        .open(beside.path())
        .map_err(failed)?;
    io::copy(&mut from, &mut to).map_err(failed)?;
    drop(to);
    // What is wrong is wrong with the copy, by the name its owner knows.
    let named = |error: Error| error.about(copy);
    let new_keys = adopt_keys(beside.path(), &mut keys).map_err(named)?;
    let version = prepare(beside.path(), &keys, newest(&place.file()), now).map_err(named)?;
    let copied = look(beside.path(), &keys).map_err(named)?;
    tracing::debug!(version, "a copy is laid ready");
    if new_keys {
        keys.write()?;
    }
    sync(beside.path())
        .and_then(|()| fs::rename(beside.path(), &staged))
        .and_then(|()| sync_folder(&place.folder))
        .map_err(failed)?;
    Ok(copied)
}

/// A file that is written beside its place, and removed unless it came there.
struct Beside(PathBuf);

impl Beside {
    fn new(to: &Path) -> Result<Self, Error> {
        let beside = Self(with_suffix(to, &format!(".{}.new", std::process::id())));
        let failed = |source| Error::File {
            path: to.into(),
            source,
        };
        remove_if_there(beside.path()).map_err(failed)?;
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(beside.path())
            .map_err(failed)?;
        Ok(beside)
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        for suffix in ["", "-journal", "-wal", "-shm"] {
            // It may be in its place, or have no such companion.
            let _ = fs::remove_file(with_suffix(&self.0, suffix));
        }
    }
}

fn copy_database(from: &Path, to: &Path) -> Result<(), Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(from, flags).map_err(|e| classify(from, e))?;
    format::of(&connection, from)?;
    connection
        .execute("VACUUM INTO ?1", [to.to_string_lossy()])
        .map_err(|error| classify(if is_about_source(&error) { from } else { to }, error))?;
    Ok(())
}

fn is_about_source(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseCorrupt)
}

fn add_keys(path: &Path, keys: &Keyring) -> Result<(), Error> {
    let write = || {
        let connection = Connection::open(path)?;
        connection.execute_batch("CREATE TABLE keys (text TEXT NOT NULL) STRICT")?;
        connection.execute("INSERT INTO keys VALUES (?1)", [keys.text()])
    };
    write().map(drop).map_err(|error| classify(path, error))
}

/// Takes over the keys that a copy brings. Whether there were any that were not known.
fn adopt_keys(path: &Path, keys: &mut Keyring) -> Result<bool, Error> {
    let failed = |error| classify(path, error);
    let connection = read_only(path)?;
    if !has_keys(&connection).map_err(failed)? {
        return Ok(false);
    }
    let text: Option<String> = connection
        .query_row("SELECT text FROM keys", [], |row| row.get(0))
        .optional()
        .map_err(failed)?;
    keys.adopt(&text.unwrap_or_default())
}

fn has_keys(connection: &Connection) -> rusqlite::Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'keys')";
    connection.query_row(sql, [], |row| row.get(0))
}

/// Makes the copy a store: of the newest format, without a past, with versions behind all others.
fn prepare(path: &Path, keys: &Keyring, newest: u64, now: Timestamp) -> Result<u64, Error> {
    let failed = |error| classify(path, error);
    let mut connection = Connection::open(path).map_err(failed)?;
    connection
        .pragma_update(None, "journal_mode", "DELETE")
        .map_err(failed)?;
    if format::of(&connection, path)? == 0 {
        return Err(Error::Damaged {
            path: path.into(),
            why: "there is no store in it".to_owned(),
        });
    }
    format::migrate(&mut connection, path, keys)?;
    let last = versions::read(&connection, &Texts::new(path, keys))?.version;
    let second = u64::try_from(now.as_second()).unwrap_or_default();
    let version = (last.max(newest) + 1).max(second * VERSIONS_PER_SECOND);
    let transaction = connection.transaction().map_err(failed)?;
    versions::forget_all(&transaction, version)
        .and_then(|()| transaction.execute_batch("DROP TABLE IF EXISTS keys"))
        .map_err(failed)?;
    transaction.commit().map_err(failed)?;
    Ok(version)
}

/// The newest version of a store of any format, as far as it can be read.
fn newest(path: &Path) -> u64 {
    let newest = |connection: &Connection| -> rusqlite::Result<i64> {
        let newest = |table| {
            let sql = format!("SELECT max(version) FROM {table}");
            connection.query_row(&sql, [], |row| row.get::<_, Option<i64>>(0))
        };
        let mut last = newest("horizon")?;
        for table in format::tables(connection)? {
            last = last.max(newest(table)?);
        }
        Ok(last.unwrap_or_default())
    };
    read_only(path)
        .ok()
        .and_then(|connection| newest(&connection).ok())
        .map_or(0, i64::cast_unsigned)
}

/// Reads all of a copy.
fn look(path: &Path, keys: &Keyring) -> Result<Copied, Error> {
    check::begin(path)?.end(PATIENCE)?;
    let connection = read_only(path)?;
    let loaded = versions::read(&connection, &Texts::new(path, keys))?;
    let is_secret = |collection: &str| SEALED.contains(&collection);
    let secrets = loaded.objects.iter().filter(|(one, _)| is_secret(one));
    Ok(Copied {
        objects: loaded.objects.len(),
        secrets: secrets.count(),
        has_key: has_keys(&connection).map_err(|error| classify(path, error))?,
    })
}

fn read_only(path: &Path) -> Result<Connection, Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(path, flags).map_err(|error| classify(path, error))
}

fn sync(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// The folder a file is in.
pub(super) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}
