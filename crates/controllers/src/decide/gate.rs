//! The gate of an environment: whether the release that a binding wants may be rolled out there.
//!
//! Anybody who may write a binding may name any release in it. Where a gated path leads to its
//! environment, the release is rolled out only if a promotion brings it, or if it was ready there
//! before. Until then what runs stays, with every change of its configuration.
//!
//! Releases are told apart by their identifiers: another one of the same name is another one.

use choreo_model::conditions::{self, reasons, types};
use choreo_model::freeze::freeze;
use choreo_model::platform::{DeploymentPipelineSpec, PromotionPath};
use choreo_model::promotion::{PromotionPhase, PromotionSpec};
use choreo_model::release::{
    BindingState, ComponentReleaseSpec, ReleaseBindingSpec, ReleaseBindingStatus,
};
use choreo_model::{Promotion, ReleaseBinding};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use k8s_openapi::jiff::Timestamp;

use super::history::Effect;
use super::{Context, Obstacle, pipeline};
use crate::key::By;

/// A binding at the gate of its environment.
pub(super) struct Passage<'a> {
    binding: &'a ReleaseBinding,
    held: Option<Held>,
}

/// A release that may not be rolled out.
struct Held {
    /// The binding with the release that runs, if one does.
    running: Option<ReleaseBinding>,
    why: String,
    /// When to look again.
    until: Option<Timestamp>,
}

/// Decides whether the release that `binding` wants may be rolled out.
pub(super) fn pass<'a>(context: &Context<'a>, binding: &'a ReleaseBinding) -> Passage<'a> {
    let uid = uid_of(context, &binding.spec.release_name);
    // A release that is not there is missed elsewhere.
    let unknown = uid.filter(|uid| !is_known(binding, uid));
    let held = unknown.and_then(|uid| hold(context, binding, uid));
    Passage { binding, held }
}

/// The identifier of the release of that name.
fn uid_of<'a>(context: &Context<'a>, release: &str) -> Option<&'a str> {
    let found = context
        .view
        .get::<ComponentReleaseSpec>(context.namespace(), release)?;
    Some(found.uid())
}

impl Passage<'_> {
    /// The binding as it may be rolled out: with what runs in place of a release that is held.
    pub(super) fn binding(&self) -> Result<&ReleaseBinding, Obstacle> {
        match &self.held {
            None => Ok(self.binding),
            Some(held) => held
                .running
                .as_ref()
                .ok_or_else(|| Obstacle::new(reasons::PROMOTION_REQUIRED, held.why.as_str())),
        }
    }

    /// When a release that is held may be let through although nothing changed.
    pub(super) fn look_again(&self) -> Option<Timestamp> {
        self.held.as_ref()?.until
    }

    /// What is in effect of what the binding asks for: of a release that is held, nothing yet.
    pub(super) fn effect<'e>(&self, effect: Effect<'e>) -> Effect<'e> {
        match self.held {
            Some(_) => Effect::Pending,
            None => effect,
        }
    }

    /// Says in the conditions that a release is held.
    pub(super) fn tell(&self, conditions: &mut [Condition]) {
        let Some(held) = &self.held else { return };
        let synced = conditions.iter_mut();
        for one in synced.filter(|one| one.type_ == types::RELEASE_SYNCED) {
            let (type_, reason) = (types::RELEASE_SYNCED, reasons::PROMOTION_REQUIRED);
            *one = conditions::no(type_, reason, held.why.as_str());
        }
    }

    /// Remembers in the status what is rolled out: the release of [`Self::binding`], or what was.
    pub(super) fn record(
        &self,
        context: &Context<'_>,
        rolled_out: bool,
        new: &mut ReleaseBindingStatus,
    ) {
        let old = &self.binding.status;
        new.proven_releases.clone_from(&old.proven_releases);
        if self.binding.spec.state == BindingState::Undeploy {
            // Nothing is rendered, and nothing that could stay.
            return;
        }
        new.release.clone_from(&old.release);
        new.release_uid.clone_from(&old.release_uid);
        let Ok(binding) = self.binding() else { return };
        let release = &binding.spec.release_name;
        let Some(uid) = uid_of(context, release).filter(|_| rolled_out) else {
            return;
        };
        new.release = Some(release.clone());
        new.release_uid = Some(uid.to_owned());
        // Held is what is wanted, not what runs: that may be ready all the same.
        let is_new = new
            .proven_releases
            .get(release)
            .is_none_or(|known| known != uid);
        if is_new && conditions::is_true(&new.conditions, types::RESOURCES_READY) {
            // Those that are kept no longer cannot come back.
            let is_there = |name: &str, uid: &str| uid_of(context, name) == Some(uid);
            new.proven_releases.retain(|name, uid| is_there(name, uid));
            new.proven_releases.insert(release.clone(), uid.to_owned());
        }
    }
}

/// Whether there is nothing to ask: nothing is rolled out, or what runs, or what was ready before.
fn is_known(binding: &ReleaseBinding, uid: &str) -> bool {
    binding.spec.state == BindingState::Undeploy
        || binding.status.knows(&binding.spec.release_name, uid)
}

