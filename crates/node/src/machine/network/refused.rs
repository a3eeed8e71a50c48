//! What is refused: the kernel writes about packets, name servers tell names, and once in a while the
//! platform is told what was new, how often.

use std::{
    collections::BTreeMap,
    net::Ipv4Addr,
    sync::{Arc, Mutex, PoisonError},
};

use futures::StreamExt as _;
use nlink::{
    Connection,
    netlink::{Nflog, nflog::NflogPacket},
};
use tokio::{sync::mpsc, task::JoinHandle, time::Instant};

use super::{
    kernel::{REPORTS, SNIPPET, Sender, protocol},
    table::Reason,
};
use crate::machine::{Attempt, Flow, Gathered, Refused};

/// Takes what was refused.
pub(super) type Tell = Box<dyn Fn(Vec<Refused>) + Send + Sync>;

/// Names that wait to be counted.
const NAMES: usize = 256;

/// Watches what is refused; ends when it is dropped.
#[derive(Debug)]
pub(super) struct Watch {
    names: mpsc::Sender<Refused>,
    links: Arc<Mutex<Links>>,
    task: JoinHandle<()>,
    /// Why the kernel does not write about packets, if it does not.
    silent: Option<nlink::Error>,
}

/// Whose link has which number.
type Links = BTreeMap<u32, Ipv4Addr>;

impl Watch {
    /// Starts watching. A kernel that does not write about packets refuses them all the same.
    pub(super) async fn start(tell: Tell) -> Self {
        let (reports, silent) = match listen().await {
            Ok(reports) => (Some(reports), None),
            Err(error) => (None, Some(error)),
        };
        let (names, told) = mpsc::channel(NAMES);
        let links = Arc::new(Mutex::default());
        let task = tokio::spawn(watch(reports, told, Arc::clone(&links), tell));
        Self {
            names,
            links,
            task,
            silent,
        }
    }

    /// Why the kernel does not write about packets, if it does not.
    pub(super) const fn silent(&self) -> Option<&nlink::Error> {
        self.silent.as_ref()
    }

    /// Where names are told.
    pub(super) fn names(&self) -> mpsc::Sender<Refused> {
        self.names.clone()
    }

    /// Learns whose link it is.
    pub(super) fn add_link(&self, sender: &Sender) {
        if let Ok(number) = nix::net::if_::if_nametoindex(sender.link.as_str()) {
            let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
            links.insert(number, sender.address);
        }
    }

    /// Forgets a link.
    pub(super) fn remove_link(&self, sender: &Sender) {
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        links.retain(|_, address| *address != sender.address);
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn listen() -> nlink::Result<Connection<Nflog>> {
    let reports = Connection::<Nflog>::new()?;
    reports.bind_group(REPORTS, SNIPPET).await?;
    Ok(reports)
}

async fn watch(
    reports: Option<Connection<Nflog>>,
    mut names: mpsc::Receiver<Refused>,
    links: Arc<Mutex<Links>>,
    tell: Tell,
) {
    let mut packets = match &reports {
        Some(reports) => reports.events().await.boxed(),
        None => futures::stream::pending().boxed(),
    };
    let mut gathered = Gathered::default();
    let mut due = None;
    loop {
        let now = tokio::select! {
            packet = packets.next() => match packet {
                Some(Ok(packet)) => {
                    let links = links.lock().unwrap_or_else(PoisonError::into_inner);
                    let refused = read(&packet, &links);
                    drop(links);
                    let now = Instant::now();
                    if let Some(refused) = refused {
                        gathered.add(refused, now);
                    }
                    now
                }
                // More than fitted was written; what was lost is not counted.
                Some(Err(_)) => continue,
                None => return,
            },
            name = names.recv() => match name {
                Some(name) => {
                    let now = Instant::now();
                    gathered.add(name, now);
                    now
                }
                None => return,
            },
            now = at(due) => {
                let news = gathered.take(now);
                if !news.is_empty() {
                    tell(news);
                }
                now
            }
        };
        due = gathered.due().map(|due| due.max(now));
    }
}

async fn at(due: Option<Instant>) -> Instant {
    match due {
        Some(due) => {
            tokio::time::sleep_until(due).await;
            Instant::now()
        }
        None => std::future::pending().await,
    }
}

/// What a packet that the kernel writes about says.
fn read(packet: &NflogPacket, links: &Links) -> Option<Refused> {
    let bytes = packet.payload.as_slice();
    let address = |at: usize| {
        let octets: [u8; 4] = bytes.get(at..at + 4)?.try_into().ok()?;
        Some(Ipv4Addr::from(octets))
    };
    let (source, destination) = (address(12)?, address(16)?);
    let protocol = protocol(*bytes.get(9)?);
    let header = usize::from(bytes.first()? & 0x0f) * 4;
    let port = protocol
        .and_then(|_| bytes.get(header + 2..header + 4)?.try_into().ok())
        .map_or(0, u16::from_be_bytes);
    let flow = |peer| Flow {
        peer,
        protocol,
        port,
    };
    Some(match Reason::of(packet.prefix.as_deref()?)? {
        Reason::Egress => Refused::once(source, Attempt::Egress(flow(destination))),
        Reason::Ingress => Refused::once(destination, Attempt::Ingress(flow(source))),
        Reason::Source => {
            let pod = *links.get(&packet.indev?)?;
            Refused::once(pod, Attempt::Forged { source })
        }
    })
}
