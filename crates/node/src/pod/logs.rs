//! Output of containers, read back from the files the machine writes.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use tokio::{
    fs::File,
    io::{AsyncBufReadExt, BufReader},
};

use super::spec::log;
use crate::index::{Key, Shared};

/// How often a followed file is looked at. Files tell nobody when they grow.
const LOOK: Duration = Duration::from_millis(100);

/// More files than the machine keeps of one run (`{restart}.log`, `{restart}.log.1`, ...).
const ROTATED: usize = 10;

/// Which part of a container's output is wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogOptions {
    /// Container; unset means the only one.
    pub container: Option<String>,
    /// Stay and send what comes.
    pub follow: bool,
    /// Only the last lines.
    pub tail_lines: Option<u64>,
    /// The output of the container's previous run.
    pub previous: bool,
    /// Each line begins with its time.
    pub timestamps: bool,
    /// Only what is younger.
    pub since: Option<Duration>,
    /// Only what is not older than this time.
    pub since_time: Option<Timestamp>,
    /// At most so many bytes.
    pub limit_bytes: Option<u64>,
}

/// Why output cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// The pod, or the container in it, does not exist.
    #[error("{0}")]
    NotFound(String),
    /// The request makes no sense for this pod.
    #[error("{0}")]
    BadRequest(String),
}

/// Output as it comes.
pub type LogStream = BoxStream<'static, io::Result<Bytes>>;

/// A run of a container whose output is read.
#[derive(Debug)]
struct Run {
    index: Shared,
    key: Key,
    uid: String,
    container: String,
    restart: u32,
    file: PathBuf,
}

/// Opens the output of a container, whose logs are below `folder`.
pub async fn read(
    index: &Shared,
    folder: &Path,
    pod: &Pod,
    options: LogOptions,
) -> Result<LogStream, LogError> {
    let container = choose(pod, options.container.as_deref())?;
    let restart = run(pod, &container, options.previous)?;
    let run = Run {
        index: index.clone(),
        key: Key::of(&pod.metadata),
        uid: pod.metadata.uid.clone().unwrap_or_default(),
        file: log(folder, &container, restart),
        container,
        restart,
    };
    let since = options.since.and_then(|age| {
        Timestamp::now()
            .checked_sub(SignedDuration::try_from(age).ok()?)
            .ok()
    });
    let since = since.max(options.since_time);
    let backlog = backlog(&run.file)
        .await
        .map_err(|error| LogError::BadRequest(error.to_string()))?;
    let mut lines: Vec<Line> = backlog.lines;
    lines.retain(|line| since.is_none_or(|since| line.time.is_none_or(|time| time >= since)));
    if let Some(tail) = options.tail_lines {
        let keep = usize::try_from(tail).unwrap_or(usize::MAX);
        lines.drain(..lines.len().saturating_sub(keep));
    }
    let timestamps = options.timestamps;
    let past = stream::iter(lines).map(move |line| Ok(line.show(timestamps)));
    let all: LogStream = if options.follow && !options.previous {
        let future = follow(run, backlog.reader).map(move |line| Ok(line?.show(timestamps)));
        past.chain(future).boxed()
    } else {
        past.boxed()
    };
    Ok(match options.limit_bytes {
        Some(limit) => limited(all, limit),
        None => all,
    })
}

/// The container that is meant.
pub(super) fn choose(pod: &Pod, wanted: Option<&str>) -> Result<String, LogError> {
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    let Some(spec) = &pod.spec else {
        return Err(LogError::NotFound(format!(
            "pod {name:?} has no containers"
        )));
    };
    match (wanted, spec.containers.as_slice()) {
        (Some(wanted), _) => match super::spec_of(pod, wanted) {
            Some(_) => Ok(wanted.to_owned()),
            None => Err(LogError::BadRequest(format!(
                "container {wanted} is not valid for pod {name}"
            ))),
        },
        (None, [only]) => Ok(only.name.clone()),
        (None, several) => {
            let names: Vec<&str> = several
                .iter()
                .map(|container| container.name.as_str())
                .collect();
            Err(LogError::BadRequest(format!(
                "a container name must be specified for pod {name}, choose one of: [{}]",
                names.join(" ")
            )))
        }
    }
}

