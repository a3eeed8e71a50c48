//! The running controllers: watches feed the index, the queue orders decisions, the executor acts.
//!
//! One task owns the index and decides; nothing is locked. Only carrying decisions out is
//! concurrent, and bounded.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use choreo_model::rendered::RenderedReleaseSpec;
use choreo_model::{RenderedRelease, Spec};
use choreo_writer::Cluster;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::task::{JoinError, JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::act::{Executor, Outcome};
use crate::calls::{Calls, NoCalls};
use crate::decide::{decide, types_of};
use crate::decision::Decision;
use crate::index::{Change, Index};
use crate::key::Key;
use crate::planes::Planes;
use crate::queue::{Queue, back_off};
use crate::tables::Tables;
use crate::view::View;
use crate::watch::{self, LIVE_TYPES, Source};

/// How many decisions are carried out at the same time.
const CONCURRENCY: usize = 96;
/// How many changes may wait for the index.
const CHANGES: usize = 1024;

/// The running controllers.
pub struct Controllers {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Controllers {
    /// Starts every controller on the API behind `control`, with data planes behind `planes`. No
    /// requests are made to the world outside.
    pub fn start(control: impl Into<Cluster>, planes: Planes) -> Self {
        Self::start_with(control, planes, Arc::new(NoCalls))
    }

    /// The same; requests to the world outside are made by `calls`.
    pub fn start_with(control: impl Into<Cluster>, planes: Planes, calls: Arc<dyn Calls>) -> Self {
        let stop = CancellationToken::new();
        let runtime = Runtime::new(control.into(), planes, calls);
        let task = tokio::spawn(runtime.run(stop.clone()));
        Self { stop, task }
    }

    /// Stops after the decisions that are being carried out.
    pub async fn stop(self) {
        self.stop.cancel();
        if let Err(error) = self.task.await {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "the controllers have ended unexpectedly",
            );
        }
    }

    /// Whether the controllers have ended, which they do only when stopped or broken.
    pub fn is_finished(&self) -> bool {
        self.task.is_finished()
    }
}

/// What came of a decision, or of telling that one had failed.
enum Done {
    /// A decision was carried out.
    Acted { key: Key, outcome: Outcome },
    /// A failure was told.
    Told { key: Key },
}

struct Runtime {
    index: Index,
    queue: Queue,
    executor: Arc<Executor>,
    control: Cluster,
    planes: Planes,
    tasks: JoinSet<Done>,
    watches: JoinSet<()>,
    watched: BTreeSet<Source>,
    /// Sources whose first list has not arrived. Nothing is decided before.
    awaited: BTreeSet<Source>,
    sender: Sender<Change>,
    changes: Receiver<Change>,
}

impl Runtime {
    fn new(control: Cluster, planes: Planes, calls: Arc<dyn Calls>) -> Self {
        let (sender, changes) = mpsc::channel(CHANGES);
        let index = Index::with_homes(planes.homes());
        Self {
            index,
            queue: Queue::default(),
            executor: Arc::new(Executor::new(control.clone(), planes.clone(), calls)),
            control,
            planes,
            tasks: JoinSet::new(),
            watches: JoinSet::new(),
            watched: BTreeSet::new(),
            awaited: BTreeSet::new(),
            sender,
            changes,
        }
    }

    async fn run(mut self, stop: CancellationToken) {
        self.watch_all();
        self.awaited = self.watched.clone();
        let mut batch = Vec::new();
        loop {
            self.start_decisions();
            let pause = self.pause();
            tokio::select! {
                () = stop.cancelled() => break,
                Some(done) = self.tasks.join_next() => self.join(done),
                _ = self.changes.recv_many(&mut batch, CHANGES) => {
                    for change in batch.drain(..) {
                        self.take_in(change);
                    }
                }
                () = tokio::time::sleep(pause) => {}
            }
        }
        self.watches.shutdown().await;
        while self.tasks.join_next().await.is_some() {}
    }

    fn watch_all(&mut self) {
        let kinds = choreo_model::registry().iter();
        for kind in kinds.filter(|kind| Tables::has(kind.kind)) {
            self.watch(Source::Platform(kind.kind));
        }
        for home in 0..self.planes.clusters().len() {
            for (api_version, kind, _) in LIVE_TYPES {
                let (api_version, kind) = (api_version.to_owned(), kind.to_owned());
                self.watch(Source::Live {
                    home,
                    api_version,
                    kind,
                });
            }
        }
    }

    fn join(&mut self, done: Result<Done, JoinError>) {
        match done {
            Ok(done) => self.finish(done),
            Err(error) => tracing::error!(
                error = &error as &dyn std::error::Error,
                "a decision was not carried out to its end",
            ),
        }
    }

    fn watch(&mut self, source: Source) {
        let cluster = match &source {
            Source::Platform(_) => &self.control,
            Source::Live { home, .. } => self.planes.clusters().get(*home).unwrap_or(&self.control),
        };
        if self.watched.insert(source.clone()) {
            self.watches.spawn(watch::run(
                cluster.client.clone(),
                source,
                self.sender.clone(),
            ));
        }
    }

    fn take_in(&mut self, change: Change) {
        match &change {
            Change::Listed(kind, _) => {
                self.awaited.remove(&Source::Platform(kind));
            }
            Change::LiveListed {
                home,
                api_version,
                kind,
                ..
            } => {
                let (api_version, kind) = (api_version.clone(), kind.clone());
                self.awaited.remove(&Source::Live {
                    home: *home,
                    api_version,
                    kind,
                });
            }
            Change::Applied(..)
            | Change::Deleted(_)
            | Change::LiveApplied(..)
            | Change::LiveDeleted(..) => {}
        }
        for key in self.index.apply(change) {
            self.queue.push(key);
        }
    }

    /// How long there is nothing to do unless something happens.
    fn pause(&self) -> Duration {
        const LONGEST: Duration = Duration::from_hours(1);
        let Some(due) = self.queue.next_due() else {
            return LONGEST;
        };
        let wait = due.duration_since(Timestamp::now());
        // A little longer, so that the object is due when the pause is over.
        Duration::try_from(wait).unwrap_or_default() + Duration::from_millis(1)
    }

    fn start_decisions(&mut self) {
        if !self.awaited.is_empty() {
            return;
        }
        while self.tasks.len() < CONCURRENCY {
            let now = Timestamp::now();
            let Some(key) = self.queue.pop(now) else {
                return;
            };
            self.start(key, now);
        }
    }

    fn start(&mut self, key: Key, now: Timestamp) {
        let span = tracing::debug_span!("decide", %key);
        let decision = span.in_scope(|| self.decide(&key, now));
        if key.kind == RenderedReleaseSpec::KIND {
            self.watch_types(&key);
        }
        if let Some(time) = decision.look_again {
            self.queue.push_at(time, key.clone());
        }
        let nothing =
            decision.writes.is_empty() && decision.status.is_none() && decision.events.is_empty();
        if nothing {
            self.settle(&key);
            return;
        }
        let executor = Arc::clone(&self.executor);
        let act = async move {
            let outcome = executor.run(&key, decision).await;
            Done::Acted { key, outcome }
        };
        self.tasks.spawn(act.instrument(span));
    }

    fn decide(&mut self, key: &Key, now: Timestamp) -> Decision {
        let decision = decide(&self.index, key, now);
        for woken in self.index.remember(key, &decision, now) {
            self.queue.push(woken);
        }
        tracing::debug!(
            writes = decision.writes.len(),
            status = decision.status.is_some(),
            "decided",
        );
        decision
    }

    /// Live objects of every type that a rendered release has or had are watched.
    fn watch_types(&mut self, key: &Key) {
        let view = View::new(&self.index);
        let Some(rendered) = view.own::<RenderedReleaseSpec>(key) else {
            return;
        };
        let rendered: &RenderedRelease = rendered;
        for (api_version, kind) in types_of(&view, rendered) {
            for home in 0..self.planes.clusters().len() {
                let (api_version, kind) = (api_version.clone(), kind.clone());
                self.watch(Source::Live {
                    home,
                    api_version,
                    kind,
                });
            }
        }
    }

    fn finish(&mut self, done: Done) {
        let (key, outcome) = match done {
            Done::Acted { key, outcome } => (key, outcome),
            Done::Told { key } => return self.queue.done(&key),
        };
        let now = Timestamp::now();
        for written in outcome.written {
            if self.index.wrote(written, now) {
                // How it is is told when it was seen, which may have been before this.
                self.queue.push(key.clone());
            }
        }
        for (id, answer) in outcome.answers {
            self.index.answered(&key, id, answer, now);
            self.queue.push(key.clone());
        }
        if outcome.stale {
            self.queue
                .push_at(now + SignedDuration::from_millis(50), key.clone());
            self.queue.done(&key);
        } else if outcome.failures.is_empty() {
            self.settle(&key);
        } else {
            self.fail(key, &outcome.failures, now);
        }
    }

    /// Nothing more to do for `key`, except saying so if it had failed before.
    fn settle(&mut self, key: &Key) {
        self.queue.done(key);
        if self.index.succeed(key) {
            self.queue.push(key.clone());
        }
    }

    /// Tells what went wrong in the object's conditions, and tries again later.
    fn fail(&mut self, key: Key, failures: &[String], now: Timestamp) {
        let message = failures.join("; ");
        let known = self
            .index
            .failure(&key)
            .is_some_and(|failure| failure.message == message);
        tracing::debug!(%key, message, "writing failed");
        let attempts = self.index.fail(&key, message);
        self.queue.push_at(now + back_off(attempts), key.clone());
        let report = if known {
            None
        } else {
            Some(self.decide(&key, now))
        };
        let Some(report) = report.filter(|report| report.status.is_some()) else {
            return self.queue.done(&key);
        };
        let executor = Arc::clone(&self.executor);
        self.tasks.spawn(async move {
            // When even this fails, the next attempt tells.
            executor.report(&key, report, &mut Outcome::default()).await;
            Done::Told { key }
        });
    }
}
