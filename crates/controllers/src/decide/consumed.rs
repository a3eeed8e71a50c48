//! Managed resources that a component uses: who provides them, and what is not known of them.

use choreo_compiler::{Compiled, connections};
use choreo_model::conditions::{self, reasons, types};
use choreo_model::release::ComponentReleaseSpec;
use choreo_model::resource::ResourceReleaseBindingSpec;
use choreo_model::{ReleaseBinding, ResourceReleaseBinding};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::{Context, some_of};
use crate::key::By;

/// The bindings of the resources that the workload of `release` uses, in the same environment.
pub(super) fn providers<'a>(
    context: &Context<'a>,
    binding: &ReleaseBinding,
    release: &ComponentReleaseSpec,
) -> Vec<&'a ResourceReleaseBinding> {
    connections::resource_targets(context.namespace(), &binding.spec, &release.workload)
        .iter()
        .flat_map(|target| {
            let of = [
                target.namespace.as_str(),
                &target.project,
                &target.resource,
                &target.environment,
            ];
            context
                .view
                .members_with_status::<ResourceReleaseBindingSpec>(By::ResourceEnvironment, &of)
        })
        .collect()
}

/// The resources whose outputs are not known, and why.
pub(super) fn pending(compiled: &Compiled) -> Vec<String> {
    (compiled.pending_resource_dependencies.iter())
        .map(|one| format!("resource {} ({})", one.resource, one.reason))
        .collect()
}

/// `ResourceDependenciesReady`.
pub(super) fn ready(compiled: &Compiled) -> Condition {
    let type_ = types::RESOURCE_DEPENDENCIES_READY;
    let all = compiled.resource_dependency_targets.len();
    let pending = pending(compiled);
    match (pending.len(), all) {
        (0, 0) => conditions::yes(
            type_,
            reasons::NO_RESOURCE_DEPENDENCIES,
            "No resource dependencies to resolve",
        ),
        (0, all) => conditions::yes(
            type_,
            reasons::ALL_RESOURCE_DEPENDENCIES_READY,
            format!("All {all} resource dependencies ready"),
        ),
        (waiting, all) => conditions::no(
            type_,
            reasons::RESOURCE_DEPENDENCIES_PENDING,
            format!(
                "{waiting} resource dependencies pending, {} resolved: {}",
                all - waiting,
                some_of(&pending)
            ),
        ),
    }
}
