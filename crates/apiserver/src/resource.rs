//! What the server knows of a kind it serves. Built-in kinds and kinds from
//! `CustomResourceDefinitions` are the same type from here on, so nothing below
//! discovery asks where a kind came from, except where Kubernetes itself does.

use std::sync::Arc;

use crate::schema::Schema;

/// One version of one kind, ready to be served.
#[derive(Clone, Debug)]
pub struct Resource {
    /// API group; empty for the core group.
    pub group: String,
    /// API version this row serves.
    pub version: String,
    /// Kind of one object.
    pub kind: String,
    /// Kind of a list of objects.
    pub list_kind: String,
    /// Lower-case plural: the path segment.
    pub plural: String,
    /// Lower-case singular.
    pub singular: String,
    /// Short names for command lines.
    pub short_names: Vec<String>,
    /// Groupings such as `all`.
    pub categories: Vec<String>,
    /// Whether objects live in namespaces.
    pub namespaced: bool,
    /// Subresources served beside the object.
    pub subresources: Subresources,
    /// Columns of the table form.
    pub columns: Vec<Column>,
    /// Fields that field selectors may name besides `metadata.name` and
    /// `metadata.namespace`, as dotted paths.
    pub selectable: Vec<String>,
    /// Structural schema of the whole object.
    pub schema: Arc<Schema>,
    /// Whether the kind is one of Kubernetes' own.
    pub builtin: bool,
    /// Whether this version is served.
    pub availability: Availability,
    /// Whether this version is the one written to disk.
    pub storage: bool,
    /// Message of the warning to send when this version is used.
    pub deprecation: Option<String>,
}

impl Resource {
    /// `group/version`, or the bare version in the core group.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.clone()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// The name errors use: `plural.group`, or the bare plural in the core group.
    pub fn qualified(&self) -> String {
        if self.group.is_empty() {
            self.plural.clone()
        } else {
            format!("{}.{}", self.plural, self.group)
        }
    }
}

/// Whether a version of a kind is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Availability {
    /// It is.
    Served,
    /// It is not, but objects may have been written in it.
    Unserved,
}

/// Which subresources a kind has.
#[derive(Clone, Debug, Default)]
pub struct Subresources {
    /// `/status` exists, and the main route does not change `.status`.
    pub status: bool,
    /// `/scale` exists, with these paths.
    pub scale: Option<Scale>,
}

/// Where the scale subresource finds its numbers, as dotted paths with a
/// leading dot (`.spec.replicas`).
#[derive(Clone, Debug)]
pub struct Scale {
    /// Desired number.
    pub spec_replicas: String,
    /// Observed number.
    pub status_replicas: String,
    /// Serialised label selector (CRDs) or selector object (built-in kinds).
    pub selector: Option<String>,
}

/// One column of the table form of a kind.
#[derive(Clone, Debug)]
pub struct Column {
    /// Heading.
    pub name: String,
    /// `string`, `integer`, `number`, `boolean` or `date`.
    pub kind: String,
    /// OpenAPI format, possibly empty.
    pub format: String,
    /// 0 is always shown; more only with `-o wide`.
    pub priority: i32,
    /// Where the value is, as a JSON path with a leading dot. Built-in columns
    /// that compute their value leave it empty.
    pub json_path: String,
    /// What the column means.
    pub description: String,
}
