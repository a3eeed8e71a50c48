//! Failures in the words and shape of Kubernetes' `Status`.

use serde_json::{Map, Value, json};

use crate::{access::PodError, resource::Resource, schema::Cause};

/// The group of options and partial objects.
const META: &str = "meta.k8s.io";

/// Result of anything a request asks for.
pub(crate) type Result<T, E = Failure> = std::result::Result<T, E>;

/// A failed request: what becomes a `Status` object.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) code: u16,
    pub(crate) reason: &'static str,
    pub(crate) message: String,
    details: Option<Box<Details>>,
    /// Continue token with which an expired list can be resumed inconsistently.
    resume: Option<Box<str>>,
}

#[derive(Clone, Debug, Default)]
struct Details {
    name: String,
    group: String,
    kind: String,
    uid: String,
    causes: Vec<Cause>,
    retry_after: Option<u32>,
}

impl Failure {
    fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            reason,
            message: message.into(),
            details: None,
            resume: None,
        }
    }

    fn about(mut self, resource: &Resource, name: &str) -> Self {
        let details = self.details.get_or_insert_default();
        name.clone_into(&mut details.name);
        details.group.clone_from(&resource.group);
        details.kind.clone_from(&resource.plural);
        self
    }

    fn because(mut self, causes: Vec<Cause>) -> Self {
        self.details.get_or_insert_default().causes = causes;
        self
    }

    fn retry(mut self, seconds: u32) -> Self {
        self.details.get_or_insert_default().retry_after = Some(seconds);
        self
    }

    pub(crate) fn not_found(resource: &Resource, name: &str) -> Self {
        let message = format!("{} {name:?} not found", resource.qualified());
        Self::new(404, "NotFound", message).about(resource, name)
    }

    /// Something other than an object is missing.
    pub(crate) fn missing(message: impl Into<String>) -> Self {
        Self::new(404, "NotFound", message)
    }

    /// No such path.
    pub(crate) fn no_route() -> Self {
        let message = "the server could not find the requested resource";
        Self::new(404, "NotFound", message).because(Vec::new())
    }

    pub(crate) fn method_not_allowed() -> Self {
        let message = "the server does not allow this method on the requested resource";
        Self::new(405, "MethodNotAllowed", message).because(Vec::new())
    }

    pub(crate) fn already_exists(resource: &Resource, name: &str) -> Self {
        let message = format!("{} {name:?} already exists", resource.qualified());
        Self::new(409, "AlreadyExists", message).about(resource, name)
    }

    pub(crate) fn conflict(resource: &Resource, name: &str, why: &str) -> Self {
        let message = format!(
            "Operation cannot be fulfilled on {} {name:?}: {why}",
            resource.qualified()
        );
        Self::new(409, "Conflict", message).about(resource, name)
    }

    /// The object is not the one that a client meant. Kubernetes names the kind here.
    pub(crate) fn precondition(resource: &Resource, name: &str, why: &str) -> Self {
        let kind = &resource.kind;
        let message = format!("Operation cannot be fulfilled on {kind} {name:?}: {why}");
        let mut failure = Self::new(409, "Conflict", message).about(resource, name);
        if let Some(details) = &mut failure.details {
            details.kind.clone_from(kind);
        }
        failure
    }

    /// Somebody else wrote in between.
    pub(crate) fn modified(resource: &Resource, name: &str) -> Self {
        Self::conflict(
            resource,
            name,
            "the object has been modified; please apply your changes to the latest version and try again",
        )
    }

    /// What is applied does not fit the schema. Kubernetes takes this for its own failure.
    pub(crate) fn untyped(resource: &Resource, why: &str) -> Self {
        let Resource {
            group,
            version,
            kind,
            ..
        } = resource;
        let message = format!(
            "failed to create typed patch object (/; {group}/{version}, Kind={kind}): {why}"
        );
        Self::new(500, "", message)
    }

    /// Server-side apply met fields of other managers.
    pub(crate) fn apply_conflict(message: String, causes: Vec<Cause>) -> Self {
        Self::new(409, "Conflict", message).because(causes)
    }

    pub(crate) fn invalid(resource: &Resource, name: &str, causes: Vec<Cause>) -> Self {
        let kind = if resource.group.is_empty() {
            resource.kind.clone()
        } else {
            format!("{}.{}", resource.kind, resource.group)
        };
        let message = format!("{kind} {name:?} is invalid: {}", sentences(&causes));
        let mut failure = Self::new(422, "Invalid", message)
            .about(resource, name)
            .because(causes);
        if let Some(details) = &mut failure.details {
            details.kind.clone_from(&resource.kind);
        }
        failure
    }

    /// An update does not say what it updates. Kubernetes names the plural here.
    pub(crate) fn no_version(resource: &Resource, name: &str) -> Self {
        let field = "metadata.resourceVersion";
        let why = "Invalid value: 0: must be specified for an update";
        let causes = vec![cause("FieldValueInvalid", field, why)];
        let text = sentences(&causes);
        let message = format!("{} {name:?} is invalid: {text}", resource.qualified());
        Self::new(422, "Invalid", message)
            .about(resource, name)
            .because(causes)
    }

    /// A number of replicas that cannot be. The scale is an object of its own.
    pub(crate) fn invalid_scale(name: &str, replicas: &Value) -> Self {
        let why = "must be greater than or equal to 0";
        let causes = vec![Cause::invalid("spec.replicas", replicas, why)];
        let text = sentences(&causes);
        let message = format!("Scale.autoscaling {name:?} is invalid: {text}");
        let mut failure = Self::new(422, "Invalid", message).because(causes);
        let details = failure.details.get_or_insert_default();
        (details.name, details.group, details.kind) =
            (name.into(), "autoscaling".into(), "Scale".into());
        failure
    }

    /// The query of a request is wrong.
    pub(crate) fn invalid_options(kind: &str, causes: Vec<Cause>) -> Self {
        let text = format!("{kind}.{META} \"\" is invalid: {}", sentences(&causes));
        let mut failure = Self::new(422, "Invalid", text).because(causes);
        let details = failure.details.get_or_insert_default();
        kind.clone_into(&mut details.kind);
        META.clone_into(&mut details.group);
        failure
    }

    /// A request for a token that says something impossible.
    pub(crate) fn invalid_token_request(name: &str, cause: Cause) -> Self {
        let (group, kind) = ("authentication.k8s.io", "TokenRequest");
        let causes = vec![cause];
        let text = format!("{kind}.{group} {name:?} is invalid: {}", sentences(&causes));
        let mut failure = Self::new(422, "Invalid", text).because(causes);
        let details = failure.details.get_or_insert_default();
        (details.name, details.group, details.kind) = (name.into(), group.into(), kind.into());
        failure
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    /// Fields are unknown or given twice, and the client wants neither.
    pub(crate) fn not_strict(resource: &Resource, problems: &[String]) -> Self {
        let Resource { version, kind, .. } = resource;
        Self::bad_request(format!(
            "{kind} in version {version:?} cannot be handled as a {kind}: strict decoding error: {}",
            problems.join(", ")
        ))
    }

    /// A field holds a value of another type than it can.
    pub(crate) fn mistyped(resource: &Resource, why: &str) -> Self {
        let Resource { version, kind, .. } = resource;
        Self::bad_request(format!(
            "{kind} in version {version:?} cannot be handled as a {kind}: {why}"
        ))
    }

    /// The patch leaves something that is not of the kind.
    pub(crate) fn invalid_patch(why: &str) -> Self {
        let causes = vec![cause("FieldValueInvalid", "patch", why)];
        let text = format!(" \"\" is invalid: {}", sentences(&causes));
        Self::new(422, "Invalid", text).because(causes)
    }

    /// The request is well-formed but cannot be carried out on this object.
    pub(crate) fn unprocessable(message: impl Into<String>) -> Self {
        Self::new(422, "Invalid", message).because(Vec::new())
    }

    pub(crate) fn forbidden(resource: &Resource, name: &str, why: &str) -> Self {
        let message = format!("{} {name:?} is forbidden: {why}", resource.qualified());
        Self::new(403, "Forbidden", message).about(resource, name)
    }

    /// Somebody may not do what they ask, with objects of a kind that need not be there.
    pub(crate) fn refused(group: &str, plural: &str, name: &str, why: &str) -> Self {
        let dot = if group.is_empty() { "" } else { "." };
        let quoted = match name {
            "" => String::new(),
            name => format!(" {name:?}"),
        };
        let mut failure = Self::denied(format!("{plural}{dot}{group}{quoted} is forbidden: {why}"));
        let details = failure.details.get_or_insert_default();
        (details.name, details.group, details.kind) = (name.into(), group.into(), plural.into());
        failure
    }

    /// Somebody may not have what they ask for.
    pub(crate) fn denied(message: String) -> Self {
        Self::new(403, "Forbidden", message).because(Vec::new())
    }

    /// Nothing new is made in a namespace that is going away.
    pub(crate) fn namespace_terminating(resource: &Resource, name: &str, namespace: &str) -> Self {
        let why = format!(
            "unable to create new content in namespace {namespace} because it is being terminated"
        );
        let message = format!("namespace {namespace} is being terminated");
        Self::forbidden(resource, name, &why).because(vec![cause(
            "NamespaceTerminating",
            "metadata.namespace",
            message,
        )])
    }

    pub(crate) fn unauthorized() -> Self {
        Self::new(401, "Unauthorized", "Unauthorized")
    }

    pub(crate) fn not_acceptable() -> Self {
        Self::new(
            406,
            "NotAcceptable",
            "only the following media types are accepted: application/json, application/yaml",
        )
    }

    pub(crate) fn unsupported_media_type(accepted: &[&str]) -> Self {
        let message = format!(
            "the body of the request was in an unknown format - accepted media types include: {}",
            accepted.join(", ")
        );
        Self::new(415, "UnsupportedMediaType", message)
    }

    pub(crate) fn too_large(limit: usize) -> Self {
        let message = format!("Request entity too large: limit is {limit}");
        Self::new(413, "RequestEntityTooLarge", message)
    }

    pub(crate) fn timeout(why: &str) -> Self {
        Self::new(504, "Timeout", format!("Timeout: {why}")).because(Vec::new())
    }

    pub(crate) fn too_many_requests() -> Self {
        let message = "too many requests, please try again later";
        Self::new(429, "TooManyRequests", message).retry(1)
    }

    /// A continue token is older than what is remembered.
    pub(crate) fn list_expired(resume: String) -> Self {
        let mut failure = Self::new(
            410,
            "Expired",
            "The provided continue parameter is too old to display a consistent list result. \
             You can start a new list without the continue parameter, or use the continue token \
             in this response to retrieve the remainder of the results. Continuing with the \
             provided token results in an inconsistent list - objects that were created, \
             modified, or deleted between the time the first chunk was returned and now may \
             show up in the list.",
        );
        failure.resume = Some(resume.into());
        failure
    }

    /// A watch or list asks for a past that is no longer remembered.
    pub(crate) fn version_expired(version: u64, oldest: u64) -> Self {
        Self::new(
            410,
            "Expired",
            format!("too old resource version: {version} ({oldest})"),
        )
    }

    /// A list asks for a future.
    pub(crate) fn version_too_large(version: u64, current: u64) -> Self {
        let message = format!("Timeout: Too large resource version: {version}, current: {current}");
        let text = "Too large resource version";
        Self::new(504, "Timeout", message)
            .because(vec![cause("ResourceVersionTooLarge", "", text)])
            .retry(1)
    }

    pub(crate) fn internal(message: impl std::fmt::Display) -> Self {
        Self::new(
            500,
            "InternalError",
            format!("Internal error occurred: {message}"),
        )
    }

    pub(crate) fn unavailable(message: impl Into<String>) -> Self {
        Self::new(503, "ServiceUnavailable", message).retry(1)
    }

    pub(crate) fn disk_full() -> Self {
        let message = "the disk of the data folder is full: nothing was written; free some space and repeat the request";
        Self::new(507, "InsufficientStorage", message)
    }

    /// Seconds after which a client may try again.
    pub(crate) fn retry_after(&self) -> Option<u32> {
        self.details
            .as_ref()
            .and_then(|details| details.retry_after)
    }

    /// Whether another try on the newest object may succeed.
    pub(crate) fn is_conflict(&self) -> bool {
        self.reason == "Conflict"
    }

    /// Whether somebody else's object is where one was to be created.
    pub(crate) fn is_existing(&self) -> bool {
        self.reason == "AlreadyExists"
    }

    pub(crate) fn is_not_found(&self) -> bool {
        self.reason == "NotFound"
    }

    pub(crate) fn to_value(&self) -> Value {
        let mut metadata = Map::new();
        let mut status = json!({
            "kind": "Status", "apiVersion": "v1", "status": "Failure",
            "message": self.message, "code": self.code,
        });
        if !self.reason.is_empty() {
            status["reason"] = json!(self.reason);
        }
        if let Some(resume) = &self.resume {
            metadata.insert("continue".into(), json!(resume));
        }
        if let Some(details) = &self.details {
            status["details"] = details.to_value();
        }
        status["metadata"] = Value::Object(metadata);
        status
    }
}

