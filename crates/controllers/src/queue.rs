//! The queue of objects to decide about: each at most once, never two decisions at the same time.

use std::collections::{BTreeSet, HashSet, VecDeque};

use k8s_openapi::jiff::{SignedDuration, Timestamp};

use crate::key::Key;

/// For how many objects there is room while nobody waits.
const USUAL: usize = 1_024;

/// Objects to decide about.
#[derive(Default)]
pub(crate) struct Queue {
    order: VecDeque<Key>,
    queued: HashSet<Key>,
    running: HashSet<Key>,
    /// Woken while running: decided about again afterwards.
    again: HashSet<Key>,
    later: BTreeSet<(Timestamp, Key)>,
}

impl Queue {
    /// Asks for a decision about `key`.
    pub(crate) fn push(&mut self, key: Key) {
        if self.running.contains(&key) {
            self.again.insert(key);
        } else if self.queued.insert(key.clone()) {
            self.order.push_back(key);
        }
    }

    /// Asks for a decision about `key` at `time`.
    pub(crate) fn push_at(&mut self, time: Timestamp, key: Key) {
        self.later.insert((time, key));
    }

    /// The next object, which is running from now on.
    pub(crate) fn pop(&mut self, now: Timestamp) -> Option<Key> {
        while self.later.first().is_some_and(|(time, _)| *time <= now) {
            if let Some((_, key)) = self.later.pop_first() {
                self.push(key);
            }
        }
        let Some(key) = self.order.pop_front() else {
            // What was needed when much was to be decided about.
            self.order.shrink_to(USUAL);
            return None;
        };
        self.queued.remove(&key);
        self.running.insert(key.clone());
        Some(key)
    }

    /// The decision about `key` was carried out.
    pub(crate) fn done(&mut self, key: &Key) {
        self.running.remove(key);
        if self.again.remove(key) {
            self.push(key.clone());
        }
    }

    /// When the next object asked for a later time is due.
    pub(crate) fn next_due(&self) -> Option<Timestamp> {
        self.later.first().map(|(time, _)| *time)
    }
}

/// How long to wait after so many failures in a row.
pub(crate) fn back_off(attempts: u32) -> SignedDuration {
    const FIRST: i64 = 250;
    const LONGEST: i64 = 60_000;
    let doubled = FIRST.saturating_mul(1 << attempts.saturating_sub(1).min(20));
    SignedDuration::from_millis(doubled.min(LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        Key::new("Component", "default", name)
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn an_object_waits_once() {
        let mut queue = Queue::default();
        queue.push(key("a"));
        queue.push(key("a"));
        queue.push(key("b"));
        assert_eq!(queue.pop(at(0)), Some(key("a")));
        assert_eq!(queue.pop(at(0)), Some(key("b")));
        assert_eq!(queue.pop(at(0)), None);
    }

    #[test]
    fn an_object_woken_while_running_runs_again_afterwards() {
        let mut queue = Queue::default();
        queue.push(key("a"));
        queue.pop(at(0));
        queue.push(key("a"));
        assert_eq!(queue.pop(at(0)), None);
        queue.done(&key("a"));
        assert_eq!(queue.pop(at(0)), Some(key("a")));
    }

    #[test]
    fn later_is_later() {
        let mut queue = Queue::default();
        queue.push_at(at(10), key("a"));
        assert_eq!(queue.pop(at(9)), None);
        assert_eq!(queue.next_due(), Some(at(10)));
        assert_eq!(queue.pop(at(10)), Some(key("a")));
    }

    #[test]
    fn waiting_grows_and_ends() {
        assert_eq!(back_off(1), SignedDuration::from_millis(250));
        assert_eq!(back_off(2), SignedDuration::from_millis(500));
        assert_eq!(back_off(100), SignedDuration::from_secs(60));
    }
}
