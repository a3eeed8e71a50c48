//! Waiting for a container: copies its output to the log, passes on what the helper asks, and sees it
//! end. One thread that polls, because nothing else may run in this process.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
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
    unistd::{Pid, read},
};

use super::{
    KILL, TERMINATE,
    log::{Log, Stream},
};

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

/// Copies output until the container has ended and its pipes are empty; returns its exit code.
pub(super) fn until_exit(
    container: Pid,
    signals: &SignalFd,
    output: [OwnedFd; 2],
    log: &mut Log,
) -> io::Result<i32> {
    let mut holder = Holder {
        container,
        orders: true,
        exit: None,
    };
    let mut pipes = output.map(Some);
    while holder.exit.is_none() || pipes.iter().any(Option::is_some) {
        let ready = wait_for_any(signals, holder.orders, &pipes)?;
        if ready.child {
            while let Ok(Some(_)) = signals.read_signal() {}
            holder.reap()?;
        }
        if ready.order {
            holder.obey()?;
        }
        for (index, stream) in [Stream::Stdout, Stream::Stderr].into_iter().enumerate() {
            if ready.output[index] && !copy(pipes[index].as_ref(), stream, log)? {
                pipes[index] = None;
            }
        }
        // With the container gone nobody can write any more: what is not ready now never will be.
        if holder.exit.is_some() && ready.output == [false, false] && !ready.child {
            break;
        }
    }
    log.finish(Stream::Stdout, Timestamp::now())?;
    log.finish(Stream::Stderr, Timestamp::now())?;
    Ok(holder.exit.unwrap_or_default())
}

struct Ready {
    child: bool,
    order: bool,
    output: [bool; 2],
}

fn wait_for_any(
    signals: &SignalFd,
    orders: bool,
    pipes: &[Option<OwnedFd>; 2],
) -> io::Result<Ready> {
    let stdin = io::stdin();
    let mut watched = vec![PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
    if orders {
        watched.push(PollFd::new(stdin.as_fd(), PollFlags::POLLIN));
    }
    let first_pipe = watched.len();
    watched.extend(
        pipes
            .iter()
            .flatten()
            .map(|pipe| PollFd::new(pipe.as_fd(), PollFlags::POLLIN)),
    );
    match poll(&mut watched, PollTimeout::from(1000_u16)) {
        Ok(_) | Err(Errno::EINTR) => {}
        Err(error) => return Err(error.into()),
    }
    let mut ready = watched.iter().map(|one| one.any().unwrap_or(false));
    let child = ready.next().unwrap_or(false);
    let order = orders && ready.next().unwrap_or(false);
    let mut output = [false, false];
    let mut ready = watched[first_pipe..]
        .iter()
        .map(|one| one.any().unwrap_or(false));
    for (pipe, output) in pipes.iter().zip(&mut output) {
        *output = pipe.is_some() && ready.next().unwrap_or(false);
    }
    Ok(Ready {
        child,
        order,
        output,
    })
}

struct Holder {
    container: Pid,
    /// Whether the helper still may say something.
    orders: bool,
    exit: Option<i32>,
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
        let signal = match read(io::stdin(), &mut order)? {
            0 => {
                self.orders = false;
                Signal::SIGKILL
            }
            _ => match order[0] {
                TERMINATE => Signal::SIGTERM,
                KILL => Signal::SIGKILL,
                _ => return Ok(()),
            },
        };
        if self.exit.is_none() {
            // It may have ended and wait to be reaped.
            let _gone = kill(self.container, signal);
        }
        Ok(())
    }
}

/// Copies what is there; `false` at the end.
fn copy(pipe: Option<&OwnedFd>, stream: Stream, log: &mut Log) -> io::Result<bool> {
    let Some(pipe) = pipe else {
        return Ok(false);
    };
    let mut buffer = [0; 16 << 10];
    match read(pipe, &mut buffer) {
        Ok(0) => Ok(false),
        Ok(length) => {
            // A full disk must not stop the container: its output is lost instead.
            let _lost = log.write(stream, &buffer[..length], Timestamp::now());
            Ok(true)
        }
        Err(Errno::EINTR | Errno::EAGAIN) => Ok(true),
        Err(error) => Err(error.into()),
    }
}
