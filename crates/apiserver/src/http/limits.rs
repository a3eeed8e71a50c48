//! How much of the server one client can have.

use std::time::Duration;

use crate::body;

/// Bounds of requests and connections.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Requests that are worked on at once; streams count only until they begin.
    pub(crate) in_flight: usize,
    /// Connections that are open at once.
    pub(crate) connections: usize,
    /// Time for a handshake, and for the head of a request.
    pub(crate) head: Duration,
    /// Time for the body of a request.
    pub(crate) body: Duration,
    /// The largest body that is read, as on any Kubernetes.
    pub(crate) largest: usize,
    /// The largest head that is read.
    pub(crate) largest_head: usize,
    /// Watches that are open at once.
    pub(crate) watches: usize,
    /// Commands in containers that run at once.
    pub(crate) sessions: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            in_flight: 400,
            connections: 1024,
            head: Duration::from_secs(10),
            body: Duration::from_mins(1),
            largest: body::LARGEST,
            largest_head: 64 << 10,
            watches: 10_000,
            sessions: 64,
        }
    }
}
