//! Variables and files of a container: from the workload, overridden by the binding, with secrets
//! looked up in their references.

use crate::diagnostic::{Code, Diagnostic};
use choreo_model::SecretReference;
use choreo_model::application::Container;
use choreo_model::names::{OBJECT_LIMIT, fnv1a, kubernetes_name, kubernetes_name_with};
use choreo_model::release::WorkloadOverrides;
use choreo_model::secret::RemoteRef;
use choreo_model::shared::{EnvVar, FileVar, ValueFrom};
use choreo_template::{Members, Tree, tree};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The container's image and configuration after the binding's overrides.
pub(crate) fn merged<'c>(
    container: &'c Container,
    overrides: Option<&WorkloadOverrides>,
) -> Cow<'c, Container> {
    let Some(overrides) = overrides.and_then(|overrides| overrides.container.as_ref()) else {
        return Cow::Borrowed(container);
    };
    let mut merged = container.clone();
    put(&mut merged.env, &overrides.env, |env| &env.key);
    put(&mut merged.files, &overrides.files, |file| &file.key);
    Cow::Owned(merged)
}

/// Replaces in place what has the same key, and appends the rest.
fn put<T: Clone>(base: &mut Vec<T>, over: &[T], key: impl Fn(&T) -> &String) {
    for item in over {
        match base.iter_mut().find(|old| key(old) == key(item)) {
            Some(old) => *old = item.clone(),
            None => base.push(item.clone()),
        }
    }
}

/// Names of the secret references `container` uses, sorted.
pub(crate) fn secret_reference_names(container: &Container) -> Vec<String> {
    let env = container.env.iter().map(|env| env.value_from.as_ref());
    let files = container.files.iter().map(|file| file.value_from.as_ref());
    let names: BTreeSet<&str> = env
        .chain(files)
        .flatten()
        .filter_map(|from| from.secret_key_ref.as_ref())
        .map(|reference| reference.name.as_str())
        .collect();
    names.into_iter().map(str::to_owned).collect()
}

/// What the helpers of `configurations` return.
#[derive(Debug, Clone)]
pub(crate) struct Configurations {
    pub(crate) variable: Tree,
    pub(crate) env_from: Tree,
    pub(crate) config_envs: Tree,
    pub(crate) secret_envs: Tree,
    pub(crate) config_files: Tree,
    pub(crate) secret_files: Tree,
    pub(crate) mounts: Tree,
    pub(crate) volumes: Tree,
}

/// A variable or file whose secret, if it has one, was found.
struct Item<'a> {
    // What several of the helpers return is shared by them.
    name: Arc<str>,
    directory: Arc<str>,
    value: Arc<str>,
    remote: Option<&'a RemoteRef>,
    /// What the volume is called that a file is mounted from.
    volume: Arc<str>,
    /// What the object is called that holds a file.
    resource: Arc<str>,
}

/// A secret that is not there, which has been noted.
struct Missing;

struct Finder<'a> {
    references: &'a [&'a SecretReference],
    object: &'a str,
    diagnostics: &'a mut Vec<Diagnostic>,
}

/// Sorts the configuration of `container` into plain and secret, under names that start with
/// `prefix`. `object` is the binding, for messages.
pub(crate) fn configurations(
    container: &Container,
    references: &[&SecretReference],
    prefix: &str,
    object: &str,
    diagnostics: &mut Vec<Diagnostic>,
) -> Configurations {
    let mut finder = Finder {
        references,
        object,
        diagnostics,
    };
    let envs: Vec<Item<'_>> = container
        .env
        .iter()
        .filter_map(|env| finder.env(env))
        .collect();
    let files: Vec<Item<'_>> = container
        .files
        .iter()
        .filter_map(|file| finder.file(file, prefix))
        .collect();
    let (secret_envs, config_envs): (Vec<_>, Vec<_>) =
        envs.iter().partition(|item| item.remote.is_some());
    let (secret_files, config_files): (Vec<_>, Vec<_>) =
        files.iter().partition(|item| item.remote.is_some());
    let config_env_name =
        (!config_envs.is_empty()).then(|| kubernetes_name(OBJECT_LIMIT, &[prefix, "env-configs"]));
    let secret_env_name = (!secret_envs.is_empty()).then(|| {
        let digest = env_digest(&secret_envs);
        kubernetes_name_with(OBJECT_LIMIT, &[prefix, "env-secrets"], &digest)
    });
    let config_map = config_env_name
        .iter()
        .map(|name| tree!({"configMapRef": {"name": name}}));
    let secret = secret_env_name
        .iter()
        .map(|name| tree!({"secretRef": {"name": name}}));
    let env_from = config_map.chain(secret).collect();
    let all_files = || config_files.iter().chain(&secret_files).copied();
    let plain = list(&config_envs, env);
    let secrets = list(&secret_envs, env);
    Configurations {
        variable: tree!({
            "configs": {"envs": &plain, "files": list(&config_files, file)},
            "secrets": {"envs": &secrets, "files": list(&secret_files, file)},
        }),
        env_from,
        config_envs: group(&plain, config_env_name),
        secret_envs: group(&secrets, secret_env_name),
        config_files: list(&config_files, named_file),
        secret_files: list(&secret_files, secret_file),
        mounts: all_files().map(mount).collect(),
        volumes: sorted_volumes(all_files()),
    }
}

