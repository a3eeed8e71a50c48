//! Ways out, with a real Envoy inside a real machine: pods call hosts outside, which are listeners of this
//! test, and the outcome has to be what Gateways, routes and policies say.

mod hosts;
mod objects;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
    sync::Arc,
    time::Duration,
};

use choreo_apiserver::{AllowAll, NoPods, Server};
use choreo_node::{
    gateway::{self, Settings, bind},
    machine::{Attempt, Event, Flow, LinuxMachine, Machine, Protocol, Refused},
    outside::Reach,
    service::egress::Egress,
};

use self::hosts::{greeting, request};
use crate::{
    matrix::Cells,
    say,
    world::{PATIENCE, World},
};

/// Where the Envoy program is.
pub(crate) const ENVOY: &str = "CHOREO_ENVOY";

/// What a pod sends to a host, and a part of what it hears.
type Try<'t> = (&'t str, &'t str, u16, Vec<u8>, &'t str);

impl World {
    pub(crate) async fn gateways_lead_out_as_declared(&mut self) {
        let Some(envoy) = std::env::var_os(ENVOY) else {
            say(&format!(
                "ways out skipped: {ENVOY} does not name an Envoy program"
            ));
            return;
        };
        let folder = self.folder.join("ways-out");
        let server = Server::open(
            folder.join("api").as_path(),
            choreo_node::definitions(),
            Arc::new(AllowAll),
            Arc::new(NoPods),
        )
        .unwrap();
        objects::apply(&server.client()).await;
        let bound = bind(Settings {
            envoy: envoy.into(),
            folder: folder.join("gateway"),
            listen: BTreeMap::new(),
            more_ports: BTreeSet::new(),
            reach: Reach {
                instead: hosts::start().await,
                ..Reach::default()
            },
            authorities: None,
        })
        .unwrap();
        let egress = Egress::default();
        let machine: Arc<dyn Machine> = Arc::<LinuxMachine>::clone(&self.machine);
        let running = tokio::spawn(gateway::run(
            server.client(),
            machine,
            bound,
            egress.clone(),
        ));
        let mut cells = self.cells(objects::index()).await;
        let mut gateways = egress.gateways();
        let whole = |all: &Vec<_>| all.len() == 3 && all.iter().all(objects::is_whole);
        let served = tokio::time::timeout(PATIENCE, gateways.wait_for(whole)).await;
        cells.gateways.clone_from(&served.unwrap().unwrap());
        self.enforce(&mut cells).await;
        self.hosts_that_are_declared_are_reached(&cells).await;
        self.nothing_else_leads_out(&cells, &egress).await;
        self.names_are_for_those_who_may_call(&cells).await;
        running.abort();
        self.end(cells).await;
    }

    /// What a pod hears of a host.
    async fn heard(&self, cells: &Cells, (from, host, port, bytes, _): &Try<'_>) -> String {
        let bytes = bytes.iter();
        let bytes = bytes.fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
        let argv = [
            "fetch".to_owned(),
            (*host).to_owned(),
            port.to_string(),
            bytes,
        ];
        self.tell(cells, from, &argv).await
    }

