//! Kinds whose objects are those of another kind, in another form: what the store keeps of them is
//! the other kind's. Each is converted to and from that form only.

mod autoscalers;
mod events;

use serde_json::{Map, Value};

pub(super) use autoscalers::AUTOSCALER;
pub(super) use events::EVENT;

/// The form in which objects of a kind are kept.
#[derive(Debug)]
pub(crate) struct Kept {
    /// The version of the kind whose form it is.
    pub(crate) as_of: &'static str,
    /// Brings the fields of an object to that form.
    pub(crate) keep: fn(&mut Map<String, Value>),
    /// Brings them back.
    pub(crate) show: fn(&mut Map<String, Value>),
}
