//! Running a command in a container that runs.

use std::{
    io::{self, Write as _},
    os::fd::{AsFd, OwnedFd},
    path::Path,
    time::{Duration, Instant},
};

use libcontainer::container::builder::ContainerBuilder;
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
use oci_spec::runtime::{Process, Spec};

use super::{
    Command, HANDED_OVER, Manner, Outcome, chain, join_pod, program::builder, read_job, tell,
    terminal::Console,
};
use crate::machine::descriptors;

/// How much output is kept.
const KEPT: usize = 64 << 10;
/// How often the command's end is looked for when it wrote nothing.
const LOOK: Duration = Duration::from_millis(20);
/// Exit code of a command that could not be run.
const NOT_RUN: i32 = 126;
/// What terminals are unless the container says otherwise.
const TERMINAL: &str = "TERM=xterm";

/// Runs the command of the job in a file; returns this process's exit code.
pub(in crate::machine) fn run(job: &Path) -> i32 {
    let command = read_job::<Command>(job).map_err(|error| error.to_string());
    if let Ok(command) = &command
        && command.manner != Manner::Kept
    {
        // Only then nobody else removes the file.
        let _gone = std::fs::remove_file(job);
        return converse(command, job).unwrap_or_else(|cause| {
            let _unheard = writeln!(io::stderr(), "{:?} cannot be run: {cause}", command.argv);
            NOT_RUN
        });
    }
    let outcome = command
        .and_then(|command| execute(&command, job))
        .unwrap_or_else(Outcome::Failed);
    // Without a helper that listens nothing is left to do.
    i32::from(tell(&outcome).is_err())
}

fn execute(command: &Command, job: &Path) -> Result<Outcome, String> {
    let deadline = Instant::now() + command.timeout;
    join_pod(&command.netns).map_err(|error| error.to_string())?;
    let (output, writer) = pipe2(OFlag::O_CLOEXEC).map_err(|error| error.to_string())?;
    let pid = start(command, job, writer)?;
    attend(pid, &output, deadline).map_err(|error| error.to_string())
}

/// Runs a command that is talked to; returns its exit code.
fn converse(command: &Command, job: &Path) -> Result<i32, String> {
    let plain = |error: io::Error| error.to_string();
    join_pod(&command.netns).map_err(plain)?;
    let pid = if command.manner == Manner::Terminal {
        start_on_terminal(command, job)?
    } else {
        let own = || -> io::Result<[OwnedFd; 3]> {
            Ok([
                io::stdin().as_fd().try_clone_to_owned()?,
                io::stdout().as_fd().try_clone_to_owned()?,
                io::stderr().as_fd().try_clone_to_owned()?,
            ])
        };
        let [stdin, stdout, stderr] = own().map_err(plain)?;
        let builder = new_builder(command)?;
        let builder = builder.with_stdin(stdin).with_stdout(stdout);
        launch(command, job, builder.with_stderr(stderr))?
    };
    accompany(pid).map_err(plain)
}

/// Starts a command on a terminal of the container, and hands the other end over.
fn start_on_terminal(command: &Command, job: &Path) -> Result<Pid, String> {
    let plain = |error: io::Error| error.to_string();
    let folder = job.parent().unwrap_or(&command.bundle);
    let name = format!("{}.tty", std::process::id());
    let console = Console::listen(folder, &name).map_err(plain)?;
    let builder = new_builder(command)?.with_console_socket(Some(console.path()));
    let user = describe(command).map_err(plain)?.user().uid();
    let pid = launch(command, job, builder)?;
    let terminal = console.terminal(user).map_err(plain)?;
    descriptors::send(io::stdin(), &[HANDED_OVER], &[terminal.as_fd()]).map_err(plain)?;
    Ok(pid)
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

fn start(command: &Command, job: &Path, writer: OwnedFd) -> Result<Pid, String> {
    let nothing: OwnedFd = std::fs::File::open("/dev/null")
        .map_err(|error| error.to_string())?
        .into();
    let also = writer.try_clone().map_err(|error| error.to_string())?;
    let builder = new_builder(command)?
        .with_stdin(nothing)
        .with_stdout(writer);
    launch(command, job, builder.with_stderr(also))
}

fn new_builder(command: &Command) -> Result<ContainerBuilder, String> {
    builder(&command.id, &command.state).map_err(|error| chain(&error))
}

fn launch(command: &Command, job: &Path, builder: ContainerBuilder) -> Result<Pid, String> {
    let file = job.with_extension("process");
    let described = describe(command).and_then(|process| {
        let text = serde_json::to_vec(&process)?;
        std::fs::write(&file, text)
    });
    described.map_err(|error| error.to_string())?;
    let started = builder
        .as_tenant()
        .with_process(Some(&file))
        .with_detach(true)
        .build();
    let _gone = std::fs::remove_file(&file);
    started
        .map(|pid| Pid::from_raw(pid.as_raw()))
        .map_err(|error| chain(&error))
}

/// A process as the container's own, with the command's words.
fn describe(command: &Command) -> io::Result<Process> {
    let description = Spec::load(command.bundle.join("config.json")).map_err(io::Error::other)?;
    let mut process = description.process().clone().unwrap_or_default();
    process.set_args(Some(command.argv.clone()));
    let terminal = command.manner == Manner::Terminal;
    process.set_terminal(Some(terminal));
    if terminal {
        let mut env = process.env().clone().unwrap_or_default();
        if !env.iter().any(|line| line.starts_with("TERM=")) {
            env.push(TERMINAL.to_owned());
        }
        process.set_env(Some(env));
    }
    Ok(process)
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
    let length = match read(output, &mut buffer) {
        Err(Errno::EINTR) => return Ok(true),
        read => read?,
    };
    let room = KEPT - kept.len();
    kept.extend_from_slice(&buffer[..length.min(room)]);
    Ok(length > 0)
}
