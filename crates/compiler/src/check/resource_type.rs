//! Types of managed resources.

use super::examiner::Examiner;
use super::scopes;
use crate::diagnostic::Diagnostic;
use choreo_model::resource_type::ResourceTypeSpec;
use choreo_template::Scope;
use serde_json::Value;

/// Everything wrong with a type called `object`.
pub(super) fn check(object: &str, spec: &ResourceTypeSpec) -> Vec<Diagnostic> {
    let mut examiner = Examiner::new(object);
    let parameters = examiner.section("/spec/parameters", spec.parameters.as_ref());
    let configs = examiner.section(
        "/spec/environmentConfigs",
        spec.environment_configs.as_ref(),
    );
    let scope = scopes::resource(parameters, configs);
    let ids = spec.resources.iter().map(|one| one.id.as_str());
    let live = scopes::with_applied(&scope, ids);
    for (index, one) in spec.resources.iter().enumerate() {
        let pointer = format!("/spec/resources/{index}");
        if let Some(condition) = &one.include_when {
            examiner.condition(&format!("{pointer}/includeWhen"), condition, &scope);
        }
        examiner.template(&format!("{pointer}/template"), &one.template, &scope);
        if let Some(condition) = &one.ready_when {
            examiner.condition(&format!("{pointer}/readyWhen"), condition, &live);
        }
    }
    for (index, output) in spec.outputs.iter().enumerate() {
        let pointer = format!("/spec/outputs/{index}");
        if let Some(value) = &output.value {
            text(&mut examiner, &format!("{pointer}/value"), value, &live);
        }
        for (field, reference) in [
            ("secretKeyRef", &output.secret_key_ref),
            ("configMapKeyRef", &output.config_map_key_ref),
        ] {
            if let Some(reference) = reference {
                text(
                    &mut examiner,
                    &format!("{pointer}/{field}/name"),
                    &reference.name,
                    &live,
                );
                text(
                    &mut examiner,
                    &format!("{pointer}/{field}/key"),
                    &reference.key,
                    &live,
                );
            }
        }
    }
    examiner.diagnostics
}

fn text(examiner: &mut Examiner<'_>, pointer: &str, text: &str, scope: &Scope<'_>) {
    examiner.template(pointer, &Value::from(text), scope);
}
