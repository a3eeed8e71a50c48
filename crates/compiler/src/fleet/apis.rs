//! APIs in every environment that they are offered in, as their controller finds them.

use super::bindings::Bound;
use super::references::Found;
use super::{Fleet, Name, Place};
use crate::api::{ApiSnapshot, Front, Target, is_route_of};
use crate::component::compile_component;
use crate::groups::secret_keys;
use crate::programs::Programs;
use choreo_model::api::{ApiEndpoint, ApiSpec};
use choreo_model::release::BindingState;
use choreo_model::shared::ComponentOwner;
use choreo_model::{Api, Component, Environment, Object, ReleaseBinding, names};
use choreo_template::Tree;
use std::collections::BTreeSet;

impl Fleet {
    /// The names of all APIs in the environments that they are offered in.
    pub(super) fn offers(&self) -> impl Iterator<Item = Name> {
        self.apis.iter().flat_map(|api| {
            let environments = self.environments_of_api(api).into_iter();
            environments.map(|environment| Name {
                of: Bound::Api,
                namespace: api.namespace().to_owned(),
                name: offer(api.name(), &environment),
            })
        })
    }

    /// The API that the offer `name` is of, and its environment.
    pub(super) fn offered(&self, namespace: &str, name: &str) -> Option<(&Api, &str)> {
        let (api, environment) = name.split_once('/')?;
        let api = self.apis.get(namespace, api)?;
        let found = self.environments.get(namespace, environment)?;
        let is_there = self.environments_of_api(api).contains(environment);
        is_there.then_some((api, found.name()))
    }

    /// The environments that an API names, or else all that its components are deployed to.
    fn environments_of_api(&self, api: &Api) -> BTreeSet<String> {
        if !api.spec.environments.is_empty() {
            return api.spec.environments.iter().cloned().collect();
        }
        let environments = self.environments.all_in(api.namespace());
        let is_there = |environment: &&Environment| {
            let mut endpoints = api.spec.endpoints.values();
            endpoints.any(|one| self.provider(api, one, environment.name()).is_some())
        };
        let names = environments.filter(is_there).map(Environment::name);
        names.map(str::to_owned).collect()
    }

    /// The bindings whose addresses APIs need.
    pub(super) fn providers_of_apis(&self) -> impl Iterator<Item = &ReleaseBinding> {
        self.apis.iter().flat_map(move |api| {
            let environments = self.environments_of_api(api).into_iter();
            environments.flat_map(move |environment| {
                let endpoints = api.spec.endpoints.values();
                endpoints.filter_map(move |one| self.provider(api, one, &environment))
            })
        })
    }

    /// The binding of the component of an endpoint to an environment, if it deploys something.
    fn provider(
        &self,
        api: &Api,
        endpoint: &ApiEndpoint,
        environment: &str,
    ) -> Option<&ReleaseBinding> {
        let place = Place::new(api.namespace(), &owner(api, endpoint), environment);
        let mut bound = self.bound(&place).into_iter();
        bound
            .find(|one| one.spec.state == BindingState::Active && !one.spec.release_name.is_empty())
    }

