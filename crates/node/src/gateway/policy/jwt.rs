//! Tokens: which providers' are asked for, and with which keys their signatures are checked.

use std::collections::{BTreeMap, BTreeSet};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Means, digest, remote::Remote, seconds, why};
use crate::gateway::{
    matching::check_token,
    objects::{BackendRef, ObjectRef, Policy, Resource},
    references::TextReasons,
};

/// How long fetching keys may take.
const FETCH_TIMEOUT: &str = "10s";
/// The most providers of one policy, as Envoy Gateway has it.
const MAX_PROVIDERS: usize = 4;

/// `jwt`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Jwt {
    optional: Option<bool>,
    pub(super) providers: Vec<Provider>,
}

/// Who makes tokens.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub(super) struct Provider {
    pub(super) name: String,
    issuer: String,
    audiences: Vec<String>,
    #[serde(rename = "remoteJWKS")]
    remote: Option<Fetched>,
    #[serde(rename = "localJWKS")]
    local: Option<Local>,
    claim_to_headers: Vec<ClaimToHeader>,
    recompute_route: Option<bool>,
    extract_from: Option<ExtractFrom>,
}

/// Keys that are fetched.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct Fetched {
    uri: String,
    backend_refs: Vec<BackendRef>,
    cache_duration: Option<String>,
}

