//! Rendered releases: their objects put on a plane, kept as wanted, watched, taken away.

use std::collections::{BTreeMap, BTreeSet};

use choreo_model::conditions::{self, reasons, types};
use choreo_model::rendered::{
    Health, RenderedReleaseSpec, RenderedReleaseStatus, RenderedResource, ResourceStatus,
};
use choreo_model::shared::TargetPlane;
use choreo_model::{RenderedRelease, finalizers, labels};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use k8s_openapi::jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{Context, Obstacle, changed, hold, let_go, no_later, rendering, retention, some_of};
use crate::decision::{Decision, Home, Write};
use crate::live::{Live, LiveKey, Part, PodOwner};
use crate::manifests::hash;
use crate::placements::Standing;
use crate::view::View;

const MANAGER: &str = labels::RENDERED_RELEASE_CONTROLLER;

/// What keeps a rendered release until its objects are gone from a plane.
pub(super) fn finalizer(plane: TargetPlane) -> &'static str {
    match plane {
        TargetPlane::DataPlane => finalizers::DATA_PLANE,
        TargetPlane::ObservabilityPlane => finalizers::OBSERVABILITY_PLANE,
    }
}

pub(super) fn decide(context: &Context<'_>) -> Decision {
    let Some(rendered) = context.view.own::<RenderedReleaseSpec>(context.key) else {
        return Decision::default();
    };
    if rendered.is_deleting() {
        return finalize(context, rendered);
    }
    let finalizer = finalizer(rendered.spec.target_plane);
    let mut writes: Vec<Write> = hold(rendered, finalizer).into_iter().collect();
    let live = context.view.live_of(rendered.uid());
    let (mut unseen, mut look_again) = (false, None);
    let (applied, resources) = match home(context, rendered) {
        Err(obstacle) => {
            let applied = conditions::no(
                types::RESOURCES_APPLIED,
                reasons::APPLY_FAILED,
                obstacle.message,
            );
            (applied, rendered.status.resources.clone())
        }
        Ok(home) => {
            let wanted = wanted(context, home, rendered);
            let placing = place(context, rendered, (home, &wanted), &live, &mut writes);
            (unseen, look_again) = (placing.unseen, placing.look_again);
            if rendered.spec.target_plane == TargetPlane::ObservabilityPlane {
                writes.splice(0..0, namespaces(context, home, &wanted));
            }
            (
                placing.applied,
                resources(context, rendered, &wanted, &live),
            )
        }
    };
    let old = &rendered.status;
    let status = RenderedReleaseStatus {
        observed_generation: rendered.generation(),
        resources,
        conditions: context.conditions(rendered, &old.conditions, vec![applied]),
    };
    Decision {
        manager: MANAGER,
        writes,
        // What was seen before an object was written tells nothing of how it is now.
        status: changed(old, &status).filter(|_| !unseen),
        look_again,
        ..Decision::default()
    }
}

fn home(context: &Context<'_>, rendered: &RenderedRelease) -> Result<usize, Obstacle> {
    let spec = &rendered.spec;
    match rendering::home(context, &spec.environment_name, spec.target_plane)? {
        Home::Plane(home) => Ok(home),
        Home::Control => Err(Obstacle::new(
            reasons::APPLY_FAILED,
            "the environment has no data plane",
        )),
    }
}

/// An object as it is to be on the plane.
struct Wanted {
    /// Its place among the objects of the rendered release.
    index: usize,
    id: String,
    key: LiveKey,
    hash: u64,
}

fn wanted(context: &Context<'_>, home: usize, rendered: &RenderedRelease) -> Vec<Wanted> {
    let restarted = rendered.annotation(labels::RESTARTED_AT);
    let mut wanted: Vec<Wanted> = (context.view.manifests(rendered).iter().enumerate())
        .map(|(index, manifest)| Wanted {
            index,
            id: manifest.id().into_owned(),
            key: manifest.key(home),
            // All that the object says is what is rendered, and what `labelled` adds.
            hash: hash(&(manifest.hash, manifest.id(), rendered.uid(), restarted)),
        })
        .collect();
    // Of what is rendered twice under one name the last counts, as if all were applied in their order.
    let last: BTreeMap<LiveKey, usize> = (wanted.iter())
        .map(|one| (one.key.clone(), one.index))
        .collect();
    wanted.retain(|one| last.get(&one.key) == Some(&one.index));
    // Namespaces first: other objects may live in them. Then policies, so that nothing is open before they hold.
    wanted.sort_by_key(|one| match &*one.key.kind {
        "Namespace" => 0,
        kind if kind.ends_with("Policy") => 1,
        _ => 2,
    });
    wanted
}

