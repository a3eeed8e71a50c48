//! The packet rules of a machine: a pure function of its network plan.
//!
//! One table, replaced whole in one transaction. What a pod may reach is decided where packets are
//! forwarded, before the address of a Service's client is hidden; everything not asked for is dropped.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
};

use nlink::{
    Error,
    netlink::nftables::{
        BaseChain, Chain, ChainName, CmpOp, CtState, CtStatus, Expr, Family, FilterHook, NatHook,
        NumgenKind, PacketField, Policy, Priority, Register, Rule, Set, SetElement, SetKeyType,
        Transaction, Verdict,
    },
};

use crate::machine::{Allow, Cell, NetworkPlan, Protocol, ServiceRule};

/// Name of the table.
pub(super) const TABLE: &str = "choreo";
/// The family of the table: the machine's networks have no IPv6.
pub(super) const FAMILY: Family = Family::Ip;
/// Elements sent in one message, well below the longest message.
const CHUNK: usize = 500;
/// Port of name servers.
const DNS: u16 = 53;

const FORWARD: &str = "forward";
const INPUT: &str = "input";
const OUTPUT: &str = "output";
const ARRIVING: &str = "arriving";
const LEAVING: &str = "leaving";
const HAIRPIN: &str = "hairpin";
const PODS: &str = "pods";

/// Everything that is in the table.
#[derive(Debug, Default)]
pub(super) struct Ruleset {
    chains: Vec<Chain>,
    sets: Vec<(Set, Vec<SetElement>)>,
    rules: Vec<Rule>,
}

/// The name of a cell's bridge.
pub(super) fn bridge(cell: &Cell) -> String {
    format!("cell{}", cell.index)
}

/// The rules that a plan asks for.
pub(super) fn ruleset(plan: &NetworkPlan) -> Result<Ruleset, Error> {
    let mut rules = Ruleset::default();
    rules.base_chains()?;
    rules.own_addresses(plan);
    rules.forwarding(plan)?;
    rules.services(&plan.services)?;
    rules.hairpins(plan);
    Ok(rules)
}

impl Ruleset {
    /// Queues the table, instead of the one that is there.
    pub(super) fn replace(self, transaction: Transaction, exists: bool) -> Transaction {
        let mut transaction = transaction;
        if exists {
            transaction = transaction.del_table(TABLE, FAMILY);
        }
        transaction = transaction.add_table(TABLE, FAMILY);
        for chain in self.chains {
            transaction = transaction.add_chain(chain);
        }
        for (set, elements) in self.sets {
            transaction = transaction.add_set(set.clone());
            for chunk in elements.chunks(CHUNK) {
                transaction = transaction.add_set_elements(&set, chunk);
            }
        }
        self.rules
            .into_iter()
            .fold(transaction, Transaction::add_rule)
    }

    fn base_chains(&mut self) -> Result<(), Error> {
        let filter = |hook, policy| BaseChain::filter(hook, Priority::Filter).policy(policy);
        let bases = [
            (FORWARD, filter(FilterHook::Forward, Policy::Drop)),
            (INPUT, filter(FilterHook::Input, Policy::Drop)),
            (OUTPUT, filter(FilterHook::Output, Policy::Accept)),
            (
                ARRIVING,
                BaseChain::nat(NatHook::Prerouting, Priority::DstNat),
            ),
            (
                LEAVING,
                BaseChain::nat(NatHook::Output, Priority::Custom(-100)),
            ),
            (
                HAIRPIN,
                BaseChain::nat(NatHook::Postrouting, Priority::SrcNat),
            ),
        ];
        for (name, base) in bases {
            self.chains
                .push(Chain::new(TABLE, name)?.family(FAMILY).base(base));
        }
        Ok(())
    }

