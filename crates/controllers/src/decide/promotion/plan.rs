//! The plan of a promotion: what each part gets, in which order, and what tells this plan apart
//! from every other.

use std::collections::{BTreeMap, BTreeSet};

use choreo_compiler::{connections, digest};
use choreo_model::conditions::reasons;
use choreo_model::history::Action;
use choreo_model::promotion::{Part, PlannedComponent};
use choreo_model::release::ComponentReleaseSpec;
use choreo_model::rendered::{RenderedReleaseSpec, RenderedResource};
use choreo_model::resource::ResourceReleaseSpec;
use choreo_model::shared::TargetPlane;
use choreo_model::{Object, Promotion, labels};
use serde_json::{Value, json};

use super::super::{Context, Obstacle, rendering};
use super::bound::{self, Wanted};
use super::order;

/// How many objects of a part are named.
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
    for (part, release) in spec.parts() {
        let uid = is_in_source(context, promotion, part, release)?;
        let wanted = Wanted::of(context, promotion, part, release);
        let compiled = wanted.compiled(context).map_err(|obstacle| {
            let message = format!("{part}: {}", obstacle.message);
            Obstacle::new(obstacle.reason, message)
        })?;
        let objects = rendering::resources(&compiled, TargetPlane::DataPlane);
        let watched = rendering::resources(&compiled, TargetPlane::ObservabilityPlane);
        let there = bound::target(context, promotion, part);
        let from = there.and_then(|there| there.seen.release);
        let (component, track, resource) = match part {
            Part::Component(name) => (name, None, None),
            Part::Track(name, track) => (name, Some(track), None),
            Part::Resource(name) => ("", None, Some(name)),
        };
        components.push(PlannedComponent {
            component: component.to_owned(),
            track: track.map(str::to_owned),
            resource: resource.map(str::to_owned),
            from: from.map(str::to_owned),
            to: release.to_owned(),
            uid: uid.to_owned(),
            changes: changes(context, &wanted, &objects),
            wave: waves.get(&part).copied().unwrap_or_default(),
            ..PlannedComponent::default()
        });
        let rendered = json!({ "release": release, "objects": objects, "watched": watched });
        content.insert(part.to_string(), rendered);
    }
    components.sort_by(|one, other| (one.wave, one.part()).cmp(&(other.wave, other.part())));
    let digest = digest(&json!({
        "source": spec.source_environment,
        "target": spec.target_environment,
        "components": content,
    }));
    Ok(Plan { components, digest })
}

/// The identifier of a release. One that has never been rolled out where it is said to come from is
/// refused.
fn is_in_source<'a>(
    context: &Context<'a>,
    promotion: &Promotion,
    part: Part<'_>,
    release: &str,
) -> Result<&'a str, Obstacle> {
    let (view, namespace) = (context.view, context.namespace());
    let uid = match part {
        Part::Component(_) | Part::Track(..) => view
            .get::<ComponentReleaseSpec>(namespace, release)
            .map(Object::uid),
        Part::Resource(_) => view
            .get::<ResourceReleaseSpec>(namespace, release)
            .map(Object::uid),
    };
    let uid = uid.unwrap_or_default();
    let binding = bound::source(context, promotion, part);
    if binding.is_some_and(|binding| binding.seen.knows(release, uid)) {
        return Ok(uid);
    }
    let source = &promotion.spec.source_environment;
    Err(Obstacle::new(
        reasons::NOT_IN_SOURCE,
        format!("{part} does not run {release} in {source}, and was not ready with it there"),
    ))
}

/// What is added, changed and taken away, in a few words each.
fn changes(context: &Context<'_>, wanted: &Wanted, objects: &[RenderedResource]) -> Vec<String> {
    let there = context
        .view
        .get::<RenderedReleaseSpec>(context.namespace(), &wanted.rendered());
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

/// The turn of each part: a component comes after the components of the same promotion that it calls,
/// and after the resources that it uses.
fn waves<'a>(context: &Context<'_>, promotion: &'a Promotion) -> BTreeMap<Part<'a>, u32> {
    let spec = &promotion.spec;
    let needs: BTreeMap<Part<'a>, Needs> = spec
        .parts()
        .map(|(part, release)| (part, needs(context, promotion, part, release)))
        .collect();
    let known = |part: Part<'a>| needs.contains_key(&part).then_some(part);
    let parts = |needs: &Needs| -> BTreeSet<Part<'a>> {
        let called = spec
            .releases
            .keys()
            .filter(|name| needs.components.contains(*name));
        let used = spec
            .resources
            .keys()
            .filter(|name| needs.resources.contains(*name));
        let called = called.map(|name| Part::Component(name));
        let used = used.map(|name| Part::Resource(name));
        called.chain(used).filter_map(known).collect()
    };
    let calls = needs.iter().map(|(part, needs)| (*part, parts(needs)));
    order::waves(&calls.collect())
}

/// What a part cannot do without, in its own project.
#[derive(Default)]
struct Needs {
    components: BTreeSet<String>,
    resources: BTreeSet<String>,
}

fn needs(context: &Context<'_>, promotion: &Promotion, part: Part<'_>, release: &str) -> Needs {
    let namespace = context.namespace();
    let Wanted::Component(binding) = Wanted::of(context, promotion, part, release) else {
        return Needs::default();
    };
    let Some(frozen) = context.view.get::<ComponentReleaseSpec>(namespace, release) else {
        return Needs::default();
    };
    let (spec, workload) = (&binding.spec, &frozen.spec.workload);
    let project = &promotion.spec.owner.project_name;
    let called = connections::targets(namespace, spec, workload);
    // A track goes alone, and a project with main lines only.
    let called = called
        .into_iter()
        .filter(|one| &one.project == project && one.track.is_none());
    let used = connections::resource_targets(namespace, spec, workload);
    let used = used.into_iter().filter(|one| &one.project == project);
    Needs {
        components: called.map(|one| one.component).collect(),
        resources: used.map(|one| one.resource).collect(),
    }
}

/// What a binding is told to be: the fields that a promotion owns, and in whose name it is told.
pub(super) fn written(
    context: &Context<'_>,
    promotion: &Promotion,
    (part, release): (Part<'_>, &str),
    action: Action,
) -> Value {
    let name = promotion.name();
    let cause = match &promotion.spec.reason {
        Some(reason) => format!("Promotion {name}: {reason}"),
        None => format!("Promotion {name}"),
    };
    let mut written = Wanted::of(context, promotion, part, release).written();
    written["apiVersion"] = json!(choreo_model::API_VERSION);
    written["metadata"]["namespace"] = json!(context.namespace());
    written["metadata"]["annotations"] = json!({
        labels::ON_BEHALF_OF: promotion.spec.requested_by,
        labels::CHANGE_CAUSE: cause,
        labels::ACTION: action.as_str(),
    });
    written
}
