//! The way out: sockets in the gateway's folder, each of which leads to one address that a `Backend` or a
//! policy names. Envoy has no other.

use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use tokio::{
    io::copy_bidirectional,
    net::{TcpStream, UnixListener, UnixStream, lookup_host},
    sync::{Semaphore, watch},
    task::{AbortHandle, JoinSet},
};

use super::{Error, Outlet, Outlets, Result, discovery::listen, relay::Sockets};

/// Connections at once over all outlets.
const MAX_CONNECTIONS: usize = 4096;
/// How long looking up a name and connecting may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Pause after the system had no file descriptor left.
const BREATH: Duration = Duration::from_millis(100);

/// Serves the sockets that are wanted, until it is dropped. `loopback` lets them lead to this host.
pub(super) async fn serve(
    sockets: Arc<Sockets>,
    loopback: bool,
    mut wanted: watch::Receiver<Outlets>,
) -> Result<()> {
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut tasks = JoinSet::new();
    let mut open: BTreeMap<String, AbortHandle> = BTreeMap::new();
    loop {
        let outlets = wanted.borrow_and_update().clone();
        open.retain(|path, task| {
            let stays = outlets.contains_key(path);
            if !stays {
                task.abort();
            }
            stays
        });
        for (path, outlet) in outlets {
            if open.contains_key(&path) {
                continue;
            }
            let listener = listen(&sockets.path(&path))?;
            let permits = Arc::clone(&permits);
            let task = tasks.spawn(accept(listener, outlet, loopback, permits));
            open.insert(path, task);
        }
        if wanted.changed().await.is_err() {
            return Err(Error::Ended { what: "way out" });
        }
    }
}

async fn accept(listener: UnixListener, outlet: Outlet, loopback: bool, permits: Arc<Semaphore>) {
    loop {
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else {
            return;
        };
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(BREATH).await;
            continue;
        };
        let outlet = outlet.clone();
        tokio::spawn(async move {
            if let Err(error) = carry(stream, &outlet, loopback).await {
                tracing::debug!(host = outlet.host, port = outlet.port, %error, "a way out");
            }
            drop(permit);
        });
    }
}

async fn carry(mut envoy: UnixStream, outlet: &Outlet, loopback: bool) -> io::Result<()> {
    let mut outside = tokio::time::timeout(PATIENCE, connect(outlet, loopback)).await??;
    outside.set_nodelay(true)?;
    copy_bidirectional(&mut envoy, &mut outside).await?;
    Ok(())
}

async fn connect(outlet: &Outlet, loopback: bool) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::PermissionDenied, "no address may be reached");
    let found: Vec<SocketAddr> = lookup_host((outlet.host.as_str(), outlet.port))
        .await?
        .collect();
    // What a name leads to is looked at, not only what is written: names can lead anywhere.
    for address in found.into_iter().filter(|a| may_reach(a.ip(), loopback)) {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Whether an address is one of another machine: not this host, not the link's own, not many at once.
fn may_reach(address: IpAddr, loopback: bool) -> bool {
    match address.to_canonical() {
        address if address.is_loopback() => loopback,
        IpAddr::V4(v4) => {
            !(v4.is_unspecified() || v4.is_link_local() || v4.is_multicast() || v4.is_broadcast())
        }
        IpAddr::V6(v6) => !(v6.is_unspecified() || v6.is_unicast_link_local() || v6.is_multicast()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ways_out_do_not_lead_back() {
        let check = |address: &str| may_reach(address.parse().unwrap(), false);
        for good in ["192.0.2.1", "10.1.2.3", "2001:db8::1"] {
            assert!(check(good), "{good}");
        }
        for bad in [
            "127.0.0.1",
            "127.9.9.9",
            "::1",
            "::ffff:127.0.0.1",
            "0.0.0.0",
            "::",
            "169.254.169.254",
            "::ffff:169.254.169.254",
            "fe80::1",
            "224.0.0.1",
            "255.255.255.255",
        ] {
            assert!(!check(bad), "{bad}");
        }
        assert!(may_reach(IpAddr::from([127, 0, 0, 1]), true));
    }
}
