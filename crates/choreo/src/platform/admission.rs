//! The rules of the platform's kinds, at the door of the API.

use choreo_apiserver::{Admission, AdmissionRequest, Admitted, Denied, Operation, Violation};
use serde_json::Value;

/// The checks of the registry.
pub(super) struct Rules;

impl Admission for Rules {
    fn admit(&self, request: AdmissionRequest<'_>) -> Result<Admitted, Denied> {
        let AdmissionRequest {
            operation,
            resource,
            mut object,
            old,
        } = request;
        let ours = resource.group == choreo_model::GROUP;
        let writes = matches!(operation, Operation::Create | Operation::Update);
        // What is being deleted must get through, whatever it says: deletion ends.
        let leaving = object.pointer("/metadata/deletionTimestamp").is_some();
        if !ours || !writes || leaving {
            return Ok(Admitted {
                object,
                warnings: Vec::new(),
            });
        }
        keep_release(&resource.kind, &mut object, old);
        let Some(kind) = choreo_model::registry()
            .iter()
            .find(|kind| kind.kind == resource.kind)
        else {
            return Ok(Admitted {
                object,
                warnings: Vec::new(),
            });
        };
        let causes: Vec<Violation> = (kind.check)(&object, old)
            .into_iter()
            .map(|found| Violation {
                field: found.field,
                message: found.message,
            })
            .collect();
        if causes.is_empty() {
            Ok(Admitted {
                object,
                warnings: Vec::new(),
            })
        } else {
            Err(Denied { causes })
        }
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
