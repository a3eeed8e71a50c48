//! A small disk that only those see who are in one namespace of mounts.

use std::{
    fs::{self, File},
    io::{ErrorKind, Read as _, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use crate::choreo::skipped;

/// Enough for an idle platform.
const SIZE: &str = "size=24m";

/// A disk, until it is dropped.
pub(crate) struct Disk {
    /// Keeps the namespace.
    keeper: Child,
    folder: PathBuf,
}

impl Disk {
    /// A disk over a folder, where the machine allows one.
    pub(crate) fn at(folder: &Path) -> Option<Self> {
        let mount = "mount -t tmpfs -o \"$1\" small \"$2\" && echo ready && exec cat";
        let mut keeper = Command::new("unshare")
            .args(["-m", "sh", "-c", mount, "sh", SIZE])
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = [0; 6];
        let out = keeper.stdout.as_mut();
        let ready = out.is_some_and(|out| out.read_exact(&mut said).is_ok());
        let disk = Self {
            keeper,
            folder: folder.to_owned(),
        };
        if !ready {
            skipped("this machine allows no mounts");
            return None;
        }
        Some(disk)
    }

    /// A command for those who see the disk.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("nsenter");
        let keeper = self.keeper.id().to_string();
        command.args(["-m", "-t", &keeper, "--"]).arg(program);
        command
    }

    /// Takes all space there is.
    pub(crate) fn fill(&self) {
        let mut file = File::create(self.seen("filling")).unwrap();
        let block = [0; 4096];
        loop {
            match file.write_all(&block) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => return,
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Gives the space back.
    pub(crate) fn free(&self) {
        fs::remove_file(self.seen("filling")).unwrap();
    }

    /// How many files are in a folder of the disk.
    pub(crate) fn files(&self, folder: &str) -> usize {
        fs::read_dir(self.seen(folder)).unwrap().count()
    }

    /// A path of the disk, as the keeper sees it.
    fn seen(&self, path: &str) -> PathBuf {
        let root = format!("/proc/{}/root", self.keeper.id());
        let folder = self.folder.strip_prefix("/").unwrap();
        Path::new(&root).join(folder).join(path)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // It ends with its input.
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}
