//! Objects on disk: one SQLite file in write-ahead mode, one thread that writes.
//!
//! A write is acknowledged when its transaction is on the disk. The thread puts
//! all writes that wait into one transaction, which needs no timer: while one
//! commit runs, the next group gathers.
//!
//! Every version of an object is a row of one table; while commits go on, a thread takes them from
//! the write-ahead file into the database.
//!
//! Every row carries a sum, and secrets are sealed by a key of a file of its own: a row that is not as
//! it was written is found when the file is opened, and nothing is served of such a file. It is looked at
//! again whenever the text is read back.

mod check;
mod checkpoint;
mod copy;
mod database;
mod format;
mod history;
mod keys;
mod place;
mod row;
mod texts;
mod versions;
mod writer;

use std::{path::PathBuf, sync::Arc};

pub use copy::{Copied, backup, inspect, restore, stage};
pub use keys::renew_key;
pub use place::Place;

pub(crate) use texts::{Texts, Unread};
pub(crate) use versions::Loaded;
pub(crate) use writer::{Change, Expect, Publish, Refusal, Store, Written};

/// Why the data folder cannot be opened.
#[derive(Debug, thiserror::Error)]
#[expect(
    clippy::error_impl_error,
    reason = "named by its module: `store::Error`"
)]
pub enum Error {
    /// A file or folder cannot be used.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Another process has the folder open.
    #[error("{} is in use by another process{holder}", path.display())]
    InUse {
        /// Which folder.
        path: PathBuf,
        /// ` (pid 42)`, if known.
        holder: String,
    },
    /// The folder was written by a newer program.
    #[error(
        "{} was written by a newer version of this program (data format {found}, this program knows up to {known}): use that version, or another data folder",
        path.display()
    )]
    Newer {
        /// Which file.
        path: PathBuf,
        /// Format of the file.
        found: u32,
        /// Newest format that can be read.
        known: u32,
    },
    /// There is no room for it.
    #[error("{}: the disk is full: free some space and start again", path.display())]
    Full {
        /// Which file.
        path: PathBuf,
    },
    /// The file is damaged.
    #[error("{} is damaged and cannot be read: {why}; restore it from a copy", path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What was found.
        why: String,
    },
    /// The key file cannot be used.
    #[error("the key file {} cannot be used: {why}", path.display())]
    Key {
        /// Which file.
        path: PathBuf,
        /// Why not.
        why: String,
    },
    /// Secrets are sealed by a key that is not there.
    #[error(
        "{} holds secrets that only key {id} opens, and {} does not have it: put back the key file that belongs to it, or restore a backup that brings its key",
        path.display(),
        key.display()
    )]
    Locked {
        /// Which file.
        path: PathBuf,
        /// By which key.
        id: String,
        /// Where keys are looked for.
        key: PathBuf,
    },
    /// A file is in the way.
    #[error("{} is there already", path.display())]
    Exists {
        /// Which file.
        path: PathBuf,
    },
    /// The database refuses otherwise.
    #[error("{}: {source}", path.display())]
    Database {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
    /// The writer thread cannot be started.
    #[error("the writer thread cannot be started: {0}")]
    Thread(std::io::Error),
}

impl Error {
    /// The same about another file: the one a person knows.
    fn about(mut self, file: &std::path::Path) -> Self {
        match &mut self {
            Self::File { path, .. }
            | Self::Newer { path, .. }
            | Self::Full { path }
            | Self::Damaged { path, .. }
            | Self::Locked { path, .. }
            | Self::Exists { path }
            | Self::Database { path, .. } => file.clone_into(path),
            Self::InUse { .. } | Self::Key { .. } | Self::Thread(_) => {}
        }
        self
    }
}

/// Name of a collection on disk: `group/plural`.
pub(crate) type Collection = Arc<str>;
