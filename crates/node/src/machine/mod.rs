//! What the node asks of the machine it runs on: every effect on processes, network and mounts goes
//! through [`Machine`], so that everything above it is tested without root.
//!
//! The machine of a platform is one process tree in namespaces of its own (user if rootless, mount,
//! pid, network): when it ends, the kernel takes every container, link, rule and mount with it, and
//! nothing is left on the host.

mod cgroup;
mod container;
mod descriptors;
mod entry;
mod gathered;
mod held;
mod helper;
mod layer;
mod linux;
mod network;
mod plan;
mod protocol;
mod seccomp;
mod session;
mod turns;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
    path::{Path, PathBuf},
    time::Duration,
};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

pub(crate) use self::gathered::Gathered;
pub(crate) use self::held::{Address, Answer, Call, Program};
#[cfg(any(test, fuzzing))]
pub(crate) use self::network::fuzz_datagram;
pub use self::{
    entry::entry,
    held::Gate,
    linux::{LinuxMachine, Settings, StartError},
    plan::{
        Attempt, Cell, CellNames, Exception, Flow, GATEWAYS, NetworkPlan, OutsideName, PROGRAMS,
        Peers, PodRules, Ports, Protocol, Refused, ServiceRule, Uncarried,
    },
    session::{Chunk, Feed, Interactive},
};

/// How the machine runs containers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// With the host's root: cgroup limits, any user id.
    Root,
    /// In a user namespace of the calling user.
    Rootless,
}

/// What this machine can do, found out once when it starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Info {
    /// Root or rootless.
    pub mode: Mode,
    /// Whether memory, CPU and process limits can be enforced (a writable cgroup hierarchy).
    pub limits: bool,
    /// How many user ids containers may use (1: only the root of the container).
    pub user_ids: u32,
    /// What it cannot do, why, and what would help; one sentence each.
    pub notes: Vec<String>,
}

impl Info {
    /// The kind of machine in a few words; [`Self::notes`] tell the rest.
    pub fn summary(&self) -> String {
        let mut words = vec![match self.mode {
            Mode::Root => "root",
            Mode::Rootless => "rootless",
        }];
        words.extend((!self.limits).then_some("no limits of resources"));
        words.extend((self.user_ids == 1).then_some("one user id"));
        words.join(", ")
    }

    /// Whether a container may run as this user and group, or why it may not.
    pub fn check_user(&self, (uid, gid): (u32, u32)) -> std::result::Result<(), String> {
        if uid < self.user_ids && gid < self.user_ids {
            return Ok(());
        }
        Err(match self.user_ids {
            1 => format!(
                "the container is to run as user {uid}:{gid}, but only user 0 is available: run the \
                 platform as root, or install newuidmap and grant this user a range in /etc/subuid \
                 and /etc/subgid"
            ),
            count => format!(
                "the container is to run as user {uid}:{gid}, but only users below {count} are \
                 available: grant this user a larger range in /etc/subuid and /etc/subgid"
            ),
        })
    }
}

/// The frame in which a pod's containers run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodSandbox {
    /// The Pod's uid.
    pub uid: String,
    /// The Pod's namespace: a cell of the network plan.
    pub namespace: String,
    /// Host name inside the pod.
    pub hostname: String,
    /// The pod's address, from its cell's range.
    pub address: Ipv4Addr,
    /// What its files of names say besides what all pods of the cell have.
    pub names: Names,
    /// Folders of it that are in memory.
    pub memory: Vec<InMemory>,
}

/// What `/etc/hosts` and `/etc/resolv.conf` of a pod say besides what all pods of its cell have.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Names {
    /// The pod's name with its domain.
    pub domain: Option<String>,
    /// More addresses, and their names.
    pub aliases: Vec<(String, Vec<String>)>,
    /// Whether the cell's name server and domains are left out.
    pub own_only: bool,
    /// More name servers.
    pub servers: Vec<String>,
    /// More domains to search.
    pub searches: Vec<String>,
    /// Options of the resolver; one of the same name is in the place of the cell's.
    pub options: Vec<String>,
}

/// A folder of a pod that is kept in memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InMemory {
    /// Where it is.
    pub folder: PathBuf,
    /// How many bytes it holds; half of the machine's memory if nothing says so.
    pub limit: Option<u64>,
}

/// A folder or file of the host seen inside a container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// Where it is on the host.
    pub source: PathBuf,
    /// What of it is seen, if not the whole: a path that never leads out of it.
    pub sub_path: PathBuf,
    /// Whether a folder is made there when there is nothing.
    pub made: bool,
    /// Where the container sees it.
    pub target: PathBuf,
    /// Whether the container may not write.
    pub read_only: bool,
}

