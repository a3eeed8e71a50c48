//! What to do next for a pod: a function of what it asks for and of what is known about it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container as Spec, ContainerRestartRule, Pod, PodSpec};

use super::{
    ephemeral,
    files::Payload,
    probe::{Verdict, Which},
    state::{Container, Ended, Runtime, State, Step},
    storage,
    token::{self, Wanted},
};
use crate::workload::after;

/// One thing to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Make the pod's frame.
    CreateSandbox,
    /// Ask for a token of the pod's service account.
    AskToken(Wanted),
    /// Write the pod's files.
    Materialise(Payload),
    /// Fetch a container's image.
    Pull(String),
    /// Start a container.
    Start(String),
    /// End a container: its name, the run, the seconds it is given, and why.
    Stop(String, String, i64, String),
    /// Probe a container: its name, the run, which probe.
    Probe(String, String, Which),
    /// Look whether more is stored than the pod may store, by its volumes and by runs of its containers.
    Measure(storage::Limits, BTreeMap<String, String>),
    /// Remove what a run that has ended left on the machine.
    Discard(String),
    /// Remove the pod's frame.
    TearDown,
    /// Remove the Pod object.
    Remove,
}

/// What is decided about a pod.
#[derive(Debug, Default, PartialEq)]
pub struct Plan {
    /// To do now.
    pub actions: Vec<Action>,
    /// When to look again.
    pub again: Option<Timestamp>,
}

/// What a decision needs besides the runtime.
#[derive(Debug)]
pub struct Inputs<'a> {
    /// The pod.
    pub pod: &'a Pod,
    /// The files it wants, or why they cannot be had.
    pub payload: Result<Payload, String>,
    /// Why containers cannot start, by name.
    pub problems: BTreeMap<String, String>,
    /// Now.
    pub now: Timestamp,
}

/// Seconds between two looks at how much a pod has stored.
const MEASURED: i64 = 10;

/// Seconds that the last containers of a pod get to end in any case.
const LAST_MOMENT: i64 = 2;

/// How long a pod is given to end.
pub fn grace(pod: &Pod) -> i64 {
    let spec = pod
        .spec
        .as_ref()
        .and_then(|spec| spec.termination_grace_period_seconds);
    pod.metadata
        .deletion_grace_period_seconds
        .or(spec)
        .unwrap_or(30)
}

/// Whether an ended container runs again: as a rule of its own says, its own policy, or that of its pod.
pub fn restarts(spec: &PodSpec, container: &Spec, initial: bool, code: i32) -> bool {
    let mut rules = container.restart_policy_rules.iter().flatten();
    if rules.any(|rule| is_about(rule, code)) {
        return true;
    }
    let own = container.restart_policy.as_deref();
    match own.or(spec.restart_policy.as_deref()).unwrap_or("Always") {
        "Never" => false,
        "Always" if own.is_some() => true,
        "OnFailure" => code != 0,
        _ => !initial || code != 0,
    }
}

/// Whether a rule restarts what ended with this code.
fn is_about(rule: &ContainerRestartRule, code: i32) -> bool {
    rule.exit_codes.as_ref().is_some_and(|codes| {
        let listed = codes.values.iter().flatten().any(|one| *one == code);
        listed == (codes.operator == "In")
    })
}

/// Whether an initial container runs beside the others.
pub fn is_sidecar(container: &Spec) -> bool {
    container.restart_policy.as_deref() == Some("Always")
}

/// How a pod's work ended, if it has: `Some(true)` when well.
pub fn outcome(spec: &PodSpec, runtime: &Runtime) -> Option<bool> {
    if runtime.rejected.is_some() {
        return Some(false);
    }
    let ended = |container: &Spec, initial| match runtime.containers.get(&container.name) {
        Some(Container {
            state: State::Ended(end),
            ..
        }) if !restarts(spec, container, initial, end.code) => Some(end.code),
        Some(_) | None => None,
    };
    let mut initial = spec.init_containers.iter().flatten();
    if initial.any(|container| ended(container, true).is_some_and(|code| code != 0)) {
        return Some(false);
    }
    let codes: Option<Vec<i32>> = spec
        .containers
        .iter()
        .map(|container| ended(container, false))
        .collect();
    codes.map(|codes| codes.iter().all(|code| *code == 0))
}

