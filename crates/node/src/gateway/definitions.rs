//! The kinds that must be served for the gateways and the secrets: definitions with the
//! names, columns and main fields of upstream's. Fields that are not named here are kept as they are.

use serde_json::{Value, json};

const GATEWAY_GROUP: &str = "gateway.networking.k8s.io";
const SECRETS_GROUP: &str = "external-secrets.io";
const GENERATORS_GROUP: &str = "generators.external-secrets.io";

/// Definitions of the Gateway API kinds (`GatewayClass`, `Gateway`, `HTTPRoute`, `GRPCRoute`,
/// `ReferenceGrant`) and of external-secrets (`ExternalSecret`, `SecretStore`, `ClusterSecretStore`, and the
/// generator `Password`).
pub fn definitions() -> Vec<Value> {
    vec![
        gateway_class(),
        gateway(),
        route("HTTPRoute", "httproute"),
        route("GRPCRoute", "grpcroute"),
        reference_grant(),
        external_secret(),
        secret_store("SecretStore", "secretstore", &["ss"], "Namespaced"),
        secret_store(
            "ClusterSecretStore",
            "clustersecretstore",
            &["css"],
            "Cluster",
        ),
        password(),
    ]
}

/// The parts in which the definitions differ.
struct Definition {
    group: &'static str,
    versions: &'static [&'static str],
    kind: &'static str,
    singular: &'static str,
    plural: String,
    short: &'static [&'static str],
    scope: &'static str,
    columns: Value,
    spec: Value,
}

impl Definition {
    /// The first version is the stored one.
    fn render(self) -> Value {
        let schema = json!({"openAPIV3Schema": {
            "type": "object",
            "required": ["spec"],
            "properties": {
                "apiVersion": {"type": "string"},
                "kind": {"type": "string"},
                "metadata": {"type": "object"},
                "spec": self.spec,
                "status": open(json!({})),
            },
        }});
        let versions: Vec<Value> = self
            .versions
            .iter()
            .enumerate()
            .map(|(position, version)| {
                json!({
                    "name": version,
                    "served": true,
                    "storage": position == 0,
                    "schema": schema,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": self.columns,
                })
            })
            .collect();
        json!({
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": format!("{}.{}", self.plural, self.group)},
            "spec": {
                "group": self.group,
                "scope": self.scope,
                "names": {
                    "kind": self.kind,
                    "listKind": format!("{}List", self.kind),
                    "plural": self.plural,
                    "singular": self.singular,
                    "shortNames": self.short,
                },
                "versions": versions,
            },
        })
    }
}

/// An object of named fields that also keeps others.
#[expect(
    clippy::needless_pass_by_value,
    reason = "schemas are built from the inside out, and read so"
)]
fn open(properties: Value) -> Value {
    json!({
        "type": "object",
        "properties": properties,
        "x-kubernetes-preserve-unknown-fields": true,
    })
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "schemas are built from the inside out, and read so"
)]
fn list(items: Value) -> Value {
    json!({"type": "array", "items": items})
}

fn required(mut schema: Value, fields: &[&str]) -> Value {
    schema["required"] = json!(fields);
    schema
}

fn string() -> Value {
    json!({"type": "string"})
}

fn choice(values: &[&str]) -> Value {
    json!({"type": "string", "enum": values})
}

fn port() -> Value {
    json!({"type": "integer", "format": "int32", "minimum": 1, "maximum": 65535})
}

fn hostname() -> Value {
    json!({
        "type": "string",
        "minLength": 1,
        "maxLength": 253,
        "pattern": r"^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
    })
}

fn column(name: &str, kind: &str, path: &str) -> Value {
    json!({"name": name, "type": kind, "jsonPath": path})
}

fn age() -> Value {
    column("Age", "date", ".metadata.creationTimestamp")
}

fn gateway_class() -> Value {
    Definition {
        group: GATEWAY_GROUP,
        versions: &["v1", "v1beta1"],
        kind: "GatewayClass",
        singular: "gatewayclass",
        plural: "gatewayclasses".into(),
        short: &["gc"],
        scope: "Cluster",
        columns: json!([
            column("Controller", "string", ".spec.controllerName"),
            column(
                "Accepted",
                "string",
                ".status.conditions[?(@.type==\"Accepted\")].status"
            ),
            age(),
        ]),
        spec: required(
            open(json!({"controllerName": string()})),
            &["controllerName"],
        ),
    }
    .render()
}

fn gateway() -> Value {
    let namespaces = open(json!({"from": choice(&["All", "Selector", "Same"])}));
    let listener = open(json!({
        "name": string(),
        "hostname": hostname(),
        "port": port(),
        "protocol": string(),
        "allowedRoutes": open(json!({"namespaces": namespaces})),
    }));
    let mut listeners = list(required(listener, &["name", "port", "protocol"]));
    listeners["x-kubernetes-list-type"] = json!("map");
    listeners["x-kubernetes-list-map-keys"] = json!(["name"]);
    listeners["minItems"] = json!(1);
    listeners["maxItems"] = json!(64);
    Definition {
        group: GATEWAY_GROUP,
        versions: &["v1", "v1beta1"],
        kind: "Gateway",
        singular: "gateway",
        plural: "gateways".into(),
        short: &["gtw"],
        scope: "Namespaced",
        columns: json!([
            column("Class", "string", ".spec.gatewayClassName"),
            column("Address", "string", ".status.addresses[*].value"),
            column(
                "Programmed",
                "string",
                ".status.conditions[?(@.type==\"Programmed\")].status"
            ),
            age(),
        ]),
        spec: required(
            open(json!({"gatewayClassName": string(), "listeners": listeners})),
            &["gatewayClassName", "listeners"],
        ),
    }
    .render()
}

