//! From what templates see of variables and files to the entry of the workload, or of the binding
//! that overrides it, and to where a secret is kept.

use super::follow::{at, given};
use super::{Explained, Role, Step};
use crate::configurations::volume_name;
use crate::dialect::{CONFIG_ENVS, ENV_FROM, FILE_MOUNTS, FILE_VOLUMES, SECRET_ENVS, SECRET_FILES};
use crate::groups::Groups;
use crate::origin::join;
use crate::snapshot::ComponentSnapshot;
use choreo_model::ConfigurationGroup;
use choreo_model::configuration::{Found, Value};
use choreo_model::shared::{EnvVar, FileVar, SecretKeyRef, ValueFrom};
use choreo_template::{Reference, Tree};

/// A variable or a file, and where it is written.
struct Entry<'a> {
    key: String,
    /// The folder of a file.
    directory: &'a str,
    /// What it takes its value from, when that is a secret.
    secret: Option<&'a SecretKeyRef>,
    /// What a configuration group says of it, when it takes its value from one.
    shared: Option<Shared<'a>>,
    /// Whether the binding says so, and not the workload.
    overridden: bool,
    /// The list of the container that it is in.
    list: &'static str,
    /// Where in that list it is.
    index: usize,
}

/// What a configuration group says.
struct Shared<'a> {
    group: &'a ConfigurationGroup,
    /// Where in the group the value is.
    pointer: String,
    /// Where below the entry the group is named.
    named: &'static str,
}

impl Entry<'_> {
    /// Whether it is a variable, and no file.
    fn is_variable(&self) -> bool {
        self.list.starts_with("env")
    }

    fn path(&self) -> String {
        format!("{}/{}", self.directory, self.key)
    }

    /// Whether `item` shows it, as one of the lists that templates see.
    fn is(&self, item: &Tree) -> bool {
        let is_volume = item
            .get("configMap")
            .or_else(|| item.get("secret"))
            .is_some();
        if is_volume {
            item["name"] == volume_name(&self.path())
        } else if item.get("subPath").is_some() {
            item["mountPath"] == self.path()
        } else {
            item["name"] == self.key.as_str()
                && item["mountPath"].as_str().unwrap_or_default() == self.directory
        }
    }
}

/// The container of a component, and everything that says what is in it.
struct Configured<'e, 'a> {
    explained: &'e Explained<'a>,
    snapshot: &'e ComponentSnapshot<'a>,
}

impl Explained<'_> {
    /// Who says what a part of `configurations` is, or of what a helper makes of it.
    pub(super) fn configurations(&self, reference: &Reference) -> Vec<Step> {
        let Some(snapshot) = self.component() else {
            return Vec::new();
        };
        let container = Configured {
            explained: self,
            snapshot,
        };
        let path: Vec<&str> = reference.path.iter().map(String::as_str).collect();
        let helper = reference.helper.as_deref().unwrap_or_default();
        let (list, rest) = match path.as_slice() {
            [_, list @ ("envs" | "files"), _, rest @ ..] if reference.helper.is_none() => {
                (*list, rest)
            }
            [_, list @ "envs", _, rest @ ..] if is_group(helper) => (*list, rest),
            [_, rest @ ..] if helper.contains("File") || helper.contains("Volume") => {
                ("files", rest)
            }
            path => return container.group(helper, path),
        };
        let item = at(
            self.compiled.provenance.seen.root(reference),
            &path[..path.len() - rest.len()],
        );
        let entries = container.entries();
        let found = entries
            .iter()
            .find(|one| one.is_variable() == (list == "envs") && one.is(item));
        found.map_or_else(
            || container.group(helper, &path),
            |entry| container.aspect(entry, helper, rest),
        )
    }

    /// Who says what is at `pointer` of the object in which the platform keeps files of groups.
    pub(super) fn live_files(&self, pointer: &str) -> Vec<Step> {
        let Some(snapshot) = self.component() else {
            return Vec::new();
        };
        let container = Configured {
            explained: self,
            snapshot,
        };
        let segments: Vec<&str> = pointer.split('/').skip(1).collect();
        match segments.as_slice() {
            ["metadata", "namespace"] => self.names("namespace"),
            ["metadata", "name"] => self.names("name"),
            ["data", name] => {
                let entries = container.entries();
                let mut files = entries.iter().filter(|one| !one.is_variable());
                let found = files.find(|one| one.shared.is_some() && one.key == *name);
                found.map_or_else(Vec::new, |one| container.aspect(one, "", &["value"]))
            }
            _ => Vec::new(),
        }
    }
}

/// The key of a secret reference that a group takes a value from.
fn secret_of<'a>(found: &Found<'a>) -> Option<&'a SecretKeyRef> {
    match found.value {
        Value::Secret(key) => Some(key),
        Value::Plain(_) => None,
    }
}

