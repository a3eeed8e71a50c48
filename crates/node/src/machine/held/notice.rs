//! What the kernel says of calls that wait for an answer, and the calls that answer them.
#![expect(
    unsafe_code,
    reason = "the kernel's interface of notifications has no binding"
)]

use std::{
    io::{self, IoSliceMut},
    os::fd::{AsFd, AsRawFd as _, FromRawFd as _, OwnedFd, RawFd},
};

use nix::{
    errno::Errno,
    libc::{self, c_long},
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::uio::{RemoteIoVec, process_vm_readv},
    unistd::Pid,
};

/// The longest address that the kernel takes (`sockaddr_storage`).
const LONGEST: usize = 128;
/// The option that tells which network a socket belongs to (Linux 5.14).
const SO_NETNS_COOKIE: i32 = 71;
/// Putting a socket in the place of another one.
const IN_PLACE: u32 = 1;
/// Waking the program at once, on the same processor (Linux 6.6).
const SYNC_WAKE_UP: libc::c_int = 1;

nix::ioctl_readwrite!(receive, b'!', 0, libc::seccomp_notif);
nix::ioctl_readwrite!(send, b'!', 1, libc::seccomp_notif_resp);
nix::ioctl_write_ptr!(is_valid, b'!', 2, u64);
nix::ioctl_write_ptr!(add, b'!', 3, libc::seccomp_notif_addfd);
nix::ioctl_write_int_bad!(set_flags, libc::SECCOMP_IOCTL_NOTIF_SET_FLAGS);

/// A call that waits.
pub(super) struct Notice(libc::seccomp_notif);

impl Notice {
    /// The number of the call.
    pub(super) fn number(&self) -> c_long {
        c_long::from(self.0.data.nr)
    }

    /// The number of the descriptor that it is about.
    pub(super) fn descriptor(&self) -> u64 {
        self.0.data.args[0]
    }
}

/// The calls of a program.
#[derive(Debug)]
pub(super) struct Notices(OwnedFd);

impl Notices {
    pub(super) fn new(listener: OwnedFd) -> Self {
        // SAFETY: the call takes a number only. Kernels that do not know it are slower.
        let _unknown = unsafe { set_flags(listener.as_raw_fd(), SYNC_WAKE_UP) };
        Self(listener)
    }

