//! OpenAPI v3 documents of what is served: the way `kubectl` learns which
//! patches a kind takes, whether the server validates fields, and what
//! `explain` prints.
//!
//! Documents are large and rarely asked for (clients keep them by their hash),
//! so they are built when asked and not kept; only hashes are cheap and ready.

mod paths;
mod schemas;

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use crate::resource::Resource;

/// Path of a group version (`api/v1`, `apis/apps/v1`) to its document.
pub fn document(path: &str, resources: &[&Resource]) -> Value {
    let schemas::Schemas { components, kinds } = schemas::schemas(resources);
    let mut paths = Map::new();
    for (resource, component) in resources.iter().zip(&kinds) {
        paths.extend(paths::of(path, resource, component));
    }
    json!({
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": concat!("v", env!("CARGO_PKG_VERSION"))},
        "paths": paths,
        "components": {"schemas": components},
    })
}

/// The index of all documents, by path.
pub fn index(groups: &BTreeMap<String, Vec<&Resource>>) -> Value {
    let paths = groups.iter().map(|(path, resources)| {
        let hash = hash(path, resources);
        let address = format!("/openapi/v3/{path}?hash={hash}");
        (path.clone(), json!({"serverRelativeURL": address}))
    });
    json!({"paths": paths.collect::<Map<_, _>>()})
}

/// A hash that changes when the document of a group version does. It is taken
/// from what the document is made of, so that no document is built for it.
pub fn hash(path: &str, resources: &[&Resource]) -> String {
    let mut digest = Sha256::new();
    let mut add = |part: &str| {
        digest.update(part.as_bytes());
        digest.update([0]);
    };
    add(env!("CARGO_PKG_VERSION"));
    add(path);
    for resource in resources {
        add(&resource.kind);
        add(&resource.plural);
        add(if resource.namespaced {
            "namespaced"
        } else {
            ""
        });
        add(if resource.subresources.status {
            "status"
        } else {
            ""
        });
        add(if resource.subresources.scale.is_some() {
            "scale"
        } else {
            ""
        });
        add(resource.schema.text().unwrap_or("builtin"));
    }
    digest
        .finalize()
        .iter()
        .take(32)
        .fold(String::new(), |mut text, byte| {
            text.push_str(&format!("{byte:02X}"));
            text
        })
}

#[cfg(test)]
mod tests;
