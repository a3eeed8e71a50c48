//! The loop that ties watches, decisions and writes together: a change wakes those whom it concerns,
//! each decides on the index, the writes are done, one object at a time.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::{api::core::v1::Pod, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use tokio::{
    sync::{broadcast, mpsc, watch},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::{
    claim,
    index::{Any, Change, Index, Key, controller},
    machine::Event,
    pod::{
        Source, claimed_by,
        worker::{Context, Handle, Worker},
    },
    service::{address, egress::Gateway, matches_all, selects, slice},
    workload::{cronjob, daemonset, deployment, job, replicaset, statefulset},
    write::{Decision, Write},
};

/// How many new objects are made at once: the API writes them to the disk together.
const TOGETHER: usize = 16;

/// Something to look at.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Work {
    /// A deployment.
    Deployment(Key),
    /// A replica set.
    ReplicaSet(Key),
    /// A stateful set.
    StatefulSet(Key),
    /// A daemon set.
    DaemonSet(Key),
    /// A job.
    Job(Key),
    /// A cron job.
    CronJob(Key),
    /// The address of a service.
    Address(Key),
    /// The endpoints of a service.
    Endpoints(Key),
    /// Which node a pod goes to.
    Placement(Key),
    /// A claim of a persistent folder.
    Claim(Key),
    /// A pod on this node.
    Pod(Key),
    /// The network.
    Network,
    /// Folders of pods and claims that went away while nobody looked.
    Leftovers,
    /// Folders of claims that neither exist nor are used any more.
    Claims,
}

/// Whom a change concerns.
pub fn concerned(index: &Index, change: &Change) -> BTreeSet<Work> {
    let mut work = BTreeSet::new();
    for object in [&change.old, &change.new].into_iter().flatten() {
        concern(index, object, &mut work);
    }
    if let (Some(Any::Pod(pod)), None) = (&change.old, &change.new) {
        work.extend(deployment_of(index, pod));
    }
    work
}

/// The deployment of a pod: one that recreates waits until its old pods are gone, which is after
/// their replica set has counted them out.
fn deployment_of(index: &Index, pod: &Pod) -> Option<Work> {
    let Work::ReplicaSet(key) = owner(&pod.metadata)? else {
        return None;
    };
    owner(&index.replica_sets.get(&key)?.metadata)
}

fn concern(index: &Index, object: &Any, work: &mut BTreeSet<Work>) {
    match object {
        Any::Pod(pod) => {
            let key = Key::of(&pod.metadata);
            work.extend([Work::Placement(key.clone()), Work::Pod(key), Work::Network]);
            match owner(&pod.metadata) {
                Some(owner) => _ = work.insert(owner),
                None => work.extend(takers(index, pod)),
            }
            work.extend(services_of(index, pod));
            work.extend(claimed_by(pod).next().map(|_| Work::Claims));
        }
        Any::Deployment(it) => _ = work.insert(Work::Deployment(Key::of(&it.metadata))),
        Any::ReplicaSet(it) => {
            work.insert(Work::ReplicaSet(Key::of(&it.metadata)));
            work.extend(owner(&it.metadata));
        }
        Any::DaemonSet(it) => _ = work.insert(Work::DaemonSet(Key::of(&it.metadata))),
        Any::StatefulSet(it) => _ = work.insert(Work::StatefulSet(Key::of(&it.metadata))),
        Any::ControllerRevision(it) => work.extend(owner(&it.metadata)),
        Any::Job(it) => {
            work.insert(Work::Job(Key::of(&it.metadata)));
            work.extend(owner(&it.metadata));
        }
        Any::CronJob(it) => _ = work.insert(Work::CronJob(Key::of(&it.metadata))),
        Any::Service(it) => {
            let key = Key::of(&it.metadata);
            work.extend([
                Work::Address(key.clone()),
                Work::Endpoints(key),
                Work::Network,
            ]);
        }
        Any::EndpointSlice(it) => work.extend(owner(&it.metadata)),
        Any::ConfigMap(it) => work.extend(readers(index, &it.metadata, |pod, name| {
            Source::ConfigMap(name).is_read_by(pod)
        })),
        Any::Secret(it) => work.extend(readers(index, &it.metadata, |pod, name| {
            Source::Secret(name).is_read_by(pod)
        })),
        Any::PersistentVolumeClaim(it) => {
            work.extend([Work::Claims, Work::Claim(Key::of(&it.metadata))]);
            work.extend(claimants(index, &it.metadata));
            work.extend(readers(index, &it.metadata, |pod, _| {
                pod.spec.as_ref().is_some_and(|spec| spec.volumes.is_some())
            }));
        }
        Any::Namespace(_) | Any::NetworkPolicy(_) => _ = work.insert(Work::Network),
        Any::Node(_) | Any::ServiceAccount(_) => {}
    }
}

