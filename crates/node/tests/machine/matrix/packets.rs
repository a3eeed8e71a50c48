//! Packets that no honest program sends.

use std::time::Duration;

use super::{Cells, declared::DECLARED, output_so_far};
use crate::world::{World, pod};

impl World {
    /// A pod with a raw socket, which none gets, sends with its own addresses or not at all.
    pub(super) async fn forged_packets_are_dropped(&mut self, cells: &Cells) {
        let (code, said) = self.output(&pod(1, 2), &["raw"]).await;
        assert_eq!((code, said.as_str()), (0, "stdout F false"));
        let (from, to) = (DECLARED[0].uid(), DECLARED[1].uid());
        let (own, called) = (cells.address(&from), cells.address(&to));
        let [_, b, c, d] = own.octets();
        let hardware = format!("02:c0:0a:{b:02x}:{c:02x}:{d:02x}");
        let stranger = cells.address(&DECLARED[7].uid()).to_string();
        let neighbour = cells.address(&DECLARED[2].uid()).to_string();
        let (own, called) = (own.to_string(), called.to_string());
        let gateway = format!("10.{b}.{c}.1");
        let forged = [
            (hardware.as_str(), neighbour.as_str(), "forged-neighbour"),
            (&hardware, &stranger, "forged-stranger"),
            (&hardware, &gateway, "forged-machine"),
            (&hardware, "127.0.0.1", "forged-loopback"),
            (&hardware, "10.128.0.2", "forged-gateway"),
            (&hardware, "0.0.0.0", "forged-nobody"),
            (&hardware, "255.255.255.255", "forged-everybody"),
            ("02:c0:0a:80:01:09", &own, "forged-hardware"),
            ("02:ce:00:00:00:01", &own, "forged-machine-hardware"),
        ];
        for (hardware, source, text) in forged {
            self.send(cells, &from, [hardware, source, &called, "8080", text])
                .await;
        }
        for target in ["fe80::1", "ff02::1"] {
            self.send(
                cells,
                &from,
                [&hardware, "fe80::2", target, "8080", "forged-six"],
            )
            .await;
        }
        self.send(cells, &from, [&hardware, &own, &called, "8080", "honest"])
            .await;
        let log = |uid: &str| {
            let container = &cells.pods[uid].container;
            let number = container.rsplit('-').next().unwrap();
            self.folder.join(format!("logs/{number}.log"))
        };
        while !output_so_far(&log(&to)).contains(&format!("got honest from {own}")) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        for uid in cells.pods.keys() {
            let said = output_so_far(&log(uid));
            assert!(!said.contains("forged"), "{uid}: {said}");
        }
    }

    async fn send(&self, cells: &Cells, from: &str, what: [&str; 5]) {
        let argv: Vec<String> = ["send"]
            .iter()
            .chain(&what)
            .map(ToString::to_string)
            .collect();
        let said = self.tell(cells, from, &argv).await;
        assert_eq!(said.trim(), "sent", "{what:?}");
    }
}
