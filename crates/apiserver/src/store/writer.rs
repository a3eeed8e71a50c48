//! The thread that writes, and the handle through which requests reach it.

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use rusqlite::ErrorCode;
use tokio::sync::{mpsc, oneshot};

use super::{
    Collection, Error, Place,
    checkpoint::Checkpoints,
    database::Database,
    history::History,
    texts::Texts,
    versions::{self, Loaded},
};
use crate::object::{Draft, Name, Stored};

/// Writes that may wait before writers have to.
const QUEUE: usize = 1024;
/// Writes in one transaction at most, so that nobody waits long for strangers.
const GROUP: usize = 64;
/// The longest that a commit waits for more writers.
const PATIENCE: Duration = Duration::from_millis(2);
/// How often it looks whether any came, and after how many looks in vain it goes ahead.
const PAUSE: Duration = Duration::from_micros(50);
const LULL: usize = 4;

/// What a write expects to find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expect {
    /// Nothing of this name.
    Absent,
    /// This very version.
    Version(u64),
}

/// One write.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) collection: Collection,
    /// The object; for deletions, its last state.
    pub(crate) draft: Draft,
    pub(crate) expect: Expect,
    pub(crate) delete: bool,
}

/// Why a write did not happen.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    /// There is such an object already.
    #[error("it exists already")]
    Exists,
    /// The object is not at the expected version, or gone.
    #[error("it was changed meanwhile")]
    Changed,
    /// No room on the disk.
    #[error("the disk is full")]
    Full,
    /// The server is closing.
    #[error("the server is closing")]
    Closed,
    /// The database failed.
    #[error("{0}")]
    Failed(String),
}

/// A change that is on the disk.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    pub(crate) collection: Collection,
    pub(crate) object: Arc<Stored>,
    pub(crate) previous: Option<Arc<Stored>>,
    pub(crate) deleted: bool,
}

/// Where the writer looks up what is there and tells what was written.
pub(crate) trait Publish: Send + Sync + 'static {
    /// The object as of the last published write.
    fn current(&self, collection: &Collection, name: &Name) -> Option<Arc<Stored>>;
    /// Forgets the past up to this version.
    fn forget(&self, horizon: u64);
    /// Makes writes visible, in order.
    fn publish(&self, written: Vec<Written>);
}

type Answer = Result<Arc<Stored>, Refusal>;

struct Job {
    change: Change,
    answer: oneshot::Sender<Answer>,
}

/// The way to the disk.
pub(crate) struct Store {
    jobs: parking::Slot<mpsc::Sender<Job>>,
    thread: parking::Slot<thread::JoinHandle<()>>,
}

/// A database that was opened and read, before its writer runs.
pub(crate) struct Opened {
    database: Database,
    version: u64,
    history: History,
}

impl Store {
    /// Locks and reads a folder.
    pub(crate) fn open(place: &Place) -> Result<(Opened, Loaded), Error> {
        let mut database = Database::open(place)?;
        let mut loaded = database.load()?;
        let opened = Opened {
            database,
            version: loaded.version,
            history: History::new(std::mem::take(&mut loaded.sizes)),
        };
        Ok((opened, loaded))
    }

    /// Writes and waits until it is durable and visible.
    pub(crate) async fn write(&self, change: Change) -> Answer {
        let Some(jobs) = self.jobs.get() else {
            return Err(Refusal::Closed);
        };
        let (answer, answered) = oneshot::channel();
        jobs.send(Job { change, answer })
            .await
            .map_err(|_| Refusal::Closed)?;
        drop(jobs);
        answered.await.unwrap_or(Err(Refusal::Closed))
    }

    /// Refuses further writes and waits for those that are queued.
    pub(crate) fn close(&self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the writer thread failed");
        }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.close();
    }
}

impl Opened {
    /// Starts the writer.
    pub(crate) fn start(mut self, publish: Arc<dyn Publish>) -> Result<Store, Error> {
        let (jobs, queue) = mpsc::channel(QUEUE);
        let writer = Writer {
            _texts: Closing(Arc::clone(&self.database.texts)),
            checkpoints: self.database.checkpoints()?,
            database: self.database,
            publish,
            version: self.version,
            history: self.history,
            crowd: Crowd::default(),
        };
        let thread = thread::Builder::new()
            .name("apiserver-writer".into())
            .spawn(move || writer.run(queue))
            .map_err(Error::Thread)?;
        Ok(Store {
            jobs: parking::Slot::new(jobs),
            thread: parking::Slot::new(thread),
        })
    }
}

