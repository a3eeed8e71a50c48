//! OpenAPI 2: one document of everything, for clients that know no other. It is the
//! documents of version 3 in older words, so nothing of it exists twice.

mod gnostic;
mod older;

use std::collections::BTreeSet;

use bytes::Bytes;
use serde_json::{Value, json};

use super::{paths, schemas};
use crate::resource::Resource;

/// The kinds of a group version, by its path (`apis/apps/v1`).
pub(crate) type Group<'a> = (String, Vec<&'a Resource>);

/// A part of the document: the operations of a path, or a definition.
enum Part {
    Path(String, Value),
    Definition(String, Value),
}

/// The document as JSON, in pieces.
pub(crate) fn json(groups: &[Group<'_>]) -> Vec<Bytes> {
    let (mut paths, mut definitions) = (Vec::new(), Vec::new());
    parts(groups, |part| {
        let (to, name, value) = match part {
            Part::Path(name, value) => (&mut paths, name, value),
            Part::Definition(name, value) => (&mut definitions, name, value),
        };
        let comma = if to.is_empty() { "" } else { "," };
        to.push(Bytes::from(format!("{comma}{}:{value}", json!(name))));
    });
    let head = format!("{{\"swagger\":\"2.0\",\"info\":{},\"paths\":{{", info());
    let mut pieces = vec![Bytes::from(head)];
    pieces.append(&mut paths);
    pieces.push(Bytes::from_static(b"},\"definitions\":{"));
    pieces.append(&mut definitions);
    pieces.push(Bytes::from_static(b"}}"));
    pieces
}

/// The document as protobuf, as the project gnostic defines it, in pieces.
pub(crate) fn protobuf(groups: &[Group<'_>]) -> Vec<Bytes> {
    let mut pieces = vec![gnostic::head(&info())];
    parts(groups, |part| {
        pieces.push(match part {
            Part::Path(name, value) => gnostic::path(&name, &value),
            Part::Definition(name, value) => gnostic::definition(&name, &value),
        });
    });
    pieces
}

fn info() -> Value {
    json!({"title": "Kubernetes", "version": concat!("v", env!("CARGO_PKG_VERSION"))})
}

/// Hands over every part, group by group, so that only one group is in memory at a time.
fn parts(groups: &[Group<'_>], mut take: impl FnMut(Part)) {
    let mut known = BTreeSet::new();
    for (base, resources) in groups {
        let schemas::Schemas { components, kinds } = schemas::bare(resources);
        for (resource, component) in resources.iter().zip(&kinds) {
            for (path, mut value) in paths::of(base, resource, component) {
                older::path(&mut value);
                take(Part::Path(path, value));
            }
        }
        for (name, mut schema) in components {
            if known.insert(name.clone()) {
                older::schema(&mut schema);
                take(Part::Definition(name, schema));
            }
        }
    }
}

#[cfg(test)]
mod tests;
