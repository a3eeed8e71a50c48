//! What policies say, as chains: one for each policy, and one for all pods that the same policies
//! select, which asks those one after the other.

use std::net::Ipv4Addr;

use super::{
    ADMIT, Action, EGRESS, INGRESS, Key, Kind, Match, NOT_LET_IN, NOT_LET_OUT, NetworkPlan,
    PodRules, Rule, SELVES, Set, Table, lead, range,
};
use crate::machine::{Exception, PROGRAMS, short_digest};

/// The two directions, which are decided the same way.
struct Direction {
    /// What begins the names of its chains and sets.
    prefix: &'static str,
    /// Its map from pods to chains.
    map: &'static str,
    /// What becomes of what a policy lets through.
    through: fn() -> Action,
    /// The chain of what none does.
    refused: &'static str,
    /// Matches the other end.
    peer: fn(String) -> Match,
    peer_range: fn(Ipv4Addr, Ipv4Addr) -> Match,
    /// The policies that select a pod.
    policies: fn(&PodRules) -> &Option<Vec<String>>,
}

const OUT: Direction = Direction {
    prefix: "out",
    map: EGRESS,
    through: || Action::Goto(ADMIT.to_owned()),
    refused: NOT_LET_OUT,
    peer: Match::ToIn,
    peer_range: Match::To,
    policies: |pod| &pod.egress,
};

const IN: Direction = Direction {
    prefix: "in",
    map: INGRESS,
    through: || Action::Accept,
    refused: NOT_LET_IN,
    peer: Match::FromIn,
    peer_range: Match::From,
    policies: |pod| &pod.ingress,
};

/// Adds what a plan's policies say.
pub(super) fn add(table: &mut Table, plan: &NetworkPlan) {
    for (address, pod) in &plan.pods {
        if let Some(selves) = table.sets.get_mut(SELVES) {
            selves.elements.insert(Key::Pair(*address, *address), None);
        }
        for direction in [OUT, IN] {
            let chain = match (direction.policies)(pod) {
                Some(policies) => ask(table, plan, &direction, policies),
                None => unselected(table, plan, &direction, &pod.namespace),
            };
            lead(table, direction.map, *address, &chain);
        }
    }
}

/// The chain of pods that no policy selects: they may go anywhere, and let in who is of their cell,
/// and the gateways.
fn unselected(
    table: &mut Table,
    plan: &NetworkPlan,
    direction: &Direction,
    namespace: &str,
) -> String {
    if direction.map == EGRESS {
        return ADMIT.to_owned();
    }
    let Some(cell) = plan.cells.get(namespace) else {
        return direction.refused.to_owned();
    };
    let chain = format!("cell-{}", cell.index);
    let (first, last) = range(cell);
    let rules = vec![
        Rule::when([Match::From(first, last)], Action::Accept),
        // Requests that routes lead here.
        Rule::when([Match::From(PROGRAMS, PROGRAMS)], Action::Accept),
        Rule::always(Action::Goto(direction.refused.to_owned())),
    ];
    table.chain(chain.as_str(), rules);
    chain
}

/// The chain that asks policies one after the other.
fn ask(
    table: &mut Table,
    plan: &NetworkPlan,
    direction: &Direction,
    policies: &[String],
) -> String {
    if policies.is_empty() {
        return direction.refused.to_owned();
    }
    let digest = short_digest(policies.join("\n").as_bytes());
    let chain = format!("{}-pods-{digest}", direction.prefix);
    if table.chains.contains_key(&chain) {
        return chain;
    }
    let mut rules = Vec::new();
    for name in policies {
        let policy = format!("{}-{}", direction.prefix, short_digest(name.as_bytes()));
        if !table.chains.contains_key(&policy) {
            let exceptions = plan.policies.get(name).map_or(&[][..], Vec::as_slice);
            write_policy(table, direction, &policy, exceptions);
        }
        rules.push(Rule::always(Action::Jump(policy)));
    }
    rules.push(Rule::always(Action::Goto(direction.refused.to_owned())));
    table.chain(chain.as_str(), rules);
    chain
}

/// The chain of a policy.
fn write_policy(table: &mut Table, direction: &Direction, name: &str, exceptions: &[Exception]) {
    let mut rules = Vec::new();
    for (number, exception) in exceptions.iter().enumerate() {
        let base = format!("{name}-{number}");
        let peers = peers(table, direction, &base, exception);
        let ports = ports(table, &base, exception);
        for peer in &peers {
            for port in &ports {
                let matches = [peer.as_slice(), port].concat();
                rules.push(Rule::when(matches, (direction.through)()));
            }
        }
    }
    table.chain(name, rules);
}

/// Each of these matches the other end of what is let through.
fn peers(
    table: &mut Table,
    direction: &Direction,
    base: &str,
    exception: &Exception,
) -> Vec<Vec<Match>> {
    let Some(peers) = &exception.peers else {
        return vec![Vec::new()];
    };
    let mut matches = Vec::new();
    if peers.selects {
        let name = format!("{base}-peers");
        let pods = peers.pods.iter().copied().map(Key::Address);
        table
            .sets
            .insert(name.clone(), Set::of(Kind::Addresses, pods));
        matches.push(vec![(direction.peer)(name)]);
    }
    let blocks = peers.blocks.iter();
    matches.extend(blocks.map(|(first, last)| vec![(direction.peer_range)(*first, *last)]));
    matches
}

/// Each of these matches a port that is let through.
fn ports(table: &mut Table, base: &str, exception: &Exception) -> Vec<Vec<Match>> {
    let Some(ports) = &exception.ports else {
        return vec![Vec::new()];
    };
    let mut matches = Vec::new();
    for (protocol, first, last) in &ports.ranges {
        matches.push(vec![if (*first, *last) == (0, u16::MAX) {
            Match::Protocol(*protocol)
        } else {
            Match::Ports(*protocol, *first, *last)
        }]);
    }
    if ports.names {
        let name = format!("{base}-ports");
        let named = ports.named.iter();
        let keys = named.map(|(address, protocol, port)| Key::Target(*address, *protocol, *port));
        table
            .sets
            .insert(name.clone(), Set::of(Kind::Targets, keys));
        matches.push(vec![Match::TargetIn(name)]);
    }
    matches
}
