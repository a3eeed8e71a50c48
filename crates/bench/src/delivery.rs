//! The controllers on the embedded API, without a node: components and their promotions written from
//! nothing until every object is applied, an edit on its way, another version of a type that all
//! components have, and what is done when nothing happens.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use choreo_compiler::fleet::Fleet;
use clap::Args;
use http::Method;
use serde_json::{Value, json};
use tokio::{runtime::Runtime, task::JoinSet};

use crate::{
    api::{
        client::{Connection, Target},
        folder,
        load::Times,
        server::{Server, Subject},
    },
    compiler::fleet,
    figure::Figure,
    run::Trouble,
};

/// How many write at once.
const WRITERS: usize = 16;
/// Environments of the default pipeline.
const ENVIRONMENTS: usize = 3;
/// Edits that are timed.
const EDITS: usize = 200;
/// Between two looks at the version of the API.
const LOOK: Duration = Duration::from_millis(20);
/// How long nothing is written until the platform is said to rest.
const REST: Duration = Duration::from_secs(2);
/// How long the platform may take to come to rest.
const PATIENCE: Duration = Duration::from_mins(20);

/// What to deliver.
#[derive(Debug, Args)]
#[group(id = "delivery")]
pub(crate) struct Settings {
    /// Numbers of components, each in three environments
    #[arg(long, value_delimiter = ',', default_values_t = [1_000, 10_000])]
    components: Vec<usize>,
    /// How long the largest platform is watched doing nothing, in seconds
    #[arg(long, default_value_t = 600)]
    steady: u64,
}

/// Times, memory and writes of deliveries.
pub(crate) fn measure(settings: &Settings) -> Result<Vec<Figure>, Trouble> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(Trouble::io("starting a runtime"))?;
    let mut figures = Vec::new();
    let mut sizes = settings.components.clone();
    sizes.sort_unstable();
    for (index, components) in sizes.iter().enumerate() {
        let mut bench = Bench::start(&runtime, *components)?;
        bench.first_delivery()?;
        bench.edits()?;
        if index + 1 == sizes.len() {
            bench.type_edit()?;
            bench.steady(Duration::from_secs(settings.steady))?;
        }
        figures.append(&mut bench.figures);
    }
    Ok(figures)
}

/// One platform that is measured.
struct Bench<'a> {
    runtime: &'a Runtime,
    components: usize,
    server: Server,
    target: Target,
    figures: Vec<Figure>,
    _folder: tempfile::TempDir,
}

impl<'a> Bench<'a> {
    fn start(runtime: &'a Runtime, components: usize) -> Result<Self, Trouble> {
        let folder = folder()?;
        let server = Subject::Controlled.start(folder.path())?;
        Ok(Self {
            runtime,
            components,
            target: server.target()?,
            server,
            figures: Vec::new(),
            _folder: folder,
        })
    }

    fn tell(&mut self, name: &str, value: f64, unit: &'static str) -> &mut Figure {
        let name = format!("delivery-of-{}-{name}", self.components);
        self.figures.push(Figure::new(name, value, unit));
        let last = self.figures.len() - 1;
        &mut self.figures[last]
    }

    /// Everything is written at once; the time ends with the last write of the controllers.
    fn first_delivery(&mut self) -> Result<(), Trouble> {
        let documents = documents(self.components)?;
        let began = Instant::now();
        for batch in documents {
            self.runtime.block_on(write(&self.target, batch))?;
        }
        let written = began.elapsed();
        let wanted = self.components * ENVIRONMENTS;
        let (last, _) = self.runtime.block_on(rest(&self.target, wanted))?;
        let took = last.duration_since(began);
        self.runtime.block_on(applied(&self.target, wanted))?;
        let memory = self.server.memory()?;
        let large = self.components >= 10_000;
        self.tell("written", written.as_secs_f64(), "s");
        let figure = self.tell("applied-from-nothing", took.as_secs_f64(), "s");
        figure.goal = large.then_some(60.0);
        #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
        let figure = self.tell("memory", memory as f64 / 1e6, "MB");
        figure.goal = Some(if large { 500.0 } else { 100.0 });
        Ok(())
    }