impl Details {
    fn to_value(&self) -> Value {
        let mut details = Map::new();
        for (key, value) in [
            ("name", &self.name),
            ("group", &self.group),
            ("kind", &self.kind),
            ("uid", &self.uid),
        ] {
            if !value.is_empty() {
                details.insert(key.into(), json!(value));
            }
        }
        if !self.causes.is_empty() {
            details.insert(
                "causes".into(),
                self.causes.iter().map(cause_value).collect(),
            );
        }
        if let Some(seconds) = self.retry_after {
            details.insert("retryAfterSeconds".into(), json!(seconds));
        }
        Value::Object(details)
    }
}

impl From<PodError> for Failure {
    fn from(error: PodError) -> Self {
        match error {
            PodError::NotFound(why) => Self::missing(why),
            PodError::BadRequest(why) => Self::bad_request(why),
            PodError::Internal(why) => Self::internal(why),
        }
    }
}

fn cause_value(cause: &Cause) -> Value {
    let mut value = json!({"reason": cause.reason, "message": cause.message});
    if !cause.field.is_empty() {
        value["field"] = json!(cause.field);
    }
    value
}

/// Every cause once, in one text.
fn sentences(causes: &[Cause]) -> String {
    let mut each: Vec<String> = Vec::with_capacity(causes.len());
    for text in causes.iter().map(sentence) {
        if !each.contains(&text) {
            each.push(text);
        }
    }
    match each.as_slice() {
        [one] => one.clone(),
        many => format!("[{}]", many.join(", ")),
    }
}

fn sentence(cause: &Cause) -> String {
    if cause.field.is_empty() {
        cause.message.clone()
    } else {
        format!("{}: {}", cause.field, cause.message)
    }
}

pub(crate) fn cause(reason: &str, field: &str, message: impl Into<String>) -> Cause {
    Cause {
        reason: reason.to_owned(),
        field: field.to_owned(),
        message: message.into(),
    }
}

/// The answer to something that is done and leaves nothing.
pub(crate) fn created() -> Value {
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201,
    })
}

/// The answer to a successful deletion.
pub(crate) fn deleted(resource: &Resource, name: &str, uid: &str) -> Value {
    let mut details = json!({"name": name, "kind": resource.plural, "uid": uid});
    if !resource.group.is_empty() {
        details["group"] = json!(resource.group);
    }
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success",
        "details": details,
    })
}
