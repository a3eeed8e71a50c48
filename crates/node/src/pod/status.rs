//! The status of a pod: a total function of what is asked for and what is known.

use jiff::Timestamp;
use k8s_openapi::{
    api::core::v1::{
        Container as Spec, ContainerState, ContainerStateRunning, ContainerStateTerminated,
        ContainerStateWaiting, ContainerStatus, HostIP, Pod, PodCondition, PodIP, PodSpec,
        PodStatus,
    },
    apimachinery::pkg::apis::meta::v1::Time,
};

use super::{
    decide::{Inputs, is_sidecar, outcome, restarts},
    ephemeral,
    state::{self, Container, EVICTED, Ended, Runtime, State, Step},
};

/// The status of a pod now.
pub fn compute(inputs: &Inputs<'_>, runtime: &Runtime) -> PodStatus {
    let Some(spec) = &inputs.pod.spec else {
        return PodStatus::default();
    };
    let view = View {
        inputs,
        runtime,
        spec,
    };
    let known = inputs.pod.status.clone().unwrap_or_default();
    let initial: Vec<_> = spec
        .init_containers
        .iter()
        .flatten()
        .map(|c| view.container(c, true))
        .collect();
    let main: Vec<_> = spec
        .containers
        .iter()
        .map(|c| view.container(c, false))
        .collect();
    let added: Vec<_> = ephemeral::of(spec).map(|c| view.ephemeral(&c)).collect();
    let address = runtime
        .address
        .map(|address| address.to_string())
        .or(known.pod_ip);
    let rejected = runtime.rejected.clone();
    let ready = main.iter().all(|container| container.ready);
    PodStatus {
        phase: Some(view.phase(&main).to_owned()),
        conditions: Some(view.conditions(ready)),
        reason: rejected.as_ref().map(|(reason, _)| reason.clone()),
        message: rejected.map(|(_, message)| message),
        host_ip: address.clone(),
        host_ips: address.clone().map(|ip| vec![HostIP { ip }]),
        pod_ips: address.clone().map(|ip| vec![PodIP { ip }]),
        pod_ip: address,
        start_time: runtime.started.map(Time),
        init_container_statuses: (!initial.is_empty()).then_some(initial),
        container_statuses: Some(main),
        ephemeral_container_statuses: (!added.is_empty()).then_some(added),
        qos_class: Some(quality(spec).to_owned()),
        observed_generation: inputs.pod.metadata.generation,
        ..PodStatus::default()
    }
}

struct View<'a> {
    inputs: &'a Inputs<'a>,
    runtime: &'a Runtime,
    spec: &'a PodSpec,
}

