//! The end of events: they tell what happened lately, so they go after an hour, and
//! the oldest go first when there are too many.

use std::{sync::Arc, time::Duration};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{
    core::Core,
    object::{Stored, meta_str},
    registry::{Served, collection},
    rest::delete_as_server,
    status::Result,
};

/// How long an event is kept, as on any Kubernetes.
const LIFE: SignedDuration = SignedDuration::from_hours(1);
/// Events that are kept at most.
const MOST: usize = 10_000;
/// Events that stay when there are too many: some more may come before anything is to be done again.
const STAY: usize = 9_000;
/// How many are deleted at the same time.
const AT_ONCE: usize = 64;
/// Time between two looks at how many there are.
const COUNT: Duration = Duration::from_secs(1);
/// Time between two looks at how old they are.
const LOOK: Duration = Duration::from_mins(1);

/// Looks at events until `stop`.
pub(crate) async fn keep(core: Arc<Core>, stop: CancellationToken) {
    let mut counts = tokio::time::interval(COUNT);
    let mut due = Instant::now();
    while let Some(now) = stop.run_until_cancelled(counts.tick()).await {
        let shelf = core.cache.shelf(&collection("", "events"));
        let mut gone = Vec::new();
        if shelf.len() > MOST {
            gone = surplus(shelf.now("", 0).objects);
        } else if due <= now {
            due = now + LOOK;
            gone = old(shelf.now("", 0).objects, Timestamp::now());
        }
        if let Err(failure) = delete(&core, gone).await {
            tracing::debug!(why = failure.message, "old events are deleted later");
        }
    }
}

/// Deletes events, several at a time.
async fn delete(core: &Core, gone: Vec<Arc<Stored>>) -> Result<()> {
    let catalog = core.catalog();
    let Some(kind) = catalog.stored(&collection("", "events")) else {
        return Ok(());
    };
    let each = gone.into_iter().map(|event| forget(core, kind, event));
    let some = stream::iter(each).buffer_unordered(AT_ONCE);
    some.try_collect().await
}

/// Deletes an event; one that somebody holds is only marked.
async fn forget(core: &Core, kind: &Arc<Served>, event: Arc<Stored>) -> Result<()> {
    if !event.head.finalizers().is_empty() {
        let place = (Arc::clone(&kind.collection), event.name().clone());
        return delete_as_server(core, kind, &place, None, Some(event.uid())).await;
    }
    match core.forget(kind, &event).await {
        // It has happened again, or somebody has deleted it.
        Err(failure) if failure.is_not_found() || failure.is_conflict() => Ok(()),
        outcome => outcome,
    }
}

/// The events that were written longest ago, so many that few enough stay.
fn surplus(mut all: Vec<Arc<Stored>>) -> Vec<Arc<Stored>> {
    all.sort_unstable_by_key(|event| event.version);
    all.truncate(all.len().saturating_sub(STAY));
    all
}

/// The events whose time is over.
fn old(mut all: Vec<Arc<Stored>>, now: Timestamp) -> Vec<Arc<Stored>> {
    all.retain(|event| {
        // What cannot be read now is looked at the next time.
        let last = event.value().map_or(now, |tree| last(&tree));
        now.duration_since(last) > LIFE
    });
    all
}

/// When an event happened last.
fn last(event: &Value) -> Timestamp {
    let text = |pointer| event.pointer(pointer).and_then(Value::as_str);
    let times = [
        text("/series/lastObservedTime"),
        text("/lastTimestamp"),
        text("/eventTime"),
        Some(meta_str(event, "creationTimestamp")),
    ];
    let times = times.into_iter().flatten();
    times
        .filter_map(|time| time.parse().ok())
        .max()
        .unwrap_or(Timestamp::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn event(version: usize, last: &str) -> Arc<Stored> {
        let event = json!({"metadata": {"name": version.to_string(), "namespace": "n", "uid": "u",
            "creationTimestamp": "2026-01-01T00:00:00Z"}, "lastTimestamp": last});
        let version = u64::try_from(version).unwrap();
        Arc::new(Stored::parse(version, event.to_string().into()).unwrap())
    }

    fn versions(events: &[Arc<Stored>]) -> Vec<u64> {
        events.iter().map(|event| event.version).collect()
    }

    #[test]
    fn events_go_after_an_hour() {
        let now = "2026-01-01T02:00:00Z".parse().unwrap();
        let all = vec![
            event(1, "2026-01-01T00:59:59Z"),
            event(2, "2026-01-01T01:00:00Z"),
        ];
        assert_eq!(versions(&old(all, now)), [1]);
    }

    #[test]
    fn the_oldest_go_first() {
        let all = [3, 1].into_iter().chain(4..STAY + 2).chain([2]);
        let all: Vec<_> = all.map(|version| event(version, "")).collect();
        assert_eq!(versions(&surplus(all)), [1]);
        assert!(surplus(vec![event(1, "")]).is_empty());
    }
}
