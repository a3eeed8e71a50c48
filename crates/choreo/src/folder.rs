//! The data folder: one folder that holds everything a platform keeps, locked by the one process that
//! runs on it.

use std::{
    fs::{self, File, OpenOptions},
    io::{ErrorKind, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use choreo_apiserver::store::Place;
use nix::{
    errno::Errno,
    fcntl::{FcntlArg, fcntl},
    libc,
    unistd::{AccessFlags, access},
};
use serde::{Deserialize, Serialize};

use crate::{
    exit::Exit,
    failure::{self, Failure, Result},
};

/// Raised whenever an older choreo could not read what a newer one wrote.
const FORMAT: u32 = 1;

/// Bytes below which a disk is as good as full.
const LITTLE: u64 = 1 << 20;

/// A data folder.
#[derive(Debug, Clone)]
pub(crate) struct Folder {
    root: PathBuf,
    /// The file with the key of secrets, if one was named.
    key: Option<PathBuf>,
}

/// What the running platform says about itself.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Running {
    /// Its process.
    pub(crate) pid: u32,
    /// Its version.
    pub(crate) version: String,
    /// Address of the API.
    pub(crate) api: String,
    /// How to reach it with kubectl.
    pub(crate) kubeconfig: PathBuf,
    /// `root` or `rootless`; empty while the machine starts.
    pub(crate) data_plane: String,
    /// What the gateway answers for; empty while it starts.
    pub(crate) gateway: String,
    /// Whether everything has started.
    pub(crate) ready: bool,
    /// How often the process started it again.
    #[serde(default)]
    pub(crate) restarts: u32,
}

/// Holds the folder for this process; dropping it lets go.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Folder {
    /// The folder the user named, or the usual place.
    pub(crate) fn resolve(named: Option<&Path>) -> Result<Self> {
        let root = match named {
            Some(path) => path.to_owned(),
            None => usual_place().ok_or_else(|| {
                Failure::new(Exit::Machine, "neither XDG_DATA_HOME nor HOME is set")
                    .hint("name a folder with --data")
            })?,
        };
        let root = std::path::absolute(&root).map_err(failure::io("finding the data folder"))?;
        // One there is, or one that can be made: what stands in the way is a file.
        match root.ancestors().find(|part| part.exists()) {
            Some(part) if !part.is_dir() => Err(Failure::new(
                Exit::Usage,
                format!(
                    "{} cannot be the data folder: {} is a file",
                    root.display(),
                    part.display()
                ),
            )
            .hint("name a folder with --data")),
            _ => Ok(Self { root, key: None }),
        }
    }

    /// The same with the key of secrets in this file.
    pub(crate) fn with_key(mut self, key: Option<&Path>) -> Result<Self> {
        self.key = key
            .map(std::path::absolute)
            .transpose()
            .map_err(failure::io("finding the key file"))?;
        Ok(self)
    }

    /// Where the API's objects are, and the key of the secrets among them.
    pub(crate) fn store(&self) -> Place {
        Place::new(self.api(), self.key())
    }

    /// The file with the key of secrets: the one named; else beside the folder, so that whoever
    /// copies the folder does not copy the key; inside where that cannot be, as in a folder that is
    /// a volume of its own, whose neighbours do not last.
    fn key(&self) -> PathBuf {
        if let Some(named) = &self.key {
            return named.clone();
        }
        let inside = self.root.join("key");
        let mut beside = self.root.clone().into_os_string();
        beside.push(".key");
        let beside = PathBuf::from(beside);
        if !inside.exists() && (beside.exists() || self.may_have_neighbours()) {
            beside
        } else {
            inside
        }
    }

    /// Whether files can be made beside the folder, on the same disk.
    fn may_have_neighbours(&self) -> bool {
        let Some(parent) = self.root.parent() else {
            return false;
        };
        let device = |path: &Path| fs::metadata(path).map(|found| found.dev());
        let same = match (device(&self.root), device(parent)) {
            (Ok(own), Ok(other)) => own == other,
            (Err(_), _) => true,
            (Ok(_), Err(_)) => false,
        };
        same && access(parent, AccessFlags::W_OK).is_ok()
    }

    /// The folder itself.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Where the API keeps its objects.
    pub(crate) fn api(&self) -> PathBuf {
        self.root.join("api")
    }

    /// Where images are.
    pub(crate) fn images(&self) -> PathBuf {
        self.root.join("images")
    }

    /// Where the node keeps logs and volumes.
    pub(crate) fn node(&self) -> PathBuf {
        self.root.join("node")
    }

    /// Where the machine keeps layers and containers.
    pub(crate) fn machine(&self) -> PathBuf {
        self.root.join("machine")
    }

    /// What certifies the names of the gateways.
    pub(crate) fn authority(&self) -> PathBuf {
        self.root.join("authority")
    }

    /// Where the gateway keeps its configuration.
    pub(crate) fn gateway(&self) -> PathBuf {
        self.root.join("gateway")
    }

    /// How to reach the API.
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.root.join("kubeconfig")
    }

    /// What the platform logs.
    pub(crate) fn log(&self) -> PathBuf {
        self.root.join("choreo.log")
    }

    /// The port the API had last time.
    pub(crate) fn api_port(&self) -> Option<u16> {
        fs::read_to_string(self.root.join("api-port"))
            .ok()?
            .trim()
            .parse()
            .ok()
    }

    /// Keeps the port of the API for the next time.
    pub(crate) fn keep_api_port(&self, port: u16) -> Result {
        Self::write_private(&self.root.join("api-port"), format!("{port}\n").as_bytes())
    }

    /// Writes a file for the owner alone, at once or not at all.
    pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> Result {
        let doing = || failure::io(format!("writing {}", path.display()));
        let new = path.with_extension("new");
        let write = || {
            let mut file = OpenOptions::new()
                .create(true)
                .write(true)
                .truncate(true)
                .mode(0o600)
                .open(&new)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&new, path)
        };
        write().map_err(|error| {
            // Half a file is of use to nobody.
            let _ = fs::remove_file(&new);
            doing()(error)
        })
    }

    fn state(&self) -> PathBuf {
        self.root.join("platform.json")
    }

    /// Makes the folder if it is not there and takes it for this process. `None`: another has it.
    pub(crate) fn take(&self) -> Result<Option<Lock>> {
        let doing = format!("making the data folder {}", self.root.display());
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.root)
            .map_err(failure::io(doing))
            .map_err(or_another)?;
        let Some(lock) = self.lock().map_err(or_another)? else {
            return Ok(None);
        };
        self.check_format()?;
        Ok(Some(lock))
    }

    /// Whether hardly anything can be written any more.
    pub(crate) fn is_full(&self) -> bool {
        nix::sys::statvfs::statvfs(&self.root)
            .is_ok_and(|disk| disk.blocks_available() * disk.fragment_size() < LITTLE)
    }

    /// What runs on this folder, if anything does.
    pub(crate) fn running(&self) -> Result<Option<Running>> {
        if !self.is_taken()? {
            return Ok(None);
        }
        let path = self.state();
        match fs::read_to_string(&path) {
            Ok(text) => Ok(serde_json::from_str(&text).ok()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failure::io(format!("reading {}", path.display()))(error)),
        }
    }

    /// Whether a process holds the folder, even one that has not said anything yet. Only asks: the
    /// lock is not touched, so that asking never keeps a platform from starting.
    pub(crate) fn is_taken(&self) -> Result<bool> {
        let path = self.root.join("lock");
        let file = match OpenOptions::new().read(true).open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(failure::io(format!("reading {}", path.display()))(error)),
        };
        let mut held = whole_file(libc::F_RDLCK);
        fcntl(&file, FcntlArg::F_OFD_GETLK(&mut held))
            .map_err(|errno| failure::io(format!("reading {}", path.display()))(errno.into()))?;
        Ok(i32::from(held.l_type) != libc::F_UNLCK)
    }

    /// Writes what runs here, at once or not at all.
    pub(crate) fn say(&self, running: &Running) -> Result {
        let text = serde_json::to_vec_pretty(running).map_err(|error| {
            Failure::new(Exit::Failed, "the state of the platform cannot be written").because(error)
        })?;
        Self::write_private(&self.state(), &text)
    }

    /// Forgets what ran here.
    pub(crate) fn forget(&self) {
        // Whether it was there does not matter.
        let _ = fs::remove_file(self.state());
    }

    fn lock(&self) -> Result<Option<Lock>> {
        let path = self.root.join("lock");
        let doing = || failure::io(format!("locking {}", path.display()));
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(doing())?;
        match fcntl(&file, FcntlArg::F_OFD_SETLK(&whole_file(libc::F_WRLCK))) {
            Ok(_) => Ok(Some(Lock { _file: file })),
            Err(Errno::EAGAIN | Errno::EACCES) => Ok(None),
            Err(errno) => Err(doing()(errno.into())),
        }
    }

    fn check_format(&self) -> Result {
        let path = self.root.join("format");
        match fs::read_to_string(&path) {
            // Nothing in it: the disk was full when an earlier choreo wrote it.
            Ok(text) if text.is_empty() => Self::mark_format(&path),
            Ok(text) => match text.trim().parse::<u32>() {
                Ok(format) if format <= FORMAT => Ok(()),
                _ => Err(Failure::new(
                    Exit::Conflict,
                    format!(
                        "{} was written by a newer choreo (format {}; this one knows {FORMAT})",
                        self.root.display(),
                        text.trim()
                    ),
                )
                .hint("use that version, or another folder with --data")),
            },
            Err(error) if error.kind() == ErrorKind::NotFound => Self::mark_format(&path),
            Err(error) => Err(failure::io(format!("reading {}", path.display()))(error)),
        }
    }

    fn mark_format(path: &Path) -> Result {
        Self::write_private(path, format!("{FORMAT}\n").as_bytes())
    }
}