/// What to do for a pod.
pub fn decide(inputs: &Inputs<'_>, runtime: &Runtime) -> Plan {
    let mut plan = Plan::default();
    let Some(spec) = &inputs.pod.spec else {
        return plan;
    };
    plan.actions
        .extend(runtime.remains.iter().cloned().map(Action::Discard));
    let deleting = inputs.pod.metadata.deletion_timestamp.is_some();
    if deleting || outcome(spec, runtime).is_some() {
        end(inputs, runtime, deleting, &mut plan);
        return plan;
    }
    if let Some(deadline) = deadline(spec, runtime) {
        plan.look_again(deadline);
    }
    ask_tokens(inputs, runtime, &mut plan);
    prepare(inputs, runtime, &mut plan);
    measure(inputs, runtime, &mut plan);
    let framed = runtime.sandbox == Step::Done && runtime.payload.is_some();
    let mut work = Work {
        inputs,
        runtime,
        spec,
        framed,
        plan,
    };
    if work.initial() {
        for container in &spec.containers {
            work.keep(container, false);
        }
    }
    for container in ephemeral::of(spec) {
        work.keep(&container, false);
    }
    work.plan
}

/// When a pod has run for as long as it may.
pub fn deadline(spec: &PodSpec, runtime: &Runtime) -> Option<Timestamp> {
    Some(after(runtime.started?, spec.active_deadline_seconds?))
}

fn end(inputs: &Inputs<'_>, runtime: &Runtime, deleting: bool, plan: &mut Plan) {
    let running = stop(inputs, runtime, plan);
    let making = runtime.sandbox == Step::Busy || runtime.volumes == Step::Busy;
    if running || making {
        return;
    }
    match &runtime.teardown {
        Step::Idle => plan.actions.push(Action::TearDown),
        Step::Failed { retry, .. } if *retry <= inputs.now => plan.actions.push(Action::TearDown),
        Step::Failed { retry, .. } => plan.look_again(*retry),
        Step::Done if deleting => remove(inputs, runtime, plan),
        Step::Busy | Step::Done => {}
    }
}

/// Gives up the object of a pod that is gone: once, since finalizers may hold it for long.
fn remove(inputs: &Inputs<'_>, runtime: &Runtime, plan: &mut Plan) {
    match &runtime.removal {
        Step::Failed { retry, .. } if *retry > inputs.now => plan.look_again(*retry),
        Step::Idle | Step::Failed { .. } => plan.actions.push(Action::Remove),
        Step::Busy | Step::Done => {}
    }
}

/// Stops what runs: first what the pod is there for, then the sidecars, the last one first. Whether
/// anything is left.
fn stop(inputs: &Inputs<'_>, runtime: &Runtime, plan: &mut Plan) -> bool {
    let Some(spec) = &inputs.pod.spec else {
        return false;
    };
    let initial = || spec.init_containers.iter().flatten();
    let main = spec.containers.iter();
    let first = main.chain(initial().filter(|one| !is_sidecar(one)));
    let first = first.map(|one| &one.name);
    let added = spec.ephemeral_containers.iter().flatten();
    let first: Vec<_> = first.chain(added.map(|one| &one.name)).collect();
    let sidecars = initial().rev().filter(|one| is_sidecar(one));
    let sidecars = sidecars.map(|one| vec![&one.name]);
    let turns = std::iter::once(first).chain(sidecars);
    for turn in turns {
        let mut running = false;
        for name in turn {
            let Some(known) = runtime.containers.get(name) else {
                continue;
            };
            if let State::Running { id, .. } = &known.state
                && !known.stopping
            {
                let name = name.clone();
                let why = format!("Stopping container {name}");
                let grace = remaining(inputs);
                plan.actions
                    .push(Action::Stop(name, id.clone(), grace, why));
            }
            running |= known.is_alive();
        }
        if running {
            return true;
        }
    }
    false
}

