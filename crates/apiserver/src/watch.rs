//! Watches: positions in the past of a collection that move forward. A watch
//! owns no queue and no copies; it is woken, reads on and sends shared bytes.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{Stream, StreamExt as _, stream};
use serde_json::{Value, json};
use tokio::{sync::watch::Receiver, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{
    cache::{Event, Forgotten, Kind, Shelf},
    core::Core,
    http::form::Form,
    object::Stored,
    registry::Served,
    selector::Selector,
    status::{Failure, Result},
};

/// Events handled between two looks at anything else.
const BATCH: usize = 128;
/// Time between two bookmarks.
const BOOKMARK: Duration = Duration::from_mins(1);
/// A last bookmark comes this long before the end.
const FAREWELL: Duration = Duration::from_secs(2);

/// Where a watch begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// With what happens from now on.
    Fresh,
    /// With everything there is, as additions.
    Now,
    /// With everything there is, then a bookmark that says so.
    Initial,
    /// After this version.
    After(u64),
}

/// What a watch asks for.
pub(crate) struct Query {
    pub(crate) selector: Selector,
    pub(crate) start: Start,
    pub(crate) bookmarks: bool,
    pub(crate) timeout: Duration,
    pub(crate) form: Form,
}

/// The events of a namespace (of all, if it is empty), a line each.
pub(crate) fn watch(
    core: &Core,
    kind: &Arc<Served>,
    namespace: &str,
    query: Query,
    stop: CancellationToken,
) -> Result<impl Stream<Item = Bytes> + Send + 'static> {
    let committed = core.cache.version();
    if let Start::After(version) = query.start
        && version > committed
    {
        return Err(Failure::version_too_large(version, committed));
    }
    let shelf = core.shelf(kind);
    // Subscribed before the first look, so nothing falls in between.
    let changed = shelf.subscribe();
    let now = Instant::now();
    let deadline = now + query.timeout;
    let mut watcher = Watcher {
        cache: Arc::clone(&core.cache),
        kind: Arc::clone(kind),
        namespace: namespace.into(),
        selector: query.selector,
        bookmarks: query.bookmarks,
        position: 0,
        next_bookmark: next_bookmark(now, deadline),
        deadline,
        over: false,
        shelf,
        changed,
        form: query.form,
        begun: false,
        stop,
    };
    // It begins when it is asked for, not when it is first read: no later change is missed.
    let first = watcher.begin(query.start);
    let batches = stream::once(async { first }).chain(stream::unfold(watcher, Watcher::next));
    Ok(batches.flat_map(stream::iter))
}

struct Watcher {
    cache: Arc<crate::cache::Cache>,
    shelf: Arc<Shelf>,
    kind: Arc<Served>,
    namespace: Arc<str>,
    selector: Selector,
    bookmarks: bool,
    /// Everything up to here was sent or did not concern this watch.
    position: u64,
    next_bookmark: Instant,
    deadline: Instant,
    /// Whether it ended with an error.
    over: bool,
    changed: Receiver<u64>,
    form: Form,
    /// Whether an object was sent.
    begun: bool,
    stop: CancellationToken,
}

/// When a watch that ends at `deadline` is told next how far it is.
fn next_bookmark(now: Instant, deadline: Instant) -> Instant {
    match deadline.checked_sub(FAREWELL) {
        Some(farewell) if now < farewell => (now + BOOKMARK).min(farewell),
        _ => deadline,
    }
}

impl Watcher {
    async fn next(mut self) -> Option<(Vec<Bytes>, Self)> {
        if self.over {
            return None;
        }
        let frames = self.follow().await?;
        Some((frames, self))
    }

    fn begin(&mut self, start: Start) -> Vec<Bytes> {
        if let Start::After(version) = start {
            self.position = version;
            return Vec::new();
        }
        if start == Start::Fresh {
            self.position = self.cache.version();
            return Vec::new();
        }
        let snapshot = self.shelf.now(&self.namespace, self.cache.version());
        self.position = snapshot.version;
        let mut frames = Vec::new();
        for object in &snapshot.objects {
            let sent = match self.selector.matches(object) {
                Ok(true) => self.send(&mut frames, "ADDED", object),
                Ok(false) => Ok(()),
                Err(failure) => Err(failure),
            };
            if let Err(failure) = sent {
                return self.fail(&failure);
            }
        }
        if start == Start::Initial && self.bookmarks {
            self.bookmark(&mut frames, true);
        }
        frames
    }

