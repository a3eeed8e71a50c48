//! The API's way to what pods print and run: the node, once there is one.

use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use choreo_apiserver::{
    AttachOptions, ExecOptions, Input, LogOptions, LogStream, Output, PodAccess, PodError,
    PodPorts, Session,
};
use choreo_node::{
    LogError, Node,
    machine::{Chunk, Feed},
};
use tokio::sync::mpsc;

/// The node that runs now.
#[derive(Default)]
pub(super) struct Pods(RwLock<Option<Arc<Node>>>);

impl Pods {
    /// From now on, this node is asked (or none).
    pub(super) fn ask(&self, node: Option<Arc<Node>>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = node;
    }

    fn node(&self) -> Result<Arc<Node>, PodError> {
        let node = self
            .0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        node.ok_or_else(|| PodError::BadRequest("the data plane is starting".to_owned()))
    }
}

fn refused(error: LogError) -> PodError {
    match error {
        LogError::NotFound(message) => PodError::NotFound(message),
        LogError::BadRequest(message) => PodError::BadRequest(message),
    }
}

#[async_trait]
impl PodAccess for Pods {
    async fn logs(
        &self,
        namespace: &str,
        pod: &str,
        options: LogOptions,
    ) -> Result<LogStream, PodError> {
        self.node()?
            .logs(namespace, pod, of_node(options)?)
            .await
            .map_err(refused)
    }

    async fn exec(
        &self,
        namespace: &str,
        pod: &str,
        options: ExecOptions,
    ) -> Result<Session, PodError> {
        let options = choreo_node::ExecOptions {
            container: options.container,
            command: options.command,
            stdin: options.stdin,
            tty: options.tty,
        };
        let session = self.node()?.exec(namespace, pod, options).await;
        Ok(translate(session.map_err(refused)?))
    }

    async fn attach(
        &self,
        namespace: &str,
        pod: &str,
        options: AttachOptions,
    ) -> Result<Session, PodError> {
        let options = choreo_node::AttachOptions {
            container: options.container,
            stdin: options.stdin,
        };
        let session = self.node()?.attach(namespace, pod, options).await;
        Ok(translate(session.map_err(refused)?))
    }

    async fn ports(&self, namespace: &str, pod: &str) -> Result<Arc<dyn PodPorts>, PodError> {
        let ports = self.node()?.ports(namespace, pod).map_err(refused)?;
        Ok(Arc::new(Ports(ports)))
    }
}

/// The ports of a pod of the node.
struct Ports(choreo_node::Ports);

#[async_trait]
impl PodPorts for Ports {
    async fn connect(&self, port: u16) -> Result<Session, PodError> {
        let connected = self.0.connect(port).await;
        let connected = connected.map_err(|error| PodError::Internal(error.to_string()))?;
        Ok(translate(connected))
    }
}

/// A session of the node as one of the API. Dropping either end drops the other.
fn translate(node: choreo_node::Session) -> Session {
    let (input, mut fed) = mpsc::channel(1);
    let (said, output) = mpsc::channel(1);
    let choreo_node::Session {
        input: feed,
        output: mut chunks,
    } = node;
    tokio::spawn(async move {
        while let Some(input) = fed.recv().await {
            if feed.send(fed_to_node(input)).await.is_err() {
                return;
            }
        }
    });
    tokio::spawn(async move {
        loop {
            let chunk = tokio::select! {
                chunk = chunks.recv() => chunk,
                () = said.closed() => return,
            };
            let Some(chunk) = chunk else { return };
            let output = match chunk {
                Ok(Chunk::Out(bytes)) => Output::Out(bytes.into()),
                Ok(Chunk::Err(bytes)) => Output::Err(bytes.into()),
                Ok(Chunk::Ended(code)) => Output::Ended(code),
                Err(error) => Output::Failed(error.to_string()),
            };
            if said.send(output).await.is_err() {
                return;
            }
        }
    });
    Session { input, output }
}

fn fed_to_node(input: Input) -> Feed {
    match input {
        Input::Data(bytes) => Feed::Data(bytes.into()),
        Input::Resize { columns, rows } => Feed::Resize { columns, rows },
        Input::End => Feed::End,
    }
}

/// The node's form of the same wishes.
fn of_node(options: LogOptions) -> Result<choreo_node::LogOptions, PodError> {
    let since_time = options
        .since_time
        .map(|text| {
            text.parse()
                .map_err(|_| PodError::BadRequest(format!("`{text}` is no time")))
        })
        .transpose()?;
    Ok(choreo_node::LogOptions {
        container: options.container,
        follow: options.follow,
        tail_lines: options.tail_lines,
        previous: options.previous,
        timestamps: options.timestamps,
        since: options.since,
        since_time,
        limit_bytes: options.limit_bytes,
    })
}
