//! Which pods speak with whom outside: how many flows there may be, and when one has rested long enough to be
//! forgotten. Plain state; times are given.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddrV4},
    sync::Arc,
    time::Duration,
};

use tokio::{sync::Semaphore, time::Instant};

use super::packet::Flow;
use crate::machine::Uncarried;

/// Flows at once, and of one pod.
pub(super) const MOST: usize = 4096;
pub(super) const MOST_OF_ONE: usize = 1024;
/// How long a flow may rest, as the kernel's connection tracking has it: a question and its answer, and a
/// conversation, which is one that is answered [`EXCHANGE`] after it began.
pub(super) const REST: Duration = Duration::from_secs(30);
const REST_ANSWERED: Duration = Duration::from_mins(2);
const EXCHANGE: Duration = Duration::from_secs(2);
/// Bytes of one pod that wait to be carried.
const WAITING_OF_ONE: usize = 2 << 20;

/// All flows, each with what it takes to use it.
#[derive(Debug)]
pub(super) struct Flows<T> {
    pods: BTreeMap<Ipv4Addr, Pod<T>>,
    count: usize,
}

/// The flows of a pod.
#[derive(Debug)]
struct Pod<T> {
    /// By its port, and where they lead.
    flows: BTreeMap<(u16, SocketAddrV4), Known<T>>,
    /// Room for bytes that wait.
    room: Arc<Semaphore>,
}

#[derive(Debug)]
struct Known<T> {
    value: T,
    began: Instant,
    last: Instant,
    /// Both have spoken for a while.
    is_conversation: bool,
}

impl<T> Known<T> {
    fn ends(&self) -> Instant {
        let rest = if self.is_conversation {
            REST_ANSWERED
        } else {
            REST
        };
        self.last + rest
    }
}

impl<T> Default for Flows<T> {
    fn default() -> Self {
        Self {
            pods: BTreeMap::new(),
            count: 0,
        }
    }
}

impl<T> Flows<T> {
    /// What a flow is used with, if it is known.
    pub(super) fn get(&self, flow: Flow) -> Option<&T> {
        let pod = self.pods.get(flow.from.ip())?;
        let known = pod.flows.get(&(flow.from.port(), flow.to))?;
        Some(&known.value)
    }

    /// Notes that the pod has sent something.
    pub(super) fn sent(&mut self, flow: Flow, now: Instant) {
        if let Some(known) = self.known(flow) {
            known.last = now;
        }
    }

    /// Notes an answer; whether the flow is still known.
    pub(super) fn answered(&mut self, flow: Flow, now: Instant) -> bool {
        let Some(known) = self.known(flow) else {
            return false;
        };
        known.last = now;
        known.is_conversation |= now > known.began + EXCHANGE;
        true
    }

    /// Adds a flow. Of a pod that has as many as it may, the one that rests longest makes room, unless all of them
    /// are conversations.
    pub(super) fn open(&mut self, flow: Flow, value: T, now: Instant) -> Result<(), Uncarried> {
        let pod = *flow.from.ip();
        let own = self.pods.get(&pod).map_or(0, |pod| pod.flows.len());
        if own >= MOST_OF_ONE {
            self.make_room(pod).ok_or(Uncarried::Flows)?;
        } else if self.count >= MOST {
            self.make_room(pod).ok_or(Uncarried::AllFlows)?;
        }
        let known = Known {
            value,
            began: now,
            last: now,
            is_conversation: false,
        };
        let pod = self.pods.entry(pod).or_insert_with(|| Pod {
            flows: BTreeMap::new(),
            room: Arc::new(Semaphore::new(WAITING_OF_ONE)),
        });
        let before = pod.flows.insert((flow.from.port(), flow.to), known);
        self.count += usize::from(before.is_none());
        Ok(())
    }

    /// Room for bytes of a pod that wait.
    pub(super) fn room(&self, pod: Ipv4Addr) -> Option<Arc<Semaphore>> {
        self.pods.get(&pod).map(|pod| Arc::clone(&pod.room))
    }

