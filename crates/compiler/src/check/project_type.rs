//! Types of projects.

use super::examiner::Examiner;
use super::scopes;
use crate::bench::Recipe;
use crate::diagnostic::Diagnostic;
use choreo_model::project::ProjectTypeSpec;

/// Everything wrong with a type called `object`.
pub(super) fn check(object: &str, spec: &ProjectTypeSpec) -> Vec<Diagnostic> {
    let mut examiner = Examiner::new(object);
    let parameters = examiner.open_section("/spec/parameters", spec.parameters.as_ref());
    let configs = examiner.open_section(
        "/spec/environmentConfigs",
        spec.environment_configs.as_ref(),
    );
    let scope = scopes::project(parameters, configs);
    examiner.rules("/spec/validations", &spec.validations, &scope);
    for (index, resource) in spec.resources.iter().enumerate() {
        let pointer = format!("/spec/resources/{index}");
        examiner.recipe(&pointer, Recipe::from(resource), &scope);
    }
    examiner.diagnostics
}
