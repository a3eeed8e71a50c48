//! The root file system of a container: the layers of its image under a writable one.

use std::{
    ffi::OsString,
    fs, io,
    os::unix::fs::symlink,
    path::{Component, Path, PathBuf},
};

use nix::mount::{MsFlags, mount};

use super::Job;

/// Mounts a container's root and returns where. Visible in this process's mount namespace only.
pub(super) fn assemble(job: &Job) -> io::Result<PathBuf> {
    let root = job.bundle.join("rootfs");
    let links = job.bundle.join("l");
    for folder in [
        &root,
        &links,
        &job.writable.join("upper"),
        &job.writable.join("work"),
    ] {
        fs::create_dir_all(folder)?;
    }
    let options = link_layers(job, &links)?;
    // The kernel bounds the length of options: short names, found from the working directory.
    std::env::set_current_dir(&links)?;
    let none: Option<&str> = None;
    mount(
        Some("overlay"),
        &root,
        Some("overlay"),
        MsFlags::empty(),
        Some(options.as_os_str()),
    )?;
    std::env::set_current_dir("/")?;
    mount(none, &root, none, MsFlags::MS_PRIVATE, none)?;
    ensure_folder(&root, &job.spec.cwd)?;
    Ok(root)
}

fn link_layers(job: &Job, links: &Path) -> io::Result<OsString> {
    let mut lower = Vec::new();
    // The mount wants the highest first.
    for (index, layer) in job.spec.layers.iter().enumerate().rev() {
        let name = index.to_string();
        symlink(layer.canonicalize()?, links.join(&name))?;
        lower.push(name);
    }
    if lower.is_empty() {
        fs::create_dir(links.join("empty"))?;
        lower.push("empty".to_owned());
    }
    symlink(job.writable.join("upper"), links.join("u"))?;
    symlink(job.writable.join("work"), links.join("w"))?;
    let attributes = if job.rootless { ",userxattr" } else { "" };
    Ok(format!(
        "lowerdir={},upperdir=u,workdir=w{attributes}",
        lower.join(":")
    )
    .into())
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
