//! Datagrams that leave the network of cells. The rules let them through to a link whose far end is in a network
//! namespace of its own; there they are read as they are, and what they carry is handed over a socket to the
//! platform, which sends it on from the host. Answers come the same way, and are written as packets from whom
//! the pod spoke to.
//!
//! The way has to keep where a datagram goes, for any address and port. A socket behind a changed destination
//! cannot tell (`SO_ORIGINAL_DST` is for streams), transparent proxying takes a module of the kernel that hosts may
//! lack, and so does a queue of packets; `/dev/net/tun` is absent in most containers. A link and a packet socket are
//! there wherever pods have links, with rights over the host or without; and since the packets pass the rules like
//! others, the kernel knows which answers belong to what a pod has sent.

mod flows;
mod packet;
mod socket;

use std::{
    io,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::{
    net::unix::{OwnedReadHalf, OwnedWriteHalf},
    sync::{
        OwnedSemaphorePermit, Semaphore,
        mpsc::{self, error::TrySendError},
    },
    task::JoinHandle,
    time::{Instant, sleep, sleep_until},
};

pub(super) use self::packet::Flow;
#[cfg(any(test, fuzzing))]
pub(crate) use self::packet::fuzz;
use self::{flows::Flows, socket::Socket};
use super::{
    carrier::{BREATH, Platform},
    links,
    rules::Ways,
};
use crate::{
    machine::{self, Attempt, Protocol, Refused, Uncarried},
    outside,
};

/// Bytes that wait to be carried.
const WAITING: usize = 64 << 20;
/// Datagrams of one flow that wait.
const WAITING_OF_FLOW: usize = 256;

/// What carries datagrams; it ends when it is dropped, and every flow with it.
#[derive(Debug)]
pub(super) struct Datagrams {
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    socket: Socket,
    platform: PathBuf,
    state: Mutex<State>,
    room: Arc<Semaphore>,
    tell: mpsc::Sender<Refused>,
}

#[derive(Debug, Default)]
struct State {
    /// Who may send where.
    ways: Ways,
    flows: Flows<mpsc::Sender<Waiting>>,
}

/// A datagram that waits, and the room that it takes.
#[derive(Debug)]
struct Waiting {
    payload: Vec<u8>,
    _room: [OwnedSemaphorePermit; 2],
}

impl Datagrams {
    /// Starts carrying what comes out of the link's far end. What is lost is told.
    pub(super) async fn start(
        netns: &Path,
        platform: &Platform,
        tell: mpsc::Sender<Refused>,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            socket: Socket::open(netns.to_owned(), links::FAR_END).await?,
            platform: platform.path(),
            state: Mutex::default(),
            room: Arc::new(Semaphore::new(WAITING)),
            tell,
        });
        let task = tokio::spawn(carry(Arc::clone(&shared)));
        Ok(Self { shared, task })
    }

    /// Carries what these ways are for from now on. What else there was is ended: its answers come no more.
    pub(super) fn set(&self, ways: Ways) {
        let mut state = self.shared.state();
        state.flows.retain(|flow| ways.lead(flow));
        state.ways = ways;
    }

    /// Ends what a pod has open: another one may get its address.
    pub(super) fn end_of(&self, pod: Ipv4Addr) {
        self.shared
            .state()
            .flows
            .retain(|flow| *flow.from.ip() != pod);
    }
}

impl Drop for Datagrams {
    fn drop(&mut self) {
        self.task.abort();
        self.shared.state().flows.retain(|_| false);
    }
}

