//! How much of the past is kept, in memory and on the disk.

use std::collections::VecDeque;

/// How many versions are kept at least, as long as they are not too long.
const KEPT: usize = 10_000;
/// How long their texts are all together, in bytes.
const BYTES: usize = 32 << 20;
/// How many versions are kept, however long they are.
const LEAST: usize = 256;
/// Versions that are forgotten at one time: few, since whoever writes then waits for it.
const BITE: usize = 64;

/// The versions that are kept, by the lengths of their texts, the oldest first.
#[derive(Debug)]
pub(super) struct History {
    sizes: VecDeque<usize>,
    bytes: usize,
}

impl History {
    /// Versions of these sizes.
    pub(super) fn new(sizes: Vec<usize>) -> Self {
        Self {
            bytes: sizes.iter().sum(),
            sizes: sizes.into(),
        }
    }

    /// Takes down that a version was written.
    pub(super) fn note(&mut self, size: usize) {
        self.sizes.push_back(size);
        self.bytes += size;
    }

    /// How many of the oldest are to be forgotten when the next version is written. What is forgotten
    /// goes with what is written next, which costs no commit of its own.
    pub(super) fn surplus(&self) -> usize {
        let rest = self.sizes.len().saturating_sub(BITE);
        let is_much = rest >= KEPT || (rest >= LEAST && self.bytes > BYTES);
        if is_much { BITE } else { 0 }
    }

    /// The version that history begins behind, where `newest` is the last, and the one it begins behind
    /// without so many of the oldest.
    pub(super) fn span(&self, newest: u64, count: usize) -> (u64, u64) {
        let kept = u64::try_from(self.sizes.len()).unwrap_or(u64::MAX);
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        let horizon = newest.saturating_sub(kept);
        (horizon, horizon.saturating_add(count).min(newest))
    }

    /// Takes down that so many of the oldest were forgotten.
    pub(super) fn forget(&mut self, count: usize) {
        let forgotten = self.sizes.drain(..count.min(self.sizes.len()));
        self.bytes -= forgotten.sum::<usize>();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many versions are kept in the end, of many that are so long.
    fn kept(size: usize, most: usize) -> usize {
        let mut history = History::new(Vec::new());
        for _ in 0..4 * KEPT {
            history.forget(history.surplus());
            history.note(size);
            assert!(history.sizes.len() <= most, "it is forgotten in time");
        }
        history.sizes.len()
    }

    #[test]
    fn short_versions_are_kept_by_their_number() {
        assert!((KEPT..=KEPT + BITE).contains(&kept(100, KEPT + BITE)));
    }

    #[test]
    fn long_versions_are_kept_by_their_length() {
        let size = 32 << 10;
        let fit = BYTES / size;
        assert!((fit - BITE..=fit + 1).contains(&kept(size, fit + 1)));
    }

    #[test]
    fn some_are_always_kept() {
        assert!((LEAST..=LEAST + BITE).contains(&kept(BYTES, LEAST + BITE)));
    }

    #[test]
    fn the_oldest_go_first() {
        let history = History::new(vec![1; 500]);
        assert_eq!(history.span(2_000, 64), (1_500, 1_564));
    }

    #[test]
    fn what_was_read_counts() {
        let history = History::new(vec![1; KEPT + BITE]);
        assert_eq!(history.surplus(), BITE);
        assert_eq!(History::new(vec![1; KEPT]).surplus(), 0);
    }
}
