//! Variables and files of a container: from the workload, overridden by the binding, with secrets
//! looked up in their references.

use crate::settings::{Finder, Item, place};
use choreo_model::application::Container;
use choreo_model::names::{OBJECT_LIMIT, fnv1a, kubernetes_name, kubernetes_name_with};
use choreo_model::release::WorkloadOverrides;
use choreo_model::secret::RemoteRef;
use choreo_template::{Members, Tree, tree};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

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

/// Variables and files of a container, with the names of the objects that are made of them.
#[derive(Debug)]
pub(crate) struct Configurations<'c> {
    prefix: String,
    envs: Vec<Item<'c>>,
    files: Vec<Item<'c>>,
    /// The object that holds the plain variables, if there are any.
    config_envs: Option<String>,
    /// The object that holds the secret ones, if there are any.
    secret_envs: Option<String>,
    /// The same of variables that change without a restart.
    live_config_envs: Option<String>,
    live_secret_envs: Option<String>,
}

/// A folder whose files change while containers run.
#[derive(Debug)]
struct Folder<'i> {
    directory: &'i str,
    files: Vec<&'i Item<'i>>,
}

/// Sorts the configuration of `container` into plain and secret, under names that start with
/// `prefix`.
pub(crate) fn configurations<'c>(
    container: &Container,
    mut finder: Finder<'_, 'c>,
    prefix: &str,
) -> Configurations<'c> {
    let envs = finder.envs(container);
    let files = finder.files(container, prefix);
    let name = |part| kubernetes_name(OBJECT_LIMIT, &[prefix, part]);
    let holds = |live, secret| {
        let mut envs = envs.iter();
        envs.any(|item| item.live == live && item.remote.is_some() == secret)
    };
    Configurations {
        config_envs: holds(false, false).then(|| name("env-configs")),
        secret_envs: holds(false, true).then(|| {
            let digest = env_digest(secret(envs.iter().filter(|item| !item.live)));
            kubernetes_name_with(OBJECT_LIMIT, &[prefix, "env-secrets"], &digest)
        }),
        live_config_envs: holds(true, false).then(|| name("live-env-configs")),
        live_secret_envs: holds(true, true).then(|| name("live-env-secrets")),
        prefix: prefix.to_owned(),
        envs,
        files,
    }
}

fn plain<'i>(items: impl Iterator<Item = &'i Item<'i>>) -> impl Iterator<Item = &'i Item<'i>> {
    items.filter(|item| item.remote.is_none())
}

fn secret<'i>(items: impl Iterator<Item = &'i Item<'i>>) -> impl Iterator<Item = &'i Item<'i>> {
    items.filter(|item| item.remote.is_some())
}

/// What templates see, by what they may ask for.
impl<'c> Configurations<'c> {
    /// The variable.
    pub(crate) fn variable(&self) -> Tree {
        tree!({
            "configs": {
                "envs": list(plain(self.envs.iter()), env),
                "files": list(plain(self.files.iter()), file),
            },
            "secrets": {
                "envs": list(secret(self.envs.iter()), env),
                "files": list(secret(self.files.iter()), file),
            },
        })
    }

    /// What containers take their variables from. No two of them hold one name.
    pub(crate) fn env_from(&self) -> Tree {
        let config_maps = self.config_envs.iter().chain(&self.live_config_envs);
        let config_maps = config_maps.map(|name| tree!({"configMapRef": {"name": name}}));
        let secrets = self.secret_envs.iter().chain(&self.live_secret_envs);
        let secrets = secrets.map(|name| tree!({"secretRef": {"name": name}}));
        config_maps.chain(secrets).collect()
    }

    /// Objects of plain variables.
    pub(crate) fn config_envs(&self) -> Tree {
        let own = group(self.config_envs.as_ref(), || {
            list(plain(self.lasting()), env)
        });
        let live = group(self.live_config_envs.as_ref(), || {
            list(plain(self.live()), env)
        });
        own.into_iter().chain(live).collect()
    }

    /// Objects of secret variables.
    pub(crate) fn secret_envs(&self) -> Tree {
        let own = group(self.secret_envs.as_ref(), || {
            list(secret(self.lasting()), env)
        });
        let live = group(self.live_secret_envs.as_ref(), || {
            list(secret(self.live()), env)
        });
        own.into_iter().chain(live).collect()
    }

    /// Plain files, each in an object of its own. Those that change without a restart are in
    /// [`Self::live_objects`].
    pub(crate) fn config_files(&self) -> Tree {
        list(plain(self.lasting_files()), named_file)
    }

    /// Secret files.
    pub(crate) fn secret_files(&self) -> Tree {
        list(secret(self.files.iter()), secret_file)
    }