    /// Pods reach one thing of the machine itself: their cell's name server.
    fn own_addresses(&mut self, plan: &NetworkPlan) {
        self.rules.push(rule(INPUT).match_iif("lo").accept());
        self.rules
            .push(rule(INPUT).match_ct_state(known()).accept());
        for cell in plan.cells.values() {
            let asked = || {
                rule(INPUT)
                    .match_iif(&bridge(cell))
                    .match_daddr_v4(cell.gateway, 32)
            };
            self.rules.push(asked().match_udp_dport(DNS).accept());
            self.rules.push(asked().match_tcp_dport(DNS).accept());
        }
    }

    fn forwarding(&mut self, plan: &NetworkPlan) -> Result<(), Error> {
        self.rules
            .push(rule(FORWARD).match_ct_state(known()).accept());
        self.rules
            .push(rule(FORWARD).match_ct_state(CtState::INVALID).drop());
        for cell in plan.cells.values() {
            // A pod speaks with an address of its cell or not at all.
            let foreign = rule(FORWARD).match_iif(&bridge(cell));
            self.rules
                .push(foreign.match_saddr_v4_not(cell.gateway, cell.prefix).drop());
        }
        let entries = self.allowed(&plan.allow)?;
        let set = vmap(PODS, SetKeyType::Ipv4Addr);
        self.sets.push((set, entries));
        self.rules
            .push(rule(FORWARD).vmap(PacketField::Ip4Daddr, PODS));
        for service in plan
            .services
            .iter()
            .filter(|service| service.backends.is_empty())
        {
            for chain in [FORWARD, OUTPUT] {
                self.rules.push(refusal(chain, service));
            }
        }
        Ok(())
    }

    /// A chain per pod that may be reached, and the entries that lead there.
    fn allowed(&mut self, allow: &[Allow]) -> Result<Vec<SetElement>, Error> {
        let mut by_pod = BTreeMap::<Ipv4Addr, Vec<&Allow>>::new();
        for one in allow {
            by_pod.entry(one.to).or_default().push(one);
        }
        let mut sources = Sources::default();
        let mut entries = Vec::new();
        for (pod, allowed) in by_pod {
            let chain = format!("to-{pod}");
            self.chains
                .push(Chain::new(TABLE, chain.as_str())?.family(FAMILY));
            let verdict = Verdict::JumpTo(ChainName::new(chain.as_str())?);
            entries.push(SetElement::ipv4(pod).verdict(verdict));
            for one in allowed {
                self.rules.extend(admission(&chain, one, &mut sources));
            }
        }
        for (addresses, name) in sources.names {
            let set = Set::new(TABLE, &name)
                .family(FAMILY)
                .key_type(SetKeyType::Ipv4Addr);
            self.sets
                .push((set, addresses.into_iter().map(SetElement::ipv4).collect()));
        }
        Ok(entries)
    }

    /// A chain per Service port that picks a backend.
    fn services(&mut self, services: &[ServiceRule]) -> Result<(), Error> {
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            let name = format!("services-{}", word(protocol));
            let mut entries = BTreeMap::new();
            for service in services
                .iter()
                .filter(|service| service.protocol == protocol)
            {
                if service.backends.is_empty() {
                    continue;
                }
                let chain = format!("{name}-{}-{}", service.address, service.port);
                let verdict = Verdict::JumpTo(ChainName::new(chain.as_str())?);
                let key = [
                    SetElement::ipv4(service.address),
                    SetElement::port(service.port),
                ];
                let entry = SetElement::concat(key).verdict(verdict);
                if entries
                    .insert((service.address, service.port), entry)
                    .is_none()
                {
                    self.chains
                        .push(Chain::new(TABLE, chain.as_str())?.family(FAMILY));
                    self.rules.extend(balance(&chain, &service.backends));
                }
            }
            let key = SetKeyType::Concat(vec![SetKeyType::Ipv4Addr, SetKeyType::InetService]);
            self.sets
                .push((vmap(&name, key), entries.into_values().collect()));
            let port = match protocol {
                Protocol::Tcp => PacketField::TcpDport,
                Protocol::Udp => PacketField::UdpDport,
            };
            for chain in [ARRIVING, LEAVING] {
                self.rules
                    .push(rule(chain).vmap_concat(&[PacketField::Ip4Daddr, port], &name));
            }
        }
        Ok(())
    }

    /// A Service's pod in the cell of its client would answer past the machine: its answers are led
    /// back by hiding the client's address.
    fn hairpins(&mut self, plan: &NetworkPlan) {
        for cell in plan.cells.values() {
            let inside = rule(HAIRPIN)
                .match_saddr_v4(cell.gateway, cell.prefix)
                .match_daddr_v4(cell.gateway, cell.prefix);
            self.rules
                .push(inside.match_ct_status(CtStatus::DST_NAT).masquerade());
        }
    }
}

