//! Writers and readers of objects of two kilobytes.

use std::{
    ops::Range,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::Method;
use serde_json::json;
use tokio::task::JoinSet;

use super::client::{Connection, Target};
use crate::run::Trouble;

/// Where the objects are.
const NAMESPACE: &str = "bench";
/// Fields of an object, and letters of each: two kilobytes together.
const FIELDS: usize = 10;
const LETTERS: usize = 180;
/// Objects that each writer updates in turn.
const OWN: usize = 20;
/// How long a new kind may take until it is served.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A `ConfigMap`.
    Map,
    /// A custom resource with a schema.
    Record,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Map => "configmaps",
            Self::Record => "custom",
        }
    }

    /// The path of an object; of all if the name is empty.
    pub(crate) fn path(self, name: &str) -> String {
        let slash = if name.is_empty() { "" } else { "/" };
        match self {
            Self::Map => format!("/api/v1/namespaces/{NAMESPACE}/configmaps{slash}{name}"),
            Self::Record => {
                format!("/apis/bench.example.com/v1/namespaces/{NAMESPACE}/records{slash}{name}")
            }
        }
    }

    /// An object as JSON. Its text is put together here, since a tree would cost this program more
    /// than all else of a request.
    fn object(self, name: &str, version: &str, mark: &str) -> Bytes {
        let value = format!("{mark:x<LETTERS$}");
        let fields: Vec<String> = (0..FIELDS)
            .map(|field| format!(r#""field-{field}":"{value}""#))
            .collect();
        let fields = fields.join(",");
        let (group, kind, content) = match self {
            Self::Map => ("v1", "ConfigMap", format!(r#""data":{{{fields}}}"#)),
            Self::Record => (
                "bench.example.com/v1",
                "Record",
                format!(r#""spec":{{"fields":{{{fields}}},"replicas":3}}"#),
            ),
        };
        let version = if version.is_empty() {
            String::new()
        } else {
            format!(r#","resourceVersion":"{version}""#)
        };
        let metadata = format!(r#"{{"name":"{name}","namespace":"{NAMESPACE}"{version}}}"#);
        format!(r#"{{"apiVersion":"{group}","kind":"{kind}","metadata":{metadata},{content}}}"#)
            .into()
    }
}

/// Makes the namespace and the custom kind.
pub(crate) async fn prepare(target: &Target) -> Result<(), Trouble> {
    let mut connection = Connection::open(target).await?;
    let namespace = json!({
        "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE},
    });
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "records.bench.example.com"},
        "spec": {
            "group": "bench.example.com", "scope": "Namespaced",
            "names": {"plural": "records", "singular": "record", "kind": "Record", "listKind": "RecordList"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {
                "type": "object",
                "properties": {"spec": {
                    "type": "object",
                    "required": ["fields"],
                    "properties": {
                        "replicas": {"type": "integer", "minimum": 0},
                        "fields": {"type": "object", "additionalProperties": {"type": "string", "maxLength": 1000}},
                    },
                }},
            }}}],
        },
    });
    for (path, object) in [
        ("/api/v1/namespaces", namespace),
        (
            "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
            definition,
        ),
    ] {
        let body = Bytes::from(object.to_string());
        connection.ask(Method::POST, path, body).await?;
    }
    let deadline = Instant::now() + PATIENCE;
    loop {
        match connection.get(&Kind::Record.path("")).await {
            Ok(_) => return Ok(()),
            Err(error) if Instant::now() > deadline => return Err(error),
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

/// How long things took.
#[derive(Debug, Default)]
pub(crate) struct Times(Vec<Duration>);

impl Times {
    pub(crate) fn new(mut times: Vec<Duration>) -> Self {
        times.sort();
        Self(times)
    }

    /// What this share of them did not exceed, in milliseconds.
    pub(crate) fn at(&self, share: f64) -> f64 {
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share of a count"
        )]
        let at = (self.0.len() as f64 * share) as usize;
        let at = at.min(self.0.len().saturating_sub(1));
        self.0.get(at).map_or(0.0, |time| time.as_secs_f64() * 1e3)
    }
}

/// What writers did.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) times: Times,
    took: Duration,
}

impl Told {
    /// Writes in a second.
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    pub(crate) fn rate(&self) -> f64 {
        self.times.0.len() as f64 / self.took.as_secs_f64()
    }

    /// Microseconds of a processor that each write took, of all that were taken.
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    pub(crate) fn share(&self, busy: Duration) -> f64 {
        busy.as_secs_f64() * 1e6 / self.times.0.len() as f64
    }
}

/// Which writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Write {
    Create,
    Update,
}

impl Write {
    /// Several of them.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Create => "creates",
            Self::Update => "updates",
        }
    }
}

/// Some writers of a kind for a while.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) kind: Kind,
    pub(crate) write: Write,
    pub(crate) writers: usize,
    pub(crate) lasting: Duration,
}

/// One of the writers of a load, before it begins.
pub(crate) struct Writer {
    connection: Connection,
    number: usize,
    /// The objects it updates, with their versions.
    own: Vec<(String, String)>,
}

impl Load {
    /// Connects the writers and makes what they update.
    pub(crate) async fn ready(self, target: &Target) -> Result<Vec<Writer>, Trouble> {
        let mut writers = Vec::new();
        for number in 0..self.writers {
            let mut connection = Connection::open(target).await?;
            let own = match self.write {
                Write::Create => Vec::new(),
                Write::Update => self.own(&mut connection, number).await?,
            };
            writers.push(Writer {
                connection,
                number,
                own,
            });
        }
        Ok(writers)
    }