fn hold(context: &Context<'_>, binding: &ReleaseBinding, uid: &str) -> Option<Held> {
    let environment = &binding.spec.environment;
    // Where there is no pipeline, nothing is gated.
    let pipeline = pipeline::of_project(context, &binding.spec.owner.project_name);
    let pipeline = &pipeline.ok()?.spec;
    let (gated, open): (Vec<_>, Vec<_>) = pipeline
        .paths_to(environment)
        .partition(|path| pipeline.is_gated(path));
    if gated.is_empty() || came_by(context, binding, uid, &open) {
        return None;
    }
    let mut until = None;
    let mut pending = None;
    for promotion in promotions(context, binding) {
        match verdict(context, pipeline, (binding, uid), promotion) {
            Verdict::Admitted => return None,
            Verdict::Frozen(end) => until = until.max(Some(end)),
            Verdict::Pending => pending = Some(promotion.name()),
            Verdict::Other => {}
        }
    }
    let runs = binding.status.release.as_ref();
    let runs = runs
        .filter(|runs| uid_of(context, runs).is_some_and(|uid| binding.status.knows(runs, uid)));
    let running = runs.map(|release| {
        let mut running = binding.clone();
        running.spec.release_name.clone_from(release);
        running
    });
    let why = why(binding, pending, binding.status.release.is_some());
    Some(Held {
        running,
        why,
        until,
    })
}

/// Whether the release runs where one of these paths, which have no gate, begins.
fn came_by(
    context: &Context<'_>,
    binding: &ReleaseBinding,
    uid: &str,
    open: &[&PromotionPath],
) -> bool {
    let owner = &binding.spec.owner;
    open.iter().any(|path| {
        let of = [
            context.namespace(),
            &owner.project_name,
            &owner.component_name,
            &path.source_environment_ref.name,
        ];
        let sources = context
            .view
            .members_with_status::<ReleaseBindingSpec>(By::ComponentEnvironment, &of);
        let wanted = &binding.spec.release_name;
        sources.iter().any(|source| {
            source.status.release.as_ref() == Some(wanted) && source.status.knows(wanted, uid)
        })
    })
}

/// The promotions of the component to the environment.
fn promotions<'a>(context: &Context<'a>, binding: &ReleaseBinding) -> Vec<&'a Promotion> {
    let owner = &binding.spec.owner;
    let of = [
        context.namespace(),
        &owner.project_name,
        &owner.component_name,
        &binding.spec.environment,
    ];
    context
        .view
        .members_with_status::<PromotionSpec>(By::ComponentEnvironment, &of)
}

/// What a promotion says of a release.
enum Verdict {
    /// It brings it now.
    Admitted,
    /// It brings it once a freeze has ended.
    Frozen(Timestamp),
    /// It has not come so far.
    Pending,
    /// It is not about it.
    Other,
}

/// What `promotion` says of the release that `binding` wants. Whether enough people approved is not
/// taken from its status but counted again. One that has ended says nothing: what it brought runs, or
/// was ready.
fn verdict(
    context: &Context<'_>,
    pipeline: &DeploymentPipelineSpec,
    (binding, uid): (&ReleaseBinding, &str),
    promotion: &Promotion,
) -> Verdict {
    let (spec, status) = (&promotion.spec, &promotion.status);
    let wanted = &binding.spec.release_name;
    let component = &binding.spec.owner.component_name;
    let mut plan = status.plan.iter();
    let planned = plan.find(|one| &one.component == component);
    if status.phase == PromotionPhase::RollingBack {
        let goes_back = planned.is_some_and(|one| one.from.as_ref() == Some(wanted));
        return if goes_back {
            Verdict::Admitted
        } else {
            Verdict::Other
        };
    }
    if status.phase.is_final() || spec.releases.get(component) != Some(wanted) {
        return Verdict::Other;
    }
    let path = pipeline.path(&spec.source_environment, &spec.target_environment);
    let (Some(path), Some(digest)) = (path, &status.plan_digest) else {
        return Verdict::Pending;
    };
    let rules = path.approvals();
    let same = planned.is_some_and(|one| one.uid == uid);
    let comes = status.phase == PromotionPhase::Deploying && same;
    if !comes || !spec.is_entitled(rules.as_ref(), digest) {
        return Verdict::Pending;
    }
    let windows = pipeline.windows(path);
    match freeze(&windows, context.now.0) {
        Some((_, end)) if !spec.is_glass_broken(rules.as_ref()) => Verdict::Frozen(end),
        Some(_) | None => Verdict::Admitted,
    }
}

fn why(binding: &ReleaseBinding, pending: Option<&str>, runs: bool) -> String {
    let (release, environment) = (&binding.spec.release_name, &binding.spec.environment);
    let component = &binding.spec.owner.component_name;
    let stays = if runs {
        "what runs stays"
    } else {
        "nothing is deployed"
    };
    let namespace = match binding.namespace() {
        "default" => String::new(),
        namespace => format!(" -n {namespace}"),
    };
    let way = match pending {
        Some(promotion) => format!(
            "it waits for Promotion \"{promotion}\", of which \
             `choreo get promotion {promotion}{namespace}` tells"
        ),
        None => format!("`choreo promote {component} --to {environment}{namespace}` asks for one"),
    };
    format!(
        "releases come to {environment} by promotion, and none has brought {release}: {stays}; {way}"
    )
}
