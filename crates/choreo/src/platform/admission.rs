//! The rules of the platform's kinds, at the door of the API.

use choreo_apiserver::{Admission, AdmissionRequest, Admitted, Denied, Operation, Violation};
use choreo_compiler::{Diagnostic, check};
use choreo_model::Kind;
use serde_json::Value;

/// The checks of the registry, and those of the language.
pub(super) struct Rules;

impl Admission for Rules {
    fn admit(&self, request: AdmissionRequest<'_>) -> Result<Admitted, Denied> {
        let AdmissionRequest {
            operation,
            resource,
            mut object,
            old,
            ..
        } = request;
        let ours = resource.group == choreo_model::GROUP;
        let writes = matches!(operation, Operation::Create | Operation::Update);
        // What is being deleted must get through, whatever it says: deletion ends.
        let leaving = object.pointer("/metadata/deletionTimestamp").is_some();
        if !ours || !writes || leaving {
            return Ok(Admitted::plain(object));
        }
        keep_release(&resource.kind, &mut object, old);
        let Some(kind) = choreo_model::registry()
            .iter()
            .find(|kind| kind.kind == resource.kind)
        else {
            return Ok(Admitted::plain(object));
        };
        let warnings = rules(kind, &object, old)?;
        Ok(Admitted {
            warnings,
            ..Admitted::plain(object)
        })
    }
}

/// What the kind and the language have against `object`: warnings, unless something is an error.
fn rules(kind: &Kind, object: &Value, old: Option<&Value>) -> Result<Vec<String>, Denied> {
    let mut causes: Vec<Violation> = (kind.check)(object, old)
        .into_iter()
        .map(|found| Violation {
            field: found.field,
            message: found.message,
        })
        .collect();
    let (errors, warnings): (Vec<_>, Vec<_>) = check::object(object, old)
        .into_iter()
        .partition(Diagnostic::is_error);
    causes.extend(errors.into_iter().map(|error| Violation {
        message: error.explained(),
        field: error.field,
    }));
    if causes.is_empty() {
        Ok(warnings.iter().map(ToString::to_string).collect())
    } else {
        Err(Denied { causes })
    }
}

/// A binding that is written again without its release keeps the one it has: files that pin nothing
/// must not undo a promotion.
fn keep_release(kind: &str, object: &mut Value, old: Option<&Value>) {
    if kind != "ReleaseBinding" {
        return;
    }
    let Some(before) = old
        .and_then(|old| old.pointer("/spec/releaseName"))
        .and_then(Value::as_str)
    else {
        return;
    };
    let now = object
        .pointer("/spec/releaseName")
        .and_then(Value::as_str)
        .unwrap_or_default();
    if now.is_empty()
        && !before.is_empty()
        && let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut)
    {
        spec.insert("releaseName".to_owned(), Value::from(before));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn admit(object: &Value, old: Option<&Value>) -> Result<Vec<String>, Denied> {
        rules(choreo_model::find("componenttype").unwrap(), object, old)
    }

    fn type_with(name: &str) -> Value {
        json!({
            "apiVersion": "openchoreo.dev/v1alpha1", "kind": "ComponentType",
            "metadata": { "name": "web", "namespace": "default" },
            "spec": { "workloadType": "proxy", "resources": [{
                "id": "one",
                "template": { "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name } },
            }]},
        })
    }

    #[test]
    fn a_mistake_in_a_type_is_refused_with_the_expression_underlined() {
        let denied = admit(&type_with("${metadata.nam}"), None).unwrap_err();
        assert_eq!(denied.causes.len(), 1);
        assert_eq!(
            denied.causes[0].field,
            "spec.resources[0].template.metadata.name"
        );
        let lines: Vec<&str> = denied.causes[0].message.lines().collect();
        assert_eq!(
            lines,
            [
                "there is no field \"nam\" (did you mean name?)",
                "    ${metadata.nam}",
                "               ^^^",
            ]
        );
    }

    #[test]
    fn what_may_be_meant_is_only_warned_of() {
        let warnings = admit(&type_with("a${metadata.name"), None).unwrap();
        assert_eq!(warnings.len(), 1, "{warnings:?}");
    }

    #[test]
    fn what_was_accepted_before_stays_accepted_as_it_is() {
        let old = type_with("${metadata.nam}");
        let mut labelled = old.clone();
        labelled["metadata"]["labels"] = json!({ "a": "b" });
        assert!(admit(&labelled, Some(&old)).is_ok());
    }

    #[test]
    fn a_binding_keeps_its_release() {
        let old = json!({"spec": {"releaseName": "c-1"}});
        let mut new = json!({"spec": {"environment": "development"}});
        keep_release("ReleaseBinding", &mut new, Some(&old));
        assert_eq!(new["spec"]["releaseName"], "c-1");
        let mut pinned = json!({"spec": {"releaseName": "c-2"}});
        keep_release("ReleaseBinding", &mut pinned, Some(&old));
        assert_eq!(pinned["spec"]["releaseName"], "c-2");
    }
}