    /// Waits for the next frames; nothing when the watch ends.
    async fn follow(&mut self) -> Option<Vec<Bytes>> {
        loop {
            let seen = self.cache.version();
            self.changed.borrow_and_update();
            let events = match self.shelf.since(self.position, BATCH) {
                Ok(events) => events,
                Err(Forgotten(oldest)) => {
                    let failure = Failure::version_expired(self.position, oldest);
                    return Some(self.fail(&failure));
                }
            };
            if events.is_empty() {
                self.position = self.position.max(seen);
            } else {
                let frames = self.translate(&events);
                if frames.is_empty() {
                    continue;
                }
                return Some(frames);
            }
            let wake = self.next_bookmark.min(self.deadline);
            tokio::select! {
                () = self.stop.cancelled() => return None,
                changed = self.changed.changed() => changed.ok()?,
                () = tokio::time::sleep_until(wake) => {
                    if Instant::now() >= self.deadline {
                        return None;
                    }
                    if let Some(frames) = self.mark_time() {
                        return Some(frames);
                    }
                }
            }
        }
    }

    fn mark_time(&mut self) -> Option<Vec<Bytes>> {
        self.next_bookmark = next_bookmark(Instant::now(), self.deadline);
        if !self.bookmarks {
            return None;
        }
        let mut frames = Vec::new();
        self.bookmark(&mut frames, false);
        Some(frames)
    }

    fn translate(&mut self, events: &[Arc<Event>]) -> Vec<Bytes> {
        let mut frames = Vec::new();
        for event in events {
            self.position = event.version();
            if let Err(failure) = self.send_event(&mut frames, event) {
                return self.fail(&failure);
            }
        }
        frames
    }

    fn send_event(&mut self, frames: &mut Vec<Bytes>, event: &Event) -> Result<()> {
        let Some(kind) = self.kind_of(event)? else {
            return Ok(());
        };
        match kind {
            Kind::Added => self.send(frames, "ADDED", &event.object),
            Kind::Modified => self.send(frames, "MODIFIED", &event.object),
            Kind::Deleted if event.deleted => self.send(frames, "DELETED", &event.object),
            Kind::Deleted => {
                let last = event.previous.as_ref().unwrap_or(&event.object);
                let last = at_version(last, event.version())?;
                self.send(frames, "DELETED", &last)
            }
        }
    }

    /// What an event is for those who see only what is selected.
    fn kind_of(&self, event: &Event) -> Result<Option<Kind>> {
        let inside = |object: &Stored| {
            let elsewhere = !self.namespace.is_empty() && object.name().namespace != self.namespace;
            if elsewhere {
                return Ok(false);
            }
            self.selector.matches(object)
        };
        let previous = event.previous.as_ref();
        let before = previous.map_or(Ok(false), |object| inside(object))?;
        let after = !event.deleted && inside(&event.object)?;
        Ok(match (before, after) {
            (true, true) => Some(Kind::Modified),
            (false, true) => Some(Kind::Added),
            (true, false) => Some(Kind::Deleted),
            (false, false) => None,
        })
    }

    fn send(&mut self, frames: &mut Vec<Bytes>, kind: &'static str, object: &Stored) -> Result<()> {
        let body = self.form.event(&self.kind, object, !self.begun)?;
        self.begun = true;
        frames.push(match kind {
            "ADDED" => Bytes::from_static(b"{\"type\":\"ADDED\",\"object\":"),
            "MODIFIED" => Bytes::from_static(b"{\"type\":\"MODIFIED\",\"object\":"),
            _ => Bytes::from_static(b"{\"type\":\"DELETED\",\"object\":"),
        });
        frames.push(body);
        frames.push(Bytes::from_static(b"}\n"));
        Ok(())
    }

    fn bookmark(&self, frames: &mut Vec<Bytes>, initial: bool) {
        if !self.bookmarks {
            return;
        }
        let object = self.form.bookmark(&self.kind, self.position, initial);
        frames.push(line(&json!({"type": "BOOKMARK", "object": object})));
    }

    /// Ends the watch with an error event.
    fn fail(&mut self, failure: &Failure) -> Vec<Bytes> {
        self.over = true;
        vec![line(
            &json!({"type": "ERROR", "object": failure.to_value()}),
        )]
    }
}

fn line(value: &Value) -> Bytes {
    let mut text = value.to_string();
    text.push('\n');
    Bytes::from(text)
}

/// An object's state under a later version: how leaving a selection is told.
fn at_version(object: &Stored, version: u64) -> Result<Stored> {
    let tree = object.value()?;
    Ok(crate::object::Draft::new(&tree)?.seal(version, None))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(lasts: u64, expected: &[u64]) {
        let start = Instant::now();
        let deadline = start + Duration::from_secs(lasts);
        let mut times = vec![next_bookmark(start, deadline)];
        while let Some(last) = times.last().filter(|last| **last < deadline) {
            times.push(next_bookmark(*last, deadline));
        }
        let found: Vec<u64> = times.iter().map(|time| (*time - start).as_secs()).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn bookmarks_come_every_minute_and_before_the_end() {
        check(150, &[60, 120, 148, 150]);
        check(61, &[59, 61]);
        check(5, &[3, 5]);
        check(1, &[1]);
    }
}
