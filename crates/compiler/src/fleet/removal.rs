//! Objects taken away, and what goes with them, the way controllers see to it.

use super::{Bound, Fleet, Specs, text};
use crate::diagnostic::{Code, Diagnostic};
use choreo_model::project::ProjectReleaseSpec;
use choreo_model::release::ComponentReleaseSpec;
use choreo_model::resource::ResourceReleaseSpec;
use choreo_model::resource_type::RetainPolicy;
use choreo_model::shared::ComponentOwner;
use choreo_model::{ResourceReleaseBinding, Spec};
use serde::Serialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// An object by its kind and name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct ObjectName {
    /// Its kind.
    pub kind: String,
    /// Its namespace; empty for objects that have none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl ObjectName {
    /// The name of `object`.
    pub fn of(object: &Value) -> Self {
        Self {
            kind: text(object, "/kind"),
            namespace: text(object, "/metadata/namespace"),
            name: text(object, "/metadata/name"),
        }
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, self.name)
    }
}

/// Why an object stays although it was to go.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Held {
    /// Something else names it: its deletion waits for that.
    InUse(String),
    /// What belongs to it is to be kept.
    Retained(String),
}

/// In which order objects go: what names others before what is named.
const ORDER: [&str; 10] = [
    "ReleaseBinding",
    "Component",
    "ResourceReleaseBinding",
    "Resource",
    "ProjectReleaseBinding",
    "Project",
    "DeploymentPipeline",
    "Environment",
    "DataPlane",
    "ClusterDataPlane",
];

impl Fleet {
    /// Takes objects away, and with each what belongs to it. One that something else still needs,
    /// or that is to be retained, stays, and [`Fleet::problems`] says why. To be called before
    /// [`Fleet::settle`].
    pub fn remove(&mut self, objects: impl IntoIterator<Item = ObjectName>) {
        let mut objects: Vec<ObjectName> = objects.into_iter().collect();
        let place = |kind: &str| ORDER.iter().position(|one| *one == kind);
        objects.sort_by_key(|one| place(&one.kind).unwrap_or(ORDER.len()));
        for object in objects {
            let held = match self.take(&object) {
                Ok(()) => continue,
                Err(Held::InUse(by)) => {
                    let message = format!("cannot be deleted: it is still used by {by}");
                    Diagnostic::error(Code::Reference, object.to_string(), "", message)
                }
                Err(Held::Retained(by)) => {
                    let message = format!("is not deleted: {by} retains its objects");
                    Diagnostic::error(Code::Reference, object.to_string(), "", message)
                        .with_hint("its retainPolicy says so; set it to Delete to let them go")
                        .into_warning()
                }
            };
            self.held.push((object.namespace, held));
        }
    }

    fn take(&mut self, object: &ObjectName) -> Result<(), Held> {
        let (namespace, name) = (object.namespace.as_str(), object.name.as_str());
        match object.kind.as_str() {
            "Component" => self.take_component(namespace, name),
            "Resource" => return self.take_resource(namespace, name),
            "ResourceReleaseBinding" => return self.take_resource_binding(namespace, name),
            "Project" => return self.take_project(namespace, name),
            "DeploymentPipeline" => return self.take_pipeline(namespace, name),
            "Environment" => return self.take_environment(namespace, name),
            "DataPlane" | "ClusterDataPlane" => return self.take_plane(namespace, name),
            "DeploymentTrack" => self.take_track(namespace, name),
            "Workload" => self.workloads.remove(namespace, name),
            "ComponentType" | "ClusterComponentType" => {
                self.component_types.remove(namespace, name);
            }
            "Trait" | "ClusterTrait" => self.traits.remove(namespace, name),
            "ProjectType" | "ClusterProjectType" => self.project_types.remove(namespace, name),
            "ProjectReleaseBinding" => self.project_bindings.remove(namespace, name),
            "ReleaseBinding" => self.bindings.remove(namespace, name),
            "SecretReference" => self.secret_references.remove(namespace, name),
            "ConfigurationGroup" => self.configuration_groups.remove(namespace, name),
            "ExternalConnection" => self.external_connections.remove(namespace, name),
            "API" => self.apis.remove(namespace, name),
            "ComponentRelease" => forget(&mut self.releases, namespace, name),
            "ProjectRelease" => forget(&mut self.project_releases, namespace, name),
            kind => {
                self.resources.remove(kind, namespace, name);
                self.runs.remove(kind, namespace, name);
            }
        }
        Ok(())
    }

