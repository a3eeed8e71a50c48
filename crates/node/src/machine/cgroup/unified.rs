//! Control groups of version 2: making a place in which limits can be set.
//!
//! A group gives controllers to groups inside it only while no process is in it itself. So what runs
//! in a group that was delegated to the platform, which is the platform, moves into a group below,
//! beside the one for containers; and back when the machine ends.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::find::{NEEDED, missing, switch};

/// How to get a group of one's own, for those who have none.
const DELEGATE: &str = "start it with: systemd-run --user --scope -p Delegate=yes choreo up";

/// A group in which groups with limits can be made.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Base {
    pub(super) folder: PathBuf,
    /// Where the platform's own processes went, if they had to.
    aside: Option<PathBuf>,
}

impl Base {
    /// Finds a place for groups called `name`, or says why there is none.
    pub(super) fn prepare(
        mount: &Path,
        own: &Path,
        name: &str,
        root: bool,
    ) -> Result<Self, String> {
        // Only the root of all groups has no type; it alone may hold processes beside groups.
        if root && !mount.join("cgroup.type").exists() {
            let base = Self {
                folder: mount.to_owned(),
                aside: None,
            };
            return base.check().map(|()| base);
        }
        let aside = format!("{name}-platform");
        let folder = match own.parent() {
            // A machine of this platform ran before.
            Some(parent) if own.ends_with(&aside) => parent.to_owned(),
            _ => own.to_owned(),
        };
        let base = Self {
            aside: Some(folder.join(aside)),
            folder,
        };
        base.check()?;
        base.step_aside()?;
        Ok(base)
    }

    /// The same place where it is mounted at another path.
    pub(super) fn at(&self, mount: &Path) -> Self {
        let name = self.aside.as_ref().and_then(|aside| aside.file_name());
        Self {
            folder: mount.to_owned(),
            aside: name.map(|name| mount.join(name)),
        }
    }

    fn check(&self) -> Result<(), String> {
        let shown = self.folder.display();
        let controllers = read(&self.folder.join("cgroup.controllers"))
            .map_err(|error| format!("{shown} cannot be read: {error}"))?;
        let missing = missing(&controllers);
        if !missing.is_empty() {
            return Err(format!(
                "the control group {shown} has no {} controller; {DELEGATE}",
                missing.join(", no ")
            ));
        }
        let control = self.folder.join("cgroup.subtree_control");
        fs::OpenOptions::new()
            .write(true)
            .open(control)
            .map(drop)
            .map_err(|error| {
                format!(
                    "the control group {shown} is not delegated to this user ({error}); {DELEGATE}"
                )
            })
    }

    /// Moves the platform's processes out of the way and hands controllers on.
    fn step_aside(&self) -> Result<(), String> {
        let shown = self.folder.display();
        let Some(aside) = &self.aside else {
            return Ok(());
        };
        let others = members(&self.folder)
            .iter()
            .any(|pid| !is_this_program(*pid));
        if others {
            return Err(format!(
                "other programs run in the control group {shown} too; {DELEGATE}"
            ));
        }
        let failed = |error: io::Error| format!("using the control group {shown}: {error}");
        fs::create_dir_all(aside).map_err(failed)?;
        move_all(&self.folder, aside).map_err(failed)?;
        let control = self.folder.join("cgroup.subtree_control");
        if let Err(error) = fs::write(control, switch('+', NEEDED)) {
            self.release();
            return Err(failed(error));
        }
        Ok(())
    }

    /// Lets the platform's processes back, so that the group is as it was found.
    pub(super) fn release(&self) {
        // Not there when the machine failed before this place was mounted.
        let Some(aside) = self.aside.as_ref().filter(|aside| aside.exists()) else {
            return;
        };
        let control = self.folder.join("cgroup.subtree_control");
        // The container runtime switches on whatever there is.
        let on = read(&control).unwrap_or_default();
        // Others may have groups here by now, and then things stay as they are: a group without
        // limits costs nothing.
        let _kept = fs::write(&control, switch('-', on.split_whitespace()))
            .and_then(|()| move_all(aside, &self.folder))
            .and_then(|()| fs::remove_dir(aside));
    }
}

fn read(path: &Path) -> io::Result<String> {
    fs::read_to_string(path)
}

/// The processes of a group. Those outside of this process namespace are seen as 0.
fn members(group: &Path) -> Vec<i32> {
    read(&group.join("cgroup.procs"))
        .unwrap_or_default()
        .lines()
        .filter_map(|line| line.parse().ok())
        .collect()
}

fn move_all(from: &Path, to: &Path) -> io::Result<()> {
    let to = to.join("cgroup.procs");
    for pid in members(from) {
        match fs::write(&to, pid.to_string()) {
            // It has just ended.
            Err(error) if error.raw_os_error() == Some(nix::libc::ESRCH) => {}
            other => other?,
        }
    }
    Ok(())
}

fn is_this_program(pid: i32) -> bool {
    let program = |pid: &str| fs::metadata(format!("/proc/{pid}/exe"));
    let same = |one: fs::Metadata, other: fs::Metadata| {
        use std::os::unix::fs::MetadataExt as _;
        (one.dev(), one.ino()) == (other.dev(), other.ino())
    };
    match (program(&pid.to_string()), program("self")) {
        (Ok(one), Ok(other)) => same(one, other),
        // It has ended, or is another user's.
        _ => !Path::new(&format!("/proc/{pid}")).exists(),
    }
}
