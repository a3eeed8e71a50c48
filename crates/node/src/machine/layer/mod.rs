//! Unpacks image layers: each once, checked against its digest while it is read, made visible whole.
//!
//! An archive comes from outside: its paths and links stay inside the layer's folder, its size is
//! bounded, and device files are refused.

mod room;
mod target;

use std::{
    fs::{self, File},
    io::{self, BufReader, Read},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use flate2::read::MultiGzDecoder;
use sha2::{Digest, Sha256};
use tar::Archive;

use self::{room::Room, target::Target};
use super::LayerSource;

/// Longest archive, unpacked.
const LONGEST: u64 = 16 << 30;
/// What stays free of a disk, for everything else that is on it.
const RESERVE: u64 = 64 << 20;
/// Most entries of an archive.
const MOST: usize = 1_000_000;

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
    unpack_within(source, layers, owners, (LONGEST, RESERVE))
}

/// The same, with as much room as is given, and as much to leave.
fn unpack_within(
    source: &LayerSource,
    layers: &Path,
    owners: Owners,
    (longest, reserve): (u64, u64),
) -> Result<PathBuf, Error> {
    let name = digest_name(&source.diff_id)?;
    let folder = layers.join(name);
    if folder.is_dir() {
        return Ok(folder);
    }
    let temporary = layers.join(format!(".{name}"));
    remove(&temporary)?;
    fs::create_dir_all(&temporary)?;
    let target = Target {
        root: &temporary,
        owners,
        room: Room::new(&temporary, longest, reserve),
    };
    let outcome = fill(source, &target);
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

fn fill(source: &LayerSource, target: &Target<'_>) -> Result<(), Error> {
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

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use tar::{Builder, EntryType, Header};

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
            self.unpack_within(gzip, (LONGEST, 0))
        }

        fn unpack_within(
            self,
            gzip: bool,
            room: (u64, u64),
        ) -> (tempfile::TempDir, Result<PathBuf, Error>) {
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
            let layers = self.folder.path().join("layers");
            let outcome = unpack_within(&source, &layers, MINE, room);
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
    fn a_small_archive_may_not_become_a_large_layer() {
        let fails = |fixture: Fixture, room, problem: &str| {
            let (folder, outcome) = fixture.unpack_within(true, room);
            let error = outcome.unwrap_err().to_string();
            assert!(error.contains(problem), "{error}");
            let left = fs::read_dir(folder.path().join("layers")).unwrap().count();
            assert_eq!(left, 0, "nothing is left of {error}");
        };
        let zeros = "\0".repeat(3 << 20);
        let bomb = || Fixture::new().file("a", &zeros).file("b", &zeros);
        fails(bomb(), (4 << 20, 0), "more than layers may have");
        fails(bomb(), (LONGEST, u64::MAX), "no space left");
        // Holes take no place in the archive, but they do on the disk.
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::GNUSparse);
        header.set_size(0);
        header.set_mode(0o644);
        header.set_path("holes").unwrap();
        let gnu = header.as_gnu_mut().unwrap();
        gnu.realsize = *b"00400000000\0";
        gnu.sparse[0].offset = *b"00400000000\0";
        gnu.sparse[0].numbytes = *b"00000000000\0";
        header.set_cksum();
        let mut holes = Fixture::new();
        holes.archive.append(&header, io::empty()).unwrap();
        fails(holes, (4 << 20, 0), "more than layers may have");
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
