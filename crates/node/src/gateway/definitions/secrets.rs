//! Kinds of external-secrets.

use serde_json::{Value, json};

use super::schema::{Definition, age, choice, column, list, open, required, string};

const SECRETS_GROUP: &str = "external-secrets.io";
const GENERATORS_GROUP: &str = "generators.external-secrets.io";

pub(super) fn definitions() -> Vec<Value> {
    vec![
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
