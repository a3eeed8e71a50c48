//! What of a component concerns observability: where its alerts go, and the objects that go to the
//! observability plane instead of its cell.

use choreo_compiler::Compiled;
use choreo_model::observability::ObservabilityAlertsNotificationChannelSpec;
use choreo_model::plane::ObservabilityPlaneSpec;
use choreo_model::rendered::RenderedReleaseSpec;
use choreo_model::shared::TargetPlane;
use choreo_model::{DataPlane, ObservabilityPlane, ReleaseBinding, names};

use super::{Context, Obstacle, component_binding, rendering};
use crate::decision::Write;
use crate::key::By;

/// The channel of the alerts of an environment that name none.
pub(super) fn channel<'a>(context: &Context<'a>, environment: &str) -> Option<&'a str> {
    let of = [context.namespace(), environment];
    let channels = context
        .view
        .members::<ObservabilityAlertsNotificationChannelSpec>(By::Environment, &of);
    let default = channels.into_iter().find(|one| one.spec.is_env_default)?;
    Some(default.name())
}

/// The observability plane of a data plane: the one it names, or the one called `default`.
pub(super) fn plane<'a>(
    context: &Context<'a>,
    data_plane: &DataPlane,
) -> Option<&'a ObservabilityPlane> {
    let find =
        |namespace: &str, name: &str| context.view.get::<ObservabilityPlaneSpec>(namespace, name);
    match &data_plane.spec.observability_plane_ref {
        Some(reference) => {
            let namespace = reference.namespace(data_plane.namespace());
            find(namespace.unwrap_or_default(), &reference.name)
        }
        None => find(context.namespace(), "default").or_else(|| find("", "default")),
    }
}

/// The writes that bring the objects for the observability plane there. Without a plane they are
/// left out: a component runs whether or not anybody watches it.
pub(super) fn writes(
    context: &Context<'_>,
    binding: &ReleaseBinding,
    data_plane: &DataPlane,
    compiled: &Compiled,
) -> Result<Vec<Write>, Obstacle> {
    let plane = TargetPlane::ObservabilityPlane;
    let line = binding.spec.owner.line();
    let name = names::observability_release(&line, &binding.spec.environment);
    let has_objects = compiled.objects_for(plane).next().is_some();
    if has_objects && self::plane(context, data_plane).is_some() {
        let (_, write) = component_binding::rendered(context, binding, (&name, plane), compiled)?;
        return Ok(write.into_iter().collect());
    }
    let there = context
        .view
        .get::<RenderedReleaseSpec>(context.namespace(), &name);
    let own = there.filter(|there| rendering::is_owned(there, binding));
    Ok(rendering::delete(own.as_slice()))
}
