//! Datagrams of pods that policies let out of the network of cells.

use std::{collections::BTreeSet, net::Ipv4Addr, time::Duration};

use choreo_node::{
    index::Index,
    machine::{Attempt, ContainerSpec, Event, Flow, Machine as _, Protocol, Uncarried},
};
use k8s_openapi::api::{
    core::v1::{Namespace, Pod},
    networking::v1::NetworkPolicy,
};
use serde_json::{Value, json};

use crate::{
    internet::{self, HOSTS, OWN, PRIVATE},
    matrix::{
        Cells,
        declared::{put, running},
    },
    say,
    world::{PATIENCE, World},
};

const CELL: &str = "datagrams";
/// As many as a pod may speak with at once.
const MOST: usize = 1024;

fn host(number: usize, port: u16) -> String {
    format!("{}:{port}", HOSTS[number])
}

/// What a policy of a pod says of addresses, if it has one.
fn rule(pod: &str) -> Option<Value> {
    let all = json!([{"ipBlock": {"cidr": "0.0.0.0/0"}}]);
    let one = json!([{"ipBlock": {"cidr": format!("{}/32", HOSTS[0])}}]);
    match pod {
        "open" => Some(json!({"to": all})),
        "narrow" => Some(json!({"to": one, "ports": [{"port": 8080, "protocol": "UDP"}]})),
        "streams" => Some(json!({"to": all, "ports": [{"protocol": "TCP"}]})),
        "shut" => Some(json!({"to": [{"namespaceSelector": {}}]})),
        _ => None,
    }
}

fn index(shut: &[&str]) -> Index {
    let mut index = Index::default();
    put::<Namespace>(&mut index, json!({"metadata": {"name": CELL, "uid": CELL}}));
    let pods = ["open", "narrow", "streams", "shut", "loose"];
    for (number, name) in pods.into_iter().enumerate() {
        let labels = json!({"component": name});
        let mut pod = running(CELL, name, &labels, number);
        pod["status"]["podIP"] = Value::Null;
        put::<Pod>(&mut index, pod);
        let named = if shut.contains(&name) { "shut" } else { name };
        let Some(rule) = rule(named) else { continue };
        let spec = json!({"podSelector": {"matchLabels": labels}, "policyTypes": ["Egress"], "egress": [rule]});
        let metadata = json!({"name": name, "namespace": CELL, "uid": name});
        put::<NetworkPolicy>(&mut index, json!({"metadata": metadata, "spec": spec}));
    }
    index
}

impl World {
    pub(crate) async fn datagrams_leave_as_declared(&mut self) {
        if !internet::is_there() {
            say("datagrams skipped: only root can make an internet of its own");
            return;
        }
        let mut cells = self.cells(index(&[])).await;
        self.policies_let_datagrams_out(&cells).await;
        self.those_who_were_asked_answer(&cells).await;
        self.what_is_no_business_of_pods_is_refused(&cells).await;
        self.answers_end_with_the_policy(&mut cells).await;
        self.a_pod_speaks_with_so_many(&cells).await;
        self.end(cells).await;
    }

    async fn policies_let_datagrams_out(&self, cells: &Cells) {
        let hosts = [
            ("narrow", HOSTS[0], 8080),
            ("other port", HOSTS[0], 8081),
            ("names", HOSTS[0], 53),
            ("other host", HOSTS[1], 8080),
        ];
        let targets = hosts.map(|(_, host, port)| format!("udp:{host}:{port}"));
        for (pod, expected) in [
            ("open", &targets[..]),
            ("narrow", &targets[..1]),
            ("streams", &[]),
            ("shut", &[]),
            ("loose", &[]),
        ] {
            let reached = self.reached(cells, pod, &targets).await;
            let expected: BTreeSet<String> = expected.iter().cloned().collect();
            assert_eq!(reached, expected, "from {pod}");
        }
    }

    async fn those_who_were_asked_answer(&self, cells: &Cells) {
        let (first, second, names) = (host(0, 8080), host(1, 8080), host(0, 53));
        let one_port = [names.as_str(), &first, &second];
        // As long as datagrams get, which is far longer than a link is wide. Of those few wait at once.
        for (length, to) in [
            (1, &one_port[..]),
            (1472, &one_port),
            (1473, &one_port),
            (9000, &one_port),
            (65_507, &one_port[..1]),
        ] {
            let told = self.speak_to(cells, ("", length), to).await;
            let lines = to.iter().map(|from| format!("{from} {length} same\n"));
            assert_eq!(told, lines.collect::<String>());
        }
        let told = self.speak_to(cells, ("strangers", 100), &[&first]).await;
        assert_eq!(told, format!("{first} 100 same\n"));
        let argv = ["burst".to_owned(), first].map(String::from);
        let told = self.tell(cells, "open", &argv).await;
        assert_eq!(told.trim(), format!("{:?}", [1000; 10]));
    }

