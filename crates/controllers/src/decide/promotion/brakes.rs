//! Before a promotion starts: the plan, whoever must approve it, freeze windows, checks, and other
//! promotions, in this order.

use std::collections::BTreeSet;

use choreo_model::Promotion;
use choreo_model::brakes::Approvals;
use choreo_model::conditions::{reasons, types};
use choreo_model::promotion::{ApprovalStatus, PromotionPhase, PromotionStatus, Tally};

use super::super::{Context, Obstacle};
use super::checks::{self, Checked};
use super::plan::{self, Plan};
use super::road::Road;
use super::{Step, counted, others};
use crate::decision::Event;

/// The next step of a promotion that has not started.
pub(super) fn step(context: &Context<'_>, promotion: &Promotion, road: &Road<'_>) -> Step {
    let step = Step::default();
    let rejected = tally(promotion, road, "").rejected;
    if let Some(no) = rejected {
        let outcome = match &no.comment {
            Some(comment) => format!("{} rejected it: {comment}", no.by),
            None => format!("{} rejected it", no.by),
        };
        let obstacle = Obstacle::new(reasons::REJECTED, outcome.as_str());
        let step = step.no(types::APPROVED, &obstacle);
        return kept(step, promotion).end(context, PromotionPhase::Rejected, &outcome);
    }
    if let Some(other) = others::overtaken_by(context, promotion) {
        let outcome = format!("Promotion \"{}\" came later and went first", other.name());
        let obstacle = Obstacle::new(reasons::SUPERSEDED, outcome.as_str());
        let step = step.no(types::DEPLOYED, &obstacle);
        return kept(step, promotion).end(context, PromotionPhase::Superseded, &outcome);
    }
    match plan::make(context, promotion) {
        Err(obstacle) => step
            .no(types::PLANNED, &obstacle)
            .phase(PromotionPhase::Pending),
        Ok(plan) => planned(context, promotion, road, plan),
    }
}

/// What is known stays known when nothing is planned any more.
fn kept(mut step: Step, promotion: &Promotion) -> Step {
    step.status = promotion.status.clone();
    step
}

fn planned(context: &Context<'_>, promotion: &Promotion, road: &Road<'_>, plan: Plan) -> Step {
    let Plan { components, digest } = plan;
    let count = counted(&components);
    let is_there = components
        .iter()
        .all(|one| one.from.as_ref() == Some(&one.to));
    let mut step = Step {
        status: PromotionStatus {
            plan_digest: Some(digest.clone()),
            plan: components,
            approval: approval(promotion, road, &digest),
            checks: promotion.status.checks.clone(),
            ..PromotionStatus::default()
        },
        ..Step::default()
    };
    step.status
        .checks
        .retain(|check| check.plan_digest == digest);
    let short = digest.get(..12).unwrap_or(&digest);
    let message = format!("{count}, plan {short}");
    let step = step.yes(types::PLANNED, reasons::PLAN_MADE, message);
    if is_there {
        let outcome = format!(
            "{} has these releases already",
            promotion.spec.target_environment
        );
        return step.end(context, PromotionPhase::Succeeded, &outcome);
    }
    if promotion.spec.is_glass_broken(road.approvals.as_ref()) {
        return broken(context, promotion, step);
    }
    approved(context, promotion, road, step, &digest)
}

/// Somebody who may do so did not wait.
fn broken(context: &Context<'_>, promotion: &Promotion, step: Step) -> Step {
    let glass = promotion.spec.break_glass.iter();
    let words: Vec<String> = glass
        .map(|glass| format!("{} broke the glass: {}", glass.by, glass.reason))
        .collect();
    let message = words.join("");
    let mut step = step.yes(types::APPROVED, reasons::BREAK_GLASS, message.as_str());
    step.events
        .push(Event::warning(reasons::BREAK_GLASS, message));
    start(context, step)
}

fn approved(
    context: &Context<'_>,
    promotion: &Promotion,
    road: &Road<'_>,
    step: Step,
    digest: &str,
) -> Step {
    let Some(rules) = &road.approvals else {
        let (reason, message) = (reasons::NO_APPROVAL_NEEDED, "The path needs no approval");
        let step = step.yes(types::APPROVED, reason, message);
        return free(context, promotion, road, step);
    };
    let tally = tally(promotion, road, digest);
    let given = words(&tally);
    if promotion.spec.is_entitled(Some(rules), digest) {
        let message = format!("approved by {given}");
        let step = step.yes(types::APPROVED, reasons::APPROVED, message);
        return free(context, promotion, road, step);
    }
    let obstacle = Obstacle::new(reasons::AWAITING_APPROVAL, wanting(promotion, road, &tally));
    step.no(types::APPROVED, &obstacle)
        .phase(PromotionPhase::AwaitingApproval)
}

