//! Questions about who asks and what they may do, and tokens for service accounts.
//! Nothing of this is stored.

use bytes::Bytes;
use http::{Method, Response, request::Parts};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{answer, answer::Body, negotiate, path::Objects};
use crate::{
    auth::{
        Identity, User,
        rbac::{self, Wish},
        token::{Claims, ISSUER},
    },
    core::Core,
    object::{Name, meta_str},
    registry::collection,
    rest::seconds,
    schema::Cause,
    status::{Failure, Result},
};

/// How long a token lasts if nobody says, and at least, in seconds.
const HOUR: i64 = 3600;
const SHORTEST: i64 = 600;
/// The longest life of a token.
const LONGEST: i64 = 365 * 24 * HOUR;

/// What a review needs to be answered.
struct Ask<'a> {
    core: &'a Core,
    user: &'a User,
    path: &'a Objects,
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

const AUTHENTICATION: &str = "authentication.k8s.io";
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
    Review::of(AUTHENTICATION, "tokenreviews", "TokenReview", holder),
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
    let token_request = ("TokenRequest", token as Answer);
    let (kind, review) = match (path.plural.as_str(), path.subresource.as_str()) {
        ("serviceaccounts", "token") if path.group.is_empty() => token_request,
        _ if !path.name.is_empty() => return None,
        (plural, _) => {
            let mut known = REVIEWS.iter();
            let review = known.find(|one| one.group == path.group && one.plural == plural)?;
            (review.kind, review.answer)
        }
    };
    let ask = Ask { core, user, path };
    Some(ask.create(parts, body, kind, review))
}

impl Ask<'_> {
    fn create(
        &self,
        parts: &Parts,
        body: &Bytes,
        kind: &str,
        review: Answer,
    ) -> Result<Response<Body>> {
        if parts.method != Method::POST {
            return Err(Failure::method_not_allowed());
        }
        negotiate::plain_json(&parts.headers)?;
        let mut object = negotiate::object(&parts.headers, body)?.value;
        if !object.is_object() {
            return Err(Failure::bad_request("the body is not a review"));
        }
        object["status"] = review(self, &object)?;
        // A body need not say what it is; an answer does.
        let group = match kind {
            "TokenRequest" => AUTHENTICATION,
            _ => &self.path.group,
        };
        object["apiVersion"] = json!(format!("{group}/v1"));
        object["kind"] = json!(kind);
        Ok(answer::json(201, &object))
    }

    fn identity(&self) -> Result<&Identity> {
        let why = "there are no tokens before the server listens";
        self.core
            .identity
            .get()
            .ok_or_else(|| Failure::unavailable(why))
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

/// Whose token it is.
fn holder(ask: &Ask<'_>, review: &Value) -> Result<Value> {
    let spec = review.get("spec").unwrap_or(&Value::Null);
    let asked = spec.get("audiences").and_then(Value::as_array);
    let asked: Vec<&str> = asked
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let found = verified(ask.core, ask.identity()?, text(spec, "token"));
    Ok(match found {
        Some((user, claims)) => {
            let audiences: Vec<&String> = claims
                .audiences
                .iter()
                .filter(|one| asked.is_empty() || asked.contains(&one.as_str()))
                .collect();
            if audiences.is_empty() {
                return Ok(
                    json!({"authenticated": false, "user": {}, "error": "token audiences are invalid"}),
                );
            }
            json!({"authenticated": true, "user": user.info(), "audiences": audiences})
        }
        None => json!({"authenticated": false, "user": {}, "error": "invalid bearer token"}),
    })
}

/// The service account whose valid token this is, if it still exists.
pub(crate) fn verified(core: &Core, identity: &Identity, token: &str) -> Option<(User, Claims)> {
    let claims = identity
        .tokens
        .verify(token, Timestamp::now().as_second())?;
    let shelf = core.cache.shelf(&collection("", "serviceaccounts"));
    let account = shelf.get(&Name::new(&claims.namespace, &claims.account))?;
    let same = *account.uid() == *claims.uid && !account.head.deleting;
    let user = User::account(&claims.namespace, &claims.account, &claims.uid);
    same.then_some((user, claims))
}

/// A new token of a service account.
fn token(ask: &Ask<'_>, review: &Value) -> Result<Value> {
    let catalog = ask.core.catalog();
    let kind = catalog
        .find("", "v1", "serviceaccounts")
        .ok_or_else(Failure::no_route)?;
    let account = ask.core.get(kind, &ask.path.namespace, &ask.path.name)?;
    let spec = review.get("spec").unwrap_or(&Value::Null);
    let lasts = spec
        .get("expirationSeconds")
        .and_then(Value::as_i64)
        .unwrap_or(HOUR);
    if lasts < SHORTEST {
        let why = "may not specify a duration less than 10 minutes";
        let causes = vec![Cause::invalid("spec.expirationSeconds", &json!(lasts), why)];
        return Err(Failure::invalid(kind, &ask.path.name, causes));
    }
    let audiences = spec.get("audiences").and_then(Value::as_array);
    let mut audiences: Vec<String> = audiences
        .into_iter()
        .flatten()
        .filter_map(|one| one.as_str().map(str::to_owned))
        .collect();
    if audiences.is_empty() {
        audiences.push(ISSUER.to_owned());
    }
    let now = Timestamp::now().as_second();
    let claims = Claims {
        namespace: ask.path.namespace.clone(),
        account: ask.path.name.clone(),
        uid: meta_str(&account.value()?, "uid").to_owned(),
        audiences,
        issued: now,
        expires: now + lasts.min(LONGEST),
    };
    let expires = Timestamp::from_second(claims.expires).map_err(Failure::internal)?;
    let token = ask.identity()?.tokens.sign(&claims);
    Ok(json!({"token": token, "expirationTimestamp": seconds(expires)}))
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}