    /// Lets all of them write.
    pub(crate) async fn run(self, writers: Vec<Writer>) -> Result<Told, Trouble> {
        let begin = Instant::now();
        let end = begin + self.lasting;
        let mut tasks = JoinSet::new();
        for writer in writers {
            match self.write {
                Write::Create => tasks.spawn(self.create(writer, end)),
                Write::Update => tasks.spawn(self.update(writer, end)),
            };
        }
        told(tasks, begin).await
    }

    async fn create(self, mut writer: Writer, end: Instant) -> Result<Vec<Duration>, Trouble> {
        let path = self.kind.path("");
        let mut times = Vec::new();
        while Instant::now() < end {
            let name = format!("w{}-{}-{}", self.writers, writer.number, times.len());
            let body = self.kind.object(&name, "", "created");
            let began = Instant::now();
            writer.connection.ask(Method::POST, &path, body).await?;
            times.push(began.elapsed());
        }
        Ok(times)
    }

    /// The objects of one writer with their versions.
    async fn own(
        self,
        connection: &mut Connection,
        writer: usize,
    ) -> Result<Vec<(String, String)>, Trouble> {
        let mut own = Vec::new();
        for number in 0..OWN {
            let name = format!("u{}-{writer}-{number}", self.writers);
            let body = self.kind.object(&name, "", "created");
            let answer = connection
                .ask(Method::POST, &self.kind.path(""), body)
                .await?;
            own.push((name, version(&answer)?));
        }
        Ok(own)
    }

    async fn update(self, mut writer: Writer, end: Instant) -> Result<Vec<Duration>, Trouble> {
        let mut times = Vec::new();
        while Instant::now() < end {
            let at = times.len() % writer.own.len();
            let (name, version_now) = &mut writer.own[at];
            let mark = format!("updated-{}-", times.len());
            let body = self.kind.object(name, version_now, &mark);
            let path = self.kind.path(name);
            let began = Instant::now();
            let answer = writer.connection.ask(Method::PUT, &path, body).await?;
            times.push(began.elapsed());
            *version_now = version(&answer)?;
        }
        Ok(times)
    }
}

async fn told(
    mut tasks: JoinSet<Result<Vec<Duration>, Trouble>>,
    begin: Instant,
) -> Result<Told, Trouble> {
    let mut times = Vec::new();
    while let Some(one) = tasks.join_next().await {
        times.extend(
            one.map_err(|error| Trouble::Output("a writer".to_owned(), error.to_string()))??,
        );
    }
    Ok(Told {
        times: Times::new(times),
        took: begin.elapsed(),
    })
}

/// The version of an object, without reading the rest.
pub(crate) fn version(object: &[u8]) -> Result<String, Trouble> {
    let key = b"\"resourceVersion\":\"";
    let at = memchr::memmem::find(object, key);
    let rest = at.and_then(|at| object.get(at + key.len()..));
    let digits = rest.map(|rest| rest.iter().take_while(|byte| byte.is_ascii_digit()));
    digits
        .map(|digits| digits.map(|digit| char::from(*digit)).collect())
        .ok_or_else(|| Trouble::Output("an answer".to_owned(), "no version".to_owned()))
}

/// Creates the objects of these numbers.
pub(crate) async fn fill(
    target: &Target,
    kind: Kind,
    writers: usize,
    numbers: Range<usize>,
) -> Result<(), Trouble> {
    let mut tasks = JoinSet::new();
    for writer in 0..writers {
        let mut connection = Connection::open(target).await?;
        let own = numbers.clone().skip(writer).step_by(writers);
        tasks.spawn(async move {
            for number in own {
                let name = format!("m{number}");
                let body = kind.object(&name, "", "filled");
                connection.ask(Method::POST, &kind.path(""), body).await?;
            }
            Ok(Vec::new())
        });
    }
    told(tasks, Instant::now()).await.map(drop)
}

/// Milliseconds that each of some lists took until its last byte.
pub(crate) async fn lists(target: &Target, kind: Kind, count: usize) -> Result<Vec<f64>, Trouble> {
    let mut connection = Connection::open(target).await?;
    let mut times = Vec::new();
    for _ in 0..count {
        let began = Instant::now();
        connection.get(&kind.path("")).await?;
        times.push(began.elapsed().as_secs_f64() * 1e3);
    }
    Ok(times)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found() {
        let object = br#"{"metadata":{"name":"x","resourceVersion":"42"}}"#;
        assert_eq!(version(object).unwrap(), "42");
        assert!(version(b"{}").is_err());
    }

    #[test]
    fn shares_of_times() {
        let times = Times::new((1..=100).rev().map(Duration::from_millis).collect());
        assert!((times.at(0.5) - 51.0).abs() < 1e-9);
        assert!((times.at(0.99) - 100.0).abs() < 1e-9);
        assert!(Times::default().at(0.5).abs() < 1e-9);
    }

    #[test]
    fn objects_have_two_kilobytes() {
        for kind in [Kind::Map, Kind::Record] {
            let text = kind.object("name", "1", "mark");
            let length = text.len();
            assert!((1_950..2_250).contains(&length), "{length}");
            let object: serde_json::Value = serde_json::from_slice(&text).unwrap();
            assert_eq!(object["metadata"]["resourceVersion"], "1");
        }
    }
}