/// Who must still approve, in words.
fn wanting(promotion: &Promotion, road: &Road<'_>, tally: &Tally<'_>) -> String {
    if promotion.spec.requested_by.is_empty() {
        return "nobody is named by spec.requestedBy: approvals count only where it is known who \
                asked"
            .to_owned();
    }
    let needed = road.approvals.as_ref().map_or(1, |rules| rules.count);
    let given = tally.approved.len();
    let who = road.approvals.as_ref().map(Approvals::who);
    let who = who.unwrap_or_default();
    let stale = if tally.stale.is_empty() {
        String::new()
    } else {
        let names: Vec<&str> = tally.stale.iter().copied().collect();
        format!("; what {} approved was another plan", names.join(", "))
    };
    format!("{given} of {needed} approvals by {who}{stale}")
}

fn words(tally: &Tally<'_>) -> String {
    let names: Vec<&str> = tally.approved.iter().copied().collect();
    names.join(", ")
}

/// Approved, and now no freeze.
fn free(context: &Context<'_>, promotion: &Promotion, road: &Road<'_>, step: Step) -> Step {
    if let Some((window, end)) = road.frozen(context, &promotion.spec) {
        let message = format!("freeze window \"{}\" is open until {end}", window.name);
        let obstacle = Obstacle::new(reasons::FROZEN, message);
        return step
            .no(types::OUTSIDE_FREEZE, &obstacle)
            .phase(PromotionPhase::Frozen)
            .look(end);
    }
    let step = step.yes(
        types::OUTSIDE_FREEZE,
        reasons::NO_FREEZE,
        "No freeze window is open",
    );
    checked(context, promotion, road, step)
}

/// Not frozen, and now the checks.
fn checked(context: &Context<'_>, promotion: &Promotion, road: &Road<'_>, mut step: Step) -> Step {
    let Checked {
        statuses,
        writes,
        look_again,
        outcome,
    } = checks::run(context, promotion, road, &step.status);
    step.status.checks = statuses;
    step.writes.extend(writes);
    step.look_again = look_again;
    match outcome {
        Ok((reason, message)) => {
            let step = step.yes(types::CHECKS_PASSED, reason, message);
            alone(context, promotion, step)
        }
        Err(obstacle) => {
            let step = step.no(types::CHECKS_PASSED, &obstacle);
            match obstacle.reason {
                reasons::CHECK_FAILED => {
                    step.end(context, PromotionPhase::Failed, &obstacle.message)
                }
                _ => step.phase(PromotionPhase::Checking),
            }
        }
    }
}

/// Checked, and now nobody else on the way.
fn alone(context: &Context<'_>, promotion: &Promotion, step: Step) -> Step {
    let Some(other) = others::under_way(context, promotion) else {
        return start(context, step);
    };
    let message = format!("waiting for Promotion \"{}\" to end", other.name());
    let obstacle = Obstacle::new(reasons::PROMOTION_IN_PROGRESS, message);
    step.no(types::DEPLOYED, &obstacle)
        .phase(PromotionPhase::Pending)
}

/// Everything is said and done. The phase is stored first: it opens the gate.
fn start(context: &Context<'_>, mut step: Step) -> Step {
    step.status.started_at = Some(context.now.clone());
    let obstacle = Obstacle::new(reasons::DEPLOYING, "The releases are being put there");
    step.no(types::DEPLOYED, &obstacle)
        .phase(PromotionPhase::Deploying)
}

fn tally<'a>(promotion: &'a Promotion, road: &Road<'_>, digest: &str) -> Tally<'a> {
    let anybody = Approvals::default();
    let rules = road.approvals.as_ref().unwrap_or(&anybody);
    promotion.spec.tally(rules, digest)
}

fn approval(promotion: &Promotion, road: &Road<'_>, digest: &str) -> Option<ApprovalStatus> {
    let rules = road.approvals.as_ref()?;
    let tally = promotion.spec.tally(rules, digest);
    let names = |names: &BTreeSet<&str>| names.iter().map(|name| (*name).to_owned()).collect();
    Some(ApprovalStatus {
        needed: rules.count,
        from: rules.who(),
        given: names(&tally.approved),
        stale: names(&tally.stale),
    })
}
