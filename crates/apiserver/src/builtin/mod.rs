//! Kubernetes' own kinds: one table of rows, and what cannot be said in a row
//! (computed columns, defaults, rules).

mod checks;
mod columns;
mod defaults;
mod definitions;
mod empty;
mod kept;
mod merge;
mod read;
mod rows;

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

pub(crate) use self::{
    checks::{ephemeral, names},
    definitions::definitions,
};
pub use crate::schema::from_crd;
use crate::{
    resource::{Availability, Column, Resource, Scale, Subresources},
    schema::{Cause, Schema},
};
use kept::Kept;
use rows::{ROWS, Row};

/// Every built-in kind that is served.
pub fn resources() -> Vec<Resource> {
    ROWS.iter().map(resource).collect()
}

/// Defaults that a schema cannot express (`old` is the stored object on updates).
pub fn default(resource: &Resource, object: &mut Value, old: Option<&Value>) {
    if let Some(row) = row(resource) {
        (row.default)(object, old);
        if let Some(empty) = empty::empty(resource) {
            empty::fill(object, empty);
        }
    }
}

/// What the server itself decides of an object (`old` is the stored object on updates).
pub(crate) fn prepare(resource: &Resource, object: &mut Value, old: Option<&Value>) {
    if let Some(row) = row(resource) {
        (row.prepare)(object, old);
    }
}

/// An object of a built-in kind of which nothing is set: what creation starts from.
pub(crate) fn empty(resource: &Resource) -> Option<&'static Value> {
    row(resource).and_then(|_| empty::empty(resource))
}

/// Rules that a schema cannot express (`old` is the stored object on updates).
pub fn validate(resource: &Resource, object: &Value, old: Option<&Value>) -> Vec<Cause> {
    let Some(row) = row(resource) else {
        return metadata(object);
    };
    let mut causes = checks::metadata(row, object);
    causes.extend((row.check)(object, old));
    causes
}

/// Rules that hold for the metadata of every custom kind.
pub fn metadata(object: &Value) -> Vec<Cause> {
    checks::custom(object)
}

/// The cells of an object in the table of its kind.
pub(crate) fn cells(resource: &Resource, object: &Value, now: Timestamp) -> Vec<Value> {
    let Some(row) = row(resource) else {
        return Vec::new();
    };
    let columns = row.columns.iter();
    let Some(kept) = row.kept else {
        return columns.map(|column| (column.cell)(object, now)).collect();
    };
    let mut object = object.clone();
    if let Some(fields) = object.as_object_mut() {
        (kept.keep)(fields);
    }
    columns.map(|column| (column.cell)(&object, now)).collect()
}

/// Why nothing here does what objects of a kind ask for, if so.
pub(crate) fn unheeded(resource: &Resource) -> Option<&'static str> {
    row(resource)?.unheeded
}

/// What registers the definition of a built-in kind with a generator and
/// returns its name.
pub(crate) fn register(resource: &Resource) -> Option<definitions::Register> {
    row(resource).map(|row| row.register)
}

/// How objects of a version of a kind are kept, if not as they are.
pub(crate) fn kept(api_version: &str, kind: &str) -> Option<&'static Kept> {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    find(group, version, kind)?.kept
}

fn row(resource: &Resource) -> Option<&'static Row> {
    if !resource.builtin {
        return None;
    }
    find(&resource.group, &resource.version, &resource.kind)
}

fn find(group: &str, version: &str, kind: &str) -> Option<&'static Row> {
    ROWS.iter()
        .find(|row| row.kind == kind && row.group == group && row.version == version)
}

fn resource(row: &'static Row) -> Resource {
    let texts = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
    let columns = row.columns.iter().map(|column| Column {
        name: column.name.to_owned(),
        kind: column.kind.to_owned(),
        format: if column.name == "Name" { "name" } else { "" }.to_owned(),
        priority: column.priority,
        json_path: String::new(),
        description: column.description(row.kind),
    });
    Resource {
        group: row.group.to_owned(),
        version: row.version.to_owned(),
        kind: row.kind.to_owned(),
        list_kind: format!("{}List", row.kind),
        plural: row.plural.to_owned(),
        singular: row.kind.to_lowercase(),
        short_names: texts(row.short),
        categories: texts(row.categories),
        namespaced: row.namespaced,
        subresources: Subresources {
            status: row.status,
            scale: row.scale.map(|selector| Scale {
                spec_replicas: ".spec.replicas".to_owned(),
                status_replicas: ".status.replicas".to_owned(),
                selector: Some(selector.to_owned()),
            }),
        },
        columns: columns.collect(),
        selectable: texts(row.selectable),
        schema: Arc::new(Schema::builtin(Arc::new(|| {
            definitions::structure(row.register)
        }))),
        builtin: true,
        availability: Availability::Served,
        storage: row.kept.is_none(),
        deprecation: None,
    }
}

/// Built-in kinds by group and version, for documents and tests.
#[cfg(test)]
pub(crate) fn by_kind() -> std::collections::BTreeMap<String, Resource> {
    resources()
        .into_iter()
        .map(|resource| {
            (
                format!("{}/{}", resource.api_version(), resource.kind),
                resource,
            )
        })
        .collect()
}

#[cfg(test)]
mod tests;
