//! Packets that go through a table in memory: random policies, changed again and again, have to let
//! through what they say by the letter, from pod to pod and out of the network.

use std::{collections::BTreeSet, net::SocketAddrV4};

use proptest::prelude::*;

use super::{tests::table, *};
use crate::machine::{
    CellNames, Exception, Peers, Ports,
    network::{
        CARRIER,
        change::{self, Step},
        datagrams::Flow,
        table::Chain,
    },
};

/// A packet that opens a connection.
#[derive(Debug, Clone, Copy)]
struct Packet {
    from: Ipv4Addr,
    to: Ipv4Addr,
    protocol: Protocol,
    port: u16,
    marked: bool,
}

impl Packet {
    const fn new(from: Ipv4Addr, to: Ipv4Addr, protocol: Protocol, port: u16) -> Self {
        Self {
            from,
            to,
            protocol,
            port,
            marked: false,
        }
    }
}

/// What becomes of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Refused,
    /// It arrives at the address that it is for.
    Arrives,
    /// It goes to the carrier of streams.
    Carried,
    /// It goes to the link that leads out.
    Out,
}

/// The way of a packet that comes from a pod's link.
fn fate(table: &Table, mut packet: Packet) -> Fate {
    packet.marked = match walk(table, "outward", packet) {
        Some(Action::Mark) => true,
        Some(Action::Accept) | None => false,
        other => panic!("{packet:?}: {other:?}"),
    };
    match walk(table, "arriving", packet) {
        None => {}
        Some(Action::Redirect(address, port)) => (packet.to, packet.port) = (address, port),
        other => panic!("{packet:?}: {other:?}"),
    }
    let is_carried = packet.to == *CARRIER.ip();
    if !passes(table, if is_carried { "input" } else { "forward" }, packet) {
        Fate::Refused
    } else if is_carried {
        assert_eq!(packet.port, CARRIER.port());
        Fate::Carried
    } else if NETWORK.contains(&packet.to) {
        Fate::Arrives
    } else {
        Fate::Out
    }
}

/// Whether a packet on its way through the machine, or to it, is let through.
fn passes(table: &Table, base: &str, packet: Packet) -> bool {
    match walk(table, base, packet) {
        Some(Action::Accept) => true,
        Some(Action::Prohibit) => false,
        other => panic!("{packet:?}: {other:?}"),
    }
}

/// What decides about a packet in a chain, if anything does.
fn walk(table: &Table, chain: &str, packet: Packet) -> Option<Action> {
    for rule in &table.chains[chain].rules {
        if !rule.matches.iter().all(|one| matches(table, one, packet)) {
            continue;
        }
        let (next, goes_on) = match &rule.action {
            Action::Report(_) => continue,
            Action::Jump(chain) => (Some(chain.clone()), true),
            Action::Goto(chain) => (Some(chain.clone()), false),
            Action::BySource(map) => (chain_of(table, map, packet.from), false),
            Action::ByDestination(map) => (chain_of(table, map, packet.to), false),
            Action::ByTarget(map) => {
                assert!(table.sets[map].elements.is_empty(), "there are no Services");
                continue;
            }
            end @ (Action::Accept
            | Action::Drop
            | Action::Mark
            | Action::Prohibit
            | Action::Refuse(_)
            | Action::Remember(_)
            | Action::Redirect(..)
            | Action::Hide) => return Some(end.clone()),
        };
        let Some(next) = next else { continue };
        let decided = walk(table, &next, packet);
        if decided.is_some() || !goes_on {
            return decided;
        }
    }
    None
}

fn chain_of(table: &Table, map: &str, address: Ipv4Addr) -> Option<String> {
    let elements = &table.sets[map].elements;
    elements.get(&Key::Address(address))?.clone()
}

