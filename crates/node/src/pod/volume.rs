//! What the volumes of a pod hold: a function of the index and of the pod's tokens.

use std::{
    collections::BTreeMap,
    path::{Component, Path, PathBuf},
};

use choreo_model::quantity;
use k8s_openapi::{
    api::core::v1::{DownwardAPIVolumeFile, KeyToPath, Pod, Volume, VolumeProjection},
    apimachinery::pkg::api::resource::Quantity,
};

use super::{
    env::{self, Told},
    files::{File, Files, Payload},
    security,
    token::{self, Tokens, Wanted},
};
use crate::{claim, index::Index, machine::InMemory};

/// What the volumes of a pod are made of.
#[derive(Clone, Copy)]
pub struct Sources<'a> {
    /// Objects.
    pub index: &'a Index,
    /// The pod.
    pub pod: &'a Pod,
    /// What it is told of itself.
    pub own: &'a Told,
    /// Its tokens.
    pub tokens: &'a Tokens,
}

/// What a pod's volumes hold, or the first thing that is missing.
pub fn payload(sources: Sources<'_>) -> Result<Payload, String> {
    let volumes = sources
        .pod
        .spec
        .iter()
        .flat_map(|spec| spec.volumes.iter().flatten());
    volumes
        .map(|volume| {
            let files = files(sources, volume)
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

fn files(sources: Sources<'_>, volume: &Volume) -> Result<Option<Files>, String> {
    let Sources {
        index, pod, own, ..
    } = sources;
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
            all.extend(project(sources, projection, mode(projected.default_mode))?);
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
    sources: Sources<'_>,
    projection: &VolumeProjection,
    mode: u32,
) -> Result<Files, String> {
    let Sources {
        index, pod, own, ..
    } = sources;
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
    if let Some(token) = &projection.service_account_token {
        let text = token::of(sources.tokens, &Wanted::by(token))?;
        let file = secret_of(pod, text, mode);
        return Ok(Files::from([(inside(&token.path)?, file)]));
    }
    Err(
        "a projected source has to be a configMap, a secret, downwardAPI or serviceAccountToken"
            .to_owned(),
    )
}

/// A token, which is for the user of the pod's containers alone if they have one, and for the group of
/// its volumes if there is one.
fn secret_of(pod: &Pod, text: &str, mode: u32) -> File {
    let owner = security::volumes_user(pod);
    let apart = owner.is_some() || security::volumes_group(pod).is_some();
    File {
        bytes: text.as_bytes().to_vec(),
        mode: if apart { 0o600 } else { mode },
        owner,
    }
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
                .map(|(key, bytes)| (key, file(bytes, mode)))
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
            files.insert(inside(&item.path)?, file(bytes.clone(), mode));
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
        files.insert(inside(&item.path)?, file(text.into_bytes(), mode));
    }
    Ok(files)
}

fn file(bytes: Vec<u8>, mode: u32) -> File {
    File {
        bytes,
        mode,
        owner: None,
    }
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
    use jiff::Timestamp;
    use serde_json::json;

    use super::*;
    use crate::pod::token::{Kept, Token};

    #[test]
    fn a_token_is_for_those_who_run() {
        let source = json!({"serviceAccountToken": {"path": "in/token", "audience": "vault"}});
        let wanted = Wanted {
            audience: "vault".to_owned(),
            lasts: 3600,
        };
        let mut kept = Kept::default();
        let token = Token {
            text: "t".to_owned(),
            issued: Timestamp::UNIX_EPOCH,
            expires: Timestamp::UNIX_EPOCH,
        };
        kept.note(Ok(token), Timestamp::UNIX_EPOCH);
        let tokens = Tokens::from([(wanted, kept)]);
        let check = |context: serde_json::Value, own: serde_json::Value, mode, owner| {
            let pod = json!({"metadata": {}, "spec": {
                "securityContext": context,
                "containers": [{"name": "a"}, {"name": "b", "securityContext": own}],
                "volumes": [{"name": "v", "projected": {"defaultMode": 0o444, "sources": [source]}}],
            }});
            let found = payload(Sources {
                index: &Index::default(),
                pod: &serde_json::from_value(pod).unwrap(),
                own: &Told::default(),
                tokens: &tokens,
            });
            let file = File {
                bytes: b"t".to_vec(),
                mode,
                owner,
            };
            let files = Files::from([("in/token".to_owned(), file)]);
            assert_eq!(found, Ok(Payload::from([("v".to_owned(), Some(files))])));
        };
        check(json!({}), json!({}), 0o444, None);
        check(json!({}), json!({"runAsUser": 7}), 0o444, None);
        check(json!({"runAsUser": 7}), json!({}), 0o600, Some(7));
        check(
            json!({"runAsUser": 7}),
            json!({"runAsUser": 8}),
            0o444,
            None,
        );
        check(json!({"fsGroup": 9}), json!({}), 0o600, None);
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
