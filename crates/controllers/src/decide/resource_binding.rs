//! Resource release bindings: a managed resource in an environment, and what it offers there.

use choreo_compiler::{Compiled, CompiledResource, ResourceSnapshot, compile_resource};
use choreo_model::conditions::{self, reasons, types};
use choreo_model::project::ProjectSpec;
use choreo_model::rendered::{RenderedOwner, RenderedReleaseSpec, ResourceStatus};
use choreo_model::resource::{
    ResourceReleaseBindingSpec, ResourceReleaseBindingStatus, ResourceReleaseSpec, ResourceSpec,
};
use choreo_model::resource_type::ResourceOutput;
use choreo_model::shared::{ResourceOwner, TargetPlane};
use choreo_model::{RenderedRelease, ResourceReleaseBinding, finalizers, names};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::history::{self, Effect};
use super::rendering::{self, Pin, Rendering};
use super::{
    Context, Finalizing, Obstacle, automatic, changed, gate, hold, quota, readiness, retention,
    some_of,
};
use crate::decision::{Decision, Write};

const MANAGER: &str = "resourcereleasebinding-controller";

pub(super) fn decide(context: &Context<'_>) -> Decision {
    let Some(binding) = context.view.own::<ResourceReleaseBindingSpec>(context.key) else {
        return Decision::default();
    };
    if binding.is_deleting() {
        return finalize(context, binding);
    }
    let mut writes: Vec<Write> = hold(binding, finalizers::RESOURCE_RELEASE_BINDING)
        .into_iter()
        .collect();
    let passage = gate::pass(context, binding);
    let planned = passage
        .binding()
        .and_then(|admitted| plan(context, admitted));
    let rolled_out = planned.as_ref().is_ok_and(|plan| plan.held.is_none());
    let (mut conditions, outputs, effect) = match planned {
        Err(obstacle) => (obstructed(&obstacle), Vec::new(), Effect::Pending),
        Ok(plan) => {
            let conditions = observed(context, &plan);
            let effect = plan.effect();
            writes.extend(plan.write);
            (conditions, plan.compiled.outputs, effect)
        }
    };
    passage.tell(&mut conditions);
    conditions.push(readiness::aggregate(&conditions));
    let mut status = status(context, binding, conditions, outputs);
    passage.record(context, rolled_out, &mut status);
    let effect = passage.effect(effect);
    let recorded = history::step(context, binding, effect, &status.conditions);
    writes.extend(recorded.writes);
    status.history = recorded.head;
    let asked = automatic::of_binding(context, binding, &status);
    writes.extend(asked.writes);
    Decision {
        manager: MANAGER,
        writes,
        status: changed(&binding.status, &status),
        look_again: [passage.look_again(), recorded.look_again, asked.look_again]
            .into_iter()
            .flatten()
            .min(),
        ..Decision::default()
    }
}

/// What `binding` would be rendered to.
pub(super) fn preview(
    context: &Context<'_>,
    binding: &ResourceReleaseBinding,
) -> Result<Compiled, Obstacle> {
    // What is observed of the objects that are there matters to outputs alone.
    let compiled = compile(context, binding, &[])?.compiled;
    rendering::check(&compiled)?;
    Ok(compiled)
}

fn compile(
    context: &Context<'_>,
    binding: &ResourceReleaseBinding,
    observed: &[ResourceStatus],
) -> Result<CompiledResource, Obstacle> {
    let namespace = context.namespace();
    let owner = &binding.spec.owner;
    let release = release(context, binding)?;
    let environment = rendering::environment(context, &binding.spec.environment)?;
    let data_plane = rendering::data_plane(context, environment)?;
    let reason = reasons::RESOURCE_NOT_FOUND;
    let resource = context.find::<ResourceSpec>(namespace, &owner.resource_name, reason)?;
    let reason = reasons::PROJECT_NOT_FOUND;
    let project = context.find::<ProjectSpec>(namespace, &owner.project_name, reason)?;
    let snapshot = ResourceSnapshot {
        release,
        binding,
        resource,
        project,
        environment,
        data_plane,
        observed,
    };
    Ok(compile_resource(&snapshot, context.view.programs()))
}

fn status(
    context: &Context<'_>,
    binding: &ResourceReleaseBinding,
    conditions: Vec<Condition>,
    outputs: Vec<ResourceOutput>,
) -> ResourceReleaseBindingStatus {
    let old = &binding.status;
    ResourceReleaseBindingStatus {
        conditions: context.conditions(binding, &old.conditions, conditions),
        outputs,
        retain_policy: Some(retention::policy(context, binding)),
        history: old.history.clone(),
        release: old.release.clone(),
        release_uid: old.release_uid.clone(),
        proven_releases: old.proven_releases.clone(),
    }
}

/// What was compiled, the rendered release that is there, and the write that makes it as wanted.
struct Plan<'a> {
    name: String,
    compiled: CompiledResource,
    there: Option<&'a RenderedRelease>,
    write: Option<Write>,
    /// Why it is not written.
    held: Option<Condition>,
}

impl<'a> Plan<'a> {
    fn effect(&self) -> Effect<'a> {
        match self.held {
            Some(_) => Effect::Pending,
            None => Effect::of(self.there, self.write.as_ref()),
        }
    }
}