impl View<'_> {
    fn phase(&self, main: &[ContainerStatus]) -> &'static str {
        match outcome(self.spec, self.runtime) {
            Some(true) => "Succeeded",
            Some(false) => "Failed",
            None if self.is_torn_down() => "Failed",
            None => {
                let begun = main.iter().all(|container| {
                    let state = container.state.as_ref();
                    container.restart_count > 0
                        || container.last_state.is_some()
                        || state.is_some_and(|s| s.running.is_some() || s.terminated.is_some())
                });
                if begun && self.is_initialized() {
                    "Running"
                } else {
                    "Pending"
                }
            }
        }
    }

    /// Whether a pod that is deleted has come to its end without having done what it was there for, and
    /// somebody wants to know.
    fn is_torn_down(&self) -> bool {
        let meta = &self.inputs.pod.metadata;
        let awaited = meta.finalizers.as_ref().is_some_and(|all| !all.is_empty());
        meta.deletion_timestamp.is_some() && awaited && self.runtime.teardown == Step::Done
    }

    fn is_initialized(&self) -> bool {
        self.spec.init_containers.iter().flatten().all(|container| {
            let known = self.runtime.containers.get(&container.name);
            known.is_some_and(|known| match &known.state {
                State::Ended(end) => end.code == 0 || is_sidecar(container),
                State::Running { .. } => is_sidecar(container) && known.checks.is_started(),
                State::Waiting { .. } | State::Pulling | State::Starting(_) => {
                    is_sidecar(container) && known.restarts > 0
                }
            })
        })
    }

    fn conditions(&self, ready: bool) -> Vec<PodCondition> {
        let ended = outcome(self.spec, self.runtime);
        let sandbox = match &self.runtime.sandbox {
            Step::Done => ("True", None),
            Step::Failed { message, .. } => {
                ("False", Some(("FailedCreatePodSandBox", message.clone())))
            }
            Step::Idle | Step::Busy => ("False", None),
        };
        let initialized = self.is_initialized();
        let completed = || Some(("PodCompleted", String::new()));
        let waits = || Some(("ContainersNotReady", self.unready()));
        let (is_ready, why) = match ended {
            Some(true) => ("False", completed()),
            Some(false) => ("False", Some(("PodFailed", String::new()))),
            None if ready => ("True", None),
            None => ("False", waits()),
        };
        let init = if initialized {
            (
                "True",
                if ended == Some(true) {
                    completed()
                } else {
                    None
                },
            )
        } else {
            let names = self
                .spec
                .init_containers
                .iter()
                .flatten()
                .map(|c| c.name.as_str());
            let message = format!("containers with incomplete status: {}", list(names));
            ("False", Some(("ContainersNotInitialized", message)))
        };
        let (whole, because) = match self.closed_gates() {
            Some(closed) if is_ready == "True" => {
                ("False", Some(("ReadinessGatesNotReady", closed)))
            }
            _ => (is_ready, why.clone()),
        };
        let mut own = vec![
            self.condition("PodScheduled", "True", None),
            self.condition("PodReadyToStartContainers", sandbox.0, sandbox.1),
            self.condition("Initialized", init.0, init.1),
            self.condition("ContainersReady", is_ready, why),
            self.condition("Ready", whole, because),
        ];
        if let Some((reason, message)) = &self.runtime.rejected
            && reason == EVICTED
        {
            let why = Some(("TerminationByKubelet", message.clone()));
            own.push(self.condition("DisruptionTarget", "True", why));
        }
        // What others say of the pod stays as they said it.
        let others = self.known_conditions();
        let others = others.filter(|known| own.iter().all(|one| one.type_ != known.type_));
        let others: Vec<_> = others.cloned().collect();
        own.into_iter().chain(others).collect()
    }

    fn known_conditions(&self) -> impl Iterator<Item = &PodCondition> {
        let status = self.inputs.pod.status.iter();
        status.flat_map(|status| status.conditions.iter().flatten())
    }

    /// What the pod's readiness waits for that others have to say, if anything.
    fn closed_gates(&self) -> Option<String> {
        let gates = self.spec.readiness_gates.iter().flatten();
        let closed: Vec<String> = gates
            .filter_map(|gate| {
                let kind = &gate.condition_type;
                match self.known_conditions().find(|one| one.type_ == *kind) {
                    Some(one) if one.status == "True" => None,
                    Some(one) => Some(format!(
                        "the status of pod readiness gate {kind:?} is not \"True\", but {}",
                        one.status
                    )),
                    None => Some(format!(
                        "corresponding condition of pod readiness gate {kind:?} does not exist."
                    )),
                }
            })
            .collect();
        (!closed.is_empty()).then(|| closed.join(", "))
    }

    fn unready(&self) -> String {
        let unready = self.spec.containers.iter().filter(|container| {
            let known = self.runtime.containers.get(&container.name);
            !known.is_some_and(is_ready)
        });
        format!(
            "containers with unready status: {}",
            list(unready.map(|c| c.name.as_str()))
        )
    }

    fn condition(&self, kind: &str, status: &str, why: Option<(&str, String)>) -> PodCondition {
        let same = self
            .known_conditions()
            .find(|known| known.type_ == kind && known.status == status);
        let (reason, message) = why.unzip();
        PodCondition {
            type_: kind.to_owned(),
            status: status.to_owned(),
            reason: reason.map(str::to_owned),
            message: message.filter(|message| !message.is_empty()),
            last_transition_time: same
                .and_then(|known| known.last_transition_time.clone())
                .or(Some(Time(self.inputs.now))),
            ..PodCondition::default()
        }
    }

    /// Nobody waits for one to be ready.
    fn ephemeral(&self, spec: &Spec) -> ContainerStatus {
        ContainerStatus {
            ready: false,
            started: None,
            ..self.container(spec, false)
        }
    }

    fn container(&self, spec: &Spec, initial: bool) -> ContainerStatus {
        let nothing = Container::default();
        let known = self.runtime.containers.get(&spec.name).unwrap_or(&nothing);
        let before = known.last.as_ref();
        let (state, last) = match &known.state {
            State::Ended(ended)
                if outcome(self.spec, self.runtime).is_none()
                    && self.inputs.pod.metadata.deletion_timestamp.is_none()
                    && restarts(self.spec, spec, initial, ended.code) =>
            {
                (
                    waiting("CrashLoopBackOff", &self.back_off(spec, known)),
                    Some(ended),
                )
            }
            State::Ended(ended) => (terminated(ended), before),
            State::Running { since, .. } => (running(*since), before),
            State::Waiting { .. } | State::Pulling | State::Starting(_) => {
                (self.waits(spec, known), before)
            }
        };
        let initial_done = matches!(&known.state, State::Ended(Ended { code: 0, .. }) if initial);
        let image = known.image.as_ref();
        ContainerStatus {
            name: spec.name.clone(),
            image: spec.image.clone().unwrap_or_default(),
            image_id: image
                .map(|fetched| image_id(&fetched.image))
                .unwrap_or_default(),
            container_id: container_id(known),
            ready: is_ready(known) || initial_done,
            started: Some(is_running(known) && known.checks.is_started()),
            restart_count: i32::try_from(known.restarts).unwrap_or(i32::MAX),
            state: Some(state),
            last_state: last.map(terminated),
            ..ContainerStatus::default()
        }
    }

    fn back_off(&self, spec: &Spec, known: &Container) -> String {
        let pod = self.inputs.pod.metadata.name.as_deref().unwrap_or_default();
        let seconds = if known.crashes == 0 {
            0
        } else {
            state::delay(known.crashes)
        };
        format!(
            "back-off {seconds}s restarting failed container={} pod={pod}",
            spec.name
        )
    }

    /// What a container that has not begun waits for.
    fn waits(&self, spec: &Spec, known: &Container) -> ContainerState {
        if let State::Waiting {
            reason,
            message,
            until,
        } = &known.state
            && !reason.is_empty()
        {
            let pulling = *reason == "ErrImagePull" && until.is_some_and(|u| u > self.inputs.now);
            let repeated = pulling && known.failed_pulls > 1;
            return waiting(if repeated { "ImagePullBackOff" } else { reason }, message);
        }
        if let Some(far) = &known.progress {
            return waiting("ContainerCreating", far);
        }
        if let Some(problem) = self.inputs.problems.get(&spec.name) {
            return waiting("CreateContainerConfigError", problem);
        }
        if let Step::Failed { message, .. } = &self.runtime.sandbox {
            return waiting("ContainerCreating", message);
        }
        if let Err(problem) = &self.inputs.payload {
            return waiting("ContainerCreating", problem);
        }
        let initializing = self.spec.init_containers.is_some() && !self.is_initialized();
        let main = self
            .spec
            .containers
            .iter()
            .any(|container| container.name == spec.name);
        waiting(
            if initializing && main {
                "PodInitializing"
            } else {
                "ContainerCreating"
            },
            "",
        )
    }
}

