//! How much a layer may grow while it is unpacked. What an archive holds says little about that: a small
//! one may unpack to any size.

use std::{
    cell::Cell,
    io::{self, Read, Write},
    path::Path,
};

use nix::sys::statvfs::statvfs;

/// How often the disk is looked at, in bytes.
const STEP: u64 = 16 << 20;
const PIECE: usize = 128 << 10;

/// Room on a disk.
pub(super) struct Room<'a> {
    folder: &'a Path,
    /// Bytes that may be written.
    left: Cell<u64>,
    /// Bytes of the disk that stay free for everything else.
    reserve: u64,
    /// Bytes until the disk is looked at.
    unseen: Cell<u64>,
}

impl<'a> Room<'a> {
    pub(super) fn new(folder: &'a Path, longest: u64, reserve: u64) -> Self {
        Self {
            folder,
            left: Cell::new(longest),
            reserve,
            unseen: Cell::new(0),
        }
    }

    /// Copies a file, as far as there is room.
    pub(super) fn copy(&self, from: &mut impl Read, to: &mut impl Write) -> io::Result<()> {
        let mut piece = vec![0; PIECE];
        loop {
            let length = match from.read(&mut piece) {
                Ok(0) => return Ok(()),
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            self.take(u64::try_from(length).unwrap_or(u64::MAX))?;
            to.write_all(&piece[..length])?;
        }
    }

    fn take(&self, bytes: u64) -> io::Result<()> {
        let Some(left) = self.left.get().checked_sub(bytes) else {
            return Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                "the layer unpacks to more than layers may have",
            ));
        };
        self.left.set(left);
        if let Some(unseen) = self.unseen.get().checked_sub(bytes) {
            self.unseen.set(unseen);
            return Ok(());
        }
        self.unseen.set(STEP);
        let found = statvfs(self.folder)?;
        let free = found
            .blocks_available()
            .saturating_mul(found.fragment_size());
        if free < self.reserve.saturating_add(STEP) {
            return Err(io::Error::new(
                io::ErrorKind::StorageFull,
                "no space left on the disk to unpack the layer",
            ));
        }
        Ok(())
    }
}
