//! Tokens of service accounts: who asks for one, whose one is, and by which key anybody can tell
//! (KEP-1205, KEP-1393). Nothing of this is stored.

use bytes::Bytes;
use http::{HeaderValue, Response, header};
use jiff::Timestamp;
use k8s_openapi::{
    api::authentication::v1::{
        BoundObjectReference, TokenRequest, TokenRequestSpec, TokenRequestStatus,
    },
    apimachinery::pkg::apis::meta::v1::Time,
};
use serde_json::{Value, json};

use super::{
    answer::{self, Body},
    reviews::{AUTHENTICATION, Ask, VERSION, text},
};
use crate::{
    auth::{
        Identity,
        token::{ALGORITHM, BY_DEFAULT, Bound, Claims, ISSUER, Reference, wrong_life},
        verified,
    },
    core::Core,
    object::Stored,
    registry::Served,
    schema::Cause,
    status::{Failure, Result},
};

const REQUEST: &str = "TokenRequest";
/// How long a token lasts if nobody says, in seconds.
const HOUR: i64 = 3600;
/// How long a token for this server lasts that a pod got by default: longer than was asked for, for programs
/// that read theirs only once. It says when it should have been read again.
const EXTENDED: i64 = 365 * 24 * HOUR;
/// How long others may keep what is said about the issuer.
const CACHED: &str = "public, max-age=3600";

fn identity(core: &Core) -> Result<&Identity> {
    let why = "there are no tokens before the server listens";
    core.identity.get().ok_or_else(|| Failure::unavailable(why))
}

/// Who issues tokens (`OpenID` Connect Discovery 1.0, as far as tokens can be checked with it).
pub(super) fn issuer(core: &Core) -> Result<Response<Body>> {
    let address = identity(core)?.address;
    let told = json!({
        "issuer": ISSUER,
        "jwks_uri": format!("https://{address}/openid/v1/jwks"),
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": [ALGORITHM],
    });
    Ok(public("application/json", &told))
}

/// The keys by which tokens can be checked.
pub(super) fn keys(core: &Core) -> Result<Response<Body>> {
    let keys = identity(core)?.tokens.keys();
    Ok(public("application/jwk-set+json", &keys))
}

fn public(content_type: &'static str, value: &Value) -> Response<Body> {
    let mut response = answer::full(200, content_type, Bytes::from(value.to_string()));
    let cached = HeaderValue::from_static(CACHED);
    response.headers_mut().insert(header::CACHE_CONTROL, cached);
    response
}

/// Whose token it is.
pub(super) fn review(ask: &Ask<'_>, review: &Value) -> Result<Value> {
    let spec = review.get("spec").unwrap_or(&Value::Null);
    let token = text(spec, "token");
    if token.is_empty() {
        let why = "token is required for TokenReview in authentication";
        return Err(Failure::bad_request(why));
    }
    let asked = spec.get("audiences").and_then(Value::as_array);
    let asked: Vec<&str> = asked
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let found = verified(
        ask.core,
        identity(ask.core)?,
        token,
        &asked,
        Timestamp::now(),
    );
    Ok(match found {
        Ok(shown) => json!({
            "authenticated": true, "user": shown.user.info(), "audiences": shown.audiences,
        }),
        Err(why) => json!({"user": {}, "error": why}),
    })
}

/// A new token of a service account.
pub(super) fn request(ask: &Ask<'_>, request: &Value) -> Result<Response<Body>> {
    let (namespace, name) = (&ask.path.namespace, &ask.path.name);
    let mistyped = |error| {
        let why = format!("{REQUEST} in version {VERSION:?} cannot be handled as a {REQUEST}");
        Failure::bad_request(format!("{why}: {error}"))
    };
    let mut request: TokenRequest = serde_json::from_value(typed(request)).map_err(mistyped)?;
    check_metadata(&mut request, namespace, name)?;
    let account = find(ask.core, "serviceaccounts", namespace, name)?;
    let spec = request.spec.get_or_insert_default();
    let audiences = spec.audiences.get_or_insert_default();
    if audiences.is_empty() {
        audiences.push(ISSUER.to_owned());
    }
    check_life(*spec.expiration_seconds.get_or_insert(HOUR))?;
    let mut bound = Bound {
        namespace: namespace.clone(),
        node: None,
        pod: None,
        secret: None,
        account: reference(&account),
        warn_after: None,
    };
    if let Some(object) = &spec.bound_object_ref {
        bind(ask.core, &mut bound, object)?;
    }
    // Tokens know no parts of seconds.
    let now = Timestamp::now().as_second();
    request.status = Some(issue(ask.core, bound, spec, now)?);
    request.metadata.uid = Some(account.uid().to_string());
    request.metadata.creation_timestamp = Timestamp::from_second(now).ok().map(Time);
    let answer = serde_json::to_value(&request).map_err(Failure::internal)?;
    Ok(answer::json(201, &answer))
}

