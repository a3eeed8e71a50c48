//! What objects name that is not there. Controllers would wait for it; files can be put right.

use super::Fleet;
use super::settle::of_line;
use super::table::missing;
use crate::diagnostic::{Code, Diagnostic};
use crate::groups;
use crate::release;
use choreo_model::application::{EndpointDependency, Visibility};
use choreo_model::shared::ComponentOwner;
use choreo_model::{
    Component, ConfigurationGroup, DeploymentTrack, Environment, Project, ReleaseBinding, Resource,
    ResourceReleaseBinding, Workload,
};
use choreo_template::nearest;
use std::collections::BTreeSet;

impl Fleet {
    /// Every reference of an object that leads nowhere, with the namespace of the object.
    pub fn missing(&self) -> Vec<(String, Diagnostic)> {
        let mut found = Found::default();
        for project in self.projects.iter() {
            self.project_references(project, &mut found);
        }
        for component in self.components.iter() {
            self.component_references(component, &mut found);
        }
        for track in self.tracks.iter() {
            self.track_references(track, &mut found);
        }
        for workload in self.workloads.iter() {
            self.workload_references(workload, &mut found);
        }
        for group in self.configuration_groups.iter() {
            self.group_references(group, &mut found);
        }
        for connection in self.external_connections.iter() {
            self.connection_references(connection, &mut found);
        }
        for api in self.apis.iter() {
            self.api_references(api, &mut found);
        }
        for binding in self.bindings.iter() {
            self.binding_references(binding, &mut found);
        }
        for resource in self.resources.objects() {
            self.resource_references(resource, &mut found);
        }
        for binding in self.resource_bindings() {
            self.resource_binding_references(binding, &mut found);
        }
        for environment in self.environments.iter() {
            self.environment_references(environment, &mut found);
        }
        for run in self.runs.iter() {
            let object = format!("WorkflowRun/{}", run.name());
            let workflow = self.runs.workflow_of(run);
            let place = (run.namespace(), object.as_str());
            found.note(place, "spec.workflow.name", workflow);
        }
        found.all
    }

    fn project_references(&self, project: &Project, found: &mut Found) {
        let object = format!("Project/{}", project.name());
        let namespace = project.namespace();
        let reference = &project.spec.type_;
        let type_ = self
            .project_types
            .find(reference.namespace(namespace), &reference.name);
        found.note((namespace, &object), "spec.type.name", type_);
        let pipeline = self.pipeline(project);
        let environments = pipeline.as_ref().map(|one| one.environments());
        for environment in environments.unwrap_or_default() {
            let name = &project.spec.deployment_pipeline_ref.name;
            let there = self.environments.find(Some(namespace), environment);
            let object = format!("DeploymentPipeline/{name}");
            found.note((namespace, &object), "spec.promotionPaths", there);
        }
        found.note(
            (namespace, &object),
            "spec.deploymentPipelineRef.name",
            pipeline,
        );
    }

    fn component_references(&self, component: &Component, found: &mut Found) {
        let object = format!("Component/{}", component.name());
        let namespace = component.namespace();
        let owner = &component.spec.owner.project_name;
        let project = self.projects.find(Some(namespace), owner);
        found.note((namespace, &object), "spec.owner.projectName", project);
        let reference = &component.spec.component_type;
        let type_ = self
            .component_types
            .find(reference.namespace(namespace), reference.type_name());
        let references = type_
            .as_ref()
            .map(|type_| release::trait_references(component, type_));
        for reference in references.unwrap_or_default() {
            let own = &component.spec.traits;
            let at = own.iter().position(|own| own.reference == reference);
            let field = at.map_or_else(
                || "spec.componentType".to_owned(),
                |index| format!("spec.traits[{index}].name"),
            );
            let there = self
                .traits
                .find(reference.namespace(namespace), &reference.name);
            found.note((namespace, &object), &field, there);
        }
        if let Ok(type_) = type_ {
            let workflow = self.check_workflow(component, type_);
            found.note((namespace, &object), "spec.workflow.name", workflow);
        }
        found.note((namespace, &object), "spec.componentType.name", type_);
        let line = ComponentOwner::new(owner, component.name(), None);
        let needs = self.workloads_needed(component);
        self.one_workload((namespace, &object), (&line, needs), found);
    }