    /// From the request that changes a workload until its objects are said to be applied.
    fn edits(&mut self) -> Result<(), Trouble> {
        let step = (self.components / EDITS).max(1);
        let mut times = Vec::new();
        for index in (0..self.components).step_by(step).take(EDITS) {
            times.push(self.runtime.block_on(edit(&self.target, index))?);
        }
        let times = Times::new(times);
        self.tell("edit-p50", times.at(0.5), "ms");
        let figure = self.tell("edit-p99", times.at(0.99), "ms");
        figure.goal = Some(50.0);
        Ok(())
    }

    /// Another version of the type that all components have: by autoDeploy each is released again
    /// and rolled out in the first environment.
    fn type_edit(&mut self) -> Result<(), Trouble> {
        let wanted = self.components * ENVIRONMENTS;
        let (_, before) = self.runtime.block_on(rest(&self.target, wanted))?;
        let mut type_ = fleet::changed_type().map_err(|error| input(&error))?;
        let path = place(&type_)?;
        let one = format!(
            "{path}/{}",
            type_["metadata"]["name"].as_str().unwrap_or_default()
        );
        let began = self.runtime.block_on(async {
            let mut connection = Connection::open(&self.target).await?;
            type_["metadata"]["resourceVersion"] = version(&connection.get(&one).await?)?.into();
            let began = Instant::now();
            let body = Bytes::from(type_.to_string());
            connection.ask(Method::PUT, &one, body).await?;
            Ok::<_, Trouble>(began)
        })?;
        let (last, after) = self.runtime.block_on(rest(&self.target, wanted))?;
        let took = last.duration_since(began).as_secs_f64();
        self.tell("type-edit-applied", took, "s");
        #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
        let writes = after.saturating_sub(before) as f64 / self.components as f64;
        self.tell("type-edit-writes-per-component", writes, "");
        Ok(())
    }

    /// What is written, and how busy the process is, while nothing happens. What never came to be ready
    /// would be said to have failed meanwhile, so everything is said to run first.
    fn steady(&mut self, lasting: Duration) -> Result<(), Trouble> {
        let wanted = self.components * ENVIRONMENTS;
        self.runtime.block_on(rest(&self.target, wanted))?;
        self.runtime.block_on(run_all(&self.target))?;
        let (_, before) = self.runtime.block_on(rest(&self.target, wanted))?;
        let busy = self.server.busy()?;
        std::thread::sleep(lasting);
        let busy = self.server.busy()?.saturating_sub(busy);
        let look = async { look(&mut Connection::open(&self.target).await?).await };
        let (_, after) = self.runtime.block_on(look)?;
        #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
        let figure = self.tell("steady-writes", after.saturating_sub(before) as f64, "");
        figure.goal = Some(0.0);
        let share = busy.as_secs_f64() / lasting.as_secs_f64() * 100.0;
        let figure = self.tell("steady-share-of-a-core", share, "%");
        figure.goal = Some(1.0);
        Ok(())
    }
}

/// What people write: first what the platform comes with, then everything else in any order, the
/// promotions included.
fn documents(components: usize) -> Result<[Vec<Value>; 2], Trouble> {
    let all: Vec<Value> = fleet::manifests(components)
        .map_err(|error| input(&error))?
        .collect();
    let mut estate = Fleet::default();
    estate.apply(all.iter().cloned());
    estate.bind_everywhere();
    let promotions = estate
        .bindings()
        .filter(|binding| binding.spec.environment != "development")
        .map(|binding| {
            json!({
                "apiVersion": choreo_model::API_VERSION, "kind": "ReleaseBinding",
                "metadata": {"name": binding.name(), "namespace": binding.namespace()},
                "spec": binding.spec,
            })
        });
    let is_default = |one: &Value| {
        !matches!(
            one["kind"].as_str(),
            Some("Project" | "Component" | "Workload")
        )
    };
    let promotions: Vec<Value> = promotions.collect();
    let (defaults, mut rest): (Vec<Value>, Vec<Value>) = all.into_iter().partition(is_default);
    rest.extend(promotions);
    Ok([defaults, rest])
}

fn input(error: &crate::compiler::Trouble) -> Trouble {
    Trouble::Output("the manifests".to_owned(), error.to_string())
}