fn matches(table: &Table, one: &Match, packet: Packet) -> bool {
    let has = |set: &str, key| table.sets[set].elements.contains_key(&key);
    match one {
        Match::From(first, last) => (*first..=*last).contains(&packet.from),
        Match::To(first, last) => (*first..=*last).contains(&packet.to),
        Match::FromIn(set) => has(set, Key::Address(packet.from)),
        Match::ToIn(set) => has(set, Key::Address(packet.to)),
        Match::PairIn(set) => has(set, Key::Pair(packet.from, packet.to)),
        Match::TargetIn(set) => has(set, Key::Target(packet.to, packet.protocol, packet.port)),
        Match::Protocol(protocol) => packet.protocol == *protocol,
        Match::Ports(protocol, first, last) => {
            packet.protocol == *protocol && (*first..=*last).contains(&packet.port)
        }
        Match::Seldom => true,
        Match::Marked => packet.marked,
        Match::Local
        | Match::Outer
        | Match::Outbound
        | Match::Sender
        | Match::Reply
        | Match::Open
        | Match::Related
        | Match::Invalid
        | Match::Translated
        | Match::OneOf(_) => false,
    }
}

/// A table after some steps, as the kernel would have it: what is not there cannot be changed.
fn after(mut table: Table, steps: &[Step<'_>]) -> Table {
    for step in steps {
        match step {
            Step::AddSet(name, kind) => {
                let before = table.sets.insert((*name).to_owned(), Set::new(*kind));
                assert_eq!(before, None, "{step:?}");
            }
            Step::AddChain(name, base) => {
                let chain = Chain {
                    base: *base,
                    rules: Vec::new(),
                };
                let before = table.chains.insert((*name).to_owned(), chain);
                assert_eq!(before, None, "{step:?}");
            }
            Step::Flush(name) => table.chains.get_mut(*name).unwrap().rules.clear(),
            Step::RemoveElements(name, _, keys) => {
                let set = table.sets.get_mut(*name).unwrap();
                for key in keys {
                    assert!(set.elements.remove(key).is_some(), "{step:?}");
                }
            }
            Step::AddElements(name, _, added) => {
                let set = table.sets.get_mut(*name).unwrap();
                for (key, chain) in added {
                    let before = set.elements.insert(*key, chain.map(str::to_owned));
                    assert_eq!(before, None, "{step:?}");
                }
            }
            Step::AddRule(name, rule) => {
                table
                    .chains
                    .get_mut(*name)
                    .unwrap()
                    .rules
                    .push((*rule).clone());
            }
            Step::RemoveChain(name) => {
                assert!(table.chains.remove(*name).unwrap().rules.is_empty());
            }
            Step::RemoveSet(name) => {
                assert!(table.sets.remove(*name).unwrap().elements.is_empty());
            }
        }
    }
    table
}

const CELLS: u8 = 3;
const PODS: u8 = 3;

/// Addresses that are in no cell, first those that are everybody's.
const ELSEWHERE: [Ipv4Addr; 5] = [
    Ipv4Addr::new(8, 8, 8, 8),
    Ipv4Addr::new(11, 22, 33, 44),
    Ipv4Addr::new(169, 254, 169, 254),
    Ipv4Addr::new(172, 16, 0, 1),
    Ipv4Addr::new(192, 168, 1, 1),
];
const PUBLIC: usize = 2;
/// The addresses of cells.
const NETWORK: std::ops::RangeInclusive<Ipv4Addr> =
    Ipv4Addr::new(10, 0, 0, 0)..=Ipv4Addr::new(10, 255, 255, 255);

fn address(cell: u8, host: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, cell, 0, host)
}

fn addresses() -> Vec<(u8, Ipv4Addr)> {
    let cells = 1..=CELLS;
    cells
        .flat_map(|cell| (2..2 + PODS).map(move |host| (cell, address(cell, host))))
        .collect()
}

fn protocols() -> impl Strategy<Value = Protocol> {
    prop_oneof![
        Just(Protocol::Tcp),
        Just(Protocol::Udp),
        Just(Protocol::Sctp)
    ]
}

fn someone() -> impl Strategy<Value = Ipv4Addr> {
    prop::sample::select(addresses()).prop_map(|(_, address)| address)
}

/// A pod, or somebody elsewhere.
fn anyone() -> impl Strategy<Value = Ipv4Addr> {
    prop_oneof![someone(), prop::sample::select(ELSEWHERE.to_vec())]
}

