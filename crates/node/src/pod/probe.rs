//! Startup, liveness and readiness: what to ask a container, when, and what the answers mean.

use std::{net::Ipv4Addr, time::Duration};

use jiff::Timestamp;
use k8s_openapi::{
    api::core::v1::{Container, HTTPGetAction, Probe as Spec},
    apimachinery::pkg::util::intstr::IntOrString,
};

use crate::{machine::Probe, workload::after};

/// Which probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Which {
    /// Until it succeeds the others wait.
    Startup,
    /// When it fails the container is started again.
    Liveness,
    /// While it fails the container gets no traffic.
    Readiness,
}

impl Which {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Startup, Self::Liveness, Self::Readiness];

    /// What a container says about it.
    pub fn of(self, container: &Container) -> Option<&Spec> {
        match self {
            Self::Startup => container.startup_probe.as_ref(),
            Self::Liveness => container.liveness_probe.as_ref(),
            Self::Readiness => container.readiness_probe.as_ref(),
        }
    }

    /// Its name in messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Startup => "Startup",
            Self::Liveness => "Liveness",
            Self::Readiness => "Readiness",
        }
    }
}

/// How one probe stands.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Check {
    /// When it is due.
    pub next: Option<Timestamp>,
    /// Whether it is being made.
    pub busy: bool,
    passed: bool,
    successes: i32,
    failures: i32,
}

/// The probes of a running container.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Checks {
    startup: Check,
    liveness: Check,
    readiness: Check,
    /// Why the container has to be ended.
    pub verdict: Option<Verdict>,
}

/// That a container has to be ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Why.
    pub message: String,
    /// The seconds it is given for it, if not as many as its pod.
    pub grace: Option<i64>,
}

impl Checks {
    /// The probes of a container that starts to run now.
    pub fn begin(container: &Container, now: Timestamp) -> Self {
        let mut checks = Self::default();
        for which in Which::ALL {
            let check = checks.get_mut(which);
            if let Some(spec) = which.of(container) {
                let delay = i64::from(spec.initial_delay_seconds.unwrap_or_default());
                check.next = Some(after(now, delay));
            } else {
                check.passed = true;
            }
        }
        checks
    }

    /// One probe.
    pub fn get(&self, which: Which) -> &Check {
        match which {
            Which::Startup => &self.startup,
            Which::Liveness => &self.liveness,
            Which::Readiness => &self.readiness,
        }
    }

    /// One probe, to change.
    pub fn get_mut(&mut self, which: Which) -> &mut Check {
        match which {
            Which::Startup => &mut self.startup,
            Which::Liveness => &mut self.liveness,
            Which::Readiness => &mut self.readiness,
        }
    }

    /// Whether the container has started.
    pub fn is_started(&self) -> bool {
        self.startup.passed
    }

    /// Whether the container takes traffic.
    pub fn is_ready(&self) -> bool {
        self.startup.passed && self.readiness.passed
    }

    /// When a probe is due, if it is at all.
    pub fn due(&self, which: Which) -> Option<Timestamp> {
        let check = self.get(which);
        let turn = match which {
            Which::Startup => !check.passed,
            Which::Liveness | Which::Readiness => self.startup.passed,
        };
        check
            .next
            .filter(|_| turn && !check.busy && self.verdict.is_none())
    }

    /// Takes in the outcome of a probe.
    pub fn note(
        &mut self,
        container: &Container,
        which: Which,
        result: Result<(), String>,
        now: Timestamp,
    ) {
        let Some(spec) = which.of(container) else {
            return;
        };
        let check = self.get_mut(which);
        check.busy = false;
        check.next = Some(after(
            now,
            i64::from(spec.period_seconds.unwrap_or(10).max(1)),
        ));
        match result {
            Ok(()) => {
                check.failures = 0;
                check.successes += 1;
                if check.successes >= spec.success_threshold.unwrap_or(1) {
                    check.passed = true;
                }
            }
            Err(reason) => {
                check.successes = 0;
                check.failures += 1;
                if check.failures < spec.failure_threshold.unwrap_or(3) {
                    return;
                }
                match which {
                    Which::Readiness => check.passed = false,
                    Which::Startup | Which::Liveness => {
                        self.verdict = Some(Verdict {
                            message: format!("{} probe failed: {reason}", which.name()),
                            grace: spec.termination_grace_period_seconds,
                        });
                    }
                }
            }
        }
    }
}

/// How long a probe may take.
pub fn timeout(spec: &Spec) -> Duration {
    Duration::from_secs(
        u64::try_from(spec.timeout_seconds.unwrap_or(1))
            .unwrap_or(1)
            .max(1),
    )
}

