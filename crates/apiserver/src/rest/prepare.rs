//! What every object goes through before it is written: shape, defaults,
//! identity, rules, leave.

use serde_json::{Map, Value, json};

use super::{Call, Part, Unknown};
use crate::{
    access::{AdmissionRequest, Admitted, Denied, Operation},
    apply::{self, Manager},
    auth::escalation::Grant,
    builtin,
    convert::Versions,
    custom::{self, Taken},
    namespaces,
    object::{meta_str, metadata_mut},
    schema::{Cause, unknown_field},
    status::{Failure, Result, cause},
};

impl Call<'_> {
    /// The versions in which the fields of objects may be owned.
    pub(super) fn versions(&self) -> Versions<'_> {
        Versions::of(self.kind, self.core.catalog())
    }

    pub(super) fn manager<'b>(&'b self, versions: &'b Versions<'_>) -> Manager<'b> {
        Manager {
            name: &self.options.manager,
            api_version: versions.own,
            subresource: self.part.subresource(),
            versions,
            now: self.now,
        }
    }

    /// The body must be of the kind and version of the path. Of built-in kinds, a body
    /// need not say what it is.
    pub(super) fn check_type(&self, object: &mut Value) -> Result<()> {
        let expected = &**self.kind.api_version();
        let is_object = object.get("metadata").is_none_or(Value::is_object);
        let Some(fields) = object.as_object_mut().filter(|_| is_object) else {
            return Err(Failure::bad_request("the body is not a Kubernetes object"));
        };
        if self.kind.builtin {
            for (key, known) in [("apiVersion", expected), ("kind", &self.kind.kind)] {
                let given = fields.entry(key).or_insert(Value::Null);
                if given.is_null() || given == "" {
                    *given = json!(known);
                }
            }
        }
        let text = |key: &str| fields.get(key).and_then(Value::as_str).unwrap_or_default();
        let (version, kind) = (text("apiVersion"), text("kind"));
        if kind.is_empty() {
            return Err(Failure::bad_request("Object 'Kind' is missing"));
        }
        if version != expected {
            return Err(Failure::bad_request(format!(
                "the API version in the data ({version}) does not match the expected API version ({expected})"
            )));
        }
        if kind != self.kind.kind {
            return Err(Failure::bad_request(format!(
                "the kind in the data ({kind}) does not match the expected kind ({})",
                self.kind.kind
            )));
        }
        Ok(())
    }

    /// What is applied must say what it is.
    pub(super) fn check_applied_type(&self, config: &mut Value) -> Result<()> {
        let text = |key: &str| config.get(key).and_then(Value::as_str).unwrap_or_default();
        let (version, kind) = (text("apiVersion"), text("kind"));
        if *version == **self.kind.api_version() && kind == self.kind.kind {
            return self.check_type(config);
        }
        let slash = if version.contains('/') { "" } else { "/" };
        Err(Failure::bad_request(format!(
            "invalid object type: {slash}{version}, Kind={kind}"
        )))
    }

    /// What is applied must not name fields that there are not, nor one item twice: nobody
    /// could own them.
    pub(super) fn check_fields(&self, config: &mut Value) -> Result<()> {
        let unknown = self.kind.schema.prune(config);
        if let Some(field) = unknown.first() {
            let why = format!(".{field}: field not declared in schema");
            return Err(Failure::untyped(self.kind, &why));
        }
        match apply::ambiguous(self.kind.schema.root(), config) {
            None => Ok(()),
            Some(why) => Err(Failure::untyped(self.kind, &why)),
        }
    }

    /// The namespace of the body must be that of the path.
    pub(super) fn check_namespace(&self, object: &mut Value) -> Result<()> {
        if !self.kind.namespaced {
            metadata_mut(object).remove("namespace");
            return Ok(());
        }
        let given = meta_str(object, "namespace");
        if !given.is_empty() && given != self.namespace {
            return Err(Failure::bad_request(
                "the namespace of the provided object does not match the namespace sent on the request",
            ));
        }
        metadata_mut(object).insert("namespace".into(), json!(self.namespace));
        Ok(())
    }

    /// Deals with fields the schema does not know.
    pub(super) fn prune(&mut self, object: &mut Value) -> Result<()> {
        let unknown = self.kind.schema.prune(object);
        if unknown.is_empty() {
            return Ok(());
        }
        let texts: Vec<String> = unknown.iter().map(|path| unknown_field(path)).collect();
        match self.options.unknown {
            Unknown::Ignore => {}
            Unknown::Warn => self.warnings.extend(texts),
            Unknown::Refuse => {
                return Err(Failure::not_strict(self.kind, &texts));
            }
        }
        Ok(())
    }

    /// What is left open is taken as said by whoever writes.
    pub(super) fn default(&self, object: &mut Value, old: Option<&Value>) {
        tidy(object);
        self.kind.schema.default(object);
        builtin::default(self.kind, object, old);
    }

    /// What the server decides, which nobody owns.
    pub(super) fn decide(&self, object: &mut Value, old: Option<&Value>) {
        builtin::prepare(self.kind, object, old);
        namespaces::prepare(self.kind, object, old, self.part == Part::Finalize);
        custom::prepare(self.kind, object, self.now, |group, plural| {
            Taken::by_others(self.core, group, plural)
        });
    }

    pub(super) fn validate(&mut self, object: &Value, old: Option<&Value>) -> Result<()> {
        let grant = Grant {
            core: self.core,
            user: self.user,
            kind: self.kind,
            namespace: self.namespace,
            name: self.name,
        };
        grant.check(object, old)?;
        let mut causes = check_metadata(object);
        if self.kind.namespaced && meta_str(object, "namespace").is_empty() {
            causes.push(Cause::required("metadata.namespace", ""));
        }
        causes.extend(self.typed(self.kind.schema.validate(object, old))?);
        if !causes.iter().any(Cause::bars_expressions) {
            let verdict = self.kind.schema.check(object, old);
            causes.extend(verdict.broken);
            let told = verdict.let_be.iter();
            self.warnings
                .extend(told.map(|cause| format!("{}: {}", cause.field, cause.message)));
        }
        causes.extend(builtin::validate(self.kind, object, old));
        causes.extend(custom::validate(self.kind, object, old, self.options.own));
        if causes.is_empty() {
            if self.part == Part::Main {
                self.warn_of_the_unheeded(object);
            }
            Ok(())
        } else {
            let mut told = Vec::with_capacity(causes.len());
            for cause in causes {
                if !told.contains(&cause) {
                    told.push(cause);
                }
            }
            Err(Failure::invalid(self.kind, meta_str(object, "name"), told))
        }
    }

    /// Whoever asks for what nothing here does is to know.
    fn warn_of_the_unheeded(&mut self, object: &Value) {
        let why = builtin::unheeded(self.kind).or_else(|| custom::unheeded(self.kind, object));
        self.warnings.extend(why.map(str::to_owned));
    }

    /// The broken rules of a schema. Wrong types in the fixed part of an object are no
    /// broken rules: such a body is not of the kind at all.
    fn typed(&self, mut causes: Vec<Cause>) -> Result<Vec<Cause>> {
        let fixed = |cause: &Cause| self.kind.builtin || cause.field.starts_with("metadata.");
        let wrong = causes
            .iter()
            .find(|cause| cause.reason == "FieldValueTypeInvalid" && fixed(cause));
        if let Some(Cause { message, .. }) = wrong {
            return Err(Failure::mistyped(self.kind, message));
        }
        // What is required there, the checks of metadata tell.
        causes.retain(|cause| !cause.field.starts_with("metadata.ownerReferences["));
        Ok(causes)
    }

    /// Asks the embedding program.
    pub(super) fn admit(
        &mut self,
        object: Value,
        old: Option<&Value>,
        deletion: bool,
    ) -> Result<Admitted> {
        let operation = match (old, self.part) {
            _ if deletion => Operation::Delete,
            (None, _) => Operation::Create,
            (Some(_), Part::Status) => Operation::UpdateStatus,
            (Some(_), Part::Main | Part::Finalize | Part::Scale | Part::EphemeralContainers) => {
                Operation::Update
            }
        };
        let name = meta_str(&object, "name").to_owned();
        let request = AdmissionRequest {
            user: self.user,
            reader: self.core,
            operation,
            resource: self.kind,
            object,
            old,
        };
        match self.core.admission.admit(request) {
            Ok(mut admitted) => {
                self.warnings.append(&mut admitted.warnings);
                Ok(admitted)
            }
            Err(denied) => Err(refused(self, &name, denied)),
        }
    }
}

