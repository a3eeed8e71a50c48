//! Talking to pods - commands, containers, ports: a session of the machine as two channels.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use tokio::sync::mpsc;

use super::logs::{LogError, choose};
use crate::machine::{Chunk, Error, Feed, Interactive, Machine};

/// Messages that wait in a channel.
const WAITING: usize = 4;

/// A command to run in a container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExecOptions {
    /// Container; unset means the only one.
    pub container: Option<String>,
    /// The command and its arguments.
    pub command: Vec<String>,
    /// Whether there is input.
    pub stdin: bool,
    /// Whether it runs on a terminal.
    pub tty: bool,
}

/// How to talk to what a container runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AttachOptions {
    /// Container; unset means the only one.
    pub container: Option<String>,
    /// Whether there is input.
    pub stdin: bool,
}

/// Something that is talked to. A command or connection ends when both ends here are dropped.
#[derive(Debug)]
pub struct Session {
    /// To it.
    pub input: mpsc::Sender<Feed>,
    /// From it.
    pub output: mpsc::Receiver<Result<Chunk, Error>>,
}

/// Runs a command in a container of `pod`.
pub async fn open(
    machine: Arc<dyn Machine>,
    pod: &Pod,
    options: ExecOptions,
) -> Result<Session, LogError> {
    let container = choose(pod, options.container.as_deref())?;
    let command = Interactive::Exec {
        id: running(pod, &container)?,
        argv: options.command,
        stdin: options.stdin,
        tty: options.tty,
    };
    let session = talk(machine, &command).await;
    session.map_err(|error| LogError::BadRequest(error.to_string()))
}

/// Talks to what a container of `pod` runs.
pub async fn attach(
    machine: Arc<dyn Machine>,
    pod: &Pod,
    options: AttachOptions,
) -> Result<Session, LogError> {
    let container = choose(pod, options.container.as_deref())?;
    let with = Interactive::Attach {
        id: running(pod, &container)?,
        stdin: options.stdin,
    };
    let session = talk(machine, &with).await;
    session.map_err(|error| LogError::BadRequest(error.to_string()))
}

/// The ports of a pod that runs.
#[derive(Clone)]
pub struct Ports {
    machine: Arc<dyn Machine>,
    pod_uid: String,
}

impl Ports {
    /// Those of `pod`.
    pub fn of(machine: Arc<dyn Machine>, pod: &Pod) -> Result<Self, LogError> {
        check_phase(pod)?;
        Ok(Self {
            machine,
            pod_uid: pod.metadata.uid.clone().unwrap_or_default(),
        })
    }

    /// Connects to a port, as from within the pod.
    pub async fn connect(&self, port: u16) -> Result<Session, Error> {
        let with = Interactive::Port {
            pod_uid: self.pod_uid.clone(),
            port,
        };
        talk(Arc::clone(&self.machine), &with).await
    }
}

fn check_phase(pod: &Pod) -> Result<(), LogError> {
    let status = pod.status.as_ref();
    let phase = status.and_then(|status| status.phase.as_deref());
    match phase.unwrap_or("Pending") {
        "Running" => Ok(()),
        other => Err(LogError::BadRequest(format!(
            "unable to forward port because pod is not running. Current status={other}"
        ))),
    }
}

async fn talk(machine: Arc<dyn Machine>, with: &Interactive) -> Result<Session, Error> {
    let number = machine.open(with).await?;
    let (input, fed) = mpsc::channel(WAITING);
    let (said, output) = mpsc::channel(WAITING);
    tokio::spawn(carry(machine, number, fed, said));
    Ok(Session { input, output })
}

/// The id of a container that runs.
fn running(pod: &Pod, container: &str) -> Result<String, LogError> {
    let status = pod.status.as_ref();
    let all = status.into_iter().flat_map(|status| {
        let init = status.init_container_statuses.iter().flatten();
        let added = status.ephemeral_container_statuses.iter().flatten();
        init.chain(status.container_statuses.iter().flatten())
            .chain(added)
    });
    let found: Option<&ContainerStatus> = all.into_iter().find(|status| status.name == container);
    let runs = |status: &&ContainerStatus| {
        let state = status.state.as_ref();
        state.is_some_and(|state| state.running.is_some())
    };
    let id = found
        .filter(runs)
        .and_then(|status| status.container_id.as_deref())
        .and_then(|id| id.split_once("://"));
    id.map(|(_, id)| id.to_owned()).ok_or_else(|| {
        LogError::BadRequest(format!("container {container:?} of the pod does not run"))
    })
}

/// Carries what is fed and what is said until the session ends or its client is gone.
async fn carry(
    machine: Arc<dyn Machine>,
    number: u64,
    mut fed: mpsc::Receiver<Feed>,
    said: mpsc::Sender<Result<Chunk, Error>>,
) {
    let feeding = async {
        while let Some(feed) = fed.recv().await {
            if machine.feed(number, feed).await.is_err() {
                return;
            }
        }
    };
    let saying = async {
        loop {
            let chunk = machine.next(number).await;
            let last = !matches!(chunk, Ok(Chunk::Out(_) | Chunk::Err(_)));
            if said.send(chunk).await.is_err() || last {
                return;
            }
        }
    };
    let both = async {
        tokio::pin!(feeding, saying);
        tokio::select! {
            () = &mut saying => {}
            // Without input it still talks.
            () = &mut feeding => saying.await,
        }
    };
    tokio::select! {
        () = both => {}
        () = said.closed() => {}
    }
    // A machine that is gone has no sessions left.
    let _gone = machine.close(number).await;
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(phase: &str, state: &str) -> Pod {
        let state = json!({state: {}});
        serde_json::from_value(json!({
            "metadata": {"name": "p"},
            "spec": {"containers": [{"name": "c"}]},
            "status": {"phase": phase, "containerStatuses": [{
                "name": "c", "containerID": "choreo://uid-c-0", "state": state,
                "image": "", "imageID": "", "ready": true, "restartCount": 0,
            }]},
        }))
        .unwrap()
    }

    #[test]
    fn only_what_runs_is_talked_to() {
        let runs = pod("Running", "running");
        assert_eq!(running(&runs, "c"), Ok("uid-c-0".to_owned()));
        assert!(running(&runs, "other").is_err());
        assert!(running(&pod("Running", "waiting"), "c").is_err());
        assert_eq!(check_phase(&runs), Ok(()));
        let refused = check_phase(&pod("Succeeded", "running")).unwrap_err();
        assert!(refused.to_string().ends_with("Current status=Succeeded"));
        assert!(check_phase(&Pod::default()).is_err());
    }
}
