//! A folder's worth of objects, rendered without an API: what the controllers would make of it.
//!
//! Used where nothing runs: to render offline, to compare two states of a platform, and in tests.
//! Everything is found by name, so that a fleet of thousands is rendered in seconds.

mod apis;
mod approvals;
mod bindings;
mod library;
mod references;
mod removal;
mod resources;
mod runs;
mod settle;
mod table;

pub(crate) use bindings::{Bound, Name, Snapshot};
pub use library::{Library, Spot};
pub use removal::ObjectName;

use self::resources::Resources;
use self::runs::Runs;
use self::table::Table;
use crate::connections;
use crate::diagnostic::{Code, Diagnostic};
use crate::external;
use crate::freezer::Freezer;
use crate::groups;
use crate::manifest::is_ours;
use crate::parallel;
use crate::programs::Programs;
use crate::result::Compiled;
use crate::snapshot::{ComponentSnapshot, Lent, ProjectSnapshot, ReleaseBinding};
use choreo_model::api::ApiSpec;
use choreo_model::application::{ComponentSpec, WorkloadSpec};
use choreo_model::component_type::ComponentTypeSpec;
use choreo_model::configuration::ConfigurationGroupSpec;
use choreo_model::external::ExternalConnectionSpec;
use choreo_model::plane::DataPlaneSpec;
use choreo_model::platform::{DeploymentPipelineSpec, EnvironmentSpec};
use choreo_model::project::{
    ProjectReleaseBindingSpec, ProjectReleaseSpec, ProjectSpec, ProjectTypeSpec,
};
use choreo_model::reference::DataPlaneRef;
use choreo_model::release::{
    ComponentRelease, ComponentReleaseSpec, ConnectionTarget, ReleaseBindingSpec,
};
use choreo_model::secret::SecretReferenceSpec;
use choreo_model::shared::{ComponentOwner, Egress};
use choreo_model::track::DeploymentTrackSpec;
use choreo_model::traits::TraitSpec;
use choreo_model::{
    ConfigurationGroup, DataPlane, Environment, ExternalConnection, Object, ProjectReleaseBinding,
    SecretReference, Spec, Workload, labels, names,
};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Specifications by namespace and name.
type Specs<T> = BTreeMap<String, BTreeMap<String, T>>;

/// The objects.
#[derive(Debug, Clone, Default)]
pub struct Fleet {
    components: Table<ComponentSpec>,
    workloads: Table<WorkloadSpec>,
    component_types: Table<ComponentTypeSpec>,
    traits: Table<TraitSpec>,
    projects: Table<ProjectSpec>,
    project_types: Table<ProjectTypeSpec>,
    project_bindings: Table<ProjectReleaseBindingSpec>,
    bindings: Table<ReleaseBindingSpec>,
    tracks: Table<DeploymentTrackSpec>,
    releases: Specs<ComponentReleaseSpec>,
    freezer: Freezer,
    project_releases: Specs<ProjectReleaseSpec>,
    environments: Table<EnvironmentSpec>,
    pipelines: Table<DeploymentPipelineSpec>,
    data_planes: Table<DataPlaneSpec>,
    secret_references: Table<SecretReferenceSpec>,
    configuration_groups: Table<ConfigurationGroupSpec>,
    external_connections: Table<ExternalConnectionSpec>,
    apis: Table<ApiSpec>,
    resources: Resources,
    runs: Runs,
    /// The names of the bindings of a line of a component to an environment.
    places: BTreeMap<Place, BTreeSet<String>>,
    /// The names of the workloads of a line of a component, by namespace, project and line.
    images: BTreeMap<[String; 3], BTreeSet<String>>,
    diagnostics: Vec<Diagnostic>,
    /// Why objects stay that were to go, with their namespaces.
    held: Vec<(String, Diagnostic)>,
}

/// A line of a component in an environment.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Place([String; 4]);

impl Place {
    fn new(namespace: &str, owner: &ComponentOwner, environment: &str) -> Self {
        let of = [
            namespace,
            &owner.project_name,
            &owner.line_id(),
            environment,
        ];
        Self(of.map(str::to_owned))
    }
}

impl From<&ConnectionTarget> for Place {
    fn from(target: &ConnectionTarget) -> Self {
        let of = [
            &target.namespace,
            &target.project,
            &*target.line_id(),
            &target.environment,
        ];
        Self(of.map(str::to_owned))
    }
}

