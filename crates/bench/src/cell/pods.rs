//! Pods that come and go.

use std::time::{Duration, Instant};

use k8s_openapi::api::{apps::v1::Deployment, core::v1::Pod};
use kube::{Api, api::ListParams};
use serde_json::{Value, json};

use super::home::{Home, NAMESPACE, PATIENCE, create, delete, pod, wait};
use crate::{
    api::load::Times,
    figure::{Figure, median},
    platform::megabytes,
    process,
    run::Trouble,
};

/// How soon a pod is ready, and how soon it is gone.
pub(super) async fn one_by_one(home: &Home, changes: usize) -> Result<Vec<Figure>, Trouble> {
    let pods: Api<Pod> = home.api();
    let (mut ready, mut gone) = (Vec::new(), Vec::new());
    for change in 0..changes {
        let name = format!("pod-{change}");
        let began = Instant::now();
        create(&pods, pod(&name)).await?;
        wait(&pods, &name, is_ready).await?;
        ready.push(began.elapsed());
        let began = Instant::now();
        delete(&pods, &name).await?;
        wait(&pods, &name, is_gone).await?;
        gone.push(began.elapsed());
    }
    let (ready, gone) = (Times::new(ready), Times::new(gone));
    Ok(vec![
        Figure::new("pod-ready-p50", ready.at(0.5), "ms").at_most(100.0),
        Figure::new("pod-ready-p99", ready.at(0.99), "ms"),
        Figure::new("pod-gone-p50", gone.at(0.5), "ms").at_most(100.0),
        Figure::new("pod-gone-p99", gone.at(0.99), "ms"),
    ])
}

/// Between two looks at all pods.
const LOOK: Duration = Duration::from_millis(50);
/// The most pods of one namespace: fewer than a cell has addresses for.
const OF_ONE: usize = 200;
/// What the pods are called that are many.
const MANY: &str = "many";

/// How soon many pods are ready, what each takes, and how soon they are there again after the platform was
/// killed.
pub(super) async fn at_once(home: &mut Home, count: usize) -> Result<Vec<Figure>, Trouble> {
    let many = Many::of(count);
    for (namespace, _) in &many.0 {
        home.make_namespace(namespace).await?;
    }
    let began = Instant::now();
    many.start(home).await?;
    let started = began.elapsed();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let each = memory_of_holders(home)?;
    let began = Instant::now();
    home.kill_and_start()?;
    many.restarted(home, count).await?;
    let back = began.elapsed();
    let began = Instant::now();
    many.end(home).await?;
    let gone = began.elapsed();
    let took = |what: &str, time: Duration| {
        Figure::new(format!("{count}-pods-{what}"), time.as_secs_f64(), "s")
    };
    Ok(vec![
        took("ready", started),
        took("running-after-kill", back),
        took("gone", gone),
        Figure::new("memory-per-pod", each, "MB").at_most(1.5),
    ])
}

/// Many pods: namespaces, and how many each has.
struct Many(Vec<(String, usize)>);

impl Many {
    fn of(count: usize) -> Self {
        let sizes = (0..count)
            .step_by(OF_ONE)
            .map(|from| OF_ONE.min(count - from));
        let named = |(part, size)| (format!("{NAMESPACE}-{part}"), size);
        Self(sizes.enumerate().map(named).collect())
    }

    /// Starts all, and waits until they are ready.
    async fn start(&self, home: &Home) -> Result<(), Trouble> {
        for (namespace, size) in &self.0 {
            create(&home.of::<Deployment>(namespace), deployment(*size)).await?;
        }
        for (namespace, size) in &self.0 {
            let deployments: Api<Deployment> = home.of(namespace);
            wait(&deployments, MANY, has_ready(*size)).await?;
        }
        Ok(())
    }

    /// Waits until all were started again and are ready.
    async fn restarted(&self, home: &Home, count: usize) -> Result<(), Trouble> {
        let late = Instant::now() + PATIENCE;
        while Instant::now() < late {
            let mut running = 0;
            for (namespace, _) in &self.0 {
                let pods = pods_of(&home.of(namespace)).await?;
                running += pods.iter().filter(|pod| is_restarted(pod)).count();
            }
            if running == count {
                return Ok(());
            }
            tokio::time::sleep(LOOK).await;
        }
        let why = format!("fewer than {count} pods run again after {PATIENCE:?}");
        Err(Trouble::Output("the platform".to_owned(), why))
    }

    /// Deletes all, and waits until they are gone.
    async fn end(&self, home: &Home) -> Result<(), Trouble> {
        for (namespace, _) in &self.0 {
            delete(&home.of::<Deployment>(namespace), MANY).await?;
        }
        for (namespace, _) in &self.0 {
            while !pods_of(&home.of(namespace)).await?.is_empty() {
                tokio::time::sleep(LOOK).await;
            }
        }
        Ok(())
    }
}

fn deployment(replicas: usize) -> Value {
    let mut template = pod(MANY);
    if let Some(metadata) = template["metadata"].as_object_mut() {
        metadata.remove("name");
    }
    json!({
        "metadata": { "name": MANY },
        "spec": {
            "replicas": replicas,
            "selector": { "matchLabels": { "app": MANY } },
            "template": template,
        },
    })
}

fn has_ready(count: usize) -> impl Fn(Option<&Deployment>) -> bool {
    let all = i32::try_from(count).unwrap_or(i32::MAX);
    move |found| {
        let status = found.and_then(|found| found.status.as_ref());
        status.is_some_and(|status| status.ready_replicas == Some(all))
    }
}

async fn pods_of(pods: &Api<Pod>) -> Result<Vec<Pod>, Trouble> {
    let of_many = ListParams::default().labels(&format!("app={MANY}"));
    let found = pods.list(&of_many).await;
    Ok(found.map_err(Trouble::api("listing pods"))?.items)
}

fn is_restarted(pod: &Pod) -> bool {
    let statuses = pod.status.as_ref();
    let statuses = statuses.and_then(|status| status.container_statuses.as_ref());
    let mut containers = statuses.into_iter().flatten();
    containers.any(|one| one.restart_count > 0 && one.ready)
}

/// What the process takes that holds a container, the median of all.
fn memory_of_holders(home: &Home) -> Result<f64, Trouble> {
    let holders = process::named("node-container", home.folder.path())
        .map_err(Trouble::io("looking for processes"))?;
    // One may end while it is looked at.
    let each = holders.into_iter().filter_map(|pid| {
        let memory = process::memory(pid).ok()?;
        Some(megabytes(memory.proportional + memory.tables))
    });
    median(each.collect()).ok_or_else(|| {
        Trouble::Output(
            "the machine".to_owned(),
            "no process holds a container".to_owned(),
        )
    })
}

fn is_ready(pod: Option<&Pod>) -> bool {
    let status = pod.and_then(|pod| pod.status.as_ref());
    let conditions = status.and_then(|status| status.conditions.as_ref());
    let mut conditions = conditions.into_iter().flatten();
    conditions.any(|one| one.type_ == "Ready" && one.status == "True")
}

fn is_gone<T>(object: Option<&T>) -> bool {
    object.is_none()
}
