//! The host's ports: connections are accepted here and carried to Envoy's unix sockets, each opened
//! with a PROXY protocol header so that Envoy knows the client's address.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io,
    net::{IpAddr, SocketAddr},
    os::fd::AsRawFd as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::{
    io::{AsyncWriteExt as _, copy_bidirectional},
    net::{TcpListener, TcpStream, UdpSocket, UnixStream},
    sync::{Semaphore, watch},
    task::{AbortHandle, JoinSet},
};

use super::{Bind, Binds, Error, Result, Settings, Transport, datagrams};

/// Connections, and clients that send datagrams, at once over all ports; more wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 8192;
/// How long a connection waits for an Envoy that is starting.
const PATIENCE: Duration = Duration::from_secs(5);
const RETRY: Duration = Duration::from_millis(25);
/// Between two tries to listen at an address that is in use.
const REBIND: Duration = Duration::from_secs(3);
/// Pause after the system had no file descriptor left.
const BREATH: Duration = Duration::from_millis(100);

/// The host's ports, taken but not served yet.
#[derive(Debug)]
pub struct Bound {
    pub(super) settings: Settings,
    listeners: Vec<(u16, std::net::TcpListener)>,
}

impl Bound {
    /// Gateway ports and the addresses at which the host really listens for them.
    pub fn addresses(&self) -> impl Iterator<Item = (u16, SocketAddr)> {
        self.listeners
            .iter()
            .filter_map(|(port, listener)| Some((*port, listener.local_addr().ok()?)))
    }
}

/// Takes the host's ports of all gateways, or says which one cannot be had.
pub fn bind(settings: Settings) -> Result<Bound> {
    let mut listeners = Vec::new();
    for (port, address) in &settings.listen {
        let address = *address;
        let listen = || {
            let listener = std::net::TcpListener::bind(address)?;
            listener.set_nonblocking(true)?;
            Ok(listener)
        };
        let listener = listen().map_err(|cause: io::Error| {
            if cause.kind() == io::ErrorKind::AddrInUse {
                Error::PortInUse { address }
            } else {
                Error::Listen { address, cause }
            }
        })?;
        listeners.push((*port, listener));
    }
    Ok(Bound {
        settings,
        listeners,
    })
}

/// The name of the socket of an Envoy listener, relative to the gateway's folder.
pub(super) fn socket_name(name: &str) -> String {
    format!("{}/{name}.sock", super::envoy::WRITABLE)
}

/// A folder held open, through which its sockets are reached by a path of bounded length: the path of
/// a unix socket has at most 107 bytes, that of a data folder may have more.
#[derive(Debug)]
pub(super) struct Sockets(File);

impl Sockets {
    pub(super) fn open(folder: &Path) -> Result<Self> {
        File::open(folder).map(Self).map_err(|cause| Error::Io {
            doing: format!("open {}", folder.display()),
            cause,
        })
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}/{name}", self.0.as_raw_fd()))
    }
}

/// Where the host could not listen, and why.
pub(super) type Unbound = BTreeMap<Bind, String>;

/// The relay: what was bound at the start, and what Gateways ask for since.
pub(super) struct Relay {
    sockets: Arc<Sockets>,
    permits: Arc<Semaphore>,
    ports: JoinSet<()>,
    /// Names of the sockets that were bound at the start.
    fixed: BTreeSet<String>,
    open: BTreeMap<Bind, (String, AbortHandle)>,
}

/// Serves the ports until it is dropped: those bound at the start, and those that are wanted, as far as
/// they can be had.
pub(super) async fn serve(
    bound: Bound,
    sockets: Arc<Sockets>,
    mut wanted: watch::Receiver<Binds>,
    unbound: watch::Sender<Unbound>,
) -> Result<()> {
    let mut relay = Relay {
        sockets,
        permits: Arc::new(Semaphore::new(MAX_CONNECTIONS)),
        ports: JoinSet::new(),
        fixed: BTreeSet::new(),
        open: BTreeMap::new(),
    };
    for (port, listener) in bound.listeners {
        let address = bound.settings.listen.get(&port).copied();
        let listener = TcpListener::from_std(listener).map_err(|cause| Error::Io {
            doing: format!("serve {address:?}"),
            cause,
        })?;
        relay.fixed.insert(port.to_string());
        relay.accept(&port.to_string(), listener, STARTING);
    }
    loop {
        let binds = wanted.borrow_and_update().clone();
        let failed = relay.follow(&binds).await;
        let retry = !failed.is_empty();
        unbound.send_if_modified(|known| {
            let changed = *known != failed;
            *known = failed;
            changed
        });
        tokio::select! {
            changed = wanted.changed() => if changed.is_err() {
                return Err(Error::Ended { what: "relay" });
            },
            () = tokio::time::sleep(REBIND), if retry => {}
        }
    }
}

impl Relay {
    /// Opens what is wanted and closes what is not any more; connections go on.
    async fn follow(&mut self, binds: &Binds) -> Unbound {
        let mut all = BTreeMap::new();
        for (name, addresses) in binds.iter().filter(|(name, _)| !self.fixed.contains(*name)) {
            all.extend(addresses.iter().map(|bind| (*bind, name.clone())));
        }
        self.open.retain(|bind, (name, task)| {
            let stays = all.get(bind) == Some(name);
            if !stays {
                task.abort();
            }
            stays
        });
        let mut failed = Unbound::new();
        for (bind, name) in all {
            if self.open.contains_key(&bind) {
                continue;
            }
            match self.listen(bind, &name).await {
                Ok(task) => {
                    self.open.insert(bind, (name, task));
                }
                Err(error) => {
                    failed.insert(bind, error.to_string());
                }
            }
        }
        failed
    }

