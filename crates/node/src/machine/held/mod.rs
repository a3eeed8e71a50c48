//! Held programs: those whose calls for addresses (`bind`, `connect`) the platform answers, by the kernel's
//! notifications of seccomp (`seccomp_unotify(2)`).
//!
//! A socket belongs to the network it was made in, whoever holds it. So a program in a network without a way out
//! can be given sockets of the host, one for each address that it asks for, and whatever comes over them is its
//! own from then on. What it must not do is to reach anything else by them: a socket that was accepted could be
//! made to connect anew. So all calls that connect are answered too, and made here, on sockets of the program's
//! own network only. They are never let through: what was looked at could be another thing by then.

mod notice;

use std::{
    ffi::OsStr,
    fs::File,
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6},
    os::{
        fd::{AsFd as _, AsRawFd as _, OwnedFd},
        unix::{ffi::OsStrExt as _, net::UnixStream},
    },
    path::{Path, PathBuf},
    time::Duration,
};

use nix::{
    errno::Errno,
    fcntl::{FcntlArg, OFlag, fcntl},
    libc,
    sys::{
        prctl::set_no_new_privs,
        socket::{UnixAddr, getsockopt, sockopt::PeerCredentials},
        stat::{Mode, fchmod},
    },
};

use self::notice::{Notice, Notices};
use super::{descriptors, seccomp};

/// How long a program may take to tell of itself once it has come.
const PATIENCE: Duration = Duration::from_secs(10);

/// The way by which a process becomes a held program.
#[derive(Debug)]
pub struct Gate(UnixStream);

impl Gate {
    /// Goes to the socket at which the platform waits for programs. Its path may be of any length.
    pub fn open(socket: &Path) -> io::Result<Self> {
        let (Some(folder), Some(name)) = (socket.parent(), socket.file_name()) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let folder = File::open(folder)?;
        let path = Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string());
        UnixStream::connect(path.join(name)).map(Self)
    }

    /// Has the calls of this process answered by the platform, and those of whatever it becomes and starts. This is
    /// for good; it makes no other calls than containers may from now on.
    pub fn pass(self) -> io::Result<()> {
        let network = notice::network_of(&UnixStream::pair()?.0)?;
        set_no_new_privs()?;
        let calls = seccomp::hold_program().map_err(|error| {
            let why = "the kernel does not let its calls be answered (Linux 5.14 can, unless a filter around the \
                       platform does so already)";
            io::Error::new(error.kind(), format!("{why}: {error}"))
        })?;
        descriptors::send(&self.0, &network.to_ne_bytes(), &[calls.as_fd()])
    }
}

/// A call that is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    /// Give a socket an address.
    Bind,
    /// Connect a socket to an address.
    Connect,
}

/// An address that a program names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Address {
    /// Of the internet.
    Internet(SocketAddr),
    /// A path.
    Path(PathBuf),
    /// One that nothing outside of the program's network has.
    Other,
}

/// What becomes of a call.
#[derive(Debug)]
pub(crate) enum Answer {
    /// It is made, if the socket belongs to the program's own network.
    Made,
    /// It is made, at this path instead.
    MadeAt(PathBuf),
    /// The program has this socket in the place of its own.
    Instead(OwnedFd),
    /// It fails.
    Refused(Errno),
}

/// A program that is held.
#[derive(Debug)]
pub(crate) struct Program {
    notices: Notices,
    process: OwnedFd,
    /// The number of its network.
    network: u64,
}

impl Program {
    /// Receives a program that has come to the platform's socket.
    pub(crate) fn receive(from: &UnixStream) -> io::Result<Self> {
        from.set_read_timeout(Some(PATIENCE))?;
        let mut network = [0; size_of::<u64>()];
        let (length, mut with) = descriptors::receive(from, &mut network)?;
        let (Some(calls), true) = (with.pop(), length == network.len()) else {
            return Err(io::ErrorKind::UnexpectedEof.into());
        };
        let peer = getsockopt(from, PeerCredentials)?;
        let process = notice::open_process(peer.pid())?;
        // Whether its sockets may be looked at; one is as good as another.
        notice::take(&process, 0)?;
        Ok(Self {
            notices: Notices::new(calls),
            process,
            network: u64::from_ne_bytes(network),
        })
    }

