//! Our ends of the streams of what is talked to: pipes, terminals and connections.

use std::{
    fs::File,
    io,
    net::Ipv4Addr,
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::net::UnixStream,
    },
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nlink::netlink::namespace;
use tokio::{
    io::{Interest, unix::AsyncFd},
    net::TcpSocket,
    time::timeout,
};

use crate::machine::descriptors;

/// How long a port may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(10);

/// Our end of a stream.
pub(super) type End = AsyncFd<OwnedFd>;

/// Where input goes, which decides how its end is told.
#[derive(Debug, Clone)]
pub(super) enum Input {
    /// There is none.
    Closed,
    /// By closing it.
    Pipe(Arc<End>),
    /// By a character.
    Terminal(Arc<End>),
    /// By shutting down this direction.
    Connection(Arc<End>),
    /// Not at all: others send more.
    Shared(Arc<End>),
}

impl Input {
    /// The stream, if there is one.
    pub(super) fn end(&self) -> Option<&Arc<End>> {
        match self {
            Self::Closed => None,
            Self::Pipe(end) | Self::Terminal(end) | Self::Connection(end) | Self::Shared(end) => {
                Some(end)
            }
        }
    }
}

/// Our ends of the streams of what is talked to.
#[derive(Debug)]
pub(super) struct Streams {
    pub(super) input: Input,
    pub(super) out: Option<Arc<End>>,
    pub(super) err: Option<Arc<End>>,
    /// What has a size.
    pub(super) terminal: Option<Arc<End>>,
}

impl Streams {
    /// Pipes; beside them what the other process gets: input, output, errors.
    pub(super) fn pipes(stdin: bool) -> io::Result<(Self, [OwnedFd; 3])> {
        let (out, their_out) = io::pipe()?;
        let (err, their_err) = io::pipe()?;
        let (input, their_input) = if stdin {
            let (theirs, ours) = io::pipe()?;
            (Input::Pipe(end(ours.into())?), theirs.into())
        } else {
            (Input::Closed, nothing()?)
        };
        let ours = Self {
            input,
            out: Some(end(out.into())?),
            err: Some(end(err.into())?),
            terminal: None,
        };
        Ok((ours, [their_input, their_out.into(), their_err.into()]))
    }

    /// A connection to a port of the pod with this network namespace.
    pub(super) async fn connection(netns: PathBuf, port: u16) -> io::Result<Self> {
        // A socket stays in the namespace it was made in; the thread goes back.
        let made =
            tokio::task::spawn_blocking(|| namespace::execute_in_path(netns, TcpSocket::new_v4));
        let socket = made.await?.map_err(io::Error::other)??;
        let connecting = socket.connect((Ipv4Addr::LOCALHOST, port).into());
        let stream = timeout(CONNECT, connecting).await??.into_std()?;
        let end = end(stream.into())?;
        Ok(Self {
            input: Input::Connection(Arc::clone(&end)),
            out: Some(end),
            err: None,
            terminal: None,
        })
    }
}

/// A terminal that another process is to hand over.
pub(super) struct Handover {
    socket: Arc<End>,
    /// Why it did not.
    err: Arc<End>,
}

impl Handover {
    /// With what the other process gets: input, output, errors.
    pub(super) fn new() -> io::Result<(Self, [OwnedFd; 3])> {
        let (socket, theirs) = UnixStream::pair()?;
        let (err, their_err) = io::pipe()?;
        let ours = Self {
            socket: end(socket.into())?,
            err: end(err.into())?,
        };
        Ok((ours, [theirs.into(), nothing()?, their_err.into()]))
    }

    /// The terminal, or why there is none as the only output.
    pub(super) async fn streams(self, stdin: bool) -> io::Result<Streams> {
        let received = self
            .socket
            .async_io(Interest::READABLE, |socket| {
                descriptors::receive(socket, &mut [0])
            })
            .await?;
        let Some(terminal) = received.1.into_iter().next() else {
            return Ok(Streams {
                input: Input::Closed,
                out: Some(self.err),
                err: None,
                terminal: None,
            });
        };
        let terminal = end(terminal)?;
        Ok(Streams {
            input: if stdin {
                Input::Terminal(Arc::clone(&terminal))
            } else {
                Input::Closed
            },
            out: Some(Arc::clone(&terminal)),
            err: Some(self.err),
            terminal: Some(terminal),
        })
    }
}

/// What can be read and written without anything coming of it.
pub(super) fn nothing() -> io::Result<OwnedFd> {
    let file = File::options().read(true).write(true).open("/dev/null")?;
    Ok(file.into())
}

/// Makes a stream of a descriptor.
#[expect(unsafe_code, reason = "tokio asks for a promise about the descriptor")]
pub(super) fn end(descriptor: OwnedFd) -> io::Result<Arc<End>> {
    fcntl(descriptor.as_fd(), FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    fcntl(descriptor.as_fd(), FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
    let interest = Interest::READABLE | Interest::WRITABLE;
    // SAFETY: an `OwnedFd` names one descriptor, open until it is dropped with what is made here.
    let end = unsafe { AsyncFd::register_with_interest(descriptor, interest) };
    Ok(Arc::new(end.map_err(io::Error::from)?))
}
