//! The files of a pod: what they hold is a function of the index; writing them is an atomic swap, so
//! that a container sees a changed object whole or not at all.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Component, Path, PathBuf},
};

use k8s_openapi::api::core::v1::{
    DownwardAPIVolumeFile, KeyToPath, Pod, Volume, VolumeMount, VolumeProjection,
};

use super::env::{self, Told};
use crate::index::Index;

/// A file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// What it holds.
    pub bytes: Vec<u8>,
    /// Its permissions.
    pub mode: u32,
}

/// Files by relative path.
pub type Files = BTreeMap<String, File>;

/// The files of a pod's volumes, by volume; volumes that containers fill are `None`.
pub type Payload = BTreeMap<String, Option<Files>>;

/// What a pod's volumes hold, or the first thing that is missing.
pub fn payload(index: &Index, pod: &Pod, own: &Told) -> Result<Payload, String> {
    let volumes = pod
        .spec
        .iter()
        .flat_map(|spec| spec.volumes.iter().flatten());
    volumes
        .map(|volume| {
            let files = files(index, pod, volume, own)
                .map_err(|problem| format!("volume {:?}: {problem}", volume.name))?;
            Ok((volume.name.clone(), files))
        })
        .collect()
}

/// The source of files: an object's data, the chosen keys, the mode, and whether it may be missing.
struct Source<'a> {
    kind: &'static str,
    name: &'a str,
    items: Option<&'a Vec<KeyToPath>>,
    mode: u32,
    optional: bool,
}

fn files(index: &Index, pod: &Pod, volume: &Volume, own: &Told) -> Result<Option<Files>, String> {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    if let Some(map) = &volume.config_map {
        let source = Source {
            kind: "configmap",
            name: &map.name,
            items: map.items.as_ref(),
            mode: mode(map.default_mode),
            optional: map.optional == Some(true),
        };
        return source
            .pick(config_map(index, namespace, &map.name))
            .map(Some);
    }
    if let Some(secret) = &volume.secret {
        let name = secret.secret_name.as_deref().unwrap_or_default();
        let source = Source {
            kind: "secret",
            name,
            items: secret.items.as_ref(),
            mode: mode(secret.default_mode),
            optional: secret.optional == Some(true),
        };
        return source.pick(secret_data(index, namespace, name)).map(Some);
    }
    if let Some(downward) = &volume.downward_api {
        return told(
            pod,
            downward.items.as_ref(),
            mode(downward.default_mode),
            own,
        )
        .map(Some);
    }
    if let Some(projected) = &volume.projected {
        let mut all = Files::new();
        for projection in projected.sources.iter().flatten() {
            all.extend(project(
                index,
                pod,
                projection,
                mode(projected.default_mode),
                own,
            )?);
        }
        return Ok(Some(all));
    }
    if let Some(claim) = &volume.persistent_volume_claim
        && index.claims.find(namespace, &claim.claim_name).is_none()
    {
        return Err(format!(
            "persistentvolumeclaim {:?} not found",
            claim.claim_name
        ));
    }
    Ok(None)
}

fn project(
    index: &Index,
    pod: &Pod,
    projection: &VolumeProjection,
    mode: u32,
    own: &Told,
) -> Result<Files, String> {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    if let Some(map) = &projection.config_map {
        let optional = map.optional == Some(true);
        let items = map.items.as_ref();
        let source = Source {
            kind: "configmap",
            name: &map.name,
            items,
            mode,
            optional,
        };
        return source.pick(config_map(index, namespace, &map.name));
    }
    if let Some(secret) = &projection.secret {
        let optional = secret.optional == Some(true);
        let items = secret.items.as_ref();
        let source = Source {
            kind: "secret",
            name: &secret.name,
            items,
            mode,
            optional,
        };
        return source.pick(secret_data(index, namespace, &secret.name));
    }
    if let Some(downward) = &projection.downward_api {
        return told(pod, downward.items.as_ref(), mode, own);
    }
    Err("a projected source has to be a configMap, a secret or downwardAPI".to_owned())
}

type Data = BTreeMap<String, Vec<u8>>;

