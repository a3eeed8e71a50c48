//! The signals that end the platform or start it again.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::failure::{self, Result};

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    /// To end.
    End,
    /// To start again, with the store as it is laid ready then.
    Again,
}

/// Ctrl-C, a request to end, a closed terminal; and the request to start again.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
    again: Signal,
}

impl Signals {
    /// Listens from now on.
    pub(crate) fn listen() -> Result<Self> {
        let listen = |kind| signal(kind).map_err(failure::io("listening for signals"));
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hang_up: listen(SignalKind::hangup())?,
            again: listen(SignalKind::user_defined1())?,
        })
    }

    /// Waits for the next of them.
    pub(crate) async fn next(&mut self) -> Wish {
        tokio::select! {
            _ = self.interrupt.recv() => Wish::End,
            _ = self.terminate.recv() => Wish::End,
            _ = self.hang_up.recv() => Wish::End,
            _ = self.again.recv() => Wish::Again,
        }
    }
}
