//! Pods that policies let out of the network of cells, to addresses that are everybody's. Outside are
//! listeners of this test: no packet leaves this host.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use choreo_node::{
    index::Index,
    machine::{Attempt, Event, Flow, Machine as _, Protocol},
    outside::Reach,
};
use k8s_openapi::api::{
    core::v1::{Namespace, Pod},
    networking::v1::NetworkPolicy,
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, UdpSocket},
};

use crate::{
    matrix::{
        Cells,
        declared::{put, running},
    },
    world::{PATIENCE, World},
};

const CELL: &str = "away";
/// An address outside.
const HOST: &str = "11.22.33.44";
/// The ports there: one that answers, and one that listens for ever.
const ANSWERS: u16 = 443;
const LISTENS: u16 = 444;
/// Connections to the second.
static HEARD: AtomicUsize = AtomicUsize::new(0);

/// Where it is really, and who knows names there.
pub(crate) async fn reach() -> Reach {
    let mut instead = BTreeMap::new();
    for port in [ANSWERS, LISTENS] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        instead.insert((HOST.to_owned(), port), listener.local_addr().unwrap());
        tokio::spawn(serve(listener, port == ANSWERS));
    }
    Reach {
        instead,
        resolvers: vec![resolver().await],
        ..Reach::default()
    }
}

async fn serve(listener: TcpListener, answers: bool) {
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        tokio::spawn(async move {
            let mut heard = [0; 4096];
            let _length = stream.read(&mut heard).await;
            if answers {
                let _broken = stream.write_all(b"I am away").await;
            } else {
                HEARD.fetch_add(1, Ordering::SeqCst);
                while stream.read(&mut heard).await.is_ok_and(|length| length > 0) {}
            }
        });
    }
}

/// Answers every question: `inside...` is at a private address, all else is outside.
async fn resolver() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut asked = [0; 512];
        loop {
            let (length, client) = socket.recv_from(&mut asked).await.unwrap();
            let question = &asked[..length];
            let inside = question[13..].starts_with(b"inside");
            let found = if inside {
                [10, 1, 2, 3]
            } else {
                [11, 22, 33, 44]
            };
            let mut answer = question.to_vec();
            // A response without errors, with one answer: an address of the name in the question.
            answer[2..4].copy_from_slice(&[0x81, 0x80]);
            answer[6..8].copy_from_slice(&[0, 1]);
            answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
            answer.extend(found);
            socket.send_to(&answer, client).await.unwrap();
        }
    });
    address
}

/// What a policy of a pod says of addresses, if it has one.
fn blocks(pod: &str) -> Option<Value> {
    let all = json!([{"ipBlock": {"cidr": "0.0.0.0/0", "except": ["10.0.0.0/8"]}}]);
    let one = json!([{"ipBlock": {"cidr": format!("{HOST}/32")}}]);
    let ports = json!([{"port": ANSWERS}, {"port": LISTENS}, {"port": 15001}]);
    match pod {
        "open" => Some(json!({"to": all, "ports": ports})),
        "narrow" => Some(json!({"to": one})),
        // Whoever they are, they are of the network of cells.
        "shut" => Some(json!({"to": [{"namespaceSelector": {}}]})),
        _ => None,
    }
}