    async fn listen(&mut self, bind: Bind, name: &str) -> io::Result<AbortHandle> {
        match bind.transport {
            Transport::Tcp => {
                let listener = TcpListener::bind(bind.address).await?;
                Ok(self.accept(name, listener, b""))
            }
            Transport::Udp => {
                let socket = UdpSocket::bind(bind.address).await?;
                let envoy = Arc::from(self.sockets.path(&socket_name(name)));
                let (permits, sockets) = (Arc::clone(&self.permits), Arc::clone(&self.sockets));
                Ok(self.ports.spawn(async move {
                    datagrams::serve(socket, envoy, permits).await;
                    drop(sockets);
                }))
            }
        }
    }

    fn accept(&mut self, name: &str, listener: TcpListener, apology: &'static [u8]) -> AbortHandle {
        let socket = Arc::from(self.sockets.path(&socket_name(name)));
        let (permits, sockets) = (Arc::clone(&self.permits), Arc::clone(&self.sockets));
        self.ports.spawn(async move {
            accept(&listener, socket, permits, apology).await;
            drop(sockets);
        })
    }
}

/// Accepts until it is dropped; what it has accepted goes on for itself, as long as the process does.
async fn accept(
    listener: &TcpListener,
    socket: Arc<Path>,
    permits: Arc<Semaphore>,
    apology: &'static [u8],
) {
    loop {
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((client, peer)) => {
                let socket = Arc::clone(&socket);
                tokio::spawn(async move {
                    if let Err(error) = carry(client, peer, &socket, apology).await {
                        tracing::debug!(%peer, %error, "connection to the gateway broke");
                    }
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "the gateway cannot accept a connection");
                tokio::time::sleep(BREATH).await;
            }
        }
    }
}

/// Carries one connection until both sides have ended; the end of one is passed on to the other.
async fn carry(
    mut client: TcpStream,
    peer: SocketAddr,
    socket: &Path,
    apology: &[u8],
) -> io::Result<()> {
    client.set_nodelay(true)?;
    let here = client.local_addr()?;
    let Some(mut envoy) = connect(socket).await else {
        return client.write_all(apology).await;
    };
    envoy.write_all(&proxy_header(peer, here)).await?;
    copy_bidirectional(&mut client, &mut envoy).await?;
    Ok(())
}

const STARTING: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: text/plain\r\n\
    content-length: 28\r\nretry-after: 1\r\nconnection: close\r\n\r\nthe gateway is not ready yet";

/// A connection to Envoy, once it listens.
pub(super) async fn connect(socket: &Path) -> Option<UnixStream> {
    let attempts = async {
        loop {
            if let Ok(stream) = UnixStream::connect(socket).await {
                return stream;
            }
            tokio::time::sleep(RETRY).await;
        }
    };
    tokio::time::timeout(PATIENCE, attempts).await.ok()
}

/// The PROXY protocol's second version: who connected to what.
pub(super) fn proxy_header(client: SocketAddr, here: SocketAddr) -> Vec<u8> {
    const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
    const VERSION_2_PROXY: u8 = 0x21;
    const TCP_4: u8 = 0x11;
    const TCP_6: u8 = 0x21;
    let mut header = SIGNATURE.to_vec();
    header.push(VERSION_2_PROXY);
    match (client.ip().to_canonical(), here.ip().to_canonical()) {
        (IpAddr::V4(client), IpAddr::V4(here)) => {
            header.push(TCP_4);
            header.extend(12_u16.to_be_bytes());
            header.extend(client.octets());
            header.extend(here.octets());
        }
        (client, here) => {
            header.push(TCP_6);
            header.extend(36_u16.to_be_bytes());
            header.extend(to_v6(client));
            header.extend(to_v6(here));
        }
    }
    header.extend(client.port().to_be_bytes());
    header.extend(here.port().to_be_bytes());
    header
}

fn to_v6(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::outside::Reach;

    #[test]
    fn a_port_in_use_is_told_by_its_address() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let refused = bind(Settings {
            envoy: PathBuf::new(),
            folder: PathBuf::new(),
            listen: BTreeMap::from([(80, address)]),
            more_ports: BTreeSet::new(),
            reach: Reach::default(),
            authorities: None,
        });
        let message = refused.unwrap_err().to_string();
        assert!(message.contains(&address.to_string()), "{message}");
    }

    #[test]
    fn headers_hold_both_addresses() {
        let v4 = proxy_header("1.2.3.4:5".parse().unwrap(), "6.7.8.9:10".parse().unwrap());
        assert_eq!(
            &v4[12..],
            [0x21, 0x11, 0, 12, 1, 2, 3, 4, 6, 7, 8, 9, 0, 5, 0, 10]
        );
        let v6 = proxy_header("[::1]:5".parse().unwrap(), "[::2]:10".parse().unwrap());
        assert_eq!(v6.len(), 12 + 4 + 36);
        let mapped = proxy_header(
            "[::ffff:1.2.3.4]:5".parse().unwrap(),
            "[::ffff:6.7.8.9]:10".parse().unwrap(),
        );
        assert_eq!(mapped, v4);
    }

    #[test]
    fn the_refusal_is_well_formed() {
        let text = std::str::from_utf8(STARTING).unwrap();
        let (_, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(text.contains(&format!("content-length: {}\r\n", body.len())));
    }
}
