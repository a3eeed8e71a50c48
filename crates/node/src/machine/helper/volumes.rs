//! Folders that containers write to, whose files have owners that only the machine may touch.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io,
    os::{
        fd::{AsFd, AsRawFd as _, BorrowedFd},
        unix::{
            ffi::OsStrExt as _,
            fs::{MetadataExt as _, PermissionsExt as _},
        },
    },
    path::Path,
};

use nix::{
    dir::Dir,
    fcntl::{AtFlags, OFlag, openat},
    sys::stat::{Mode, SFlag, fstat},
    unistd::{Gid, fchownat},
};

/// Gives a folder and all in it to a group of users, as Kubernetes does for `fsGroup`: members may
/// read and write what the owner may, and what is made inside belongs to the group too.
pub(super) fn give(folder: &Path, group: u32) -> io::Result<()> {
    let parent = File::open(folder.parent().unwrap_or_else(|| Path::new("/")))?;
    let name = folder.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    give_entry(parent.as_fd(), name, group)
}

/// Never follows a link: containers that run now may put one wherever they write.
fn give_entry(parent: BorrowedFd<'_>, name: &OsStr, group: u32) -> io::Result<()> {
    let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let entry = openat(parent, name, flags, Mode::empty())?;
    let found = fstat(&entry)?;
    fchownat(
        &entry,
        "",
        None,
        Some(Gid::from_raw(group)),
        AtFlags::AT_EMPTY_PATH,
    )?;
    let kind = SFlag::from_bits_truncate(found.st_mode & SFlag::S_IFMT.bits());
    if kind == SFlag::S_IFLNK {
        return Ok(());
    }
    let is_folder = kind == SFlag::S_IFDIR;
    let inherited = if is_folder { 0o2010 } else { 0 };
    let mode = found.st_mode & 0o1777 | (found.st_mode & 0o600) >> 3 | inherited;
    // The descriptor's own link leads to what was opened and nowhere else.
    let opened = format!("/proc/self/fd/{}", entry.as_raw_fd());
    fs::set_permissions(opened, fs::Permissions::from_mode(mode))?;
    if is_folder {
        let flags = OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let mut folder = Dir::openat(&entry, ".", flags, Mode::empty())?;
        let names: Vec<_> = folder
            .iter()
            .map(|found| Ok(found?.file_name().to_owned()))
            .collect::<io::Result<_>>()?;
        for name in names.iter().map(|name| OsStr::from_bytes(name.to_bytes())) {
            if name != "." && name != ".." {
                give_entry(entry.as_fd(), name, group)?;
            }
        }
    }
    Ok(())
}

/// The bytes that all in a folder takes of the disk. Links are not followed; what vanishes meanwhile
/// takes nothing.
pub(super) fn size(folder: &Path) -> io::Result<u64> {
    let mut sum = 0;
    let mut left = vec![folder.to_owned()];
    while let Some(path) = left.pop() {
        let found = match fs::symlink_metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            found => found?,
        };
        sum += found.blocks() * 512;
        if found.is_dir() {
            match fs::read_dir(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                entries => {
                    for entry in entries? {
                        left.push(entry?.path());
                    }
                }
            }
        }
    }
    Ok(sum)
}

/// Removes a folder if it is there.
pub(super) fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_group_gets_the_rights_of_the_owner_inside_only() {
        let home = tempfile::tempdir().unwrap();
        let (volume, outside) = (home.path().join("volume"), home.path().join("outside"));
        fs::create_dir_all(volume.join("inner")).unwrap();
        for (file, mode) in [(volume.join("inner/file"), 0o640), (outside.clone(), 0o600)] {
            fs::write(&file, "x").unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        }
        symlink(&outside, volume.join("link")).unwrap();
        let group = fs::metadata(&outside).unwrap().gid();
        give(&volume, group).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o7777;
        assert_eq!(mode(&volume) & 0o2070, 0o2070);
        assert_eq!(mode(&volume.join("inner/file")), 0o660);
        assert_eq!(mode(&outside), 0o600);
    }

    #[test]
    fn a_folder_takes_what_is_in_it() {
        let home = tempfile::tempdir().unwrap();
        let volume = home.path().join("volume");
        fs::create_dir_all(volume.join("inner")).unwrap();
        fs::write(home.path().join("large"), vec![1; 1 << 20]).unwrap();
        symlink(home.path().join("large"), volume.join("link")).unwrap();
        let before = size(&volume).unwrap();
        assert!(before < 1 << 20, "{before}");
        fs::write(volume.join("inner/file"), vec![1; 1 << 20]).unwrap();
        assert!(size(&volume).unwrap() >= before + (1 << 20));
        assert_eq!(size(&home.path().join("absent")).unwrap(), 0);
    }
}
