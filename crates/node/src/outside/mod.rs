//! Outside: what the platform connects to for those who have no way out themselves. Whatever leaves the
//! machine's network passes here, and where it may lead is decided by what a name leads to at that
//! moment, not by what is written.

mod ask;
mod datagrams;
mod names;
mod reach;

use std::{
    collections::BTreeMap,
    fmt, io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use tokio::net::{TcpStream, lookup_host};

pub use self::reach::Bounds;
use self::reach::{is_own, may_reach};
pub(crate) use self::{
    ask::{
        SOCKET, read_message, request_datagrams, request_name, request_stream, serve, write_message,
    },
    reach::{SPECIAL, is_public},
};

/// How long looking up a name and connecting may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the platform's settings say of the way out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reach {
    /// Whether it may lead to loopback addresses of the host.
    pub loopback: bool,
    /// Whether names that developers declare may lead to private addresses.
    pub private_names: bool,
    /// Names, or addresses, and ports that lead elsewhere than they say.
    pub instead: BTreeMap<(String, u16), SocketAddr>,
    /// Resolvers of names, in the place of this host's.
    pub resolvers: Vec<SocketAddr>,
}

/// Connects to a host, by its name or its address, within some bounds.
pub async fn connect(
    (host, port): (&str, u16),
    bounds: Bounds,
    reach: &Reach,
) -> io::Result<TcpStream> {
    let connected = tokio::time::timeout(PATIENCE, attempt((host, port), bounds, reach)).await??;
    connected.set_nodelay(true)?;
    Ok(connected)
}

async fn attempt(
    (host, port): (&str, u16),
    bounds: Bounds,
    reach: &Reach,
) -> io::Result<TcpStream> {
    if let Some(address) = reach.instead.get(&(host.to_owned(), port)) {
        return TcpStream::connect(address).await;
    }
    let mut last = not_reached(host);
    let named = host.parse::<IpAddr>().is_err();
    let found: Vec<SocketAddr> = lookup_host((host, port)).await?.collect();
    for address in found {
        if !may_connect(address.ip(), (bounds, named), reach) {
            continue;
        }
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn not_reached(host: impl fmt::Display) -> io::Error {
    let message = format!("{host} leads to no address that may be reached from here");
    io::Error::new(io::ErrorKind::PermissionDenied, message)
}

fn may_connect(address: IpAddr, (bounds, named): (Bounds, bool), reach: &Reach) -> bool {
    let bounds = if bounds == Bounds::Public && named && reach.private_names {
        Bounds::Others
    } else {
        bounds
    };
    // What is public may still be this host: what listens there does not expect its own pods.
    let itself = bounds == Bounds::Public && is_own(address);
    may_reach(address, bounds, reach.loopback) && (!itself || reach.loopback)
}
