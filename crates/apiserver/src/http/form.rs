//! The forms in which objects leave: whole, metadata only, or as a table.

use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    convert::{bytes_in_version, in_version},
    list::Page,
    object::{Stored, metadata_text},
    registry::Served,
    status::{Failure, Result},
    table::{self, Include},
};

/// What a client accepts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Objects as they are; the text is their `apiVersion`.
    Whole(Arc<str>),
    /// `PartialObjectMetadata`.
    Metadata,
    /// A table in this version of `meta.k8s.io`.
    Table {
        version: &'static str,
        include: Include,
    },
}

impl Form {
    /// An object of an answer.
    pub(crate) fn object(&self, kind: &Served, object: &Stored) -> Result<Bytes> {
        match self {
            Self::Whole(version) => bytes_in_version(kind, version, object),
            Self::Metadata => of_metadata(object),
            Self::Table { .. } => bytes(&self.tree(kind, in_version(kind, object)?)),
        }
    }

    /// An object that is only in memory.
    pub(crate) fn tree(&self, kind: &Served, object: Value) -> Value {
        match self {
            Self::Whole(_) => object,
            Self::Metadata => metadata_only(object),
            Self::Table { version, include } => {
                let metadata = object.pointer("/metadata/resourceVersion").cloned();
                let row = table::row(kind, &object, version, *include, Timestamp::now());
                let metadata = json!({"resourceVersion": metadata});
                table_of(version, &metadata, Some(&table::columns(kind)), &[row])
            }
        }
    }

    /// An object of a watch event. Only the first table of a watch has columns.
    pub(crate) fn event(&self, kind: &Served, object: &Stored, first: bool) -> Result<Bytes> {
        if first || !matches!(self, Self::Table { .. }) {
            return self.object(kind, object);
        }
        let mut table = self.tree(kind, in_version(kind, object)?);
        table["columnDefinitions"] = Value::Null;
        bytes(&table)
    }

    /// The object of a bookmark.
    pub(crate) fn bookmark(&self, kind: &Served, version: u64, initial: bool) -> Value {
        let mut metadata = json!({"resourceVersion": version.to_string()});
        if initial {
            metadata["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        match self {
            Self::Whole(api_version) => {
                json!({"kind": kind.kind, "apiVersion": **api_version, "metadata": metadata})
            }
            Self::Metadata => json!({
                "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1",
                "metadata": metadata,
            }),
            Self::Table {
                version: api,
                include,
            } => {
                let object = json!({"metadata": metadata});
                let row = table::row(kind, &object, api, *include, Timestamp::now());
                let metadata = json!({"resourceVersion": version.to_string()});
                table_of(api, &metadata, None, &[row])
            }
        }
    }

    /// A list, in pieces that share the objects' bytes.
    pub(crate) fn list(&self, kind: &Served, page: &Page) -> Result<Vec<Bytes>> {
        let mut metadata = json!({"resourceVersion": page.version.to_string()});
        if let Some(resume) = &page.resume {
            metadata["continue"] = json!(resume);
        }
        if let Some(remaining) = page.remaining {
            metadata["remainingItemCount"] = json!(remaining);
        }
        let (list_kind, api_version) = match self {
            Self::Whole(version) => (kind.list_kind.as_str(), &**version),
            Self::Metadata => ("PartialObjectMetadataList", "meta.k8s.io/v1"),
            Self::Table { version, include } => {
                let now = Timestamp::now();
                let row = |object: &Arc<Stored>| {
                    Ok(table::row(
                        kind,
                        &in_version(kind, object)?,
                        version,
                        *include,
                        now,
                    ))
                };
                let rows = page.objects.iter().map(row).collect::<Result<Vec<_>>>()?;
                let table = table_of(version, &metadata, Some(&table::columns(kind)), &rows);
                return Ok(vec![bytes(&table)?]);
            }
        };
        let head = format!(
            "{{\"kind\":{},\"apiVersion\":{},\"metadata\":{metadata},\"items\":[",
            json!(list_kind),
            json!(api_version)
        );
        let mut frames = vec![Bytes::from(head)];
        for (index, object) in page.objects.iter().enumerate() {
            if index > 0 {
                frames.push(Bytes::from_static(b","));
            }
            frames.push(self.object(kind, object)?);
        }
        frames.push(Bytes::from_static(b"]}"));
        Ok(frames)
    }
}

/// The metadata alone, which are the same in every version of a kind.
fn of_metadata(object: &Stored) -> Result<Bytes> {
    let text = object.json()?;
    let metadata = metadata_text(&text).map_err(Failure::internal)?;
    let text = [
        r#"{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":"#,
        metadata,
        "}",
    ];
    Ok(Bytes::from(text.concat()))
}

fn metadata_only(mut object: Value) -> Value {
    json!({
        "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1",
        "metadata": object["metadata"].take(),
    })
}

fn table_of(version: &str, metadata: &Value, columns: Option<&[Value]>, rows: &[Value]) -> Value {
    json!({
        "kind": "Table", "apiVersion": format!("meta.k8s.io/{version}"), "metadata": metadata,
        "columnDefinitions": columns, "rows": rows,
    })
}

fn bytes(value: &Value) -> Result<Bytes> {
    serde_json::to_vec(value)
        .map(Bytes::from)
        .map_err(Failure::internal)
}
