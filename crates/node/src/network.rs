//! The network as it is kept: addresses given out ahead of the API, and the plan on the machine.

use std::{
    net::Ipv4Addr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use k8s_openapi::api::{core::v1::Pod, networking::v1::NetworkPolicy};
use serde_json::json;
use tokio::sync::watch;

use crate::{
    index::{Key, Shared},
    machine::{self, Machine, NetworkPlan},
    service::{
        address::{self, Ledger},
        egress::Gateway,
        network::{self, Proxies},
    },
    write::{Executor, Write},
};

/// The network of the node.
pub struct Network {
    index: Shared,
    machine: Arc<dyn Machine>,
    executor: Executor,
    proxies: Proxies,
    gateways: watch::Receiver<Vec<Gateway>>,
    ledger: Mutex<Ledger>,
    applied: tokio::sync::Mutex<Option<NetworkPlan>>,
}

impl Network {
    /// The network of a machine that has none yet, with the proxies of gateways and those that lead out.
    pub fn new(
        index: Shared,
        machine: Arc<dyn Machine>,
        executor: Executor,
        (proxies, gateways): (Proxies, watch::Receiver<Vec<Gateway>>),
    ) -> Self {
        Self {
            index,
            machine,
            executor,
            proxies,
            gateways,
            ledger: Mutex::default(),
            applied: tokio::sync::Mutex::default(),
        }
    }

    /// The Gateways that lead out of it, as they come and go.
    pub fn gateways(&self) -> watch::Receiver<Vec<Gateway>> {
        self.gateways.clone()
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives a pod its address; when this returns the machine has the pod's cell, and holds every policy
    /// that was there before the pod.
    pub async fn admit(&self, pod: &Pod) -> Result<Ipv4Addr, String> {
        let namespace = pod.metadata.namespace.clone().unwrap_or_default();
        let policies = self.executor.catch_up::<NetworkPolicy>(&namespace).await;
        policies
            .map_err(|error| format!("reading the network policies of {namespace:?}: {error}"))?;
        let (address, record) = {
            let index = self.index.read();
            let mut ledger = self.ledger();
            let address = ledger
                .pod(&index, pod)
                .ok_or_else(|| format!("every address of cell {namespace:?} is taken"))?;
            let found = index.namespaces.get(&Key::new("", &namespace));
            let range = ledger.cell(&index, &namespace);
            let record = found
                .zip(range)
                .filter(|(known, range)| address::cell(known) != Some(*range));
            let record = record.map(|(known, range)| {
                let cell = range.index.to_string();
                Write::merge(
                    &**known,
                    json!({"metadata": {"annotations": {address::CELL: cell}}}),
                )
            });
            (address, record)
        };
        if let Some(record) = record {
            let done = self.executor.run(&record).await;
            done.map_err(|error| format!("recording the cell of {namespace:?}: {error}"))?;
        }
        self.sync().await.map_err(|error| error.to_string())?;
        Ok(address)
    }

    /// The address of a pod by its uid.
    pub fn address(&self, uid: &str) -> Option<Ipv4Addr> {
        self.ledger().address(uid)
    }

    /// Frees the address of a pod that is gone.
    pub fn release(&self, uid: &str) {
        self.ledger().release(uid);
    }

    /// Brings the machine's network to what the objects ask for.
    pub async fn sync(&self) -> machine::Result<()> {
        let mut applied = self.applied.lock().await;
        let plan = {
            let index = self.index.read();
            let gateways = self.gateways.borrow().clone();
            network::plan(&index, &self.ledger(), &self.proxies, &gateways)
        };
        if applied.as_ref() == Some(&plan) {
            return Ok(());
        }
        self.machine.apply_network(&plan).await?;
        *applied = Some(plan);
        Ok(())
    }
}
