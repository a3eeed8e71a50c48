//! The rules of the platform's kinds, at the door of the API: one module for each that looks at more
//! than the object itself.

mod authorship;
mod in_use;
mod pods;
mod promotions;
mod quotas;
mod records;
mod release;

use choreo_apiserver::{Admission, AdmissionRequest, Admitted, Denied, Operation, Violation};
use choreo_compiler::{Diagnostic, check};
use choreo_model::Kind;
use serde_json::Value;

/// The checks of the registry, and those of the language.
#[derive(Default)]
pub(super) struct Rules {
    quotas: quotas::Quotas,
}

impl Admission for Rules {
    fn admit(&self, mut request: AdmissionRequest<'_>) -> Result<Admitted, Denied> {
        if request.resource.group != choreo_model::GROUP {
            return Ok(Admitted {
                warnings: pods::warnings(&request),
                ..Admitted::plain(request.object)
            });
        }
        let write = Write::of(&request);
        promotions::check(&write, &mut request)?;
        records::check(&write, &request)?;
        let left_behind = in_use::warning(&write, &request);
        let hold = self.quotas.check(&write, &request)?;
        let AdmissionRequest {
            user,
            operation,
            mut object,
            old,
            ..
        } = request;
        records::tidy(&write, &mut object);
        authorship::stamp(&write, user, &mut object, old)?;
        // What is being deleted must get through, whatever it says: deletion ends.
        let writes = matches!(operation, Operation::Create | Operation::Update);
        if !writes || write.leaving {
            return Ok(Admitted {
                warnings: left_behind.into_iter().collect(),
                ..Admitted::plain(object)
            });
        }
        if operation == Operation::Create {
            choreo_controllers::hold_from_the_beginning(write.kind, &mut object);
        }
        release::keep(write.kind, &mut object, old);
        let Some(kind) = choreo_model::registry()
            .iter()
            .find(|kind| kind.kind == write.kind)
        else {
            return Ok(Admitted::plain(object));
        };
        let warnings = rules(kind, &object, old)?;
        Ok(Admitted {
            object,
            warnings,
            hold,
        })
    }
}

/// A write as the rules tell them apart.
struct Write<'a> {
    /// The kind of the object.
    kind: &'a str,
    operation: Operation,
    /// Whether the object is being deleted.
    leaving: bool,
}

impl<'a> Write<'a> {
    fn of(request: &AdmissionRequest<'a>) -> Self {
        Self {
            kind: &request.resource.kind,
            operation: request.operation,
            leaving: request
                .object
                .pointer("/metadata/deletionTimestamp")
                .is_some(),
        }
    }
}

/// A refusal for one reason.
fn denied(field: &str, message: impl Into<String>) -> Denied {
    Denied {
        causes: vec![Violation {
            field: field.to_owned(),
            message: message.into(),
        }],
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
}
