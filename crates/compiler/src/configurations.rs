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

/// Variables and files of a container, with the names of the objects that are made of them.
#[derive(Debug)]
pub(crate) struct Configurations<'c> {
    envs: Vec<Item<'c>>,
    files: Vec<Item<'c>>,
    /// The object that holds the plain variables, if there are any.
    config_envs: Option<String>,
    /// The object that holds the secret ones, if there are any.
    secret_envs: Option<String>,
}

/// A variable or file whose secret, if it has one, was found.
#[derive(Debug)]
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

struct Finder<'f, 'c> {
    references: &'f [&'c SecretReference],
    object: &'f str,
    diagnostics: &'f mut Vec<Diagnostic>,
}

/// Sorts the configuration of `container` into plain and secret, under names that start with
/// `prefix`. `object` is the binding, for messages.
pub(crate) fn configurations<'c>(
    container: &Container,
    references: &[&'c SecretReference],
    prefix: &str,
    object: &str,
    diagnostics: &mut Vec<Diagnostic>,
) -> Configurations<'c> {
    let mut finder = Finder {
        references,
        object,
        diagnostics,
    };
    let envs = container.env.iter();
    let envs: Vec<Item<'_>> = envs.filter_map(|env| finder.env(env)).collect();
    let files = container.files.iter();
    let files = files.filter_map(|file| finder.file(file, prefix)).collect();
    let config_envs = plain(&envs).next();
    let config_envs = config_envs.map(|_| kubernetes_name(OBJECT_LIMIT, &[prefix, "env-configs"]));
    let secret_envs = secret(&envs).next().map(|_| {
        let digest = env_digest(secret(&envs));
        kubernetes_name_with(OBJECT_LIMIT, &[prefix, "env-secrets"], &digest)
    });
    Configurations {
        envs,
        files,
        config_envs,
        secret_envs,
    }
}

fn plain<'i>(items: &'i [Item<'i>]) -> impl Iterator<Item = &'i Item<'i>> {
    items.iter().filter(|item| item.remote.is_none())
}

fn secret<'i>(items: &'i [Item<'i>]) -> impl Iterator<Item = &'i Item<'i>> {
    items.iter().filter(|item| item.remote.is_some())
}

/// What templates see, by what they may ask for.
impl Configurations<'_> {
    /// The variable.
    pub(crate) fn variable(&self) -> Tree {
        tree!({
            "configs": {
                "envs": list(plain(&self.envs), env),
                "files": list(plain(&self.files), file),
            },
            "secrets": {
                "envs": list(secret(&self.envs), env),
                "files": list(secret(&self.files), file),
            },
        })
    }

    /// What containers take their variables from.
    pub(crate) fn env_from(&self) -> Tree {
        let config_map = self.config_envs.iter();
        let config_map = config_map.map(|name| tree!({"configMapRef": {"name": name}}));
        let secret = self.secret_envs.iter();
        let secret = secret.map(|name| tree!({"secretRef": {"name": name}}));
        config_map.chain(secret).collect()
    }

    /// Objects of plain variables.
    pub(crate) fn config_envs(&self) -> Tree {
        group(self.config_envs.as_ref(), || list(plain(&self.envs), env))
    }

    /// Objects of secret variables.
    pub(crate) fn secret_envs(&self) -> Tree {
        group(self.secret_envs.as_ref(), || list(secret(&self.envs), env))
    }

    /// Plain files.
    pub(crate) fn config_files(&self) -> Tree {
        list(plain(&self.files), named_file)
    }

    /// Secret files.
    pub(crate) fn secret_files(&self) -> Tree {
        list(secret(&self.files), secret_file)
    }

    /// Where containers have the files.
    pub(crate) fn mounts(&self) -> Tree {
        let files = plain(&self.files).chain(secret(&self.files));
        files.map(mount).collect()
    }

    /// What pods have the files from.
    pub(crate) fn volumes(&self) -> Tree {
        sorted_volumes(plain(&self.files).chain(secret(&self.files)))
    }
}

impl<'c> Finder<'_, 'c> {
    fn env(&mut self, env: &EnvVar) -> Option<Item<'c>> {
        Some(Item {
            name: env.key.as_str().into(),
            directory: Arc::default(),
            value: env.value.as_deref().unwrap_or_default().into(),
            remote: self.remote(&env.key, env.value_from.as_ref()).ok()?,
            volume: Arc::default(),
            resource: Arc::default(),
        })
    }

    fn file(&mut self, file: &FileVar, prefix: &str) -> Option<Item<'c>> {
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
    ) -> Result<Option<&'c RemoteRef>, Missing> {
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
fn env_digest<'i>(items: impl Iterator<Item = &'i Item<'i>>) -> String {
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

fn list<'i>(
    items: impl Iterator<Item = &'i Item<'i>>,
    describe: impl Fn(&Item<'_>) -> Members,
) -> Tree {
    items.map(describe).collect()
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
fn group(name: Option<&String>, envs: impl Fn() -> Tree) -> Tree {
    name.into_iter()
        .map(|name| tree!({"envs": envs(), "resourceName": name}))
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
