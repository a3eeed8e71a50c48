//! From what templates see of dependencies to what the workload asks for, and to what the other
//! side tells of itself.

use super::follow::{at, given};
use super::{Explained, Step};
use crate::connections::provides;
use crate::dialect::{DEPENDENCY_ENVS, DEPENDENCY_MOUNTS, DEPENDENCY_VOLUMES};
use crate::origin::join;
use crate::resource_dependencies::serves;
use crate::snapshot::{ComponentSnapshot, Provider};
use choreo_model::application::{Dependencies, EndpointDependency};
use choreo_template::{Reference, Tree};

use std::iter::once;

/// The lists of what all dependencies give together, and the helpers that return them.
const LISTS: [(&str, &str); 3] = [
    (DEPENDENCY_ENVS.name, "envVars"),
    (DEPENDENCY_MOUNTS.name, "volumeMounts"),
    (DEPENDENCY_VOLUMES.name, "volumes"),
];

/// The dependencies of a component.
struct Connected<'e, 'a> {
    explained: &'e Explained<'a>,
    snapshot: &'e ComponentSnapshot<'a>,
    declared: &'e Dependencies,
    /// What templates see.
    seen: &'e Tree,
}

impl Explained<'_> {
    /// Who says what a part of `dependencies` is, or of what a helper makes of it.
    pub(super) fn dependencies(&self, reference: &Reference) -> Vec<Step> {
        let Some(snapshot) = self.component() else {
            return Vec::new();
        };
        let none = Dependencies::default();
        let declared = snapshot.release.workload.dependencies.as_ref();
        let declared = match declared {
            Some(declared) => declared,
            None if snapshot.external_connections.is_empty() => {
                return vec![self.of_workload("/spec/dependencies")];
            }
            None => &none,
        };
        let all = Connected {
            explained: self,
            snapshot,
            declared,
            seen: self.compiled.provenance.seen.variable("dependencies"),
        };
        let helper = reference.helper.as_deref();
        let list = LISTS.iter().find(|(name, _)| helper == Some(*name));
        let list = list.map(|(_, list)| *list);
        let path = reference.path.iter().map(String::as_str);
        let path: Vec<&str> = list.into_iter().chain(path).collect();
        all.part(&path).unwrap_or_else(|| all.whole())
    }
}

impl Connected<'_, '_> {
    fn part(&self, path: &[&str]) -> Option<Vec<Step>> {
        match path {
            ["items", index, rest @ ..] => self.endpoint(index.parse().ok()?, rest),
            ["resources", index, rest @ ..] => self.resource(index.parse().ok()?, rest),
            ["external", index, rest @ ..] => {
                self.explained.external_variable(index.parse().ok()?, rest)
            }
            [list, index, rest @ ..] => {
                let (kind, index, inner) = self.behind(list, index.parse().ok()?)?;
                let inner = inner.to_string();
                let path: Vec<&str> = [*list, &inner]
                    .into_iter()
                    .chain(rest.iter().copied())
                    .collect();
                match kind {
                    "items" => self.endpoint(index, &path),
                    "external" => self.explained.external_variable(index, &path),
                    _ => self.resource(index, &path),
                }
            }
            _ => None,
        }
    }

    /// Which dependency gives the item at `index` of the list of all, and as which of its own.
    fn behind(&self, list: &str, index: usize) -> Option<(&'static str, usize, usize)> {
        let mut left = index;
        for kind in ["items", "resources", "external"] {
            for (at, one) in self.seen[kind].as_array()?.iter().enumerate() {
                let count = one[list].as_array().map_or(0, |items| items.len());
                match left.checked_sub(count) {
                    Some(rest) => left = rest,
                    None => return Some((kind, at, left)),
                }
            }
        }
        None
    }

    /// Everything that is asked for, and everybody who answers.
    fn whole(&self) -> Vec<Step> {
        let providers = self.snapshot.providers.iter();
        let resources = self.snapshot.resources.iter();
        once(self.explained.of_workload("/spec/dependencies"))
            .chain(providers.map(|provider| given(*provider, "/status/endpoints")))
            .chain(resources.map(|resource| given(*resource, "/status/outputs")))
            .collect()
    }

