//! Terminals of containers: made inside of them by the container runtime, which hands over their other
//! end through a socket with a name.

use std::{
    fs::File,
    io,
    os::{
        fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
        unix::net::UnixListener,
    },
    path::{Path, PathBuf},
};

use nix::fcntl::OFlag;

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

    /// The terminal that was handed over, whose other end now belongs to the user it is for: the runtime
    /// makes it as root, and nobody else could open it by its name, as `screen` and `gpg` do. To be
    /// called when the process runs: then it is there.
    pub(super) fn terminal(self, user: u32) -> io::Result<OwnedFd> {
        let terminal = self.receive()?;
        give(&terminal, user)?;
        Ok(terminal)
    }

    fn receive(self) -> io::Result<OwnedFd> {
        let _gone = std::fs::remove_file(&self.path);
        self.listener.set_nonblocking(true)?;
        let (socket, _) = self.listener.accept()?;
        socket.set_nonblocking(true)?;
        let (_, received) = descriptors::receive(&socket, &mut [0; NAME])?;
        let none = || io::Error::other("the runtime handed over no terminal");
        received.into_iter().next().ok_or_else(none)
    }
}

nix::ioctl_write_int_bad!(open_other_end, nix::libc::TIOCGPTPEER);

/// Makes a user the owner of a terminal's other end. Its group stays that of terminals.
#[expect(
    unsafe_code,
    reason = "only an ioctl opens it from another mount namespace"
)]
fn give(terminal: &OwnedFd, user: u32) -> io::Result<()> {
    let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    // SAFETY: the descriptor is open, and the request takes a number and no pointer.
    let opened = unsafe { open_other_end(terminal.as_raw_fd(), flags.bits()) }?;
    // SAFETY: the kernel has just opened this descriptor, and nobody else knows it.
    let other_end = unsafe { OwnedFd::from_raw_fd(opened) };
    std::os::unix::fs::fchown(other_end, Some(user), None)
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
        descriptors::send(&socket, b"/", &[reader.as_fd()]).unwrap();
        console.receive().unwrap();
        assert!(!deep.join("console").exists());
    }
}
