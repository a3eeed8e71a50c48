//! Commands in containers: run to their end, or talked to; and talking to what a container runs.

use std::{
    fs, io,
    os::fd::{AsFd as _, OwnedFd},
    path::PathBuf,
    sync::atomic::Ordering,
    time::Duration,
};

use nix::{sys::signal::Signal, unistd::Pid};
use tokio::{io::AsyncReadExt, time::timeout};

use super::{
    containers::{Containers, receiver, write_job},
    serve::Context,
    sessions::Sessions,
    streams::{Handover, Streams, nothing},
};
use crate::machine::{
    Error, ExecOutcome, Result,
    container::{Command, Manner, Outcome, Task},
};

/// How much longer than its command a command's process may take.
const EXEC_MARGIN: Duration = Duration::from_secs(5);
/// Longest answer of a command's process.
const LONGEST_ANSWER: u64 = 1 << 20;

impl Containers {
    /// Runs a command in a container.
    pub(super) async fn exec(
        &self,
        id: &str,
        argv: Vec<String>,
        limit: Duration,
    ) -> Result<ExecOutcome> {
        let running = self.get(id)?;
        let doing = format!("running {:?} in container {id}", argv.join(" "));
        running.check(&doing)?;
        let command = self.command((id, &running.pod_uid), argv, limit, Manner::Kept);
        let answer = timeout(limit + EXEC_MARGIN, self.run_command(&command)).await;
        match answer {
            Ok(Ok(Outcome::Ended { code, output })) => Ok(ExecOutcome { code, output }),
            Ok(Ok(Outcome::Failed(cause))) => Err(Error::failed(doing, cause)),
            Ok(Err(error)) => Err(Error::failed(doing, error)),
            Ok(Ok(Outcome::TimedOut)) | Err(_) => Err(Error::failed(
                doing,
                format!("it did not end within {limit:?}"),
            )),
        }
    }

    /// Starts a command that is talked to; returns the number of its session.
    pub(super) async fn open(
        &self,
        id: &str,
        argv: Vec<String>,
        (stdin, tty): (bool, bool),
    ) -> Result<u64> {
        let running = self.get(id)?;
        let doing = format!("running {:?} in container {id}", argv.join(" "));
        running.check(&doing)?;
        let manner = if tty {
            Manner::Terminal
        } else {
            Manner::Streams
        };
        let command = self.command((id, &running.pod_uid), argv, Duration::MAX, manner);
        self.spawn_command(&command, stdin)
            .await
            .map_err(|error| Error::failed(doing, error))
    }

    /// A command in the container `id` of the pod `pod`.
    fn command(
        &self,
        (id, pod): (&str, &str),
        argv: Vec<String>,
        timeout: Duration,
        manner: Manner,
    ) -> Command {
        Command {
            id: id.to_owned(),
            argv,
            timeout,
            manner,
            bundle: self.context.layout.bundle(id),
            netns: self.context.layout.netns(pod),
            state: self.context.layout.state(),
        }
    }

    /// Writes down what a process is to run; returns the file.
    fn written(&self, command: &Command) -> io::Result<PathBuf> {
        let folder = self.context.layout.run().join("commands");
        let name = format!("{}.json", self.commands.fetch_add(1, Ordering::Relaxed));
        write_job(&folder, &name, command)
    }

    async fn spawn_command(&self, command: &Command, stdin: bool) -> io::Result<u64> {
        self.sessions.check()?;
        let file = self.written(command)?;
        // Takes their ends: only without our copies of them their end is seen.
        let spawn = |theirs: [OwnedFd; 3]| {
            let streams = theirs.each_ref().map(OwnedFd::as_fd);
            self.fork_server.spawn(Task::Exec, &file, streams)
        };
        if command.manner == Manner::Terminal {
            let (handover, theirs) = Handover::new()?;
            let (_, ended) = spawn(theirs)?;
            let streams = handover.streams(stdin).await?;
            return Ok(self.sessions.open(streams, Some(ended)));
        }
        let (streams, theirs) = Streams::pipes(stdin)?;
        let (_, ended) = spawn(theirs)?;
        Ok(self.sessions.open(streams, Some(ended)))
    }

    /// Begins to talk to what a container runs; returns the number of the session.
    pub(super) fn attach(&self, id: &str, stdin: bool) -> Result<u64> {
        let running = self.get(id)?;
        let doing = format!("attaching to container {id}");
        running.check(&doing)?;
        let open = || {
            self.sessions.check()?;
            let streams = running.attach(stdin)?;
            Ok(self.sessions.open(streams, None))
        };
        open().map_err(|error: io::Error| Error::failed(doing, error))
    }

    /// What is talked to.
    pub(super) fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    async fn run_command(&self, command: &Command) -> io::Result<Outcome> {
        let file = self.written(command)?;
        let (answers, writer) = io::pipe()?;
        let (nothing, errors) = (nothing()?, io::stderr());
        let streams = [nothing.as_fd(), writer.as_fd(), errors.as_fd()];
        let (pid, ended) = self.fork_server.spawn(Task::Exec, &file, streams)?;
        drop(writer);
        let guard = KillOnDrop {
            context: &self.context,
            pid,
        };
        let mut answer = Vec::new();
        receiver(answers)?
            .take(LONGEST_ANSWER)
            .read_to_end(&mut answer)
            .await?;
        // Whatever its code: the answer tells.
        let _code = ended.await;
        drop(guard);
        fs::remove_file(file)?;
        Ok(serde_json::from_slice(&answer)?)
    }
}

/// Ends a process that nobody waits for any more.
struct KillOnDrop<'a> {
    context: &'a Context,
    pid: Pid,
}

impl Drop for KillOnDrop<'_> {
    fn drop(&mut self) {
        self.context.reaper.signal(self.pid, Signal::SIGKILL);
    }
}