    async fn speak_to(&self, cells: &Cells, (word, length): (&str, usize), to: &[&str]) -> String {
        let length = length.to_string();
        let argv = [&["talk", word, &length], to].concat();
        let argv: Vec<String> = argv.into_iter().map(str::to_owned).collect();
        self.tell(cells, "open", &argv).await
    }

    /// Neither private networks, nor this host, which has a public address, nor other cells.
    async fn what_is_no_business_of_pods_is_refused(&mut self, cells: &Cells) {
        let own = std::net::UdpSocket::bind((OWN, 0)).unwrap();
        own.set_nonblocking(true).unwrap();
        let port = own.local_addr().unwrap().port();
        let refused = [
            (PRIVATE, 8080),
            (Ipv4Addr::new(169, 254, 169, 254), 80),
            (Ipv4Addr::LOCALHOST, port),
            (Ipv4Addr::new(10, 128, 0, 1), 15001),
            (Ipv4Addr::new(10, 128, 0, 3), 8080),
        ];
        let targets = refused.map(|(host, port)| format!("udp:{host}:{port}"));
        let reached = self.reached(cells, "open", &targets).await;
        assert_eq!(reached, BTreeSet::new());
        let unreached = Attempt::Uncarried(Uncarried::Unreached(Flow {
            peer: OWN,
            protocol: Some(Protocol::Udp),
            port,
        }));
        let to_own = format!("{OWN}:{port}");
        let events = self.machine.events();
        let told = self.speak_to(cells, ("", 1), &[&to_own]).await;
        assert_eq!(told, "\n");
        is_told(events, cells.address("open"), &unreached).await;
        assert!(own.recv(&mut [0; 10]).is_err(), "this host heard it");
    }

    /// Exchanges make room for others, conversations do not.
    async fn a_pod_speaks_with_so_many(&mut self, cells: &Cells) {
        let to = host(1, 9999);
        let many = |count: usize, rounds: usize| {
            let (count, rounds) = (count.to_string(), rounds.to_string());
            ["many".to_owned(), count, rounds, to.clone()]
        };
        let more = MOST + 100;
        let told = self.tell(cells, "open", &many(more, 1)).await;
        assert_eq!(told.trim(), format!("{more} and 1"));
        let events = self.machine.events();
        let told = self.tell(cells, "open", &many(MOST, 3)).await;
        assert_eq!(told.trim(), format!("{MOST} and 0"));
        let full = Attempt::Uncarried(Uncarried::Flows);
        is_told(events, cells.address("open"), &full).await;
        let target = format!("udp:{to}");
        let narrow = format!("udp:{}", host(0, 8080));
        let reached = self
            .reached(cells, "narrow", &[narrow.clone(), target])
            .await;
        assert_eq!(reached, BTreeSet::from([narrow]), "others have room");
    }

    /// Waits for a word.
    async fn says(&self, spec: &ContainerSpec, word: &str) {
        let said_it = async {
            while said(spec).last().is_none_or(|last| last != word) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let said_it = tokio::time::timeout(PATIENCE, said_it).await;
        assert!(said_it.is_ok(), "{:?}", said(spec));
    }

    /// What is not marked any more does not go out, and nothing comes back.
    async fn answers_end_with_the_policy(&self, cells: &mut Cells) {
        let target = host(0, 9999);
        let spec = self.spec(cells.sandbox("open"), &["stream", &target]);
        self.machine.start_container(&spec).await.unwrap();
        self.says(&spec, "begins").await;
        cells.set(index(&["open"]));
        self.enforce(cells).await;
        self.says(&spec, "ends").await;
        self.machine.remove_container(&spec.id).await.unwrap();
        let targets = [format!("udp:{target}")];
        assert_eq!(self.reached(cells, "open", &targets).await, BTreeSet::new());
        cells.set(index(&[]));
        self.enforce(cells).await;
        let reached = self.reached(cells, "open", &targets).await;
        assert_eq!(reached, targets.into(), "open again");
    }
}

/// What a container said so far, without times.
fn said(spec: &ContainerSpec) -> Vec<String> {
    let log = std::fs::read_to_string(&spec.log).unwrap_or_default();
    let words = log.lines().filter_map(|line| line.rsplit(' ').next());
    words.map(str::to_owned).collect()
}

async fn is_told(
    mut events: tokio::sync::broadcast::Receiver<Event>,
    pod: Ipv4Addr,
    attempt: &Attempt,
) {
    let told = async {
        loop {
            if let Event::Refused(refused) = events.recv().await.unwrap()
                && refused
                    .iter()
                    .any(|one| one.pod == pod && one.attempt == *attempt)
            {
                return;
            }
        }
    };
    let told = tokio::time::timeout(PATIENCE, told).await;
    assert!(told.is_ok(), "{attempt:?}");
}
