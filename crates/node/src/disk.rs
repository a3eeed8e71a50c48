//! The disk under the node's data: how full it is, what is removed because of that, and who is told.
//!
//! Unpacked layers that neither a pod nor an image of the store has are always removed. Where space is
//! short, so are images that a registry has and no pod, and the unpacked layers of the other images
//! that no pod has; where almost nothing is left the node says that it is under pressure.

use std::{
    collections::BTreeSet,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use nix::sys::statvfs::statvfs;
use tokio::sync::watch;

use crate::{
    machine::Machine,
    pod::{images::Images, spec::Folders, state::Fetched},
};

/// How often the disk is looked at.
const LOOK: Duration = Duration::from_secs(30);
/// After how many looks what nobody has is removed, however much space there is.
const ROUNDS: u32 = 20;
/// Less than this part of the disk, or less than so much of a large one, is short.
const SHORT: (u64, u64) = (15, 5 << 30);
/// And this is pressure.
const PRESSURE: (u64, u64) = (5, 1 << 30);

/// How much of a disk is free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Bytes it has.
    pub total: u64,
    /// Bytes that are left to its users.
    pub free: u64,
}

impl Space {
    /// The disk of a folder.
    pub fn of(folder: &Path) -> io::Result<Self> {
        let found = statvfs(folder)?;
        let unit = found.fragment_size();
        Ok(Self {
            total: found.blocks().saturating_mul(unit),
            free: found.blocks_available().saturating_mul(unit),
        })
    }

    fn is_below(self, (percent, bytes): (u64, u64)) -> bool {
        self.free < (self.total / 100).saturating_mul(percent).min(bytes)
    }

    /// Whether it is time to remove what can be had again.
    pub fn is_short(self) -> bool {
        self.is_below(SHORT)
    }

    /// Whether little more can be written. What begins with too little ends with half as much again,
    /// so that nothing flickers.
    pub fn presses(self, before: bool) -> bool {
        let (percent, bytes) = PRESSURE;
        let limits = if before {
            (percent + percent / 2, bytes + bytes / 2)
        } else {
            PRESSURE
        };
        self.is_below(limits)
    }

    /// In words.
    pub fn words(self) -> String {
        let megabytes = |bytes: u64| bytes >> 20;
        format!(
            "{} MiB of {} MiB are free",
            megabytes(self.free),
            megabytes(self.total)
        )
    }
}

/// The images that pods have got: as long as a pod holds one, its layers stay.
#[derive(Debug, Default)]
pub struct Held(Mutex<Vec<Weak<Fetched>>>);

impl Held {
    /// Takes note of an image that a pod has got.
    pub fn note(&self, image: &Arc<Fetched>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|known| known.strong_count() > 0);
        all.push(Arc::downgrade(image));
    }

    /// The images that pods still have.
    pub fn all(&self) -> Vec<Arc<Fetched>> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().filter_map(Weak::upgrade).collect()
    }
}

/// Looks after the disk.
pub struct Keeper {
    data: PathBuf,
    machine: Arc<dyn Machine>,
    images: Arc<dyn Images>,
    /// What pods have got of images.
    pub held: Arc<Held>,
    pressure: watch::Sender<Option<String>>,
}

impl Keeper {
    /// Who looks after the disk of these folders, and what tells that space is almost gone, and how
    /// much is left.
    pub fn new(
        folders: &Folders,
        machine: &Arc<dyn Machine>,
        images: &Arc<dyn Images>,
    ) -> (Self, watch::Receiver<Option<String>>) {
        let (pressure, pressed) = watch::channel(None);
        let keeper = Self {
            data: folders.data.clone(),
            machine: Arc::clone(machine),
            images: Arc::clone(images),
            held: Arc::default(),
            pressure,
        };
        (keeper, pressed)
    }

    /// Does so for ever.
    pub async fn run(self) {
        for round in (0..ROUNDS).cycle() {
            self.look(round == 1).await;
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Looks once, and removes what is not needed if it is time.
    async fn look(&self, due: bool) {
        let space = match Space::of(&self.data) {
            Ok(space) => space,
            Err(error) => {
                tracing::warn!(%error, folder = %self.data.display(), "looking at the disk");
                return;
            }
        };
        if due || space.is_short() {
            self.tidy(space.is_short()).await;
        }
        let after = Space::of(&self.data).unwrap_or(space);
        let before = self.pressure.borrow().is_some();
        let now = after.presses(before);
        if now != before {
            self.pressure.send_replace(now.then(|| after.words()));
        }
    }

    /// Removes what is not needed; with `short`, also what can be had again.
    pub async fn tidy(&self, short: bool) {
        if let Err(error) = self.remove_unneeded(short).await {
            tracing::warn!(%error, "what is not needed cannot be removed");
        }
    }

    async fn remove_unneeded(&self, short: bool) -> Result<(), String> {
        let held = self.held.all();
        let used = held.iter().map(|one| one.image.digest.clone()).collect();
        let left = self.images.tidy(&used, short).await;
        let Some(left) = left.map_err(|error| error.to_string())? else {
            return Ok(());
        };
        // Again: a pod may have got an image since.
        let held = self.held.all();
        let layers = held.iter().flat_map(|one| &one.image.layers);
        let mut kept: BTreeSet<String> = layers.map(|layer| layer.diff_id.clone()).collect();
        if !short {
            kept.extend(left);
        }
        let removed = self.machine.keep_layers(&kept).await;
        removed.map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_short_before_it_presses() {
        let gib = |total: u64, free: u64| Space {
            total: total << 30,
            free: free << 30,
        };
        for (space, short, presses) in [
            (gib(100, 50), false, false),
            (gib(100, 6), false, false),
            (gib(100, 4), true, false),
            (gib(100, 0), true, true),
            (gib(10, 2), false, false),
            (gib(10, 1), true, false),
            (gib(0, 0), false, false),
        ] {
            assert_eq!(
                (space.is_short(), space.presses(false)),
                (short, presses),
                "{space:?}"
            );
        }
        let little_more = Space {
            total: 100 << 30,
            free: 1200 << 20,
        };
        assert!(!little_more.presses(false) && little_more.presses(true));
        assert_eq!(little_more.words(), "1200 MiB of 102400 MiB are free");
    }
}