fn refused(call: &Call<'_>, name: &str, denied: Denied) -> Failure {
    let causes = denied.causes.into_iter();
    let causes = causes
        .map(|violation| cause("FieldValueInvalid", &violation.field, violation.message))
        .collect();
    Failure::invalid(call.kind, name, causes)
}

/// Empty maps and lists of metadata are none.
fn tidy(object: &mut Value) {
    let metadata = metadata_mut(object);
    for name in ["annotations", "finalizers", "labels", "ownerReferences"] {
        let empty = metadata.get(name).is_some_and(|value| {
            value.as_object().is_some_and(Map::is_empty)
                || value.as_array().is_some_and(Vec::is_empty)
        });
        if empty {
            metadata.remove(name);
        }
    }
}

fn check_metadata(object: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    let name = meta_str(object, "name");
    if name.is_empty() {
        causes.push(Cause::required(
            "metadata.name",
            "name or generateName is required",
        ));
    } else if let Some(why) = name_problem(name) {
        causes.push(Cause::invalid("metadata.name", &json!(name), why));
    }
    causes
}

/// Names are parts of paths, so some characters are out of the question for
/// every kind. What else a kind demands is checked with the kind.
fn name_problem(name: &str) -> Option<&'static str> {
    match name {
        "." | ".." => Some("may not be '.' or '..'"),
        _ if name.contains(['/', '%']) => Some("may not contain '/' or '%'"),
        _ if name.len() > 253 => Some("must be no more than 253 characters"),
        _ => None,
    }
}
