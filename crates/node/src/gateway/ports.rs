//! The host's ports of connections: bound here, and given to Envoy, which accepts at them as if it had bound them
//! itself. The platform keeps each of them as well, so that clients wait while Envoy is started again, and speaks
//! for Envoy when it stays away.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::{SocketAddr, TcpListener},
    os::fd::{AsRawFd as _, OwnedFd},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrStorage, listen, setsockopt, socket,
    sockopt,
};
use tokio::{runtime::Handle, sync::watch, task::AbortHandle};

use super::{Bind, Binds, Error, Result, Settings, Transport, envoy::WORKERS, stand_in::stand_in};

/// Connections that wait at each socket while Envoy is started.
pub(super) const WAITING: i32 = 1024;
/// How long a port is waited for when the platform starts: a platform that was killed is gone before its Envoy.
const LEAVING: Duration = Duration::from_secs(1);
const RETRY: Duration = Duration::from_millis(20);

/// Where the host could not listen, and why.
pub(super) type Unbound = BTreeMap<Bind, String>;

/// The host's ports, taken but not served yet.
#[derive(Debug)]
pub struct Bound {
    pub(super) settings: Settings,
    listeners: Vec<(u16, Vec<TcpListener>)>,
}

impl Bound {
    /// Gateway ports and the addresses at which the host really listens for them.
    pub fn addresses(&self) -> impl Iterator<Item = (u16, SocketAddr)> {
        self.listeners
            .iter()
            .filter_map(|(port, sockets)| Some((*port, sockets.first()?.local_addr().ok()?)))
    }
}

/// Takes the host's ports of all gateways, or says which one cannot be had.
pub fn bind(settings: Settings) -> Result<Bound> {
    let mut listeners = Vec::new();
    for (port, address) in &settings.listen {
        let address = *address;
        let sockets = patiently(address).map_err(|cause: io::Error| {
            if cause.kind() == io::ErrorKind::AddrInUse {
                Error::PortInUse { address }
            } else {
                Error::Listen { address, cause }
            }
        })?;
        listeners.push((*port, sockets));
    }
    Ok(Bound {
        settings,
        listeners,
    })
}

fn patiently(address: SocketAddr) -> io::Result<Vec<TcpListener>> {
    let rounds = LEAVING.as_millis() / RETRY.as_millis();
    for _ in 0..rounds {
        match sockets(address) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => std::thread::sleep(RETRY),
            other => return other,
        }
    }
    sockets(address)
}

/// Listens at an address with a socket for each of Envoy's workers, among which the kernel spreads connections.
fn sockets(address: SocketAddr) -> io::Result<Vec<TcpListener>> {
    let first = bound(address, false)?;
    // Only now: whoever else is there, with the same option or without, is not joined.
    setsockopt(&first, sockopt::ReusePort, &true)?;
    let address = first.local_addr()?;
    let mut all = vec![first];
    for _ in 1..WORKERS {
        all.push(bound(address, true)?);
    }
    for one in &all {
        listen(one, Backlog::new(WAITING)?)?;
    }
    Ok(all)
}

fn bound(address: SocketAddr, beside: bool) -> io::Result<TcpListener> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::Inet,
        SocketAddr::V6(_) => AddressFamily::Inet6,
    };
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let socket = socket(family, SockType::Stream, flags, None)?;
    setsockopt(&socket, sockopt::ReuseAddr, &true)?;
    setsockopt(&socket, sockopt::ReusePort, &beside)?;
    nix::sys::socket::bind(socket.as_raw_fd(), &SockaddrStorage::from(address))?;
    Ok(socket.into())
}

/// The ports that are held: those bound at the start, and those that Gateways ask for since.
#[derive(Debug)]
pub(super) struct Ports {
    /// Names of Envoy's listeners that have a port from the start.
    fixed: BTreeMap<String, SocketAddr>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    held: BTreeMap<SocketAddr, Port>,
    /// The Envoy that may ask, of all that there were.
    turn: u64,
}

/// One address.
#[derive(Debug)]
struct Port {
    sockets: Vec<Socket>,
    /// How many of them were given to Envoy.
    given: usize,
}