/// One container, complete: nothing is looked up when it starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerSpec {
    /// Unique: `{pod uid}-{name}-{restart}`.
    pub id: String,
    /// The pod it runs in.
    pub pod_uid: String,
    /// Unpacked layers ([`Machine::unpack`]), lowest first.
    pub layers: Vec<PathBuf>,
    /// Entrypoint and arguments.
    pub argv: Vec<String>,
    /// Environment.
    pub env: BTreeMap<String, String>,
    /// Working directory.
    pub cwd: PathBuf,
    /// Numeric user and group.
    pub user: (u32, u32),
    /// Groups it is in besides its own.
    pub groups: Vec<u32>,
    /// What its root may do (`CAP_CHOWN` ...), and what no process of it can exceed.
    pub capabilities: BTreeSet<String>,
    /// Whether it may make any system call, instead of those that ordinary programs need.
    pub unconfined: bool,
    /// Whether the root file system may not be written.
    pub read_only_root: bool,
    /// Files and folders of the pod.
    pub mounts: Vec<Mount>,
    /// Memory limit in bytes.
    pub memory: Option<u64>,
    /// CPU limit in thousandths of a core.
    pub cpu_millis: Option<u64>,
    /// What it gets of the processors beside others that want them too, in thousandths of a core.
    pub cpu_weight: Option<u64>,
    /// Process limit.
    pub pids: Option<u64>,
    /// Number of the signal that asks it to end.
    pub stop_signal: i32,
    /// Whether it waits for input.
    pub stdin: Stdin,
    /// Whether it runs on a terminal, where all output is one.
    pub tty: bool,
    /// The container of the same pod, by its id, whose processes it sees and lives among, instead of its own.
    pub among: Option<String>,
    /// Where standard output and error go, in CRI log format, rotated.
    pub log: PathBuf,
}

/// What a container reads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stdin {
    /// Nothing.
    #[default]
    Closed,
    /// What the first who attaches sends; nothing once they are gone.
    Once,
    /// What anybody sends who attaches.
    Open,
}

/// How a container ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// Exit code; 128 + signal when killed.
    pub code: i32,
    /// Whether the kernel ended it for want of memory.
    pub out_of_memory: bool,
    /// Why it could not be started at all.
    pub error: Option<String>,
}

/// What the machine reports by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// A container ended.
    ContainerExited {
        /// Its id.
        id: String,
        /// How.
        exit: Exit,
    },
    /// A supervised process ([`Machine::run_process`]) ended.
    ProcessExited {
        /// Its name.
        name: String,
        /// Exit code, or 128 + signal.
        code: i32,
    },
    /// Things were refused.
    Refused(Vec<Refused>),
    /// The machine itself ended, and with it everything on it.
    Lost,
}

/// A check of a running container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Probe {
    /// A request that must answer with 200 to 399.
    Http {
        /// Pod address.
        address: Ipv4Addr,
        /// Port.
        port: u16,
        /// Path and query.
        path: String,
        /// Extra request headers.
        headers: Vec<(String, String)>,
        /// Whether to speak TLS, to whoever answers.
        tls: bool,
    },
    /// A question of gRPC's health service that must be answered with `SERVING`.
    Grpc {
        /// Pod address.
        address: Ipv4Addr,
        /// Port.
        port: u16,
        /// Service that is asked about; empty: the whole server.
        service: String,
    },
    /// A connection that must be accepted.
    Tcp {
        /// Pod address.
        address: Ipv4Addr,
        /// Port.
        port: u16,
    },
    /// A command in the container that must end with 0.
    Exec {
        /// Container.
        id: String,
        /// Command.
        argv: Vec<String>,
    },
}

/// Outcome of a command in a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecOutcome {
    /// Exit code.
    pub code: i32,
    /// The first 64 KiB of standard output and error.
    pub output: String,
}

/// A layer to unpack once for all containers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerSource {
    /// The tar archive, compressed or not.
    pub blob: PathBuf,
    /// Whether it is compressed with gzip.
    pub gzip: bool,
    /// Digest of the uncompressed archive (`sha256:...`), checked; it also names the folder.
    pub diff_id: String,
}

/// A long-running helper program inside the machine's network (the gateway's Envoy).
///
/// It runs as a user of its own without any rights, and can write to nothing but its own folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Unique name; running a process of the same name again replaces it.
    pub name: String,
    /// Program and arguments.
    pub argv: Vec<String>,
    /// Where it runs. What it needs of it has to be readable for everyone, its parents need not be.
    pub folder: PathBuf,
    /// The folder it may write, by its name in `folder`; made if it is missing.
    pub writable: PathBuf,
    /// Where its output goes.
    pub log: PathBuf,
    /// The socket at which its calls for addresses are answered ([`Gate`]); without, it makes them itself.
    pub gate: Option<PathBuf>,
}

