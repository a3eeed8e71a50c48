//! What the machine sees of the host's files.
//!
//! As root it sees all of them, with a process file system of its own. Rootless it moves into a small
//! root of its own with the host's top-level folders in it: so nothing of the host's cgroups is
//! visible, which the container runtime could not write to and would fail on.

use std::{
    fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use nix::mount::{MntFlags, MsFlags, mount, umount2};

/// Where the container runtime looks for control groups.
pub(super) const CGROUPS: &str = "/sys/fs/cgroup";

const NONE: Option<&str> = None;

/// Cuts the mounts of this namespace off from the host's.
pub(super) fn make_private() -> io::Result<()> {
    Ok(mount(
        NONE,
        "/",
        NONE,
        MsFlags::MS_REC | MsFlags::MS_PRIVATE,
        NONE,
    )?)
}

/// A process file system that shows the machine's processes.
pub(super) fn mount_proc(target: &Path) -> io::Result<()> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    Ok(mount(Some("proc"), target, Some("proc"), flags, NONE)?)
}

/// A small file system in memory that goes with the machine.
pub(super) fn mount_memory(target: &Path) -> io::Result<()> {
    fs::create_dir_all(target)?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    Ok(mount(
        Some("tmpfs"),
        target,
        Some("tmpfs"),
        flags,
        // Whoever knows a name may use it.
        Some("mode=0711"),
    )?)
}

/// A folder of a pod in memory, which everyone in the pod may write.
pub(super) fn mount_volume(target: &Path, limit: Option<u64>) -> io::Result<()> {
    fs::create_dir_all(target)?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    let size = limit
        .map(|limit| format!(",size={limit}"))
        .unwrap_or_default();
    let options = format!("mode=0777{size}");
    Ok(mount(
        Some("tmpfs"),
        target,
        Some("tmpfs"),
        flags,
        Some(options.as_str()),
    )?)
}

/// Ends such a folder.
pub(super) fn unmount(target: &Path) {
    // It may not have been mounted.
    let _absent = umount2(target, MntFlags::MNT_DETACH);
}

/// Shows a folder at another place.
pub(super) fn bind(source: &Path, target: &Path) -> io::Result<()> {
    Ok(mount(Some(source), target, NONE, MsFlags::MS_BIND, NONE)?)
}

/// Hides cgroup hierarchies that cannot be written.
pub(super) fn hide_cgroups() -> io::Result<()> {
    let cgroups = Path::new(CGROUPS);
    while umount2(cgroups, MntFlags::MNT_DETACH).is_ok() {}
    if cgroups.is_dir() {
        mount_memory(cgroups)
    } else {
        Ok(())
    }
}

/// Moves into a small root with the host's top-level folders, a fresh /proc and an empty /sys.
///
/// `at` is an empty folder of the host on which the new root is made; `groups` is the control group
/// that is seen as the root of all, if there is one.
pub(super) fn enter_small_root(at: &Path, groups: Option<&Path>) -> io::Result<()> {
    fs::create_dir_all(at)?;
    mount(
        Some("tmpfs"),
        at,
        Some("tmpfs"),
        MsFlags::empty(),
        Some("mode=0755"),
    )?;
    // Unbindable, so that binding the folder it is in does not bind the new root into itself.
    mount(NONE, at, NONE, MsFlags::MS_UNBINDABLE, NONE)?;
    for entry in top_level()? {
        if let Some(name) = entry.file_name() {
            copy_entry(&entry, &at.join(name))?;
        }
    }
    fs::create_dir_all(at.join("proc"))?;
    let cgroups = at.join(CGROUPS.trim_start_matches('/'));
    fs::create_dir_all(&cgroups)?;
    if let Some(groups) = groups {
        bind(groups, &cgroups)?;
    }
    // The kernel allows a fresh /proc only while the host's is in sight: before leaving.
    mount_proc(&at.join("proc"))?;
    std::env::set_current_dir(at)?;
    nix::unistd::pivot_root(".", ".")?;
    umount2(".", MntFlags::MNT_DETACH)?;
    std::env::set_current_dir("/")
}

fn top_level() -> io::Result<Vec<PathBuf>> {
    let mut entries = fs::read_dir("/")?
        .map(|entry| Ok(entry?.path()))
        .collect::<io::Result<Vec<_>>>()?;
    entries.retain(|path| path != Path::new("/proc") && path != Path::new("/sys"));
    entries.sort();
    Ok(entries)
}

fn copy_entry(entry: &Path, target: &Path) -> io::Result<()> {
    let kind = fs::symlink_metadata(entry)?.file_type();
    if kind.is_symlink() {
        return symlink(fs::read_link(entry)?, target);
    }
    if kind.is_dir() {
        fs::create_dir(target)?;
        // A folder that cannot be bound (a network file system gone away) is not worth failing for.
        let flags = MsFlags::MS_BIND | MsFlags::MS_REC;
        let _unbindable = mount(Some(entry), target, NONE, flags, NONE);
    }
    Ok(())
}