/// The object with the labels by which it is found again.
fn labelled(rendered: &RenderedRelease, resource: RenderedResource) -> Value {
    let RenderedResource { id, mut object } = resource;
    let added = [
        (labels::MANAGED_BY, labels::RENDERED_RELEASE_CONTROLLER),
        (labels::RENDERED_RELEASE_RESOURCE_ID, id.as_str()),
        (labels::RENDERED_RELEASE_UID, rendered.uid()),
        (labels::RENDERED_RELEASE_NAME, rendered.name()),
        (labels::RENDERED_RELEASE_NAMESPACE, rendered.namespace()),
    ];
    for (key, value) in added {
        put(&mut object, &["metadata", "labels", key], json!(value));
    }
    let is_deployment = object["kind"] == "Deployment"
        && object["apiVersion"]
            .as_str()
            .is_some_and(|version| version.starts_with("apps/"));
    if let (Some(restarted), true) = (rendered.annotation(labels::RESTARTED_AT), is_deployment) {
        let path = [
            "spec",
            "template",
            "metadata",
            "annotations",
            labels::RESTARTED_AT,
        ];
        put(&mut object, &path, json!(restarted));
    }
    object
}

/// Sets a field, making the objects on the way to it.
fn put(object: &mut Value, path: &[&str], value: Value) {
    match path {
        [] => *object = value,
        [first, rest @ ..] => {
            if !object.is_object() {
                *object = Value::Object(Map::new());
            }
            put(&mut object[*first], rest, value);
        }
    }
}

/// How far it goes to put objects on a plane.
struct Placing {
    applied: Condition,
    /// Whether a watch is about to bring what was written, or is going to be.
    unseen: bool,
    /// When it should have.
    look_again: Option<Timestamp>,
}

/// Puts what is wanted on the plane and takes away what is not.
fn place(
    context: &Context<'_>,
    rendered: &RenderedRelease,
    (home, wanted): (usize, &[Wanted]),
    live: &[&Live],
    writes: &mut Vec<Write>,
) -> Placing {
    let mut waits = BTreeSet::new();
    let own: BTreeSet<&str> = wanted
        .iter()
        .filter(|one| *one.key.kind == *"Namespace")
        .map(|one| &*one.key.name)
        .collect();
    let (mut due, mut unseen) = (Vec::new(), false);
    let mut look_again: Option<Timestamp> = None;
    for one in wanted {
        if let Some(wait) = missing_namespace(context, home, &own, one) {
            waits.insert(wait);
            continue;
        }
        match context.view.standing(&one.key, one.hash, context.now.0) {
            Standing::Seen => {}
            Standing::Awaited(until) => {
                unseen = true;
                no_later(&mut look_again, until);
            }
            Standing::Due => {
                unseen = true;
                due.push(one);
            }
            Standing::Lost => due.push(one),
        }
    }
    writes.extend(placed(context, rendered, &due));
    let kept: BTreeSet<&LiveKey> = wanted.iter().map(|one| &one.key).collect();
    writes.extend(remove(
        live.iter()
            .copied()
            .filter(|live| !kept.contains(&live.key)),
    ));
    // What is in the way is told at once.
    let unseen = unseen && context.failure().is_none() && waits.is_empty();
    let type_ = types::RESOURCES_APPLIED;
    let applied = match (context.failure(), waits.is_empty()) {
        (Some(failure), _) => conditions::no(type_, reasons::APPLY_FAILED, failure),
        (None, false) => {
            let waits: Vec<String> = waits.into_iter().collect();
            conditions::no(type_, reasons::APPLY_PENDING, some_of(&waits))
        }
        (None, true) => conditions::yes(
            type_,
            reasons::APPLY_SUCCEEDED,
            format!("{} resources applied", wanted.len()),
        ),
    };
    Placing {
        applied,
        unseen,
        look_again,
    }
}