fn plan<'a>(context: &Context<'a>, binding: &ResourceReleaseBinding) -> Result<Plan<'a>, Obstacle> {
    let owner = &binding.spec.owner;
    let name = names::resource_name(&owner.resource_name, &binding.spec.environment);
    let live = context
        .view
        .get_with_status::<RenderedReleaseSpec>(context.namespace(), &name)
        .filter(|rendered| rendering::is_owned(rendered, binding));
    let observed = live.map_or(&[][..], |live| &live.status.resources);
    let compiled = compile(context, binding, observed)?;
    rendering::check(&compiled.compiled)?;
    let rendering = Rendering {
        name: &name,
        owner: RenderedOwner {
            project_name: owner.project_name.clone(),
            resource_name: Some(owner.resource_name.clone()),
            ..RenderedOwner::default()
        },
        environment: &binding.spec.environment,
        plane: TargetPlane::DataPlane,
        compiled: &compiled.compiled,
    };
    let (there, write) = rendering::release(context, binding, rendering)?;
    let held = quota::held(context, types::SYNCED, (&name, write.as_ref()));
    Ok(Plan {
        name,
        compiled,
        there,
        write: write.filter(|_| held.is_none()),
        held,
    })
}

fn release<'a>(
    context: &Context<'a>,
    binding: &ResourceReleaseBinding,
) -> Result<&'a ResourceReleaseSpec, Obstacle> {
    let owner = |of: &ResourceOwner| format!("{}/{}", of.project_name, of.resource_name);
    let pin = Pin {
        name: &binding.spec.resource_release,
        unset: (
            reasons::RESOURCE_RELEASE_NOT_SET,
            "spec.resourceRelease is unset; it is filled as soon as the Resource has a release",
        ),
        missing: reasons::RESOURCE_RELEASE_NOT_FOUND,
        of: "resource",
        owner: owner(&binding.spec.owner),
    };
    pin.find(context, |release: &ResourceReleaseSpec| {
        owner(&release.owner)
    })
}

fn obstructed(obstacle: &Obstacle) -> Vec<Condition> {
    unsynced(conditions::no(
        types::SYNCED,
        obstacle.reason,
        obstacle.message.clone(),
    ))
}

/// All conditions but `Ready` when `Synced` says that the rendered release is not as wanted.
fn unsynced(synced: Condition) -> Vec<Condition> {
    let unknown = |type_| {
        let message = "The release is not rendered";
        conditions::unknown(type_, reasons::SYNCED_NOT_READY, message)
    };
    vec![
        synced,
        unknown(types::RESOURCES_READY),
        unknown(types::OUTPUTS_RESOLVED),
    ]
}

/// The conditions but `Ready` told by the rendered release that is there.
fn observed(context: &Context<'_>, plan: &Plan<'_>) -> Vec<Condition> {
    let written = || rendering::synced(context, types::SYNCED, &plan.name, plan.there);
    let synced = plan.held.clone().unwrap_or_else(written);
    // What runs goes on telling how it is while more is held back.
    let stays = plan.held.is_some() && plan.there.is_some();
    if synced.status != "True" && !stays {
        return unsynced(synced);
    }
    let type_ = types::RESOURCES_READY;
    let resources = match plan.there {
        None => conditions::no(type_, reasons::RESOURCES_PROGRESSING, &synced.message),
        // What is there tells nothing about what is being written in its place.
        Some(there) if plan.write.is_some() => readiness::not_yet(type_, there),
        Some(there) => readiness::of_resource(there, &plan.compiled.readiness),
    };
    let outputs = outputs_resolved(&plan.compiled, &resources);
    vec![synced, resources, outputs]
}

/// `OutputsResolved`. What is missing is a mistake only once everything it is read from is ready.
fn outputs_resolved(compiled: &CompiledResource, resources: &Condition) -> Condition {
    let type_ = types::OUTPUTS_RESOLVED;
    let missing: Vec<String> = compiled
        .unresolved
        .iter()
        .map(|one| format!("output \"{}\": {}", one.name, one.reason))
        .collect();
    match (missing.is_empty(), resources.status.as_str()) {
        (true, _) => conditions::yes(
            type_,
            reasons::OUTPUTS_RESOLVED,
            format!("All {} outputs are known", compiled.outputs.len()),
        ),
        (false, "True") => {
            conditions::no(type_, reasons::OUTPUT_RESOLUTION_FAILED, some_of(&missing))
        }
        (false, _) => conditions::unknown(
            type_,
            &resources.reason,
            format!("known once the resources are ready: {}", some_of(&missing)),
        ),
    }
}

/// The objects go with the binding, unless they are to be retained: then it stays with them, until
/// its policy is changed or its finalizer is taken away by hand.
fn finalize(context: &Context<'_>, binding: &ResourceReleaseBinding) -> Decision {
    if retention::holds(context, binding) {
        return retain(context, binding);
    }
    let rendered = retention::rendered(context, binding);
    let mut writes = rendering::delete(&rendered);
    if rendered.is_empty() {
        let status = |head| ResourceReleaseBindingStatus {
            history: Some(head),
            ..binding.status.clone()
        };
        if let Some(first) = history::close(context, binding, MANAGER, &mut writes, status) {
            return first;
        }
    }
    let deletion = Finalizing {
        manager: MANAGER,
        finalizer: finalizers::RESOURCE_RELEASE_BINDING,
        reason: reasons::FINALIZING,
        writes,
        waits: super::names(rendered),
    };
    deletion.decide(binding, |new| {
        status(context, binding, new, binding.status.outputs.clone())
    })
}

fn retain(context: &Context<'_>, binding: &ResourceReleaseBinding) -> Decision {
    let message = "The objects are retained, and the binding with them; to delete both, set \
                   spec.retainPolicy to Delete";
    let held = conditions::yes(types::FINALIZING, reasons::RETAIN_HOLD, message);
    let outputs = binding.status.outputs.clone();
    let status = status(context, binding, vec![held], outputs);
    Decision {
        manager: MANAGER,
        status: changed(&binding.status, &status),
        ..Decision::default()
    }
}
