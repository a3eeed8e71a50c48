//! What a managed resource is to retain: its objects outlive whatever would take them away, until
//! a person says otherwise.
//!
//! A binding whose policy is `Retain` is never deleted by the platform, and while it is there
//! neither is anything its objects need: their rendered release, and the cell they are in.

use choreo_model::rendered::RenderedReleaseSpec;
use choreo_model::resource::{ResourceReleaseBindingSpec, ResourceReleaseSpec};
use choreo_model::resource_type::RetainPolicy;
use choreo_model::{RenderedRelease, ResourceReleaseBinding};

use super::{Context, rendering};
use crate::key::By;

/// What becomes of the objects of `binding`. Its status remembers what a release that is gone said.
pub(super) fn policy(context: &Context<'_>, binding: &ResourceReleaseBinding) -> RetainPolicy {
    let name = &binding.spec.resource_release;
    let release = context
        .view
        .get::<ResourceReleaseSpec>(context.namespace(), name);
    match (binding.spec.retain_policy, release) {
        (None, None) => binding.status.retain_policy.unwrap_or_default(),
        (own, release) => {
            let of_type = release.map(|release| release.spec.resource_type.spec.retain_policy);
            own.or(of_type).unwrap_or_default()
        }
    }
}

/// The rendered releases of `binding`.
pub(super) fn rendered<'a>(
    context: &Context<'a>,
    binding: &ResourceReleaseBinding,
) -> Vec<&'a RenderedRelease> {
    let owner = &binding.spec.owner;
    let of = [
        context.namespace(),
        owner.project_name.as_str(),
        owner.resource_name.as_str(),
        binding.spec.environment.as_str(),
    ];
    let mut rendered = context
        .view
        .members::<RenderedReleaseSpec>(By::ResourceEnvironment, &of);
    rendered.retain(|rendered| rendering::is_owned(rendered, binding));
    rendered
}

/// Whether `binding` has objects, and retains them.
pub(super) fn holds(context: &Context<'_>, binding: &ResourceReleaseBinding) -> bool {
    policy(context, binding) == RetainPolicy::Retain && !rendered(context, binding).is_empty()
}

/// The bindings of resources in a cell.
pub(super) fn bindings<'a>(
    context: &Context<'a>,
    project: &str,
    environment: &str,
) -> Vec<&'a ResourceReleaseBinding> {
    let of = [context.namespace(), project, environment];
    context
        .view
        .members_with_status::<ResourceReleaseBindingSpec>(By::ProjectEnvironment, &of)
}

/// Those of `bindings` that retain their objects, for a message, and those that do not.
pub(super) fn sort<'a>(
    context: &Context<'_>,
    bindings: Vec<&'a ResourceReleaseBinding>,
) -> (Vec<String>, Vec<&'a ResourceReleaseBinding>) {
    let (retained, free): (Vec<_>, Vec<_>) = bindings
        .into_iter()
        .partition(|binding| holds(context, binding));
    (retained.into_iter().map(describe).collect(), free)
}

/// What retains its objects in a cell, for a message.
pub(super) fn in_cell(context: &Context<'_>, project: &str, environment: &str) -> Vec<String> {
    sort(context, bindings(context, project, environment)).0
}

/// What would lose objects it retains if `rendered` went, for a message.
pub(super) fn of_rendered(context: &Context<'_>, rendered: &RenderedRelease) -> Vec<String> {
    let owner = &rendered.spec.owner;
    if owner.component_name.is_some() {
        return Vec::new();
    }
    let mut bindings = bindings(
        context,
        &owner.project_name,
        &rendered.spec.environment_name,
    );
    if owner.resource_name.is_some() {
        bindings.retain(|binding| rendering::is_owned(rendered, binding));
    }
    sort(context, bindings).0
}

fn describe(binding: &ResourceReleaseBinding) -> String {
    format!(
        "ResourceReleaseBinding \"{}\" (it retains its objects; to delete them too, set its \
         spec.retainPolicy to Delete)",
        binding.name()
    )
}