/// The number of the run that is meant.
fn run(pod: &Pod, container: &str, previous: bool) -> Result<u32, LogError> {
    let status = pod.status.as_ref();
    let lists = status.map(|s| {
        [
            &s.init_container_statuses,
            &s.container_statuses,
            &s.ephemeral_container_statuses,
        ]
    });
    let mut all = lists.into_iter().flatten().flatten().flatten();
    let found = all.find(|status| status.name == container);
    let restarts = found.map_or(0, |found| {
        u32::try_from(found.restart_count).unwrap_or_default()
    });
    let state = found.and_then(|found| found.state.as_ref());
    let waits = state.and_then(|state| state.waiting.as_ref());
    let ran = found.is_some_and(|found| found.last_state.is_some());
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    if previous {
        // While a container waits to run again, its last run already counts as the previous one.
        let back_off = waits.is_some_and(|w| w.reason.as_deref() == Some("CrashLoopBackOff"));
        let number = if back_off {
            Some(restarts)
        } else {
            restarts.checked_sub(1)
        };
        return number.ok_or_else(|| {
            let text =
                format!("previous terminated container {container:?} in pod {name:?} not found");
            LogError::BadRequest(text)
        });
    }
    match (found, waits) {
        (None, _) => Err(LogError::BadRequest(format!(
            "container {container:?} in pod {name:?} is waiting to start"
        ))),
        (Some(_), Some(waiting)) if !ran => Err(LogError::BadRequest(format!(
            "container {container:?} in pod {name:?} is waiting to start: {}",
            waiting.reason.as_deref().unwrap_or("ContainerCreating")
        ))),
        (Some(_), Some(waiting)) if waiting.reason.as_deref() != Some("CrashLoopBackOff") => {
            Ok(restarts.saturating_sub(1))
        }
        (Some(_), _) => Ok(restarts),
    }
}

/// A line in CRI format: time, stream, `F` for whole or `P` for a part, text.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Line {
    time: Option<Timestamp>,
    stamp: String,
    text: Vec<u8>,
}

impl Line {
    fn parse(raw: &[u8]) -> Self {
        let raw = raw.strip_suffix(b"\n").unwrap_or(raw);
        let mut parts = raw.splitn(4, |byte| *byte == b' ');
        let (stamp, tag, text) = (parts.next(), parts.nth(1), parts.next());
        let stamp = String::from_utf8_lossy(stamp.unwrap_or_default()).into_owned();
        let Ok(time) = stamp.parse() else {
            let text = [raw, b"\n".as_slice()].concat();
            return Self {
                time: None,
                stamp: String::new(),
                text,
            };
        };
        let mut text = text.unwrap_or_default().to_vec();
        if tag != Some(b"P") {
            text.push(b'\n');
        }
        Self {
            time: Some(time),
            stamp,
            text,
        }
    }

    fn show(self, timestamps: bool) -> Bytes {
        if timestamps && !self.stamp.is_empty() {
            Bytes::from([self.stamp.as_bytes(), b" ", &self.text].concat())
        } else {
            Bytes::from(self.text)
        }
    }
}

/// What there is, and where reading stopped.
struct Backlog {
    lines: Vec<Line>,
    reader: Option<Tail>,
}

/// A file read to its present end.
struct Tail {
    reader: BufReader<File>,
    rest: Vec<u8>,
}

