//! What a controller decided: writes, a status, events. Plain data.

use std::collections::BTreeMap;

use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

use crate::key::{Key, Target};

/// Where a write goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Home {
    /// The API that keeps the platform's own objects.
    Control,
    /// A data plane.
    Plane(usize),
}

/// One write.
#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    /// Server-side apply of exactly these fields.
    Apply {
        /// Where.
        home: Home,
        /// The fields, with apiVersion, kind and metadata.
        object: Value,
    },
    /// Deletion of the object with this identifier.
    Delete {
        /// Where.
        home: Home,
        /// apiVersion, kind, metadata.name and metadata.namespace.
        object: Value,
        /// The identifier; an object of the same name made since stays.
        uid: String,
    },
    /// The finalizers of an object of the platform, if it still has this version.
    Finalizers {
        /// The object.
        key: Key,
        /// The version.
        version: String,
        /// All of its finalizers.
        finalizers: Vec<String>,
    },
}

/// Something to tell in the object's event log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// What happened, as a word.
    pub reason: &'static str,
    /// What happened, as a sentence.
    pub message: String,
}

/// What to do about one object.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decision {
    /// The field manager of all writes.
    pub manager: &'static str,
    /// What to write, in this order.
    pub writes: Vec<Write>,
    /// The status once the writes have succeeded, when it differs from the present one.
    pub status: Option<Value>,
    /// What to tell.
    pub events: Vec<Event>,
    /// When to decide again although nothing changed.
    pub look_again: Option<Timestamp>,
    /// What was read, and whether its status was.
    pub(crate) reads: BTreeMap<Target, bool>,
}
