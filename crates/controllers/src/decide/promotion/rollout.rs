//! After a promotion has started: one part after the other, and the way back.

use choreo_model::Promotion;
use choreo_model::brakes::deadline;
use choreo_model::conditions::{reasons, types};
use choreo_model::history::Action;
use choreo_model::promotion::{Part, PlannedComponent, Progress, PromotionPhase};
use k8s_openapi::jiff::{SignedDuration, Timestamp};

use super::super::{Context, Obstacle, no_later};
use super::bound::{self, Bound};
use super::road::Road;
use super::{Step, brakes, counted, others, plan};
use crate::decision::{Home, Write};

/// The next step of a promotion that has started.
pub(super) fn step(
    context: &Context<'_>,
    promotion: &Promotion,
    road: Result<&Road<'_>, &Obstacle>,
) -> Step {
    if promotion.status.phase == PromotionPhase::RollingBack {
        return back(context, promotion);
    }
    if let Some(other) = others::replaced_by(context, promotion) {
        let outcome = format!("Promotion \"{}\" started later", other.name());
        return superseded(context, promotion, &outcome);
    }
    let road = match road {
        Ok(road) => road,
        Err(obstacle) => {
            return Step::from(promotion).no(types::DEPLOYED, obstacle);
        }
    };
    let untouched = |one: &PlannedComponent| one.progress == Progress::Waiting;
    if !promotion.status.plan.iter().all(untouched) {
        return forward(context, promotion, road, Step::from(promotion));
    }
    // Nothing has happened yet, so everything that let it start must still hold.
    let mut step = brakes::step(context, promotion, road);
    if step.status.phase != PromotionPhase::Deploying
        || step.status.plan_digest != promotion.status.plan_digest
    {
        return step;
    }
    step.conditions.retain(|one| one.type_ != types::DEPLOYED);
    step.events.clear();
    step.status
        .started_at
        .clone_from(&promotion.status.started_at);
    forward(context, promotion, road, step)
}

/// Whether more parts may be started.
enum Leave {
    Given,
    Frozen(Obstacle, Timestamp),
    Withdrawn(Obstacle),
}

fn leave(context: &Context<'_>, promotion: &Promotion, road: &Road<'_>) -> Leave {
    let digest = promotion.status.plan_digest.as_deref().unwrap_or_default();
    if !promotion.spec.is_entitled(road.approvals.as_ref(), digest) {
        let message = "the approvals are no longer enough to go on";
        return Leave::Withdrawn(Obstacle::new(reasons::AWAITING_APPROVAL, message));
    }
    match road.frozen(context, &promotion.spec) {
        None => Leave::Given,
        Some((window, end)) => {
            let message = format!("freeze window \"{}\" is open until {end}", window.name);
            Leave::Frozen(Obstacle::new(reasons::FROZEN, message), end)
        }
    }
}

fn forward(context: &Context<'_>, promotion: &Promotion, road: &Road<'_>, mut step: Step) -> Step {
    let leave = leave(context, promotion, road);
    let mut components = std::mem::take(&mut step.status.plan);
    let turn = components
        .iter()
        .filter(|one| one.progress != Progress::Ready)
        .map(|one| one.wave)
        .min();
    let limit = deadline(road.path.rollback.as_ref());
    let mut late = None;
    for one in components.iter_mut().filter(|one| Some(one.wave) == turn) {
        let advanced = advance(context, promotion, one, &leave, &mut step);
        let is_ready = match advanced {
            Ok(is_ready) => is_ready,
            Err(Moved(to)) => {
                let outcome = format!("somebody moved {} to {to}", one.part());
                return superseded(context, promotion, &outcome);
            }
        };
        if !is_ready {
            late = late.or_else(|| due(context, one, limit, &leave, &mut step));
        }
    }
    step.status.plan = components;
    match late {
        Some(why) => turn_back(context, road, step, &why),
        None => told(context, promotion, step, leave),
    }
}

/// Somebody put another release there: this one.
struct Moved(String);

