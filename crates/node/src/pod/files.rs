//! The files of a pod's volumes on the disk. Writing them is an atomic swap, so that a container sees
//! a changed object whole or not at all.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, fs, io,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
};

/// A file.
#[derive(Clone, PartialEq, Eq)]
pub struct File {
    /// What it holds.
    pub bytes: Vec<u8>,
    /// Its permissions.
    pub mode: u32,
    /// The user inside containers that it belongs to; without one, their root.
    pub owner: Option<u32>,
}

impl fmt::Debug for File {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What it holds may be secret.
        write!(formatter, "{} bytes {:o}", self.bytes.len(), self.mode)
    }
}

/// Files by relative path.
pub type Files = BTreeMap<String, File>;

/// The files of a pod's volumes, by volume; volumes that containers fill are `None`.
pub type Payload = BTreeMap<String, Option<Files>>;

/// New files of volumes that no container sees yet.
#[derive(Debug)]
pub struct Staged(Vec<Version>);

/// The files of a volume, in a folder of their own.
#[derive(Debug)]
struct Version {
    volume: PathBuf,
    folder: String,
    /// What is seen now.
    before: Option<PathBuf>,
    /// What is at the top.
    names: BTreeSet<String>,
    owners: BTreeMap<PathBuf, u32>,
}

/// Writes the volumes of a pod below `folder`, to be seen once they are committed.
pub fn stage(folder: &Path, payload: &Payload) -> io::Result<Staged> {
    let mut staged = Vec::new();
    for (name, files) in payload {
        let volume = folder.join(name);
        match files {
            Some(files) => {
                fs::create_dir_all(&volume)?;
                staged.push(Version::write(volume, files)?);
            }
            None => open_folder(&volume)?,
        }
    }
    Ok(Staged(staged))
}

/// Makes a folder that every user of a pod may write.
pub fn open_folder(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o777))
}

impl Staged {
    /// The files that belong to somebody, and to whom.
    pub fn owners(&self) -> impl Iterator<Item = (&Path, u32)> {
        let all = self.0.iter().flat_map(|version| &version.owners);
        all.map(|(path, owner)| (path.as_path(), *owner))
    }

    /// Puts the files in the place of the ones before.
    pub fn commit(self) -> io::Result<()> {
        self.0.into_iter().try_for_each(Version::commit)
    }
}

impl Version {
    fn write(volume: PathBuf, files: &Files) -> io::Result<Self> {
        let before = fs::read_link(volume.join("..data")).ok();
        let number: u64 = before
            .as_ref()
            .and_then(|target| target.to_str()?.strip_prefix("..v")?.parse().ok())
            .unwrap_or_default();
        let folder = format!("..v{}", number + 1);
        let fresh = volume.join(&folder);
        if fresh.exists() {
            fs::remove_dir_all(&fresh)?;
        }
        fs::create_dir(&fresh)?;
        let mut owners = BTreeMap::new();
        for (path, file) in files {
            let target = fresh.join(path);
            if let Some(parent) = target.parent() {
                fs::create_dir_all(parent)?;
            }
            fs::write(&target, &file.bytes)?;
            fs::set_permissions(&target, fs::Permissions::from_mode(file.mode))?;
            owners.extend(file.owner.map(|owner| (target, owner)));
        }
        let names = files.keys().filter_map(|path| path.split('/').next());
        Ok(Self {
            names: names.map(str::to_owned).collect(),
            volume,
            folder,
            before,
            owners,
        })
    }

    /// One rename of the link to the folder.
    fn commit(self) -> io::Result<()> {
        let link = self.volume.join("..data_new");
        if link.symlink_metadata().is_ok() {
            fs::remove_file(&link)?;
        }
        symlink(&self.folder, &link)?;
        fs::rename(&link, self.volume.join("..data"))?;
        self.name()?;
        if let Some(before) = self.before {
            fs::remove_dir_all(self.volume.join(before))?;
        }
        Ok(())
    }

    /// Keeps one link per top-level name, through `..data`.
    fn name(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.volume)? {
            let entry = entry?;
            let known = entry.file_name();
            let known = known.to_string_lossy();
            if !known.starts_with("..") && !self.names.contains(known.as_ref()) {
                fs::remove_file(entry.path())?;
            }
        }
        for name in &self.names {
            let link = self.volume.join(name);
            if link.symlink_metadata().is_err() {
                symlink(Path::new("..data").join(name), link)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(all: &[(&str, &str)]) -> Payload {
        let files = all.iter().map(|(path, text)| {
            let file = File {
                bytes: text.as_bytes().to_vec(),
                mode: 0o644,
                owner: path.starts_with("own").then_some(7),
            };
            ((*path).to_owned(), file)
        });
        Payload::from([("conf".to_owned(), Some(files.collect()))])
    }

    #[test]
    fn a_change_swaps_all_files_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let write = |files: &[_]| stage(folder.path(), &payload(files)).unwrap();
        let read = |path: &str| fs::read_to_string(folder.path().join("conf").join(path)).ok();
        write(&[("a", "1"), ("d/b", "2")]).commit().unwrap();
        assert_eq!(
            (read("a").unwrap(), read("d/b").unwrap()),
            ("1".into(), "2".into())
        );
        let staged = write(&[("a", "3")]);
        assert_eq!(
            (read("a"), read("d/b")),
            (Some("1".into()), Some("2".into()))
        );
        staged.commit().unwrap();
        assert_eq!((read("a"), read("d/b")), (Some("3".into()), None));
        let left = fs::read_dir(folder.path().join("conf")).unwrap().count();
        assert_eq!(left, 3, "one version, the link to it, one name");
    }

    #[test]
    fn files_have_owners_before_they_are_seen() {
        let folder = tempfile::tempdir().unwrap();
        let staged = stage(folder.path(), &payload(&[("a", ""), ("own/b", "secret")])).unwrap();
        let (path, owner) = staged.owners().next().unwrap();
        assert_eq!((fs::read(path).unwrap(), owner), (b"secret".to_vec(), 7));
        assert_eq!(staged.owners().count(), 1);
        let told = format!("{:?}", payload(&[("a", "secret")]));
        assert_eq!(told, r#"{"conf": Some({"a": 6 bytes 644})}"#);
    }
}
