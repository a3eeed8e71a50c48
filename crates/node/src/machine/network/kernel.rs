//! Steps from one table of packet rules to another, as the kernel takes them.

use std::net::Ipv4Addr;

use nlink::{
    Error,
    netlink::nftables::{
        BaseChain, Chain, ChainName, CmpOp, CtDirection, CtState, CtStatus, DynsetExpr, DynsetOp,
        ElementStatement, Expr, Family, FilterHook, LimitExpr, LimitUnit, LogExpr, LookupExpr,
        MetaKey, NatHook, NumgenKind, PayloadBase, Policy, Priority, RangeOp, Register,
        Rule as NftRule, Set as NftSet, SetElement, SetKeyType, Transaction, Verdict,
    },
};

use super::{
    change::Step,
    links::WAY_OUT,
    table::{Action, Base, Key, Kind, Match, Rule},
};
use crate::machine::Protocol;

/// Name of the table.
const TABLE: &str = "choreo";
/// The family of the table: the machine's networks have no IPv6.
const FAMILY: Family = Family::Ip;
/// The set of what links may speak with.
pub(super) const SENDERS: &str = "senders";
/// The set of links that were written about.
pub(super) const REPORTED: &str = "reported";
/// The group to which the kernel writes about packets.
pub(super) const REPORTS: u16 = 1;
/// Bytes of a packet that are written: the longest header of IP, and ports.
pub(super) const SNIPPET: u32 = 64;
/// Elements sent in one message, well below the longest message.
const CHUNK: usize = 500;
/// Packets of one link that are written about at once, and per second afterwards.
const BURST: u32 = 64;
const RATE: u64 = 16;
/// Links that are written about at once.
const REPORTED_LINKS: u32 = 4096;
/// Clients that one backend of a Service remembers.
const REMEMBERED: u32 = 1 << 16;
/// The kernel's number for names of links as keys.
const IFNAME: SetKeyType = SetKeyType::Other {
    type_id: 41,
    len: 16,
};
/// What packets are marked with that may leave the network of cells. No mark comes in from a link.
const MARK: u32 = 1;
/// The code of "communication administratively prohibited", and of "port unreachable".
const PROHIBITED: u8 = 13;
const PORT_UNREACHABLE: u8 = 3;

/// Queues the table itself.
pub(super) fn begin(transaction: Transaction) -> Transaction {
    transaction.add_table(TABLE, FAMILY)
}

/// Queues a step.
pub(super) fn queue(transaction: Transaction, step: &Step<'_>) -> Result<Transaction, Error> {
    Ok(match step {
        Step::AddSet(name, kind) => transaction.add_set(set(name, *kind)),
        Step::AddChain(name, base) => {
            let chain = Chain::new(TABLE, *name)?.family(FAMILY);
            transaction.add_chain(match base {
                Some(base) => chain.base(entrance(*base)),
                None => chain,
            })
        }
        Step::Flush(name) => transaction.flush_chain(TABLE, name, FAMILY),
        Step::RemoveElements(name, kind, keys) => {
            let elements: Vec<_> = keys.iter().map(|key| element(*key)).collect();
            let set = set(name, *kind);
            let chunks = elements.chunks(CHUNK);
            chunks.fold(transaction, |queued, chunk| {
                queued.del_set_elements(&set, chunk)
            })
        }
        Step::AddElements(name, kind, added) => {
            let leading = |(key, chain): &(Key, Option<&str>)| match chain {
                Some(chain) => {
                    let verdict = Verdict::GotoTo(ChainName::new(*chain)?);
                    Ok(element(*key).verdict(verdict))
                }
                None => Ok(element(*key)),
            };
            let elements = added
                .iter()
                .map(leading)
                .collect::<Result<Vec<_>, Error>>()?;
            let set = set(name, *kind);
            let chunks = elements.chunks(CHUNK);
            chunks.fold(transaction, |queued, chunk| {
                queued.add_set_elements(&set, chunk)
            })
        }
        Step::AddRule(chain, one) => transaction.add_rule(rule(chain, one)?),
        Step::RemoveChain(name) => transaction.del_chain(TABLE, name, FAMILY),
        Step::RemoveSet(name) => transaction.del_set(TABLE, name, FAMILY),
    })
}

/// Queues that a link may speak with an address, or that it may no longer.
pub(super) fn queue_sender(transaction: Transaction, sender: &Sender, may: bool) -> Transaction {
    let mut name = sender.link.clone().into_bytes();
    name.resize(16, 0);
    let key = [
        SetElement::new(name),
        SetElement::ether(sender.hardware),
        SetElement::ipv4(sender.address),
    ];
    let (set, elements) = (set(SENDERS, Kind::Senders), [SetElement::concat(key)]);
    if may {
        transaction.add_set_elements(&set, &elements)
    } else {
        transaction.del_set_elements(&set, &elements)
    }
}

/// What a link speaks with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sender {
    pub(super) link: String,
    pub(super) hardware: [u8; 6],
    pub(super) address: Ipv4Addr,
}

