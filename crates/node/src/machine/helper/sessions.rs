//! What is talked to: commands, containers, connections. Output is fetched, never pushed, so that a client that
//! does not read holds up its command and nothing else.

use std::{
    collections::BTreeMap,
    future::pending,
    io,
    os::fd::{AsFd as _, AsRawFd as _, OwnedFd},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use nix::{
    errno::Errno,
    libc,
    sys::socket::{Shutdown, shutdown},
    unistd,
};
use tokio::{
    io::Interest,
    sync::{Notify, oneshot},
};

use super::streams::{End, Input, Streams};
use crate::machine::{Chunk, Error, Feed, Result};

/// Sessions that are open at once: some for every client that the API lets talk to pods.
const MOST: usize = 1024;
/// Bytes that are handed over at once.
const PIECE: usize = 16 << 10;
/// What ends the input of a terminal.
const END_OF_INPUT: &[u8] = &[4];

nix::ioctl_write_ptr_bad!(set_size, libc::TIOCSWINSZ, libc::winsize);

/// The sessions there are.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    known: Mutex<BTreeMap<u64, Arc<Session>>>,
    next: AtomicU64,
}

/// What is talked to, and our ends of its streams.
#[derive(Debug)]
struct Session {
    input: tokio::sync::Mutex<Input>,
    output: tokio::sync::Mutex<Output>,
    /// The terminal, if there is one.
    terminal: Option<Arc<End>>,
    closed: Notify,
}

#[derive(Debug)]
struct Output {
    out: Option<Arc<End>>,
    err: Option<Arc<End>>,
    /// Tells the end; without it, that is where all streams end.
    ended: Option<oneshot::Receiver<i32>>,
    code: Option<i32>,
}

impl Sessions {
    /// Whether there is room for one more.
    pub(super) fn check(&self) -> io::Result<()> {
        if self.lock().len() < MOST {
            Ok(())
        } else {
            Err(io::Error::other(format!(
                "{MOST} sessions are open already"
            )))
        }
    }

    /// Takes in what has these streams: a command whose end is told, or what ends with its streams.
    pub(super) fn open(&self, streams: Streams, ended: Option<oneshot::Receiver<i32>>) -> u64 {
        let Streams {
            input,
            out,
            err,
            terminal,
        } = streams;
        let session = Session {
            input: tokio::sync::Mutex::new(input),
            output: tokio::sync::Mutex::new(Output {
                out,
                err,
                ended,
                code: None,
            }),
            terminal,
            closed: Notify::new(),
        };
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.lock().insert(number, Arc::new(session));
        number
    }

    /// Gives a command input.
    pub(super) async fn feed(&self, number: u64, feed: Feed) -> Result<()> {
        let session = self.get(number)?;
        let outcome = tokio::select! {
            outcome = session.feed(feed) => outcome,
            () = session.closed.notified() => Ok(()),
        };
        outcome.map_err(|error| Error::failed("giving a command input", error))
    }

    /// What a command says next.
    pub(super) async fn next(&self, number: u64) -> Result<Chunk> {
        let session = self.get(number)?;
        let mut output = session.output.lock().await;
        let next = tokio::select! {
            next = output.next() => next,
            () = session.closed.notified() => Ok(Chunk::Ended(128 + libc::SIGKILL)),
        };
        next.map_err(|error| Error::failed("reading what a command says", error))
    }

    /// Forgets a session. Its process sees that nobody reads, and ends the command.
    pub(super) fn close(&self, number: u64) {
        if let Some(session) = self.lock().remove(&number) {
            session.closed.notify_waiters();
        }
    }