/// Names of address lists, so that equal lists are one set.
#[derive(Default)]
struct Sources {
    names: BTreeMap<BTreeSet<Ipv4Addr>, String>,
}

impl Sources {
    fn name(&mut self, addresses: &[Ipv4Addr]) -> String {
        let next = format!("from-{}", self.names.len());
        self.names
            .entry(addresses.iter().copied().collect())
            .or_insert(next)
            .clone()
    }
}

/// The rules that let into a pod what one exception names.
fn admission(chain: &str, allow: &Allow, sources: &mut Sources) -> Vec<Rule> {
    let from = match allow.from.as_deref() {
        Some([]) => return Vec::new(),
        Some(addresses) => rule(chain).match_saddr_in_set(&sources.name(addresses)),
        None => rule(chain),
    };
    let protocols = match allow.protocol {
        Some(protocol) => vec![protocol],
        None if allow.port.is_some() => vec![Protocol::Tcp, Protocol::Udp],
        None => return vec![from.accept()],
    };
    protocols
        .into_iter()
        .map(|protocol| match allow.port {
            Some(port) => match_port(from.clone(), protocol, port).accept(),
            None => from.clone().match_l4proto(number(protocol)).accept(),
        })
        .collect()
}

fn refusal(chain: &str, service: &ServiceRule) -> Rule {
    let asked = rule(chain).match_daddr_v4(service.address, 32);
    let asked = match_port(asked, service.protocol, service.port);
    match service.protocol {
        Protocol::Tcp => asked.reject_tcp_reset(),
        // 3: port unreachable.
        Protocol::Udp => asked.reject_icmp(3),
    }
}

/// Each rule takes its share of what the rules before it left: all backends get the same.
fn balance(chain: &str, backends: &[(Ipv4Addr, u16)]) -> Vec<Rule> {
    (1..=backends.len())
        .rev()
        .zip(backends)
        .map(|(left, (address, port))| {
            let picked = match u32::try_from(left) {
                Ok(1) | Err(_) => rule(chain),
                Ok(left) => rule(chain)
                    .expr(Expr::Numgen {
                        dreg: Register::R0,
                        kind: NumgenKind::Random,
                        modulus: left,
                        offset: 0,
                    })
                    .expr(Expr::Cmp {
                        sreg: Register::R0,
                        op: CmpOp::Eq,
                        data: 0_u32.to_ne_bytes().to_vec(),
                    }),
            };
            picked.dnat(*address, Some(*port))
        })
        .collect()
}

fn match_port(rule: Rule, protocol: Protocol, port: u16) -> Rule {
    match protocol {
        Protocol::Tcp => rule.match_tcp_dport(port),
        Protocol::Udp => rule.match_udp_dport(port),
    }
}

fn rule(chain: &str) -> Rule {
    Rule::new(TABLE, chain).family(FAMILY)
}

fn vmap(name: &str, key: SetKeyType) -> Set {
    Set::new(TABLE, name).family(FAMILY).key_type(key).vmap()
}

fn known() -> CtState {
    CtState::ESTABLISHED | CtState::RELATED
}

fn word(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
    }
}