    /// Forgets what is not kept.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(Flow) -> bool) {
        self.retain_known(|flow, _| keep(flow));
    }

    /// Forgets the flows that have rested.
    pub(super) fn end_rested(&mut self, now: Instant) {
        self.retain_known(|_, known| known.ends() > now);
    }

    /// When there is something to forget again.
    pub(super) fn next_end(&self) -> Option<Instant> {
        let all = self.pods.values().flat_map(|pod| pod.flows.values());
        all.map(Known::ends).min()
    }

    fn known(&mut self, flow: Flow) -> Option<&mut Known<T>> {
        let pod = self.pods.get_mut(flow.from.ip())?;
        pod.flows.get_mut(&(flow.from.port(), flow.to))
    }

    fn make_room(&mut self, pod: Ipv4Addr) -> Option<()> {
        let flows = &mut self.pods.get_mut(&pod)?.flows;
        let short = flows.iter().filter(|(_, known)| !known.is_conversation);
        let rests_longest = short.min_by_key(|(_, known)| known.last);
        let key = *rests_longest?.0;
        flows.remove(&key)?;
        self.count -= 1;
        Some(())
    }

    fn retain_known(&mut self, mut keep: impl FnMut(Flow, &Known<T>) -> bool) {
        for (address, pod) in &mut self.pods {
            pod.flows.retain(|(port, to), known| {
                let from = SocketAddrV4::new(*address, *port);
                keep(Flow { from, to: *to }, known)
            });
        }
        self.pods.retain(|_, pod| !pod.flows.is_empty());
        self.count = self.pods.values().map(|pod| pod.flows.len()).sum();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow(pod: u8, port: u16, to: u16) -> Flow {
        Flow {
            from: SocketAddrV4::new(Ipv4Addr::new(10, 128, 1, pod), port),
            to: SocketAddrV4::new(Ipv4Addr::new(8, 8, 8, 8), to),
        }
    }

    const fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[test]
    fn an_exchange_rests_less_than_a_conversation() {
        let (mut flows, start) = (Flows::default(), Instant::now());
        let (exchange, conversation) = (flow(2, 1, 53), flow(2, 2, 443));
        for flow in [exchange, conversation] {
            assert_eq!(flows.get(flow), None);
            flows.open(flow, (), start).unwrap();
            assert!(flows.answered(flow, start + seconds(1)));
        }
        assert!(flows.answered(conversation, start + seconds(3)));
        assert_eq!(flows.next_end(), Some(start + seconds(31)));
        flows.end_rested(start + seconds(31));
        assert!(!flows.answered(exchange, start + seconds(31)));
        assert_eq!(flows.next_end(), Some(start + seconds(123)));
        flows.sent(conversation, start + seconds(100));
        flows.end_rested(start + seconds(219));
        assert_eq!(flows.get(conversation), Some(&()));
        flows.end_rested(start + seconds(220));
        assert_eq!(flows.next_end(), None);
    }

    #[test]
    fn a_pod_has_so_many_and_exchanges_make_room() {
        let (mut flows, start) = (Flows::default(), Instant::now());
        let most = u16::try_from(MOST_OF_ONE).unwrap();
        for port in 0..most {
            let now = start + Duration::from_millis(port.into());
            flows.open(flow(2, port, 53), (), now).unwrap();
        }
        // The first was used since.
        flows.sent(flow(2, 0, 53), start + seconds(2));
        flows
            .open(flow(2, most, 53), (), start + seconds(2))
            .unwrap();
        let is_known = |port| flows.get(flow(2, port, 53)).is_some();
        assert!(is_known(0) && is_known(most));
        assert!(!is_known(1));
        for port in 0..=most {
            flows.answered(flow(2, port, 53), start + seconds(9));
        }
        let more = flows.open(flow(2, 9999, 53), (), start + seconds(9));
        assert_eq!(more, Err(Uncarried::Flows));
        flows.open(flow(3, 9999, 53), (), start).unwrap();
    }

    #[test]
    fn all_pods_have_so_many() {
        let (mut flows, start) = (Flows::default(), Instant::now());
        for number in 0..MOST {
            let (pod, port) = (number / MOST_OF_ONE, number % MOST_OF_ONE);
            let flow = flow(u8::try_from(pod).unwrap(), u16::try_from(port).unwrap(), 53);
            flows.open(flow, (), start).unwrap();
        }
        assert_eq!(
            flows.open(flow(99, 1, 53), (), start),
            Err(Uncarried::AllFlows)
        );
        flows.retain(|flow| flow.from.port() != 0);
        flows.open(flow(99, 1, 53), (), start).unwrap();
        assert!(flows.room(*flow(99, 1, 53).from.ip()).is_some());
        flows.retain(|_| false);
        assert_eq!(flows.count, 0);
    }
}
