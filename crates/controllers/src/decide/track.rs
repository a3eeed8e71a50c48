//! Deployment tracks: lines of a component beside its main line, and what goes with one that is deleted.

use choreo_model::application::ComponentSpec;
use choreo_model::conditions::reasons;
use choreo_model::release::ReleaseBindingSpec;
use choreo_model::shared::ComponentOwner;
use choreo_model::track::{DeploymentTrackSpec, DeploymentTrackStatus, TrackEnvironment};
use choreo_model::{DeploymentTrack, finalizers};

use super::line::{self, Belongings, Line, Progress};
use super::{Context, Finalizing, Obstacle, changed, hold};
use crate::decision::{Decision, Write};
use crate::key::By;

const MANAGER: &str = "deploymenttrack-controller";

pub(super) fn decide(context: &Context<'_>) -> Decision {
    let Some(track) = context.view.own::<DeploymentTrackSpec>(context.key) else {
        return Decision::default();
    };
    if track.is_deleting() {
        return finalize(context, track);
    }
    let mut writes: Vec<Write> = hold(track, finalizers::DEPLOYMENT_TRACK)
        .into_iter()
        .collect();
    let old = &track.status;
    let progress = match line(context, track) {
        Ok(line) => line::advance(context, &line),
        Err(obstacle) => Progress::obstructed(&obstacle, old.latest_release.as_ref()),
    };
    writes.extend(progress.writes);
    let status = DeploymentTrackStatus {
        observed_generation: track.generation(),
        conditions: context.conditions(track, &old.conditions, vec![progress.ready]),
        latest_release: progress.latest,
        environments: environments(context, track),
    };
    Decision {
        manager: MANAGER,
        writes,
        status: changed(old, &status).filter(|_| !progress.under_way),
        ..Decision::default()
    }
}

/// The line that a track is.
pub(super) fn line<'a>(
    context: &Context<'a>,
    track: &'a DeploymentTrack,
) -> Result<Line<'a>, Obstacle> {
    let (namespace, name) = (context.namespace(), track.name());
    let owner = own(track)?;
    let component = context.find::<ComponentSpec>(
        namespace,
        &owner.component_name,
        reasons::COMPONENT_NOT_FOUND,
    )?;
    let project = &component.spec.owner.project_name;
    if *project != owner.project_name {
        let component = component.name();
        let message = format!("component \"{component}\" is of project \"{project}\"");
        return Err(Obstacle::new(reasons::INVALID_CONFIGURATION, message));
    }
    if context.view.get::<ComponentSpec>(namespace, name).is_some() {
        let message = format!(
            "there is a Component \"{name}\", whose objects have the names that those of the track \
             would have; give the track another name"
        );
        return Err(Obstacle::new(reasons::NAME_TAKEN, message));
    }
    Ok(Line::track(component, track, owner))
}

/// What the track is called and of which component.
fn own(track: &DeploymentTrack) -> Result<ComponentOwner, Obstacle> {
    let named = track.spec.named(track.name());
    named.map_err(|message| Obstacle::new(reasons::INVALID_CONFIGURATION, message))
}

/// Where the track is deployed, by name.
fn environments(context: &Context<'_>, track: &DeploymentTrack) -> Vec<TrackEnvironment> {
    let Ok(owner) = own(track) else {
        return Vec::new();
    };
    let of = [context.namespace(), &owner.project_name, &owner.line_id()];
    let bindings = context
        .view
        .members_with_status::<ReleaseBindingSpec>(By::Component, &of);
    let mut all: Vec<TrackEnvironment> = bindings
        .into_iter()
        .map(|binding| TrackEnvironment {
            name: binding.spec.environment.clone(),
            release: binding.status.release.clone(),
        })
        .collect();
    all.sort();
    all
}

fn finalize(context: &Context<'_>, track: &DeploymentTrack) -> Decision {
    let belongings = own(track).ok().map(|owner| {
        let of = [context.namespace(), &owner.project_name, &owner.line_id()];
        Belongings::of(context, By::Component, &of)
    });
    let deletion = Finalizing {
        manager: MANAGER,
        finalizer: finalizers::DEPLOYMENT_TRACK,
        reason: reasons::DEPLOYMENT_TRACK_FINALIZING,
        writes: belongings.iter().flat_map(Belongings::delete).collect(),
        waits: belongings.iter().flat_map(Belongings::names).collect(),
    };
    let old = &track.status;
    deletion.decide(track, |new| DeploymentTrackStatus {
        observed_generation: track.generation(),
        conditions: context.conditions(track, &old.conditions, new),
        latest_release: old.latest_release.clone(),
        environments: environments(context, track),
    })
}
