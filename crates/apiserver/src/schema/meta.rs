//! The metadata every object has, as custom kinds use it.

use std::sync::{Arc, LazyLock};

use serde_json::{Value, json};

use super::{compile::Compiler, structure::Structure};

static METADATA: LazyLock<Arc<Structure>> = LazyLock::new(|| {
    let mut definitions = serde_json::Map::new();
    definitions.insert("ObjectMeta".to_owned(), openapi());
    Compiler::default().definition("ObjectMeta", definitions)
});

/// The compiled form, shared by all custom kinds.
pub(super) fn structure() -> Arc<Structure> {
    METADATA.clone()
}

/// `ObjectMeta` as OpenAPI.
pub(crate) fn openapi() -> Value {
    let texts = json!({"type": "object", "additionalProperties": {"type": "string"}});
    let time = json!({"type": "string", "format": "date-time"});
    json!({
        "type": "object",
        "description": "Standard object's metadata.",
        "properties": {
            "annotations": texts,
            "creationTimestamp": time,
            "deletionGracePeriodSeconds": {"type": "integer", "format": "int64"},
            "deletionTimestamp": time,
            "finalizers": {
                "type": "array",
                "items": {"type": "string"},
                "x-kubernetes-list-type": "set",
                "x-kubernetes-patch-strategy": "merge",
            },
            "generateName": {"type": "string"},
            "generation": {"type": "integer", "format": "int64"},
            "labels": texts,
            "managedFields": {"type": "array", "items": managed_fields(), "x-kubernetes-list-type": "atomic"},
            "name": {"type": "string"},
            "namespace": {"type": "string"},
            "ownerReferences": {
                "type": "array",
                "items": owner_reference(),
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["uid"],
                "x-kubernetes-patch-merge-key": "uid",
                "x-kubernetes-patch-strategy": "merge",
            },
            "resourceVersion": {"type": "string"},
            "selfLink": {"type": "string"},
            "uid": {"type": "string"},
        },
    })
}

fn managed_fields() -> Value {
    json!({"type": "object", "properties": {
        "apiVersion": {"type": "string"},
        "fieldsType": {"type": "string"},
        "fieldsV1": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
        "manager": {"type": "string"},
        "operation": {"type": "string"},
        "subresource": {"type": "string"},
        "time": {"type": "string", "format": "date-time"},
    }})
}

fn owner_reference() -> Value {
    json!({
        "type": "object",
        "required": ["apiVersion", "kind", "name", "uid"],
        "x-kubernetes-map-type": "atomic",
        "properties": {
            "apiVersion": {"type": "string"},
            "blockOwnerDeletion": {"type": "boolean"},
            "controller": {"type": "boolean"},
            "kind": {"type": "string"},
            "name": {"type": "string"},
            "uid": {"type": "string"},
        },
    })
}
