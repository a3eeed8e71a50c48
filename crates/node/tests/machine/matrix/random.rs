//! Random policies, and what they say by the letter of Kubernetes: packets have to agree, those that leave the
//! network of cells too.

use std::{collections::BTreeSet, net::Ipv4Addr};

use choreo_node::{index::Index, machine::Machine as _};
use k8s_openapi::api::{
    core::v1::{Namespace, Pod},
    networking::v1::NetworkPolicy,
};
use serde_json::{Value, json};

use super::{
    Cells,
    declared::{PORTS, put},
};
use crate::{
    internet::{self, HOSTS},
    world::World,
};

/// How many sets of policies are tried.
const ROUNDS: u64 = 12;
/// Namespaces, each with a pod per label.
const NAMESPACES: [&str; 3] = ["red", "green", "blue"];
const LABELS: [&str; 2] = ["a", "b"];

/// A small source of chance, the same each time.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % limit
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    fn some<T>(&mut self, most: usize, mut make: impl FnMut(&mut Self) -> T) -> Vec<T> {
        (0..self.below(most + 1)).map(|_| make(self)).collect()
    }

    fn maybe<T: Copy>(&mut self, of: &[T]) -> Option<T> {
        (self.below(3) > 0).then(|| self.one(of))
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Someone {
    namespace: &'static str,
    label: &'static str,
    address: Ipv4Addr,
}

#[derive(Debug)]
enum Peer {
    /// Pods of the policy's namespace, by label.
    Own(Option<&'static str>),
    /// Pods of namespaces, by both labels.
    Any(Option<&'static str>, Option<&'static str>),
    /// The addresses of a namespace, without one of them.
    Block(Someone, Someone),
    /// All addresses, or those of a network outside, without one of them.
    All(Option<Ipv4Addr>),
    Outside(Option<Ipv4Addr>),
}

#[derive(Debug)]
struct Rule {
    peers: Vec<Peer>,
    ports: Vec<&'static str>,
}

#[derive(Debug)]
struct Policy {
    namespace: &'static str,
    label: Option<&'static str>,
    ingress: Option<Vec<Rule>>,
    egress: Option<Vec<Rule>>,
}

/// The network outside that hosts are in.
const OUTSIDE: &str = "11.22.33.0/24";

/// Ports as policies say them, and which of those that pods listen on they are.
const SAID: [(&str, &[&str]); 6] = [
    (r#"{"port": 8080}"#, &["tcp:8080"]),
    (
        r#"{"port": 8080, "endPort": 8081}"#,
        &["tcp:8080", "tcp:8081"],
    ),
    (r#"{"port": "web"}"#, &["tcp:8080"]),
    (r#"{"port": "unknown"}"#, &[]),
    (r#"{"protocol": "UDP"}"#, &["udp:8080", "udp:9999"]),
    (r#"{"protocol": "UDP", "port": 9999}"#, &["udp:9999"]),
];

impl Peer {
    fn random(chance: &mut Chance, all: &[Someone]) -> Self {
        match chance.below(5) {
            0 => Self::Own(chance.maybe(&LABELS)),
            1 => Self::Any(chance.maybe(&NAMESPACES), chance.maybe(&LABELS)),
            2 => Self::Block(chance.one(all), chance.one(all)),
            3 => Self::All(chance.maybe(&HOSTS)),
            _ => Self::Outside(chance.maybe(&HOSTS)),
        }
    }

    fn object(&self) -> Value {
        let labels = |key: &str, value: Option<&str>| match value {
            Some(value) => json!({"matchLabels": {key: value}}),
            None => json!({}),
        };
        let block = |of: &str, without: &Option<Ipv4Addr>| {
            let without = without.iter().map(|one| format!("{one}/32"));
            json!({"ipBlock": {"cidr": of, "except": without.collect::<Vec<_>>()}})
        };
        match self {
            Self::All(without) => block("0.0.0.0/0", without),
            Self::Outside(without) => block(OUTSIDE, without),
            Self::Own(label) => json!({"podSelector": labels("app", *label)}),
            Self::Any(team, label) => json!({
                "namespaceSelector": labels("team", *team), "podSelector": labels("app", *label)}),
            Self::Block(of, without) => json!({"ipBlock": {
                "cidr": format!("{}/24", of.address), "except": [format!("{}/32", without.address)]}}),
        }
    }

    fn is(&self, namespace: &str, other: &Someone) -> bool {
        let same = |wanted: Option<&str>, is: &str| wanted.is_none_or(|wanted| wanted == is);
        match self {
            Self::Own(label) => namespace == other.namespace && same(*label, other.label),
            Self::Any(team, label) => same(*team, other.namespace) && same(*label, other.label),
            Self::Block(of, without) => of.namespace == other.namespace && without != other,
            Self::All(_) => true,
            Self::Outside(_) => false,
        }
    }

    /// Whether it is a host outside: only blocks of addresses are.
    fn is_outside(&self, host: Ipv4Addr) -> bool {
        match self {
            Self::All(without) | Self::Outside(without) => *without != Some(host),
            Self::Own(_) | Self::Any(..) | Self::Block(..) => false,
        }
    }
}

impl Rule {
    fn random(chance: &mut Chance, all: &[Someone]) -> Self {
        Self {
            peers: chance.some(2, |chance| Peer::random(chance, all)),
            ports: chance.some(2, |chance| chance.one(&SAID).0),
        }
    }

    fn object(&self, peers: &str) -> Value {
        let ports = self.ports.iter();
        let ports = ports.map(|port| serde_json::from_str::<Value>(port).unwrap());
        json!({peers: self.peers.iter().map(Peer::object).collect::<Vec<_>>(),
            "ports": ports.collect::<Vec<_>>()})
    }

    fn lets(&self, namespace: &str, other: &Someone, port: &str) -> bool {
        let said = |words: &&str| {
            let (_, ports) = SAID.iter().find(|(said, _)| said == words).unwrap();
            ports.contains(&port)
        };
        (self.peers.is_empty() || self.peers.iter().any(|peer| peer.is(namespace, other)))
            && (self.ports.is_empty() || self.ports.iter().any(said))
    }

    /// Ports with names are those of pods.
    fn lets_out(&self, host: Ipv4Addr, port: &str) -> bool {
        let said = |words: &&str| {
            let (_, ports) = SAID.iter().find(|(said, _)| said == words).unwrap();
            ports.contains(&port) && !words.contains("web")
        };
        self.peers.iter().any(|peer| peer.is_outside(host))
            && (self.ports.is_empty() || self.ports.iter().any(said))
    }
}

impl Policy {
    fn random(chance: &mut Chance, all: &[Someone]) -> Self {
        let kinds = chance.below(3);
        let mut rules = |is: bool| is.then(|| chance.some(2, |chance| Rule::random(chance, all)));
        let (ingress, egress) = (rules(kinds != 0), rules(kinds != 1));
        Self {
            namespace: chance.one(&NAMESPACES),
            label: chance.maybe(&LABELS),
            ingress,
            egress,
        }
    }

    fn object(&self, number: usize) -> Value {
        let name = format!("p{number}");
        let selector = match self.label {
            Some(label) => json!({"matchLabels": {"app": label}}),
            None => json!({}),
        };
        let mut spec = json!({"podSelector": selector, "policyTypes": []});
        let directions = [
            ("Ingress", "from", &self.ingress),
            ("Egress", "to", &self.egress),
        ];
        for (kind, peers, rules) in directions {
            if let Some(rules) = rules {
                spec["policyTypes"]
                    .as_array_mut()
                    .unwrap()
                    .push(json!(kind));
                let rules = rules.iter().map(|rule| rule.object(peers));
                spec[kind.to_lowercase()] = rules.collect();
            }
        }
        json!({"metadata": {"name": name, "namespace": self.namespace, "uid": name}, "spec": spec})
    }

    fn selects(&self, one: &Someone) -> bool {
        self.namespace == one.namespace && self.label.is_none_or(|label| label == one.label)
    }
}

/// Whether policies let one reach a port of another.
fn may(policies: &[Policy], from: &Someone, to: &Someone, port: &str) -> bool {
    let decided = |of: &Someone, other: &Someone, rules: fn(&Policy) -> &Option<Vec<Rule>>| {
        let selecting = policies.iter().filter(|policy| policy.selects(of));
        let all: Vec<_> = selecting
            .filter_map(|policy| rules(policy).as_ref())
            .collect();
        let mut each = all.iter().copied().flatten();
        (!all.is_empty()).then(|| each.any(|rule| rule.lets(of.namespace, other, port)))
    };
    let out = decided(from, to, |policy| &policy.egress).unwrap_or(true);
    // What no policy selects is open to its own namespace: the one thing that clusters do otherwise.
    let own = from.namespace == to.namespace;
    from == to || out && decided(to, from, |policy| &policy.ingress).unwrap_or(own)
}

/// Whether policies let one out to a port of a host outside: one has to name addresses that it is among.
fn may_leave(policies: &[Policy], from: &Someone, host: Ipv4Addr, port: &str) -> bool {
    let selecting = policies.iter().filter(|policy| policy.selects(from));
    let mut rules = selecting
        .filter_map(|policy| policy.egress.as_ref())
        .flatten();
    rules.any(|rule| rule.lets_out(host, port))
}

fn everyone() -> Vec<Someone> {
    let pods = (0_u8..).zip(NAMESPACES).flat_map(|(cell, namespace)| {
        (0_u8..).zip(LABELS).map(move |(host, label)| Someone {
            namespace,
            label,
            address: Ipv4Addr::new(10, 128, cell + 1, host + 2),
        })
    });
    pods.collect()
}

fn index(all: &[Someone], policies: &[Policy]) -> Index {
    let mut index = Index::default();
    for (cell, namespace) in NAMESPACES.iter().enumerate() {
        let annotations = json!({choreo_node::service::address::CELL: (cell + 1).to_string()});
        put::<Namespace>(
            &mut index,
            json!({"metadata": {"name": namespace, "uid": namespace,
                "labels": {"team": namespace}, "annotations": annotations}}),
        );
    }
    for one in all {
        let uid = format!("{}-{}", one.namespace, one.label);
        put::<Pod>(
            &mut index,
            json!({
                "metadata": {"name": uid, "namespace": one.namespace, "uid": uid,
                    "labels": {"app": one.label}},
                "spec": {"containers": [{"name": "main", "ports": [
                    {"name": "web", "containerPort": 8080}]}]},
                "status": {"phase": "Running", "podIP": one.address.to_string()},
            }),
        );
    }
    for (number, policy) in policies.iter().enumerate() {
        put::<NetworkPolicy>(&mut index, policy.object(number));
    }
    index
}

/// Who is tried.
#[derive(Debug, Clone, Copy)]
enum Target {
    Pod(Someone),
    Host(Ipv4Addr),
}

impl Target {
    /// A port of it.
    fn name(self, port: &str) -> String {
        let address = match self {
            Self::Pod(to) => to.address,
            Self::Host(host) => host,
        };
        let (protocol, number) = port.split_once(':').unwrap();
        format!("{protocol}:{address}:{number}")
    }

    fn may_be_reached(self, policies: &[Policy], from: &Someone, port: &str) -> bool {
        match self {
            Self::Pod(to) => may(policies, from, &to, port),
            Self::Host(host) => may_leave(policies, from, host, port),
        }
    }
}

impl World {
    /// Each set of policies takes the place of the one before, as it is in force.
    pub(crate) async fn random_policies_hold(&mut self) {
        let all = everyone();
        let mut cells: Cells = self.cells(index(&all, &[])).await;
        let inside = all.iter().map(|to| Target::Pod(*to));
        let hosts = HOSTS.iter().filter(|_| internet::is_there());
        let outside = hosts.map(|host| Target::Host(*host));
        let targets = inside.chain(outside);
        let targets = targets.flat_map(|to| PORTS.map(|port| (to.name(port), to, port)));
        let targets: Vec<_> = targets.collect();
        let names: Vec<String> = targets.iter().map(|(name, ..)| name.clone()).collect();
        let mut left = BTreeSet::new();
        for round in 0..ROUNDS {
            let mut chance = Chance(0x9e37_79b9_7f4a_7c15 ^ (round + 1));
            for _ in 0..8 {
                chance.below(2);
            }
            let policies = chance.some(8, |chance| Policy::random(chance, &all));
            cells.index = index(&all, &policies);
            self.enforce(&mut cells).await;
            for from in &all {
                let uid = format!("{}-{}", from.namespace, from.label);
                let may = targets
                    .iter()
                    .filter(|(_, to, port)| to.may_be_reached(&policies, from, port));
                let expected: BTreeSet<String> = may.map(|(name, ..)| name.clone()).collect();
                let reached = self.reached(&cells, &uid, &names).await;
                assert_eq!(reached, expected, "round {round} from {uid}: {policies:#?}");
                let hosts = targets
                    .iter()
                    .filter(|(_, to, _)| matches!(to, Target::Host(_)));
                let hosts = hosts.filter(|(name, ..)| reached.contains(name));
                left.extend(hosts.map(|(_, _, port)| *port));
            }
        }
        let expected = PORTS.iter().filter(|_| internet::is_there());
        assert_eq!(
            left,
            expected.copied().collect(),
            "by some policy each is reached"
        );
        for pod in cells.pods.values() {
            self.machine.delete_pod(&pod.sandbox.uid).await.unwrap();
        }
    }
}
