//! Workflows.

use super::examiner::Examiner;
use super::scopes;
use crate::diagnostic::Diagnostic;
use choreo_model::workflow::WorkflowSpec;
use serde_json::Value;

/// Everything wrong with a workflow called `object`.
pub(super) fn check(object: &str, spec: &WorkflowSpec) -> Vec<Diagnostic> {
    let mut examiner = Examiner::new(object);
    let parameters = examiner.open_section("/spec/parameters", spec.parameters.as_ref());
    let base = scopes::workflow(parameters);
    for (index, reference) in spec.external_refs.iter().enumerate() {
        let pointer = format!("/spec/externalRefs/{index}/name");
        examiner.template(&pointer, &Value::from(reference.name.as_str()), &base);
    }
    let ids = spec.external_refs.iter().map(|one| one.id.as_str());
    let scope = scopes::with_references(&base, ids);
    examiner.template("/spec/runTemplate", &spec.run_template, &scope);
    for (index, one) in spec.resources.iter().enumerate() {
        let pointer = format!("/spec/resources/{index}");
        if let Some(condition) = &one.include_when {
            examiner.condition(&format!("{pointer}/includeWhen"), condition, &scope);
        }
        examiner.template(&format!("{pointer}/template"), &one.template, &scope);
    }
    examiner.diagnostics
}
