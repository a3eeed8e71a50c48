//! What the node knows of a pod it runs, and how that changes with what is reported.

use std::{collections::BTreeMap, net::Ipv4Addr, path::PathBuf, sync::Arc};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{
    Container as Spec, ContainerStateTerminated, ContainerStatus, Pod,
};

use super::{
    files::Payload,
    images::ImageError,
    probe::{Checks, Verdict},
    token::{Token, Tokens, Wanted},
};
use crate::{image::Image, machine::Exit};

/// A container that ran this long is no longer considered to crash.
const HEALTHY: SignedDuration = SignedDuration::from_mins(10);

/// Why a pod ended that stored more than it may.
pub(super) const EVICTED: &str = "Evicted";

/// Something that has to be done once.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Step {
    /// Not begun.
    #[default]
    Idle,
    /// Being done.
    Busy,
    /// Done.
    Done,
    /// Tried without success.
    Failed {
        /// Why.
        message: String,
        /// When to try again.
        retry: Timestamp,
    },
}

/// A pod on this machine.
#[derive(Debug, Default)]
pub struct Runtime {
    /// Why it cannot run here at all: reason and message.
    pub rejected: Option<(String, String)>,
    /// When the node took it.
    pub started: Option<Timestamp>,
    /// Its address.
    pub address: Option<Ipv4Addr>,
    /// Its frame.
    pub sandbox: Step,
    /// The end of its frame.
    pub teardown: Step,
    /// The end of its object, which others may hold up by finalizers.
    pub removal: Step,
    /// The tokens that its files hold.
    pub tokens: Tokens,
    /// Its files.
    pub volumes: Step,
    /// What its files hold.
    pub payload: Option<Payload>,
    /// Its containers, initial ones too, by name.
    pub containers: BTreeMap<String, Container>,
    /// Runs that have ended and whose files are still there.
    pub remains: Vec<String>,
    /// When it was measured what it stores.
    pub measured: Option<Timestamp>,
    /// Whether that is being measured.
    pub measuring: bool,
}

/// A container of a pod.
#[derive(Debug, Default)]
pub struct Container {
    /// Its image, once here.
    pub image: Option<Arc<Fetched>>,
    /// What it does.
    pub state: State,
    /// How its previous run ended.
    pub last: Option<Ended>,
    /// How often it was started again.
    pub restarts: u32,
    /// Ends in a row that were too early.
    pub crashes: u32,
    /// Pulls in a row that failed.
    pub failed_pulls: u32,
    /// How far its pull is.
    pub progress: Option<String>,
    /// Its probes.
    pub checks: Checks,
    /// Whether it is being stopped.
    pub stopping: bool,
}

/// An image ready to be run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// The image.
    pub image: Image,
    /// Its unpacked layers, lowest first.
    pub layers: Vec<PathBuf>,
}

/// What a container does.
#[derive(Debug, Clone, PartialEq)]
pub enum State {
    /// It waits.
    Waiting {
        /// For what, in a word; empty: for its turn.
        reason: &'static str,
        /// In a sentence.
        message: String,
        /// Until when.
        until: Option<Timestamp>,
    },
    /// Its image is fetched.
    Pulling,
    /// It is started under this id.
    Starting(String),
    /// It runs.
    Running {
        /// Its id.
        id: String,
        /// Since when.
        since: Timestamp,
    },
    /// It has ended.
    Ended(Ended),
}

impl Default for State {
    fn default() -> Self {
        Self::Waiting {
            reason: "",
            message: String::new(),
            until: None,
        }
    }
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Ended {
    /// The run's id.
    pub id: String,
    /// Exit code.
    pub code: i32,
    /// Why, in a word.
    pub reason: String,
    /// Why, in a sentence.
    pub message: Option<String>,
    /// When it began.
    pub since: Timestamp,
    /// When it ended.
    pub at: Timestamp,
}

/// What an effect has to say.
#[derive(Debug)]
pub enum Report {
    /// The frame is there, or not.
    Sandbox(Result<Ipv4Addr, String>),
    /// A token, or why there is none.
    Token(Wanted, Result<Token, String>),
    /// The files are there, or not.
    Volumes(Result<Payload, String>),
    /// An image is here, or not.
    Pulled(String, Result<Arc<Fetched>, ImageError>),
    /// An image is being pulled: how far it is.
    Fetching(String, String),
    /// The pod stores what it may, or more.
    Measured(Result<(), String>),
    /// A container runs, or not.
    Started(String, String, Result<(), StartFailure>),
    /// A container ended by itself or was ended, with the message it left.
    Exited(String, Exit, Option<String>),
    /// A container was asked to stop; whether it has.
    Stopped(String, String, bool),
    /// A probe was made.
    Probed(String, String, super::probe::Which, Result<(), String>),
    /// The frame is gone, or not.
    TornDown(Result<(), String>),
    /// The object was given up, or not.
    Removed(Result<(), String>),
    /// Nothing to note.
    Nothing,
}

/// Why a container was not started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StartFailure {
    /// The pod asks for something that is not there or not allowed.
    Config(String),
    /// It runs, and the hook that comes after its start failed.
    Hook(String),
    /// The machine could not.
    Machine(String),
}