/// Whether the helper shows the object that holds all variables of one sort.
fn is_group(helper: &str) -> bool {
    [ENV_FROM, CONFIG_ENVS, SECRET_ENVS]
        .iter()
        .any(|one| one.name == helper)
}

impl<'e> Configured<'e, '_> {
    /// All variables and files: first those that the binding says, which override the others.
    fn entries(&self) -> Vec<Entry<'e>> {
        let base = &self.snapshot.release.workload.container;
        let over = self.snapshot.binding.spec.workload_overrides.as_ref();
        let over = over.and_then(|over| over.container.as_ref());
        let mut entries = Vec::new();
        let mut add = |found: Vec<Entry<'e>>, overridden: bool| {
            for (index, entry) in found.into_iter().enumerate() {
                let is_same = |known: &Entry<'_>| {
                    known.overridden && known.list == entry.list && known.key == entry.key
                };
                if overridden || !entries.iter().any(is_same) {
                    entries.push(Entry {
                        overridden,
                        index,
                        ..entry
                    });
                }
            }
        };
        let env = |all: &'e [EnvVar]| all.iter().map(|one| self.variable(one)).collect();
        let files = |all: &'e [FileVar]| all.iter().map(|one| self.file(one)).collect();
        if let Some(over) = over {
            add(env(&over.env), true);
            add(files(&over.files), true);
        }
        add(env(&base.env), false);
        add(files(&base.files), false);
        // Of several groups the last counts.
        for (index, from) in base.env_from.iter().enumerate().rev() {
            let prefix = from.prefix.as_deref().unwrap_or_default();
            let name = &from.configuration_group_ref.name;
            entries.extend(self.imported(name, ("envFrom", index), ("", prefix)));
        }
        for (index, from) in base.files_from.iter().enumerate().rev() {
            let name = &from.configuration_group_ref.name;
            entries.extend(self.imported(name, ("filesFrom", index), (&from.mount_path, "")));
        }
        entries
    }

    fn variable(&self, env: &'e EnvVar) -> Entry<'e> {
        self.of(&env.key, "", env.value_from.as_ref(), "env")
    }

    fn file(&self, file: &'e FileVar) -> Entry<'e> {
        let from = file.value_from.as_ref();
        self.of(&file.key, &file.mount_path, from, "files")
    }

    fn of(
        &self,
        key: &str,
        directory: &'e str,
        from: Option<&'e ValueFrom>,
        list: &'static str,
    ) -> Entry<'e> {
        let shared = from.and_then(|from| from.configuration_group_ref.as_ref());
        let shared = shared.and_then(|wanted| {
            let group = self.shared_group(&wanted.name)?;
            let found = self.groups().one(wanted, "").ok()?;
            Some((group, found))
        });
        let secret = shared.as_ref().and_then(|(_, found)| secret_of(found));
        Entry {
            key: key.to_owned(),
            directory,
            secret: secret.or_else(|| from.and_then(|from| from.secret_key_ref.as_ref())),
            shared: shared.map(|(group, found)| Shared {
                group,
                pointer: found.pointer,
                named: "/valueFrom/configurationGroupRef",
            }),
            overridden: false,
            list,
            index: 0,
        }
    }

    /// What a whole group gives, which is named at `list` and `index`.
    fn imported(
        &self,
        name: &str,
        (list, index): (&'static str, usize),
        (directory, prefix): (&'e str, &str),
    ) -> Vec<Entry<'e>> {
        let (Some(group), Ok(all)) = (self.shared_group(name), self.groups().all(name, "")) else {
            return Vec::new();
        };
        let entry = |(key, found): (&str, Found<'e>)| Entry {
            key: format!("{prefix}{key}"),
            directory,
            secret: secret_of(&found),
            shared: Some(Shared {
                group,
                pointer: found.pointer,
                named: "/configurationGroupRef",
            }),
            overridden: false,
            list,
            index,
        };
        all.into_iter().map(entry).collect()
    }

    fn groups(&self) -> Groups<'e> {
        Groups::of(
            &self.snapshot.configuration_groups,
            self.snapshot.environment,
        )
    }

    fn shared_group(&self, name: &str) -> Option<&'e ConfigurationGroup> {
        let mut groups = self.snapshot.configuration_groups.iter();
        groups.find(|group| group.name() == name).copied()
    }

    /// Who says what is at `rest` of the item that shows `entry`.
    fn aspect(&self, entry: &Entry<'_>, helper: &str, rest: &[&str]) -> Vec<Step> {
        let say = |below: &str| self.entry(entry, below);
        if let Some(shared) = &entry.shared {
            return self.aspect_of_shared(entry, shared, rest);
        }
        let (is_mount, is_volume) = (helper == FILE_MOUNTS.name, helper == FILE_VOLUMES.name);
        match (rest, entry.secret) {
            (["name"], _) if is_mount || is_volume => vec![say("/mountPath"), say("/key")],
            (["mountPath"], _) if is_mount => vec![say("/mountPath"), say("/key")],
            (["name" | "subPath"], _) => vec![say("/key")],
            (["mountPath"], _) => vec![say("/mountPath")],
            (["remoteRef", part @ ..], Some(secret)) => {
                let kept = self.kept(secret, part);
                std::iter::once(say("/valueFrom/secretKeyRef"))
                    .chain(kept)
                    .collect()
            }
            (["value"], Some(_)) => vec![say("/valueFrom/secretKeyRef")],
            (["value"], None) => vec![say("/value")],
            (["resourceName"] | [_, _], secret) => {
                let mut steps = self.explained.names("name");
                steps.push(say("/key"));
                steps.extend(secret.and_then(|secret| self.kept(secret, &[])));
                steps
            }
            _ => vec![say("")],
        }
    }

    /// The same of an entry whose value is that of a configuration group.
    fn aspect_of_shared(&self, entry: &Entry<'_>, shared: &Shared<'_>, rest: &[&str]) -> Vec<Step> {
        let Shared {
            group,
            pointer,
            named,
        } = shared;
        let mut steps = vec![self.entry(entry, named)];
        match (rest, entry.secret) {
            (["value"], None) => steps.push(given(group, &format!("{pointer}/value"))),
            (["remoteRef" | "value", ..], Some(secret)) => {
                let key = format!("{pointer}/valueFrom/secretKeyRef");
                steps.push(given(group, &key));
                steps.extend(self.kept(secret, rest.get(1..).unwrap_or_default()));
            }
            _ => {}
        }
        steps
    }

    /// Who says what is in the list that `helper` makes, or in that at `path` of the variable, as a
    /// whole; and what the object is called that holds it, when that is looked at.
    fn group(&self, helper: &str, path: &[&str]) -> Vec<Step> {
        let first = path.first().copied().unwrap_or_default();
        let kind = path.get(1).copied().unwrap_or_default();
        let only = |yes: bool, no: bool| (yes != no).then_some(yes);
        let secret = only(
            helper == SECRET_ENVS.name
                || helper == SECRET_FILES.name
                || first == "secrets"
                || kind == "secretRef",
            helper.contains("Config") || first == "configs" || kind == "configMapRef",
        );
        let env = only(
            is_group(helper) || kind == "envs",
            kind == "files" || helper.contains("File") || helper.contains("Volume"),
        );
        let is_named = is_group(helper) && path.len() > 1 && kind != "envs";
        let mut steps = if is_named {
            self.explained.names("name")
        } else {
            Vec::new()
        };
        let entries = self.entries();
        let wanted: Vec<&Entry<'_>> = entries
            .iter()
            .filter(|one| env.is_none_or(|env| env == one.is_variable()))
            .filter(|one| secret.is_none_or(|secret| secret == one.secret.is_some()))
            .collect();
        steps.extend(wanted.iter().map(|entry| self.list(entry)));
        steps.extend(
            wanted
                .iter()
                .filter_map(|entry| self.kept(entry.secret?, &[])),
        );
        if wanted.is_empty() {
            let lists = [("env", true), ("files", false)].into_iter();
            let lists = lists.filter(|(_, is_env)| env.is_none_or(|env| env == *is_env));
            steps.extend(lists.map(|(list, _)| {
                Step {
                    role: Role::Unset,
                    ..self
                        .explained
                        .of_workload(&format!("/spec/container/{list}"))
                }
            }));
        }
        steps
    }

    /// What `below` of an entry says.
    fn entry(&self, entry: &Entry<'_>, below: &str) -> Step {
        let Entry { list, index, .. } = entry;
        self.place(entry, &format!("{list}/{index}{below}"))
    }

    /// The list that an entry is in.
    fn list(&self, entry: &Entry<'_>) -> Step {
        self.place(entry, entry.list)
    }

    fn place(&self, entry: &Entry<'_>, below: &str) -> Step {
        if entry.overridden {
            let pointer = format!("/spec/workloadOverrides/container/{below}");
            given(self.snapshot.binding, &pointer)
        } else {
            self.explained
                .of_workload(&format!("/spec/container/{below}"))
        }
    }

    /// Where the secret is kept.
    fn kept(&self, secret: &SecretKeyRef, part: &[&str]) -> Option<Step> {
        let references = self.snapshot.secret_references.iter();
        let mut named = references.filter(|reference| reference.name() == secret.name);
        let reference = named.next()?;
        let mut data = reference.spec.data.iter();
        let index = data.position(|data| data.secret_key == secret.key)?;
        let root = format!("/spec/data/{index}/remoteRef");
        let pointer = part.iter().fold(root, |at, part| join(&at, part));
        Some(given(*reference, &pointer))
    }
}
