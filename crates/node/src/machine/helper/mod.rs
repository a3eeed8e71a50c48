//! The machine helper: a process tree in namespaces of its own.
//!
//! Its outer process stays in the host's process namespace, waits, and cleans up behind the inner
//! one, which is process 1 of the machine. Both end when the platform's end of the socket closes.

mod advice;
mod bootstrap;
mod commands;
mod containers;
mod fork_server;
mod health;
mod identity;
mod layers;
mod mounts;
mod pods;
mod probe;
mod processes;
mod program;
mod reaper;
mod serve;
mod sessions;
mod streams;
mod trust;
mod volumes;

use std::path::{Path, PathBuf};

use super::{Info, Mode, container::WRITTEN};

pub(super) use bootstrap::run;
pub(super) use fork_server::{FORK_SERVER, run as run_fork_server};
pub(super) use program::{PROGRAM, run as run_program};

/// The running program, whatever became of its file.
const SELF: &str = "/proc/self/exe";

/// Where things are inside the data folder.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    folder: PathBuf,
}

impl Layout {
    pub(super) fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
        }
    }

    /// The folder itself.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Unpacked layers. Which owners files can have differs, and with it the folder.
    pub(super) fn layers(&self, info: &Info) -> PathBuf {
        self.folder.join(match (info.mode, info.user_ids) {
            (Mode::Root, _) => "layers",
            (Mode::Rootless, 1) => "layers-rootless",
            (Mode::Rootless, _) => "layers-rootless-users",
        })
    }

    /// Writable layers of containers.
    pub(super) fn containers(&self) -> PathBuf {
        self.folder.join("containers")
    }

    /// What a container has written beside its mounts.
    fn written(&self, id: &str) -> PathBuf {
        self.containers().join(id).join(WRITTEN)
    }

    /// A file system in memory that exists only inside the machine.
    pub(super) fn run(&self) -> PathBuf {
        self.folder.join("run")
    }

    /// Network namespace of a pod.
    pub(super) fn netns(&self, uid: &str) -> PathBuf {
        self.run().join("netns").join(uid)
    }

    /// Files of a pod: hosts, hostname, resolv.conf.
    pub(super) fn pod(&self, uid: &str) -> PathBuf {
        self.run().join("pods").join(uid)
    }

    /// The frame of a container: job, mount point, OCI bundle.
    pub(super) fn bundle(&self, id: &str) -> PathBuf {
        self.run().join("bundles").join(id)
    }

    /// What supervised programs are started with.
    pub(super) fn programs(&self) -> PathBuf {
        self.run().join("programs")
    }

    /// State of the container runtime.
    pub(super) fn state(&self) -> PathBuf {
        self.run().join("state")
    }
}