/// The path of the collection an object belongs to.
fn place(object: &Value) -> Result<String, Trouble> {
    let kind = object["kind"].as_str().unwrap_or_default();
    let row = choreo_model::find(kind)
        .ok_or_else(|| Trouble::Output(kind.to_owned(), "is no kind".to_owned()))?;
    let api = format!("/apis/{}", row.api_version());
    Ok(match object["metadata"]["namespace"].as_str() {
        Some(namespace) => format!("{api}/namespaces/{namespace}/{}", row.plural),
        None => format!("{api}/{}", row.plural),
    })
}

/// Creates objects, several at a time, in their order.
async fn write(target: &Target, objects: Vec<Value>) -> Result<(), Trouble> {
    let objects = Arc::new(Mutex::new(objects.into_iter()));
    let mut tasks = JoinSet::new();
    for _ in 0..WRITERS {
        let mut connection = Connection::open(target).await?;
        let objects = Arc::clone(&objects);
        tasks.spawn(async move {
            let next = || {
                objects
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .next()
            };
            while let Some(object) = next() {
                let body = Bytes::from(object.to_string());
                connection.ask(Method::POST, &place(&object)?, body).await?;
            }
            Ok::<_, Trouble>(())
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.map_err(|error| Trouble::Output("a writer".to_owned(), error.to_string()))??;
    }
    Ok(())
}

/// How many Deployments there are, and the version of the store.
async fn look(connection: &mut Connection) -> Result<(usize, u64), Trouble> {
    let answer = connection.get("/apis/apps/v1/deployments?limit=1").await?;
    let list: Value = serde_json::from_slice(&answer)
        .map_err(|error| Trouble::Output("a list".to_owned(), error.to_string()))?;
    let shown = list["items"].as_array().map_or(0, Vec::len);
    let more = list["metadata"]["remainingItemCount"]
        .as_u64()
        .unwrap_or_default();
    let version = list["metadata"]["resourceVersion"]
        .as_str()
        .unwrap_or_default();
    let count = shown + usize::try_from(more).unwrap_or_default();
    Ok((count, version.parse().unwrap_or_default()))
}

/// Waits until there are so many Deployments and nothing is written any more; returns when the last
/// write was seen, and the version of the store.
async fn rest(target: &Target, deployments: usize) -> Result<(Instant, u64), Trouble> {
    let mut connection = Connection::open(target).await?;
    let began = Instant::now();
    let (mut last, mut known) = (began, 0);
    loop {
        let (count, version) = look(&mut connection).await?;
        let now = Instant::now();
        if version != known {
            (last, known) = (now, version);
        } else if count == deployments && now.duration_since(last) > REST {
            return Ok((last, version));
        }
        if now.duration_since(began) > PATIENCE {
            let why = format!("{count} of {deployments} Deployments");
            return Err(Trouble::Silent("the platform".to_owned(), why));
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Says of every Deployment what a node says once its pods are ready.
async fn run_all(target: &Target) -> Result<(), Trouble> {
    const ALL: &str = "/apis/apps/v1/deployments";
    let mut connection = Connection::open(target).await?;
    let list: Value = serde_json::from_slice(&connection.get(ALL).await?)
        .map_err(|error| Trouble::Output(ALL.to_owned(), error.to_string()))?;
    for deployment in list["items"].as_array().into_iter().flatten() {
        let running = running(deployment);
        let metadata = &running["metadata"];
        let text = |key: &str| metadata[key].as_str().unwrap_or_default();
        let (namespace, name) = (text("namespace"), text("name"));
        let path = format!("/apis/apps/v1/namespaces/{namespace}/deployments/{name}/status");
        let body = Bytes::from(running.to_string());
        connection.ask(Method::PUT, &path, body).await?;
    }
    Ok(())
}

/// A Deployment all of whose pods are ready.
fn running(deployment: &Value) -> Value {
    let mut running = deployment.clone();
    let replicas = deployment["spec"]["replicas"].as_i64().unwrap_or(1);
    running["apiVersion"] = json!("apps/v1");
    running["kind"] = json!("Deployment");
    running["status"] = json!({
        "observedGeneration": deployment["metadata"]["generation"],
        "replicas": replicas, "updatedReplicas": replicas,
        "readyReplicas": replicas, "availableReplicas": replicas,
        "conditions": [
            {"type": "Available", "status": "True", "reason": "MinimumReplicasAvailable"},
            {"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"},
        ],
    });
    running
}

/// Checks that so many rendered releases with components say that they are applied.
async fn applied(target: &Target, wanted: usize) -> Result<(), Trouble> {
    let mut connection = Connection::open(target).await?;
    let kind = place(&json!({"kind": "RenderedRelease", "metadata": {}}))?;
    let (mut count, mut next) = (0, String::new());
    loop {
        let page = connection
            .get(&format!("{kind}?limit=500&continue={next}"))
            .await?;
        let page: Value = serde_json::from_slice(&page)
            .map_err(|error| Trouble::Output(kind.clone(), error.to_string()))?;
        let items = page["items"].as_array().into_iter().flatten();
        count += items
            .filter(|one| is_applied(one) && is_of_component(one))
            .count();
        page["metadata"]["continue"]
            .as_str()
            .unwrap_or_default()
            .clone_into(&mut next);
        if next.is_empty() {
            break;
        }
    }
    if count == wanted {
        return Ok(());
    }
    let why = format!("{count} of {wanted} are applied");
    Err(Trouble::Output("rendered releases".to_owned(), why))
}

fn is_of_component(rendered: &Value) -> bool {
    rendered["spec"]["owner"].get("componentName").is_some()
}

/// Whether what is wanted now was applied.
fn is_applied(rendered: &Value) -> bool {
    let conditions = rendered["status"]["conditions"].as_array();
    conditions.into_iter().flatten().any(|one| {
        one["type"] == "ResourcesApplied"
            && one["status"] == "True"
            && one["observedGeneration"] == rendered["metadata"]["generation"]
    })
}

/// Changes the environment of a workload; the time until its objects are said to be applied.
async fn edit(target: &Target, index: usize) -> Result<Duration, Trouble> {
    let name = fleet::named(index);
    let object = |kind: &str| json!({"kind": kind, "metadata": {"namespace": "default"}});
    let mut connection = Connection::open(target).await?;
    let rendered = place(&object("RenderedRelease"))?;
    let release = format!("{name}-development");
    let now = connection.get(&format!("{rendered}/{release}")).await?;
    let now: Value = serde_json::from_slice(&now)
        .map_err(|error| Trouble::Output(release.clone(), error.to_string()))?;
    let generation = now["metadata"]["generation"].as_u64().unwrap_or_default();
    // The version of the object may be too old to watch from.
    let (_, since) = look(&mut connection).await?;
    let mut watch = Connection::open(target).await?;
    let query = format!("watch=1&fieldSelector=metadata.name={release}&resourceVersion={since}");
    watch.stream(&format!("{rendered}?{query}")).await?;
    let path = format!("{}/{name}", place(&object("Workload"))?);
    let mut workload: Value = serde_json::from_slice(&connection.get(&path).await?)
        .map_err(|error| Trouble::Output(name.clone(), error.to_string()))?;
    workload["spec"]["container"]["env"][0]["value"] = json!("another greeting");
    let began = Instant::now();
    let body = Bytes::from(workload.to_string());
    connection.ask(Method::PUT, &path, body).await?;
    let seen = see(&mut watch, generation);
    tokio::time::timeout(Duration::from_secs(30), seen)
        .await
        .map_err(|_| Trouble::Silent(release, "it was not applied again".to_owned()))??;
    Ok(began.elapsed())
}

/// Reads events until one tells that a later generation is applied.
async fn see(watch: &mut Connection, generation: u64) -> Result<(), Trouble> {
    let mut rest = Vec::new();
    while let Some(part) = watch.part().await? {
        rest.extend_from_slice(&part);
        while let Some(end) = memchr::memchr(b'\n', &rest) {
            let line: Vec<u8> = rest.drain(..=end).collect();
            let event: BTreeMap<String, Value> = serde_json::from_slice(&line)
                .map_err(|error| Trouble::Output("an event".to_owned(), error.to_string()))?;
            let object = event.get("object").unwrap_or(&Value::Null);
            let is_later = object["metadata"]["generation"].as_u64() > Some(generation);
            if is_later && is_applied(object) {
                return Ok(());
            }
        }
    }
    Err(Trouble::Output("a watch".to_owned(), "it ended".to_owned()))
}

fn version(answer: &Bytes) -> Result<String, Trouble> {
    crate::api::load::version(answer)
}
