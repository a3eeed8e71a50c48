//! Children of process 1: the ones it started, whose end somebody waits for, and the orphans that the
//! kernel hands to it, which only have to be reaped.

use std::{
    collections::BTreeMap,
    io,
    process::{Child, Command},
    sync::{Arc, Mutex, PoisonError},
};

use nix::{
    errno::Errno,
    sys::{
        signal::{Signal, kill},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::Pid,
};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::oneshot,
};

type Waiting = BTreeMap<i32, oneshot::Sender<i32>>;

/// Starts processes and tells when they ended.
#[derive(Debug, Clone, Default)]
pub(super) struct Reaper {
    waiting: Arc<Mutex<Waiting>>,
}

impl Reaper {
    /// Starts a program; the receiver gets its exit code, or 128 + signal.
    ///
    /// The kernel ends some children when the thread that started them ends, so this must run on the
    /// main thread: every task of the helper does.
    pub(super) fn spawn(
        &self,
        command: &mut Command,
    ) -> io::Result<(Child, oneshot::Receiver<i32>)> {
        self.adopt_as(|| command.spawn(), pid_of)
    }

    /// [`Self::spawn`] for a child that something else starts.
    pub(super) fn adopt(
        &self,
        start: impl FnOnce() -> io::Result<Pid>,
    ) -> io::Result<(Pid, oneshot::Receiver<i32>)> {
        self.adopt_as(start, |pid| *pid)
    }

    fn adopt_as<T>(
        &self,
        start: impl FnOnce() -> io::Result<T>,
        pid_of: impl FnOnce(&T) -> Pid,
    ) -> io::Result<(T, oneshot::Receiver<i32>)> {
        let (ended, when_ended) = oneshot::channel();
        // Locked over the start, so that the end cannot be seen before it is waited for.
        let mut waiting = self.lock();
        let child = start()?;
        waiting.insert(pid_of(&child).as_raw(), ended);
        Ok((child, when_ended))
    }

    /// Sends a signal to a child that has not been reaped yet.
    pub(super) fn signal(&self, pid: Pid, signal: Signal) {
        if self.lock().contains_key(&pid.as_raw()) {
            // It may have ended and wait to be reaped.
            let _gone = kill(pid, signal);
        }
    }

    /// Reaps children until the helper ends.
    pub(super) async fn run(self) -> io::Result<()> {
        let mut children = signal(SignalKind::child())?;
        loop {
            self.reap();
            if children.recv().await.is_none() {
                return Ok(());
            }
        }
    }

    fn reap(&self) {
        let mut waiting = self.lock();
        loop {
            let (pid, code) = match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, code)) => (pid, code),
                Ok(WaitStatus::Signaled(pid, signal, _)) => (pid, 128 + signal as i32),
                Ok(WaitStatus::StillAlive) => return,
                Ok(_) | Err(Errno::EINTR) => continue,
                Err(_) => return,
            };
            if let Some(ended) = waiting.remove(&pid.as_raw()) {
                // Nobody has to wait.
                let _unheard = ended.send(code);
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The process id of a child as signals want it.
pub(super) fn pid_of(child: &Child) -> Pid {
    Pid::from_raw(child.id().cast_signed())
}
