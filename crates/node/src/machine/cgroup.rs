//! Control groups: where limits are set, found out by trying, and removed without a trace.
//!
//! All groups of a platform are under one group named for its data folder, in every hierarchy, so
//! that a later start finds what a killed one left.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde::{Deserialize, Serialize};

use super::short_digest;

/// Controllers without which limits are not offered.
const NEEDED: [&str; 3] = ["memory", "cpu", "pids"];

/// One mounted hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Hierarchy {
    mount: PathBuf,
    /// `None`: the unified hierarchy of version 2.
    controllers: Option<Vec<String>>,
}

/// The groups of one platform.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Cgroups {
    name: String,
    mounts: Vec<PathBuf>,
}

impl Cgroups {
    /// Finds the hierarchies and removes what a dead platform of the same folder left.
    ///
    /// `None` when they cannot be written or lack a needed controller.
    pub(super) fn find(folder: &Path) -> Option<Self> {
        let table = fs::read_to_string("/proc/self/mounts").ok()?;
        let hierarchies = hierarchies(&table);
        let groups = Self {
            name: group_name(folder),
            mounts: hierarchies
                .iter()
                .map(|hierarchy| hierarchy.mount.clone())
                .collect(),
        };
        groups.remove();
        let usable = NEEDED.iter().all(|controller| {
            hierarchies.iter().any(|hierarchy| {
                offers(hierarchy, controller)
                    && fs::create_dir_all(hierarchy.mount.join(&groups.name)).is_ok()
            })
        });
        groups.remove();
        usable.then_some(groups)
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

    /// Ends what is left in all groups and removes them.
    pub(super) fn remove(&self) {
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

fn hierarchies(mounts: &str) -> Vec<Hierarchy> {
    mounts
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(' ').skip(1);
            let (mount, kind, options) = (fields.next()?, fields.next()?, fields.next()?);
            let controllers = match kind {
                "cgroup" => Some(options.split(',').map(str::to_owned).collect()),
                "cgroup2" => None,
                _ => return None,
            };
            Some(Hierarchy {
                mount: PathBuf::from(mount),
                controllers,
            })
        })
        .collect()
}

fn offers(hierarchy: &Hierarchy, controller: &str) -> bool {
    match &hierarchy.controllers {
        Some(controllers) => controllers.iter().any(|one| one == controller),
        None => fs::read_to_string(hierarchy.mount.join("cgroup.controllers"))
            .is_ok_and(|all| all.split_whitespace().any(|one| one == controller)),
    }
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
    fn hierarchies_of_both_versions_are_found() {
        let mounts = "tmpfs /sys/fs/cgroup tmpfs rw 0 0\n\
                      cgroup /sys/fs/cgroup/memory cgroup rw,relatime,memory 0 0\n\
                      cgroup2 /sys/fs/cgroup/unified cgroup2 rw,relatime 0 0\n";
        let found = hierarchies(mounts);
        assert_eq!(found.len(), 2);
        assert!(offers(&found[0], "memory"));
        assert!(!offers(&found[0], "cpu"));
        assert_eq!(found[1].controllers, None);
    }

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
    fn a_folder_names_its_group() {
        let name = group_name(Path::new("/data"));
        assert_eq!(name, group_name(Path::new("/data")));
        assert_ne!(name, group_name(Path::new("/other")));
    }
}
