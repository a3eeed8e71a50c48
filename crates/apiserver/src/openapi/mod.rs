//! OpenAPI documents of what is served: the way `kubectl` learns which
//! patches a kind takes, whether the server validates fields, and what
//! `explain` prints.
//!
//! Documents are large and rarely asked for (clients keep them by their hash),
//! so they are built when asked and not kept.

mod paths;
mod schemas;
pub(crate) mod version2;

use serde_json::{Map, Value, json};

use crate::resource::Resource;

/// Path of a group version (`api/v1`, `apis/apps/v1`) to its document.
pub(crate) fn document(path: &str, resources: &[&Resource]) -> Value {
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

#[cfg(test)]
mod tests;
