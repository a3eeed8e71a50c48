//! Bindings of every kind by their names: what each needs, what it renders to, where it is.

use super::{Fleet, ObjectName, RenderedBinding, Specs, apis};
use crate::api::{ApiSnapshot, compile_api, explain_api};
use crate::component::{compile_component, explain_component};
use crate::programs::Programs;
use crate::project::{compile_project, explain_project};
use crate::resource::{compile_resource, explain_resource};
use crate::result::Compiled;
use crate::snapshot::{ComponentSnapshot, ProjectSnapshot, ResourceSnapshot, WorkflowSnapshot};
use crate::workflow::{compile_workflow, explain_workflow};
use choreo_model::platform::EnvironmentSpec;
use choreo_model::project::ProjectReleaseSpec;
use choreo_model::release::ComponentReleaseSpec;
use choreo_model::resource::ResourceReleaseSpec;
use choreo_model::{DataPlane, DeploymentPipeline, Environment, Object, Project, Spec, names};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

/// What a binding binds; the cells of projects are needed first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Bound {
    Project,
    Component,
    Resource,
    /// Nothing: what a run does is its own.
    Run,
    /// Nothing: an API is offered where its components are.
    Api,
}

/// The name of a binding.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[expect(
    clippy::struct_field_names,
    reason = "objects have a name, as in manifests"
)]
pub(crate) struct Name {
    pub(crate) of: Bound,
    pub(crate) namespace: String,
    pub(crate) name: String,
}

/// A binding of any kind, and what compiling it needs.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Snapshot<'a> {
    Component(ComponentSnapshot<'a>),
    Project(ProjectSnapshot<'a>),
    Resource(ResourceSnapshot<'a>),
    Run(WorkflowSnapshot<'a>),
    Api(ApiSnapshot<'a>),
}

/// The release that a binding names, if it does, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BoundRelease<'a> {
    pub(crate) release: &'a str,
    pub(crate) environment: &'a str,
}

/// Kind, namespace and name of an object.
type Place<'a> = (&'static str, &'a str, &'a str);

impl Bound {
    /// The kind of what is bound.
    pub(crate) const fn kind(self) -> &'static str {
        match self {
            Self::Project => "Project",
            Self::Resource => "Resource",
            Self::Component => "Component",
            Self::Run => "WorkflowRun",
            Self::Api => "API",
        }
    }

    /// The kind of the binding.
    pub(crate) const fn binding_kind(self) -> &'static str {
        match self {
            Self::Project => "ProjectReleaseBinding",
            Self::Resource => "ResourceReleaseBinding",
            Self::Component => "ReleaseBinding",
            Self::Run => "WorkflowRun",
            Self::Api => "API",
        }
    }
}

impl Name {
    fn of<T: Spec>(of: Bound, binding: &Object<T>) -> Self {
        Self {
            of,
            namespace: binding.namespace().to_owned(),
            name: binding.name().to_owned(),
        }
    }
}

impl RenderedBinding {
    /// What the line of the component is called, for the binding of one.
    pub fn line(&self) -> Option<Cow<'_, str>> {
        let component = self.component.as_deref()?;
        Some(names::line(component, self.track.as_deref()))
    }

    /// The name of the binding that was rendered.
    pub(crate) fn binding(&self) -> Name {
        let of = match (&self.component, &self.resource, &self.run) {
            (Some(_), _, _) => Bound::Component,
            (None, Some(_), _) => Bound::Resource,
            (None, None, Some(_)) => Bound::Run,
            (None, None, None) if self.api.is_some() => Bound::Api,
            (None, None, None) => Bound::Project,
        };
        Name {
            of,
            namespace: self.namespace.clone(),
            name: self.name.clone(),
        }
    }
}

impl Fleet {
    /// The names of all bindings, and of the runs of workflows.
    pub(crate) fn names(&self) -> BTreeSet<Name> {
        let cells = self.project_bindings.iter();
        let cells = cells.map(|binding| Name::of(Bound::Project, binding));
        let resources = self.resource_bindings();
        let resources = resources.map(|binding| Name::of(Bound::Resource, binding));
        let components = self.bindings.iter();
        let components = components.map(|binding| Name::of(Bound::Component, binding));
        let runs = self.runs.iter().map(|run| Name::of(Bound::Run, run));
        cells
            .chain(resources)
            .chain(components)
            .chain(runs)
            .chain(self.offers())
            .collect()
    }

