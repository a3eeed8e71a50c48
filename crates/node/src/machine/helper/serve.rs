//! The helper's loop: reads requests, does them, each in a task of its own, and answers.

use std::{
    io,
    os::unix::{fs::lchown, net::UnixStream as StdUnixStream},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use serde::Serialize;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::mpsc,
};

use super::{
    Layout, bootstrap::Footing, containers::Containers, health, layers::Layers, pods::Pods, probe,
    processes::Processes, reaper::Reaper, streams::Streams, volumes,
};
use crate::machine::{
    Error, Event, Info, Interactive, NetworkPlan, PodSandbox, Probe, Result,
    cgroup::Cgroups,
    network::{self, Network, Platform, Spaces},
    protocol::{Answer, Call, CommandCall, Decoder, FilesCall, Message, Request, encode},
};

/// How long everything may take to end when the machine is shut down.
const GRACE: Duration = Duration::from_secs(5);

/// What all parts of the helper use.
#[derive(Debug, Clone)]
pub(super) struct Context {
    pub(super) info: Info,
    pub(super) layout: Layout,
    pub(super) cgroups: Option<Cgroups>,
    pub(super) reaper: Reaper,
    out: mpsc::UnboundedSender<Message>,
}

impl Context {
    /// Tells the platform.
    pub(super) fn tell(&self, event: Event) {
        // Only fails when the platform is gone, and then the helper ends too.
        let _unheard = self.out.send(Message::Event(event));
    }

    pub(super) fn rootless(&self) -> bool {
        self.info.mode == crate::machine::Mode::Rootless
    }
}

/// Serves the platform until it goes away or asks for the end.
pub(super) fn run(footing: Footing, socket: StdUnixStream) -> io::Result<()> {
    // One thread: children are tied to it, and it lives as long as the machine.
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(4)
        .build()?
        .block_on(serve(footing, socket))
}

async fn serve(footing: Footing, socket: StdUnixStream) -> io::Result<()> {
    socket.set_nonblocking(true)?;
    let (read, write) = UnixStream::from_std(socket)?.into_split();
    let (out, messages) = mpsc::unbounded_channel();
    let context = Context {
        info: footing.info,
        layout: footing.layout,
        cgroups: footing.cgroups,
        reaper: Reaper::default(),
        out,
    };
    let reaping = tokio::spawn(context.reaper.clone().run());
    let helper = match Helper::new(context.clone()).await {
        Ok(helper) => Arc::new(helper),
        Err(refusal) => return announce(write, &Message::Refused(refusal)).await,
    };
    let mut info = context.info.clone();
    info.notes.extend(helper.network.notes());
    let _unheard = context.out.send(Message::Ready(info));
    let writing = tokio::spawn(send(write, messages));
    let outcome = helper.clone().listen(read).await;
    helper.end(Duration::ZERO).await;
    writing.abort();
    reaping.abort();
    outcome
}

async fn announce<T: Serialize>(mut write: OwnedWriteHalf, message: &T) -> io::Result<()> {
    write.write_all(&encode(message)?).await
}

async fn send(
    mut write: OwnedWriteHalf,
    mut messages: mpsc::UnboundedReceiver<Message>,
) -> io::Result<()> {
    while let Some(message) = messages.recv().await {
        write.write_all(&encode(&message)?).await?;
    }
    Ok(())
}

/// Everything the machine has.
struct Helper {
    context: Context,
    network: Network,
    pods: Pods,
    containers: Containers,
    processes: Processes,
    layers: Layers,
}

impl Helper {
    async fn new(context: Context) -> std::result::Result<Self, crate::machine::protocol::Refusal> {
        let teller = context.clone();
        let tell = move |refused| teller.tell(Event::Refused(refused));
        let spaces = Spaces {
            programs: context.layout.netns(network::PROGRAMS_NAME),
            beyond: context.layout.netns(network::BEYOND_NAME),
        };
        let platform = Platform::open(context.layout.folder()).map_err(|error| {
            crate::machine::protocol::Refusal {
                step: "opening the machine's folder".to_owned(),
                cause: error.to_string(),
                advice: None,
            }
        })?;
        let network = Network::new(&spaces, Arc::new(platform), Box::new(tell))
            .await
            .map_err(|error| crate::machine::protocol::Refusal {
                step: "making the network".to_owned(),
                cause: error.to_string(),
                advice: Some("the kernel needs veth and nf_tables".to_owned()),
            })?;
        Ok(Self {
            network,
            pods: Pods::new(context.clone()),
            containers: Containers::new(context.clone()),
            processes: Processes::new(context.clone()),
            layers: Layers::new(context.clone()),
            context,
        })
    }

