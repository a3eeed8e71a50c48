//! The gate of an environment: whether the release that a binding wants may be rolled out there.
//!
//! Anybody who may write a binding may name any release in it. Where a gated path leads to its
//! environment, the release is rolled out only if a promotion brings it, or if it was ready there
//! before. Until then what runs stays, with every change of its configuration.
//!
//! Releases are told apart by their identifiers: another one of the same name is another one.

mod gated;

use choreo_model::conditions::{self, reasons, types};
use choreo_model::freeze::freeze;
use choreo_model::platform::{DeploymentPipelineSpec, PromotionPath};
use choreo_model::promotion::{Part, PromotionPhase, PromotionSpec};
use choreo_model::{Object, Promotion};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use k8s_openapi::jiff::Timestamp;

pub(crate) use self::gated::Gated;
use self::gated::Remembered;
use super::history::Effect;
use super::{Context, Obstacle, pipeline};
use crate::key::groups;

/// A binding at the gate of its environment.
pub(super) struct Passage<'a, T: Gated> {
    binding: &'a Object<T>,
    /// Whether the release was not known, and a gated path leads here.
    gated: bool,
    held: Option<Held<T>>,
}

/// A release that may not be rolled out.
struct Held<T: Gated> {
    /// The binding with the release that runs, if one does.
    running: Option<Object<T>>,
    why: String,
    /// When to look again.
    until: Option<Timestamp>,
}

/// Decides whether the release that `binding` wants may be rolled out.
pub(super) fn pass<'a, T: Gated>(context: &Context<'a>, binding: &'a Object<T>) -> Passage<'a, T> {
    let uid = uid_of::<T>(context, binding.spec.release());
    // A release that is not there is missed elsewhere.
    let unknown = uid.filter(|uid| !is_known(binding, uid));
    let mut passage = Passage {
        binding,
        gated: false,
        held: None,
    };
    // Where there is no pipeline, nothing is gated.
    let pipeline = || pipeline::of_project(context, binding.spec.project()).ok();
    if let Some((uid, pipeline)) = unknown.and_then(|uid| Some((uid, pipeline()?))) {
        let (gated, open) = paths(&pipeline.spec, binding.spec.environment());
        passage.gated = !gated.is_empty();
        if passage.gated && !came_by(context, binding, uid, &open) {
            passage.held = hold(context, &pipeline.spec, binding, uid);
        }
    }
    passage
}

/// The paths to an environment: those with a gate, and the others.
fn paths<'a>(
    pipeline: &'a DeploymentPipelineSpec,
    environment: &'a str,
) -> (Vec<&'a PromotionPath>, Vec<&'a PromotionPath>) {
    let paths = pipeline.paths_to(environment);
    paths.partition(|path| pipeline.is_gated(path))
}

/// The identifier of the release of that name.
fn uid_of<'a, T: Gated>(context: &Context<'a>, release: &str) -> Option<&'a str> {
    let found = context
        .view
        .get::<T::Release>(context.namespace(), release)?;
    Some(found.uid())
}

impl<T: Gated> Passage<'_, T> {
    /// The binding as it may be rolled out: with what runs in place of a release that is held.
    pub(super) fn binding(&self) -> Result<&Object<T>, Obstacle> {
        match &self.held {
            None => Ok(self.binding),
            Some(held) => held
                .running
                .as_ref()
                .ok_or_else(|| Obstacle::new(reasons::PROMOTION_REQUIRED, held.why.as_str())),
        }
    }

    /// Whether it matters that the status tells of what was let through as soon as it is rolled out.
    pub(super) fn is_gated(&self) -> bool {
        self.gated
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
        for one in synced.filter(|one| one.type_ == T::SYNCED) {
            *one = conditions::no(T::SYNCED, reasons::PROMOTION_REQUIRED, held.why.as_str());
        }
    }

    /// Remembers in the status what is rolled out: the release of [`Self::binding`], or what was.
    pub(super) fn record(&self, context: &Context<'_>, rolled_out: bool, new: &mut T::Status) {
        let old = T::rolled_out(&self.binding.status);
        let mut seen = Remembered {
            proven: old.proven.clone(),
            ..Remembered::default()
        };
        // Where nothing is to be rendered, there is nothing that could stay.
        if !self.binding.spec.is_undeployed() {
            seen.release = old.release.map(str::to_owned);
            seen.uid = old.uid.map(str::to_owned);
            let rolled_out = self.binding().ok().filter(|_| rolled_out);
            let release = rolled_out.map(|binding| binding.spec.release());
            let found = release.and_then(|name| Some((name, uid_of::<T>(context, name)?)));
            if let Some(found) = found {
                // Held is what is wanted, not what runs: that may be ready all the same.
                let is_ready = conditions::is_true(T::conditions(new), types::RESOURCES_READY);
                remember::<T>(context, found, is_ready, &mut seen);
            }
        }
        T::set_rolled_out(new, seen);
    }
}

