//! One machine as a data plane: Kubernetes objects in, running containers out.
//!
//! Everything that decides is a pure function of an [`index::Index`] of observed objects; everything
//! that acts goes through a `kube::Client` or a [`machine::Machine`]. The node knows no kind of the
//! platform: only Kubernetes' own.

pub mod claim;
pub mod control;
mod digest;
pub mod disk;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
pub mod gateway;
pub mod image;
pub mod index;
pub mod machine;
pub mod network;
pub mod node;
pub mod notice;
pub mod outside;
pub mod pod;
pub mod secret;
pub mod service;
pub mod watch;
pub mod workload;
pub mod write;

use std::{future::Future, path::PathBuf, sync::Arc};

use k8s_openapi::api::{
    apps::v1::{ControllerRevision, DaemonSet, Deployment, ReplicaSet, StatefulSet},
    batch::v1::{CronJob, Job},
    core::v1::{
        ConfigMap, Namespace, Node as NodeObject, PersistentVolumeClaim, Pod, Secret, Service,
        ServiceAccount,
    },
    discovery::v1::EndpointSlice,
    networking::v1::NetworkPolicy,
};
use serde_json::Value;
use tokio::{
    sync::{mpsc, watch as signal},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

pub use self::pod::{
    exec::{AttachOptions, ExecOptions, Ports, Session},
    images::{FromStore, ImageError, ImageRequest, Images},
    logs::{LogError, LogOptions, LogStream},
};
use self::{
    control::Control,
    disk::Keeper,
    index::Shared,
    machine::Machine,
    network::Network,
    pod::{spec::Folders, worker::Context},
    service::{egress::Egress, network::Proxies},
    watch::Feed,
    write::Executor,
};

/// What a node is told when it starts.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Folder for logs and volumes; made when missing.
    pub data: PathBuf,
    /// Name of the Node object.
    pub node_name: String,
    /// How many pods the node takes.
    pub max_pods: u32,
    /// How policies speak of the proxies of gateways.
    pub proxies: Proxies,
    /// What gateways tell that lead out.
    pub egress: Egress,
}

impl Settings {
    /// The usual settings with data in `data`.
    pub fn new(data: impl Into<PathBuf>) -> Self {
        Self {
            data: data.into(),
            node_name: "choreo".to_owned(),
            max_pods: 1000,
            proxies: Proxies::default(),
            egress: Egress::default(),
        }
    }
}

/// Why a node stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The machine is gone and everything on it; start a new machine and a new node.
    MachineLost,
    /// [`Node::shutdown`] was called.
    ShutDown,
}

/// Custom resource definitions that the API must serve for a node.
pub fn definitions() -> Vec<Value> {
    gateway::definitions()
}

/// A running node. When it is dropped, it stops.
pub struct Node {
    index: Shared,
    machine: Arc<dyn Machine>,
    folders: Folders,
    stop: CancellationToken,
    ended: signal::Receiver<Option<Ended>>,
    main: JoinSet<()>,
}

impl Node {
    /// Starts a node on the objects of `client`. Call it inside a tokio runtime.
    pub fn start(
        client: kube::Client,
        machine: Arc<dyn Machine>,
        images: Arc<image::Store>,
        settings: Settings,
    ) -> Self {
        Self::start_with(client, machine, Arc::new(FromStore(images)), settings)
    }

    /// [`Node::start`] with images from elsewhere.
    pub fn start_with(
        client: kube::Client,
        machine: Arc<dyn Machine>,
        images: Arc<dyn Images>,
        settings: Settings,
    ) -> Self {
        let (index, stop) = (Shared::default(), CancellationToken::new());
        let (recorder, writer) = notice::recorder(client.clone(), &settings.node_name);
        let (sender, changes) = mpsc::unbounded_channel();
        let executor = Executor::new(client.clone(), index.clone(), recorder, sender.clone());
        let Settings {
            data,
            node_name: name,
            max_pods,
            proxies,
            egress,
        } = settings;
        let folders = Folders { data };
        let network = Network::new(
            index.clone(),
            Arc::clone(&machine),
            executor.clone(),
            (proxies, egress.gateways()),
        );
        let (events, info) = (machine.events(), machine.info().clone());
        let (keeper, pressed) = Keeper::new(&folders, &machine, &images);
        let context = Arc::new(Context {
            client: client.clone(),
            held: Arc::clone(&keeper.held),
            index: index.clone(),
            machine: Arc::clone(&machine),
            images,
            network: Arc::new(network),
            executor,
            folders: folders.clone(),
            node: name.clone(),
            capacity: node::Capacity::of_this_machine(),
            max_pods: usize::try_from(max_pods).unwrap_or(usize::MAX),
        });
        let feed = Feed {
            client: client.clone(),
            index: index.clone(),
            changes: sender,
            stop: stop.clone(),
        };
        let mut watches = watch_all(&feed);
        tell_refusals(&context, &egress, &mut watches);
        let announced = node::Announced::new(&name, info, max_pods);
        watches.spawn(node::keep(client.clone(), announced, pressed));
        watches.spawn(keeper.run());
        watches.spawn(writer.run());
        let control = Control::new(context, changes, events, stop.clone());
        let (tell, ended) = signal::channel(None);
        let mut main = JoinSet::new();
        main.spawn(async move {
            let ended = run(control, watches, client, &name).await;
            tell.send_replace(Some(ended));
        });
        Self {
            index,
            machine,
            folders,
            stop,
            ended,
            main,
        }
    }

