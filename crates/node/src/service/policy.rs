//! Network policies: who may reach a pod. Inside its cell everyone may reach a pod that no policy
//! selects; from other cells only a policy lets in.

use std::{collections::BTreeSet, net::Ipv4Addr, sync::Arc};

use k8s_openapi::{
    api::{
        core::v1::Pod,
        networking::v1::{
            NetworkPolicy, NetworkPolicyIngressRule, NetworkPolicyPeer, NetworkPolicyPort,
            NetworkPolicySpec,
        },
    },
    apimachinery::pkg::util::intstr::IntOrString,
};

use super::{selects, slice::named_port};
use crate::{
    index::Index,
    machine::{Allow, Protocol},
};

/// A pod with an address.
#[derive(Debug, Clone, Copy)]
pub struct Host<'a> {
    /// The pod.
    pub pod: &'a Arc<Pod>,
    /// Its address.
    pub address: Ipv4Addr,
}

impl Host<'_> {
    fn namespace(&self) -> &str {
        self.pod.metadata.namespace.as_deref().unwrap_or_default()
    }
}

/// Everything that may enter the pods.
pub fn allows(index: &Index, hosts: &[Host<'_>]) -> Vec<Allow> {
    let mut allows: Vec<Allow> = hosts
        .iter()
        .flat_map(|host| into(index, hosts, host))
        .collect();
    allows.retain(|allow| allow.from.as_ref().is_none_or(|from| !from.is_empty()));
    allows
}

fn into(index: &Index, hosts: &[Host<'_>], host: &Host<'_>) -> Vec<Allow> {
    let mut selecting = selecting(index, host).peekable();
    if selecting.peek().is_none() {
        let cell = hosts
            .iter()
            .filter(|other| other.namespace() == host.namespace());
        let from = cell
            .filter(|o| o.address != host.address)
            .map(|other| other.address);
        let from = Some(from.collect());
        return vec![Allow {
            to: host.address,
            protocol: None,
            port: None,
            from,
        }];
    }
    let rules = selecting.flat_map(|spec| spec.ingress.iter().flatten());
    rules
        .flat_map(|rule| admitted(index, hosts, host, rule))
        .collect()
}

/// The policies for what enters a pod.
fn selecting<'a>(
    index: &'a Index,
    host: &'a Host<'a>,
) -> impl Iterator<Item = &'a NetworkPolicySpec> + 'a {
    index
        .policies
        .within(host.namespace())
        .filter_map(|policy| policy.spec.as_ref())
        .filter(|spec| is_ingress(spec) && takes(spec, host.pod))
}

fn is_ingress(spec: &NetworkPolicySpec) -> bool {
    spec.policy_types
        .as_ref()
        .is_none_or(|types| types.iter().any(|kind| kind == "Ingress"))
}

fn takes(spec: &NetworkPolicySpec, pod: &Pod) -> bool {
    spec.pod_selector
        .as_ref()
        .is_none_or(|selector| selects(selector, &pod.metadata.labels))
}

fn admitted(
    index: &Index,
    hosts: &[Host<'_>],
    host: &Host<'_>,
    rule: &NetworkPolicyIngressRule,
) -> Vec<Allow> {
    let peers = rule.from.as_ref().filter(|peers| !peers.is_empty());
    let from = peers.map(|peers| {
        let let_in = hosts.iter().filter(|other| {
            peers
                .iter()
                .any(|peer| admits(index, host.namespace(), peer, other))
        });
        let addresses: BTreeSet<_> = let_in.map(|other| other.address).collect();
        addresses.into_iter().collect::<Vec<_>>()
    });
    let Some(ports) = rule.ports.as_ref().filter(|ports| !ports.is_empty()) else {
        return vec![Allow {
            to: host.address,
            protocol: None,
            port: None,
            from,
        }];
    };
    let all = ports.iter().flat_map(|port| port_numbers(port, host.pod));
    all.map(|(protocol, port)| Allow {
        to: host.address,
        protocol: Some(protocol),
        port,
        from: from.clone(),
    })
    .collect()
}

/// Whether a peer of a policy in `namespace` is this pod.
fn admits(index: &Index, namespace: &str, peer: &NetworkPolicyPeer, other: &Host<'_>) -> bool {
    if let Some(block) = &peer.ip_block {
        let except = block.except.iter().flatten();
        return within(&block.cidr, other.address)
            && !except.into_iter().any(|cidr| within(cidr, other.address));
    }
    admits_namespace(index, namespace, peer, other.namespace())
        && peer
            .pod_selector
            .as_ref()
            .is_none_or(|selector| selects(selector, &other.pod.metadata.labels))
}

fn admits_namespace(index: &Index, namespace: &str, peer: &NetworkPolicyPeer, other: &str) -> bool {
    match &peer.namespace_selector {
        None => namespace == other,
        Some(selector) => index.namespaces.find("", other).is_some_and(|found| {
            let mut labels = found.metadata.labels.clone().unwrap_or_default();
            labels.insert("kubernetes.io/metadata.name".into(), other.to_owned());
            selects(selector, &Some(labels))
        }),
    }
}

/// Whether some policy of a pod lets pods of another namespace in: that namespace may know its name.
pub fn knows(index: &Index, pod: &Pod, other: &str) -> bool {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let policies = index.policies.within(namespace);
    let rules = policies
        .filter_map(|policy: &Arc<NetworkPolicy>| policy.spec.as_ref())
        .filter(|spec| is_ingress(spec) && takes(spec, pod))
        .flat_map(|spec| spec.ingress.iter().flatten());
    rules.into_iter().any(
        |rule| match rule.from.as_ref().filter(|peers| !peers.is_empty()) {
            None => true,
            Some(peers) => peers.iter().any(|peer| {
                peer.ip_block.is_none() && admits_namespace(index, namespace, peer, other)
            }),
        },
    )
}

fn port_numbers(port: &NetworkPolicyPort, pod: &Pod) -> Vec<(Protocol, Option<u16>)> {
    let protocol = match port.protocol.as_deref().unwrap_or("TCP") {
        "TCP" => Protocol::Tcp,
        "UDP" => Protocol::Udp,
        _ => return Vec::new(),
    };
    match &port.port {
        None => vec![(protocol, None)],
        Some(IntOrString::Int(first)) => {
            let last = port.end_port.unwrap_or(*first);
            (*first..=last)
                .filter_map(|number| u16::try_from(number).ok())
                .map(|number| (protocol, Some(number)))
                .collect()
        }
        Some(IntOrString::String(name)) => named_port(pod, name, port.protocol.as_deref())
            .map(|number| (protocol, Some(number)))
            .into_iter()
            .collect(),
    }
}

fn within(cidr: &str, address: Ipv4Addr) -> bool {
    let (base, length) = cidr.split_once('/').unwrap_or((cidr, "32"));
    let (Ok(base), Ok(length)) = (base.parse::<Ipv4Addr>(), length.parse::<u32>()) else {
        return false;
    };
    let mask = u32::MAX
        .checked_shl(32_u32.saturating_sub(length))
        .unwrap_or_default();
    u32::from(base) & mask == u32::from(address) & mask
}
