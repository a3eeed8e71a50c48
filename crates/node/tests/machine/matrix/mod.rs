//! Who reaches whom, with real packets: the pods of several cells try everything there is to be
//! reached, and the outcome has to be what the declarations say.

pub(crate) mod declared;
mod names;
mod packets;
mod random;
mod refused;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{Ipv4Addr, TcpListener, UdpSocket},
};

use choreo_node::{
    index::Index,
    machine::{Machine as _, Names, PROGRAMS, PodSandbox, Process},
    service::{address::Ledger, egress::Gateway, network},
};
use k8s_openapi::api::core::v1::Pod;

use self::declared::{Component, DECLARED, PORTS};
use crate::{
    internet,
    world::{PATIENCE, World},
};

/// Objects, the addresses that were given to them, and the pods that run.
pub(crate) struct Cells {
    index: Index,
    ledger: Ledger,
    pods: BTreeMap<String, Running>,
    /// Those that lead out of them.
    pub(crate) gateways: Vec<Gateway>,
}

struct Running {
    sandbox: PodSandbox,
    /// Its container, which listens.
    container: String,
    /// What that says.
    log: std::path::PathBuf,
}

impl Cells {
    pub(crate) fn address(&self, name: &str) -> Ipv4Addr {
        self.pods[name].sandbox.address
    }

    pub(crate) fn container(&self, name: &str) -> String {
        self.pods[name].container.clone()
    }

    pub(crate) fn sandbox(&self, name: &str) -> &PodSandbox {
        &self.pods[name].sandbox
    }

    /// Other objects, with the same pods.
    pub(crate) fn set(&mut self, index: Index) {
        self.index = index;
    }

    fn gateways(&self) -> BTreeSet<Ipv4Addr> {
        let ranges = self.ledger.cells(&self.index);
        ranges.map(|(_, range)| range.gateway()).collect()
    }
}