    fn get(&self, number: u64) -> Result<Arc<Session>> {
        let known = self.lock().get(&number).cloned();
        known.ok_or_else(|| Error::missing("session", &number.to_string()))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Session>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Session {
    async fn feed(&self, feed: Feed) -> io::Result<()> {
        match feed {
            Feed::Data(bytes) => self.write(&bytes).await,
            Feed::Resize { columns, rows } => self.resize(columns, rows),
            Feed::End => self.end().await,
        }
    }

    /// Tells that there is no more input.
    async fn end(&self) -> io::Result<()> {
        let input = std::mem::replace(&mut *self.input.lock().await, Input::Closed);
        match input {
            Input::Closed | Input::Pipe(_) | Input::Shared(_) => Ok(()),
            Input::Terminal(end) => {
                // A terminal reads on: whoever is there may not have been asked yet.
                *self.input.lock().await = Input::Terminal(end);
                self.write(END_OF_INPUT).await
            }
            // It may be gone by itself.
            Input::Connection(end) => match shutdown(end.as_raw_fd(), Shutdown::Write) {
                Ok(()) | Err(Errno::ENOTCONN) => Ok(()),
                Err(error) => Err(error.into()),
            },
        }
    }

    async fn write(&self, mut bytes: &[u8]) -> io::Result<()> {
        let mut input = self.input.lock().await;
        while let Some(end) = input.end()
            && !bytes.is_empty()
        {
            let written = end
                .async_io(Interest::WRITABLE, |end| Ok(unistd::write(end, bytes)?))
                .await;
            match written {
                Ok(count) => bytes = &bytes[count..],
                // A command need not read what it is given.
                Err(error) if is_over(&error) => *input = Input::Closed,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    #[expect(unsafe_code, reason = "the size of a terminal is set by an ioctl")]
    fn resize(&self, columns: u16, rows: u16) -> io::Result<()> {
        let Some(terminal) = &self.terminal else {
            return Ok(());
        };
        let size = libc::winsize {
            ws_row: rows,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        // SAFETY: the descriptor is open, and `size` lives as long as the call, which only reads it.
        unsafe { set_size(terminal.as_raw_fd(), &raw const size) }?;
        Ok(())
    }
}

impl Output {
    async fn next(&mut self) -> io::Result<Chunk> {
        while self.code.is_none() {
            if self.ended.is_none() && self.out.is_none() && self.err.is_none() {
                self.code = Some(0);
                break;
            }
            tokio::select! {
                biased;
                piece = read(self.out.as_ref()) => match piece? {
                    Some(bytes) => return Ok(Chunk::Out(bytes)),
                    None => self.out = None,
                },
                piece = read(self.err.as_ref()) => match piece? {
                    Some(bytes) => return Ok(Chunk::Err(bytes)),
                    None => self.err = None,
                },
                code = ended(&mut self.ended) => self.code = Some(code),
            }
        }
        // What it left running may hold the streams open: only what is there is taken.
        if let Some(bytes) = self.out.as_deref().and_then(left) {
            return Ok(Chunk::Out(bytes));
        }
        if let Some(bytes) = self.err.as_deref().and_then(left) {
            return Ok(Chunk::Err(bytes));
        }
        Ok(Chunk::Ended(self.code.unwrap_or_default()))
    }
}

/// The code of a command that ends. What has none never does.
async fn ended(receiver: &mut Option<oneshot::Receiver<i32>>) -> i32 {
    match receiver {
        Some(receiver) => receiver.await.unwrap_or(128 + libc::SIGKILL),
        None => pending().await,
    }
}

/// The next bytes; nothing at the end. A stream that is gone never has any.
async fn read(end: Option<&Arc<End>>) -> io::Result<Option<Vec<u8>>> {
    let Some(end) = end else {
        return pending().await;
    };
    let piece = end.async_io(Interest::READABLE, take).await;
    match piece {
        Ok(bytes) => Ok((!bytes.is_empty()).then_some(bytes)),
        Err(error) if is_over(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

fn left(end: &End) -> Option<Vec<u8>> {
    take(end.get_ref()).ok().filter(|bytes| !bytes.is_empty())
}

fn take(end: &OwnedFd) -> io::Result<Vec<u8>> {
    let mut piece = vec![0; PIECE];
    let count = unistd::read(end.as_fd(), &mut piece)?;
    piece.truncate(count);
    Ok(piece)
}

/// Whether the other end of a stream is gone; terminals call that an input error.
fn is_over(error: &io::Error) -> bool {
    [Errno::EPIPE, Errno::EIO, Errno::ECONNRESET]
        .into_iter()
        .any(|errno| error.raw_os_error() == Some(errno as i32))
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read as _, Write as _},
        process::{Child, Command},
    };

    use nix::pty::openpty;

    use super::{
        super::streams::{Handover, end},
        *,
    };
    use crate::machine::descriptors;

    /// A command with these streams, as a session.
    fn start(
        sessions: &Sessions,
        program: &str,
        arguments: &[&str],
    ) -> (u64, Child, oneshot::Sender<i32>) {
        let (streams, [stdin, stdout, stderr]) = Streams::pipes(true).unwrap();
        let (ended, when_ended) = oneshot::channel();
        let child = Command::new(program)
            .args(arguments)
            .stdin(stdin)
            .stdout(stdout)
            .stderr(stderr)
            .spawn()
            .unwrap();
        (sessions.open(streams, Some(when_ended)), child, ended)
    }

    async fn all(sessions: &Sessions, number: u64) -> (Vec<u8>, Vec<u8>, i32) {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        loop {
            match sessions.next(number).await.unwrap() {
                Chunk::Out(bytes) => out.extend(bytes),
                Chunk::Err(bytes) => err.extend(bytes),
                Chunk::Ended(code) => return (out, err, code),
            }
        }
    }

    #[tokio::test]
    async fn input_comes_out_and_ends() {
        let sessions = Sessions::default();
        let (number, mut child, ended) = start(&sessions, "cat", &[]);
        let long = vec![b'x'; 300_000];
        let feeding = async {
            sessions
                .feed(number, Feed::Data(long.clone()))
                .await
                .unwrap();
            sessions.feed(number, Feed::End).await.unwrap();
        };
        let waiting = async {
            let code = tokio::task::spawn_blocking(move || child.wait().unwrap().code().unwrap());
            ended.send(code.await.unwrap()).unwrap();
        };
        let ((), (), (out, err, code)) = tokio::join!(feeding, waiting, all(&sessions, number));
        assert!(out == long && err.is_empty());
        assert_eq!(code, 0);
    }

    #[tokio::test]
    async fn terminals_are_handed_over_and_have_a_size() {
        let sessions = Sessions::default();
        let (handover, [theirs, ..]) = Handover::new().unwrap();
        let pair = openpty(None, None).unwrap();
        let script = "read line; stty size";
        let mut child = Command::new("sh")
            .args(["-c", script])
            .stdin(pair.slave.try_clone().unwrap())
            .stdout(pair.slave)
            .spawn()
            .unwrap();
        // The process that hands over: a shell that ends at once is as good as any.
        let mut other = Command::new("true").stdin(theirs).spawn().unwrap();
        other.wait().unwrap();
        let none = handover.streams(true).await.unwrap();
        assert!(none.terminal.is_none() && none.out.is_some());
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        descriptors::send(&theirs, b"H", &[pair.master.as_fd()]).unwrap();
        let (_, mut received) = descriptors::receive(&ours, &mut [0]).unwrap();
        let terminal = end(received.remove(0)).unwrap();
        let streams = Streams {
            input: Input::Terminal(Arc::clone(&terminal)),
            out: Some(Arc::clone(&terminal)),
            err: None,
            terminal: Some(terminal),
        };
        let (ended, when_ended) = oneshot::channel();
        let number = sessions.open(streams, Some(when_ended));
        let size = Feed::Resize {
            columns: 81,
            rows: 25,
        };
        sessions.feed(number, size).await.unwrap();
        let line = Feed::Data(b"go\n".to_vec());
        sessions.feed(number, line).await.unwrap();
        let waiting = async {
            let code = tokio::task::spawn_blocking(move || child.wait().unwrap().code().unwrap());
            ended.send(code.await.unwrap()).unwrap();
        };
        let ((), (out, _, code)) = tokio::join!(waiting, all(&sessions, number));
        let out = String::from_utf8(out).unwrap();
        assert!(out.contains("25 81"), "{out:?}");
        assert_eq!(code, 0);
    }

    #[tokio::test]
    async fn connections_end_in_each_direction_by_itself() {
        let sessions = Sessions::default();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let serving = tokio::task::spawn_blocking(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut heard = Vec::new();
            stream.read_to_end(&mut heard).unwrap();
            heard.reverse();
            stream.write_all(&heard).unwrap();
        });
        let netns = "/proc/self/ns/net".into();
        let streams = match Streams::connection(netns, port).await {
            Ok(streams) => streams,
            // Only root may enter a namespace, even its own.
            Err(error) if !unistd::geteuid().is_root() => return drop(error),
            Err(error) => panic!("{error}"),
        };
        let number = sessions.open(streams, None);
        let feed = Feed::Data(b"abc".to_vec());
        sessions.feed(number, feed).await.unwrap();
        sessions.feed(number, Feed::End).await.unwrap();
        let (out, _, code) = all(&sessions, number).await;
        assert_eq!((out.as_slice(), code), (&b"cba"[..], 0));
        serving.await.unwrap();
    }

    #[tokio::test]
    async fn a_closed_session_lets_go_of_who_waits() {
        let sessions = Sessions::default();
        let (number, mut child, _ended) = start(&sessions, "cat", &[]);
        let closing = async {
            tokio::task::yield_now().await;
            sessions.close(number);
        };
        let (chunk, ()) = tokio::join!(sessions.next(number), closing);
        assert_eq!(chunk.unwrap(), Chunk::Ended(137));
        // Its input is closed with it.
        tokio::task::spawn_blocking(move || child.wait().unwrap())
            .await
            .unwrap();
        assert!(sessions.next(number).await.is_err());
    }
}
