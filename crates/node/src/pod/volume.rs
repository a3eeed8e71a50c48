//! The files of a pod: what they hold is a function of the index; writing them is an atomic swap, so
//! that a container sees a changed object whole or not at all.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Component, Path, PathBuf},
};

use choreo_model::quantity;
use k8s_openapi::{
    api::core::v1::{DownwardAPIVolumeFile, KeyToPath, Pod, Volume, VolumeProjection},
    apimachinery::pkg::api::resource::Quantity,
};

use super::env::{self, Told};
use crate::{claim, index::Index, machine::InMemory};

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
    if let Some(claim) = &volume.persistent_volume_claim {
        let name = &claim.claim_name;
        let found = index.claims.find(namespace, name);
        let found = found.ok_or_else(|| format!("persistentvolumeclaim {name:?} not found"))?;
        if let Some(why) = claim::refused(found) {
            return Err(format!(
                "persistentvolumeclaim {name:?} is not bound: {why}"
            ));
        }
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
            env::resource_of(
                pod,
                first.ok_or("the pod has no container")?,
                field,
                own.capacity,
            )?
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

/// A part of a volume as a path inside it; empty for the whole.
pub fn part(sub_path: &str) -> Result<PathBuf, String> {
    if sub_path.is_empty() {
        return Ok(PathBuf::new());
    }
    inside(sub_path).map(PathBuf::from)
}

/// An amount of bytes.
pub(super) fn bytes(quantity: &Quantity) -> Option<u64> {
    quantity::milli(&quantity.0).map(|milli| milli / 1000)
}

/// The volumes of a pod that are kept in memory, whose folders are below `folder`: as large as they
/// say, and never larger than the pod's containers may get together.
pub fn in_memory(pod: &Pod, folder: &Path) -> Vec<InMemory> {
    let Some(spec) = &pod.spec else {
        return Vec::new();
    };
    let limits = spec.containers.iter().map(|container| {
        let limits = container.resources.as_ref()?.limits.as_ref()?;
        bytes(limits.get("memory")?)
    });
    let together: Option<u64> = limits.sum();
    let volumes = spec.volumes.iter().flatten().filter_map(|volume| {
        let empty = volume.empty_dir.as_ref()?;
        (empty.medium.as_deref() == Some("Memory")).then(|| InMemory {
            folder: folder.join(&volume.name),
            limit: empty
                .size_limit
                .as_ref()
                .and_then(bytes)
                .into_iter()
                .chain(together)
                .min(),
        })
    });
    volumes.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

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
    fn volumes_in_memory_are_bounded_by_the_pod() {
        let check = |empty: serde_json::Value, limits: &[Option<&str>], expected: Option<u64>| {
            let containers: Vec<_> = limits
                .iter()
                .map(|limit| json!({"name": "c", "resources": {"limits": limit.map(|limit| json!({"memory": limit}))}}))
                .collect();
            let volumes = json!([{"name": "v", "emptyDir": empty}, {"name": "w", "emptyDir": {}}]);
            let pod =
                json!({"metadata": {}, "spec": {"containers": containers, "volumes": volumes}});
            let found = in_memory(&serde_json::from_value(pod).unwrap(), Path::new("/x"));
            let limit = InMemory {
                folder: "/x/v".into(),
                limit: expected,
            };
            assert_eq!(found, [limit], "{empty}");
        };
        let memory = json!({"medium": "Memory"});
        check(memory.clone(), &[None], None);
        check(memory.clone(), &[Some("1Mi"), None], None);
        check(memory, &[Some("1Mi"), Some("1Mi")], Some(2 << 20));
        let small = json!({"medium": "Memory", "sizeLimit": "64Ki"});
        check(small.clone(), &[Some("1Mi")], Some(64 << 10));
        check(small, &[None], Some(64 << 10));
    }
}