impl Runtime {
    /// A pod as its status tells: what ran before this node started has ended with the machine.
    pub fn recover(pod: &Pod, now: Timestamp) -> Self {
        let mut runtime = Self::default();
        let Some(status) = &pod.status else {
            return runtime;
        };
        runtime.started = status.start_time.as_ref().map(|time| time.0);
        let ended = matches!(status.phase.as_deref(), Some("Succeeded" | "Failed"));
        if ended {
            runtime.teardown = Step::Done;
            runtime.rejected = status
                .reason
                .clone()
                .map(|reason| (reason, status.message.clone().unwrap_or_default()));
        }
        for container in status.init_container_statuses.iter().flatten() {
            let mut found = Container::recover(container, now);
            if !ended && let State::Ended(end) = &found.state {
                found.last = Some(end.clone());
                found.restarts += 1;
                found.state = State::default();
            }
            runtime.containers.insert(container.name.clone(), found);
        }
        let ephemeral = status.ephemeral_container_statuses.iter().flatten();
        for container in status.container_statuses.iter().flatten().chain(ephemeral) {
            let found = Container::recover(container, now);
            runtime.containers.insert(container.name.clone(), found);
        }
        runtime
    }

    /// The container of a name, made when it is not known yet.
    pub fn container(&mut self, name: &str) -> &mut Container {
        self.containers.entry(name.to_owned()).or_default()
    }

    /// Takes in what an effect reports.
    pub fn apply(&mut self, report: Report, pod: &Pod, now: Timestamp) {
        let retry = now.checked_add(SignedDuration::from_secs(5)).unwrap_or(now);
        let failed = |message| Step::Failed { message, retry };
        match report {
            Report::Sandbox(Ok(address)) => {
                self.address = Some(address);
                self.sandbox = Step::Done;
            }
            Report::Sandbox(Err(message)) => self.sandbox = failed(message),
            Report::Token(what, answer) => self.tokens.entry(what).or_default().note(answer, retry),
            Report::Volumes(Ok(payload)) => {
                self.payload = Some(payload);
                self.volumes = Step::Done;
            }
            Report::Volumes(Err(message)) => self.volumes = failed(message),
            Report::Pulled(name, result) => self.container(&name).pulled(result, now),
            Report::Fetching(name, far) => self.container(&name).progress = Some(far),
            Report::Measured(result) => {
                self.measured = Some(now);
                self.measuring = false;
                if let Err(message) = result {
                    self.rejected = Some((EVICTED.to_owned(), message));
                }
            }
            Report::Started(name, id, result) => {
                let spec = super::spec_of(pod, &name);
                self.container(&name)
                    .started(&id, result, spec.as_deref(), now);
            }
            Report::Exited(id, exit, message) => {
                let mut all = self.containers.values_mut();
                if let Some(container) = all.find(|container| container.id() == Some(&id)) {
                    container.exited(&id, &exit, now);
                    self.remains.push(id);
                    if let (State::Ended(ended), Some(_)) = (&mut container.state, &message) {
                        ended.message = message;
                    }
                }
            }
            Report::Stopped(name, id, done) => {
                let container = self.container(&name);
                // Once it has, its exit is on its way: it is not asked twice.
                if container.id() == Some(&id) {
                    container.stopping = done;
                }
            }
            Report::Probed(name, id, which, result) => {
                let spec = super::spec_of(pod, &name);
                let container = self.container(&name);
                if container.id() == Some(&id)
                    && let Some(spec) = spec
                {
                    container.checks.note(&spec, which, result, now);
                }
            }
            Report::TornDown(Ok(())) => self.teardown = Step::Done,
            Report::TornDown(Err(message)) => self.teardown = failed(message),
            Report::Removed(Ok(())) => self.removal = Step::Done,
            Report::Removed(Err(message)) => self.removal = failed(message),
            Report::Nothing => {}
        }
    }
}