fn index(shut: &[&str]) -> Index {
    let mut index = Index::default();
    put::<Namespace>(&mut index, json!({"metadata": {"name": CELL, "uid": CELL}}));
    for (number, name) in ["open", "narrow", "shut", "loose"].into_iter().enumerate() {
        let labels = json!({"component": name});
        let mut pod = running(CELL, name, &labels, number);
        pod["status"]["podIP"] = Value::Null;
        put::<Pod>(&mut index, pod);
        let named = if shut.contains(&name) { "shut" } else { name };
        let Some(rule) = blocks(named) else { continue };
        let servers = json!([{"namespaceSelector": {}, "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}}}]);
        let spec = json!({
            "podSelector": {"matchLabels": labels},
            "policyTypes": ["Egress"],
            "egress": [{"to": servers}, rule],
        });
        let metadata = json!({"name": name, "namespace": CELL, "uid": name});
        put::<NetworkPolicy>(&mut index, json!({"metadata": metadata, "spec": spec}));
    }
    index
}

impl World {
    pub(crate) async fn pods_leave_as_declared(&mut self) {
        let mut cells = self.cells(index(&[])).await;
        let mut events = self.machine.events();
        self.addresses_outside(&cells).await;
        self.names_outside(&cells).await;
        let udp = Attempt::Egress(Flow {
            peer: HOST.parse().unwrap(),
            protocol: Some(Protocol::Udp),
            port: ANSWERS,
        });
        self.reached(&cells, "open", &[format!("udp:{HOST}:{ANSWERS}")])
            .await;
        let told = async {
            loop {
                if let Event::Refused(refused) = events.recv().await.unwrap()
                    && refused.iter().any(|one| one.attempt == udp)
                {
                    return;
                }
            }
        };
        tokio::time::timeout(PATIENCE, told).await.unwrap();
        self.what_is_open_is_ended(&mut cells).await;
        self.end(cells).await;
    }

    async fn addresses_outside(&self, cells: &Cells) {
        let (yes, no) = ("I am away", "HostUnreachable");
        for (pod, host, port, expected) in [
            ("open", HOST, ANSWERS, yes),
            ("narrow", HOST, ANSWERS, yes),
            ("shut", HOST, ANSWERS, no),
            // Without a policy that says so nobody leaves.
            ("loose", HOST, ANSWERS, no),
            ("open", HOST, 445, no),
            ("narrow", "11.22.33.45", ANSWERS, no),
            // What is not everybody's, and the carrier itself.
            ("open", "192.168.1.1", ANSWERS, no),
            ("open", "169.254.169.254", ANSWERS, no),
            ("open", "10.128.0.1", 15001, no),
            ("loose", "10.128.0.1", 15001, no),
        ] {
            let argv = ["fetch", host, &port.to_string(), "00"].map(str::to_owned);
            let heard = self.tell(cells, pod, &argv).await;
            assert!(heard.contains(expected), "{pod} to {host}:{port}: {heard}");
        }
    }

    async fn names_outside(&self, cells: &Cells) {
        let names = [
            "names",
            "example.away",
            "inside.away",
            "web.other.svc.cluster.local",
        ];
        for (pod, [public, private]) in [
            ("open", [HOST, "nothing"]),
            ("narrow", [HOST, "nothing"]),
            ("shut", ["REFUSED"; 2]),
            ("loose", ["REFUSED"; 2]),
        ] {
            let told = self.tell(cells, pod, &names.map(str::to_owned)).await;
            let expected = format!(
                "example.away {public}\ninside.away {private}\nweb.other.svc.cluster.local NXDOMAIN\n"
            );
            assert_eq!(told, expected, "{pod}");
        }
        let argv = ["fetch", "example.away", &ANSWERS.to_string(), "00"].map(str::to_owned);
        let heard = self.tell(cells, "open", &argv).await;
        assert!(heard.contains("I am away"), "{heard}");
    }

    /// A policy that is taken away holds for what is open.
    async fn what_is_open_is_ended(&self, cells: &mut Cells) {
        let argv = ["speak".to_owned(), format!("{HOST}:{LISTENS}")];
        let container = cells.container("open");
        let argv = [&["/bin/guest".to_owned()], argv.as_slice()].concat();
        let speaking = self.machine.exec(&container, &argv, PATIENCE);
        let closing = async {
            while HEARD.load(Ordering::SeqCst) == 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            cells.set(index(&["open"]));
            self.enforce(cells).await;
        };
        let (spoken, ()) = tokio::join!(speaking, closing);
        HEARD.store(0, Ordering::SeqCst);
        let spoken = spoken.unwrap().output;
        assert!(
            ["ConnectionReset", "BrokenPipe"].contains(&spoken.trim()),
            "{spoken}"
        );
    }
}
