//! Release bindings: a component release rendered for an environment.

use std::collections::BTreeMap;

use choreo_compiler::Compiled;
use choreo_model::conditions::{self, reasons, types};
use choreo_model::release::{BindingState, ReleaseBindingSpec, ReleaseBindingStatus};
use choreo_model::rendered::{RenderedOwner, RenderedReleaseSpec};
use choreo_model::shared::TargetPlane;
use choreo_model::{ReleaseBinding, RenderedRelease, finalizers, names};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::component_input::{Input, compile, gather};
use super::history::{self, Effect};
use super::rendering::{self, Rendering};
use super::{
    Context, Finalizing, Obstacle, automatic, changed, consumed, gate, hold, observability, quota,
    readiness, some_of,
};
use crate::decision::{Decision, Write};
use crate::key::By;

const MANAGER: &str = "releasebinding-controller";
/// How long a new binding may wait for others before it tells that it does.
const PATIENCE: SignedDuration = SignedDuration::from_secs(1);

pub(super) fn decide(context: &Context<'_>) -> Decision {
    let Some(binding) = context.view.own::<ReleaseBindingSpec>(context.key) else {
        return Decision::default();
    };
    if binding.is_deleting() {
        return finalize(context, binding);
    }
    let mut writes: Vec<Write> = hold(binding, finalizers::RELEASE_BINDING)
        .into_iter()
        .collect();
    let passage = gate::pass(context, binding);
    let gathered = passage.binding().and_then(|admitted| {
        let input = gather(context, admitted)?;
        Ok((admitted, input))
    });
    let mut outcome = match gathered {
        Err(obstacle) => Outcome::obstructed(&obstacle),
        Ok(_) if binding.spec.state == BindingState::Undeploy => undeploy(context, binding),
        Ok((admitted, input)) => deploy(context, admitted, &input),
    };
    passage.tell(&mut outcome.conditions);
    let patience = patience(context, binding, &outcome);
    // What is being written is told of once it is there, which is a moment later, and more is known.
    let under_way = outcome.rolled_out && !outcome.writes.is_empty();
    let told_later =
        (under_way || patience.is_some()) && !passage.is_gated() && context.failure().is_none();
    writes.extend(outcome.writes);
    let effect = passage.effect(outcome.effect);
    let mut status = status(context, binding, outcome.compiled, outcome.conditions);
    passage.record(context, outcome.rolled_out, &mut status);
    let recorded = history::step(context, binding, effect, &status.conditions);
    writes.extend(recorded.writes);
    status.history = recorded.head;
    let asked = automatic::of_binding(context, binding, &status);
    writes.extend(asked.writes);
    let look_again = [passage.look_again(), recorded.look_again, asked.look_again];
    Decision {
        manager: MANAGER,
        writes,
        status: told(context, binding, &status).filter(|_| !told_later),
        endpoints: told_later.then_some(status.endpoints),
        look_again: look_again.into_iter().chain([patience]).flatten().min(),
        ..Decision::default()
    }
}

/// The status as a value, if it differs from what the API has.
fn told(
    context: &Context<'_>,
    binding: &ReleaseBinding,
    status: &ReleaseBindingStatus,
) -> Option<Value> {
    // Here its addresses may be in the status already, which the API does not know.
    if context.view.foretold(context.key).is_some() {
        return serde_json::to_value(status).ok();
    }
    changed(&binding.status, status)
}

/// Until when it is not told that a new binding waits for others: mostly they are made with it, and there
/// a moment later.
fn patience(
    context: &Context<'_>,
    binding: &ReleaseBinding,
    outcome: &Outcome<'_>,
) -> Option<Timestamp> {
    let waits = outcome
        .conditions
        .iter()
        .any(|one| one.reason == reasons::CONNECTIONS_PENDING);
    let is_new = binding.status.conditions.is_empty();
    let since = context.view.foretold(context.key).unwrap_or(context.now.0);
    let until = since + PATIENCE;
    (waits && is_new && context.now.0 < until).then_some(until)
}

