//! What a compilation returns.

use crate::diagnostic::{Diagnostic, Severity};
use crate::explain::Seen;
use crate::finish::text;
use crate::fleet::ObjectName;
use crate::origin::{Made, Trail};
use choreo_model::release::{
    BoundExternalConnection, ConnectionTarget, EndpointStatus, PendingConnection,
    PendingExternalConnection, PendingResourceDependency, ResolvedConnection,
    ResourceDependencyTarget,
};
use choreo_model::shared::TargetPlane;
use choreo_template::Tree;

/// One object for one plane.
#[derive(Debug, Clone, PartialEq)]
pub struct Rendered {
    /// Its id within the rendered release.
    pub id: String,
    /// The plane it goes to.
    pub target_plane: TargetPlane,
    /// The object.
    pub object: Tree,
}

impl Rendered {
    /// What the object is called.
    pub fn name(&self) -> ObjectName {
        ObjectName {
            kind: text(&self.object, &["kind"]).to_owned(),
            namespace: text(&self.object, &["metadata", "namespace"]).to_owned(),
            name: text(&self.object, &["metadata", "name"]).to_owned(),
        }
    }
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
    /// The external connections the component has.
    pub external_connections: Vec<BoundExternalConnection>,
    /// Those it declares and does not have, and why.
    pub pending_external_connections: Vec<PendingExternalConnection>,
    /// The secret references the component uses, sorted.
    pub secret_reference_names: Vec<String>,
    /// What is wrong.
    pub diagnostics: Vec<Diagnostic>,
    /// Where the fields of the objects come from; nothing unless asked for.
    pub provenance: Provenance,
}

/// Where the fields of objects come from.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Provenance {
    /// Of each object, in their order.
    pub(crate) trails: Vec<Trail>,
    /// What templates saw.
    pub(crate) seen: Seen,
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

    /// What made the leaf `pointer` of object `id`.
    pub fn made(&self, id: &str, pointer: &str) -> Option<&Made> {
        let index = self.objects.iter().position(|one| one.id == id)?;
        self.provenance.trails.get(index)?.at(pointer)
    }
}
