//! Deployment records are written by the controllers, once, and stay as long as their binding.

use choreo_apiserver::{AdmissionRequest, Denied, Operation, Reader};
use choreo_model::GROUP;
use serde_json::Value;

use super::{Write, denied};

const KIND: &str = "DeploymentRecord";

/// Refuses whatever would make history otherwise than it was.
pub(super) fn check(write: &Write<'_>, request: &AdmissionRequest<'_>) -> Result<(), Denied> {
    if write.kind != KIND {
        return Ok(());
    }
    let part = request.user.part();
    match write.operation {
        // Namespaces go with all that is in them.
        Operation::Delete if part.is_some() => Ok(()),
        Operation::Delete => {
            if is_bound(request.reader, &request.object) {
                let why = "a deployment record stays as long as its binding";
                return Err(denied("metadata", why));
            }
            Ok(())
        }
        Operation::Create | Operation::Update | Operation::UpdateStatus if part.is_none() => {
            let why = "deployment records are written by the platform's controllers alone";
            Err(denied("metadata", why))
        }
        Operation::UpdateStatus => {
            let outcome = |object: &Value| object.pointer("/status/outcome").is_some();
            let old = request.old.filter(|old| outcome(old));
            if old.is_some_and(|old| old.get("status") != request.object.get("status")) {
                return Err(denied("status", "the outcome of a deployment is final"));
            }
            Ok(())
        }
        Operation::Create | Operation::Update => Ok(()),
    }
}

/// Whether the binding of a record is there.
fn is_bound(reader: &dyn Reader, record: &Value) -> bool {
    let text = |pointer: &str| {
        let found = record.pointer(pointer).and_then(Value::as_str);
        found.unwrap_or_default()
    };
    let kind = text("/spec/binding/kind");
    let (namespace, name) = (text("/metadata/namespace"), text("/spec/binding/name"));
    let binding = reader.get(GROUP, kind, namespace, name);
    let uid = binding
        .as_ref()
        .and_then(|found| found.pointer("/metadata/uid"));
    uid.and_then(Value::as_str) == Some(text("/spec/binding/uid"))
}

/// Who owns which field says nothing where nobody can change any, and would be half of a record.
pub(super) fn tidy(write: &Write<'_>, object: &mut Value) {
    if write.kind == KIND
        && let Some(metadata) = object["metadata"].as_object_mut()
    {
        metadata.remove("managedFields");
    }
}
