//! `SecurityPolicy`: who may send requests.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    Means,
    authorization::{self, Authorization},
    credentials::{self, ApiKeys, BasicAuth},
    external::{self, ExternalAuth},
    jwt::{self, Jwt, Requirement},
    read,
    sign_in::{self, Oidc},
    typed,
};
use crate::gateway::{
    ENVOY_GROUP,
    filter::{CORS_FILTER, origins},
    matching::check_token,
    objects::{Policy, Resource},
    references::Referrer,
    tls::Secrets,
};

const KNOWN: [&str; 7] = [
    "apiKeyAuth",
    "authorization",
    "basicAuth",
    "cors",
    "extAuth",
    "jwt",
    "oidc",
];

/// What a policy says, in Envoy's words.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Security {
    /// What filters are told of a route.
    pub(super) filters: Map<String, Value>,
    /// Which tokens are asked for.
    pub(super) jwt: Option<Requirement>,
    /// What filters read that their configuration does not show.
    pub(super) secrets: Secrets,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    api_key_auth: Option<ApiKeys>,
    authorization: Option<Authorization>,
    basic_auth: Option<BasicAuth>,
    cors: Option<Cors>,
    ext_auth: Option<ExternalAuth>,
    jwt: Option<Jwt>,
    oidc: Option<Oidc>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct Cors {
    allow_origins: Vec<String>,
    allow_methods: Vec<String>,
    allow_headers: Vec<String>,
    expose_headers: Vec<String>,
    max_age: Option<String>,
    allow_credentials: Option<bool>,
}

/// A policy, for what it refers to.
pub(super) fn referrer(policy: &Resource<Policy>) -> Referrer<'_> {
    Referrer {
        group: ENVOY_GROUP,
        kind: "SecurityPolicy",
        namespace: &policy.namespace,
    }
}

/// Reads a policy and follows its references.
pub(super) fn prepare(
    policy: &Resource<Policy>,
    mut means: Means<'_, '_>,
) -> Result<Security, String> {
    let spec: Spec = read(policy, &KNOWN)?;
    let mut security = Security::default();
    let mut add = |name: &str, filter: Value| {
        security.filters.insert(name.to_owned(), filter);
    };
    if let Some(cors) = &spec.cors {
        add(CORS_FILTER, cross_origin(cors)?);
    }
    if let Some(auth) = &spec.ext_auth {
        add(external::FILTER, external::filter(auth, &mut means)?);
    }
    if let Some(keys) = &spec.api_key_auth {
        let filter = credentials::api_keys(keys, means.from, means.references)?;
        add("envoy.filters.http.api_key_auth", filter);
    }
    if let Some(basic) = &spec.basic_auth {
        let filter = credentials::basic_auth(basic, means.from, means.references)?;
        add("envoy.filters.http.basic_auth", filter);
    }
    if let Some(oidc) = &spec.oidc {
        let sign_in = sign_in::prepare(oidc, policy, spec.jwt.as_ref(), &mut means)?;
        add(sign_in::FILTER, sign_in.filter);
        security.secrets = sign_in.secrets;
    }
    let names: Vec<&str> = spec
        .jwt
        .iter()
        .flat_map(|jwt| jwt.providers.iter().map(|p| p.name.as_str()))
        .collect();
    if let Some(authorization) = &spec.authorization {
        let filter = authorization::filter(authorization, &names)?;
        add("envoy.filters.http.rbac", filter);
    }
    if let Some(jwt) = &spec.jwt {
        let requirement = jwt::requirement(jwt, policy, &mut means)?;
        let fields = json!({"requirement_name": requirement.name});
        add(
            crate::gateway::envoy::JWT_FILTER,
            typed("jwt_authn.v3.PerRouteConfig", fields),
        );
        security.jwt = Some(requirement);
    }
    Ok(security)
}

fn cross_origin(cors: &Cors) -> Result<Value, String> {
    let lists = [
        &cors.allow_methods,
        &cors.allow_headers,
        &cors.expose_headers,
    ];
    for name in lists.into_iter().flatten() {
        check_token("CORS value", name).map_err(super::why)?;
    }
    let mut fields = json!({
        "allow_origin_string_match": origins(&cors.allow_origins),
        "allow_methods": cors.allow_methods.join(", "),
        "allow_headers": cors.allow_headers.join(", "),
        "expose_headers": cors.expose_headers.join(", "),
        "allow_credentials": cors.allow_credentials.unwrap_or(false),
        "forward_not_matching_preflights": false,
    });
    if let Some(age) = &cors.max_age {
        let age = crate::gateway::action::duration(age).map_err(super::why)?;
        fields["max_age"] = json!(age.as_secs().to_string());
    }
    Ok(typed("cors.v3.CorsPolicy", fields))
}