    async fn listen(self: Arc<Self>, mut read: OwnedReadHalf) -> io::Result<()> {
        let mut decoder = Decoder::default();
        let mut buffer = vec![0; 64 << 10];
        loop {
            let length = read.read(&mut buffer).await?;
            if length == 0 {
                return Ok(());
            }
            decoder.push(&buffer[..length]);
            while let Some(Request { id, call }) = decoder.next()? {
                let helper = self.clone();
                tokio::spawn(async move {
                    let result = helper.answer(call).await;
                    let _unheard = helper.context.out.send(Message::Reply { id, result });
                });
            }
        }
    }

    async fn answer(&self, call: Call) -> Result<Answer> {
        match call {
            Call::ApplyNetwork(plan) => self.apply_network(plan).await,
            Call::CreatePod(pod) => self.create_pod(pod).await,
            Call::DeletePod { uid } => self.delete_pod(&uid).await,
            Call::StartContainer(spec) => {
                let pod = self.pods.get(&spec.pod_uid)?;
                self.containers
                    .start(*spec, &pod)
                    .await
                    .map(|()| Answer::Done)
            }
            Call::StopContainer { id, grace } => self
                .containers
                .stop(&id, grace)
                .await
                .map(|()| Answer::Done),
            Call::RemoveContainer { id } => {
                self.containers.remove(&id).await.map(|()| Answer::Done)
            }
            Call::Command(call) => self.command(call).await,
            Call::Probe { probe, timeout } => self.probe(probe, timeout).await.map(Answer::Probe),
            Call::Files(call) => self.files(call).await,
            Call::RunProcess(process) => self.processes.run(process).await.map(|()| Answer::Done),
            Call::Shutdown => {
                self.end(GRACE).await;
                Ok(Answer::Done)
            }
        }
    }

    async fn files(&self, call: FilesCall) -> Result<Answer> {
        match call {
            FilesCall::Unpack(source) => self.layers.unpack(source).await.map(Answer::Path),
            FilesCall::KeepLayers(kept) => self.layers.keep(kept).await.map(|()| Answer::Done),
            FilesCall::Size { folder } => measure(folder).await,
            FilesCall::Written { id } => measure(self.context.layout.written(&id)).await,
            FilesCall::Give { folder, group } => {
                give_folder(&self.context.info, folder, group).await
            }
            FilesCall::GiveFile { file, user } => give_file(&self.context.info, file, user).await,
            FilesCall::Remove { folder } => {
                let doing = format!("removing {}", folder.display());
                blocking(doing, move || volumes::remove(&folder)).await
            }
        }
    }

    async fn command(&self, call: CommandCall) -> Result<Answer> {
        let sessions = self.containers.sessions();
        match call {
            CommandCall::Exec { id, argv, timeout } => {
                let outcome = self.containers.exec(&id, argv, timeout).await;
                outcome.map(Answer::Exec)
            }
            CommandCall::Open(with) => self.open(with).await.map(Answer::Session),
            CommandCall::Feed { session, feed } => {
                sessions.feed(session, feed).await.map(|()| Answer::Done)
            }
            CommandCall::Next { session } => sessions.next(session).await.map(Answer::Chunk),
            CommandCall::Close { session } => {
                sessions.close(session);
                Ok(Answer::Done)
            }
        }
    }

