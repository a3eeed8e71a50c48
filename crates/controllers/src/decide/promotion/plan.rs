//! The plan of a promotion: what each component gets, in which order, and what tells this plan apart
//! from every other.

use std::collections::{BTreeMap, BTreeSet};

use choreo_compiler::{Compiled, connections, digest};
use choreo_model::conditions::reasons;
use choreo_model::history::Action;
use choreo_model::promotion::PlannedComponent;
use choreo_model::release::{BindingState, ComponentReleaseSpec, ReleaseBindingSpec};
use choreo_model::rendered::{RenderedReleaseSpec, RenderedResource};
use choreo_model::shared::{ComponentOwner, TargetPlane};
use choreo_model::{Object, Promotion, ReleaseBinding, Spec, labels, names};
use serde_json::{Value, json};

use super::super::{Context, Obstacle, component_binding, rendering};
use super::order;
use crate::key::By;

/// How many objects of a component are named.
const SHOWN: usize = 10;

/// What a promotion would do.
pub(super) struct Plan {
    pub(super) components: Vec<PlannedComponent>,
    pub(super) digest: String,
}

/// The plan of `promotion` as things are now.
pub(super) fn make(context: &Context<'_>, promotion: &Promotion) -> Result<Plan, Obstacle> {
    let spec = &promotion.spec;
    let waves = waves(context, promotion);
    let mut components = Vec::new();
    let mut content = BTreeMap::new();
    for (component, release) in &spec.releases {
        let uid = is_in_source(context, promotion, component, release)?;
        let binding = binding(context, promotion, component);
        let compiled = rendered(context, promotion, component, release)?;
        let objects = rendering::resources(&compiled, TargetPlane::DataPlane);
        let watched = rendering::resources(&compiled, TargetPlane::ObservabilityPlane);
        let from = binding.and_then(|binding| binding.status.release.clone());
        components.push(PlannedComponent {
            component: component.clone(),
            from,
            to: release.clone(),
            uid: uid.to_owned(),
            changes: changes(context, promotion, component, &objects),
            wave: waves.get(component.as_str()).copied().unwrap_or_default(),
            ..PlannedComponent::default()
        });
        let rendered = json!({ "release": release, "objects": objects, "watched": watched });
        content.insert(component, rendered);
    }
    components
        .sort_by(|one, other| (one.wave, &one.component).cmp(&(other.wave, &other.component)));
    let digest = digest(&json!({
        "source": spec.source_environment,
        "target": spec.target_environment,
        "components": content,
    }));
    Ok(Plan { components, digest })
}

/// The binding of a component in the environment that is promoted to.
pub(super) fn binding<'a>(
    context: &Context<'a>,
    promotion: &Promotion,
    component: &str,
) -> Option<&'a ReleaseBinding> {
    in_environment(
        context,
        promotion,
        component,
        &promotion.spec.target_environment,
    )
}

fn in_environment<'a>(
    context: &Context<'a>,
    promotion: &Promotion,
    component: &str,
    environment: &str,
) -> Option<&'a ReleaseBinding> {
    let project = &promotion.spec.owner.project_name;
    let of = [context.namespace(), project, component, environment];
    let found = context
        .view
        .members_with_status::<ReleaseBindingSpec>(By::ComponentEnvironment, &of);
    found.into_iter().next()
}

/// The identifier of a release. One that has never been rolled out where it is said to come from is
/// refused.
fn is_in_source<'a>(
    context: &Context<'a>,
    promotion: &Promotion,
    component: &str,
    release: &str,
) -> Result<&'a str, Obstacle> {
    let source = &promotion.spec.source_environment;
    let found = context
        .view
        .get::<ComponentReleaseSpec>(context.namespace(), release);
    let uid = found.map(Object::uid).unwrap_or_default();
    let binding = in_environment(context, promotion, component, source);
    if binding.is_some_and(|binding| binding.status.knows(release, uid)) {
        return Ok(uid);
    }
    Err(Obstacle::new(
        reasons::NOT_IN_SOURCE,
        format!("{component} does not run {release} in {source}, and was not ready with it there"),
    ))
}

/// The binding of a component as the promotion would leave it.
fn wanted(
    context: &Context<'_>,
    promotion: &Promotion,
    component: &str,
    release: &str,
) -> ReleaseBinding {
    let environment = &promotion.spec.target_environment;
    if let Some(binding) = binding(context, promotion, component) {
        let mut binding = binding.clone();
        release.clone_into(&mut binding.spec.release_name);
        return binding;
    }
    let spec = ReleaseBindingSpec {
        owner: ComponentOwner {
            project_name: promotion.spec.owner.project_name.clone(),
            component_name: component.to_owned(),
        },
        environment: environment.clone(),
        release_name: release.to_owned(),
        component_type_environment_configs: None,
        trait_environment_configs: BTreeMap::new(),
        workload_overrides: None,
        state: BindingState::Active,
    };
    let name = names::component_binding(component, environment);
    Object::new(Some(context.namespace()), &name, spec)
}

