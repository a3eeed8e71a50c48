//! The packet rules of a machine: a pure function of its network plan.
//!
//! A packet that a pod sends is looked at three times. Where it comes in, its addresses have to be its
//! link's. Then the address of a Service becomes that of a pod behind it, so that everything after
//! speaks of pods. Last, wherever it goes, through the machine or to the machine itself, the chain of
//! its source has to let it out, and then the chain of its destination let it in. Answers to what was
//! let through pass; everything else is refused, told to its sender, and written about. Before all that, what
//! may leave the network altogether is marked, and led to who carries it out.
//!
//! The rules name sets, and a plan that changes changes what is in them: chains are named after what
//! they say, so that one that stays is not touched.

mod away;
mod policy;
mod service;

use std::net::Ipv4Addr;

pub(super) use self::away::{Ways, leavers};
use super::{
    kernel::{REPORTED, SENDERS},
    table::{Action, Base, Key, Kind, Match, Reason, Rule, Set, Table},
};
use crate::machine::{Cell, NetworkPlan, PodRules, Protocol};

/// Chains by the source of packets: who lets them out.
const EGRESS: &str = "egress";
/// Chains by the destination of packets: who lets them in.
const INGRESS: &str = "ingress";
/// Chains by the address and port of Services.
const SERVICES: &str = "services";
/// Addresses of Services: what is still to go there goes nowhere.
const VIRTUAL: &str = "virtual";
/// Each pod and itself.
const SELVES: &str = "selves";
/// What was let out: who is it for?
const ADMIT: &str = "admit";
const NOT_LET_OUT: &str = "not-let-out";
const NOT_LET_IN: &str = "not-let-in";
/// Port of name servers.
const DNS: u16 = 53;

/// The table that a plan asks for, where these protocols are carried out of the network.
pub(super) fn table(plan: &NetworkPlan, carried: &[Protocol]) -> Table {
    let mut table = Table::default();
    entrances(&mut table);
    refusals(&mut table);
    for cell in plan.cells.values() {
        name_server(&mut table, cell);
    }
    policy::add(&mut table, plan);
    away::add(&mut table, plan, carried);
    service::add(&mut table, &plan.services);
    table
}

/// Where packets enter, and the sets that these rules name.
fn entrances(table: &mut Table) {
    let sets = [
        (SENDERS, Kind::Senders),
        (REPORTED, Kind::Limited),
        (EGRESS, Kind::AddressChains),
        (INGRESS, Kind::AddressChains),
        (SELVES, Kind::Pairs),
        (VIRTUAL, Kind::Addresses),
        (SERVICES, Kind::TargetChains),
    ];
    for (name, kind) in sets {
        table.sets.insert(name.to_owned(), Set::new(kind));
    }
    let forged = vec![
        Rule::when([Match::Local], Action::Accept),
        Rule::when([Match::Sender], Action::Accept),
        Rule::when([Match::Outer], Action::Accept),
        Rule::when([Match::Seldom], Action::Report(Reason::Source)),
    ];
    table.base("source", Base::Source, forged);
    let virtual_port = Rule::always(Action::ByTarget(SERVICES.into()));
    table.base(
        "arriving",
        Base::Arriving,
        vec![virtual_port.clone(), away::to_carrier()],
    );
    table.base("leaving", Base::Leaving, vec![virtual_port]);
    let mut through = nobody_serves().to_vec();
    through.extend(away::answers());
    through.extend(decision(away::past_carrier().into()));
    table.base("forward", Base::Forward, through);
    let mut own = vec![Rule::when([Match::Local], Action::Accept)];
    own.push(Rule::when([Match::Outer], Action::Drop));
    own.extend(away::at_carrier());
    own.extend(decision(None));
    table.base("input", Base::Input, own);
    let mut sent = nobody_serves().to_vec();
    // The machine itself has nothing to say outside.
    sent.push(Rule::when([Match::Outbound], Action::Prohibit));
    table.base("output", Base::Output, sent);
    // A pod that is behind its own Service has to answer through the machine.
    let itself = [Match::Translated, Match::PairIn(SELVES.into())];
    table.base(
        "departing",
        Base::Departing,
        vec![Rule::when(itself, Action::Hide)],
    );
}

/// Whether a packet may go where it goes.
///
/// What belongs to a known connection passes only on its way back: on its way there it is looked at
/// like the first one, so that a policy holds from its first moment for connections that are there.
fn decision(more: Option<Rule>) -> Vec<Rule> {
    let mut rules = vec![
        Rule::when([Match::Invalid], Action::Drop),
        Rule::when([Match::Reply], Action::Accept),
        Rule::when([Match::Related], Action::Accept),
        Rule::when([Match::PairIn(SELVES.into())], Action::Accept),
    ];
    rules.extend(more);
    rules.extend([
        Rule::always(Action::BySource(EGRESS.into())),
        Rule::always(Action::Goto(NOT_LET_OUT.into())),
    ]);
    rules
}

/// What still goes to the address of a Service goes to a port that nobody serves.
fn nobody_serves() -> [Rule; 2] {
    let asked = || Match::ToIn(VIRTUAL.into());
    [
        Rule::when(
            [asked(), Match::Protocol(Protocol::Tcp)],
            Action::Refuse(Protocol::Tcp),
        ),
        Rule::when([asked()], Action::Refuse(Protocol::Udp)),
    ]
}

/// What is refused is told at once. Who speaks on an open connection would not hear that it is prohibited,
/// and speak again and again: it is ended.
fn refusals(table: &mut Table) {
    let refusal = |reason| {
        let open = [Match::Open, Match::Protocol(Protocol::Tcp)];
        vec![
            Rule::when([Match::Seldom], Action::Report(reason)),
            Rule::when(open, Action::Refuse(Protocol::Tcp)),
            Rule::always(Action::Prohibit),
        ]
    };
    table.chain(NOT_LET_OUT, refusal(Reason::Egress));
    table.chain(NOT_LET_IN, refusal(Reason::Ingress));
    let admit = vec![
        Rule::always(Action::ByDestination(INGRESS.into())),
        Rule::always(Action::Goto(NOT_LET_OUT.into())),
    ];
    table.chain(ADMIT, admit);
}

/// Pods reach one thing of the machine itself: their cell's name server.
fn name_server(table: &mut Table, cell: &Cell) {
    let (first, last) = range(cell);
    let asks = |protocol| {
        let matches = [Match::From(first, last), Match::Ports(protocol, DNS, DNS)];
        Rule::when(matches, Action::Accept)
    };
    let chain = format!("names-{}", cell.index);
    let rules = vec![
        asks(Protocol::Udp),
        asks(Protocol::Tcp),
        Rule::always(Action::Goto(NOT_LET_OUT.into())),
    ];
    table.chain(chain.as_str(), rules);
    lead(table, INGRESS, cell.gateway, &chain);
}

/// Leads what comes from, or goes to, an address to a chain.
fn lead(table: &mut Table, map: &str, address: Ipv4Addr, chain: &str) {
    if let Some(map) = table.sets.get_mut(map) {
        map.lead(Key::Address(address), chain);
    }
}

/// The first and the last address of a cell.
pub(super) fn range(cell: &Cell) -> (Ipv4Addr, Ipv4Addr) {
    let hosts = u32::MAX.checked_shr(cell.prefix.into()).unwrap_or_default();
    let gateway = cell.gateway.to_bits();
    let addresses = (gateway & !hosts, gateway | hosts);
    (addresses.0.into(), addresses.1.into())
}

#[cfg(test)]
mod simulated;
#[cfg(test)]
mod tests;