fn set(name: &str, kind: Kind) -> NftSet {
    let target = || {
        SetKeyType::Concat(vec![
            SetKeyType::Ipv4Addr,
            SetKeyType::InetProto,
            SetKeyType::InetService,
        ])
    };
    let pair = SetKeyType::Concat(vec![SetKeyType::Ipv4Addr, SetKeyType::Ipv4Addr]);
    let senders = SetKeyType::Concat(vec![IFNAME, SetKeyType::EtherAddr, SetKeyType::Ipv4Addr]);
    let set = NftSet::new(TABLE, name).family(FAMILY);
    match kind {
        Kind::Addresses => set.key_type(SetKeyType::Ipv4Addr),
        Kind::AddressChains => set.key_type(SetKeyType::Ipv4Addr).vmap(),
        Kind::Pairs => set.key_type(pair),
        Kind::Targets => set.key_type(target()),
        Kind::TargetChains => set.key_type(target()).vmap(),
        Kind::Senders => set.key_type(senders),
        Kind::Remembered(time) => {
            let set = set.key_type(SetKeyType::Ipv4Addr).dynamic();
            set.timeout(time).size(REMEMBERED)
        }
        Kind::Limited => {
            let set = set.key_type(SetKeyType::IfIndex).dynamic();
            set.timeout(std::time::Duration::from_mins(1))
                .size(REPORTED_LINKS)
        }
    }
}

fn element(key: Key) -> SetElement {
    match key {
        Key::Address(address) => SetElement::ipv4(address),
        Key::Pair(from, to) => SetElement::concat([SetElement::ipv4(from), SetElement::ipv4(to)]),
        Key::Target(address, protocol, port) => SetElement::concat([
            SetElement::ipv4(address),
            SetElement::inet_proto(number(protocol)),
            SetElement::port(port),
        ]),
    }
}

fn entrance(base: Base) -> BaseChain {
    let filter = |hook, priority, policy| BaseChain::filter(hook, priority).policy(policy);
    match base {
        Base::Source => filter(FilterHook::Prerouting, Priority::Raw, Policy::Drop),
        Base::Outward => filter(FilterHook::Prerouting, Priority::Mangle, Policy::Accept),
        Base::Forward => filter(FilterHook::Forward, Priority::Filter, Policy::Drop),
        Base::Input => filter(FilterHook::Input, Priority::Filter, Policy::Drop),
        Base::Output => filter(FilterHook::Output, Priority::Filter, Policy::Accept),
        Base::Arriving => BaseChain::nat(NatHook::Prerouting, Priority::DstNat),
        Base::Leaving => BaseChain::nat(NatHook::Output, Priority::Custom(-100)),
        Base::Departing => BaseChain::nat(NatHook::Postrouting, Priority::SrcNat),
    }
}

fn rule(chain: &str, rule: &Rule) -> Result<NftRule, Error> {
    let empty = NftRule::new(TABLE, chain).family(FAMILY);
    let matching = rule.matches.iter().fold(empty, matching);
    Ok(match &rule.action {
        Action::Accept => matching.accept(),
        Action::Drop => matching.drop(),
        Action::Mark => mark(matching).accept(),
        Action::Prohibit => matching.reject_icmp(PROHIBITED),
        Action::Refuse(Protocol::Tcp) => matching.reject_tcp_reset(),
        Action::Refuse(Protocol::Udp | Protocol::Sctp) => matching.reject_icmp(PORT_UNREACHABLE),
        Action::Report(reason) => {
            let log = LogExpr::new().group(REPORTS).snaplen(SNIPPET);
            matching.expr(Expr::Log(log.prefix(reason.word())))
        }
        Action::Jump(chain) => matching.jump(ChainName::new(chain.as_str())?),
        Action::Goto(chain) => matching.goto(ChainName::new(chain.as_str())?),
        Action::BySource(map) => by(source(matching, Register::R0), map),
        Action::ByDestination(map) => by(destination(matching, Register::R0), map),
        Action::ByTarget(map) => by(target(matching), map),
        Action::Remember(set) => {
            let update = DynsetExpr::new(DynsetOp::Update, set, Register::R0);
            source(matching, Register::R0).expr(update)
        }
        Action::Redirect(address, port) => matching.dnat(*address, Some(*port)),
        Action::Hide => matching.masquerade(),
    })
}