    fn take_component(&mut self, namespace: &str, name: &str) {
        self.take_lines(namespace, |owner| owner.component_name == name);
        self.tracks
            .retain_in(namespace, |one| one.spec.owner.component_name != name);
        self.components.remove(namespace, name);
    }

    fn take_track(&mut self, namespace: &str, name: &str) {
        let track = self.tracks.get(namespace, name);
        if let Some(Ok(line)) = track.map(|track| track.spec.named(name)) {
            self.take_lines(namespace, |owner| *owner == line);
        }
        self.tracks.remove(namespace, name);
    }

    /// What belongs to lines of components: bindings, workloads and releases.
    fn take_lines(&mut self, namespace: &str, taken: impl Fn(&ComponentOwner) -> bool) {
        self.bindings
            .retain_in(namespace, |one| !taken(&one.spec.owner));
        self.workloads
            .retain_in(namespace, |one| !taken(&one.spec.owner));
        if let Some(releases) = self.releases.get_mut(namespace) {
            releases.retain(|_, release| !taken(&release.owner));
        }
    }

    fn take_resource_binding(&mut self, namespace: &str, name: &str) -> Result<(), Held> {
        let binding = self.resources.binding(namespace, name);
        if binding.is_some_and(|binding| self.is_retained(binding)) {
            return Err(Held::Retained("it".to_owned()));
        }
        self.resources
            .remove(Bound::Resource.binding_kind(), namespace, name);
        Ok(())
    }

    /// The bindings that let go, then, unless one does not, the resource with its releases.
    fn take_resource(&mut self, namespace: &str, name: &str) -> Result<(), Held> {
        self.take_resource_bindings(namespace, |one| one.spec.owner.resource_name == name)?;
        self.resources.forget(namespace, name);
        Ok(())
    }

    /// Those of the `wanted` bindings that let go.
    fn take_resource_bindings(
        &mut self,
        namespace: &str,
        wanted: impl Fn(&ResourceReleaseBinding) -> bool,
    ) -> Result<(), Held> {
        let (retained, free): (Vec<_>, Vec<_>) = self
            .resource_bindings()
            .filter(|one| one.namespace() == namespace && wanted(one))
            .map(|one| (self.is_retained(one), one.name().to_owned()))
            .partition(|(retained, _)| *retained);
        let kind = Bound::Resource.binding_kind();
        for (_, binding) in free {
            self.resources.remove(kind, namespace, &binding);
        }
        match retained.first() {
            Some((_, binding)) => Err(Held::Retained(format!("{kind}/{binding}"))),
            None => Ok(()),
        }
    }

    fn is_retained(&self, binding: &ResourceReleaseBinding) -> bool {
        let releases = self.resources.releases().get(binding.namespace());
        let release = releases.and_then(|releases| releases.get(&binding.spec.resource_release));
        binding.spec.effective_retain_policy(release) == RetainPolicy::Retain
    }

    /// Components leave their cells first, then resources; the cells go last.
    fn take_project(&mut self, namespace: &str, name: &str) -> Result<(), Held> {
        for component in self
            .components
            .names_in(namespace, |one| one.spec.owner.project_name == name)
        {
            self.take_component(namespace, &component);
        }
        let resources: Vec<String> = self
            .resources
            .objects()
            .filter(|one| one.namespace() == namespace && one.spec.owner.project_name == name)
            .map(|one| one.name().to_owned())
            .collect();
        let taken: Vec<_> = resources
            .iter()
            .map(|resource| self.take_resource(namespace, resource))
            .collect();
        taken.into_iter().collect::<Result<(), Held>>()?;
        self.project_bindings
            .retain_in(namespace, |one| one.spec.owner.project_name != name);
        if let Some(releases) = self.project_releases.get_mut(namespace) {
            releases.retain(|_, release| release.owner.project_name != name);
        }
        self.projects.remove(namespace, name);
        Ok(())
    }

