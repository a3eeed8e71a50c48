//! Network policies: who may call a pod and whom a pod may call. What no policy selects is open to its
//! own cell, and may call whoever lets it in.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
};

use k8s_openapi::{
    api::{
        core::v1::Pod,
        networking::v1::{
            IPBlock, NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec,
        },
    },
    apimachinery::pkg::util::intstr::IntOrString,
};

use super::{Labels, selects, slice::named_port};
use crate::{
    index::{Index, Key},
    machine::{Exception, Peers, Ports, Protocol},
};

/// The label that every namespace has.
const NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";

/// Something with an address that policies speak of: a pod, or what is like one.
#[derive(Debug, Clone, Copy)]
pub struct Host<'a> {
    /// The namespace it is in.
    pub namespace: &'a str,
    /// What it is labelled with.
    pub labels: &'a Labels,
    /// Its address.
    pub address: Ipv4Addr,
    /// The pod that it is, if it is one.
    pub pod: Option<&'a Pod>,
}

/// One of the two ways that policies speak of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// What comes in.
    Ingress,
    /// What goes out.
    Egress,
}

/// A rule, whichever direction it is of.
#[derive(Debug, Clone, Copy)]
struct Rule<'a> {
    peers: &'a [NetworkPolicyPeer],
    ports: &'a [NetworkPolicyPort],
}

impl Direction {
    const fn word(self) -> &'static str {
        match self {
            Self::Ingress => "ingress",
            Self::Egress => "egress",
        }
    }

    /// Whether a policy is of this direction.
    fn is_of(self, spec: &NetworkPolicySpec) -> bool {
        let named = |word: &str| {
            let types = spec.policy_types.as_ref().filter(|types| !types.is_empty());
            types.map(|types| types.iter().any(|kind| kind == word))
        };
        match self {
            Self::Ingress => named("Ingress").unwrap_or(true),
            Self::Egress => named("Egress").unwrap_or_else(|| spec.egress.is_some()),
        }
    }

    fn rules(self, spec: &NetworkPolicySpec) -> Vec<Rule<'_>> {
        fn rule<'a>(
            peers: Option<&'a Vec<NetworkPolicyPeer>>,
            ports: Option<&'a Vec<NetworkPolicyPort>>,
        ) -> Rule<'a> {
            Rule {
                peers: peers.map_or(&[], Vec::as_slice),
                ports: ports.map_or(&[], Vec::as_slice),
            }
        }
        match self {
            Self::Ingress => {
                let rules = spec.ingress.iter().flatten();
                rules
                    .map(|one| rule(one.from.as_ref(), one.ports.as_ref()))
                    .collect()
            }
            Self::Egress => {
                let rules = spec.egress.iter().flatten();
                rules
                    .map(|one| rule(one.to.as_ref(), one.ports.as_ref()))
                    .collect()
            }
        }
    }
}

/// The name of one direction of a policy.
fn name(policy: &NetworkPolicy, direction: Direction) -> String {
    format!("{}/{}", Key::of(&policy.metadata), direction.word())
}

fn takes(spec: &NetworkPolicySpec, labels: &Labels) -> bool {
    let selector = spec.pod_selector.as_ref();
    selector.is_none_or(|selector| selects(selector, labels))
}

/// The names of the policies that select a host, if any does.
pub fn selecting(index: &Index, host: &Host<'_>, direction: Direction) -> Option<Vec<String>> {
    let policies = index.policies.within(host.namespace);
    let names = policies.filter_map(|policy| {
        let spec = policy.spec.as_ref()?;
        let selects = direction.is_of(spec) && takes(spec, host.labels);
        selects.then(|| name(policy, direction))
    });
    let names: Vec<_> = names.collect();
    (!names.is_empty()).then_some(names)
}

/// Everyone policies can speak of.
#[derive(Debug, Default)]
pub struct Everyone<'a> {
    by_namespace: BTreeMap<&'a str, Vec<Host<'a>>>,
}

