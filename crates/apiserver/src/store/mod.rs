//! Objects on disk: one SQLite file in write-ahead mode, one thread that writes.
//!
//! A write is acknowledged when its transaction is on the disk. The thread puts
//! all writes that wait into one transaction, which needs no timer: while one
//! commit runs, the next group gathers.

mod database;
mod writer;

use std::{path::PathBuf, sync::Arc};

pub(crate) use database::Loaded;
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

/// Name of a collection on disk: `group/plural`.
pub(crate) type Collection = Arc<str>;
