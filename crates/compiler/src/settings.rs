//! The variables and files of a container, each with its value or with where that is kept: what the
//! container says itself, and what it takes from configuration groups.

use crate::configurations::volume_name;
use crate::diagnostic::{Code, Diagnostic};
use crate::groups::Groups;
use choreo_model::SecretReference;
use choreo_model::application::{Container, EnvFrom, FilesFrom};
use choreo_model::configuration::Value;
use choreo_model::names::{OBJECT_LIMIT, fnv1a, kubernetes_name, kubernetes_name_with};
use choreo_model::secret::RemoteRef;
use choreo_model::shared::{EnvVar, FileVar, SecretKeyRef, ValueFrom};
use std::sync::Arc;

/// A variable or file whose secret, if it has one, was found.
#[derive(Debug)]
pub(crate) struct Item<'a> {
    // What several of the helpers return is shared by them.
    pub(crate) name: Arc<str>,
    pub(crate) directory: Arc<str>,
    pub(crate) value: Arc<str>,
    pub(crate) remote: Option<&'a RemoteRef>,
    /// Whether it is of a group and may change without a restart.
    pub(crate) live: bool,
    /// What the volume is called that a file is mounted from.
    pub(crate) volume: Arc<str>,
    /// What the object is called that holds a file.
    pub(crate) resource: Arc<str>,
}

/// Something that is not there, which has been noted.
struct Missing;

/// A value as it was found, whether it is secret, and whether it may change without a restart.
struct Known<'c> {
    value: Arc<str>,
    remote: Option<&'c RemoteRef>,
    live: bool,
}

/// Looks values up.
pub(crate) struct Finder<'f, 'c> {
    pub(crate) groups: Groups<'c>,
    pub(crate) references: &'f [&'c SecretReference],
    /// The binding, for messages.
    pub(crate) object: &'f str,
    pub(crate) diagnostics: &'f mut Vec<Diagnostic>,
}

impl<'c> Finder<'_, 'c> {
    /// The variables of a container.
    pub(crate) fn envs(&mut self, container: &Container) -> Vec<Item<'c>> {
        let own = container.env.iter();
        let mut items: Vec<Item<'c>> = own.filter_map(|env| self.env(env)).collect();
        let named = items.len();
        for from in &container.env_from {
            for item in self.imported_envs(from) {
                put(&mut items, named, item);
            }
        }
        items
    }

    /// The files of a container, in objects whose names start with `prefix`.
    pub(crate) fn files(&mut self, container: &Container, prefix: &str) -> Vec<Item<'c>> {
        let own = container.files.iter();
        let mut items: Vec<Item<'c>> = own.filter_map(|file| self.file(file)).collect();
        let named = items.len();
        for from in &container.files_from {
            for item in self.imported_files(from) {
                put(&mut items, named, item);
            }
        }
        for item in &mut items {
            item.volume = volume_name(&item.path()).into();
            item.resource = item.resource_name(prefix).into();
        }
        self.check_folders(&items);
        items
    }

    fn env(&mut self, env: &EnvVar) -> Option<Item<'c>> {
        let known = self.known(&env.key, env.value.as_ref(), env.value_from.as_ref());
        Some(Item::new(&env.key, "", known.ok()?))
    }

    fn file(&mut self, file: &FileVar) -> Option<Item<'c>> {
        let known = self.known(&file.key, file.value.as_ref(), file.value_from.as_ref());
        Some(Item::new(&file.key, &file.mount_path, known.ok()?))
    }

    fn imported_envs(&mut self, from: &EnvFrom) -> Vec<Item<'c>> {
        let prefix = from.prefix.as_deref().unwrap_or_default();
        let group = &from.configuration_group_ref;
        let imported = self.imported(&group.name, group.restart_on_change, "container.envFrom");
        let items = imported.into_iter();
        items
            .map(|(key, known)| Item::new(&format!("{prefix}{key}"), "", known))
            .collect()
    }

    fn imported_files(&mut self, from: &FilesFrom) -> Vec<Item<'c>> {
        let group = &from.configuration_group_ref;
        let imported = self.imported(&group.name, group.restart_on_change, "container.filesFrom");
        let items = imported.into_iter();
        items
            .map(|(key, known)| Item::new(key, &from.mount_path, known))
            .collect()
    }

    /// All keys of a group.
    fn imported(&mut self, group: &str, restart: bool, user: &str) -> Vec<(&'c str, Known<'c>)> {
        let all = match self.groups.all(group, user) {
            Ok(all) => all,
            Err(diagnostic) => {
                self.note(*diagnostic);
                return Vec::new();
            }
        };
        let mut imported = Vec::with_capacity(all.len());
        for (key, found) in all {
            if let Ok(known) = self.shared(key, found.value, !restart) {
                imported.push((key, known));
            }
        }
        imported
    }

    fn known(
        &mut self,
        key: &str,
        value: Option<&String>,
        from: Option<&ValueFrom>,
    ) -> Result<Known<'c>, Missing> {
        if let Some(wanted) = from.and_then(|from| from.configuration_group_ref.as_ref()) {
            let found = self.groups.one(wanted, &format!("{key:?}"));
            let found = found.map_err(|diagnostic| self.note(*diagnostic))?;
            return self.shared(key, found.value, !wanted.restart_on_change);
        }
        let secret = from.and_then(|from| from.secret_key_ref.as_ref());
        Ok(Known {
            value: value.map(String::as_str).unwrap_or_default().into(),
            remote: secret.map(|secret| self.remote(key, secret)).transpose()?,
            live: false,
        })
    }

    /// The value that a group gives `key`.
    fn shared(&mut self, key: &str, value: Value<'c>, live: bool) -> Result<Known<'c>, Missing> {
        let (value, remote) = match value {
            Value::Plain(value) => (value.into(), None),
            Value::Secret(secret) => (Arc::default(), Some(self.remote(key, secret)?)),
        };
        Ok(Known {
            value,
            remote,
            live,
        })
    }

    /// Where the secret value of `key` is.
    fn remote(&mut self, key: &str, wanted: &SecretKeyRef) -> Result<&'c RemoteRef, Missing> {
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
            return Ok(&data.remote_ref);
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
        Err(self.note(Diagnostic::error(Code::SecretReference, "", "", message)))
    }

    /// A folder whose files change while a container runs is mounted as a whole, so that nothing
    /// else can be put there.
    fn check_folders(&mut self, items: &[Item<'_>]) {
        for live in items.iter().filter(|item| item.live) {
            let folder = live.folder();
            let other = items.iter().find(|item| {
                let inside = item.folder().strip_prefix(folder);
                let is_inside = inside.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
                is_inside && (!item.live || item.folder() != folder)
            });
            let Some(other) = other else { continue };
            let message = format!(
                "{:?} cannot be put into {:?}: {folder:?} is a folder of a configuration group, \
                 whose files change while the container runs",
                &*other.name,
                other.folder()
            );
            let hint = "use another folder, or restartOnChange for the files of the group";
            let error = Diagnostic::error(Code::ConfigurationGroup, "", "", message);
            self.note(error.with_hint(hint));
            return;
        }
    }

    fn note(&mut self, mut diagnostic: Diagnostic) -> Missing {
        self.object.clone_into(&mut diagnostic.object);
        self.diagnostics.push(diagnostic);
        Missing
    }
}

