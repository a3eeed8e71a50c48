//! What definitions are built of.

use serde_json::{Value, json};

use crate::gateway::GROUP;

/// The release of the Gateway API whose kinds and fields are served: where others look for it, its conformance
/// suite among them.
const VERSION: &str = "v1.6.3";
/// Fields that are in its experimental channel only are served too.
const CHANNEL: &str = "experimental";

/// The parts in which the definitions differ.
pub(super) struct Definition {
    pub(super) group: &'static str,
    pub(super) versions: &'static [&'static str],
    pub(super) kind: &'static str,
    pub(super) singular: &'static str,
    pub(super) plural: String,
    pub(super) short: &'static [&'static str],
    pub(super) scope: &'static str,
    pub(super) columns: Value,
    pub(super) spec: Value,
}

impl Definition {
    /// The first version is the stored one.
    pub(super) fn render(self) -> Value {
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
            "metadata": self.metadata(),
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

impl Definition {
    fn metadata(&self) -> Value {
        let mut metadata = json!({"name": format!("{}.{}", self.plural, self.group)});
        if self.group == GROUP {
            metadata["annotations"] = json!({
                "gateway.networking.k8s.io/bundle-version": VERSION,
                "gateway.networking.k8s.io/channel": CHANNEL,
            });
        }
        metadata
    }
}

/// An object of named fields that also keeps others.
#[expect(
    clippy::needless_pass_by_value,
    reason = "schemas are built from the inside out, and read so"
)]
pub(super) fn open(properties: Value) -> Value {
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
pub(super) fn list(items: Value) -> Value {
    json!({"type": "array", "items": items})
}

pub(super) fn required(mut schema: Value, fields: &[&str]) -> Value {
    schema["required"] = json!(fields);
    schema
}

pub(super) fn string() -> Value {
    json!({"type": "string"})
}

pub(super) fn choice(values: &[&str]) -> Value {
    json!({"type": "string", "enum": values})
}

pub(super) fn port() -> Value {
    json!({"type": "integer", "format": "int32", "minimum": 1, "maximum": 65535})
}

pub(super) fn hostname() -> Value {
    json!({
        "type": "string",
        "minLength": 1,
        "maxLength": 253,
        "pattern": r"^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
    })
}

pub(super) fn column(name: &str, kind: &str, path: &str) -> Value {
    json!({"name": name, "type": kind, "jsonPath": path})
}

pub(super) fn age() -> Value {
    column("Age", "date", ".metadata.creationTimestamp")
}
