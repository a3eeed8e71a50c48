//! Talking to commands in containers: a session of the machine as two channels.

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

/// A command that runs. It ends when both ends here are dropped.
#[derive(Debug)]
pub struct Session {
    /// To the command.
    pub input: mpsc::Sender<Feed>,
    /// From the command.
    pub output: mpsc::Receiver<Result<Chunk, Error>>,
}

/// Runs a command in a container of `pod`.
pub async fn open(
    machine: Arc<dyn Machine>,
    pod: &Pod,
    options: ExecOptions,
) -> Result<Session, LogError> {
    let container = choose(pod, options.container.as_deref())?;
    let command = Interactive {
        id: running(pod, &container)?,
        argv: options.command,
        stdin: options.stdin,
        tty: options.tty,
    };
    let number = machine.open(&command).await;
    let number = number.map_err(|error| LogError::BadRequest(error.to_string()))?;
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
        init.chain(status.container_statuses.iter().flatten())
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

/// Carries what is fed and what is said until the command ends or its client is gone.
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