/// Brings one part, whose turn it is, a little further. Says whether it is ready now.
fn advance(
    context: &Context<'_>,
    promotion: &Promotion,
    one: &mut PlannedComponent,
    leave: &Leave,
    step: &mut Step,
) -> Result<bool, Moved> {
    let binding = bound::target(context, promotion, one.part());
    let bound = binding.as_ref().map(|binding| binding.release);
    let bound = bound.filter(|release| !release.is_empty());
    let is_there = bound == Some(one.to.as_str());
    if one.progress == Progress::Waiting && matches!(leave, Leave::Given) {
        one.progress = Progress::Starting;
        one.started_at = Some(context.now.clone());
        // Parts that have the release need nothing but to be ready.
        if !is_there {
            step.writes.push(bind(context, promotion, one));
            return Ok(false);
        }
    }
    if one.progress == Progress::Starting {
        // What waits at the gate gets its time once it is let through.
        one.started_at = match (leave, one.started_at.take()) {
            (Leave::Given, None) => Some(context.now.clone()),
            (Leave::Given, known) => known,
            (Leave::Frozen(..) | Leave::Withdrawn(_), _) => None,
        };
    }
    match (one.progress, bound) {
        (Progress::Waiting | Progress::Ready, _) => Ok(false),
        (Progress::Starting | Progress::RollingOut, _) if is_there => Ok(settle(binding, one)),
        // Seen before the write was, or the write was lost.
        (Progress::Starting, bound) if bound == one.from.as_deref() || bound.is_none() => {
            if matches!(leave, Leave::Given) {
                step.writes.push(bind(context, promotion, one));
            }
            Ok(false)
        }
        (Progress::Starting | Progress::RollingOut, bound) => {
            Err(Moved(bound.unwrap_or("no release").to_owned()))
        }
    }
}

/// Gives a part the release it is promoted to.
fn bind(context: &Context<'_>, promotion: &Promotion, one: &PlannedComponent) -> Write {
    let place = (one.part(), one.to.as_str());
    Write::Apply {
        home: Home::Control,
        object: plan::written(context, promotion, place, Action::Promote),
    }
}

/// Gives a part the release it had.
fn unbind(context: &Context<'_>, promotion: &Promotion, place: (Part<'_>, &str)) -> Write {
    Write::Apply {
        home: Home::Control,
        object: plan::written(context, promotion, place, Action::Rollback),
    }
}

/// Takes a part for rolled out once its binding is through the gate, and for ready once that is so: a
/// binding does not say so of a release because of what ran before it. Returns whether it is ready.
fn settle(binding: Option<Bound<'_>>, one: &mut PlannedComponent) -> bool {
    let through = |binding: &Bound<'_>| binding.seen.release == Some(one.to.as_str());
    let Some(binding) = binding.filter(through) else {
        return false;
    };
    let is_ready = binding.ready.is_some_and(|ready| ready.status == "True");
    one.progress = if is_ready {
        Progress::Ready
    } else {
        Progress::RollingOut
    };
    is_ready
}

/// What there is to say when a part is late.
fn due(
    context: &Context<'_>,
    one: &PlannedComponent,
    limit: SignedDuration,
    leave: &Leave,
    step: &mut Step,
) -> Option<String> {
    let under_way = match (one.progress, leave) {
        (Progress::RollingOut, _) | (Progress::Starting, Leave::Given) => true,
        // What a freeze holds at the gate is not late.
        (Progress::Starting | Progress::Waiting | Progress::Ready, _) => false,
    };
    let started = one.started_at.as_ref().filter(|_| under_way)?;
    let end = started.0 + limit;
    if context.now.0 < end {
        no_later(&mut step.look_again, end);
        return None;
    }
    let seconds = limit.as_secs();
    Some(format!(
        "{} was not ready with {} after {seconds}s",
        one.part(),
        one.to
    ))
}

