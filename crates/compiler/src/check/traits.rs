//! Traits.

use super::examiner::Examiner;
use super::scopes;
use crate::bench::Recipe;
use crate::diagnostic::{Code, Diagnostic};
use crate::pointer::Path;
use choreo_model::traits::{PatchOperation, TraitPatch, TraitSpec};
use choreo_template::{Scope, Type};
use serde_json::Value;

/// Everything wrong with a trait called `object`.
pub(super) fn check(object: &str, spec: &TraitSpec) -> Vec<Diagnostic> {
    let mut examiner = Examiner::new(object);
    let parameters = examiner.section("/spec/parameters", spec.parameters.as_ref());
    let configs = examiner.section(
        "/spec/environmentConfigs",
        spec.environment_configs.as_ref(),
    );
    let scope = scopes::of_trait(parameters, configs);
    examiner.rules("/spec/validations", &spec.validations, &scope);
    examiner.rules(
        "/spec/preRenderValidations",
        &spec.pre_render_validations,
        &scope,
    );
    for (index, create) in spec.creates.iter().enumerate() {
        let pointer = format!("/spec/creates/{index}");
        examiner.recipe(&pointer, Recipe::from(create), &scope);
    }
    for (index, patch) in spec.patches.iter().enumerate() {
        check_patch(
            &mut examiner,
            &format!("/spec/patches/{index}"),
            patch,
            &scope,
        );
    }
    for (index, remove) in spec.removes.iter().enumerate() {
        let pointer = format!("/spec/removes/{index}");
        let looped = (remove.for_each.as_deref(), remove.var.as_deref());
        let inside = examiner.each(&pointer, looped, &scope);
        examiner.target(&pointer, &remove.target, &inside);
    }
    examiner.rules_after(
        "/spec/postRenderValidations",
        &spec.post_render_validations,
        &scope,
    );
    examiner.diagnostics
}

fn check_patch(examiner: &mut Examiner<'_>, pointer: &str, patch: &TraitPatch, scope: &Scope<'_>) {
    let looped = (patch.for_each.as_deref(), patch.var.as_deref());
    let inside = examiner.each(pointer, looped, scope);
    examiner.target(pointer, &patch.target, &inside);
    for (index, operation) in patch.operations.iter().enumerate() {
        let pointer = format!("{pointer}/operations/{index}");
        check_path(examiner, &format!("{pointer}/path"), operation, &inside);
        if let Some(value) = &operation.value {
            examiner.template(&format!("{pointer}/value"), value, &inside);
        }
    }
}

/// A path that is written out must be one; of one with expressions only those can be looked at.
fn check_path(
    examiner: &mut Examiner<'_>,
    pointer: &str,
    operation: &PatchOperation,
    scope: &Scope<'_>,
) {
    let written = operation.path.as_str();
    let Some(template) = examiner.template(pointer, &Value::from(written), scope) else {
        return;
    };
    let found = template.type_of(scope);
    if !matches!(found, Type::String | Type::Dyn | Type::Free) {
        let message = format!("a path must be a string, found {found}");
        examiner.fail(Code::Patch, pointer, message);
    }
    if !written.contains("${")
        && let Err(malformed) = Path::parse(written)
    {
        examiner.fail(Code::Patch, pointer, malformed.to_string());
    }
}