fn config_map(index: &Index, namespace: &str, name: &str) -> Option<Data> {
    let found = index.config_maps.find(namespace, name)?;
    let text = found
        .data
        .iter()
        .flatten()
        .map(|(k, v)| (k.clone(), v.clone().into_bytes()));
    let bytes = found
        .binary_data
        .iter()
        .flatten()
        .map(|(k, v)| (k.clone(), v.0.clone()));
    Some(text.chain(bytes).collect())
}

fn secret_data(index: &Index, namespace: &str, name: &str) -> Option<Data> {
    let found = index.secrets.find(namespace, name)?;
    Some(
        found
            .data
            .iter()
            .flatten()
            .map(|(k, v)| (k.clone(), v.0.clone()))
            .collect(),
    )
}

impl Source<'_> {
    fn pick(&self, data: Option<Data>) -> Result<Files, String> {
        let Self {
            kind,
            name,
            mode,
            optional,
            ..
        } = *self;
        let Some(data) = data else {
            return if optional {
                Ok(Files::new())
            } else {
                Err(format!("{kind} {name:?} not found"))
            };
        };
        let Some(items) = self.items.filter(|items| !items.is_empty()) else {
            return Ok(data
                .into_iter()
                .map(|(key, bytes)| (key, File { bytes, mode }))
                .collect());
        };
        let mut files = Files::new();
        for item in items {
            let Some(bytes) = data.get(&item.key) else {
                if optional {
                    continue;
                }
                return Err(format!("{kind} {name:?} has no key {:?}", item.key));
            };
            let mode = item.mode.map_or(mode, |wanted| self::mode(Some(wanted)));
            files.insert(
                inside(&item.path)?,
                File {
                    bytes: bytes.clone(),
                    mode,
                },
            );
        }
        Ok(files)
    }
}

fn told(
    pod: &Pod,
    items: Option<&Vec<DownwardAPIVolumeFile>>,
    mode: u32,
    own: &Told,
) -> Result<Files, String> {
    let mut files = Files::new();
    for item in items.into_iter().flatten() {
        let text = if let Some(field) = &item.field_ref {
            env::field_of(pod, field, own)?
        } else if let Some(field) = &item.resource_field_ref {
            let first = pod.spec.as_ref().and_then(|spec| spec.containers.first());
            env::resource_of(pod, first.ok_or("the pod has no container")?, field)?
        } else {
            return Err(format!("downwardAPI file {:?} has no source", item.path));
        };
        let mode = item.mode.map_or(mode, |wanted| self::mode(Some(wanted)));
        files.insert(
            inside(&item.path)?,
            File {
                bytes: text.into_bytes(),
                mode,
            },
        );
    }
    Ok(files)
}

fn mode(wanted: Option<i32>) -> u32 {
    wanted
        .and_then(|mode| u32::try_from(mode).ok())
        .unwrap_or(0o644)
        & 0o777
}

/// A path that cannot leave its volume.
fn inside(path: &str) -> Result<String, String> {
    let ordinary = Path::new(path)
        .components()
        .all(|part| matches!(part, Component::Normal(_)));
    if ordinary && !path.is_empty() && !path.starts_with("..") {
        Ok(path.to_owned())
    } else {
        Err(format!("path {path:?} has to stay inside the volume"))
    }
}

/// Writes the volumes of a pod below `folder`.
pub fn write(folder: &Path, payload: &Payload) -> io::Result<()> {
    for (name, files) in payload {
        let volume = folder.join(name);
        match files {
            Some(files) => {
                fs::create_dir_all(&volume)?;
                swap(&volume, files)?;
            }
            None => open_folder(&volume)?,
        }
    }
    Ok(())
}

/// Makes a folder that every user of a pod may write.
pub fn open_folder(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o777))
}

