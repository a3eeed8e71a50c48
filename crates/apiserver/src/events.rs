//! The end of events: they tell what happened lately, so they go after an hour, and
//! the oldest go first when there are too many.

use std::{sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{
    core::Core,
    object::{Stored, meta_str},
    registry::collection,
    rest::delete_as_server,
    status::Result,
};

/// How long an event is kept, as on any Kubernetes.
const LIFE: SignedDuration = SignedDuration::from_hours(1);
/// Events that are kept at most.
const MOST: usize = 10_000;
/// Events that stay when there are too many: some more may come before anything is to be done again.
const STAY: usize = 9_000;
/// Time between two looks at how many there are.
const COUNT: Duration = Duration::from_secs(1);
/// Time between two looks at how old they are.
const LOOK: Duration = Duration::from_mins(1);

/// Looks at events until `stop`.
pub(crate) async fn keep(core: Arc<Core>, stop: CancellationToken) {
    let mut counts = tokio::time::interval(COUNT);
    let mut due = Instant::now();
    while let Some(now) = stop.run_until_cancelled(counts.tick()).await {
        let many = core.cache.shelf(&collection("", "events")).len() > MOST;
        if !many && now < due {
            continue;
        }
        due = now + LOOK;
        if let Err(failure) = sweep(&core, Timestamp::now()).await {
            tracing::debug!(why = failure.message, "old events are deleted later");
        }
    }
}

/// Deletes the events whose time is over.
async fn sweep(core: &Core, now: Timestamp) -> Result<()> {
    let events = collection("", "events");
    let all = core.cache.shelf(&events).now("", 0).objects;
    let catalog = core.catalog();
    let Some(kind) = catalog.stored(&events) else {
        return Ok(());
    };
    for event in over(all, now) {
        let place = (Arc::clone(&events), event.name().clone());
        delete_as_server(core, kind, &place, None, Some(event.uid())).await?;
    }
    Ok(())
}

/// The events whose time is over.
fn over(all: Vec<Arc<Stored>>, now: Timestamp) -> Vec<Arc<Stored>> {
    let many = all.len();
    let mut dated: Vec<(Timestamp, Arc<Stored>)> = all
        .into_iter()
        .map(|event| {
            (
                // What cannot be read now is looked at the next time.
                event.value().map_or(now, |tree| last(&tree)),
                event,
            )
        })
        .collect();
    dated.sort_by_key(|(last, _)| *last);
    let surplus = if many > MOST { many - STAY } else { 0 };
    let old = |(place, (last, _)): &(usize, (Timestamp, _))| {
        *place < surplus || now.duration_since(*last) > LIFE
    };
    let gone = dated.into_iter().enumerate().filter(old);
    gone.map(|(_, (_, event))| event).collect()
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

    fn event(name: &str, last: &str) -> Arc<Stored> {
        let event = json!({"metadata": {"name": name, "namespace": "n", "uid": name,
            "creationTimestamp": "2026-01-01T00:00:00Z"}, "lastTimestamp": last});
        Arc::new(Stored::parse(1, event.to_string().into()).unwrap())
    }

    #[test]
    fn events_go_after_an_hour() {
        let now = "2026-01-01T02:00:00Z".parse().unwrap();
        let all = vec![
            event("old", "2026-01-01T00:59:59Z"),
            event("young", "2026-01-01T01:00:00Z"),
        ];
        let names: Vec<_> = over(all, now)
            .iter()
            .map(|event| event.name().name.clone())
            .collect();
        assert_eq!(names, ["old".into()]);
    }

    #[test]
    fn the_oldest_go_first() {
        let now = "2026-01-01T00:30:00Z".parse().unwrap();
        let all = (0..=MOST).map(|number| event(&number.to_string(), "2026-01-01T00:20:00Z"));
        let mut all: Vec<_> = all.collect();
        all.push(event("first", "2026-01-01T00:10:00Z"));
        let gone = over(all.clone(), now);
        assert_eq!(
            (gone.len(), &*gone[0].name().name),
            (MOST + 2 - STAY, "first")
        );
        all.truncate(MOST);
        assert_eq!(over(all, now).len(), 0);
    }
}