impl World {
    /// Runs what is declared.
    pub(crate) async fn cells(&mut self, index: Index) -> Cells {
        let mut ledger = Ledger::default();
        let pods: Vec<Pod> = index.pods.iter().map(|pod| (**pod).clone()).collect();
        for pod in &pods {
            ledger.pod(&index, pod).unwrap();
        }
        let mut cells = Cells {
            index,
            ledger,
            pods: BTreeMap::new(),
            gateways: Vec::new(),
        };
        self.enforce(&mut cells).await;
        for pod in pods {
            let uid = pod.metadata.uid.clone().unwrap();
            let sandbox = PodSandbox {
                uid: uid.clone(),
                namespace: pod.metadata.namespace.clone().unwrap(),
                hostname: uid.clone(),
                names: Names::default(),
                memory: Vec::new(),
                address: cells.ledger.address(&uid).unwrap(),
            };
            self.machine.create_pod(&sandbox).await.unwrap();
            let argv = [&["listen"], PORTS.as_slice()].concat();
            let mut spec = self.spec(&sandbox, &argv);
            spec.capabilities.insert("CAP_NET_RAW".to_owned());
            self.machine.start_container(&spec).await.unwrap();
            while !output_so_far(&spec.log).contains("listening") {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
            let running = Running {
                sandbox,
                container: spec.id,
                log: spec.log,
            };
            cells.pods.insert(uid, running);
        }
        cells
    }

    /// Plans the network anew, from all pods as they are, and makes it so.
    pub(crate) async fn enforce(&self, cells: &mut Cells) {
        let plan = network::plan(
            &cells.index,
            &cells.ledger,
            &declared::proxies(),
            &cells.gateways,
        );
        self.machine.apply_network(&plan).await.unwrap();
    }

    pub(crate) async fn tell(&self, cells: &Cells, from: &str, argv: &[String]) -> String {
        let guest = ["/bin/guest".to_owned()];
        let argv = [&guest, argv].concat();
        let container = &cells.pods[from].container;
        let outcome = self.machine.exec(container, &argv, PATIENCE).await;
        outcome.unwrap().output
    }

    /// Which of the targets a pod reaches.
    pub(crate) async fn reached(
        &self,
        cells: &Cells,
        from: &str,
        targets: &[String],
    ) -> BTreeSet<String> {
        let argv = [&["probe".to_owned()], targets].concat();
        let told = self.tell(cells, from, &argv).await;
        open_ones(&told, targets.len())
    }

    /// Which of the targets the platform's own programs reach.
    async fn reached_by_programs(&mut self, targets: &[String]) -> BTreeSet<String> {
        let folder = self.folder.join("prober");
        std::fs::create_dir_all(&folder).unwrap();
        let log = folder.join("log");
        // Its writer appends.
        let _none_yet = std::fs::remove_file(&log);
        let guest = crate::world::guest(&self.folder).display().to_string();
        let process = Process {
            name: "prober".to_owned(),
            argv: [&[guest, "probe".to_owned()], targets].concat(),
            folder,
            writable: "w".into(),
            log: log.clone(),
            gate: None,
        };
        self.machine.run_process(&process).await.unwrap();
        self.exit_of_process("prober").await;
        open_ones(&output_so_far(&log), targets.len())
    }

    pub(crate) async fn cells_are_what_is_declared(&mut self) {
        let mut cells = self.cells(declared::index()).await;
        self.what_is_refused_is_told(&cells).await;
        self.everyone_reaches_what_is_declared(&cells).await;
        self.nothing_else_is_reached(&cells).await;
        self.names_are_those_that_are_reached(&cells).await;
        self.forged_packets_are_dropped(&cells).await;
        self.policies_hold_at_once(&mut cells).await;
        self.end(cells).await;
    }

    pub(crate) async fn end(&self, cells: Cells) {
        for pod in cells.pods.values() {
            self.machine.delete_pod(&pod.sandbox.uid).await.unwrap();
        }
    }

    async fn everyone_reaches_what_is_declared(&mut self, cells: &Cells) {
        let mut targets = BTreeMap::new();
        for component in &DECLARED {
            for port in PORTS {
                let (protocol, number) = port.split_once(':').unwrap();
                let address = cells.address(&component.uid());
                targets.insert(format!("{protocol}:{address}:{number}"), (component, port));
            }
            let service = declared::service(component);
            for (protocol, port) in [("tcp", "tcp:8080"), ("udp", "udp:8080")] {
                targets.insert(format!("{protocol}:{service}:80"), (component, port));
            }
        }
        let all: Vec<String> = targets.keys().cloned().collect();
        let declared = |from: Option<&Component>| -> BTreeSet<String> {
            let may = targets.iter().filter(|(_, (to, port))| match from {
                Some(from) => declared::may(from, to, port),
                None => declared::is_routed(to, port),
            });
            may.map(|(target, _)| target.clone()).collect()
        };
        for from in &DECLARED {
            let reached = self.reached(cells, &from.uid(), &all).await;
            assert_eq!(reached, declared(Some(from)), "from {from:?}");
        }
        let reached = self.reached_by_programs(&all).await;
        assert_eq!(reached, declared(None), "from the gateways");
    }

    /// Neither the machine nor the host nor anything outside is there for pods or gateways.
    async fn nothing_else_is_reached(&mut self, cells: &Cells) {
        let listener = TcpListener::bind("0.0.0.0:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let outside = UdpSocket::bind("0.0.0.0:0").unwrap();
        let mut hosts: BTreeSet<Ipv4Addr> = cells.gateways();
        hosts.extend([PROGRAMS, Ipv4Addr::new(10, 128, 0, 1)]);
        // What is outside may well answer.
        hosts.extend(internet::HOSTS.into_iter().chain([internet::PRIVATE]));
        hosts.extend(
            [
                "169.254.169.254",
                "192.168.0.1",
                "203.0.113.9",
                "10.255.0.1",
            ]
            .map(parse),
        );
        if outside.connect("192.0.2.1:9").is_ok()
            && let std::net::IpAddr::V4(own) = outside.local_addr().unwrap().ip()
        {
            hosts.insert(own);
        }
        let ports = [port, 22, 80, 8080];
        let of = |host: &Ipv4Addr| {
            ports.map(|port| [format!("tcp:{host}:{port}"), format!("udp:{host}:{port}")])
        };
        let mut targets: Vec<String> = hosts.iter().flat_map(of).flatten().collect();
        // A pod's loopback is its own, and so is a gateway's.
        targets.push(format!("tcp:127.0.0.1:{port}"));
        for from in DECLARED.iter().map(Component::uid) {
            let own = cells.pods[&from].sandbox.namespace.clone();
            let reached = self.reached(cells, &from, &targets).await;
            assert_eq!(reached, BTreeSet::new(), "from {from}");
            let servers = cells.gateways();
            let servers: Vec<String> = servers.iter().map(|one| format!("tcp:{one}:53")).collect();
            let open = self.answering(cells, &from, &servers).await;
            let server = cells.ledger.cells(&cells.index);
            let mut server = server.filter(|(name, _)| **name == own);
            let server = format!("tcp:{}:53", server.next().unwrap().1.gateway());
            assert_eq!(open, BTreeSet::from([server]), "from {from}");
        }
        let reached = self.reached_by_programs(&targets).await;
        assert_eq!(reached, BTreeSet::new(), "from the gateways");
    }

    /// Which of the targets take a connection, be it that they say nothing to what they cannot read.
    async fn answering(&self, cells: &Cells, from: &str, targets: &[String]) -> BTreeSet<String> {
        let argv = [&["probe".to_owned()], targets].concat();
        let told = self.tell(cells, from, &argv).await;
        let lines = told.lines().map(|line| line.split_once(' ').unwrap());
        let refused = ["HostUnreachable", "ConnectionRefused", "TimedOut"];
        lines
            .filter(|(_, outcome)| !refused.contains(outcome))
            .map(|(target, _)| target.to_owned())
            .collect()
    }

    /// What a pod says that speaks to another while the network is planned anew.
    async fn speak(&self, cells: &mut Cells, (from, to): (&str, &str)) -> String {
        let called = |log: &std::path::Path| output_so_far(log).matches("called").count();
        let log = cells.pods[to].log.clone();
        let before = called(&log);
        let container = cells.pods[from].container.clone();
        let address = format!("{}:8080", cells.address(to));
        let argv = ["/bin/guest", "speak", &address].map(str::to_owned);
        let speaking = self.machine.exec(&container, &argv, PATIENCE);
        let planning = async {
            while called(&log) == before {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
            self.enforce(cells).await;
        };
        let (spoken, ()) = tokio::join!(speaking, planning);
        spoken.unwrap().output
    }

    /// A policy that appears holds for what is open already.
    async fn policies_hold_at_once(&mut self, cells: &mut Cells) {
        let (caller, called) = (&DECLARED[0], &DECLARED[1]);
        let target = format!("tcp:{}:8080", cells.address(&called.uid()));
        let targets = [target.clone()];
        let before = self.reached(cells, &caller.uid(), &targets).await;
        assert_eq!(before, BTreeSet::from([target.clone()]));
        let index = std::mem::take(&mut cells.index);
        cells.index = declared::without_policies_of(index, called);
        let spoken = self.speak(cells, (&caller.uid(), &called.uid())).await;
        assert!(
            ["ConnectionReset", "BrokenPipe"].contains(&spoken.trim()),
            "an open connection is ended: {spoken}"
        );
        let held = self.reached(cells, &caller.uid(), &targets).await;
        assert_eq!(held, BTreeSet::new(), "closed");
        cells.index = declared::index();
        self.enforce(cells).await;
        let again = self.reached(cells, &caller.uid(), &targets).await;
        assert_eq!(again, BTreeSet::from([target]), "open again");
    }
}

fn output_so_far(log: &std::path::Path) -> String {
    std::fs::read_to_string(log).unwrap_or_default()
}

fn parse(address: &str) -> Ipv4Addr {
    address.parse().unwrap()
}

fn open_ones(told: &str, expected: usize) -> BTreeSet<String> {
    let lines: Vec<_> = told
        .lines()
        .map(|line| line.split_once(' ').unwrap())
        .collect();
    assert_eq!(lines.len(), expected, "{told}");
    let silent: Vec<_> = lines
        .iter()
        .filter(|(_, outcome)| *outcome == "TimedOut" || *outcome == "WouldBlock")
        .collect();
    assert_eq!(silent, Vec::<&(&str, &str)>::new(), "refused at once");
    let open = lines.iter().filter(|(_, outcome)| *outcome == "open");
    open.map(|(target, _)| (*target).to_owned()).collect()
}
