//! Where this process stands among the control groups, read from what the kernel tells of it. Pure, so
//! that hosts of every kind are tried from recorded files.

use std::path::{Path, PathBuf};

/// Where the container runtime looks for control groups.
pub(super) const MOUNT: &str = "/sys/fs/cgroup";

/// Controllers without which limits are not offered.
pub(super) const NEEDED: [&str; 3] = ["memory", "cpu", "pids"];

/// The control groups a host has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    /// Version 1, possibly beside a version 2 without controllers: a hierarchy for each controller.
    Separate(Vec<PathBuf>),
    /// Version 2: one hierarchy, and the folder of this process's own group in it.
    Unified {
        /// Where the hierarchy is mounted.
        mount: PathBuf,
        /// This process's group.
        own: PathBuf,
    },
}

/// One mounted hierarchy.
#[derive(Debug, PartialEq, Eq)]
struct Hierarchy<'a> {
    /// Which group is seen at the mount point.
    root: &'a str,
    mount: PathBuf,
    /// `None`: version 2.
    controllers: Option<Vec<&'a str>>,
}

/// Reads `/proc/self/mountinfo` and `/proc/self/cgroup`; or why limits cannot be had.
pub(super) fn find(mounts: &str, membership: &str) -> Result<Found, String> {
    let all: Vec<_> = mounts.lines().filter_map(hierarchy).collect();
    let unified = all
        .iter()
        .rfind(|one| one.controllers.is_none() && one.mount == Path::new(MOUNT));
    if let Some(unified) = unified {
        let own = own_group(membership, unified.root).ok_or_else(|| {
            format!("the control group of this process is not visible at {MOUNT}")
        })?;
        return Ok(Found::Unified {
            own: unified.mount.join(own),
            mount: unified.mount.clone(),
        });
    }
    let offers = |controller: &&str| {
        all.iter()
            .filter_map(|one| one.controllers.as_ref())
            .any(|controllers| controllers.contains(controller))
    };
    match NEEDED.iter().find(|controller| !offers(controller)) {
        None => Ok(Found::Separate(
            all.into_iter().map(|one| one.mount).collect(),
        )),
        Some(_) if all.is_empty() => Err(format!("no control groups are mounted at {MOUNT}")),
        Some(missing) => Err(format!("this host mounts no {missing} control groups")),
    }
}

/// A line of mountinfo: `id parent device root mount options [tags] - kind source options`.
fn hierarchy(line: &str) -> Option<Hierarchy<'_>> {
    let (place, kind) = line.split_once(" - ")?;
    let mut place = place.split(' ').skip(3);
    let (root, mount) = (place.next()?, place.next()?);
    let mut kind = kind.split(' ');
    let controllers = match kind.next()? {
        "cgroup" => Some(kind.nth(1)?.split(',').collect()),
        "cgroup2" => None,
        _ => return None,
    };
    Some(Hierarchy {
        root,
        mount: PathBuf::from(mount),
        controllers,
    })
}

/// This process's group of version 2, relative to the group that is mounted.
fn own_group<'a>(membership: &'a str, root: &str) -> Option<&'a Path> {
    let own = membership
        .lines()
        .find_map(|line| line.strip_prefix("0::"))?;
    let inside = Path::new(own).strip_prefix(root).ok()?;
    // Outside of the namespace's root, the kernel shows the way up.
    let plain = !inside.components().any(|part| part.as_os_str() == "..");
    plain.then_some(inside)
}

/// The controllers that a list lacks (`cgroup.controllers`).
pub(super) fn missing(controllers: &str) -> Vec<&'static str> {
    NEEDED
        .into_iter()
        .filter(|needed| !controllers.split_whitespace().any(|one| one == *needed))
        .collect()
}

/// What to write to a group's `cgroup.subtree_control` to switch controllers on (`+`) or off (`-`).
pub(super) fn switch<'a>(sign: char, controllers: impl IntoIterator<Item = &'a str>) -> String {
    let each = controllers.into_iter().map(|one| format!("{sign}{one}"));
    each.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
39 31 0:36 / /sys/fs/cgroup/pids rw,relatime - cgroup cgroup rw,pids
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
";
    const UNIFIED: &str = "\
24 30 0:22 / /sys rw,nosuid,nodev,noexec,relatime shared:2 - sysfs sysfs rw
33 24 0:29 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:4 - cgroup2 cgroup2 rw,nsdelegate
";

    fn unified(own: &str) -> Found {
        Found::Unified {
            mount: MOUNT.into(),
            own: Path::new(MOUNT).join(own),
        }
    }

    #[test]
    fn version_1_beside_an_empty_version_2_is_version_1() {
        let Ok(Found::Separate(mounts)) = find(HYBRID, "4:memory:/x\n0::/\n") else {
            panic!("not found");
        };
        assert_eq!(mounts.len(), 4);
        assert_eq!(mounts[1], Path::new("/sys/fs/cgroup/memory"));
    }

    #[test]
    fn a_missing_controller_is_named() {
        let without = HYBRID.replace("rw,pids", "rw,net_cls");
        let reason = find(&without, "0::/\n").unwrap_err();
        assert!(reason.contains("no pids control groups"), "{reason}");
        let reason = find("", "0::/\n").unwrap_err();
        assert!(reason.contains("no control groups"), "{reason}");
    }

    #[test]
    fn the_own_group_of_version_2_is_found() {
        let scope = "user.slice/user-1000.slice/user@1000.service/app.slice/run-7.scope";
        let membership = format!("0::/{scope}\n");
        assert_eq!(find(UNIFIED, &membership), Ok(unified(scope)));
        assert_eq!(find(UNIFIED, "0::/\n"), Ok(unified("")));
    }

    #[test]
    fn a_container_sees_its_part_of_version_2() {
        let part = UNIFIED.replace("0:29 / ", "0:29 /docker/1a ");
        assert_eq!(find(&part, "0::/docker/1a\n"), Ok(unified("")));
        assert_eq!(find(&part, "0::/docker/1a/in\n"), Ok(unified("in")));
        for elsewhere in ["0::/other\n", "0::/../..\n", "4:memory:/\n"] {
            assert!(find(&part, elsewhere).is_err(), "{elsewhere}");
        }
        assert!(find(UNIFIED, "0::/../x\n").is_err());
    }

    #[test]
    fn controllers_are_compared_as_words() {
        assert_eq!(missing("cpuset cpu io memory hugetlb pids"), [""; 0]);
        assert_eq!(missing("cpuset memory pids\n"), ["cpu"]);
        assert_eq!(switch('+', NEEDED), "+memory +cpu +pids");
        assert_eq!(switch('-', "cpu io\n".split_whitespace()), "-cpu -io");
    }
}