struct Writer {
    /// Closed before the database, and so are the checkpoints: its last connection tidies up.
    _texts: Closing,
    checkpoints: Checkpoints,
    database: Database,
    publish: Arc<dyn Publish>,
    /// Newest version given.
    version: u64,
    history: History,
    crowd: Crowd,
}

/// Closes the way to texts when there is no writer any more.
struct Closing(Arc<Texts>);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Writer {
    fn run(mut self, mut queue: mpsc::Receiver<Job>) {
        let mut group = Vec::with_capacity(GROUP);
        while queue.blocking_recv_many(&mut group, GROUP) > 0 {
            self.crowd.gather(&mut group, &mut queue);
            let (size, begin) = (group.len(), Instant::now());
            self.write(std::mem::take(&mut group));
            self.crowd.saw(size, begin.elapsed());
            self.checkpoints.after_commit(&self.database.connection);
        }
    }

    fn write(&mut self, group: Vec<Job>) {
        let (changes, answers): (Vec<_>, Vec<_>) = group
            .into_iter()
            .map(|job| (job.change, job.answer))
            .unzip();
        let surplus = self.history.surplus();
        let outcomes = match self.commit(&changes, surplus) {
            Ok(outcomes) => outcomes,
            // One bad write must not take its neighbours with it, nor forgetting any: a disk may have
            // room for a write and not for more.
            Err(_) if changes.len() > 1 || surplus > 0 => {
                changes.chunks(1).flat_map(|one| self.alone(one)).collect()
            }
            Err(refusal) => vec![Err(refusal)],
        };
        for (answer, outcome) in answers.into_iter().zip(outcomes) {
            // Whoever asked may have gone away; the write stands.
            let _ = answer.send(outcome);
        }
    }

    fn alone(&mut self, change: &[Change]) -> Vec<Answer> {
        self.commit(change, 0)
            .unwrap_or_else(|refusal| vec![Err(refusal)])
    }

    /// Writes all changes in one transaction, which forgets so many of the oldest versions, and publishes
    /// them.
    fn commit(&mut self, changes: &[Change], surplus: usize) -> Result<Vec<Answer>, Refusal> {
        let Database {
            connection, texts, ..
        } = &mut self.database;
        let transaction = connection.transaction().map_err(|error| refuse(&error))?;
        let mut pending = Pending::new(self.publish.as_ref(), self.version);
        let mut outcomes = Vec::with_capacity(changes.len());
        for change in changes {
            let outcome = pending.check(change).and_then(|previous| {
                let written = pending.next(change, previous);
                let json = written.object.json();
                let json = json.map_err(|failure| Refusal::Failed(failure.message))?;
                versions::write(&transaction, &texts.keys, (&written, &json))
                    .map_err(|error| refuse(&error))?;
                Ok(pending.accept(written))
            });
            if let Err(Refusal::Full | Refusal::Failed(_)) = &outcome {
                return outcome.map(|_| Vec::new());
            }
            outcomes.push(outcome);
        }
        if surplus > 0 {
            let span = self.history.span(self.version, surplus);
            // First in memory: what is told of the past is still there to be read.
            self.publish.forget(span.1);
            versions::forget(&transaction, span).map_err(|error| refuse(&error))?;
        }
        transaction.commit().map_err(|error| refuse(&error))?;
        self.history.forget(surplus);
        let (version, written) = (pending.version, pending.written);
        self.version = version;
        for one in &written {
            self.history.note(one.object.length());
        }
        self.publish.publish(written);
        Ok(outcomes)
    }
}

/// Who writes at the same time.
///
/// Many writers that wait for each answer before they write again come in two halves: while one half
/// is committed the other queues, and each commit, whose price hardly depends on its size, carries
/// half of what it could. So where several write, a commit waits a little for those who were just
/// answered; a writer who is alone never waits.
#[derive(Debug, Default)]
struct Crowd {
    /// The sizes of the last two groups.
    sizes: [usize; 2],
    /// How long the last commit took.
    took: Duration,
}

impl Crowd {
    /// Notes a group that was written.
    fn saw(&mut self, size: usize, took: Duration) {
        self.sizes = [size, self.sizes[0]];
        self.took = took;
    }

