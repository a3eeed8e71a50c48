//! Questions about the one who asks. There is one administrator who may do
//! everything, so the answers are short.

use bytes::Bytes;
use http::{Method, Response, request::Parts};
use serde_json::{Value, json};

use super::{answer, answer::Body, negotiate, path::Objects};
use crate::status::{Failure, Result};

/// Answers a review, or nothing if the path is about something else.
pub(super) fn answer(
    parts: &Parts,
    objects: &Objects,
    body: &Bytes,
) -> Option<Result<Response<Body>>> {
    let review = match (objects.group.as_str(), objects.plural.as_str()) {
        (
            "authorization.k8s.io",
            "selfsubjectaccessreviews" | "subjectaccessreviews" | "localsubjectaccessreviews",
        ) => access,
        ("authorization.k8s.io", "selfsubjectrulesreviews") => rules,
        ("authentication.k8s.io", "selfsubjectreviews") => subject,
        _ => return None,
    };
    if objects.version != "v1" || !objects.name.is_empty() {
        return None;
    }
    Some(create(parts, body, review))
}

fn create(parts: &Parts, body: &Bytes, status: fn() -> Value) -> Result<Response<Body>> {
    if parts.method != Method::POST {
        return Err(Failure::method_not_allowed());
    }
    negotiate::plain_json(&parts.headers)?;
    let mut review = negotiate::object(&parts.headers, body)?.value;
    if !review.is_object() {
        return Err(Failure::bad_request("the body is not a review"));
    }
    review["status"] = status();
    Ok(answer::json(201, &review))
}

fn access() -> Value {
    json!({"allowed": true, "reason": "the administrator may do everything"})
}

fn rules() -> Value {
    json!({
        "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}],
        "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
        "incomplete": false,
    })
}

fn subject() -> Value {
    json!({"userInfo": {
        "username": "admin", "groups": ["system:masters", "system:authenticated"],
    }})
}
