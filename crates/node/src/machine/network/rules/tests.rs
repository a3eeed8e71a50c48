//! What plans ask for, as text.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::machine::{CellNames, Exception, Peers, Ports, ServiceRule};

/// The table of a machine that carries all it can.
pub(super) fn table(plan: &NetworkPlan) -> Table {
    super::table(plan, &[Protocol::Tcp, Protocol::Udp])
}

fn cell(index: u8) -> Cell {
    Cell {
        index: index.into(),
        gateway: Ipv4Addr::new(10, index, 0, 1),
        prefix: 24,
        names: CellNames::default(),
    }
}

fn pod(cell: u8, host: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, cell, 0, host)
}

fn selected(ingress: Option<&[&str]>, egress: Option<&[&str]>) -> PodRules {
    let names =
        |names: Option<&[&str]>| names.map(|names| names.iter().map(ToString::to_string).collect());
    PodRules {
        namespace: "shop".into(),
        ingress: names(ingress),
        egress: names(egress),
    }
}

fn shop() -> NetworkPlan {
    NetworkPlan {
        cells: [("shop".to_owned(), cell(7))].into(),
        ..NetworkPlan::default()
    }
}

fn lines(table: &Table, chain: &str) -> Vec<String> {
    let chain = &table.chains[chain];
    chain.rules.iter().map(ToString::to_string).collect()
}

/// The chain that a map leads an address to.
fn chain_of(table: &Table, map: &str, address: Ipv4Addr) -> String {
    let chain = table.sets[map].elements[&Key::Address(address)].clone();
    chain.unwrap()
}

#[test]
fn nobody_is_let_out_without_a_plan() {
    let table = table(&NetworkPlan::default());
    let known = [
        "invalid drop",
        "reply accept",
        "related accept",
        "saddr . daddr @selves accept",
    ];
    let unknown = ["saddr vmap @egress", "goto not-let-out"];
    let forward = lines(&table, "forward");
    assert_eq!(forward[2..4], ["outer reply accept", "outer drop"]);
    assert_eq!(forward[4..8], known);
    assert_eq!(forward[8], "marked udp accept");
    assert_eq!(forward[9..], unknown);
    assert_eq!(lines(&table, "output")[2..], ["outbound prohibit"]);
    assert_eq!(lines(&table, "input")[..2], ["iif lo accept", "outer drop"]);
    let carried = [
        "marked accept",
        "daddr 10.128.0.1-10.128.0.1 tcp 15001-15001 open refuse",
    ];
    assert_eq!(lines(&table, "input")[2..4], carried);
    assert_eq!(lines(&table, "input")[4..8], known);
    assert_eq!(lines(&table, "input")[8..], unknown);
    assert!(table.sets["away"].elements.is_empty());
    for set in [EGRESS, INGRESS, SELVES] {
        assert!(table.sets[set].elements.is_empty(), "{set}");
    }
    let refused = ["seldom report egress", "open tcp refuse", "prohibit"];
    assert_eq!(lines(&table, NOT_LET_OUT), refused);
    let forged = [
        "iif lo accept",
        "iif . ether saddr . ip saddr @senders accept",
        "outer accept",
        "seldom report source",
    ];
    assert_eq!(lines(&table, "source"), forged);
}

#[test]
fn pods_ask_their_own_name_server_only() {
    let table = table(&shop());
    let chain = chain_of(&table, INGRESS, pod(7, 1));
    let expected = [
        "saddr 10.7.0.0-10.7.0.255 udp 53-53 accept",
        "saddr 10.7.0.0-10.7.0.255 tcp 53-53 accept",
        "goto not-let-out",
    ];
    assert_eq!(lines(&table, &chain), expected);
}

#[test]
fn unselected_pods_are_open_to_their_cell() {
    let mut plan = shop();
    plan.pods.insert(pod(7, 2), selected(None, None));
    let table = table(&plan);
    assert_eq!(chain_of(&table, EGRESS, pod(7, 2)), ADMIT);
    let chain = chain_of(&table, INGRESS, pod(7, 2));
    let expected = [
        "saddr 10.7.0.0-10.7.0.255 accept",
        "saddr 10.128.0.2-10.128.0.2 accept",
        "goto not-let-in",
    ];
    assert_eq!(lines(&table, &chain), expected);
    plan.cells.clear();
    let table = self::table(&plan);
    assert_eq!(chain_of(&table, INGRESS, pod(7, 2)), NOT_LET_IN);
}