/// The object that controls this one.
fn owner(meta: &ObjectMeta) -> Option<Work> {
    let owner = controller(meta)?;
    let key = Key::new(meta.namespace.clone().unwrap_or_default(), &owner.name);
    match owner.kind.as_str() {
        "Deployment" => Some(Work::Deployment(key)),
        "ReplicaSet" => Some(Work::ReplicaSet(key)),
        "StatefulSet" => Some(Work::StatefulSet(key)),
        "DaemonSet" => Some(Work::DaemonSet(key)),
        "Job" => Some(Work::Job(key)),
        "CronJob" => Some(Work::CronJob(key)),
        "Service" => Some(Work::Endpoints(key)),
        _ => None,
    }
}

/// Who would take in a pod that nothing controls.
fn takers(index: &Index, pod: &Pod) -> Vec<Work> {
    let (namespace, labels) = (
        pod.metadata.namespace.as_deref().unwrap_or_default(),
        &pod.metadata.labels,
    );
    let sets = index.replica_sets.within(namespace).filter(|set| {
        let spec = set.spec.as_ref();
        spec.is_some_and(|spec| selects(&spec.selector, labels))
    });
    let stateful = index.stateful_sets.within(namespace).filter(|set| {
        let spec = set.spec.as_ref();
        spec.is_some_and(|spec| selects(&spec.selector, labels))
    });
    sets.map(|set| Work::ReplicaSet(Key::of(&set.metadata)))
        .chain(stateful.map(|set| Work::StatefulSet(Key::of(&set.metadata))))
        .collect()
}

/// The stateful sets whose pods a claim may be for.
fn claimants(index: &Index, claim: &ObjectMeta) -> Vec<Work> {
    let namespace = claim.namespace.as_deref().unwrap_or_default();
    let name = claim.name.as_deref().unwrap_or_default();
    let sets = index.stateful_sets.within(namespace);
    sets.filter(|set| statefulset::may_claim(set, name))
        .map(|set| Work::StatefulSet(Key::of(&set.metadata)))
        .collect()
}

fn services_of(index: &Index, pod: &Pod) -> Vec<Work> {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let services = index.services.within(namespace).filter(|service| {
        let selector = service
            .spec
            .as_ref()
            .and_then(|spec| spec.selector.as_ref());
        selector.is_some_and(|wanted| matches_all(wanted, &pod.metadata.labels))
    });
    services
        .map(|service| Work::Endpoints(Key::of(&service.metadata)))
        .collect()
}

fn readers(index: &Index, meta: &ObjectMeta, reads: impl Fn(&Pod, &str) -> bool) -> Vec<Work> {
    let namespace = meta.namespace.as_deref().unwrap_or_default();
    let name = meta.name.as_deref().unwrap_or_default();
    let pods = index.pods.within(namespace).filter(|pod| reads(pod, name));
    pods.map(|pod| Work::Pod(Key::of(&pod.metadata))).collect()
}

