//! How soon a hundred watchers see a change.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Method;
use tokio::{sync::mpsc, task::JoinSet};

use super::{
    client::{Connection, Target},
    load::{Kind, Times, version},
};
use crate::run::Trouble;

const WATCHERS: usize = 100;
const CHANGES: usize = 200;
/// Between two changes, so that one is seen before the next.
const PAUSE: Duration = Duration::from_millis(20);
/// How long watchers may take to see the last change.
const PATIENCE: Duration = Duration::from_secs(30);

/// The number of a change, and when a watcher saw it.
type Seen = (usize, Instant);

/// From the request for a change until each watcher has its event.
pub(crate) async fn fan_out(target: &Target) -> Result<Times, Trouble> {
    let mut writer = Connection::open(target).await?;
    let list = writer
        .get(&format!("{}?limit=1", Kind::Map.path("")))
        .await?;
    let path = format!(
        "{}?watch=1&resourceVersion={}",
        Kind::Map.path(""),
        version(&list)?
    );
    let (told, mut seen) = mpsc::unbounded_channel();
    let mut tasks = JoinSet::new();
    for _ in 0..WATCHERS {
        let mut connection = Connection::open(target).await?;
        connection.stream(&path).await?;
        tasks.spawn(watch(connection, told.clone()));
    }
    drop(told);
    let mut sent = Vec::new();
    for number in 0..CHANGES {
        let name = format!("change-{number:05}");
        let object =
            format!(r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"{name}"}}}}"#);
        sent.push(Instant::now());
        writer
            .ask(Method::POST, &Kind::Map.path(""), Bytes::from(object))
            .await?;
        tokio::time::sleep(PAUSE).await;
    }
    let mut times = Vec::new();
    let all = async {
        while times.len() < WATCHERS * CHANGES
            && let Some((number, at)) = seen.recv().await
        {
            times.push(at.duration_since(sent[number]));
        }
    };
    // Fewer than all is told below.
    let _ = tokio::time::timeout(PATIENCE, all).await;
    if times.len() < WATCHERS * CHANGES {
        let why = format!("{} of {} events", times.len(), WATCHERS * CHANGES);
        return Err(Trouble::Output("watchers".to_owned(), why));
    }
    Ok(Times::new(times))
}

/// Tells when each change is seen.
async fn watch(mut connection: Connection, told: mpsc::UnboundedSender<Seen>) {
    let mut rest = Vec::new();
    while let Ok(Some(data)) = connection.part().await {
        let now = Instant::now();
        rest.extend_from_slice(&data);
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = rest.drain(..=end).collect();
            if let Some(number) = number(&line)
                && told.send((number, now)).is_err()
            {
                return;
            }
        }
    }
}

/// Which change an event is about.
fn number(line: &[u8]) -> Option<usize> {
    let key = b"\"change-";
    let at = line.windows(key.len()).position(|part| part == key)? + key.len();
    std::str::from_utf8(line.get(at..at + 5)?)
        .ok()?
        .parse()
        .ok()
}
