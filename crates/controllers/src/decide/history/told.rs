//! Records that have no outcome get it from their binding, which tells it first.

use choreo_compiler::history;
use choreo_model::DeploymentRecord;
use choreo_model::Spec as _;
use choreo_model::history::{Action, DeploymentRecordSpec, DeploymentRecordStatus, Outcome};
use choreo_model::project::ProjectReleaseBindingSpec;
use choreo_model::release::ReleaseBindingSpec;
use choreo_model::resource::ResourceReleaseBindingSpec;

use super::super::{Context, changed};
use super::recorded::Recorded;
use super::{MANAGER, status_of, text};
use crate::aspects::Aspects;
use crate::decision::Decision;

/// The decision about a record that has no outcome: it gets that of which its binding tells.
pub(in super::super) fn decide(context: &Context<'_>) -> Decision {
    let Some(record) = context.view.own::<DeploymentRecordSpec>(context.key) else {
        return Decision::default();
    };
    Decision {
        manager: MANAGER,
        status: told(context, record).and_then(|status| changed(&record.status, &status)),
        ..Decision::default()
    }
}

fn told(context: &Context<'_>, record: &DeploymentRecord) -> Option<DeploymentRecordStatus> {
    let spec = &record.spec;
    if spec.action == Action::Delete {
        let status = history::end(&spec.hash, Outcome::Succeeded, &spec.started_at, "");
        return Some(status);
    }
    match spec.binding.kind.as_str() {
        ReleaseBindingSpec::KIND => told_by::<ReleaseBindingSpec>(context, record),
        ProjectReleaseBindingSpec::KIND => told_by::<ProjectReleaseBindingSpec>(context, record),
        ResourceReleaseBindingSpec::KIND => told_by::<ResourceReleaseBindingSpec>(context, record),
        _ => None,
    }
}

/// What its binding tells of a record.
fn told_by<T: Recorded>(
    context: &Context<'_>,
    record: &DeploymentRecord,
) -> Option<DeploymentRecordStatus> {
    let (spec, known) = (&record.spec, &record.spec.binding);
    let namespace = record.namespace();
    let binding = (context.view).get_with::<T>(namespace, &known.name, Aspects::HISTORY);
    let Some(binding) = binding.filter(|binding| binding.uid() == known.uid) else {
        let why = format!("{} was deleted", known.kind);
        let now = text(&context.now);
        return Some(history::end(&spec.hash, Outcome::Superseded, &now, &why));
    };
    let head = T::head(&binding.status)?;
    let ended = head.sequence == spec.sequence && head.outcome.is_some();
    ended.then(|| status_of(head))
}
