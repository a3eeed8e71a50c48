//! Unpacks image layers: each once, checked against its digest while it is read, made visible whole.
//!
//! An archive comes from outside: its paths and links stay inside the layer's folder, its size is
//! bounded, and device files are refused.

use std::{
    ffi::{CString, OsStr},
    fs::{self, File, OpenOptions},
    io::{self, BufReader, Read},
    os::unix::{
        ffi::OsStrExt as _,
        fs::{OpenOptionsExt as _, PermissionsExt as _, lchown, symlink},
    },
    path::{Component, Path, PathBuf},
    time::{Duration, SystemTime},
};

use flate2::read::MultiGzDecoder;
use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use sha2::{Digest, Sha256};
use tar::{Archive, Entry, EntryType};

use super::LayerSource;

/// Longest archive, unpacked.
const LONGEST: u64 = 16 << 30;
/// Most entries of an archive.
const MOST: usize = 1_000_000;
/// Most links followed on the way to one path.
const MOST_LINKS: usize = 40;
/// Prefix of names that stand for deletions.
const WHITEOUT: &[u8] = b".wh.";
/// Name that hides everything below.
const OPAQUE: &[u8] = b".wh..wh..opq";

/// Why a layer could not be unpacked.
#[derive(Debug, thiserror::Error)]
#[expect(clippy::error_impl_error, reason = "named by its module")]
pub(super) enum Error {
    #[error("{0:?} is no sha256 digest")]
    Digest(String),
    #[error(
        "the archive's digest is {found}, not {expected}: it is damaged or not what was asked for"
    )]
    Mismatch { expected: String, found: String },
    #[error("{path}: {reason}")]
    Refused { path: String, reason: &'static str },
    #[error("{path}: {source}")]
    Entry { path: String, source: io::Error },
    #[error("the archive is longer than {LONGEST} bytes or {MOST} entries")]
    TooLong,
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// Whose files can be made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Owners {
    /// Ids below this exist.
    pub(super) limit: u32,
    pub(super) rootless: bool,
}

/// Unpacks a layer under `layers` unless it is there, and returns its folder.
pub(super) fn unpack(
    source: &LayerSource,
    layers: &Path,
    owners: Owners,
) -> Result<PathBuf, Error> {
    let name = digest_name(&source.diff_id)?;
    let folder = layers.join(name);
    if folder.is_dir() {
        return Ok(folder);
    }
    let temporary = layers.join(format!(".{name}"));
    remove(&temporary)?;
    fs::create_dir_all(&temporary)?;
    let outcome = fill(source, &temporary, owners);
    match outcome {
        Ok(()) => {
            fs::set_permissions(&temporary, fs::Permissions::from_mode(0o755))?;
            fs::rename(&temporary, &folder)?;
            Ok(folder)
        }
        Err(error) => {
            remove(&temporary)?;
            Err(error)
        }
    }
}

fn digest_name(diff_id: &str) -> Result<&str, Error> {
    diff_id
        .strip_prefix("sha256:")
        .filter(|hex| hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()))
        .ok_or_else(|| Error::Digest(diff_id.to_owned()))
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

fn fill(source: &LayerSource, root: &Path, owners: Owners) -> Result<(), Error> {
    let file = BufReader::new(File::open(&source.blob)?);
    let plain: Box<dyn Read> = if source.gzip {
        Box::new(MultiGzDecoder::new(file))
    } else {
        Box::new(file)
    };
    let mut reader = Hashing {
        inner: plain.take(LONGEST + 1),
        hash: Sha256::new(),
    };
    {
        let mut archive = Archive::new(&mut reader);
        let mut target = Target { root, owners };
        for (count, entry) in archive.entries()?.enumerate() {
            if count >= MOST {
                return Err(Error::TooLong);
            }
            target.add(&mut entry?)?;
        }
    }
    // What follows the archive's end belongs to the digest too.
    io::copy(&mut reader, &mut io::sink())?;
    if reader.inner.limit() == 0 {
        return Err(Error::TooLong);
    }
    let digest = reader.hash.finalize();
    let found = digest.iter().fold(String::from("sha256:"), |text, byte| {
        format!("{text}{byte:02x}")
    });
    if found.eq_ignore_ascii_case(&source.diff_id) {
        Ok(())
    } else {
        Err(Error::Mismatch {
            expected: source.diff_id.clone(),
            found,
        })
    }
}

struct Hashing<R> {
    inner: R,
    hash: Sha256,
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buffer)?;
        self.hash.update(&buffer[..length]);
        Ok(length)
    }
}

/// The folder a layer is unpacked into.
struct Target<'a> {
    root: &'a Path,
    owners: Owners,
}

