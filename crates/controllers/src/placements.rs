//! What was last written to planes, and whether watches have brought it.

use std::collections::HashMap;

use choreo_writer::Edition;
use k8s_openapi::jiff::{SignedDuration, Timestamp};

use crate::act::Written;
use crate::live::LiveKey;

/// How long a watch may take to bring what was written.
const UNSEEN: SignedDuration = SignedDuration::from_secs(5);

/// What was last written of live objects.
#[derive(Default)]
pub(crate) struct Placements(HashMap<LiveKey, Placed>);

/// What was last written of a live object.
struct Placed {
    /// A hash of what was wanted.
    hash: u64,
    edition: Edition,
    at: Timestamp,
}

/// How a live object stands to what is wanted of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It is to be written: it never was, or something else was, or somebody has changed it.
    Due,
    /// It was written, and no watch has brought it so far, for which there is time until then.
    Awaited(Timestamp),
    /// It was written, and no watch has brought it in time.
    Lost,
    /// It is as it was written.
    Seen,
}

impl Placements {
    /// Takes down that an object was written; returns whether anything came of it.
    pub(crate) fn note(&mut self, written: Written, now: Timestamp) -> bool {
        let (hash, edition) = (written.hash, written.edition);
        let known = self.0.get(&written.key);
        if known.is_some_and(|known| (known.hash, known.edition) == (hash, edition)) {
            return false;
        }
        let placed = Placed {
            hash,
            edition,
            at: now,
        };
        self.0.insert(written.key, placed);
        true
    }

    /// How an object stands to what is wanted, of which `hash` is the hash; `seen` is the edition that
    /// watches have brought.
    pub(crate) fn standing(
        &self,
        key: &LiveKey,
        hash: u64,
        seen: Option<Edition>,
        now: Timestamp,
    ) -> Standing {
        let placed = self.0.get(key).filter(|placed| placed.hash == hash);
        let Some(placed) = placed else {
            return Standing::Due;
        };
        if seen == Some(placed.edition) {
            return Standing::Seen;
        }
        let until = placed.at + UNSEEN;
        let is_behind = seen.is_none_or(|seen| seen.is_before(placed.edition));
        match (is_behind, now < until) {
            (true, true) => Standing::Awaited(until),
            (true, false) => Standing::Lost,
            (false, _) => Standing::Due,
        }
    }

    /// The one copy of the key of what was written.
    pub(crate) fn key(&self, key: &LiveKey) -> Option<LiveKey> {
        let (key, _) = self.0.get_key_value(key)?;
        Some(key.clone())
    }

    /// Forgets an object that is gone.
    pub(crate) fn forget(&mut self, key: &LiveKey) {
        self.0.remove(key);
    }
}
