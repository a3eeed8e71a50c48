//! What stands in for the machine and for registries: it does nothing, and remembers what it was asked for.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use choreo_node::{
    ImageError, ImageRequest, Images,
    image::{Config, Image},
    machine::{
        ContainerSpec, Event, ExecOutcome, Exit, Info, LayerSource, Machine, Mode, NetworkPlan,
        PodRules, PodSandbox, Probe, Process, Result,
    },
    pod::images::Report,
};
use tokio::sync::broadcast;

/// A machine without effects. What containers do is told by their image's name: `run` runs until it
/// is stopped, `ok` ends with 0, `crash` ends with 1.
pub(crate) struct Fake {
    pub(crate) info: Info,
    pub(crate) events: broadcast::Sender<Event>,
    pub(crate) running: Mutex<BTreeMap<String, ContainerSpec>>,
    pub(crate) network: Mutex<NetworkPlan>,
    /// Pods, and the rules that were in force when they were made.
    pub(crate) pods: Mutex<BTreeMap<String, PodRules>>,
    /// What was done to containers, in order: `stop main`, `exec true`.
    pub(crate) done: Mutex<Vec<String>>,
}

impl Fake {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            info: Info {
                mode: Mode::Rootless,
                limits: false,
                user_ids: 1,
                notes: Vec::new(),
            },
            events: broadcast::channel(1024).0,
            running: Mutex::default(),
            network: Mutex::default(),
            pods: Mutex::default(),
            done: Mutex::default(),
        })
    }

    pub(crate) fn end(&self, id: &str, code: i32) {
        if self.running.lock().unwrap().remove(id).is_some() {
            let exit = Exit {
                code,
                out_of_memory: false,
                error: None,
            };
            let _ = self.events.send(Event::ContainerExited {
                id: id.to_owned(),
                exit,
            });
        }
    }

    pub(crate) fn note(&self, what: &str, id: &str) {
        let name = id.rsplit('-').nth(1).unwrap_or(id);
        self.done.lock().unwrap().push(format!("{what} {name}"));
    }

    pub(crate) fn containers(&self) -> Vec<ContainerSpec> {
        self.running.lock().unwrap().values().cloned().collect()
    }
}

#[async_trait]
impl Machine for Fake {
    fn info(&self) -> &Info {
        &self.info
    }
    fn events(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }
    async fn apply_network(&self, plan: &NetworkPlan) -> Result<()> {
        self.network.lock().unwrap().clone_from(plan);
        Ok(())
    }
    async fn create_pod(&self, pod: &PodSandbox) -> Result<()> {
        let network = self.network.lock().unwrap();
        assert!(network.cells.contains_key(&pod.namespace), "cell first");
        let rules = &network.pods[&pod.address];
        let mut pods = self.pods.lock().unwrap();
        pods.insert(pod.uid.clone(), rules.clone());
        Ok(())
    }
    async fn delete_pod(&self, uid: &str) -> Result<()> {
        self.pods.lock().unwrap().remove(uid);
        Ok(())
    }
    async fn start_container(&self, container: &ContainerSpec) -> Result<()> {
        let id = container.id.clone();
        self.running
            .lock()
            .unwrap()
            .insert(id.clone(), container.clone());
        std::fs::write(&container.log, "2026-01-01T00:00:00Z stdout F hello\n").unwrap();
        match container.argv[0].as_str() {
            "fills" => std::fs::write(container.mounts[0].source.join("file"), [0; 200]).unwrap(),
            "tells" => {
                std::fs::write(&container.mounts.last().unwrap().source, "told").unwrap();
                self.end(&id, 3);
            }
            "ok" => self.end(&id, 0),
            "crash" => self.end(&id, 1),
            _ => {}
        }
        Ok(())
    }
    async fn stop_container(&self, id: &str, _: Duration) -> Result<()> {
        self.note("stop", id);
        self.end(id, 143);
        Ok(())
    }
    async fn remove_container(&self, id: &str) -> Result<()> {
        self.note("remove", id);
        Ok(())
    }
    async fn exec(&self, _: &str, argv: &[String], _: Duration) -> Result<ExecOutcome> {
        self.done.lock().unwrap().push(format!("exec {}", argv[0]));
        Ok(ExecOutcome {
            code: i32::from(argv[0] == "false"),
            output: String::new(),
        })
    }
    async fn probe(&self, _: &Probe, _: Duration) -> Result<std::result::Result<(), String>> {
        Ok(Ok(()))
    }
    async fn unpack(&self, _: &LayerSource) -> Result<PathBuf> {
        Ok(PathBuf::from("/"))
    }
    async fn keep_layers(&self, _: &BTreeSet<String>) -> Result<()> {
        Ok(())
    }
    /// Ten times what files hold.
    async fn size_of(&self, folder: &Path) -> Result<u64> {
        let files = std::fs::read_dir(folder).unwrap().flatten();
        Ok(files.map(|file| file.metadata().unwrap().len() * 10).sum())
    }
    /// Runs of a program that is said to write take as much as it says.
    async fn size_of_container(&self, id: &str) -> Result<u64> {
        let containers = self.running.lock().unwrap();
        let argv = containers.get(id).map(|one| one.argv.clone());
        Ok(argv
            .and_then(|argv| argv.get(1)?.parse().ok())
            .unwrap_or_default())
    }
    async fn give_file(&self, file: &Path, user: u32) -> Result<()> {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let what = format!("give {name} to {user}");
        self.done.lock().unwrap().push(what);
        Ok(())
    }
    async fn give_folder(&self, _: &Path, _: u32) -> Result<()> {
        Ok(())
    }
    async fn remove_folder(&self, folder: &Path) -> Result<()> {
        if folder.exists() {
            std::fs::remove_dir_all(folder).unwrap();
        }
        Ok(())
    }
    async fn run_process(&self, _: &Process) -> Result<()> {
        Ok(())
    }
    async fn shutdown(&self) -> Result<()> {
        Ok(())
    }
}

/// Images whose program is their name; `missing` is not to be had.
pub(crate) struct Names;

#[async_trait]
impl Images for Names {
    async fn resolve(
        &self,
        request: ImageRequest,
        _: Report,
    ) -> std::result::Result<Image, ImageError> {
        if request.reference == "missing" {
            let message = "image missing not found".to_owned();
            return Err(ImageError {
                reason: "ErrImagePull",
                message,
            });
        }
        let config = Config {
            entrypoint: vec![request.reference.clone()],
            ..Config::default()
        };
        let digest = "sha256:0".to_owned();
        Ok(Image {
            reference: request.reference,
            digest,
            layers: Vec::new(),
            config,
        })
    }
}
