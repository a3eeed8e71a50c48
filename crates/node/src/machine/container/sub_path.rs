//! Parts of volumes. Containers write to volumes, and may put a link where a path is looked for at any
//! moment: what was found is therefore held by a descriptor, and mounted from that.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io,
    os::fd::{AsFd, AsRawFd as _, OwnedFd},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use nix::{
    errno::Errno,
    fcntl::{OFlag, OpenHow, ResolveFlag, openat2},
    mount::{MsFlags, mount},
    sys::stat::{Mode, mkdirat},
};

use super::Mount;

/// Where a mount's files are to be bound from. A part of a volume is bound to `place` first, which only
/// this process and what it starts see.
pub(super) fn source(mount: &Mount, place: &Path) -> io::Result<PathBuf> {
    if mount.sub_path.as_os_str().is_empty() {
        return mount.source.canonicalize();
    }
    let found = find(mount)?;
    let opened = PathBuf::from(format!("/proc/self/fd/{}", found.as_raw_fd()));
    if fs::metadata(&opened)?.is_dir() {
        fs::create_dir_all(place)?;
    } else {
        fs::create_dir_all(place.parent().unwrap_or(place))?;
        File::create(place)?;
    }
    let none: Option<&str> = None;
    self::mount(Some(&opened), place, none, MsFlags::MS_BIND, none)?;
    Ok(place.to_owned())
}

/// Opens the part of a volume, and makes it if that is wanted.
fn find(mount: &Mount) -> io::Result<OwnedFd> {
    let volume: OwnedFd = File::open(&mount.source)?.into();
    match open(&volume, &mount.sub_path) {
        Err(Errno::ENOENT) if mount.made => make(&volume, &mount.sub_path)?,
        Err(Errno::ENOENT) => return Err(told(mount, "does not exist in its volume")),
        Err(Errno::EXDEV | Errno::ELOOP) => return Err(told(mount, "leads out of its volume")),
        Err(error) => return Err(error.into()),
        Ok(found) => return Ok(found),
    }
    Ok(open(&volume, &mount.sub_path)?)
}

fn told(mount: &Mount, what: &str) -> io::Error {
    io::Error::other(format!("subPath {} {what}", mount.sub_path.display()))
}

/// Opens a path inside a folder. Links on the way are followed inside only.
fn open(folder: &impl AsFd, path: &Path) -> nix::Result<OwnedFd> {
    let how = OpenHow::new()
        .flags(OFlag::O_PATH | OFlag::O_CLOEXEC)
        .resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_MAGICLINKS);
    openat2(folder, path, how)
}

/// Makes the folders of a path that are missing, which every user of the pod may write.
fn make(volume: &OwnedFd, path: &Path) -> io::Result<()> {
    let mut parent = volume.try_clone()?;
    let mut known = PathBuf::new();
    for name in path.iter().filter(|name| *name != OsStr::new(".")) {
        known.push(name);
        parent = match open(volume, &known) {
            Ok(found) => found,
            Err(Errno::ENOENT) => {
                match mkdirat(&parent, name, Mode::from_bits_truncate(0o777)) {
                    // Somebody was faster.
                    Ok(()) | Err(Errno::EEXIST) => {}
                    Err(error) => return Err(error.into()),
                }
                let made = open(volume, &known)?;
                let opened = format!("/proc/self/fd/{}", made.as_raw_fd());
                fs::set_permissions(opened, fs::Permissions::from_mode(0o777))?;
                made
            }
            Err(error) => return Err(error.into()),
        };
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn part(volume: &Path, sub_path: &str, made: bool) -> Mount {
        Mount {
            source: volume.to_owned(),
            sub_path: sub_path.into(),
            made,
            ..Mount::default()
        }
    }

    #[test]
    fn a_part_is_inside_or_not_at_all() {
        let home = tempfile::tempdir().unwrap();
        let volume = home.path();
        fs::create_dir_all(volume.join("..v1")).unwrap();
        fs::write(volume.join("..v1/key"), "x").unwrap();
        symlink("..v1", volume.join("..data")).unwrap();
        symlink("..data/key", volume.join("key")).unwrap();
        symlink("/", volume.join("out")).unwrap();
        symlink("../..", volume.join("up")).unwrap();
        let check = |sub_path: &str, made: bool, problem: Option<&str>| {
            let found = find(&part(volume, sub_path, made)).map_err(|error| error.to_string());
            match problem {
                None => assert!(found.is_ok(), "{found:?}"),
                Some(problem) => assert!(found.unwrap_err().contains(problem), "{sub_path}"),
            }
        };
        check("key", false, None);
        check("out/etc", true, Some("leads out"));
        check("up", true, Some("leads out"));
        check("../x", true, Some("leads out"));
        check("new/folder", false, Some("does not exist"));
        check("new/folder", true, None);
        let mode = fs::metadata(volume.join("new/folder"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o777);
    }
}
