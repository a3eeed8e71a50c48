//! Managed resources of a fleet: what controllers make of them, and what components get of them.

use super::removal::ObjectName;
use super::table::{Table, missing};
use super::{Fleet, Specs, keep, place, put, read};
use crate::connections;
use crate::diagnostic::Code;
use crate::parallel;
use crate::programs::Programs;
use crate::release;
use crate::resource::{CompiledResource, compile_resource};
use crate::resource_dependencies::serves;
use crate::snapshot::{ReleaseBinding, ResourceSnapshot};
use choreo_model::conditions::{self, reasons, types};
use choreo_model::platform::DeploymentPipelineSpec;
use choreo_model::release::ComponentReleaseSpec;
use choreo_model::resource::{ResourceReleaseBindingSpec, ResourceReleaseSpec, ResourceSpec};
use choreo_model::resource_type::{ResourceOutput, ResourceTypeSpec};
use choreo_model::shared::ResourceOwner;
use choreo_model::{Object, Resource, ResourceReleaseBinding, ResourceType, names};
use serde_json::Value;
use std::collections::BTreeMap;

/// The objects.
#[derive(Debug, Clone, Default)]
pub(super) struct Resources {
    objects: Table<ResourceSpec>,
    types: Table<ResourceTypeSpec>,
    bindings: Table<ResourceReleaseBindingSpec>,
    releases: Specs<ResourceReleaseSpec>,
}

impl Resources {
    /// Takes an object of one of the kinds of managed resources; any other is passed over.
    pub(super) fn add(&mut self, kind: &str, manifest: Value) -> Result<(), String> {
        match kind {
            "Resource" => put(&mut self.objects, manifest),
            "ResourceType" | "ClusterResourceType" => put(&mut self.types, manifest),
            "ResourceReleaseBinding" => read(manifest).map(|binding| self.add_binding(binding)),
            "ResourceRelease" => keep(&mut self.releases, manifest),
            _ => Ok(()),
        }
    }

    fn add_binding(&mut self, mut binding: ResourceReleaseBinding) {
        let there = self.bindings.get(binding.namespace(), binding.name());
        let release = &mut binding.spec.resource_release;
        if let Some(there) = there.filter(|_| release.is_empty()) {
            release.clone_from(&there.spec.resource_release);
        }
        place(&mut self.bindings, binding);
    }

    pub(super) fn binding(&self, namespace: &str, name: &str) -> Option<&ResourceReleaseBinding> {
        self.bindings.get(namespace, name)
    }

    /// Takes away an object of one of the kinds of managed resources; nothing of any other.
    pub(super) fn remove(&mut self, kind: &str, namespace: &str, name: &str) {
        match kind {
            "ResourceType" | "ClusterResourceType" => self.types.remove(namespace, name),
            "ResourceReleaseBinding" => self.bindings.remove(namespace, name),
            "ResourceRelease" => {
                if let Some(releases) = self.releases.get_mut(namespace) {
                    releases.remove(name);
                }
            }
            _ => {}
        }
    }

    /// Takes away a resource with its releases.
    pub(super) fn forget(&mut self, namespace: &str, name: &str) {
        if let Some(releases) = self.releases.get_mut(namespace) {
            releases.retain(|_, release| release.owner.resource_name != name);
        }
        self.objects.remove(namespace, name);
    }

    /// The names of all objects but the releases.
    pub(super) fn names(&self) -> Vec<ObjectName> {
        let tables = [
            self.objects.names(),
            self.types.names(),
            self.bindings.names(),
        ];
        tables.concat()
    }

    pub(super) fn has(&self, namespace: &str, name: &str) -> bool {
        self.object(namespace, name).is_some()
    }

    pub(super) fn object(&self, namespace: &str, name: &str) -> Option<&Resource> {
        self.objects.get(namespace, name)
    }

    /// The resources, by namespace and name.
    pub(super) fn objects(&self) -> impl Iterator<Item = &Resource> {
        self.objects.iter()
    }

    /// The type of a resource, or what is missing.
    pub(super) fn type_of(&self, resource: &Resource) -> Result<&ResourceType, String> {
        let reference = &resource.spec.type_;
        let namespace = reference.namespace(resource.namespace());
        self.types.find(namespace, &reference.name)
    }

