//! Defaults of the built-in kinds that clients and controllers rely on.

mod objects;
mod pod;
mod services;
mod workloads;

use serde_json::Value;

pub(super) use self::{
    objects::*,
    pod::{pod, prepare_pod},
    services::*,
    workloads::*,
};

/// For kinds without defaults.
pub(super) fn nothing(_: &mut Value, _: Option<&Value>) {}
