//! One output of a container: copied to its log and to whoever is attached.
//!
//! Who is attached and does not read holds up the container, as with any pipe, until whoever serves
//! them loses patience and closes their end.

use std::{
    io,
    os::fd::{AsFd as _, OwnedFd},
};

use jiff::Timestamp;
use nix::{
    errno::Errno,
    fcntl::{FcntlArg, OFlag, fcntl},
    poll::{PollFd, PollFlags},
    unistd::{read, write},
};

use super::log::{Log, Stream};

/// Bytes that are copied at once.
const PIECE: usize = 16 << 10;

/// An output and where it goes.
pub(super) struct Outlet {
    source: Option<OwnedFd>,
    stream: Stream,
    listeners: Vec<Listener>,
}

/// Somebody who is attached, and what they have not taken yet.
struct Listener {
    pipe: OwnedFd,
    waiting: Vec<u8>,
}

impl Outlet {
    pub(super) fn new(source: Option<OwnedFd>, stream: Stream) -> Self {
        Self {
            source,
            stream,
            listeners: Vec::new(),
        }
    }

    /// From now on, what is said goes there too.
    pub(super) fn attach(&mut self, pipe: OwnedFd) -> io::Result<()> {
        fcntl(&pipe, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        if self.source.is_some() {
            self.listeners.push(Listener {
                pipe,
                waiting: Vec::new(),
            });
        }
        Ok(())
    }

    /// Whether anything may still be said or taken.
    pub(super) fn is_open(&self) -> bool {
        self.source.is_some() || !self.listeners.is_empty()
    }

    /// Whether everything that was said was taken.
    pub(super) fn is_delivered(&self) -> bool {
        self.listeners.iter().all(|one| one.waiting.is_empty())
    }

    /// Lets go of those who take nothing.
    pub(super) fn abandon(&mut self) {
        self.listeners.retain(|one| one.waiting.is_empty());
    }

    /// What is to be waited for.
    pub(super) fn watched(&self) -> impl Iterator<Item = PollFd<'_>> {
        let source = self.source.iter().filter(|_| self.is_delivered());
        let source = source.map(|source| PollFd::new(source.as_fd(), PollFlags::POLLIN));
        let listeners = self.listeners.iter().map(|one| {
            // Asked for nothing, poll tells only that the other end is gone.
            let wanted = if one.waiting.is_empty() {
                PollFlags::empty()
            } else {
                PollFlags::POLLOUT
            };
            PollFd::new(one.pipe.as_fd(), wanted)
        });
        source.chain(listeners)
    }

    /// Does what became possible: `ready` is what was found out of [`Self::watched`], in its order.
    /// Tells whether there was anything to do.
    pub(super) fn serve(
        &mut self,
        ready: &mut impl Iterator<Item = PollFlags>,
        log: &mut Log,
    ) -> io::Result<bool> {
        let reads = self.source.is_some() && self.is_delivered();
        let said = reads && ready.next().is_some_and(|flags| !flags.is_empty());
        let mut taken = false;
        self.listeners.retain_mut(|one| {
            let flags = ready.next().unwrap_or(PollFlags::empty());
            taken |= !flags.is_empty();
            flags.is_empty() || (flags == PollFlags::POLLOUT && one.flush().is_ok())
        });
        if said {
            self.copy(log)?;
        }
        if self.source.is_none() {
            // Their end is told by closing it.
            self.listeners.retain(|one| !one.waiting.is_empty());
        }
        Ok(said || taken)
    }

    fn copy(&mut self, log: &mut Log) -> io::Result<()> {
        let Some(source) = &self.source else {
            return Ok(());
        };
        let mut buffer = [0; PIECE];
        match read(source, &mut buffer) {
            // A terminal whose other end is closed says that this is an input error.
            Ok(0) | Err(Errno::EIO) => self.source = None,
            Ok(length) => {
                let said = &buffer[..length];
                // A full disk must not stop the container: its output is lost instead.
                let _lost = log.write(self.stream, said, Timestamp::now());
                self.listeners.retain_mut(|one| {
                    one.waiting.extend_from_slice(said);
                    one.flush().is_ok()
                });
            }
            Err(Errno::EINTR | Errno::EAGAIN) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }
}

impl Listener {
    /// Passes on as much as is taken now.
    fn flush(&mut self) -> nix::Result<()> {
        while !self.waiting.is_empty() {
            match write(&self.pipe, &self.waiting) {
                Ok(count) => drop(self.waiting.drain(..count)),
                Err(Errno::EAGAIN) => return Ok(()),
                Err(Errno::EINTR) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use nix::poll::{PollTimeout, poll};

    use super::*;

    /// Serves until nothing is left to do.
    fn settle(outlet: &mut Outlet, log: &mut Log) {
        loop {
            let mut watched: Vec<_> = outlet.watched().collect();
            poll(&mut watched, PollTimeout::ZERO).unwrap();
            let flags = |one: &PollFd<'_>| one.revents().unwrap();
            let ready: Vec<_> = watched.iter().map(flags).collect();
            if !outlet.serve(&mut ready.into_iter(), log).unwrap() {
                return;
            }
        }
    }

    #[test]
    fn what_is_said_goes_to_all_who_are_attached() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut log = Log::open(&path).unwrap();
        let (source, mut says) = io::pipe().unwrap();
        let mut outlet = Outlet::new(Some(source.into()), Stream::Stdout);
        says.write_all(b"before\n").unwrap();
        settle(&mut outlet, &mut log);
        let (mut one, pipe) = io::pipe().unwrap();
        outlet.attach(pipe.into()).unwrap();
        let (other, pipe) = io::pipe().unwrap();
        outlet.attach(pipe.into()).unwrap();
        drop(other);
        says.write_all(b"while\n").unwrap();
        settle(&mut outlet, &mut log);
        assert_eq!(outlet.listeners.len(), 1);
        drop(says);
        settle(&mut outlet, &mut log);
        assert!(!outlet.is_open());
        let mut heard = String::new();
        one.read_to_string(&mut heard).unwrap();
        assert_eq!(heard, "while\n");
        let logged = std::fs::read_to_string(&path).unwrap();
        assert!(logged.contains("F before\n") && logged.contains("F while\n"));
    }

    #[test]
    fn who_does_not_read_holds_up_what_is_said_until_abandoned() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = Log::open(&folder.path().join("log")).unwrap();
        let (source, mut says) = io::pipe().unwrap();
        let mut outlet = Outlet::new(Some(source.into()), Stream::Stdout);
        let (_silent, pipe) = io::pipe().unwrap();
        outlet.attach(pipe.into()).unwrap();
        let mut rounds = 0;
        while outlet.is_delivered() {
            says.write_all(&[b'x'; PIECE]).unwrap();
            settle(&mut outlet, &mut log);
            rounds += 1;
            assert!(rounds < 1000);
        }
        assert_eq!(outlet.watched().count(), 1);
        outlet.abandon();
        says.write_all(b"on\n").unwrap();
        settle(&mut outlet, &mut log);
        assert!(outlet.is_delivered() && outlet.is_open());
    }
}