fn remember<T: Gated>(
    context: &Context<'_>,
    (release, uid): (&str, &str),
    is_ready: bool,
    seen: &mut Remembered,
) {
    seen.release = Some(release.to_owned());
    seen.uid = Some(uid.to_owned());
    let is_new = seen.proven.get(release).is_none_or(|known| known != uid);
    if is_new && is_ready {
        // Those that are kept no longer cannot come back.
        let is_there = |name: &str, uid: &str| uid_of::<T>(context, name) == Some(uid);
        seen.proven.retain(|name, uid| is_there(name, uid));
        seen.proven.insert(release.to_owned(), uid.to_owned());
    }
}

/// Whether there is nothing to ask: nothing is rolled out, or what runs, or what was ready before.
fn is_known<T: Gated>(binding: &Object<T>, uid: &str) -> bool {
    let spec = &binding.spec;
    spec.is_undeployed() || T::rolled_out(&binding.status).knows(spec.release(), uid)
}

/// Why a release may not be rolled out that only a promotion can bring.
fn hold<T: Gated>(
    context: &Context<'_>,
    pipeline: &DeploymentPipelineSpec,
    binding: &Object<T>,
    uid: &str,
) -> Option<Held<T>> {
    let mut until = None;
    let mut pending = None;
    for promotion in promotions(context, binding) {
        match verdict(context, pipeline, (&binding.spec, uid), promotion) {
            Verdict::Admitted => return None,
            Verdict::Frozen(end) => until = until.max(Some(end)),
            Verdict::Pending => pending = Some(promotion.name()),
            Verdict::Other => {}
        }
    }
    let seen = T::rolled_out(&binding.status);
    let runs = seen
        .release
        .filter(|runs| uid_of::<T>(context, runs).is_some_and(|uid| seen.knows(runs, uid)));
    let running = runs.map(|release| {
        let mut running = binding.clone();
        running.spec.set_release(release);
        running
    });
    let why = why(binding, pending, seen.release.is_some());
    Some(Held {
        running,
        why,
        until,
    })
}

/// Whether the release runs where one of these paths, which have no gate, begins.
fn came_by<T: Gated>(
    context: &Context<'_>,
    binding: &Object<T>,
    uid: &str,
    open: &[&PromotionPath],
) -> bool {
    let spec = &binding.spec;
    let (_, by, name) = groups(spec.part());
    open.iter().any(|path| {
        let source = path.source_environment_ref.name.as_str();
        let of = [context.namespace(), spec.project(), &name, source];
        let sources = context.view.members_with_status::<T>(by, &of);
        let wanted = spec.release();
        sources.iter().any(|source| {
            let seen = T::rolled_out(&source.status);
            seen.release == Some(wanted) && seen.knows(wanted, uid)
        })
    })
}

/// The promotions of what is bound to the environment.
fn promotions<'a, T: Gated>(context: &Context<'a>, binding: &Object<T>) -> Vec<&'a Promotion> {
    let spec = &binding.spec;
    let (_, by, name) = groups(spec.part());
    let of = [
        context.namespace(),
        spec.project(),
        &name,
        spec.environment(),
    ];
    context.view.members_with_status::<PromotionSpec>(by, &of)
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
fn verdict<T: Gated>(
    context: &Context<'_>,
    pipeline: &DeploymentPipelineSpec,
    (binding, uid): (&T, &str),
    promotion: &Promotion,
) -> Verdict {
    let (spec, status) = (&promotion.spec, &promotion.status);
    let (wanted, part) = (binding.release(), binding.part());
    let mut plan = status.plan.iter();
    let planned = plan.find(|one| one.part() == part);
    if status.phase == PromotionPhase::RollingBack {
        let goes_back = planned.is_some_and(|one| one.from.as_deref() == Some(wanted));
        return if goes_back {
            Verdict::Admitted
        } else {
            Verdict::Other
        };
    }
    if status.phase.is_final() || spec.release_of(part) != Some(wanted) {
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

fn why<T: Gated>(binding: &Object<T>, pending: Option<&str>, runs: bool) -> String {
    let (release, environment) = (binding.spec.release(), binding.spec.environment());
    let what = match binding.spec.part() {
        Part::Component(name) => name.to_owned(),
        Part::Track(component, track) => format!("{component} --track {track}"),
        Part::Resource(name) => format!("--resource {name}"),
    };
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
        None => format!("`choreo promote {what} --to {environment}{namespace}` asks for one"),
    };
    format!(
        "releases come to {environment} by promotion, and none has brought {release}: {stays}; {way}"
    )
}
