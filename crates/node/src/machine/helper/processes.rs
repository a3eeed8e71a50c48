//! Supervised programs in the machine's own network namespace, such as the gateway's proxy.

use std::{
    collections::BTreeMap,
    fs::OpenOptions,
    io,
    process::{Command, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use nix::{sys::signal::Signal, unistd::Pid};
use tokio::{sync::watch, time::timeout};

use super::{
    SELF, containers::write_job, pods::check_name, program, reaper::pid_of, serve::Context,
};
use crate::machine::{Error, Event, Process, Result, network::PROGRAMS_NAME};

/// How long a replaced program may take to end.
const REPLACE: Duration = Duration::from_secs(5);

#[derive(Debug, Clone)]
struct Running {
    process: Process,
    pid: Pid,
    ended: watch::Receiver<bool>,
}

/// The programs there are, by name.
#[derive(Debug)]
pub(super) struct Processes {
    context: Context,
    running: Mutex<BTreeMap<String, Running>>,
}

impl Processes {
    pub(super) fn new(context: Context) -> Self {
        Self {
            context,
            running: Mutex::default(),
        }
    }

    /// Runs a program, instead of the one of the same name if there is one.
    pub(super) async fn run(&self, process: Process) -> Result<()> {
        let before = self.lock().get(&process.name).cloned();
        if let Some(before) = before {
            self.stop(before, REPLACE).await;
        }
        let name = process.name.clone();
        let doing = || format!("starting {name}");
        let mut command =
            command(&self.context, &process).map_err(|error| Error::failed(doing(), error))?;
        let (child, exited) = self
            .context
            .reaper
            .spawn(&mut command)
            .map_err(|error| Error::failed(doing(), error))?;
        let (ended, when_ended) = watch::channel(false);
        let running = Running {
            process,
            pid: pid_of(&child),
            ended: when_ended,
        };
        self.lock().insert(name.clone(), running);
        let context = self.context.clone();
        tokio::spawn(async move {
            // The reaper never drops a sender it was given before it has sent.
            let code = exited.await.unwrap_or(-1);
            ended.send_replace(true);
            context.tell(Event::ProcessExited { name, code });
        });
        Ok(())
    }

    /// Ends all programs.
    pub(super) async fn end(&self, grace: Duration) {
        let all = std::mem::take(&mut *self.lock());
        for running in all.into_values() {
            self.stop(running, grace).await;
        }
    }

    async fn stop(&self, running: Running, grace: Duration) {
        let Running {
            process,
            pid,
            mut ended,
        } = running;
        for (signal, patience) in [(Signal::SIGTERM, grace), (Signal::SIGKILL, REPLACE)] {
            if *ended.borrow() {
                break;
            }
            self.context.reaper.signal(pid, signal);
            // Without an answer the next signal follows.
            let _late = timeout(patience, ended.wait_for(|ended| *ended)).await;
        }
        self.lock().remove(&process.name);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// This program, which becomes the other one once it has given up its rights.
fn command(context: &Context, process: &Process) -> io::Result<Command> {
    check_name(&process.name)?;
    if process.argv.is_empty() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "no program"));
    }
    let job = program::Job {
        process: process.clone(),
        netns: context.layout.netns(PROGRAMS_NAME),
        user_ids: context.info.user_ids,
    };
    let name = format!("{}.json", process.name);
    let file = write_job(&context.layout.programs(), &name, &job)?;
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&process.log)?;
    let mut command = Command::new(SELF);
    command
        .arg(program::PROGRAM)
        .arg(file)
        .env_clear()
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log);
    Ok(command)
}
