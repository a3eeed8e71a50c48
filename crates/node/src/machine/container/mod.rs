//! The processes that hold containers: one per container, with a single thread, because the container
//! runtime may not share a process with anything else.
//!
//! The helper writes a job to a file and has the holder forked with its path. The holder tells the helper
//! on its standard output, one JSON line each, that the container runs and how it ended; the helper
//! tells the holder on its standard input, a socket, how to end it and who listens to it, and gets
//! the container's input there.

mod exec;
mod log;
mod outlet;
mod program;
mod rootfs;
mod run;
mod spec;
mod sub_path;
mod supervise;
mod terminal;

use std::{
    ffi::CStr,
    fs, io,
    os::fd::AsFd,
    path::{Path, PathBuf},
    time::Duration,
};

use nix::sched::{CloneFlags, setns};
use serde::{Deserialize, Serialize};

pub(super) use rootfs::{WRITTEN, rehearse};

use super::{ContainerSpec, Exit, Mount, cgroup::Cgroups};

/// Byte on standard input: ask the container to end.
pub(super) const TERMINATE: u8 = b'T';
/// Byte on standard input: end the container.
pub(super) const KILL: u8 = b'K';

/// Byte on standard input that comes with two pipes: from now on, output goes there too.
pub(super) const ATTACH: u8 = b'A';
/// Byte back on standard input that comes with the container's input, or with a command's terminal.
pub(super) const HANDED_OVER: u8 = b'H';

/// Everything a holder needs to run a container.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Job {
    pub(super) spec: ContainerSpec,
    pub(super) hostname: String,
    /// Files of the pod: hosts, hostname, resolv.conf.
    pub(super) pod_files: PathBuf,
    pub(super) netns: PathBuf,
    /// The process namespace that it joins, if it is not to have one of its own.
    pub(super) processes: Option<PathBuf>,
    /// The frame of the container, in memory.
    pub(super) bundle: PathBuf,
    /// The writable layer, on disk.
    pub(super) writable: PathBuf,
    /// State of the container runtime.
    pub(super) state: PathBuf,
    pub(super) rootless: bool,
    pub(super) user_ids: u32,
    pub(super) cgroups: Option<Cgroups>,
}

/// What a holder says about its container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Report {
    /// Its process runs; the id is of the machine's process namespace.
    Running { pid: i32 },
    /// It ended, or could not start.
    Ended(Exit),
}

/// What a process does that is started for a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Task {
    /// Holds a container, that of the [`Job`] in its file.
    Hold,
    /// Runs a command in a container, that of the [`Command`] in its file.
    Exec,
}

impl Task {
    const ALL: [Self; 2] = [Self::Hold, Self::Exec];

    /// The letter that stands for it in requests.
    pub(super) fn letter(self) -> u8 {
        match self {
            Self::Hold => b'H',
            Self::Exec => b'E',
        }
    }

    /// The task that a letter stands for.
    pub(super) fn of(letter: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.letter() == letter)
    }

    /// What lists of processes call whoever does it, at most 15 bytes.
    pub(super) fn name(self) -> &'static CStr {
        match self {
            Self::Hold => c"node-container",
            Self::Exec => c"node-exec",
        }
    }

    /// Does what is written in a file; returns the exit code of this process, which it is all about.
    pub(super) fn run(self, job: &Path) -> i32 {
        match self {
            Self::Hold => run::run(job),
            Self::Exec => exec::run(job),
        }
    }
}

/// Everything needed to run a command in a container.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Command {
    pub(super) id: String,
    pub(super) argv: Vec<String>,
    pub(super) timeout: Duration,
    pub(super) manner: Manner,
    /// Frame of the container, whose description says as whom the command runs, and where.
    pub(super) bundle: PathBuf,
    pub(super) netns: PathBuf,
    pub(super) state: PathBuf,
}

/// How a command is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Manner {
    /// Its output is kept and told at its end.
    Kept,
    /// It has the streams of its process.
    Streams,
    /// It has a terminal, which is handed over on standard input.
    Terminal,
}

/// What came of a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Outcome {
    Ended { code: i32, output: String },
    TimedOut,
    Failed(String),
}

fn read_job<T: serde::de::DeserializeOwned>(path: &Path) -> io::Result<T> {
    Ok(serde_json::from_slice(&fs::read(path)?)?)
}

fn tell<T: Serialize>(message: &T) -> io::Result<()> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    io::Write::write_all(&mut io::stdout(), &line)
}

/// Ties this process to the helper and moves it into the pod's network.
fn join_pod(netns: &Path) -> io::Result<()> {
    nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL)?;
    let netns = fs::File::open(netns)?;
    Ok(setns(netns.as_fd(), CloneFlags::CLONE_NEWNET)?)
}

/// An error with everything that caused it.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    text
}
