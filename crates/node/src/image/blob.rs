//! Writing one blob: into a temporary file that becomes visible, under its digest, only when it is
//! whole, has the promised digest and size, and is on the disk.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use sha2::{Digest as _, Sha256};

use super::{Error, Result, layout::Digest};

/// A blob on its way into the store. Dropped unfinished, it leaves nothing.
pub(super) struct Writer {
    file: File,
    temporary: PathBuf,
    folder: PathBuf,
    hasher: Sha256,
    written: u64,
    limit: u64,
}

impl Writer {
    /// Begins a blob of at most `limit` bytes.
    pub(super) fn create(temporary: &Path, folder: &Path, limit: u64) -> Result<Self> {
        let temporary = temporary.join(uuid::Uuid::new_v4().to_string());
        let file = File::create_new(&temporary)
            .map_err(|e| Error::io(format!("create {}", temporary.display()), e))?;
        Ok(Self {
            file,
            temporary,
            folder: folder.to_owned(),
            hasher: Sha256::new(),
            written: 0,
            limit,
        })
    }

    /// Ends the blob and gives its digest and size.
    pub(super) fn finish(self, expected: Option<&Digest>) -> Result<(Digest, u64)> {
        let digest = Digest::finish(self.hasher.clone());
        if let Some(expected) = expected
            && *expected != digest
        {
            return Err(Error::corrupt(
                format!("blob {expected}"),
                format!("its digest is {digest}"),
            ));
        }
        let place = self.folder.join(digest.hex());
        let doing = || format!("store blob {digest}");
        self.file.sync_all().map_err(|e| Error::io(doing(), e))?;
        fs::rename(&self.temporary, &place).map_err(|e| Error::io(doing(), e))?;
        sync_folder(&self.folder)?;
        Ok((digest, self.written))
    }
}

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes)?;
        self.written += count as u64;
        if self.written > self.limit {
            return Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                format!("longer than the {} bytes allowed", self.limit),
            ));
        }
        self.hasher.update(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // Gone already after a rename.
        let _ = fs::remove_file(&self.temporary);
    }
}

/// Makes renames in a folder durable.
pub(super) fn sync_folder(folder: &Path) -> Result<()> {
    File::open(folder)
        .and_then(|f| f.sync_all())
        .map_err(|e| Error::io(format!("sync {}", folder.display()), e))
}
