//! A folder's worth of objects, rendered without an API: what the controllers would make of it.
//!
//! Used where nothing runs: to render offline, to compare two states of a platform, and in tests.

use crate::component::compile_component;
use crate::connections;
use crate::diagnostic::{Code, Diagnostic};
use crate::programs::Programs;
use crate::project::compile_project;
use crate::release::{self, AnyTrait};
use crate::result::Compiled;
use crate::snapshot::{ComponentSnapshot, ProjectSnapshot, Provider, ReleaseBinding};
use choreo_model::project::ProjectReleaseSpec;
use choreo_model::reference::{DataPlaneKind, DataPlaneRef};
use choreo_model::release::{ComponentReleaseSpec, ReleaseBindingSpec};
use choreo_model::shared::ComponentOwner;
use choreo_model::{
    Component, ComponentType, DataPlane, DeploymentPipeline, Environment, Object, Project,
    ProjectReleaseBinding, ProjectType, SecretReference, Spec, Workload, names,
};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// How often endpoints are looked at again: they do not depend on connections, so twice is enough.
const ROUNDS: usize = 2;

/// The objects.
#[derive(Debug, Clone, Default)]
pub struct Fleet {
    components: Vec<Component>,
    workloads: Vec<Workload>,
    component_types: Vec<ComponentType>,
    traits: Vec<AnyTrait>,
    projects: Vec<Project>,
    project_types: Vec<ProjectType>,
    project_bindings: Vec<ProjectReleaseBinding>,
    bindings: Vec<ReleaseBinding>,
    releases: BTreeMap<(String, String), ComponentReleaseSpec>,
    project_releases: BTreeMap<(String, String), ProjectReleaseSpec>,
    environments: Vec<Environment>,
    pipelines: Vec<DeploymentPipeline>,
    data_planes: Vec<DataPlane>,
    secret_references: Vec<SecretReference>,
    diagnostics: Vec<Diagnostic>,
    programs: Programs,
}

/// One rendered binding.
#[derive(Debug, Clone, PartialEq)]
pub struct RenderedBinding {
    /// The namespace of the binding.
    pub namespace: String,
    /// The name of the binding.
    pub name: String,
    /// The name its rendered release has.
    pub release: String,
    /// The environment it is bound to.
    pub environment: String,
    /// The project.
    pub project: String,
    /// The component; none for the binding of a project.
    pub component: Option<String>,
    /// What was rendered.
    pub compiled: Compiled,
}

impl Fleet {
    /// Reads manifests. Kinds the compiler does not look at are passed over; what cannot be read is
    /// in [`Fleet::diagnostics`]. An object without a uid gets `uid:Kind/name`.
    pub fn read(manifests: impl IntoIterator<Item = Value>) -> Self {
        let mut fleet = Self::default();
        for manifest in manifests {
            fleet.add(manifest);
        }
        fleet
    }

    /// What was wrong so far.
    pub fn diagnostics(&self) -> &[Diagnostic] {
        &self.diagnostics
    }

    fn add(&mut self, mut manifest: Value) {
        let kind = text(&manifest, "/kind");
        let name = text(&manifest, "/metadata/name");
        if text(&manifest, "/metadata/uid").is_empty()
            && let Some(metadata) = manifest.get_mut("metadata").and_then(Value::as_object_mut)
        {
            metadata.insert("uid".to_owned(), json!(format!("uid:{kind}/{name}")));
        }
        let read = match kind.as_str() {
            "Component" => push(&mut self.components, manifest),
            "Workload" => push(&mut self.workloads, manifest),
            "ComponentType" | "ClusterComponentType" => push(&mut self.component_types, manifest),
            "Trait" | "ClusterTrait" => push(&mut self.traits, manifest),
            "Project" => push(&mut self.projects, manifest),
            "ProjectType" | "ClusterProjectType" => push(&mut self.project_types, manifest),
            "ProjectReleaseBinding" => push(&mut self.project_bindings, manifest),
            "ReleaseBinding" => push(&mut self.bindings, manifest),
            "Environment" => push(&mut self.environments, manifest),
            "DeploymentPipeline" => push(&mut self.pipelines, manifest),
            "DataPlane" | "ClusterDataPlane" => push(&mut self.data_planes, manifest),
            "SecretReference" => push(&mut self.secret_references, manifest),
            "ComponentRelease" => keep(&mut self.releases, manifest),
            "ProjectRelease" => keep(&mut self.project_releases, manifest),
            _ => Ok(()),
        };
        if let Err(message) = read {
            let object = format!("{kind}/{name}");
            self.fail(Code::Manifest, object, message);
        }
    }