/// What to do when a folder cannot be written to.
fn or_another(failure: Failure) -> Failure {
    if failure.help().is_some() {
        failure
    } else {
        failure.hint("choreo keeps everything in a folder of yours: name one with --data")
    }
}

/// A lock of a kind over a whole file, owned by the open file (not by the process, whose other
/// descriptors would let go of it).
fn whole_file(kind: i32) -> libc::flock {
    libc::flock {
        l_type: i16::try_from(kind).unwrap_or_default(),
        l_whence: i16::try_from(libc::SEEK_SET).unwrap_or_default(),
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    }
}

fn usual_place() -> Option<PathBuf> {
    let variable = |name| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    variable("XDG_DATA_HOME")
        .or_else(|| variable("HOME").map(|home| home.join(".local/share")))
        .map(|base| base.join("choreo"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> (tempfile::TempDir, Folder) {
        let temp = tempfile::tempdir().unwrap();
        let folder = Folder::resolve(Some(&temp.path().join("data"))).unwrap();
        (temp, folder)
    }

    #[test]
    fn one_process_at_a_time() {
        let (_temp, folder) = folder();
        assert!(!folder.is_taken().unwrap());
        let lock = folder.take().unwrap();
        assert!(lock.is_some());
        assert!(folder.is_taken().unwrap());
        assert!(folder.take().unwrap().is_none());
        drop(lock);
        assert!(folder.take().unwrap().is_some());
    }

    #[test]
    fn what_runs_is_known_only_while_it_runs() {
        let (_temp, folder) = folder();
        let lock = folder.take().unwrap();
        let running = Running {
            pid: 1,
            version: "0".to_owned(),
            api: "https://127.0.0.1:1".to_owned(),
            kubeconfig: folder.kubeconfig(),
            data_plane: String::new(),
            gateway: String::new(),
            ready: false,
            restarts: 0,
        };
        folder.say(&running).unwrap();
        assert_eq!(
            folder.running().unwrap().map(|running| running.pid),
            Some(1)
        );
        drop(lock);
        assert!(folder.running().unwrap().is_none());
    }

    #[test]
    fn the_key_is_beside_the_folder_unless_it_was_named_or_is_inside() {
        let (temp, folder) = folder();
        drop(folder.take().unwrap());
        assert_eq!(folder.key(), temp.path().join("data.key"));
        fs::write(folder.root().join("key"), "").unwrap();
        assert_eq!(folder.key(), folder.root().join("key"));
        let named = temp.path().join("elsewhere");
        let folder = folder.with_key(Some(&named)).unwrap();
        assert_eq!(folder.key(), named);
    }

    #[test]
    fn a_folder_that_is_a_disk_of_its_own_keeps_its_key_inside() {
        let folder = Folder::resolve(Some("/proc".as_ref())).unwrap();
        assert_eq!(folder.key(), Path::new("/proc/key"));
    }

    #[test]
    fn a_file_is_no_folder() {
        let temp = tempfile::tempdir().unwrap();
        let file = temp.path().join("file");
        fs::write(&file, "").unwrap();
        for wrong in [file.clone(), file.join("data")] {
            let failure = Folder::resolve(Some(&wrong)).unwrap_err();
            assert!(
                failure.to_string().ends_with("/file is a file"),
                "{failure}"
            );
        }
    }

    #[test]
    fn a_folder_marked_on_a_full_disk_is_marked_again() {
        let (_temp, folder) = folder();
        fs::create_dir_all(folder.root()).unwrap();
        fs::write(folder.root().join("format"), "").unwrap();
        assert!(folder.take().unwrap().is_some());
        assert_eq!(
            fs::read_to_string(folder.root().join("format")).unwrap(),
            format!("{FORMAT}\n")
        );
    }

    #[test]
    fn a_newer_folder_is_refused() {
        let (_temp, folder) = folder();
        drop(folder.take().unwrap());
        fs::write(folder.root().join("format"), "2\n").unwrap();
        let failure = folder.take().unwrap_err();
        assert_eq!(failure.exit(), Exit::Conflict);
        assert!(failure.to_string().contains("newer choreo"), "{failure}");
    }
}