    pub(super) const fn releases(&self) -> &Specs<ResourceReleaseSpec> {
        &self.releases
    }
}

impl Fleet {
    /// The bindings of managed resources, by namespace and name.
    pub fn resource_bindings(&self) -> impl Iterator<Item = &ResourceReleaseBinding> {
        self.resources.bindings.iter()
    }

    /// What compiling `binding` needs, or what is missing for it.
    pub fn resource_snapshot<'a>(
        &'a self,
        binding: &'a ResourceReleaseBinding,
    ) -> Result<ResourceSnapshot<'a>, String> {
        let namespace = binding.namespace();
        let spec = &binding.spec;
        let all = &self.resources;
        let release = all
            .releases
            .get(namespace)
            .and_then(|releases| releases.get(&spec.resource_release))
            .ok_or_else(|| missing("ResourceRelease", &spec.resource_release))?;
        let place = Some(namespace);
        let environment = self.environments.find(place, &spec.environment)?;
        let plane = environment.spec.data_plane_ref.as_ref();
        Ok(ResourceSnapshot {
            release,
            binding,
            resource: all.objects.find(place, &spec.owner.resource_name)?,
            project: self.projects.find(place, &spec.owner.project_name)?,
            environment,
            data_plane: self.data_plane(namespace, plane)?,
            observed: &[],
        })
    }

    /// Cuts the release that every resource has now, gives it to bindings that name none, and moves
    /// the binding of the first environment to it. Others are moved by people.
    pub(super) fn release_resources(&mut self) {
        let resources: Vec<Resource> = self.resources.objects().cloned().collect();
        let bound = self.bound_resources();
        for resource in resources {
            let type_ = self.resources.type_of(&resource);
            let cut = type_.and_then(|type_| {
                release::resource_release(&resource, type_).map_err(|error| error.to_string())
            });
            match cut {
                Ok((name, spec)) => {
                    let releases = &mut self.resources.releases;
                    let kept = releases.entry(resource.namespace().to_owned()).or_default();
                    kept.entry(name.clone()).or_insert(spec);
                    if let Some(bindings) = bound.get(&place_of(&resource)) {
                        self.move_resource(&resource, bindings, &name);
                    }
                }
                Err(message) => {
                    let object = format!("Resource/{}", resource.name());
                    self.fail(Code::Reference, object, message);
                }
            }
        }
    }

    fn move_resource(&mut self, resource: &Resource, bindings: &[Bound], release: &str) {
        let latest = resource.status.latest_release.as_ref();
        // Who moved the binding elsewhere since is obeyed until there is another release.
        let was_bound = latest.is_some_and(|latest| latest.name == release);
        let root = self.pipeline_of_resource(resource);
        let root = root.and_then(DeploymentPipelineSpec::root_environment);
        let first = bindings
            .iter()
            .find(|binding| root == Some(binding.environment.as_str()))
            .filter(|_| !was_bound)
            .map(|binding| binding.name.clone());
        for bound in bindings {
            let is_first = first.as_ref() == Some(&bound.name);
            let binding = self
                .resources
                .bindings
                .get_mut(resource.namespace(), &bound.name);
            let binding = binding.filter(|one| is_first || one.spec.resource_release.is_empty());
            if let Some(binding) = binding {
                release.clone_into(&mut binding.spec.resource_release);
            }
        }
    }

    fn pipeline_of_resource(&self, resource: &Resource) -> Option<&DeploymentPipelineSpec> {
        let project = &resource.spec.owner.project_name;
        let project = self.projects.get(resource.namespace(), project)?;
        self.pipeline(project).ok()
    }

    /// The bindings of every resource.
    fn bound_resources(&self) -> BTreeMap<[String; 3], Vec<Bound>> {
        let mut found: BTreeMap<[String; 3], Vec<Bound>> = BTreeMap::new();
        for binding in self.resource_bindings() {
            let owner = &binding.spec.owner;
            let place = [
                binding.namespace(),
                owner.project_name.as_str(),
                owner.resource_name.as_str(),
            ];
            found
                .entry(place.map(str::to_owned))
                .or_default()
                .push(Bound {
                    name: binding.name().to_owned(),
                    environment: binding.spec.environment.clone(),
                });
        }
        found
    }

    /// Gives every resource a binding in every environment of its project's pipeline that is there.
    pub(super) fn bind_resources(&mut self) {
        let bound = self.bound_resources();
        let mut made = Vec::new();
        for resource in self.resources.objects() {
            let bound = bound
                .get(&place_of(resource))
                .map_or(&[][..], Vec::as_slice);
            let pipeline = self.pipeline_of_resource(resource);
            let environments = pipeline.map(DeploymentPipelineSpec::environments);
            for environment in environments.unwrap_or_default() {
                let there = self.environments.get(resource.namespace(), environment);
                if there.is_some() && !bound.iter().any(|one| one.environment == environment) {
                    made.push(binding(resource, environment));
                }
            }
        }
        for binding in made {
            self.resources.bindings.put(binding);
        }
    }

    /// Lets every resource that renders be ready, as it will be sooner or later, with what can be
    /// known of its outputs before: what only live objects tell stays as it was last told.
    pub(super) fn serve(&mut self) {
        let bindings: Vec<&ResourceReleaseBinding> = self.resource_bindings().collect();
        let outputs = parallel::map(&bindings, Programs::default, |programs, binding| {
            let resource = self.compiled_resource(binding, programs)?;
            let is_sound = !resource.compiled.has_errors();
            is_sound.then(|| known_outputs(&resource, binding))
        });
        let served: Vec<_> = bindings
            .into_iter()
            .cloned()
            .zip(outputs)
            .filter_map(|(binding, outputs)| Some((binding, outputs?)))
            .collect();
        for (mut binding, outputs) in served {
            let mut ready = conditions::yes(types::READY, reasons::READY, "");
            ready.observed_generation = Some(binding.generation());
            let conditions = &mut binding.status.conditions;
            conditions.retain(|condition| condition.type_ != types::READY);
            conditions.push(ready);
            binding.status.outputs = outputs;
            self.resources.bindings.put(binding);
        }
    }

    fn compiled_resource(
        &self,
        binding: &ResourceReleaseBinding,
        programs: &Programs,
    ) -> Option<CompiledResource> {
        let snapshot = self.resource_snapshot(binding).ok()?;
        Some(compile_resource(&snapshot, programs))
    }

    /// The bindings of the resources that a component uses.
    pub(super) fn serving(
        &self,
        binding: &ReleaseBinding,
        release: &ComponentReleaseSpec,
    ) -> Vec<&ResourceReleaseBinding> {
        let namespace = binding.namespace();
        let targets = connections::resource_targets(namespace, &binding.spec, &release.workload);
        if targets.is_empty() {
            return Vec::new();
        }
        self.resource_bindings()
            .filter(|binding| targets.iter().any(|target| serves(binding, target)))
            .collect()
    }
}

/// What `resource` offers by itself, and what `binding` last said of the rest.
fn known_outputs(
    resource: &CompiledResource,
    binding: &ResourceReleaseBinding,
) -> Vec<ResourceOutput> {
    let told = binding.status.outputs.iter();
    let rest = told.filter(|told| resource.unresolved.iter().any(|one| one.name == told.name));
    resource.outputs.iter().chain(rest).cloned().collect()
}

/// A binding of a resource.
struct Bound {
    name: String,
    environment: String,
}

/// Namespace, project and name of a resource.
fn place_of(resource: &Resource) -> [String; 3] {
    let project = resource.spec.owner.project_name.as_str();
    [resource.namespace(), project, resource.name()].map(str::to_owned)
}

fn binding(resource: &Resource, environment: &str) -> ResourceReleaseBinding {
    let spec = ResourceReleaseBindingSpec {
        owner: ResourceOwner {
            project_name: resource.spec.owner.project_name.clone(),
            resource_name: resource.name().to_owned(),
        },
        environment: environment.to_owned(),
        resource_release: String::new(),
        retain_policy: None,
        resource_type_environment_configs: None,
    };
    let name = names::resource_binding(resource.name(), environment);
    Object::new(Some(resource.namespace()), &name, spec)
}