async fn carry(shared: Arc<Shared>) {
    let mut buffer = vec![0; packet::LONGEST_FRAME];
    let mut look: Option<Instant> = None;
    loop {
        tokio::select! {
            received = shared.socket.receive(&mut buffer) => match received {
                Ok(length) => {
                    let frame = buffer.get(..length).unwrap_or_default();
                    if let Some((flow, payload)) = packet::read(frame) {
                        let now = Instant::now();
                        shared.deliver(flow, payload, now);
                        let soon = now + flows::REST;
                        look = Some(look.map_or(soon, |look| soon.min(look)));
                    }
                }
                Err(_) => sleep(BREATH).await,
            },
            () = at(look) => look = shared.end_rested(),
        }
    }
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands a datagram to its flow.
    fn deliver(self: &Arc<Self>, flow: Flow, payload: &[u8], now: Instant) {
        if let Err(why) = self.try_deliver(flow, payload, now) {
            self.tell(flow, why);
        }
    }

    fn try_deliver(
        self: &Arc<Self>,
        flow: Flow,
        payload: &[u8],
        now: Instant,
    ) -> Result<(), Uncarried> {
        let mut state = self.state();
        let queue = match state.flows.get(flow) {
            Some(queue) => queue.clone(),
            // It was let out by rules that are gone by now.
            None if !state.ways.lead(flow) => return Ok(()),
            None => {
                let (queue, waiting) = mpsc::channel(WAITING_OF_FLOW);
                state.flows.open(flow, queue.clone(), now)?;
                tokio::spawn(session(Arc::clone(self), flow, waiting));
                queue
            }
        };
        let room = state.flows.room(*flow.from.ip());
        let waiting = room.and_then(|room| self.waiting(&room, payload));
        match queue.try_send(waiting.ok_or(Uncarried::Waiting)?) {
            Ok(()) => {
                state.flows.sent(flow, now);
                Ok(())
            }
            Err(TrySendError::Full(_)) => Err(Uncarried::Waiting),
            // Whoever could not be reached is tried again when the flow has rested.
            Err(TrySendError::Closed(_)) => Ok(()),
        }
    }

    fn waiting(&self, room: &Arc<Semaphore>, payload: &[u8]) -> Option<Waiting> {
        let length = u32::try_from(payload.len()).ok()?;
        let take = |room: &Arc<Semaphore>| Arc::clone(room).try_acquire_many_owned(length).ok();
        Some(Waiting {
            _room: [take(room)?, take(&self.room)?],
            payload: payload.to_vec(),
        })
    }

    fn end_rested(&self) -> Option<Instant> {
        let mut state = self.state();
        state.flows.end_rested(Instant::now());
        state.flows.next_end()
    }

    fn tell(&self, flow: Flow, why: Uncarried) {
        let refused = Refused::once(*flow.from.ip(), Attempt::Uncarried(why));
        // When too much is lost, some of it is not told.
        let _full = self.tell.try_send(refused);
    }
}

/// Carries what belongs to a flow, until the flow is forgotten.
async fn session(shared: Arc<Shared>, flow: Flow, waiting: mpsc::Receiver<Waiting>) {
    let Ok(platform) = outside::request_datagrams(&shared.platform, flow.to).await else {
        let to = machine::Flow {
            peer: *flow.to.ip(),
            protocol: Some(Protocol::Udp),
            port: flow.to.port(),
        };
        shared.tell(flow, Uncarried::Unreached(to));
        return;
    };
    let (mut answers, mut sent) = platform.into_split();
    tokio::select! {
        // What breaks has ended.
        _ended = forth(waiting, &mut sent) => {}
        _ended = back(&shared, flow, &mut answers) => {}
    }
}

async fn forth(mut waiting: mpsc::Receiver<Waiting>, sent: &mut OwnedWriteHalf) -> io::Result<()> {
    while let Some(Waiting { payload, _room }) = waiting.recv().await {
        outside::write_message(sent, &payload).await?;
    }
    Ok(())
}

async fn back(shared: &Shared, flow: Flow, answers: &mut OwnedReadHalf) -> io::Result<()> {
    loop {
        let payload = outside::read_message(answers).await?;
        if !shared.state().flows.answered(flow, Instant::now()) {
            return Ok(());
        }
        if let Some(frame) = packet::write(links::MACHINE, flow.back(), &payload) {
            // What does not fit now is lost, as on any link.
            let _lost = shared.socket.send(&frame);
        }
    }
}
