//! The history of bindings: a record is opened when something new is in effect, and gets its outcome
//! when that is ready, late, or replaced.
//!
//! Two objects tell the same, and either write may be the last before a crash. So the order is fixed:
//! a record is stored before the binding speaks of it, and the binding tells the outcome before the
//! record does. Whatever is missing is made up for from the other.

mod pruning;
mod recorded;
mod told;

use choreo_compiler::history;
use choreo_model::conditions::{self, reasons, types};
use choreo_model::history::{
    Action, Checkpoint, DeploymentRecordSpec, DeploymentRecordStatus, HistoryHead, Outcome,
    RecordedBinding,
};
use choreo_model::{DeploymentRecord, Object, RenderedRelease, Spec as _, labels, names};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::{SignedDuration, Timestamp};

use self::pruning::Marks;
pub(super) use self::recorded::Recorded;
use self::recorded::configuration;
pub(super) use self::told::decide;
use super::{Context, apply, changed, metadata};
use crate::decision::{Decision, Write};
use crate::key::{By, Key};

const MANAGER: &str = "deploymentrecord-controller";
/// What is not ready after this time has failed.
const DEADLINE: SignedDuration = SignedDuration::from_mins(10);
/// How many releases that were deployed before the last one are remembered.
const EARLIER: usize = 10;
/// How long a binding waits at a time for what it tells of a record to be seen, or for its last record
/// to end.
const PAUSE: SignedDuration = SignedDuration::from_secs(1);

/// What is in effect of a binding.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum Effect<'a> {
    /// Not what the binding asks for: that is not written yet, or cannot be.
    #[default]
    Pending,
    /// Nothing, as it asks for.
    Nothing,
    /// These objects, as it asks for.
    Objects(&'a RenderedRelease),
}

impl<'a> Effect<'a> {
    /// What is in effect where `there` is rendered and `write` is still to be made.
    pub(super) fn of(there: Option<&'a RenderedRelease>, write: Option<&Write>) -> Self {
        match (there, write) {
            (Some(there), None) if !there.is_deleting() => Self::Objects(there),
            _ => Self::Pending,
        }
    }

    /// The generation of what is rendered; none while it is pending.
    fn generation(&self) -> Option<i64> {
        match self {
            Self::Pending => None,
            Self::Nothing => Some(0),
            Self::Objects(rendered) => Some(rendered.generation()),
        }
    }

    fn digest(&self, context: &Context<'_>) -> String {
        match self {
            Self::Pending | Self::Nothing => String::new(),
            Self::Objects(rendered) => context.view.plan_digest(rendered),
        }
    }
}

/// How a history goes on.
#[derive(Default)]
pub(super) struct Step {
    pub(super) writes: Vec<Write>,
    /// What the binding's status says of it then.
    pub(super) head: Option<HistoryHead>,
    pub(super) look_again: Option<Timestamp>,
}

impl Step {
    fn at(head: Option<HistoryHead>) -> Self {
        Self {
            head,
            ..Self::default()
        }
    }
}

/// The next step in the history of `binding`, of which `effect` is in effect; `conditions` are what
/// it reports now.
pub(super) fn step<T: Recorded>(
    context: &Context<'_>,
    binding: &Object<T>,
    effect: Effect<'_>,
    conditions: &[Condition],
) -> Step {
    let chain = Chain {
        context,
        binding,
        effect,
    };
    let head = T::head(&binding.status);
    match head {
        Some(open) if open.outcome.is_none() => chain.under_way(open, conditions),
        _ if chain.is_news() => chain.open(conditions),
        _ => Step::at(head.cloned()),
    }
}

/// Ends the history of a binding that is being deleted, when everything else is gone: what is under
/// way gets its outcome, then a last record tells of the deletion, among the `writes`. Returns a
/// decision to carry out before, if there is one; `status` makes the binding's status of where its
/// history is.
pub(super) fn close<T: Recorded>(
    context: &Context<'_>,
    binding: &Object<T>,
    manager: &'static str,
    writes: &mut Vec<Write>,
    status: impl FnOnce(HistoryHead) -> T::Status,
) -> Option<Decision> {
    let chain = Chain {
        context,
        binding,
        effect: Effect::Nothing,
    };
    let head = chain.head();
    let open = head.filter(|head| head.outcome.is_none());
    let stored = chain.next_open();
    let stored = stored.filter(|stored| stored.spec.action != Action::Delete);
    let first = match (open, stored) {
        (Some(open), _) => Some((Vec::new(), chain.replaced(open))),
        (None, Some(stored)) => Some(chain.adopted(stored)),
        (None, None) => None,
    };
    if let Some((writes, head)) = first {
        return Some(Decision {
            manager,
            writes,
            status: changed(&binding.status, &status(head)),
            look_again: Some(context.now.0 + PAUSE),
            ..Decision::default()
        });
    }
    head?;
    let asked = binding.metadata.deletion_timestamp.as_ref();
    let record = DeploymentRecordSpec {
        action: Action::Delete,
        release: String::new(),
        configuration: None,
        ..chain.record(&text(asked.unwrap_or(&context.now)))
    };
    writes.extend(chain.write(record).0);
    None
}

