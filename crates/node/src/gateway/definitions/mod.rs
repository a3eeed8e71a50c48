//! The kinds that must be served for the gateways and the secrets: definitions with the
//! names, columns and main fields of upstream's. Fields that are not named here are kept as they are.

mod envoy_gateway;
mod gateway_api;
mod schema;
mod secrets;

use serde_json::Value;

/// Definitions of the kinds of the Gateway API, of Envoy Gateway's policies, and of external-secrets.
pub fn definitions() -> Vec<Value> {
    let mut all = gateway_api::definitions();
    all.extend(envoy_gateway::definitions());
    all.extend(secrets::definitions());
    all
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;

    use super::*;

    #[test]
    fn every_definition_is_well_formed_and_of_its_own_name() {
        let mut names = BTreeSet::new();
        for definition in definitions() {
            let read: CustomResourceDefinition = serde_json::from_value(definition).unwrap();
            let expected = format!("{}.{}", read.spec.names.plural, read.spec.group);
            assert_eq!(read.metadata.name.as_deref(), Some(expected.as_str()));
            assert_eq!(read.spec.versions.iter().filter(|v| v.storage).count(), 1);
            assert!(names.insert(expected));
        }
        assert_eq!(names.len(), 18);
    }

    #[test]
    fn kinds_of_the_gateway_api_tell_their_release() {
        for definition in definitions() {
            let annotations = &definition["metadata"]["annotations"];
            let told = annotations["gateway.networking.k8s.io/bundle-version"].is_string();
            assert_eq!(told, definition["spec"]["group"] == crate::gateway::GROUP);
        }
    }
}