    fn endpoint(&self, index: usize, path: &[&str]) -> Option<Vec<Step>> {
        let dependency = self.declared.endpoints.get(index)?;
        let root = format!("/spec/dependencies/endpoints/{index}");
        let say = |field: &str| self.explained.of_workload(&join(&root, field));
        Some(match path {
            ["project"] if dependency.project.as_deref().is_none_or(str::is_empty) => {
                self.explained.names("projectName")
            }
            ["namespace"] => vec![given(self.snapshot.binding, "/metadata/namespace")],
            ["endpoint"] => vec![say("name")],
            ["envVars", number, part] => {
                let (field, below) = bound(dependency, number.parse().ok()?)?;
                let asked = self
                    .explained
                    .of_workload(&format!("{root}/envBindings/{field}"));
                let told = (*part != "name")
                    .then(|| self.address(index, below))
                    .flatten();
                once(asked).chain(told).collect()
            }
            [field] if *field != "envVars" => vec![say(field)],
            _ => vec![self.explained.of_workload(&root)],
        })
    }

    /// What the binding of the other component tells of the endpoint at `index` of those asked for.
    fn address(&self, index: usize, below: &str) -> Option<Step> {
        let target = self.explained.compiled.connection_targets.get(index)?;
        let mut providers = self.snapshot.providers.iter();
        let provider = providers.find(|one| provides(&Provider::from(**one), target))?;
        let mut endpoints = provider.status.endpoints.iter();
        let at = endpoints.position(|endpoint| endpoint.name == target.endpoint)?;
        Some(given(
            *provider,
            &format!("/status/endpoints/{at}/serviceURL{below}"),
        ))
    }

    fn resource(&self, index: usize, path: &[&str]) -> Option<Vec<Step>> {
        let shown = self.seen["resources"].as_array()?.get(index)?;
        let mut declared = self.declared.resources.iter().enumerate();
        let (index, dependency) = declared.find(|(_, one)| shown["ref"] == one.reference)?;
        let root = format!("/spec/dependencies/resources/{index}");
        let say = |below: &str| self.explained.of_workload(&(root.clone() + below));
        let bound = |list: &str, output: &str| say(&join(&format!("/{list}"), output));
        Some(match path {
            ["ref"] => vec![say("/ref")],
            ["envVars", number, part @ ..] => {
                let (output, _) = dependency.env_bindings.iter().nth(number.parse().ok()?)?;
                let told = match part {
                    ["name"] => None,
                    ["valueFrom", part @ ..] | part => self.output(index, output, part),
                };
                once(bound("envBindings", output)).chain(told).collect()
            }
            ["volumeMounts", number, part] => {
                let (output, _) = dependency.file_bindings.iter().nth(number.parse().ok()?)?;
                let told = (*part != "mountPath")
                    .then(|| self.output(index, output, &[]))
                    .flatten();
                once(bound("fileBindings", output)).chain(told).collect()
            }
            ["volumes", number, ..] => {
                let name = &at(shown, &["volumes", number])["name"];
                let mounts = shown["volumeMounts"].as_array()?.iter();
                let files = dependency.file_bindings.keys().zip(mounts);
                let held = files.filter(|(_, mount)| mount["name"] == *name);
                held.flat_map(|(output, _)| {
                    let told = self.output(index, output, &[]);
                    once(bound("fileBindings", output)).chain(told)
                })
                .collect()
            }
            _ => vec![say("")],
        })
    }

    /// What the binding of the resource at `index` of those asked for tells of `output`.
    fn output(&self, index: usize, output: &str, part: &[&str]) -> Option<Step> {
        let targets = &self.explained.compiled.resource_dependency_targets;
        let target = targets.get(index)?;
        let mut bindings = self.snapshot.resources.iter();
        let binding = bindings.find(|one| serves(one, target))?;
        let mut outputs = binding.status.outputs.iter();
        let at = outputs.position(|one| one.name == output)?;
        let root = format!("/status/outputs/{at}");
        let pointer = part.iter().fold(root, |at, part| join(&at, part));
        Some(given(*binding, &pointer))
    }
}

/// The binding that makes the variable at `number` of those of a dependency, and the part of the
/// address that it takes.
fn bound(dependency: &EndpointDependency, number: usize) -> Option<(&'static str, &'static str)> {
    let bindings = &dependency.env_bindings;
    let all = [
        (&bindings.address, ("address", "")),
        (&bindings.host, ("host", "/host")),
        (&bindings.port, ("port", "/port")),
        (&bindings.base_path, ("basePath", "/path")),
    ];
    let is_set = |name: &Option<String>| name.as_ref().is_some_and(|name| !name.is_empty());
    let mut set = all.into_iter().filter(|(name, _)| is_set(name));
    set.nth(number).map(|(_, found)| found)
}
