//! The machine's network: links of pods, packet rules, routes and name servers, made to match a plan.
//! It lives in the helper's own network namespace, which has no way out to the host's.

mod carrier;
mod change;
mod datagrams;
mod dns;
mod kernel;
mod links;
mod refused;
mod rules;
mod table;

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::{Ipv4Addr, SocketAddrV4},
    path::{Path, PathBuf},
    sync::Arc,
};

use nlink::{Connection, Nftables, Route};
use tokio::sync::Mutex;

pub(super) use self::carrier::Platform;
#[cfg(any(test, fuzzing))]
pub(crate) use self::datagrams::fuzz as fuzz_datagram;
use self::{carrier::Carrier, datagrams::Datagrams, kernel::Sender, rules::Ways, table::Table};
use super::{Cell, Error, NetworkPlan, PROGRAMS, PodSandbox, Protocol, Result};

/// The machine's address on the link of the platform's programs.
const PROGRAMS_GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 128, 0, 1);
/// Where what leaves the network of cells is led to.
const CARRIER: SocketAddrV4 = SocketAddrV4::new(PROGRAMS_GATEWAY, 15001);
/// The name of that link's namespace, which is no pod's uid.
pub(super) const PROGRAMS_NAME: &str = "programs";
/// Where datagrams that leave are led to, over a link of their own: nobody has this address.
const BEYOND: Ipv4Addr = Ipv4Addr::new(10, 128, 0, 3);
/// The name of the namespace of that link's far end, which is no pod's uid.
pub(super) const BEYOND_NAME: &str = "beyond";

/// The network as it is.
pub(super) struct Network {
    links: Connection<Route>,
    filter: Connection<Nftables>,
    state: Mutex<State>,
    watch: refused::Watch,
    platform: Arc<Platform>,
    /// Ends with it.
    _carrier: Carrier,
    /// What carries datagrams, or why nothing does.
    datagrams: io::Result<Datagrams>,
}

/// Where the machine's own network namespaces are to be.
pub(super) struct Spaces {
    pub(super) programs: PathBuf,
    pub(super) beyond: PathBuf,
}

#[derive(Default)]
struct State {
    /// What was asked for last and done whole.
    plan: NetworkPlan,
    /// The rules in force.
    table: Table,
    cells: BTreeMap<u16, Running>,
    /// What links may speak with, by the uid of their pods.
    senders: BTreeMap<String, Sender>,
}

/// A cell that is there.
struct Running {
    cell: Cell,
    server: dns::Server,
}

impl Network {
    /// The network without cells, in which only the platform's programs can speak: everything is
    /// refused, and told. What leaves is asked of `platform`.
    pub(super) async fn new(
        spaces: &Spaces,
        platform: Arc<Platform>,
        tell: refused::Tell,
    ) -> Result<Self> {
        let failed = |error: nlink::Error| Error::failed("making the network", error);
        let links = Connection::<Route>::new().map_err(failed)?;
        // It listens while nothing can reach it yet.
        links::start_own(&links).await.map_err(failed)?;
        links::add_own(&links, PROGRAMS_GATEWAY)
            .await
            .map_err(failed)?;
        let carrier = Carrier::start(Arc::clone(&platform)).await;
        let watch = refused::Watch::start(tell).await;
        links::add_way_out(&links, BEYOND, &spaces.beyond)
            .await
            .map_err(failed)?;
        let network = Self {
            links,
            filter: Connection::<Nftables>::new().map_err(failed)?,
            state: Mutex::default(),
            datagrams: Datagrams::start(&spaces.beyond, &platform, watch.names()).await,
            watch,
            platform,
            _carrier: carrier.map_err(|error| Error::failed("listening for what leaves", error))?,
        };
        // Rules before links to anybody: nothing was ever open.
        let transaction = kernel::begin(network.filter.transaction());
        let mut state = network.state.lock().await;
        let empty = rules::table(&NetworkPlan::default(), network.carried());
        network
            .replace(&state.table, &empty, transaction)
            .await
            .map_err(failed)?;
        state.table = empty;
        let addresses = (PROGRAMS, PROGRAMS_GATEWAY);
        network
            .connect(&mut state, PROGRAMS_NAME, addresses, &spaces.programs)
            .await
            .map_err(failed)?;
        let sender = links::sender(PROGRAMS_NAME, PROGRAMS);
        links::add_gateways(&network.links, &sender, &spaces.programs)
            .await
            .map_err(failed)?;
        drop(state);
        Ok(network)
    }

    /// What it cannot do, in sentences.
    pub(super) fn notes(&self) -> Vec<String> {
        let silent = self.watch.silent().map(|error| {
            format!(
                "what is refused to pods is not told, since the kernel does not log to programs: {error}; \
                 it needs nfnetlink_log"
            )
        });
        let datagrams = self.datagrams.as_ref().err().map(|error| {
            format!(
                "UDP does not leave cells, whatever policies say, since the kernel gives no packet \
                 sockets: {error}; it needs af_packet"
            )
        });
        [silent, datagrams].into_iter().flatten().collect()
    }

