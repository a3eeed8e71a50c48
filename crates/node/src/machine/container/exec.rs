//! Running a command in a container that runs.

use std::{
    io::{self, Write as _},
    os::fd::{AsFd, OwnedFd},
    path::Path,
    time::{Duration, Instant},
};

use libcontainer::{container::builder::ContainerBuilder, syscall::syscall::SyscallType};
use nix::{
    errno::Errno,
    fcntl::OFlag,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        signal::{Signal, kill},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::{Pid, pipe2, read},
};

use super::{Command, Outcome, chain, join_pod, read_job, tell};

/// How much output is kept.
const KEPT: usize = 64 << 10;
/// How often the command's end is looked for when it wrote nothing.
const LOOK: Duration = Duration::from_millis(20);
/// Exit code of a command that could not be run.
const NOT_RUN: i32 = 126;

/// Runs the command of the job in a file; returns this process's exit code.
pub(in crate::machine) fn run(job: &Path) -> i32 {
    let command = read_job::<Command>(job).map_err(|error| error.to_string());
    if let Ok(command) = &command
        && command.streamed
    {
        // Only then nobody else removes the file.
        let _gone = std::fs::remove_file(job);
        return converse(command).unwrap_or_else(|cause| {
            let _unheard = writeln!(io::stderr(), "{:?} cannot be run: {cause}", command.argv);
            NOT_RUN
        });
    }
    let outcome = command
        .and_then(|command| execute(&command))
        .unwrap_or_else(Outcome::Failed);
    // Without a helper that listens nothing is left to do.
    i32::from(tell(&outcome).is_err())
}

fn execute(command: &Command) -> Result<Outcome, String> {
    let deadline = Instant::now() + command.timeout;
    join_pod(&command.netns).map_err(|error| error.to_string())?;
    let (output, writer) = pipe2(OFlag::O_CLOEXEC).map_err(|error| error.to_string())?;
    let pid = start(command, writer)?;
    attend(pid, &output, deadline).map_err(|error| error.to_string())
}

/// Runs a command on the streams of this process; returns its exit code.
fn converse(command: &Command) -> Result<i32, String> {
    let own = || -> io::Result<[OwnedFd; 3]> {
        join_pod(&command.netns)?;
        Ok([
            io::stdin().as_fd().try_clone_to_owned()?,
            io::stdout().as_fd().try_clone_to_owned()?,
            io::stderr().as_fd().try_clone_to_owned()?,
        ])
    };
    let streams = own().map_err(|error| error.to_string())?;
    let pid = launch(command, streams)?;
    accompany(pid).map_err(|error| error.to_string())
}

/// Waits for a command, and ends it when nobody reads what it says any more.
fn accompany(pid: Pid) -> io::Result<i32> {
    loop {
        match waitpid(pid, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(_, code)) => return Ok(code),
            Ok(WaitStatus::Signaled(_, signal, _)) => return Ok(128 + signal as i32),
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        // Asked for nothing, poll tells only that the other end is gone.
        let errors = io::stderr();
        let mut watched = [PollFd::new(errors.as_fd(), PollFlags::empty())];
        let patience = PollTimeout::try_from(LOOK).map_err(io::Error::other)?;
        if poll(&mut watched, patience).is_ok_and(|gone| gone > 0) {
            kill(pid, Signal::SIGKILL)?;
            waitpid(pid, None)?;
            return Ok(128 + Signal::SIGKILL as i32);
        }
    }
}

fn start(command: &Command, writer: OwnedFd) -> Result<Pid, String> {
    let nothing: OwnedFd = std::fs::File::open("/dev/null")
        .map_err(|error| error.to_string())?
        .into();
    let also = writer.try_clone().map_err(|error| error.to_string())?;
    launch(command, [nothing, writer, also])
}

fn launch(command: &Command, streams: [OwnedFd; 3]) -> Result<Pid, String> {
    let [stdin, stdout, stderr] = streams;
    ContainerBuilder::new(command.id.clone(), SyscallType::default())
        .with_root_path(command.state.clone())
        .map_err(|error| chain(&error))?
        .with_stdin(stdin)
        .with_stdout(stdout)
        .with_stderr(stderr)
        .as_tenant()
        .with_container_args(command.argv.clone())
        .with_no_new_privs(true)
        .with_detach(true)
        .build()
        .map(|pid| Pid::from_raw(pid.as_raw()))
        .map_err(|error| chain(&error))
}

fn attend(pid: Pid, output: &OwnedFd, deadline: Instant) -> io::Result<Outcome> {
    let mut kept = Vec::new();
    let mut open = true;
    loop {
        if open {
            open = collect(output, &mut kept)?;
        } else {
            std::thread::sleep(LOOK);
        }
        let ended = match waitpid(pid, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(_, code)) => Some(code),
            Ok(WaitStatus::Signaled(_, signal, _)) => Some(128 + signal as i32),
            Ok(_) | Err(Errno::EINTR) => None,
            Err(error) => return Err(error.into()),
        };
        if let Some(code) = ended {
            // What it left running may hold the pipe open: only what is there is taken.
            while open && is_ready(output, Duration::ZERO)? {
                open = collect(output, &mut kept)?;
            }
            let output = String::from_utf8_lossy(&kept).into_owned();
            return Ok(Outcome::Ended { code, output });
        }
        if Instant::now() >= deadline {
            kill(pid, Signal::SIGKILL)?;
            waitpid(pid, None)?;
            return Ok(Outcome::TimedOut);
        }
    }
}

fn is_ready(output: &OwnedFd, patience: Duration) -> io::Result<bool> {
    let mut watched = [PollFd::new(output.as_fd(), PollFlags::POLLIN)];
    let patience = PollTimeout::try_from(patience).map_err(io::Error::other)?;
    match poll(&mut watched, patience) {
        Ok(ready) => Ok(ready > 0),
        Err(Errno::EINTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Takes what is there within a moment; `false` at the end.
fn collect(output: &OwnedFd, kept: &mut Vec<u8>) -> io::Result<bool> {
    if !is_ready(output, LOOK)? {
        return Ok(true);
    }
    let mut buffer = [0; 16 << 10];
    let length = read(output, &mut buffer)?;
    let room = KEPT - kept.len();
    kept.extend_from_slice(&buffer[..length.min(room)]);
    Ok(length > 0)
}
