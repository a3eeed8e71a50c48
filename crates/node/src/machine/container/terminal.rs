//! Terminals of containers: made inside of them by the container runtime, which hands over their other
//! end through a socket with a name.

use std::{
    fs::File,
    io,
    os::{
        fd::{AsRawFd as _, OwnedFd},
        unix::net::UnixListener,
    },
    path::{Path, PathBuf},
};

use crate::machine::descriptors;

/// Longest name of a terminal that the runtime sends along.
const NAME: usize = 64;

/// Where the runtime hands over a terminal.
pub(super) struct Console {
    listener: UnixListener,
    path: PathBuf,
}

impl Console {
    /// A socket in a folder of the machine.
    pub(super) fn listen(folder: &Path, name: &str) -> io::Result<Self> {
        let path = folder.join(name);
        let folder = File::open(folder)?;
        // By this name, since the path of a socket may not be long.
        let short = format!("/proc/self/fd/{}/{name}", folder.as_raw_fd());
        let listener = UnixListener::bind(short)?;
        Ok(Self { listener, path })
    }

    /// What the runtime is told.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The terminal that was handed over. To be called when the process runs: then it is there.
    pub(super) fn terminal(self) -> io::Result<OwnedFd> {
        let _gone = std::fs::remove_file(&self.path);
        self.listener.set_nonblocking(true)?;
        let (socket, _) = self.listener.accept()?;
        socket.set_nonblocking(true)?;
        let (_, received) = descriptors::receive(&socket, &mut [0; NAME])?;
        let none = || io::Error::other("the runtime handed over no terminal");
        received.into_iter().next().ok_or_else(none)
    }
}

#[cfg(test)]
mod tests {
    use std::os::{fd::AsFd as _, unix::net::UnixStream};

    use super::*;

    #[test]
    fn terminals_are_handed_over_however_long_the_path_is() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("d".repeat(150));
        std::fs::create_dir(&deep).unwrap();
        let console = Console::listen(&deep, "console").unwrap();
        let short = folder.path().join("short");
        std::os::unix::fs::symlink(console.path(), &short).unwrap();
        let socket = UnixStream::connect(&short).unwrap();
        let (reader, _writer) = io::pipe().unwrap();
        descriptors::send(&socket, b'/', &[reader.as_fd()]).unwrap();
        console.terminal().unwrap();
        assert!(!deep.join("console").exists());
    }
}
