//! What leaves the network of cells by itself: TCP and UDP to public addresses, of pods that policies let out to
//! blocks of addresses. It is marked, packet for packet, while it still says where it goes. TCP is led to the
//! machine's own carrier, and let in there for its mark alone; UDP passes for it to the link that leads out.

use std::{collections::BTreeMap, net::Ipv4Addr};

use super::{Action, Base, Key, Kind, Match, Protocol, Rule, Set, Table};
use crate::{
    machine::{
        Exception, NetworkPlan, PodRules,
        network::{CARRIER, datagrams::Flow},
        short_digest,
    },
    outside::{SPECIAL, is_public},
};

/// Chains by the source of packets: who lets them out of the network.
const AWAY: &str = "away";

/// Adds what marks what may leave, of the protocols that are carried.
pub(super) fn add(table: &mut Table, plan: &NetworkPlan, carried: &[Protocol]) {
    table
        .sets
        .insert(AWAY.to_owned(), Set::new(Kind::AddressChains));
    let special = SPECIAL.iter().map(|(first, prefix)| {
        let hosts = u32::MAX.checked_shr((*prefix).into()).unwrap_or_default();
        let last = Ipv4Addr::from(first.to_bits() | hosts);
        Rule::when([Match::To(*first, last)], Action::Accept)
    });
    let away = carried.iter().map(|protocol| {
        let away = Action::BySource(AWAY.to_owned());
        Rule::when([Match::Protocol(*protocol)], away)
    });
    table.base("outward", Base::Outward, special.chain(away).collect());
    for (address, pod) in &plan.pods {
        let Some(chain) = ask(table, plan, pod, carried) else {
            continue;
        };
        if let Some(map) = table.sets.get_mut(AWAY) {
            map.lead(Key::Address(*address), chain);
        }
    }
}

/// The rule that lets pass what is marked and not led elsewhere.
pub(super) fn past_carrier() -> Rule {
    Rule::when(
        [Match::Marked, Match::Protocol(Protocol::Udp)],
        Action::Accept,
    )
}

/// Of what comes from outside only answers pass.
pub(super) fn answers() -> [Rule; 2] {
    [
        Rule::when([Match::Outer, Match::Reply], Action::Accept),
        Rule::when([Match::Outer], Action::Drop),
    ]
}

/// The rule that leads what is marked to the carrier.
pub(super) fn to_carrier() -> Rule {
    let marked = [Match::Marked, Match::Protocol(Protocol::Tcp)];
    Rule::when(marked, Action::Redirect(*CARRIER.ip(), CARRIER.port()))
}

/// The rules for what arrives at the carrier: what has no mark any more was let out before, and is ended.
pub(super) fn at_carrier() -> [Rule; 2] {
    let (address, port) = (*CARRIER.ip(), CARRIER.port());
    let stale = [
        Match::To(address, address),
        Match::Ports(Protocol::Tcp, port, port),
        Match::Open,
    ];
    [
        Rule::when([Match::Marked], Action::Accept),
        Rule::when(stale, Action::Refuse(Protocol::Tcp)),
    ]
}

/// The pods that policies let out to some public address.
pub(in crate::machine::network) fn leavers(plan: &NetworkPlan) -> Vec<Ipv4Addr> {
    let leaves = |pod: &PodRules| {
        let names = pod.egress.iter().flatten();
        let mut policies = names.filter_map(|name| plan.policies.get(name));
        policies.any(|policy| policy.iter().any(|one| blocks(one).any(is_partly_public)))
    };
    let pods = plan.pods.iter().filter(|(_, pod)| leaves(pod));
    pods.map(|(address, _)| *address).collect()
}

/// The blocks of addresses that an exception names: what names none says nothing of the outside. Of its ports,
/// named ones are those of pods, and there are none outside.
fn blocks(exception: &Exception) -> impl Iterator<Item = (Ipv4Addr, Ipv4Addr)> {
    let peers = exception.peers.iter();
    peers.flat_map(|peers| peers.blocks.iter().copied())
}

/// Whether a public address is among these: right after a special range, if not the first itself.
fn is_partly_public((first, last): (Ipv4Addr, Ipv4Addr)) -> bool {
    let mut next = first.to_bits();
    let mut ranges = SPECIAL.map(|(begin, prefix)| {
        let hosts = u32::MAX.checked_shr(prefix.into()).unwrap_or_default();
        (begin.to_bits(), begin.to_bits() | hosts)
    });
    ranges.sort_unstable();
    for (begin, end) in ranges {
        if (begin..=end).contains(&next) {
            match end.checked_add(1) {
                Some(after) => next = after,
                None => return false,
            }
        }
    }
    next <= last.to_bits()
}