    /// For how long more writers are waited for, when `waiting` are there.
    fn patience(&self, waiting: usize) -> Duration {
        let expected = self.sizes.iter().sum::<usize>().min(GROUP);
        let crowded = self.sizes.iter().any(|size| *size > 1);
        if crowded && waiting < expected {
            (self.took / 2).min(PATIENCE)
        } else {
            Duration::ZERO
        }
    }

    /// Waits for more writers, as long as they keep coming.
    fn gather(&self, group: &mut Vec<Job>, queue: &mut mpsc::Receiver<Job>) {
        let begin = Instant::now();
        let mut nobody = 0;
        while nobody < LULL && begin.elapsed() < self.patience(group.len()) {
            thread::sleep(PAUSE);
            let before = group.len();
            while group.len() < GROUP
                && let Ok(job) = queue.try_recv()
            {
                group.push(job);
            }
            nobody = if group.len() == before { nobody + 1 } else { 0 };
        }
    }
}

/// What the transaction under way has done so far.
struct Pending<'a> {
    publish: &'a dyn Publish,
    version: u64,
    written: Vec<Written>,
}

impl<'a> Pending<'a> {
    fn new(publish: &'a dyn Publish, version: u64) -> Self {
        Self {
            publish,
            version,
            written: Vec::new(),
        }
    }

    /// What the change replaces, if it finds what it expects.
    fn check(&self, change: &Change) -> Result<Option<Arc<Stored>>, Refusal> {
        let (collection, name) = (&change.collection, change.draft.name());
        // A group is small, and mostly about different objects.
        let mut earlier = self.written.iter().rev();
        let earlier =
            earlier.find(|one| one.object.name() == name && one.collection == *collection);
        let current = match earlier {
            Some(one) => (!one.deleted).then(|| Arc::clone(&one.object)),
            None => self.publish.current(collection, name),
        };
        match (change.expect, &current) {
            (Expect::Absent, Some(_)) => Err(Refusal::Exists),
            (Expect::Absent, None) => Ok(None),
            (Expect::Version(version), Some(found)) if found.version == version => Ok(current),
            (Expect::Version(_), _) => Err(Refusal::Changed),
        }
    }

    fn next(&self, change: &Change, previous: Option<Arc<Stored>>) -> Written {
        Written {
            collection: Arc::clone(&change.collection),
            object: Arc::new(change.draft.seal(self.version + 1, previous.as_deref())),
            previous,
            deleted: change.delete,
        }
    }

    fn accept(&mut self, written: Written) -> Arc<Stored> {
        self.version += 1;
        let object = Arc::clone(&written.object);
        self.written.push(written);
        object
    }
}

fn refuse(error: &rusqlite::Error) -> Refusal {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => Refusal::Full,
        _ => Refusal::Failed(error.to_string()),
    }
}

/// Values that are taken out once, from whichever thread closes.
mod parking {
    use std::sync::{Mutex, PoisonError};

    pub(super) struct Slot<T>(Mutex<Option<T>>);

    impl<T> Slot<T> {
        pub(super) fn new(value: T) -> Self {
            Self(Mutex::new(Some(value)))
        }

        pub(super) fn take(&self) -> Option<T> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
        }
    }

    impl<T: Clone> Slot<T> {
        pub(super) fn get(&self) -> Option<T> {
            self.0
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLOW: Duration = Duration::from_millis(3);

    #[track_caller]
    fn check(sizes: &[usize], took: Duration, waiting: usize, expected: Duration) {
        let mut crowd = Crowd::default();
        for size in sizes {
            crowd.saw(*size, took);
        }
        assert_eq!(crowd.patience(waiting), expected, "{crowd:?} {waiting}");
    }

    #[test]
    fn only_a_crowd_is_waited_for() {
        check(&[], SLOW, 1, Duration::ZERO);
        check(&[1, 1], SLOW, 1, Duration::ZERO);
        check(&[16, 16], SLOW, 16, SLOW / 2);
        check(&[16, 16], SLOW, 32, Duration::ZERO);
        check(&[GROUP, GROUP], SLOW, GROUP, Duration::ZERO);
        check(&[1, 7], SLOW, 1, SLOW / 2);
        check(&[7, 1, 1], SLOW, 1, Duration::ZERO);
    }

    #[test]
    fn nobody_is_waited_for_longer_than_it_is_worth() {
        check(
            &[2],
            Duration::from_micros(20),
            1,
            Duration::from_micros(10),
        );
        check(&[2], Duration::from_secs(1), 1, PATIENCE);
    }
}