/// What `binding` would be rendered to.
pub(super) fn preview(
    context: &Context<'_>,
    binding: &ReleaseBinding,
) -> Result<Compiled, Obstacle> {
    let compiled = compile(context, binding, &gather(context, binding)?);
    rendering::check(&compiled)?;
    Ok(compiled)
}

/// What came of trying: writes, conditions except `Ready`, what the compiler found out, and what is
/// in effect.
#[derive(Default)]
struct Outcome<'a> {
    writes: Vec<Write>,
    conditions: Vec<Condition>,
    compiled: Compiled,
    effect: Effect<'a>,
    /// Whether the rendered release is of the release of the binding, or about to be.
    rolled_out: bool,
}

impl Outcome<'_> {
    fn obstructed(obstacle: &Obstacle) -> Self {
        let synced = conditions::no(
            types::RELEASE_SYNCED,
            obstacle.reason,
            obstacle.message.clone(),
        );
        Self {
            conditions: vec![synced],
            ..Self::default()
        }
    }
}

fn deploy<'a>(context: &Context<'a>, binding: &ReleaseBinding, input: &Input<'_>) -> Outcome<'a> {
    let compiled = compile(context, binding, input);
    let line = binding.spec.owner.line();
    let name = names::component_binding(&line, &binding.spec.environment);
    let main = (name.as_str(), TargetPlane::DataPlane);
    let synced = rendered(context, binding, main, &compiled).and_then(|rendered| {
        let more = observability::writes(context, binding, input.data_plane, &compiled)?;
        Ok((rendered, more))
    });
    let workload = input.release.component_type.spec.workload_type;
    let mut rolled_out = false;
    let (mut conditions, mut writes, effect) = match synced {
        Err(obstacle) => {
            let conditions = Outcome::obstructed(&obstacle).conditions;
            (conditions, Vec::new(), Effect::Pending)
        }
        Ok(((there, write), mut more)) => {
            let place = (name.as_str(), write.as_ref());
            let held = held(binding, &compiled, there)
                .or_else(|| quota::held(context, types::RELEASE_SYNCED, place));
            rolled_out = held.is_none();
            let write = write.filter(|_| held.is_none());
            more.retain(|_| rolled_out);
            let mut all = vec![held.unwrap_or_else(|| {
                rendering::synced(context, types::RELEASE_SYNCED, &name, there)
            })];
            // What is there tells nothing about what is being written in its place.
            all.extend(there.map(|there| match write {
                Some(_) => readiness::not_yet(types::RESOURCES_READY, there),
                None => readiness::of_component(there, workload),
            }));
            let effect = if rolled_out {
                Effect::of(there, write.as_ref())
            } else {
                Effect::Pending
            };
            (all, write.into_iter().chain(more).collect(), effect)
        }
    };
    if !rolled_out {
        writes.extend(meanwhile(context, binding, main));
    }
    conditions.insert(1, connections_resolved(&compiled));
    conditions.insert(2, consumed::ready(&compiled));
    Outcome {
        writes,
        conditions,
        compiled,
        effect,
        rolled_out,
    }
}

/// The rendered release of this name and for this plane that is there, and the write that makes it
/// as wanted.
pub(super) fn rendered<'a>(
    context: &Context<'a>,
    binding: &ReleaseBinding,
    (name, plane): (&str, TargetPlane),
    compiled: &Compiled,
) -> Result<(Option<&'a RenderedRelease>, Option<Write>), Obstacle> {
    rendering::check(compiled)?;
    let rendering = Rendering {
        name,
        owner: RenderedOwner::from(&binding.spec.owner),
        environment: &binding.spec.environment,
        plane,
        compiled,
    };
    rendering::release(context, binding, rendering)
}

