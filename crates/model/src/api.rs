//! APIs: endpoints of components under versioned paths of gateways, and who may call them.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::application::{EndpointSchema, TraitInstance};
use crate::check::{Check, Checker};
use crate::names;
use crate::object::{Object, Spec};
use crate::release::GatewayUrls;
use crate::schema;
use crate::shared::ProjectOwner;

/// Endpoints under `/CONTEXT/VERSION` of the gateways of every environment they are deployed to.
pub type Api = Object<ApiSpec>;

/// What an API is made of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApiSpec {
    /// The project whose endpoints it offers.
    #[schemars(extend("x-kubernetes-validations" = schema::immutable()))]
    pub owner: ProjectOwner,
    /// What people call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The first part of its paths, such as `orders` or `shop/orders`.
    #[schemars(length(min = 1, max = 200), regex(pattern = CONTEXT))]
    pub context: String,
    /// Its version, the last part of its paths, such as `v1`.
    #[schemars(length(min = 1, max = 63), regex(pattern = VERSION_PART))]
    pub version: String,
    /// The gateways that offer it.
    #[serde(default = "outside")]
    #[schemars(length(min = 1, max = 2), extend("x-kubernetes-list-type" = "set"))]
    pub visibility: Vec<ApiVisibility>,
    /// The environments it is offered in; empty, all its components are deployed to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub environments: Vec<String>,
    /// What it offers, by name.
    #[schemars(length(min = 1, max = 32))]
    pub endpoints: BTreeMap<String, ApiEndpoint>,
    /// Its description for programs; left out, those of its endpoints count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<EndpointSchema>,
    /// Whether operations pass that its OpenAPI description does not name.
    #[serde(default)]
    pub operations: Operations,
    /// Asks for keys of consumers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_keys: Option<ApiKeys>,
    /// What gateways do with its requests: the traits that components have, which see its routes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    pub traits: Vec<TraitInstance>,
    /// Values for environment configurations of traits, by environment and instance name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::free_form")]
    pub trait_environment_configs: BTreeMap<String, BTreeMap<String, Value>>,
}

/// What the context of an API is.
const CONTEXT: &str = "^[A-Za-z0-9._~-]+(/[A-Za-z0-9._~-]+)*$";
/// What the version of an API is.
const VERSION_PART: &str = "^[A-Za-z0-9._~-]+$";
/// What a path of an API is.
const PATH: &str = "^/([A-Za-z0-9._~-]+/?)*$";
/// What a consumer is called: a key of a Secret.
const CONSUMER: &str = "^[A-Za-z0-9]([-_.A-Za-z0-9]*[A-Za-z0-9])?$";

fn outside() -> Vec<ApiVisibility> {
    vec![ApiVisibility::External]
}

/// A gateway that offers APIs.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum ApiVisibility {
    /// The external one.
    External,
    /// The internal one.
    Internal,
}

impl ApiVisibility {
    /// As written in manifests and labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::External => "external",
            Self::Internal => "internal",
        }
    }
}

/// An endpoint of a component under a path of an API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApiEndpoint {
    /// The component, of the project of the API.
    #[schemars(length(min = 1))]
    pub component: String,
    /// The deployment track of the component; left out, it is its main line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub track: Option<String>,
    /// The endpoint of the component, of whatever visibility; not of type TCP or UDP. One of type gRPC has a
    /// protobuf description, its own or that of the API.
    #[schemars(length(min = 1))]
    pub endpoint: String,
    /// The path under that of the API. With gRPC, whose paths are names of services, nothing but what tells it from
    /// other endpoints.
    #[serde(default = "root")]
    #[schemars(regex(pattern = PATH))]
    pub path: String,
    /// What the endpoint sees in place of the path; left out, its base path, or `/`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = PATH))]
    pub rewrite: Option<String>,
}

fn root() -> String {
    "/".to_owned()
}

/// Which operations pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Operations {
    /// All.
    #[default]
    All,
    /// Those that the OpenAPI description names, with the scopes that it asks for.
    FromSchema,
}

/// Where requests show the keys of consumers, and which keys there are. Their values are in the store of
/// secrets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApiKeys {
    /// Headers in which a request shows its key.
    #[serde(default = "key_headers")]
    #[schemars(length(max = 8))]
    pub headers: Vec<String>,
    /// Query parameters in which a request shows its key.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub query_parameters: Vec<String>,
    /// Cookies in which a request shows its key.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub cookies: Vec<String>,
    /// The keys that count. `choreo api key` keeps them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1000), extend(
        "x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"],
    ))]
    pub keys: Vec<ApiKey>,
}

fn key_headers() -> Vec<String> {
    vec!["X-API-Key".to_owned()]
}