fn matching(rule: NftRule, one: &Match) -> NftRule {
    let within = |first: &Ipv4Addr, last: &Ipv4Addr| Expr::Range {
        sreg: Register::R0,
        op: RangeOp::Eq,
        from: first.octets().to_vec(),
        to: last.octets().to_vec(),
    };
    let in_set = |set: &str, register| Expr::Lookup(LookupExpr::new(set, register));
    match one {
        Match::Local => rule.match_iif("lo"),
        Match::Outer => rule.match_iif(WAY_OUT),
        Match::Outbound => rule.match_oif(WAY_OUT),
        Match::Sender => sender(rule).expr(in_set(SENDERS, Register::Reg32_00)),
        Match::Reply => {
            let known = rule.match_ct_state(CtState::ESTABLISHED);
            known.match_ct_direction(CtDirection::Reply)
        }
        Match::Open => rule.match_ct_state(CtState::ESTABLISHED),
        Match::Related => rule.match_ct_state(CtState::RELATED),
        Match::Invalid => rule.match_ct_state(CtState::INVALID),
        Match::Marked => marked(rule),
        Match::Translated => rule.match_ct_status(CtStatus::DST_NAT),
        Match::From(first, last) => source(rule, Register::R0).expr(within(first, last)),
        Match::To(first, last) => destination(rule, Register::R0).expr(within(first, last)),
        Match::FromIn(set) => source(rule, Register::R0).expr(in_set(set, Register::R0)),
        Match::ToIn(set) => destination(rule, Register::R0).expr(in_set(set, Register::R0)),
        Match::PairIn(set) => {
            let from = source(rule, Register::Reg32_00);
            let pair = destination(from, Register::Reg32_01);
            pair.expr(in_set(set, Register::Reg32_00))
        }
        Match::TargetIn(set) => target(rule).expr(in_set(set, Register::Reg32_00)),
        Match::Protocol(protocol) => rule.match_l4proto(number(*protocol)),
        Match::Ports(protocol, first, last) => {
            let rule = rule.match_l4proto(number(*protocol));
            port(rule, Register::R0).expr(Expr::Range {
                sreg: Register::R0,
                op: RangeOp::Eq,
                from: first.to_be_bytes().to_vec(),
                to: last.to_be_bytes().to_vec(),
            })
        }
        Match::OneOf(count) => one_of(rule, *count),
        Match::Seldom => seldom(rule),
    }
}

fn mark(rule: NftRule) -> NftRule {
    let value = rule.expr(Expr::Immediate {
        dreg: Register::R0,
        data: MARK.to_ne_bytes().to_vec(),
    });
    value.expr(Expr::MetaSet {
        key: MetaKey::Mark,
        sreg: Register::R0,
    })
}

fn marked(rule: NftRule) -> NftRule {
    let mark = rule.expr(Expr::Meta {
        dreg: Register::R0,
        key: MetaKey::Mark,
    });
    mark.expr(Expr::Cmp {
        sreg: Register::R0,
        op: CmpOp::Eq,
        data: MARK.to_ne_bytes().to_vec(),
    })
}

fn one_of(rule: NftRule, count: u32) -> NftRule {
    let picked = rule.expr(Expr::Numgen {
        dreg: Register::R0,
        kind: NumgenKind::Random,
        modulus: count,
        offset: 0,
    });
    picked.expr(Expr::Cmp {
        sreg: Register::R0,
        op: CmpOp::Eq,
        data: 0_u32.to_ne_bytes().to_vec(),
    })
}

/// Each link has a rate of its own: one that knocks everywhere does not silence the others.
fn seldom(rule: NftRule) -> NftRule {
    let link = rule.expr(Expr::Meta {
        dreg: Register::R0,
        key: MetaKey::Iif,
    });
    let limit = LimitExpr::packets(RATE, LimitUnit::Second).burst(BURST);
    let update = DynsetExpr::new(DynsetOp::Update, REPORTED, Register::R0);
    link.expr(update.statement(ElementStatement::Limit(limit)))
}

fn by(rule: NftRule, map: &str) -> NftRule {
    rule.expr(Expr::Lookup(
        LookupExpr::new(map, Register::R0).dreg(Register::Verdict),
    ))
}

fn source(rule: NftRule, dreg: Register) -> NftRule {
    payload(rule, dreg, PayloadBase::Network, (12, 4))
}

fn destination(rule: NftRule, dreg: Register) -> NftRule {
    payload(rule, dreg, PayloadBase::Network, (16, 4))
}

fn port(rule: NftRule, dreg: Register) -> NftRule {
    payload(rule, dreg, PayloadBase::Transport, (2, 2))
}

fn sender(rule: NftRule) -> NftRule {
    let link = rule.expr(Expr::Meta {
        dreg: Register::Reg32_00,
        key: MetaKey::IifName,
    });
    let hardware = payload(link, Register::Reg32_04, PayloadBase::LinkLayer, (6, 6));
    source(hardware, Register::Reg32_06)
}

fn target(rule: NftRule) -> NftRule {
    let to = destination(rule, Register::Reg32_00).expr(Expr::Meta {
        dreg: Register::Reg32_01,
        key: MetaKey::L4Proto,
    });
    port(to, Register::Reg32_02)
}

fn payload(rule: NftRule, dreg: Register, base: PayloadBase, (offset, len): (u32, u32)) -> NftRule {
    rule.expr(Expr::Payload {
        dreg,
        base,
        offset,
        len,
    })
}

/// The number of a protocol.
const fn number(protocol: Protocol) -> u8 {
    match protocol {
        Protocol::Tcp => 6,
        Protocol::Udp => 17,
        Protocol::Sctp => 132,
    }
}

/// The protocol of a number.
pub(super) fn protocol(number: u8) -> Option<Protocol> {
    let known = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp];
    known.into_iter().find(|one| self::number(*one) == number)
}