    fn track_references(&self, track: &DeploymentTrack, found: &mut Found) {
        let object = format!("{}/{}", track.kind(), track.name());
        let (namespace, name) = (track.namespace(), &track.spec.owner.component_name);
        let component = self.components.find(Some(namespace), name);
        let needs = component.as_ref().ok().copied();
        let needs = needs.map(|component| self.workloads_needed(component));
        found.note((namespace, &object), "spec.owner.componentName", component);
        match track.spec.named(track.name()) {
            Err(message) => found.push(
                namespace,
                Diagnostic::error(Code::Reference, object, "metadata.name", message),
            ),
            Ok(line) => {
                if let Some(needs) = needs {
                    self.one_workload((namespace, &object), (&line, needs), found);
                }
            }
        }
    }

    /// How many workloads a line of a component has to have.
    fn workloads_needed(&self, component: &Component) -> usize {
        let reference = &component.spec.component_type;
        let namespace = reference.namespace(component.namespace());
        let type_ = self.component_types.find(namespace, reference.type_name());
        let runs = type_.map_or(true, |type_| type_.spec.workload_type.runs());
        usize::from(runs)
    }

    /// Says when there is not exactly one workload of a line, which `object` declares; what runs nothing `needs`
    /// none.
    fn one_workload(
        &self,
        (namespace, object): (&str, &str),
        (line, needs): (&ComponentOwner, usize),
        found: &mut Found,
    ) {
        let workloads = self.workloads_of(namespace, line).len();
        if !(needs..=1).contains(&workloads) {
            let of = of_line(line);
            let message = format!("there must be one Workload for {of}, found {workloads}");
            found.push(
                namespace,
                Diagnostic::error(Code::Reference, object, "", message),
            );
        }
    }

    fn workload_references(&self, workload: &Workload, found: &mut Found) {
        let object = format!("Workload/{}", workload.name());
        let namespace = workload.namespace();
        let owner = &workload.spec.owner;
        let component = self.components.find(Some(namespace), &owner.component_name);
        found.note((namespace, &object), "spec.owner.componentName", component);
        let dependencies = workload.spec.template.dependencies.iter();
        for (index, dependency) in dependencies.flat_map(|all| &all.endpoints).enumerate() {
            let field = format!("spec.dependencies.endpoints[{index}]");
            if let Some(problem) = self.unreachable((namespace, owner), dependency) {
                found.push(namespace, problem.of(&object, field));
            }
        }
        self.resource_dependencies(workload, &object, found);
        self.unapproved(workload, found);
        let groups = self.groups_of(namespace);
        for problem in groups::missing(&workload.spec.template, &groups) {
            let diagnostic = Diagnostic {
                object: object.clone(),
                ..problem
            };
            found.push(namespace, diagnostic);
        }
    }

    /// Why a component, which belongs to `owner`, does not get at an endpoint that it depends on.
    fn unreachable(
        &self,
        (namespace, owner): (&str, &ComponentOwner),
        dependency: &EndpointDependency,
    ) -> Option<Unreachable> {
        let named = dependency.project.as_ref();
        let project = named
            .filter(|project| !project.is_empty())
            .unwrap_or(&owner.project_name);
        let (component, track) = (&dependency.component, dependency.track.as_deref());
        let line = ComponentOwner::new(project, component, track);
        let called = format!("{project}/{}", line.line_id());
        let Some(provider) = self.workloads_of(namespace, &line).first().copied() else {
            return Some(Unreachable::Missing(match track {
                Some(track) => format!("component {project}/{component} has no track {track:?}"),
                None => format!("component {called} not found"),
            }));
        };
        let name = &dependency.name;
        let Some(endpoint) = provider.spec.template.endpoints.get(name) else {
            let message = format!("component {called} has no endpoint {name:?}");
            return Some(Unreachable::Missing(message));
        };
        let is_let_in =
            *project == owner.project_name || endpoint.visibility.contains(&Visibility::Namespace);
        (!is_let_in).then(|| Unreachable::Shut(format!(
            "endpoint {name:?} of component {called} is not offered to other projects, whose calls its \
             cell refuses"
        )))
    }

    /// The environments that a configuration group has values for. One that is not there does no
    /// harm, but is rarely meant.
    fn group_references(&self, group: &ConfigurationGroup, found: &mut Found) {
        let object = format!("ConfigurationGroup/{}", group.name());
        let namespace = group.namespace();
        for (field, name) in group.spec.environments() {
            let there = self.environments.find(Some(namespace), name);
            let known = self.environments.all_in(namespace).map(Environment::name);
            found.doubtful((namespace, &object), field, (name, there), known);
        }
    }

