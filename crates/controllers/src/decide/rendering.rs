//! What bindings of components and of projects have in common: where they go, and the rendered
//! release they become.

use choreo_compiler::Compiled;
use choreo_compiler::diagnostic::summary;
use choreo_model::conditions::{self, reasons};
use choreo_model::plane::DataPlaneSpec;
use choreo_model::platform::EnvironmentSpec;
use choreo_model::rendered::{RenderedOwner, RenderedReleaseSpec, RenderedResource};
use choreo_model::shared::TargetPlane;
use choreo_model::{DataPlane, Environment, Object, RenderedRelease, Spec, labels};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use serde_json::{Value, json};

use super::{Context, Obstacle, metadata, observability};
use crate::decision::{Home, Write};
use crate::tables::Kept;

pub(super) fn environment<'a>(
    context: &Context<'a>,
    name: &str,
) -> Result<&'a Environment, Obstacle> {
    context.find::<EnvironmentSpec>(context.namespace(), name, reasons::ENVIRONMENT_NOT_FOUND)
}

/// The data plane of an environment: the one it names, or the one called `default`.
pub(super) fn data_plane<'a>(
    context: &Context<'a>,
    environment: &Environment,
) -> Result<&'a DataPlane, Obstacle> {
    let find = |namespace: &str, name: &str| context.view.get::<DataPlaneSpec>(namespace, name);
    let Some(reference) = &environment.spec.data_plane_ref else {
        return find(context.namespace(), "default")
            .or_else(|| find("", "default"))
            .ok_or_else(|| {
                Obstacle::new(
                    reasons::DATA_PLANE_NOT_FOUND,
                    format!(
                        "Environment \"{}\" names no data plane, and there is neither a DataPlane \
                         nor a ClusterDataPlane \"default\"",
                        environment.name()
                    ),
                )
            });
    };
    let namespace = reference.namespace(context.namespace()).unwrap_or_default();
    find(namespace, &reference.name).ok_or_else(|| {
        Obstacle::new(
            reasons::DATA_PLANE_NOT_FOUND,
            format!("{} \"{}\" not found", reference.kind, reference.name),
        )
    })
}

/// The release that a binding names, and the words for what may be wrong with that.
pub(super) struct Pin<'a> {
    /// Its name.
    pub(super) name: &'a str,
    /// The reason and the message when none is named.
    pub(super) unset: (&'static str, &'static str),
    /// The reason when it is not there.
    pub(super) missing: &'static str,
    /// What releases of its kind are of.
    pub(super) of: &'static str,
    /// What the binding is of.
    pub(super) owner: String,
}

impl Pin<'_> {
    /// The release, which must be of what the binding is of.
    pub(super) fn find<'a, T: Kept>(
        &self,
        context: &Context<'a>,
        owner: impl FnOnce(&T) -> String,
    ) -> Result<&'a T, Obstacle> {
        let name = self.name;
        if name.is_empty() {
            let (reason, message) = self.unset;
            return Err(Obstacle::new(reason, message));
        }
        let release = context.find::<T>(context.namespace(), name, self.missing)?;
        let of = owner(&release.spec);
        if of != self.owner {
            return Err(Obstacle::new(
                reasons::INVALID_RELEASE_CONFIGURATION,
                format!(
                    "{} \"{name}\" is of {} \"{of}\", this binding of \"{}\"",
                    T::KIND,
                    self.of,
                    self.owner
                ),
            ));
        }
        Ok(&release.spec)
    }
}

/// The rendered release a binding becomes.
pub(super) struct Rendering<'a> {
    pub(super) name: &'a str,
    pub(super) owner: RenderedOwner,
    pub(super) environment: &'a str,
    /// Where the objects go; those for other planes are left out.
    pub(super) plane: TargetPlane,
    pub(super) compiled: &'a Compiled,
}

/// The errors of a compilation as what stands in the way.
pub(super) fn check(compiled: &Compiled) -> Result<(), Obstacle> {
    if !compiled.has_errors() {
        return Ok(());
    }
    Err(Obstacle::new(
        reasons::RENDERING_FAILED,
        format!(
            "Failed to render resources: {}",
            summary(&compiled.diagnostics)
        ),
    ))
}

/// The rendered release `rendering`, owned by `binding`: what is there, and the write that makes
/// it as wanted, if one is needed.
pub(super) fn release<'a, T: Spec>(
    context: &Context<'a>,
    binding: &Object<T>,
    rendering: Rendering<'_>,
) -> Result<(Option<&'a RenderedRelease>, Option<Write>), Obstacle> {
    let namespace = context.namespace();
    let there = context
        .view
        .get_with_status::<RenderedReleaseSpec>(namespace, rendering.name);
    if let Some(there) = there
        && !is_owned(there, binding)
    {
        return Err(Obstacle::new(
            reasons::RELEASE_OWNERSHIP_CONFLICT,
            format!(
                "RenderedRelease \"{}\" belongs to another binding",
                rendering.name
            ),
        ));
    }
    let metadata = wanted_metadata(binding, &rendering);
    let (compiled, plane) = (rendering.compiled, rendering.plane);
    let spec = spec(rendering);
    let settled = there.is_some_and(|there| {
        let objects = compiled.objects_for(plane);
        let objects = objects.map(|one| (one.id.as_str(), &one.object));
        let is_same = || there.spec == spec && context.view.has_objects(there, objects);
        there.is_deleting() || (has_metadata(there, &metadata) && is_same())
    });
    let write = (!settled)
        .then(|| written(metadata, &spec, resources(compiled, plane)))
        .flatten();
    Ok((there, write))
}

