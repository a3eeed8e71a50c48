//! The platform's side of the Linux machine: starts the helper process and turns calls into messages.
//!
//! The helper is this same program, re-executed, so that namespaces are entered by a process with a
//! single thread and the platform itself never leaves the host's.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io,
    os::{
        fd::{AsRawFd as _, OwnedFd},
        unix::{
            fs::PermissionsExt as _, net::UnixStream as StdUnixStream, process::CommandExt as _,
        },
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        UnixListener, UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{broadcast, oneshot, watch},
    task::JoinHandle,
};

use super::{
    Chunk, ContainerSpec, Error, Event, ExecOutcome, Feed, Info, Interactive, LayerSource, Machine,
    NetworkPlan, PodSandbox, Probe, Process, Result, descriptors,
    protocol::{Answer, Call, CommandCall, Decoder, FilesCall, Message, Refusal, Request, encode},
    turns::Turns,
};
use crate::outside::{self, Reach};

/// Argument that makes this program the machine helper.
pub(super) const HELPER: &str = "node-machine";
/// Events kept for a slow reader.
const EVENTS: usize = 4096;
/// How long the helper may take to say whether the machine stands.
const START: Duration = Duration::from_secs(30);

/// How long the helper may take to clean up when everything on it has ended.
const END: Duration = Duration::from_secs(20);

/// Where the machine works.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Folder for layers, containers and run files; made if it is missing.
    pub folder: PathBuf,
    /// The running program, whose `main` calls [`super::entry`] first.
    pub self_exe: PathBuf,
    /// Where what leaves the network of cells may go.
    pub reach: Reach,
}

/// Why the machine could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data folder cannot be used.
    #[error("cannot use the folder {}", folder.display())]
    Folder {
        /// Which folder.
        folder: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The helper process could not be started.
    #[error("cannot start {}", program.display())]
    Spawn {
        /// Which program.
        program: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// This machine does not allow what containers need.
    #[error("this machine does not allow it: {step}: {cause}{}", advice.as_ref().map(|a| format!(" ({a})")).unwrap_or_default())]
    Refused {
        /// What was tried.
        step: String,
        /// What the system said.
        cause: String,
        /// What would help, if known.
        advice: Option<String>,
    },
    /// The helper ended or kept silent; its own words are in the log.
    #[error("the machine helper ended before it was ready; see {}", log.display())]
    Silent {
        /// The helper's log.
        log: PathBuf,
    },
}

/// Calls that wait for their answer.
type Pending = Arc<Mutex<BTreeMap<u64, oneshot::Sender<Result<Answer>>>>>;

/// Containers, pods and cells in Linux namespaces of their own.
///
/// Dropping it ends everything that runs on it, and so does the end of the process.
#[derive(Debug)]
pub struct LinuxMachine {
    info: Info,
    events: broadcast::Sender<Event>,
    pending: Pending,
    writer: Arc<tokio::sync::Mutex<OwnedWriteHalf>>,
    next: AtomicU64,
    reader: JoinHandle<()>,
    ended: watch::Receiver<bool>,
    turns: Turns,
    /// Connects to what is outside, for the helper.
    outside: JoinHandle<()>,
}

impl LinuxMachine {
    /// Starts the helper and waits until the machine stands.
    pub async fn start(settings: Settings) -> std::result::Result<Self, StartError> {
        // What leaves the machine takes two here, each.
        if let Err(error) = descriptors::allow_many() {
            tracing::warn!(%error, "the limit of open files stays as it is");
        }
        let folder = prepare_folder(&settings.folder)?;
        let log = folder.join("machine.log");
        let outside = serve_outside(&folder, settings.reach)?;
        let (ours, theirs) = StdUnixStream::pair().map_err(|source| StartError::Spawn {
            program: settings.self_exe.clone(),
            source,
        })?;
        let ended = spawn_helper(&settings.self_exe, &folder, &log, theirs.into()).await?;
        let stream = to_tokio(ours).map_err(|source| StartError::Spawn {
            program: settings.self_exe,
            source,
        })?;
        let (mut read, write) = stream.into_split();
        let mut decoder = Decoder::default();
        let first = tokio::time::timeout(START, receive(&mut read, &mut decoder)).await;
        let info = match first {
            Ok(Ok(Some(Message::Ready(info)))) => info,
            Ok(Ok(Some(Message::Refused(Refusal {
                step,
                cause,
                advice,
            })))) => {
                return Err(StartError::Refused {
                    step,
                    cause,
                    advice,
                });
            }
            _ => return Err(StartError::Silent { log }),
        };
        let (events, _) = broadcast::channel(EVENTS);
        let pending = Pending::default();
        let reader = tokio::spawn(listen(read, decoder, pending.clone(), events.clone()));
        Ok(Self {
            info,
            events,
            pending,
            writer: Arc::new(tokio::sync::Mutex::new(write)),
            next: AtomicU64::new(1),
            reader,
            ended,
            turns: Turns::of_this_machine(),
            outside,
        })
    }

    /// Sends a call and waits for its answer.
    async fn call(&self, call: Call) -> Result<Answer> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let frame = encode(&Request { id, call }).map_err(|error| Error::Failed {
            doing: "sending to the machine".to_owned(),
            cause: error.to_string(),
        })?;
        let (answer, answered) = oneshot::channel();
        lock(&self.pending).insert(id, answer);
        if self.reader.is_finished() {
            lock(&self.pending).remove(&id);
            return Err(Error::Lost);
        }
        // In a task of its own: a caller that goes away must not cut a frame in two.
        let writer = self.writer.clone();
        let sent = tokio::spawn(async move { writer.lock().await.write_all(&frame).await }).await;
        if !matches!(sent, Ok(Ok(()))) {
            lock(&self.pending).remove(&id);
            return Err(Error::Lost);
        }
        answered.await.unwrap_or(Err(Error::Lost))
    }

    async fn done(&self, call: Call) -> Result<()> {
        self.call(call).await.map(|_| ())
    }
}

