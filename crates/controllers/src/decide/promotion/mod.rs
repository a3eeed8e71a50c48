//! Promotions: releases brought from one environment to another, past every brake of the path.
//!
//! What a promotion may do next is decided anew each time from what is there: the plan from what
//! would be rendered, the approvals from what people wrote, the freeze from the time. Remembered is
//! only what cannot be seen again: what came of the checks of this plan, and which components were
//! put where when. A phase is stored before what follows of it is written, so that a promotion that
//! is interrupted anywhere goes on where it was.

mod bound;
mod brakes;
mod checks;
mod order;
mod others;
mod plan;
mod road;
mod rollout;

use choreo_model::conditions::{self, reasons, types};
use choreo_model::promotion::{PlannedComponent, PromotionPhase, PromotionSpec, PromotionStatus};
use choreo_model::{Promotion, finalizers};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use k8s_openapi::jiff::Timestamp;

use self::road::Road;
use super::{Context, Finalizing, Obstacle, changed, hold, no_later, readiness, rendered};
use crate::decision::{Decision, Event, Write};

/// The field manager of promotions.
const MANAGER: &str = "choreo-promotion";

pub(super) fn decide(context: &Context<'_>) -> Decision {
    let (namespace, name) = (context.namespace(), context.key.name.as_str());
    // Its own status says how far it has come, so a change of that is news.
    let own = context
        .view
        .get_with_status::<PromotionSpec>(namespace, name);
    let Some(promotion) = own else {
        return Decision::default();
    };
    if promotion.is_deleting() {
        return finalize(context, promotion);
    }
    if promotion.status.phase.is_final() {
        return Decision::default();
    }
    let step = next(context, promotion);
    let status = step.status(context, promotion);
    let status = changed(&promotion.status, &status);
    let mut writes: Vec<Write> = hold(promotion, finalizers::PROMOTION).into_iter().collect();
    writes.extend(step.writes);
    Decision {
        manager: MANAGER,
        writes,
        events: step.events,
        status,
        look_again: step.look_again,
        ..Decision::default()
    }
}

fn next(context: &Context<'_>, promotion: &Promotion) -> Step {
    let road = Road::of(context, &promotion.spec);
    match (&promotion.status.started_at, road) {
        (Some(_), road) => rollout::step(context, promotion, road.as_ref()),
        (None, Ok(road)) => brakes::step(context, promotion, &road),
        (None, Err(obstacle)) => Step::default().no(types::PLANNED, &obstacle),
    }
}

/// What comes next of a promotion.
#[derive(Default)]
struct Step {
    /// The status, except for its conditions and what is the same in every step.
    status: PromotionStatus,
    conditions: Vec<Condition>,
    writes: Vec<Write>,
    events: Vec<Event>,
    look_again: Option<Timestamp>,
}

impl Step {
    /// A step that begins with what is known.
    fn from(promotion: &Promotion) -> Self {
        Self {
            status: promotion.status.clone(),
            ..Self::default()
        }
    }

    fn phase(mut self, phase: PromotionPhase) -> Self {
        self.status.phase = phase;
        self
    }

    /// Nothing follows.
    fn end(mut self, context: &Context<'_>, phase: PromotionPhase, outcome: &str) -> Self {
        self.status.finished_at = Some(context.now.clone());
        self.status.outcome = Some(outcome.to_owned());
        self.phase(phase)
    }

    /// The condition `type_` holds.
    fn yes(mut self, type_: &str, reason: &str, message: impl Into<String>) -> Self {
        self.conditions
            .push(conditions::yes(type_, reason, message));
        self
    }

    /// The condition `type_` does not hold.
    fn no(mut self, type_: &str, obstacle: &Obstacle) -> Self {
        let message = obstacle.message.as_str();
        self.conditions
            .push(conditions::no(type_, obstacle.reason, message));
        self
    }

    /// Looks again no later than at `time`.
    fn look(mut self, time: Timestamp) -> Self {
        no_later(&mut self.look_again, time);
        self
    }

    fn status(&self, context: &Context<'_>, promotion: &Promotion) -> PromotionStatus {
        let mut all = self.conditions.clone();
        all.push(self.ready(context));
        let old = &promotion.status.conditions;
        PromotionStatus {
            observed_generation: promotion.generation(),
            conditions: context.conditions(promotion, old, all),
            ..self.status.clone()
        }
    }

    /// `Ready`: the releases are where they were promoted to.
    fn ready(&self, context: &Context<'_>) -> Condition {
        if let Some(failure) = context.failure() {
            return conditions::no(types::READY, reasons::RELEASE_UPDATE_FAILED, failure);
        }
        match (&self.status.outcome, self.status.phase) {
            (Some(outcome), PromotionPhase::Succeeded) => {
                conditions::yes(types::READY, reasons::DEPLOYED, outcome.as_str())
            }
            _ => readiness::aggregate(&self.conditions),
        }
    }
}

/// How many components and resources a plan has, in words.
fn counted(plan: &[PlannedComponent]) -> String {
    let resources = plan.iter().filter(|one| one.resource.is_some()).count();
    match (plan.len() - resources, resources) {
        (components, 0) => format!("{components} components"),
        (0, resources) => format!("{resources} resources"),
        (components, resources) => format!("{components} components and {resources} resources"),
    }
}

/// A promotion goes once its jobs are gone.
fn finalize(context: &Context<'_>, promotion: &Promotion) -> Decision {
    let live = context.view.live_of(promotion.uid());
    let deletion = Finalizing {
        manager: MANAGER,
        finalizer: finalizers::PROMOTION,
        reason: reasons::PROMOTION_FINALIZING,
        writes: rendered::remove(live.iter().copied()).collect(),
        waits: live.iter().map(|live| live.key.title()).collect(),
    };
    let old = &promotion.status;
    deletion.decide(promotion, |new| PromotionStatus {
        observed_generation: promotion.generation(),
        conditions: context.conditions(promotion, &old.conditions, new),
        ..old.clone()
    })
}
