//! APIs: offered in every environment that their endpoints are deployed to, as they are now. What an API says
//! is no part of a release: it is a rule of the gateways, which holds at once.

use std::collections::{BTreeMap, BTreeSet};

use choreo_compiler::api::{Front, Target, is_route_of, urls};
use choreo_compiler::groups::secret_keys;
use choreo_compiler::{ApiSnapshot, Tree, compile_api};
use choreo_model::api::{ApiEndpoint, ApiEnvironment, ApiKey, ApiSpec, ApiStatus, ApiVisibility};
use choreo_model::conditions::{self, reasons, types};
use choreo_model::project::ProjectSpec;
use choreo_model::release::{BindingState, ComponentReleaseSpec, ReleaseBindingSpec};
use choreo_model::rendered::{RenderedOwner, RenderedReleaseSpec};
use choreo_model::secret::SecretReferenceSpec;
use choreo_model::shared::TargetPlane;
use choreo_model::traits::TraitSpec;
use choreo_model::{
    Api, Object, Project, ReleaseBinding, RenderedRelease, SecretReference, finalizers, names,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use k8s_openapi::jiff::Timestamp;

use super::rendering::{self, Rendering};
use super::{
    Context, Finalizing, Obstacle, changed, component_binding, delete_all, hold, no_later,
    readiness, some_of,
};
use crate::decision::{Decision, Write};
use crate::key::By;

const MANAGER: &str = "api-controller";

pub(super) fn decide(context: &Context<'_>) -> Decision {
    let Some(api) = context.view.own::<ApiSpec>(context.key) else {
        return Decision::default();
    };
    if api.is_deleting() {
        return finalize(context, api);
    }
    let mut writes: Vec<Write> = hold(api, finalizers::API).into_iter().collect();
    let mut look_again = None;
    let (ready, environments) = match offered(context, api, &mut writes) {
        Err(obstacle) => {
            writes.extend(delete_all(rendered(context, api)));
            let ready = conditions::no(types::READY, obstacle.reason, obstacle.message);
            (ready, Vec::new())
        }
        Ok(environments) => {
            for time in expiries(api, context.now.0) {
                no_later(&mut look_again, time);
            }
            (ready(&environments), environments)
        }
    };
    let old = &api.status;
    let status = ApiStatus {
        observed_generation: api.generation(),
        conditions: context.conditions(api, &old.conditions, vec![ready]),
        environments,
    };
    Decision {
        manager: MANAGER,
        writes,
        status: changed(old, &status),
        look_again,
        ..Decision::default()
    }
}

/// The times at which keys cease to count.
fn expiries(api: &Api, now: Timestamp) -> impl Iterator<Item = Timestamp> {
    let keys = api.spec.api_keys.iter().flat_map(|asked| &asked.keys);
    let times = keys.filter_map(|key| key.expires.as_ref().map(|time| time.0));
    times.filter(move |time| *time > now)
}

/// Offers the API wherever it is to be; how that stands in each environment.
fn offered(
    context: &Context<'_>,
    api: &Api,
    writes: &mut Vec<Write>,
) -> Result<Vec<ApiEnvironment>, Obstacle> {
    taken(context, api)?;
    let project = &api.spec.owner.project_name;
    let project =
        context.find::<ProjectSpec>(context.namespace(), project, reasons::PROJECT_NOT_FOUND)?;
    let bindings = bindings(context, api);
    let mut environments: BTreeSet<&str> =
        api.spec.environments.iter().map(String::as_str).collect();
    if environments.is_empty() {
        let deployed = bindings.values().flatten();
        // A binding that waits for its first release deploys nothing.
        let deployed = deployed.filter(|binding| {
            binding.spec.state == BindingState::Active && binding.status.release.is_some()
        });
        environments.extend(deployed.map(|binding| binding.spec.environment.as_str()));
    }
    let place = |name| Place {
        context,
        api,
        project,
        name,
    };
    let all = environments
        .iter()
        .map(|name| place(name).offer(&bindings, writes))
        .collect();
    let elsewhere = rendered(context, api).into_iter();
    writes.extend(delete_all(elsewhere.filter(|one| {
        !environments.contains(one.spec.environment_name.as_str())
    })));
    Ok(all)
}

/// APIs of a namespace share its hosts, so each has a path of its own; of two the older keeps it.
fn taken(context: &Context<'_>, api: &Api) -> Result<(), Obstacle> {
    let age = |api: &Api| {
        let created = api.metadata.creation_timestamp.as_ref();
        (created.map(|time| time.0), api.name().to_owned())
    };
    let others = context
        .view
        .members::<ApiSpec>(By::Namespace, &[context.namespace()]);
    let older = others.into_iter().find(|other| {
        other.name() != api.name()
            && other.spec.base_path() == api.spec.base_path()
            && age(other) < age(api)
    });
    match older {
        None => Ok(()),
        Some(older) => Err(Obstacle::new(
            reasons::PATH_TAKEN,
            format!(
                "API \"{}\" has the path {} already; give this one another context or version",
                older.name(),
                api.spec.base_path()
            ),
        )),
    }
}

/// The bindings of the components of the API, by endpoint.
fn bindings<'a>(context: &Context<'a>, api: &'a Api) -> BTreeMap<&'a str, Vec<&'a ReleaseBinding>> {
    let endpoints = api.spec.endpoints.iter();
    endpoints
        .map(|(name, endpoint)| {
            let line = ApiSpec::line_id(endpoint);
            let of = [context.namespace(), &api.spec.owner.project_name, &line];
            let bindings = context
                .view
                .members_with_status::<ReleaseBindingSpec>(By::Component, &of);
            (name.as_str(), bindings)
        })
        .collect()
}