    /// Does what controllers do with these objects: cuts releases of components that deploy
    /// themselves and of projects, makes and moves the bindings that follow them, and settles the
    /// addresses that connections need.
    pub fn settle(&mut self) {
        for project in self.projects.clone() {
            self.release_project(&project);
        }
        for component in self.components.clone() {
            if component.spec.auto_deploy
                && let Err(message) = self.deploy(&component)
            {
                let object = format!("Component/{}", component.name());
                self.fail(Code::Reference, object, message);
            }
        }
        for _ in 0..ROUNDS {
            let endpoints: Vec<_> = self
                .bindings
                .iter()
                .map(|binding| {
                    let snapshot = self.component_snapshot(binding).ok();
                    snapshot.map(|snapshot| compile_component(&snapshot, &self.programs).endpoints)
                })
                .collect();
            for (binding, endpoints) in self.bindings.iter_mut().zip(endpoints) {
                binding.status.endpoints = endpoints.unwrap_or_default();
            }
        }
    }

    /// Renders every binding that names a release.
    pub fn render(&self) -> Vec<RenderedBinding> {
        let mut rendered = Vec::new();
        for binding in &self.project_bindings {
            if let Ok(snapshot) = self.project_snapshot(binding) {
                let (project, environment) = (snapshot.project.name(), snapshot.environment.name());
                rendered.push(RenderedBinding {
                    namespace: binding.namespace().to_owned(),
                    name: binding.name().to_owned(),
                    release: names::project_rendered_release(project, environment),
                    environment: environment.to_owned(),
                    project: project.to_owned(),
                    component: None,
                    compiled: compile_project(&snapshot, &self.programs),
                });
            }
        }
        for binding in &self.bindings {
            if let Ok(snapshot) = self.component_snapshot(binding) {
                let (component, environment) =
                    (snapshot.component.name(), snapshot.environment.name());
                rendered.push(RenderedBinding {
                    namespace: binding.namespace().to_owned(),
                    name: binding.name().to_owned(),
                    release: names::component_binding(component, environment),
                    environment: environment.to_owned(),
                    project: snapshot.project.name().to_owned(),
                    component: Some(component.to_owned()),
                    compiled: compile_component(&snapshot, &self.programs),
                });
            }
        }
        rendered
    }

    /// The bindings of components.
    pub fn bindings(&self) -> &[ReleaseBinding] {
        &self.bindings
    }

    /// The bindings of projects.
    pub fn project_bindings(&self) -> &[ProjectReleaseBinding] {
        &self.project_bindings
    }

