//! Putting the entries of an archive into a folder, and nowhere else: paths and links are followed
//! inside only, whiteouts become what overlay file systems read, owners are those that can be had.

use std::{
    ffi::{CString, OsStr},
    fs::{self, OpenOptions},
    io::{self, Read},
    os::unix::{
        ffi::OsStrExt as _,
        fs::{OpenOptionsExt as _, PermissionsExt as _, lchown, symlink},
    },
    path::{Component, Path, PathBuf},
    time::{Duration, SystemTime},
};

use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use tar::{Entry, EntryType};

use super::{Error, Owners, remove, room::Room};

/// Most links followed on the way to one path.
const MOST_LINKS: usize = 40;
/// Prefix of names that stand for deletions.
const WHITEOUT: &[u8] = b".wh.";
/// Name that hides everything below.
const OPAQUE: &[u8] = b".wh..wh..opq";

/// The folder a layer is unpacked into.
pub(super) struct Target<'a> {
    pub(super) root: &'a Path,
    pub(super) owners: Owners,
    pub(super) room: Room<'a>,
}

impl Target<'_> {
    /// Makes what an entry describes.
    pub(super) fn add<R: Read>(&self, entry: &mut Entry<'_, R>) -> Result<(), Error> {
        let name = entry.path_bytes().into_owned();
        let shown = String::from_utf8_lossy(&name).into_owned();
        let refused = |reason| Error::Refused {
            path: shown.clone(),
            reason,
        };
        let path = plain_path(&name).ok_or_else(|| refused("the path leaves the layer"))?;
        let Some(file_name) = path.file_name() else {
            // The root itself keeps the mode of all roots.
            return Ok(());
        };
        let kind = entry.header().entry_type();
        if matches!(kind, EntryType::Block | EntryType::Char) {
            return Err(refused("device files are refused"));
        }
        let failed = |source| Error::Entry {
            path: shown.clone(),
            source,
        };
        let parent = self
            .folder(path.parent().unwrap_or_else(|| Path::new("")))
            .map_err(failed)?;
        let whiteout = file_name
            .as_bytes()
            .strip_prefix(WHITEOUT)
            .map(<[u8]>::to_vec);
        let outcome = match whiteout {
            Some(_) if file_name.as_bytes() == OPAQUE => self.hide_below(&parent),
            Some(hidden) => hide(&parent, &hidden),
            None => self.make(entry, kind, &parent.join(file_name)),
        };
        outcome.map_err(failed)
    }

    /// Finds a folder inside the root, follows links inside only, and makes what is missing.
    fn folder(&self, path: &Path) -> io::Result<PathBuf> {
        let mut left = components(path);
        let mut found = PathBuf::new();
        let mut links = 0;
        while let Some(name) = left.pop() {
            if name == ".." {
                found.pop();
                continue;
            }
            let next = self.root.join(&found).join(&name);
            match fs::symlink_metadata(&next) {
                Ok(kind) if kind.is_symlink() => {
                    links += 1;
                    if links > MOST_LINKS {
                        return Err(io::Error::from_raw_os_error(nix::libc::ELOOP));
                    }
                    let target = fs::read_link(&next)?;
                    if target.is_absolute() {
                        found = PathBuf::new();
                    }
                    left.extend(components(&target));
                }
                Ok(kind) if kind.is_dir() => found.push(name),
                Ok(_) => return Err(io::Error::from_raw_os_error(nix::libc::ENOTDIR)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    fs::create_dir(&next)?;
                    fs::set_permissions(&next, fs::Permissions::from_mode(0o755))?;
                    found.push(name);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(self.root.join(found))
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "a foreign enum that grows")]
    fn make<R: Read>(
        &self,
        entry: &mut Entry<'_, R>,
        kind: EntryType,
        path: &Path,
    ) -> io::Result<()> {
        if kind.is_dir() {
            if !fs::symlink_metadata(path).is_ok_and(|found| found.is_dir()) {
                remove(path)?;
                fs::create_dir(path)?;
            }
        } else {
            remove(path)?;
        }
        match kind {
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                self.write_file(entry, path)?;
            }
            EntryType::Link => return self.hard_link(entry, path),
            EntryType::Symlink => symlink(link_target(entry)?, path)?,
            EntryType::Fifo => mknod(path, SFlag::S_IFIFO, Mode::empty(), 0)?,
            EntryType::Directory => {}
            // Headers without a file; devices were refused before.
            _ => return Ok(()),
        }
        self.dress(entry, kind, path)
    }

    fn write_file<R: Read>(&self, entry: &mut Entry<'_, R>, path: &Path) -> io::Result<()> {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)?;
        self.room.copy(entry, &mut file)
    }

    fn hard_link<R: Read>(&self, entry: &Entry<'_, R>, path: &Path) -> io::Result<()> {
        let outside = || io::Error::new(io::ErrorKind::InvalidInput, "the link leaves the layer");
        let target = plain_path(&link_target(entry)?.into_os_string().into_encoded_bytes())
            .ok_or_else(outside)?;
        let name = target.file_name().ok_or_else(outside)?;
        let folder = self.folder(target.parent().unwrap_or_else(|| Path::new("")))?;
        fs::hard_link(folder.join(name), path)
    }

    /// Owner, then mode, since a change of owner takes bits of the mode away; then time.
    fn dress<R: Read>(&self, entry: &Entry<'_, R>, kind: EntryType, path: &Path) -> io::Result<()> {
        let header = entry.header();
        // Some archives leave a number out: it is zero then.
        let uid = number(header.uid().unwrap_or_default());
        let gid = number(header.gid().unwrap_or_default());
        if uid < self.owners.limit && gid < self.owners.limit {
            lchown(path, Some(uid), Some(gid))?;
        }
        if kind == EntryType::Symlink {
            return Ok(());
        }
        let mut mode = header.mode()? & 0o7777;
        if kind.is_dir() && self.owners.rootless {
            // A folder its owner may not enter could not be removed any more.
            mode |= 0o700;
        }
        fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
        if kind.is_file() {
            let modified =
                SystemTime::UNIX_EPOCH + Duration::from_secs(header.mtime().unwrap_or_default());
            OpenOptions::new()
                .read(true)
                .custom_flags(nix::libc::O_NOFOLLOW)
                .open(path)
                .and_then(|file| file.set_modified(modified))?;
        }
        Ok(())
    }

    /// Hides what lower layers have below a folder.
    fn hide_below(&self, folder: &Path) -> io::Result<()> {
        let name = if self.owners.rootless {
            c"user.overlay.opaque"
        } else {
            c"trusted.overlay.opaque"
        };
        let path = CString::new(folder.as_os_str().as_bytes())?;
        #[expect(unsafe_code, reason = "extended attributes have no safe binding here")]
        // SAFETY: both strings end with a zero byte, and the value is one byte long as told.
        let outcome = unsafe {
            nix::libc::lsetxattr(path.as_ptr(), name.as_ptr(), b"y".as_ptr().cast(), 1, 0)
        };
        if outcome == 0 {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
    }
}

/// Hides one name of lower layers.
fn hide(folder: &Path, name: &[u8]) -> io::Result<()> {
    if name.is_empty() || name == b"." || name == b".." {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "a deletion without a name",
        ));
    }
    let path = folder.join(OsStr::from_bytes(name));
    remove(&path)?;
    Ok(mknod(&path, SFlag::S_IFCHR, Mode::empty(), makedev(0, 0))?)
}

fn link_target<R: Read>(entry: &Entry<'_, R>) -> io::Result<PathBuf> {
    let target = entry.link_name_bytes();
    let target =
        target.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "a link to nothing"))?;
    Ok(PathBuf::from(OsStr::from_bytes(&target)))
}

/// Ids that do not fit are nobody's.
fn number(id: u64) -> u32 {
    u32::try_from(id).unwrap_or(u32::MAX)
}

/// A path relative to the root, without anything that leads out of it.
fn plain_path(name: &[u8]) -> Option<PathBuf> {
    let mut path = PathBuf::new();
    for component in Path::new(OsStr::from_bytes(name)).components() {
        match component {
            Component::Normal(name) if name.as_bytes().contains(&0) => return None,
            Component::Normal(name) => path.push(name),
            Component::CurDir | Component::RootDir => {}
            Component::ParentDir | Component::Prefix(_) => return None,
        }
    }
    Some(path)
}

/// The names of a path, last first.
fn components(path: &Path) -> Vec<std::ffi::OsString> {
    let names = path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::CurDir | Component::RootDir | Component::Prefix(_) => None,
    });
    let mut names = names.collect::<Vec<_>>();
    names.reverse();
    names
}
