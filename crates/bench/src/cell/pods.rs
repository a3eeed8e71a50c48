//! Pods that come and go.

use std::time::{Duration, Instant};

use k8s_openapi::api::{apps::v1::Deployment, core::v1::Pod};
use kube::Api;
use serde_json::json;

use super::home::{Home, create, delete, pod, wait};
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

/// How soon many pods are ready, and what each takes.
pub(super) async fn at_once(home: &Home, count: usize) -> Result<Vec<Figure>, Trouble> {
    let name = "many";
    let deployments: Api<Deployment> = home.api();
    let mut template = pod(name);
    if let Some(metadata) = template["metadata"].as_object_mut() {
        metadata.remove("name");
    }
    let deployment = json!({
        "metadata": { "name": name },
        "spec": {
            "replicas": count,
            "selector": { "matchLabels": { "app": name } },
            "template": template,
        },
    });
    let began = Instant::now();
    create(&deployments, deployment).await?;
    let all = i32::try_from(count).unwrap_or(i32::MAX);
    wait(&deployments, name, move |found: Option<&Deployment>| {
        let status = found.and_then(|found| found.status.as_ref());
        status.is_some_and(|status| status.ready_replicas == Some(all))
    })
    .await?;
    let started = began.elapsed();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let each = memory_of_holders(home)?;
    let began = Instant::now();
    delete(&deployments, name).await?;
    wait(&deployments, name, is_gone).await?;
    let pods: Api<Pod> = home.api();
    while !none_left(&pods, name).await? {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(vec![
        Figure::new(format!("{count}-pods-ready"), started.as_secs_f64(), "s"),
        Figure::new(
            format!("{count}-pods-gone"),
            began.elapsed().as_secs_f64(),
            "s",
        ),
        Figure::new("memory-per-pod", each, "MB").at_most(1.5),
    ])
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

async fn none_left(pods: &Api<Pod>, app: &str) -> Result<bool, Trouble> {
    let of_app = kube::api::ListParams::default().labels(&format!("app={app}"));
    let left = pods.list_metadata(&of_app).await;
    let left = left.map_err(Trouble::api("listing pods"))?;
    Ok(left.items.is_empty())
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