/// What a component would be rendered to.
fn rendered(
    context: &Context<'_>,
    promotion: &Promotion,
    component: &str,
    release: &str,
) -> Result<Compiled, Obstacle> {
    let binding = wanted(context, promotion, component, release);
    if binding.spec.state == BindingState::Undeploy {
        return Err(Obstacle::new(
            reasons::RESOURCES_UNDEPLOYED,
            format!(
                "{component} is undeployed in {}: set spec.state of ReleaseBinding \"{}\" to \
                 Active first",
                binding.spec.environment,
                binding.name()
            ),
        ));
    }
    component_binding::preview(context, &binding).map_err(|obstacle| {
        let message = format!("{component}: {}", obstacle.message);
        Obstacle::new(obstacle.reason, message)
    })
}

/// What is added, changed and taken away, in a few words each.
fn changes(
    context: &Context<'_>,
    promotion: &Promotion,
    component: &str,
    objects: &[RenderedResource],
) -> Vec<String> {
    let name = names::component_binding(component, &promotion.spec.target_environment);
    let there = context
        .view
        .get::<RenderedReleaseSpec>(context.namespace(), &name);
    let there = there.map(|there| context.view.objects(there));
    let there = there.unwrap_or_default();
    let old: BTreeMap<&str, &Value> = by_id(&there);
    let new = by_id(objects);
    let ids: BTreeSet<&str> = old.keys().chain(new.keys()).copied().collect();
    let mut changes: Vec<String> = ids
        .into_iter()
        .filter_map(|id| {
            let (sign, object) = match (old.get(id), new.get(id)) {
                (None, Some(new)) => ('+', new),
                (Some(old), None) => ('-', old),
                (Some(old), Some(new)) if old != new => ('~', new),
                _ => return None,
            };
            let kind = object["kind"].as_str().unwrap_or_default();
            let name = object["metadata"]["name"].as_str().unwrap_or_default();
            Some(format!("{sign} {kind}/{name}"))
        })
        .collect();
    let more = changes.len().saturating_sub(SHOWN);
    changes.truncate(SHOWN);
    if more > 0 {
        changes.push(format!("and {more} more"));
    }
    changes
}

fn by_id(objects: &[RenderedResource]) -> BTreeMap<&str, &Value> {
    let objects = objects.iter();
    objects.map(|one| (one.id.as_str(), &one.object)).collect()
}

/// The turn of each component: after those of the same promotion that it calls.
fn waves(context: &Context<'_>, promotion: &Promotion) -> BTreeMap<String, u32> {
    let spec = &promotion.spec;
    let targets: BTreeMap<&String, Vec<String>> = spec
        .releases
        .iter()
        .map(|(component, release)| (component, called(context, promotion, component, release)))
        .collect();
    let calls = targets
        .iter()
        .map(|(component, called)| {
            (
                component.as_str(),
                called.iter().map(String::as_str).collect(),
            )
        })
        .collect();
    let waves = order::waves(&calls);
    waves
        .into_iter()
        .map(|(component, wave)| (component.to_owned(), wave))
        .collect()
}

/// The components of the same project that a release calls.
fn called(
    context: &Context<'_>,
    promotion: &Promotion,
    component: &str,
    release: &str,
) -> Vec<String> {
    let namespace = context.namespace();
    let frozen = context.view.get::<ComponentReleaseSpec>(namespace, release);
    let binding = wanted(context, promotion, component, release);
    let targets =
        frozen.map(|frozen| connections::targets(namespace, &binding.spec, &frozen.spec.workload));
    let project = &promotion.spec.owner.project_name;
    let own = targets.into_iter().flatten();
    own.filter(|target| &target.project == project)
        .map(|target| target.component)
        .collect()
}

/// What a binding is told to be: the fields that a promotion owns, and in whose name it is told.
pub(super) fn bound(
    context: &Context<'_>,
    promotion: &Promotion,
    (component, release): (&str, &str),
    action: Action,
) -> Value {
    let binding = wanted(context, promotion, component, release);
    let name = promotion.name();
    let cause = match &promotion.spec.reason {
        Some(reason) => format!("Promotion {name}: {reason}"),
        None => format!("Promotion {name}"),
    };
    json!({
        "apiVersion": choreo_model::API_VERSION,
        "kind": ReleaseBindingSpec::KIND,
        "metadata": {
            "name": binding.name(),
            "namespace": context.namespace(),
            "annotations": {
                labels::ON_BEHALF_OF: promotion.spec.requested_by,
                labels::CHANGE_CAUSE: cause,
                labels::ACTION: action.as_str(),
            },
        },
        "spec": {
            "owner": binding.spec.owner,
            "environment": binding.spec.environment,
            "releaseName": release,
        },
    })
}