#[derive(Debug)]
struct Socket {
    listener: Arc<TcpListener>,
    /// Whether Envoy has it.
    taken: watch::Sender<bool>,
    stand_in: AbortHandle,
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.stand_in.abort();
    }
}

impl Ports {
    /// Holds what was bound, on the runtime of whoever calls.
    pub(super) fn new(bound: Bound) -> Self {
        let mut fixed = BTreeMap::new();
        let mut state = State::default();
        for (port, sockets) in bound.listeners {
            if let Some(Ok(address)) = sockets.first().map(TcpListener::local_addr) {
                fixed.insert(port.to_string(), address);
                state.held.insert(address, Port::new(sockets, true));
            }
        }
        Self {
            fixed,
            state: Mutex::new(state),
        }
    }

    /// Opens what is wanted, as far as it can be had.
    pub(super) fn open(&self, wanted: &Binds) -> Unbound {
        let mut state = self.lock();
        let mut failed = Unbound::new();
        for bind in self.followed(wanted) {
            if state.held.contains_key(&bind.address) {
                continue;
            }
            match sockets(bind.address) {
                Ok(sockets) => {
                    state.held.insert(bind.address, Port::new(sockets, false));
                }
                Err(error) => {
                    failed.insert(bind, error.to_string());
                }
            }
        }
        failed
    }

    /// Closes what is not wanted any more; connections go on.
    pub(super) fn close_others(&self, wanted: &Binds) {
        let kept: BTreeSet<SocketAddr> = self.followed(wanted).map(|bind| bind.address).collect();
        let fixed: BTreeSet<SocketAddr> = self.fixed.values().copied().collect();
        let mut state = self.lock();
        state
            .held
            .retain(|address, _| kept.contains(address) || fixed.contains(address));
    }

    /// Where the listener of a name really listens.
    pub(super) fn addresses(&self, name: &str, wanted: &Binds) -> BTreeSet<SocketAddr> {
        if let Some(fixed) = self.fixed.get(name) {
            return BTreeSet::from([*fixed]);
        }
        let state = self.lock();
        let wanted = wanted.get(name).into_iter().flatten();
        wanted
            .map(|bind| bind.address)
            .filter(|address| state.held.contains_key(address))
            .collect()
    }

    /// What may be opened and closed.
    fn followed(&self, wanted: &Binds) -> impl Iterator<Item = Bind> {
        let followed = wanted
            .iter()
            .filter(|(name, _)| !self.fixed.contains_key(*name));
        let binds = followed.flat_map(|(_, binds)| binds.iter().copied());
        binds.filter(|bind| bind.transport == Transport::Tcp)
    }

    /// Another Envoy begins to ask; returns its number.
    pub(super) fn begin(&self) -> u64 {
        let mut state = self.lock();
        state.turn += 1;
        state.let_go();
        state.turn
    }

    /// An Envoy has ended.
    pub(super) fn end(&self, turn: u64) {
        let mut state = self.lock();
        if state.turn == turn {
            state.let_go();
        }
    }

    /// A socket at an address, for the next of Envoy's workers.
    pub(super) fn give(&self, turn: u64, address: SocketAddr) -> Option<OwnedFd> {
        let mut state = self.lock();
        if state.turn != turn {
            return None;
        }
        let port = state.held.get_mut(&address)?;
        let socket = port.sockets.get(port.given % port.sockets.len())?;
        let given = socket.listener.try_clone().ok()?;
        socket.taken.send_replace(true);
        port.given += 1;
        Some(given.into())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn let_go(&mut self) {
        for port in self.held.values_mut() {
            port.given = 0;
            for socket in &port.sockets {
                // Who stands in is not to begin anew with every Envoy that does not come up.
                socket.taken.send_if_modified(std::mem::take);
            }
        }
    }
}

impl Port {
    fn new(listeners: Vec<TcpListener>, apologizes: bool) -> Self {
        let socket = |listener| {
            let listener = Arc::new(listener);
            let (taken, is_taken) = watch::channel(false);
            let stand_in = stand_in(Arc::clone(&listener), is_taken, apologizes);
            Socket {
                listener,
                taken,
                stand_in: Handle::current().spawn(stand_in).abort_handle(),
            }
        };
        Self {
            sockets: listeners.into_iter().map(socket).collect(),
            given: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::outside::Reach;

    fn settings(address: SocketAddr) -> Settings {
        Settings {
            envoy: PathBuf::new(),
            folder: PathBuf::new(),
            listen: BTreeMap::from([(80, address)]),
            more_ports: BTreeSet::new(),
            reach: Reach::default(),
            authorities: None,
        }
    }

    fn free() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    }

    fn wanted(name: &str, address: SocketAddr) -> Binds {
        let transport = Transport::Tcp;
        let bind = Bind { transport, address };
        Binds::from([(name.to_owned(), BTreeSet::from([bind]))])
    }

    #[test]
    fn a_port_in_use_is_told_by_its_address() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let message = bind(settings(address)).unwrap_err().to_string();
        assert!(message.contains(&address.to_string()), "{message}");
    }