/// The write of a rendered release. The objects are most of it, and are not copied.
fn written(
    metadata: Value,
    spec: &RenderedReleaseSpec,
    resources: Vec<RenderedResource>,
) -> Option<Write> {
    let resources = resources.into_iter();
    let resources = resources.map(|RenderedResource { id, object }| {
        let fields = [("id", Value::from(id)), ("object", object)];
        Value::from_iter(fields)
    });
    let mut spec = serde_json::to_value(spec).ok()?;
    spec["resources"] = resources.collect();
    Some(super::apply_value(
        RenderedReleaseSpec::KIND,
        metadata,
        spec,
    ))
}

/// The objects for a plane, as a rendered release holds them.
pub(super) fn resources(compiled: &Compiled, plane: TargetPlane) -> Vec<RenderedResource> {
    let objects = compiled.objects_for(plane);
    let resources = objects.map(|one| RenderedResource {
        id: one.id.clone(),
        object: Value::from(&one.object),
    });
    resources.collect()
}

/// All of the specification but the objects, which the index keeps apart.
fn spec(rendering: Rendering<'_>) -> RenderedReleaseSpec {
    RenderedReleaseSpec {
        owner: rendering.owner,
        environment_name: rendering.environment.to_owned(),
        resources: Vec::new(),
        interval: None,
        progressing_interval: None,
        target_plane: rendering.plane,
    }
}

fn wanted_metadata<T: Spec>(binding: &Object<T>, rendering: &Rendering<'_>) -> Value {
    let mut labels = vec![
        (labels::NAMESPACE, binding.namespace()),
        (labels::PROJECT, rendering.owner.project_name.as_str()),
        (labels::ENVIRONMENT, rendering.environment),
    ];
    if let Some(component) = &rendering.owner.component_name {
        labels.push((labels::COMPONENT, component));
    }
    if let Some(track) = &rendering.owner.track_name {
        labels.push((labels::TRACK, track));
    }
    if let Some(resource) = &rendering.owner.resource_name {
        labels.push((labels::RESOURCE, resource));
    }
    if let Some(api) = &rendering.owner.api_name {
        labels.push((labels::API, api));
    }
    let mut metadata = metadata(binding.namespace(), rendering.name, &labels);
    metadata["ownerReferences"] = json!([{
        "apiVersion": choreo_model::API_VERSION,
        "kind": binding.kind(),
        "name": binding.name(),
        "uid": binding.uid(),
        "controller": true,
        "blockOwnerDeletion": true,
    }]);
    // Held from the beginning, so that nobody has to write it a second time for that.
    metadata["finalizers"] = json!([super::rendered::finalizer(rendering.plane)]);
    if let Some(restarted) = binding.annotation(labels::RESTARTED_AT) {
        metadata["annotations"] = json!({ labels::RESTARTED_AT: restarted });
    }
    metadata
}

fn has_metadata(there: &RenderedRelease, wanted: &Value) -> bool {
    let has_all = |wanted: &Value, present: fn(&RenderedRelease, &str) -> Option<String>| {
        wanted
            .as_object()
            .into_iter()
            .flatten()
            .all(|(key, value)| present(there, key).as_deref() == value.as_str())
    };
    has_all(&wanted["labels"], |there, key| {
        there.label(key).map(str::to_owned)
    }) && has_all(&wanted["annotations"], |there, key| {
        there.annotation(key).map(str::to_owned)
    })
}

/// Whether `rendered` belongs to `binding`.
pub(super) fn is_owned<T: Spec>(rendered: &RenderedRelease, binding: &Object<T>) -> bool {
    let owners = rendered.metadata.owner_references.iter().flatten();
    owners
        .map(|owner| owner.uid.as_str())
        .any(|uid| uid == binding.uid())
}

/// Whether the rendered release `name` is as wanted, as a condition of `type_`.
pub(super) fn synced(
    context: &Context<'_>,
    type_: &str,
    name: &str,
    there: Option<&RenderedRelease>,
) -> Condition {
    match (context.failure(), there) {
        (Some(failure), _) => conditions::no(type_, reasons::RELEASE_UPDATE_FAILED, failure),
        (None, None) => conditions::yes(
            type_,
            reasons::RELEASE_CREATED,
            format!("RenderedRelease \"{name}\" was created"),
        ),
        (None, Some(there)) if there.is_deleting() => conditions::no(
            type_,
            reasons::RELEASE_UPDATE_FAILED,
            format!(
                "RenderedRelease \"{name}\" is being deleted; it is made again once it is gone"
            ),
        ),
        (None, Some(_)) => conditions::yes(
            type_,
            reasons::RELEASE_SYNCED,
            format!("RenderedRelease \"{name}\" is up to date"),
        ),
    }
}

/// Deletes rendered releases.
pub(super) fn delete(rendered: &[&RenderedRelease]) -> Vec<Write> {
    super::delete_all(rendered.iter().copied()).collect()
}

/// Where the live objects of an environment are that go to `plane`.
pub(super) fn home(
    context: &Context<'_>,
    environment: &str,
    plane: TargetPlane,
) -> Result<Home, Obstacle> {
    let environment = self::environment(context, environment)?;
    let data_plane = data_plane(context, environment)?;
    let name = match plane {
        TargetPlane::DataPlane => title(data_plane),
        TargetPlane::ObservabilityPlane => {
            let plane = observability::plane(context, data_plane);
            title(plane.ok_or_else(|| {
                Obstacle::new(
                    reasons::APPLY_FAILED,
                    format!(
                        "{} \"{}\" has no observability plane, and none is called \"default\"",
                        data_plane.kind(),
                        data_plane.name()
                    ),
                )
            })?)
        }
    };
    Ok(Home::Plane(context.view.home(&name)))
}

fn title<T: Spec>(plane: &Object<T>) -> String {
    format!("{}/{}/{}", plane.kind(), plane.namespace(), plane.name())
}
