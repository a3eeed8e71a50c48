//! The way out: sockets in the gateway's folder, each of which leads to one address that a `Backend` or a
//! policy names, or to the hosts that a route names. Envoy has no other.

use std::{collections::BTreeMap, io, sync::Arc, time::Duration};

use tokio::{
    io::copy_bidirectional,
    net::{UnixListener, UnixStream},
    sync::{Semaphore, watch},
    task::{AbortHandle, JoinSet},
};

use super::{Error, Outlet, Outlets, Result, discovery::listen, named, relay::Sockets};
use crate::outside::{Bounds, Reach, connect};

/// Connections at once over all outlets.
const MAX_CONNECTIONS: usize = 4096;
/// Pause after the system had no file descriptor left.
const BREATH: Duration = Duration::from_millis(100);

/// Serves the sockets that are wanted, until it is dropped.
pub(super) async fn serve(
    sockets: Arc<Sockets>,
    reach: Arc<Reach>,
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
            let (permits, reach) = (Arc::clone(&permits), Arc::clone(&reach));
            let task = tasks.spawn(accept(listener, Arc::new(outlet), reach, permits));
            open.insert(path, task);
        }
        if wanted.changed().await.is_err() {
            return Err(Error::Ended { what: "way out" });
        }
    }
}

async fn accept(
    listener: UnixListener,
    outlet: Arc<Outlet>,
    reach: Arc<Reach>,
    permits: Arc<Semaphore>,
) {
    loop {
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else {
            return;
        };
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(BREATH).await;
            continue;
        };
        let (outlet, reach) = (Arc::clone(&outlet), Arc::clone(&reach));
        tokio::spawn(async move {
            if let Err(error) = carry(stream, &outlet, &reach).await {
                tracing::debug!(%outlet, %error, "a way out");
            }
            drop(permit);
        });
    }
}

async fn carry(envoy: UnixStream, outlet: &Outlet, reach: &Arc<Reach>) -> io::Result<()> {
    match outlet {
        Outlet::Address { host, port, bounds } => {
            straight(envoy, (host, *port), *bounds, reach).await
        }
        Outlet::Names { hosts, port } => named::serve(envoy, (hosts, *port), reach).await,
    }
}

async fn straight(
    mut envoy: UnixStream,
    to: (&str, u16),
    bounds: Bounds,
    reach: &Reach,
) -> io::Result<()> {
    let mut outside = connect(to, bounds, reach).await?;
    copy_bidirectional(&mut envoy, &mut outside).await?;
    Ok(())
}
