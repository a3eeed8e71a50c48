//! Texts of objects on the disk: only those written last are in memory as well.
//!
//! A text is found by its version, which is the key of its row. Reading one takes microseconds, since the
//! operating system has in memory what is asked for often.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, Row};

use super::{
    keys::Keyring,
    row::{Link, Trouble},
    versions,
};

/// Kilobytes of the file that a connection keeps in memory: the way to every text.
const PAGES: i64 = 512;

/// Why a text cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unread {
    /// It is not there any more.
    #[error("version {0} is forgotten")]
    Forgotten(u64),
    /// It is not as it was written.
    #[error("version {version} in {} cannot be read: {why}", path.display())]
    Damaged {
        /// Which version.
        version: u64,
        /// Which file.
        path: PathBuf,
        /// What was found.
        why: String,
    },
    /// The database is closed.
    #[error("the server is closing")]
    Closed,
    /// The database cannot be read.
    #[error("{}: {source}", path.display())]
    Database {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
}

/// Where texts are read. Several threads may read at once, each with a connection of its own.
pub(crate) struct Texts {
    pub(super) path: PathBuf,
    pub(super) keys: Keyring,
    /// Connections that nobody uses; none once it is closed.
    idle: Mutex<Option<Vec<Connection>>>,
}

impl fmt::Debug for Texts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Texts")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl Texts {
    /// The texts in the database `path`, of which `keys` opens what is sealed.
    pub(super) fn new(path: &Path, keys: &Keyring) -> Arc<Self> {
        Arc::new(Self {
            path: path.to_owned(),
            keys: keys.clone(),
            idle: Mutex::new(Some(Vec::new())),
        })
    }

    fn idle(&self) -> MutexGuard<'_, Option<Vec<Connection>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The text of this version.
    pub(crate) fn read(&self, version: u64) -> Result<Bytes, Unread> {
        let failed = |source| Unread::Database {
            path: self.path.clone(),
            source,
        };
        let known = self.idle().as_mut().ok_or(Unread::Closed)?.pop();
        let connection = match known {
            Some(known) => known,
            None => self.open().map_err(failed)?,
        };
        let found = self.find(&connection, version).map_err(failed);
        if let Some(idle) = self.idle().as_mut() {
            idle.push(connection);
        }
        match found?.unwrap_or(Err(Trouble::Missing)) {
            Ok(text) => Ok(Bytes::from(text)),
            Err(Trouble::Missing) => Err(Unread::Forgotten(version)),
            Err(trouble) => Err(Unread::Damaged {
                version,
                path: self.path.clone(),
                why: trouble.to_string(),
            }),
        }
    }

    fn open(&self) -> rusqlite::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.path, flags)?;
        connection.pragma_update(None, "query_only", true)?;
        connection.pragma_update(None, "cache_size", -PAGES)?;
        Ok(connection)
    }

    /// The text of a version, if there is one.
    fn find(
        &self,
        connection: &Connection,
        version: u64,
    ) -> rusqlite::Result<Option<Result<Vec<u8>, Trouble>>> {
        const ROW: &str =
            "SELECT collection, namespace, name, version, sum, data, previous, deleted
            FROM versions WHERE version = ?1";
        connection
            .prepare_cached(ROW)?
            .query_row([version.cast_signed()], |row| self.text(row))
            .optional()
    }

    fn text(&self, row: &Row<'_>) -> rusqlite::Result<Result<Vec<u8>, Trouble>> {
        let link = Link {
            previous: row.get(6)?,
            deleted: row.get(7)?,
        };
        let (label, data) = (versions::label(row, 0)?, versions::blob(row.get_ref(5))?);
        Ok(label.text(&self.keys, row.get(4)?, data, Some(&link)))
    }

    /// Reads no more, and closes the connections.
    pub(super) fn close(&self) {
        drop(self.idle().take());
    }
}