/// What is left of the time that a pod is given to end: whoever is asked last gets at least a moment.
fn remaining(inputs: &Inputs<'_>) -> i64 {
    let whole = grace(inputs.pod);
    let Some(deadline) = &inputs.pod.metadata.deletion_timestamp else {
        return whole;
    };
    let left = deadline.0.duration_since(inputs.now).as_secs();
    left.clamp(LAST_MOMENT.min(whole), whole)
}

/// Asks for the tokens that the pod's files hold, and for newer ones in time.
fn ask_tokens(inputs: &Inputs<'_>, runtime: &Runtime, plan: &mut Plan) {
    for wanted in token::wanted(inputs.pod) {
        let kept = runtime.tokens.get(&wanted).cloned().unwrap_or_default();
        match kept.due() {
            Some(due) if due <= inputs.now => plan.actions.push(Action::AskToken(wanted)),
            Some(due) => plan.look_again(due),
            None => {}
        }
    }
}

fn prepare(inputs: &Inputs<'_>, runtime: &Runtime, plan: &mut Plan) {
    match &runtime.sandbox {
        Step::Idle => plan.actions.push(Action::CreateSandbox),
        Step::Failed { retry, .. } if *retry <= inputs.now => {
            plan.actions.push(Action::CreateSandbox);
        }
        Step::Failed { retry, .. } => plan.look_again(*retry),
        Step::Busy | Step::Done => {}
    }
    let Ok(payload) = &inputs.payload else { return };
    let current = runtime.payload.as_ref() == Some(payload);
    match &runtime.volumes {
        Step::Busy => {}
        Step::Failed { retry, .. } if *retry > inputs.now => plan.look_again(*retry),
        Step::Idle | Step::Done | Step::Failed { .. } if current => {}
        Step::Idle | Step::Done | Step::Failed { .. } => {
            plan.actions.push(Action::Materialise(payload.clone()));
        }
    }
}

/// Looks at what may not grow for ever, now and then.
fn measure(inputs: &Inputs<'_>, runtime: &Runtime, plan: &mut Plan) {
    let Some(limits) = storage::limits(inputs.pod) else {
        return;
    };
    let running = runtime
        .containers
        .iter()
        .filter_map(|(name, one)| match &one.state {
            State::Running { id, .. } => Some((name.clone(), id.clone())),
            State::Waiting { .. } | State::Pulling | State::Starting(_) | State::Ended(_) => None,
        });
    let running: BTreeMap<String, String> = running.collect();
    // Nothing grows before something runs.
    if runtime.measuring || running.is_empty() {
        return;
    }
    let due = runtime.measured.map(|before| after(before, MEASURED));
    match due.filter(|due| *due > inputs.now) {
        Some(due) => plan.look_again(due),
        None => plan.actions.push(Action::Measure(limits, running)),
    }
}

impl Plan {
    fn look_again(&mut self, time: Timestamp) {
        self.again = Some(self.again.map_or(time, |known| known.min(time)));
    }
}

/// The containers of a pod that is to run.
struct Work<'a> {
    inputs: &'a Inputs<'a>,
    runtime: &'a Runtime,
    spec: &'a PodSpec,
    framed: bool,
    plan: Plan,
}

