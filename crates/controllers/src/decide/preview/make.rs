//! What a preview is made of: an environment, a cell, and bindings of components and resources.
//!
//! What is copied is copied once. What happens in the environment it was copied from afterwards
//! does not reach the preview; what its own specification says does.

use std::collections::{BTreeMap, BTreeSet};

use choreo_compiler::release::with_image;
use choreo_model::application::ComponentSpec;
use choreo_model::conditions::{self, reasons, types};
use choreo_model::platform::EnvironmentSpec;
use choreo_model::preview::{PreviewComponent, PreviewUrl, Rest};
use choreo_model::project::{ProjectReleaseBindingSpec, ProjectSpec};
use choreo_model::release::{ComponentReleaseSpec, GatewayUrls, ReleaseBindingSpec};
use choreo_model::resource::ResourceReleaseBindingSpec;
use choreo_model::resource_type::RetainPolicy;
use choreo_model::{
    Environment, Object, PreviewEnvironment, ReleaseBinding, ResourceReleaseBinding, Spec, labels,
    names,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use serde_json::{Value, json};

use super::super::line::{self, Line};
use super::super::{Context, Obstacle, apply, delete_all, metadata, rendering};
use super::is_own;
use crate::decision::Write;
use crate::key::By;
use crate::tables::Kept;

/// What to write, what the preview waits for, and where it is reached.
#[derive(Default)]
pub(super) struct Plan {
    pub(super) writes: Vec<Write>,
    pub(super) waits: Vec<String>,
    pub(super) urls: Vec<PreviewUrl>,
}

pub(super) fn plan(context: &Context<'_>, preview: &PreviewEnvironment) -> Result<Plan, Obstacle> {
    let maker = Maker::new(context, preview)?;
    let mut plan = Plan::default();
    maker.environment(&mut plan)?;
    maker.cell(&mut plan)?;
    let workloads = maker.components(&mut plan)?;
    maker.resources(&workloads, &mut plan);
    Ok(plan)
}

struct Maker<'c, 'a> {
    context: &'c Context<'a>,
    preview: &'c PreviewEnvironment,
    base: &'a Environment,
    /// The bindings of the project's components where the preview is copied from.
    copied: Vec<&'a ReleaseBinding>,
    /// Those in the preview.
    own: Vec<&'a ReleaseBinding>,
}

impl<'c, 'a> Maker<'c, 'a> {
    fn new(context: &'c Context<'a>, preview: &'c PreviewEnvironment) -> Result<Self, Obstacle> {
        let (namespace, spec) = (context.namespace(), &preview.spec);
        let (project, from) = (&spec.project_name, &spec.from);
        context.find::<ProjectSpec>(namespace, project, reasons::PROJECT_NOT_FOUND)?;
        let base = rendering::environment(context, from)?;
        if base.label(labels::PREVIEW_OF).is_some() {
            let message = format!("Environment \"{from}\" is a preview itself, and is not copied");
            return Err(Obstacle::new(reasons::INVALID_CONFIGURATION, message));
        }
        let bindings = |environment: &str| {
            let mut all = context.view.members_with_status::<ReleaseBindingSpec>(
                By::Environment,
                &[namespace, environment],
            );
            all.retain(|one| {
                // Tracks stand beside what a preview copies.
                let owner = &one.spec.owner;
                owner.project_name == *project && owner.track_name.is_none()
            });
            all
        };
        Ok(Self {
            context,
            preview,
            base,
            copied: bindings(from),
            own: bindings(preview.name()),
        })
    }

    fn namespace(&self) -> &'c str {
        self.context.namespace()
    }

    fn project(&self) -> &'c str {
        &self.preview.spec.project_name
    }

    /// Metadata of something of the preview, with `labels` besides its own.
    fn metadata(&self, name: &str, labels: &[(&str, &str)]) -> Value {
        let own = [
            (labels::PREVIEW, self.preview.name()),
            (labels::PROJECT, self.project()),
        ];
        metadata(self.namespace(), name, &[&own, labels].concat())
    }

    /// The environment: the same plane and gateways, with hosts of its own, since its name is in
    /// them. No pipeline names it.
    fn environment(&self, plan: &mut Plan) -> Result<(), Obstacle> {
        let name = self.preview.name();
        let there = self
            .context
            .view
            .get_with_status::<EnvironmentSpec>(self.namespace(), name);
        if let Some(there) = there {
            if !is_own(there, self.preview) {
                let message = format!(
                    "there is an Environment \"{name}\" already; give the preview another name"
                );
                return Err(Obstacle::new(reasons::ENVIRONMENT_TAKEN, message));
            }
            return waiting(there, &there.status.conditions, plan);
        }
        let mut metadata = self.metadata(name, &[(labels::PREVIEW_OF, self.base.name())]);
        metadata["ownerReferences"] = json!([{
            "apiVersion": choreo_model::API_VERSION,
            "kind": self.preview.kind(),
            "name": name,
            "uid": self.preview.uid(),
            "controller": true,
        }]);
        let spec = EnvironmentSpec {
            is_production: false,
            ..self.base.spec.clone()
        };
        plan.writes
            .extend(apply(EnvironmentSpec::KIND, metadata, &spec));
        plan.waits.push(format!("Environment \"{name}\""));
        Ok(())
    }

    fn cell(&self, plan: &mut Plan) -> Result<(), Obstacle> {
        let of = [self.namespace(), self.project()];
        let cells = self
            .context
            .view
            .members_with_status::<ProjectReleaseBindingSpec>(By::Project, &of);
        let of_environment = |name: &str| cells.iter().find(|one| one.spec.environment == name);
        let environment = self.preview.name();
        if let Some(there) = of_environment(environment) {
            return waiting(*there, &there.status.conditions, plan);
        }
        let copied = of_environment(&self.preview.spec.from);
        let copied = copied.filter(|one| !one.spec.project_release.is_empty());
        let copied = copied.ok_or_else(|| {
            let (project, from) = (self.project(), &self.preview.spec.from);
            let message = format!("project \"{project}\" has no release in \"{from}\"");
            Obstacle::new(reasons::PROJECT_RELEASE_NOT_SET, message)
        })?;
        let spec = ProjectReleaseBindingSpec {
            environment: environment.to_owned(),
            ..copied.spec.clone()
        };
        let name = names::component_binding(self.project(), environment);
        let metadata = self.metadata(&name, &[(labels::ENVIRONMENT, environment)]);
        plan.writes
            .extend(apply(ProjectReleaseBindingSpec::KIND, metadata, &spec));
        plan.waits.push(format!("ProjectReleaseBinding \"{name}\""));
        Ok(())
    }

    /// Binds the components; returns the resources that their workloads use.
    fn components(&self, plan: &mut Plan) -> Result<BTreeSet<String>, Obstacle> {
        let mut wanted: BTreeMap<&str, Option<&PreviewComponent>> = BTreeMap::new();
        if self.preview.spec.rest == Rest::Copied {
            let released = self.copied.iter();
            let released = released.filter(|one| !one.spec.release_name.is_empty());
            wanted.extend(released.map(|one| (one.spec.owner.component_name.as_str(), None)));
        }
        let named = self.preview.spec.components.iter();
        wanted.extend(named.map(|one| (one.name.as_str(), Some(one))));
        let mut resources = BTreeSet::new();
        for (component, asked) in &wanted {
            let release = self.release(component, *asked, plan)?;
            resources.extend(release.resources);
            self.bind(component, &release.name, plan)?;
        }
        let unwanted = self
            .own
            .iter()
            .filter(|one| !wanted.contains_key(one.spec.owner.component_name.as_str()));
        plan.writes.extend(delete_all(unwanted.copied()));
        Ok(resources)
    }

    /// The release that a component has in the preview, made if it is to have another image.
    fn release(
        &self,
        component: &str,
        asked: Option<&PreviewComponent>,
        plan: &mut Plan,
    ) -> Result<Wanted, Obstacle> {
        let present = binding_of(&self.own, component).and_then(|one| self.released(one));
        let copied = binding_of(&self.copied, component).and_then(|one| self.released(one));
        let named = asked.and_then(|asked| asked.release.as_deref());
        if let Some(name) = named {
            let release = self.context.find::<ComponentReleaseSpec>(
                self.namespace(),
                name,
                reasons::COMPONENT_RELEASE_NOT_FOUND,
            )?;
            return Ok(Wanted::of(name, &release.spec));
        }
        let Some(image) = asked.and_then(|asked| asked.image.as_deref()) else {
            let (name, spec) = present.or(copied).ok_or_else(|| {
                let from = &self.preview.spec.from;
                let message = format!(
                    "component \"{component}\" has no release in \"{from}\"; name an image or a \
                     release"
                );
                Obstacle::new(reasons::COMPONENT_RELEASE_NOT_SET, message)
            })?;
            return Ok(Wanted::of(name, spec));
        };
        let has_it = |(_, spec): &(&str, &ComponentReleaseSpec)| {
            spec.workload.container.image.as_str() == image
        };
        if let Some((name, spec)) = present.filter(has_it) {
            return Ok(Wanted::of(name, spec));
        }
        let frozen = match copied {
            Some((_, spec)) => spec.clone(),
            None => self.frozen(component)?,
        };
        self.with_image(&frozen, image, plan)
    }

    fn with_image(
        &self,
        frozen: &ComponentReleaseSpec,
        image: &str,
        plan: &mut Plan,
    ) -> Result<Wanted, Obstacle> {
        let (name, spec) = with_image(frozen, image).map_err(|refusal| {
            Obstacle::new(reasons::INVALID_CONFIGURATION, refusal.to_string())
        })?;
        let there = self
            .context
            .view
            .get::<ComponentReleaseSpec>(self.namespace(), &name);
        if there.is_none() {
            let component = &spec.owner.component_name;
            let metadata = self.metadata(&name, &[(labels::COMPONENT, component)]);
            plan.writes
                .extend(apply(ComponentReleaseSpec::KIND, metadata, &spec));
        }
        Ok(Wanted::of(&name, &spec))
    }

    /// The component as it is now, for one that was never deployed where the preview comes from.
    fn frozen(&self, component: &str) -> Result<ComponentReleaseSpec, Obstacle> {
        let found = self.component(component)?;
        let release = line::release(self.context, &Line::main(found))?;
        let spec = release.object["spec"].clone();
        serde_json::from_value(spec)
            .map_err(|error| Obstacle::new(reasons::INVALID_CONFIGURATION, error.to_string()))
    }

    fn component(&self, name: &str) -> Result<&'a choreo_model::Component, Obstacle> {
        let found = self.context.find::<ComponentSpec>(
            self.namespace(),
            name,
            reasons::COMPONENT_NOT_FOUND,
        )?;
        let (of, project) = (&found.spec.owner.project_name, self.project());
        if of == project {
            return Ok(found);
        }
        let message = format!("component \"{name}\" is of project \"{of}\", not of \"{project}\"");
        Err(Obstacle::new(reasons::INVALID_CONFIGURATION, message))
    }

    /// The release that a binding names.
    fn released(&self, binding: &'a ReleaseBinding) -> Option<(&'a str, &'a ComponentReleaseSpec)> {
        let name = binding.spec.release_name.as_str();
        let view = self.context.view;
        let release = view.get::<ComponentReleaseSpec>(self.namespace(), name)?;
        Some((name, &release.spec))
    }

    /// Gives a component its release in the preview, with what differs where it is copied from.
    fn bind(&self, component: &str, release: &str, plan: &mut Plan) -> Result<(), Obstacle> {
        self.component(component)?;
        let environment = self.preview.name();
        let present = binding_of(&self.own, component);
        if let Some(present) = present
            && present.spec.release_name == release
        {
            plan.urls.extend(urls(present));
            return waiting(present, &present.status.conditions, plan);
        }
        let like = present.or_else(|| binding_of(&self.copied, component));
        let mut spec = like.map_or_else(
            || json!({"owner": {"projectName": self.project(), "componentName": component}}),
            |like| json!(like.spec),
        );
        spec["environment"] = json!(environment);
        spec["releaseName"] = json!(release);
        spec["state"] = json!("Active");
        let name = present.map_or_else(
            || names::component_binding(component, environment),
            |present| present.name().to_owned(),
        );
        let labels = [
            (labels::COMPONENT, component),
            (labels::ENVIRONMENT, environment),
        ];
        let metadata = self.metadata(&name, &labels);
        plan.writes
            .extend(apply(ReleaseBindingSpec::KIND, metadata, &spec));
        plan.waits.push(format!("ReleaseBinding \"{name}\""));
        Ok(())
    }

    /// Copies of resources: their objects are of a cell, so that a preview needs its own. With it
    /// goes what is in them.
    fn resources(&self, used: &BTreeSet<String>, plan: &mut Plan) {
        let of = |environment: &str| {
            let of = [self.namespace(), self.project(), environment];
            let view = self.context.view;
            view.members_with_status::<ResourceReleaseBindingSpec>(By::ProjectEnvironment, &of)
        };
        let environment = self.preview.name();
        let present: Vec<&ResourceReleaseBinding> = of(environment);
        for copied in of(&self.preview.spec.from) {
            let resource = &copied.spec.owner.resource_name;
            let is_wanted = self.preview.spec.rest == Rest::Copied || used.contains(resource);
            let is_there = present
                .iter()
                .any(|one| one.spec.owner.resource_name == *resource);
            if !is_wanted || is_there || copied.spec.resource_release.is_empty() {
                continue;
            }
            let spec = ResourceReleaseBindingSpec {
                environment: environment.to_owned(),
                retain_policy: Some(RetainPolicy::Delete),
                ..copied.spec.clone()
            };
            let name = names::resource_binding(resource, environment);
            let labels = [
                (labels::RESOURCE, resource.as_str()),
                (labels::ENVIRONMENT, environment),
            ];
            let metadata = self.metadata(&name, &labels);
            plan.writes
                .extend(apply(ResourceReleaseBindingSpec::KIND, metadata, &spec));
        }
    }
}

