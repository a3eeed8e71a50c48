//! Waiting for the platform: woken by its watches, never by a clock, until something is so or time is
//! up.

use std::time::Duration;

use choreo_model::ReleaseBinding;
use futures::{Stream, StreamExt, stream::select_all};
use k8s_openapi::api::{batch::v1::Job, core::v1::Pod};
use kube::{
    Api, Client,
    api::{DynamicObject, PartialObjectMeta},
    runtime::{WatchStreamExt, watcher},
};
use tokio::time::{Instant, timeout, timeout_at};

use crate::{
    exit::Exit,
    failure::{Failure, Result},
    kinds, terminal,
    tree::{self, Item, Snapshot, State},
};

/// Changes that come together are looked at together.
const BREATH: Duration = Duration::from_millis(40);

/// How long to look whether what became ready stays so.
const QUIET: Duration = Duration::from_millis(150);

/// A beat whenever something of a namespace may have changed.
pub(crate) fn changes(client: &Client, namespace: &str) -> impl Stream<Item = ()> + Unpin + use<> {
    let kinds = [
        "Project",
        "ProjectReleaseBinding",
        "Component",
        "ReleaseBinding",
        "RenderedRelease",
    ];
    let mut streams: Vec<_> = kinds
        .iter()
        .filter_map(|kind| kinds::platform(kind))
        .map(|resource| {
            let api: Api<PartialObjectMeta<DynamicObject>> =
                Api::namespaced_with(client.clone(), namespace, &resource.api);
            beats(watcher(api, watcher::Config::default()))
        })
        .collect();
    let live = watcher::Config::default()
        .labels(&format!("{}={namespace}", choreo_model::labels::NAMESPACE));
    streams.push(beats(watcher(
        Api::<PartialObjectMeta<Pod>>::all(client.clone()),
        live.clone(),
    )));
    streams.push(beats(watcher(
        Api::<PartialObjectMeta<Job>>::all(client.clone()),
        live,
    )));
    select_all(streams)
}

/// Forgets what changed; an interrupted watch begins again by itself.
fn beats<T: Send + 'static>(
    events: impl Stream<Item = watcher::Result<watcher::Event<T>>> + Send + 'static,
) -> futures::stream::BoxStream<'static, ()> {
    events.default_backoff().map(drop).boxed()
}

/// Waits for the next change, and for those that come with it.
pub(crate) async fn next(
    changes: &mut (impl Stream<Item = ()> + Unpin),
    deadline: Instant,
) -> bool {
    if timeout_at(deadline, changes.next()).await.is_err() {
        return false;
    }
    while let Ok(Some(())) = timeout(BREATH, changes.next()).await {}
    true
}

/// Waits until the binding of a component in an environment is as `wanted` and ready.
pub(crate) async fn until_ready(
    client: &Client,
    (namespace, component, environment): (&str, &str, &str),
    wanted: impl Fn(&ReleaseBinding) -> bool,
    time: Duration,
) -> Result<Item> {
    let deadline = Instant::now() + time;
    let mut changes = changes(client, namespace);
    let mut shown = String::new();
    let mut was_ready = false;
    loop {
        let snapshot = tree::collect(client, namespace).await?;
        let item = find(&snapshot, component, environment, &wanted);
        if let Some(item) = item.as_ref().filter(|item| item.state == State::Ready) {
            // Health follows what is written by a moment: what is ready twice is ready.
            if was_ready || !next(&mut changes, Instant::now() + QUIET).await {
                return Ok(item.clone());
            }
            was_ready = true;
            continue;
        }
        was_ready = false;
        let reason = item.map_or_else(|| "waiting for the release".to_owned(), |item| item.detail);
        if reason != shown {
            terminal::note(format!("  {component} in {environment}: {reason}"));
            reason.clone_into(&mut shown);
        }
        if !next(&mut changes, deadline).await {
            return Err(Failure::new(
                Exit::NotReady,
                format!(
                    "{component} is not ready in {environment} after {}s: {reason}",
                    time.as_secs()
                ),
            )
            .hint(
                "`choreo status` shows the whole project, `choreo logs` what the component prints",
            ));
        }
    }
}

fn find(
    snapshot: &Snapshot,
    component: &str,
    environment: &str,
    wanted: impl Fn(&ReleaseBinding) -> bool,
) -> Option<Item> {
    let binding = snapshot.bindings.iter().find(|binding| {
        binding.spec.owner.line() == component
            && binding.spec.environment == environment
            && wanted(binding)
    })?;
    tree::bindings(snapshot, &binding.spec.owner.project_name, component)
        .into_iter()
        .find(|item| item.name == environment)
}