/// The namespaces that are missing. On a data plane those are cells, which projects make; an
/// observability plane has none, so nobody else makes them there.
fn namespaces(context: &Context<'_>, home: usize, wanted: &[Wanted]) -> Vec<Write> {
    let names: BTreeSet<&str> = wanted.iter().map(|one| &*one.key.namespace).collect();
    names
        .into_iter()
        .filter(|name| !name.is_empty() && context.view.namespace(home, name).is_none())
        .map(|name| Write::Apply {
            home: Home::Plane(home),
            object: json!({
                "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name },
            }),
        })
        .collect()
}

/// The writes of what is due. Only for these the whole objects are looked at.
fn placed(context: &Context<'_>, rendered: &RenderedRelease, due: &[&Wanted]) -> Vec<Write> {
    if due.is_empty() {
        return Vec::new();
    }
    let objects = context.view.objects(rendered).into_iter();
    let mut objects: Vec<Option<RenderedResource>> = objects.map(Some).collect();
    due.iter()
        .filter_map(|one| {
            let resource = objects.get_mut(one.index)?.take()?;
            Some(Write::Place {
                key: one.key.clone(),
                object: labelled(rendered, resource),
                hash: one.hash,
            })
        })
        .collect()
}

/// What an object waits for when its namespace is not there.
fn missing_namespace(
    context: &Context<'_>,
    home: usize,
    own: &BTreeSet<&str>,
    one: &Wanted,
) -> Option<String> {
    let namespace = match &*one.key.kind {
        "Namespace" => &*one.key.name,
        _ => &*one.key.namespace,
    };
    if namespace.is_empty() {
        return None;
    }
    match context.view.namespace(home, namespace) {
        Some(false) => None,
        None if own.contains(namespace) => None,
        Some(true) => Some(format!(
            "waiting for namespace \"{namespace}\", which is being deleted, to be gone"
        )),
        None => Some(format!(
            "waiting for namespace \"{namespace}\": it is made by the ProjectReleaseBinding of \
             the project in this environment"
        )),
    }
}

/// Deletes those of the live objects whose deletion was not asked for yet.
pub(super) fn remove<'a>(live: impl Iterator<Item = &'a Live>) -> impl Iterator<Item = Write> {
    live.filter(|live| !live.deleting).map(|live| {
        let mut metadata = json!({ "name": *live.key.name });
        if !live.key.namespace.is_empty() {
            metadata["namespace"] = json!(*live.key.namespace);
        }
        let object = json!({
            "apiVersion": *live.key.api_version, "kind": *live.key.kind, "metadata": metadata,
        });
        Write::Delete {
            home: Home::Plane(live.key.home),
            object,
            uid: live.uid.to_string(),
        }
    })
}

fn resources(
    context: &Context<'_>,
    rendered: &RenderedRelease,
    wanted: &[Wanted],
    live: &[&Live],
) -> Vec<ResourceStatus> {
    let live: BTreeMap<&LiveKey, &Live> = live.iter().map(|live| (&live.key, *live)).collect();
    wanted
        .iter()
        .map(|one| {
            let mut seen = observed(one, live.get(&one.key).copied());
            explain(context, rendered, &mut seen);
            let old = rendered
                .status
                .resources
                .iter()
                .find(|old| old.id == one.id);
            timed(seen, old, context)
        })
        .collect()
}

fn observed(one: &Wanted, live: Option<&Live>) -> ResourceStatus {
    let (group, version) = one.key.group_version();
    let health = match live {
        None => Health::Unknown,
        Some(live) if live.deleting => Health::Progressing,
        Some(live) => live.health,
    };
    ResourceStatus {
        id: one.id.clone(),
        group: group.to_owned(),
        version: version.to_owned(),
        kind: one.key.kind.as_ref().to_owned(),
        name: one.key.name.as_ref().to_owned(),
        namespace: one.key.namespace.as_ref().to_owned(),
        status: live.and_then(|live| live.status.as_ref()?.value()),
        health_status: health,
        message: live.and_then(|live| live.message.as_deref().map(str::to_owned)),
        last_observed_time: None,
    }
}