#[test]
fn policies_let_through_what_they_name() {
    let mut plan = shop();
    let rules = selected(Some(&["in", "none"]), Some(&["out"]));
    plan.pods.insert(pod(7, 2), rules.clone());
    plan.pods.insert(pod(7, 3), rules);
    plan.pods.insert(pod(7, 4), selected(Some(&[]), Some(&[])));
    let peers = Peers {
        selects: true,
        pods: BTreeSet::from([pod(8, 2)]),
        blocks: vec![(pod(9, 0), pod(9, 255))],
    };
    let ports = Ports {
        ranges: vec![(Protocol::Tcp, 80, 90), (Protocol::Sctp, 0, u16::MAX)],
        names: true,
        named: BTreeSet::from([(pod(7, 2), Protocol::Udp, 5353)]),
    };
    let both = Exception {
        peers: Some(peers),
        ports: Some(ports),
    };
    plan.policies = BTreeMap::from([
        ("in".to_owned(), vec![both]),
        ("none".to_owned(), Vec::new()),
        ("out".to_owned(), vec![Exception::default()]),
    ]);
    let table = table(&plan);
    let chain = chain_of(&table, INGRESS, pod(7, 2));
    assert_eq!(chain, chain_of(&table, INGRESS, pod(7, 3)));
    let chain = lines(&table, &chain);
    assert_eq!(chain.last().unwrap(), "goto not-let-in");
    let policy = chain[0].strip_prefix("jump ").unwrap();
    let expected = [
        format!("saddr @{policy}-0-peers tcp 80-90 accept"),
        format!("saddr @{policy}-0-peers sctp accept"),
        format!("saddr @{policy}-0-peers daddr . dport @{policy}-0-ports accept"),
        "saddr 10.9.0.0-10.9.0.255 tcp 80-90 accept".to_owned(),
        "saddr 10.9.0.0-10.9.0.255 sctp accept".to_owned(),
        format!("saddr 10.9.0.0-10.9.0.255 daddr . dport @{policy}-0-ports accept"),
    ];
    assert_eq!(lines(&table, policy), expected);
    let out = lines(&table, &chain_of(&table, EGRESS, pod(7, 2)));
    let out = lines(&table, out[0].strip_prefix("jump ").unwrap());
    assert_eq!(out, ["goto admit"]);
    assert_eq!(chain_of(&table, EGRESS, pod(7, 4)), NOT_LET_OUT);
    assert_eq!(chain_of(&table, INGRESS, pod(7, 4)), NOT_LET_IN);
}

#[test]
fn services_balance_remember_or_refuse() {
    let service = |port, backends, affinity| ServiceRule {
        address: Ipv4Addr::new(10, 200, 0, 1),
        port,
        protocol: Protocol::Tcp,
        backends,
        affinity,
    };
    let two = || vec![(pod(7, 5), 8080), (pod(7, 6), 8080)];
    let time = std::time::Duration::from_secs(9);
    let plan = NetworkPlan {
        services: vec![
            service(80, two(), None),
            service(81, Vec::new(), None),
            service(82, two(), Some(time)),
        ],
        ..NetworkPlan::default()
    };
    let table = table(&plan);
    let balanced = ["one of 2 dnat 10.7.0.5:8080", "dnat 10.7.0.6:8080"];
    assert_eq!(lines(&table, "tcp-10.200.0.1-80"), balanced);
    let remembered = [
        "saddr @tcp-10.200.0.1-82-10.7.0.5-8080 goto tcp-10.200.0.1-82-10.7.0.5-8080",
        "saddr @tcp-10.200.0.1-82-10.7.0.6-8080 goto tcp-10.200.0.1-82-10.7.0.6-8080",
        "one of 2 goto tcp-10.200.0.1-82-10.7.0.5-8080",
        "goto tcp-10.200.0.1-82-10.7.0.6-8080",
    ];
    assert_eq!(lines(&table, "tcp-10.200.0.1-82"), remembered);
    let taken = [
        "update @tcp-10.200.0.1-82-10.7.0.5-8080",
        "dnat 10.7.0.5:8080",
    ];
    assert_eq!(lines(&table, "tcp-10.200.0.1-82-10.7.0.5-8080"), taken);
    assert_eq!(
        lines(&table, "output")[..2],
        ["daddr @virtual tcp refuse", "daddr @virtual refuse"]
    );
    let ports: Vec<_> = table.sets[SERVICES].elements.keys().collect();
    assert_eq!(ports.len(), 2, "{ports:?}");
}

#[test]
fn policies_that_name_blocks_let_out_of_the_network() {
    let mut plan = shop();
    plan.pods
        .insert(pod(7, 2), selected(None, Some(&["out", "cell"])));
    plan.pods.insert(pod(7, 3), selected(None, Some(&["cell"])));
    plan.pods.insert(pod(7, 4), selected(None, None));
    let block = (
        Ipv4Addr::new(11, 0, 0, 0),
        Ipv4Addr::new(171, 255, 255, 255),
    );
    let ports = Ports {
        ranges: vec![(Protocol::Tcp, 443, 443), (Protocol::Udp, 443, 443)],
        ..Ports::default()
    };
    let out = Exception {
        peers: Some(Peers {
            blocks: vec![block],
            ..Peers::default()
        }),
        ports: Some(ports),
    };
    let anywhere = Exception::default();
    plan.policies = [
        ("out".to_owned(), vec![out]),
        ("cell".to_owned(), vec![anywhere]),
    ]
    .into();
    let table = table(&plan);
    assert_eq!(
        table.sets["away"].elements.len(),
        1,
        "a policy names blocks"
    );
    let chain = chain_of(&table, "away", pod(7, 2));
    let asked = lines(&table, &chain);
    let [jump] = asked.as_slice() else {
        panic!("{asked:?}");
    };
    let policy = jump.strip_prefix("jump ").unwrap();
    let marks = [
        "daddr 11.0.0.0-171.255.255.255 tcp 443-443 mark",
        "daddr 11.0.0.0-171.255.255.255 udp 443-443 mark",
    ];
    assert_eq!(lines(&table, policy), marks);
    let entrance = lines(&table, "outward");
    assert_eq!(entrance[1], "daddr 10.0.0.0-10.255.255.255 accept");
    let asked = ["tcp saddr vmap @away", "udp saddr vmap @away"];
    assert!(entrance.ends_with(&asked.map(str::to_owned)));
    let without = super::table(&plan, &[Protocol::Tcp]);
    assert_eq!(lines(&without, "outward").last().unwrap(), asked[0]);
    assert_eq!(lines(&without, policy), marks[..1]);
    let arriving = lines(&table, "arriving");
    assert_eq!(arriving[1], "marked tcp dnat 10.128.0.1:15001");
    assert_eq!(leavers(&plan), [pod(7, 2)]);
}
