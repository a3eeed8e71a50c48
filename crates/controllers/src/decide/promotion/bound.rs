//! The bindings that a promotion reads and moves, of components and of managed resources alike.

use std::collections::BTreeMap;

use choreo_compiler::Compiled;
use choreo_model::conditions::{self, reasons, types};
use choreo_model::promotion::Part;
use choreo_model::release::{BindingState, ReleaseBindingSpec, RolledOut};
use choreo_model::resource::ResourceReleaseBindingSpec;
use choreo_model::shared::{ComponentOwner, ResourceOwner};
use choreo_model::{Object, Promotion, ReleaseBinding, ResourceReleaseBinding, Spec as _, names};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use serde_json::{Value, json};

use super::super::gate::Gated;
use super::super::{Context, Obstacle, component_binding, resource_binding};
use crate::key::groups;

/// A binding as it is, as far as promotions look at it.
pub(super) struct Bound<'a> {
    /// The release it names; empty when it names none.
    pub(super) release: &'a str,
    /// The releases that were rolled out.
    pub(super) seen: RolledOut<'a>,
    /// What it says of being ready, as it is now.
    pub(super) ready: Option<&'a Condition>,
}

impl<'a> Bound<'a> {
    fn of<T: Gated>(binding: &'a Object<T>) -> Self {
        let ready = conditions::find(T::conditions(&binding.status), types::READY);
        Self {
            release: binding.spec.release(),
            seen: T::rolled_out(&binding.status),
            ready: ready.filter(|one| one.observed_generation == Some(binding.generation())),
        }
    }
}

/// The binding of a part in the environment that is promoted to.
pub(super) fn target<'a>(
    context: &Context<'a>,
    promotion: &Promotion,
    part: Part<'_>,
) -> Option<Bound<'a>> {
    bound(
        context,
        promotion,
        (part, &promotion.spec.target_environment),
    )
}

/// The binding of a part in the environment that is promoted from.
pub(super) fn source<'a>(
    context: &Context<'a>,
    promotion: &Promotion,
    part: Part<'_>,
) -> Option<Bound<'a>> {
    bound(
        context,
        promotion,
        (part, &promotion.spec.source_environment),
    )
}

fn bound<'a>(
    context: &Context<'a>,
    promotion: &Promotion,
    place: (Part<'_>, &str),
) -> Option<Bound<'a>> {
    match place.0 {
        Part::Component(_) | Part::Track(..) => {
            find::<ReleaseBindingSpec>(context, promotion, place).map(Bound::of)
        }
        Part::Resource(_) => {
            find::<ResourceReleaseBindingSpec>(context, promotion, place).map(Bound::of)
        }
    }
}

fn find<'a, T: Gated>(
    context: &Context<'a>,
    promotion: &Promotion,
    (part, environment): (Part<'_>, &str),
) -> Option<&'a Object<T>> {
    let project = &promotion.spec.owner.project_name;
    let (_, by, name) = groups(part);
    let of = [context.namespace(), project, &name, environment];
    let found = context.view.members_with_status::<T>(by, &of);
    found.into_iter().next()
}

/// A binding as a promotion would leave it.
pub(super) enum Wanted {
    Component(Box<ReleaseBinding>),
    Resource(Box<ResourceReleaseBinding>),
}

impl Wanted {
    /// The binding of `part` in the environment that is promoted to, with `release`.
    pub(super) fn of(
        context: &Context<'_>,
        promotion: &Promotion,
        part: Part<'_>,
        release: &str,
    ) -> Self {
        let environment = promotion.spec.target_environment.as_str();
        match part {
            Part::Component(name) | Part::Track(name, _) => {
                let there = find(context, promotion, (part, environment));
                let new = || new_component(context, promotion, name);
                Self::Component(Box::new(with_release(there, new, release)))
            }
            Part::Resource(name) => {
                let there = find(context, promotion, (part, environment));
                let new = || new_resource(context, promotion, name);
                Self::Resource(Box::new(with_release(there, new, release)))
            }
        }
    }

    /// What it would be rendered to.
    pub(super) fn compiled(&self, context: &Context<'_>) -> Result<Compiled, Obstacle> {
        match self {
            Self::Component(binding) if binding.spec.state == BindingState::Undeploy => {
                Err(Obstacle::new(
                    reasons::RESOURCES_UNDEPLOYED,
                    format!(
                        "it is undeployed in {}: set spec.state of ReleaseBinding \"{}\" to Active \
                         first",
                        binding.spec.environment,
                        binding.name()
                    ),
                ))
            }
            Self::Component(binding) => component_binding::preview(context, binding),
            Self::Resource(binding) => resource_binding::preview(context, binding),
        }
    }

    /// The rendered release it is, or would become.
    pub(super) fn rendered(&self) -> String {
        match self {
            Self::Component(binding) => {
                let spec = &binding.spec;
                names::component_binding(&spec.owner.line(), &spec.environment)
            }
            Self::Resource(binding) => {
                let spec = &binding.spec;
                names::resource_name(&spec.owner.resource_name, &spec.environment)
            }
        }
    }

    /// What a promotion writes of it: the fields that it owns.
    pub(super) fn written(&self) -> Value {
        match self {
            Self::Component(binding) => json!({
                "kind": ReleaseBindingSpec::KIND,
                "metadata": { "name": binding.name() },
                "spec": {
                    "owner": binding.spec.owner,
                    "environment": binding.spec.environment,
                    "releaseName": binding.spec.release_name,
                },
            }),
            Self::Resource(binding) => json!({
                "kind": ResourceReleaseBindingSpec::KIND,
                "metadata": { "name": binding.name() },
                "spec": {
                    "owner": binding.spec.owner,
                    "environment": binding.spec.environment,
                    "resourceRelease": binding.spec.resource_release,
                },
            }),
        }
    }
}

fn with_release<T: Gated + Clone>(
    there: Option<&Object<T>>,
    new: impl FnOnce() -> Object<T>,
    release: &str,
) -> Object<T>
where
    T::Status: Clone,
{
    let mut binding = there.cloned().unwrap_or_else(new);
    binding.spec.set_release(release);
    binding
}

fn new_component(context: &Context<'_>, promotion: &Promotion, component: &str) -> ReleaseBinding {
    let environment = &promotion.spec.target_environment;
    let owner = &promotion.spec.owner;
    let track = owner.track_name.as_deref();
    let owner = ComponentOwner::new(&owner.project_name, component, track);
    let name = names::component_binding(&owner.line(), environment);
    let spec = ReleaseBindingSpec {
        owner,
        environment: environment.clone(),
        release_name: String::new(),
        component_type_environment_configs: None,
        trait_environment_configs: BTreeMap::new(),
        workload_overrides: None,
        state: BindingState::Active,
    };
    Object::new(Some(context.namespace()), &name, spec)
}

fn new_resource(
    context: &Context<'_>,
    promotion: &Promotion,
    resource: &str,
) -> ResourceReleaseBinding {
    let environment = &promotion.spec.target_environment;
    let spec = ResourceReleaseBindingSpec {
        owner: ResourceOwner {
            project_name: promotion.spec.owner.project_name.clone(),
            resource_name: resource.to_owned(),
        },
        environment: environment.clone(),
        resource_release: String::new(),
        retain_policy: None,
        resource_type_environment_configs: None,
    };
    let name = names::resource_binding(resource, environment);
    Object::new(Some(context.namespace()), &name, spec)
}