    #[test]
    fn nobody_is_joined_at_an_address() {
        let held = sockets("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = held[0].local_addr().unwrap();
        assert_eq!(held.len(), WORKERS);
        assert!(held.iter().all(|one| one.local_addr().unwrap() == address));
        // Not even by another platform of the same user.
        let second = sockets(address).unwrap_err();
        assert_eq!(second.kind(), io::ErrorKind::AddrInUse);
        drop(held);
        sockets(address).unwrap();
    }

    #[test]
    fn a_port_that_is_being_left_is_waited_for() {
        let address = free();
        let leaving = TcpListener::bind(address).unwrap();
        let left = std::thread::spawn(move || {
            std::thread::sleep(RETRY * 3);
            drop(leaving);
        });
        let bound = bind(settings(address)).unwrap();
        assert_eq!(bound.addresses().next(), Some((80, address)));
        left.join().unwrap();
    }

    #[tokio::test]
    async fn workers_have_sockets_of_their_own_and_only_of_what_is_open() {
        let ports = Ports::new(bind(settings("127.0.0.1:0".parse().unwrap())).unwrap());
        let fixed = ports.addresses("80", &Binds::new());
        let fixed = *fixed.first().unwrap();
        let address = free();
        let binds = wanted("a", address);
        assert_eq!(ports.open(&binds), Unbound::new());
        assert_eq!(ports.addresses("a", &binds), BTreeSet::from([address]));
        let turn = ports.begin();
        assert!(ports.give(turn, free()).is_none());
        // Connections to one of them are not accepted at the other.
        let (one, two) = (ports.give(turn, address), ports.give(turn, address));
        let given: Vec<TcpListener> = [one, two].into_iter().map(|s| s.unwrap().into()).collect();
        let clients: Vec<_> = (0..64)
            .map(|_| std::net::TcpStream::connect(address).unwrap())
            .collect();
        let taken: Vec<usize> = given
            .iter()
            .map(|one| std::iter::from_fn(|| one.accept().ok()).count())
            .collect();
        assert_eq!(taken.iter().sum::<usize>(), clients.len());
        assert!(taken.iter().all(|count| *count > 0), "{taken:?}");
        // One that was before has nothing more to ask for.
        let next = ports.begin();
        assert!(ports.give(turn, address).is_none());
        assert!(ports.give(next, fixed).is_some());
        ports.close_others(&Binds::new());
        assert!(ports.give(next, address).is_none());
        assert!(ports.give(next, fixed).is_some());
        drop(given);
        // Who stood in lets go of it once it runs again.
        tokio::task::yield_now().await;
        TcpListener::bind(address).unwrap();
    }

    #[tokio::test]
    async fn what_cannot_be_had_is_told_and_keeps_nothing_else_away() {
        let ports = Ports::new(bind(settings("127.0.0.1:0".parse().unwrap())).unwrap());
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let (used, good) = (taken.local_addr().unwrap(), free());
        let mut binds = wanted("a", used);
        binds.extend(wanted("b", good));
        let unbound = ports.open(&binds);
        let told: Vec<SocketAddr> = unbound.keys().map(|bind| bind.address).collect();
        assert_eq!(told, [used]);
        assert_eq!(ports.addresses("a", &binds), BTreeSet::new());
        assert_eq!(ports.addresses("b", &binds), BTreeSet::from([good]));
        drop(taken);
        assert_eq!(ports.open(&binds), Unbound::new());
        assert_eq!(ports.addresses("a", &binds), BTreeSet::from([used]));
    }
}