    fn take_pipeline(&mut self, namespace: &str, name: &str) -> Result<(), Held> {
        let users = self.projects.names_in(namespace, |one| {
            one.spec.deployment_pipeline_ref.name == name
        });
        free("Project", &users)?;
        self.pipelines.remove(namespace, name);
        Ok(())
    }

    fn take_environment(&mut self, namespace: &str, name: &str) -> Result<(), Held> {
        let users = self
            .pipelines
            .names_in(namespace, |one| one.spec.environments().contains(&name));
        free("DeploymentPipeline", &users)?;
        self.bindings
            .retain_in(namespace, |one| one.spec.environment != name);
        self.take_resource_bindings(namespace, |one| one.spec.environment == name)?;
        self.project_bindings
            .retain_in(namespace, |one| one.spec.environment != name);
        self.environments.remove(namespace, name);
        Ok(())
    }

    fn take_plane(&mut self, namespace: &str, name: &str) -> Result<(), Held> {
        let wanted = (namespace, name);
        let users: Vec<String> = self
            .environments
            .iter()
            .filter(|one| {
                let plane = self.data_plane(one.namespace(), one.spec.data_plane_ref.as_ref());
                plane.is_ok_and(|plane| (plane.namespace(), plane.name()) == wanted)
            })
            .map(|one| one.name().to_owned())
            .collect();
        free("Environment", &users)?;
        self.data_planes.remove(namespace, name);
        Ok(())
    }

    /// Everything wrong with the fleet as a whole, with the namespace of the object when it is
    /// known: what could not be read, references that lead nowhere, and what cannot be deleted.
    pub fn problems(&self) -> Vec<(String, Diagnostic)> {
        let mut found = self.missing();
        let of = |one: &Diagnostic| (one.object.clone(), one.message.clone());
        let known: BTreeSet<(String, String)> = found.iter().map(|(_, one)| of(one)).collect();
        let rest = self.diagnostics().iter();
        let rest = rest.filter(|one| !known.contains(&of(one)));
        found.extend(rest.map(|one| (String::new(), one.clone())));
        found.extend(self.held.iter().cloned());
        found
    }

    /// The names of all objects.
    pub(crate) fn object_names(&self) -> BTreeSet<ObjectName> {
        let tables = [
            self.components.names(),
            self.workloads.names(),
            self.component_types.names(),
            self.traits.names(),
            self.projects.names(),
            self.project_types.names(),
            self.project_bindings.names(),
            self.bindings.names(),
            self.environments.names(),
            self.pipelines.names(),
            self.data_planes.names(),
            self.secret_references.names(),
            self.configuration_groups.names(),
            self.apis.names(),
            self.resources.names(),
            self.runs.names(),
            names(ComponentReleaseSpec::KIND, &self.releases),
            names(ProjectReleaseSpec::KIND, &self.project_releases),
            names(ResourceReleaseSpec::KIND, self.resources.releases()),
        ];
        tables.into_iter().flatten().collect()
    }
}

/// Whether nothing uses it any more.
fn free(kind: &str, users: &[String]) -> Result<(), Held> {
    match users {
        [] => Ok(()),
        [one] => Err(Held::InUse(format!("{kind}/{one}"))),
        [one, more @ ..] => Err(Held::InUse(format!("{kind}/{one} and {} more", more.len()))),
    }
}

fn forget<T>(specs: &mut Specs<T>, namespace: &str, name: &str) {
    if let Some(specs) = specs.get_mut(namespace) {
        specs.remove(name);
    }
}

fn names<T>(kind: &str, specs: &Specs<T>) -> Vec<ObjectName> {
    let of = |(namespace, specs): (&String, &BTreeMap<String, T>)| {
        let named = |name: &String| ObjectName {
            kind: kind.to_owned(),
            namespace: namespace.clone(),
            name: name.clone(),
        };
        specs.keys().map(named).collect::<Vec<_>>()
    };
    specs.iter().flat_map(of).collect()
}