/// Puts files in the place of the ones before: a new folder, then one rename of the link to it.
fn swap(volume: &Path, files: &Files) -> io::Result<()> {
    let data = volume.join("..data");
    let before = fs::read_link(&data).ok();
    let number: u64 = before
        .as_ref()
        .and_then(|target| target.to_str()?.strip_prefix("..v")?.parse().ok())
        .unwrap_or_default();
    let version = format!("..v{}", number + 1);
    let fresh = volume.join(&version);
    if fresh.exists() {
        fs::remove_dir_all(&fresh)?;
    }
    fs::create_dir(&fresh)?;
    for (path, file) in files {
        let target = fresh.join(path);
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(&target, &file.bytes)?;
        fs::set_permissions(&target, fs::Permissions::from_mode(file.mode))?;
    }
    let link = volume.join("..data_new");
    if link.symlink_metadata().is_ok() {
        fs::remove_file(&link)?;
    }
    symlink(&version, &link)?;
    fs::rename(&link, &data)?;
    name(volume, files)?;
    if let Some(before) = before {
        fs::remove_dir_all(volume.join(before))?;
    }
    Ok(())
}

/// Keeps one link per top-level name, through `..data`.
fn name(volume: &Path, files: &Files) -> io::Result<()> {
    let wanted: BTreeSet<&str> = files
        .keys()
        .filter_map(|path| path.split('/').next())
        .collect();
    for entry in fs::read_dir(volume)? {
        let entry = entry?;
        let known = entry.file_name();
        let known = known.to_string_lossy();
        if !known.starts_with("..") && !wanted.contains(known.as_ref()) {
            fs::remove_file(entry.path())?;
        }
    }
    for name in wanted {
        let link = volume.join(name);
        if link.symlink_metadata().is_err() {
            symlink(Path::new("..data").join(name), link)?;
        }
    }
    Ok(())
}

/// Where a mount's files are on the host. A sub-path is resolved now and stays what it is; one that
/// does not exist in a folder of the pod is made.
pub fn source(volume: &Path, mount: &VolumeMount, sub_path: &str) -> Result<PathBuf, String> {
    if sub_path.is_empty() {
        return Ok(volume.to_owned());
    }
    let relative = inside(sub_path)?;
    let given = volume.join(&relative);
    if given.symlink_metadata().is_err() && !volume.join("..data").exists() {
        fs::create_dir_all(&given).map_err(|error| error.to_string())?;
    }
    let resolved = given.canonicalize();
    let root = volume.canonicalize().map_err(|error| error.to_string())?;
    match resolved {
        Ok(path) if path.starts_with(&root) => Ok(path),
        Ok(_) => Err(format!(
            "subPath {sub_path:?} leaves volume {:?}",
            mount.name
        )),
        Err(_) => Err(format!(
            "subPath {sub_path:?} does not exist in volume {:?}",
            mount.name
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(all: &[(&str, &str)]) -> Files {
        all.iter()
            .map(|(path, text)| {
                (
                    (*path).to_owned(),
                    File {
                        bytes: text.as_bytes().to_vec(),
                        mode: 0o644,
                    },
                )
            })
            .collect()
    }

    #[test]
    fn a_change_swaps_all_files_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let payload = |files| Payload::from([("conf".to_owned(), Some(files))]);
        let read = |path: &str| fs::read_to_string(folder.path().join("conf").join(path)).ok();
        write(folder.path(), &payload(files(&[("a", "1"), ("d/b", "2")]))).unwrap();
        assert_eq!(
            (read("a").unwrap(), read("d/b").unwrap()),
            ("1".into(), "2".into())
        );
        write(folder.path(), &payload(files(&[("a", "3")]))).unwrap();
        assert_eq!((read("a"), read("d/b")), (Some("3".into()), None));
        let left = fs::read_dir(folder.path().join("conf")).unwrap().count();
        assert_eq!(left, 3, "one version, the link to it, one name");
    }

    #[test]
    fn paths_stay_inside() {
        assert!(inside("a/b").is_ok());
        for bad in ["", "/etc", "../x", "a/../../x", "..data"] {
            assert!(inside(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_sub_path_may_not_lead_out() {
        let folder = tempfile::tempdir().unwrap();
        let volume = folder.path().join("v");
        fs::create_dir(&volume).unwrap();
        symlink("/", volume.join("out")).unwrap();
        let mount = VolumeMount::default();
        assert!(source(&volume, &mount, "out/etc").is_err());
        assert_eq!(source(&volume, &mount, "new").unwrap(), volume.join("new"));
    }
}