fn exceptions() -> impl Strategy<Value = Exception> {
    let pods = prop::collection::btree_set(someone(), 0..3);
    let block = (anyone(), anyone()).prop_map(|(one, other)| (one.min(other), one.max(other)));
    let peers = (any::<bool>(), pods, prop::collection::vec(block, 0..2));
    let peers = peers.prop_map(|(selects, pods, blocks)| Peers {
        selects,
        pods: if selects { pods } else { BTreeSet::new() },
        blocks,
    });
    let range = (protocols(), 0_u16..4, 0_u16..4);
    let range = range.prop_map(|(protocol, one, other)| (protocol, one.min(other), one.max(other)));
    let named = prop::collection::btree_set((someone(), protocols(), 0_u16..4), 0..4);
    let ports = (prop::collection::vec(range, 0..2), any::<bool>(), named);
    let ports = ports.prop_map(|(ranges, names, named)| Ports {
        ranges,
        names,
        named: if names { named } else { BTreeSet::new() },
    });
    (prop::option::of(peers), prop::option::of(ports))
        .prop_map(|(peers, ports)| Exception { peers, ports })
}

fn plans() -> impl Strategy<Value = NetworkPlan> {
    let policies = prop::collection::vec(prop::collection::vec(exceptions(), 0..3), 0..4);
    let choice = || prop::option::of(prop::collection::btree_set(0_usize..4, 0..3));
    let count = usize::from(CELLS * PODS);
    let pods = prop::collection::vec((any::<bool>(), choice(), choice()), count);
    (policies, pods).prop_map(|(policies, pods)| plan(&policies, &pods))
}

type Choice = Option<BTreeSet<usize>>;

fn plan(policies: &[Vec<Exception>], pods: &[(bool, Choice, Choice)]) -> NetworkPlan {
    let names = |choice: &Choice| -> Option<Vec<String>> {
        let known = choice.as_ref()?.iter().filter(|one| **one < policies.len());
        Some(known.map(|one| format!("policy {one}")).collect())
    };
    let cell = |index: u8| Cell {
        index: index.into(),
        gateway: address(index, 1),
        prefix: 24,
        names: CellNames::default(),
    };
    let all = addresses();
    let there = all.iter().zip(pods).filter(|(_, (there, ..))| *there);
    let pods = there.map(|((cell, address), (_, ingress, egress))| {
        let rules = PodRules {
            namespace: format!("cell {cell}"),
            ingress: names(ingress),
            egress: names(egress),
        };
        (*address, rules)
    });
    NetworkPlan {
        cells: (1..=CELLS)
            .map(|index| (format!("cell {index}"), cell(index)))
            .collect(),
        services: Vec::new(),
        pods: pods.collect(),
        policies: policies
            .iter()
            .enumerate()
            .map(|(number, policy)| (format!("policy {number}"), policy.clone()))
            .collect(),
        gateways: BTreeSet::new(),
    }
}

/// What a plan says of a packet.
fn may(plan: &NetworkPlan, packet: Packet) -> bool {
    let lets = |names: &Vec<String>, peer: Ipv4Addr| {
        let exceptions = names.iter().flat_map(|name| &plan.policies[name]);
        exceptions.into_iter().any(|one| excepts(one, peer, packet))
    };
    let (Some(from), Some(to)) = (plan.pods.get(&packet.from), plan.pods.get(&packet.to)) else {
        return false;
    };
    let out = from
        .egress
        .as_ref()
        .is_none_or(|names| lets(names, packet.to));
    let own = from.namespace == to.namespace;
    let into = to
        .ingress
        .as_ref()
        .map_or(own, |names| lets(names, packet.from));
    packet.from == packet.to || out && into
}