    /// The next call; `None` once the program has ended.
    pub(super) fn next(&self) -> io::Result<Option<Notice>> {
        loop {
            let mut watched = [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
            match poll(&mut watched, PollTimeout::NONE) {
                Ok(_) => {}
                Err(Errno::EINTR) => continue,
                Err(error) => return Err(error.into()),
            }
            let [watched] = watched;
            let ready = watched.revents().unwrap_or(PollFlags::empty());
            if !ready.contains(PollFlags::POLLIN) {
                return Ok(None);
            }
            // SAFETY: of numbers only, for which nothing is a value; the kernel demands it.
            let mut notice: libc::seccomp_notif = unsafe { std::mem::zeroed() };
            // SAFETY: the kernel fills a value of the size that its number tells.
            match unsafe { receive(self.0.as_raw_fd(), &raw mut notice) } {
                Ok(_) => return Ok(Some(Notice(notice))),
                // Who asked is gone.
                Err(Errno::ENOENT | Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The bytes of the address that a call names.
    pub(super) fn address(&self, notice: &Notice) -> nix::Result<Vec<u8>> {
        let [_, base, length, ..] = notice.0.data.args;
        // The kernel takes the lower half of it.
        let length = usize::try_from(length & u64::from(u32::MAX)).unwrap_or(usize::MAX);
        let base = usize::try_from(base).map_err(|_| Errno::EFAULT)?;
        if length > LONGEST {
            return Err(Errno::EINVAL);
        }
        let mut bytes = vec![0; length];
        if length > 0 {
            let pid = i32::try_from(notice.0.pid).map_err(|_| Errno::ESRCH)?;
            let remote = [RemoteIoVec { base, len: length }];
            let local = &mut [IoSliceMut::new(&mut bytes)];
            if process_vm_readv(Pid::from_raw(pid), local, &remote)? != length {
                return Err(Errno::EFAULT);
            }
        }
        // Or it was the memory of another process that has the number now.
        // SAFETY: the kernel reads one number.
        unsafe { is_valid(self.0.as_raw_fd(), &raw const notice.0.id) }?;
        Ok(bytes)
    }

    /// Lets a call return.
    pub(super) fn answer(&self, notice: &Notice, outcome: nix::Result<()>) -> nix::Result<()> {
        let mut response = libc::seccomp_notif_resp {
            id: notice.0.id,
            val: 0,
            error: outcome.err().map_or(0, |error| -(error as i32)),
            flags: 0,
        };
        // SAFETY: the kernel reads a value of the size that its number tells.
        unsafe { send(self.0.as_raw_fd(), &raw mut response) }.map(drop)
    }

    /// Puts another socket in the place of the one that a call is about.
    pub(super) fn replace(&self, notice: &Notice, socket: &OwnedFd) -> nix::Result<()> {
        let number = |number: RawFd| u32::try_from(number).map_err(|_| Errno::EBADF);
        let added = libc::seccomp_notif_addfd {
            id: notice.0.id,
            flags: IN_PLACE,
            srcfd: number(socket.as_raw_fd())?,
            newfd: u32::try_from(notice.descriptor()).map_err(|_| Errno::EBADF)?,
            newfd_flags: libc::O_CLOEXEC.cast_unsigned(),
        };
        // SAFETY: the kernel reads a value of the size that its number tells.
        unsafe { add(self.0.as_raw_fd(), &raw const added) }.map(drop)
    }
}

/// A process, held by a descriptor.
pub(super) fn open_process(pid: libc::pid_t) -> nix::Result<OwnedFd> {
    // SAFETY: the call takes numbers only.
    made(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) })
}

/// Another descriptor for what a number of a process stands for.
pub(super) fn take(process: &OwnedFd, number: u64) -> nix::Result<OwnedFd> {
    let number = RawFd::try_from(number).map_err(|_| Errno::EBADF)?;
    // SAFETY: the call takes numbers only.
    made(unsafe { libc::syscall(libc::SYS_pidfd_getfd, process.as_raw_fd(), number, 0) })
}

/// The descriptor that a call has made.
fn made(outcome: c_long) -> nix::Result<OwnedFd> {
    let number = RawFd::try_from(Errno::result(outcome)?).map_err(|_| Errno::EBADF)?;
    // SAFETY: the kernel has just made it for this process, and nobody else was told of it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// The number of the network that a socket belongs to.
pub(super) fn network_of(socket: &impl AsFd) -> nix::Result<u64> {
    let mut network = [0; size_of::<u64>()];
    let mut length = length_of(&network)?;
    // SAFETY: the kernel writes as many bytes as it is told there are.
    let outcome = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            SO_NETNS_COOKIE,
            network.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    Errno::result(outcome)?;
    Ok(u64::from_ne_bytes(network))
}

/// Gives a socket an address.
pub(super) fn bind(socket: &OwnedFd, address: &[u8]) -> nix::Result<()> {
    let (number, length) = (socket.as_raw_fd(), length_of(address)?);
    // SAFETY: the kernel reads as many bytes as it is told there are.
    let outcome = unsafe { libc::bind(number, address.as_ptr().cast(), length) };
    Errno::result(outcome).map(drop)
}

/// Connects a socket to an address.
pub(super) fn connect(socket: &OwnedFd, address: &[u8]) -> nix::Result<()> {
    let (number, length) = (socket.as_raw_fd(), length_of(address)?);
    // SAFETY: the kernel reads as many bytes as it is told there are.
    let outcome = unsafe { libc::connect(number, address.as_ptr().cast(), length) };
    Errno::result(outcome).map(drop)
}

fn length_of(bytes: &[u8]) -> nix::Result<libc::socklen_t> {
    bytes.len().try_into().map_err(|_| Errno::EINVAL)
}