    /// Where containers have the files.
    pub(crate) fn mounts(&self) -> Tree {
        let files = plain(self.lasting_files()).chain(secret(self.lasting_files()));
        let folders = self.folders().into_iter();
        files
            .map(mount)
            .chain(folders.map(|one| one.mount()))
            .collect()
    }

    /// What pods have the files from.
    pub(crate) fn volumes(&self) -> Tree {
        let files = plain(self.lasting_files()).chain(secret(self.lasting_files()));
        let folders = self.folders().into_iter();
        let folders = folders.map(|one| one.volume(&self.prefix));
        sorted_volumes(files).chain(folders).collect()
    }

    /// The objects of plain files that change without a restart: one for each folder, so that they
    /// change together.
    pub(crate) fn live_objects(&self, cell: &str) -> Vec<Tree> {
        let folders = self.folders().into_iter();
        folders.map(|one| one.object(&self.prefix, cell)).collect()
    }

    /// The names of all objects whose content may change without a restart.
    pub(crate) fn live_names(&self) -> BTreeSet<String> {
        let envs = self.live_config_envs.iter().chain(&self.live_secret_envs);
        let secrets = secret(self.files.iter()).filter(|item| item.live);
        let folders = self.folders();
        let folders = folders.iter().map(|one| one.object_name(&self.prefix));
        envs.cloned()
            .chain(secrets.map(|item| item.resource.to_string()))
            .chain(folders)
            .collect()
    }

    fn lasting(&self) -> impl Iterator<Item = &Item<'c>> {
        self.envs.iter().filter(|item| !item.live)
    }

    fn live(&self) -> impl Iterator<Item = &Item<'c>> {
        self.envs.iter().filter(|item| item.live)
    }

    fn lasting_files(&self) -> impl Iterator<Item = &Item<'c>> {
        self.files.iter().filter(|item| !item.live)
    }

    /// The folders whose files change while containers run.
    fn folders(&self) -> Vec<Folder<'_>> {
        let mut folders: BTreeMap<&str, Vec<&Item<'_>>> = BTreeMap::new();
        for item in self.files.iter().filter(|item| item.live) {
            folders.entry(item.folder()).or_default().push(item);
        }
        let folders = folders.into_iter();
        folders
            .map(|(directory, files)| Folder { directory, files })
            .collect()
    }
}

impl Folder<'_> {
    fn object_name(&self, prefix: &str) -> String {
        kubernetes_name(OBJECT_LIMIT, &[prefix, "live-files", self.directory])
    }

    fn object(&self, prefix: &str, cell: &str) -> Tree {
        let plain = self.files.iter().filter(|item| item.remote.is_none());
        let data: Members = plain
            .map(|item| (item.name.to_string(), &item.value))
            .collect();
        tree!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": self.object_name(prefix), "namespace": cell},
            "data": data,
        })
    }

    fn mount(&self) -> Tree {
        tree!({"mountPath": self.directory, "name": folder_volume(self.directory)})
    }

    /// Of several sources, since secret files are in objects of their own. That of the plain ones is
    /// always there, so that the first of them needs no restart.
    fn volume(&self, prefix: &str) -> Tree {
        let secret = self.files.iter().filter(|item| item.remote.is_some());
        let secret = secret.map(|item| tree!({"secret": {"name": &item.resource}}));
        let sources = std::iter::once(tree!({"configMap": {"name": self.object_name(prefix)}}));
        tree!({
            "name": folder_volume(self.directory),
            "projected": {"sources": sources.chain(secret).collect::<Tree>()},
        })
    }
}

/// What the volume of a folder is called whose files change while containers run.
pub(crate) fn folder_volume(directory: &str) -> String {
    format!("live-files-{}", fnv1a(directory))
}

/// What the volume is called that the file at `path` is mounted from.
pub(crate) fn volume_name(path: &str) -> String {
    format!("file-mount-{}", fnv1a(path))
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

/// What is made of variables: an object, named `name`, if there are any.
fn group(name: Option<&String>, envs: impl Fn() -> Tree) -> Option<Tree> {
    let name = name?;
    Some(tree!({"envs": envs(), "resourceName": name}))
}

fn mount(item: &Item<'_>) -> Tree {
    tree!({"mountPath": item.path(), "name": &item.volume, "subPath": &item.name})
}

/// The volumes of `items`, each once, in the order of their names. Of files at one place the last
/// counts.
fn sorted_volumes<'i>(items: impl Iterator<Item = &'i Item<'i>>) -> impl Iterator<Item = Tree> {
    let volumes: BTreeMap<&str, &Item<'_>> =
        items.map(|item| (item.volume.as_ref(), item)).collect();
    volumes.into_values().map(volume)
}

fn volume(item: &Item<'_>) -> Tree {
    match item.remote {
        None => tree!({"configMap": {"name": &item.resource}, "name": &item.volume}),
        Some(_) => tree!({"name": &item.volume, "secret": {"secretName": &item.resource}}),
    }
}
