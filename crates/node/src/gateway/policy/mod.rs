//! Envoy Gateway's policies: `SecurityPolicy`, `BackendTrafficPolicy` and `ClientTrafficPolicy`.
//!
//! A policy is read strictly: one that says something that is not served here is refused, with the name
//! of the field in its status. What a refused policy is about is not served without it, but answered
//! with 500, for somebody meant it to be guarded.

mod authorization;
mod balance;
mod client;
mod credentials;
mod external;
mod jwt;
mod rate_limit;
mod remote;
mod security;
mod set;
mod sign_in;
mod traffic;

use std::{collections::BTreeMap, sync::Arc};

use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

pub(super) use self::client::Client;
use self::{
    security::Security,
    set::{Catalog, Set},
    traffic::Traffic,
};
use super::{
    CookieKey, Input,
    backend::Backends,
    cluster::Settings,
    objects::{Policy, Resource, Route},
    point::Point,
    references::{References, Referrer},
    status::{Problem, Status},
    tls::Secrets,
};

/// What a policy about requests is prepared with.
struct Means<'m, 'a> {
    /// The policy, for what it refers to.
    from: Referrer<'m>,
    references: &'m References<'a>,
    backends: &'m mut Backends<'a>,
    /// What cookies are signed with.
    cookies: Option<&'m CookieKey>,
}

/// What a policy may be about: a rule of a route at one listener.
#[derive(Debug, Clone)]
pub(super) struct Scope {
    kind: &'static str,
    route: (String, String),
    rule: Option<String>,
    gateway: (String, String),
    listener: String,
}

impl Scope {
    pub(super) fn new(
        kind: &'static str,
        object: &Resource<Route>,
        rule: Option<&str>,
        point: &Point<'_>,
    ) -> Self {
        Self {
            kind,
            route: (object.namespace.clone(), object.name.clone()),
            rule: rule.map(str::to_owned),
            gateway: (point.gateway.namespace.clone(), point.gateway.name.clone()),
            listener: point.section(),
        }
    }
}

/// All policies, prepared.
pub(super) struct Policies<'a> {
    security: Set<'a, Security>,
    traffic: Set<'a, Traffic>,
    client: Set<'a, Client>,
}

impl<'a> Policies<'a> {
    pub(super) fn new(
        input: &'a Input,
        references: &References<'a>,
        backends: &mut Backends<'a>,
    ) -> Self {
        let catalog = Catalog::new(input);
        let routes = ["HTTPRoute", "GRPCRoute", "TCPRoute", "TLSRoute", "Gateway"];
        Self {
            security: Set::new(
                "SecurityPolicy",
                (&input.security_policies, &routes),
                &catalog,
                |policy| {
                    let means = Means {
                        from: security::referrer(policy),
                        references,
                        backends,
                        cookies: input.cookies.as_ref(),
                    };
                    security::prepare(policy, means)
                },
            ),
            traffic: Set::new(
                "BackendTrafficPolicy",
                (&input.traffic_policies, &routes),
                &catalog,
                traffic::prepare,
            ),
            client: Set::new(
                "ClientTrafficPolicy",
                (&input.client_policies, &["Gateway"]),
                &catalog,
                client::prepare,
            ),
        }
    }

    /// What the policies closest to a rule say.
    pub(super) fn effect(&self, scope: &Scope) -> Effect {
        let security = self.security.closest(scope);
        let traffic = self.traffic.closest(scope);
        Effect {
            refuses: matches!(security, Some(Err(_))) || matches!(traffic, Some(Err(_))),
            security: security.and_then(Result::ok).cloned(),
            traffic: traffic.and_then(Result::ok).cloned(),
        }
    }

    /// Whether a `SecurityPolicy` is about a route.
    pub(super) fn guards(&self, scope: &Scope) -> bool {
        self.security.closest(scope).is_some()
    }

    /// What the closest policy says of a listener's clients.
    pub(super) fn client(&self, point: &Point<'_>) -> Option<&Client> {
        let gateway = &point.gateway;
        let found = self
            .client
            .of_gateway((&gateway.namespace, &gateway.name), &point.section());
        found.and_then(Result::ok).map(Arc::as_ref)
    }