    /// The output of a container.
    pub async fn logs(
        &self,
        namespace: &str,
        pod: &str,
        options: LogOptions,
    ) -> Result<LogStream, LogError> {
        let found = self.find(namespace, pod)?;
        let folder = self.folders.logs(&found);
        pod::logs::read(&self.index, &folder, &found, options).await
    }

    /// Runs a command in a container and talks to it.
    pub async fn exec(
        &self,
        namespace: &str,
        pod: &str,
        options: ExecOptions,
    ) -> Result<Session, LogError> {
        let found = self.find(namespace, pod)?;
        pod::exec::open(Arc::clone(&self.machine), &found, options).await
    }

    /// Talks to what a container runs.
    pub async fn attach(
        &self,
        namespace: &str,
        pod: &str,
        options: AttachOptions,
    ) -> Result<Session, LogError> {
        let found = self.find(namespace, pod)?;
        pod::exec::attach(Arc::clone(&self.machine), &found, options).await
    }

    /// The ports of a pod.
    pub fn ports(&self, namespace: &str, pod: &str) -> Result<Ports, LogError> {
        let found = self.find(namespace, pod)?;
        Ports::of(Arc::clone(&self.machine), &found)
    }

    fn find(&self, namespace: &str, pod: &str) -> Result<Arc<Pod>, LogError> {
        let found = self.index.read().pods.find(namespace, pod).cloned();
        found.ok_or_else(|| LogError::NotFound(format!("pods {pod:?} not found")))
    }

    /// Completes when the node stops, with the reason.
    pub fn ended(&self) -> impl Future<Output = Ended> + Send + use<> {
        let mut ended = self.ended.clone();
        async move {
            match ended.wait_for(Option::is_some).await {
                Ok(reason) => reason.unwrap_or(Ended::ShutDown),
                Err(_) => Ended::ShutDown,
            }
        }
    }

    /// Stops watching and acting. Containers are left to the machine's own shutdown.
    pub async fn shutdown(mut self) {
        self.stop.cancel();
        while self.main.join_next().await.is_some() {}
    }
}

/// Runs until it is stopped or the machine is lost, which the Node object then says.
async fn run(
    control: Control,
    mut watches: JoinSet<()>,
    client: kube::Client,
    name: &str,
) -> Ended {
    let lost = control.run().await;
    watches.shutdown().await;
    if lost {
        node::lost(client, name).await;
        Ended::MachineLost
    } else {
        Ended::ShutDown
    }
}

/// Tells what the machine refuses.
fn tell_refusals(context: &Context, egress: &Egress, tasks: &mut JoinSet<()>) {
    tasks.spawn(service::refused::tell(
        context.machine.events(),
        egress.refused(),
        context.index.clone(),
        Arc::clone(&context.network),
        context.executor.clone(),
    ));
}

fn watch_all(feed: &Feed) -> JoinSet<()> {
    let mut set = JoinSet::new();
    let tasks = &mut set;
    feed.watch::<Namespace>(tasks);
    feed.watch::<NodeObject>(tasks);
    feed.watch::<Pod>(tasks);
    feed.watch::<Deployment>(tasks);
    feed.watch::<ReplicaSet>(tasks);
    feed.watch::<StatefulSet>(tasks);
    feed.watch::<DaemonSet>(tasks);
    feed.watch::<ControllerRevision>(tasks);
    feed.watch::<Job>(tasks);
    feed.watch::<CronJob>(tasks);
    feed.watch::<Service>(tasks);
    feed.watch::<EndpointSlice>(tasks);
    feed.watch::<ConfigMap>(tasks);
    feed.watch::<Secret>(tasks);
    feed.watch::<ServiceAccount>(tasks);
    feed.watch::<PersistentVolumeClaim>(tasks);
    feed.watch::<NetworkPolicy>(tasks);
    set
}
