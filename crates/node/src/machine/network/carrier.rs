//! The carrier: what the rules let out of the network of cells is led here, whatever address it goes to,
//! and carried to the platform over a socket, which connects to that address outside.

use std::{
    collections::BTreeMap,
    fs::File,
    io,
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
    os::fd::AsRawFd as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use nix::sys::socket::{getsockopt, sockopt::OriginalDst};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
    time::sleep,
};

use super::CARRIER;
use crate::outside::{self, SOCKET};

/// Connections at once, and of one pod.
const CONNECTIONS: usize = 4096;
const CONNECTIONS_OF_ONE: usize = 1024;
/// Pause after the system had no file descriptor left.
pub(super) const BREATH: Duration = Duration::from_millis(100);

/// The platform's socket: the folder is held open, so that its path is short wherever it is.
#[derive(Debug)]
pub(in crate::machine) struct Platform(File);

impl Platform {
    pub(in crate::machine) fn open(folder: &Path) -> io::Result<Self> {
        File::open(folder).map(Self)
    }

    pub(super) fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}/{SOCKET}", self.0.as_raw_fd()))
    }
}

/// A running carrier; it ends when it is dropped.
#[derive(Debug)]
pub(super) struct Carrier(JoinHandle<()>);

impl Carrier {
    /// Starts carrying. The machine has to have the address by now.
    pub(super) async fn start(platform: Arc<Platform>) -> io::Result<Self> {
        let listener = TcpListener::bind(CARRIER).await?;
        Ok(Self(tokio::spawn(serve(listener, platform))))
    }
}

impl Drop for Carrier {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn serve(listener: TcpListener, platform: Arc<Platform>) {
    let mut carried = JoinSet::new();
    let mut open = BTreeMap::<Ipv4Addr, usize>::new();
    loop {
        tokio::select! {
            Some(Ok(client)) = carried.join_next() => {
                if let Some(count) = open.get_mut(&client) {
                    *count -= 1;
                }
                open.retain(|_, count| *count > 0);
            }
            accepted = listener.accept(), if carried.len() < CONNECTIONS => {
                let Ok((stream, SocketAddr::V4(client))) = accepted else {
                    sleep(BREATH).await;
                    continue;
                };
                let count = open.entry(*client.ip()).or_default();
                if *count >= CONNECTIONS_OF_ONE {
                    continue;
                }
                *count += 1;
                let platform = Arc::clone(&platform);
                carried.spawn(async move {
                    // What breaks has ended.
                    let _ended = carry(stream, &platform).await;
                    *client.ip()
                });
            }
        }
    }
}

async fn carry(mut pod: TcpStream, platform: &Platform) -> io::Result<()> {
    let meant = getsockopt(&pod, OriginalDst)?;
    let to = SocketAddrV4::new(
        Ipv4Addr::from(u32::from_be(meant.sin_addr.s_addr)),
        u16::from_be(meant.sin_port),
    );
    if to == CARRIER {
        return Err(io::Error::other("nobody was meant"));
    }
    pod.set_nodelay(true)?;
    match outside::request_stream(&platform.path(), to).await {
        Ok(mut outside) => copy_bidirectional(&mut pod, &mut outside).await.map(drop),
        Err(error) => {
            // Who called hears that it ended at once, and not in order.
            pod.set_zero_linger()?;
            Err(error)
        }
    }
}