    async fn check(&self, cells: &Cells, tries: &[Try<'_>]) {
        for one in tries {
            let (from, host, port, _, expected) = one;
            let heard = self.heard(cells, one).await;
            assert!(heard.contains(expected), "{from} to {host}:{port}: {heard}");
        }
    }

    async fn hosts_that_are_declared_are_reached(&self, cells: &Cells) {
        let tries = declared();
        // The first may come before Envoy listens.
        let late = tokio::time::Instant::now() + PATIENCE;
        while !self.heard(cells, &tries[0]).await.contains(tries[0].4) {
            assert!(tokio::time::Instant::now() < late, "nothing leads out");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        self.check(cells, &tries).await;
        // What is sent arrives as it was sent.
        let heard = self.heard(cells, &tries[0]).await.to_lowercase();
        for word in [
            "forwarded",
            "x-envoy",
            "x-choreo",
            "x-request-id",
            "traceparent",
        ] {
            assert!(!heard.contains(word), "{word}: {heard}");
        }
        assert!(heard.contains("get /a%2fb//c/../d http/1.1"), "{heard}");
    }

    async fn nothing_else_leads_out(&self, cells: &Cells, egress: &Egress) {
        let (mut hosts, mut flows) = (egress.refused(), self.machine.events());
        let [web, cart] =
            ["egress-web", "egress-cart"].map(|name| objects::address_of(cells, "out-a", name));
        let (web_text, cart_text) = (web.to_string(), cart.to_string());
        self.check(cells, &undeclared(&web_text, &cart_text)).await;
        for bytes in [greeting("evil.test"), b"no tls at all\r\n\r\n".to_vec()] {
            let one = ("web", "secure.test", 443, bytes, "");
            let heard = self.heard(cells, &one).await;
            assert!(!heard.contains("I am"), "{heard}");
        }
        let host = |host: &str, port| Attempt::Host {
            host: host.to_owned(),
            port,
        };
        let from = cells.address("web");
        let missing = [host("evil.test", 80), host("evil.test", 443), host("", 443)];
        let missing = missing.map(|attempt| (from, attempt));
        all_are_told(missing.into(), async || hosts.recv().await.unwrap()).await;
        let flow = |peer, port| Flow {
            peer,
            protocol: Some(Protocol::Tcp),
            port,
        };
        let missing = [
            (from, Attempt::Egress(flow(cart, 80))),
            (web, Attempt::Ingress(flow(cells.address("spy"), 80))),
            (web, Attempt::Ingress(flow(cells.address("free"), 81))),
        ];
        let next = async || match flows.recv().await.unwrap() {
            Event::Refused(refused) => refused,
            Event::ContainerExited { .. } | Event::ProcessExited { .. } | Event::Lost => Vec::new(),
        };
        all_are_told(missing.into(), next).await;
    }

    async fn names_are_for_those_who_may_call(&self, cells: &Cells) {
        let names = [
            "api.test",
            "x.wild.test",
            "wild.test",
            "other.test",
            "egress-web.out-a.svc.cluster.local",
            "b.test",
            "undeclared.example.com",
        ];
        let web = objects::address_of(cells, "out-a", "egress-web").to_string();
        let cart = objects::address_of(cells, "out-a", "egress-cart").to_string();
        let b = objects::address_of(cells, "out-b", "egress-web").to_string();
        let (web, cart, b) = (web.as_str(), cart.as_str(), b.as_str());
        let (no, none) = ("REFUSED", "NXDOMAIN");
        for (pod, expected) in [
            ("web", [web, web, no, no, web, no, no]),
            ("cart", [no, no, no, cart, none, no, no]),
            ("free", [web, web, no, cart, web, no, no]),
            ("closed", [no, no, no, no, none, no, no]),
            ("spy", [no, no, no, no, none, b, no]),
        ] {
            let argv = ["names"]
                .iter()
                .chain(&names)
                .map(|word| (*word).to_owned());
            let told = self.tell(cells, pod, &argv.collect::<Vec<_>>()).await;
            let lines = names.iter().zip(expected);
            let lines = lines.map(|(name, said)| format!("{name} {said}"));
            let expected = lines.collect::<Vec<_>>().join("\n") + "\n";
            assert_eq!(told, expected, "{pod}");
        }
    }
}

/// What is declared: who reaches whom.
fn declared() -> Vec<Try<'static>> {
    let http = |from, host, expected| (from, host, 80, request(host), expected);
    let tls = |host, expected| ("web", host, 443, greeting(host), expected);
    vec![
        http("web", "api.test", "I am api:80"),
        http("web", "API.test", "I am api:80"),
        http("web", "a.wild.test", "I am wild:80"),
        tls("secure.test", "I am secure:443"),
        tls("b.wild.test", "I am wild:443"),
        ("web", "db.test", 5432, b"select".to_vec(), "I am db:5432"),
        http("cart", "other.test", "I am other:80"),
        http("spy", "b.test", "I am b:80"),
        // Without a policy a pod calls whatever leads out of its cell.
        http("free", "api.test", "I am api:80"),
        http("free", "other.test", "I am other:80"),
    ]
}

/// What is not, and what becomes of it; `web` and `cart` are the addresses of two Gateways.
fn undeclared<'t>(web: &'t str, cart: &'t str) -> Vec<Try<'t>> {
    let forbidden = |host, asked| ("web", host, 80, request(asked), "403 Forbidden");
    let unreached = |from, host, port| (from, host, port, request("api.test"), "HostUnreachable");
    vec![
        // The right address, for somebody else.
        forbidden("api.test", "evil.test"),
        forbidden("api.test", "other.test"),
        forbidden("a.wild.test", "wild.test"),
        // Addresses outside, whoever has them.
        unreached("web", "192.0.2.10", 8081),
        unreached("free", "192.0.2.10", 8081),
        // Other ports, other components' and other cells' ways.
        unreached("web", web, 81),
        unreached("free", web, 81),
        unreached("web", cart, 80),
        unreached("cart", web, 80),
        unreached("closed", web, 80),
        unreached("spy", web, 80),
    ]
}

/// Waits until all of these were told.
async fn all_are_told(
    mut missing: Vec<(Ipv4Addr, Attempt)>,
    mut next: impl AsyncFnMut() -> Vec<Refused>,
) {
    let wait = async {
        while !missing.is_empty() {
            let refused = next().await;
            let known = |(pod, attempt): &(Ipv4Addr, Attempt)| {
                let mut all = refused.iter();
                all.any(|one| one.pod == *pod && one.attempt == *attempt)
            };
            missing.retain(|one| !known(one));
        }
    };
    let all = tokio::time::timeout(PATIENCE, wait).await;
    assert!(all.is_ok(), "{missing:?}");
}
