//! Where a store is kept, and how a restored file takes the place of the one before.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use super::Error;

/// The folder of a store and the file with the keys of its secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub(super) folder: PathBuf,
    pub(super) key: PathBuf,
}

impl Place {
    /// A store in `folder` whose secrets are sealed by the key in the file `key`. Both are made when
    /// they are not there. Whoever has a copy of the folder alone cannot read its secrets.
    pub fn new(folder: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            key: key.into(),
        }
    }

    /// The file with the keys.
    pub fn key(&self) -> &Path {
        &self.key
    }

    /// The database.
    pub(super) fn file(&self) -> PathBuf {
        self.folder.join("objects.sqlite")
    }

    /// A database that takes the place of the present one when the store is opened.
    pub(super) fn staged(&self) -> PathBuf {
        self.folder.join("restore.sqlite")
    }

    /// Puts a staged database in its place and the one before aside. Whoever calls holds the
    /// lock. After a crash in the middle it is done to the end the next time.
    pub(super) fn settle(&self) -> Result<Option<PathBuf>, Error> {
        let staged = self.staged();
        if !staged.exists() {
            return Ok(None);
        }
        let failed = |source| Error::File {
            path: staged.clone(),
            source,
        };
        let aside = self.aside();
        let (file, moved) = (self.file(), file_exists(&self.file()));
        if moved {
            move_if_there(&with_suffix(&file, "-wal"), &with_suffix(&aside, "-wal"))
                .and_then(|()| remove_if_there(&with_suffix(&file, "-shm")))
                .and_then(|()| fs::rename(&file, &aside))
                .map_err(failed)?;
        }
        fs::rename(&staged, &file)
            .and_then(|()| sync_folder(&self.folder))
            .map_err(failed)?;
        tracing::info!(before = %aside.display(), "a restored database took its place");
        Ok(moved.then_some(aside))
    }

    /// A name for the database of before that nothing has yet.
    fn aside(&self) -> PathBuf {
        let mut number = 1_u32;
        loop {
            let name = format!("objects.before-restore-{number}.sqlite");
            let path = self.folder.join(name);
            if !file_exists(&path) {
                return path;
            }
            number += 1;
        }
    }
}

/// A store with its key inside its folder: enough where nobody takes copies of the folder.
impl From<&Path> for Place {
    fn from(folder: &Path) -> Self {
        Self::new(folder, folder.join("key"))
    }
}

fn file_exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut text = path.as_os_str().to_owned();
    text.push(suffix);
    text.into()
}

fn move_if_there(from: &Path, to: &Path) -> io::Result<()> {
    ignore_missing(fs::rename(from, to))
}

pub(super) fn remove_if_there(path: &Path) -> io::Result<()> {
    ignore_missing(fs::remove_file(path))
}

fn ignore_missing(outcome: io::Result<()>) -> io::Result<()> {
    match outcome {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Makes renames in a folder durable.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
