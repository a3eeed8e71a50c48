//! The machine's network: a bridge per cell, packet rules, routes and name servers, made to match a
//! plan. It lives in the helper's own network namespace, which has no way out to the host's.

mod dns;
mod links;
mod rules;

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    net::Ipv4Addr,
    path::Path,
};

use nlink::{Connection, Nftables, Route};
use tokio::sync::Mutex;

use super::{Cell, Error, NetworkPlan, PodSandbox, Result};

/// The network as it is.
pub(super) struct Network {
    links: Connection<Route>,
    filter: Connection<Nftables>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// What was asked for last and done whole.
    plan: NetworkPlan,
    /// What the rules in force were made from.
    rules: Option<NetworkPlan>,
    cells: BTreeMap<u16, Running>,
    /// Service addresses with a route, and the cell it leads through.
    routes: BTreeMap<Ipv4Addr, u16>,
}

/// A cell that is there.
struct Running {
    cell: Cell,
    server: dns::Server,
}

impl Network {
    /// The network without cells: everything is dropped.
    pub(super) async fn new() -> Result<Self> {
        let failed = |error: nlink::Error| Error::failed("making the network", error);
        let network = Self {
            links: Connection::<Route>::new().map_err(failed)?,
            filter: Connection::<Nftables>::new().map_err(failed)?,
            state: Mutex::default(),
        };
        links::start_loopback(&network.links)
            .await
            .map_err(failed)?;
        let mut state = network.state.lock().await;
        network
            .apply_rules(&mut state, &NetworkPlan::default())
            .await?;
        drop(state);
        Ok(network)
    }

    /// The cell of a namespace.
    pub(super) async fn cell(&self, namespace: &str) -> Result<Cell> {
        let state = self.state.lock().await;
        let cell = state.plan.cells.get(namespace).cloned();
        cell.ok_or_else(|| Error::missing("cell", namespace))
    }

    /// Makes the network as planned; does nothing when it is.
    pub(super) async fn apply(&self, plan: NetworkPlan) -> Result<()> {
        let mut state = self.state.lock().await;
        if state.plan == plan {
            return Ok(());
        }
        self.remove_cells(&mut state, &plan).await?;
        // Rules before links: what is new is closed from its first moment.
        self.apply_rules(&mut state, &plan).await?;
        self.add_cells(&mut state, &plan).await?;
        self.apply_routes(&mut state, &plan).await?;
        state.plan = plan;
        Ok(())
    }

    /// Connects a pod to its cell.
    pub(super) async fn add_pod(&self, pod: &PodSandbox, cell: &Cell, netns: &Path) -> Result<()> {
        let _turn = self.state.lock().await;
        links::add_pod(&self.links, pod, cell, netns)
            .await
            .map_err(|error| Error::failed(format!("connecting pod {}", pod.uid), error))
    }

    /// Takes a pod off the network.
    pub(super) async fn remove_pod(&self, uid: &str, netns: &Path) -> Result<()> {
        let _turn = self.state.lock().await;
        links::remove_pod(&self.links, uid, netns.to_owned())
            .await
            .map_err(|error| Error::failed(format!("disconnecting pod {uid}"), error))
    }

    async fn remove_cells(&self, state: &mut State, plan: &NetworkPlan) -> Result<()> {
        let wanted = by_index(plan);
        let stale = state
            .cells
            .iter()
            .filter(|(index, running)| {
                wanted
                    .get(*index)
                    .is_none_or(|cell| !same_link(cell, &running.cell))
            })
            .map(|(index, _)| *index)
            .collect::<Vec<_>>();
        for index in stale {
            let Some(running) = state.cells.remove(&index) else {
                continue;
            };
            // The kernel drops the routes of a link with it.
            state.routes.retain(|_, through| *through != index);
            drop(running.server);
            links::remove_bridge(&self.links, &running.cell)
                .await
                .map_err(|error| Error::failed(format!("removing cell {index}"), error))?;
        }
        Ok(())
    }

    async fn add_cells(&self, state: &mut State, plan: &NetworkPlan) -> Result<()> {
        for (index, cell) in by_index(plan) {
            if let Some(running) = state.cells.get_mut(&index) {
                running.server.set(cell.names.clone());
                continue;
            }
            let failed = |error: &dyn std::fmt::Display| {
                Error::failed(format!("making cell {index}"), error)
            };
            links::add_bridge(&self.links, cell)
                .await
                .map_err(|error| failed(&error))?;
            let server = dns::Server::start(cell.gateway, cell.names.clone())
                .await
                .map_err(|error| failed(&error))?;
            state.cells.insert(
                index,
                Running {
                    cell: cell.clone(),
                    server,
                },
            );
        }
        Ok(())
    }

    async fn apply_rules(&self, state: &mut State, plan: &NetworkPlan) -> Result<()> {
        let mut basis = plan.clone();
        // Names are the name servers' business; rules do not change with them.
        basis.cells.values_mut().for_each(|cell| cell.names.clear());
        if state.rules.as_ref() == Some(&basis) {
            return Ok(());
        }
        let failed = |error: nlink::Error| Error::failed("setting packet rules", error);
        rules::ruleset(&basis)
            .map_err(failed)?
            .replace(self.filter.transaction(), state.rules.is_some())
            .commit(&self.filter)
            .await
            .map_err(failed)?;
        state.rules = Some(basis);
        Ok(())
    }

    async fn apply_routes(&self, state: &mut State, plan: &NetworkPlan) -> Result<()> {
        let failed = |error: nlink::Error| Error::failed("routing Services", error);
        let addresses = plan
            .services
            .iter()
            .map(|service| service.address)
            .collect();
        let through = state
            .cells
            .first_key_value()
            .map(|(index, running)| (*index, running.cell.clone()));
        let wanted: BTreeSet<Ipv4Addr> = if through.is_some() {
            addresses
        } else {
            BTreeSet::new()
        };
        let stale = state
            .routes
            .keys()
            .filter(|address| !wanted.contains(address))
            .copied();
        for address in stale.collect::<Vec<_>>() {
            links::unroute_service(&self.links, address)
                .await
                .map_err(failed)?;
            state.routes.remove(&address);
        }
        let Some((index, cell)) = through else {
            return Ok(());
        };
        for address in wanted {
            if let Entry::Vacant(entry) = state.routes.entry(address) {
                links::route_service(&self.links, address, &cell)
                    .await
                    .map_err(failed)?;
                entry.insert(index);
            }
        }
        Ok(())
    }
}

fn by_index(plan: &NetworkPlan) -> BTreeMap<u16, &Cell> {
    plan.cells.values().map(|cell| (cell.index, cell)).collect()
}

fn same_link(one: &Cell, other: &Cell) -> bool {
    (one.index, one.gateway, one.prefix) == (other.index, other.gateway, other.prefix)
}
