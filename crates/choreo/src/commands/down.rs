//! `choreo down`, and what else a platform is told from outside: by signals.

use std::{
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{
    cli::Down,
    exit::Exit,
    failure::{Failure, Result},
    folder::{Folder, Running},
    terminal,
};

/// How often another process is looked at that has no way to call.
pub(super) const GLANCE: Duration = Duration::from_millis(20);

/// Runs `choreo down`.
pub(crate) fn run(folder: &Folder, args: &Down) -> Result {
    let Some(running) = folder.running()? else {
        if folder.is_taken()? {
            return Err(
                Failure::new(Exit::Conflict, "the platform is just starting").hint("try again"),
            );
        }
        terminal::note(format!("no platform runs on {}", folder.root().display()));
        return Ok(());
    };
    let pid = pid(&running)?;
    signal(pid, Signal::SIGTERM)?;
    if !ends(folder, args.timeout)? {
        terminal::note("it does not end by itself; ending it by force");
        signal(pid, Signal::SIGKILL)?;
        if !ends(folder, args.timeout)? {
            return Err(Failure::new(
                Exit::Failed,
                format!("process {pid} cannot be ended"),
            ));
        }
    }
    terminal::line("stopped")
}

/// Asks a running platform to start again, and waits until its API answers.
pub(super) fn start_again(folder: &Folder, running: &Running, timeout: Duration) -> Result {
    signal(pid(running)?, Signal::SIGUSR1)?;
    let start = Instant::now();
    let again = |now: Running| now.restarts > running.restarts;
    while !folder.running()?.is_some_and(again) {
        if !folder.is_taken()? {
            return Err(
                Failure::new(Exit::Failed, "the platform ended instead of starting again")
                    .hint(format!("its log: {}", folder.log().display())),
            );
        }
        if start.elapsed() > timeout {
            return Err(Failure::new(
                Exit::NotReady,
                "the platform did not start again in time",
            ));
        }
        thread::sleep(GLANCE);
    }
    Ok(())
}

fn pid(running: &Running) -> Result<Pid> {
    i32::try_from(running.pid)
        .map(Pid::from_raw)
        .map_err(|error| {
            Failure::new(Exit::Failed, "the platform's process cannot be named").because(error)
        })
}

fn signal(pid: Pid, signal: Signal) -> Result {
    match kill(pid, signal) {
        // It ended meanwhile, which is what was wanted.
        Ok(()) | Err(nix::errno::Errno::ESRCH) => Ok(()),
        Err(errno) => Err(Failure::new(
            Exit::Machine,
            format!("process {pid} cannot be told to end"),
        )
        .because(errno)),
    }
}

/// Waits until nobody holds the folder.
fn ends(folder: &Folder, timeout: Duration) -> Result<bool> {
    let start = Instant::now();
    while folder.is_taken()? {
        if start.elapsed() > timeout {
            return Ok(false);
        }
        thread::sleep(GLANCE);
    }
    Ok(true)
}