    /// The configuration of the filter that checks tokens: what all policies need of it.
    pub(super) fn tokens(&self) -> Value {
        let (mut providers, mut requirements) = (BTreeMap::new(), BTreeMap::new());
        for security in self.security.prepared() {
            if let Some(jwt) = &security.jwt {
                providers.extend(jwt.providers.clone());
                requirements.insert(jwt.name.clone(), jwt.needs.clone());
            }
        }
        json!({
            "@type": "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication",
            "providers": providers,
            "requirement_map": requirements,
        })
    }

    /// What filters read that their configuration does not show.
    pub(super) fn secrets(&self) -> Secrets {
        let all = self.security.prepared();
        all.flat_map(|security| security.secrets.clone()).collect()
    }

    /// What became of each policy.
    pub(super) fn statuses(&self, input: &Input) -> Vec<Status> {
        let catalog = Catalog::new(input);
        let mut statuses = self.security.statuses(&catalog);
        statuses.extend(self.traffic.statuses(&catalog));
        statuses.extend(self.client.statuses(&catalog));
        statuses
    }
}

/// What policies do to a rule.
#[derive(Debug, Clone, Default)]
pub(super) struct Effect {
    refuses: bool,
    security: Option<Arc<Security>>,
    traffic: Option<Arc<Traffic>>,
}

impl Effect {
    /// Whether a policy on the rule cannot be obeyed.
    pub(super) fn refuses(&self) -> bool {
        self.refuses
    }

    /// Whether a policy has others asked before a request passes.
    pub(super) fn asks(&self) -> bool {
        let filters = self.security.iter().flat_map(|s| s.filters.keys());
        let mut names = filters.map(String::as_str);
        names.any(|name| [external::FILTER, sign_in::FILTER].contains(&name))
    }

    /// Of a policy that cannot be obeyed where the rule is served.
    pub(super) fn refused() -> Self {
        Self {
            refuses: true,
            ..Self::default()
        }
    }

    /// Adds what Envoy's filters are told of the rule.
    pub(super) fn add_filters(&self, filters: &mut Map<String, Value>) {
        filters.extend(self.security.iter().flat_map(|s| s.filters.clone()));
        filters.extend(self.traffic.iter().flat_map(|t| t.filters.clone()));
    }

    /// Fields of Envoy's `RouteAction`.
    pub(super) fn action(&self) -> Map<String, Value> {
        let action = self.traffic.as_ref().map(|t| t.action.clone());
        action.unwrap_or_default()
    }

    /// What is said of the clusters of the rule's backends.
    pub(super) fn cluster(&self) -> Option<&Settings> {
        self.traffic.as_ref().and_then(|t| t.cluster.as_ref())
    }
}

/// Reads what a policy says; what is not served here is named.
fn read<S: DeserializeOwned>(policy: &Resource<Policy>, known: &[&str]) -> Result<S, String> {
    let settings = &policy.spec.settings;
    let foreign: Vec<&str> = settings
        .iter()
        .filter(|(field, value)| !known.contains(&field.as_str()) && !value.is_null())
        .map(|(field, _)| field.as_str())
        .collect();
    if !foreign.is_empty() {
        return Err(format!("{} is not served here", foreign.join(", ")));
    }
    serde_json::from_value(Value::Object(settings.clone()))
        .map_err(|error| format!("spec: {error}"))
}

/// A short text that tells one from another.
fn digest(text: &str) -> String {
    crate::digest::digits(text.as_bytes(), 8)
}

/// What a filter is told of a route, with the type it goes by.
fn typed(kind: &str, mut fields: Value) -> Value {
    fields["@type"] = json!(format!(
        "type.googleapis.com/envoy.extensions.filters.http.{kind}"
    ));
    fields
}

/// A duration of a policy in Envoy's words.
fn seconds(text: &str) -> Result<String, String> {
    super::action::duration(text)
        .map(super::action::seconds)
        .map_err(why)
}

fn why(problem: Problem) -> String {
    problem.message
}

/// A number of bytes.
fn bytes(text: &Value) -> Result<u32, String> {
    let written = text
        .as_str()
        .map_or_else(|| text.to_string(), str::to_owned);
    let milli = choreo_model::quantity::milli(&written);
    milli
        .and_then(|milli| u32::try_from(milli / 1000).ok())
        .filter(|bytes| *bytes > 0)
        .ok_or_else(|| format!("{written} is not a number of bytes up to 4Gi"))
}