    /// What compiling an API in an environment needs, or what is missing for it.
    pub(super) fn api_snapshot<'a>(
        &'a self,
        api: &'a Api,
        environment: &str,
    ) -> Result<ApiSnapshot<'a>, String> {
        let (namespace, spec) = (api.namespace(), &api.spec);
        let project = &spec.owner.project_name;
        let project = self.projects.find(Some(namespace), project)?;
        let environment = self.environments.find(Some(namespace), environment)?;
        let plane = self.data_plane(namespace, environment.spec.data_plane_ref.as_ref())?;
        let (mut targets, mut pending) = (Vec::new(), Vec::new());
        for (name, endpoint) in &spec.endpoints {
            match self.target(api, endpoint, environment.name()) {
                Ok(front) => targets.push(Target {
                    name,
                    endpoint,
                    front,
                }),
                Err(why) => pending.push((name.as_str(), why)),
            }
        }
        let traits = spec.traits.iter().map(|one| {
            let namespace = one.reference.namespace(namespace).unwrap_or_default();
            self.traits.get(namespace, &one.reference.name)
        });
        let mut secrets = BTreeSet::new();
        for value in spec.given() {
            secret_keys(value, 0, &mut |name| {
                secrets.insert(name.to_owned());
            });
        }
        let secrets = secrets.iter();
        // When keys cease to count, no file says: there is no clock.
        let keys = spec.api_keys.iter().flat_map(|asked| &asked.keys);
        Ok(ApiSnapshot {
            api,
            project,
            environment,
            data_plane: plane,
            targets,
            pending,
            traits: traits.collect(),
            secret_references: secrets
                .filter_map(|name| self.secret_references.get(namespace, name))
                .collect(),
            keys: keys
                .filter(|key| key.environment == environment.name())
                .collect(),
        })
    }

    /// Where requests for an endpoint go, or why it cannot be offered.
    fn target<'a>(
        &'a self,
        api: &Api,
        endpoint: &ApiEndpoint,
        environment: &str,
    ) -> Result<Front<'a>, String> {
        let line = names::line(&endpoint.component, endpoint.track.as_deref());
        let wanted = &endpoint.endpoint;
        let binding = self
            .provider(api, endpoint, environment)
            .ok_or_else(|| format!("{line} is not deployed in {environment}"))?;
        let release = self.release_of(binding)?;
        if !release.component_type.spec.workload_type.runs() {
            let route = self.route_of(binding, wanted)?;
            let none = || format!("{line} has no endpoint {wanted} with a route");
            return route.map(Front::Route).ok_or_else(none);
        }
        Front::of_binding(&api.spec, endpoint, (binding, release))
    }

    /// The route of an endpoint of a component that runs nothing.
    fn route_of(&self, binding: &ReleaseBinding, endpoint: &str) -> Result<Option<Tree>, String> {
        let snapshot = self.component_snapshot(binding)?;
        let compiled = compile_component(&snapshot, &Programs::default());
        let mut objects = compiled.objects.into_iter().map(|one| one.object);
        Ok(objects.find(|object| is_route_of(object, endpoint)))
    }

    /// Components, traits and environments that an API names and that are not there.
    pub(super) fn api_references(&self, api: &Api, found: &mut Found) {
        let object = format!("API/{}", api.name());
        let place = (api.namespace(), object.as_str());
        let namespace = Some(api.namespace());
        let spec = &api.spec;
        let project = self.projects.find(namespace, &spec.owner.project_name);
        found.note(place, "spec.owner.projectName", project);
        for (index, one) in spec.traits.iter().enumerate() {
            let reference = &one.reference;
            let there = self
                .traits
                .find(reference.namespace(api.namespace()), &reference.name);
            found.note(place, &format!("spec.traits[{index}].name"), there);
        }
        for (index, name) in spec.environments.iter().enumerate() {
            let there = self.environments.find(namespace, name);
            let known = self
                .environments
                .all_in(api.namespace())
                .map(Environment::name);
            let field = format!("spec.environments[{index}]");
            found.doubtful(place, field, (name, there), known);
        }
        for (name, endpoint) in &spec.endpoints {
            let there = self.components.find(namespace, &endpoint.component);
            let of_project = |one: &&Component| one.spec.owner == spec.owner;
            let known = self.components.all_in(api.namespace()).filter(of_project);
            let field = format!("spec.endpoints.{name}.component");
            let wanted = endpoint.component.as_str();
            found.doubtful(place, field, (wanted, there), known.map(Object::name));
        }
    }
}

/// The name of an API in an environment.
pub(crate) fn offer(api: &str, environment: &str) -> String {
    format!("{api}/{environment}")
}

/// The line of a component that an endpoint is of.
fn owner(api: &Api, endpoint: &ApiEndpoint) -> ComponentOwner {
    let ApiSpec { owner, .. } = &api.spec;
    ComponentOwner::new(
        &owner.project_name,
        &endpoint.component,
        endpoint.track.as_deref(),
    )
}