/// Everything there is to look at, for the beginning.
pub fn everything(index: &Index) -> BTreeSet<Work> {
    let mut work = BTreeSet::from([Work::Leftovers, Work::Network]);
    let mut all: Vec<Any> = Vec::new();
    all.extend(index.deployments.iter().cloned().map(Any::Deployment));
    all.extend(index.replica_sets.iter().cloned().map(Any::ReplicaSet));
    all.extend(index.stateful_sets.iter().cloned().map(Any::StatefulSet));
    all.extend(index.daemon_sets.iter().cloned().map(Any::DaemonSet));
    all.extend(index.jobs.iter().cloned().map(Any::Job));
    all.extend(index.cron_jobs.iter().cloned().map(Any::CronJob));
    all.extend(index.services.iter().cloned().map(Any::Service));
    all.extend(index.pods.iter().cloned().map(Any::Pod));
    let claims = index.claims.iter().cloned();
    all.extend(claims.map(Any::PersistentVolumeClaim));
    for object in &all {
        concern(index, object, &mut work);
    }
    work
}

/// What to do about something.
fn decide(index: &Index, work: &Work, node: &str, now: Timestamp) -> Decision {
    match work {
        Work::Deployment(key) => deployment::decide(index, key, now),
        Work::ReplicaSet(key) => replicaset::decide(index, key, now),
        Work::StatefulSet(key) => statefulset::decide(index, key, now),
        Work::DaemonSet(key) => daemonset::decide(index, key, now),
        Work::Job(key) => job::decide(index, key, now),
        Work::CronJob(key) => cronjob::decide(index, key, now),
        Work::Address(key) => address::decide(index, key),
        Work::Endpoints(key) => slice::decide(index, key),
        Work::Placement(key) => crate::node::place(index, key, node),
        Work::Claim(key) => claim::bind(index, key),
        Work::Pod(_) | Work::Network | Work::Leftovers | Work::Claims => Decision::default(),
    }
}

/// What became of a piece of work.
struct Done {
    work: Work,
    again: Option<Timestamp>,
    failed: bool,
}

/// The loop.
pub struct Control {
    context: Arc<Context>,
    changes: mpsc::UnboundedReceiver<Change>,
    events: broadcast::Receiver<Event>,
    gateways: watch::Receiver<Vec<Gateway>>,
    stop: CancellationToken,
    ready: BTreeSet<Work>,
    busy: BTreeSet<Work>,
    later: BTreeMap<Work, Timestamp>,
    failures: BTreeMap<Work, u32>,
    pods: BTreeMap<String, Handle>,
    workers: JoinSet<String>,
    tasks: JoinSet<Done>,
    complete: bool,
}

impl Control {
    /// A loop that is fed with changes and events.
    pub fn new(
        context: Arc<Context>,
        changes: mpsc::UnboundedReceiver<Change>,
        events: broadcast::Receiver<Event>,
        stop: CancellationToken,
    ) -> Self {
        Self {
            gateways: context.network.gateways(),
            context,
            changes,
            events,
            stop,
            ready: BTreeSet::new(),
            busy: BTreeSet::new(),
            later: BTreeMap::new(),
            failures: BTreeMap::new(),
            pods: BTreeMap::new(),
            workers: JoinSet::new(),
            tasks: JoinSet::new(),
            complete: false,
        }
    }

    /// Runs until it is stopped (`false`) or the machine is lost (`true`).
    pub async fn run(mut self) -> bool {
        loop {
            self.begin();
            let pause = self.pause();
            tokio::select! {
                () = self.stop.cancelled() => return false,
                change = self.changes.recv() => match change {
                    Some(change) => self.changed(&change),
                    None => return false,
                },
                event = self.events.recv() => if self.is_lost(event) {
                    return true;
                },
                Ok(()) = self.gateways.changed() => if self.complete {
                    self.ready.insert(Work::Network);
                },
                Some(done) = self.tasks.join_next() => self.done(done),
                Some(ended) = self.workers.join_next() => self.ended(ended),
                () = tokio::time::sleep(pause) => self.wake(Timestamp::now()),
            }
        }
    }

