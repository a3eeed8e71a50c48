//! The containers there are, each held by a process of its own.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Write as _},
    os::{
        fd::{AsFd as _, AsRawFd as _},
        unix::net::UnixStream,
    },
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, atomic::AtomicU64},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde::Serialize;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::unix::pipe,
    sync::{oneshot, watch},
    time::timeout,
};

use super::{
    fork_server::ForkServer,
    pods::check_name,
    serve::Context,
    sessions::Sessions,
    streams::{End, Input, Streams, end},
    volumes,
};
use crate::machine::{
    ContainerSpec, Error, Event, Exit, PodSandbox, Result, Stdin,
    container::{ATTACH, Job, KILL, Report, TERMINATE, Task},
    descriptors,
};

/// How long a killed container may take to be gone.
const KILLED: Duration = Duration::from_secs(10);

/// A container and the process that holds it.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) pod_uid: String,
    stdin: Stdin,
    tty: bool,
    /// Its first process, in the machine's own numbers, once it runs.
    process: OnceLock<i32>,
    holder: Pid,
    /// The holder's standard input.
    orders: UnixStream,
    /// The container's own input, or its terminal, once it runs.
    input: Mutex<Option<Arc<End>>>,
    exit: watch::Receiver<Option<Exit>>,
}

type Known = BTreeMap<String, Arc<Running>>;

/// The containers there are.
#[derive(Debug)]
pub(super) struct Containers {
    pub(super) context: Context,
    known: Mutex<Known>,
    /// Numbers the files that describe commands.
    pub(super) commands: AtomicU64,
    pub(super) sessions: Sessions,
    pub(super) fork_server: ForkServer,
}

impl Containers {
    pub(super) fn new(context: Context) -> Self {
        Self {
            fork_server: ForkServer::new(context.reaper.clone(), context.layout.folder()),
            context,
            known: Mutex::default(),
            commands: AtomicU64::new(0),
            sessions: Sessions::default(),
        }
    }