/// Adds what a group gives: the container's own, which are the first `named`, count more, and what
/// an earlier group gave less.
fn put<'c>(items: &mut Vec<Item<'c>>, named: usize, item: Item<'c>) {
    let same = |known: &Item<'_>| known.name == item.name && known.folder() == item.folder();
    match items.iter().position(same) {
        Some(place) if place < named => {}
        Some(place) => {
            if let Some(known) = items.get_mut(place) {
                *known = item;
            }
        }
        None => items.push(item),
    }
}

impl<'a> Item<'a> {
    fn new(name: &str, directory: &str, known: Known<'a>) -> Self {
        Self {
            name: name.into(),
            directory: directory.into(),
            value: known.value,
            remote: known.remote,
            live: known.live,
            volume: Arc::default(),
            resource: Arc::default(),
        }
    }

    pub(crate) fn path(&self) -> String {
        format!("{}/{}", self.directory, self.name)
    }

    /// The folder of a file, however it is written.
    pub(crate) fn folder(&self) -> &str {
        self.directory.trim_end_matches('/')
    }

    fn resource_name(&self, prefix: &str) -> String {
        let file = self.name.replace('.', "-");
        match self.remote {
            // Its name stays, whatever it holds.
            Some(_) if self.live => {
                let parts = [prefix, "live-secret", self.folder(), &self.name];
                kubernetes_name(OBJECT_LIMIT, &parts)
            }
            None => kubernetes_name(OBJECT_LIMIT, &[prefix, "config", &file]),
            Some(remote) => {
                let digest = fnv1a(&place(remote).join("\0"));
                kubernetes_name_with(OBJECT_LIMIT, &[prefix, "secret", &file], &digest)
            }
        }
    }
}

/// Where a secret comes from.
pub(crate) fn place(remote: &RemoteRef) -> [&str; 3] {
    [
        &remote.key,
        remote.property.as_deref().unwrap_or_default(),
        remote.version.as_deref().unwrap_or_default(),
    ]
}