    /// Takes in what the machine reports; whether it is lost.
    fn is_lost(&mut self, event: Result<Event, broadcast::error::RecvError>) -> bool {
        match event {
            Ok(Event::Lost) | Err(broadcast::error::RecvError::Closed) => true,
            Ok(Event::ContainerExited { id, exit }) => {
                self.exited(id, exit);
                false
            }
            Ok(Event::ProcessExited { .. } | Event::Refused(_)) => false,
            Err(broadcast::error::RecvError::Lagged(missed)) => {
                // An end that nobody saw cannot be asked for again: only a new machine is certain.
                tracing::error!(missed, "events of the machine were missed");
                true
            }
        }
    }

    fn ended(&mut self, worker: Result<String, tokio::task::JoinError>) {
        match worker {
            Ok(uid) => _ = self.pods.remove(&uid),
            Err(error) => tracing::error!(%error, "the task of a pod broke off"),
        }
    }

    fn pause(&self) -> Duration {
        let next = self.later.values().min();
        next.map_or(Duration::from_hours(24), |time| {
            Duration::try_from(time.duration_since(Timestamp::now())).unwrap_or_default()
        })
    }

    fn wake(&mut self, now: Timestamp) {
        let due: Vec<Work> = self
            .later
            .iter()
            .filter(|(_, time)| **time <= now)
            .map(|(w, _)| w.clone())
            .collect();
        for work in due {
            self.later.remove(&work);
            self.ready.insert(work);
        }
    }

    fn changed(&mut self, change: &Change) {
        let work = {
            let index = self.context.index.read();
            if self.complete {
                concerned(&index, change)
            } else if index.is_complete() {
                self.complete = true;
                everything(&index)
            } else {
                return;
            }
        };
        self.ready.extend(work);
    }

    fn exited(&mut self, id: String, exit: crate::machine::Exit) {
        let handle = self
            .pods
            .iter()
            .find(|(uid, _)| id.starts_with(uid.as_str()));
        if let Some((_, handle)) = handle {
            // A task that has ended needs no news.
            let _ = handle.exits.send((id, exit));
        }
    }

    /// Begins everything that is ready and not being done.
    fn begin(&mut self) {
        let ready: Vec<Work> = self
            .ready
            .iter()
            .filter(|work| !self.busy.contains(*work))
            .cloned()
            .collect();
        for work in ready {
            self.ready.remove(&work);
            self.later.remove(&work);
            match work {
                Work::Pod(key) => self.pod(&key),
                Work::Deployment(_)
                | Work::ReplicaSet(_)
                | Work::StatefulSet(_)
                | Work::DaemonSet(_)
                | Work::Job(_)
                | Work::CronJob(_)
                | Work::Address(_)
                | Work::Endpoints(_)
                | Work::Placement(_)
                | Work::Claim(_)
                | Work::Network
                | Work::Leftovers
                | Work::Claims => self.start(work),
            }
        }
    }

    fn start(&mut self, work: Work) {
        self.busy.insert(work.clone());
        let context = Arc::clone(&self.context);
        let span = tracing::debug_span!("reconcile", ?work);
        self.tasks.spawn(reconcile(context, work).instrument(span));
    }

    fn pod(&mut self, key: &Key) {
        let pod = self.context.index.read().pods.get(key).cloned();
        let Some(pod) = pod else {
            // Every task of this name looks for itself whether its pod is gone.
            for handle in self.pods.values() {
                handle.changed.notify_one();
            }
            return;
        };
        let uid = pod.metadata.uid.clone().unwrap_or_default();
        if let Some(handle) = self.pods.get(&uid) {
            handle.changed.notify_one();
            return;
        }
        let bound = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref());
        if bound != Some(&self.context.node) {
            return;
        }
        let stop = self.stop.child_token();
        let (worker, handle) = Worker::new(Arc::clone(&self.context), &pod, stop);
        self.pods.insert(uid.clone(), handle);
        self.workers.spawn(async move {
            worker.run().await;
            uid
        });
    }

    fn done(&mut self, done: Result<Done, tokio::task::JoinError>) {
        let done = match done {
            Ok(done) => done,
            Err(error) => {
                tracing::error!(%error, "a reconcile broke off");
                return;
            }
        };
        self.busy.remove(&done.work);
        let again = if done.failed {
            let failures = self.failures.entry(done.work.clone()).or_default();
            let wait = 50_i64 << (*failures).min(8);
            *failures += 1;
            Timestamp::now()
                .checked_add(SignedDuration::from_millis(wait))
                .ok()
        } else {
            self.failures.remove(&done.work);
            done.again
        };
        if let Some(again) = again {
            let known = self.later.get(&done.work).copied();
            self.later
                .insert(done.work, known.map_or(again, |known| known.min(again)));
        }
    }
}

