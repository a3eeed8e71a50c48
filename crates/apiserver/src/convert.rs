//! Objects in the version a request asks for. Versions of a custom kind differ
//! in name only; the two groups of events also differ in field names.

use std::borrow::Cow;

use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::{
    object::Stored,
    registry::Served,
    status::{Failure, Result},
};

/// Field names of events: of the core group, and of `events.k8s.io`.
const EVENT: [(&str, &str); 7] = [
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
    ("reportingComponent", "reportingController"),
];

/// The tree of an object in the version of `kind`.
pub(crate) fn in_version(kind: &Served, stored: &Stored) -> Result<Value> {
    let mut object = stored.value()?;
    let version = kind.api_version();
    if !stored.speaks(&version) {
        convert(&mut object, &version);
    }
    Ok(object)
}

/// The bytes of an object in the version of `kind`; shared when nothing is to be done.
pub(crate) fn bytes_in_version(kind: &Served, version: &str, stored: &Stored) -> Result<Bytes> {
    if stored.speaks(version) {
        return Ok(stored.json.clone());
    }
    let object = in_version(kind, stored)?;
    serde_json::to_vec(&object)
        .map(Bytes::from)
        .map_err(Failure::internal)
}

/// The object in the form it is kept in: events always in that of the core group,
/// so that selectors need to know one form only.
pub(crate) fn for_storage<'a>(kind: &Served, object: &'a Value) -> Cow<'a, Value> {
    if kind.group != "events.k8s.io" {
        return Cow::Borrowed(object);
    }
    let mut object = object.clone();
    convert(&mut object, "v1");
    Cow::Owned(object)
}

fn convert(object: &mut Value, version: &str) {
    let Some(fields) = object.as_object_mut() else {
        return;
    };
    let before = fields.insert("apiVersion".into(), json!(version));
    let is_event = fields.get("kind").is_some_and(|kind| kind == "Event");
    match before.as_ref().and_then(Value::as_str) {
        Some("v1") if is_event && version.starts_with("events.k8s.io/") => {
            for (core, grouped) in EVENT {
                rename(fields, core, grouped);
            }
        }
        Some(other) if is_event && version == "v1" && other.starts_with("events.k8s.io/") => {
            for (core, grouped) in EVENT {
                rename(fields, grouped, core);
            }
        }
        _ => {}
    }
}

fn rename(fields: &mut Map<String, Value>, from: &str, to: &str) {
    if let Some(value) = fields.remove(from) {
        fields.insert(to.to_owned(), value);
    }
}