    /// Starts a container unless it is there; returns when its process runs.
    pub(super) async fn start(&self, spec: ContainerSpec, pod: &PodSandbox) -> Result<()> {
        let id = spec.id.clone();
        let doing = || format!("starting container {id}");
        let failed = |error: io::Error| Error::failed(doing(), error);
        check_name(&id).map_err(failed)?;
        if self.lock().contains_key(&id) {
            return Ok(());
        }
        let target = self.processes_of(&spec).map_err(failed)?;
        let job = self.job(spec, pod, target.as_ref());
        let started = self.spawn_holder(&job).map_err(failed)?;
        match started.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(cause)) => {
                self.remove(&id).await?;
                Err(Error::failed(doing(), cause))
            }
            Err(_) => Err(Error::failed(doing(), "its holder vanished")),
        }
    }

    /// Asks a container to end, then ends it; returns when it has ended.
    pub(super) async fn stop(&self, id: &str, grace: Duration) -> Result<()> {
        let running = self.get(id)?;
        let mut exit = running.exit.clone();
        for (order, patience) in [(TERMINATE, grace), (KILL, KILLED)] {
            if exit.borrow().is_some() {
                return Ok(());
            }
            running.order(order);
            if timeout(patience, exit.wait_for(Option::is_some))
                .await
                .is_ok()
            {
                return Ok(());
            }
        }
        Err(Error::failed(
            format!("stopping container {id}"),
            "it does not end",
        ))
    }

    /// Ends a container if it runs and removes what it left.
    pub(super) async fn remove(&self, id: &str) -> Result<()> {
        if self.lock().contains_key(id) {
            self.stop(id, Duration::ZERO).await?;
        }
        check_name(id).map_err(|error| Error::failed(format!("removing container {id}"), error))?;
        let context = self.context.clone();
        let name = id.to_owned();
        // Groups vanish slowly; nothing else should wait for that.
        tokio::task::spawn_blocking(move || remove_traces(&context, &name))
            .await
            .map_err(io::Error::other)
            .flatten()
            .map_err(|error| Error::failed(format!("removing container {id}"), error))?;
        self.lock().remove(id);
        Ok(())
    }

    /// Ends and removes all containers of a pod.
    pub(super) async fn remove_pod(&self, uid: &str) -> Result<()> {
        let ids = self.ids(|running| running.pod_uid == uid);
        for id in ids {
            self.remove(&id).await?;
        }
        Ok(())
    }

    /// Ends all containers at once.
    pub(super) async fn end(&self, grace: Duration) {
        let all = self.ids(|_| true);
        for id in &all {
            if let Ok(running) = self.get(id) {
                running.order(if grace.is_zero() { KILL } else { TERMINATE });
            }
        }
        let deadline = tokio::time::Instant::now() + grace;
        for id in &all {
            let left = deadline.saturating_duration_since(tokio::time::Instant::now());
            // What does not end now ends with process 1.
            let _left = self.stop(id, left).await;
        }
    }

    /// The process namespace that a container is to join. It is held open until that has happened: whatever becomes
    /// of the processes there, no others are joined.
    fn processes_of(&self, spec: &ContainerSpec) -> io::Result<Option<fs::File>> {
        let Some(target) = &spec.among else {
            return Ok(None);
        };
        let gone = || {
            io::Error::other(format!(
                "{target}, whose processes it is to see, does not run"
            ))
        };
        let running = self.get(target).map_err(|_| gone())?;
        if running.pod_uid != spec.pod_uid {
            return Err(io::Error::other(
                "the processes of another pod are not shown",
            ));
        }
        let process = running.process.get().ok_or_else(gone)?;
        let space = fs::File::open(format!("/proc/{process}/ns/pid"))?;
        // Its number could be another's by now, though not another's with this parent.
        let is_it = is_child(*process, running.holder)?;
        is_it.then_some(Some(space)).ok_or_else(gone)
    }

    fn job(&self, spec: ContainerSpec, pod: &PodSandbox, among: Option<&fs::File>) -> Job {
        // The holder is another process of the machine, and this is process 1.
        let open = |space: &fs::File| PathBuf::from(format!("/proc/1/fd/{}", space.as_raw_fd()));
        let layout = &self.context.layout;
        Job {
            hostname: pod.hostname.clone(),
            pod_files: layout.pod(&pod.uid),
            netns: layout.netns(&pod.uid),
            processes: among.map(open),
            bundle: layout.bundle(&spec.id),
            writable: layout.containers().join(&spec.id),
            state: layout.state(),
            rootless: self.context.rootless(),
            user_ids: self.context.info.user_ids,
            cgroups: self.context.cgroups.clone(),
            spec,
        }
    }

    fn spawn_holder(
        &self,
        job: &Job,
    ) -> io::Result<oneshot::Receiver<std::result::Result<(), String>>> {
        for folder in [&job.bundle, &job.writable] {
            volumes::remove(folder)?;
        }
        let file = write_job(&job.bundle, "job.json", job)?;
        let (reports, writer) = io::pipe()?;
        let (orders, theirs) = UnixStream::pair()?;
        orders.set_nonblocking(true)?;
        let errors = io::stderr();
        let streams = [theirs.as_fd(), writer.as_fd(), errors.as_fd()];
        let (holder, ended) = self.fork_server.spawn(Task::Hold, &file, streams)?;
        drop((theirs, writer));
        let (exit, when_exited) = watch::channel(None);
        let running = Arc::new(Running {
            pod_uid: job.spec.pod_uid.clone(),
            stdin: job.spec.stdin,
            tty: job.spec.tty,
            process: OnceLock::new(),
            holder,
            orders,
            input: Mutex::default(),
            exit: when_exited,
        });
        self.lock()
            .insert(job.spec.id.clone(), Arc::clone(&running));
        let (started, when_started) = oneshot::channel();
        let attendant = Attendant {
            context: self.context.clone(),
            id: job.spec.id.clone(),
            holder,
            running,
            started: Some(started),
            exit,
        };
        tokio::spawn(attendant.attend(reports, ended));
        Ok(when_started)
    }

    pub(super) fn get(&self, id: &str) -> Result<Arc<Running>> {
        self.lock()
            .get(id)
            .cloned()
            .ok_or_else(|| Error::missing("container", id))
    }

    fn ids(&self, wanted: impl Fn(&Running) -> bool) -> Vec<String> {
        let known = self.lock();
        known
            .iter()
            .filter(|(_, running)| wanted(running))
            .map(|(id, _)| id.clone())
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Running {
    fn order(&self, order: u8) {
        // A holder that has gone has nothing to end.
        let _gone = (&self.orders).write_all(&[order]);
    }

    /// Fails when it has ended.
    pub(super) fn check(&self, doing: &str) -> Result<()> {
        match &*self.exit.borrow() {
            Some(_) => Err(Error::failed(doing, "it has ended")),
            None => Ok(()),
        }
    }

    /// Takes what the holder handed over, if anything.
    fn take_input(&self) -> io::Result<()> {
        if self.tty || self.stdin != Stdin::Closed {
            let (_, received) = descriptors::receive(&self.orders, &mut [0])?;
            *self.lock() = received.into_iter().next().map(end).transpose()?;
        }
        Ok(())
    }

    /// The streams of one more who is attached.
    pub(super) fn attach(&self, stdin: bool) -> io::Result<Streams> {
        let (out, their_out) = io::pipe()?;
        let (err, their_err) = io::pipe()?;
        let theirs = [their_out.as_fd(), their_err.as_fd()];
        descriptors::send(&self.orders, &[ATTACH], &theirs)?;
        Ok(Streams {
            input: if stdin { self.input() } else { Input::Closed },
            out: Some(end(out.into())?),
            err: Some(end(err.into())?),
            terminal: self.lock().clone().filter(|_| self.tty),
        })
    }

    fn input(&self) -> Input {
        let mut input = self.lock();
        let taken = match self.stdin {
            Stdin::Closed => None,
            Stdin::Once if !self.tty => return input.take().map_or(Input::Closed, Input::Pipe),
            // What a terminal reads does not end with those who are attached.
            Stdin::Once | Stdin::Open => input.clone(),
        };
        taken.map_or(Input::Closed, Input::Shared)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<End>>> {
        self.input.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Listens to one holder.
struct Attendant {
    context: Context,
    id: String,
    holder: Pid,
    running: Arc<Running>,
    started: Option<oneshot::Sender<std::result::Result<(), String>>>,
    exit: watch::Sender<Option<Exit>>,
}

impl Attendant {
    async fn attend(mut self, reports: io::PipeReader, ended: oneshot::Receiver<i32>) {
        let mut process = None;
        let exit = match self.listen(reports, &mut process).await {
            Ok(Some(exit)) => exit,
            outcome => {
                // The holder died: so must the container.
                self.context.reaper.signal(self.holder, Signal::SIGKILL);
                if let Some(process) = process {
                    let _gone = kill(Pid::from_raw(process), Signal::SIGKILL);
                }
                let cause = outcome
                    .err()
                    .map_or_else(String::new, |error| format!(": {error}"));
                let error = Some(format!("the process that holds the container ended{cause}"));
                Exit {
                    code: 128 + nix::libc::SIGKILL,
                    out_of_memory: false,
                    error,
                }
            }
        };
        // Its code says nothing that its reports did not.
        let _code = ended.await;
        let was_running = self.started.is_none();
        if let Some(started) = self.started.take() {
            let cause = exit
                .error
                .clone()
                .unwrap_or_else(|| "it ended at once".to_owned());
            let _unheard = started.send(Err(cause));
        }
        self.exit.send_replace(Some(exit.clone()));
        if was_running {
            self.context
                .tell(Event::ContainerExited { id: self.id, exit });
        }
    }

    async fn listen(
        &mut self,
        reports: io::PipeReader,
        process: &mut Option<i32>,
    ) -> io::Result<Option<Exit>> {
        let mut lines = BufReader::new(receiver(reports)?).lines();
        while let Some(line) = lines.next_line().await? {
            match serde_json::from_str(&line)? {
                Report::Running { pid } => {
                    *process = Some(pid);
                    // It runs once.
                    let _known = self.running.process.set(pid);
                    self.running.take_input()?;
                    if let Some(started) = self.started.take() {
                        let _unheard = started.send(Ok(()));
                        // The call is answered before the end is told, however soon that comes.
                        tokio::task::yield_now().await;
                    }
                }
                Report::Ended(exit) => return Ok(Some(exit)),
            }
        }
        Ok(None)
    }
}

/// Whether a process is there whose parent is this one.
fn is_child(process: i32, parent: Pid) -> io::Result<bool> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let mut fields = status.lines();
    let named = fields.find_map(|line| line.strip_prefix("PPid:"));
    Ok(named.is_some_and(|named| named.trim() == parent.to_string()))
}

pub(super) fn receiver(pipe: io::PipeReader) -> io::Result<pipe::Receiver> {
    pipe::Receiver::from_owned_fd(pipe.into())
}

/// Writes down what such a process is to do.
pub(super) fn write_job<T: Serialize>(folder: &Path, name: &str, job: &T) -> io::Result<PathBuf> {
    fs::create_dir_all(folder)?;
    let path = folder.join(name);
    fs::write(&path, serde_json::to_vec(job)?)?;
    Ok(path)
}

/// Removes everything a finished container left.
fn remove_traces(context: &Context, id: &str) -> io::Result<()> {
    let layout = &context.layout;
    let folders = [
        layout.bundle(id),
        layout.containers().join(id),
        layout.state().join(id),
    ];
    folders
        .iter()
        .try_for_each(|folder| volumes::remove(folder))?;
    if let Some(cgroups) = &context.cgroups {
        cgroups.remove_container(id);
    }
    Ok(())
}