/// One rendered binding, run of a workflow, or API in an environment.
#[derive(Debug, Clone, PartialEq)]
pub struct RenderedBinding {
    /// The namespace of the binding.
    pub namespace: String,
    /// The name of the binding.
    pub name: String,
    /// The name its rendered release has; empty for a run.
    pub release: String,
    /// The environment it is bound to; empty for a run.
    pub environment: String,
    /// The project; empty for a run.
    pub project: String,
    /// The component, for the binding of one.
    pub component: Option<String>,
    /// The deployment track of the component, unless it is its main line.
    pub track: Option<String>,
    /// The managed resource, for the binding of one.
    pub resource: Option<String>,
    /// The run, when it is one.
    pub run: Option<String>,
    /// The API, when it is one in an environment.
    pub api: Option<String>,
    /// What was rendered.
    pub compiled: Compiled,
}

impl Fleet {
    /// Reads manifests. Kinds the compiler does not look at are passed over; what cannot be read is
    /// in [`Fleet::diagnostics`]. An object without a uid gets `uid:Kind/name`.
    pub fn read(manifests: impl IntoIterator<Item = Value>) -> Self {
        let mut fleet = Self::default();
        fleet.apply(manifests);
        fleet
    }

    /// Puts manifests in the place of the objects that have their names. What controllers have said
    /// about an object stays: its identifier, its status and the release it is bound to.
    pub fn apply(&mut self, manifests: impl IntoIterator<Item = Value>) {
        for manifest in manifests {
            self.add(manifest);
        }
    }

    /// What was wrong so far.
    pub fn diagnostics(&self) -> &[Diagnostic] {
        &self.diagnostics
    }

    fn add(&mut self, manifest: Value) {
        if !is_ours(&manifest) {
            return;
        }
        let kind = text(&manifest, "/kind");
        let name = text(&manifest, "/metadata/name");
        let object = format!("{kind}/{name}");
        self.diagnostics
            .retain(|known| known.code != Code::Manifest || known.object != object);
        let read = match kind.as_str() {
            "Component" => put(&mut self.components, manifest),
            "Workload" => read(manifest).map(|workload| self.add_workload(workload)),
            "DeploymentTrack" => put(&mut self.tracks, manifest),
            "ComponentType" | "ClusterComponentType" => put(&mut self.component_types, manifest),
            "Trait" | "ClusterTrait" => put(&mut self.traits, manifest),
            "Project" => put(&mut self.projects, manifest),
            "ProjectType" | "ClusterProjectType" => put(&mut self.project_types, manifest),
            "ProjectReleaseBinding" => read(manifest).map(|binding| self.add_cell(binding)),
            "ReleaseBinding" => read(manifest).map(|binding| self.add_binding(binding)),
            "Environment" => put(&mut self.environments, manifest),
            "DeploymentPipeline" => put(&mut self.pipelines, manifest),
            "DataPlane" | "ClusterDataPlane" => put(&mut self.data_planes, manifest),
            "SecretReference" => put(&mut self.secret_references, manifest),
            "ConfigurationGroup" => put(&mut self.configuration_groups, manifest),
            "ExternalConnection" => put(&mut self.external_connections, manifest),
            "API" => put(&mut self.apis, manifest),
            "ComponentRelease" => read(manifest).map(|release| self.add_release(release)),
            "ProjectRelease" => keep(&mut self.project_releases, manifest),
            "Workflow"
            | "ClusterWorkflow"
            | "WorkflowPlane"
            | "ClusterWorkflowPlane"
            | "WorkflowRun" => self.runs.add(&kind, manifest),
            _ => self.resources.add(&kind, manifest),
        };
        if let Err(message) = read {
            self.fail(Code::Manifest, object, message);
        }
    }

    fn add_workload(&mut self, workload: Workload) {
        let owner = &workload.spec.owner;
        let of = [workload.namespace(), &owner.project_name, &owner.line_id()];
        let names = self.images.entry(of.map(str::to_owned)).or_default();
        names.insert(workload.name().to_owned());
        place(&mut self.workloads, workload);
    }

    fn add_binding(&mut self, mut binding: ReleaseBinding) {
        let (namespace, name) = (binding.namespace(), binding.name().to_owned());
        let at = Place::new(namespace, &binding.spec.owner, &binding.spec.environment);
        if let Some(there) = self.bindings.get(namespace, &name)
            && binding.spec.release_name.is_empty()
        {
            binding
                .spec
                .release_name
                .clone_from(&there.spec.release_name);
        }
        self.places.entry(at).or_default().insert(name);
        place(&mut self.bindings, binding);
    }

    fn add_release(&mut self, mut release: ComponentRelease) {
        self.freezer.share(&mut release.spec);
        let name = release.name().to_owned();
        let kept = self.releases.entry(release.namespace().to_owned());
        kept.or_default().insert(name, release.spec);
    }

