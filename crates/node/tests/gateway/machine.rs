//! A machine for tests of the gateway alone.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use choreo_node::machine::{
    ContainerSpec, Event, ExecOutcome, Gate, Info, LayerSource, Machine, Mode, NetworkPlan,
    PodSandbox, Probe, Process, Result,
};
use tokio::sync::broadcast;

/// A machine that runs processes as children and can do nothing else.
pub(crate) struct Children {
    info: Info,
    events: broadcast::Sender<Event>,
    running: tokio::sync::Mutex<BTreeMap<String, tokio::task::JoinHandle<()>>>,
    pub(crate) pid: Arc<Mutex<Option<u32>>>,
}

impl Drop for Children {
    fn drop(&mut self) {
        for task in self.running.get_mut().values() {
            task.abort();
        }
    }
}

impl Children {
    pub(crate) fn new() -> Self {
        Self {
            info: Info {
                mode: Mode::Root,
                limits: false,
                user_ids: 1,
                notes: Vec::new(),
            },
            events: broadcast::channel(16).0,
            running: tokio::sync::Mutex::default(),
            pid: Arc::default(),
        }
    }
}

#[async_trait]
impl Machine for Children {
    fn info(&self) -> &Info {
        &self.info
    }
    fn events(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }
    async fn apply_network(&self, _: &NetworkPlan) -> Result<()> {
        unimplemented!()
    }
    async fn create_pod(&self, _: &PodSandbox) -> Result<()> {
        unimplemented!()
    }
    async fn delete_pod(&self, _: &str) -> Result<()> {
        unimplemented!()
    }
    async fn start_container(&self, _: &ContainerSpec) -> Result<()> {
        unimplemented!()
    }
    async fn stop_container(&self, _: &str, _: Duration) -> Result<()> {
        unimplemented!()
    }
    async fn remove_container(&self, _: &str) -> Result<()> {
        unimplemented!()
    }
    async fn exec(&self, _: &str, _: &[String], _: Duration) -> Result<ExecOutcome> {
        unimplemented!()
    }
    async fn probe(&self, _: &Probe, _: Duration) -> Result<std::result::Result<(), String>> {
        unimplemented!()
    }
    async fn unpack(&self, _: &LayerSource) -> Result<PathBuf> {
        unimplemented!()
    }
    async fn keep_layers(&self, _: &BTreeSet<String>) -> Result<()> {
        Ok(())
    }
    async fn size_of(&self, _: &Path) -> Result<u64> {
        Ok(0)
    }
    async fn size_of_container(&self, _: &str) -> Result<u64> {
        Ok(0)
    }
    async fn give_file(&self, _: &Path, _: u32) -> Result<()> {
        Ok(())
    }
    async fn give_folder(&self, _: &Path, _: u32) -> Result<()> {
        unimplemented!()
    }
    async fn remove_folder(&self, _: &Path) -> Result<()> {
        unimplemented!()
    }
    async fn run_process(&self, process: &Process) -> Result<()> {
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(&process.log)
            .unwrap();
        let mut command = tokio::process::Command::new(&process.argv[0]);
        let gate = process.gate.clone().unwrap();
        #[expect(unsafe_code, reason = "a process is held before it is a program")]
        // SAFETY: nothing of this process is used by the child but its copies of what it has.
        unsafe {
            command.pre_exec(move || Gate::open(&gate)?.pass());
        }
        let mut child = command
            .args(&process.argv[1..])
            .current_dir(&process.folder)
            .stdin(std::process::Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        *self.pid.lock().unwrap() = child.id();
        let (events, name) = (self.events.clone(), process.name.clone());
        let task = tokio::spawn(async move {
            let code = child.wait().await.unwrap().code().unwrap_or(137);
            let _ = events.send(Event::ProcessExited { name, code });
        });
        let old = self.running.lock().await.insert(process.name.clone(), task);
        if let Some(old) = old {
            old.abort();
        }
        Ok(())
    }
    async fn shutdown(&self) -> Result<()> {
        Ok(())
    }
}
