//! What was refused, gathered so that it is told once in a while and not again and again.

use std::{collections::BTreeMap, net::Ipv4Addr, time::Duration};

use tokio::time::Instant;

use super::{Attempt, Refused};

/// How long what is refused is gathered.
const GATHER: Duration = Duration::from_millis(500);
/// How long what was told is not told again.
const SILENCE: Duration = Duration::from_secs(30);
/// Different attempts that are remembered, of all pods and of one.
const MOST: usize = 2048;
const MOST_OF_ONE: usize = 32;

/// What was refused and when it was told.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    attempts: BTreeMap<(Ipv4Addr, Attempt), Seen>,
}

#[derive(Debug)]
struct Seen {
    /// How often since it was told.
    count: u32,
    /// When it may be told.
    due: Instant,
}

impl Gathered {
    /// Counts something, unless there is too much else.
    pub(crate) fn add(&mut self, refused: Refused, now: Instant) {
        let pod = refused.pod;
        let key = (pod, refused.attempt);
        if let Some(seen) = self.attempts.get_mut(&key) {
            seen.count = seen.count.saturating_add(refused.count);
            return;
        }
        let of_one = self.attempts.keys().filter(|(of, _)| *of == pod).count();
        if self.attempts.len() < MOST && of_one < MOST_OF_ONE {
            let seen = Seen {
                count: refused.count,
                due: now + GATHER,
            };
            self.attempts.insert(key, seen);
        }
    }

    /// When there is something to tell or to forget.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.attempts.values().map(|seen| seen.due).min()
    }

    /// What there is to tell; what was silent since it was told is forgotten.
    pub(crate) fn take(&mut self, now: Instant) -> Vec<Refused> {
        let mut news = Vec::new();
        self.attempts.retain(|(pod, attempt), seen| {
            if seen.due > now {
                return true;
            }
            if seen.count > 0 {
                news.push(Refused {
                    pod: *pod,
                    attempt: attempt.clone(),
                    count: seen.count,
                });
            }
            let goes_on = seen.count > 0;
            (seen.count, seen.due) = (0, now + SILENCE);
            goes_on
        });
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(pod: u8, name: &str) -> Refused {
        let attempt = Attempt::Name { name: name.into() };
        Refused::once(Ipv4Addr::new(10, 0, 0, pod), attempt)
    }

    #[test]
    fn what_goes_on_is_told_again_after_a_while() {
        let (mut gathered, start) = (Gathered::default(), Instant::now());
        gathered.add(name(1, "a"), start);
        gathered.add(name(1, "a"), start);
        assert_eq!(gathered.take(start), []);
        let told = gathered.take(gathered.due().unwrap());
        assert_eq!(told.iter().map(|one| one.count).collect::<Vec<_>>(), [2]);
        gathered.add(name(1, "a"), start);
        let again = gathered.due().unwrap();
        assert!(again >= start + SILENCE, "not at once");
        assert_eq!(gathered.take(again), [name(1, "a")]);
        assert_eq!(gathered.take(gathered.due().unwrap()), []);
        assert_eq!(gathered.due(), None, "forgotten");
    }

    #[test]
    fn one_pod_leaves_room_for_others() {
        let (mut gathered, now) = (Gathered::default(), Instant::now());
        for number in 0..10 * MOST_OF_ONE {
            gathered.add(name(1, &number.to_string()), now);
        }
        gathered.add(name(2, "a"), now);
        let told = gathered.take(now + GATHER);
        assert_eq!(told.len(), MOST_OF_ONE + 1);
        assert!(told.contains(&name(2, "a")));
    }
}
