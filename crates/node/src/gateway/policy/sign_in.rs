//! `oidc`: people who sign in at a provider (`OpenID` Connect), by Envoy's filter for OAuth 2.0.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Means, digest, jwt::Jwt, remote::Remote, seconds, typed, why};
use crate::gateway::{
    envoy::source,
    matching::{check_token, safe_regex},
    objects::{BackendRef, ObjectRef, Policy, Resource},
    references::value,
    tls::Secrets,
};

/// The name of Envoy's filter.
pub(super) const FILTER: &str = "envoy.filters.http.oauth2";
/// How long the provider may take to answer.
const TIMEOUT: &str = "10s";
/// Where the provider sends browsers back to, unless a policy says so: on the host that was asked for.
const REDIRECT: &str = "%REQ(x-forwarded-proto)%://%REQ(:authority)%/oauth2/callback";
/// What signs people out, unless a policy says so.
const LOGOUT: &str = "/logout";
/// The fields of Secrets that hold what a provider knows its client by.
const CLIENT_ID: &str = "client-id";
const CLIENT_SECRET: &str = "client-secret";
/// The most headers that are looked at.
const MAX_HEADERS: usize = 16;

/// `oidc`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub(super) struct Oidc {
    provider: Provider,
    #[serde(rename = "clientID")]
    client_id: Option<String>,
    #[serde(rename = "clientIDRef")]
    client_id_ref: Option<ObjectRef>,
    client_secret: Option<ObjectRef>,
    cookie_names: CookieNames,
    cookie_config: CookieConfig,
    cookie_domain: Option<String>,
    scopes: Vec<String>,
    resources: Vec<String>,
    #[serde(rename = "redirectURL")]
    redirect_url: Option<String>,
    deny_redirect: DenyRedirect,
    logout_path: Option<String>,
    forward_access_token: Option<bool>,
    #[serde(rename = "defaultTokenTTL")]
    default_token_ttl: Option<String>,
    refresh_token: Option<bool>,
    #[serde(rename = "defaultRefreshTokenTTL")]
    default_refresh_token_ttl: Option<String>,
    pass_through_auth_header: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct Provider {
    issuer: String,
    authorization_endpoint: Option<String>,
    token_endpoint: Option<String>,
    end_session_endpoint: Option<String>,
    backend_refs: Vec<BackendRef>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct CookieNames {
    access_token: Option<String>,
    id_token: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct CookieConfig {
    same_site: Option<SameSite>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
enum SameSite {
    Lax,
    Strict,
    None,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct DenyRedirect {
    headers: Vec<Header>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Header {
    name: String,
    #[serde(rename = "type")]
    kind: Option<String>,
    value: String,
}

/// What a policy about signing in is, in Envoy's words.
#[derive(Debug)]
pub(super) struct SignIn {
    /// What the filter is told of a route.
    pub(super) filter: Value,
    /// What it reads besides, by names that only this policy has.
    pub(super) secrets: Secrets,
}

/// Reads what a policy says; `jwt` are the tokens that it asks for besides.
pub(super) fn prepare(
    oidc: &Oidc,
    policy: &Resource<Policy>,
    jwt: Option<&Jwt>,
    means: &mut Means<'_, '_>,
) -> Result<SignIn, String> {
    let of = format!("{}/{}", policy.namespace, policy.name);
    let client = client_id(oidc, means)?;
    let secret = oidc
        .client_secret
        .as_ref()
        .ok_or("oidc.clientSecret names no Secret")?;
    let secret = credential(secret, CLIENT_SECRET, means)?;
    let key = means.cookies.ok_or("there is no key for cookies here")?;
    let named = |what: &str| format!("oauth2/{what}/{of}");
    let generic = |name: &str, secret: Value| {
        let secret = json!({
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret",
            "name": name, "generic_secret": {"secret": secret},
        });
        (name.to_owned(), secret)
    };
    let (client_secret, cookie_secret) = (named("client-secret"), named("cookies"));
    let secrets = Secrets::from([
        generic(&client_secret, json!({"inline_string": secret})),
        generic(&cookie_secret, json!({"inline_bytes": key.of(&of)})),
    ]);
    let by_name = |name: &str| json!({"name": name, "sds_config": source()});
    let mut credentials = json!({
        "client_id": client,
        "token_secret": by_name(&client_secret),
        "hmac_secret": by_name(&cookie_secret),
        "cookie_names": cookie_names(&oidc.cookie_names, &of)?,
    });
    if let Some(domain) = &oidc.cookie_domain {
        credentials["cookie_domain"] = json!(domain_name(domain)?);
    }
    let mut config = ways(oidc)?;
    config.extend(endpoints(&oidc.provider, means)?);
    config.extend(tokens(oidc)?);
    config.insert("credentials".to_owned(), credentials);
    config.insert("auth_type".to_owned(), json!("BASIC_AUTH"));
    if let Some(headers) = passes(oidc, jwt)? {
        config.insert("pass_through_matcher".to_owned(), headers);
    }
    let fields = json!({"config": config});
    Ok(SignIn {
        filter: typed("oauth2.v3.OAuth2PerRoute", fields),
        secrets,
    })
}

fn client_id(oidc: &Oidc, means: &Means<'_, '_>) -> Result<String, String> {
    match (&oidc.client_id, &oidc.client_id_ref) {
        (Some(id), None) if !id.is_empty() => Ok(id.clone()),
        (None, Some(reference)) => credential(reference, CLIENT_ID, means),
        _ => Err("oidc says either clientID or clientIDRef".to_owned()),
    }
}

fn credential(reference: &ObjectRef, field: &str, means: &Means<'_, '_>) -> Result<String, String> {
    let secret = means
        .references
        .secret(means.from, reference, "InvalidSecret")
        .map_err(why)?;
    value(secret, field)
        .map(|text| text.trim().to_owned())
        .filter(|text| !text.is_empty())
        .ok_or_else(|| format!("Secret {} has no {field}", reference.name))
}

/// Names that no other policy's cookies have, so that who signed in here is not taken for signed in there.
fn cookie_names(names: &CookieNames, of: &str) -> Result<Value, String> {
    let suffix = digest(of);
    let usual = |name: &str| format!("{name}-{suffix}");
    let said = |name: &Option<String>, kind: &str| {
        let name = name.clone().unwrap_or_else(|| usual(kind));
        check_token("cookie", &name).map_err(why).map(|()| name)
    };
    Ok(json!({
        "bearer_token": said(&names.access_token, "AccessToken")?,
        "id_token": said(&names.id_token, "IdToken")?,
        "oauth_hmac": usual("OauthHMAC"),
        "oauth_expires": usual("OauthExpires"),
        "refresh_token": usual("RefreshToken"),
        "oauth_nonce": usual("OauthNonce"),
        "code_verifier": usual("CodeVerifier"),
    }))
}

fn domain_name(domain: &str) -> Result<&str, String> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.".contains(&b);
    if domain.is_empty() || !domain.bytes().all(plain) || domain.starts_with(['-', '.']) {
        return Err(format!("oidc.cookieDomain {domain:?} is not a domain name"));
    }
    Ok(domain)
}

/// Where browsers go, and when they are not sent away.
fn ways(oidc: &Oidc) -> Result<Map<String, Value>, String> {
    let redirect = oidc.redirect_url.as_deref().unwrap_or(REDIRECT);
    let callback = callback(redirect)?;
    let logout = oidc.logout_path.as_deref().unwrap_or(LOGOUT);
    if !is_path(logout) || logout == callback {
        return Err(format!(
            "oidc.logoutPath {logout:?} is not a path other than that of redirectURL"
        ));
    }
    let exactly = |path: &str| json!({"path": {"exact": path}});
    let mut fields = Map::from_iter([
        ("redirect_uri".to_owned(), json!(redirect)),
        ("redirect_path_matcher".to_owned(), exactly(callback)),
        ("signout_path".to_owned(), exactly(logout)),
    ]);
    let denied = &oidc.deny_redirect.headers;
    if denied.len() > MAX_HEADERS {
        return Err(format!(
            "oidc.denyRedirect.headers are {MAX_HEADERS} at most"
        ));
    }
    if !denied.is_empty() {
        let headers: Result<Vec<Value>, String> = denied.iter().map(header).collect();
        fields.insert("deny_redirect_matcher".to_owned(), json!(headers?));
    }
    Ok(fields)
}

/// The path of a redirect URL. In front of it the scheme and the host may be those of the request, as Envoy writes
/// them; what else looks like a variable would be one.
fn callback(redirect: &str) -> Result<&str, String> {
    let wrong = || {
        format!(
            "oidc.redirectURL {redirect:?} is not a URL with a path; its scheme may be %REQ(x-forwarded-proto)%, and \
             its host %REQ(:authority)%"
        )
    };
    let (scheme, rest) = redirect.split_once("://").ok_or_else(wrong)?;
    let (host, _) = rest.split_once('/').ok_or_else(wrong)?;
    let path = rest.get(host.len()..).unwrap_or_default();
    let schemes = ["http", "https", "%REQ(x-forwarded-proto)%"];
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-.:[]".contains(&b);
    let is_host = host == "%REQ(:authority)%" || (!host.is_empty() && host.bytes().all(plain));
    if schemes.contains(&scheme) && is_host && is_path(path) && path != "/" {
        Ok(path)
    } else {
        Err(wrong())
    }
}

fn is_path(path: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-/._~!$&'()*+,;=:@".contains(&b);
    path.starts_with('/') && path.bytes().all(plain)
}

fn header(header: &Header) -> Result<Value, String> {
    check_token("header", &header.name).map_err(why)?;
    let matched = match header.kind.as_deref().unwrap_or("Exact") {
        "Exact" => json!({"exact": header.value}),
        "RegularExpression" => json!({"safe_regex": safe_regex(&header.value).map_err(why)?}),
        kind @ ("Prefix" | "Suffix") if !header.value.is_empty() => {
            json!({kind.to_ascii_lowercase(): header.value})
        }
        kind => {
            return Err(format!(
                "oidc.denyRedirect: header {} cannot be matched by {kind} {:?}",
                header.name, header.value
            ));
        }
    };
    Ok(json!({"name": header.name, "string_match": matched}))
}

/// Where the provider is: as the policy says, or else as the provider does.
fn endpoints(provider: &Provider, means: &mut Means<'_, '_>) -> Result<Map<String, Value>, String> {
    let known = match (&provider.authorization_endpoint, &provider.token_endpoint) {
        (Some(_), Some(_)) => None,
        _ => Some(means.references.issuer(&provider.issuer)?),
    };
    let told = |said: &Option<String>, known: Option<&String>| said.as_ref().or(known).cloned();
    let authorization = told(
        &provider.authorization_endpoint,
        known.map(|known| &known.authorization_endpoint),
    );
    let token = told(
        &provider.token_endpoint,
        known.map(|known| &known.token_endpoint),
    );
    let end = told(
        &provider.end_session_endpoint,
        known.and_then(|known| known.end_session_endpoint.as_ref()),
    );
    let (authorization, token) = (authorization.unwrap_or_default(), token.unwrap_or_default());
    browsed("authorizationEndpoint", &authorization)?;
    let remote =
        Remote::read(&token).map_err(|why| format!("oidc.provider.tokenEndpoint: {why}"))?;
    if !remote.secured && provider.backend_refs.is_empty() {
        return Err(format!(
            "oidc.provider.tokenEndpoint {token} is not https: the client's secret would be sent in plain text"
        ));
    }
    let cluster = remote
        .cluster(&provider.backend_refs, means)
        .map_err(|why| format!("oidc.provider: {why}"))?;
    let mut fields = Map::from_iter([
        (
            "token_endpoint".to_owned(),
            json!({"uri": token, "cluster": cluster, "timeout": TIMEOUT}),
        ),
        ("authorization_endpoint".to_owned(), json!(authorization)),
    ]);
    if let Some(end) = end {
        browsed("endSessionEndpoint", &end)?;
        fields.insert("end_session_endpoint".to_owned(), json!(end));
    }
    Ok(fields)
}

/// Checks a URL that browsers are sent to.
fn browsed(field: &str, url: &str) -> Result<(), String> {
    let sound = Remote::read(url).map_err(|why| format!("oidc.provider.{field}: {why}"));
    sound.and_then(|_| {
        if url.contains('#') {
            return Err(format!("oidc.provider.{field} {url} has a fragment"));
        }
        Ok(())
    })
}

/// What is asked of the provider, and what becomes of the tokens it gives.
fn tokens(oidc: &Oidc) -> Result<Map<String, Value>, String> {
    let mut scopes = oidc.scopes.clone();
    if !scopes.iter().any(|scope| scope == "openid") {
        scopes.insert(0, "openid".to_owned());
    }
    let mut fields = Map::from_iter([
        ("auth_scopes".to_owned(), json!(scopes)),
        ("resources".to_owned(), json!(oidc.resources)),
        (
            "forward_bearer_token".to_owned(),
            json!(oidc.forward_access_token.unwrap_or(false)),
        ),
        (
            "use_refresh_token".to_owned(),
            json!(oidc.refresh_token.unwrap_or(true)),
        ),
    ]);
    for resource in &oidc.resources {
        Remote::read(resource).map_err(|why| format!("oidc.resources: {why}"))?;
    }
    let ages = [
        ("default_expires_in", &oidc.default_token_ttl),
        (
            "default_refresh_token_expires_in",
            &oidc.default_refresh_token_ttl,
        ),
    ];
    for (field, age) in ages {
        if let Some(age) = age {
            fields.insert(field.to_owned(), json!(seconds(age)?));
        }
    }
    if let Some(site) = oidc.cookie_config.same_site {
        let site = match site {
            SameSite::Lax => "LAX",
            SameSite::Strict => "STRICT",
            SameSite::None => "NONE",
        };
        let names = [
            "bearer_token",
            "oauth_hmac",
            "oauth_expires",
            "id_token",
            "refresh_token",
            "oauth_nonce",
            "code_verifier",
        ];
        let configs: BTreeMap<String, Value> = names
            .iter()
            .map(|name| (format!("{name}_cookie_config"), json!({"same_site": site})))
            .collect();
        fields.insert("cookie_configs".to_owned(), json!(configs));
    }
    Ok(fields)
}

/// Which requests need not sign in, because they bring a token that the policy asks for and checks.
fn passes(oidc: &Oidc, jwt: Option<&Jwt>) -> Result<Option<Value>, String> {
    if oidc.pass_through_auth_header != Some(true) {
        return Ok(None);
    }
    let jwt = jwt.filter(|jwt| !jwt.is_optional()).ok_or(
        "oidc.passThroughAuthHeader needs jwt that is not optional: nobody else looks at what such requests bring",
    )?;
    let headers = jwt
        .headers()
        .into_iter()
        .map(|(name, prefix)| match prefix {
            "" => json!({"name": name, "present_match": true}),
            prefix => json!({"name": name, "string_match": {"prefix": prefix}}),
        });
    let headers: Vec<Value> = headers.collect();
    if headers.is_empty() {
        return Err(
            "oidc.passThroughAuthHeader: no provider of jwt takes its token from a header"
                .to_owned(),
        );
    }
    Ok(Some(json!(headers)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_lead_back_to_a_path() {
        for (good, path) in [
            (REDIRECT, "/oauth2/callback"),
            ("https://www.a.test/x/back", "/x/back"),
            ("http://a.test:8080/back", "/back"),
            ("https://%REQ(:authority)%/b", "/b"),
        ] {
            assert_eq!(callback(good), Ok(path), "{good}");
        }
        for bad in [
            "",
            "/back",
            "https://a.test",
            "https://a.test/",
            "https:///back",
            "ftp://a.test/back",
            "https://a.test/%REQ(x)%",
            "https://%REQ(x-host)%/back",
            "https://a.test/back?x=1",
        ] {
            assert!(callback(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn cookies_of_policies_have_names_of_their_own() {
        let names = |of: &str| cookie_names(&CookieNames::default(), of).unwrap();
        let (one, other) = (names("a/b"), names("a/c"));
        for name in [
            "bearer_token",
            "oauth_hmac",
            "oauth_expires",
            "code_verifier",
        ] {
            assert_ne!(one[name], other[name]);
        }
        let said = CookieNames {
            access_token: Some("mine".to_owned()),
            id_token: None,
        };
        assert_eq!(cookie_names(&said, "a/b").unwrap()["bearer_token"], "mine");
        let bad = CookieNames {
            id_token: Some("a b".to_owned()),
            ..CookieNames::default()
        };
        assert!(cookie_names(&bad, "a/b").is_err());
    }
}
