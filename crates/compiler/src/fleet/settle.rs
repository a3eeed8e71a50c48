//! What controllers make of objects: releases, bindings, addresses.

use super::table::missing;
use super::{Fleet, Place};
use crate::component::compile_component;
use crate::diagnostic::Code;
use crate::freezer::Freezer;
use crate::parallel;
use crate::programs::Programs;
use crate::release;
use crate::snapshot::ReleaseBinding;
use crate::workflow_rules::check_allowed;
use choreo_model::application::LatestComponentRelease;
use choreo_model::platform::DeploymentPipelineSpec;
use choreo_model::project::{ProjectReleaseBindingSpec, ProjectReleaseSpec};
use choreo_model::release::{BindingState, ComponentReleaseSpec, ReleaseBindingSpec};
use choreo_model::shared::{ComponentOwner, ProjectOwner};
use choreo_model::{Component, ComponentType, DeploymentTrack, Object, Project, names};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

/// How often endpoints are looked at again: they do not depend on connections, so twice is enough.
const ROUNDS: usize = 2;

/// A line of a component.
struct Line {
    component: Component,
    owner: ComponentOwner,
    /// The track, unless it is the main line.
    track: Option<DeploymentTrack>,
}

impl Line {
    /// `Kind/name` of what it is declared by.
    fn object(&self) -> String {
        match &self.track {
            Some(track) => format!("{}/{}", track.kind(), track.name()),
            None => format!("{}/{}", self.component.kind(), self.component.name()),
        }
    }

    fn auto_deploys(&self) -> bool {
        let own = self.track.as_ref().and_then(|track| track.spec.auto_deploy);
        own.unwrap_or(self.component.spec.auto_deploy)
    }

    /// The release it made last.
    fn latest(&self) -> Option<&LatestComponentRelease> {
        match &self.track {
            Some(track) => track.status.latest_release.as_ref(),
            None => self.component.status.latest_release.as_ref(),
        }
    }
}

/// A release, and its name.
type Cut<T> = Result<(String, T), String>;

impl Fleet {
    /// Does what controllers do with these objects: cuts releases of components that deploy
    /// themselves, of projects and of resources, makes and moves the bindings that follow them, and
    /// settles the addresses that connections need.
    pub fn settle(&mut self) {
        // What was wrong with an earlier state need not be wrong with this one.
        self.diagnostics.retain(|one| one.code == Code::Manifest);
        self.release_projects();
        self.release_resources();
        self.release_components();
        self.serve();
        self.address();
    }

    /// Gives every project a cell in every environment of its pipeline that is there, and every
    /// resource a binding, as their controllers do. To be called before [`Fleet::settle`].
    pub fn bind_cells(&mut self) {
        self.bind_resources();
        let mut cells = Vec::new();
        for project in self.projects.iter() {
            let Ok(pipeline) = self.pipeline(project) else {
                continue;
            };
            let bound: BTreeSet<&str> = self
                .project_bindings
                .iter()
                .filter(|binding| {
                    binding.namespace() == project.namespace()
                        && binding.spec.owner.project_name == project.name()
                })
                .map(|binding| binding.spec.environment.as_str())
                .collect();
            for environment in pipeline.environments() {
                if !bound.contains(environment)
                    && self
                        .environments
                        .get(project.namespace(), environment)
                        .is_some()
                {
                    cells.push(cell(project, environment));
                }
            }
        }
        for cell in cells {
            self.project_bindings.put(cell);
        }
    }

    /// Binds the present release of every line of a component to every environment of its pipeline, as if it
    /// had been promoted there. To be called before [`Fleet::settle`].
    pub fn bind_everywhere(&mut self) {
        for (line, cut) in self.cuts(|_| true) {
            let Ok((name, spec)) = cut else { continue };
            let environments = self.environments_of(&line.component);
            let namespace = line.component.namespace();
            self.keep_release(namespace, &name, spec);
            for environment in environments {
                self.bind(namespace, &line.owner, &environment, &name);
            }
        }
    }

    /// The specification of a project's pipeline.
    pub(super) fn pipeline(&self, project: &Project) -> Result<&DeploymentPipelineSpec, String> {
        let name = &project.spec.deployment_pipeline_ref.name;
        let found = self.pipelines.find(Some(project.namespace()), name);
        found.map(|pipeline| &pipeline.spec)
    }

    fn environments_of(&self, component: &Component) -> Vec<String> {
        let project = &component.spec.owner.project_name;
        let pipeline = self
            .projects
            .find(Some(component.namespace()), project)
            .and_then(|project| self.pipeline(project));
        let names = pipeline.map(DeploymentPipelineSpec::environments);
        let there = names.unwrap_or_default().into_iter().filter(|name| {
            let found = self.environments.get(component.namespace(), name);
            found.is_some()
        });
        there.map(str::to_owned).collect()
    }

