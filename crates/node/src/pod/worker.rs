//! One task per pod: it looks, decides, starts effects and writes the status, until the pod is gone.

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use tokio::{
    sync::{Notify, mpsc},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use super::{
    admit, containers,
    decide::{self, Action, Inputs},
    effect::Effect,
    env::{self, Told},
    ephemeral,
    images::Images,
    runs,
    spec::Folders,
    spec_of,
    state::{Report, Runtime},
    status, unheeded, volume,
};
use crate::{
    disk::Held,
    index::{Key, Shared},
    machine::{Exit, Machine},
    network::Network,
    node::Capacity,
    notice::Notice,
    write::{Executor, Write, is},
};

/// What all pods share.
pub struct Context {
    /// Whom to ask for tokens.
    pub client: kube::Client,
    /// What was observed.
    pub index: Shared,
    /// The machine.
    pub machine: Arc<dyn Machine>,
    /// Where images come from.
    pub images: Arc<dyn Images>,
    /// The images that pods have got.
    pub held: Arc<Held>,
    /// The network.
    pub network: Arc<Network>,
    /// Writes.
    pub executor: Executor,
    /// Where things are.
    pub folders: Folders,
    /// The node's name.
    pub node: String,
    /// What the node has.
    pub capacity: Capacity,
    /// How many pods the node takes.
    pub max_pods: usize,
}

impl Context {
    /// Removes what was left by pods and claims that are gone.
    pub async fn sweep(&self, parents: &[&str]) {
        let strays = {
            let index = self.index.read();
            self.folders.strays(&index, parents)
        };
        for stray in strays {
            self.discard(&stray).await;
        }
    }

    async fn discard(&self, folder: &Path) {
        if let Err(error) = self.machine.remove_folder(folder).await {
            tracing::warn!(%error, folder = %folder.display(), "what a pod left cannot be removed");
        }
    }

    /// Removes the folders of a pod that is gone.
    pub async fn clean(&self, pod: &Pod) {
        for folder in [self.folders.logs(pod), self.folders.volumes(pod)] {
            self.discard(&folder).await;
        }
    }
}

/// The way to a pod's task.
#[derive(Debug, Clone)]
pub struct Handle {
    /// Something it looks at has changed.
    pub changed: Arc<Notify>,
    /// Containers of it that ended.
    pub exits: mpsc::UnboundedSender<(String, Exit)>,
}

/// A pod's task.
pub struct Worker {
    context: Arc<Context>,
    key: Key,
    uid: String,
    runtime: Runtime,
    /// How many ephemeral containers it was told of.
    added: usize,
    changed: Arc<Notify>,
    exits: mpsc::UnboundedReceiver<(String, Exit)>,
    /// What effects say before they are done.
    said: mpsc::UnboundedReceiver<Report>,
    say: mpsc::UnboundedSender<Report>,
    stop: CancellationToken,
}

impl Worker {
    /// The task of a pod, and the way to it.
    pub fn new(context: Arc<Context>, pod: &Pod, stop: CancellationToken) -> (Self, Handle) {
        let (sender, exits) = mpsc::unbounded_channel();
        let (say, said) = mpsc::unbounded_channel();
        let changed = Arc::new(Notify::new());
        let worker = Self {
            context,
            key: Key::of(&pod.metadata),
            uid: pod.metadata.uid.clone().unwrap_or_default(),
            runtime: Runtime::recover(pod, clock()),
            added: ephemeral::known(pod),
            changed: Arc::clone(&changed),
            exits,
            said,
            say,
            stop,
        };
        (
            worker,
            Handle {
                changed,
                exits: sender,
            },
        )
    }

    /// Runs until the pod is gone or the node stops.
    pub async fn run(mut self) {
        let mut effects: JoinSet<Report> = JoinSet::new();
        while let Some(pod) = self.pod() {
            let again = self.round(&pod, &mut effects).await;
            let pause = again.map_or(Duration::from_hours(24), |time| {
                Duration::try_from(time.duration_since(Timestamp::now())).unwrap_or_default()
            });
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = self.changed.notified() => {}
                Some((id, exit)) = self.exits.recv() => {
                    let message = self.last_words(&pod, &id, &exit).await;
                    self.runtime.apply(Report::Exited(id, exit, message), &pod, clock());
                }
                Some(report) = self.said.recv() => self.runtime.apply(report, &pod, clock()),
                Some(report) = effects.join_next() => self.report(report, &pod),
                () = tokio::time::sleep(pause) => {}
            }
        }
        self.vanished().await;
    }

    /// What a container that has ended left to be told.
    async fn last_words(&self, pod: &Pod, id: &str, exit: &Exit) -> Option<String> {
        let mut all = self.runtime.containers.iter();
        let (name, known) = all.find(|(_, known)| known.id().is_some_and(|one| one == id))?;
        let (spec, restart) = (spec_of(pod, name)?.into_owned(), known.restarts);
        let (folder, failed) = (self.context.folders.logs(pod).join(name), exit.code != 0);
        let read =
            tokio::task::spawn_blocking(move || runs::last_words(&folder, &spec, restart, failed));
        read.await.ok().flatten()
    }

    fn pod(&self) -> Option<Arc<Pod>> {
        let index = self.context.index.read();
        let pod = index.pods.get(&self.key)?;
        (pod.metadata.uid.as_deref() == Some(&self.uid)).then(|| Arc::clone(pod))
    }

    fn report(&mut self, report: Result<Report, tokio::task::JoinError>, pod: &Pod) {
        match report {
            Ok(report) => self.runtime.apply(report, pod, clock()),
            Err(error) => tracing::error!(%error, pod = %self.key, "an effect broke off"),
        }
    }

    /// Looks once: what to do is begun, what is so is written down.
    #[tracing::instrument(name = "pod", skip_all, fields(pod = %self.key))]
    async fn round(&mut self, pod: &Arc<Pod>, effects: &mut JoinSet<Report>) -> Option<Timestamp> {
        let now = clock();
        self.admit(pod, now);
        let inputs = self.inputs(pod, now);
        let plan = decide::decide(&inputs, &self.runtime);
        for action in plan.actions {
            tracing::debug!(?action, "does");
            let effect = self.effect(pod, &action);
            effects.spawn(effect.perform(action));
        }
        let inputs = Inputs {
            now: clock(),
            ..inputs
        };
        let status = status::compute(&inputs, &self.runtime);
        if !status::is_news(pod, &status) {
            return plan.again;
        }
        let changed = Pod {
            status: Some(status),
            ..(**pod).clone()
        };
        match self.context.executor.run(&Write::status(&changed)).await {
            Ok(()) => plan.again,
            Err(error) => {
                let wait = if is::<()>(&Err(error), "Conflict") {
                    20
                } else {
                    500
                };
                now.checked_add(jiff::SignedDuration::from_millis(wait))
                    .ok()
            }
        }
    }

    /// Takes the pod: once, with the reasons why it cannot run here.
    fn admit(&mut self, pod: &Pod, now: Timestamp) {
        if self.runtime.started.is_none() {
            self.runtime.started = Some(now);
            let refused = admit::refuse(&self.context.index.read(), pod);
            self.runtime.rejected = refused.or_else(|| self.crowded(pod));
            let notice = match &self.runtime.rejected {
                Some((_, message)) => Notice::warning(pod, "FailedAdmission", message),
                None => Notice::normal(
                    pod,
                    "Scheduled",
                    format!(
                        "Successfully assigned {} to {}",
                        self.key, self.context.node
                    ),
                ),
            };
            self.context.executor.notice(&notice);
            self.unheeded(pod, &unheeded::of(pod));
        }
        let spec = pod.spec.as_ref();
        let added = spec.map_or(0, |spec| spec.ephemeral_containers.iter().flatten().count());
        if self.added < added {
            self.added = added;
            self.unheeded(pod, &unheeded::of_added(pod));
        }
        let deadline = pod
            .spec
            .as_ref()
            .and_then(|spec| decide::deadline(spec, &self.runtime));
        if deadline.is_some_and(|deadline| deadline <= now)
            && pod
                .spec
                .as_ref()
                .is_some_and(|s| decide::outcome(s, &self.runtime).is_none())
        {
            let message = "Pod was active on the node longer than the specified deadline";
            self.runtime.rejected = Some(("DeadlineExceeded".into(), message.into()));
        }
    }

    fn unheeded(&self, pod: &Pod, what: &[String]) {
        if !what.is_empty() {
            let notice = Notice::warning(pod, "Unheeded", what.join("; "));
            self.context.executor.notice(&notice);
        }
    }

    fn crowded(&self, pod: &Pod) -> Option<(String, String)> {
        let index = self.context.index.read();
        let others = index.pods.iter().filter(|other| {
            crate::workload::is_active(other) && other.metadata.uid != pod.metadata.uid
        });
        let limit = self.context.max_pods;
        (others.count() >= limit).then(|| {
            (
                "OutOfpods".into(),
                format!("the node takes {limit} pods and has as many"),
            )
        })
    }

    fn inputs<'a>(&self, pod: &'a Pod, now: Timestamp) -> Inputs<'a> {
        let index = self.context.index.read();
        let own = Told {
            address: self
                .runtime
                .address
                .map(|address| address.to_string())
                .unwrap_or_default(),
            node: self.context.node.clone(),
            capacity: self.context.capacity,
        };
        let all = pod.spec.iter().flat_map(containers);
        let problems = all.filter_map(|container| {
            let problem = env::resolve(&index, pod, &container, &own).err()?;
            Some((container.name.clone(), problem))
        });
        let mut problems: BTreeMap<String, String> = problems.collect();
        problems.extend(ephemeral::problems(&index, pod, &self.runtime));
        Inputs {
            pod,
            payload: volume::payload(volume::Sources {
                index: &index,
                pod,
                own: &own,
                tokens: &self.runtime.tokens,
            }),
            problems,
            now,
        }
    }

    fn effect(&mut self, pod: &Arc<Pod>, action: &Action) -> Effect {
        let run = decide::begin(&mut self.runtime, pod, action);
        let name = match action {
            Action::Start(name) => Some(name),
            Action::CreateSandbox
            | Action::AskToken(_)
            | Action::Materialise(_)
            | Action::Pull(_)
            | Action::Stop(..)
            | Action::Probe(..)
            | Action::Discard(_)
            | Action::Measure(..)
            | Action::TearDown
            | Action::Remove => None,
        };
        let container = name.and_then(|name| self.runtime.containers.get(name));
        Effect {
            context: Arc::clone(&self.context),
            pod: Arc::clone(pod),
            address: self.runtime.address,
            image: container.and_then(|container| container.image.clone()),
            restart: container.map_or(0, |container| container.restarts),
            among: name.and_then(|name| ephemeral::among(pod.spec.as_ref()?, &self.runtime, name)),
            say: self.say.clone(),
            run,
        }
    }

    /// Cleans up after a pod whose object went away without waiting for its end.
    async fn vanished(&self) {
        if self.runtime.teardown != super::state::Step::Done {
            match self.context.machine.delete_pod(&self.uid).await {
                Ok(()) | Err(crate::machine::Error::NotFound { .. }) => {}
                Err(error) => tracing::warn!(%error, pod = %self.key, "removing a pod's frame"),
            }
            self.context.network.release(&self.uid);
        }
        let pod = Pod {
            metadata: k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta {
                namespace: Some(self.key.namespace.clone()),
                name: Some(self.key.name.clone()),
                uid: Some(self.uid.clone()),
                ..Default::default()
            },
            ..Pod::default()
        };
        self.context.clean(&pod).await;
    }
}

/// Now, as exactly as statuses tell it.
fn clock() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}
