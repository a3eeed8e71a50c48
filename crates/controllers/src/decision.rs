//! What a controller decided: writes, a status, events. Plain data.

use std::collections::BTreeMap;

use choreo_model::release::EndpointStatus;
use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

use crate::aspects::Aspects;
use crate::calls::Request;
use crate::key::{Key, Target};
use crate::live::LiveKey;

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
    /// Server-side apply of exactly these fields to a plane.
    Place {
        /// What the object is called, on which plane.
        key: LiveKey,
        /// The fields, with apiVersion, kind and metadata.
        object: Value,
        /// A hash of what is wanted, by which it is known that nothing has changed since.
        hash: u64,
    },
    /// Deletion of the object with this identifier, or of whichever has this name where there can be no
    /// other.
    Delete {
        /// Where.
        home: Home,
        /// apiVersion, kind, metadata.name and metadata.namespace.
        object: Value,
        /// The identifier: an object of the same name made since stays. Empty where the name says all.
        uid: String,
    },
    /// The status of another object of the platform.
    Status {
        /// The object.
        key: Key,
        /// Its status.
        status: Value,
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
    /// A request to the world outside. What comes of it is in the index afterwards.
    Call {
        /// Tells it apart from other requests for the same object.
        id: String,
        /// The request.
        request: Request,
    },
}

/// Whether an event is one to worry about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventType {
    /// It is not.
    Normal,
    /// Somebody should look at it.
    Warning,
}

/// Something to tell in the object's event log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Whether it is one to worry about.
    pub type_: EventType,
    /// What happened, as a word.
    pub reason: String,
    /// What happened, as a sentence.
    pub message: String,
}

impl Event {
    /// An event that is as it should be.
    pub fn normal(reason: &str, message: impl Into<String>) -> Self {
        Self::new(EventType::Normal, reason, message.into())
    }

    /// An event that somebody should look at.
    pub fn warning(reason: &str, message: impl Into<String>) -> Self {
        Self::new(EventType::Warning, reason, message.into())
    }

    fn new(type_: EventType, reason: &str, message: String) -> Self {
        Self {
            type_,
            reason: reason.to_owned(),
            message,
        }
    }
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
    /// What to tell, once the writes have succeeded.
    pub events: Vec<Event>,
    /// The identifier of the object, for what is told of it.
    pub(crate) uid: Option<String>,
    /// When to decide again although nothing changed.
    pub look_again: Option<Timestamp>,
    /// The addresses of a binding whose status tells them later. They are known from now on: nobody has to
    /// wait for what is decided already.
    pub(crate) endpoints: Option<Vec<EndpointStatus>>,
    /// What was read, and whether its status was.
    pub(crate) reads: BTreeMap<Target, Aspects>,
}