impl<'a> FromIterator<Host<'a>> for Everyone<'a> {
    fn from_iter<I: IntoIterator<Item = Host<'a>>>(hosts: I) -> Self {
        let mut by_namespace = BTreeMap::<&str, Vec<Host<'_>>>::new();
        for host in hosts {
            by_namespace.entry(host.namespace).or_default().push(host);
        }
        Self { by_namespace }
    }
}

impl<'a> Everyone<'a> {
    /// Those of a namespace.
    pub fn within(&self, namespace: &str) -> &[Host<'a>] {
        self.by_namespace.get(namespace).map_or(&[], Vec::as_slice)
    }

    /// All.
    pub fn iter(&self) -> impl Iterator<Item = &Host<'a>> {
        self.by_namespace.values().flatten()
    }

    /// Those whom a peer of a policy in `namespace` selects.
    fn selected<'b>(
        &'b self,
        index: &Index,
        namespace: &str,
        peer: &'b NetworkPolicyPeer,
    ) -> impl Iterator<Item = &'b Host<'a>> {
        let namespaces = self.by_namespace.iter();
        let namespaces = namespaces
            .filter(|(name, _)| selects_namespace(index, namespace, peer, name))
            .map(|(_, hosts)| hosts)
            .collect::<Vec<_>>();
        let by_labels = |host: &&Host<'_>| {
            let selector = peer.pod_selector.as_ref();
            selector.is_none_or(|selector| selects(selector, host.labels))
        };
        namespaces.into_iter().flatten().filter(by_labels)
    }
}

/// What one direction of each policy in a namespace lets through, by its name. `name_server` is what
/// its pods ask for names.
pub fn exceptions(
    index: &Index,
    everyone: &Everyone<'_>,
    namespace: &str,
    name_server: Option<Host<'_>>,
) -> Vec<(String, Vec<Exception>)> {
    let mut all = Vec::new();
    for policy in index.policies.within(namespace) {
        let Some(spec) = &policy.spec else { continue };
        for direction in [Direction::Ingress, Direction::Egress] {
            if !direction.is_of(spec) {
                continue;
            }
            let server = name_server.filter(|_| direction == Direction::Egress);
            let rules = direction.rules(spec).into_iter();
            let exceptions = rules.map(|rule| {
                let called = called(index, everyone, namespace, (spec, direction, rule));
                Exception {
                    peers: peers(index, everyone, namespace, rule, server),
                    ports: ports(rule, &called),
                }
            });
            all.push((name(policy, direction), exceptions.collect()));
        }
    }
    all
}

/// The other ends of a rule.
fn peers(
    index: &Index,
    everyone: &Everyone<'_>,
    namespace: &str,
    rule: Rule<'_>,
    name_server: Option<Host<'_>>,
) -> Option<Peers> {
    if rule.peers.is_empty() {
        return None;
    }
    let mut peers = Peers::default();
    for peer in rule.peers {
        if let Some(block) = &peer.ip_block {
            peers.blocks.extend(ranges(block));
            continue;
        }
        peers.selects = true;
        let selected = everyone.selected(index, namespace, peer);
        peers.pods.extend(selected.map(|host| host.address));
        let server = name_server.filter(|server| is_peer(index, namespace, peer, server));
        peers.pods.extend(server.map(|server| server.address));
    }
    Some(peers)
}

/// Those whose ports a rule speaks of: who is called.
fn called<'a>(
    index: &Index,
    everyone: &'a Everyone<'a>,
    namespace: &str,
    (spec, direction, rule): (&NetworkPolicySpec, Direction, Rule<'_>),
) -> Vec<&'a Host<'a>> {
    let named = |port: &NetworkPolicyPort| matches!(port.port, Some(IntOrString::String(_)));
    if !rule.ports.iter().any(named) {
        return Vec::new();
    }
    match direction {
        Direction::Ingress => {
            let own = everyone.within(namespace).iter();
            own.filter(|host| takes(spec, host.labels)).collect()
        }
        Direction::Egress if rule.peers.is_empty() => everyone.iter().collect(),
        Direction::Egress => {
            let of = |host: &&Host<'_>| {
                let mut peers = rule.peers.iter();
                peers.any(|peer| is_peer(index, namespace, peer, host))
            };
            everyone.iter().filter(of).collect()
        }
    }
}

