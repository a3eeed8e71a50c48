//! Components: their main lines, and everything that goes with a component that is deleted.

use choreo_model::application::{ComponentSpec, ComponentStatus};
use choreo_model::conditions::reasons;
use choreo_model::track::DeploymentTrackSpec;
use choreo_model::workflow::WorkflowRunSpec;
use choreo_model::{Component, finalizers};

use super::line::{self, Belongings, Line};
use super::{Context, Finalizing, changed, delete_all, hold};
use crate::decision::{Decision, Write};
use crate::key::By;

const MANAGER: &str = "component-controller";

pub(super) fn decide(context: &Context<'_>) -> Decision {
    let Some(component) = context.view.own::<ComponentSpec>(context.key) else {
        return Decision::default();
    };
    if component.is_deleting() {
        return finalize(context, component);
    }
    let mut writes: Vec<Write> = hold(component, finalizers::COMPONENT).into_iter().collect();
    let old = &component.status;
    let progress = line::advance(context, &Line::main(component));
    writes.extend(progress.writes);
    let status = ComponentStatus {
        observed_generation: component.generation(),
        conditions: context.conditions(component, &old.conditions, vec![progress.ready]),
        latest_release: progress.latest,
    };
    Decision {
        manager: MANAGER,
        writes,
        status: changed(old, &status).filter(|_| !progress.under_way),
        ..Decision::default()
    }
}

/// What belongs to the main line goes, then what belongs to tracks, whether they are declared or not.
fn finalize(context: &Context<'_>, component: &Component) -> Decision {
    let project = component.spec.owner.project_name.as_str();
    let of = [context.namespace(), project, component.name()];
    let main = Belongings::of(context, By::Component, &of);
    let of_tracks = Belongings::of(context, By::Tracks, &of);
    let tracks = context.view.members::<DeploymentTrackSpec>(By::Tracks, &of);
    let runs = context.view.members::<WorkflowRunSpec>(By::Component, &of);
    let writes = main
        .delete()
        .chain(delete_all(tracks.iter().copied()))
        .chain(of_tracks.delete())
        .chain(delete_all(runs.iter().copied()))
        .collect();
    let waits = main
        .names()
        .chain(super::names(tracks))
        .chain(of_tracks.names())
        .chain(super::names(runs))
        .collect();
    let deletion = Finalizing {
        manager: MANAGER,
        finalizer: finalizers::COMPONENT,
        reason: reasons::COMPONENT_FINALIZING,
        writes,
        waits,
    };
    let old = &component.status;
    deletion.decide(component, |new| ComponentStatus {
        observed_generation: component.generation(),
        conditions: context.conditions(component, &old.conditions, new),
        latest_release: old.latest_release.clone(),
    })
}
