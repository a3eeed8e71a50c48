//! What leaves the network of cells by itself: TCP to public addresses, of pods that policies let out to
//! blocks of addresses. It is marked, packet for packet, while it still says where it goes, led to the
//! machine's own carrier, and let in there for its mark alone.

use std::net::Ipv4Addr;

use super::{Action, Base, Key, Kind, Match, Protocol, Rule, Set, Table};
use crate::{
    machine::{Exception, NetworkPlan, PodRules, network::CARRIER, short_digest},
    outside::SPECIAL,
};

/// Chains by the source of packets: who lets them out of the network.
const AWAY: &str = "away";

/// Adds what leads to the carrier.
pub(super) fn add(table: &mut Table, plan: &NetworkPlan) {
    table
        .sets
        .insert(AWAY.to_owned(), Set::new(Kind::AddressChains));
    let special = SPECIAL.iter().map(|(first, prefix)| {
        let hosts = u32::MAX.checked_shr((*prefix).into()).unwrap_or_default();
        let last = Ipv4Addr::from(first.to_bits() | hosts);
        Rule::when([Match::To(*first, last)], Action::Accept)
    });
    let away = Action::BySource(AWAY.to_owned());
    let away = Rule::when([Match::Protocol(Protocol::Tcp)], away);
    table.base("outward", Base::Outward, special.chain([away]).collect());
    for (address, pod) in &plan.pods {
        let Some(chain) = ask(table, plan, pod) else {
            continue;
        };
        if let Some(map) = table.sets.get_mut(AWAY) {
            map.lead(Key::Address(*address), chain);
        }
    }
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

/// The blocks of addresses that an exception names: what names none says nothing of the outside.
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
fn ask(table: &mut Table, plan: &NetworkPlan, pod: &PodRules) -> Option<String> {
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
            let marks = policy.iter().flat_map(marks).collect();
            table.chain(own.as_str(), marks);
        }
        rules.push(Rule::always(Action::Jump(own)));
    }
    table.chain(chain.as_str(), rules);
    Some(chain)
}

/// What an exception lets out. Named ports are those of pods, and there are none outside.
fn marks(exception: &Exception) -> Vec<Rule> {
    let ports = match &exception.ports {
        None => vec![None],
        Some(ports) => {
            let tcp = ports.ranges.iter().filter(|(of, ..)| *of == Protocol::Tcp);
            tcp.map(|(_, first, last)| Some((*first, *last))).collect()
        }
    };
    let rule = |(first, last), port: Option<(u16, u16)>| {
        let port = port.map(|(first, last)| Match::Ports(Protocol::Tcp, first, last));
        let matches = [Match::To(first, last)].into_iter().chain(port);
        Rule::when(matches.collect::<Vec<_>>(), Action::Mark)
    };
    let each = |block| ports.iter().map(move |port| rule(block, *port));
    blocks(exception).flat_map(each).collect()
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