    fn add_cell(&mut self, mut binding: ProjectReleaseBinding) {
        let there = self
            .project_bindings
            .get(binding.namespace(), binding.name());
        if let Some(there) = there
            && binding.spec.project_release.is_empty()
        {
            binding
                .spec
                .project_release
                .clone_from(&there.spec.project_release);
        }
        place(&mut self.project_bindings, binding);
    }

    /// Renders every binding that names a release.
    pub fn render(&self) -> Vec<RenderedBinding> {
        let names = self.names();
        let names: Vec<&Name> = names.iter().collect();
        let rendered = parallel::map(&names, Programs::default, |programs, name| {
            let snapshot = self.snapshot(name)?.ok()?;
            Some(snapshot.rendered(snapshot.compile(programs)))
        });
        rendered.into_iter().flatten().collect()
    }

    /// The bindings of components, by namespace and name.
    pub fn bindings(&self) -> impl Iterator<Item = &ReleaseBinding> {
        self.bindings.iter()
    }

    /// The bindings of projects, by namespace and name.
    pub fn project_bindings(&self) -> impl Iterator<Item = &ProjectReleaseBinding> {
        self.project_bindings.iter()
    }

    /// What compiling `binding` needs, or what is missing for it.
    pub fn component_snapshot<'a>(
        &'a self,
        binding: &'a ReleaseBinding,
    ) -> Result<ComponentSnapshot<'a>, String> {
        let namespace = binding.namespace();
        let spec = &binding.spec;
        let release = self.release_of(binding)?;
        let environment = self.environments.find(Some(namespace), &spec.environment)?;
        let owner = &spec.owner;
        let places: BTreeSet<Place> = self.targets(binding).iter().map(Place::from).collect();
        let providers = places.iter().flat_map(|place| self.bound(place));
        let providers: Vec<&ReleaseBinding> = providers.collect();
        Ok(ComponentSnapshot {
            release,
            binding,
            component: self
                .components
                .find(Some(namespace), &owner.component_name)?,
            project: self.projects.find(Some(namespace), &owner.project_name)?,
            environment,
            data_plane: self.data_plane(namespace, environment.spec.data_plane_ref.as_ref())?,
            secret_references: self.secret_references_of(binding, release, environment),
            configuration_groups: self.groups_of(namespace),
            external_connections: self.external_connections_of(owner, environment),
            lent: self.lent(environment, &providers),
            providers,
            resources: self.serving(binding, release),
            project_egress: self.egress_of(namespace, &owner.project_name, &spec.environment),
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
        let environment = self.environments.find(Some(namespace), &spec.environment)?;
        let releases = self.project_releases.get(namespace);
        Ok(ProjectSnapshot {
            release: releases
                .and_then(|releases| releases.get(&spec.project_release))
                .ok_or_else(|| table::missing("ProjectRelease", &spec.project_release))?,
            binding,
            project: self
                .projects
                .find(Some(namespace), &spec.owner.project_name)?,
            environment,
            data_plane: self.data_plane(namespace, environment.spec.data_plane_ref.as_ref())?,
        })
    }

    /// What the type of a project, as its cell has it, says of calls that no connection asks for.
    fn egress_of(&self, namespace: &str, project: &str, environment: &str) -> Option<Egress> {
        let is_cell = |cell: &&ProjectReleaseBinding| {
            cell.namespace() == namespace
                && cell.spec.owner.project_name == project
                && cell.spec.environment == environment
        };
        let usual = names::component_binding(project, environment);
        let cells = &self.project_bindings;
        let cell = cells
            .get(namespace, &usual)
            .filter(is_cell)
            .or_else(|| cells.iter().find(is_cell))?;
        let releases = self.project_releases.get(namespace)?;
        let release = releases.get(&cell.spec.project_release)?;
        release.project_type.spec.egress
    }

    /// The workloads of a line of a component.
    pub(crate) fn workloads_of(&self, namespace: &str, owner: &ComponentOwner) -> Vec<&Workload> {
        let of = [namespace, &owner.project_name, &owner.line_id()].map(str::to_owned);
        let names = self.images.get(&of).into_iter().flatten();
        names
            .filter_map(|name| self.workloads.get(namespace, name))
            .filter(|workload| workload.spec.owner == *owner)
            .collect()
    }

    /// The bindings of a line of a component to an environment.
    fn bound(&self, place: &Place) -> Vec<&ReleaseBinding> {
        let names = self.places.get(place).into_iter().flatten();
        names
            .filter_map(|name| self.bindings.get(&place.0[0], name))
            .filter(|binding| {
                let spec = &binding.spec;
                *place == Place::new(binding.namespace(), &spec.owner, &spec.environment)
            })
            .collect()
    }

    /// Those of `providers` that a preview, `environment`, shares with the one it was made after.
    fn lent<'a>(
        &'a self,
        environment: &Environment,
        providers: &[&'a ReleaseBinding],
    ) -> Vec<Lent<'a>> {
        let base = environment.label(labels::PREVIEW_OF);
        let shared = providers
            .iter()
            .filter(|binding| base == Some(binding.spec.environment.as_str()));
        let lent = shared.filter_map(|binding| {
            let release = self.release_of(binding).ok()?;
            let workload = &release.workload;
            Some(Lent { binding, workload })
        });
        lent.collect()
    }

    /// The endpoints of others that a binding asks for.
    fn targets(&self, binding: &ReleaseBinding) -> Vec<ConnectionTarget> {
        let Ok(release) = self.release_of(binding) else {
            return Vec::new();
        };
        let (namespace, spec) = (binding.namespace(), &binding.spec);
        let environment = self.environments.get(namespace, &spec.environment);
        let base = environment.and_then(|one| one.label(labels::PREVIEW_OF));
        let targets = connections::targets(namespace, spec, &release.workload);
        connections::reach(targets, base)
    }

    fn secret_references_of(
        &self,
        binding: &ReleaseBinding,
        release: &ComponentReleaseSpec,
        environment: &Environment,
    ) -> Vec<&SecretReference> {
        let namespace = binding.namespace();
        let groups = self.groups_of(namespace);
        groups::secrets(release, &binding.spec, &groups, environment)
            .iter()
            .filter_map(|name| self.secret_references.get(namespace, name))
            .collect()
    }

    /// The configuration groups of a namespace.
    pub(crate) fn groups_of(&self, namespace: &str) -> Vec<&ConfigurationGroup> {
        self.configuration_groups.all_in(namespace).collect()
    }

    /// The external connections that a component is given in an environment.
    fn external_connections_of(
        &self,
        owner: &ComponentOwner,
        environment: &Environment,
    ) -> Vec<&ExternalConnection> {
        let all = self.external_connections.all_in(environment.namespace());
        all.filter(|one| external::is_given(one, owner, environment))
            .collect()
    }

    fn data_plane(
        &self,
        namespace: &str,
        reference: Option<&DataPlaneRef>,
    ) -> Result<&DataPlane, String> {
        let planes = &self.data_planes;
        match reference {
            Some(reference) => planes.find(reference.namespace(namespace), &reference.name),
            None => planes
                .find(Some(namespace), "default")
                .or_else(|_| planes.find(None, "default")),
        }
    }

    fn fail(&mut self, code: Code, object: String, message: String) {
        let error = Diagnostic::error(code, object, "", message);
        if !self.diagnostics.contains(&error) {
            self.diagnostics.push(error);
        }
    }
}