impl Work<'_> {
    /// Brings the initial containers forward; whether the others may run.
    fn initial(&mut self) -> bool {
        for container in self.spec.init_containers.iter().flatten() {
            let known = self.runtime.containers.get(&container.name);
            if !is_sidecar(container) {
                if let Some(Container {
                    state: State::Ended(Ended { code: 0, .. }),
                    ..
                }) = known
                {
                    continue;
                }
                self.keep(container, true);
                return false;
            }
            self.keep(container, true);
            let started = known.is_some_and(|known| {
                matches!(known.state, State::Running { .. }) && known.checks.is_started()
                    || known.restarts > 0
            });
            if !started {
                return false;
            }
        }
        true
    }

    /// Keeps one container running.
    fn keep(&mut self, container: &Spec, initial: bool) {
        let name = &container.name;
        let Some(known) = self.runtime.containers.get(name) else {
            self.plan.actions.push(Action::Pull(name.clone()));
            return;
        };
        match &known.state {
            State::Waiting { until, .. } => match until {
                Some(until) if *until > self.inputs.now => self.plan.look_again(*until),
                Some(_) | None => self.advance(name, known),
            },
            State::Ended(ended) if restarts(self.spec, container, initial, ended.code) => {
                let due = known.restart_at(ended);
                if due <= self.inputs.now {
                    self.advance(name, known);
                } else {
                    self.plan.look_again(due);
                }
            }
            State::Running { id, .. } => self.watch(container, known, id),
            State::Pulling | State::Starting(_) | State::Ended(_) => {}
        }
    }

    fn advance(&mut self, name: &str, known: &Container) {
        if known.image.is_none() {
            self.plan.actions.push(Action::Pull(name.to_owned()));
        } else if self.framed && !self.inputs.problems.contains_key(name) {
            self.plan.actions.push(Action::Start(name.to_owned()));
        }
    }

    fn watch(&mut self, container: &Spec, known: &Container, id: &str) {
        if let Some(verdict) = &known.checks.verdict {
            if !known.stopping {
                let Verdict { message, grace } = verdict;
                let why = format!("Container {} {message}, will be restarted", container.name);
                let grace = grace.unwrap_or_else(|| self::grace(self.inputs.pod));
                let stop = Action::Stop(container.name.clone(), id.to_owned(), grace, why);
                self.plan.actions.push(stop);
            }
            return;
        }
        for which in Which::ALL {
            match known.checks.due(which) {
                Some(due) if due <= self.inputs.now => {
                    let probe = Action::Probe(container.name.clone(), id.to_owned(), which);
                    self.plan.actions.push(probe);
                }
                Some(due) => self.plan.look_again(due),
                None => {}
            }
        }
    }
}

/// Notes in the runtime that an action has begun. For a start, returns the id of the run.
pub fn begin(runtime: &mut Runtime, pod: &Pod, action: &Action) -> Option<String> {
    match action {
        Action::CreateSandbox => runtime.sandbox = Step::Busy,
        Action::AskToken(wanted) => {
            runtime.tokens.entry(wanted.clone()).or_default().next = Step::Busy;
        }
        Action::Materialise(_) => runtime.volumes = Step::Busy,
        Action::TearDown => runtime.teardown = Step::Busy,
        Action::Measure(..) => runtime.measuring = true,
        Action::Pull(name) => {
            let container = runtime.container(name);
            container.turn_over();
            container.state = State::Pulling;
        }
        Action::Start(name) => {
            let container = runtime.container(name);
            container.turn_over();
            let uid = pod.metadata.uid.as_deref().unwrap_or_default();
            let id = format!("{uid}-{name}-{}", container.restarts);
            container.state = State::Starting(id.clone());
            return Some(id);
        }
        Action::Stop(name, ..) => runtime.container(name).stopping = true,
        Action::Probe(name, _, which) => {
            runtime.container(name).checks.get_mut(*which).busy = true;
        }
        Action::Discard(id) => runtime.remains.retain(|one| one != id),
        Action::Remove => runtime.removal = Step::Busy,
    }
    None
}

impl Container {
    /// Turns an end into the previous run, before the next one.
    fn turn_over(&mut self) {
        if let State::Ended(ended) = std::mem::take(&mut self.state) {
            self.last = Some(ended);
            self.restarts += 1;
            self.crashes += 1;
        }
    }
}

#[cfg(test)]
mod tests;