fn is_running(known: &Container) -> bool {
    matches!(known.state, State::Running { .. })
}

fn is_ready(known: &Container) -> bool {
    is_running(known) && known.checks.is_ready()
}

fn container_id(known: &Container) -> Option<String> {
    let id = match &known.state {
        State::Running { id, .. } => id,
        State::Ended(ended) => &ended.id,
        State::Waiting { .. } | State::Pulling | State::Starting(_) => &known.last.as_ref()?.id,
    };
    Some(if id.is_empty() || id.contains("://") {
        id.clone()
    } else {
        format!("choreo://{id}")
    })
}

fn image_id(image: &crate::image::Image) -> String {
    if image.reference.contains('@') {
        image.reference.clone()
    } else {
        format!("{}@{}", image.reference, image.digest)
    }
}

fn waiting(reason: &str, message: &str) -> ContainerState {
    ContainerState {
        waiting: Some(ContainerStateWaiting {
            reason: Some(reason.to_owned()),
            message: Some(message.to_owned()).filter(|message| !message.is_empty()),
        }),
        ..ContainerState::default()
    }
}

fn running(since: Timestamp) -> ContainerState {
    ContainerState {
        running: Some(ContainerStateRunning {
            started_at: Some(Time(since)),
        }),
        ..ContainerState::default()
    }
}

fn terminated(ended: &Ended) -> ContainerState {
    let id = &ended.id;
    ContainerState {
        terminated: Some(ContainerStateTerminated {
            container_id: Some(if id.is_empty() || id.contains("://") {
                id.clone()
            } else {
                format!("choreo://{id}")
            }),
            exit_code: ended.code,
            finished_at: Some(Time(ended.at)),
            message: ended.message.clone(),
            reason: Some(ended.reason.clone()),
            signal: None,
            started_at: Some(Time(ended.since)),
        }),
        ..ContainerState::default()
    }
}

fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    format!("[{}]", names.collect::<Vec<_>>().join(" "))
}

/// The class of service that requests and limits make.
fn quality(spec: &PodSpec) -> &'static str {
    let all = spec
        .init_containers
        .iter()
        .flatten()
        .chain(&spec.containers);
    let resources: Vec<_> = all
        .map(|c| c.resources.clone().unwrap_or_default())
        .collect();
    let some = |r: &k8s_openapi::api::core::v1::ResourceRequirements| {
        r.limits.as_ref().is_some_and(|l| !l.is_empty())
            || r.requests.as_ref().is_some_and(|l| !l.is_empty())
    };
    if !resources.iter().any(some) {
        return "BestEffort";
    }
    let guaranteed = resources.iter().all(|r| {
        let Some(limits) = &r.limits else {
            return false;
        };
        ["cpu", "memory"]
            .iter()
            .all(|name| limits.contains_key(*name))
            && r.requests.as_ref().is_none_or(|requests| {
                requests
                    .iter()
                    .all(|(name, amount)| limits.get(name) == Some(amount))
            })
    });
    if guaranteed {
        "Guaranteed"
    } else {
        "Burstable"
    }
}

/// Whether two statuses say the same, times of observation aside.
pub fn is_news(pod: &Pod, status: &PodStatus) -> bool {
    pod.status.as_ref() != Some(status)
}