impl Drop for LinuxMachine {
    fn drop(&mut self) {
        // Closes our end of the socket, which the helper takes as the end.
        self.reader.abort();
        self.outside.abort();
    }
}

/// Answers what the helper asks of the outside, at a socket that only the platform's user reaches.
fn serve_outside(folder: &Path, reach: Reach) -> std::result::Result<JoinHandle<()>, StartError> {
    let failed = |source| StartError::Folder {
        folder: folder.to_owned(),
        source,
    };
    // The path of a socket has to be short, that of the folder may be long.
    let held = File::open(folder).map_err(failed)?;
    let place = PathBuf::from(format!("/proc/self/fd/{}", held.as_raw_fd()));
    let socket = place.join(outside::SOCKET);
    match std::fs::remove_file(&socket) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let listener = UnixListener::bind(&socket).map_err(failed)?;
    let owners = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(&socket, owners).map_err(failed)?;
    Ok(tokio::spawn(outside::serve(listener, Arc::new(reach))))
}

#[async_trait]
impl Machine for LinuxMachine {
    fn info(&self) -> &Info {
        &self.info
    }

    fn events(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    async fn apply_network(&self, plan: &NetworkPlan) -> Result<()> {
        self.done(Call::ApplyNetwork(plan.clone())).await
    }

    async fn create_pod(&self, pod: &PodSandbox) -> Result<()> {
        let _turn = self.turns.pod().await?;
        self.done(Call::CreatePod(pod.clone())).await
    }

    async fn delete_pod(&self, uid: &str) -> Result<()> {
        self.done(Call::DeletePod {
            uid: uid.to_owned(),
        })
        .await
    }

    async fn start_container(&self, container: &ContainerSpec) -> Result<()> {
        let _turn = self.turns.container().await?;
        self.done(Call::StartContainer(Box::new(container.clone())))
            .await
    }

    async fn stop_container(&self, id: &str, grace: Duration) -> Result<()> {
        self.done(Call::StopContainer {
            id: id.to_owned(),
            grace,
        })
        .await
    }

    async fn remove_container(&self, id: &str) -> Result<()> {
        self.done(Call::RemoveContainer { id: id.to_owned() }).await
    }

    async fn exec(&self, id: &str, argv: &[String], timeout: Duration) -> Result<ExecOutcome> {
        let call = Call::Command(CommandCall::Exec {
            id: id.to_owned(),
            argv: argv.to_vec(),
            timeout,
        });
        let answer = self.call(call).await?;
        let Answer::Exec(outcome) = answer else {
            return Err(unexpected(&answer));
        };
        Ok(outcome)
    }

    async fn open(&self, with: &Interactive) -> Result<u64> {
        let answer = self
            .call(Call::Command(CommandCall::Open(with.clone())))
            .await?;
        let Answer::Session(session) = answer else {
            return Err(unexpected(&answer));
        };
        Ok(session)
    }

    async fn feed(&self, session: u64, feed: Feed) -> Result<()> {
        self.done(Call::Command(CommandCall::Feed { session, feed }))
            .await
    }

    async fn next(&self, session: u64) -> Result<Chunk> {
        let answer = self
            .call(Call::Command(CommandCall::Next { session }))
            .await?;
        let Answer::Chunk(chunk) = answer else {
            return Err(unexpected(&answer));
        };
        Ok(chunk)
    }

    async fn close(&self, session: u64) -> Result<()> {
        self.done(Call::Command(CommandCall::Close { session }))
            .await
    }

    async fn probe(
        &self,
        probe: &Probe,
        timeout: Duration,
    ) -> Result<std::result::Result<(), String>> {
        let answer = self
            .call(Call::Probe {
                probe: probe.clone(),
                timeout,
            })
            .await?;
        let Answer::Probe(outcome) = answer else {
            return Err(unexpected(&answer));
        };
        Ok(outcome)
    }

    async fn unpack(&self, layer: &LayerSource) -> Result<PathBuf> {
        let answer = self
            .call(Call::Files(FilesCall::Unpack(layer.clone())))
            .await?;
        let Answer::Path(folder) = answer else {
            return Err(unexpected(&answer));
        };
        Ok(folder)
    }

    async fn keep_layers(&self, kept: &BTreeSet<String>) -> Result<()> {
        self.done(Call::Files(FilesCall::KeepLayers(kept.clone())))
            .await
    }

    async fn size_of(&self, folder: &Path) -> Result<u64> {
        let folder = folder.to_owned();
        let answer = self.call(Call::Files(FilesCall::Size { folder })).await?;
        let Answer::Bytes(size) = answer else {
            return Err(unexpected(&answer));
        };
        Ok(size)
    }

    async fn size_of_container(&self, id: &str) -> Result<u64> {
        let id = id.to_owned();
        let answer = self.call(Call::Files(FilesCall::Written { id })).await?;
        let Answer::Bytes(size) = answer else {
            return Err(unexpected(&answer));
        };
        Ok(size)
    }

    async fn give_folder(&self, folder: &Path, group: u32) -> Result<()> {
        let folder = folder.to_owned();
        self.done(Call::Files(FilesCall::Give { folder, group }))
            .await
    }

    async fn give_file(&self, file: &Path, user: u32) -> Result<()> {
        let file = file.to_owned();
        self.done(Call::Files(FilesCall::GiveFile { file, user }))
            .await
    }

    async fn remove_folder(&self, folder: &Path) -> Result<()> {
        let folder = folder.to_owned();
        self.done(Call::Files(FilesCall::Remove { folder })).await
    }

    async fn run_process(&self, process: &Process) -> Result<()> {
        self.done(Call::RunProcess(process.clone())).await
    }

    async fn shutdown(&self) -> Result<()> {
        let mut ended = self.ended.clone();
        match self.call(Call::Shutdown).await {
            Ok(_) | Err(Error::Lost) => {}
            Err(error) => return Err(error),
        }
        // The helper ends when it hears nothing more; it may be gone already.
        let _gone = self.writer.lock().await.shutdown().await;
        match tokio::time::timeout(END, ended.wait_for(|ended| *ended)).await {
            // An error means that the watching thread is gone: so is the helper.
            Ok(_) => Ok(()),
            Err(late) => Err(Error::failed("ending the machine", late)),
        }
    }
}

fn unexpected(answer: &Answer) -> Error {
    Error::Failed {
        doing: "talking to the machine".to_owned(),
        cause: format!("unexpected answer {answer:?}"),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn prepare_folder(folder: &Path) -> std::result::Result<PathBuf, StartError> {
    std::fs::create_dir_all(folder)
        .and_then(|()| folder.canonicalize())
        .map_err(|source| StartError::Folder {
            folder: folder.to_owned(),
            source,
        })
}

fn to_tokio(stream: StdUnixStream) -> io::Result<UnixStream> {
    stream.set_nonblocking(true)?;
    UnixStream::from_std(stream)
}

/// Starts the helper from a thread that lives as long as it does: the helper asks the kernel to be
/// killed when the thread that started it ends.
async fn spawn_helper(
    program: &Path,
    folder: &Path,
    log: &Path,
    socket: OwnedFd,
) -> std::result::Result<watch::Receiver<bool>, StartError> {
    let (ended, when_ended) = watch::channel(false);
    let (started, when_started) = oneshot::channel();
    let mut command = Command::new(program);
    let log = File::create(log).map_err(|source| StartError::Folder {
        folder: folder.to_owned(),
        source,
    })?;
    command
        .arg(HELPER)
        .arg(folder)
        .current_dir("/")
        .env_clear()
        // A terminal's Ctrl-C is for the platform, which then ends the machine in order.
        .process_group(0)
        .stdin(Stdio::from(socket))
        .stdout(Stdio::null())
        .stderr(Stdio::from(log));
    std::thread::Builder::new()
        .name("machine".to_owned())
        .spawn(move || {
            let child = command.spawn();
            drop(command);
            watch_child(child, started);
            ended.send_replace(true);
        })
        .map_err(|source| spawn_error(program, source))?;
    match when_started.await {
        Ok(Ok(())) => Ok(when_ended),
        Ok(Err(source)) => Err(spawn_error(program, source)),
        Err(_) => Err(spawn_error(program, io::ErrorKind::Other.into())),
    }
}

fn watch_child(child: io::Result<Child>, started: oneshot::Sender<io::Result<()>>) {
    match child {
        Ok(mut child) => {
            // Nobody listens any more when the start was given up; the child ends by itself then.
            let _unheard = started.send(Ok(()));
            let _status = child.wait();
        }
        Err(error) => {
            let _unheard = started.send(Err(error));
        }
    }
}

fn spawn_error(program: &Path, source: io::Error) -> StartError {
    StartError::Spawn {
        program: program.to_owned(),
        source,
    }
}

/// The next message; `None` when the helper is gone.
async fn receive(read: &mut OwnedReadHalf, decoder: &mut Decoder) -> io::Result<Option<Message>> {
    let mut buffer = vec![0; 16 << 10];
    loop {
        if let Some(message) = decoder.next()? {
            return Ok(Some(message));
        }
        match read.read(&mut buffer).await? {
            0 => return Ok(None),
            length => decoder.push(&buffer[..length]),
        }
    }
}

/// Hands replies to those who wait and events to those who listen, until the helper is gone.
async fn listen(
    mut read: OwnedReadHalf,
    mut decoder: Decoder,
    pending: Pending,
    events: broadcast::Sender<Event>,
) {
    while let Ok(Some(message)) = receive(&mut read, &mut decoder).await {
        match message {
            Message::Reply { id, result } => {
                if let Some(waiting) = lock(&pending).remove(&id) {
                    // A caller that went away does not want its answer.
                    let _unwanted = waiting.send(result);
                }
            }
            Message::Event(event) => {
                // Nobody has to listen.
                let _unheard = events.send(event);
            }
            Message::Ready(_) | Message::Refused(_) => break,
        }
    }
    lock(&pending).clear();
    let _unheard = events.send(Event::Lost);
}
