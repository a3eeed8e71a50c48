//! The root file system of a container: the layers of its image under a writable one.

use std::{
    ffi::OsString,
    fs, io,
    os::unix::fs::symlink,
    path::{Component, Path, PathBuf},
};

use nix::mount::{MntFlags, MsFlags, mount, umount2};

use super::Job;

/// Where, in a container's writable folder, the files are that it has written.
pub(in crate::machine) const WRITTEN: &str = "upper";

/// Mounts a container's root and returns where. Visible in this process's mount namespace only.
pub(super) fn assemble(job: &Job) -> io::Result<PathBuf> {
    let root = Layers {
        read_only: &job.spec.layers,
        bundle: &job.bundle,
        writable: &job.writable,
        rootless: job.rootless,
    }
    .mount()?;
    ensure_folder(&root, &job.spec.cwd)?;
    Ok(root)
}

/// Finds out whether the file systems of these folders can be layered, by doing it once.
pub(in crate::machine) fn rehearse(
    layers: &Path,
    containers: &Path,
    run: &Path,
    rootless: bool,
) -> io::Result<()> {
    let (read_only, bundle) = (layers.join("rehearsal"), run.join("rehearsal"));
    let writable = containers.join("rehearsal");
    fs::create_dir_all(&read_only)?;
    fs::create_dir_all(&bundle)?;
    let mounted = Layers {
        read_only: std::slice::from_ref(&read_only),
        bundle: &bundle,
        writable: &writable,
        rootless,
    }
    .mount();
    let outcome = mounted.and_then(|root| {
        let written = fs::write(root.join("file"), "");
        umount2(&root, MntFlags::MNT_DETACH)?;
        written
    });
    for folder in [&read_only, &bundle, &writable] {
        // Swept at the next start otherwise.
        let _left = fs::remove_dir_all(folder);
    }
    outcome
}

/// Layers of an image with a writable one above them.
struct Layers<'a> {
    /// The lowest first.
    read_only: &'a [PathBuf],
    /// Where the root is mounted and short names are kept.
    bundle: &'a Path,
    /// Where what is written goes.
    writable: &'a Path,
    rootless: bool,
}

impl Layers<'_> {
    fn mount(&self) -> io::Result<PathBuf> {
        let root = self.bundle.join("rootfs");
        let links = self.bundle.join("l");
        for folder in [
            &root,
            &links,
            &self.writable.join(WRITTEN),
            &self.writable.join("work"),
        ] {
            fs::create_dir_all(folder)?;
        }
        let options = self.link(&links)?;
        // The kernel bounds the length of options: short names, found from the working directory.
        std::env::set_current_dir(&links)?;
        let none: Option<&str> = None;
        let mounted = mount(
            Some("overlay"),
            &root,
            Some("overlay"),
            MsFlags::empty(),
            Some(options.as_os_str()),
        );
        std::env::set_current_dir("/")?;
        mounted?;
        mount(none, &root, none, MsFlags::MS_PRIVATE, none)?;
        Ok(root)
    }

    /// Gives every layer a short name and returns the options of the mount.
    fn link(&self, links: &Path) -> io::Result<OsString> {
        let mut lower = Vec::new();
        // The mount wants the highest first.
        for (index, layer) in self.read_only.iter().enumerate().rev() {
            let name = index.to_string();
            symlink(layer.canonicalize()?, links.join(&name))?;
            lower.push(name);
        }
        if lower.is_empty() {
            fs::create_dir(links.join("empty"))?;
            lower.push("empty".to_owned());
        }
        symlink(self.writable.join(WRITTEN), links.join("u"))?;
        symlink(self.writable.join("work"), links.join("w"))?;
        let attributes = if self.rootless { ",userxattr" } else { "" };
        Ok(format!(
            "lowerdir={},upperdir=u,workdir=w{attributes}",
            lower.join(":")
        )
        .into())
    }
}

/// Makes a folder inside a root unless something is there. Never follows a link: the image's author
/// chose where they lead.
fn ensure_folder(root: &Path, folder: &Path) -> io::Result<()> {
    let mut path = root.to_owned();
    for component in folder.components() {
        match component {
            Component::Normal(name) => path.push(name),
            Component::RootDir | Component::CurDir => continue,
            Component::ParentDir | Component::Prefix(_) => {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    format!("{} is no plain path", folder.display()),
                ));
            }
        }
        match fs::symlink_metadata(&path) {
            Ok(found) if found.is_dir() => {}
            // A link or a file: the runtime finds out whether it leads to a folder.
            Ok(_) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => fs::create_dir(&path)?,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_made_inside_only() {
        let outside = tempfile::tempdir().unwrap();
        let root = tempfile::tempdir().unwrap();
        symlink(outside.path(), root.path().join("link")).unwrap();
        ensure_folder(root.path(), Path::new("/a/b")).unwrap();
        ensure_folder(root.path(), Path::new("/link/c")).unwrap();
        assert!(root.path().join("a/b").is_dir());
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
        assert!(ensure_folder(root.path(), Path::new("/../c")).is_err());
    }
}