/// Why the rendered release is not written: an address it is to carry is not known, or what a
/// managed resource gives it is not. Written without it, the component would start, lack what it
/// declared, and roll out a second time. Addresses of its own are told all the same, so components
/// that need each other both go on. Nor is it written while an external connection is not approved, unless it
/// runs already: an approval that is withdrawn closes the way at once.
fn held(
    binding: &ReleaseBinding,
    compiled: &Compiled,
    there: Option<&RenderedRelease>,
) -> Option<Condition> {
    let connections = pending(compiled);
    let resources = consumed::pending(compiled);
    let runs = there.is_some()
        && binding.status.release.as_deref() == Some(binding.spec.release_name.as_str());
    let external = if runs {
        Vec::new()
    } else {
        unapproved(compiled)
    };
    let reason = match (
        external.is_empty(),
        connections.is_empty(),
        resources.is_empty(),
    ) {
        (true, true, true) => return None,
        (false, _, _) => reasons::EXTERNAL_CONNECTIONS_NOT_APPROVED,
        (true, false, _) => reasons::CONNECTIONS_PENDING,
        (true, true, false) => reasons::RESOURCE_DEPENDENCIES_PENDING,
    };
    let meanwhile = match there {
        Some(_) => "what runs stays as it is until then",
        None => "nothing is deployed until then",
    };
    let waits = some_of(&[external, connections, resources].concat());
    let message = format!("waiting for {waits}; {meanwhile}");
    Some(conditions::no(types::RELEASE_SYNCED, reason, message))
}

/// What keeps the release that runs, while another is held back, as it has to be now: what it is not given any
/// more is closed at once, and it goes on with what its configuration has become.
fn meanwhile(
    context: &Context<'_>,
    binding: &ReleaseBinding,
    place: (&str, TargetPlane),
) -> Option<Write> {
    let runs = binding.status.release.as_ref()?;
    if *runs == binding.spec.release_name {
        return None;
    }
    let mut running = binding.clone();
    running.spec.release_name.clone_from(runs);
    let compiled = compile(context, &running, &gather(context, &running).ok()?);
    if !pending(&compiled).is_empty() || !consumed::pending(&compiled).is_empty() {
        return None;
    }
    let (there, write) = rendered(context, &running, place, &compiled).ok()?;
    there.and(write)
}

/// The connections whose address is not known, and why.
fn pending(compiled: &Compiled) -> Vec<String> {
    (compiled.pending_connections.iter())
        .map(|one| {
            let line = names::line_id(&one.component, one.track.as_deref());
            format!("{}/{line} {} ({})", one.project, one.endpoint, one.reason)
        })
        .collect()
}

/// The external connections that are not allowed, and why.
fn unapproved(compiled: &Compiled) -> Vec<String> {
    (compiled.pending_external_connections.iter())
        .map(|one| format!("external connection {} ({})", one.name, one.reason))
        .collect()
}

fn connections_resolved(compiled: &Compiled) -> Condition {
    let type_ = types::CONNECTIONS_RESOLVED;
    let unapproved = unapproved(compiled);
    if !unapproved.is_empty() {
        let message = format!("closed until it is approved: {}", some_of(&unapproved));
        let reason = reasons::EXTERNAL_CONNECTIONS_NOT_APPROVED;
        return conditions::no(type_, reason, message);
    }
    let (resolved, waiting) = (
        compiled.resolved_connections.len(),
        compiled.pending_connections.len(),
    );
    match (waiting, resolved) {
        (0, 0) => conditions::yes(type_, reasons::NO_CONNECTIONS, "No connections to resolve"),
        (0, all) => conditions::yes(
            type_,
            reasons::ALL_CONNECTIONS_RESOLVED,
            format!("All {all} connections resolved"),
        ),
        (count, resolved) => conditions::no(
            type_,
            reasons::CONNECTIONS_PENDING,
            format!(
                "{count} connections pending, {resolved} resolved: {}",
                some_of(&pending(compiled))
            ),
        ),
    }
}

