//! What actions do: everything a pod has done to the machine and to its folder.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use k8s_openapi::api::core::v1::{LifecycleHandler, Pod};
use tokio::{sync::mpsc, time::Instant};

use super::{
    decide::Action,
    ephemeral,
    files::{self, Payload, Staged},
    images::{self, ImageError},
    names,
    probe::{self, Which},
    progress, runs, security,
    spec::{self, Start},
    spec_of,
    state::{Fetched, Report, StartFailure},
    storage::{Limits, Usage},
    token::{self, Wanted},
    volume,
    worker::Context,
};
use crate::{
    machine::{LayerSource, PodSandbox},
    notice::Notice,
    write::Write,
};

/// How long a hook or a probe of a hook may take beyond its grace.
const HOOK: Duration = Duration::from_secs(30);
/// How long a hook may take that nothing else bounds.
const LONGEST_HOOK: Duration = Duration::from_hours(1);

/// One action on one pod.
pub(super) struct Effect {
    pub(super) context: Arc<Context>,
    pub(super) pod: Arc<Pod>,
    pub(super) address: Option<std::net::Ipv4Addr>,
    pub(super) image: Option<Arc<Fetched>>,
    pub(super) restart: u32,
    /// The run among whose processes a container is to be.
    pub(super) among: Option<String>,
    /// Takes what is to be told before an action is done.
    pub(super) say: mpsc::UnboundedSender<Report>,
    pub(super) run: Option<String>,
}

impl Effect {
    /// Does an action and reports what came of it.
    pub(super) async fn perform(self, action: Action) -> Report {
        match action {
            Action::CreateSandbox => self.sandbox().await,
            Action::AskToken(wanted) => self.ask_token(wanted).await,
            Action::Materialise(payload) => self.materialise(payload).await,
            Action::Pull(name) => {
                let result = self.pull(&name).await;
                Report::Pulled(name, result)
            }
            Action::Start(name) => {
                let id = self.run.clone().unwrap_or_default();
                let result = self.start(&name, &id).await;
                Report::Started(name, id, result)
            }
            Action::Stop(name, id, grace, why) => self.stop(name, id, grace, why).await,
            Action::Probe(name, id, which) => {
                let result = self.probe(&name, &id, which).await;
                Report::Probed(name, id, which, result)
            }
            Action::Measure(limits, running) => self.measure(&limits, &running).await,
            Action::Discard(id) => self.discard(&id).await,
            Action::TearDown => Report::TornDown(self.tear_down().await),
            Action::Remove => self.remove().await,
        }
    }

    /// Removes the folders, then the object: who sees it gone finds nothing of it left. A pod that
    /// ran to its end kept its logs until now.
    async fn remove(&self) -> Report {
        self.context.clean(&self.pod).await;
        let removed = self.context.executor.run(&Write::remove(&*self.pod)).await;
        Report::Removed(removed.map_err(|error| {
            tracing::warn!(%error, "the pod's object cannot be removed yet");
            error.to_string()
        }))
    }

    fn tell(&self, notice: &Notice) {
        self.context.executor.notice(notice);
    }

    fn about(&self, name: &str, notice: Notice) -> Notice {
        let spec = self.pod.spec.as_ref();
        let initial = spec.is_some_and(|spec| {
            spec.init_containers
                .iter()
                .flatten()
                .any(|container| container.name == name)
        });
        let list = if initial {
            "initContainers"
        } else if spec.is_some_and(|spec| ephemeral::is(spec, name)) {
            "ephemeralContainers"
        } else {
            "containers"
        };
        notice.within(format!("spec.{list}{{{name}}}"))
    }

    fn uid(&self) -> String {
        self.pod.metadata.uid.clone().unwrap_or_default()
    }

    async fn sandbox(&self) -> Report {
        let result = self.make_sandbox().await;
        if let Err(message) = &result {
            let notice = Notice::warning(&*self.pod, "FailedCreatePodSandBox", message);
            self.tell(&notice);
        }
        Report::Sandbox(result)
    }

