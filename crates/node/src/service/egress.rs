//! Gateways that lead out of a cell: what they tell the node, which gives their names to pods and lets
//! these call them as policies say.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
};

use tokio::sync::{broadcast, watch};

use super::{
    DOMAIN, Labels,
    address::Range,
    policy::{self, Host},
};
use crate::{
    index::Index,
    machine::{Exception, OutsideName, Peers, PodRules, Ports, Protocol, Refused},
};

/// Of a Gateway's proxies: the Gateway, as Envoy Gateway labels them.
const OWNER: [&str; 2] = [
    "gateway.envoyproxy.io/owning-gateway-name",
    "gateway.networking.k8s.io/gateway-name",
];
/// The namespace of that Gateway.
const OWNER_NAMESPACE: &str = "gateway.envoyproxy.io/owning-gateway-namespace";
/// What is told at once and was not read yet.
const REFUSALS: usize = 256;

/// A Gateway that leads out, as it is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gateway {
    /// Its namespace: the only one it takes clients of.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its address in the network of cells.
    pub address: Ipv4Addr,
    /// The ports it listens on.
    pub ports: BTreeSet<u16>,
    /// The hosts that its routes lead to: names, and `*.` before those of which all below are meant.
    pub hosts: BTreeSet<String>,
}

/// What gateways tell the node, shared by both.
#[derive(Debug, Clone)]
pub struct Egress {
    gateways: watch::Sender<Vec<Gateway>>,
    refused: broadcast::Sender<Vec<Refused>>,
}

impl Default for Egress {
    fn default() -> Self {
        Self {
            gateways: watch::Sender::default(),
            refused: broadcast::Sender::new(REFUSALS),
        }
    }
}

impl Egress {
    /// Tells which Gateways are served.
    pub fn serve(&self, gateways: Vec<Gateway>) {
        self.gateways.send_if_modified(|known| {
            let changed = *known != gateways;
            *known = gateways;
            changed
        });
    }

    /// The Gateways that are served.
    pub fn gateways(&self) -> watch::Receiver<Vec<Gateway>> {
        self.gateways.subscribe()
    }

    /// Tells what they refused.
    pub fn refuse(&self, refused: Vec<Refused>) {
        // Nobody hears it when the node ends.
        let _unheard = self.refused.send(refused);
    }

    /// What they refuse from now on.
    pub fn refused(&self) -> broadcast::Receiver<Vec<Refused>> {
        self.refused.subscribe()
    }
}

/// A Gateway in the network: with the cell that it takes clients of.
#[derive(Debug)]
pub(super) struct Served<'a> {
    gateway: &'a Gateway,
    labels: Labels,
    /// The first and the last address of the cell.
    cell: (Ipv4Addr, Ipv4Addr),
    /// The namespace that it is in for policies.
    proxies: &'a str,
}

/// The Gateways of cells that have a range: without a pod in it a cell has none, and its Gateways no clients.
pub(super) fn served<'a>(
    gateways: &'a [Gateway],
    cells: &[(&String, Range)],
    proxies: &'a str,
) -> Vec<Served<'a>> {
    let ranges: BTreeMap<&str, Range> = cells
        .iter()
        .map(|(namespace, range)| (namespace.as_str(), *range))
        .collect();
    let served = gateways.iter().filter_map(|gateway| {
        Some(Served {
            gateway,
            labels: Some(gateway.labels()),
            cell: ranges.get(gateway.namespace.as_str())?.bounds(),
            proxies,
        })
    });
    served.collect()
}

impl Gateway {
    /// What policies select it by.
    fn labels(&self) -> BTreeMap<String, String> {
        let names = OWNER.map(|key| (key.to_owned(), self.name.clone()));
        let namespace = (OWNER_NAMESPACE.to_owned(), self.namespace.clone());
        names.into_iter().chain([namespace]).collect()
    }

    /// The name of the policy that says who may call it.
    fn policy(&self) -> String {
        format!("gateway {}/{}", self.namespace, self.name)
    }

    /// Its own name, as a Service would have it.
    fn own_name(&self) -> String {
        format!("{}.{}.svc.{DOMAIN}", self.name, self.namespace).to_lowercase()
    }
}

impl Served<'_> {
    pub(super) fn address(&self) -> Ipv4Addr {
        self.gateway.address
    }

    /// What it is to policies.
    pub(super) fn host(&self) -> Host<'_> {
        Host {
            namespace: self.proxies,
            labels: &self.labels,
            address: self.gateway.address,
            pod: None,
        }
    }

    /// It is called, by its own cell, and calls nobody.
    pub(super) fn rules(&self) -> PodRules {
        PodRules {
            namespace: self.proxies.to_owned(),
            ingress: Some(vec![self.gateway.policy()]),
            egress: Some(Vec::new()),
        }
    }

    /// The policy that says so.
    pub(super) fn clients(&self) -> (String, Vec<Exception>) {
        let ports = self.gateway.ports.iter();
        let exception = Exception {
            peers: Some(Peers {
                blocks: vec![self.cell],
                ..Peers::default()
            }),
            ports: Some(Ports {
                ranges: ports.map(|port| (Protocol::Tcp, *port, *port)).collect(),
                ..Ports::default()
            }),
        };
        (self.gateway.policy(), vec![exception])
    }

    /// The pods of some that policies let call it.
    fn callers(&self, index: &Index, own: &[Host<'_>]) -> OutsideName {
        let host = self.host();
        let callers = own
            .iter()
            .filter(|from| policy::may_leave_to(index, from, &host));
        OutsideName {
            address: self.gateway.address,
            clients: callers.map(|caller| caller.address).collect(),
        }
    }
}

/// The names that Gateways lead to from a namespace, whose pods are `own`.
pub(super) fn names(
    index: &Index,
    (namespace, own): (&str, &[Host<'_>]),
    served: &[Served<'_>],
) -> BTreeMap<String, Vec<OutsideName>> {
    let mut names = BTreeMap::<_, Vec<_>>::new();
    for served in served
        .iter()
        .filter(|one| one.gateway.namespace == namespace)
    {
        let name = served.callers(index, own);
        let hosts = served.gateway.hosts.iter().cloned();
        for host in hosts.chain([served.gateway.own_name()]) {
            names.entry(host).or_default().push(name.clone());
        }
    }
    names
}
