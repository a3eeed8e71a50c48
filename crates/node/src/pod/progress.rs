//! How far the pull of an image is: of all its blobs, and not told more often than somebody reads.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::images;
use crate::image::Progress;

/// How often it is told.
const PAUSE: Duration = Duration::from_secs(2);

/// What hears of blobs, and tells of the image: how much is there, and whether this is the first time.
pub fn whole(tell: impl Fn(String, bool) + Send + Sync + 'static) -> images::Report {
    let sum = Mutex::new(Sum::default());
    Arc::new(move |progress| {
        let mut sum = sum.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((words, first)) = sum.note(progress, Instant::now()) {
            tell(words, first);
        }
    })
}

#[derive(Debug, Default)]
struct Sum {
    blobs: BTreeMap<String, (u64, u64)>,
    told: Option<Instant>,
}

impl Sum {
    fn note(&mut self, progress: Progress, now: Instant) -> Option<(String, bool)> {
        let Progress {
            digest,
            done,
            total,
        } = progress;
        self.blobs.insert(digest, (done, total));
        let first = self.told.is_none();
        if self
            .told
            .is_some_and(|told| now.duration_since(told) < PAUSE)
        {
            return None;
        }
        self.told = Some(now);
        Some((self.words(), first))
    }

    /// Blobs begin one after the other: of those that have not, nothing is known yet.
    fn words(&self) -> String {
        let (done, total) = self
            .blobs
            .values()
            .fold((0, 0), |(done, total), one| (done + one.0, total + one.1));
        format!("pulling: {} of {} MiB so far", done >> 20, total >> 20)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blobs_are_added_up_and_told_now_and_then() {
        let (mut sum, begun) = (Sum::default(), Instant::now());
        let mut note = |digest: &str, done: u64, total: u64, later: u64| {
            let progress = Progress {
                digest: digest.to_owned(),
                done: done << 20,
                total: total << 20,
            };
            sum.note(progress, begun + Duration::from_secs(later))
        };
        let words = |text: &str, first| Some((text.to_owned(), first));
        assert_eq!(
            note("a", 1, 10, 0),
            words("pulling: 1 of 10 MiB so far", true)
        );
        assert_eq!(note("a", 2, 10, 1), None);
        assert_eq!(
            note("b", 3, 5, 2),
            words("pulling: 5 of 15 MiB so far", false)
        );
    }
}