/// What stands for the identifier that an API would give.
fn stand_in(kind: &str, name: &str) -> String {
    format!("uid:{kind}/{name}")
}

/// The object that `manifest` is, identified.
fn read<T: Spec>(mut manifest: Value) -> Result<Object<T>, String> {
    let (kind, name) = (text(&manifest, "/kind"), text(&manifest, "/metadata/name"));
    if text(&manifest, "/metadata/uid").is_empty()
        && let Some(metadata) = manifest.get_mut("metadata").and_then(Value::as_object_mut)
    {
        metadata.insert("uid".to_owned(), json!(stand_in(&kind, &name)));
    }
    serde_json::from_value(manifest).map_err(|error| error.to_string())
}

fn put<T: Spec>(table: &mut Table<T>, manifest: Value) -> Result<(), String> {
    place(table, read(manifest)?);
    Ok(())
}

/// Puts `object` in its place, with what was known of it there.
fn place<T: Spec>(table: &mut Table<T>, mut object: Object<T>) {
    if let Some(there) = table.get(object.namespace(), object.name()) {
        object.metadata.uid.clone_from(&there.metadata.uid);
        if object.status == T::Status::default() {
            object.status = there.status.clone();
        }
    }
    table.put(object);
}

fn keep<T: Spec>(specs: &mut Specs<T>, manifest: Value) -> Result<(), String> {
    let object: Object<T> = read(manifest)?;
    let (namespace, name) = (object.namespace().to_owned(), object.name().to_owned());
    specs
        .entry(namespace)
        .or_default()
        .insert(name, object.spec);
    Ok(())
}

fn text(manifest: &Value, pointer: &str) -> String {
    let text = manifest.pointer(pointer).and_then(Value::as_str);
    text.unwrap_or_default().to_owned()
}