/// A workload that does not come up because its containers keep failing says so.
fn explain(context: &Context<'_>, rendered: &RenderedRelease, seen: &mut ResourceStatus) {
    let runs = matches!(
        seen.kind.as_str(),
        "Deployment" | "StatefulSet" | "Job" | "CronJob"
    );
    let settled = matches!(seen.health_status, Health::Healthy | Health::Suspended);
    if !runs || settled {
        return;
    }
    let owner = &rendered.spec.owner;
    let line = owner.line();
    let Some(part) = Part::of(line.as_deref(), owner.resource_name.as_deref()) else {
        return;
    };
    let of = PodOwner {
        namespace: context.namespace(),
        project: &owner.project_name,
        part,
        environment: &rendered.spec.environment_name,
    };
    if let Some(why) = context.view.failing_pod(&of) {
        seen.health_status = Health::Degraded;
        seen.message = Some(why.to_owned());
    }
}

/// Keeps the time of what did not change, so that an unchanged status is not written.
fn timed(
    mut seen: ResourceStatus,
    old: Option<&ResourceStatus>,
    context: &Context<'_>,
) -> ResourceStatus {
    let time = old.and_then(|old| old.last_observed_time.clone());
    seen.last_observed_time.clone_from(&time);
    if old != Some(&seen) || time.is_none() {
        seen.last_observed_time = Some(context.now.clone());
    }
    seen
}

/// Takes every live object away, wherever it is, and goes once none is left. The environment and
/// the plane may be gone by now: the objects themselves say where they are.
fn finalize(context: &Context<'_>, rendered: &RenderedRelease) -> Decision {
    let retained = retention::of_rendered(context, rendered);
    if !retained.is_empty() {
        let message = format!("waiting for {} to be deleted", some_of(&retained));
        let held = conditions::yes(types::FINALIZING, reasons::RETAIN_HOLD, message);
        return finalizing(context, rendered, held, Vec::new());
    }
    let live = context.view.live_of(rendered.uid());
    let mut writes: Vec<Write> = remove(live.iter().copied()).collect();
    let mut waits: Vec<String> = live.iter().map(|live| live.key.title()).collect();
    waits.extend(unwatched(context, rendered));
    if waits.is_empty() {
        let held = [finalizers::DATA_PLANE, finalizers::OBSERVABILITY_PLANE];
        let held = held
            .into_iter()
            .find(|finalizer| rendered.has_finalizer(finalizer));
        writes.extend(held.and_then(|finalizer| let_go(rendered, finalizer)));
        return Decision {
            manager: MANAGER,
            writes,
            ..Decision::default()
        };
    }
    let type_ = types::FINALIZING;
    let finalizing = match context.failure() {
        Some(failure) => conditions::yes(type_, reasons::CLEANUP_FAILED, failure),
        None => conditions::yes(
            type_,
            reasons::CLEANUP_IN_PROGRESS,
            format!("waiting for {} to be gone", some_of(&waits)),
        ),
    };
    self::finalizing(context, rendered, finalizing, writes)
}

fn finalizing(
    context: &Context<'_>,
    rendered: &RenderedRelease,
    condition: Condition,
    writes: Vec<Write>,
) -> Decision {
    let old = &rendered.status;
    let status = RenderedReleaseStatus {
        observed_generation: rendered.generation(),
        resources: old.resources.clone(),
        conditions: context.conditions(rendered, &old.conditions, vec![condition]),
    };
    Decision {
        manager: MANAGER,
        writes,
        status: changed(old, &status),
        ..Decision::default()
    }
}

/// Types of objects that may be on the plane although none was seen, because the first list of
/// them has not arrived.
fn unwatched(context: &Context<'_>, rendered: &RenderedRelease) -> BTreeSet<String> {
    let Ok(home) = home(context, rendered) else {
        return BTreeSet::new();
    };
    types_of(context.view, rendered)
        .into_iter()
        .filter(|(api_version, kind)| {
            !context
                .view
                .is_watched(home, &format!("{api_version}/{kind}"))
        })
        .map(|(_, kind)| format!("the list of every {kind}"))
        .collect()
}

/// The apiVersion and kind of every object the release has or had.
pub(crate) fn types_of(view: &View<'_>, rendered: &RenderedRelease) -> BTreeSet<(String, String)> {
    let wanted = view.manifests(rendered).iter().map(|one| {
        let (api_version, kind) = one.type_();
        (api_version.to_owned(), kind.to_owned())
    });
    let had = rendered.status.resources.iter().map(|one| {
        let version = match one.group.as_str() {
            "" => one.version.clone(),
            group => format!("{group}/{}", one.version),
        };
        (version, one.kind.clone())
    });
    wanted.chain(had).collect()
}
