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
use choreo_model::release::ComponentReleaseSpec;
use choreo_model::resource::{ResourceReleaseBindingSpec, ResourceReleaseSpec, ResourceSpec};
use choreo_model::resource_type::{ResourceOutput, ResourceTypeSpec};
use choreo_model::{Resource, ResourceReleaseBinding, ResourceType};
use serde_json::Value;

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

    /// Cuts the release that every resource has now. Bindings are moved by people only.
    pub(super) fn release_resources(&mut self) {
        let resources: Vec<Resource> = self.resources.objects().cloned().collect();
        for resource in resources {
            let namespace = resource.namespace();
            let type_ = self.resources.type_of(&resource);
            let cut = type_.and_then(|type_| {
                release::resource_release(&resource, type_).map_err(|error| error.to_string())
            });
            match cut {
                Ok((name, spec)) => {
                    let releases = &mut self.resources.releases;
                    let kept = releases.entry(namespace.to_owned()).or_default();
                    kept.entry(name).or_insert(spec);
                }
                Err(message) => {
                    let object = format!("Resource/{}", resource.name());
                    self.fail(Code::Reference, object, message);
                }
            }
        }
    }

    /// Gives bindings that name no release the one that their resource has now.
    pub(super) fn bind_resources(&mut self) {
        let unbound: Vec<ResourceReleaseBinding> = self
            .resource_bindings()
            .filter(|binding| binding.spec.resource_release.is_empty())
            .cloned()
            .collect();
        for mut binding in unbound {
            let name = &binding.spec.owner.resource_name;
            let cut = self
                .resources
                .object(binding.namespace(), name)
                .and_then(|resource| {
                    let type_ = self.resources.type_of(resource).ok()?;
                    release::resource_release(resource, type_).ok()
                });
            if let Some((name, _)) = cut {
                binding.spec.resource_release = name;
                self.resources.bindings.put(binding);
            }
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
