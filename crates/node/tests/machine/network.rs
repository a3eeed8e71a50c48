//! Cells are apart, services balance.

use std::collections::BTreeSet;

use choreo_node::machine::{Exception, Machine as _, Peers, PodSandbox, Ports, Probe, Protocol};

use crate::world::{PATIENCE, SERVICE, World, plan, pod, with_service};

impl World {
    pub(crate) async fn cells_are_apart(&mut self) {
        let (client, server, stranger) = (pod(1, 3), pod(1, 2), pod(2, 2));
        let serving = self.serve(&server, "web").await;
        let address = server.address.to_string();
        assert_eq!(
            self.output(&client, &["get", &address, "8080"]).await.1,
            "stdout F web"
        );
        let apart = self.output(&stranger, &["get", &address, "8080"]).await;
        assert_eq!(apart, (1, "stdout F HostUnreachable".to_owned()));
        let mut open = plan();
        let selected = open.pods.get_mut(&server.address).unwrap();
        selected.ingress = Some(vec!["stranger".to_owned()]);
        let exception = Exception {
            peers: Some(Peers {
                selects: true,
                pods: [stranger.address].into(),
                blocks: Vec::new(),
            }),
            ports: Some(Ports {
                ranges: vec![(Protocol::Tcp, 8080, 8080)],
                ..Ports::default()
            }),
        };
        open.policies.insert("stranger".to_owned(), vec![exception]);
        self.machine.apply_network(&open).await.unwrap();
        assert_eq!(
            self.output(&stranger, &["get", &address, "8080"]).await.1,
            "stdout F web"
        );
        self.machine.apply_network(&plan()).await.unwrap();
        assert_eq!(
            self.output(&stranger, &["get", &address, "8080"]).await.0,
            1
        );
        // Neither its own cell's nor another cell's gateway offers anything but names.
        for gateway in ["10.1.0.1", "10.2.0.1"] {
            assert_eq!(
                self.output(&stranger, &["get", gateway, "53053"]).await.0,
                1
            );
        }
        self.machine.remove_container(&serving.id).await.unwrap();
    }

    pub(crate) async fn services_balance(&mut self) {
        let pods = [pod(1, 2), pod(1, 3)];
        let first = self.serve(&pods[0], "one").await;
        let second = self.serve(&pods[1], "two").await;
        self.machine
            .apply_network(&with_service(&pods))
            .await
            .unwrap();
        let mut seen = BTreeSet::new();
        for _ in 0..30 {
            let (code, text) = self.output(&pods[0], &["get", "shop", "80"]).await;
            assert_eq!(code, 0, "{text}");
            seen.insert(text);
        }
        assert_eq!(
            seen,
            BTreeSet::from(["stdout F one".to_owned(), "stdout F two".to_owned()])
        );
        self.clients_are_remembered(&pods).await;
        let probe = Probe::Http {
            address: SERVICE,
            port: 80,
            path: "/".into(),
            headers: Vec::new(),
            tls: false,
        };
        self.machine.probe(&probe, PATIENCE).await.unwrap().unwrap();
        assert_eq!(
            self.output(&pods[0], &["resolve", "other"]).await.1,
            "stdout F NXDOMAIN"
        );
        self.machine
            .apply_network(&with_service(&[]))
            .await
            .unwrap();
        let refused = self
            .output(&pods[0], &["get", "shop.cell-1.svc.cluster.local", "80"])
            .await;
        assert_eq!(refused, (1, "stdout F ConnectionRefused".to_owned()));
        self.machine.remove_container(&first.id).await.unwrap();
        self.machine.remove_container(&second.id).await.unwrap();
        self.machine.apply_network(&plan()).await.unwrap();
    }

    /// A client goes where it went before, until that does not serve any more.
    async fn clients_are_remembered(&mut self, pods: &[PodSandbox]) {
        let remembering = |backends: &[PodSandbox]| {
            let mut plan = with_service(backends);
            plan.services[0].affinity = Some(PATIENCE);
            plan
        };
        self.machine
            .apply_network(&remembering(pods))
            .await
            .unwrap();
        let mut seen = BTreeSet::new();
        for _ in 0..10 {
            seen.insert(self.output(&pods[0], &["get", "shop", "80"]).await);
        }
        assert_eq!(seen.len(), 1, "{seen:?}");
        let left = usize::from(seen.first().unwrap().1.ends_with("one"));
        let one = remembering(&pods[left..=left]);
        self.machine.apply_network(&one).await.unwrap();
        let other = self.output(&pods[0], &["get", "shop", "80"]).await;
        assert!(other.0 == 0 && !seen.contains(&other), "{other:?}");
        self.machine
            .apply_network(&with_service(pods))
            .await
            .unwrap();
    }
}