/// The conditions of a promotion that goes on, or has come to its end.
fn told(context: &Context<'_>, promotion: &Promotion, step: Step, leave: Leave) -> Step {
    let plan = &step.status.plan;
    let ready = plan.iter().filter(|one| one.progress == Progress::Ready);
    let (ready, all) = (ready.count(), plan.len());
    let target = &promotion.spec.target_environment;
    if ready == all {
        let outcome = format!("{} run in {target}", counted(plan));
        let step = step.yes(types::DEPLOYED, reasons::DEPLOYED, outcome.as_str());
        return step.end(context, PromotionPhase::Succeeded, &outcome);
    }
    let waits = plan.iter().any(|one| one.progress < Progress::RollingOut);
    match leave {
        Leave::Frozen(obstacle, end) if waits => step
            .no(types::OUTSIDE_FREEZE, &obstacle)
            .phase(PromotionPhase::Frozen)
            .look(end),
        Leave::Withdrawn(obstacle) if waits => step
            .no(types::APPROVED, &obstacle)
            .phase(PromotionPhase::AwaitingApproval),
        Leave::Given | Leave::Frozen(..) | Leave::Withdrawn(_) => {
            let message = format!("{ready} of {} are ready", counted(plan));
            let obstacle = Obstacle::new(reasons::DEPLOYING, message);
            step.no(types::DEPLOYED, &obstacle)
                .phase(PromotionPhase::Deploying)
        }
    }
}

fn superseded(context: &Context<'_>, promotion: &Promotion, outcome: &str) -> Step {
    let obstacle = Obstacle::new(reasons::SUPERSEDED, outcome);
    Step::from(promotion).no(types::DEPLOYED, &obstacle).end(
        context,
        PromotionPhase::Superseded,
        outcome,
    )
}

/// Back to what was there before, if the path says so and there was anything.
fn turn_back(context: &Context<'_>, road: &Road<'_>, step: Step, why: &str) -> Step {
    let anything = step.status.plan.iter().any(is_reversible);
    if road.path.rollback.is_none() || !anything {
        let stays = if anything {
            "what was put there stays, as the path has no rollback"
        } else {
            "there is nothing before it to go back to"
        };
        let outcome = format!("{why}; {stays}");
        let obstacle = Obstacle::new(reasons::DEPLOYMENT_FAILED, outcome.as_str());
        return step
            .no(types::DEPLOYED, &obstacle)
            .end(context, PromotionPhase::Failed, &outcome);
    }
    let obstacle = Obstacle::new(reasons::ROLLING_BACK, why);
    let mut step = step
        .no(types::DEPLOYED, &obstacle)
        .phase(PromotionPhase::RollingBack);
    step.writes.clear();
    step.status.outcome = Some(why.to_owned());
    step
}

/// Whether a part was touched and had another release before.
fn is_reversible(one: &PlannedComponent) -> bool {
    let other = one.from.as_ref().is_some_and(|from| *from != one.to);
    other && one.progress != Progress::Waiting
}

/// Every part that was touched gets back what it had.
fn back(context: &Context<'_>, promotion: &Promotion) -> Step {
    let mut step = Step::from(promotion);
    let mut waits = Vec::new();
    for one in promotion
        .status
        .plan
        .iter()
        .filter(|one| is_reversible(one))
    {
        let binding = bound::target(context, promotion, one.part());
        let Some((binding, from)) = binding.zip(one.from.as_deref()) else {
            continue;
        };
        if binding.release == one.to {
            step.writes
                .push(unbind(context, promotion, (one.part(), from)));
            waits.push(one.part().to_string());
        } else if binding.release == from && binding.seen.release != Some(from) {
            waits.push(one.part().to_string());
        }
    }
    let why = promotion.status.outcome.as_deref().unwrap_or_default();
    if waits.is_empty() {
        let outcome = format!("{why}; the releases before are there again");
        let obstacle = Obstacle::new(reasons::ROLLED_BACK, outcome.as_str());
        return step.no(types::DEPLOYED, &obstacle).end(
            context,
            PromotionPhase::RolledBack,
            &outcome,
        );
    }
    let message = format!("{why}; taking back {}", waits.join(", "));
    let obstacle = Obstacle::new(reasons::ROLLING_BACK, message);
    step.no(types::DEPLOYED, &obstacle)
}