fn number(protocol: Protocol) -> u8 {
    match protocol {
        Protocol::Tcp => 6,
        Protocol::Udp => 17,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(index: u8) -> Cell {
        Cell {
            index: index.into(),
            gateway: Ipv4Addr::new(10, index, 0, 1),
            prefix: 24,
            names: BTreeMap::new(),
        }
    }

    fn pod(cell: u8, host: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, cell, 0, host)
    }

    fn check(plan: &NetworkPlan, chain: &str, expected: &[&str]) {
        let rules = ruleset(plan).unwrap().rules;
        // The only way to tell a rule's chain from outside is its debug text.
        let place = format!("chain: {chain:?}");
        let lines = rules
            .iter()
            .filter(|rule| format!("{rule:?}").contains(&place))
            .map(|rule| rule.nft_syntax().unwrap_or_else(|| "random".to_owned()))
            .collect::<Vec<_>>();
        assert_eq!(lines, expected);
    }

    #[test]
    fn nothing_is_forwarded_without_a_plan() {
        check(
            &NetworkPlan::default(),
            FORWARD,
            &[
                "ct state established,related accept",
                "ct state invalid drop",
                "ip daddr vmap @pods",
            ],
        );
    }

    #[test]
    fn pods_reach_their_name_server_only() {
        let plan = NetworkPlan {
            cells: [("shop".to_owned(), cell(7))].into(),
            ..NetworkPlan::default()
        };
        check(
            &plan,
            INPUT,
            &[
                "iifname \"lo\" accept",
                "ct state established,related accept",
                "iifname \"cell7\" ip daddr 10.7.0.1 udp dport 53 accept",
                "iifname \"cell7\" ip daddr 10.7.0.1 tcp dport 53 accept",
            ],
        );
        check(
            &plan,
            HAIRPIN,
            &["ip saddr 10.7.0.0/24 ip daddr 10.7.0.0/24 ct status dnat masquerade"],
        );
    }

    #[test]
    fn exceptions_name_protocol_port_and_sources() {
        let allow = |protocol, port, from| Allow {
            to: pod(7, 5),
            protocol,
            port,
            from,
        };
        let plan = NetworkPlan {
            allow: vec![
                allow(
                    Some(Protocol::Tcp),
                    Some(80),
                    Some(vec![pod(8, 2), pod(8, 3)]),
                ),
                allow(
                    Some(Protocol::Tcp),
                    Some(81),
                    Some(vec![pod(8, 3), pod(8, 2)]),
                ),
                allow(None, Some(53), None),
                allow(Some(Protocol::Udp), None, Some(Vec::new())),
                allow(Some(Protocol::Udp), None, None),
            ],
            ..NetworkPlan::default()
        };
        check(
            &plan,
            "to-10.7.0.5",
            &[
                "ip saddr @from-0 tcp dport 80 accept",
                "ip saddr @from-0 tcp dport 81 accept",
                "tcp dport 53 accept",
                "udp dport 53 accept",
                "meta l4proto udp accept",
            ],
        );
    }

    #[test]
    fn services_balance_or_refuse() {
        let service = |port, backends| ServiceRule {
            address: Ipv4Addr::new(10, 200, 0, 1),
            port,
            protocol: Protocol::Tcp,
            backends,
        };
        let plan = NetworkPlan {
            services: vec![
                service(80, vec![(pod(7, 5), 8080), (pod(7, 6), 8080)]),
                service(81, Vec::new()),
            ],
            ..NetworkPlan::default()
        };
        let chain = "services-tcp-10.200.0.1-80";
        check(
            &plan,
            chain,
            &[
                "numgen random mod 2 0 dnat to 10.7.0.5:8080",
                "dnat to 10.7.0.6:8080",
            ],
        );
        check(
            &plan,
            OUTPUT,
            &["ip daddr 10.200.0.1 tcp dport 81 reject with tcp reset"],
        );
    }
}
