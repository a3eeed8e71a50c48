//! Configuration groups: which of them a component uses, and what their keys are where it runs.

use crate::configurations::merged;
use crate::diagnostic::{Code, Diagnostic};
use choreo_model::application::{Container, WorkloadTemplate};
use choreo_model::configuration::{Found, Value};
use choreo_model::release::{ComponentReleaseSpec, ReleaseBindingSpec};
use choreo_model::shared::{ConfigurationKeyRef, ValueFrom};
use choreo_model::{ConfigurationGroup, Environment, labels};
use choreo_template::nearest;
use std::collections::BTreeSet;

/// The names of the groups that a workload uses, as a binding has it.
pub fn used(workload: &WorkloadTemplate, binding: &ReleaseBindingSpec) -> BTreeSet<String> {
    let container = merged(&workload.container, binding.workload_overrides.as_ref());
    names(&container).map(str::to_owned).collect()
}

/// The groups, and the keys of them, that a workload names and that are not there. Whether a key has
/// a value is for each environment to say.
pub(crate) fn missing(
    workload: &WorkloadTemplate,
    groups: &[&ConfigurationGroup],
) -> Vec<Diagnostic> {
    let container = &workload.container;
    let groups = Groups {
        all: groups,
        places: Vec::new(),
    };
    let env = container.env.iter().map(|env| &env.value_from);
    let files = container.files.iter().map(|file| &file.value_from);
    let keys = numbered("env", env).chain(numbered("files", files));
    let keys = keys.filter_map(|(field, from)| {
        let wanted = from.as_ref()?.configuration_group_ref.as_ref()?;
        let field = format!("{field}.valueFrom.configurationGroupRef");
        let group = groups.find(&wanted.name, "it");
        let found = group.and_then(|group| declared(group, wanted, "it"));
        Some((field, found.err()?))
    });
    let env = container.env_from.iter();
    let env = env.map(|from| &from.configuration_group_ref.name);
    let files = container.files_from.iter();
    let files = files.map(|from| &from.configuration_group_ref.name);
    let whole = numbered("envFrom", env).chain(numbered("filesFrom", files));
    let whole = whole.filter_map(|(field, name)| {
        let field = format!("{field}.configurationGroupRef.name");
        Some((field, groups.find(name, "it").err()?))
    });
    keys.chain(whole)
        .map(|(field, problem)| Diagnostic { field, ..*problem })
        .collect()
}

/// The items of a list of the container, each with its field.
fn numbered<T>(
    list: &'static str,
    items: impl Iterator<Item = T>,
) -> impl Iterator<Item = (String, T)> {
    let items = items.enumerate();
    items.map(move |(index, item)| (format!("spec.container.{list}[{index}]"), item))
}

/// The names of the secret references that a release uses, as a binding has it: its workload by itself or
/// by what `groups` hold for `environment`, and what is given for its type and traits.
pub fn secrets(
    release: &ComponentReleaseSpec,
    binding: &ReleaseBindingSpec,
    groups: &[&ConfigurationGroup],
    environment: &Environment,
) -> BTreeSet<String> {
    let container = &release.workload.container;
    let container = merged(container, binding.workload_overrides.as_ref());
    let own = sources(&container).filter_map(|from| from.secret_key_ref.as_ref());
    let used: BTreeSet<&str> = names(&container).collect();
    let places = places(environment);
    let shared = groups
        .iter()
        .filter(|group| used.contains(group.name()))
        .flat_map(|group| group.spec.values(&places))
        .filter_map(|(_, found)| match found.value {
            Value::Secret(key) => Some(key),
            Value::Plain(_) => None,
        });
    let mut found: BTreeSet<String> = own.chain(shared).map(|key| key.name.clone()).collect();
    for value in given(release, binding) {
        secret_keys(value, 0, &mut |name| {
            found.insert(name.to_owned());
        });
    }
    found
}

/// Everything that is given for the type and the traits of a release.
fn given<'v>(
    release: &'v ComponentReleaseSpec,
    binding: &'v ReleaseBindingSpec,
) -> impl Iterator<Item = &'v serde_json::Value> {
    let embedded = release.component_type.spec.traits.iter();
    let embedded = embedded.flat_map(|one| one.parameters.iter().chain(&one.environment_configs));
    let profile = release.component_profile.iter();
    let own = profile.flat_map(|profile| {
        let traits = profile.traits.iter();
        let traits = traits.filter_map(|one| one.parameters.as_ref());
        profile.parameters.iter().chain(traits)
    });
    let configs = binding.component_type_environment_configs.iter();
    let configs = configs.chain(binding.trait_environment_configs.values());
    embedded.chain(own).chain(configs)
}

/// How deep `secretKeyRef` is looked for in what is given.
const DEEPEST: usize = 32;