impl Container {
    fn recover(status: &ContainerStatus, now: Timestamp) -> Self {
        let last = status
            .last_state
            .as_ref()
            .and_then(|state| state.terminated.as_ref());
        let state = status.state.as_ref();
        let running = state.and_then(|state| state.running.as_ref());
        let terminated = state.and_then(|state| state.terminated.as_ref());
        let waits_to_restart = state.and_then(|state| state.waiting.as_ref()?.reason.as_deref())
            == Some("CrashLoopBackOff");
        let ended = if let Some(running) = running {
            Some(Ended {
                id: status.container_id.clone().unwrap_or_default(),
                code: 137,
                reason: super::restart::REASON.into(),
                message: Some("the node was restarted while the container ran".into()),
                since: running.started_at.as_ref().map_or(now, |time| time.0),
                at: now,
            })
        } else {
            terminated
                .or_else(|| last.filter(|_| waits_to_restart))
                .map(|end| Ended::recover(end, now))
        };
        Self {
            state: ended.map_or_else(State::default, State::Ended),
            last: last.map(|end| Ended::recover(end, now)),
            restarts: u32::try_from(status.restart_count).unwrap_or_default(),
            ..Self::default()
        }
    }

    /// The id of the current run.
    pub fn id(&self) -> Option<&String> {
        match &self.state {
            State::Starting(id) | State::Running { id, .. } => Some(id),
            State::Waiting { .. } | State::Pulling | State::Ended(_) => None,
        }
    }

    /// Whether it runs, or is about to.
    pub fn is_alive(&self) -> bool {
        matches!(self.state, State::Starting(_) | State::Running { .. })
    }

    fn pulled(&mut self, result: Result<Arc<Fetched>, ImageError>, now: Timestamp) {
        self.progress = None;
        match result {
            Ok(image) => {
                self.image = Some(image);
                self.failed_pulls = 0;
                self.state = State::default();
            }
            Err(ImageError { reason, message }) => {
                let delay = 10_i64 << self.failed_pulls.min(5);
                self.failed_pulls += 1;
                let until = crate::workload::after(now, delay.min(300));
                self.state = State::Waiting {
                    reason,
                    message,
                    until: Some(until),
                };
            }
        }
    }

    fn started(
        &mut self,
        id: &str,
        result: Result<(), StartFailure>,
        spec: Option<&Spec>,
        now: Timestamp,
    ) {
        if self.state != State::Starting(id.to_owned()) {
            return;
        }
        match result {
            Ok(()) => self.runs(id, spec, now),
            Err(StartFailure::Hook(message)) => {
                self.runs(id, spec, now);
                self.checks.verdict = Some(Verdict {
                    message: format!("failed its postStart hook: {message}"),
                    grace: None,
                });
            }
            Err(StartFailure::Config(message)) => {
                let until = Some(crate::workload::after(now, 10));
                let reason = "CreateContainerConfigError";
                self.state = State::Waiting {
                    reason,
                    message,
                    until,
                };
            }
            Err(StartFailure::Machine(message)) => {
                let exit = Exit {
                    code: 128,
                    out_of_memory: false,
                    error: Some(message),
                };
                self.exited(id, &exit, now);
            }
        }
    }

    fn runs(&mut self, id: &str, spec: Option<&Spec>, now: Timestamp) {
        self.state = State::Running {
            id: id.to_owned(),
            since: now,
        };
        self.stopping = false;
        self.checks = spec
            .map(|spec| Checks::begin(spec, now))
            .unwrap_or_default();
    }

    fn exited(&mut self, id: &str, exit: &Exit, now: Timestamp) {
        let since = match &self.state {
            State::Running { since, .. } => *since,
            State::Waiting { .. } | State::Pulling | State::Starting(_) | State::Ended(_) => now,
        };
        let reason = if exit.error.is_some() {
            "StartError"
        } else if exit.out_of_memory {
            "OOMKilled"
        } else if exit.code == 0 {
            "Completed"
        } else {
            "Error"
        };
        if now.duration_since(since) >= HEALTHY {
            self.crashes = 0;
        }
        let condemned = self.checks.verdict.take().map(|verdict| verdict.message);
        let message = exit.error.clone().or(condemned);
        self.stopping = false;
        self.state = State::Ended(Ended {
            id: id.to_owned(),
            code: exit.code,
            reason: reason.to_owned(),
            message,
            since,
            at: now,
        });
    }

    /// When an ended container may run again: at once the first time, then after 10 s, doubling up
    /// to 5 min.
    pub fn restart_at(&self, ended: &Ended) -> Timestamp {
        match self.crashes {
            0 => ended.at,
            crashes => crate::workload::after(ended.at, delay(crashes)),
        }
    }
}

/// The back-off after so many early ends, in seconds.
pub fn delay(crashes: u32) -> i64 {
    (10_i64 << crashes.saturating_sub(1).min(5)).min(300)
}

impl Ended {
    fn recover(end: &ContainerStateTerminated, now: Timestamp) -> Self {
        Self {
            id: end.container_id.clone().unwrap_or_default(),
            code: end.exit_code,
            reason: end.reason.clone().unwrap_or_default(),
            message: end.message.clone(),
            since: end.started_at.as_ref().map_or(now, |time| time.0),
            at: end.finished_at.as_ref().map_or(now, |time| time.0),
        }
    }
}
