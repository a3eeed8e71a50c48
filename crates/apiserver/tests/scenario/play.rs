//! Plays a scenario against a server and writes down the answers.

use std::{
    collections::BTreeMap,
    io::Read as _,
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use flate2::read::GzDecoder;
use futures::StreamExt as _;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt as _, BodyStream};
use kube::client::Body;
use serde_json::{Map, Value, json};

use super::{
    Action, Condition, Scenario, Step,
    normal::Names,
    path::{find, text},
};

/// Headers of every answer that are compared when they are there.
const USUAL: [&str; 6] = [
    "content-type",
    "warning",
    "allow",
    "location",
    "retry-after",
    "www-authenticate",
];
/// What stands in an answer when the scenario could not go on.
pub(crate) const STOPPED: &str = "stopped";
/// How long an answer, an event or a condition may take. A busy oracle leaves out what it sends at its
/// leisure, like bookmarks, several times over.
const PATIENCE: Duration = Duration::from_secs(90);

/// A server, as seen by its administrator and by anybody.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) admin: kube::Client,
    pub(crate) anybody: kube::Client,
    /// Where the oracle keeps its history. Here history forgets by itself.
    pub(crate) etcd: Option<String>,
}

/// The answers to every step; up to the first that cannot be played, which
/// is answered by what stopped it.
pub(crate) async fn play(target: &Target, scenario: &Scenario) -> Vec<Value> {
    let mut player = Player {
        target,
        variables: BTreeMap::from([("ns".to_owned(), scenario.name.clone())]),
        names: Names::default(),
        watches: BTreeMap::new(),
    };
    player.prepare().await;
    let mut answers = Vec::new();
    for step in &scenario.steps {
        let answer = match tokio::time::timeout(PATIENCE, player.step(step)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(why)) => json!({STOPPED: why}),
            Err(_) => json!({STOPPED: format!("no answer after {PATIENCE:?}")}),
        };
        let stopped = answer.get(STOPPED).is_some();
        answers.push(answer);
        if stopped {
            break;
        }
    }
    answers
}

struct Player<'a> {
    target: &'a Target,
    variables: BTreeMap<String, String>,
    names: Names,
    watches: BTreeMap<String, Watch>,
}

/// An answer, read to its end.
struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Value,
}