/// Hands the name in every `secretKeyRef` of `value` to `found`.
pub fn secret_keys(value: &serde_json::Value, depth: usize, found: &mut impl FnMut(&str)) {
    if depth > DEEPEST {
        return;
    }
    match value {
        serde_json::Value::Object(fields) => {
            for (field, value) in fields {
                if field == "secretKeyRef"
                    && let Some(name) = value["name"].as_str()
                {
                    found(name);
                }
                secret_keys(value, depth + 1, found);
            }
        }
        serde_json::Value::Array(items) => {
            for item in items {
                secret_keys(item, depth + 1, found);
            }
        }
        serde_json::Value::Null
        | serde_json::Value::Bool(_)
        | serde_json::Value::Number(_)
        | serde_json::Value::String(_) => {}
    }
}

fn names(container: &Container) -> impl Iterator<Item = &str> {
    let keys = sources(container)
        .filter_map(|from| from.configuration_group_ref.as_ref())
        .map(|key| key.name.as_str());
    let env = container.env_from.iter();
    let files = container.files_from.iter();
    let whole = env
        .map(|from| &from.configuration_group_ref)
        .chain(files.map(|from| &from.configuration_group_ref));
    keys.chain(whole.map(|group| group.name.as_str()))
}

/// Everything of a container that is kept elsewhere.
fn sources(container: &Container) -> impl Iterator<Item = &ValueFrom> {
    let env = container.env.iter().map(|env| &env.value_from);
    let files = container.files.iter().map(|file| &file.value_from);
    env.chain(files).flatten()
}

/// The names by which values are found for an environment: its own, and that of the one it was made
/// after.
fn places(environment: &Environment) -> Vec<&str> {
    let after = environment.label(labels::PREVIEW_OF);
    std::iter::once(environment.name()).chain(after).collect()
}

/// The groups of a namespace, seen from an environment.
pub(crate) struct Groups<'g> {
    all: &'g [&'g ConfigurationGroup],
    places: Vec<&'g str>,
}

impl<'g> Groups<'g> {
    pub(crate) fn of(all: &'g [&'g ConfigurationGroup], environment: &'g Environment) -> Self {
        Self {
            all,
            places: places(environment),
        }
    }

    /// All keys that a group has here, or that it is not there; `user` is what takes them.
    pub(crate) fn all(
        &self,
        name: &str,
        user: &str,
    ) -> Result<Vec<(&'g str, Found<'g>)>, Box<Diagnostic>> {
        let group = self.find(name, user)?;
        Ok(group.spec.values(&self.places))
    }

    /// What a key is here, or what is missing; `user` is what takes it.
    pub(crate) fn one(
        &self,
        wanted: &ConfigurationKeyRef,
        user: &str,
    ) -> Result<Found<'g>, Box<Diagnostic>> {
        let ConfigurationKeyRef { name, key, .. } = wanted;
        let group = self.find(name, user)?;
        if let Some(found) = group.spec.value(key, &self.places) {
            return Ok(found);
        }
        declared(group, wanted, user)?;
        let place = self.places.first().copied().unwrap_or_default();
        let message = format!(
            "ConfigurationGroup {name:?} has no value of {key:?} for environment {place:?}, which \
             {user} uses"
        );
        let hint = "give it one for the environment, for a group of environments or for all";
        Err(Box::new(problem(message).with_hint(hint)))
    }

    fn find(&self, name: &str, user: &str) -> Result<&'g ConfigurationGroup, Box<Diagnostic>> {
        let found = self.all.iter().find(|group| group.name() == name).copied();
        found.ok_or_else(|| {
            let message = format!("ConfigurationGroup {name:?}, which {user} uses, is not there");
            let mut known = self.all.iter().map(|group| group.name());
            Box::new(hinted(problem(message), name, &mut known))
        })
    }
}

/// Whether a group has a key at all.
fn declared(
    group: &ConfigurationGroup,
    wanted: &ConfigurationKeyRef,
    user: &str,
) -> Result<(), Box<Diagnostic>> {
    let ConfigurationKeyRef { name, key, .. } = wanted;
    let keys = group.spec.configurations.iter();
    let mut keys = keys.map(|one| one.key.as_str());
    if keys.clone().any(|known| known == key) {
        return Ok(());
    }
    let message = format!("ConfigurationGroup {name:?} has no key {key:?}, which {user} uses");
    Err(Box::new(hinted(problem(message), key, &mut keys)))
}

fn problem(message: String) -> Diagnostic {
    Diagnostic::error(Code::ConfigurationGroup, "", "", message)
}

fn hinted(diagnostic: Diagnostic, name: &str, known: &mut dyn Iterator<Item = &str>) -> Diagnostic {
    match nearest(name, known) {
        Some(near) => diagnostic.with_hint(format!("did you mean {near:?}?")),
        None => diagnostic,
    }
}