/// A release, and the resources that its workload uses.
struct Wanted {
    name: String,
    resources: Vec<String>,
}

impl Wanted {
    fn of(name: &str, spec: &ComponentReleaseSpec) -> Self {
        let dependencies = spec.workload.dependencies.iter();
        let resources = dependencies.flat_map(|all| &all.resources);
        Self {
            name: name.to_owned(),
            resources: resources.map(|one| one.reference.clone()).collect(),
        }
    }
}

fn binding_of<'a>(bindings: &[&'a ReleaseBinding], component: &str) -> Option<&'a ReleaseBinding> {
    let mut bindings = bindings.iter();
    let found = bindings.find(|one| one.spec.owner.component_name == component);
    found.copied()
}

/// Notes what an object of the preview waits for. One that is on its way out is made again when it
/// is gone.
fn waiting<T: Kept>(
    object: &Object<T>,
    conditions: &[Condition],
    plan: &mut Plan,
) -> Result<(), Obstacle> {
    let title = format!("{} \"{}\"", object.kind(), object.name());
    if object.is_deleting() {
        let message = format!("{title} is being deleted; it is made again once it is gone");
        return Err(Obstacle::new(reasons::PREVIEW_PREPARING, message));
    }
    let ready = conditions::find(conditions, types::READY);
    // What is said of an earlier wish says nothing of the present one.
    let ready = ready.filter(|ready| ready.observed_generation == Some(object.generation()));
    match ready {
        Some(ready) if ready.status == "True" => {}
        Some(ready) => plan.waits.push(format!("{title} ({})", ready.message)),
        None => plan.waits.push(title),
    }
    Ok(())
}

/// Where the endpoints of a component are reached from outside.
fn urls(binding: &ReleaseBinding) -> Vec<PreviewUrl> {
    let first = |urls: &GatewayUrls| {
        let all = [&urls.https, &urls.http, &urls.tls];
        all.into_iter().flatten().next().cloned()
    };
    let endpoints = binding.status.endpoints.iter();
    endpoints
        .filter_map(|endpoint| {
            let url = first(endpoint.external_urls.as_ref()?)?;
            let port = url.port.map(|port| format!(":{port}")).unwrap_or_default();
            Some(PreviewUrl {
                component: binding.spec.owner.component_name.clone(),
                endpoint: endpoint.name.clone(),
                url: format!("{}://{}{port}{}", url.scheme, url.host, url.path),
            })
        })
        .collect()
}
