//! What a compilation returns.

use crate::diagnostic::{Diagnostic, Severity};
use choreo_model::release::{
    ConnectionTarget, EndpointStatus, PendingConnection, PendingResourceDependency,
    ResolvedConnection, ResourceDependencyTarget,
};
use choreo_model::shared::TargetPlane;
use serde_json::Value;
use std::collections::BTreeMap;
use std::ops::Range;

/// One object for one plane.
#[derive(Debug, Clone, PartialEq)]
pub struct Rendered {
    /// Its id within the rendered release.
    pub id: String,
    /// The plane it goes to.
    pub target_plane: TargetPlane,
    /// The object.
    pub object: Value,
}

/// Where a field of a rendered object came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// JSON pointer into the rendered object.
    pub output: String,
    /// The object it is written in, as `Kind/name`.
    pub source: String,
    /// The field it is written in.
    pub field: String,
    /// Bytes of that field, for expressions.
    pub range: Option<Range<usize>>,
    /// The expression, if it is one.
    pub expression: Option<String>,
}

/// Everything there is to know about one binding.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Compiled {
    /// The objects, in the order in which they are written down; none when there are errors.
    pub objects: Vec<Rendered>,
    /// The cell's namespace on the data plane.
    pub namespace: String,
    /// The addresses of the component's endpoints.
    pub endpoints: Vec<EndpointStatus>,
    /// The endpoints of others the component asks for.
    pub connection_targets: Vec<ConnectionTarget>,
    /// Those whose address is known.
    pub resolved_connections: Vec<ResolvedConnection>,
    /// Those whose address is not known yet, and why.
    pub pending_connections: Vec<PendingConnection>,
    /// The managed resources the component asks for.
    pub resource_dependency_targets: Vec<ResourceDependencyTarget>,
    /// Those whose outputs are not known yet, and why.
    pub pending_resource_dependencies: Vec<PendingResourceDependency>,
    /// The secret references the component uses, sorted.
    pub secret_reference_names: Vec<String>,
    /// What is wrong.
    pub diagnostics: Vec<Diagnostic>,
    /// Where each object's fields came from, by id; filled only when asked for.
    pub provenance: BTreeMap<String, Vec<Origin>>,
}

impl Compiled {
    /// Whether nothing could be rendered.
    pub fn has_errors(&self) -> bool {
        self.diagnostics
            .iter()
            .any(|diagnostic| diagnostic.severity == Severity::Error)
    }

    /// The objects for `plane`.
    pub fn objects_for(&self, plane: TargetPlane) -> impl Iterator<Item = &Rendered> {
        self.objects
            .iter()
            .filter(move |rendered| rendered.target_plane == plane)
    }

    /// What `pointer` of object `id` came from, the nearest first: origins of the field itself, of
    /// what it is part of, and of what it is made of.
    pub fn origins_of(&self, id: &str, pointer: &str) -> Vec<&Origin> {
        let all = self
            .provenance
            .get(id)
            .map(Vec::as_slice)
            .unwrap_or_default();
        let mut related: Vec<&Origin> = all
            .iter()
            .filter(|origin| within(pointer, &origin.output) || within(&origin.output, pointer))
            .collect();
        related.sort_by_key(|origin| origin.output.len().abs_diff(pointer.len()));
        related
    }
}

/// Whether the place `inner` is `outer` or inside it.
fn within(inner: &str, outer: &str) -> bool {
    inner
        .strip_prefix(outer)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
