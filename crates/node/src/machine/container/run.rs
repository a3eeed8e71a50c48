//! Holding one container: makes its root, starts it, stays until it ends, reports.

use std::{
    fs::File,
    io,
    os::fd::{AsFd as _, OwnedFd},
    path::{Path, PathBuf},
};

use libcontainer::{container::builder::ContainerBuilder, error::LibcontainerError};
use nix::{
    fcntl::OFlag,
    sched::{CloneFlags, unshare},
    sys::{
        resource::{Resource, getrlimit},
        signal::Signal,
    },
    unistd::{Pid, pipe2},
};

use super::{
    HANDED_OVER, Job, Report, chain, join_pod, log::Log, program::builder, read_job, rootfs, spec,
    supervise, tell, terminal::Console,
};
use crate::machine::{Exit, Stdin, descriptors};

/// Exit code of a container that could not be started, as shells have it.
const NOT_STARTED: i32 = 128;

/// Runs the container of the job in a file; returns this process's exit code.
pub(in crate::machine) fn run(job: &Path) -> i32 {
    let outcome = read_job::<Job>(job)
        .map_err(|error| error.to_string())
        .and_then(|job| hold(&job));
    let exit = outcome.unwrap_or_else(|error| Exit {
        code: NOT_STARTED,
        out_of_memory: false,
        error: Some(error),
    });
    // Without a helper that listens nothing is left to do.
    i32::from(tell(&Report::Ended(exit)).is_err())
}

fn hold(job: &Job) -> Result<Exit, String> {
    let plain = |error: io::Error| error.to_string();
    let mut log = Log::open(&job.spec.log)
        .map_err(|error| format!("cannot write the log {}: {error}", job.spec.log.display()))?;
    prepare(job).map_err(|error| format!("cannot make the root file system: {error}"))?;
    // Before the container starts, or its end could be missed.
    let signals = supervise::watch_children().map_err(plain)?;
    let (pid, streams) = if job.spec.tty {
        start_on_terminal(job)?
    } else {
        start_on_pipes(job)?
    };
    if let Some(input) = streams.input {
        descriptors::send(io::stdin(), &[HANDED_OVER], &[input.as_fd()]).map_err(plain)?;
    }
    tell(&Report::Running { pid: pid.as_raw() }).map_err(plain)?;
    let stop = Signal::try_from(job.spec.stop_signal).unwrap_or(Signal::SIGTERM);
    let code =
        supervise::until_exit((pid, stop), &signals, streams.output, &mut log).map_err(plain)?;
    let killed_for_memory = code == 128 + nix::libc::SIGKILL
        && job
            .cgroups
            .as_ref()
            .is_some_and(|groups| groups.memory_kills(&job.spec.id) > 0);
    Ok(Exit {
        code,
        out_of_memory: killed_for_memory,
        error: None,
    })
}

/// Joins the pod, mounts the root and writes the description.
fn prepare(job: &Job) -> io::Result<()> {
    join_pod(&job.netns)?;
    unshare(CloneFlags::CLONE_NEWNS)?;
    let root = rootfs::assemble(job)?;
    let (_, open_files) = getrlimit(Resource::RLIMIT_NOFILE)?;
    let description = spec::describe(job, &root, spec::Surroundings { open_files })?;
    // Read back as the runtime will, so that a mistake is told here.
    let description = serde_json::from_value::<oci_spec::runtime::Spec>(description)?;
    description
        .save(job.bundle.join("config.json"))
        .map_err(io::Error::other)
}

/// Our ends of a container's streams.
struct Streams {
    input: Option<OwnedFd>,
    /// Output and errors; on a terminal they are one.
    output: [Option<OwnedFd>; 2],
}

fn start_on_pipes(job: &Job) -> Result<(Pid, Streams), String> {
    let pipe = || pipe2(OFlag::O_CLOEXEC).map_err(|error| error.to_string());
    let (stdout, stdout_writer) = pipe()?;
    let (stderr, stderr_writer) = pipe()?;
    let (stdin, input) = if job.spec.stdin == Stdin::Closed {
        let nothing = File::open("/dev/null").map_err(|error| error.to_string())?;
        (nothing.into(), None)
    } else {
        let (stdin, input) = pipe()?;
        (stdin, Some(input))
    };
    let container = new_builder(job)?
        .with_stdin(stdin)
        .with_stdout(stdout_writer)
        .with_stderr(stderr_writer);
    let streams = Streams {
        input,
        output: [Some(stdout), Some(stderr)],
    };
    Ok((start(job, container)?, streams))
}

fn start_on_terminal(job: &Job) -> Result<(Pid, Streams), String> {
    let plain = |error: io::Error| error.to_string();
    let console = Console::listen(&job.bundle, "console").map_err(plain)?;
    let pid = start(
        job,
        new_builder(job)?.with_console_socket(Some(console.path())),
    )?;
    let terminal = console.terminal(job.spec.user.0).map_err(plain)?;
    let streams = Streams {
        input: Some(terminal.try_clone().map_err(plain)?),
        output: [Some(terminal), None],
    };
    Ok((pid, streams))
}

fn new_builder(job: &Job) -> Result<ContainerBuilder, String> {
    builder(&job.spec.id, &job.state).map_err(|error| explain(job, &error))
}

fn start(job: &Job, builder: ContainerBuilder) -> Result<Pid, String> {
    let explain = |error: LibcontainerError| explain(job, &error);
    let mut container = builder
        .validate_id()
        .map_err(explain)?
        .as_init(PathBuf::from(&job.bundle))
        .with_systemd(false)
        .with_detach(true)
        .build()
        .map_err(explain)?;
    let pid = container
        .pid()
        .ok_or("the runtime did not tell the container's process")?;
    container.start().map_err(explain)?;
    Ok(Pid::from_raw(pid.as_raw()))
}

/// The runtime's errors in words that lead to the mistake.
fn explain(job: &Job, error: &LibcontainerError) -> String {
    let text = chain(error);
    let program = job.spec.argv.first().map_or("", String::as_str);
    explain_text(program, text)
}

/// The runtime tells failures of the program apart by text only.
fn explain_text(program: &str, text: String) -> String {
    let of_program = text.contains("executing process");
    if of_program && text.contains("correct permissions") {
        format!("{program:?} of the image may not be executed: it lacks the permission")
    } else if of_program && text.contains("not found") {
        format!("{program:?} is not in the image")
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_of_the_image_are_named() {
        let check = |cause: &str, expected: &str| {
            let text = format!("failed to create container: error in executing process : {cause}");
            let explained = explain_text("/web", text);
            assert!(explained.contains(expected), "{explained}");
        };
        check(
            "executable '/web' for container process not found in PATH",
            "is not in the image",
        );
        check(
            "executable '/web' does not have correct permissions",
            "may not be executed",
        );
        check("out of luck", "out of luck");
    }
}
