//! What the server asks of the rest of the program: leave to write an object,
//! and the output of running pods.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use serde_json::Value;

use crate::{auth::User, resource::Resource};

/// What a request is about to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// A new object.
    Create,
    /// A change of an object.
    Update,
    /// A change of an object's status only.
    UpdateStatus,
    /// The deletion of an object.
    Delete,
}

/// What is stored, for rules that look at more than the object at hand.
///
/// An answer is of one moment, and holds every write that was acknowledged before. Two answers are
/// of two moments: a rule that must not be outrun by other writes needs a [`Hold`].
pub trait Reader: fmt::Debug {
    /// The object of this name, if there is one. The namespace of cluster-wide kinds is empty.
    fn get(&self, group: &str, kind: &str, namespace: &str, name: &str) -> Option<Value>;

    /// Every object of a kind in a namespace, or in all if it is empty.
    fn list(&self, group: &str, kind: &str, namespace: &str) -> Vec<Value>;

    /// Visits the name of every object of a kind in a namespace, or in all if it is empty. Objects
    /// are not read, so counting many costs little. `visit` must not ask the reader.
    fn each_name(&self, group: &str, kind: &str, namespace: &str, visit: &mut dyn FnMut(&str));
}

/// A write before it happens.
#[derive(Debug)]
pub struct AdmissionRequest<'a> {
    /// Whoever asks.
    pub user: &'a User,
    /// What is stored.
    pub reader: &'a dyn Reader,
    /// What happens.
    pub operation: Operation,
    /// To which kind.
    pub resource: &'a Resource,
    /// The object as it would be stored; for deletions, as it is stored, before it is marked.
    pub object: Value,
    /// The object as it is stored, when there is one.
    pub old: Option<&'a Value>,
}

/// Whatever a rule keeps from when it admits a write until that write has been made, and can be read,
/// or has failed. Writes are admitted side by side: two that together are too much both find room,
/// unless each counts what the other holds.
pub type Hold = Box<dyn fmt::Debug + Send>;

/// Leave to write.
#[derive(Debug)]
pub struct Admitted {
    /// The object to write, possibly changed.
    pub object: Value,
    /// Warnings for whoever asked.
    pub warnings: Vec<String>,
    /// Dropped when the write has ended.
    pub hold: Option<Hold>,
}

impl Admitted {
    /// Leave to write `object`, with nothing to add.
    pub fn plain(object: Value) -> Self {
        Self {
            object,
            warnings: Vec::new(),
            hold: None,
        }
    }
}

/// One reason for a refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Dotted path of the field.
    pub field: String,
    /// What is wrong with it.
    pub message: String,
}

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denied {
    /// Everything that is wrong.
    pub causes: Vec<Violation>,
}

/// Rules of the embedding program on what may be written.
pub trait Admission: Send + Sync + 'static {
    /// Admits or denies a write; it may change the object.
    fn admit(&self, request: AdmissionRequest<'_>) -> Result<Admitted, Denied>;
}

/// Admits everything.
#[derive(Clone, Copy, Debug, Default)]
pub struct AllowAll;

impl Admission for AllowAll {
    fn admit(&self, request: AdmissionRequest<'_>) -> Result<Admitted, Denied> {
        Ok(Admitted::plain(request.object))
    }
}

/// Which part of a container's output is wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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
    /// Only what is not older than this time (RFC 3339).
    pub since_time: Option<String>,
    /// At most so many bytes.
    pub limit_bytes: Option<u64>,
}

/// Why a pod cannot be talked to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PodError {
    /// The pod, or the container in it, does not exist.
    #[error("{0}")]
    NotFound(String),
    /// The request makes no sense for this pod, for example a container that has not started.
    #[error("{0}")]
    BadRequest(String),
    /// Anything else.
    #[error("{0}")]
    Internal(String),
}

/// A container's output as it comes.
pub type LogStream = BoxStream<'static, std::io::Result<Bytes>>;

/// A command to run in a container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExecOptions {
    /// Container; unset means the only one.
    pub container: Option<String>,
    /// The command and its arguments; no shell is involved.
    pub command: Vec<String>,
    /// Whether there is input.
    pub stdin: bool,
    /// Whether it runs on a terminal, where all output is one.
    pub tty: bool,
}

/// How to talk to what a container runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AttachOptions {
    /// Container; unset means the only one.
    pub container: Option<String>,
    /// Whether there is input.
    pub stdin: bool,
}

/// What a client sends to a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// Input.
    Data(Bytes),
    /// The size of the client's terminal.
    Resize {
        /// Width in characters.
        columns: u16,
        /// Height in characters.
        rows: u16,
    },
    /// There is no more input.
    End,
}

/// What a command sends to its client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Output.
    Out(Bytes),
    /// Output of errors.
    Err(Bytes),
    /// It ended with this exit code; nothing follows.
    Ended(i32),
    /// It could not be run or watched; nothing follows.
    Failed(String),
}

/// A command that runs, a container that is attached to, or a connection to a port, which
/// ends with code 0. A command or connection is ended when its client is gone: when both
/// ends here are dropped.
#[derive(Debug)]
pub struct Session {
    /// To the command.
    pub input: tokio::sync::mpsc::Sender<Input>,
    /// From the command.
    pub output: tokio::sync::mpsc::Receiver<Output>,
}

/// The ports of a running pod.
#[async_trait]
pub trait PodPorts: Send + Sync + 'static {
    /// Connects to a port, as if from within the pod.
    async fn connect(&self, port: u16) -> Result<Session, PodError>;
}

/// Running pods.
#[async_trait]
pub trait PodAccess: Send + Sync + 'static {
    /// The output of a container.
    async fn logs(
        &self,
        namespace: &str,
        pod: &str,
        options: LogOptions,
    ) -> Result<LogStream, PodError>;

    /// Runs a command in a container.
    async fn exec(
        &self,
        namespace: &str,
        pod: &str,
        options: ExecOptions,
    ) -> Result<Session, PodError> {
        let _ = (namespace, options);
        Err(PodError::BadRequest(format!(
            "no command can be run in pod {pod:?} here"
        )))
    }

    /// Talks to what a container runs.
    async fn attach(
        &self,
        namespace: &str,
        pod: &str,
        options: AttachOptions,
    ) -> Result<Session, PodError> {
        let _ = (namespace, options);
        Err(PodError::BadRequest(format!(
            "pod {pod:?} cannot be attached to here"
        )))
    }

    /// The ports of a pod.
    async fn ports(&self, namespace: &str, pod: &str) -> Result<Arc<dyn PodPorts>, PodError> {
        let _ = namespace;
        Err(PodError::BadRequest(format!(
            "the ports of pod {pod:?} cannot be reached here"
        )))
    }
}

/// There are no pods.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoPods;

#[async_trait]
impl PodAccess for NoPods {
    async fn logs(&self, _: &str, pod: &str, _: LogOptions) -> Result<LogStream, PodError> {
        Err(PodError::BadRequest(format!(
            "pod {pod:?} does not run: this server runs no pods"
        )))
    }
}
