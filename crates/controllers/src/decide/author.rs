//! In whose name a line of a component deploys itself: of whoever changed last what its release is made of.
//!
//! The platform's own API notes who changes a Component or Workload. Where another one does not, the
//! field manager of the last change is the nearest thing to a name.

use choreo_model::application::WorkloadSpec;
use choreo_model::release::ComponentReleaseSpec;
use choreo_model::{Object, Spec, labels};

use super::Context;
use super::line::Line;
use crate::key::By;

/// Whoever brought `release` about, if it was a person's doing: a release that differs from the latest
/// only by what its types say is nobody's.
pub(super) fn of_release(
    context: &Context<'_>,
    line: &Line<'_>,
    release: &ComponentReleaseSpec,
) -> Option<String> {
    let (namespace, component) = (context.namespace(), line.component);
    let of = [namespace, &line.owner.project_name, &line.owner.line_id()];
    let workloads = context.view.members::<WorkloadSpec>(By::Component, &of);
    let workload = workloads.first();
    let of_workload = || workload.and_then(|one| of_object(one));
    let latest = line.latest.and_then(|latest| {
        let view = context.view;
        view.get::<ComponentReleaseSpec>(namespace, &latest.name)
    });
    let Some(latest) = latest else {
        return of_workload().or_else(|| of_object(component));
    };
    if latest.spec.workload != release.workload {
        of_workload()
    } else if latest.spec.component_profile != release.component_profile {
        of_object(component)
    } else {
        None
    }
}

/// Whoever changed an object last.
fn of_object<T: Spec>(object: &Object<T>) -> Option<String> {
    object.annotation(labels::CHANGED_BY).map(str::to_owned)
}
