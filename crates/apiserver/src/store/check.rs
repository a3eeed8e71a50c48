//! SQLite's own check of a file's structure, beside whatever else is done: it reads the file once
//! more, and finds what reading rows does not, such as an index that disagrees with its table.

use std::{
    path::{Path, PathBuf},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::Duration,
};

use rusqlite::{Connection, InterruptHandle, OpenFlags};

use super::{Error, database::classify};

/// A check that runs in a thread of its own.
pub(super) struct Check {
    path: PathBuf,
    verdict: Receiver<rusqlite::Result<Vec<String>>>,
    interrupt: InterruptHandle,
}

/// Begins to check a file.
pub(super) fn begin(path: &Path) -> Result<Check, Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(|e| classify(path, e))?;
    let interrupt = connection.get_interrupt_handle();
    let (told, verdict) = mpsc::channel();
    thread::Builder::new()
        .name("apiserver-check".into())
        .spawn(move || {
            // Whoever asked may have found enough already.
            let _ = told.send(problems(&connection));
        })
        .map_err(Error::Thread)?;
    Ok(Check {
        path: path.into(),
        verdict,
        interrupt,
    })
}

fn problems(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut statement = connection.prepare("PRAGMA integrity_check(5)")?;
    let lines = statement.query_map([], |row| row.get(0))?;
    lines.collect()
}

impl Check {
    /// What was found; a check that takes longer than this is cut short.
    pub(super) fn end(self, patience: Duration) -> Result<(), Error> {
        let verdict = match self.verdict.recv_timeout(patience) {
            Ok(verdict) => verdict.map_err(|error| classify(&self.path, error))?,
            Err(RecvTimeoutError::Timeout) => {
                self.interrupt.interrupt();
                tracing::info!(path = %self.path.display(), "the check of the file was cut short");
                return Ok(());
            }
            Err(RecvTimeoutError::Disconnected) => Vec::new(),
        };
        match verdict.as_slice() {
            [] => Ok(()),
            [line] if line == "ok" => Ok(()),
            lines => Err(Error::Damaged {
                path: self.path,
                why: lines.join("; "),
            }),
        }
    }
}