    async fn make_sandbox(&self) -> Result<std::net::Ipv4Addr, String> {
        let address = self.context.network.admit(&self.pod).await?;
        let sandbox = PodSandbox {
            uid: self.uid(),
            namespace: self.pod.metadata.namespace.clone().unwrap_or_default(),
            hostname: names::hostname(&self.pod),
            address,
            names: names::of(&self.pod),
            memory: volume::in_memory(&self.pod, &self.context.folders.volumes(&self.pod)),
        };
        self.context
            .machine
            .create_pod(&sandbox)
            .await
            .map_err(|error| error.to_string())?;
        Ok(address)
    }

    async fn ask_token(&self, wanted: Wanted) -> Report {
        let answer = token::ask(&self.context.client, &self.pod, &wanted).await;
        if let Err(problem) = &answer {
            let message = format!("no token of the service account can be had: {problem}");
            self.tell(&Notice::warning(&*self.pod, "FailedMount", message));
        }
        Report::Token(wanted, answer)
    }

    async fn materialise(&self, payload: Payload) -> Report {
        match self.write_volumes(&payload).await {
            Ok(()) => Report::Volumes(Ok(payload)),
            Err(problem) => {
                self.tell(&Notice::warning(&*self.pod, "FailedMount", &problem));
                Report::Volumes(Err(problem))
            }
        }
    }

    /// Writes the pod's files. Whoever they belong to has them before they are seen.
    async fn write_volumes(&self, payload: &Payload) -> Result<(), String> {
        let folder = self.context.folders.volumes(&self.pod);
        let claims = self.context.folders.claims(&self.pod);
        let (given, payload) = (claims.clone(), payload.clone());
        let staged = blocking(move || {
            for claim in claims {
                files::open_folder(&claim)?;
            }
            files::stage(&folder, &payload)
        });
        let staged = staged.await?;
        let owned = self.give_volumes(given, &staged).await;
        owned.map_err(|error| error.to_string())?;
        blocking(move || staged.commit()).await
    }

    /// Gives the pod's files to the group it asks for, and those that are for its user alone to that.
    async fn give_volumes(
        &self,
        claims: Vec<PathBuf>,
        staged: &Staged,
    ) -> crate::machine::Result<()> {
        let machine = &self.context.machine;
        if let Some(group) = security::volumes_group(&self.pod) {
            let own = self.context.folders.volumes(&self.pod);
            let own = std::iter::once(own).filter(|own| own.exists());
            for folder in own.chain(claims) {
                machine.give_folder(&folder, group).await?;
            }
        }
        for (file, user) in staged.owners() {
            machine.give_file(file, user).await?;
        }
        Ok(())
    }

    async fn pull(&self, name: &str) -> Result<Arc<Fetched>, ImageError> {
        let Some(container) = spec_of(&self.pod, name) else {
            let message = format!("container {name:?} does not exist");
            return Err(ImageError {
                reason: "InvalidImageName",
                message,
            });
        };
        let request = images::request(&self.context.index.read(), &self.pod, &container);
        let reference = request.reference.clone();
        let begun = Instant::now();
        let report = self.progress(name, &reference);
        let result = self.fetch(request, report).await;
        let notice = match &result {
            Ok(_) => {
                let seconds = begun.elapsed().as_secs_f64();
                let message = format!("Image {reference:?} is present after {seconds:.3}s");
                Notice::normal(&*self.pod, "Pulled", message)
            }
            Err(error) => {
                let message = format!("Failed to pull image {reference:?}: {error}");
                Notice::warning(&*self.pod, "Failed", message)
            }
        };
        self.tell(&self.about(name, notice));
        result
    }

    /// Tells of a pull once it begins, and how far it is.
    fn progress(&self, name: &str, reference: &str) -> images::Report {
        let message = format!("Pulling image {reference:?}");
        let begins = self.about(name, Notice::normal(&*self.pod, "Pulling", message));
        let (say, executor) = (self.say.clone(), self.context.executor.clone());
        let name = name.to_owned();
        progress::whole(move |far, first| {
            if first {
                executor.notice(&begins);
            }
            // A pod that is gone hears nothing.
            let _gone = say.send(Report::Fetching(name.clone(), far));
        })
    }