/// What to ask the machine.
pub fn question(
    spec: &Spec,
    container: &Container,
    id: &str,
    address: Ipv4Addr,
) -> Result<Probe, String> {
    if let Some(http) = &spec.http_get {
        return http_question(http, container, address);
    }
    if let Some(tcp) = &spec.tcp_socket {
        return Ok(Probe::Tcp {
            address,
            port: port(&tcp.port, container)?,
        });
    }
    if let Some(exec) = &spec.exec {
        let argv = exec.command.clone().unwrap_or_default();
        return Ok(Probe::Exec {
            id: id.to_owned(),
            argv,
        });
    }
    if let Some(grpc) = &spec.grpc {
        let port = u16::try_from(grpc.port).map_err(|_| format!("bad port {}", grpc.port))?;
        return Ok(Probe::Grpc {
            address,
            port,
            service: grpc.service.clone().unwrap_or_default(),
        });
    }
    Err("the probe names nothing to ask".to_owned())
}

/// A request to a container.
pub fn http_question(
    http: &HTTPGetAction,
    container: &Container,
    address: Ipv4Addr,
) -> Result<Probe, String> {
    let path = http
        .path
        .clone()
        .filter(|path| !path.is_empty())
        .unwrap_or_else(|| "/".into());
    let headers = http
        .http_headers
        .iter()
        .flatten()
        .map(|h| (h.name.clone(), h.value.clone()));
    Ok(Probe::Http {
        address,
        tls: http.scheme.as_deref() == Some("HTTPS"),
        port: port(&http.port, container)?,
        path: if path.starts_with('/') {
            path
        } else {
            format!("/{path}")
        },
        headers: headers.collect(),
    })
}

fn port(port: &IntOrString, container: &Container) -> Result<u16, String> {
    let number = match port {
        IntOrString::Int(number) => Some(*number),
        IntOrString::String(name) => container
            .ports
            .iter()
            .flatten()
            .find(|port| port.name.as_ref() == Some(name))
            .map(|port| port.container_port)
            .or_else(|| name.parse().ok()),
    };
    number
        .and_then(|number| u16::try_from(number).ok())
        .ok_or_else(|| format!("the container has no port {port:?}"))
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json};

    use super::*;

    fn container() -> Container {
        from_value(json!({
            "name": "main", "ports": [{"name": "http", "containerPort": 8080}],
            "startupProbe": {"tcpSocket": {"port": "http"}, "failureThreshold": 2, "terminationGracePeriodSeconds": 7},
            "livenessProbe": {"exec": {"command": ["true"]}, "failureThreshold": 1},
            "readinessProbe": {"httpGet": {"port": 8080}, "failureThreshold": 1, "initialDelaySeconds": 3},
        }))
        .unwrap()
    }

    #[test]
    fn startup_holds_the_others_back() {
        let (spec, now) = (container(), Timestamp::UNIX_EPOCH);
        let mut checks = Checks::begin(&spec, now);
        assert_eq!(checks.due(Which::Startup), Some(now));
        assert_eq!(
            (checks.due(Which::Liveness), checks.is_started()),
            (None, false)
        );
        checks.note(&spec, Which::Startup, Ok(()), now);
        assert_eq!(
            (checks.due(Which::Startup), checks.is_started()),
            (None, true)
        );
        assert_eq!(checks.due(Which::Readiness), Some(after(now, 3)));
        assert!(!checks.is_ready());
        checks.note(&spec, Which::Readiness, Ok(()), now);
        assert!(checks.is_ready());
        checks.note(&spec, Which::Readiness, Err("503".into()), now);
        assert!(!checks.is_ready());
        assert_eq!(checks.verdict, None);
    }

    #[test]
    fn thresholds_condemn() {
        let (spec, now) = (container(), Timestamp::UNIX_EPOCH);
        let mut checks = Checks::begin(&spec, now);
        checks.note(&spec, Which::Startup, Err("refused".into()), now);
        assert_eq!(checks.verdict, None);
        checks.note(&spec, Which::Startup, Err("refused".into()), now);
        let verdict = Verdict {
            message: "Startup probe failed: refused".into(),
            grace: Some(7),
        };
        assert_eq!(checks.verdict, Some(verdict));
    }

    #[test]
    fn named_ports_are_found() {
        let spec = container();
        let address = Ipv4Addr::LOCALHOST;
        let probe = question(spec.startup_probe.as_ref().unwrap(), &spec, "id", address);
        assert_eq!(
            probe,
            Ok(Probe::Tcp {
                address,
                port: 8080
            })
        );
    }
}
