//! What a new platform starts with: types, environments, a pipeline and a data plane; and what an API
//! server that is not its own needs besides.

/// Admission policies for an API server that is not the platform's own, as YAML: what that one takes
/// care of by itself. They are of `admissionregistration.k8s.io/v1`.
pub const POLICIES: &str = include_str!("../policies/promotions.yaml");

/// A document that every new platform is given.
#[derive(Clone, Copy, Debug)]
pub struct Default {
    /// Names the document, for messages.
    pub name: &'static str,
    /// The manifests, as YAML of one or more documents.
    pub yaml: &'static str,
}

/// Everything a new platform is given, in the order in which it is applied.
pub fn defaults() -> &'static [Default] {
    &DEFAULTS
}

/// One document per name; its file is named like it.
macro_rules! documents {
    ($($name:literal: $file:literal),* $(,)?) => {
        [$(Default {
            name: $name,
            yaml: include_str!(concat!("../defaults/", $file, ".yaml")),
        }),*]
    };
}

const DEFAULTS: [Default; 26] = documents![
    "project type": "project-type",
    "service": "service",
    "web application": "web-application",
    "worker": "worker",
    "scheduled task": "scheduled-task",
    "proxy": "proxy",
    "alert rule": "observability-alert-rule",
    "JWT authentication": "jwt-authentication",
    "API keys": "api-key-authentication",
    "basic authentication": "basic-authentication",
    "sign-in": "sign-in",
    "external authorization": "external-authorization",
    "IP filter": "ip-filter",
    "CORS": "cors",
    "headers": "headers",
    "rate limit": "rate-limit",
    "timeouts": "timeouts",
    "retries": "retries",
    "circuit breaker": "circuit-breaker",
    "load balancing": "load-balancing",
    "request size": "request-size",
    "postgres": "postgres",
    "valkey": "valkey",
    "nats": "nats",
    "environments": "environments",
    "data plane": "data-plane",
];

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn documents() -> Vec<Value> {
        defaults()
            .iter()
            .flat_map(|default| {
                serde_saphyr::from_multiple::<Value>(default.yaml)
                    .unwrap_or_else(|error| panic!("{}: {error}", default.name))
            })
            .collect()
    }

    #[test]
    fn every_default_is_valid() {
        for document in documents() {
            let kind = crate::find(document["kind"].as_str().unwrap()).unwrap();
            let name = document["metadata"]["name"].as_str().unwrap();
            assert_eq!((kind.check)(&document, None), [], "{} {name}", kind.kind);
        }
    }

    #[test]
    fn a_platform_starts_with_types_environments_and_a_plane() {
        let mut names: Vec<String> = documents()
            .iter()
            .map(|document| {
                let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                format!(
                    "{}/{}",
                    text(&document["kind"]),
                    text(&document["metadata"]["name"])
                )
            })
            .collect();
        names.sort();
        assert_eq!(
            names,
            [
                "ClusterComponentType/proxy",
                "ClusterComponentType/scheduled-task",
                "ClusterComponentType/service",
                "ClusterComponentType/web-application",
                "ClusterComponentType/worker",
                "ClusterDataPlane/default",
                "ClusterProjectType/default",
                "ClusterResourceType/nats",
                "ClusterResourceType/postgres",
                "ClusterResourceType/valkey",
                "ClusterTrait/api-key-authentication",
                "ClusterTrait/basic-authentication",
                "ClusterTrait/circuit-breaker",
                "ClusterTrait/cors",
                "ClusterTrait/external-authorization",
                "ClusterTrait/headers",
                "ClusterTrait/ip-filter",
                "ClusterTrait/jwt-authentication",
                "ClusterTrait/load-balancing",
                "ClusterTrait/observability-alert-rule",
                "ClusterTrait/rate-limit",
                "ClusterTrait/request-size",
                "ClusterTrait/retries",
                "ClusterTrait/sign-in",
                "ClusterTrait/timeouts",
                "DeploymentPipeline/default",
                "Environment/development",
                "Environment/production",
                "Environment/staging",
            ]
        );
    }
}