    fn release_projects(&mut self) {
        let cut: Vec<_> = self
            .projects
            .iter()
            .map(|project| {
                let place = (project.namespace().to_owned(), project.name().to_owned());
                (place, self.cut_project(project))
            })
            .collect();
        let mut current = BTreeMap::new();
        for ((namespace, project), cut) in cut {
            match cut {
                Err(message) => {
                    self.fail(Code::Reference, format!("Project/{project}"), message);
                }
                Ok((name, spec)) => {
                    let kept = self.project_releases.entry(namespace.clone()).or_default();
                    kept.entry(name.clone()).or_insert(spec);
                    current.insert((namespace, project), name);
                }
            }
        }
        let unbound: Vec<_> = self
            .project_bindings
            .iter()
            .filter(|binding| binding.spec.project_release.is_empty())
            .cloned()
            .collect();
        for mut binding in unbound {
            let project = binding.spec.owner.project_name.clone();
            let place = (binding.namespace().to_owned(), project);
            if let Some(release) = current.get(&place) {
                binding.spec.project_release.clone_from(release);
                self.project_bindings.put(binding);
            }
        }
    }

    fn cut_project(&self, project: &Project) -> Cut<ProjectReleaseSpec> {
        let reference = &project.spec.type_;
        let namespace = reference.namespace(project.namespace());
        let type_ = self.project_types.find(namespace, &reference.name)?;
        release::project_release(project, type_).map_err(|refusal| refusal.to_string())
    }

    fn release_components(&mut self) {
        for (line, cut) in self.cuts(Line::auto_deploys) {
            let environment = cut
                .as_ref()
                .map_err(Clone::clone)
                .and_then(|_| self.root_environment(&line.component));
            match (cut, environment) {
                (Err(message), _) | (_, Err(message)) => {
                    self.fail(Code::Reference, line.object(), message);
                }
                (Ok((name, spec)), Ok(environment)) => {
                    self.deploy(&line, &environment, &name, spec);
                }
            }
        }
    }

    /// The release of every line that `wanted` picks, as it is now.
    fn cuts(&self, wanted: impl Fn(&Line) -> bool) -> Vec<(Line, Cut<ComponentReleaseSpec>)> {
        let mut lines = self.lines();
        lines.retain(wanted);
        let freezer = || RefCell::new(self.freezer.clone());
        let cuts = parallel::map(&lines, freezer, |freezer, line| {
            self.cut(line, &mut freezer.borrow_mut())
        });
        lines.into_iter().zip(cuts).collect()
    }

    /// The main line of every component, then the tracks of those that are there.
    fn lines(&self) -> Vec<Line> {
        let main = self.components.iter().map(|component| Line {
            component: component.clone(),
            owner: ComponentOwner::new(&component.spec.owner.project_name, component.name(), None),
            track: None,
        });
        let tracks = self.tracks.iter().filter_map(|track| {
            let owner = track.spec.named(track.name()).ok()?;
            let component = self
                .components
                .get(track.namespace(), &owner.component_name)
                .filter(|one| one.spec.owner.project_name == owner.project_name)?;
            Some(Line {
                component: component.clone(),
                owner,
                track: Some(track.clone()),
            })
        });
        main.chain(tracks).collect()
    }

    /// Whether the workflow that builds the component, if any does, is there and may.
    pub(super) fn check_workflow(
        &self,
        component: &Component,
        type_: &ComponentType,
    ) -> Result<(), String> {
        let Some(workflow) = &component.spec.workflow else {
            return Ok(());
        };
        let reference = &workflow.reference;
        check_allowed(reference, type_).map_err(|refusal| refusal.to_string())?;
        let found = self.runs.workflow(reference, component.namespace());
        found.map(|_| ())
    }

    /// The line as it is now, frozen.
    fn cut(&self, line: &Line, freezer: &mut Freezer) -> Cut<ComponentReleaseSpec> {
        let component = &line.component;
        let namespace = component.namespace();
        let reference = &component.spec.component_type;
        let type_ = self
            .component_types
            .find(reference.namespace(namespace), reference.type_name())?;
        self.check_workflow(component, type_)?;
        let workloads = self.workloads_of(namespace, &line.owner);
        let none;
        let workload = match workloads.as_slice() {
            [workload] => *workload,
            [] if !type_.spec.workload_type.runs() => {
                none = release::no_workload(component, &line.owner);
                &none
            }
            found => {
                return Err(format!(
                    "there must be one Workload for {}, found {}",
                    of_line(&line.owner),
                    found.len()
                ));
            }
        };
        let references = release::trait_references(component, type_);
        let traits: Vec<_> = references
            .iter()
            .filter_map(|reference| {
                let namespace = reference.namespace(namespace).unwrap_or_default();
                self.traits.get(namespace, &reference.name)
            })
            .collect();
        release::frozen_release((component, workload), type_, &traits, freezer)
            .map_err(|refusal| refusal.to_string())
    }

