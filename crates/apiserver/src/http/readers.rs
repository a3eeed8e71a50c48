//! Streams whose readers stopped reading. A client that takes nothing any more is not
//! asked about again by the transport, so nothing it does ends its stream, and all the
//! stream holds would stay. Somebody else has to look.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError, Weak},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures::{Stream, StreamExt as _, stream::BoxStream};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How long a reader may take for a piece.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);
/// Time between two looks.
const LOOK: Duration = Duration::from_secs(10);

type Pieces = BoxStream<'static, io::Result<Bytes>>;

/// Everything that is read in pieces.
#[derive(Debug, Default)]
pub(crate) struct Readers(Mutex<Vec<Weak<Mutex<Reader>>>>);

struct Reader {
    /// Nothing once it was given up.
    pieces: Option<Pieces>,
    /// Since when the reader has a piece and has not asked for more.
    busy: Option<Instant>,
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = formatter.debug_struct("Reader");
        shown.field("busy", &self.busy).finish_non_exhaustive()
    }
}

impl Readers {
    /// The same pieces, as long as they are read.
    pub(crate) fn watched(
        &self,
        pieces: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
    ) -> Watched {
        let reader = Arc::new(Mutex::new(Reader {
            pieces: Some(pieces.boxed()),
            busy: None,
        }));
        self.all().push(Arc::downgrade(&reader));
        Watched(reader)
    }

    fn all(&self) -> std::sync::MutexGuard<'_, Vec<Weak<Mutex<Reader>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets go of what is no longer read, until `stop`.
    pub(crate) async fn look_after(&self, stop: CancellationToken) {
        let mut looks = tokio::time::interval(LOOK);
        while stop.run_until_cancelled(looks.tick()).await.is_some() {
            self.sweep(Instant::now());
        }
    }

    fn sweep(&self, now: Instant) {
        let mut given_up = Vec::new();
        self.all().retain(|reader| {
            let Some(reader) = reader.upgrade() else {
                return false;
            };
            let mut reader = lock(&reader);
            let late = reader.busy.is_some_and(|since| now - since > PATIENCE);
            if late {
                given_up.push(reader.pieces.take());
            }
            !late
        });
        if !given_up.is_empty() {
            let streams = given_up.len();
            tracing::debug!(streams, "clients stopped reading their answers");
        }
    }
}

fn lock(reader: &Mutex<Reader>) -> std::sync::MutexGuard<'_, Reader> {
    reader.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A stream that ends with an error if nobody reads it for a while.
pub(crate) struct Watched(Arc<Mutex<Reader>>);

impl Stream for Watched {
    type Item = io::Result<Bytes>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut reader = lock(&self.0);
        reader.busy = None;
        let Some(pieces) = &mut reader.pieces else {
            let why = "the answer was not read in time";
            return Poll::Ready(Some(Err(io::Error::new(io::ErrorKind::TimedOut, why))));
        };
        let polled = pieces.poll_next_unpin(context);
        if matches!(polled, Poll::Ready(Some(_))) {
            reader.busy = Some(Instant::now());
        }
        polled
    }
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt as _, stream};

    use super::*;

    #[tokio::test]
    async fn what_nobody_reads_is_let_go() {
        let readers = Readers::default();
        let held = Arc::new(());
        let holding = Arc::clone(&held);
        let endless = stream::repeat_with(move || {
            let _ = &holding;
            Ok(Bytes::from_static(b"x"))
        });
        let mut slow = readers.watched(endless);
        // Waiting for something to happen is not the reader's fault.
        let mut quiet = readers.watched(stream::pending());
        assert!(slow.next().await.is_some());
        assert!(quiet.next().now_or_never().is_none());
        let soon = Instant::now() + PATIENCE / 2;
        readers.sweep(soon);
        assert!(slow.next().await.unwrap().is_ok());
        assert_eq!(Arc::strong_count(&held), 2);
        readers.sweep(Instant::now() + PATIENCE * 2);
        assert_eq!(Arc::strong_count(&held), 1, "what it held is free");
        assert!(slow.next().await.unwrap().is_err());
        assert!(quiet.next().now_or_never().is_none());
    }

    #[test]
    fn what_ended_is_forgotten() {
        let readers = Readers::default();
        drop(readers.watched(stream::empty()));
        readers.sweep(Instant::now());
        assert!(readers.all().is_empty());
    }
}
