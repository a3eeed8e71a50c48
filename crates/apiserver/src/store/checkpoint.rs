//! Taking what the write-ahead file holds into the database while commits go on.
//!
//! The file begins anew once all of it was taken over, which under load never comes by itself: there
//! is always something new. So a thread takes over what is there, and the writer, who alone keeps
//! others from adding to it, does the little that came meanwhile.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc::{self, Receiver, SyncSender},
    },
    thread::{self, JoinHandle},
};

use rusqlite::{Connection, OpenFlags};

use super::{Error, database::classify};

/// Pages in the file from which on they are taken over. That much room a full disk must get back
/// before the store can be written again.
const PAGES: usize = 500;
/// Pages at which the writer does not wait for the thread any longer.
const MOST: usize = 4 * PAGES;

/// What the writer knows of it.
pub(super) struct Checkpoints {
    /// Pages in the file since the last commit.
    pages: Arc<AtomicUsize>,
    under_way: bool,
    order: Option<SyncSender<()>>,
    done: Receiver<()>,
    thread: Option<JoinHandle<()>>,
}

impl Checkpoints {
    /// Starts the thread, and takes the matter over from SQLite for the connection that writes.
    pub(super) fn begin(writer: &mut Connection, path: &Path) -> Result<Self, Error> {
        let failed = |error| classify(path, error);
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags).map_err(failed)?;
        let pages = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&pages);
        let hook = move |_: &mut rusqlite::hooks::Wal, pages| {
            count.store(usize::try_from(pages).unwrap_or(0), Ordering::Relaxed);
            Ok(())
        };
        writer.wal_hook(Some(hook)).map_err(failed)?;
        let (order, orders) = mpsc::sync_channel(1);
        let (told, done) = mpsc::sync_channel(1);
        let thread = thread::Builder::new()
            .name("apiserver-checkpoint".into())
            .spawn(move || {
                while orders.recv().is_ok() {
                    take_over(&connection);
                    if told.send(()).is_err() {
                        return;
                    }
                }
            })
            .map_err(Error::Thread)?;
        Ok(Self {
            pages,
            under_way: false,
            order: Some(order),
            done,
            thread: Some(thread),
        })
    }

    /// To be called when nothing is being written.
    pub(super) fn after_commit(&mut self, writer: &Connection) {
        let pages = self.pages.load(Ordering::Relaxed);
        if self.under_way {
            let done = self.done.try_recv().is_ok();
            self.under_way = !done;
            if done && pages >= PAGES || pages >= MOST {
                take_over(writer);
            }
        } else if pages >= PAGES {
            let order = self.order.as_ref();
            self.under_way = order.is_some_and(|order| order.try_send(()).is_ok());
        }
    }
}

impl Drop for Checkpoints {
    fn drop(&mut self) {
        drop(self.order.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that takes over the write-ahead file failed");
        }
    }
}

/// Takes over what is there, unless somebody is at it. A failure is no harm: it is tried again.
fn take_over(connection: &Connection) {
    let outcome = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
    if let Err(error) = outcome {
        tracing::debug!(%error, "the write-ahead file is not taken over");
    }
}