/// A key of a consumer in an environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApiKey {
    /// The property of the store's entry that holds its value.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Whose it is. The endpoints get it as the header `X-Consumer-Id`.
    #[schemars(length(min = 1, max = 200), regex(pattern = CONSUMER))]
    pub consumer: String,
    /// Where it counts.
    #[schemars(length(min = 1))]
    pub environment: String,
    /// From when on it does not count any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Time>,
}

/// What was observed of an API.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ApiStatus {
    /// The generation this status is about.
    #[serde(skip_serializing_if = "schema::is_zero")]
    pub observed_generation: i64,
    /// `Ready` and, while being deleted, `Finalizing`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// Where it is offered, or is to be.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub environments: Vec<ApiEnvironment>,
}

/// An API in an environment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ApiEnvironment {
    /// The environment.
    pub name: String,
    /// Whether all of it is offered there.
    pub ready: bool,
    /// What is in the way, as a word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What is in the way, as a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Its addresses on the external gateway.
    #[serde(rename = "externalURLs", skip_serializing_if = "Option::is_none")]
    pub external_urls: Option<GatewayUrls>,
    /// Its addresses on the internal gateway.
    #[serde(rename = "internalURLs", skip_serializing_if = "Option::is_none")]
    pub internal_urls: Option<GatewayUrls>,
}

/// A client of a gateway: one key of a consumer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApiClient<'k> {
    /// Whose key it is.
    pub consumer: &'k str,
    /// The property of the store's entry that holds the key.
    pub key: &'k str,
}

/// The clients that the keys of an environment make, by name. A client has one key, so of a consumer with several the
/// others, which expire, are clients of their own.
pub fn clients<'k>(keys: &[&'k ApiKey]) -> BTreeMap<String, ApiClient<'k>> {
    let mut keys = keys.to_vec();
    // What never expires first, then what does last.
    keys.sort_by_key(|key| {
        let expires = key.expires.as_ref().map(|time| time.0);
        (expires.is_some(), std::cmp::Reverse(expires), &key.name)
    });
    let mut clients = BTreeMap::new();
    for key in keys {
        let consumer = key.consumer.as_str();
        let mut client = consumer.to_owned();
        let mut number = 1;
        while clients.contains_key(&client) {
            client = match number {
                1 => format!("{consumer}.previous"),
                number => format!("{consumer}.previous{number}"),
            };
            number += 1;
        }
        let key = key.name.as_str();
        clients.insert(client, ApiClient { consumer, key });
    }
    clients
}

impl Spec for ApiSpec {
    type Status = ApiStatus;
    const KIND: &'static str = "API";
}

impl ApiSpec {
    /// The path that all of it is under.
    pub fn base_path(&self) -> String {
        format!("/{}/{}", self.context, self.version)
    }

    /// The path of an endpoint.
    pub fn path_of(&self, endpoint: &ApiEndpoint) -> String {
        format!(
            "{}{}",
            self.base_path(),
            endpoint.path.trim_end_matches('/')
        )
    }

    /// Everything that is given for its traits.
    pub fn given(&self) -> impl Iterator<Item = &Value> {
        let parameters = self.traits.iter().filter_map(|one| one.parameters.as_ref());
        let configs = self.trait_environment_configs.values();
        parameters.chain(configs.flat_map(BTreeMap::values))
    }

    /// The line of a component that an endpoint is of, as it is told from every other.
    pub fn line_id(endpoint: &ApiEndpoint) -> std::borrow::Cow<'_, str> {
        names::line_id(&endpoint.component, endpoint.track.as_deref())
    }
}

impl Check for ApiSpec {
    fn check(&self, old: Option<&Self>, out: &mut Checker) {
        if let Some(old) = old {
            out.unchanged("owner", &self.owner, &old.owner);
        }
        out.filled("owner.projectName", &self.owner.project_name);
        out.unique(
            "traits",
            "instanceName",
            self.traits.iter().map(|one| &one.instance_name),
        );
        let mut paths = BTreeSet::new();
        for (name, endpoint) in &self.endpoints {
            if !paths.insert(endpoint.path.trim_end_matches('/')) {
                out.add(
                    format!("endpoints.{name}.path"),
                    &format!("another endpoint has the path {} already", endpoint.path),
                );
            }
        }
        for (environment, configs) in &self.trait_environment_configs {
            let known = |name: &&String| self.traits.iter().any(|one| one.instance_name == **name);
            if let Some(unknown) = configs.keys().find(|name| !known(name)) {
                out.add(
                    format!("traitEnvironmentConfigs.{environment}.{unknown}"),
                    "is the instance name of no trait",
                );
            }
        }
        if let Some(keys) = &self.api_keys {
            if keys.headers.is_empty()
                && keys.query_parameters.is_empty()
                && keys.cookies.is_empty()
            {
                out.add(
                    "apiKeys",
                    "says in none of headers, queryParameters and cookies where a request shows its key",
                );
            }
            out.unique(
                "apiKeys.keys",
                "name",
                keys.keys.iter().map(|key| &key.name),
            );
        }
    }
}