/// An API in an environment.
struct Place<'c, 'a> {
    context: &'c Context<'a>,
    api: &'a Api,
    project: &'a Project,
    name: &'c str,
}

impl<'a> Place<'_, 'a> {
    /// Offers the API there, and tells how that stands.
    fn offer(
        &self,
        bindings: &BTreeMap<&str, Vec<&'a ReleaseBinding>>,
        writes: &mut Vec<Write>,
    ) -> ApiEnvironment {
        let mut pending = Vec::new();
        let mut targets = Vec::new();
        for (name, endpoint) in &self.api.spec.endpoints {
            let mut there = bindings.get(name.as_str()).into_iter().flatten().copied();
            let binding = there.find(|binding| binding.spec.environment == self.name);
            match self.target(name, endpoint, binding) {
                Ok(target) => targets.push(target),
                Err(why) => pending.push((name.as_str(), why)),
            }
        }
        let mut found = ApiEnvironment {
            name: self.name.to_owned(),
            ..ApiEnvironment::default()
        };
        let told = |pending: &[(&str, String)]| {
            let told = pending.iter();
            let told = told.map(|(name, why)| format!("endpoint {name}: {why}"));
            some_of(&told.collect::<Vec<_>>())
        };
        if targets.is_empty() {
            let rendered = rendered(self.context, self.api).into_iter();
            writes.extend(delete_all(
                rendered.filter(|one| one.spec.environment_name == self.name),
            ));
            return obstructed(found, reasons::NOT_DEPLOYED, told(&pending));
        }
        let standing = self
            .render((targets, &pending), &mut found)
            .and_then(|(there, write)| {
                writes.extend(write);
                self.standing(there)
            });
        match standing {
            Err(obstacle) => obstructed(found, obstacle.reason, obstacle.message),
            Ok(()) if !pending.is_empty() => {
                obstructed(found, reasons::ENDPOINTS_PENDING, told(&pending))
            }
            Ok(()) => ApiEnvironment {
                ready: true,
                ..found
            },
        }
    }

    fn release_name(&self) -> String {
        names::api_release(self.api.name(), self.name)
    }

    /// The endpoint where it is deployed, or why it cannot be offered.
    fn target(
        &self,
        name: &'a str,
        endpoint: &'a ApiEndpoint,
        binding: Option<&'a ReleaseBinding>,
    ) -> Result<Target<'a>, String> {
        let line = names::line(&endpoint.component, endpoint.track.as_deref());
        let binding = binding
            .filter(|binding| binding.spec.state == BindingState::Active)
            .ok_or_else(|| format!("{line} is not deployed in {}", self.name))?;
        let namespace = self.context.namespace();
        let release = binding.status.release.as_deref();
        let release = release
            .and_then(|name| {
                self.context
                    .view
                    .get::<ComponentReleaseSpec>(namespace, name)
            })
            .ok_or_else(|| format!("nothing of {line} is rendered yet"))?;
        let front = if release.spec.component_type.spec.workload_type.runs() {
            Front::of_binding(&self.api.spec, endpoint, (binding, &release.spec))?
        } else {
            Front::Route(self.route(&endpoint.endpoint, binding)?)
        };
        Ok(Target {
            name,
            endpoint,
            front,
        })
    }

    /// The route of an endpoint of a component that runs nothing, as it is rendered for the release that is
    /// deployed.
    fn route(&self, wanted: &str, binding: &ReleaseBinding) -> Result<Tree, String> {
        let line = binding.spec.owner.line();
        let mut deployed = binding.clone();
        if let Some(release) = &binding.status.release {
            deployed.spec.release_name.clone_from(release);
        }
        let compiled = component_binding::preview(self.context, &deployed)
            .map_err(|obstacle| format!("{line} cannot be rendered: {}", obstacle.message))?;
        let mut objects = compiled.objects.into_iter().map(|one| one.object);
        let route = objects.find(|object| is_route_of(object, wanted));
        route.ok_or_else(|| format!("{line} has no endpoint {wanted} with a route"))
    }

    /// The rendered release there, and the write that makes it as wanted.
    fn render(
        &self,
        (targets, pending): (Vec<Target<'_>>, &[(&str, String)]),
        found: &mut ApiEnvironment,
    ) -> Result<(Option<&'a RenderedRelease>, Option<Write>), Obstacle> {
        let (context, api) = (self.context, self.api);
        let environment = rendering::environment(context, self.name)?;
        let data_plane = rendering::data_plane(context, environment)?;
        let snapshot = ApiSnapshot {
            api,
            project: self.project,
            environment,
            data_plane,
            targets,
            pending: pending.to_vec(),
            traits: self.traits(),
            secret_references: self.secret_references(),
            keys: self.keys(),
        };
        let compiled = compile_api(&snapshot, context.view.programs());
        rendering::check(&compiled)?;
        for visibility in &api.spec.visibility {
            let urls = urls(api, environment, data_plane, *visibility);
            match visibility {
                ApiVisibility::External => found.external_urls = urls,
                ApiVisibility::Internal => found.internal_urls = urls,
            }
        }
        let rendering = Rendering {
            name: &self.release_name(),
            owner: RenderedOwner {
                project_name: api.spec.owner.project_name.clone(),
                api_name: Some(api.name().to_owned()),
                ..RenderedOwner::default()
            },
            environment: self.name,
            plane: TargetPlane::DataPlane,
            compiled: &compiled,
        };
        rendering::release(context, api, rendering)
    }

    fn traits(&self) -> Vec<Option<&'a Object<TraitSpec>>> {
        let own = self.api.spec.traits.iter();
        own.map(|one| {
            let namespace = one.reference.namespace(self.context.namespace());
            let namespace = namespace.unwrap_or_default();
            let view = self.context.view;
            view.get::<TraitSpec>(namespace, &one.reference.name)
        })
        .collect()
    }

    fn secret_references(&self) -> Vec<&'a SecretReference> {
        let mut names = BTreeSet::new();
        for value in self.api.spec.given() {
            secret_keys(value, 0, &mut |name| {
                names.insert(name.to_owned());
            });
        }
        let (view, namespace) = (self.context.view, self.context.namespace());
        let found = names.iter();
        found
            .filter_map(|name| view.get::<SecretReferenceSpec>(namespace, name))
            .collect()
    }

    /// The keys that count there now.
    fn keys(&self) -> Vec<&'a ApiKey> {
        let now = self.context.now.0;
        let keys = self.api.spec.api_keys.iter().flat_map(|asked| &asked.keys);
        keys.filter(|key| {
            let expires = key.expires.as_ref();
            key.environment == self.name && expires.is_none_or(|time| time.0 > now)
        })
        .collect()
    }

    /// Whether what is rendered is in place.
    fn standing(&self, there: Option<&RenderedRelease>) -> Result<(), Obstacle> {
        let name = self.release_name();
        let synced = rendering::synced(self.context, types::SYNCED, &name, there);
        let resources = there.map(|there| {
            readiness::not_applied(types::RESOURCES_READY, there)
                .unwrap_or_else(|| readiness::of_all(&there.status))
        });
        let resources = resources.unwrap_or_else(|| {
            let message = format!("RenderedRelease \"{name}\" was created");
            let reason = reasons::RESOURCES_PROGRESSING;
            conditions::no(types::RESOURCES_READY, reason, message)
        });
        let ready = readiness::aggregate(&[synced, resources]);
        if ready.status == "True" {
            return Ok(());
        }
        Err(Obstacle::new(known(&ready.reason), ready.message))
    }
}

