//! `SecurityPolicy`: who may send requests.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    authorization::{self, Authorization},
    credentials::{self, ApiKeys, BasicAuth},
    jwt::{self, Jwt, Requirement},
    read, typed,
};
use crate::gateway::{
    ENVOY_GROUP,
    backend::Backends,
    filter::{CORS_FILTER, origins},
    matching::check_token,
    objects::{Policy, Resource},
    references::{References, Referrer},
};

const KNOWN: [&str; 5] = ["apiKeyAuth", "authorization", "basicAuth", "cors", "jwt"];

/// What a policy says, in Envoy's words.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Security {
    /// What filters are told of a route.
    pub(super) filters: Map<String, Value>,
    /// Which tokens are asked for.
    pub(super) jwt: Option<Requirement>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    api_key_auth: Option<ApiKeys>,
    authorization: Option<Authorization>,
    basic_auth: Option<BasicAuth>,
    cors: Option<Cors>,
    jwt: Option<Jwt>,
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

/// Reads a policy and follows its references.
pub(super) fn prepare(
    policy: &Resource<Policy>,
    references: &References<'_>,
    backends: &mut Backends<'_>,
) -> Result<Security, String> {
    let spec: Spec = read(policy, &KNOWN)?;
    let from = Referrer {
        group: ENVOY_GROUP,
        kind: "SecurityPolicy",
        namespace: &policy.namespace,
    };
    let mut security = Security::default();
    let mut add = |name: &str, filter: Value| {
        security.filters.insert(name.to_owned(), filter);
    };
    if let Some(cors) = &spec.cors {
        add(CORS_FILTER, cross_origin(cors)?);
    }
    if let Some(keys) = &spec.api_key_auth {
        let filter = credentials::api_keys(keys, from, references)?;
        add("envoy.filters.http.api_key_auth", filter);
    }
    if let Some(basic) = &spec.basic_auth {
        let filter = credentials::basic_auth(basic, from, references)?;
        add("envoy.filters.http.basic_auth", filter);
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
        let requirement = jwt::requirement(jwt, policy, from, references, backends)?;
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