/// What a plan says of a packet to an address that is everybody's: a block has to be named that it is in.
fn may_leave(plan: &NetworkPlan, packet: Packet) -> bool {
    let pod = plan.pods.get(&packet.from);
    let names = pod.into_iter().flat_map(|pod| pod.egress.iter().flatten());
    let mut exceptions = names.flat_map(|name| &plan.policies[name]);
    exceptions.any(|one| {
        let blocks = Exception {
            peers: one.peers.as_ref().map(|peers| Peers {
                blocks: peers.blocks.clone(),
                ..Peers::default()
            }),
            ports: one.ports.clone(),
        };
        one.peers.is_some() && excepts(&blocks, packet.to, packet)
    })
}

fn excepts(one: &Exception, peer: Ipv4Addr, packet: Packet) -> bool {
    let is_peer = one.peers.as_ref().is_none_or(|peers| {
        let mut blocks = peers.blocks.iter();
        peers.pods.contains(&peer) || blocks.any(|(first, last)| (*first..=*last).contains(&peer))
    });
    let is_port = one.ports.as_ref().is_none_or(|ports| {
        let mut ranges = ports.ranges.iter();
        let named = (packet.to, packet.protocol, packet.port);
        ports.named.contains(&named)
            || ranges.any(|(protocol, first, last)| {
                *protocol == packet.protocol && (*first..=*last).contains(&packet.port)
            })
    });
    is_peer && is_port
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn packets_pass_as_policies_say_however_they_changed(plans in prop::collection::vec(plans(), 1..4)) {
        let mut in_force = Table::default();
        for plan in &plans {
            let wanted = table(plan);
            in_force = after(in_force.clone(), &change::steps(&in_force, &wanted));
            prop_assert_eq!(&in_force, &wanted);
            for (_, from) in addresses() {
                for (_, to) in addresses() {
                    for protocol in [Protocol::Tcp, Protocol::Udp, Protocol::Sctp] {
                        for port in 0..4 {
                            let packet = Packet::new(from, to, protocol, port);
                            let expected = if may(plan, packet) { Fate::Arrives } else { Fate::Refused };
                            prop_assert_eq!(fate(&in_force, packet), expected, "{:?}", packet);
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn packets_leave_as_policies_say_however_they_changed(plans in prop::collection::vec(plans(), 1..4)) {
        let mut in_force = Table::default();
        for plan in &plans {
            let wanted = table(plan);
            in_force = after(in_force.clone(), &change::steps(&in_force, &wanted));
            let ways = Ways::of(plan);
            for (_, from) in addresses() {
                for (number, to) in ELSEWHERE.into_iter().enumerate() {
                    for protocol in [Protocol::Tcp, Protocol::Udp, Protocol::Sctp] {
                        for port in 0..4 {
                            let packet = Packet::new(from, to, protocol, port);
                            let expected = match protocol {
                                _ if number >= PUBLIC || !may_leave(plan, packet) => Fate::Refused,
                                Protocol::Tcp => Fate::Carried,
                                Protocol::Udp => Fate::Out,
                                Protocol::Sctp => Fate::Refused,
                            };
                            prop_assert_eq!(fate(&in_force, packet), expected, "{:?}", packet);
                            let flow = Flow {
                                from: SocketAddrV4::new(from, 4000),
                                to: SocketAddrV4::new(to, port),
                            };
                            if protocol == Protocol::Udp {
                                prop_assert_eq!(ways.lead(flow), expected == Fate::Out, "{:?}", flow);
                            }
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn pods_ask_the_server_of_their_cell(plan in plans(), cell in 1..=CELLS, port in 52_u16..55) {
        let table = table(&plan);
        for (_, from) in addresses() {
            let packet = Packet::new(from, address(cell, 1), Protocol::Udp, port);
            let Some(rules) = plan.pods.get(&from) else {
                prop_assert!(!passes(&table, "input", packet));
                continue;
            };
            let own = rules.namespace == format!("cell {cell}") && port == 53;
            let out = rules.egress.as_ref().is_none_or(|names| {
                let exceptions = names.iter().flat_map(|name| &plan.policies[name]);
                exceptions.into_iter().any(|one| excepts(one, packet.to, packet))
            });
            prop_assert_eq!(passes(&table, "input", packet), own && out, "{:?}", packet);
        }
    }
}
