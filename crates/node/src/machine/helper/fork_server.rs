//! A process that others are forked from: those that hold containers, and those that run commands in
//! them.
//!
//! A program of this size takes milliseconds and some 2.5 MB to be loaded: every page that holds an
//! address is written by the loader. Forked from a process that has been loaded, and has done nothing
//! since, a holder shares these pages with all others.

use std::{
    ffi::OsStr,
    io,
    os::{
        fd::{AsFd as _, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Mutex, PoisonError},
};

use nix::{
    errno::Errno,
    libc,
    sys::{
        prctl,
        signal::Signal,
        socket::{AddressFamily, SockFlag, SockType, setsockopt, socketpair, sockopt},
        time::{TimeVal, TimeValLike as _},
    },
    unistd::{Pid, dup2_stderr, dup2_stdin, dup2_stdout},
};
use tokio::sync::oneshot;

use super::{SELF, reaper::Reaper};
use crate::machine::{container::Task, descriptors};

/// Argument that makes this program the server.
pub(in crate::machine) const FORK_SERVER: &str = "node-forks";
/// How many seconds the server may take to answer: it does nothing but fork.
const PATIENCE: i64 = 10;
/// Longest request: a path, and one byte that says what for.
const LONGEST: usize = 4097;

/// The helper's side.
#[derive(Debug)]
pub(super) struct ForkServer {
    reaper: Reaper,
    /// The folder of the machine, which tells people whose processes these are.
    folder: PathBuf,
    socket: Mutex<Option<OwnedFd>>,
}

impl ForkServer {
    pub(super) fn new(reaper: Reaper, folder: &Path) -> Self {
        Self {
            reaper,
            folder: folder.to_owned(),
            socket: Mutex::default(),
        }
    }

    /// Starts a process, a child of this one, with what it is to do in a file and with these as its
    /// input, output and errors; the receiver gets its exit code, or 128 + signal.
    ///
    /// Must run on the main thread, as [`Reaper::spawn`] must.
    pub(super) fn spawn(
        &self,
        task: Task,
        job: &Path,
        streams: [BorrowedFd<'_>; 3],
    ) -> io::Result<(Pid, oneshot::Receiver<i32>)> {
        let mut message = vec![task.letter()];
        message.extend_from_slice(job.as_os_str().as_bytes());
        if message.len() > LONGEST {
            return Err(Errno::ENAMETOOLONG.into());
        }
        let mut socket = self.socket.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(server) = &*socket {
            match self.ask(server, &message, streams) {
                // It has ended, as anything may that is killed: another one takes its place.
                Err(error) if is_gone(&error) => {}
                outcome => return outcome,
            }
        }
        let server = socket.insert(self.start()?);
        self.ask(server, &message, streams)
    }

    fn ask(
        &self,
        server: &OwnedFd,
        message: &[u8],
        streams: [BorrowedFd<'_>; 3],
    ) -> io::Result<(Pid, oneshot::Receiver<i32>)> {
        self.reaper.adopt(|| {
            descriptors::send(server, message, &streams)?;
            let mut answer = [0; size_of::<i32>()];
            match descriptors::receive(server, &mut answer)?.0 {
                0 => return Err(Errno::EPIPE.into()),
                length if length < answer.len() => return Err(Errno::EPROTO.into()),
                _ => {}
            }
            match i32::from_ne_bytes(answer) {
                pid @ 1.. => Ok(Pid::from_raw(pid)),
                error => Err(io::Error::from_raw_os_error(-error)),
            }
        })
    }

    fn start(&self) -> io::Result<OwnedFd> {
        let (ours, theirs) = socketpair(
            AddressFamily::Unix,
            // Messages keep their bounds, and descriptors stay with theirs.
            SockType::SeqPacket,
            None,
            SockFlag::SOCK_CLOEXEC,
        )?;
        setsockopt(&ours, sockopt::ReceiveTimeout, &TimeVal::seconds(PATIENCE))?;
        let mut command = Command::new(SELF);
        command.arg(FORK_SERVER).arg(&self.folder).env_clear();
        command.stdin(theirs).stdout(Stdio::null());
        self.reaper.spawn(&mut command)?;
        Ok(ours)
    }
}

fn is_gone(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset
    )
}

/// Forks whatever the helper asks for until it goes away; returns an exit code, in each of the
/// processes that are forked as well.
pub(in crate::machine) fn run() -> i32 {
    serve().unwrap_or(1)
}

fn serve() -> io::Result<i32> {
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    // Not as standard input, which is another one in those that are forked.
    let socket = io::stdin().as_fd().try_clone_to_owned()?;
    let mut message = [0; LONGEST];
    loop {
        let (length, streams) = descriptors::receive(&socket, &mut message)?;
        let Some((letter, job)) = message[..length].split_first() else {
            return Ok(0);
        };
        let task = Task::of(*letter).ok_or(Errno::EINVAL)?;
        let streams = <[OwnedFd; 3]>::try_from(streams).map_err(|_| Errno::EINVAL)?;
        let answer = match fork_sibling() {
            Ok(None) => {
                drop(socket);
                take(streams)?;
                prctl::set_name(task.name())?;
                return Ok(task.run(Path::new(OsStr::from_bytes(job))));
            }
            Ok(Some(child)) => child.as_raw(),
            Err(error) => -(error as i32),
        };
        descriptors::send(&socket, &answer.to_ne_bytes(), &[])?;
    }
}

/// Makes these the standard input, output and errors.
fn take([stdin, stdout, stderr]: [OwnedFd; 3]) -> nix::Result<()> {
    dup2_stdin(stdin)?;
    dup2_stdout(stdout)?;
    dup2_stderr(stderr)
}

/// Forks a process whose parent is that of this one; in the child there is none.
fn fork_sibling() -> nix::Result<Option<Pid>> {
    let flags = libc::CLONE_PARENT | libc::SIGCHLD;
    #[expect(unsafe_code, reason = "the call has no binding")]
    // SAFETY: without a stack of its own the child goes on with a copy of this one, as after `fork`.
    // This process has a single thread, so nothing is held by others, and the child may do anything.
    let outcome = unsafe { libc::syscall(libc::SYS_clone, libc::c_long::from(flags), 0, 0, 0, 0) };
    let pid = i32::try_from(Errno::result(outcome)?).map_err(|_| Errno::EOVERFLOW)?;
    Ok((pid > 0).then(|| Pid::from_raw(pid)))
}