fn own_rendered<'a>(context: &Context<'a>, binding: &ReleaseBinding) -> Vec<&'a RenderedRelease> {
    let owner = &binding.spec.owner;
    let of = [
        context.namespace(),
        owner.project_name.as_str(),
        &owner.line_id(),
        binding.spec.environment.as_str(),
    ];
    let mut rendered = context
        .view
        .members::<RenderedReleaseSpec>(By::ComponentEnvironment, &of);
    rendered.retain(|rendered| rendering::is_owned(rendered, binding));
    rendered
}

fn undeploy<'a>(context: &Context<'a>, binding: &ReleaseBinding) -> Outcome<'a> {
    let rendered = own_rendered(context, binding);
    let reason = reasons::RESOURCES_UNDEPLOYED;
    let message = match (context.failure(), rendered.is_empty()) {
        (Some(failure), _) => {
            let obstacle = Obstacle::new(reasons::RELEASE_DELETION_FAILED, failure);
            let writes = rendering::delete(&rendered);
            return Outcome {
                writes,
                ..Outcome::obstructed(&obstacle)
            };
        }
        (None, true) => "Resources undeployed",
        (None, false) => "Resources are being undeployed",
    };
    Outcome {
        writes: rendering::delete(&rendered),
        conditions: vec![
            conditions::no(types::RELEASE_SYNCED, reason, message),
            conditions::no(types::RESOURCES_READY, reason, message),
        ],
        effect: if rendered.is_empty() {
            Effect::Nothing
        } else {
            Effect::Pending
        },
        ..Outcome::default()
    }
}

fn status(
    context: &Context<'_>,
    binding: &ReleaseBinding,
    compiled: Compiled,
    mut conditions: Vec<Condition>,
) -> ReleaseBindingStatus {
    let old = &binding.status;
    let has_result = conditions
        .iter()
        .any(|one| one.type_ == types::RESOURCES_READY);
    let mut ready = readiness::aggregate(&conditions);
    if ready.status == "True" && !has_result {
        ready = conditions::no(
            types::READY,
            reasons::RESOURCES_PROGRESSING,
            "The rendered release is not applied yet",
        );
    }
    conditions.push(ready);
    let seen = old.observed_generation == binding.generation();
    ReleaseBindingStatus {
        observed_generation: binding.generation(),
        last_spec_update_time: match &old.last_spec_update_time {
            Some(time) if seen => Some(time.clone()),
            Some(_) | None => Some(context.now.clone()),
        },
        conditions: context.conditions(binding, &old.conditions, conditions),
        history: old.history.clone(),
        release: None,
        release_uid: None,
        proven_releases: BTreeMap::new(),
        endpoints: compiled.endpoints,
        connection_targets: compiled.connection_targets,
        resolved_connections: compiled.resolved_connections,
        pending_connections: compiled.pending_connections,
        resource_dependency_targets: compiled.resource_dependency_targets,
        pending_resource_dependencies: compiled.pending_resource_dependencies,
        external_connections: compiled.external_connections,
        pending_external_connections: compiled.pending_external_connections,
        secret_reference_names: compiled.secret_reference_names,
    }
}

fn finalize(context: &Context<'_>, binding: &ReleaseBinding) -> Decision {
    let rendered = own_rendered(context, binding);
    let mut writes = rendering::delete(&rendered);
    if rendered.is_empty() {
        let status = |head| ReleaseBindingStatus {
            history: Some(head),
            ..binding.status.clone()
        };
        if let Some(first) = history::close(context, binding, MANAGER, &mut writes, status) {
            return first;
        }
    }
    let deletion = Finalizing {
        manager: MANAGER,
        finalizer: finalizers::RELEASE_BINDING,
        reason: reasons::FINALIZING,
        writes,
        waits: super::names(rendered),
    };
    let old = &binding.status;
    deletion.decide(binding, |new| ReleaseBindingStatus {
        observed_generation: binding.generation(),
        conditions: context.conditions(binding, &old.conditions, new),
        last_spec_update_time: old.last_spec_update_time.clone(),
        history: old.history.clone(),
        ..ReleaseBindingStatus::default()
    })
}
