//! Types of components.

use super::examiner::Examiner;
use super::scopes;
use crate::bench::Recipe;
use crate::diagnostic::Diagnostic;
use choreo_model::component_type::ComponentTypeSpec;

/// Everything wrong with a type called `object`.
pub(super) fn check(object: &str, spec: &ComponentTypeSpec) -> Vec<Diagnostic> {
    let mut examiner = Examiner::new(object);
    let parameters = examiner.section("/spec/parameters", spec.parameters.as_ref());
    let configs = examiner.section(
        "/spec/environmentConfigs",
        spec.environment_configs.as_ref(),
    );
    let scope = scopes::component(parameters, configs);
    examiner.rules("/spec/validations", &spec.validations, &scope);
    examiner.rules(
        "/spec/preRenderValidations",
        &spec.pre_render_validations,
        &scope,
    );
    for (index, embedded) in spec.traits.iter().enumerate() {
        for (field, values) in [
            ("parameters", &embedded.parameters),
            ("environmentConfigs", &embedded.environment_configs),
        ] {
            if let Some(values) = values {
                examiner.template(&format!("/spec/traits/{index}/{field}"), values, &scope);
            }
        }
    }
    for (index, resource) in spec.resources.iter().enumerate() {
        let pointer = format!("/spec/resources/{index}");
        examiner.recipe(&pointer, Recipe::from(resource), &scope);
    }
    examiner.rules_after(
        "/spec/postRenderValidations",
        &spec.post_render_validations,
        &scope,
    );
    examiner.diagnostics
}