/// Why the machine could not do as asked.
#[derive(Debug, Clone, thiserror::Error, Serialize, Deserialize)]
#[expect(clippy::error_impl_error, reason = "named by its module")]
pub enum Error {
    /// The machine is gone; it has to be started again.
    #[error("the machine has ended")]
    Lost,
    /// What was asked names something the machine does not have.
    #[error("{what} {name} does not exist")]
    NotFound {
        /// Pod, container, cell ...
        what: String,
        /// Its name.
        name: String,
    },
    /// The effect failed.
    #[error("{doing}: {cause}")]
    Failed {
        /// What was being done.
        doing: String,
        /// What the system answered.
        cause: String,
    },
}

impl Error {
    fn failed(doing: impl Into<String>, cause: impl std::fmt::Display) -> Self {
        Self::Failed {
            doing: doing.into(),
            cause: cause.to_string(),
        }
    }

    fn missing(what: &str, name: &str) -> Self {
        Self::NotFound {
            what: what.to_owned(),
            name: name.to_owned(),
        }
    }
}

/// The first 12 digits of a digest: short names for long ones.
fn short_digest(bytes: &[u8]) -> String {
    crate::digest::digits(bytes, 6)
}

/// Result of an effect.
pub type Result<T> = std::result::Result<T, Error>;

fn no_sessions(what: &str) -> Error {
    Error::failed(format!("talking to {what}"), "this machine cannot")
}

/// Every effect on the machine. All calls are idempotent.
#[async_trait]
pub trait Machine: Send + Sync + 'static {
    /// What this machine can do.
    fn info(&self) -> &Info;
    /// Events from now on.
    fn events(&self) -> tokio::sync::broadcast::Receiver<Event>;
    /// Makes the network as planned.
    async fn apply_network(&self, plan: &NetworkPlan) -> Result<()>;
    /// Makes the frame of a pod: network namespace, link, address, name resolution.
    async fn create_pod(&self, pod: &PodSandbox) -> Result<()>;
    /// Ends everything in a pod and removes its frame and its writable layers.
    async fn delete_pod(&self, uid: &str) -> Result<()>;
    /// Starts a container; returns when its process runs.
    async fn start_container(&self, container: &ContainerSpec) -> Result<()>;
    /// Asks a container to end (by its signal), then ends it (SIGKILL) after `grace`. Returns when it has
    /// ended.
    async fn stop_container(&self, id: &str, grace: Duration) -> Result<()>;
    /// Removes what a finished container left.
    async fn remove_container(&self, id: &str) -> Result<()>;
    /// Runs a command in a running container.
    async fn exec(&self, id: &str, argv: &[String], timeout: Duration) -> Result<ExecOutcome>;
    /// Begins to talk to something; returns the number of the session.
    async fn open(&self, with: &Interactive) -> Result<u64> {
        Err(no_sessions(&format!("{with:?}")))
    }
    /// Gives it input; returns when that was taken.
    async fn feed(&self, session: u64, feed: Feed) -> Result<()> {
        let _ = feed;
        Err(no_sessions(&format!("session {session}")))
    }
    /// Waits for what it says next.
    async fn next(&self, session: u64) -> Result<Chunk> {
        Err(no_sessions(&format!("session {session}")))
    }
    /// Ends a session, and its command or connection with it. Containers go on.
    async fn close(&self, session: u64) -> Result<()> {
        Err(no_sessions(&format!("session {session}")))
    }
    /// Makes one check; `Ok(Err(reason))` when it ran and did not succeed.
    async fn probe(
        &self,
        probe: &Probe,
        timeout: Duration,
    ) -> Result<std::result::Result<(), String>>;
    /// Unpacks a layer unless it is there, and returns its folder.
    async fn unpack(&self, layer: &LayerSource) -> Result<PathBuf>;
    /// Removes all unpacked layers but these (by their digests) and those unpacked a moment ago.
    async fn keep_layers(&self, kept: &BTreeSet<String>) -> Result<()>;
    /// How many bytes of the disk a folder of a pod takes.
    async fn size_of(&self, folder: &Path) -> Result<u64>;
    /// How many bytes of the disk a container takes for what it has written beside its mounts; none if it is gone.
    async fn size_of_container(&self, id: &str) -> Result<u64>;
    /// Gives a folder of a pod and all in it to a group of users inside containers.
    async fn give_folder(&self, folder: &Path, group: u32) -> Result<()>;
    /// Gives a file of a pod to a user inside containers.
    async fn give_file(&self, file: &Path, user: u32) -> Result<()>;
    /// Removes a folder of a pod, whatever owners its containers gave to what is in it.
    async fn remove_folder(&self, folder: &Path) -> Result<()>;
    /// Runs a program in the machine's own network namespace.
    async fn run_process(&self, process: &Process) -> Result<()>;
    /// Ends everything.
    async fn shutdown(&self) -> Result<()>;
}
