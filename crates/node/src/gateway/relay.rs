//! The host's ports of datagrams. They stay the platform's: a socket of UDP that may receive may send to anywhere
//! as well, and the program that reads what strangers send is to have no such socket of the host. So datagrams
//! are carried to Envoy's unix sockets, over connections that begin with a PROXY protocol header, from which
//! Envoy knows the client's address.

use std::{
    collections::BTreeMap,
    fs::File,
    io,
    net::{IpAddr, SocketAddr},
    os::fd::AsRawFd as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::{
    net::{UdpSocket, UnixStream},
    sync::{Semaphore, watch},
    task::{AbortHandle, JoinSet},
};

use super::{Bind, Binds, Error, Result, Transport, datagrams, ports::Unbound};

/// Clients at once over all ports; datagrams of more are lost.
const MAX_CLIENTS: usize = 8192;
/// How long a client's first datagram waits for an Envoy that is starting.
const PATIENCE: Duration = Duration::from_secs(5);
const RETRY: Duration = Duration::from_millis(25);
/// Between two tries to listen at an address that is in use.
pub(super) const REBIND: Duration = Duration::from_secs(3);

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

/// The relay: what Gateways ask for.
struct Relay {
    sockets: Arc<Sockets>,
    permits: Arc<Semaphore>,
    ports: JoinSet<()>,
    open: BTreeMap<Bind, (String, AbortHandle)>,
}

/// Serves the ports that are wanted, as far as they can be had, until it is dropped.
pub(super) async fn serve(
    sockets: Arc<Sockets>,
    mut wanted: watch::Receiver<Binds>,
    unbound: watch::Sender<Unbound>,
) -> Result<()> {
    let mut relay = Relay {
        sockets,
        permits: Arc::new(Semaphore::new(MAX_CLIENTS)),
        ports: JoinSet::new(),
        open: BTreeMap::new(),
    };
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
    /// Opens what is wanted and closes what is not any more.
    async fn follow(&mut self, binds: &Binds) -> Unbound {
        let mut all = BTreeMap::new();
        for (name, addresses) in binds {
            let datagrams = addresses.iter().filter(|b| b.transport == Transport::Udp);
            all.extend(datagrams.map(|bind| (*bind, name.clone())));
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
        let socket = UdpSocket::bind(bind.address).await?;
        let envoy = Arc::from(self.sockets.path(&socket_name(name)));
        let (permits, sockets) = (Arc::clone(&self.permits), Arc::clone(&self.sockets));
        Ok(self.ports.spawn(async move {
            datagrams::serve(socket, envoy, permits).await;
            drop(sockets);
        }))
    }
}

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
    use super::*;

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
}
