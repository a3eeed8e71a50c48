//! Questions about who asks and what they may do. Nothing of this is stored.

use bytes::Bytes;
use http::{Method, Response, request::Parts};
use serde_json::{Value, json};

use super::{answer, answer::Body, negotiate, path::Objects, tokens};
use crate::{
    auth::{
        User,
        rbac::{self, Wish},
    },
    core::Core,
    status::{Failure, Result},
};

/// What a review needs to be answered.
pub(super) struct Ask<'a> {
    pub(super) core: &'a Core,
    user: &'a User,
    pub(super) path: &'a Objects,
}

type Answer = fn(&Ask<'_>, &Value) -> Result<Value>;

/// A kind of review.
pub(super) struct Review {
    pub(super) group: &'static str,
    pub(super) plural: &'static str,
    pub(super) kind: &'static str,
    pub(super) namespaced: bool,
    answer: Answer,
}

impl Review {
    const fn of(
        group: &'static str,
        plural: &'static str,
        kind: &'static str,
        answer: Answer,
    ) -> Self {
        Self {
            group,
            plural,
            kind,
            namespaced: false,
            answer,
        }
    }
}

pub(super) const AUTHENTICATION: &str = "authentication.k8s.io";
const AUTHORIZATION: &str = "authorization.k8s.io";

/// The version of all reviews.
pub(super) const VERSION: &str = "v1";

/// Every kind of review, in the order of discovery.
pub(super) const REVIEWS: &[Review] = &[
    Review::of(
        AUTHENTICATION,
        "selfsubjectreviews",
        "SelfSubjectReview",
        subject,
    ),
    Review::of(
        AUTHENTICATION,
        "tokenreviews",
        "TokenReview",
        tokens::review,
    ),
    Review {
        namespaced: true,
        ..Review::of(
            AUTHORIZATION,
            "localsubjectaccessreviews",
            "LocalSubjectAccessReview",
            local_access,
        )
    },
    Review::of(
        AUTHORIZATION,
        "selfsubjectaccessreviews",
        "SelfSubjectAccessReview",
        own_access,
    ),
    Review::of(
        AUTHORIZATION,
        "selfsubjectrulesreviews",
        "SelfSubjectRulesReview",
        rules,
    ),
    Review::of(
        AUTHORIZATION,
        "subjectaccessreviews",
        "SubjectAccessReview",
        access,
    ),
];

/// Answers a review, or nothing if the path is about something else.
pub(super) fn answer(
    core: &Core,
    user: &User,
    parts: &Parts,
    path: &Objects,
    body: &Bytes,
) -> Option<Result<Response<Body>>> {
    if path.version != VERSION {
        return None;
    }
    let ask = Ask { core, user, path };
    if (&*path.group, &*path.plural, &*path.subresource) == ("", "serviceaccounts", "token") {
        return Some(posted(parts, body).and_then(|request| tokens::request(&ask, &request)));
    }
    if !path.name.is_empty() {
        return None;
    }
    let mut known = REVIEWS.iter();
    let review = known.find(|one| one.group == path.group && one.plural == path.plural)?;
    Some(posted(parts, body).and_then(|object| ask.create(object, review)))
}

/// What is to be answered.
fn posted(parts: &Parts, body: &Bytes) -> Result<Value> {
    if parts.method != Method::POST {
        return Err(Failure::method_not_allowed());
    }
    negotiate::plain_json(&parts.headers)?;
    let object = negotiate::object(&parts.headers, body)?.value;
    if object.is_object() {
        Ok(object)
    } else {
        Err(Failure::bad_request("the body is not a review"))
    }
}

impl Ask<'_> {
    fn create(&self, mut object: Value, review: &Review) -> Result<Response<Body>> {
        object["status"] = (review.answer)(self, &object)?;
        // A body need not say what it is; an answer does.
        object["apiVersion"] = json!(format!("{}/{VERSION}", review.group));
        object["kind"] = json!(review.kind);
        Ok(answer::json(201, &object))
    }
}

fn own_access(ask: &Ask<'_>, review: &Value) -> Result<Value> {
    decide(ask, ask.user, review)
}

fn access(ask: &Ask<'_>, review: &Value) -> Result<Value> {
    let spec = review.get("spec").unwrap_or(&Value::Null);
    let name = text(spec, "user");
    let groups = spec.get("groups").and_then(Value::as_array);
    let groups: Vec<String> = groups
        .into_iter()
        .flatten()
        .filter_map(|group| group.as_str().map(str::to_owned))
        .collect();
    if name.is_empty() && groups.is_empty() {
        return Err(Failure::bad_request("spec.user or spec.groups must be set"));
    }
    let user = User {
        uid: text(spec, "uid").to_owned(),
        ..User::new(name, groups)
    };
    decide(ask, &user, review)
}

/// Access in the namespace of the path, and nowhere else.
fn local_access(ask: &Ask<'_>, review: &Value) -> Result<Value> {
    let namespace = review.pointer("/spec/resourceAttributes/namespace");
    if namespace.and_then(Value::as_str) != Some(&*ask.path.namespace) {
        let why = "spec.resourceAttributes.namespace must match metadata.namespace";
        return Err(Failure::bad_request(why));
    }
    access(ask, review)
}

fn decide(ask: &Ask<'_>, user: &User, review: &Value) -> Result<Value> {
    let spec = review.get("spec").unwrap_or(&Value::Null);
    let wish = match (
        spec.get("resourceAttributes"),
        spec.get("nonResourceAttributes"),
    ) {
        (Some(objects), None) => Wish::Objects {
            verb: text(objects, "verb"),
            group: text(objects, "group"),
            resource: text(objects, "resource"),
            subresource: text(objects, "subresource"),
            namespace: text(objects, "namespace"),
            name: text(objects, "name"),
        },
        (None, Some(path)) => Wish::Path {
            verb: text(path, "verb"),
            path: text(path, "path"),
        },
        _ => {
            return Err(Failure::bad_request(
                "exactly one of spec.resourceAttributes and spec.nonResourceAttributes must be set",
            ));
        }
    };
    Ok(match rbac::allowed(&ask.core.cache, user, &wish) {
        Some(reason) => json!({"allowed": true, "reason": reason}),
        None => json!({"allowed": false}),
    })
}

fn rules(ask: &Ask<'_>, review: &Value) -> Result<Value> {
    let namespace = review
        .pointer("/spec/namespace")
        .and_then(Value::as_str)
        .unwrap_or_default();
    if namespace.is_empty() {
        return Err(Failure::bad_request("no namespace on request"));
    }
    let (paths, objects): (Vec<Value>, Vec<Value>) =
        rbac::rules(&ask.core.cache, ask.user, namespace)
            .into_iter()
            .partition(|rule| rule.get("nonResourceURLs").is_some());
    Ok(json!({"resourceRules": objects, "nonResourceRules": paths, "incomplete": false}))
}

#[expect(clippy::unnecessary_wraps, reason = "all answers have one signature")]
fn subject(ask: &Ask<'_>, _: &Value) -> Result<Value> {
    Ok(json!({"userInfo": ask.user.info()}))
}

pub(super) fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}