    /// Answers until the program has ended. This blocks, and does nothing else that could take long: the
    /// program's thread waits meanwhile.
    pub(crate) fn serve(&self, mut answer: impl FnMut(Call, &Address) -> Answer) -> io::Result<()> {
        while let Some(notice) = self.notices.next()? {
            let outcome = self.handle(&notice, &mut answer);
            // Who asked may be gone.
            let _unheard = self.notices.answer(&notice, outcome);
        }
        Ok(())
    }

    fn handle(
        &self,
        notice: &Notice,
        answer: &mut impl FnMut(Call, &Address) -> Answer,
    ) -> nix::Result<()> {
        let call = match notice.number() {
            libc::SYS_bind => Call::Bind,
            libc::SYS_connect => Call::Connect,
            _ => return Err(Errno::ENOSYS),
        };
        let raw = self.notices.address(notice)?;
        match (answer(call, &parse(&raw)), parse(&raw)) {
            (Answer::Made, Address::Internet(_) | Address::Other) => {
                let socket = self.socket(notice, call)?;
                match call {
                    Call::Bind => notice::bind(&socket, &raw),
                    Call::Connect => notice::connect(&socket, &raw),
                }
            }
            (Answer::MadeAt(path), Address::Path(_)) => {
                let socket = self.socket(notice, call)?;
                let address = UnixAddr::new(&path)?;
                match call {
                    Call::Bind => {
                        // The file that is made is the platform's.
                        fchmod(&socket, Mode::S_IRUSR | Mode::S_IWUSR)?;
                        nix::sys::socket::bind(socket.as_raw_fd(), &address)
                    }
                    Call::Connect => nix::sys::socket::connect(socket.as_raw_fd(), &address),
                }
            }
            (Answer::Instead(socket), _) => self.notices.replace(notice, &socket),
            (Answer::Refused(error), _) => Err(error),
            (Answer::Made | Answer::MadeAt(_), _) => Err(Errno::EACCES),
        }
    }

    /// The socket that a call is about, if it belongs to the program's own network. Whatever the program does
    /// with its number meanwhile, this stays the one that was looked at.
    fn socket(&self, notice: &Notice, call: Call) -> nix::Result<OwnedFd> {
        let socket = notice::take(&self.process, notice.descriptor())?;
        if notice::network_of(&socket)? != self.network {
            return Err(Errno::EACCES);
        }
        let flags = OFlag::from_bits_retain(fcntl(&socket, FcntlArg::F_GETFL)?);
        if call == Call::Connect && !flags.contains(OFlag::O_NONBLOCK) {
            // Others of the program's calls would wait for as long as this one.
            return Err(Errno::EACCES);
        }
        Ok(socket)
    }
}

/// What the bytes of an address mean.
fn parse(raw: &[u8]) -> Address {
    let family = raw.first_chunk().map(|two| u16::from_ne_bytes(*two));
    let internet = match family.map(i32::from) {
        Some(libc::AF_INET) => raw.get(2..8).map(|rest| {
            let address = [rest[2], rest[3], rest[4], rest[5]];
            let port = u16::from_be_bytes([rest[0], rest[1]]);
            SocketAddr::from((Ipv4Addr::from(address), port))
        }),
        Some(libc::AF_INET6) => v6(raw),
        Some(libc::AF_UNIX) => {
            let path = raw.get(2..).unwrap_or_default();
            let path = path.split(|byte| *byte == 0).next().unwrap_or_default();
            if path.is_empty() {
                return Address::Other;
            }
            return Address::Path(PathBuf::from(OsStr::from_bytes(path)));
        }
        _ => None,
    };
    internet.map_or(Address::Other, Address::Internet)
}

fn v6(raw: &[u8]) -> Option<SocketAddr> {
    let port = u16::from_be_bytes(*raw.get(2..)?.first_chunk()?);
    let address: [u8; 16] = *raw.get(8..)?.first_chunk()?;
    let scope = u32::from_ne_bytes(*raw.get(24..)?.first_chunk()?);
    Some(SocketAddrV6::new(Ipv6Addr::from(address), port, 0, scope).into())
}

#[cfg(test)]
mod tests;