    async fn fetch(
        &self,
        request: images::ImageRequest,
        report: images::Report,
    ) -> Result<Arc<Fetched>, ImageError> {
        let image = self.context.images.resolve(request, report).await?;
        let mut layers = Vec::new();
        for layer in &image.layers {
            let source = LayerSource {
                blob: layer.blob.clone(),
                gzip: layer.gzip,
                diff_id: layer.diff_id.clone(),
            };
            let folder = self
                .context
                .machine
                .unpack(&source)
                .await
                .map_err(|error| ImageError {
                    reason: "ErrImagePull",
                    message: error.to_string(),
                })?;
            layers.push(folder);
        }
        let fetched = Arc::new(Fetched { image, layers });
        self.context.held.note(&fetched);
        Ok(fetched)
    }

    async fn start(&self, name: &str, id: &str) -> Result<(), StartFailure> {
        let mut result = self.begin(name, id).await;
        if result.is_ok() {
            let notice = Notice::normal(&*self.pod, "Started", format!("Started container {name}"));
            self.tell(&self.about(name, notice));
            result = self.started(name, id).await.map_err(StartFailure::Hook);
        }
        let notice = match &result {
            Ok(()) => return result,
            Err(StartFailure::Config(message) | StartFailure::Machine(message)) => {
                Notice::warning(&*self.pod, "Failed", format!("Error: {message}"))
            }
            Err(StartFailure::Hook(message)) => {
                Notice::warning(&*self.pod, "FailedPostStartHook", message)
            }
        };
        self.tell(&self.about(name, notice));
        result
    }

    /// The hook that comes after a start, if there is one.
    async fn started(&self, name: &str, id: &str) -> Result<(), String> {
        let hook = spec_of(&self.pod, name)
            .and_then(|container| container.lifecycle.as_ref()?.post_start.clone());
        match hook {
            Some(hook) => self.hook(name, id, &hook, LONGEST_HOOK).await,
            None => Ok(()),
        }
    }

    async fn begin(&self, name: &str, id: &str) -> Result<(), StartFailure> {
        let config = |what: &str| StartFailure::Config(what.to_owned());
        let container = spec_of(&self.pod, name).ok_or_else(|| config("no such container"))?;
        let image = self
            .image
            .as_ref()
            .ok_or_else(|| config("the image is not here"))?;
        let address = self
            .address
            .ok_or_else(|| config("the pod has no address"))?;
        let start = Start {
            id: id.to_owned(),
            restart: self.restart,
            image,
            address,
            node: &self.context.node,
            capacity: self.context.capacity,
            folders: &self.context.folders,
            among: self.among.clone(),
        };
        let built = spec::build(&self.context.index.read(), &self.pod, &container, &start);
        let built = built.map_err(StartFailure::Config)?;
        let possible = self.context.machine.info().check_user(built.user);
        possible.map_err(StartFailure::Config)?;
        let (own, restart) = (
            self.context.folders.logs(&self.pod).join(name),
            self.restart,
        );
        let prepared = tokio::task::spawn_blocking(move || runs::prepare(&own, restart));
        let prepared = prepared.await.map_err(std::io::Error::other).flatten();
        prepared.map_err(|error| {
            StartFailure::Machine(format!("making the container's folder: {error}"))
        })?;
        let started = self.context.machine.start_container(&built).await;
        started.map_err(|error| StartFailure::Machine(error.to_string()))
    }

    async fn stop(&self, name: String, id: String, grace: i64, why: String) -> Report {
        let notice = Notice::normal(&*self.pod, "Killing", why);
        self.tell(&self.about(&name, notice));
        let grace = Duration::from_secs(u64::try_from(grace).unwrap_or_default());
        let begun = Instant::now();
        let hook = spec_of(&self.pod, &name)
            .and_then(|container| container.lifecycle.as_ref()?.pre_stop.clone());
        if let Some(hook) = &hook {
            let done = tokio::time::timeout(grace, self.hook(&name, &id, hook, grace)).await;
            if let Ok(Err(message)) = done {
                let notice = Notice::warning(&*self.pod, "FailedPreStopHook", message);
                self.tell(&self.about(&name, notice));
            }
        }
        let rest = grace.saturating_sub(begun.elapsed());
        let done = match self.context.machine.stop_container(&id, rest).await {
            // Without one, it ended by itself meanwhile.
            Ok(()) | Err(crate::machine::Error::NotFound { .. }) => true,
            Err(error) => {
                tracing::warn!(%error, container = id, "stopping a container");
                false
            }
        };
        Report::Stopped(name, id, done)
    }