/// Keys that are given.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct Local {
    #[serde(rename = "type")]
    kind: Option<String>,
    inline: Option<String>,
    value_ref: Option<ObjectRef>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ClaimToHeader {
    header: String,
    claim: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ExtractFrom {
    headers: Vec<FromHeader>,
    cookies: Vec<String>,
    params: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct FromHeader {
    name: String,
    value_prefix: Option<String>,
}

/// A requirement by its name, with the providers it names. Names tell what is required, so that a route
/// and the filter mean the same also while one of them is older.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Requirement {
    pub(super) name: String,
    pub(super) needs: Value,
    pub(super) providers: BTreeMap<String, Value>,
}

/// What a policy requires.
pub(super) fn requirement(
    jwt: &Jwt,
    policy: &Resource<Policy>,
    means: &mut Means<'_, '_>,
) -> Result<Requirement, String> {
    if !(1..=MAX_PROVIDERS).contains(&jwt.providers.len()) {
        return Err(format!("jwt.providers are 1 to {MAX_PROVIDERS}"));
    }
    let of = format!("{}/{}", policy.namespace, policy.name);
    let mut providers = BTreeMap::new();
    let mut any = Vec::new();
    let mut seen = BTreeSet::new();
    for provider in &jwt.providers {
        if provider.name.is_empty() || !seen.insert(&provider.name) {
            return Err("jwt.providers have names, each its own".to_owned());
        }
        let rendered =
            render(provider, means).map_err(|why| format!("provider {}: {why}", provider.name))?;
        let name = format!("{of}/{}/{}", provider.name, digest(&rendered.to_string()));
        any.push(json!({"provider_name": name}));
        providers.insert(name, rendered);
    }
    if jwt.is_optional() {
        any.push(json!({"allow_missing": {}}));
    }
    let requirement = match any.as_slice() {
        [one] => one.clone(),
        _ => json!({"requires_any": {"requirements": any}}),
    };
    Ok(Requirement {
        name: format!("{of}/{}", digest(&requirement.to_string())),
        needs: requirement,
        providers,
    })
}

impl Jwt {
    /// Whether requests without a token pass.
    pub(super) fn is_optional(&self) -> bool {
        self.optional == Some(true)
    }

    /// The headers in which tokens come, each with what stands before the token.
    pub(super) fn headers(&self) -> Vec<(&str, &str)> {
        self.providers.iter().flat_map(Provider::headers).collect()
    }
}

impl Provider {
    fn headers(&self) -> Vec<(&str, &str)> {
        match &self.extract_from {
            None => vec![("authorization", "Bearer ")],
            Some(from) => from.headers.iter().map(FromHeader::named).collect(),
        }
    }
}

impl FromHeader {
    fn named(&self) -> (&str, &str) {
        let prefix = self.value_prefix.as_deref();
        (self.name.as_str(), prefix.unwrap_or_default())
    }
}

fn render(provider: &Provider, means: &mut Means<'_, '_>) -> Result<Value, String> {
    let headers: Result<Vec<Value>, String> = provider
        .claim_to_headers
        .iter()
        .map(|claim| {
            check_token("header", &claim.header).map_err(why)?;
            if claim.claim.is_empty() {
                return Err("claimToHeaders names no claim".to_owned());
            }
            Ok(json!({"header_name": claim.header, "claim_name": claim.claim}))
        })
        .collect();
    let mut rendered = json!({
        "audiences": provider.audiences,
        "forward": true,
        "payload_in_metadata": provider.name,
        // So that scopes can be compared one by one.
        "normalize_payload_in_metadata": {"space_delimited_claims": ["scope", "scp"]},
        "claim_to_headers": headers?,
        "clear_route_cache": provider.recompute_route.unwrap_or(false),
    });
    if !provider.issuer.is_empty() {
        rendered["issuer"] = json!(provider.issuer);
    }
    let (field, keys) = match (&provider.local, &provider.remote) {
        (Some(local), None) => ("local_jwks", given(local, means)?),
        (None, Some(remote)) => ("remote_jwks", fetched(remote, means)?),
        _ => return Err("either localJWKS or remoteJWKS says where keys are".to_owned()),
    };
    rendered[field] = keys;
    if let Some(extract) = &provider.extract_from {
        for header in &extract.headers {
            check_token("header", &header.name).map_err(why)?;
        }
        let headers = extract.headers.iter();
        let headers: Vec<Value> = headers
            .map(|h| json!({"name": h.name, "value_prefix": h.value_prefix.clone().unwrap_or_default()}))
            .collect();
        rendered["from_headers"] = json!(headers);
        rendered["from_cookies"] = json!(extract.cookies);
        rendered["from_params"] = json!(extract.params);
    }
    Ok(rendered)
}

fn given(local: &Local, means: &Means<'_, '_>) -> Result<Value, String> {
    let text = match (local.kind.as_deref(), &local.inline, &local.value_ref) {
        (Some("Inline") | None, Some(inline), _) => inline.clone(),
        (Some("ValueRef") | None, _, Some(reference)) => {
            let reasons = TextReasons {
                kind: "Invalid",
                missing: "Invalid",
            };
            means
                .references
                .text(means.from, reference, "jwks", reasons)
                .map_err(why)?
        }
        _ => return Err("localJWKS holds no keys".to_owned()),
    };
    let keys: Value = serde_json::from_str(&text).map_err(|error| format!("localJWKS: {error}"))?;
    let mut all = keys["keys"].as_array().into_iter().flatten();
    if !all.any(is_key) {
        return Err("localJWKS holds no key that can be used".to_owned());
    }
    Ok(json!({"inline_string": text}))
}

/// Whether a key has the parts that its kind must have: Envoy refuses a set without any such key, and with
/// it what all other policies ask for.
fn is_key(key: &Value) -> bool {
    let length = |field: &str| {
        let decoded = BASE64_URL_SAFE_NO_PAD.decode(key[field].as_str().unwrap_or_default());
        decoded.map_or(0, |bytes| bytes.len())
    };
    match (key["kty"].as_str(), key["crv"].as_str()) {
        (Some("RSA"), _) => length("n") >= 128 && length("e") > 0,
        (Some("EC"), Some("P-256")) => length("x") == 32 && length("y") == 32,
        (Some("EC"), Some("P-384")) => length("x") == 48 && length("y") == 48,
        (Some("EC"), Some("P-521")) => length("x") == 66 && length("y") == 66,
        (Some("OKP"), Some("Ed25519")) => length("x") == 32,
        (Some("oct"), _) => length("k") > 0,
        _ => false,
    }
}

fn fetched(remote: &Fetched, means: &mut Means<'_, '_>) -> Result<Value, String> {
    let cluster = Remote::read(&remote.uri)?
        .cluster(&remote.backend_refs, means)
        .map_err(|why| format!("remoteJWKS: {why}"))?;
    let mut keys = json!({
        "http_uri": {"uri": remote.uri, "cluster": cluster, "timeout": FETCH_TIMEOUT},
        "async_fetch": {"fast_listener": true},
    });
    if let Some(duration) = &remote.cache_duration {
        keys["cache_duration"] = json!(seconds(duration)?);
    }
    Ok(keys)
}
