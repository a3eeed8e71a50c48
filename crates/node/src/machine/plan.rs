//! The network that a machine is asked to have, and what it tells of packets that are not let through.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
    time::Duration,
};

use serde::{Deserialize, Serialize};

/// The address of the programs of the platform itself ([`super::Machine::run_process`]): they share a network
/// namespace, and policies let them in and out like a pod.
pub const PROGRAMS: Ipv4Addr = Ipv4Addr::new(10, 128, 0, 2);

/// Addresses of Gateways that lead out of cells, first and length of prefix: they are where [`PROGRAMS`] are.
pub const GATEWAYS: (Ipv4Addr, u8) = (Ipv4Addr::new(10, 112, 0, 0), 12);

/// The whole network the machine should have. Applying it is idempotent; what is not in it goes away.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkPlan {
    /// Cells by Kubernetes namespace.
    pub cells: BTreeMap<String, Cell>,
    /// Service addresses and what stands behind them.
    pub services: Vec<ServiceRule>,
    /// Who may speak at all: pods, and programs of the platform.
    pub pods: BTreeMap<Ipv4Addr, PodRules>,
    /// What policies let through, by the names that [`PodRules`] has for them.
    pub policies: BTreeMap<String, Vec<Exception>>,
    /// Which of [`GATEWAYS`] are there.
    pub gateways: BTreeSet<Ipv4Addr>,
}

/// A network of one namespace: its range and its names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cell {
    /// A small number of its own.
    pub index: u16,
    /// Address of the machine in the cell: the pods' gateway and their name server.
    pub gateway: Ipv4Addr,
    /// Prefix length of the range (24).
    pub prefix: u8,
    /// What this cell's name server answers.
    pub names: CellNames,
}

/// Names that a name server answers: fully qualified, lower case, no trailing dot.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CellNames {
    /// Addresses of names.
    pub addresses: BTreeMap<String, Vec<Ipv4Addr>>,
    /// Ports of named services (`_http._tcp.web...`): names of hosts, and their ports.
    pub ports: BTreeMap<String, Vec<(String, u16)>>,
    /// Names that stand for others.
    pub aliases: BTreeMap<String, String>,
    /// Hosts outside and the Gateways that lead there, and these by their own names. A name that begins with
    /// `*.` is of everything below the rest of it.
    pub outside: BTreeMap<String, Vec<OutsideName>>,
}

/// What a name leads to outside the cell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutsideName {
    /// The Gateway that leads there.
    pub address: Ipv4Addr,
    /// The pods that may call it: to the others the name is refused.
    pub clients: BTreeSet<Ipv4Addr>,
}

/// Something that was refused, and how often since it was told before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// Whose doing it was; of what was refused at its receiver, the receiver.
    pub pod: Ipv4Addr,
    /// What it tried.
    pub attempt: Attempt,
    /// How often, at least: what comes too often is not counted one by one.
    pub count: u32,
}

/// What was tried and refused.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Attempt {
    /// To send somewhere.
    Egress(Flow),
    /// To be sent to, by the other end.
    Ingress(Flow),
    /// To send with the address of somebody else.
    Forged {
        /// The address.
        source: Ipv4Addr,
    },
    /// To look up a name.
    Name {
        /// The name.
        name: String,
    },
    /// To call a host through a Gateway that does not lead there.
    Host {
        /// The name that was asked for; empty if there was none.
        host: String,
        /// The port of the Gateway.
        port: u16,
    },
    /// To send a datagram outside, which policies let out.
    Uncarried(Uncarried),
}

/// Why a datagram to an address outside was lost.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Uncarried {
    /// The pod speaks with as many others as one may.
    Flows,
    /// All pods together do.
    AllFlows,
    /// It came faster than it was carried.
    Waiting,
    /// The platform does not reach the address, or it is one of this host.
    Unreached(Flow),
}

/// The other end of a flow, and what is called.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Flow {
    /// The address of the other end.
    pub peer: Ipv4Addr,
    /// The protocol; `None`: none with ports.
    pub protocol: Option<Protocol>,
    /// The port that is called, whichever end has it.
    pub port: u16,
}

impl Refused {
    /// One attempt.
    pub const fn once(pod: Ipv4Addr, attempt: Attempt) -> Self {
        Self {
            pod,
            attempt,
            count: 1,
        }
    }
}

/// A transport protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

/// One port of a Service address, balanced over its backends; without backends it refuses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceRule {
    /// The virtual address.
    pub address: Ipv4Addr,
    /// Its port.
    pub port: u16,
    /// Its protocol.
    pub protocol: Protocol,
    /// Ready pods: address and port.
    pub backends: Vec<(Ipv4Addr, u16)>,
    /// How long a client is led to the backend it had, if it is.
    pub affinity: Option<Duration>,
}

/// The policies that select an address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodRules {
    /// The namespace it is of.
    pub namespace: String,
    /// Names of the policies for what comes in; without any that selects it, its cell may.
    pub ingress: Option<Vec<String>>,
    /// Names of the policies for what goes out; without any that selects it, everything may.
    pub egress: Option<Vec<String>>,
}

/// What a rule of a policy lets through.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exception {
    /// The other end; `None`: any.
    pub peers: Option<Peers>,
    /// Ports of the end that is called; `None`: any, of any protocol.
    pub ports: Option<Ports>,
}

/// Other ends of what is let through.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peers {
    /// Whether pods are selected, be it none at the moment.
    pub selects: bool,
    /// The pods that are.
    pub pods: BTreeSet<Ipv4Addr>,
    /// First and last addresses.
    pub blocks: Vec<(Ipv4Addr, Ipv4Addr)>,
}

/// Ports that are let through.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ports {
    /// First and last ports.
    pub ranges: Vec<(Protocol, u16, u16)>,
    /// Whether ports are named, be it that no pod has such a name at the moment.
    pub names: bool,
    /// The ports of these names, of every pod that has them.
    pub named: BTreeSet<(Ipv4Addr, Protocol, u16)>,
}
