//! Control groups: where limits are set, found out by trying, and removed without a trace.
//!
//! All groups of a platform are under one group named for its data folder, in every hierarchy, so
//! that a later start finds what a killed one left.

mod find;
mod unified;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde::{Deserialize, Serialize};

use self::{find::Found, unified::Base};
use super::short_digest;

/// The group that is made to find out whether groups can be made.
const TRIAL: &str = "trial";

/// The groups of one platform.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Cgroups {
    name: String,
    mounts: Vec<PathBuf>,
    /// The group that the container runtime is to see as the root, if it is not.
    #[serde(default)]
    base: Option<Base>,
}

impl Cgroups {
    /// Finds where limits can be set and removes what a dead platform of the same folder left; or
    /// says why they cannot, and what to do.
    pub(super) fn find(folder: &Path, root: bool) -> Result<Self, String> {
        let table = |name: &str| {
            let path = Path::new("/proc/self").join(name);
            fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))
        };
        let name = group_name(folder);
        let groups = match find::find(&table("mountinfo")?, &table("cgroup")?)? {
            Found::Separate(_) if !root => {
                return Err(
                    "this host has control groups of version 1, which only root can \
                            use; run the platform as root"
                        .to_owned(),
                );
            }
            Found::Separate(mounts) => Self {
                name,
                mounts,
                base: None,
            },
            Found::Unified { mount, own } => {
                let base = Base::prepare(&mount, &own, &name, root)?;
                Self {
                    name,
                    mounts: vec![base.folder.clone()],
                    base: (base.folder != mount).then_some(base),
                }
            }
        };
        groups.remove_groups();
        match groups.try_out() {
            Ok(()) => Ok(groups),
            Err(error) => {
                groups.remove();
                Err(format!("control groups cannot be written: {error}"))
            }
        }
    }

    /// Makes a group and removes it. What a dead platform left may be there still: its processes end
    /// when the kernel gets to them, and that keeps nobody from making groups beside theirs.
    fn try_out(&self) -> io::Result<()> {
        for mount in &self.mounts {
            let group = mount.join(&self.name);
            let trial = group.join(TRIAL);
            match fs::create_dir_all(&trial).and_then(|()| fs::remove_dir(&trial)) {
                // A hierarchy without any needed controller may be out of reach.
                Err(_) if self.mounts.len() > 1 && !is_needed(mount) => {}
                other => other?,
            }
            let _in_use = fs::remove_dir(&group);
        }
        Ok(())
    }

    /// The folder that has to be mounted where the container runtime looks, if another is there.
    pub(super) fn to_mount(&self) -> Option<&Path> {
        self.base.as_ref().map(|base| base.folder.as_path())
    }

    /// The same groups once [`Self::to_mount`] is mounted.
    pub(super) fn mounted(self) -> Self {
        let Some(base) = self.base else {
            return self;
        };
        Self {
            name: self.name,
            mounts: vec![find::MOUNT.into()],
            base: Some(base.at(find::MOUNT.as_ref())),
        }
    }

    /// The group of a container, from the root of every hierarchy.
    pub(super) fn path(&self, container: &str) -> PathBuf {
        Path::new("/").join(&self.name).join(container)
    }

    /// How often the kernel killed in the group of a container for want of memory.
    pub(super) fn memory_kills(&self, container: &str) -> u64 {
        let files = ["memory.events", "memory.oom_control"];
        self.mounts
            .iter()
            .flat_map(|mount| files.map(|file| mount.join(&self.name).join(container).join(file)))
            .filter_map(|path| fs::read_to_string(path).ok())
            .map(|text| counter(&text, "oom_kill"))
            .max()
            .unwrap_or_default()
    }

    /// Removes the group of one container.
    pub(super) fn remove_container(&self, container: &str) {
        for mount in &self.mounts {
            // A leftover is tried again when the machine ends and when it starts.
            let _left = remove_tree(&mount.join(&self.name).join(container));
        }
    }

    /// Ends what is left in all groups, removes them and leaves everything as it was found.
    pub(super) fn remove(&self) {
        self.remove_groups();
        if let Some(base) = &self.base {
            base.release();
        }
    }

    fn remove_groups(&self) {
        for mount in &self.mounts {
            // A leftover is tried again at the next start.
            let _left = remove_tree(&mount.join(&self.name));
        }
    }
}

fn group_name(folder: &Path) -> String {
    let digest = short_digest(folder.as_os_str().as_encoded_bytes());
    format!("choreo-{digest}")
}

/// Whether a hierarchy of version 1 has limits that are promised, as its name tells.
fn is_needed(mount: &Path) -> bool {
    let name = mount.file_name().unwrap_or_default().to_string_lossy();
    name.split(',').any(|one| find::NEEDED.contains(&one))
}

fn counter(text: &str, name: &str) -> u64 {
    text.lines()
        .filter_map(|line| line.split_once(' '))
        .find(|(key, _)| *key == name)
        .and_then(|(_, value)| value.trim().parse().ok())
        .unwrap_or_default()
}

fn remove_tree(group: &Path) -> io::Result<()> {
    let Ok(entries) = fs::read_dir(group) else {
        return Ok(());
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_tree(&entry.path())?;
        }
    }
    // A group empties a moment after its processes ended.
    for _ in 0..100 {
        match fs::remove_dir(group) {
            Err(error) if error.raw_os_error() == Some(nix::libc::EBUSY) => kill_all(group),
            other => return other,
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    fs::remove_dir(group)
}

fn kill_all(group: &Path) {
    let members = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    for pid in members
        .lines()
        .filter_map(|line| line.parse().ok())
        .filter(|pid| *pid > 1)
    {
        // It may have ended by itself just now.
        let _gone = kill(Pid::from_raw(pid), Signal::SIGKILL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kills_are_counted_in_both_formats() {
        assert_eq!(counter("low 0\noom 3\noom_kill 2\n", "oom_kill"), 2);
        assert_eq!(
            counter("oom_kill_disable 0\nunder_oom 0\noom_kill 1\n", "oom_kill"),
            1
        );
        assert_eq!(counter("", "oom_kill"), 0);
    }

    #[test]
    fn what_a_dead_platform_left_does_not_end_limits() {
        let mount = tempfile::tempdir().unwrap();
        let groups = Cgroups {
            name: "choreo-x".to_owned(),
            mounts: vec![mount.path().to_owned()],
            base: None,
        };
        groups.try_out().unwrap();
        assert_eq!(fs::read_dir(mount.path()).unwrap().count(), 0);
        let left = mount.path().join("choreo-x/container");
        fs::create_dir_all(&left).unwrap();
        groups.try_out().unwrap();
        assert!(left.exists() && !mount.path().join("choreo-x/trial").exists());
        let nowhere = Cgroups {
            mounts: vec!["/proc/self/nowhere".into()],
            ..groups
        };
        assert!(nowhere.try_out().is_err());
    }

    #[test]
    fn a_folder_names_its_group() {
        let name = group_name(Path::new("/data"));
        assert_eq!(name, group_name(Path::new("/data")));
        assert_ne!(name, group_name(Path::new("/other")));
    }
}