    /// Looks whether the pod stores more than it may.
    async fn measure(&self, limits: &Limits, running: &BTreeMap<String, String>) -> Report {
        let usage = match self.usage(limits, running).await {
            Ok(usage) => usage,
            Err(error) => {
                tracing::warn!(%error, "measuring what a pod stores");
                return Report::Measured(Ok(()));
            }
        };
        let Some(message) = limits.exceeded(&usage) else {
            return Report::Measured(Ok(()));
        };
        self.tell(&Notice::warning(&*self.pod, "Evicted", &message));
        Report::Measured(Err(message))
    }

    async fn usage(
        &self,
        limits: &Limits,
        running: &BTreeMap<String, String>,
    ) -> crate::machine::Result<Usage> {
        let machine = &self.context.machine;
        let mut usage = Usage::default();
        let folder = self.context.folders.volumes(&self.pod);
        for name in limits.volumes.keys() {
            let size = machine.size_of(&folder.join(name)).await?;
            usage.volumes.insert(name.clone(), size);
        }
        if !limits.counts_containers() {
            return Ok(usage);
        }
        let logs = self.context.folders.logs(&self.pod);
        for (name, id) in running {
            let written = machine.size_of_container(id).await?;
            let logged = machine.size_of(&logs.join(name)).await?;
            usage.containers.insert(name.clone(), written + logged);
        }
        Ok(usage)
    }

    /// Removes what a run left on the machine; its log stays.
    async fn discard(&self, id: &str) -> Report {
        match self.context.machine.remove_container(id).await {
            Ok(()) | Err(crate::machine::Error::NotFound { .. }) => {}
            // The end of the pod takes it too.
            Err(error) => tracing::warn!(%error, container = id, "removing a container"),
        }
        Report::Nothing
    }

    async fn hook(
        &self,
        name: &str,
        id: &str,
        hook: &LifecycleHandler,
        grace: Duration,
    ) -> Result<(), String> {
        let machine = &self.context.machine;
        if let Some(exec) = &hook.exec {
            let argv = exec.command.clone().unwrap_or_default();
            let done = machine
                .exec(id, &argv, grace)
                .await
                .map_err(|error| error.to_string())?;
            return if done.code == 0 {
                Ok(())
            } else {
                Err(format!(
                    "{argv:?} ended with {}: {}",
                    done.code, done.output
                ))
            };
        }
        if let Some(sleep) = &hook.sleep {
            let seconds = u64::try_from(sleep.seconds).unwrap_or_default();
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            return Ok(());
        }
        let (Some(http), Some(container), Some(address)) =
            (&hook.http_get, spec_of(&self.pod, name), self.address)
        else {
            return Ok(());
        };
        let question = probe::http_question(http, &container, address)?;
        machine
            .probe(&question, grace.min(HOOK))
            .await
            .map_err(|error| error.to_string())?
    }

    async fn probe(&self, name: &str, id: &str, which: Which) -> Result<(), String> {
        let container = spec_of(&self.pod, name).ok_or("no such container")?;
        let spec = which.of(&container).ok_or("no such probe")?;
        let address = self.address.ok_or("the pod has no address")?;
        let question = probe::question(spec, &container, id, address)?;
        let result = match self
            .context
            .machine
            .probe(&question, probe::timeout(spec))
            .await
        {
            Ok(result) => result,
            Err(error) => Err(error.to_string()),
        };
        if let Err(reason) = &result {
            let message = format!("{} probe failed: {reason}", which.name());
            let notice = Notice::warning(&*self.pod, "Unhealthy", message);
            self.tell(&self.about(name, notice));
        }
        result
    }

    async fn tear_down(&self) -> Result<(), String> {
        let uid = self.uid();
        let done = self.context.machine.delete_pod(&uid).await;
        match done {
            Ok(()) | Err(crate::machine::Error::NotFound { .. }) => {}
            Err(error) => return Err(error.to_string()),
        }
        self.context.network.release(&uid);
        Ok(())
    }
}

/// Writes volumes where that may take its time.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Result<T, String> {
    let done = tokio::task::spawn_blocking(work).await;
    let done = done.map_err(std::io::Error::other).flatten();
    done.map_err(|error| format!("writing volumes: {error}"))
}
