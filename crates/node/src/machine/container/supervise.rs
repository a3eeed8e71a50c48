//! Waiting for a container: copies its output, passes on what the helper asks, and sees it end. One thread that polls, because nothing else may run in this process.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        signal::{SigSet, SigmaskHow, Signal, kill, sigprocmask},
        signalfd::{SfdFlags, SignalFd},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::Pid,
};

use super::{
    ATTACH, KILL, TERMINATE,
    log::{Log, Stream},
    outlet::Outlet,
};
use crate::machine::descriptors;

/// How long those who are attached may take for the last words of a container.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Makes ends of children readable from a descriptor.
pub(super) fn watch_children() -> io::Result<SignalFd> {
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGCHLD);
    sigprocmask(SigmaskHow::SIG_BLOCK, Some(&signals), None)?;
    Ok(SignalFd::with_flags(
        &signals,
        SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK,
    )?)
}

/// Copies output until the container has ended and its pipes are empty; returns its exit code. The
/// signal `stop` asks it to end.
pub(super) fn until_exit(
    (container, stop): (Pid, Signal),
    signals: &SignalFd,
    output: [Option<OwnedFd>; 2],
    log: &mut Log,
) -> io::Result<i32> {
    let [stdout, stderr] = output;
    let mut holder = Holder {
        container,
        stop,
        orders: true,
        exit: None,
        outlets: [
            Outlet::new(stdout, Stream::Stdout),
            Outlet::new(stderr, Stream::Stderr),
        ],
    };
    let mut ended = None;
    while holder.exit.is_none() || holder.outlets.iter().any(Outlet::is_open) {
        let mut ready = wait_for_any(signals, &holder)?.into_iter();
        let child = ready.next().is_some_and(|flags| !flags.is_empty());
        if child {
            while let Ok(Some(_)) = signals.read_signal() {}
            holder.reap()?;
        }
        if holder.orders && ready.next().is_some_and(|flags| !flags.is_empty()) {
            // Before anything that is said: it may be the answer to somebody who has attached just now.
            holder.obey()?;
            continue;
        }
        let mut busy = child;
        for outlet in &mut holder.outlets {
            busy |= outlet.serve(&mut ready, log)?;
        }
        if holder.exit.is_none() || busy {
            continue;
        }
        // With the container gone nobody can write any more: what is not ready now never will be.
        if holder.outlets.iter().all(Outlet::is_delivered) {
            break;
        }
        if ended.get_or_insert_with(Instant::now).elapsed() > LAST_WORDS {
            holder.outlets.iter_mut().for_each(Outlet::abandon);
        }
    }
    for stream in [Stream::Stdout, Stream::Stderr] {
        // How it ended is to be told, even where its last words are lost to a full disk.
        let _lost = log.finish(stream, Timestamp::now());
    }
    Ok(holder.exit.unwrap_or_default())
}

/// What is ready: the signals, the orders if there may be any, and what the outlets watch.
fn wait_for_any(signals: &SignalFd, holder: &Holder) -> io::Result<Vec<PollFlags>> {
    let stdin = io::stdin();
    let mut watched = vec![PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
    if holder.orders {
        watched.push(PollFd::new(stdin.as_fd(), PollFlags::POLLIN));
    }
    watched.extend(holder.outlets.iter().flat_map(Outlet::watched));
    match poll(&mut watched, PollTimeout::from(1000_u16)) {
        Ok(_) | Err(Errno::EINTR) => {}
        Err(error) => return Err(error.into()),
    }
    let flags = watched.iter().map(PollFd::revents);
    Ok(flags
        .map(|flags| flags.unwrap_or(PollFlags::empty()))
        .collect())
}

struct Holder {
    container: Pid,
    /// What asks it to end.
    stop: Signal,
    /// Whether the helper still may say something.
    orders: bool,
    exit: Option<i32>,
    outlets: [Outlet; 2],
}

impl Holder {
    fn reap(&mut self) -> io::Result<()> {
        loop {
            match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, code)) if pid == self.container => {
                    self.exit = Some(code);
                }
                Ok(WaitStatus::Signaled(pid, signal, _)) if pid == self.container => {
                    self.exit = Some(128 + signal as i32);
                }
                Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return Ok(()),
                Ok(_) | Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn obey(&mut self) -> io::Result<()> {
        let mut order = [0];
        // Not through the buffer of standard input, which would swallow what follows.
        let (length, pipes) = descriptors::receive(io::stdin(), &mut order)?;
        let signal = match (length, order[0]) {
            (0, _) => {
                self.orders = false;
                Signal::SIGKILL
            }
            (_, TERMINATE) => self.stop,
            (_, KILL) => Signal::SIGKILL,
            (_, ATTACH) => {
                let both = self.outlets.iter_mut().zip(pipes);
                return both
                    .into_iter()
                    .try_for_each(|(outlet, pipe)| outlet.attach(pipe));
            }
            _ => return Ok(()),
        };
        if self.exit.is_none() {
            // It may have ended and wait to be reaped.
            let _gone = kill(self.container, signal);
        }
        Ok(())
    }
}