    /// What compiling a binding needs, or what is missing; nothing when there is no such binding.
    pub(crate) fn snapshot(&self, wanted: &Name) -> Option<Result<Snapshot<'_>, String>> {
        let (namespace, name) = (&wanted.namespace, &wanted.name);
        Some(match wanted.of {
            Bound::Project => {
                let binding = self.project_bindings.get(namespace, name)?;
                self.project_snapshot(binding).map(Snapshot::Project)
            }
            Bound::Resource => {
                let binding = self.resources.binding(namespace, name)?;
                self.resource_snapshot(binding).map(Snapshot::Resource)
            }
            Bound::Component => {
                let binding = self.bindings.get(namespace, name)?;
                self.component_snapshot(binding).map(Snapshot::Component)
            }
            Bound::Run => {
                let run = self.runs.run(namespace, name)?;
                self.run_snapshot(run).map(Snapshot::Run)
            }
            Bound::Api => {
                let (api, environment) = self.offered(namespace, name)?;
                self.api_snapshot(api, environment).map(Snapshot::Api)
            }
        })
    }

    /// Whether there is the binding `name`.
    pub(crate) fn has_binding(&self, name: &Name) -> bool {
        let (namespace, binding) = (&name.namespace, &name.name);
        match name.of {
            Bound::Project => self.project_bindings.get(namespace, binding).is_some(),
            Bound::Resource => self.resources.binding(namespace, binding).is_some(),
            Bound::Component => self.bindings.get(namespace, binding).is_some(),
            Bound::Run => self.runs.run(namespace, binding).is_some(),
            Bound::Api => self.offered(namespace, binding).is_some(),
        }
    }

    /// The project and the environment of the binding `name`, and what it binds there.
    pub(crate) fn around(&self, name: &Name) -> Vec<ObjectName> {
        let (namespace, binding) = (&name.namespace, &name.name);
        let found = match name.of {
            Bound::Project => self.project_bindings.get(namespace, binding).map(|one| {
                let spec = &one.spec;
                (&spec.owner.project_name, &spec.environment, None)
            }),
            Bound::Resource => self.resources.binding(namespace, binding).map(|one| {
                let (spec, owner) = (&one.spec, &one.spec.owner);
                let subject = Some(&owner.resource_name);
                (&owner.project_name, &spec.environment, subject)
            }),
            Bound::Component => self.bindings.get(namespace, binding).map(|one| {
                let (spec, owner) = (&one.spec, &one.spec.owner);
                let subject = Some(&owner.component_name);
                (&owner.project_name, &spec.environment, subject)
            }),
            Bound::Run => None,
            Bound::Api => {
                let offered = self.offered(namespace, binding);
                return offered.map_or_else(Vec::new, |(api, environment)| {
                    let project = &api.spec.owner.project_name;
                    let around = [
                        (Bound::Project.kind(), project.as_str()),
                        (EnvironmentSpec::KIND, environment),
                        (Bound::Api.kind(), api.name()),
                    ];
                    let around = around.map(|(kind, name)| ObjectName {
                        kind: kind.to_owned(),
                        namespace: namespace.clone(),
                        name: name.to_owned(),
                    });
                    around.into()
                });
            }
        };
        let Some((project, environment, subject)) = found else {
            return Vec::new();
        };
        let object = |kind: &str, name: &String| ObjectName {
            kind: kind.to_owned(),
            namespace: namespace.clone(),
            name: name.clone(),
        };
        let mut around = vec![
            object(Bound::Project.kind(), project),
            object(EnvironmentSpec::KIND, environment),
        ];
        around.extend(subject.map(|subject| object(name.of.kind(), subject)));
        around
    }

    /// The pipeline of the project called `project`.
    pub(crate) fn pipeline_of(&self, project: &ObjectName) -> Option<&DeploymentPipeline> {
        let namespace = &project.namespace;
        let project = self.projects.get(namespace, &project.name)?;
        let name = &project.spec.deployment_pipeline_ref.name;
        self.pipelines.get(namespace, name)
    }

    /// Whether there is the project, environment, resource or component `object`.
    pub(crate) fn has(&self, object: &ObjectName) -> bool {
        let (namespace, name) = (&object.namespace, &object.name);
        match object.kind.as_str() {
            "Project" => self.projects.get(namespace, name).is_some(),
            "Environment" => self.environments.get(namespace, name).is_some(),
            "Resource" => self.resources.has(namespace, name),
            "API" => self.apis.get(namespace, name).is_some(),
            _ => self.components.get(namespace, name).is_some(),
        }
    }

    /// Kind, namespace and name of every release.
    pub(crate) fn release_names(&self) -> BTreeSet<Place<'_>> {
        let components = places(ComponentReleaseSpec::KIND, &self.releases);
        let projects = places(ProjectReleaseSpec::KIND, &self.project_releases);
        let resources = places(ResourceReleaseSpec::KIND, self.resources.releases());
        components.chain(projects).chain(resources).collect()
    }

    /// Every binding, by kind, namespace and name.
    pub(crate) fn bound_releases(&self) -> BTreeMap<Place<'_>, BoundRelease<'_>> {
        let components = self.bindings.iter().map(|one| {
            let spec = &one.spec;
            (place(one), bound(&spec.release_name, &spec.environment))
        });
        let cells = self.project_bindings.iter().map(|one| {
            let spec = &one.spec;
            (place(one), bound(&spec.project_release, &spec.environment))
        });
        let resources = self.resource_bindings().map(|one| {
            let spec = &one.spec;
            (place(one), bound(&spec.resource_release, &spec.environment))
        });
        components.chain(cells).chain(resources).collect()
    }
}