impl Target<'_> {
    fn add<R: Read>(&mut self, entry: &mut Entry<'_, R>) -> Result<(), Error> {
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
                write_file(entry, path)?;
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

fn write_file<R: Read>(entry: &mut Entry<'_, R>, path: &Path) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    io::copy(entry, &mut file).map(|_| ())
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

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use tar::{Builder, Header};

    use super::*;

    const MINE: Owners = Owners {
        limit: 0,
        rootless: true,
    };

    struct Fixture {
        folder: tempfile::TempDir,
        archive: Builder<Vec<u8>>,
    }

    impl Fixture {
        fn new() -> Self {
            Self {
                folder: tempfile::tempdir().unwrap(),
                archive: Builder::new(Vec::new()),
            }
        }

        fn entry(mut self, kind: EntryType, name: &str, link: &str, body: &str) -> Self {
            let mut header = Header::new_gnu();
            header.set_entry_type(kind);
            header.set_size(body.len() as u64);
            header.set_mode(0o755);
            // Past the builder, which refuses the paths that are to be tried.
            header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
            header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
            header.set_cksum();
            self.archive.append(&header, body.as_bytes()).unwrap();
            self
        }

        fn file(self, name: &str, body: &str) -> Self {
            self.entry(EntryType::Regular, name, "", body)
        }

        fn unpack(self, gzip: bool) -> (tempfile::TempDir, Result<PathBuf, Error>) {
            let bytes = self.archive.into_inner().unwrap();
            let hash = Sha256::digest(&bytes);
            let diff_id = hash
                .iter()
                .fold(String::from("sha256:"), |t, b| format!("{t}{b:02x}"));
            let blob = self.folder.path().join("blob");
            if gzip {
                let file = File::create(&blob).unwrap();
                let mut encoder = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
                encoder.write_all(&bytes).unwrap();
                encoder.finish().unwrap();
            } else {
                fs::write(&blob, bytes).unwrap();
            }
            let source = LayerSource {
                blob,
                gzip,
                diff_id,
            };
            let outcome = unpack(&source, &self.folder.path().join("layers"), MINE);
            (self.folder, outcome)
        }
    }

    fn refused(fixture: Fixture) -> String {
        let (folder, outcome) = fixture.unpack(false);
        let error = outcome.unwrap_err().to_string();
        let left = fs::read_dir(folder.path().join("layers")).unwrap().count();
        assert_eq!(left, 0, "nothing is left of {error}");
        error
    }

    #[test]
    fn files_and_links_arrive() {
        for gzip in [false, true] {
            let fixture = Fixture::new()
                .file("./bin/tool", "body")
                .entry(EntryType::Symlink, "lib", "bin", "")
                .file("lib/through", "x")
                .entry(EntryType::Link, "hard", "bin/tool", "");
            let (_folder, outcome) = fixture.unpack(gzip);
            let root = outcome.unwrap();
            assert_eq!(fs::read_to_string(root.join("bin/tool")).unwrap(), "body");
            assert_eq!(fs::read_to_string(root.join("bin/through")).unwrap(), "x");
            assert_eq!(fs::read_to_string(root.join("hard")).unwrap(), "body");
            let mode = fs::metadata(root.join("bin/tool"))
                .unwrap()
                .permissions()
                .mode();
            assert_eq!(mode & 0o777, 0o755);
        }
    }

    #[test]
    fn paths_stay_inside() {
        assert!(refused(Fixture::new().file("../evil", "x")).contains("leaves the layer"));
        assert!(refused(Fixture::new().file("a/../../evil", "x")).contains("leaves the layer"));
        let hard = Fixture::new().entry(EntryType::Link, "hard", "../../blob", "");
        assert!(refused(hard).contains("leaves the layer"));
        let device = Fixture::new().entry(EntryType::Char, "dev/mem", "", "");
        assert!(refused(device).contains("device"));
    }

    #[test]
    fn links_lead_inside_only() {
        let fixture = Fixture::new()
            .entry(EntryType::Symlink, "out", "/../../..", "")
            .file("out/evil", "x");
        let (_folder, outcome) = fixture.unpack(false);
        assert_eq!(
            fs::read_to_string(outcome.unwrap().join("evil")).unwrap(),
            "x"
        );
        let endless = Fixture::new()
            .entry(EntryType::Symlink, "a", "a", "")
            .file("a/b", "x");
        refused(endless);
    }

    #[test]
    fn other_digests_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let blob = folder.path().join("blob");
        fs::write(&blob, Builder::new(Vec::new()).into_inner().unwrap()).unwrap();
        let source = LayerSource {
            blob,
            gzip: false,
            diff_id: format!("sha256:{}", "0".repeat(64)),
        };
        let outcome = unpack(&source, folder.path(), MINE);
        assert!(matches!(outcome, Err(Error::Mismatch { .. })));
        let source = LayerSource {
            diff_id: "sha256:../../etc".into(),
            ..source
        };
        assert!(matches!(
            unpack(&source, folder.path(), MINE),
            Err(Error::Digest(_))
        ));
    }
}
