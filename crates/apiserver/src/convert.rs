//! Objects in the version a request asks for, as its schema of today has them. Versions of a
//! custom kind differ in name only; some built-in kinds are kept in the form of another one.

use std::{borrow::Cow, sync::Arc};

use bytes::Bytes;
use serde_json::{Value, json};

use crate::{
    apply, builtin,
    object::Stored,
    registry::{Catalog, Served},
    schema::Node,
    status::{Failure, Result},
};

/// The tree of an object in the version of `kind`.
pub(crate) fn in_version(kind: &Served, stored: &Stored) -> Result<Value> {
    let mut object = stored.value()?;
    let version = kind.api_version();
    if !stored.speaks(version) {
        convert(&mut object, version);
    }
    if !stored.fits(kind.schema.mark()) {
        fit(kind, stored, &mut object);
    }
    Ok(object)
}

/// Whether an object is read as it is stored: nothing has changed its schema since, or nothing that
/// concerns it.
pub(crate) fn is_current(kind: &Served, stored: &Stored) -> Result<bool> {
    if !stored.fits(kind.schema.mark()) {
        fit(kind, stored, &mut stored.value()?);
    }
    Ok(stored.fits(kind.schema.mark()))
}

/// Gives an object that was stored under another schema the defaults of this one, and takes away what
/// this one does not know.
fn fit(kind: &Served, stored: &Stored, object: &mut Value) {
    let before = object.clone();
    kind.schema.prune(object);
    kind.schema.default(object);
    if *object == before {
        stored.found_to_fit(kind.schema.mark());
    }
}

/// The bytes of an object in the version of `kind`; shared when nothing is to be done.
pub(crate) fn bytes_in_version(kind: &Served, version: &str, stored: &Stored) -> Result<Bytes> {
    if stored.speaks(version) && is_current(kind, stored)? {
        return stored.json();
    }
    let object = in_version(kind, stored)?;
    serde_json::to_vec(&object)
        .map(Bytes::from)
        .map_err(Failure::internal)
}

/// The object in the form it is kept in.
pub(crate) fn for_storage<'a>(kind: &Served, object: &'a Value) -> Cow<'a, Value> {
    if !kind.builtin {
        return Cow::Borrowed(object);
    }
    let Some(kept) = builtin::kept(kind.api_version(), &kind.kind) else {
        return Cow::Borrowed(object);
    };
    let mut object = object.clone();
    convert(&mut object, kept.as_of);
    Cow::Owned(object)
}

fn convert(object: &mut Value, version: &str) {
    let Some(fields) = object.as_object_mut() else {
        return;
    };
    let before = fields.insert("apiVersion".into(), json!(version));
    let before = before.as_ref().and_then(Value::as_str).unwrap_or_default();
    let kind = fields.get("kind").and_then(Value::as_str);
    let kind = kind.unwrap_or_default().to_owned();
    if let Some(kept) = builtin::kept(before, &kind) {
        (kept.keep)(fields);
    }
    if let Some(kept) = builtin::kept(version, &kind) {
        (kept.show)(fields);
    }
}

/// The versions of a kind, the one of a request among them.
#[derive(Debug)]
pub(crate) struct Versions<'a> {
    kind: &'a Served,
    /// That of the request.
    pub(crate) own: &'a str,
    catalog: Arc<Catalog>,
}

impl<'a> Versions<'a> {
    pub(crate) fn of(kind: &'a Served, catalog: Arc<Catalog>) -> Self {
        Self {
            kind,
            own: kind.api_version(),
            catalog,
        }
    }
}

impl apply::Versions for Versions<'_> {
    fn node(&self, api_version: &str) -> Option<Node<'_>> {
        if api_version == self.own {
            return Some(self.kind.schema.root());
        }
        let found = self.catalog.version(&self.kind.collection, api_version);
        found.map(|other| other.schema.root())
    }

    fn convert(&self, object: &Value, api_version: &str) -> Value {
        let mut object = object.clone();
        convert(&mut object, api_version);
        object
    }
}
