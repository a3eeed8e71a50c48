//! External connections: hosts outside the platform that components call through the egress gateway
//! of their own, declared by a workload or given by whoever runs the platform.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::check::{Check, Checker};
use crate::object::{Object, Spec};
use crate::{host, schema};

mod check;

pub(crate) use check::check;

/// A connection that a platform team gives to projects.
pub type ExternalConnection = Object<ExternalConnectionSpec>;

/// How many connections one component may have.
pub const LIMIT: usize = 50;

/// The port on which the gateway takes plain text that it sends on over TLS.
const PLAIN_PORT: u16 = 80;

/// A call to a host outside the platform.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExternalDependency {
    /// Tells connections of one component apart.
    #[schemars(length(min = 1, max = 63), regex(pattern = schema::DNS_LABEL))]
    pub name: String,
    /// The host: a DNS name; `*.` and a DNS name for all names below it, where requests carry a name;
    /// or, with protocol TCP, an IP address.
    #[schemars(length(min = 1, max = 253))]
    pub host: String,
    /// The port of the host.
    #[schemars(range(min = 1, max = 65535))]
    pub port: u16,
    /// What the host speaks.
    pub protocol: ExternalProtocol,
    /// Who speaks TLS with the host, for protocols HTTPS and gRPC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<ExternalTls>,
    /// How long things may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeouts: Option<ExternalTimeouts>,
    /// What is tried again, where the gateway sees requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retries: Option<ExternalRetries>,
    /// How much goes to the host at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub circuit_breaker: Option<ExternalCircuitBreaker>,
    /// The variables that receive the address.
    #[serde(default)]
    pub env_bindings: ExternalEnvBindings,
}

/// What a host outside speaks.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub enum ExternalProtocol {
    /// HTTP in plain text.
    #[serde(rename = "HTTP")]
    Http,
    /// HTTP over TLS.
    #[serde(rename = "HTTPS")]
    Https,
    /// Anything over TLS that begins with the name of the host (SNI).
    #[serde(rename = "TLS")]
    Tls,
    /// Anything over TCP.
    #[serde(rename = "TCP")]
    Tcp,
    /// gRPC: HTTP/2 in plain text, or with `tls` over TLS.
    #[serde(rename = "gRPC")]
    Grpc,
}

impl ExternalProtocol {
    /// As written in manifests.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "HTTP",
            Self::Https => "HTTPS",
            Self::Tls => "TLS",
            Self::Tcp => "TCP",
            Self::Grpc => "gRPC",
        }
    }
}

/// Who speaks TLS with a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExternalTls {
    /// The component itself, or the gateway for it.
    pub mode: ExternalTlsMode,
    /// With mode Originate, the port on which the gateway takes plain text; left out, 80.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub listen_port: Option<u16>,
}

/// Who speaks TLS with a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ExternalTlsMode {
    /// The component. The gateway sees the name it asks for, and nothing else.
    Passthrough,
    /// The gateway, with the authorities that the machine trusts. The component speaks plain text to it, so that
    /// requests can be tried again.
    Originate,
}

/// How long things may take, as in `10s`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ExternalTimeouts {
    /// Connecting to the host.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = schema::SHORT_DURATION))]
    pub connect: Option<String>,
    /// A whole request with its answer, retries included.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = schema::SHORT_DURATION))]
    pub request: Option<String>,
}

/// What is tried again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExternalRetries {
    /// How often a request is tried again.
    #[schemars(range(min = 1, max = 10))]
    pub attempts: u32,
    /// How long each attempt may take, as in `2s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = schema::SHORT_DURATION))]
    pub per_try_timeout: Option<String>,
    /// How long to wait before the first of them; later ones wait longer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = schema::SHORT_DURATION))]
    pub backoff: Option<String>,
    /// The answers that are tried again, besides requests that reached nobody; left out, 503.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20), inner(range(min = 400, max = 599)))]
    pub codes: Vec<u16>,
}