fn ports(rule: Rule<'_>, called: &[&Host<'_>]) -> Option<Ports> {
    if rule.ports.is_empty() {
        return None;
    }
    let mut ports = Ports::default();
    for port in rule.ports {
        let word = port.protocol.as_deref();
        let Some(protocol) = protocol(word) else {
            continue;
        };
        match &port.port {
            None => ports.ranges.push((protocol, 0, u16::MAX)),
            Some(IntOrString::Int(first)) => {
                let last = port.end_port.unwrap_or(*first);
                if let (Ok(first), Ok(last)) = (u16::try_from(*first), u16::try_from(last)) {
                    ports.ranges.push((protocol, first, last));
                }
            }
            Some(IntOrString::String(name)) => {
                ports.names = true;
                let named = called.iter().filter_map(|host| {
                    let number = named_port(host.pod?, name, word)?;
                    Some((host.address, protocol, number))
                });
                ports.named.extend(named);
            }
        }
    }
    Some(ports)
}

/// The protocol of a port.
pub fn protocol(word: Option<&str>) -> Option<Protocol> {
    match word.unwrap_or("TCP") {
        "TCP" => Some(Protocol::Tcp),
        "UDP" => Some(Protocol::Udp),
        "SCTP" => Some(Protocol::Sctp),
        _ => None,
    }
}

/// The word of a protocol.
pub const fn word(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "TCP",
        Protocol::Udp => "UDP",
        Protocol::Sctp => "SCTP",
    }
}

fn selects_namespace(
    index: &Index,
    namespace: &str,
    peer: &NetworkPolicyPeer,
    other: &str,
) -> bool {
    let Some(selector) = &peer.namespace_selector else {
        return namespace == other;
    };
    let found = index.namespaces.find("", other);
    let mut labels = found
        .and_then(|found| found.metadata.labels.clone())
        .unwrap_or_default();
    labels.insert(NAMESPACE_NAME.to_owned(), other.to_owned());
    selects(selector, &Some(labels))
}

/// Whether policies let one host call another, on some port: then it may know its name.
pub fn may_call(index: &Index, from: &Host<'_>, to: &Host<'_>) -> bool {
    let out = may_leave_to(index, from, to);
    let own = from.namespace == to.namespace;
    out && lets(index, to, from, Direction::Ingress).unwrap_or(own)
}

/// Whether policies let a host out to another, on some port, whoever that one lets in.
pub fn may_leave_to(index: &Index, from: &Host<'_>, to: &Host<'_>) -> bool {
    lets(index, from, to, Direction::Egress).unwrap_or(true)
}

/// Whether the policies that select a host let something through between it and another; `None` when
/// none selects it.
fn lets(index: &Index, host: &Host<'_>, other: &Host<'_>, direction: Direction) -> Option<bool> {
    let policies = index.policies.within(host.namespace);
    let mut specs = policies
        .filter_map(|policy| policy.spec.as_ref())
        .filter(|spec| direction.is_of(spec) && takes(spec, host.labels))
        .peekable();
    specs.peek()?;
    let mut rules = specs.flat_map(|spec| direction.rules(spec));
    let through = |rule: Rule<'_>| {
        let mut peers = rule.peers.iter();
        rule.peers.is_empty() || peers.any(|peer| is_peer(index, host.namespace, peer, other))
    };
    Some(rules.any(through))
}

/// Whether a peer of a policy in `namespace` is this host.
fn is_peer(index: &Index, namespace: &str, peer: &NetworkPolicyPeer, host: &Host<'_>) -> bool {
    if let Some(block) = &peer.ip_block {
        return contains(block, host.address);
    }
    let selector = peer.pod_selector.as_ref();
    selects_namespace(index, namespace, peer, host.namespace)
        && selector.is_none_or(|selector| selects(selector, host.labels))
}