/// Makes a token at `now`, in seconds since the epoch.
fn issue(
    core: &Core,
    mut bound: Bound,
    spec: &TokenRequestSpec,
    now: i64,
) -> Result<TokenRequestStatus> {
    let lasts = spec.expiration_seconds.unwrap_or(HOUR);
    let audiences = spec.audiences.clone().unwrap_or_default();
    let mut holds = lasts;
    if bound.pod.is_some() && lasts == BY_DEFAULT && audiences == [ISSUER] {
        bound.warn_after = Some(now + lasts);
        holds = EXTENDED;
    }
    let claims = Claims::new(bound, audiences, now, holds);
    let token = identity(core)?.tokens.sign(&claims);
    let expires = Timestamp::from_second(now + lasts).map_err(Failure::internal)?;
    Ok(TokenRequestStatus {
        token: Some(token.map_err(Failure::internal)?),
        expiration_timestamp: Some(Time(expires)),
    })
}

/// The request with what a body need not say.
fn typed(request: &Value) -> Value {
    let mut request = request.clone();
    request["apiVersion"] = json!(format!("{AUTHENTICATION}/{VERSION}"));
    request["kind"] = json!(REQUEST);
    for part in ["metadata", "spec"] {
        if request.get(part).is_none_or(Value::is_null) {
            request[part] = json!({});
        }
    }
    if let Some(fields) = request.as_object_mut() {
        fields.remove("status");
    }
    request
}

fn check_metadata(request: &mut TokenRequest, namespace: &str, name: &str) -> Result<()> {
    let meta = &mut request.metadata;
    if *meta.namespace.get_or_insert_default() != *namespace {
        if meta.namespace.as_deref() != Some("") {
            let why = "the namespace of the provided object does not match the namespace sent on the request";
            return Err(Failure::bad_request(why));
        }
        meta.namespace = Some(namespace.to_owned());
    }
    let given = meta.name.take().filter(|given| !given.is_empty());
    if let Some(given) = given.filter(|given| given != name) {
        let why = "must match the service account name if specified";
        let cause = Cause::invalid("metadata.name", &json!(given), why);
        return Err(Failure::invalid_token_request(name, cause));
    }
    meta.name = Some(name.to_owned());
    Ok(())
}

fn check_life(lasts: i64) -> Result<()> {
    let Some(why) = wrong_life(lasts) else {
        return Ok(());
    };
    let cause = Cause::invalid("spec.expirationSeconds", &json!(lasts), why);
    Err(Failure::invalid_token_request("", cause))
}

/// Binds a token to an object, without which it will be worth nothing.
fn bind(core: &Core, bound: &mut Bound, object: &BoundObjectReference) -> Result<()> {
    let text = |field: &Option<String>| field.clone().unwrap_or_default();
    let (kind, api_version) = (text(&object.kind), text(&object.api_version));
    let (group, version) = api_version.split_once('/').unwrap_or(("", &api_version));
    let (plural, namespace) = match (group, &*kind) {
        ("", "Pod") => ("pods", &*bound.namespace),
        ("", "Secret") => ("secrets", &*bound.namespace),
        ("", "Node") => ("nodes", ""),
        _ => {
            let of = format!("{group}/{version}, Kind={kind}");
            let why = format!("cannot bind token to object of type {of}");
            return Err(Failure::bad_request(why));
        }
    };
    let name = text(&object.name);
    let found = find(core, plural, namespace, &name)?;
    let place = match plural {
        "pods" => {
            bound.node = node_of(core, &found, &bound.account.name)?;
            &mut bound.pod
        }
        "secrets" => &mut bound.secret,
        _ => &mut bound.node,
    };
    *place = Some(reference(&found));
    let wanted = text(&object.uid);
    if wanted.is_empty() || *found.uid() == *wanted {
        return Ok(());
    }
    let why = format!(
        "the UID in the bound object reference ({wanted}) does not match the UID in record. The object \
         might have been deleted and then recreated"
    );
    Err(Failure::precondition(&*served(core, plural)?, &name, &why))
}

/// Where a pod runs, which has to be of this service account.
fn node_of(core: &Core, pod: &Stored, account: &str) -> Result<Option<Reference>> {
    let pod = pod.value()?;
    let spec = pod.get("spec").unwrap_or(&Value::Null);
    if text(spec, "serviceAccountName") != account {
        return Err(Failure::bad_request(format!(
            "cannot bind token for serviceaccount {account:?} to pod running with different \
             serviceaccount name."
        )));
    }
    let name = text(spec, "nodeName");
    if name.is_empty() {
        return Ok(None);
    }
    let uid =
        find(core, "nodes", "", name).map_or_else(|_| String::new(), |node| node.uid().to_string());
    let name = name.to_owned();
    Ok(Some(Reference { name, uid }))
}

fn reference(object: &Stored) -> Reference {
    Reference {
        name: object.name().name.to_string(),
        uid: object.uid().to_string(),
    }
}

fn served(core: &Core, plural: &str) -> Result<std::sync::Arc<Served>> {
    let catalog = core.catalog();
    let found = catalog.find("", "v1", plural).cloned();
    found.ok_or_else(Failure::no_route)
}

fn find(core: &Core, plural: &str, namespace: &str, name: &str) -> Result<std::sync::Arc<Stored>> {
    core.get(&*served(core, plural)?, namespace, name)
}
