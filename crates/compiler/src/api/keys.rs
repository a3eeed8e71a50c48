//! Keys of consumers: where their values are, and that requests need one.

use super::Maker;
use crate::finish::text;
use choreo_model::api::clients;
use choreo_model::names;
use choreo_template::{Members, Tree, tree};
use serde_json::json;
use std::collections::BTreeMap;

/// What consumers are called, of whose keys one replaces another; gateways that do not know it call them by the names
/// of clients.
const CLIENT_NAMES: &str = "node.choreo.dev/client-names";

/// What asks for keys on every route among `made`, if the API does.
pub(super) fn objects(maker: &Maker<'_>, made: &[Tree]) -> Vec<Tree> {
    let api = maker.snapshot.api;
    let Some(asked) = &api.spec.api_keys else {
        return Vec::new();
    };
    // Of another name where it holds none, so that neither is made of the other.
    let secret = if maker.snapshot.keys.is_empty() {
        format!("{}-no-keys", maker.stem)
    } else {
        names::api_secret(api.name())
    };
    let mut from = Members::default();
    for (place, names) in [
        ("headers", &asked.headers),
        ("params", &asked.query_parameters),
        ("cookies", &asked.cookies),
    ] {
        if !names.is_empty() {
            from.insert(place, names.as_slice());
        }
    }
    let routes = made
        .iter()
        .filter(|one| matches!(text(one, &["kind"]), "HTTPRoute" | "GRPCRoute"));
    let policies = routes.map(|route| policy(maker, route, (&secret, &from)));
    std::iter::once(kept(maker, &secret))
        .chain(policies)
        .collect()
}

/// The keys: from the store, or none.
fn kept(maker: &Maker<'_>, secret: &str) -> Tree {
    let snapshot = maker.snapshot;
    if snapshot.keys.is_empty() {
        return tree!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": secret, "namespace": &maker.cell},
            "type": "Opaque",
        });
    }
    let (api, environment) = (snapshot.api, snapshot.environment.name());
    let entry = names::api_keys(api.namespace(), api.name(), environment);
    let clients = clients(&snapshot.keys);
    let data: Tree = clients
        .iter()
        .map(|(client, of)| {
            tree!({"secretKey": &**client, "remoteRef": {"key": &entry, "property": of.key}})
        })
        .collect();
    let mut target = tree!({"name": secret, "creationPolicy": "Owner"});
    let others: BTreeMap<&str, &str> = clients
        .iter()
        .filter(|(client, of)| *client != of.consumer)
        .map(|(client, of)| (client.as_str(), of.consumer))
        .collect();
    if !others.is_empty()
        && let Some(target) = target.as_object_mut()
    {
        let names = json!(others).to_string();
        let template = tree!({"metadata": {"annotations": {CLIENT_NAMES: names}}});
        target.insert("template", template);
    }
    let store = snapshot.data_plane.spec.secret_store_ref.as_ref();
    tree!({
        "apiVersion": "external-secrets.io/v1",
        "kind": "ExternalSecret",
        "metadata": {"name": secret, "namespace": &maker.cell},
        "spec": {
            "refreshInterval": "15s",
            "secretStoreRef": {
                "kind": "ClusterSecretStore",
                "name": store.map_or("default", |store| store.name.as_str()),
            },
            "target": target,
            "data": data,
        },
    })
}

/// Asks for keys of a Secret on a route.
fn policy(maker: &Maker<'_>, route: &Tree, (secret, from): (&str, &Members)) -> Tree {
    let name = text(route, &["metadata", "name"]);
    tree!({
        "apiVersion": "gateway.envoyproxy.io/v1alpha1",
        "kind": "SecurityPolicy",
        "metadata": {
            "name": name,
            "namespace": &maker.cell,
            "labels": route["metadata"]["labels"].clone(),
        },
        "spec": {
            "targetRefs": [{
                "group": "gateway.networking.k8s.io", "kind": text(route, &["kind"]), "name": name,
            }],
            "apiKeyAuth": {
                "credentialRefs": [{"name": secret}],
                "extractFrom": [from.clone()],
                "forwardClientIDHeader": "x-consumer-id",
                "sanitize": true,
            },
        },
    })
}