impl Player<'_> {
    /// Gives the scenario a namespace, with all that the server puts into one.
    async fn prepare(&self) {
        let namespace = json!({"metadata": {"name": self.variables["ns"]}});
        let request = Request::post("/api/v1/namespaces")
            .header("content-type", "application/json")
            .body(Body::from(namespace.to_string().into_bytes()))
            .unwrap();
        let answer = self.target.admin.send(request).await.unwrap();
        assert_eq!(answer.status(), 201, "the namespace of the scenario");
        for made in ["serviceaccounts/default", "configmaps/kube-root-ca.crt"] {
            let path = format!("/api/v1/namespaces/{}/{made}", self.variables["ns"]);
            let begin = Instant::now();
            while self.status(&path).await != 200 {
                assert!(begin.elapsed() < PATIENCE, "{path} is not made");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }

    async fn status(&self, path: &str) -> u16 {
        let request = Request::get(path).body(Body::empty()).unwrap();
        self.target
            .admin
            .send(request)
            .await
            .unwrap()
            .status()
            .as_u16()
    }

    async fn step(&mut self, step: &Step) -> Result<Value, String> {
        let (request, mut answer) = match &step.action {
            Action::Request { method, path } => {
                for round in 1..step.times {
                    self.variables.insert("round".into(), format!("{round:03}"));
                    self.request(step, method, &self.filled(path)).await?;
                }
                let last = format!("{:03}", step.times);
                self.variables.insert("round".into(), last);
                let answer = self.request(step, method, &self.filled(path)).await?;
                (format!("{method} {path}"), answer)
            }
            Action::Watch { name, path } => {
                let response = self.send(step, "GET", &self.filled(path)).await?;
                let (watch, answer) = Watch::open(response).await;
                self.watches.insert(name.clone(), watch);
                (format!("WATCH {path}"), answer)
            }
            Action::Events { name, count } => {
                let watch = self.watches.get_mut(name);
                let watch = watch.ok_or_else(|| format!("there is no watch {name}"))?;
                let mut events = Value::Array(watch.events(*count).await?);
                self.keep(step, &events)?;
                self.names.normal(&mut events);
                return Ok(json!({"step": step.title, "events": events}));
            }
            Action::Forget { version } => {
                let version = self.filled(version);
                if let Some(etcd) = &self.target.etcd {
                    forget(etcd, &version).await?;
                }
                return Ok(json!({"step": step.title}));
            }
        };
        self.keep(step, &answer.body)?;
        self.keep_headers(step, &answer.headers)?;
        let mut told = Map::new();
        told.insert("step".into(), json!(step.title));
        told.insert("request".into(), json!(request));
        self.names.normal(&mut answer.body);
        if step.hidden {
            return Ok(Value::Object(told));
        }
        told.insert("status".into(), json!(answer.status));
        told.insert("headers".into(), self.headers(step, &answer.headers));
        if step.only.is_empty() {
            told.insert("body".into(), answer.body);
        } else {
            let parts = step.only.iter().map(|path| {
                let found: Vec<Value> = find(&answer.body, path).into_iter().cloned().collect();
                (path.clone(), Value::Array(found))
            });
            told.insert("parts".into(), Value::Object(parts.collect()));
        }
        Ok(Value::Object(told))
    }

    /// Asks, again and again if something is waited for.
    async fn request(&self, step: &Step, method: &str, path: &str) -> Result<Answer, String> {
        loop {
            let answer = whole(self.send(step, method, path).await?).await;
            let done = match &step.until {
                None => true,
                Some(Condition::Status(code)) => answer.status == *code,
                Some(Condition::Value { path, text: wanted }) => find(&answer.body, path)
                    .iter()
                    .any(|value| text(value) == *wanted),
            };
            if done {
                return Ok(answer);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn send(&self, step: &Step, method: &str, path: &str) -> Result<Response<Body>, String> {
        let mut request = Request::builder().method(method).uri(path);
        let mut content_type = None;
        let mut agent = "scenario/1";
        for (name, value) in &step.headers {
            match name.to_lowercase().as_str() {
                "content-type" => content_type = Some(self.filled(value)),
                "user-agent" => agent = value,
                _ => request = request.header(name, self.filled(value)),
            }
        }
        request = request.header("user-agent", agent);
        let body = self.filled(&step.body.replace("{fill}", &"x".repeat(step.fill)));
        let yaml = content_type
            .as_ref()
            .is_some_and(|text| text.contains("yaml"));
        let body = if body.is_empty() || step.raw || yaml {
            body.into_bytes()
        } else {
            let tree: Value = serde_saphyr::from_str(&body).unwrap();
            tree.to_string().into_bytes()
        };
        if !body.is_empty() {
            content_type.get_or_insert_with(|| "application/json".into());
        }
        if let Some(content_type) = content_type {
            request = request.header("content-type", content_type);
        }
        let client = if step.anonymous {
            &self.target.anybody
        } else {
            &self.target.admin
        };
        let sent = client.send(request.body(Body::from(body)).unwrap()).await;
        sent.map_err(|error| format!("{error:?}"))
    }

    fn filled(&self, text: &str) -> String {
        self.variables
            .iter()
            .fold(text.to_owned(), |text, (name, value)| {
                text.replace(&format!("{{{name}}}"), value)
            })
    }

    fn keep(&mut self, step: &Step, body: &Value) -> Result<(), String> {
        for (name, path) in &step.keep {
            let found = find(body, path);
            let value = found.first();
            let value = value.ok_or_else(|| format!("nothing at {path} in {body}"))?;
            self.variables.insert(name.clone(), text(value));
        }
        Ok(())
    }

    fn keep_headers(&mut self, step: &Step, headers: &HeaderMap) -> Result<(), String> {
        for (name, header) in &step.keep_headers {
            let found = headers.get(header).and_then(|value| value.to_str().ok());
            let value = found.ok_or_else(|| format!("no header {header} in {headers:?}"))?;
            self.variables.insert(name.clone(), value.to_owned());
        }
        Ok(())
    }

    fn headers(&mut self, step: &Step, headers: &HeaderMap) -> Value {
        let compared = step.compared.iter().map(String::as_str);
        let mut told = Map::new();
        for name in USUAL.into_iter().chain(compared) {
            let values: Vec<Value> = headers
                .get_all(name)
                .iter()
                .map(|value| json!(self.names.text(value.to_str().unwrap())))
                .collect();
            if !values.is_empty() {
                told.insert(name.into(), Value::Array(values));
            }
        }
        Value::Object(told)
    }
}

/// Makes etcd forget what was before a version, and leaves there what tells Kubernetes so: what it
/// does by itself every few minutes.
async fn forget(etcd: &str, version: &str) -> Result<(), String> {
    let text = |text: &str| STANDARD.encode(text);
    let told = json!({"key": text("compact_rev_key"), "value": text(version)});
    let asked = [("put", told), ("compaction", json!({"revision": version}))];
    for (what, body) in asked {
        let output = tokio::process::Command::new("curl")
            .args(["-fsS", "-d", &body.to_string()])
            .arg(format!("{etcd}/v3/kv/{what}"))
            .output()
            .await
            .unwrap();
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
    }
    Ok(())
}

async fn whole(response: Response<Body>) -> Answer {
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    let gzip = parts.headers.get("content-encoding");
    let bytes = if gzip.is_some_and(|encoding| encoding == "gzip") {
        let mut plain = Vec::new();
        GzDecoder::new(&*bytes).read_to_end(&mut plain).unwrap();
        plain.into()
    } else {
        bytes
    };
    Answer {
        status: parts.status.as_u16(),
        headers: parts.headers,
        body: parsed(&bytes),
    }
}

/// JSON, a stream of JSON as a list, or text.
fn parsed(bytes: &[u8]) -> Value {
    let mut values: Vec<Value> = Vec::new();
    for value in serde_json::Deserializer::from_slice(bytes).into_iter() {
        let Ok(value) = value else {
            return json!(String::from_utf8_lossy(bytes));
        };
        values.push(value);
    }
    match values.len() {
        0 => json!(""),
        1 => values.remove(0),
        _ => Value::Array(values),
    }
}

/// An open watch.
struct Watch {
    body: BodyStream<Body>,
    buffer: Vec<u8>,
}

impl Watch {
    async fn open(response: Response<Body>) -> (Self, Answer) {
        if response.status() != 200 {
            let answer = whole(response).await;
            let body = BodyStream::new(Body::empty());
            return (
                Self {
                    body,
                    buffer: Vec::new(),
                },
                answer,
            );
        }
        let (parts, body) = response.into_parts();
        let answer = Answer {
            status: 200,
            headers: parts.headers,
            body: Value::Null,
        };
        let body = BodyStream::new(body);
        (
            Self {
                body,
                buffer: Vec::new(),
            },
            answer,
        )
    }

    async fn events(&mut self, count: Option<usize>) -> Result<Vec<Value>, String> {
        let mut events = Vec::new();
        while count.is_none_or(|count| events.len() < count) {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                events.push(serde_json::from_slice(&line).unwrap());
                continue;
            }
            let waited = tokio::time::timeout(PATIENCE / 3, self.body.next()).await;
            match waited {
                Err(_) => return Err(format!("no further event; so far: {}", json!(events))),
                Ok(None) => break,
                Ok(Some(frame)) => {
                    let data: Bytes = frame.unwrap().into_data().unwrap_or_default();
                    self.buffer.extend_from_slice(&data);
                }
            }
        }
        Ok(events)
    }
}
