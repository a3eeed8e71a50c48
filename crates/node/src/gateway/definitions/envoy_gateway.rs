//! Kinds of Envoy Gateway. What their specifications may say is read when they are translated, and told in
//! their statuses: it is more than a schema could tell.

use serde_json::{Value, json};

use super::schema::{Definition, age, choice, column, list, open, port, string};
use crate::gateway::ENVOY_GROUP;

pub(super) fn definitions() -> Vec<Value> {
    vec![
        policy(
            "SecurityPolicy",
            "securitypolicy",
            "securitypolicies",
            &["sp"],
        ),
        policy(
            "BackendTrafficPolicy",
            "backendtrafficpolicy",
            "backendtrafficpolicies",
            &["btp"],
        ),
        policy(
            "ClientTrafficPolicy",
            "clienttrafficpolicy",
            "clienttrafficpolicies",
            &["ctp"],
        ),
        backend(),
    ]
}

fn policy(
    kind: &'static str,
    singular: &'static str,
    plural: &str,
    short: &'static [&'static str],
) -> Value {
    let target = || {
        open(json!({
            "group": string(), "kind": string(), "name": string(), "sectionName": string(),
        }))
    };
    Definition {
        group: ENVOY_GROUP,
        versions: &["v1alpha1"],
        kind,
        singular,
        plural: plural.to_owned(),
        short,
        scope: "Namespaced",
        columns: json!([age()]),
        spec: open(json!({
            "targetRef": target(),
            "targetRefs": list(target()),
            "targetSelectors": list(open(json!({"kind": string()}))),
        })),
    }
    .render()
}

fn backend() -> Value {
    let endpoint = open(json!({
        "fqdn": open(json!({"hostname": string(), "port": port()})),
        "ip": open(json!({"address": string(), "port": port()})),
    }));
    Definition {
        group: ENVOY_GROUP,
        versions: &["v1alpha1"],
        kind: "Backend",
        singular: "backend",
        plural: "backends".to_owned(),
        short: &["be"],
        scope: "Namespaced",
        columns: json!([
            column(
                "Status",
                "string",
                ".status.conditions[?(@.type==\"Accepted\")].reason"
            ),
            age(),
        ]),
        spec: open(json!({
            "type": choice(&["Endpoints", "DynamicResolver"]),
            "endpoints": list(endpoint),
            "appProtocols": list(string()),
        })),
    }
    .render()
}