/// The folders in which a piece of work looks for strays.
fn swept(work: &Work) -> Option<&'static [&'static str]> {
    match work {
        Work::Leftovers => Some(&["pods", "volumes", "claims"]),
        Work::Claims => Some(&["claims"]),
        Work::Deployment(_)
        | Work::ReplicaSet(_)
        | Work::StatefulSet(_)
        | Work::DaemonSet(_)
        | Work::Job(_)
        | Work::CronJob(_)
        | Work::Address(_)
        | Work::Endpoints(_)
        | Work::Placement(_)
        | Work::Claim(_)
        | Work::Pod(_)
        | Work::Network => None,
    }
}

/// Decides about one thing and does what was decided.
async fn reconcile(context: Arc<Context>, work: Work) -> Done {
    if let Some(parents) = swept(&work) {
        context.sweep(parents).await;
        return Done {
            work,
            again: None,
            failed: false,
        };
    }
    if work == Work::Network {
        let failed = context
            .network
            .sync()
            .await
            .map_err(|error| tried(&work, &error))
            .is_err();
        return Done {
            work,
            again: None,
            failed,
        };
    }
    let decision = decide(
        &context.index.read(),
        &work,
        &context.node,
        Timestamp::now(),
    );
    let failed = execute(&context, &decision)
        .await
        .map_err(|error| tried(&work, &error))
        .is_err();
    Done {
        work,
        again: decision.again,
        failed,
    }
}

/// Not yet: the same is tried again soon, on what is known then.
fn tried(work: &Work, error: &(dyn std::error::Error + 'static)) {
    tracing::debug!(?work, error, "tries again");
}

/// New objects of one decision are made together; everything else in its order.
async fn execute(context: &Context, decision: &Decision) -> kube::Result<()> {
    let together = |one: &Write| matches!(one, Write::Create(..) | Write::Notice(_));
    let groups = decision
        .writes
        .chunk_by(|one, next| together(one) && together(next));
    for group in groups {
        let runs: Vec<_> = group
            .iter()
            .map(|write| context.executor.run(write))
            .collect();
        stream::iter(runs)
            .buffer_unordered(TOGETHER)
            .try_collect::<()>()
            .await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::apps::v1::ReplicaSet;
    use serde_json::{Value, from_value, json};

    use super::*;

    fn owned(name: &str, kind: &str, by: &str) -> Value {
        let owner =
            json!({"apiVersion": "v1", "kind": kind, "name": by, "uid": by, "controller": true});
        json!({"metadata": {"namespace": "ns", "name": name, "uid": name, "ownerReferences": [owner]}})
    }

    #[test]
    fn a_deployment_learns_that_a_pod_is_gone() {
        let mut index = Index::default();
        let set = owned("web-1", "Deployment", "web");
        index.apply(from_value::<ReplicaSet>(set).unwrap());
        let pod: Pod = from_value(owned("web-1-a", "ReplicaSet", "web-1")).unwrap();
        let pod = Some(Any::Pod(Arc::new(pod)));
        let deployment = Work::Deployment(Key::new("ns", "web"));
        let check = |old: &Option<Any>, new: &Option<Any>, expected: bool| {
            let change = Change {
                old: old.clone(),
                new: new.clone(),
            };
            let work = concerned(&index, &change);
            assert_eq!(work.contains(&deployment), expected, "{work:?}");
        };
        check(&None, &pod, false);
        check(&pod, &pod, false);
        check(&pod, &None, true);
    }
}