    fn resource_dependencies(&self, workload: &Workload, object: &str, found: &mut Found) {
        let (namespace, owner) = (workload.namespace(), &workload.spec.owner);
        let dependencies = workload.spec.template.dependencies.iter();
        for (index, dependency) in dependencies.flat_map(|all| &all.resources).enumerate() {
            let name = &dependency.reference;
            let resource = self.resources.object(namespace, name);
            let is_there =
                resource.is_some_and(|one| one.spec.owner.project_name == owner.project_name);
            if !is_there {
                let field = format!("spec.dependencies.resources[{index}].ref");
                let message = format!("resource {}/{name} not found", owner.project_name);
                let warning = Diagnostic::error(Code::Connection, object, field, message);
                found.push(namespace, warning.into_warning());
            }
        }
    }

    fn resource_references(&self, resource: &Resource, found: &mut Found) {
        let object = format!("Resource/{}", resource.name());
        let place = (resource.namespace(), object.as_str());
        let owner = &resource.spec.owner.project_name;
        let project = self.projects.find(Some(resource.namespace()), owner);
        found.note(place, "spec.owner.projectName", project);
        let type_ = self.resources.type_of(resource);
        found.note(place, "spec.type.name", type_);
    }

    fn resource_binding_references(&self, binding: &ResourceReleaseBinding, found: &mut Found) {
        let object = format!("ResourceReleaseBinding/{}", binding.name());
        let namespace = binding.namespace();
        let name = &binding.spec.owner.resource_name;
        let resource = self.resources.object(namespace, name);
        let resource = resource.ok_or_else(|| missing("Resource", name));
        found.note((namespace, &object), "spec.owner.resourceName", resource);
        let environment = &binding.spec.environment;
        let environment = self.environments.find(Some(namespace), environment);
        found.note((namespace, &object), "spec.environment", environment);
    }

    fn binding_references(&self, binding: &ReleaseBinding, found: &mut Found) {
        let object = format!("ReleaseBinding/{}", binding.name());
        let namespace = binding.namespace();
        let owner = &binding.spec.owner;
        let component = self.components.find(Some(namespace), &owner.component_name);
        found.note((namespace, &object), "spec.owner.componentName", component);
        let environment = self
            .environments
            .find(Some(namespace), &binding.spec.environment);
        found.note((namespace, &object), "spec.environment", environment);
    }

    fn environment_references(&self, environment: &Environment, found: &mut Found) {
        let object = format!("Environment/{}", environment.name());
        let reference = environment.spec.data_plane_ref.as_ref();
        let namespace = environment.namespace();
        let plane = self.data_plane(namespace, reference);
        found.note((namespace, &object), "spec.dataPlaneRef", plane);
    }
}

/// What was found so far, each once.
#[derive(Default)]
pub(super) struct Found {
    all: Vec<(String, Diagnostic)>,
    /// Namespace, object, field and message of each.
    seen: BTreeSet<[String; 4]>,
}

impl Found {
    pub(super) fn push(&mut self, namespace: &str, diagnostic: Diagnostic) {
        let one = [
            namespace,
            &diagnostic.object,
            &diagnostic.field,
            &diagnostic.message,
        ];
        if self.seen.insert(one.map(str::to_owned)) {
            self.all.push((namespace.to_owned(), diagnostic));
        }
    }

    pub(super) fn note<T>(&mut self, place: (&str, &str), field: &str, there: Result<T, String>) {
        let (namespace, object) = place;
        if let Err(message) = there {
            self.push(
                namespace,
                Diagnostic::error(Code::Reference, object, field, message),
            );
        }
    }
}

impl Found {
    /// Notes what a field names and is not there, where that does no harm but is rarely meant, with the nearest of
    /// those that are `known`.
    pub(super) fn doubtful<'n, T>(
        &mut self,
        (namespace, object): (&str, &str),
        field: String,
        (name, there): (&str, Result<T, String>),
        known: impl Iterator<Item = &'n str>,
    ) {
        let Err(message) = there else { return };
        let warning = Diagnostic::error(Code::Reference, object, field, message);
        let warning = warning.into_warning();
        let warning = match nearest(name, known) {
            Some(near) => warning.with_hint(format!("did you mean {near:?}?")),
            None => warning,
        };
        self.push(namespace, warning);
    }
}

/// Why an endpoint that is depended on cannot be reached.
enum Unreachable {
    /// It is not there, and may come.
    Missing(String),
    /// It is there, and its cell does not let the caller in.
    Shut(String),
}

impl Unreachable {
    /// The same as a finding about a field of the caller.
    fn of(self, object: &str, field: String) -> Diagnostic {
        match self {
            Self::Missing(message) => {
                Diagnostic::error(Code::Connection, object, field, message).into_warning()
            }
            Self::Shut(message) => Diagnostic::error(Code::Connection, object, field, message)
                .with_hint("give the endpoint the visibility \"namespace\""),
        }
    }
}