fn route(kind: &'static str, singular: &'static str) -> Value {
    let parent = open(json!({
        "group": string(),
        "kind": string(),
        "namespace": string(),
        "name": string(),
        "sectionName": string(),
        "port": port(),
    }));
    let backend = open(json!({
        "group": string(),
        "kind": string(),
        "namespace": string(),
        "name": string(),
        "port": port(),
        "weight": {"type": "integer", "format": "int32", "minimum": 0, "maximum": 1_000_000},
    }));
    let filter = required(open(json!({"type": string()})), &["type"]);
    let rule = open(json!({
        "name": string(),
        "matches": list(open(json!({}))),
        "filters": list(filter),
        "backendRefs": list(required(backend, &["name"])),
    }));
    Definition {
        group: GATEWAY_GROUP,
        versions: if kind == "HTTPRoute" {
            &["v1", "v1beta1"]
        } else {
            &["v1"]
        },
        kind,
        singular,
        plural: format!("{singular}s"),
        short: &[],
        scope: "Namespaced",
        columns: json!([column("Hostnames", "string", ".spec.hostnames"), age()]),
        spec: open(json!({
            "parentRefs": list(required(parent, &["name"])),
            "hostnames": list(hostname()),
            "rules": list(rule),
        })),
    }
    .render()
}

fn reference_grant() -> Value {
    let from = open(json!({"group": string(), "kind": string(), "namespace": string()}));
    let to = open(json!({"group": string(), "kind": string(), "name": string()}));
    Definition {
        group: GATEWAY_GROUP,
        versions: &["v1", "v1beta1"],
        kind: "ReferenceGrant",
        singular: "referencegrant",
        plural: "referencegrants".into(),
        short: &["refgrant"],
        scope: "Namespaced",
        columns: json!([age()]),
        spec: required(
            open(json!({
                "from": list(required(from, &["group", "kind", "namespace"])),
                "to": list(required(to, &["group", "kind"])),
            })),
            &["from", "to"],
        ),
    }
    .render()
}

fn external_secret() -> Value {
    let store = open(json!({
        "name": string(),
        "kind": choice(&["SecretStore", "ClusterSecretStore"]),
    }));
    let remote = required(
        open(json!({"key": string(), "property": string(), "version": string()})),
        &["key"],
    );
    let data = required(
        open(json!({"secretKey": string(), "remoteRef": remote})),
        &["secretKey", "remoteRef"],
    );
    let target = open(json!({
        "name": string(),
        "creationPolicy": choice(&["Owner", "Orphan", "Merge", "None"]),
        "deletionPolicy": choice(&["Delete", "Merge", "Retain"]),
        "template": open(json!({
            "type": string(),
            "mergePolicy": choice(&["Replace", "Merge"]),
            "data": {"type": "object", "additionalProperties": string()},
        })),
    }));
    Definition {
        group: SECRETS_GROUP,
        versions: &["v1", "v1beta1"],
        kind: "ExternalSecret",
        singular: "externalsecret",
        plural: "externalsecrets".into(),
        short: &["es"],
        scope: "Namespaced",
        columns: json!([
            column("StoreType", "string", ".spec.secretStoreRef.kind"),
            column("Store", "string", ".spec.secretStoreRef.name"),
            column("Refresh Interval", "string", ".spec.refreshInterval"),
            column(
                "Status",
                "string",
                ".status.conditions[?(@.type==\"Ready\")].reason"
            ),
            column(
                "Ready",
                "string",
                ".status.conditions[?(@.type==\"Ready\")].status"
            ),
            age(),
        ]),
        spec: open(json!({
            "secretStoreRef": store,
            "refreshInterval": string(),
            "target": target,
            "data": list(data),
            "dataFrom": list(open(json!({}))),
        })),
    }
    .render()
}

fn secret_store(
    kind: &'static str,
    singular: &'static str,
    short: &'static [&'static str],
    scope: &'static str,
) -> Value {
    Definition {
        group: SECRETS_GROUP,
        versions: &["v1", "v1beta1"],
        kind,
        singular,
        plural: format!("{singular}s"),
        short,
        scope,
        columns: json!([
            age(),
            column(
                "Status",
                "string",
                ".status.conditions[?(@.type==\"Ready\")].reason"
            ),
            column("Capabilities", "string", ".status.capabilities"),
            column(
                "Ready",
                "string",
                ".status.conditions[?(@.type==\"Ready\")].status"
            ),
        ]),
        spec: required(open(json!({"provider": open(json!({}))})), &["provider"]),
    }
    .render()
}

fn password() -> Value {
    let count = || json!({"type": "integer", "minimum": 0});
    let spec = open(json!({
        "length": {"type": "integer", "minimum": 1, "default": 24},
        "digits": count(),
        "symbols": count(),
        "symbolCharacters": string(),
        "noUpper": {"type": "boolean", "default": false},
        "allowRepeat": {"type": "boolean", "default": false},
        "secretKeys": list(string()),
        "encoding": choice(&["raw", "base64", "base64url", "base32", "hex"]),
    }));
    Definition {
        group: GENERATORS_GROUP,
        versions: &["v1alpha1"],
        kind: "Password",
        singular: "password",
        plural: "passwords".into(),
        short: &[],
        scope: "Namespaced",
        columns: json!([age()]),
        spec,
    }
    .render()
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
        assert_eq!(names.len(), 9);
    }
}
