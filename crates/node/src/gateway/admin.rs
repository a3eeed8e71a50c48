//! Envoy's admin interface, over its unix socket.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use http::{Method, Request};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::UnixStream;

const TIMEOUT: Duration = Duration::from_secs(2);
const MAX_ANSWER: usize = 4 << 20;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// A client of one Envoy.
#[derive(Debug)]
pub(super) struct Admin {
    socket: PathBuf,
}

/// What Envoy counted of one discovery service since it started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counters {
    pub(super) attempts: u64,
    pub(super) successes: u64,
    /// Refused or unreadable.
    pub(super) refusals: u64,
}

#[derive(Deserialize)]
struct Stats {
    stats: Vec<Stat>,
}

#[derive(Deserialize)]
struct Stat {
    #[serde(default)]
    name: String,
    #[serde(default)]
    value: serde_json::Value,
}

impl Admin {
    pub(super) fn new(socket: PathBuf) -> Self {
        Self { socket }
    }

    /// The counters of all discovery services, by service.
    pub(super) async fn counters(&self) -> Result<BTreeMap<String, Counters>, Failure> {
        let body = self
            .call(Method::GET, "/stats?format=json&filter=ds.*update_")
            .await?;
        let stats: Stats = serde_json::from_slice(&body)?;
        Ok(collect(&stats))
    }

    /// Lets Envoy open its log files again after they were moved.
    pub(super) async fn reopen_logs(&self) -> Result<(), Failure> {
        self.call(Method::POST, "/reopen_logs").await.map(drop)
    }

    async fn call(&self, method: Method, path: &str) -> Result<Vec<u8>, Failure> {
        tokio::time::timeout(TIMEOUT, self.exchange(method, path)).await?
    }

    async fn exchange(&self, method: Method, path: &str) -> Result<Vec<u8>, Failure> {
        let stream = UnixStream::connect(&self.socket).await?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(http::header::HOST, "admin")
            .body(Empty::<bytes::Bytes>::new())?;
        let answer = async {
            let response = sender.send_request(request).await?;
            if !response.status().is_success() {
                return Err(Failure::from(response.status().to_string()));
            }
            let body = Limited::new(response.into_body(), MAX_ANSWER);
            Ok(body.collect().await?.to_bytes().to_vec())
        };
        tokio::pin!(connection, answer);
        tokio::select! {
            biased;
            answer = &mut answer => answer,
            ended = &mut connection => {
                ended?;
                answer.await
            }
        }
    }
}

fn collect(stats: &Stats) -> BTreeMap<String, Counters> {
    let mut found: BTreeMap<String, Counters> = BTreeMap::new();
    for stat in &stats.stats {
        let (Some((scope, counter)), Some(value)) =
            (stat.name.rsplit_once(".update_"), stat.value.as_u64())
        else {
            continue;
        };
        let service = scope.rsplit('.').next().unwrap_or(scope);
        let counters = found.entry(service.to_owned()).or_default();
        match counter {
            "attempt" => counters.attempts = value,
            "success" => counters.successes = value,
            "rejected" | "failure" => counters.refusals += value,
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_found_by_service() {
        let stats: Stats = serde_json::from_value(serde_json::json!({"stats": [
            {"name": "cluster_manager.cds.update_attempt", "value": 3},
            {"name": "cluster_manager.cds.update_rejected", "value": 1},
            {"name": "cluster_manager.cds.update_failure", "value": 1},
            {"name": "cluster_manager.cds.update_duration", "value": "No recorded values"},
            {"name": "http.port-80.rds.rds-80.update_success", "value": 2},
            {"histograms": {}},
        ]}))
        .unwrap();
        let found = collect(&stats);
        assert_eq!(found["cds"].attempts, 3);
        assert_eq!(found["cds"].refusals, 2);
        assert_eq!(found["rds-80"].successes, 2);
    }
}