/// The releases that `binding` names or can go back to.
pub(super) fn releases<T: Recorded>(binding: &Object<T>) -> impl Iterator<Item = &str> {
    let head = T::head(&binding.status);
    let deployed = head.into_iter().flat_map(releases_of);
    deployed.chain([binding.spec.release()])
}

/// The release that `head` is about, and those before it.
fn releases_of(head: &HistoryHead) -> impl Iterator<Item = &str> {
    let all = [&head.release].into_iter().chain(&head.earlier);
    all.map(String::as_str).filter(|name| !name.is_empty())
}

/// The history of one binding.
struct Chain<'a, 'c, T: Recorded> {
    context: &'a Context<'c>,
    binding: &'a Object<T>,
    effect: Effect<'a>,
}

impl<'c, T: Recorded> Chain<'_, 'c, T> {
    fn head(&self) -> Option<&HistoryHead> {
        T::head(&self.binding.status)
    }

    /// Whether something is in effect that no record tells of.
    fn is_news(&self) -> bool {
        let Some(rendered) = self.effect.generation() else {
            return false;
        };
        let now = (self.binding.generation(), rendered);
        match self.head() {
            Some(head) => (head.generation, head.rendered) != now,
            None => matches!(self.effect, Effect::Objects(_)),
        }
    }

    fn under_way(&self, open: &HistoryHead, conditions: &[Condition]) -> Step {
        if open.generation != self.binding.generation() || self.is_news() {
            // How it was is known only now. The next record is opened when this one has its outcome, which
            // wakes whoever has looked for it.
            let _under_way = self.awaited(open.sequence);
            return Step::at(Some(self.replaced(open)));
        }
        if self.has_succeeded(conditions) {
            return Step::at(Some(self.ended(open, Outcome::Succeeded, "")));
        }
        let Some(due) = self.started(open).map(|started| started + DEADLINE) else {
            return Step::at(Some(open.clone()));
        };
        if self.context.now.0 < due {
            return Step {
                look_again: Some(due),
                ..Step::at(Some(open.clone()))
            };
        }
        let ready = conditions::find(conditions, types::READY);
        let ready = ready.filter(|_| matches!(self.effect, Effect::Objects(_)));
        let why = ready.map_or("", |ready| ready.message.as_str());
        Step::at(Some(self.ended(open, Outcome::Failed, why)))
    }

    /// Whether what is in effect is as it should be.
    fn has_succeeded(&self, conditions: &[Condition]) -> bool {
        match self.effect {
            Effect::Pending => false,
            Effect::Nothing => true,
            Effect::Objects(_) => conditions::is_true(conditions, types::READY),
        }
    }

    /// When the deployment that is under way began. Bindings of before do not tell.
    fn started(&self, open: &HistoryHead) -> Option<Timestamp> {
        if let Ok(told) = open.started_at.parse() {
            return Some(told);
        }
        let record = self.awaited(open.sequence)?;
        record.spec.started_at.parse().ok()
    }

    /// How the deployment ends that something else takes the place of.
    fn replaced(&self, open: &HistoryHead) -> HistoryHead {
        const BROKEN: [&str; 3] = [
            reasons::RESOURCES_DEGRADED,
            reasons::RESOURCE_APPLY_FAILED,
            reasons::JOB_FAILED,
        ];
        let before = conditions::find(T::conditions(&self.binding.status), types::READY);
        let broken = before.filter(|ready| BROKEN.contains(&ready.reason.as_str()));
        let outcome = match broken {
            _ if self.action() == Action::Rollback => Outcome::RolledBack,
            Some(_) => Outcome::Failed,
            None => Outcome::Superseded,
        };
        let why = broken.map_or("", |ready| ready.message.as_str());
        self.ended(open, outcome, why)
    }

    fn ended(&self, open: &HistoryHead, outcome: Outcome, message: &str) -> HistoryHead {
        let finished_at = text(&self.context.now);
        let status = history::end(&open.hash, outcome, &finished_at, message);
        HistoryHead {
            outcome: status.outcome,
            finished_at,
            message: message.to_owned(),
            hash: status.hash,
            ..open.clone()
        }
    }

    fn open(&self, conditions: &[Condition]) -> Step {
        let there = self.next_open();
        let (writes, mut head) = match there {
            Some(there) => self.adopted(there),
            None => self.write(self.record(&text(&self.context.now))),
        };
        // What is ready at once has its outcome at once: nothing is to come that would tell it.
        if head.generation == self.binding.generation() && self.has_succeeded(conditions) {
            head = self.ended(&head, Outcome::Succeeded, "");
        }
        // The binding may speak of it already, where that was not seen yet; a status that comes late
        // wakes nobody.
        let look_again = there.map(|_| self.context.now.0 + PAUSE);
        Step {
            writes,
            look_again,
            ..Step::at(Some(head))
        }
    }

    /// A record that was stored before the binding could speak of it. What it prunes may still be there.
    fn adopted(&self, there: &DeploymentRecord) -> (Vec<Write>, HistoryHead) {
        let spec = &there.spec;
        // It may be about what has changed again since.
        let wanted = DeploymentRecordSpec {
            hash: spec.hash.clone(),
            pruned: spec.pruned.clone(),
            ..self.record(&spec.started_at)
        };
        let same = wanted == *spec;
        let head = HistoryHead {
            sequence: spec.sequence,
            hash: spec.hash.clone(),
            release: spec.release.clone(),
            earlier: self.earlier(&spec.release),
            generation: if same { self.binding.generation() } else { 0 },
            rendered: self.effect.generation().unwrap_or_default(),
            started_at: spec.started_at.clone(),
            pruned: spec.pruned.clone(),
            next_checkpoint: self.next_checkpoint(spec.pruned.as_ref()),
            ..HistoryHead::default()
        };
        (self.prune(spec.pruned.as_ref()), head)
    }

    /// Up to where the history is pruned next, where a record says that it is pruned up to `pruned`.
    fn next_checkpoint(&self, pruned: Option<&Checkpoint>) -> Option<Checkpoint> {
        let marks = self.marks();
        if marks.pruned.as_ref() == pruned {
            return marks.next;
        }
        // How much is kept was changed meanwhile.
        let head = self.head()?;
        let last = Checkpoint {
            sequence: head.sequence,
            hash: head.hash.clone(),
        };
        if head.pruned.as_ref() == pruned {
            head.next_checkpoint.clone()
        } else {
            Some(last)
        }
    }

    fn marks(&self) -> Marks {
        let limit = pruning::limit(self.context, self.binding.spec.environment());
        pruning::marks(self.head(), limit)
    }

    /// Deletes the records up to `pruned`.
    fn prune(&self, pruned: Option<&Checkpoint>) -> Vec<Write> {
        let before = self.head().and_then(|head| head.pruned.as_ref());
        let binding = (self.binding.name(), self.binding.uid());
        pruning::deletes(self.context, binding, before, pruned)
    }

    /// What was deployed before `release`, the latest first.
    fn earlier(&self, release: &str) -> Vec<String> {
        let mut earlier: Vec<String> = Vec::new();
        for name in self.head().into_iter().flat_map(releases_of) {
            let known = earlier.iter().any(|earlier| earlier == name);
            if name != release && !known && earlier.len() < EARLIER {
                earlier.push(name.to_owned());
            }
        }
        earlier
    }

    /// Stores the next record, and before it whatever the one before may not have been told.
    fn write(&self, spec: DeploymentRecordSpec) -> (Vec<Write>, HistoryHead) {
        let (namespace, name) = (self.binding.namespace(), self.name(spec.sequence));
        let hash = history::hash(namespace, &name, &spec);
        let head = HistoryHead {
            sequence: spec.sequence,
            hash: hash.clone(),
            release: spec.release.clone(),
            earlier: self.earlier(&spec.release),
            generation: self.binding.generation(),
            rendered: self.effect.generation().unwrap_or_default(),
            started_at: spec.started_at.clone(),
            pruned: spec.pruned.clone(),
            next_checkpoint: self.next_checkpoint(spec.pruned.as_ref()),
            ..HistoryHead::default()
        };
        let spec = DeploymentRecordSpec { hash, ..spec };
        let untold = self
            .head()
            .filter(|head| self.unfinished(head.sequence).is_some());
        let before = untold.and_then(|before| {
            let status = serde_json::to_value(status_of(before)).ok()?;
            let name = self.name(before.sequence);
            let key = Key::new(DeploymentRecordSpec::KIND, namespace, &name);
            Some(Write::Status { key, status })
        });
        let record = apply(
            DeploymentRecordSpec::KIND,
            metadata(namespace, &name, &[]),
            &spec,
        );
        // What is pruned goes once the record is there that says so.
        let writes = before.into_iter().chain(record);
        let writes = writes.chain(self.prune(spec.pruned.as_ref()));
        (writes.collect(), head)
    }

    /// The next record, without its hash.
    fn record(&self, started_at: &str) -> DeploymentRecordSpec {
        let (binding, spec) = (self.binding, &self.binding.spec);
        let action = self.action();
        // Whoever changed the binding did not ask for what else is rendered with it.
        let asked = |key: &str| {
            let said = binding
                .annotation(key)
                .filter(|_| action != Action::Refresh);
            said.unwrap_or_default().to_owned()
        };
        // Where nothing stamps bindings, what their last change said of itself is all there is.
        let either = |stored: &str, said: &str| {
            let stored = asked(stored);
            if stored.is_empty() {
                asked(said)
            } else {
                stored
            }
        };
        DeploymentRecordSpec {
            owner: spec.owner(),
            environment: spec.environment().to_owned(),
            binding: RecordedBinding {
                kind: binding.kind().to_owned(),
                name: binding.name().to_owned(),
                uid: binding.uid().to_owned(),
            },
            sequence: self.head().map_or(0, |head| head.sequence) + 1,
            action,
            release: spec.release().to_owned(),
            previous_release: self
                .head()
                .map_or_else(String::new, |head| head.release.clone()),
            configuration: configuration(spec),
            changed_by: either(labels::CHANGED_BY, labels::ON_BEHALF_OF),
            reason: either(labels::CHANGE_REASON, labels::CHANGE_CAUSE),
            plan_digest: self.effect.digest(self.context),
            started_at: started_at.to_owned(),
            pruned: self.marks().pruned,
            previous_hash: self
                .head()
                .map_or_else(String::new, |head| head.hash.clone()),
            hash: String::new(),
        }
    }

    /// What was done to the binding since its last record.
    fn action(&self) -> Action {
        let (binding, head) = (self.binding, self.head());
        if matches!(self.effect, Effect::Nothing) {
            return Action::Undeploy;
        }
        if head.is_some_and(|head| head.generation == binding.generation()) {
            return Action::Refresh;
        }
        let Some(head) = head else {
            return Action::Deploy;
        };
        let stored = binding.annotation(labels::CHANGE_ACTION);
        let said = stored.or_else(|| binding.annotation(labels::ACTION));
        said.and_then(Action::named).unwrap_or_else(|| {
            if head.rendered != 0 && head.release == binding.spec.release() {
                Action::Configure
            } else {
                Action::Deploy
            }
        })
    }

    /// The record after the last that the binding speaks of, if it is there and has no outcome.
    fn next_open(&self) -> Option<&'c DeploymentRecord> {
        self.unfinished(self.head().map_or(0, |head| head.sequence) + 1)
    }

    /// A record without an outcome. Mostly it was written for this binding just now, which is no reason to
    /// look at the binding again.
    fn unfinished(&self, sequence: i64) -> Option<&'c DeploymentRecord> {
        let (view, of) = (self.context.view, self.binding.uid());
        numbered(view.members_now(By::Binding, &[of]), sequence)
    }

    /// The same; the binding is looked at again when it comes, or has its outcome.
    fn awaited(&self, sequence: i64) -> Option<&'c DeploymentRecord> {
        let (view, of) = (self.context.view, self.binding.uid());
        numbered(view.members(By::Binding, &[of]), sequence)
    }

    fn name(&self, sequence: i64) -> String {
        names::deployment_record(self.binding.name(), self.binding.uid(), sequence)
    }
}

fn numbered(records: Vec<&DeploymentRecord>, sequence: i64) -> Option<&DeploymentRecord> {
    let mut records = records.into_iter();
    records.find(|record| record.spec.sequence == sequence)
}

/// The status of the record that `head` speaks of.
fn status_of(head: &HistoryHead) -> DeploymentRecordStatus {
    DeploymentRecordStatus {
        outcome: head.outcome,
        finished_at: head.finished_at.clone(),
        message: head.message.clone(),
        hash: head.hash.clone(),
    }
}

fn text(time: &Time) -> String {
    let text = serde_json::to_value(time);
    let text = text.ok().and_then(|text| text.as_str().map(str::to_owned));
    text.unwrap_or_default()
}