    fn root_environment(&self, component: &Component) -> Result<String, String> {
        let project = &component.spec.owner.project_name;
        let project = self.projects.find(Some(component.namespace()), project)?;
        let pipeline = self.pipeline(project)?;
        pipeline
            .root_environment()
            .map(str::to_owned)
            .ok_or_else(|| {
                let name = &project.spec.deployment_pipeline_ref.name;
                format!("DeploymentPipeline {name:?} has no environments")
            })
    }

    fn deploy(&mut self, line: &Line, environment: &str, name: &str, spec: ComponentReleaseSpec) {
        let (namespace, owner) = (line.component.namespace(), &line.owner);
        self.keep_release(namespace, name, spec);
        let was_bound = line.latest().is_some_and(|latest| latest.name == name);
        let place = Place::new(namespace, owner, environment);
        let bound = self
            .bound(&place)
            .first()
            .is_some_and(|binding| !binding.spec.release_name.is_empty());
        // Who moved the binding elsewhere since is obeyed until there is another release.
        if !(was_bound && bound) {
            self.bind(namespace, owner, environment, name);
        }
    }

    fn keep_release(&mut self, namespace: &str, name: &str, mut spec: ComponentReleaseSpec) {
        self.freezer.share(&mut spec);
        let kept = self.releases.entry(namespace.to_owned()).or_default();
        kept.entry(name.to_owned()).or_insert(spec);
    }

    /// Moves the binding of a line to a release, making it when there is none.
    fn bind(&mut self, namespace: &str, owner: &ComponentOwner, environment: &str, release: &str) {
        let place = Place::new(namespace, owner, environment);
        let name = self
            .bound(&place)
            .first()
            .map(|binding| binding.name().to_owned());
        match name.and_then(|name| self.bindings.get_mut(namespace, &name)) {
            Some(binding) => release.clone_into(&mut binding.spec.release_name),
            None => self.add_binding(binding(namespace, owner, environment, release)),
        }
    }

    /// Renders what others have connections to, for its addresses.
    fn address(&mut self) {
        let mut wanted = BTreeSet::new();
        for binding in self.bindings.iter() {
            for target in self.targets(binding) {
                for provider in self.bound(&Place::from(&target)) {
                    let namespace = provider.namespace().to_owned();
                    wanted.insert((namespace, provider.name().to_owned()));
                }
            }
        }
        for provider in self.providers_of_apis() {
            let namespace = provider.namespace().to_owned();
            wanted.insert((namespace, provider.name().to_owned()));
        }
        for _ in 0..ROUNDS {
            let providers: Vec<&ReleaseBinding> = wanted
                .iter()
                .filter_map(|(namespace, name)| self.bindings.get(namespace, name))
                .collect();
            let endpoints = parallel::map(&providers, Programs::default, |programs, binding| {
                let snapshot = self.component_snapshot(binding).ok()?;
                Some(compile_component(&snapshot, programs).endpoints)
            });
            let mut changed = false;
            for ((namespace, name), endpoints) in wanted.iter().zip(endpoints) {
                if let Some(binding) = self.bindings.get_mut(namespace, name) {
                    let endpoints = endpoints.unwrap_or_default();
                    changed |= binding.status.endpoints != endpoints;
                    binding.status.endpoints = endpoints;
                }
            }
            if !changed {
                break;
            }
        }
    }

    /// The release that a binding names, or what is missing.
    pub(super) fn release_of(
        &self,
        binding: &ReleaseBinding,
    ) -> Result<&ComponentReleaseSpec, String> {
        let name = &binding.spec.release_name;
        self.releases
            .get(binding.namespace())
            .and_then(|releases| releases.get(name))
            .ok_or_else(|| missing("ComponentRelease", name))
    }
}

/// What a workload is of, for a message.
pub(super) fn of_line(owner: &ComponentOwner) -> String {
    match &owner.track_name {
        Some(track) => format!("track {track:?} of the component"),
        None => "the component".to_owned(),
    }
}

fn cell(project: &Project, environment: &str) -> Object<ProjectReleaseBindingSpec> {
    let spec = ProjectReleaseBindingSpec {
        owner: ProjectOwner {
            project_name: project.name().to_owned(),
        },
        environment: environment.to_owned(),
        project_release: String::new(),
        environment_configs: None,
    };
    let name = names::component_binding(project.name(), environment);
    Object::new(Some(project.namespace()), &name, spec)
}

fn binding(
    namespace: &str,
    owner: &ComponentOwner,
    environment: &str,
    release: &str,
) -> ReleaseBinding {
    let name = names::component_binding(&owner.line(), environment);
    let spec = ReleaseBindingSpec {
        owner: owner.clone(),
        environment: environment.to_owned(),
        release_name: release.to_owned(),
        component_type_environment_configs: None,
        trait_environment_configs: BTreeMap::new(),
        workload_overrides: None,
        state: BindingState::Active,
    };
    Object::new(Some(namespace), &name, spec)
}