    async fn open(&self, with: Interactive) -> Result<u64> {
        match with {
            Interactive::Exec {
                id,
                argv,
                stdin,
                tty,
            } => self.containers.open(&id, argv, (stdin, tty)).await,
            Interactive::Attach { id, stdin } => self.containers.attach(&id, stdin),
            Interactive::Port { pod_uid, port } => {
                let pod = self.pods.get(&pod_uid)?;
                let failed = |error| Error::failed(format!("connecting to port {port}"), error);
                let sessions = self.containers.sessions();
                sessions.check().map_err(failed)?;
                let netns = self.context.layout.netns(&pod.uid);
                let streams = Streams::connection(netns, port).await.map_err(failed)?;
                Ok(sessions.open(streams, None))
            }
        }
    }

    async fn apply_network(&self, plan: NetworkPlan) -> Result<Answer> {
        self.network.apply(plan).await.map(|()| Answer::Done)
    }

    async fn create_pod(&self, pod: PodSandbox) -> Result<Answer> {
        let cell = self.network.cell(&pod.namespace).await?;
        self.pods
            .create(pod, &cell, &self.network)
            .await
            .map(|()| Answer::Done)
    }

    async fn delete_pod(&self, uid: &str) -> Result<Answer> {
        self.containers.remove_pod(uid).await?;
        self.pods
            .delete(uid, &self.network)
            .await
            .map(|()| Answer::Done)
    }

    async fn probe(
        &self,
        probe: Probe,
        timeout: Duration,
    ) -> Result<std::result::Result<(), String>> {
        match probe {
            Probe::Http {
                address,
                port,
                path,
                headers,
                tls,
            } => {
                let question = probe::Question {
                    target: (address, port),
                    path: &path,
                    headers: &headers,
                    tls,
                };
                Ok(probe::http(&question, timeout).await)
            }
            Probe::Grpc {
                address,
                port,
                service,
            } => Ok(health::grpc((address, port), &service, timeout).await),
            Probe::Tcp { address, port } => Ok(probe::tcp((address, port), timeout).await),
            Probe::Exec { id, argv } => match self.containers.exec(&id, argv, timeout).await {
                Ok(outcome) if outcome.code == 0 => Ok(Ok(())),
                Ok(outcome) => Ok(Err(format!(
                    "exit code {}: {}",
                    outcome.code,
                    outcome.output.trim_end()
                ))),
                Err(error @ (Error::NotFound { .. } | Error::Lost)) => Err(error),
                Err(error @ Error::Failed { .. }) => Ok(Err(error.to_string())),
            },
        }
    }

    /// Ends all containers and processes.
    async fn end(&self, grace: Duration) {
        tokio::join!(self.containers.end(grace), self.processes.end(grace));
    }
}

async fn measure(folder: PathBuf) -> Result<Answer> {
    let doing = format!("measuring {}", folder.display());
    let measured = tokio::task::spawn_blocking(move || volumes::size(&folder)).await;
    measured
        .map_err(io::Error::other)
        .flatten()
        .map(Answer::Bytes)
        .map_err(|error| Error::failed(doing, error))
}

/// Gives a folder to a group, if there is more than one.
async fn give_folder(info: &Info, folder: PathBuf, group: u32) -> Result<Answer> {
    let doing = format!("giving {} to group {group}", folder.display());
    if info.user_ids == 1 {
        // The only user there is owns everything.
        return Ok(Answer::Done);
    }
    info.check_user((0, group))
        .map_err(|error| Error::failed(&doing, error))?;
    blocking(doing, move || volumes::give(&folder, group)).await
}

/// Gives a file to a user, if there is more than one.
async fn give_file(info: &Info, file: PathBuf, user: u32) -> Result<Answer> {
    let doing = format!("giving {} to user {user}", file.display());
    if info.user_ids == 1 {
        return Ok(Answer::Done);
    }
    info.check_user((user, 0))
        .map_err(|error| Error::failed(&doing, error))?;
    blocking(doing, move || lchown(&file, Some(user), None)).await
}

/// Does something that takes its time.
async fn blocking(
    doing: String,
    work: impl FnOnce() -> io::Result<()> + Send + 'static,
) -> Result<Answer> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(io::Error::other)
        .flatten()
        .map(|()| Answer::Done)
        .map_err(|error| Error::failed(doing, error))
}
