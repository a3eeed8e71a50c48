//! Fuzz targets: functions of bytes that panic when something does not hold.
//!
//! What a client sends is read here in every form it may have, and taken as far as it goes without
//! a store. Compiled for tests and for `cargo fuzz` only; `fuzz/` holds the inputs.

mod definitions;
mod patches;

use std::sync::LazyLock;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    body, builtin, http, list,
    object::Stored,
    protobuf,
    resource::Resource,
    selector::Selector,
    table::{self, Include},
};

/// A target: its name, and what it does with an input.
pub type Target = (&'static str, fn(&[u8]));

/// The targets of this crate.
pub const TARGETS: &[Target] = &[
    ("body_json", body_json),
    ("body_protobuf", body_protobuf),
    ("body_yaml", body_yaml),
    ("continue_token", list::fuzzing::token),
    ("definition", definitions::definition),
    ("patches", patches::patches),
    ("request", http::fuzzing::request),
    ("rule", definitions::rule),
    ("selector", selector),
    ("spdy", http::fuzzing::spdy),
];

/// An object in JSON.
fn body_json(data: &[u8]) {
    let Ok(read) = body::json(data) else {
        return;
    };
    // Fields that come twice are the only difference to any reader of JSON.
    let plain = serde_json::from_slice::<Value>(data).ok();
    assert_eq!(plain.as_ref(), Some(&read.value));
    object(read.value);
}

/// An object in YAML.
fn body_yaml(data: &[u8]) {
    if let Ok(read) = body::yaml(data) {
        object(read.value);
    }
}

/// An object in protobuf.
fn body_protobuf(data: &[u8]) {
    if let Ok(read) = protobuf::decode(data) {
        assert_eq!(protobuf::decode(data).as_ref(), Ok(&read));
        object(read);
    }
}

static KINDS: LazyLock<Vec<Resource>> = LazyLock::new(builtin::resources);

/// The built-in kind of an object.
fn kind(object: &Value) -> Option<&'static Resource> {
    let (version, kind) = (object.get("apiVersion")?, object.get("kind")?);
    KINDS
        .iter()
        .find(|one| *kind == one.kind && *version == one.api_version())
}

/// What a write makes of an object, and a read of what was written.
fn object(mut object: Value) {
    let Some(kind) = kind(&object) else {
        return;
    };
    let schema = &kind.schema;
    schema.prune(&mut object);
    let mut again = object.clone();
    assert_eq!(schema.prune(&mut again), Vec::<String>::new());
    assert_eq!(object, again);
    defaulted(kind, &mut object);
    again = object.clone();
    defaulted(kind, &mut again);
    builtin::prepare(kind, &mut object, None);
    let mut wrong = schema.validate(&object, None);
    wrong.extend(builtin::validate(kind, &object, None));
    // What is let in has its defaults.
    if wrong.is_empty() {
        builtin::prepare(kind, &mut again, None);
        assert_eq!(object, again, "defaulted twice as {}", kind.kind);
    }
    builtin::validate(kind, &object, Some(&again));
    shown(kind, &object);
}

fn defaulted(kind: &Resource, object: &mut Value) {
    kind.schema.default(object);
    let mut again = object.clone();
    kind.schema.default(&mut again);
    assert_eq!(*object, again, "defaulted twice");
    builtin::default(kind, object, None);
}

/// Tables show whatever there is.
fn shown(kind: &Resource, object: &Value) {
    let row = table::row(kind, object, "v1", Include::Object, Timestamp::UNIX_EPOCH);
    let cells = row["cells"].as_array().map_or(0, Vec::len);
    assert_eq!(cells, table::columns(kind).len(), "{row}");
}

/// A selector of labels in the first line, one of fields in the second.
fn selector(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    let (labels, fields) = text.split_once('\n').unwrap_or((text, ""));
    let object = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "a", "namespace": "b", "labels": {"app": "web", "n": "3", "x.y/z": ""}},
        "spec": {"nodeName": "n1"}, "status": {"phase": "Running"},
    });
    let Some(kind) = kind(&object) else {
        return;
    };
    let Ok(stored) = Stored::parse(1, object.to_string().into()) else {
        return;
    };
    let selects = |labels: &str, fields: &str| {
        let selector = Selector::parse(kind, labels, fields).ok()?;
        selector.matches(&stored).ok()
    };
    let (both, by_label) = (selects(labels, fields), selects(labels, ""));
    let by_field = selects("", fields);
    let together = by_label.zip(by_field).map(|(one, other)| one && other);
    assert_eq!(both, together);
    // White space around requirements and empty ones mean nothing.
    assert_eq!(by_label, selects(&format!(" {labels} ,"), ""));
}

#[cfg(test)]
mod tests {
    use super::TARGETS;
    use choreo_fuzz::{listed, replay};

    #[test]
    fn all_can_be_run() {
        listed(TARGETS);
    }

    #[test]
    fn body_json() {
        replay(TARGETS, "body_json", 200);
    }

    #[test]
    fn body_protobuf() {
        replay(TARGETS, "body_protobuf", 500);
    }

    #[test]
    fn body_yaml() {
        replay(TARGETS, "body_yaml", 200);
    }

    #[test]
    fn continue_token() {
        replay(TARGETS, "continue_token", 500);
    }

    #[test]
    fn definition() {
        replay(TARGETS, "definition", 200);
    }

    #[test]
    fn patches() {
        replay(TARGETS, "patches", 300);
    }

    #[test]
    fn request() {
        replay(TARGETS, "request", 1000);
    }

    #[test]
    fn rule() {
        replay(TARGETS, "rule", 300);
    }

    #[test]
    fn selector() {
        replay(TARGETS, "selector", 300);
    }

    #[test]
    fn spdy() {
        replay(TARGETS, "spdy", 500);
    }
}