/// The chain that asks the policies of a pod that lead out of the network.
fn ask(
    table: &mut Table,
    plan: &NetworkPlan,
    pod: &PodRules,
    carried: &[Protocol],
) -> Option<String> {
    let names = pod.egress.iter().flatten();
    let leading = names.filter_map(|name| {
        let policy = plan.policies.get(name)?;
        let leads = policy.iter().any(|one| blocks(one).next().is_some());
        leads.then_some((name, policy))
    });
    let leading: Vec<_> = leading.collect();
    if leading.is_empty() {
        return None;
    }
    let all: Vec<&str> = leading.iter().map(|(name, _)| name.as_str()).collect();
    let chain = format!("away-pods-{}", short_digest(all.join("\n").as_bytes()));
    if table.chains.contains_key(&chain) {
        return Some(chain);
    }
    let mut rules = Vec::new();
    for (name, policy) in leading {
        let own = format!("away-{}", short_digest(name.as_bytes()));
        if !table.chains.contains_key(&own) {
            let marks = policy.iter().flat_map(|one| marks(one, carried)).collect();
            table.chain(own.as_str(), marks);
        }
        rules.push(Rule::always(Action::Jump(own)));
    }
    table.chain(chain.as_str(), rules);
    Some(chain)
}

/// What an exception lets out.
fn marks(exception: &Exception, carried: &[Protocol]) -> Vec<Rule> {
    let ports: Vec<_> = match &exception.ports {
        None => vec![None],
        Some(ports) => {
            let ranges = ports.ranges.iter();
            let ranges = ranges.filter(|(of, ..)| carried.contains(of));
            ranges.copied().map(Some).collect()
        }
    };
    let rule = |(first, last), port: Option<(Protocol, u16, u16)>| {
        let port = port.map(|(of, first, last)| Match::Ports(of, first, last));
        let matches = [Match::To(first, last)].into_iter().chain(port);
        Rule::when(matches.collect::<Vec<_>>(), Action::Mark)
    };
    let each = |block| ports.iter().map(move |port| rule(block, *port));
    blocks(exception).flat_map(each).collect()
}

/// Where pods may send datagrams outside: what the rules mark, for what has passed them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::machine::network) struct Ways(BTreeMap<Ipv4Addr, Vec<Way>>);

/// A block of addresses, and ports there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Way {
    addresses: (Ipv4Addr, Ipv4Addr),
    ports: (u16, u16),
}

impl Ways {
    /// What a plan lets out.
    pub(in crate::machine::network) fn of(plan: &NetworkPlan) -> Self {
        let of_pod = |pod: &PodRules| {
            let names = pod.egress.iter().flatten();
            let policies = names.filter_map(|name| plan.policies.get(name));
            policies.flatten().flat_map(ways).collect::<Vec<_>>()
        };
        let all = plan.pods.iter();
        let all = all.map(|(address, pod)| (*address, of_pod(pod)));
        Self(all.filter(|(_, ways)| !ways.is_empty()).collect())
    }

    /// Whether a flow is let out.
    pub(in crate::machine::network) fn lead(&self, flow: Flow) -> bool {
        let within = |way: &Way| {
            let ((first, last), (low, high)) = (way.addresses, way.ports);
            (first..=last).contains(flow.to.ip()) && (low..=high).contains(&flow.to.port())
        };
        let ways = self.0.get(flow.from.ip());
        is_public((*flow.to.ip()).into()) && ways.is_some_and(|ways| ways.iter().any(within))
    }
}

/// What an exception lets out, of datagrams.
fn ways(exception: &Exception) -> Vec<Way> {
    let ports: Vec<_> = match &exception.ports {
        None => vec![(0, u16::MAX)],
        Some(ports) => {
            let udp = ports.ranges.iter().filter(|(of, ..)| *of == Protocol::Udp);
            udp.map(|(_, first, last)| (*first, *last)).collect()
        }
    };
    let way = |addresses| {
        ports.iter().map(move |ports| Way {
            addresses,
            ports: *ports,
        })
    };
    blocks(exception).flat_map(way).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_addresses_are_found_among_others() {
        let check = |first: &str, last: &str| {
            is_partly_public((first.parse().unwrap(), last.parse().unwrap()))
        };
        assert!(check("0.0.0.0", "255.255.255.255"));
        assert!(check("8.8.8.8", "8.8.8.8"));
        assert!(check("10.0.0.0", "11.0.0.0"));
        assert!(!check("10.0.0.0", "10.255.255.255"));
        assert!(!check("224.0.0.0", "255.255.255.255"));
    }
}