/// The reason of a condition of a rendered release as one of the platform's.
fn known(reason: &str) -> &'static str {
    let all = [
        reasons::RELEASE_UPDATE_FAILED,
        reasons::RESOURCE_APPLY_FAILED,
        reasons::RESOURCES_DEGRADED,
        reasons::RESOURCES_PROGRESSING,
        reasons::RESOURCES_UNKNOWN,
    ];
    let found = all.into_iter().find(|one| *one == reason);
    found.unwrap_or(reasons::RESOURCES_NOT_READY)
}

fn obstructed(found: ApiEnvironment, reason: &str, message: String) -> ApiEnvironment {
    ApiEnvironment {
        ready: false,
        reason: Some(reason.to_owned()),
        message: Some(message),
        ..found
    }
}

/// `Ready`: whether all of the API is offered wherever it is to be.
fn ready(environments: &[ApiEnvironment]) -> Condition {
    let type_ = types::READY;
    let Some(first) = environments.iter().find(|one| !one.ready) else {
        if environments.is_empty() {
            let message = "None of the components is deployed in any environment";
            return conditions::no(type_, reasons::NOT_DEPLOYED, message);
        }
        let names: Vec<String> = environments.iter().map(|one| one.name.clone()).collect();
        let message = format!("Offered in {}", some_of(&names));
        return conditions::yes(type_, reasons::READY, message);
    };
    let reason = first.reason.as_deref();
    let message = first.message.as_deref().unwrap_or_default();
    conditions::no(
        type_,
        reason.unwrap_or(reasons::RESOURCES_NOT_READY),
        format!("{}: {message}", first.name),
    )
}

/// The rendered releases of the API.
fn rendered<'a>(context: &Context<'a>, api: &Api) -> Vec<&'a RenderedRelease> {
    let project = &api.spec.owner.project_name;
    let of = [context.namespace(), project, api.name()];
    let mut rendered = context
        .view
        .members_with_status::<RenderedReleaseSpec>(By::Api, &of);
    rendered.retain(|rendered| rendering::is_owned(rendered, api));
    rendered
}

fn finalize(context: &Context<'_>, api: &Api) -> Decision {
    let rendered = rendered(context, api);
    let deletion = Finalizing {
        manager: MANAGER,
        finalizer: finalizers::API,
        reason: reasons::API_FINALIZING,
        writes: rendering::delete(&rendered),
        waits: super::names(rendered),
    };
    let old = &api.status;
    deletion.decide(api, |new| ApiStatus {
        observed_generation: api.generation(),
        conditions: context.conditions(api, &old.conditions, new),
        environments: old.environments.clone(),
    })
}
