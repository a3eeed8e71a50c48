//! What is refused is told.

use std::net::Ipv4Addr;

use choreo_node::machine::{Attempt, Event, Flow, Machine as _, Protocol, Refused};

use super::{Cells, declared::DECLARED};
use crate::world::{PATIENCE, World};

impl World {
    pub(super) async fn what_is_refused_is_told(&self, cells: &Cells) {
        let mut events = self.machine.events();
        let [web, cart] = [0, 1].map(|number| DECLARED[number].uid());
        let address = |uid: &str| cells.address(uid);
        let outside = Ipv4Addr::new(203, 0, 113, 77);
        let flow = |peer, protocol, port| Flow {
            peer,
            protocol: Some(protocol),
            port,
        };
        let targets = [
            format!("tcp:{outside}:4444"),
            format!("tcp:{outside}:4444"),
            format!("udp:{}:9999", address(&cart)),
        ];
        self.reached(cells, &web, &targets).await;
        let names = ["names", "data.example.com", "cart"].map(str::to_owned);
        let said = self.tell(cells, &web, &names).await;
        assert_eq!(said, "data.example.com REFUSED\ncart NXDOMAIN\n");
        let forged = [
            "send",
            "02:c0:0a:80:02:02",
            "192.0.2.9",
            "10.128.2.3",
            "8080",
            "x",
        ];
        self.tell(cells, &web, &forged.map(str::to_owned)).await;
        let name = "data.example.com".to_owned();
        let source = Ipv4Addr::new(192, 0, 2, 9);
        let expected = [
            (&web, Attempt::Egress(flow(outside, Protocol::Tcp, 4444)), 2),
            (
                &cart,
                Attempt::Ingress(flow(address(&web), Protocol::Udp, 9999)),
                1,
            ),
            (&web, Attempt::Name { name }, 1),
            (&web, Attempt::Forged { source }, 1),
        ];
        let mut missing: Vec<Refused> = expected
            .into_iter()
            .map(|(uid, attempt, count)| Refused {
                pod: address(uid),
                attempt,
                count,
            })
            .collect();
        let told = async {
            while !missing.is_empty() {
                if let Event::Refused(refused) = events.recv().await.unwrap() {
                    missing.retain(|one| !refused.contains(one));
                }
            }
        };
        let told = tokio::time::timeout(PATIENCE, told).await;
        assert!(told.is_ok(), "{missing:?}");
    }
}