impl<'a> Finder<'a> {
    fn env<'i>(&mut self, env: &'i EnvVar) -> Option<Item<'i>>
    where
        'a: 'i,
    {
        Some(Item {
            name: env.key.as_str().into(),
            directory: Arc::default(),
            value: env.value.as_deref().unwrap_or_default().into(),
            remote: self.remote(&env.key, env.value_from.as_ref()).ok()?,
            volume: Arc::default(),
            resource: Arc::default(),
        })
    }

    fn file<'i>(&mut self, file: &'i FileVar, prefix: &str) -> Option<Item<'i>>
    where
        'a: 'i,
    {
        let mut item = Item {
            name: file.key.as_str().into(),
            directory: file.mount_path.as_str().into(),
            value: file.value.as_deref().unwrap_or_default().into(),
            remote: self.remote(&file.key, file.value_from.as_ref()).ok()?,
            volume: Arc::default(),
            resource: Arc::default(),
        };
        item.volume = volume_name(&item.path()).into();
        item.resource = item.resource_name(prefix).into();
        Some(item)
    }

    /// Where the value of `key` is, if it is a secret.
    fn remote(
        &mut self,
        key: &str,
        from: Option<&ValueFrom>,
    ) -> Result<Option<&'a RemoteRef>, Missing> {
        let Some(wanted) = from.and_then(|from| from.secret_key_ref.as_ref()) else {
            return Ok(None);
        };
        let reference = self
            .references
            .iter()
            .find(|reference| reference.name() == wanted.name);
        let found = reference.and_then(|found| {
            found
                .spec
                .data
                .iter()
                .find(|data| data.secret_key == wanted.key)
        });
        if let Some(data) = found {
            return Ok(Some(&data.remote_ref));
        }
        let message = match reference {
            None => format!(
                "SecretReference {:?}, which {key:?} uses, is not there",
                wanted.name
            ),
            Some(_) => format!(
                "SecretReference {:?} has no key {:?}, which {key:?} uses",
                wanted.name, wanted.key
            ),
        };
        self.diagnostics.push(Diagnostic::error(
            Code::SecretReference,
            self.object,
            "",
            message,
        ));
        Err(Missing)
    }
}

impl Item<'_> {
    fn path(&self) -> String {
        format!("{}/{}", self.directory, self.name)
    }

    fn resource_name(&self, prefix: &str) -> String {
        let file = self.name.replace('.', "-");
        match self.remote {
            None => kubernetes_name(OBJECT_LIMIT, &[prefix, "config", &file]),
            Some(remote) => {
                let digest = fnv1a(&place(remote).join("\0"));
                kubernetes_name_with(OBJECT_LIMIT, &[prefix, "secret", &file], &digest)
            }
        }
    }
}

/// What the volume is called that the file at `path` is mounted from.
pub(crate) fn volume_name(path: &str) -> String {
    format!("file-mount-{}", fnv1a(path))
}

/// Where a secret comes from.
fn place(remote: &RemoteRef) -> [&str; 3] {
    [
        &remote.key,
        remote.property.as_deref().unwrap_or_default(),
        remote.version.as_deref().unwrap_or_default(),
    ]
}

/// A hash of where the secrets of variables come from: another place makes another name, so pods
/// restart.
fn env_digest(items: &[&Item<'_>]) -> String {
    let mut text = String::new();
    for item in items {
        for part in item
            .remote
            .into_iter()
            .flat_map(|remote| [item.name.as_ref()].into_iter().chain(place(remote)))
        {
            text.push_str(part);
            text.push('\0');
        }
    }
    fnv1a(&text)
}

fn list(items: &[&Item<'_>], describe: impl Fn(&Item<'_>) -> Members) -> Tree {
    items.iter().map(|item| describe(item)).collect()
}

fn env(item: &Item<'_>) -> Members {
    let mut env = Members::with_capacity(5);
    env.insert("name", &item.name);
    if let Some(remote) = item.remote {
        env.insert("remoteRef", remote_ref(remote));
    }
    env.insert("value", &item.value);
    env
}

fn file(item: &Item<'_>) -> Members {
    let mut file = env(item);
    file.insert("mountPath", &item.directory);
    file
}

fn named_file(item: &Item<'_>) -> Members {
    let mut file = file(item);
    file.insert("resourceName", &item.resource);
    file
}

/// A file whose value is elsewhere.
fn secret_file(item: &Item<'_>) -> Members {
    let mut file = named_file(item);
    file.remove("value");
    file
}

fn remote_ref(remote: &RemoteRef) -> Members {
    let mut reference = Members::default();
    reference.insert("key", &remote.key);
    for (name, part) in [("property", &remote.property), ("version", &remote.version)] {
        if let Some(part) = part.as_deref().filter(|part| !part.is_empty()) {
            reference.insert(name, part);
        }
    }
    reference
}

/// What is made of variables: one object, named `name`, if there are any.
fn group(envs: &Tree, name: Option<String>) -> Tree {
    name.into_iter()
        .map(|name| tree!({"envs": envs, "resourceName": name}))
        .collect()
}

fn mount(item: &Item<'_>) -> Tree {
    tree!({"mountPath": item.path(), "name": &item.volume, "subPath": &item.name})
}

/// The volumes of `items`, each once, in the order of their names. Of files at one place the last
/// counts.
fn sorted_volumes<'i>(items: impl Iterator<Item = &'i Item<'i>>) -> Tree {
    let volumes: BTreeMap<&str, &Item<'_>> =
        items.map(|item| (item.volume.as_ref(), item)).collect();
    volumes.into_values().map(volume).collect()
}

fn volume(item: &Item<'_>) -> Tree {
    match item.remote {
        None => tree!({"configMap": {"name": &item.resource}, "name": &item.volume}),
        Some(_) => tree!({"name": &item.volume, "secret": {"secretName": &item.resource}}),
    }
}