fn contains(block: &IPBlock, address: Ipv4Addr) -> bool {
    let ranges = ranges(block);
    ranges
        .iter()
        .any(|(first, last)| (*first..=*last).contains(&address))
}

/// The addresses of a block, without those it leaves out: first and last ones.
fn ranges(block: &IPBlock) -> Vec<(Ipv4Addr, Ipv4Addr)> {
    let mut left_out: Vec<(u32, u32)> = block
        .except
        .iter()
        .flatten()
        .filter_map(|cidr| range(cidr))
        .collect();
    left_out.sort_unstable();
    let Some((mut next, last)) = range(&block.cidr) else {
        return Vec::new();
    };
    let mut ranges = BTreeSet::new();
    for (from, to) in left_out {
        if to < next || from > last {
            continue;
        }
        if from > next {
            ranges.insert((next, from - 1));
        }
        let Some(after) = to.checked_add(1).filter(|after| *after <= last) else {
            return ranges.into_iter().map(addresses).collect();
        };
        next = after;
    }
    ranges.insert((next, last));
    ranges.into_iter().map(addresses).collect()
}

fn addresses((first, last): (u32, u32)) -> (Ipv4Addr, Ipv4Addr) {
    (first.into(), last.into())
}

/// The first and the last address of a block.
fn range(cidr: &str) -> Option<(u32, u32)> {
    let (base, length) = cidr.split_once('/')?;
    let base = base.parse::<Ipv4Addr>().ok()?.to_bits();
    let length = length.parse::<u32>().ok().filter(|length| *length <= 32)?;
    let hosts = u32::MAX.checked_shr(length).unwrap_or_default();
    Some((base & !hosts, base | hosts))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_ranges_without_their_exceptions() {
        let check = |cidr: &str, except: &[&str], expected: &[&str]| {
            let block = IPBlock {
                cidr: cidr.into(),
                except: Some(except.iter().map(ToString::to_string).collect()),
            };
            let found: Vec<_> = ranges(&block)
                .into_iter()
                .map(|(first, last)| format!("{first}-{last}"))
                .collect();
            assert_eq!(found, expected, "{cidr} {except:?}");
        };
        check("0.0.0.0/0", &[], &["0.0.0.0-255.255.255.255"]);
        check("10.1.2.3/32", &[], &["10.1.2.3-10.1.2.3"]);
        check("10.1.2.3/24", &["10.1.2.0/25"], &["10.1.2.128-10.1.2.255"]);
        check(
            "10.0.0.0/24",
            &["10.0.0.64/26", "10.0.0.8/32", "10.9.0.0/16"],
            &[
                "10.0.0.0-10.0.0.7",
                "10.0.0.9-10.0.0.63",
                "10.0.0.128-10.0.0.255",
            ],
        );
        check("10.0.0.0/24", &["10.0.0.0/16"], &[]);
        check("10.0.0.0/24", &["10.0.0.128/25"], &["10.0.0.0-10.0.0.127"]);
        check(
            "255.255.255.0/24",
            &["255.255.255.255/32"],
            &["255.255.255.0-255.255.255.254"],
        );
        check("fd00::/8", &[], &[]);
        check("nonsense/24", &[], &[]);
    }

    #[test]
    fn the_directions_of_a_policy_follow_its_rules() {
        let check = |spec: serde_json::Value, ingress: bool, egress: bool| {
            let spec: NetworkPolicySpec = serde_json::from_value(spec).unwrap();
            let found = (
                Direction::Ingress.is_of(&spec),
                Direction::Egress.is_of(&spec),
            );
            assert_eq!(found, (ingress, egress), "{spec:?}");
        };
        check(serde_json::json!({"podSelector": {}}), true, false);
        check(
            serde_json::json!({"podSelector": {}, "egress": [{}]}),
            true,
            true,
        );
        check(
            serde_json::json!({"podSelector": {}, "policyTypes": ["Egress"]}),
            false,
            true,
        );
        check(
            serde_json::json!({"podSelector": {}, "policyTypes": [], "ingress": []}),
            true,
            false,
        );
    }
}
