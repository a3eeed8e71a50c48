//! Fuzz targets: functions of bytes that panic when something does not hold. Compiled for tests and for
//! `cargo fuzz` only; `fuzz/` holds the inputs.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Secret;
use kube::api::DynamicObject;
use serde_json::Value;

use crate::gateway::{
    CookieKey, Input, Issuer, Translation,
    objects::{Resource, grpc},
    translate,
};

/// A target: its name, and what it does with an input.
pub type Target = (&'static str, fn(&[u8]));

/// The targets of this crate.
pub const TARGETS: &[Target] = &[
    ("datagram", crate::machine::fuzz_datagram),
    ("gateway_objects", gateway_objects),
];

/// What is there before anything else, and stays.
const BASE: &str = include_str!("../tests/gateway/fuzz-base.json");

/// A list of objects of the gateways in JSON, as somebody may have stored them.
fn gateway_objects(data: &[u8]) {
    let Ok(objects) = serde_json::from_slice::<Vec<Value>>(data) else {
        return;
    };
    let base: Vec<Value> = serde_json::from_str(BASE).unwrap_or_default();
    let mut input = Input {
        ports: BTreeSet::from([80, 443]),
        address: Some("127.0.0.1".to_owned()),
        authorities: Some("authorities".into()),
        cookies: Some(CookieKey::from([7; 32])),
        ..Input::default()
    };
    let told = Issuer {
        name: "https://id.test".to_owned(),
        authorization_endpoint: "https://id.test/authorize".to_owned(),
        token_endpoint: "https://id.test/token".to_owned(),
        end_session_endpoint: None,
    };
    input
        .found
        .issuers
        .insert("https://id.test".to_owned(), Ok(told));
    for object in base.into_iter().chain(objects) {
        add(&mut input, object);
    }
    let translation = translate(&input);
    assert_eq!(
        translation,
        translate(&input),
        "the same is always the same"
    );
    clusters_exist(&translation);
    domains_are_unique(&translation);
    conditions_are_well_formed(&translation);
    what_goes_out_leaves_by_sockets(&translation);
    let steady = hosts(&translation).any(|host| {
        let mut routes = host["routes"].as_array().into_iter().flatten();
        host["name"] == "steady.test" && routes.any(|r| r["match"]["path"] == "/steady")
    });
    assert!(steady, "one object disturbs no other");
}

fn add(input: &mut Input, object: Value) {
    let kind = object["kind"].as_str().unwrap_or_default().to_owned();
    if let ("Service", Ok(service)) = (kind.as_str(), serde_json::from_value(object.clone())) {
        input.services.push(service);
        return;
    }
    if let ("EndpointSlice", Ok(slice)) = (kind.as_str(), serde_json::from_value(object.clone())) {
        input.slices.push(slice);
        return;
    }
    if let ("Secret", Ok(secret)) = (
        kind.as_str(),
        serde_json::from_value::<Secret>(object.clone()),
    ) {
        let meta = &secret.metadata;
        let key = (meta.namespace.clone(), meta.name.clone());
        if let (Some(namespace), Some(name)) = key {
            input.found.secrets.insert((namespace, name), secret);
        }
        return;
    }
    let Ok(object) = serde_json::from_value::<DynamicObject>(object) else {
        return;
    };
    match kind.as_str() {
        "Gateway" => input.gateways.extend(Resource::read(&object)),
        "ListenerSet" => input.listener_sets.extend(Resource::read(&object)),
        "HTTPRoute" => input.http_routes.extend(Resource::read(&object)),
        "GRPCRoute" => input.grpc_routes.extend(grpc(&object)),
        "TLSRoute" => input.tls_routes.extend(Resource::read(&object)),
        "TCPRoute" => input.tcp_routes.extend(Resource::read(&object)),
        "UDPRoute" => input.udp_routes.extend(Resource::read(&object)),
        "ReferenceGrant" => input.grants.extend(Resource::read(&object)),
        "BackendTLSPolicy" => input.backend_tls.extend(Resource::read(&object)),
        "SecurityPolicy" => input.security_policies.extend(Resource::read(&object)),
        "BackendTrafficPolicy" => input.traffic_policies.extend(Resource::read(&object)),
        "ClientTrafficPolicy" => input.client_policies.extend(Resource::read(&object)),
        "Backend" => input.backends.extend(Resource::read(&object)),
        _ => {}
    }
}

fn hosts(translation: &Translation) -> impl Iterator<Item = &Value> {
    let configurations = translation.routes.values();
    configurations.flat_map(|c| c["virtual_hosts"].as_array().into_iter().flatten())
}

/// A route to a cluster that is not there is one that was meant to fail.
fn clusters_exist(translation: &Translation) {
    let names = translation.clusters.iter().map(|c| c["name"].as_str());
    let known: BTreeSet<Option<&str>> = names.collect();
    for route in hosts(translation).flat_map(|h| h["routes"].as_array().into_iter().flatten()) {
        let weighted = route["route"]["weighted_clusters"]["clusters"].as_array();
        let weighted = weighted.into_iter().flatten().map(|c| &c["name"]);
        for name in weighted.chain([&route["route"]["cluster"]]) {
            let there = name.is_null() || *name == "-" || known.contains(&name.as_str());
            assert!(there, "{name} is nowhere");
        }
        asked(&route["typed_per_filter_config"], &mut |name| {
            assert!(known.contains(&Some(name)), "{name} is asked and nowhere");
        });
    }
}

/// The clusters that filters ask: Envoy refuses all routes for one that is not there.
fn asked(settings: &Value, tell: &mut impl FnMut(&str)) {
    match settings {
        Value::Object(fields) => {
            for (field, value) in fields {
                match (field.as_str(), value) {
                    ("cluster" | "cluster_name", Value::String(name)) => tell(name),
                    _ => asked(value, tell),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| asked(item, tell)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Envoy refuses all routes of a port of which two have the same host.
fn domains_are_unique(translation: &Translation) {
    for configuration in translation.routes.values() {
        let mut seen = BTreeSet::new();
        let hosts = configuration["virtual_hosts"]
            .as_array()
            .into_iter()
            .flatten();
        for domain in hosts.flat_map(|h| h["domains"].as_array().into_iter().flatten()) {
            let name = domain.as_str().unwrap_or_default().to_ascii_lowercase();
            assert!(seen.insert(name), "{domain} is there twice");
        }
    }
}

/// Gateways that lead out reach nothing in the network of cells.
fn what_goes_out_leaves_by_sockets(translation: &Translation) {
    let clusters = translation.clusters.iter();
    let inside: BTreeSet<&str> = clusters
        .filter(|cluster| cluster.to_string().contains("socket_address"))
        .filter_map(|cluster| cluster["name"].as_str())
        .collect();
    for gateway in &translation.egress {
        let of = format!("{}_", gateway.address);
        let own = |name: &str| name.starts_with(&of);
        let routes = translation.routes.iter().filter(|(name, _)| own(name));
        let listeners = translation.listeners.iter();
        let listeners = listeners.filter(|l| own(l["name"].as_str().unwrap_or_default()));
        for configuration in routes.map(|(_, routes)| routes).chain(listeners) {
            let text = configuration.to_string();
            for cluster in &inside {
                let named = format!("\"{cluster}\"");
                assert!(!text.contains(&named), "{cluster} is inside");
            }
        }
    }
}

fn conditions_are_well_formed(translation: &Translation) {
    for status in &translation.statuses {
        let text = status.value.to_string();
        assert!(!text.contains("\"reason\":\"\""), "{text}");
        let parents = status.value["parents"].as_array().into_iter().flatten();
        for parent in parents {
            let conditions = parent["conditions"].as_array().map_or(0, Vec::len);
            assert!(conditions >= 2, "{parent}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use choreo_fuzz::{listed, replay};

    #[test]
    fn all_can_be_run() {
        listed(TARGETS);
    }

    #[test]
    fn datagram() {
        replay(TARGETS, "datagram", 300);
    }

    #[test]
    fn gateway_objects() {
        replay(TARGETS, "gateway_objects", 300);
    }

    #[test]
    fn what_stays_is_there() {
        super::gateway_objects(b"[]");
    }
}
