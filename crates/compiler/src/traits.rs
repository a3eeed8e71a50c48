//! What a trait does to a component: creates objects, patches them, removes them.

use crate::bench::{Bench, Draft, Ledger, Recipe, Site};
use crate::diagnostic::Code;
use crate::finish::text;
use crate::origin::Cause;
use crate::pointer::{Change, Path};
use choreo_model::shared::TargetPlane;
use choreo_model::traits::{PatchOp, PatchOperation, PatchTarget, TraitPatch, TraitSpec};
use choreo_template::{Context, Tree};
use serde_json::Value;

/// Applies `spec`, written in `object`, to `drafts`.
pub(crate) fn apply<L: Ledger>(
    bench: &mut Bench<L>,
    object: &str,
    spec: &TraitSpec,
    context: &Context<'_, '_>,
    drafts: &mut Vec<Draft>,
) {
    for (index, create) in spec.creates.iter().enumerate() {
        let pointer = format!("/spec/creates/{index}");
        let id = format!("{object} creates[{index}]");
        let recipe = Recipe {
            id: &id,
            ..Recipe::from(create)
        };
        let site = Site {
            object,
            pointer: &pointer,
        };
        bench.make(site, recipe, context, drafts);
    }
    for (index, patch) in spec.patches.iter().enumerate() {
        let pointer = format!("/spec/patches/{index}");
        let site = Site {
            object,
            pointer: &pointer,
        };
        let looped = (patch.for_each.as_deref(), patch.var.as_deref());
        bench.each(site, looped, context, |bench, scope, _| {
            apply_patch(bench, site, patch, scope, drafts);
        });
    }
    for (index, remove) in spec.removes.iter().enumerate() {
        let pointer = format!("/spec/removes/{index}");
        let site = Site {
            object,
            pointer: &pointer,
        };
        let looped = (remove.for_each.as_deref(), remove.var.as_deref());
        bench.each(site, looped, context, |bench, scope, _| {
            let target = (&remove.target, remove.target_plane);
            drafts.retain(|draft| !selects(bench, site, target, draft, scope));
        });
    }
}

/// Whether `target` selects `draft`. An empty group stands for any.
pub(crate) fn selects<L: Ledger>(
    bench: &mut Bench<L>,
    site: Site<'_>,
    (target, plane): (&PatchTarget, TargetPlane),
    draft: &Draft,
    context: &Context<'_, '_>,
) -> bool {
    if !bench.look(site) {
        return false;
    }
    let api_version = text(&draft.object, &["apiVersion"]);
    let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
    let fits = draft.plane == plane
        && text(&draft.object, &["kind"]) == target.kind
        && version == target.version
        && (target.group.is_empty() || target.group == group);
    let Some(condition) = target.where_.as_ref().filter(|_| fits) else {
        return fits;
    };
    let pointer = format!("{}/target/where", site.pointer);
    let at = Site {
        pointer: &pointer,
        ..site
    };
    let mut scope = context.scope();
    scope.bind_tree("resource", &draft.object);
    bench.test(at, condition, &scope) == Some(true)
}

fn apply_patch<L: Ledger>(
    bench: &mut Bench<L>,
    site: Site<'_>,
    patch: &TraitPatch,
    context: &Context<'_, '_>,
    drafts: &mut [Draft],
) {
    for draft in drafts {
        let target = (&patch.target, patch.target_plane);
        if !selects(bench, site, target, draft, context) {
            continue;
        }
        for (index, operation) in patch.operations.iter().enumerate() {
            let pointer = format!("{}/operations/{index}", site.pointer);
            let at = Site {
                pointer: &pointer,
                ..site
            };
            if operate(bench, at, operation, context, draft).is_none() {
                break;
            }
        }
    }
}

/// Applies one operation; `None` when it failed, which is noted.
fn operate<L: Ledger>(
    bench: &mut Bench<L>,
    site: Site<'_>,
    operation: &PatchOperation,
    context: &Context<'_, '_>,
    draft: &mut Draft,
) -> Option<()> {
    let pointer = format!("{}/path", site.pointer);
    let at = Site {
        pointer: &pointer,
        ..site
    };
    let rendered = bench.eval(at, &Value::from(operation.path.as_str()), context)?;
    let Some(Tree::String(written)) = rendered else {
        bench.fail(Code::Patch, at, "must be a path");
        return None;
    };
    let path = match Path::parse(&written) {
        Ok(path) => path,
        Err(error) => {
            bench.fail(Code::Patch, at, error.to_string());
            return None;
        }
    };
    bench.forget();
    let (value, trail) = match (operation.op, &operation.value) {
        (PatchOp::Remove, _) => (None, None),
        (_, None) => {
            bench.fail(Code::Patch, site, "needs a value");
            return None;
        }
        (_, Some(template)) => {
            let pointer = format!("{}/value", site.pointer);
            let at = Site {
                pointer: &pointer,
                ..site
            };
            // A value that asks to be left out leaves nothing to do.
            let Some(value) = bench.eval(at, template, context)? else {
                return Some(());
            };
            let trail = bench.trail(Cause::Patch, at, (template, &value));
            (Some(value), trail)
        }
    };
    let change = match (operation.op, &value) {
        (PatchOp::Add, Some(value)) => Change::Add(value),
        (PatchOp::Replace, Some(value)) => Change::Replace(value),
        (PatchOp::Remove, _) | (_, None) => Change::Remove,
    };
    let applied = draft.change(
        || bench.origin(Cause::Patch, site),
        value.as_ref().zip(trail.as_ref()),
        |object| path.apply_within(object, change, &bench.budget),
    );
    if let Err(misfit) = applied {
        let kind = text(&draft.object, &["kind"]);
        let name = text(&draft.object, &["metadata", "name"]);
        let message = format!("does not fit {kind}/{name}: {misfit}");
        bench.fail(Code::Patch, site, message);
        return None;
    }
    Some(())
}
