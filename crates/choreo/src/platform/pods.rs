//! The API's way to what pods print: the node, once there is one.

use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use choreo_apiserver::{LogOptions, LogStream, PodAccess, PodError};
use choreo_node::{LogError, Node};

/// The node that runs now.
#[derive(Default)]
pub(super) struct Pods(RwLock<Option<Arc<Node>>>);

impl Pods {
    /// From now on, this node is asked (or none).
    pub(super) fn ask(&self, node: Option<Arc<Node>>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = node;
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
        let node = self
            .0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let node =
            node.ok_or_else(|| PodError::BadRequest("the data plane is starting".to_owned()))?;
        node.logs(namespace, pod, of_node(options)?)
            .await
            .map_err(|error| match error {
                LogError::NotFound(message) => PodError::NotFound(message),
                LogError::BadRequest(message) => PodError::BadRequest(message),
            })
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
