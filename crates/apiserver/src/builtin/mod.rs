//! Kubernetes' own kinds.

use serde_json::Value;

use crate::{resource::Resource, schema::Cause};

/// Every built-in kind that is served.
pub fn resources() -> Vec<Resource> {
    Vec::new()
}

/// Defaults that a schema cannot express (`old` is the stored object on updates).
pub fn default(_resource: &Resource, _object: &mut Value, _old: Option<&Value>) {}

/// Rules that a schema cannot express (`old` is the stored object on updates).
pub fn validate(_resource: &Resource, _object: &Value, _old: Option<&Value>) -> Vec<Cause> {
    Vec::new()
}

pub use crate::schema::from_crd;