/// How much goes to a host at once; what is more is refused.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[expect(
    clippy::struct_field_names,
    reason = "the names that Envoy Gateway has"
)]
pub struct ExternalCircuitBreaker {
    /// Open connections.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub max_connections: Option<u32>,
    /// Requests that wait for a connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub max_pending_requests: Option<u32>,
    /// Requests that wait for their answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub max_parallel_requests: Option<u32>,
    /// Retries at the same time.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub max_parallel_retries: Option<u32>,
}

/// The variables that receive the address of an external connection.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ExternalEnvBindings {
    /// Receives the address: a URL for HTTP, `host:port` for the rest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Receives the host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Receives the port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<String>,
    /// Receives the address as a URL, whatever the protocol, as in `tcp://db.example.com:5432`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

impl ExternalEnvBindings {
    /// The fields, each with its variable.
    pub fn fields(&self) -> [(&'static str, &Option<String>); 4] {
        [
            ("address", &self.address),
            ("host", &self.host),
            ("port", &self.port),
            ("url", &self.url),
        ]
    }
}

/// What the gateway sees of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Layer {
    /// Requests, each with its host.
    Http,
    /// The name that TLS begins with.
    Tls,
    /// Nothing but bytes.
    Tcp,
}

impl Layer {
    /// As Gateway API calls the protocol of a listener.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "HTTP",
            Self::Tls => "TLS",
            Self::Tcp => "TCP",
        }
    }
}

/// Why a component cannot have two connections at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clash {
    /// They are the same host and port.
    Same,
    /// Both are TCP on one port, and bytes do not say where they go.
    Tcp(u16),
    /// One port is to speak two protocols.
    Layers(u16),
}

impl fmt::Display for Clash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Same => formatter.write_str("is the same host and port"),
            Self::Tcp(port) => write!(
                formatter,
                "is TCP on port {port} too: TCP does not say which host is meant, so the two cannot be told \
                 apart; use TLS, HTTP or another port"
            ),
            Self::Layers(port) => write!(
                formatter,
                "has another protocol on port {port} of the gateway: a port speaks one of HTTP, TLS \
                 and TCP"
            ),
        }
    }
}

/// Whether a host is of a private network, which only an [`ExternalConnection`] opens.
///
/// # Errors
///
/// Why nothing outside is called so.
pub fn is_private(host: &str) -> Result<bool, &'static str> {
    host::read(host).map(|host| host.is_private)
}

impl ExternalDependency {
    /// Whether the gateway speaks TLS with the host.
    pub fn originates(&self) -> bool {
        let mode = self.tls.as_ref().map(|tls| tls.mode);
        mode == Some(ExternalTlsMode::Originate)
    }

    /// What the gateway sees.
    pub fn layer(&self) -> Layer {
        match (self.protocol, &self.tls) {
            (ExternalProtocol::Tcp, _) => Layer::Tcp,
            (ExternalProtocol::Http, _) | (ExternalProtocol::Grpc, None) => Layer::Http,
            (ExternalProtocol::Tls, _) | (ExternalProtocol::Https, None) => Layer::Tls,
            (ExternalProtocol::Https | ExternalProtocol::Grpc, Some(tls)) => match tls.mode {
                ExternalTlsMode::Passthrough => Layer::Tls,
                ExternalTlsMode::Originate => Layer::Http,
            },
        }
    }

    /// The port on which the gateway takes the connection.
    pub fn listen_port(&self) -> u16 {
        match &self.tls {
            Some(tls) if tls.mode == ExternalTlsMode::Originate => {
                tls.listen_port.unwrap_or(PLAIN_PORT)
            }
            _ => self.port,
        }
    }