    /// What compiling `binding` needs, or what is missing for it.
    pub fn component_snapshot<'a>(
        &'a self,
        binding: &'a ReleaseBinding,
    ) -> Result<ComponentSnapshot<'a>, String> {
        let namespace = binding.namespace();
        let spec = &binding.spec;
        let release = key(namespace, &spec.release_name);
        let release = self
            .releases
            .get(&release)
            .ok_or_else(|| missing("ComponentRelease", &spec.release_name))?;
        let environment = find(&self.environments, Some(namespace), &spec.environment)?;
        let targets = connections::targets(namespace, spec, &release.workload);
        let providers = self.bindings.iter().filter(|candidate| {
            candidate.namespace() == namespace
                && targets
                    .iter()
                    .any(|target| connections::provides(&Provider::from(*candidate), target))
        });
        let references = self.secret_references.iter();
        Ok(ComponentSnapshot {
            release,
            binding,
            component: find(
                &self.components,
                Some(namespace),
                &spec.owner.component_name,
            )?,
            project: find(&self.projects, Some(namespace), &spec.owner.project_name)?,
            environment,
            data_plane: self.data_plane(namespace, environment.spec.data_plane_ref.as_ref())?,
            secret_references: references
                .filter(|reference| reference.namespace() == namespace)
                .collect(),
            providers: providers.collect(),
            notification_channel: None,
        })
    }

    /// What compiling `binding` needs, or what is missing for it.
    pub fn project_snapshot<'a>(
        &'a self,
        binding: &'a ProjectReleaseBinding,
    ) -> Result<ProjectSnapshot<'a>, String> {
        let namespace = binding.namespace();
        let spec = &binding.spec;
        let environment = find(&self.environments, Some(namespace), &spec.environment)?;
        Ok(ProjectSnapshot {
            release: self
                .project_releases
                .get(&key(namespace, &spec.project_release))
                .ok_or_else(|| missing("ProjectRelease", &spec.project_release))?,
            binding,
            project: find(&self.projects, Some(namespace), &spec.owner.project_name)?,
            environment,
            data_plane: self.data_plane(namespace, environment.spec.data_plane_ref.as_ref())?,
        })
    }

    fn data_plane(
        &self,
        namespace: &str,
        reference: Option<&DataPlaneRef>,
    ) -> Result<&DataPlane, String> {
        match reference {
            Some(reference) => {
                let local = reference.kind == DataPlaneKind::DataPlane;
                find(
                    &self.data_planes,
                    local.then_some(namespace),
                    &reference.name,
                )
            }
            None => find(&self.data_planes, Some(namespace), "default")
                .or_else(|_| find(&self.data_planes, None, "default")),
        }
    }

    fn release_project(&mut self, project: &Project) {
        let namespace = project.namespace();
        let reference = &project.spec.type_;
        let cut = find(
            &self.project_types,
            reference.namespace(namespace),
            &reference.name,
        )
        .and_then(|type_| {
            release::project_release(project, type_).map_err(|refusal| refusal.to_string())
        });
        let (name, spec) = match cut {
            Ok(cut) => cut,
            Err(message) => {
                let object = format!("Project/{}", project.name());
                return self.fail(Code::Reference, object, message);
            }
        };
        self.project_releases.insert(key(namespace, &name), spec);
        for binding in &mut self.project_bindings {
            if binding.namespace() == namespace
                && binding.spec.owner.project_name == project.name()
                && binding.spec.project_release.is_empty()
            {
                binding.spec.project_release.clone_from(&name);
            }
        }
    }

    fn deploy(&mut self, component: &Component) -> Result<(), String> {
        let namespace = component.namespace();
        let (name, spec) = self.cut(component)?;
        let environment = self.root_environment(component)?;
        let owner = spec.owner.clone();
        self.releases.insert(key(namespace, &name), spec);
        let bound = self.bindings.iter_mut().find(|binding| {
            binding.namespace() == namespace
                && binding.spec.owner == owner
                && binding.spec.environment == environment
        });
        match bound {
            Some(binding) => binding.spec.release_name = name,
            None => self
                .bindings
                .push(binding(namespace, owner, environment, name)),
        }
        Ok(())
    }

    fn cut(&self, component: &Component) -> Result<(String, ComponentReleaseSpec), String> {
        let namespace = component.namespace();
        let reference = &component.spec.component_type;
        let types = &self.component_types;
        let type_ = find(types, reference.namespace(namespace), reference.type_name())?;
        let workloads: Vec<&Workload> = self
            .workloads
            .iter()
            .filter(|workload| {
                workload.namespace() == namespace
                    && workload.spec.owner.project_name == component.spec.owner.project_name
                    && workload.spec.owner.component_name == component.name()
            })
            .collect();
        let [workload] = workloads.as_slice() else {
            let found = workloads.len();
            return Err(format!(
                "there must be one Workload for the component, found {found}"
            ));
        };
        let traits: Vec<&AnyTrait> = self
            .traits
            .iter()
            .filter(|one| matches!(one.namespace(), "") || one.namespace() == namespace)
            .collect();
        release::component_release(component, type_, &traits, workload)
            .map_err(|refusal| refusal.to_string())
    }

    fn root_environment(&self, component: &Component) -> Result<String, String> {
        let namespace = Some(component.namespace());
        let project = find(
            &self.projects,
            namespace,
            &component.spec.owner.project_name,
        )?;
        let pipeline = &project.spec.deployment_pipeline_ref.name;
        let pipeline = find(&self.pipelines, namespace, pipeline)?;
        pipeline
            .spec
            .root_environment()
            .map(str::to_owned)
            .ok_or_else(|| {
                format!(
                    "DeploymentPipeline {:?} has no environments",
                    pipeline.name()
                )
            })
    }

    fn fail(&mut self, code: Code, object: String, message: String) {
        self.diagnostics
            .push(Diagnostic::error(code, object, "", message));
    }
}

fn binding(
    namespace: &str,
    owner: ComponentOwner,
    environment: String,
    release_name: String,
) -> ReleaseBinding {
    let name = names::component_binding(&owner.component_name, &environment);
    let spec = ReleaseBindingSpec {
        owner,
        environment,
        release_name,
        component_type_environment_configs: None,
        trait_environment_configs: BTreeMap::new(),
        workload_overrides: None,
        state: choreo_model::release::BindingState::Active,
    };
    Object::new(Some(namespace), &name, spec)
}

fn push<T: Spec>(objects: &mut Vec<Object<T>>, manifest: Value) -> Result<(), String> {
    objects.push(serde_json::from_value(manifest).map_err(|error| error.to_string())?);
    Ok(())
}

fn keep<T: Spec>(specs: &mut BTreeMap<(String, String), T>, manifest: Value) -> Result<(), String> {
    let object: Object<T> = serde_json::from_value(manifest).map_err(|error| error.to_string())?;
    specs.insert(key(object.namespace(), object.name()), object.spec);
    Ok(())
}

fn find<'o, T: Spec>(
    objects: &'o [Object<T>],
    namespace: Option<&str>,
    name: &str,
) -> Result<&'o Object<T>, String> {
    objects
        .iter()
        .find(|object| object.name() == name && object.metadata.namespace.as_deref() == namespace)
        .ok_or_else(|| match (namespace, T::CLUSTER_KIND) {
            (None, Some(kind)) => missing(kind, name),
            _ => missing(T::KIND, name),
        })
}

fn missing(kind: &str, name: &str) -> String {
    format!("{kind} {name:?} not found")
}

fn key(namespace: &str, name: &str) -> (String, String) {
    (namespace.to_owned(), name.to_owned())
}

fn text(manifest: &Value, pointer: &str) -> String {
    let text = manifest.pointer(pointer).and_then(Value::as_str);
    text.unwrap_or_default().to_owned()
}
