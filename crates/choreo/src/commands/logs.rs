//! `choreo logs`: what the pods of a component print, past and coming.

use std::collections::BTreeSet;

use futures::{AsyncBufReadExt, StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client, ResourceExt,
    api::{ListParams, LogParams},
    runtime::{
        WatchStreamExt,
        watcher::{self, Event, watcher},
    },
};
use tokio::{sync::mpsc, task::JoinSet};

use crate::{
    cli::Logs,
    client,
    exit::Exit,
    failure::{Failure, Result},
    folder::Folder,
    rollout, terminal,
};

/// Runs `choreo logs`.
pub(crate) async fn run(folder: &Folder, args: &Logs) -> Result {
    let client = client::connect(folder).await?;
    let namespace = &args.namespace.namespace;
    let named = (args.component.as_str(), args.track.as_deref());
    let line = rollout::line(&client, namespace, named).await?;
    let environment = rollout::environment(&client, &line.component, args.env.as_deref()).await?;
    let selector = rollout::pods_of(&line, &environment);
    if args.follow {
        return follow(&client, &selector, args).await;
    }
    let pods = Api::<Pod>::all(client.clone())
        .list(&ListParams::default().labels(&selector))
        .await?;
    if pods.items.is_empty() {
        let bindings = rollout::bindings_of(&client, &line).await?;
        let name = line.name();
        rollout::must_have(&bindings, &name, &environment)?;
        let message = format!("{name} has no pods in {environment}");
        let hint = format!("`choreo status {}` shows why", args.component);
        return Err(Failure::new(Exit::NotFound, message).hint(hint));
    }
    once(&client, pods.items, args).await
}

async fn once(client: &Client, mut pods: Vec<Pod>, args: &Logs) -> Result {
    pods.sort_by_key(|pod| pod.creation_timestamp().map(|time| time.0));
    let many = pods.len() > 1;
    let mut silent = Vec::new();
    for pod in &pods {
        let name = pod.name_any();
        let api = Api::<Pod>::namespaced(client.clone(), &pod.namespace().unwrap_or_default());
        match api.log_stream(&name, &params(args)).await {
            Ok(stream) => {
                let mut lines = stream.lines();
                while let Some(line) = lines.try_next().await.map_err(interrupted)? {
                    terminal::line(prefixed(&name, &line, many))?;
                }
            }
            // A container that has not started has nothing to show; the others still have.
            Err(kube::Error::Api(status)) if status.code == 400 => silent.push(status.message),
            Err(error) => return Err(error.into()),
        }
    }
    if silent.len() < pods.len() {
        silent.iter().for_each(terminal::note);
        return Ok(());
    }
    let exit = if args.previous {
        Exit::NotFound
    } else {
        Exit::NotReady
    };
    Err(
        Failure::new(exit, silent.join("\n")).hint(if args.previous {
            "no container has ended and started again".to_owned()
        } else {
            format!("`choreo status {}` shows why", args.component)
        }),
    )
}

/// Follows every pod there is, and every pod that comes, until interrupted.
async fn follow(client: &Client, selector: &str, args: &Logs) -> Result {
    let config = watcher::Config::default().labels(selector);
    let mut pods =
        std::pin::pin!(watcher(Api::<Pod>::all(client.clone()), config).default_backoff());
    let (lines, mut printed) = mpsc::channel::<String>(256);
    let mut followed = BTreeSet::new();
    let mut readers = JoinSet::new();
    let mut params = params(args);
    loop {
        tokio::select! {
            Some(line) = printed.recv() => terminal::line(line)?,
            Some(event) = pods.next() => {
                let pod = match event {
                    Ok(Event::Apply(pod) | Event::InitApply(pod)) => pod,
                    Ok(Event::InitDone) => {
                        // What starts from now on is shown from its beginning.
                        params.tail_lines = None;
                        params.since_seconds = None;
                        continue;
                    }
                    Ok(Event::Init | Event::Delete(_)) => continue,
                    Err(error) => {
                        gone(error)?;
                        continue;
                    }
                };
                for run in started(&pod) {
                    if followed.insert(run) {
                        let (client, lines) = (client.clone(), lines.clone());
                        readers.spawn(read(client, pod.clone(), params.clone(), lines));
                    }
                }
            }
            Some(_) = readers.join_next(), if !readers.is_empty() => {}
            else => return Ok(()),
        }
    }
}

/// An interrupted watch begins again by itself, but not while there is no platform.
fn gone(error: watcher::Error) -> Result {
    let (watcher::Error::InitialListFailed(cause) | watcher::Error::WatchStartFailed(cause)) =
        error
    else {
        return Ok(());
    };
    let failure = Failure::from(cause);
    if failure.exit() == Exit::NotRunning {
        Err(failure)
    } else {
        Ok(())
    }
}

/// One word per run of a container that has begun: a restart makes a new one.
fn started(pod: &Pod) -> Vec<String> {
    let uid = pod.uid().unwrap_or_default();
    let statuses = pod
        .status
        .iter()
        .flat_map(|status| status.container_statuses.iter().flatten());
    statuses
        .filter(|container| {
            let state = container.state.as_ref();
            state.is_some_and(|state| state.running.is_some() || state.terminated.is_some())
        })
        .map(|container| format!("{uid} {} {}", container.name, container.restart_count))
        .collect()
}

/// Reads what a container prints. Pods come and go while they are followed, so each line says of which
/// it is.
async fn read(client: Client, pod: Pod, params: LogParams, lines: mpsc::Sender<String>) {
    let name = pod.name_any();
    let api = Api::<Pod>::namespaced(client, &pod.namespace().unwrap_or_default());
    // A pod that ends while it is being read has said all it had to say.
    let Ok(stream) = api.log_stream(&name, &params).await else {
        return;
    };
    let mut stream = stream.lines();
    while let Ok(Some(line)) = stream.try_next().await {
        if lines.send(prefixed(&name, &line, true)).await.is_err() {
            return;
        }
    }
}

fn params(args: &Logs) -> LogParams {
    LogParams {
        follow: args.follow,
        previous: args.previous,
        tail_lines: args.tail,
        since_seconds: args
            .since
            .map(|since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX)),
        ..LogParams::default()
    }
}

fn prefixed(pod: &str, line: &str, many: bool) -> String {
    if many {
        format!("{pod} {line}")
    } else {
        line.to_owned()
    }
}

fn interrupted(error: std::io::Error) -> Failure {
    Failure::new(Exit::Failed, "the log was interrupted").because(error)
}