    /// What is carried out of the network.
    const fn carried(&self) -> &'static [Protocol] {
        match self.datagrams {
            Ok(_) => &[Protocol::Tcp, Protocol::Udp],
            Err(_) => &[Protocol::Tcp],
        }
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
        let (old, new) = (state.plan.gateways.clone(), &plan.gateways);
        self.let_speak(old.difference(new), false).await?;
        self.apply_rules(&mut state, &plan).await?;
        self.let_speak(new.difference(&old), true).await?;
        self.add_cells(&mut state, &plan).await?;
        state.plan = plan;
        Ok(())
    }

    /// Connects a pod to its cell. The rules have to know its address by now: what they do not know
    /// does not speak.
    pub(super) async fn add_pod(&self, pod: &PodSandbox, cell: &Cell, netns: &Path) -> Result<()> {
        let mut state = self.state.lock().await;
        let addresses = (pod.address, cell.gateway);
        self.connect(&mut state, &pod.uid, addresses, netns)
            .await
            .map_err(|error| Error::failed(format!("connecting pod {}", pod.uid), error))
    }

    /// Takes a pod off the network.
    pub(super) async fn remove_pod(&self, uid: &str, netns: &Path) -> Result<()> {
        let mut state = self.state.lock().await;
        self.disconnect(&mut state, uid, netns)
            .await
            .map_err(|error| Error::failed(format!("disconnecting pod {uid}"), error))
    }

    async fn connect(
        &self,
        state: &mut State,
        uid: &str,
        (address, gateway): (Ipv4Addr, Ipv4Addr),
        netns: &Path,
    ) -> nlink::Result<()> {
        let sender = links::sender(uid, address);
        links::add(&self.links, &sender, netns).await?;
        kernel::queue_sender(self.filter.transaction(), &sender, true)
            .commit(&self.filter)
            .await?;
        self.watch.add_link(&sender);
        state.senders.insert(uid.to_owned(), sender.clone());
        links::open(&self.links, &sender, gateway, netns).await
    }

    async fn disconnect(&self, state: &mut State, uid: &str, netns: &Path) -> nlink::Result<()> {
        links::remove(&self.links, uid, netns).await?;
        if let Some(sender) = state.senders.get(uid) {
            kernel::queue_sender(self.filter.transaction(), sender, false)
                .commit(&self.filter)
                .await?;
            self.watch.remove_link(sender);
            if let Ok(datagrams) = &self.datagrams {
                datagrams.end_of(sender.address);
            }
            state.senders.remove(uid);
        }
        Ok(())
    }

    /// Lets the programs of the platform speak with addresses of Gateways, or not any more.
    async fn let_speak(&self, gateways: impl Iterator<Item = &Ipv4Addr>, may: bool) -> Result<()> {
        let programs = links::sender(PROGRAMS_NAME, PROGRAMS);
        for address in gateways {
            let sender = Sender {
                address: *address,
                ..programs.clone()
            };
            kernel::queue_sender(self.filter.transaction(), &sender, may)
                .commit(&self.filter)
                .await
                .map_err(|error| Error::failed(format!("leading to gateway {address}"), error))?;
        }
        Ok(())
    }

    async fn remove_cells(&self, state: &mut State, plan: &NetworkPlan) -> Result<()> {
        let wanted = by_index(plan);
        let stale = state
            .cells
            .iter()
            .filter(|(index, running)| {
                wanted
                    .get(*index)
                    .is_none_or(|cell| !same_place(cell, &running.cell))
            })
            .map(|(index, _)| *index)
            .collect::<Vec<_>>();
        for index in stale {
            let Some(running) = state.cells.remove(&index) else {
                continue;
            };
            drop(running.server);
            links::remove_own(&self.links, running.cell.gateway)
                .await
                .map_err(|error| Error::failed(format!("removing cell {index}"), error))?;
        }
        Ok(())
    }

    async fn add_cells(&self, state: &mut State, plan: &NetworkPlan) -> Result<()> {
        let leavers: BTreeSet<Ipv4Addr> = rules::leavers(plan).into_iter().collect();
        for (index, cell) in by_index(plan) {
            let (first, last) = rules::range(cell);
            let zone = dns::Known {
                names: cell.names.clone(),
                leavers: leavers.range(first..=last).copied().collect(),
            };
            if let Some(running) = state.cells.get_mut(&index) {
                running.server.set(zone);
                continue;
            }
            let failed = |error: &dyn std::fmt::Display| {
                Error::failed(format!("making cell {index}"), error)
            };
            links::add_own(&self.links, cell.gateway)
                .await
                .map_err(|error| failed(&error))?;
            let server = dns::Server::start(
                cell.gateway,
                zone,
                (self.watch.names(), self.platform.path()),
            )
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
        let table = rules::table(plan, self.carried());
        let failed = |error: nlink::Error| Error::failed("setting packet rules", error);
        self.replace(&state.table, &table, self.filter.transaction())
            .await
            .map_err(failed)?;
        state.table = table;
        // What is marked no more may have been read already.
        if let Ok(datagrams) = &self.datagrams {
            datagrams.set(Ways::of(plan));
        }
        Ok(())
    }

    /// Makes one table of another, at once.
    async fn replace(
        &self,
        old: &Table,
        new: &Table,
        transaction: nlink::netlink::nftables::Transaction,
    ) -> nlink::Result<()> {
        let silent = self.watch.silent().is_some();
        let mut steps = change::steps(old, new);
        steps.retain(|step| !(silent && step.is_report()));
        if steps.is_empty() {
            return Ok(());
        }
        let mut steps = steps.iter();
        steps
            .try_fold(transaction, kernel::queue)?
            .commit(&self.filter)
            .await
    }
}

fn by_index(plan: &NetworkPlan) -> BTreeMap<u16, &Cell> {
    plan.cells.values().map(|cell| (cell.index, cell)).collect()
}

fn same_place(one: &Cell, other: &Cell) -> bool {
    (one.index, one.gateway, one.prefix) == (other.index, other.gateway, other.prefix)
}