fn places<'a, T>(kind: &'static str, specs: &'a Specs<T>) -> impl Iterator<Item = Place<'a>> {
    specs.iter().flat_map(move |(namespace, specs)| {
        let names = specs.keys();
        names.map(move |name| (kind, namespace.as_str(), name.as_str()))
    })
}

fn place<T: Spec>(object: &Object<T>) -> Place<'_> {
    (object.kind(), object.namespace(), object.name())
}

const fn bound<'a>(release: &'a str, environment: &'a str) -> BoundRelease<'a> {
    BoundRelease {
        release,
        environment,
    }
}

impl<'a> Snapshot<'a> {
    pub(crate) fn compile(&self, programs: &Programs) -> Compiled {
        match self {
            Self::Component(snapshot) => compile_component(snapshot, programs),
            Self::Project(snapshot) => compile_project(snapshot, programs),
            Self::Resource(snapshot) => compile_resource(snapshot, programs).compiled,
            Self::Run(snapshot) => compile_workflow(snapshot, programs).compiled,
            Self::Api(snapshot) => compile_api(snapshot, programs),
        }
    }

    /// The same, with where every field came from.
    pub(crate) fn explain(&self, programs: &Programs) -> Compiled {
        match self {
            Self::Component(snapshot) => explain_component(snapshot, programs),
            Self::Project(snapshot) => explain_project(snapshot, programs),
            Self::Resource(snapshot) => explain_resource(snapshot, programs).compiled,
            Self::Run(snapshot) => explain_workflow(snapshot, programs).compiled,
            Self::Api(snapshot) => explain_api(snapshot, programs),
        }
    }

    /// The project, the environment and its data plane; a run is in none.
    pub(crate) const fn places(&self) -> Option<(&'a Project, &'a Environment, &'a DataPlane)> {
        Some(match self {
            Self::Component(one) => (one.project, one.environment, one.data_plane),
            Self::Project(one) => (one.project, one.environment, one.data_plane),
            Self::Resource(one) => (one.project, one.environment, one.data_plane),
            Self::Api(one) => (one.project, one.environment, one.data_plane),
            Self::Run(_) => return None,
        })
    }

    /// What is bound: kind, name and identifier.
    pub(crate) fn subject(&self) -> (Bound, &'a str, &'a str) {
        match self {
            Self::Component(one) => {
                let component = one.component;
                (Bound::Component, component.name(), component.uid())
            }
            Self::Project(one) => (Bound::Project, one.project.name(), one.project.uid()),
            Self::Resource(one) => (Bound::Resource, one.resource.name(), one.resource.uid()),
            Self::Run(one) => (Bound::Run, one.run.name(), one.run.uid()),
            Self::Api(one) => (Bound::Api, one.api.name(), one.api.uid()),
        }
    }

    /// The track of the component that is bound, unless it is its main line.
    pub(crate) fn track(&self) -> Option<&'a str> {
        match self {
            Self::Component(one) => one.binding.spec.owner.track_name.as_deref(),
            Self::Project(_) | Self::Resource(_) | Self::Run(_) | Self::Api(_) => None,
        }
    }

    /// `compiled` with the names of what it was made of.
    pub(crate) fn rendered(&self, compiled: Compiled) -> RenderedBinding {
        let places = self.places();
        let names = places.map(|(project, environment, _)| (project.name(), environment.name()));
        let (project, environment) = names.unwrap_or_default();
        let (bound, name, _) = self.subject();
        let track = self.track();
        let release = match bound {
            Bound::Project => names::project_rendered_release(project, environment),
            Bound::Resource => names::resource_name(name, environment),
            Bound::Component => names::component_binding(&names::line(name, track), environment),
            Bound::Run => String::new(),
            Bound::Api => names::api_release(name, environment),
        };
        let (namespace, binding) = self.binding();
        let named = |wanted: Bound| (bound == wanted).then(|| name.to_owned());
        RenderedBinding {
            namespace: namespace.to_owned(),
            name: binding.into_owned(),
            release,
            environment: environment.to_owned(),
            project: project.to_owned(),
            component: named(Bound::Component),
            track: track.map(str::to_owned),
            resource: named(Bound::Resource),
            run: named(Bound::Run),
            api: named(Bound::Api),
            compiled,
        }
    }

    /// Namespace and name of the binding.
    pub(crate) fn binding(&self) -> (&'a str, Cow<'a, str>) {
        let (namespace, name) = match self {
            Self::Component(one) => (one.binding.namespace(), one.binding.name()),
            Self::Project(one) => (one.binding.namespace(), one.binding.name()),
            Self::Resource(one) => (one.binding.namespace(), one.binding.name()),
            Self::Run(one) => (one.run.namespace(), one.run.name()),
            Self::Api(one) => {
                let name = apis::offer(one.api.name(), one.environment.name());
                return (one.api.namespace(), name.into());
            }
        };
        (namespace, name.into())
    }
}