impl Tail {
    async fn open(path: &Path) -> io::Result<Option<Self>> {
        match File::open(path).await {
            Ok(file) => Ok(Some(Self {
                reader: BufReader::new(file),
                rest: Vec::new(),
            })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The next whole line, if there is one by now.
    async fn next(&mut self) -> io::Result<Option<Line>> {
        self.reader.read_until(b'\n', &mut self.rest).await?;
        if self.rest.last() != Some(&b'\n') {
            return Ok(None);
        }
        Ok(Some(Line::parse(&std::mem::take(&mut self.rest))))
    }

    /// Whether another file has taken the name of this one.
    async fn is_rotated(&self, path: &Path) -> bool {
        use std::os::unix::fs::MetadataExt as _;
        let mine = self
            .reader
            .get_ref()
            .metadata()
            .await
            .map(|meta| meta.ino());
        let named = tokio::fs::metadata(path).await.map(|meta| meta.ino());
        matches!((mine, named), (Ok(mine), Ok(named)) if mine != named)
    }
}

async fn backlog(path: &Path) -> io::Result<Backlog> {
    let mut lines = Vec::new();
    for age in (1..ROTATED).rev() {
        let mut older = path.as_os_str().to_owned();
        older.push(format!(".{age}"));
        if let Some(mut tail) = Tail::open(Path::new(&older)).await? {
            while let Some(line) = tail.next().await? {
                lines.push(line);
            }
        }
    }
    let mut reader = Tail::open(path).await?;
    if let Some(tail) = &mut reader {
        while let Some(line) = tail.next().await? {
            lines.push(line);
        }
    }
    Ok(Backlog { lines, reader })
}

/// What comes, until the run has ended and all of it is read.
fn follow(run: Run, tail: Option<Tail>) -> impl futures::Stream<Item = io::Result<Line>> + Send {
    stream::try_unfold((run, tail), |(run, mut tail)| async move {
        loop {
            let over = run.is_over();
            if tail.is_none() {
                tail = Tail::open(&run.file).await?;
            }
            if let Some(open) = &mut tail {
                if let Some(line) = open.next().await? {
                    return Ok(Some((line, (run, tail))));
                }
                if open.is_rotated(&run.file).await {
                    // What was written between the last look and the rotation.
                    if let Some(line) = open.next().await? {
                        return Ok(Some((line, (run, tail))));
                    }
                    tail = None;
                    continue;
                }
            }
            if over {
                return Ok(None);
            }
            tokio::time::sleep(LOOK).await;
        }
    })
}

impl Run {
    /// Whether nothing more will be written.
    fn is_over(&self) -> bool {
        let index = self.index.read();
        let Some(pod) = index.pods.get(&self.key) else {
            return true;
        };
        if pod.metadata.uid.as_deref() != Some(&self.uid) {
            return true;
        }
        let lists = pod
            .status
            .as_ref()
            .map(|s| [&s.init_container_statuses, &s.container_statuses]);
        let mut all = lists.into_iter().flatten().flatten().flatten();
        all.find(|status| status.name == self.container)
            .is_some_and(|status| {
                let runs = status
                    .state
                    .as_ref()
                    .is_some_and(|state| state.running.is_some());
                let number = u32::try_from(status.restart_count).unwrap_or_default();
                !(runs && number == self.restart)
            })
    }
}

fn limited(stream: LogStream, limit: u64) -> LogStream {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    stream
        .scan(limit, |left, item| {
            let item = item.map(|mut bytes| {
                bytes.truncate(*left);
                *left -= bytes.len();
                bytes
            });
            let done = matches!(&item, Ok(bytes) if bytes.is_empty());
            futures::future::ready((!done).then_some(item))
        })
        .boxed()
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json};

    use super::*;

    const OUTPUT: &str = "2026-01-01T00:00:00.5Z stdout F one\n\
                          2026-01-01T00:00:01Z stderr P tw\n\
                          2026-01-01T00:00:02Z stderr F o\n";

    async fn check(options: LogOptions, expected: &str) {
        let folder = tempfile::tempdir().unwrap();
        let pod: Pod = from_value(json!({
            "metadata": {"name": "p", "namespace": "ns", "uid": "u"},
            "spec": {"containers": [{"name": "main"}]},
            "status": {"containerStatuses": [{"name": "main", "image": "", "imageID": "",
                "ready": false, "restartCount": 1,
                "state": {"terminated": {"exitCode": 0}}}]},
        }))
        .unwrap();
        let file = log(folder.path(), "main", 1);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, OUTPUT).unwrap();
        std::fs::write(
            log(folder.path(), "main", 0),
            "2026-01-01T00:00:00Z stdout F zero\n",
        )
        .unwrap();
        let index = Shared::default();
        index.write().apply(pod.clone());
        let stream = read(&index, folder.path(), &pod, options).await.unwrap();
        let parts: Vec<Bytes> = stream.map(Result::unwrap).collect().await;
        assert_eq!(String::from_utf8(parts.concat()).unwrap(), expected);
    }

    #[tokio::test]
    async fn output_is_put_together() {
        check(LogOptions::default(), "one\ntwo\n").await;
        check(
            LogOptions {
                tail_lines: Some(1),
                ..LogOptions::default()
            },
            "o\n",
        )
        .await;
        check(
            LogOptions {
                limit_bytes: Some(5),
                ..LogOptions::default()
            },
            "one\nt",
        )
        .await;
        check(
            LogOptions {
                previous: true,
                ..LogOptions::default()
            },
            "zero\n",
        )
        .await;
        check(
            LogOptions {
                follow: true,
                ..LogOptions::default()
            },
            "one\ntwo\n",
        )
        .await;
        let since_time = Some("2026-01-01T00:00:01.5Z".parse().unwrap());
        check(
            LogOptions {
                since_time,
                ..LogOptions::default()
            },
            "o\n",
        )
        .await;
        let timestamps = LogOptions {
            timestamps: true,
            tail_lines: Some(1),
            ..LogOptions::default()
        };
        check(timestamps, "2026-01-01T00:00:02Z o\n").await;
    }
}