    /// The scheme of the address a component uses.
    pub fn scheme(&self) -> &'static str {
        match (self.protocol, self.layer()) {
            (ExternalProtocol::Http, _) | (ExternalProtocol::Https, Layer::Http) => "http",
            (ExternalProtocol::Https, _) => "https",
            (ExternalProtocol::Tls, _) => "tls",
            (ExternalProtocol::Tcp, _) => "tcp",
            (ExternalProtocol::Grpc, Layer::Tls) => "grpcs",
            (ExternalProtocol::Grpc, _) => "grpc",
        }
    }

    /// Whether the host is `*.` and a name.
    pub fn is_wildcard(&self) -> bool {
        self.host.starts_with("*.")
    }

    /// The host, when it is an address.
    pub fn ip(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }

    /// Whether what is given as `self` covers `other`: the host or all of the hosts, the port and the
    /// protocol.
    pub fn covers(&self, other: &Self) -> bool {
        self.is_called(&other.host) && self.port == other.port && self.protocol == other.protocol
    }

    /// Whether `host` is the host, or below it where that is a wildcard.
    pub fn is_called(&self, host: &str) -> bool {
        let below = |suffix: &str| {
            let rest = host.strip_suffix(suffix);
            rest.is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
        };
        self.host == host || self.host.strip_prefix("*.").is_some_and(below)
    }

    /// Why one component cannot have this connection beside `other`, if it cannot.
    pub fn clash(&self, other: &Self) -> Option<Clash> {
        let port = self.listen_port();
        if port != other.listen_port() {
            return None;
        }
        match (self.layer(), other.layer()) {
            _ if self.host == other.host && self.layer() == other.layer() => Some(Clash::Same),
            (Layer::Tcp, Layer::Tcp) => Some(Clash::Tcp(port)),
            (own, others) if own != others => Some(Clash::Layers(port)),
            _ => None,
        }
    }

    /// `host:port`, as people write it.
    pub fn authority(&self) -> String {
        match self.ip() {
            Some(IpAddr::V6(address)) => format!("[{address}]:{}", self.port),
            _ => format!("{}:{}", self.host, self.port),
        }
    }
}

/// Which components of which projects have a connection, where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExternalConnectionSpec {
    /// The projects that have it.
    #[schemars(length(min = 1, max = 100))]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub projects: Vec<String>,
    /// The components of them that have it; left out, all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub components: Vec<String>,
    /// The environments where they have it; left out, all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub environments: Vec<String>,
    /// The connection, as a workload would declare it. Its host may also be an address of a private network.
    pub connection: ExternalDependency,
}

impl ExternalConnectionSpec {
    /// Whether a component of a project has the connection in an environment of these names: that of the
    /// environment, and for one made after another that of the other one.
    pub fn is_for(&self, project: &str, component: &str, environments: &[&str]) -> bool {
        let names = |all: &[String], wanted: &str| all.iter().any(|one| one == wanted);
        names(&self.projects, project)
            && (self.components.is_empty() || names(&self.components, component))
            && (self.environments.is_empty()
                || environments
                    .iter()
                    .any(|one| names(&self.environments, one)))
    }
}

/// What was observed of an external connection.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ExternalConnectionStatus {
    /// The generation this status is about.
    #[serde(skip_serializing_if = "schema::is_zero")]
    pub observed_generation: i64,
    /// `Ready`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// How many bindings of components have the connection, or need it for one that they declare.
    #[serde(skip_serializing_if = "is_zero")]
    pub users: i32,
    /// The first fifty of them, by name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub used_by: Vec<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde asks")]
const fn is_zero(count: &i32) -> bool {
    *count == 0
}

impl Spec for ExternalConnectionSpec {
    type Status = ExternalConnectionStatus;
    const KIND: &'static str = "ExternalConnection";
}

impl Check for ExternalConnectionSpec {
    fn check(&self, _old: Option<&Self>, out: &mut Checker) {
        out.filled_list("projects", &self.projects);
        let lists = [
            ("projects", &self.projects),
            ("components", &self.components),
            ("environments", &self.environments),
        ];
        for (field, names) in lists {
            out.at_most(field, names.len(), 100);
            for (index, name) in names.iter().enumerate() {
                out.filled(&format!("{field}[{index}]"), name);
            }
            let distinct: BTreeSet<_> = names.iter().collect();
            if distinct.len() != names.len() {
                out.add(field, "has a name twice");
            }
        }
        self.connection.check("connection", true, out);
    }
}
